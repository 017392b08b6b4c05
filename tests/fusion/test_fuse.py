"""Folding with rows that are not finite, and what every rule refuses."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import NoQuorum, UsageError, UsageTypeError
from quorate.core.quorum import tolerated_faults
from quorate.fusion import (
    RULES,
    check_rule,
    coordinate_wise_median,
    fuse,
    mean_around_median,
    robust_aggregate,
    robust_route,
    trimmed_mean,
)
from quorate.fusion.fuse import all_finite
from quorate.fusion.names import find_rule

NAMES = [*RULES, "nnm+median", "nnm+multi_krum", "nearest_neighbour_mixing+krum"]
BROKEN = [math.nan, math.inf, -math.inf]


def plainly(vectors, rule, f):
    """The values of each token alone, from its finite rows; ``None`` where no quorum."""
    result = []
    for token in range(vectors.shape[1]):
        rows = [row for row in vectors[:, token] if all(map(math.isfinite, row))]
        lost = vectors.shape[0] - len(rows)
        if lost > f:
            result.append(None)
        else:
            result.append(robust_aggregate(np.array(rows), rule, f - lost).tolist())
    return result


@given(st.sampled_from(NAMES), st.integers(0, 2), st.integers(0, 2**32 - 1))
@settings(max_examples=120, deadline=None)
def test_broken_rows_are_dropped_token_by_token(rule, f, seed):
    drawn = np.random.default_rng(seed)
    vectors = drawn.normal(size=(2 * f + 4, 6, 3))
    for _ in range(int(drawn.integers(0, 10))):
        row, token, place = (int(drawn.integers(0, size)) for size in vectors.shape)
        vectors[row, token, place] = BROKEN[int(drawn.integers(0, 3))]
    fusion = fuse(vectors, rule, f)
    expected = plainly(vectors, rule, f)
    assert fusion.quorum.tolist() == [values is not None for values in expected]
    assert fusion.values.tolist() == [values or [0.0] * 3 for values in expected]
    assert fusion.dropped.tolist() == (~np.isfinite(vectors)).any(axis=-1).sum(axis=1).tolist()
    assert (fusion.n, fusion.faults, fusion.rule) == (len(vectors), f, find_rule(rule).name)


def test_without_the_drop_one_nan_would_reach_the_result():
    rows = np.ones((4, 2))
    rows[0] = math.nan
    assert robust_aggregate(rows).tolist() == [1.0, 1.0]
    assert np.isnan(np.median(rows, axis=0)).all()
    assert np.isnan(find_rule("mean").fold(rows[:, None], 1)).all()


@pytest.mark.parametrize("shape", [(5, 4), (5, 1, 4), (5, 2, 3, 4), (1, 4)])
@pytest.mark.parametrize("broken", [False, True])
def test_shapes(shape, broken):
    vectors = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    if broken:
        vectors[0] = math.nan
    fusion = fuse(vectors)
    assert fusion.values.shape == shape[1:]
    assert fusion.values.dtype == np.float32
    assert fusion.quorum.shape == shape[1:-1]
    assert fusion.quorum.dtype == bool
    assert fusion.dropped.shape == shape[:1]
    assert fusion.dropped.dtype == np.int64
    assert bool(fusion.quorum.all()) == (not broken or shape[0] > 1)


def test_lists_and_integers_become_float64():
    assert robust_aggregate([[1, 2], [3, 4], [9, 9]]).tolist() == [3.0, 4.0]
    assert fuse(np.ones((3, 2), dtype=np.int8)).values.dtype == np.float64


def test_faults_default_to_what_n_bears():
    assert fuse(np.zeros((10, 2))).faults == tolerated_faults(10) == 3


def test_input_is_left_as_it_was():
    vectors = np.random.default_rng(2).normal(size=(7, 5, 3))
    vectors[0, 0] = math.nan
    before = vectors.tobytes()
    for rule in NAMES:
        fuse(vectors, rule, 2)
    assert vectors.tobytes() == before


def test_a_sum_that_overflows_does_not_pass_for_broken_rows():
    for dtype in (np.float16, np.float32, np.float64):
        rows = np.full((4, 1, 3), np.finfo(dtype).max, dtype=dtype)
        assert all_finite(rows)
        rows[3, 0, 2] = math.inf
        assert not all_finite(rows)
    cancelling = np.array([[[math.inf, 1.0]], [[-math.inf, 1.0]]])
    assert not all_finite(cancelling)


def test_no_quorum_says_how_many_tokens_and_whose_rows():
    vectors = np.zeros((4, 3, 2))
    vectors[1, :2] = math.nan
    vectors[3, 0] = math.inf
    words = r"1 of 3 tokens had more than 1 of 4 rows .* \(rows dropped\): 1 \(2\), 3 \(1\)$"
    with pytest.raises(NoQuorum, match=words):
        robust_aggregate(vectors)
    with pytest.raises(NoQuorum, match=words):
        robust_route(vectors)
    assert fuse(vectors).quorum.tolist() == [False, True, True]


def test_many_culprits_are_not_all_listed():
    with pytest.raises(NoQuorum, match=r"7 \(1\) and 12 more$"):
        robust_aggregate(np.full((20, 2), math.nan))


def test_routes_go_to_the_greatest_and_ties_to_the_lowest():
    assert robust_route([[0, 1, 1], [0, 1, 1], [0, 1, 1], [9, 0, 0]]) == 1
    assert type(robust_route(np.eye(4))) is int
    tokens = robust_route(np.array([[[0.0, 1.0], [2.0, 1.0]]] * 4), 1, "trimmed_mean")
    assert tokens.tolist() == [1, 0]
    assert tokens.dtype == np.int64


def test_functions_are_the_rules_of_their_names():
    rows = np.random.default_rng(3).normal(size=(7, 4))
    assert coordinate_wise_median(rows).tolist() == robust_aggregate(rows).tolist()
    assert trimmed_mean(rows, 2).tolist() == robust_aggregate(rows, "trimmed_mean", 2).tolist()
    around = robust_aggregate(rows, "mean_around_median", 2)
    assert mean_around_median(rows, 2).tolist() == around.tolist()


@pytest.mark.parametrize("rule", [*RULES, "nnm+krum", "nnm+median", "bucketing+krum"])
@pytest.mark.parametrize("f", [0, 1, 2, 5])
def test_the_least_n_is_accepted_and_one_less_is_refused_by_name(rule, f):
    least = find_rule(rule).least(f)
    assert check_rule(rule, least, f) == f
    assert fuse(np.zeros((least, 2)), rule, f).values.tolist() == [0.0, 0.0]
    if least > 1:
        with pytest.raises(UsageError, match=f"needs at least {least} replicas"):
            check_rule(rule, least - 1, f)
        with pytest.raises(UsageError, match=f"there are {least - 1}"):
            fuse(np.zeros((least - 1, 2)), rule, f)


def test_known_preconditions():
    least = {rule: find_rule(rule).least(1) for rule in ("median", "krum", "multi_krum")}
    assert least == {"median": 3, "krum": 5, "multi_krum": 5}
    assert find_rule("bucketing+median").least(1) == 5
    assert find_rule("bucketing+krum").least(1) == 9


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: fuse(np.zeros((4, 2)), "mode"), UsageError, "rule is 'mode'; there is median"),
        (lambda: fuse(np.zeros((4, 2)), "x+median"), UsageError, r"nnm\+RULE"),
        (lambda: fuse(np.zeros((4, 2)), "nnm+"), UsageError, "rule is"),
        (lambda: fuse(np.zeros((4, 2)), None), UsageTypeError, "rule is None"),
        (lambda: fuse(np.zeros((4, 2)), "median", -1), UsageError, "faults is -1"),
        (lambda: fuse(np.zeros((4, 2)), "median", 1.0), UsageTypeError, "faults is 1.0"),
        (lambda: fuse(np.zeros((4, 2)), "median", True), UsageTypeError, "faults is True"),
        (lambda: fuse(np.zeros(4)), UsageError, "shape"),
        (lambda: fuse(np.zeros((2000, 1))), UsageError, "at most 1024"),
        (lambda: fuse(np.zeros((4, 2), dtype=complex)), UsageTypeError, "complex"),
    ],
)
def test_what_cannot_be_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
