"""Compiled kernels: the bits of the NumPy path, and what happens without Numba."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import OperationalError, UsageError
from quorate.fusion import compiled, fuse
from quorate.fusion.rules import coordinate
from tests.fusion import naive_coordinate as naive
from tests.fusion.naive_coordinate import bits

_PLAIN = {
    compiled.MEDIAN: lambda vectors, f: coordinate.median_of(vectors),
    compiled.TRIMMED: coordinate.trimmed_of,
    compiled.NEAR: coordinate.mean_around_median_of,
}


@pytest.fixture
def no_numba(monkeypatch):
    """Make the import of Numba fail."""
    found = builtins.__import__

    def without(name, *rest, **named):
        if name == "numba":
            raise ImportError(name)
        return found(name, *rest, **named)

    compiled._numba.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    yield
    compiled._numba.cache_clear()


def numba():
    return pytest.importorskip("numba", reason="needs quorate[fast]")


@pytest.mark.parametrize("rule", _PLAIN)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "f"), [(2, 0), (3, 1), (4, 1), (7, 2)])
def test_same_bits_as_numpy(rule, dtype, n, f):
    numba()

    @settings(max_examples=40)
    @given(seed=st.integers(0, 2**32 - 1), few=st.lists(naive.one_value(dtype), min_size=2))
    def check(seed, few):
        generator = np.random.default_rng(seed)
        vectors = generator.choice(np.array(few, dtype), size=(n, 37))
        result, clean = compiled.run(rule, 0 if rule == compiled.MEDIAN else f, vectors, fewest=0)
        assert clean
        assert result.dtype == vectors.dtype
        assert bits(result) == bits(_PLAIN[rule](vectors, f))

    check()


@pytest.mark.parametrize("rule", _PLAIN)
@pytest.mark.parametrize(("n", "dtype"), [(4, "float32"), (4, "float64"), (10, "float32")])
def test_same_bits_on_awkward_values(rule, dtype, n):
    numba()
    vectors = np.random.default_rng(3).choice(np.array(naive.awkward(dtype), dtype), (n, 5000))
    f = 0 if rule == compiled.MEDIAN else (n - 1) // 3
    result, clean = compiled.run(rule, f, vectors, fewest=0)
    assert clean
    assert bits(result) == bits(_PLAIN[rule](vectors, f))


@pytest.mark.parametrize("rule", _PLAIN)
def test_large_arrays_are_compiled_and_agree(rule, monkeypatch):
    numba()
    vectors = np.random.default_rng(4).normal(size=(4, compiled.FEWEST_VALUES)).astype(np.float32)
    taken = []
    kernel = compiled._kernel
    monkeypatch.setattr(compiled, "_kernel", lambda *key: taken.append(key) or kernel(*key))
    fast = _PLAIN[rule](vectors, 1)
    f = 0 if rule == compiled.MEDIAN else 1
    assert taken == [(rule, 4, f, "float32")]
    monkeypatch.setattr(compiled, "run", lambda *_: None)
    assert bits(_PLAIN[rule](vectors, 1)) == bits(fast)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_noticed_wherever_it_stands(dtype, bad):
    numba()
    for row in range(4):
        for column in range(40):
            vectors = np.full((4, 40), np.finfo(dtype).max, dtype)
            assert compiled.run(compiled.MEDIAN, 0, vectors, fewest=0)[1]
            vectors[row, column] = bad
            assert not compiled.run(compiled.MEDIAN, 0, vectors, fewest=0)[1]


def test_arrays_of_every_layout():
    numba()
    vectors = np.random.default_rng(5).normal(size=(8, 300)).astype(np.float32)
    shifted = np.empty(8 * 300 * 4 + 1, np.uint8)[1:].view(np.float32).reshape(8, 300)
    shifted[...] = vectors
    locked = vectors.copy()
    locked.flags.writeable = False
    for other in (shifted, locked, np.asfortranarray(vectors), vectors[::-1], vectors[:, ::3]):
        result, _ = compiled.run(compiled.TRIMMED, 2, other, fewest=0)
        assert bits(result) == bits(coordinate.trimmed_of(np.array(other), 2))


@pytest.mark.parametrize(
    ("n", "dtype"), [(1, "float32"), (compiled.MAX_REPLICAS + 1, "float32"), (4, "float16")]
)
def test_no_kernel_where_none_is_made(n, dtype):
    assert compiled.run(compiled.MEDIAN, 0, np.zeros((n, 5), dtype), fewest=0) is None


def test_small_arrays_are_left_to_numpy():
    assert compiled.run(compiled.MEDIAN, 0, np.zeros((4, 5))) is None


def test_kernels_can_be_prepared():
    numba()
    compiled._kernel.cache_clear()
    compiled.prepare(compiled.MEDIAN, 4, dtype="float64")
    compiled.run(compiled.MEDIAN, 0, np.zeros((4, 5)), fewest=0)
    assert compiled._kernel.cache_info().misses == 1


@pytest.mark.parametrize("rule", [compiled.MEDIAN, compiled.TRIMMED])
def test_no_liar_makes_a_prepared_server_compile(rule, monkeypatch):
    asked = []
    monkeypatch.setattr(compiled, "available", lambda: True)
    monkeypatch.setattr(compiled, "_kernel", lambda *key: asked.append(key))
    compiled.prepare(rule, 7, 2)
    compiled.prepare(rule, 18, 5)
    prepared, asked = asked[:], []
    assert prepared[:3] == [
        (rule, 7 - d, 0 if rule == compiled.MEDIAN else 2 - d, "float32") for d in range(3)
    ]
    assert [key[1] for key in prepared[3:]] == [16, 15, 14, 13]


def test_what_is_left_without_broken_rows_was_prepared(monkeypatch):
    numba()
    vectors = (
        np.random.default_rng(7).normal(size=(7, 3, compiled.FEWEST_VALUES)).astype(np.float32)
    )
    vectors[0, 1:, 0], vectors[1, 2, 0] = np.nan, np.inf
    compiled._kernel.cache_clear()
    compiled.prepare(compiled.TRIMMED, 7, 2)
    before = compiled._kernel.cache_info().misses
    assert fuse(vectors, "trimmed_mean", 2).dropped.tolist() == [2, 1, 0, 0, 0, 0, 0]
    assert compiled._kernel.cache_info().misses == before == 3


@pytest.mark.parametrize(
    ("rule", "n", "f", "dtype", "message"),
    [
        ("krum", 7, 2, "float32", "no kernel for rule 'krum' on 'float32'; give one of 'median'"),
        (compiled.MEDIAN, 4, 1, "float16", "no kernel for rule 'median' on 'float16'"),
        (compiled.MEDIAN, 1, 0, "float32", "no kernel for n = 1, f = 0"),
        (compiled.MEDIAN, 17, 0, "float32", r"no kernel for n = 17, f = 0; give 2 <= n <= 16 \+ f"),
        (compiled.TRIMMED, 4, 2, "float32", "no kernel for n = 4, f = 2"),
        (compiled.TRIMMED, 4, -1, "float32", "no kernel for n = 4, f = -1"),
    ],
)
def test_kernels_that_are_not_made_are_refused(rule, n, f, dtype, message):
    with pytest.raises(UsageError, match=message):
        compiled.prepare(rule, n, f, dtype=dtype)


def test_without_numba_numpy_does_it(no_numba):
    assert not compiled.available()
    vectors = np.random.default_rng(6).normal(size=(4, compiled.FEWEST_VALUES)).astype(np.float32)
    assert compiled.run(compiled.MEDIAN, 0, vectors) is None
    assert bits(coordinate.median_of(vectors)) == bits(coordinate.median_of(vectors[::-1]))
    with pytest.raises(OperationalError, match=r'pip install "quorate\[fast\]"$'):
        compiled.prepare(compiled.MEDIAN, 4)
