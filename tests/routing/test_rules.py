from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import MisbehaviourError, UsageError
from quorate.routing.rules import Ballot, Round, cast, cast_all, close, verdict

from .naive import run

EXPERTS = {"A": 1, "B": 2}
VOID = "V"
STRANGER = "zed"


def opened(n, faults=None):
    return Round("s", 1, "0" * 64, Ballot([f"r{i}" for i in range(n)], EXPERTS, faults))


def play(state, casts):
    for replica, proposal in casts:
        if replica == STRANGER:
            with pytest.raises(MisbehaviourError, match=STRANGER):
                cast(state, replica, proposal)
        else:
            state = cast(state, replica, proposal)
    return state


def same_as_naive(state, casts):
    end = play(state, casts)
    assert cast_all(state, [(r, p) for r, p in casts if r != STRANGER]) == end
    decided, votes, equivocating = run(state.roster, state.quorum.size, EXPERTS, casts)
    assert end.decided == decided
    assert dict(end.votes) == votes
    assert set(end.equivocations) == equivocating
    found = verdict(end)
    assert found.consensus == (decided is not None)
    assert found.equivocating == tuple(sorted(equivocating))
    assert found.void == tuple(sorted(r for r, v in votes.items() if v not in EXPERTS))
    if decided is not None:
        assert found.leader == decided
        assert found.votes == sum(v == decided for v in votes.values()) >= state.quorum.size
        assert found.dissenting == tuple(sorted(r for r, v in votes.items() if v != decided))
    else:
        assert found.dissenting == ()
        counts = {x: sum(v == x for v in votes.values()) for x in EXPERTS}
        best = max(counts.values())
        assert found.votes == best
        assert found.leader == (min(x for x in counts if counts[x] == best) if best else None)
    return end


def test_every_sequence_of_four_casts_of_four_replicas_agrees_with_the_naive_rules():
    moves = [(f"r{i}", p) for i in range(4) for p in ("A", "B", VOID)] + [(STRANGER, "A")]
    state = opened(4)
    for casts in product(moves, repeat=3):
        same_as_naive(state, casts)
    # By symmetry the first two casts may be fixed to those of the first two replicas.
    for rest in product(moves, repeat=3):
        same_as_naive(state, [("r0", "A"), ("r1", "A"), *rest])


CASTS = st.lists(
    st.tuples(
        st.sampled_from([*(f"r{i}" for i in range(7)), STRANGER]),
        st.sampled_from(["A", "A", "B", VOID, "W"]),
    ),
    max_size=24,
)


@given(CASTS, st.sampled_from([1, 2, 3, 4, 5, 6, 7]), st.data())
def test_any_casts_agree_with_the_naive_rules(casts, n, data):
    state = opened(n, data.draw(st.integers(0, (n - 1) // 3)))
    casts = [(r, p) for r, p in casts if r in state.roster or r == STRANGER]
    end = same_as_naive(state, casts)
    known = [(r, p) for r, p in casts if r != STRANGER]
    assert cast_all(state, known, closing=True) == close(end)


def every_order_decides_alike(state, casts):
    decided = {play(state, order).decided for order in permutations(casts)}
    assert len(decided - {None}) <= 1
    return decided


def test_with_one_liar_in_four_no_order_decides_differently():
    """Every honest assignment and every pair of votes of the liar, in every order."""
    for honest in product(("A", "B", VOID), repeat=3):
        casts = [(f"r{i}", vote) for i, vote in enumerate(honest)]
        for pair in (("A", "B"), ("A", VOID), ("A", "A")):
            every_order_decides_alike(opened(4), [*casts, ("r3", pair[0]), ("r3", pair[1])])


def test_without_equivocation_every_order_decides_the_same():
    for honest in product(("A", "B", VOID), repeat=4):
        casts = [(f"r{i}", vote) for i, vote in enumerate(honest)]
        ends = {verdict(play(opened(4), order)) for order in permutations(casts)}
        assert len(ends) == 1


@given(st.integers(1, 10), st.data())
def test_up_to_f_equivocators_never_make_two_decisions(n, data):
    state = opened(n)
    liars = state.quorum.faults
    casts = [(f"r{i}", data.draw(st.sampled_from("AB"))) for i in range(n)]
    casts += [(f"r{i}", p) for i in range(liars) for p in "AB"]
    one = play(state, data.draw(st.permutations(casts))).decided
    two = play(state, data.draw(st.permutations(casts))).decided
    assert len({one, two} - {None}) <= 1


def test_six_split_three_three_and_three_that_all_differ_decide_nothing():
    six = [(f"r{i}", "A" if i < 3 else "B") for i in range(6)]
    assert verdict(play(opened(6), six)).consensus is False
    three = [("r0", "A"), ("r1", "B"), ("r2", VOID)]
    assert verdict(play(opened(3), three)).consensus is False


def test_a_stranger_is_named_and_takes_the_whole_lot_down():
    state = cast(opened(4), "r0", "A")
    with pytest.raises(MisbehaviourError, match="zed: not a member of round 1") as caught:
        cast_all(state, [("r1", "A"), (STRANGER, "A")])
    assert caught.value.culprit == STRANGER
    assert dict(state.votes) == {"r0": "A"}


def test_what_is_decided_stays_decided():
    state = play(opened(4), [("r0", "A"), ("r1", "A"), ("r2", "A")])
    later = play(state, [("r0", "B"), ("r1", "B"), ("r3", "B"), ("r2", "B")])
    assert later.decided == "A"
    assert set(later.equivocations) == {"r0", "r1", "r2"}
    assert verdict(later).votes == 3


def test_a_withdrawn_vote_does_not_come_back():
    state = play(opened(4), [("r0", "A"), ("r0", "B"), ("r0", "A"), ("r1", "A"), ("r2", "A")])
    assert state.decided is None
    assert dict(state.equivocations) == {"r0": ("A", "B")}
    assert "r0" not in state.votes
    again = [("r0", "A"), ("r1", "A"), ("r0", "B"), ("r2", "A")]
    assert cast_all(opened(4), again).decided is None


def test_a_void_quorum_decides_nothing():
    assert play(opened(4), [(f"r{i}", VOID) for i in range(4)]).decided is None


def test_a_closed_round_takes_no_vote_but_keeps_equivocations():
    state = close(play(opened(4), [("r0", "A"), ("r1", "A")]))
    with pytest.raises(UsageError, match=r"closed.*'r2'"):
        cast(state, "r2", "A")
    later = cast(state, "r1", "B")
    assert dict(later.votes) == {"r0": "A", "r1": "A"}
    assert later.equivocations["r1"] == ("A", "B")
    assert cast(later, "r0", "A") == later


def test_ballots_refuse_what_cannot_vote():
    with pytest.raises(UsageError, match="'a' stands twice"):
        Ballot(["a", "b", "a"], EXPERTS)
    with pytest.raises(UsageError, match="no expert"):
        Ballot(["a"], {})
    with pytest.raises(UsageError, match="at least one replica"):
        Ballot([], EXPERTS)
    with pytest.raises(UsageError, match="bear at most 1"):
        Ballot(["a", "b", "c", "d"], EXPERTS, 2)
