"""First to quorum: against its formulas, and against the full fold in every order of arrival."""

import itertools
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import MAJORITIES, QUORUMS, intake_of, rational, same_again, sent, voters, waiting

from quorate.arbitration import (
    Absence,
    Arbiter,
    Decision,
    FirstToQuorumArbiter,
    Pending,
    Proposal,
    Tally,
    UnderQuorum,
    WeightedQuorumArbiter,
)
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError

LATER = st.integers(0, 5)


def twin(rows, later, quorum, early):
    """What may be committed now, straight from the formulas; the answer or ``None``."""
    quorum = rational(quorum)
    votes, weights, best = {}, {}, {}
    for e, a, c, w in rows:
        if a is not None:
            vote = rational(c) * rational(w)
            votes[a] = votes.get(a, 0) + vote
            weights[a] = weights.get(a, 0) + rational(w)
            best[a] = min(best.get(a, (1, "")), (-vote, e))
    if not votes:
        return None
    leader = min(votes, key=lambda a: (-votes[a], *best[a]))
    rival = max((v for a, v in votes.items() if a != leader), default=Fraction(0))
    pending = sum((rational(w) for _, _, _, w in later), Fraction(0))
    arrived = sum(votes.values()) + sum(rational(w) for _, a, _, w in rows if a is None)
    roster = pending + sum(rational(w) for *_, w in rows)
    total = arrived + (pending if early == "certain" else 0)
    if total == 0 or votes[leader] < quorum * total or weights[leader] < quorum * roster:
        return None
    if early == "certain" and pending and not votes[leader] > rival + pending:
        return None
    return leader


@given(voters(), LATER, QUORUMS, st.sampled_from(["certain", "fast"]), st.randoms())
def test_it_commits_exactly_what_the_formulas_allow(rows, split, quorum, early, rnd):
    here, later = rows[:split], rows[split:]
    arbiter = FirstToQuorumArbiter(quorum, early=early)
    outcome = arbiter.fold(intake_of(here, later))
    expected = twin(here, later, quorum, early)
    assert (outcome.consensus if isinstance(outcome, Decision) else None) == expected
    same_again(outcome)
    rnd.shuffle(here)
    rnd.shuffle(later)
    again = arbiter.fold(intake_of(here, later))
    assert canonical(again.to_dict()) == canonical(outcome.to_dict())


@settings(max_examples=40)
@given(voters(), QUORUMS, st.sampled_from(["certain", "fast"]))
def test_with_nobody_pending_it_is_weighted_quorum(rows, quorum, early):
    one = FirstToQuorumArbiter(quorum, early=early).fold(intake_of(rows))
    other = WeightedQuorumArbiter(quorum).fold(intake_of(rows))
    assert type(one) is type(other)
    for name in ("support_exact", "backing_exact", "engaged", "absent"):
        assert getattr(one, name) == getattr(other, name)
    assert one.trace["groups"] == other.trace["groups"]
    if isinstance(one, Decision):
        assert one.digest == other.digest
        assert one.dissenting == other.dissenting
    else:
        assert (one.reason, one.leader) == (other.reason, other.leader)


def check_arrivals(rows, quorum, arrivals):
    """Hold what is said once ``here`` has arrived, for each, to the full fold."""
    full = WeightedQuorumArbiter(quorum).fold(intake_of(rows))
    arbiter = FirstToQuorumArbiter(quorum)
    for here in arrivals:
        later = [row for row in rows if row not in here]
        outcome = arbiter.fold(intake_of(here, later))
        standing = arbiter.standing(*sent(here), waiting(later))
        assert (standing == "commit") == isinstance(outcome, Decision)
        if standing == "commit":
            assert isinstance(full, Decision)
            assert outcome.trace["groups"][0]["digest"] == full.trace["groups"][0]["digest"]
            assert Fraction(outcome.support_exact) <= Fraction(full.support_exact)
            assert Fraction(outcome.backing_exact) <= Fraction(full.backing_exact)
        elif standing == "refuse":
            assert isinstance(full, Tally)
            assert outcome.reason != "pending"
        else:
            assert later
            assert outcome.reason == "pending"


