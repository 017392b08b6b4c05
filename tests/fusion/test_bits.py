"""Bits that nothing but the honest rows may decide: zeros' signs, ties, other tokens' overflow."""

import numpy as np
import pytest

from quorate.fusion import RULES, fuse, krum, multi_krum
from quorate.fusion.names import find_rule

PROTECTED = [
    *(rule for rule in RULES if rule != "mean"),
    *("nnm+median", "nnm+trimmed_mean", "nnm+krum", "nnm+geometric_median"),
    *("bucketing+krum", "bucketing+centered_clipping"),
]
KINDS = [np.float16, np.float64]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", PROTECTED)
def test_a_copy_with_another_zero_does_not_replace_the_honest_row(rule, kind):
    n = find_rule(rule).least(1)
    for honest, lie in ((0.0, -0.0), (-0.0, 0.0)):
        for length in (1, 9):
            row = np.ones(length, kind)
            row[0] = honest
            for liar in range(n):
                rows = np.tile(row, (n, 2, 1))
                rows[liar, :, 0] = lie
                values = fuse(rows, rule, 1).values
                assert values.tobytes() == np.tile(row, (2, 1)).tobytes(), (length, liar)


def test_nor_where_rows_were_dropped():
    rows = np.tile([0.0, 1.0], (7, 2, 1))
    rows[0, 0, 1], rows[1, :, 0] = np.nan, -0.0
    for rule in ("krum", "geometric_median", "centered_clipping"):
        assert not np.signbit(fuse(rows, rule, 2).values).any()


def test_functions_with_parameters_keep_them_too():
    rows = np.array([[-0.0, 1.0]] + [[0.0, 1.0]] * 4)
    for rule in (krum, multi_krum):
        for neighbours in (None, 3):
            assert not np.signbit(rule(rows, 1, neighbours=neighbours)).any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["mean", *PROTECTED])
def test_no_order_of_replicas_turns_a_zero_round(rule, kind):
    n = max(4, find_rule(rule).least(1))
    for seed in range(6):
        drawn = np.random.default_rng(seed)
        rows = drawn.choice(np.array([-1.0, -0.0, 0.0, 1.0], kind), size=(n, 3, 2))
        found = fuse(rows, rule, 1).values.tobytes()
        assert fuse(rows[::-1], rule, 1).values.tobytes() == found
        assert fuse(rows[drawn.permutation(n)], rule, 1).values.tobytes() == found


@pytest.mark.parametrize("rule", ["krum", "multi_krum", "nnm+krum", "minimum_diameter_averaging"])
def test_how_an_array_is_stored_decides_no_tie(rule):
    for seed in range(20):
        scores = np.random.default_rng(seed).integers(-3, 4, size=(7, 6, 9)) * 0.1
        found = fuse(scores, rule, 2).values.tobytes()
        assert fuse(np.asfortranarray(scores), rule, 2).values.tobytes() == found
        turned = np.ascontiguousarray(scores.transpose(1, 2, 0)).transpose(2, 0, 1)
        assert fuse(turned, rule, 2).values.tobytes() == found
        alone = [fuse(turned[:, token], rule, 2).values for token in range(6)]
        assert np.stack(alone).tobytes() == found


@pytest.mark.parametrize("rule", ["mean", *PROTECTED])
def test_what_overflows_in_one_token_rounds_nothing_in_another(rule):
    n = find_rule(rule).least(2)
    rows = np.random.default_rng(0).normal(size=(n, 2, 3))
    loud = rows.copy()
    loud[:2, 1] = 1.7e308
    found = fuse(loud, rule, 2).values
    assert found[0].tobytes() == fuse(rows, rule, 2).values[0].tobytes()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("rule", PROTECTED)
def test_the_greatest_floats_raise_no_warning(rule):
    n = find_rule(rule).least(1)
    for kind in KINDS:
        rows = np.full((n, 1, 4), np.finfo(kind).max, kind)
        rows[:, :, 1] *= -1
        rows[0] *= -1
        assert np.isfinite(fuse(rows, rule, 1).values).all()
