"""Synthesis and fallback: who commits, on whose word, and what is said of it."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import QUORUMS, intake_of, rational, same_again, voters, waiting

from quorate.arbitration import (
    Absence,
    Arbiter,
    Decision,
    FallbackArbiter,
    Merge,
    Proposal,
    SynthesisArbiter,
    Tally,
    UnderQuorum,
    WeightedQuorumArbiter,
    gather,
)
from quorate.arbitration.sealed import body_of
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError

ROWS = [("ann", "x", 0.9, 2), ("bob", "y", 0.8, 1), ("cyd", "x", 0.5, 1), ("dee", None, 1, 1)]
SOURCES = sorted([digest("x"), digest("y")])


def merge_of(ratified=(), declined=(), **more):
    return Merge("synthesizer", {"both": ["x", "y"]}, SOURCES, 3, ratified, declined, **more)


@settings(max_examples=40)
@given(voters(), QUORUMS, st.sets(st.integers(0, 5)), st.sets(st.integers(0, 5)))
def test_ratifiers_with_the_quorum_of_the_roster_commit(rows, quorum, yes, no):
    proposers = {e for e, a, _, _ in rows if a is not None}
    ratified = {f"e{i}" for i in yes} & proposers
    declined = ({f"e{i}" for i in no} & proposers) - ratified
    sources = {digest(a) for _, a, _, _ in rows if a is not None}
    merge = Merge("s", "merged", sources, 0, ratified, declined) if sources else None
    outcome = SynthesisArbiter(quorum, synthesizer="s").fold(intake_of(rows, merge=merge))
    roster = sum((rational(w) for *_, w in rows), Fraction(0))
    backing = sum((rational(w) for e, _, _, w in rows if e in ratified), Fraction(0))
    commits = bool(proposers) and roster > 0 and backing >= rational(quorum) * roster
    assert isinstance(outcome, Decision) == commits
    assert Fraction(outcome.backing_exact) == (backing / roster if roster else 0)
    votes = {e: rational(c) * rational(w) for e, a, c, w in rows if a is not None}
    total = sum(votes.values()) + sum(rational(w) for _, a, _, w in rows if a is None)
    support = sum((votes[e] for e in ratified), Fraction(0))
    assert Fraction(outcome.support_exact) == (support / total if total else 0)
    if commits:
        assert (outcome.consensus, outcome.by_quorum) == ("merged", True)
        assert outcome.dissenting == tuple(sorted(declined))
    same_again(outcome)


def test_a_merge_is_committed_by_its_ratifiers():
    arbiter = SynthesisArbiter(0.6)
    decision = arbiter.fold(intake_of(ROWS, merge=merge_of(["cyd", "ann"], ["bob"])))
    assert decision.consensus == {"both": ["x", "y"]}
    assert (decision.backing_exact, decision.cost) == ("3/5", 3)
    assert decision.describe().startswith(
        'Committed {"both":["x","y"]} (digest 623a1a0d7a70…), which synthesizer merged from 2 '
        "different answers. ann and cyd ratified it, with 60.0% of the roster's route weight; "
        "synthesis asks for 60.0%. They hold 56.1% of the votes (route weight times claimed "
        'confidence). Declined: bob. Proposed: ann and cyd for "x"'
    )
    refusal = arbiter.fold(intake_of(ROWS, merge=merge_of(["ann", "bob"][:1], ["bob"])))
    assert refusal.reason == "not_ratified"
    assert refusal.message == "those that ratified hold 40.0% of the roster's route weight < 60.0%"
    silent = arbiter.fold(intake_of(ROWS, merge=merge_of(["ann", "bob"])))
    assert "Silent, and counted against: cyd." in silent.describe()
    assert (
        arbiter.fold(intake_of(ROWS)).message == "the synthesizer synthesizer gave no merged answer"
    )


def test_without_ratification_it_says_so():
    arbiter = SynthesisArbiter(0.6, ratify=False)
    decision = arbiter.fold(intake_of(ROWS, merge=merge_of()))
    assert decision.by_quorum is False
    assert decision.backing == 0
    assert "Nobody was asked to ratify it: it was not decided by a quorum" in decision.describe()
    assert arbiter.parameters["ratify"] is False
    with pytest.raises(UsageError, match="ratify is False"):
        arbiter.fold(intake_of(ROWS, merge=merge_of(["ann"])))
    assert isinstance(arbiter.fold(intake_of(ROWS)), Tally)
    same_again(decision)


@pytest.mark.parametrize(
    ("merge", "match"),
    [
        (Merge("other", 1, SOURCES), "the merge is by 'other'"),
        (Merge("synthesizer", 1, [digest("q")]), "which nobody proposed"),
        (merge_of(["dee"]), "'dee' proposed nothing"),
        (merge_of(["synthesizer"]), "'synthesizer' proposed nothing"),
        (merge_of([], ["eve"]), "'eve' proposed nothing"),
    ],
)
def test_a_merge_that_does_not_fit_is_refused(merge, match):
    with pytest.raises(UsageError, match=match):
        SynthesisArbiter().fold(intake_of(ROWS, merge=merge))


def test_void_proposers_ratify_nothing():
    rows = [*ROWS, ("ann", "z", 1, 2)]
    refusal = SynthesisArbiter(0.5).fold(intake_of(rows, merge=merge_of(["ann", "bob", "cyd"])))
    assert refusal.backing_exact == "2/5"


def test_a_synthesizer_that_proposed_ratifies_with_its_own_weight():
    arbiter = SynthesisArbiter(0.4, synthesizer="ann")
    merge = replace(merge_of(["ann"]), synthesizer="ann")
    assert arbiter.fold(intake_of(ROWS, merge=merge)).backing_exact == "2/5"


def test_arbitrate_asks_the_functions():
    seen = []

    def merge(proposals):
        seen.append(proposals)
        proposals[0]["payload"] = "changed"
        return {"merged": [p["expert_id"] for p in proposals]}

    def ratify(expert_id, payload):
        payload["merged"].append("changed")
        if expert_id == "bob":
            raise RuntimeError("gone")
        return True if expert_id == "ann" else "yes"

    proposals = [Proposal(e, a, c, w) for e, a, c, w in ROWS if a]
    arbiter = Arbiter(protocol="synthesis", quorum=0.5, merge=merge, ratify=ratify)
    decision = arbiter.arbitrate(proposals)
    assert decision.consensus == {"merged": ["ann", "bob", "cyd"]}
    assert decision.trace["merge"]["ratified"] == ["ann"]
    assert decision.trace["merge"]["declined"] == []
    assert seen[0][1] == {
        "expert_id": "bob", "payload": "y", "route_weight": 1.0, "confidence": 0.8, "vote": 0.8
    }  # fmt: skip
    assert body_of(decision, arbiter, proposals)["merge"]["sources"] == SOURCES
    with pytest.raises(UnderQuorum) as caught:
        arbiter.arbitrate([])
    assert caught.value.tally.reason == "no_proposals"
    for bad in (lambda _: {1}, lambda _: 1 / 0):
        failing = SynthesisArbiter(merge=bad, ratify=False)
        with pytest.raises(UnderQuorum, match="gave no merged answer") as caught:
            failing.arbitrate(proposals)
        assert isinstance(caught.value.__cause__, MisbehaviourError | ZeroDivisionError)
    with pytest.raises(UsageError, match="there is no merge function"):
        SynthesisArbiter().arbitrate(proposals)
    with pytest.raises(UsageError, match="there is no ratify function"):
        SynthesisArbiter(merge=merge).arbitrate(proposals)
    for bad in ({"merge": 1}, {"ratify": 1}, {"synthesizer": 1}):
        with pytest.raises(UsageTypeError):
            SynthesisArbiter(**bad)


def test_merges_travel_and_are_checked():
    merge = merge_of(["b", "a", "a"], ["c"])
    assert merge.ratified == ("a", "b")
    again = Merge.from_dict(merge.to_dict())
    assert (again, hash(again)) == (merge, hash(merge))
    assert replace(merge, ratified=()) != merge
    for change in (
        {"digest": digest("other")},
        {"payload": "other"},
        {"sources": []},
        {"sources": ["x"]},
        {"sources": "x" * 64},
        {"ratified": ["c"]},
        {"declined": [1]},
        {"cost": "-1"},
        {"cost": 3},
        {"extra": 1},
    ):
        with pytest.raises((UsageError, MisbehaviourError)):
            Merge.from_dict({**merge.to_dict(), **change})
    many = [f"e{i}" for i in range(limits.MAX_REPLICAS)]
    assert len(merge_of(many).ratified) == limits.MAX_REPLICAS
    with pytest.raises(UsageError, match="more than 1024"):
        merge_of([*many, "one"])
    payload = {"n": [1]}
    merge = Merge("s", payload, SOURCES)
    payload["n"].append(2)
    assert merge.payload == {"n": [1]}


# --- fallback ---------------------------------------------------------------------


def refused(rows, quorum=0.8, later=()):
    intake = intake_of(rows)
    arbiter = WeightedQuorumArbiter(quorum)
    return body_of(arbiter.fold(intake), arbiter, intake)


def test_a_fallback_commits_its_experts_answer_and_says_so():
    weak = refused(ROWS)
    decision = FallbackArbiter("bob", 0.8).fold(intake_of(ROWS, parent=weak))
    assert (decision.consensus, decision.by_quorum) == ("y", False)
    assert decision.parent == digest(weak["verdict"])
    assert (decision.backing_exact, decision.support_exact) == ("1/5", "8/41")
    assert decision.dissenting == ("ann", "cyd")
    said = decision.describe()
    assert 'Committed "y" (digest' in said
    assert "on the word of bob, the fallback expert: it was not decided by a quorum" in said
    assert f"It grew out of a weaker verdict, digest {decision.parent[:12]}…." in said
    assert 'Dissent: ann and cyd for "x"' in said
    same_again(decision)
    waited = FallbackArbiter("bob").fold(
        replace(gather([Proposal("bob", "y", 1, 1)], [], waiting([("p", 0, 0, 3)])), parent=weak)
    )
    assert waited.backing_exact == "1/4"
    assert "p was still pending" in waited.describe()
    same_again(waited)


def test_a_fallback_shows_the_spelling_that_it_commits():
    # Under the normaliser ann and bob agree, and ann's vote is the higher one.
    rows = [("ann", "  Yes", 0.9, 2), ("bob", "yes", 0.8, 1), ("cyd", "no", 1, 3)]
    intake = intake_of(rows)
    arbiter = WeightedQuorumArbiter(0.8, normalize="text")
    weak = body_of(arbiter.fold(intake), arbiter, intake)
    fallback = FallbackArbiter("bob", 0.8, normalize="text")
    decision = fallback.fold(intake_of(rows, parent=weak))
    assert (decision.consensus, decision.digest) == ("yes", digest("yes"))
    assert decision.trace["groups"][0]["answer"] == '"yes"'
    assert decision.trace["groups"][0]["top"] == "ann"
    assert decision.describe().startswith(f'Committed "yes" (digest {digest("yes")[:12]}…)')
    same_again(decision)


@pytest.mark.parametrize("expert", ["dee", "eve"])
def test_a_fallback_without_a_proposal_is_refused(expert):
    refusal = FallbackArbiter(expert, 0.8).fold(intake_of(ROWS, parent=refused(ROWS)))
    assert refusal.reason == "no_fallback"
    assert f"the fallback expert {expert} has no proposal that counts" in str(refusal.message)
    assert refusal.to_dict()["parent"] == refusal.parent
    same_again(refusal)


def test_a_fallback_follows_a_refusal_only():
    for parent in (None, refused(ROWS, 0.5)):
        with pytest.raises(UsageError, match="only after a refusal"):
            FallbackArbiter("bob").fold(intake_of(ROWS, parent=parent))
    for parent in ({}, {"verdict": 1}, "x"):
        with pytest.raises(UsageError, match="no sealed body"):
            FallbackArbiter("bob").fold(intake_of(ROWS, parent=parent))


def test_equivocation_takes_the_fallbacks_word_away():
    rows = [*ROWS, ("bob", "z", 1, 1)]
    refusal = FallbackArbiter("bob", 0.8).fold(intake_of(rows, parent=refused(rows)))
    assert refusal.reason == "no_fallback"


@settings(max_examples=40)
@given(voters(least=2), QUORUMS)
def test_a_fallback_never_claims_a_quorum(rows, quorum):
    arbiter = WeightedQuorumArbiter(quorum)
    intake = intake_of(rows)
    outcome = arbiter.fold(intake)
    if isinstance(outcome, Decision):
        return
    weak = body_of(outcome, arbiter, intake)
    fallen = FallbackArbiter("e1", quorum).fold(replace(intake, parent=weak))
    said = next(a for e, a, _, _ in rows if e == "e1")
    assert (fallen.consensus if isinstance(fallen, Decision) else None) == said
    assert isinstance(fallen, Tally) or fallen.by_quorum is False
    again = FallbackArbiter("e1", quorum).fold(replace(intake, parent=weak))
    assert canonical(again.to_dict()) == canonical(fallen.to_dict())
    assert [a for a in fallen.absent if isinstance(a, Absence)] == list(fallen.absent)