@pytest.mark.parametrize("quorum", [Fraction(1, 3), 0.5, 0.66, 1])
def test_every_small_roster_in_every_order_of_arrival(quorum):
    choices = [("x", 1, 1), ("x", 0.5, 2), ("y", 1, 1), ("y", 0.5, 0), (None, 1, 1)]
    for size in (1, 2, 3, 4):
        for chosen in itertools.combinations_with_replacement(choices, size):
            rows = [(f"e{i}", *row) for i, row in enumerate(chosen)]
            # Every order of arrival is a way through these subsets, and a fold knows no order.
            subsets = (itertools.combinations(rows, many) for many in range(size + 1))
            check_arrivals(rows, quorum, itertools.chain.from_iterable(subsets))


@settings(max_examples=40)
@given(voters(most=9), QUORUMS, st.randoms())
def test_larger_rosters_in_any_order_of_arrival(rows, quorum, rnd):
    order = rnd.sample(rows, len(rows))
    check_arrivals(rows, quorum, [order[:split] for split in range(len(order) + 1)])


@pytest.mark.parametrize("quorum", [Fraction(1, 3), 0.5, 0.66])
@pytest.mark.parametrize("early", ["certain", "fast"])
def test_standing_is_true_whatever_the_pending_say(quorum, early):
    said = [("x", 1), ("x", 0.5), ("y", 1), ("y", 0), ("z", 1), (None, 1)]
    here_choices = [("x", 1, 2), ("y", 0.5, 2), ("x", 0.5, 1), (None, 1, 1), ("y", 1, 1)]
    full = WeightedQuorumArbiter(quorum)
    arbiter = FirstToQuorumArbiter(quorum, early=early)
    seen = set()
    for size in range(4 if quorum == 0.66 else 3):
        for chosen in itertools.combinations_with_replacement(here_choices, size):
            here = [(f"h{i}", *row) for i, row in enumerate(chosen)]
            later = [("p0", None, 1, 1), ("p1", None, 1, 2)]
            standing = arbiter.standing(*sent(here), waiting(later))
            outcomes = [
                full.fold(
                    intake_of([*here, *((e, a, c, row[3]) for (a, c), (e, *_), row in parts)])
                )
                for parts in (
                    tuple(zip(words, later, later, strict=True))
                    for words in itertools.product(said, repeat=2)
                )
            ]
            seen.add(standing)
            committed = {o.digest for o in outcomes if isinstance(o, Decision)}
            if standing == "refuse":
                assert not committed
            elif standing == "commit" and early == "certain":
                assert len(committed) == 1
                assert all(isinstance(o, Decision) for o in outcomes)
            elif standing == "commit" and quorum > 0.5:
                assert len(committed) <= 1
            elif standing == "open" and quorum > 0.5:
                # Something can still be committed, for with q > 1/2 reaching both is leading.
                assert committed
    assert seen == {"commit", "open"} | ({"refuse"} if quorum > 0.5 else set())


@settings(max_examples=40)
@given(voters(most=8), LATER, MAJORITIES)
def test_fast_never_commits_another_answer_than_the_full_fold(rows, split, quorum):
    here, later = rows[:split], rows[split:]
    outcome = FirstToQuorumArbiter(quorum, early="fast").fold(intake_of(here, later))
    full = WeightedQuorumArbiter(quorum).fold(intake_of(rows))
    if isinstance(outcome, Decision) and isinstance(full, Decision):
        assert outcome.digest == full.digest


