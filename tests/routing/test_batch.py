"""Votes of many tokens at once, beside a plain count and against replicas that lie."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.quorum import quorum_size, tolerated_faults
from quorate.routing import route_batch, rules_batch
from quorate.routing.rules_batch import sorting_network
from tests.routing import naive_batch

TYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]


def same_as_naive(votes, got, experts, faults=None):
    quorum = quorum_size(len(votes), faults)
    tokens, dissent, void = naive_batch.route_batch(votes, experts, quorum)
    assert list(zip(got.expert.tolist(), got.count.tolist(), strict=True)) == tokens
    assert got.consensus.tolist() == [count >= quorum for _, count in tokens]
    assert got.dissent.tolist() == dissent
    assert got.void.tolist() == void
    assert got.quorum == quorum


@pytest.mark.parametrize("replicas", range(1, 6))
@pytest.mark.parametrize("experts", [1, 2, 3])
def test_every_column_of_votes_counts_as_by_hand(replicas, experts):
    # -1 and `experts` are void: all columns of all votes, one token each.
    columns = list(itertools.product(range(-1, experts + 1), repeat=replicas))
    votes = np.array(columns, dtype=np.int64).T
    for faults in range(tolerated_faults(replicas) + 1):
        got = route_batch(votes, experts=experts, faults=faults)
        same_as_naive(votes.tolist(), got, experts, faults)


edges = [0, 1, 2, 126, 127, 128, 254, 255, 256, 2**15, 2**16, 2**31, 2**63 - 1, 2**63, 2**64 - 1]


@st.composite
def batches(draw):
    kind = np.dtype(draw(st.sampled_from(TYPES)))
    bounds = np.iinfo(kind)
    pool = [v for v in [*edges, -1, -2, -128, -(2**63)] if bounds.min <= v <= bounds.max]
    choices = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4))
    replicas = draw(st.integers(1, 9))
    tokens = draw(st.integers(1, 6))
    rows = st.lists(st.sampled_from(choices), min_size=tokens, max_size=tokens)
    return np.array([draw(rows) for _ in range(replicas)], dtype=kind)


@given(batches(), st.none() | st.sampled_from([1, 2, 127, 128, 255, 256, 257, 2**40, 2**70]))
def test_any_width_of_votes_counts_as_by_hand(votes, experts):
    before = votes.copy()
    same_as_naive(votes.tolist(), route_batch(votes, experts=experts), experts)
    assert np.array_equal(votes, before)


@given(st.data())
def test_rows_of_different_widths_count_as_by_hand(data):
    replicas, tokens = data.draw(st.integers(1, 7)), data.draw(st.integers(1, 5))
    rows = []
    for _ in range(replicas):
        kind = np.iinfo(data.draw(st.sampled_from(TYPES)))
        pool = [v for v in [0, 1, 255, 2**63, 2**64 - 1, -1] if kind.min <= v <= kind.max]
        values = data.draw(st.lists(st.sampled_from(pool), min_size=tokens, max_size=tokens))
        rows.append(np.array(values, dtype=kind.dtype))
    experts = data.draw(st.none() | st.sampled_from([1, 2, 256]))
    got = route_batch(rows, experts=experts)
    same_as_naive([row.tolist() for row in rows], got, experts)
    swapped = [row.astype(row.dtype.newbyteorder()) for row in rows]
    same_as_naive([row.tolist() for row in rows], route_batch(swapped, experts=experts), experts)


def test_a_vote_that_is_no_int64_is_void_whatever_the_number_of_experts():
    got = route_batch(np.array([[2**63]], dtype=np.uint64), experts=2**70)
    assert (got.expert.tolist(), got.void.tolist()) == ([-1], [1])


def test_lists_may_hold_integers_beyond_every_width():
    got = route_batch([[3, 2**70], [3, -(2**70)], [3, 2**63 - 1], [2**64, 2**63 - 1]])
    assert got.expert.tolist() == [3, -1]
    assert got.count.tolist() == [3, 2]
    assert got.void.tolist() == [1, 1, 0, 1]


@settings(max_examples=60)
@given(st.integers(1, 64), st.integers(0, 2**32))
def test_up_to_64_replicas_and_blocks_of_any_size_count_as_by_hand(replicas, seed):
    generator = np.random.default_rng(seed)
    votes = generator.integers(-1, 3, (replicas, 8))
    votes[: generator.integers(0, replicas + 1)] = 1
    same_as_naive(votes.tolist(), route_batch(votes, experts=2), 2)


def test_many_blocks_make_the_same_as_one(monkeypatch):
    votes = np.random.default_rng(5).integers(-1, 4, (7, 5000))
    votes[:4] = votes[0]
    whole = route_batch(votes, experts=3)
    monkeypatch.setattr(rules_batch, "_LEAST_BLOCK", 64)
    monkeypatch.setattr(rules_batch, "_BLOCK_BYTES", 7 * 11 * 128)
    done = []
    parts = route_batch(votes, experts=3, progress=done.append)
    assert len(done) > 10
    assert done[-1] == 5000
    assert done == sorted(set(done))
    for name in ("expert", "count", "consensus", "dissent", "void"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


def test_votes_may_be_mapped_from_a_file(tmp_path):
    votes = np.random.default_rng(6).integers(0, 3, (4, 999)).astype(np.uint8)
    votes.tofile(tmp_path / "votes")
    mapped = np.memmap(tmp_path / "votes", dtype=np.uint8, mode="r", shape=votes.shape)
    same_as_naive(votes.tolist(), route_batch(mapped, experts=3), 3)


@given(st.data())
def test_the_order_of_replicas_never_changes_the_outcome(data):
    votes = data.draw(batches())
    order = data.draw(st.permutations(range(len(votes))))
    one, other = route_batch(votes), route_batch(votes[list(order)])
    for name in ("expert", "count", "consensus"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert np.array_equal(one.dissent[list(order)], other.dissent)
    assert np.array_equal(one.void[list(order)], other.void)


def misrouted(replicas):
    """Over everything f liars can say: is another expert given where the honest agree?"""
    f = tolerated_faults(replicas)
    lies = np.array(list(itertools.product(range(-1, 3), repeat=f)), dtype=np.int64).T
    votes = np.zeros((replicas, 4**f), dtype=np.int64)
    votes[:f] = lies
    got = route_batch(votes, experts=2)
    return bool(((got.expert != 0) & (got.expert != -1)).any()) or not got.consensus.all()


def split(replicas):
    """Honest replicas that do not agree, and liars: does one without their majority win?"""
    f = tolerated_faults(replicas)
    honest = replicas - f
    for zeros in range(honest + 1):
        rows = [0] * zeros + [1] * (honest - zeros) + [1] * f
        got = route_batch(np.array(rows)[:, None], experts=2)
        if got.expert[0] == 1 and 2 * (honest - zeros) <= honest:
            return True
    return False


@pytest.mark.parametrize("replicas", [4, 6, 7, 10, 13])
def test_liars_never_choose_the_expert(replicas):
    assert not misrouted(replicas)
    assert not split(replicas)


# Up to six replicas a majority happens to be a quorum.
@pytest.mark.parametrize("replicas", [7, 10, 13])
def test_with_a_plain_majority_liars_choose(replicas, monkeypatch):
    class Majority:
        def __init__(self, n, faults=None):
            self.size, self.faults = n // 2 + 1, tolerated_faults(n)

    monkeypatch.setattr(rules_batch, "Quorum", Majority)
    assert split(replicas)


@pytest.mark.parametrize("count", range(1, 13))
def test_the_network_sorts_all_zeros_and_ones(count):
    for bits in itertools.product((0, 1), repeat=count):
        row = list(bits)
        for low, high in sorting_network(count):
            row[low], row[high] = min(row[low], row[high]), max(row[low], row[high])
        assert row == sorted(bits)


@pytest.mark.parametrize(
    ("votes", "options", "kind", "words"),
    [
        (np.zeros((4, 3)), {}, UsageTypeError, "float64"),
        (np.zeros((4, 3), bool), {}, UsageTypeError, "bool"),
        ([[True, 1], [1, 1]], {}, UsageTypeError, "True"),
        ([[1.0], [1]], {}, UsageTypeError, "1.0"),
        (["12", "34"], {}, UsageTypeError, "votes"),
        (np.ma.masked_equal([[1, 2]], 1), {}, UsageTypeError, "masked"),
        ([[1, 2], [1]], {}, UsageError, r"votes\[1\] has 1"),
        ([], {}, UsageError, "shape"),
        (np.zeros((4, 0), int), {}, UsageError, "no token"),
        (np.zeros((65, 2), int), {}, UsageError, "65 replicas; give 1 to 64: the first axis"),
        (np.zeros((0, 2), int), {}, UsageError, "0 replicas"),
        (np.zeros(4, int), {}, UsageError, "shape"),
        ([np.zeros((2, 2), int)], {}, UsageError, "shape"),
        (np.zeros((4, 2), int), {"experts": 0}, UsageError, "experts is 0"),
        (np.zeros((4, 2), int), {"experts": True}, UsageTypeError, "experts is True"),
        (np.zeros((4, 2), int), {"experts": 2.0}, UsageTypeError, "experts is 2.0"),
        (np.zeros((4, 2), int), {"faults": 2}, UsageError, "faults is 2"),
        (np.zeros((4, 2), int), {"faults": np.int64(2)}, UsageError, "faults is 2"),
        (np.zeros((4, 2), int), {"faults": True}, UsageTypeError, "faults is True"),
        (np.zeros((4, 2), int), {"faults": 1.0}, UsageTypeError, "faults is 1.0"),
    ],
)
def test_what_cannot_be_counted_is_refused(votes, options, kind, words):
    with pytest.raises(kind, match=words):
        route_batch(votes, **options)


def test_whole_numbers_of_numpy_are_whole_numbers():
    votes = np.array([[2, 0], [2, 0], [2, 3], [7, 5]])
    got = route_batch(votes, experts=np.int32(7), faults=np.uint8(1))
    assert (got.expert.tolist(), got.void.tolist()) == ([2, -1], [0, 0, 0, 1])
    assert type(got.faults) is int
