"""The base gate, beside plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError, UsageTypeError
from quorate.routing import (
    assign,
    load_balancing_loss,
    noisy_top_k,
    softmax,
    top_k,
    z_loss,
)
from tests.routing import naive_batch

KINDS = [np.float16, np.float32, np.float64]


@st.composite
def tables(draw, masked=False):
    """Scores [T, E] with many ties, zeros of both signs, and some masked if asked for."""
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    scores = generator.integers(-2, 3, shape).astype(draw(st.sampled_from(KINDS)))
    scores[scores == 0] *= -1
    if masked:
        scores[generator.random(shape) < draw(st.sampled_from([0.0, 0.2]))] = -np.inf
    return scores


@given(tables(masked=True), st.data())
def test_top_k_takes_the_lowest_index_of_equals(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    experts, values = top_k(scores, k)
    assert experts.tolist() == [naive_batch.best(row, k) for row in scores.tolist()]
    assert np.array_equal(values, np.take_along_axis(scores, experts, -1))
    assert values.dtype == scores.dtype


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_top_k_orders_all_floats(row):
    experts, _ = top_k(np.array([row], dtype=np.float32), len(row))
    assert experts[0].tolist() == naive_batch.best(row, len(row))


@given(tables())
def test_softmax_is_that_of_the_book(scores):
    wanted = [naive_batch.softmax(row) for row in scores.tolist()]
    np.testing.assert_allclose(softmax(scores), wanted, rtol=2e-3 if scores.itemsize < 4 else 1e-5)


def test_softmax_bears_great_scores_and_masks():
    np.testing.assert_allclose(softmax(np.array([1e300, 1e300, -np.inf])), [0.5, 0.5, 0])


@given(tables(), st.integers(0, 2**32), st.sampled_from([0.0, 1.0, 3]))
def test_noisy_top_k_adds_the_callers_noise(scores, seed, spread):
    noise = np.random.default_rng(seed).normal(size=scores.shape).astype(scores.dtype)
    k = min(2, scores.shape[1])
    experts, weights = noisy_top_k(scores, noise, k, spread=spread)
    noisy = (scores + noise * spread).tolist()
    chosen = [naive_batch.best(row, k) for row in noisy]
    assert experts.tolist() == chosen
    wanted = [
        naive_batch.softmax([row[e] for e in mine]) for row, mine in zip(noisy, chosen, strict=True)
    ]
    np.testing.assert_allclose(weights, wanted, rtol=5e-3 if scores.itemsize < 4 else 1e-5)


@settings(max_examples=300)
@given(tables(masked=True), st.data())
def test_tokens_go_where_a_plain_loop_sends_them(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    capacity = data.draw(st.integers(1, 13))
    got = assign(scores, k, capacity)
    wanted = naive_batch.assign(scores.tolist(), k, capacity)
    experts, places, load = got.experts.tolist(), got.places.tolist(), got.load.tolist()
    assert (experts, places, load, got.dropped, got.rerouted) == wanted


def test_nothing_is_dropped_while_an_expert_has_room():
    scores = np.tile([9.0, 5.0, 1.0], (6, 1))
    got = assign(scores, 1, 2)
    assert got.experts[:, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert (got.dropped, got.rerouted) == (0, 4)
    crowded = assign(scores, 2, 3)
    assert crowded.load.tolist() == [3, 3, 3]
    assert crowded.dropped == 12 - 9


@given(tables(), st.data())
def test_losses_are_those_of_the_book(scores, data):
    k = data.draw(st.integers(1, scores.shape[1]))
    probabilities = softmax(scores.astype(np.float64))
    experts, _ = top_k(scores, k)
    experts = np.where(np.random.default_rng(k).random(experts.shape) < 0.2, -1, experts)
    for form in ("switch", "gshard"):
        loss = load_balancing_loss(probabilities, experts, form=form)
        counted = experts[:, :1] if form == "gshard" else experts
        if counted.max() < 0:
            assert loss == 0
            continue
        wanted = naive_batch.load_balancing_loss(probabilities.tolist(), experts.tolist(), form)
        assert math.isclose(loss, wanted, rel_tol=1e-9)
    wanted = naive_batch.z_loss(scores.tolist())
    assert math.isclose(z_loss(scores), wanted, rel_tol=1e-5, abs_tol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("form", ["switch", "gshard"])
def test_an_even_load_costs_exactly_one(k, form):
    logits = np.array([np.roll([3.0, 2.0, 1.0, 0.0], turn) for turn in range(4)])
    experts, _ = top_k(logits, k)
    assert math.isclose(load_balancing_loss(softmax(logits), experts, form=form), 1.0)
    lopsided = np.tile([50.0, 0.0, 0.0, 0.0], (4, 1))
    worst = load_balancing_loss(softmax(lopsided), top_k(lopsided, 1)[0], form=form)
    assert math.isclose(worst, 4.0)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint64, np.int8])
def test_chosen_experts_may_be_of_any_width(kind):
    even = np.full((2, 3), 1 / 3)
    experts = np.array([[0], [2]])
    assert load_balancing_loss(even, experts.astype(kind)) == load_balancing_loss(even, experts)
    with pytest.raises(UsageError, match=r"beyond (0|-1) to 2"):
        load_balancing_loss(even, np.array([[3], [np.iinfo(kind).max]], dtype=kind))


def test_room_beyond_all_tokens_is_no_more_room():
    scores = np.random.default_rng(1).normal(size=(5, 3))
    endless, enough = assign(scores, 2, 2**70), assign(scores, 2, 5)
    assert endless.experts.tolist() == enough.experts.tolist()
    assert endless.places.tolist() == enough.places.tolist()
    assert (endless.dropped, endless.capacity) == (0, 2**70)


def test_whole_numbers_of_numpy_are_whole_numbers():
    scores = np.random.default_rng(2).normal(size=(5, 3))
    assert top_k(scores, np.int64(2))[0].tolist() == top_k(scores, 2)[0].tolist()
    one = assign(scores, np.uint8(2), np.int32(3))
    assert one.places.tolist() == assign(scores, 2, 3).places.tolist()


def test_the_greatest_floats_raise_no_warning():
    for kind in KINDS:
        most = np.finfo(kind).max
        scores = np.array([[most, -most, -np.inf]], kind)
        assert softmax(scores).tolist() == [[1, 0, 0]]
        assert noisy_top_k(scores, np.zeros_like(scores), 2)[1].tolist() == [[1, 0]]
        assert z_loss(scores) > 0


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda x: top_k(x, 0), UsageError, "k is 0"),
        (lambda x: top_k(x, 4), UsageError, "k is 4"),
        (lambda x: top_k(x, 1.0), UsageTypeError, "k is 1.0"),
        (lambda x: top_k([1.0], 1), UsageTypeError, "list"),
        (lambda x: top_k(x.astype(int), 1), UsageTypeError, "int64"),
        (lambda x: top_k(x * np.nan, 1), UsageError, "NaN"),
        (lambda x: softmax(x + np.inf), UsageError, "NaN or"),
        (lambda x: softmax(x - np.inf), UsageError, "-inf throughout"),
        (lambda x: softmax(x[:0]), UsageError, "shape"),
        (lambda x: z_loss(x - np.inf), UsageError, "-inf throughout"),
        (lambda x: noisy_top_k(x, x[:1], 1), UsageError, "one number per logit"),
        (lambda x: noisy_top_k(x, x, 1, spread=-1.0), UsageError, "below 0"),
        (lambda x: noisy_top_k(x, x, 1, spread=np.full(3, np.nan)), UsageError, "below 0"),
        (lambda x: noisy_top_k(x, x, 1, spread=[1, 1, 1]), UsageTypeError, "spread is"),
        (lambda x: noisy_top_k(x, x, 1, spread="a"), UsageTypeError, "spread is 'a'"),
        (lambda x: noisy_top_k(x, x, 1, spread=True), UsageTypeError, "spread is True"),
        (lambda x: noisy_top_k(x, x, 1, spread=np.ones(2)), UsageError, r"spread has shape \(2,\)"),
        (lambda x: noisy_top_k(x[:1], x[:1], 1, spread=x[:, :1]), UsageError, "broadcast"),
        (lambda x: noisy_top_k(x, x, 1, spread=np.ones((1, 2, 3))), UsageError, "broadcast"),
        (lambda x: assign(x[0], 1, 1), UsageError, "tokens, experts"),
        (lambda x: assign(x, 1, 0), UsageError, "capacity is 0"),
        (lambda x: assign(x, 1, 1.5), UsageTypeError, "capacity is 1.5"),
        (lambda x: load_balancing_loss(x, x), UsageTypeError, "integers"),
        (lambda x: load_balancing_loss(x, np.array([[0]])), UsageError, "one row of each"),
        (lambda x: load_balancing_loss(x, np.array([[0], [3]])), UsageError, "beyond"),
        (lambda x: load_balancing_loss(x, np.array([[0], [1]]), form="x"), UsageError, "form"),
    ],
)
def test_what_has_no_meaning_is_refused(call, kind, words):
    with pytest.raises(kind, match=words):
        call(np.zeros((2, 3)))