def test_fast_commits_where_certain_waits():
    here = [("a", "x", 0.9, 2), ("b", "x", 0.9, 1)]
    later = [("c", "y", 1, 1)]
    certain, fast = (FirstToQuorumArbiter(early=e) for e in ("certain", "fast"))
    shy = [("a", "x", 0.5, 2), ("b", "x", 0.5, 1)]
    assert certain.standing(*sent(shy), waiting(later)) == "open"
    decision = fast.fold(intake_of(shy, later))
    assert decision.support_exact == "1"
    assert "It was committed fast, on what had arrived: c was still pending" in decision.describe()
    early = certain.fold(intake_of(here, later))
    assert early.support_exact == "27/37"
    assert early.backing_exact == "3/4"
    assert "It was committed early: c was still pending (25.0% of the weight)" in early.describe()
    assert early.absent == ()
    assert [one["expert_id"] for one in early.trace["pending"]] == ["c"]


def test_while_it_is_open_arbitrate_refuses_for_pending():
    class Arrived(list):
        pending = (Pending("b", 1), Pending("c", 1))
        absent = (Absence("d", 0.1, "crashed"),)

    arbiter = Arbiter(protocol="first-to-quorum", early="certain")
    assert arbiter.parameters == {"quorum": "33/50", "early": "certain"}
    with pytest.raises(UnderQuorum) as caught:
        arbiter.arbitrate(Arrived([Proposal("a", "x", 1, 1)]))
    assert caught.value.tally.reason == "pending"
    assert "b and c were still pending" in str(caught.value)
    same_again(caught.value.tally)
    empty = arbiter.fold(intake_of([], [("b", None, 1, 1)]))
    assert "nobody has proposed anything yet" in empty.message
    same_again(empty)
    split = [("a", "x", 1, 1), ("b", "y", 1, 1), ("c", "z", 1, 1)]
    hopeless = arbiter.fold(intake_of(split, [("d", None, 1, 0.5)]))
    assert hopeless.reason == "support_and_backing"
    assert "d was still pending (14.3% of the weight) and can lift no answer" in hopeless.message
    same_again(hopeless)


def test_pending_experts_of_no_weight_change_nothing():
    later = [("p", None, 1, 0)]
    arbiter = FirstToQuorumArbiter(0.5)
    tie = [("a", "x", 1, 1), ("b", "y", 1, 1)]
    assert arbiter.standing(*sent(tie), waiting(later)) == "commit"
    assert arbiter.standing([], [], waiting(later)) == "refuse"
    assert arbiter.standing([], [], []) == "refuse"


def test_other_protocols_do_not_decide_over_the_pending():
    with pytest.raises(UsageError, match="1 experts are pending, and weighted-quorum"):
        WeightedQuorumArbiter().fold(intake_of([("a", "x", 1, 1)], [("b", None, 1, 1)]))
    for bad in ("late", None, 7):
        with pytest.raises(UsageError, match="early is"):
            FirstToQuorumArbiter(early=bad)


def test_a_pending_expert_is_nothing_else():
    proposals, pending = [Proposal("a", 1, 1, 1)], [Pending("a", 1)]
    arbiter = FirstToQuorumArbiter()
    with pytest.raises(UsageError, match="'a' is pending, and also"):
        arbiter.standing(proposals, (), pending)
    with pytest.raises(UsageError, match="'a' is pending, and also"):
        arbiter.standing([], [Absence("a", 1, "crashed")], pending)
    with pytest.raises(UsageError, match="'a' is pending, and also"):
        arbiter.standing([], [], [*pending, Pending("a", 2)])
    assert arbiter.standing([], [], [*pending, Pending("a", 1.0)]) == "open"
    assert Pending.from_dict(pending[0].to_dict()) == pending[0]
    assert hash(Pending("a", 1)) == hash(Pending("a", 1.0))
    for bad in ({}, {"expert_id": "a", "route_weight": 1}, {"expert_id": "", "route_weight": "1"}):
        with pytest.raises(UsageError):
            Pending.from_dict(bad)
