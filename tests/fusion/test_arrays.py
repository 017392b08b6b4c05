"""Arrays taken and refused, keys of floats, and the canonical order of rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError, UsageTypeError
from quorate.fusion import arrays
from quorate.fusion.arrays import (
    as_vectors,
    canonical_order,
    finite_rows,
    floats_of,
    in_float64,
    in_order,
    is_numpy,
    is_torch,
    keys_of,
)
from tests.fusion import naive_coordinate as naive
from tests.fusion.naive_coordinate import bits, clean_vectors, order


def test_floats_are_taken_as_they_are():
    for dtype in naive.FLOATS:
        vectors = np.zeros((2, 3), dtype)
        assert as_vectors(vectors) is vectors


def test_lists_integers_and_foreign_byte_orders_become_native_floats():
    assert as_vectors([[1, 2], [3, 4]]).dtype == np.float64
    assert as_vectors(np.ones((2, 2), np.uint8)).dtype == np.float64
    foreign = as_vectors(np.array([[1.5]], ">f4"))
    assert foreign.dtype == np.float32
    assert foreign.dtype.isnative
    assert foreign[0, 0] == 1.5


@pytest.mark.parametrize(
    "vectors",
    [
        [[True, False]],
        [[1j]],
        [["a"]],
        [[None]],
        [[1, 2], [3]],
        np.ma.masked_array([[1.0, 2.0]]),
        np.zeros((1, 1), np.longdouble),
    ],
    ids=["bool", "complex", "text", "object", "ragged", "masked", "longdouble"],
)
def test_what_is_not_real_numbers_is_refused(vectors):
    with pytest.raises(UsageTypeError, match=r"give real numbers|fill it first"):
        as_vectors(vectors)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        ([1.0, 2.0], "at least two axes"),
        (3.0, "at least two axes"),
        (np.zeros((0, 3)), "an axis is empty"),
        (np.zeros((3, 2, 0)), "an axis is empty"),
        (np.zeros((3, 0, 2)), "an axis is empty"),
    ],
)
def test_wrong_shapes_are_refused(vectors, message):
    with pytest.raises(UsageError, match=message):
        as_vectors(vectors)


def test_too_few_replicas_are_refused():
    assert as_vectors(np.zeros((4, 1)), at_least=4).shape == (4, 1)
    with pytest.raises(UsageError, match=r"holds 3 replicas .* give at least 4"):
        as_vectors(np.zeros((3, 1)), at_least=4)


def test_kinds_are_told_apart():
    assert is_numpy(np.zeros(1))
    assert not is_numpy([0.0])
    assert not is_torch(np.zeros(1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(3, 5), (3, 2, 5), (2, 70_000), (70_000, 2)])
def test_finite_rows(bad, shape):
    vectors = np.full(shape, np.finfo(np.float32).max, np.float32)
    expected = np.ones(shape[:-1], bool)
    assert (finite_rows(vectors) == expected).all()
    vectors.reshape(-1, shape[-1])[-1, -1] = bad
    expected.reshape(-1)[-1] = False
    assert (finite_rows(vectors) == expected).all()
    assert finite_rows(vectors).shape == shape[:-1]


def test_float64_copies_are_copies():
    for dtype in naive.FLOATS:
        vectors = np.ones((1, 2), dtype)
        copied = in_float64(vectors)
        assert copied.dtype == np.float64
        assert not np.shares_memory(copied, vectors)


@settings(max_examples=100)
@given(vectors=clean_vectors())
def test_keys_order_all_floats_and_give_them_back(vectors):
    keys = keys_of(vectors).reshape(-1)
    assert bits(floats_of(keys_of(vectors), vectors)) == bits(vectors)
    places = np.argsort(keys, kind="stable")
    ranked = [order(value) for value in vectors.reshape(-1)[places]]
    assert ranked == sorted(ranked)
    assert len(set(keys.tolist())) == len(set(ranked))


def sorted_rows(vectors):
    """Each token's rows, sorted one by one."""
    flat = vectors.reshape(len(vectors), -1, vectors.shape[-1])
    for token in range(flat.shape[1]):
        rows = sorted(flat[:, token], key=lambda row: [order(value) for value in row])
        yield np.array(rows)


@settings(max_examples=100)
@given(vectors=clean_vectors(), data=st.data())
def test_rows_stand_in_an_order_that_no_place_decides(vectors, data):
    places = canonical_order(vectors)
    assert places.dtype == np.int64
    assert places.shape == vectors.shape[:-1]
    ranked = in_order(vectors, places)
    flat = ranked.reshape(len(vectors), -1, vectors.shape[-1])
    for token, rows in enumerate(sorted_rows(vectors)):
        assert bits(flat[:, token]) == bits(rows)
    shuffled = vectors[data.draw(st.permutations(range(len(vectors))))]
    assert bits(in_order(shuffled, canonical_order(shuffled))) == bits(ranked)


@settings(max_examples=60)
@given(vectors=clean_vectors(), copies=st.integers(1, 150))
def test_both_ways_to_the_order_agree(vectors, copies):
    """Long rows that differ only far behind."""
    vectors = np.concatenate([np.repeat(vectors[:1, ..., :1], copies, axis=-1)] * len(vectors), 0)
    vectors[0, ..., -1] *= -1
    keys = keys_of(vectors)
    assert (arrays._order_of_pairs(keys) == arrays._order_of_strings(keys)).all()


def test_equal_rows_keep_the_order_they_came_in():
    vectors = np.array([[2.0, 1.0], [1.0, 5.0], [2.0, 1.0], [1.0, 5.0]])
    assert canonical_order(vectors).tolist() == [1, 3, 0, 2]
