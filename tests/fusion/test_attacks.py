"""What the attacks send."""

from functools import partial
from statistics import NormalDist

import numpy as np
import pytest

from quorate.core.errors import UsageError
from quorate.fusion import attacks, fuse
from quorate.fusion.robustness import measured_kappa

HONEST = np.random.default_rng(1).normal(size=(5, 4, 3))
MEAN = HONEST.mean(axis=0)
NOISE = np.random.default_rng(2).normal(size=(2, 4, 3))
ALL = {
    "sign_flip": attacks.sign_flip,
    "inner_product_manipulation": attacks.inner_product_manipulation,
    "a_little_is_enough": attacks.a_little_is_enough,
    "mimic": attacks.mimic,
    "infinity": attacks.infinity,
    "nan": attacks.nan,
    "gaussian": partial(attacks.gaussian, noise=NOISE),
    "label_flip": attacks.label_flip,
    "colluding_optimum": partial(attacks.colluding_optimum, rule="median"),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attacks_are_pure_and_keep_shape_and_dtype(name, dtype):
    honest = HONEST.astype(dtype)
    before = honest.tobytes()
    first, again = ALL[name](honest, 2), ALL[name](honest, 2)
    assert first.shape == (2, 4, 3)
    assert first.dtype == dtype
    assert first.tobytes() == again.tobytes()
    assert honest.tobytes() == before


def test_what_each_sends():
    assert attacks.sign_flip(HONEST, 2).tolist() == (-HONEST[:2]).tolist()
    flipped = attacks.sign_flip(HONEST, 7, scale=3.0)
    assert flipped[5].tolist() == (-3 * HONEST[0]).tolist()
    manipulated = attacks.inner_product_manipulation(HONEST, 2, scale=0.5)
    assert manipulated == pytest.approx(np.stack([-0.5 * MEAN] * 2))
    assert ((manipulated[0] * MEAN).sum(axis=-1) < 0).all()
    assert attacks.mimic(HONEST, 2, who=3).tolist() == [HONEST[3].tolist()] * 2
    assert (attacks.infinity(HONEST, 1) == np.inf).all()
    assert (attacks.infinity(HONEST, 1, negative=True) == -np.inf).all()
    assert np.isnan(attacks.nan(HONEST, 3)).all()
    assert attacks.gaussian(HONEST, 2, noise=NOISE) == pytest.approx(MEAN + 10 * NOISE)
    assert attacks.label_flip(HONEST, 1)[0, 0].tolist() == HONEST[0, 0, [2, 0, 1]].tolist()
    assert attacks.label_flip(HONEST, 1, shift=2)[0, 0, 0] == HONEST[0, 0, 1]


def test_a_little_is_enough_uses_the_papers_z():
    many = np.random.default_rng(3).normal(size=(38, 1, 2))
    z = NormalDist().inv_cdf((38 - 14) / 38)  # n = 50, f = 12: 26 - 12 supporters
    expected = many.mean(axis=0) - z * many.std(axis=0)
    assert attacks.a_little_is_enough(many, 12)[0] == pytest.approx(expected)
    assert z > 0
    few = attacks.a_little_is_enough(HONEST[:3], 1)
    assert few[0] == pytest.approx(HONEST[:3].mean(axis=0) - HONEST[:3].std(axis=0))
    assert attacks.a_little_is_enough(HONEST, 1, z=4.0)[0] == pytest.approx(
        MEAN - 4 * HONEST.std(axis=0)
    )


def test_liars_that_are_a_majority_have_no_paper_and_need_a_z():
    for f in (3, 5, 9):
        with pytest.raises(UsageError, match=rf"{f} liars beside 2 honest rows .*; give z"):
            attacks.a_little_is_enough(HONEST[:2], f)
        assert attacks.a_little_is_enough(HONEST[:2], f, z=1.5).shape == (f, 4, 3)
    assert attacks.a_little_is_enough(HONEST[:3], 2).shape == (2, 4, 3)


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "multi_krum"])
def test_no_other_attack_here_moves_a_rule_farther_than_the_colluding_one(rule):
    honest = np.random.default_rng(4).normal(size=(6, 200, 4))
    worst = measured_kappa(honest, attacks.colluding_optimum(honest, 1, rule=rule), rule)
    for name in ("sign_flip", "a_little_is_enough", "mimic", "infinity"):
        other = measured_kappa(honest, ALL[name](honest, 1), rule)
        assert worst.mean() > other.mean(), name


def test_the_colluding_one_takes_the_worst_of_its_placements_for_each_token():
    honest = np.random.default_rng(5).normal(size=(4, 6, 3))
    liars = attacks.colluding_optimum(honest, 1, rule="median")
    found = measured_kappa(honest, liars, "median")
    for tried in attacks._placements(honest, 1):
        assert (measured_kappa(honest, tried, "median") <= found + 1e-12).all()


def test_attacks_on_the_plain_mean_work():
    for name in ("sign_flip", "gaussian", "colluding_optimum"):
        together = np.concatenate([HONEST, ALL[name](HONEST, 2) * 1000])
        assert np.abs(fuse(together, "mean", 2).values - MEAN).max() > 10


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: attacks.mimic(HONEST, 0), "f is 0; an attack needs at least one liar"),
        (lambda: attacks.mimic(HONEST, True), "f is True"),
        (lambda: attacks.gaussian(HONEST, 3, noise=NOISE), r"give \(3, 4, 3\)"),
        (lambda: attacks.nan(np.zeros(3), 1), "shape"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call()
