"""Verdicts that whoever holds the key could seal beside the rules, and that do not verify.

Each is built with the checks at sealing taken out, as a forger would, and verified with all.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

import pytest
from rosters import through_json

from quorate.arbitration import (
    Absence,
    FallbackArbiter,
    FirstToQuorumArbiter,
    Merge,
    Pending,
    Proposal,
    SynthesisArbiter,
    WeightedQuorumArbiter,
    gather,
)
from quorate.arbitration.sealed import body_of, kind_of
from quorate.core.canonical import digest
from quorate.core.errors import UsageError, VerificationError
from quorate.core.independence import Independence
from quorate.hub.deciding import decide
from quorate.hub.experts import Expert
from quorate.hub.outcomes import Outcome
from quorate.ledger import Ledger

IDS = list("abcdefg")
TASK = {"id": "t1", "input_digest": "0" * 64}
QUORUM = {"quorum": "33/50"}
WEIGHTED = WeightedQuorumArbiter(0.66)
SYNTHESIS = SynthesisArbiter(0.66, synthesizer="s")
EARLY = FirstToQuorumArbiter(0.66)
AT_SEALING = (
    "sealed.check_lineage",
    "rebuilding.check_lineage",
    "rebuilding._check_parts",
    "rebuilding._check_table",
)
ESCALATION = {"to": "peer", "weight": "10", **QUORUM, "experts": {"p1": "1", "p2": "1", "p3": "1"}}


def all_say(answer, ids=IDS):
    return [Proposal(name, answer, 1, 1) for name in ids]


SPLIT = [*all_say("x", "abcd"), *all_say("y", "efg")]
VOICE = Proposal("peer", "x", 1, 10)


def panel(protocol="weighted-quorum", parameters=None, others="", **more):
    known = {"kind": "python", "call": "m:f", "timeout": "30", "max_cost": None, "confidence": None}
    return {
        "rule": "panel/1",
        "protocol": protocol,
        "parameters": QUORUM | (parameters or {}),
        "roster": dict.fromkeys(IDS, "1"),
        "experts": dict.fromkeys([*IDS, *others.split()], known),
        **more,
    }


WIDENS = panel(on_under_quorum="widen", reserve={"r": "1"}, others="r")
CONSULTS = panel(on_under_quorum="escalate", escalation=ESCALATION, others="p1 p2 p3")
MERGES = {"synthesizer": "s", "ratify": True}


def made(arbiter, intake, **more):
    """The body of a verdict, with no check made but that its outcome follows."""
    outcome = arbiter.fold(intake)
    with ExitStack() as off:
        for name in AT_SEALING:
            off.enter_context(patch(f"quorate.arbitration.{name}", lambda *_: None))
        return kind_of(outcome), through_json(body_of(outcome, arbiter, intake, **more))


def inner(arbiter, intake):
    return made(arbiter, intake)[1]


WEAK = inner(WEIGHTED, gather(SPLIT))
CONSULTED = inner(WEIGHTED, gather(all_say("x", ["p1", "p2", "p3"])))
SOURCES = [digest("x"), digest("y")]


def under(declared, arbiter, intake, **more):
    return declared, made(arbiter, intake, task=TASK, panel=digest(declared), **more)


def consulted(
    body=CONSULTED, voice=VOICE, sent=SPLIT, parent=WEAK, merge=None, arbiter=WEIGHTED, more=()
):
    told = {"expert_id": "peer", "route_weight": "10", "body": body}
    there = gather(
        [*sent, *([voice] if isinstance(voice, Proposal) else [])],
        [voice] if isinstance(voice, Absence) else [],
    )
    intake = replace(there, parent=parent, consultation=told, merge=merge)
    declared = CONSULTS
    if arbiter is SYNTHESIS:
        declared = CONSULTS | {"protocol": "synthesis", "parameters": QUORUM | MERGES}
    return under(declared, arbiter, replace(intake, **dict(more)))


def widened(*sent, away=(), parent=WEAK, **more):
    return under(WIDENS, WEIGHTED, replace(gather(sent, away), parent=parent, **more))


def verify(declared, *sealed):
    with Ledger.open("memory:") as ledger:
        ledger.append("panel", declared)
        for one in sealed:
            ledger.append(*one)
        return ledger.verify(replay=True)


def refused(forged, match, rule="replay"):
    with pytest.raises(VerificationError, match=match) as caught:
        verify(*forged)
    assert caught.value.rule == rule


# --- honest ones, so that it is the forgery the others fail by ------------------------

RESERVE = Proposal("r", "x", 1, 1)
WEAK_MERGE = Merge("s", "M", SOURCES, 3, ["a", "b", "c"], ["d", "e"])
WEAK_SYNTHESIS = inner(SYNTHESIS, replace(gather(SPLIT), merge=WEAK_MERGE))
INNER_REFUSED = inner(WEIGHTED, gather(Proposal(f"p{n}", n, 1, 1) for n in (1, 2, 3)))
NO_VOICE = Absence("peer", 10, "void", "no quorum among those consulted")
CONSULTED_M = inner(WEIGHTED, gather(all_say("M", ["p1", "p2", "p3"])))


def merge_of(**change):
    kept = {name: getattr(WEAK_MERGE, name) for name in ("synthesizer", "payload", "sources")}
    words = {"cost": 3, "ratified": WEAK_MERGE.ratified, "declined": WEAK_MERGE.declined}
    return Merge(**kept | words | change)


def synthesized(voice="x", merge=None, **more):
    body = CONSULTED_M if voice == "M" else CONSULTED
    said = NO_VOICE if voice is None else Proposal("peer", voice, 1, 10)
    return consulted(
        INNER_REFUSED if voice is None else body,
        said,
        parent=WEAK_SYNTHESIS,
        merge=merge,
        arbiter=SYNTHESIS,
        **more,
    )


HONEST = {
    "first": under(panel(), WEIGHTED, gather(all_say("x"))),
    "widened": widened(*SPLIT, RESERVE),
    "consulted": consulted(),
    "consulted in vain": consulted(INNER_REFUSED, NO_VOICE),
    "synthesis, ratified by the consultation": synthesized(
        "M", merge_of(ratified=["a", "b", "c", "peer"])
    ),
    "synthesis, declined by it": synthesized("x", merge_of(declined=["d", "e", "peer"])),
    "synthesis, without its word": synthesized(None, merge_of()),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_ones_verify(name):
    assert verify(*HONEST[name]).size == 2


# --- nobody is heard twice --------------------------------------------------------------


def test_a_wider_verdict_changes_no_answer():
    refused(widened(*all_say("EVIL", [*IDS, "r"])), "in the parent is not found again")
    refused(widened(*SPLIT[:-1], Proposal("g", "x", 1, 1), RESERVE), "the proposal of 'g'")


def test_nobody_that_answered_is_absent_later_or_the_other_way_round():
    forged = widened(*SPLIT[:-1], RESERVE, away=[Absence("g", 1, "timeout")])
    refused(forged, "the proposal of 'g'")
    late = inner(WEIGHTED, gather(SPLIT[:-1], [Absence("g", 1, "timeout")]))
    refused(widened(*SPLIT, RESERVE, parent=late), "the absence of 'g'")


def test_an_expert_that_contradicted_itself_stays_void():
    twice = inner(WEIGHTED, gather([*SPLIT, Proposal("e", "x", 1, 1)]))
    refused(widened(*SPLIT, RESERVE, parent=twice), "the proposal of 'e'")
    verify(*widened(*SPLIT, Proposal("e", "x", 1, 1), RESERVE, parent=twice))


def test_nobody_is_made_to_contradict_itself_later():
    forged = widened(*SPLIT, Proposal("g", "x", 1, 1), RESERVE)
    refused(forged, "'g' was asked in the parent, and its proposal is not the one there")


def test_an_absence_keeps_its_reason():
    late = inner(WEIGHTED, gather(SPLIT[:-1], [Absence("g", 1, "timeout")]))
    verify(*widened(*SPLIT[:-1], RESERVE, away=[Absence("g", 1, "timeout")], parent=late))
    forged = widened(*SPLIT[:-1], RESERVE, away=[Absence("g", 1, "void")], parent=late)
    refused(forged, "the absence of 'g'")


def test_only_who_was_pending_answers_later_or_stays_pending():
    first = gather(all_say("x", "ab"), (), [Pending(name, 1) for name in "cd"])
    weak = inner(EARLY, first)
    later = gather(all_say("x", "abc"), [Absence("d", 1, "timeout")])
    for intake in (first, later):
        grown = replace(intake, parent=weak)
        body_of(EARLY.fold(grown), EARLY, grown)
    heard = inner(EARLY, later)
    for back in ("c", "d"):
        waits = [Pending(name, 1) for name in "cd" if name == back]
        still = gather(
            all_say("x", "ab" if back == "c" else "abc"),
            [Absence("d", 1, "timeout")] if back == "c" else [],
            waits,
        )
        grown = replace(still, parent=heard)
        with pytest.raises(VerificationError, match="in the parent is not found again"):
            body_of(EARLY.fold(grown), EARLY, grown)


def test_a_consultation_changes_no_answer_of_the_panel():
    refused(consulted(sent=all_say("x")), "in the parent is not found again")


def test_nobody_pending_answers_beside_a_consultation():
    weak = inner(EARLY, gather(SPLIT[:6], (), [Pending("g", 1)]))
    told = {"expert_id": "peer", "route_weight": "10", "body": CONSULTED}
    grown = replace(gather([*SPLIT, VOICE]), parent=weak, consultation=told)
    with pytest.raises(VerificationError, match="'g' was asked in the parent, and its proposal"):
        body_of(EARLY.fold(grown), EARLY, grown)
    gone = replace(gather([*SPLIT[:6], VOICE], [Absence("g", 1, "timeout")]), parent=weak)
    gone = replace(gone, consultation=told)
    with pytest.raises(VerificationError, match="'g' was asked in the parent, and its absence"):
        body_of(EARLY.fold(gone), EARLY, gone)
    waits = replace(
        gather([*SPLIT[:6], VOICE], (), [Pending("g", 1)]), parent=weak, consultation=told
    )
    body_of(EARLY.fold(waits), EARLY, waits)


def test_nobody_joins_beside_a_consultation_without_a_panel():
    told = {"expert_id": "peer", "route_weight": "10", "body": CONSULTED}
    grown = replace(gather([*SPLIT, RESERVE, VOICE]), parent=WEAK, consultation=told)
    with pytest.raises(VerificationError, match="'r' joined beside the consultation"):
        body_of(WEIGHTED.fold(grown), WEIGHTED, grown)


def test_what_is_declared_of_failing_together_does_not_change():
    alone = Independence({}, 0, 1000)
    refused(widened(*SPLIT, RESERVE, independence=alone), "failing together")


def test_a_correlation_is_counted_as_taken_on_trust():
    for rho, many in ((0, 1), (None, 0)):
        said = Independence({}, rho, 0 if rho is None else 1000)
        sealed = under(panel(), WEIGHTED, replace(gather(all_say("x")), independence=said))
        report = verify(*sealed)
        assert (report.correlations, report.to_dict()["correlations"]) == (many, many)
        assert ("how it was measured is taken as sealed" in report.describe()) == bool(many)


# --- those consulted answer once ----------------------------------------------------------

AGAIN = gather(all_say("EVIL", ["p1", "p2", "p3"]))
EVIL_VOICE = Proposal("peer", "EVIL", 1, 10)
INSIDE = {
    "parent": (WEIGHTED, replace(AGAIN, parent=inner(WEIGHTED, gather(AGAIN.proposals[:2])))),
    "merge": (WEIGHTED, replace(AGAIN, merge=Merge("s", "Z", [digest("EVIL")]))),
    "pending": (EARLY, replace(AGAIN, pending=(Pending("p4", 1),))),
    "independence": (WEIGHTED, replace(AGAIN, independence=Independence({}, 0, 1000))),
}


@pytest.mark.parametrize("part", INSIDE)
def test_a_consultation_is_a_first_verdict(part):
    refused(consulted(inner(*INSIDE[part]), EVIL_VOICE), f"has a {part}|there is a {part}")
    whole = replace(gather([*SPLIT, EVIL_VOICE]), parent=WEAK)
    told = {"expert_id": "peer", "route_weight": "10", "body": inner(*INSIDE[part])}
    grown = replace(whole, consultation=told)
    outcome = WEIGHTED.fold(grown)
    with (
        patch("quorate.arbitration.rebuilding._check_parts"),
        pytest.raises(VerificationError, match=f"the consultation's body has a {part}"),
    ):
        body_of(outcome, WEIGHTED, grown)


def test_a_consultation_is_not_planned():
    weights = dict.fromkeys(["p1", "p2", "p3"], "1")
    plan = {"router": "r", "signature": {}, "scores": weights, "weights": weights, "gate": {}}
    body = made(WEIGHTED, AGAIN, plan=plan)[1]
    refused(consulted(body, EVIL_VOICE), "the consultation's body has a plan")


# --- a merge is the parent's, of all that was proposed --------------------------------------


@pytest.mark.parametrize(
    ("voice", "change"),
    [
        ("x", {"ratified": ["a", "b", "c", "peer"]}),
        ("x", {}),
        ("M", {"declined": ["d", "e", "peer"]}),
        ("M", {}),
        ("M", {"ratified": ["a", "b", "c", "d", "peer"], "declined": ["e"]}),
        ("M", {"ratified": ["a", "b", "c", "f", "peer"]}),
        ("M", {"ratified": ["a", "b", "c", "peer"], "sources": [*SOURCES, digest("M")]}),
        ("M", {"ratified": ["a", "b", "c", "peer"], "cost": 0}),
        ("x", {"payload": "OTHER", "ratified": [*IDS, "peer"], "declined": []}),
        (None, {"ratified": ["a", "b", "c", "d"], "declined": ["e"]}),
    ],
)
def test_a_consultation_adds_its_word_to_the_merge_and_nothing_else(voice, change):
    refused(synthesized(voice, merge_of(**change)), "the merge is not the parent's")


def test_a_consultation_neither_makes_nor_drops_a_merge():
    refused(synthesized("M", None), "the merge is not the parent's")
    bare = inner(SYNTHESIS, gather(SPLIT))
    forged = consulted(
        CONSULTED_M, Proposal("peer", "M", 1, 10), parent=bare, merge=merge_of(), arbiter=SYNTHESIS
    )
    refused(forged, "the merge is not the parent's")


def test_the_sources_are_all_proposals_that_count():
    declared = panel("synthesis", MERGES, others="s")
    first = replace(gather(SPLIT), merge=merge_of(sources=SOURCES[:1]))
    refused(under(declared, SYNTHESIS, first), "counts, and the sources of the merge lack it")
    # What contradicts itself does not count; the merge may have left it out.
    void = gather([*SPLIT, Proposal("g", "z", 1, 1)])
    verify(*under(declared, SYNTHESIS, replace(void, merge=merge_of())))


# --- parts that the rule does not look at ------------------------------------------------


def test_a_merge_goes_with_synthesis_alone():
    merge = Merge("s", "EVIL", SOURCES, 0, IDS)
    refused(under(panel(), WEIGHTED, replace(gather(SPLIT), merge=merge)), "merges nothing")
    declared = panel(on_under_quorum="fallback", fallback="a")
    decided = FallbackArbiter("a", 0.66)
    intake = replace(gather(SPLIT), parent=WEAK)
    verify(*under(declared, decided, intake))
    refused(under(declared, decided, replace(intake, merge=merge)), "merges nothing")


def test_nobody_but_the_fallback_is_asked_for_it():
    decided = FallbackArbiter("z", 0.66)
    other, own = Proposal("r", "x", 1, 1), Proposal("z", "x", 1, 1)
    for sent, waits, match in (
        ([*SPLIT, other], [], "'r' was asked, and the fallback is 'z'"),
        ([*SPLIT, own, other], [], "'r' was asked, and the fallback is 'z'"),
        (SPLIT, [Pending("z", 1)], "'z' is the fallback, and is pending"),
    ):
        grown = replace(gather(sent, (), waits), parent=WEAK)
        refused((panel(), made(decided, grown)), match)
    verify(panel(), made(decided, replace(gather([*SPLIT, own]), parent=WEAK)))


def test_a_caller_s_own_normaliser_keeps_its_word():
    custom = {"normalize": "custom"}
    first = WeightedQuorumArbiter(0.66, normalize=lambda answer: answer)
    after = WeightedQuorumArbiter(0.66, normalize=lambda _: "same")
    weak = inner(first, gather(SPLIT))
    wide = WIDENS | {"parameters": QUORUM | custom}
    grown = replace(gather([*SPLIT, RESERVE]), parent=weak)
    verify(*under(wide, first, grown))
    refused(under(wide, after, grown), "in another way in a verdict inside")
    asked = inner(after, gather(all_say("x", ["p1", "p2", "p3"])))
    told = {"expert_id": "peer", "route_weight": "10", "body": asked}
    both = replace(gather([*SPLIT, VOICE]), parent=weak, consultation=told)
    consults = CONSULTS | {"parameters": QUORUM | custom}
    refused(under(consults, first, both), "in another way in a verdict inside")


def test_a_plan_is_for_the_first_fold():
    weights = dict.fromkeys(IDS, "1")
    plan = {"router": "r", "signature": {}, "scores": weights, "weights": weights, "gate": {}}
    verify(*under(panel(), WEIGHTED, gather(SPLIT), plan=plan))
    declared, (kind, body) = widened(*SPLIT, RESERVE)
    forged = {**body, "plan": plan}
    refused((declared, (kind, forged)), "a plan is for the first fold")
    declared, (kind, body) = under(panel(), WEIGHTED, gather(SPLIT), plan=plan)
    forged = {**body, "plan": {**plan, "scores": {"ghost": "9"}}}
    refused((declared, (kind, forged)), "has a weight in the plan, and no score")


# --- under a panel ------------------------------------------------------------------------


def test_under_a_panel_a_verdict_names_its_task():
    declared, (kind, body) = HONEST["first"]
    bare = {name: value for name, value in body.items() if name != "task"}
    refused((declared, (kind, bare)), "it names no task", "panel")


def test_nobody_decides_under_a_panel_without_a_task():
    asked = []
    expert = Expert("a", asked.append, confidence=1)
    with pytest.raises(UsageError, match="a verdict under a panel names its task"):
        asyncio.run(decide([expert], 1, WEIGHTED, panel="0" * 64))
    assert not asked


def test_nothing_follows_a_round_that_was_still_open():
    early = {"protocol": "first-to-quorum", "parameters": {**QUORUM, "early": "certain"}}
    first = gather(all_say("EVIL", "a"), (), [Pending(name, 1) for name in IDS[1:]])
    weak = inner(EARLY, first)
    assert weak["verdict"]["reason"] == "pending"
    refused(under(panel(**early), EARLY, first), "answers to come could still", "panel")
    grown = replace(first, parent=weak)
    declared = panel(**early, on_under_quorum="fallback", fallback="a")
    forged = under(declared, FallbackArbiter("a", 0.66), grown)
    refused(forged, "before the whole roster was heard", "panel")
    # Nor where it was settled that it is refused: then nobody is stopped.
    hopeless = gather([*SPLIT[:3], *SPLIT[4:]], (), [Pending("d", 1)])
    weak = inner(EARLY, hopeless)
    assert weak["verdict"]["reason"] != "pending"
    verify(*under(panel(**early), EARLY, hopeless))
    wide = WIDENS | early
    grown = replace(gather([*SPLIT, RESERVE]), parent=weak)
    refused(under(wide, EARLY, grown), "before the whole roster was heard", "panel")


def test_a_reserve_is_somebody_and_others_than_the_roster():
    for reserve, match in (({}, "reserve is empty"), ({"a": "1"}, "reserve is a of its roster")):
        declared = WIDENS | {"reserve": reserve}
        again = under(declared, WEIGHTED, replace(gather(all_say("EVIL")), parent=WEAK))
        refused(again, match, "panel")


@pytest.mark.parametrize("outcome_first", [False, True])
def test_an_outcome_is_of_the_input_that_was_decided(outcome_first):
    declared, verdict = HONEST["first"]

    def with_outcome(of):
        outcome = ("outcome", Outcome("t1", "y", digest("y"), of).to_dict())
        return [declared, *((outcome, verdict) if outcome_first else (verdict, outcome))]

    for of in (None, TASK["input_digest"]):
        verify(*with_outcome(of))
    refused(with_outcome("1" * 64), "on another input")


def test_an_outcome_s_input_is_no_matter_of_another_task():
    declared, verdict = HONEST["first"]
    other = Outcome("t2", "y", digest("y"), "1" * 64)
    assert verify(declared, verdict, ("outcome", other.to_dict())).size == 3
