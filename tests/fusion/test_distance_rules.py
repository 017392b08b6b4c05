"""Every rule but Krum that looks at whole rows, against its plain twin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError
from quorate.fusion import (
    RULES,
    bucketing,
    centered_clipping,
    fuse,
    geometric_median,
    minimum_diameter_averaging,
    nearest_neighbour_mixing,
    robust_aggregate,
)
from quorate.fusion.names import find_rule
from quorate.fusion.rules import diameter, mixing
from quorate.fusion.rules.distances import arranged, mean_of, order_of
from tests.fusion import naive_distance as naive

PROTECTED = [*(name for name in RULES if name != "mean"), "nnm+krum", "nnm+median"]
PROTECTED += ["bucketing+median", "bucketing+geometric_median"]


@st.composite
def small(draw, least=2):
    f = draw(st.integers(0, 2))
    n = draw(st.integers(max(least, 2 * f + 1), 7))
    length = draw(st.integers(1, 3))
    values = st.integers(-3, 3).map(float)
    rows = draw(
        st.lists(st.lists(values, min_size=length, max_size=length), min_size=n, max_size=n)
    )
    return rows, f


def close(values):
    return pytest.approx(np.array(values), abs=1e-12)


@given(small())
@settings(max_examples=50, deadline=None)
def test_minimum_diameter_averaging_is_its_twin(case):
    rows, f = case
    assert minimum_diameter_averaging(rows, f) == close(naive.minimum_diameter(rows, f))


@given(small())
@settings(max_examples=50, deadline=None)
def test_mixing_is_its_twin(case):
    rows, f = case
    assert nearest_neighbour_mixing(rows, f) == close(naive.mixed(rows, f))


@given(small(), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_bucketing_is_its_twin(case, size):
    rows, _ = case
    size = min(size, len(rows))
    assert bucketing(rows, size, faults=0) == close(naive.bucketed(rows, size))


@given(small(), st.sampled_from([None, 0.5, 2.0]), st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_centred_clipping_is_its_twin(case, radius, steps):
    rows, _ = case
    found = centered_clipping(rows, faults=0, radius=radius, steps=steps)
    assert found == pytest.approx(np.array(naive.clipped(rows, None, radius, steps)), abs=1e-9)


@given(small())
@settings(max_examples=25, deadline=None)
def test_no_search_finds_a_point_nearer_to_all_rows_than_the_geometric_median(case):
    rows, _ = case
    found = geometric_median(rows, faults=0).tolist()
    least = naive.least_cost(rows)
    assert naive.cost(rows, found) <= least * (1 + 1e-7) + 1e-9


def test_the_geometric_median_is_a_row_where_one_is_best():
    rows = [[0.0, 0.0], [1.0, 0.0], [-1.0, 0.1], [0.0, 1.0], [0.1, -1.0]]
    assert geometric_median(rows).tolist() == rows[0]


def test_a_row_that_only_just_is_the_geometric_median_is_given_back():
    """Its pull equals its own weight, which rounding hides."""
    rows = [[0.0, 0.0], [0.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-2.0, 0.0], [-2.0, 0.0]]
    assert geometric_median(rows, faults=0).tolist() == [-1.0, 0.0]


def test_a_row_that_only_just_is_not_the_geometric_median_holds_nobody_up():
    """Beside such a row plain steps shrink to nearly nothing long before they arrive."""
    for rows in (
        [[1.0, 0.0]] * 3 + [[1.0, 1.0]] * 2 + [[2.0, 1.0], [-2.0, 1.0]],
        [[-2.0, -1.0], [-1.0, -2.0], [1.0, -2.0], [1.0, -2.0], [3.0, 3.0]],
        [[-3.0, -1.0]] * 3 + [[-3.0, -3.0], [-2.0, -1.0], [-1.0, -2.0], [2.0, 1.0]],
    ):
        found = naive.cost(rows, geometric_median(rows, faults=0).tolist())
        assert found <= naive.least_cost(rows, rounds=3000) * (1 + 1e-11)


def test_too_few_steps_show():
    rows = [[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]]
    full = naive.cost(rows, geometric_median(rows).tolist())
    assert naive.cost(rows, geometric_median(rows, steps=1).tolist()) > full + 1e-6


def test_clipping_starts_where_it_is_told():
    rows = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
    found = centered_clipping(rows, centre=np.zeros(2), radius=1.0)
    assert found == close(naive.clipped(rows.tolist(), [0.0, 0.0], 1.0))
    tokens = np.stack([rows, rows + 5], axis=1)
    centre = np.array([[0.0, 0.0], [5.0, 5.0]])
    both = centered_clipping(tokens, centre=centre, radius=1.0)
    assert both == close([found, found + 5])


def test_a_centre_goes_with_its_own_token_where_rows_are_dropped():
    rows = np.random.default_rng(3).normal(size=(4, 3, 2))
    centre = np.arange(6.0).reshape(3, 2)
    whole = centered_clipping(rows, centre=centre, radius=0.5)
    broken = rows.copy()
    broken[1, 2] = np.nan
    found = centered_clipping(broken, centre=centre, radius=0.5)
    assert found[:2].tolist() == whole[:2].tolist()
    assert found[2] == close(naive.clipped(rows[[0, 2, 3], 2].tolist(), centre[2], 0.5))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("rule", PROTECTED)
def test_equal_honest_rows_come_back_bit_for_bit(rule, dtype):
    drawn = np.random.default_rng(11)
    for f in (1, 2):
        n = max(3 * f + 1, find_rule(rule).least(f))
        for scale in (1e-3, 1.0, 300.0):
            honest = (drawn.normal(size=(1, 20, 5)) * scale).astype(dtype)
            liars = (drawn.normal(size=(f, 20, 5)) * scale * 10).astype(dtype)
            liars[:, ::3] = honest[:, ::3] * dtype(1.001)
            rows = np.concatenate([np.repeat(honest, n - f, axis=0), liars])
            fused = robust_aggregate(drawn.permutation(rows), rule, f)
            assert fused.tobytes() == honest[0].tobytes()


def test_the_mean_gives_no_row_back():
    rows = np.concatenate([np.ones((3, 4)), np.full((1, 4), 9.0)])
    assert robust_aggregate(rows, "mean", 1).tolist() != [1.0] * 4


@pytest.mark.parametrize("rule", [*PROTECTED, "mean"])
def test_the_order_of_replicas_changes_no_bit(rule):
    drawn = np.random.default_rng(12)
    rows = drawn.normal(size=(9, 30, 4)).astype(np.float32)
    rows[:, ::2] = rows[:, ::2].round()  # ties
    first = robust_aggregate(rows, rule, 2)
    for _ in range(4):
        assert robust_aggregate(drawn.permutation(rows), rule, 2).tobytes() == first.tobytes()


@pytest.mark.parametrize("rule", [*PROTECTED, "mean"])
def test_a_token_alone_gets_what_it_gets_in_a_batch(rule):
    rows = np.random.default_rng(13).normal(size=(9, 17, 6)).astype(np.float32)
    batch = robust_aggregate(rows, rule, 2)
    for token in range(17):
        alone = robust_aggregate(rows[:, token], rule, 2)
        assert alone.tobytes() == batch[token].tobytes()


@pytest.mark.parametrize("rule", PROTECTED)
def test_far_off_but_finite_liars_leave_a_finite_result(rule):
    for dtype, far in ((np.float32, 3e38), (np.float64, 1.7e308)):
        rows = np.random.default_rng(14).normal(size=(9, 3, 4)).astype(dtype)
        rows[0], rows[1] = far, -far
        fused = robust_aggregate(rows, rule, 2)
        assert np.isfinite(fused).all()
        if not rule.startswith("bucketing+geo"):
            assert np.abs(fused).max() < 10


def test_the_mean_of_huge_values_does_not_overflow():
    rows = np.full((4, 1, 2), 1.7e308)
    assert mean_of(rows).tolist() == [[1.7e308, 1.7e308]]


def test_canonical_order_is_lexicographic():
    rows = np.random.default_rng(15).integers(-1, 2, size=(6, 50, 3)).astype(float)
    ordered = arranged(rows)
    for token in range(50):
        assert ordered[:, token].tolist() == sorted(rows[:, token].tolist())
    assert sorted(order_of(rows)[:, 0].tolist()) == list(range(6))


def test_subsets_looked_at_in_several_steps_give_the_same(monkeypatch):
    rows = np.random.default_rng(16).integers(-2, 3, size=(8, 40, 2)).astype(float)
    at_once = minimum_diameter_averaging(rows, 3)
    monkeypatch.setattr(diameter, "_AT_A_TIME", 5 * 40)
    assert minimum_diameter_averaging(rows, 3).tobytes() == at_once.tobytes()
    expected = [naive.minimum_diameter(rows[:, token].tolist(), 3) for token in range(40)]
    assert at_once == close(expected)


def test_an_order_given_fills_the_buckets():
    rows = np.array([[1.0], [2.0], [3.0], [10.0], [20.0]])
    found = bucketing(rows, 2, order=[3, 4, 0, 2, 1])
    assert found.tolist() == [[15.0], [2.0], [2.0]]


def test_mixing_and_bucketing_mark_what_was_broken():
    rows = np.arange(10.0).reshape(5, 2)
    rows[3, 0] = np.inf
    mixed = nearest_neighbour_mixing(rows, 1)
    assert np.isnan(mixed[3]).all()
    kept = rows[[0, 1, 2, 4]]
    assert mixed[[0, 1, 2, 4]] == close(naive.mixed(kept.tolist(), 0))
    assert fuse(mixed, "median", 1).dropped.tolist() == [0, 0, 0, 1, 0]
    buckets = bucketing(rows, 2)
    assert buckets[:2] == close(naive.bucketed(kept.tolist(), 2))
    assert np.isnan(buckets[2]).all()


def test_buckets_without_a_majority_are_refused():
    rows = np.zeros((10, 2))
    with pytest.raises(UsageError, match=r"5 buckets, of which 3 liars may spoil 3.*least 13"):
        bucketing(rows, 2)
    assert bucketing(np.zeros((13, 2)), 2, faults=3).shape == (7, 2)
    with pytest.raises(UsageError, match="least 9 replicas; there are 8"):
        robust_aggregate(np.zeros((8, 2)), "bucketing+median", 2)
    assert mixing.BUCKET == 2


def test_too_many_subsets_are_refused():
    with pytest.raises(UsageError, match="would try 38,760 subsets; at most 20,000"):
        minimum_diameter_averaging(np.zeros((20, 1)), 6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rows: centered_clipping(rows, radius=0.0), "radius is 0.0; give a finite"),
        (lambda rows: centered_clipping(rows, radius=float("nan")), "radius is nan"),
        (lambda rows: centered_clipping(rows, steps=0), "steps is 0"),
        (lambda rows: centered_clipping(rows, centre=np.zeros(3)), r"centre has shape \(3,\)"),
        (lambda rows: centered_clipping(rows, centre=np.full(2, np.inf)), "centre holds a value"),
        (lambda rows: geometric_median(rows, tolerance=-1.0), "tolerance is -1.0"),
        (lambda rows: bucketing(rows, 9), "size is 9; it lies between 1 and 5"),
        (lambda rows: bucketing(rows, 2, order=[0, 1, 2, 3, 3]), "names each of 0 to 4 once"),
        (lambda rows: nearest_neighbour_mixing(rows, 3), "needs at least 7 replicas"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call(np.zeros((5, 2)))
