"""Median, trimmed mean and mean around the median, beside their dumb twins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError
from quorate.fusion import compiled
from quorate.fusion.rules import coordinate
from quorate.fusion.rules.coordinate import (
    finite_median_of,
    finite_trimmed_of,
    mean_around_median_of,
    median_of,
    trimmed_of,
)
from tests.fusion import naive_coordinate as naive
from tests.fusion.naive_coordinate import bits, clean_vectors, order

_RULES = {
    "median": lambda vectors, f: median_of(vectors),
    "trimmed": trimmed_of,
    "near": mean_around_median_of,
}
_TWINS = {
    "median": lambda vectors, f: naive.median(vectors),
    "trimmed": naive.trimmed,
    "near": naive.near_median,
}


def most_faults(vectors):
    return (len(vectors) - 1) // 2


@pytest.mark.parametrize("rule", _RULES)
@settings(max_examples=50)
@given(vectors=clean_vectors(), data=st.data())
def test_same_bits_as_the_twin(rule, vectors, data):
    f = data.draw(st.integers(0, most_faults(vectors)))
    before = bits(vectors)
    result = _RULES[rule](vectors, f)
    assert result.dtype == vectors.dtype
    assert result.shape == vectors.shape[1:]
    assert bits(result) == bits(_TWINS[rule](vectors, f))
    assert bits(vectors) == before


@pytest.mark.parametrize("rule", _RULES)
@settings(max_examples=40)
@given(vectors=clean_vectors(), data=st.data())
def test_no_bit_depends_on_the_order_of_replicas(rule, vectors, data):
    f = data.draw(st.integers(0, most_faults(vectors)))
    places = data.draw(st.permutations(range(len(vectors))))
    assert bits(_RULES[rule](vectors[places], f)) == bits(_RULES[rule](vectors, f))


@pytest.mark.parametrize("rule", ["median", "trimmed"])
@settings(max_examples=50)
@given(vectors=clean_vectors(), data=st.data())
def test_f_liars_never_leave_the_honest_range(rule, vectors, data):
    f = data.draw(st.integers(0, most_faults(vectors)))
    liars = data.draw(st.permutations(range(len(vectors))))[:f]
    honest = np.delete(vectors, liars, axis=0).reshape(len(vectors) - f, -1)
    result = _RULES[rule](vectors, f).reshape(-1)
    for value, column in zip(result, honest.T, strict=True):
        assert min(map(order, column)) <= order(value) <= max(map(order, column))


def test_one_liar_too_many_does_leave_it():
    vectors = np.array([[1.0], [1.0], [9.0], [9.0], [9.0]])
    assert median_of(vectors) == 9
    assert trimmed_of(vectors, 2) == 9


@pytest.mark.parametrize("rule", _RULES)
@settings(max_examples=50)
@given(vectors=clean_vectors(), data=st.data())
def test_equal_honest_rows_come_back_bit_for_bit(rule, vectors, data):
    f = data.draw(st.integers(0, most_faults(vectors)))
    honest = data.draw(st.permutations(range(len(vectors))))[f:]
    row = vectors[honest[0]].copy()
    vectors[honest] = row
    assert bits(_RULES[rule](vectors, f)) == bits(row)


@pytest.mark.parametrize("rule", _RULES)
@pytest.mark.parametrize("dtype", naive.FLOATS)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 10])
def test_awkward_values_in_every_column(rule, dtype, n):
    generator = np.random.default_rng(n)
    vectors = generator.choice(np.array(naive.awkward(dtype), dtype), size=(n, 200))
    for f in {0, (n - 1) // 3, (n - 1) // 2}:
        expected = _TWINS[rule](vectors, f)
        assert bits(_RULES[rule](vectors, f)) == bits(expected)
        assert np.isfinite(expected).all()


def test_zeros_keep_their_signs():
    minus, plus = np.full((1, 3), -0.0, np.float32), np.zeros((1, 3), np.float32)
    three = np.concatenate([plus, minus, minus, minus])
    assert bits(median_of(three)) == bits(median_of(three[::-1])) == bits(minus[0])
    assert bits(median_of(-three)) == bits(median_of(-three[::-1])) == bits(plus[0])
    halves = np.concatenate([minus, plus])
    assert bits(median_of(halves)) == bits(median_of(halves[::-1])) == bits(plus[0])


def test_largest_floats_do_not_overflow():
    largest = np.finfo(np.float64).max
    vectors = np.array([[largest, -largest]] * 4)
    for rule in _RULES.values():
        assert bits(rule(vectors, 1)) == bits(vectors[0])
    spread = np.array([[-largest], [-largest], [0.0], [largest], [largest]])
    assert mean_around_median_of(spread, 1) < 0
    assert abs(mean_around_median_of(spread, 2)) <= largest
    assert trimmed_of(np.array([[largest], [largest], [largest], [-largest]]), 0) == largest / 2


def test_halves_of_the_smallest_floats_stay_what_they_are():
    smallest = np.float32(np.finfo(np.float32).smallest_subnormal)
    assert median_of(np.array([[3 * smallest], [3 * smallest]])) == 3 * smallest
    assert smallest <= median_of(np.array([[smallest], [2 * smallest]])) <= 2 * smallest


@pytest.mark.parametrize("dtype", naive.FLOATS)
@pytest.mark.parametrize("n", [4, 7, 64, 65, 101])
def test_long_rows_and_many_replicas(dtype, n):
    """Several blocks, and on both sides of where networks end."""
    generator = np.random.default_rng(n)
    length = 3 * coordinate._FEWEST_COLUMNS + 5
    vectors = generator.normal(size=(n, length)).astype(dtype)
    vectors[:, generator.random(length) < 0.1] = 0.0
    f = (n - 1) // 3
    ranked = np.sort(vectors, axis=0)
    middles = ranked[(n - 1) // 2], ranked[n // 2]
    expected = (middles[0].astype("f8") / 2 + middles[1].astype("f8") / 2).astype(dtype)
    assert (median_of(vectors) == expected).all()
    sample = generator.integers(0, length, size=40)
    assert bits(trimmed_of(vectors, f)[sample]) == bits(naive.trimmed(vectors[:, sample], f))
    near = mean_around_median_of(vectors, f)[sample]
    assert bits(near) == bits(naive.near_median(vectors[:, sample], f))


@pytest.mark.parametrize("view", [np.s_[:, ::2], np.s_[:, ::-1], np.s_[::2], np.s_[:, 3:40]])
def test_views_that_are_not_contiguous(view):
    vectors = np.random.default_rng(0).normal(size=(9, 60))[view]
    vectors.flags.writeable = False
    assert bits(median_of(vectors)) == bits(naive.median(vectors))
    turned = np.asfortranarray(vectors)
    assert bits(trimmed_of(turned, 1)) == bits(naive.trimmed(vectors, 1))


@pytest.mark.parametrize("rule", _RULES)
def test_one_replica_is_a_copy(rule):
    vectors = np.array([[1.0, -0.0]])
    result = _RULES[rule](vectors, 0)
    assert bits(result) == bits(vectors[0])
    assert not np.shares_memory(result, vectors)


@pytest.mark.parametrize("function", [trimmed_of, mean_around_median_of, finite_trimmed_of])
@pytest.mark.parametrize(("n", "f"), [(4, 2), (3, -1), (1, 1)])
def test_an_f_that_leaves_nothing_is_refused(function, n, f):
    with pytest.raises(UsageError, match=rf"f is {f} with {n} replicas; give 0 <= f and n > 2f"):
        function(np.zeros((n, 2)), f)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("length", [5, compiled.FEWEST_VALUES])
def test_finite_or_nothing(bad, length):
    vectors = np.random.default_rng(1).normal(size=(4, length)).astype(np.float32)
    assert bits(finite_median_of(vectors)) == bits(median_of(vectors))
    assert bits(finite_trimmed_of(vectors, 1)) == bits(trimmed_of(vectors, 1))
    vectors[2, length - 1] = bad
    assert finite_median_of(vectors) is None
    assert finite_trimmed_of(vectors, 1) is None
