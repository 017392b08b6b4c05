"""Krum and Multi-Krum against an exact twin, and what the float32 Gram form gets wrong."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError, UsageTypeError
from quorate.fusion import krum, krum_compiled, multi_krum
from quorate.fusion.rules.distances import squared_distances
from quorate.fusion.rules.krum import krum_of
from tests.fusion import naive_distance as naive


@st.composite
def small(draw):
    """Rows of small whole numbers, where equal scores are common and all sums exact."""
    f = draw(st.integers(0, 2))
    n = draw(st.integers(2 * f + 3, 8))
    length = draw(st.integers(1, 3))
    values = st.integers(-2, 2).map(float)
    rows = draw(
        st.lists(st.lists(values, min_size=length, max_size=length), min_size=n, max_size=n)
    )
    return rows, f


@given(small(), st.sampled_from([None, 1, 2, -1]))
@settings(max_examples=150, deadline=None)
def test_krum_chooses_what_exact_arithmetic_chooses(case, neighbours):
    rows, f = case
    near = len(rows) - f - 1 if neighbours == -1 else neighbours
    assert krum(rows, f, neighbours=near).tolist() == naive.krum(rows, f, near)


@given(small(), st.data())
@settings(max_examples=100, deadline=None)
def test_multi_krum_averages_what_exact_arithmetic_chooses(case, data):
    rows, f = case
    m = data.draw(st.one_of(st.none(), st.integers(1, len(rows) - f)))
    assert multi_krum(rows, f, m) == pytest.approx(naive.multi_krum(rows, f, m), abs=1e-12)


@given(small(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_the_order_of_replicas_changes_no_bit(case, shuffler):
    rows, f = case
    turned = shuffler.sample(rows, len(rows))
    for rule in (krum, multi_krum):
        assert rule(turned, f).tobytes() == rule(rows, f).tobytes()


def _offset(trial, n=10, length=400):
    drawn = np.random.default_rng(trial).normal(300.0, 0.05, size=(n, length))
    return drawn.astype(np.float32)


def _gram_choice(rows, near):
    """The form that libraries use, in the rows' own float32."""
    norms = (rows * rows).sum(axis=1)
    distances = norms[:, None] + norms[None, :] - 2 * (rows @ rows.T)
    return int(np.argmin(np.sort(distances, axis=1)[:, : near + 1].sum(axis=1)))


def _wide_choice(rows, near):
    wide = rows.astype(np.longdouble)
    distances = ((wide[:, None] - wide[None]) ** 2).sum(axis=-1)
    return int(np.argmin(np.sort(distances, axis=1)[:, : near + 1].sum(axis=1)))


def test_a_common_offset_misleads_the_gram_form_and_not_krum():
    wrong = gram_wrong = 0
    for trial in range(200):
        rows = _offset(trial)
        right = _wide_choice(rows, 6)
        wrong += krum(rows, 2).tobytes() != rows[right].tobytes()
        gram_wrong += _gram_choice(rows, 6) != right
    assert wrong == 0
    assert gram_wrong > 100, "the offset no longer shows what differences are for"


def test_long_double_agrees_with_exact_rationals_there():
    for trial in range(2):
        rows = _offset(trial, length=60)
        exact = naive.krum(rows.tolist(), 2)
        assert rows[_wide_choice(rows, 6)].tolist() == exact == krum(rows, 2).tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_chosen_row_comes_back_bit_for_bit(dtype):
    rows = np.random.default_rng(1).normal(size=(7, 40, 5)).astype(dtype)
    fused = krum(rows, 2)
    assert fused.dtype == dtype
    for token in range(40):
        assert fused[token].tobytes() in {row[token].tobytes() for row in rows}


def test_every_token_gets_what_it_would_get_alone():
    rows = np.random.default_rng(2).normal(size=(7, 60, 3)).round(1)
    fused = krum(rows, 2)
    assert fused.tolist() == [naive.krum(rows[:, token].tolist(), 2) for token in range(60)]


def test_scores_that_tie_are_decided_by_the_rows():
    rows = [[0.0], [0.0], [1.0], [1.0], [3.0]]
    assert krum(rows, 1).tolist() == [0.0]
    assert krum(rows[::-1], 1).tolist() == [0.0]


def test_the_two_conventions_differ_and_each_has_its_own_count():
    rows = [[0.0], [1.0], [2.2], [3.1], [10.0]]
    assert krum(rows, 1).tolist() == naive.krum(rows, 1, 2) == [2.2]
    found = {near: krum(rows, 1, neighbours=near)[0] for near in (1, 2, 3, 4)}
    assert found == {near: naive.krum(rows, 1, near)[0] for near in found}
    assert len(set(found.values())) > 1


def test_memory_stays_bounded_whatever_the_length():
    rows = np.zeros((10, 1, 300_000), dtype=np.float32)
    squared_distances(rows[:5])  # a compiler, where there is one, has its memory first
    tracemalloc.start()
    try:
        squared_distances(rows)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000, "more than a few blocks beside 12 MB of input"


def test_distances_are_symmetric_and_right():
    rows = np.random.default_rng(3).normal(size=(5, 2, 9000))
    found = squared_distances(rows)
    assert (found == found.transpose(1, 0, 2)).all()
    assert not found[range(5), range(5)].any()
    expected = ((rows[:, None] - rows[None]) ** 2).sum(axis=-1)
    assert found == pytest.approx(expected, rel=1e-12)


def test_values_whose_squares_overflow_rank_last():
    rows = np.array([[1.0], [1.1], [0.9], [1e300], [1.05]])
    assert krum(rows, 1).tolist() == naive.krum(rows.tolist(), 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda rows: krum(rows, 1), "krum with 1 liar needs at least 5 replicas; there are 4"),
        (lambda rows: multi_krum(rows, 3), "needs at least 9 replicas; there are 4"),
        (lambda rows: krum(rows, 0, neighbours=4), "neighbours is 4; it lies between 1 and 3"),
        (lambda rows: krum(rows, 0, neighbours=0), "neighbours is 0"),
        (lambda rows: multi_krum(rows, 0, 5), "m is 5; it lies between 1 and 4"),
    ],
)
def test_what_cannot_be_is_refused(call, words):
    with pytest.raises(UsageError, match=words):
        call(np.zeros((4, 2)))


def test_a_count_that_is_no_whole_number_is_refused():
    with pytest.raises(UsageTypeError, match="f is True"):
        krum(np.zeros((5, 2)), True)


def test_compiled_distances_are_the_same_to_rounding():
    pytest.importorskip("numba", reason="needs quorate[fast]")
    drawn = np.random.default_rng(4)
    for dtype in (np.float32, np.float64):
        rows = drawn.normal(size=(7, 2, krum_compiled.SHORTEST + 5)).astype(dtype)
        rows[3] = rows[1]
        assert krum_compiled.applies(rows)
        found = squared_distances(rows)
        assert found == pytest.approx(
            ((rows[:, None].astype(float) - rows[None]) ** 2).sum(axis=-1), rel=1e-12
        )
        assert not found[1, 3].any()
        assert krum_of(rows, 2)[0].tobytes() in {row[0].tobytes() for row in rows}


def test_without_numba_long_rows_go_the_plain_way(monkeypatch):
    monkeypatch.setattr(krum_compiled, "available", lambda: False)
    monkeypatch.setattr(krum_compiled, "add_distances", None)
    rows = np.random.default_rng(5).normal(size=(5, krum_compiled.SHORTEST))
    assert krum(rows, 1).tobytes() in {row.tobytes() for row in rows}
