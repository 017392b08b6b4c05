"""f replicas with arbitrary logits misroute no token, within each rule's own condition.

And just outside of it, one is misrouted; and with the plain mean in a rule's place, the
same tests fail.
"""

import numpy as np
import pytest

from quorate.core.errors import UsageError
from quorate.fusion import attacks, fuse, robust_route
from quorate.fusion.bounds import kappa
from quorate.fusion.names import find_rule
from quorate.fusion.robustness import NAMES, just_outside

ORDER = ["median", "trimmed_mean"]
OTHERS = [name for name in NAMES if name not in {*ORDER, "mean"}]
TOKENS, EXPERTS = 60, 6


def sizes(rule):
    least = find_rule(rule).least
    return sorted({(max(least(f), 3 * f + 1), f) for f in (1, 2)} | {(least(1), 1), (least(2), 2)})


def any_liars(drawn, honest, f):
    """Arbitrary logits: of every size, broken, copied, and aimed at another expert."""
    liars = drawn.normal(size=(f, TOKENS, EXPERTS)) * 10.0 ** drawn.uniform(-3, 8, (f, TOKENS, 1))
    kind = drawn.integers(0, 8, size=(f, TOKENS))
    liars[kind == 0] = np.nan
    liars[kind == 1] = np.inf
    liars[kind == 2] = -np.inf
    liars[kind == 3] = np.where(drawn.random(EXPERTS) < 0.3, np.nan, liars[kind == 3])
    liars[kind == 4] = -honest[0][(kind == 4).any(axis=0)][0] * 1e6
    copied = drawn.integers(0, len(honest), size=f)
    for liar in range(f):
        liars[liar, kind[liar] == 5] = honest[copied[liar], kind[liar] == 5]
        aimed = kind[liar] == 6
        liars[liar, aimed] = -honest[:, aimed].mean(axis=0) * 50
    return liars


def ordered_scores(drawn, honest_count, dtype=np.float64):
    """The best expert's lowest honest score exceeds every other's highest, if only by an ulp."""
    scores = drawn.normal(size=(honest_count, TOKENS, EXPERTS)).astype(dtype)
    best = drawn.integers(0, EXPERTS, size=TOKENS)
    tokens = np.arange(TOKENS)
    scores[:, tokens, best] = -np.inf
    ceiling = np.nextafter(scores.max(axis=(0, 2)), dtype(np.inf))
    above = np.abs(drawn.normal(size=(honest_count, TOKENS))).astype(dtype)
    above[drawn.integers(0, honest_count, size=TOKENS), tokens] = 0
    scores[:, tokens, best] = ceiling + above
    assert (scores[:, tokens, best].min(axis=0) == ceiling).all()
    return scores, best


def margin_scores(drawn, honest_count, proven):
    """The honest mean's margin exceeds sqrt(2 kappa V), if only by a millionth."""
    scores = drawn.normal(size=(honest_count, TOKENS, EXPERTS))
    scores *= 10.0 ** drawn.uniform(-2, 2, (1, TOKENS, 1))
    best = drawn.integers(0, EXPERTS, size=TOKENS)
    tokens = np.arange(TOKENS)
    mean = scores.mean(axis=0)
    spread = ((scores - mean) ** 2).sum(axis=-1).mean(axis=0)
    rest = mean.copy()
    rest[tokens, best] = -np.inf
    needed = np.sqrt(2 * proven * spread) * (1 + 1e-6)
    scores[:, tokens, best] += rest.max(axis=-1) + needed - mean[tokens, best]
    return scores, best


def misrouted(drawn, rule, honest, best, f):
    """How many tokens go elsewhere, over a few draws of liars and two aimed attacks."""
    wrong = 0
    tried = [any_liars(drawn, honest, f) for _ in range(3)]
    tried += [
        attacks.colluding_optimum(honest, f, rule=rule),
        attacks.inner_product_manipulation(honest, f, scale=1e3),
        attacks.label_flip(honest * honest.dtype.type(1e3), f),
    ]
    for liars in tried:
        rows = np.concatenate([honest, liars.astype(honest.dtype)])
        fusion = fuse(drawn.permutation(rows), rule, f)
        assert fusion.quorum.all()
        wrong += int((fusion.values.argmax(axis=-1) != best).sum())
    return wrong


@pytest.mark.parametrize("rule", ORDER)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_the_best_experts_lowest_score_beats_all_others(rule, dtype):
    drawn = np.random.default_rng(31)
    for n, f in sizes(rule):
        honest, best = ordered_scores(drawn, n - f, dtype)
        assert misrouted(drawn, rule, honest, best, f) == 0
        assert misrouted(drawn, "mean", honest, best, f) > TOKENS


@pytest.mark.parametrize("rule", OTHERS)
def test_where_honest_rows_are_equal_bit_for_bit(rule):
    drawn = np.random.default_rng(32)
    for n, f in sizes(rule):
        one = drawn.normal(size=(1, TOKENS, EXPERTS)).astype(np.float32)
        one[:, ::7, 2] = one[:, ::7, 4]  # ties, which go to the lowest index
        honest = np.repeat(one, n - f, axis=0)
        best = one[0].argmax(axis=-1)
        assert misrouted(drawn, rule, honest, best, f) == 0
        assert misrouted(drawn, "mean", honest, best, f) > TOKENS


@pytest.mark.parametrize("rule", [*ORDER, *OTHERS])
def test_where_the_margin_is_wide_enough(rule):
    drawn = np.random.default_rng(33)
    for n, f in sizes(rule):
        honest, best = margin_scores(drawn, n - f, kappa(rule, n, f))
        assert misrouted(drawn, rule, honest, best, f) == 0
        assert misrouted(drawn, "mean", honest, best, f) > TOKENS // 2


@pytest.mark.parametrize("faults", [1, 2])
@pytest.mark.parametrize("rule", [*ORDER, *OTHERS])
def test_just_outside_the_condition_a_token_is_misrouted(rule, faults):
    found = just_outside(rule, faults)
    print(found.describe())
    rows = np.concatenate([found.honest, found.liars])
    assert robust_route(rows, faults, rule) == found.routed != found.best
    assert found.honest.mean(axis=0).argmax() == found.best
    if rule in ORDER:
        # Each honest replica alone would have been right; the condition fails by equality.
        assert (found.honest.argmax(axis=-1) == found.best).all()
        others = np.delete(found.honest, found.best, axis=1)
        assert found.honest[:, found.best].min() == others.max()
    else:
        assert 0 < found.margin < found.needed
        lead = found.needed - found.margin
        honest, liars = found.honest.copy(), found.liars.copy()
        honest[:, found.best] += lead * (1 + 1e-9)
        liars[:, found.best] += lead * (1 + 1e-9)
        rows = np.concatenate([honest, liars])
        assert robust_route(rows, faults, rule) == found.best


def test_the_counterexamples_say_what_they_show():
    shown = just_outside("median").describe()
    assert "best expert 1, routed to 0" in shown
    assert shown.count("honest [") == 2
    assert "would be safe" in just_outside("krum").describe()
    with pytest.raises(UsageError, match="mean promises nothing"):
        just_outside("mean")
