"""Verdicts under a panel: the declared roster, rule and policy, and no step besides."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from rosters import intake_of
from test_sealed_protocols import (
    CONSULTED,
    INNER,
    ROWS,
    VOICE,
    by_case,
    escalated,
    seal,
)

from quorate.arbitration import (
    Absence,
    FallbackArbiter,
    FirstToQuorumArbiter,
    Proposal,
    RankedRunoffArbiter,
    SynthesisArbiter,
    WeightedQuorumArbiter,
    gather,
)
from quorate.arbitration.sealed import replay
from quorate.core.canonical import digest
from quorate.core.errors import VerificationError
from quorate.ledger import Ledger
from quorate.ledger.replay import ReplayContext

PANEL = digest("panel")
TASK = {"id": "t", "input_digest": "0" * 64}
ROSTER = {"ann": "2", "bob": "1", "cyd": "1", "dee": "1"}
BASE = {"protocol": "weighted-quorum", "parameters": {"quorum": "9/10"}, "roster": ROSTER}
WEAK = seal(WeightedQuorumArbiter(0.9), intake_of(ROWS))[1]
WIDER = [*ROWS, ("eve", "x", 1, 30)]

ESCALATION = {
    "to": "peer-consult",
    "weight": "2",
    "quorum": "3/5",
    "experts": {"p1": "1", "p2": "1"},
}
DECLARED = {
    "first": BASE,
    "widen": {**BASE, "on_under_quorum": "widen", "reserve": {"eve": "30"}},
    "fallback": {**BASE, "on_under_quorum": "fallback", "fallback": "bob"},
    "escalate": {**BASE, "on_under_quorum": "escalate", "escalation": ESCALATION},
}
WEIGHTED = WeightedQuorumArbiter(0.9)
STEPS = {
    "first": seal(WEIGHTED, intake_of(ROWS), panel=PANEL),
    "widen": seal(WEIGHTED, intake_of(WIDER, parent=WEAK), panel=PANEL),
    "fallback": seal(FallbackArbiter("bob", 0.9), intake_of(ROWS, parent=WEAK), panel=PANEL),
    "escalate": seal(WEIGHTED, escalated(parent=WEAK), panel=PANEL),
}


def held(declared, sealed):
    context = ReplayContext()
    context.declare_panel(PANEL, declared)
    kind, body = sealed
    replay(kind, {"task": TASK, **body}, context)


def refused(declared, sealed, match=None):
    with pytest.raises(VerificationError, match=match) as caught:
        held(declared, sealed)
    assert caught.value.rule == "panel"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("way", DECLARED)
def test_a_step_verifies_exactly_where_it_is_declared(step, way):
    if step in ("first", way):
        held(DECLARED[way], STEPS[step])
    else:
        refused(DECLARED[way], STEPS[step])


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "ranked-runoff"},
        {"parameters": {"quorum": "4/5"}},
        {"parameters": {"quorum": "9/10", "normalize": "text"}},
        {"roster": {**ROSTER, "ann": "1"}},
        {"roster": {**ROSTER, "fay": "1"}},
        {"roster": {k: v for k, v in ROSTER.items() if k != "dee"}},
    ],
)
def test_every_step_is_held_to_roster_and_rule(step, change):
    refused({**DECLARED[step], **change}, STEPS[step])


@pytest.mark.parametrize("change", [{"reserve": {"eve": "3"}}, {"reserve": {}}, {"reserve": None}])
def test_the_reserve_is_the_declared_one(change):
    refused({**DECLARED["widen"], **change}, STEPS["widen"])


def test_a_reserve_without_its_policy_is_not_asked():
    declared = {k: v for k, v in DECLARED["widen"].items() if k != "on_under_quorum"}
    refused(declared, STEPS["widen"], "a wider roster was asked, and on_under_quorum is 'raise'")


def test_nobody_joins_beside_a_consultation():
    more = escalated(parent=WEAK)
    both = gather([*more.proposals, Proposal("eve", "x", 1, 30)], more.absences)
    intake = replace(both, parent=WEAK, consultation=CONSULTED)
    with pytest.raises(VerificationError, match="'eve' joined beside the consultation"):
        seal(WEIGHTED, intake, panel=PANEL)


def test_the_fallback_is_the_declared_one_and_decides_on_what_was_refused():
    refused({**DECLARED["fallback"], "fallback": "ann"}, STEPS["fallback"], "not the one")
    asked_later = [*ROWS, ("fay", "other", 1, 1)]
    sealed = seal(FallbackArbiter("fay", 0.9), intake_of(asked_later, parent=WEAK), panel=PANEL)
    declared = {**DECLARED["fallback"], "fallback": "fay"}
    refused(declared, sealed, "the proposals are not those of the refusal")
    weaker = seal(FallbackArbiter("bob", 0.1), intake_of(ROWS, parent=WEAK), panel=PANEL)
    refused(DECLARED["fallback"], weaker, "parameters of the fallback")


@pytest.mark.parametrize(
    "change",
    [
        {"to": "another"},
        {"weight": "3"},
        {"quorum": "1/2"},
        {"experts": {"p1": "1"}},
        {"experts": {"p1": "1", "p2": "2"}},
    ],
)
def test_a_consultation_is_the_declared_one(change):
    declared = {**DECLARED["escalate"], "escalation": {**ESCALATION, **change}}
    refused(declared, STEPS["escalate"])


def test_a_consultation_left_out_of_the_record_is_missed():
    kind, body = STEPS["escalate"]
    bare = {name: value for name, value in body.items() if name != "consultation"}
    replay(kind, bare)
    for declared in DECLARED.values():
        refused(declared, (kind, bare))


def test_those_consulted_decide_by_weighted_quorum():
    intake = gather([Proposal("p1", "x", 1, 1, 0.1), Proposal("p2", "x", 1, 1, 0.2)])
    other = seal(FirstToQuorumArbiter(0.6), intake)[1]
    told = {**CONSULTED, "body": other}
    sealed = seal(WEIGHTED, escalated(parent=WEAK, told=told), panel=PANEL)
    refused(DECLARED["escalate"], sealed, "another rule")
    assert INNER["rule"] == "weighted-quorum/1"
    assert VOICE.expert_id == "peer-consult"


def test_one_step_and_only_after_a_refusal():
    once = {k: v for k, v in STEPS["widen"][1].items() if k != "panel"}
    twice = seal(WEIGHTED, intake_of([*WIDER, ("fay", "y", 1, 1)], parent=once), panel=PANEL)
    refused(DECLARED["widen"], twice, "more than one step")
    low = {**DECLARED["widen"], "parameters": {"quorum": "1/2"}}
    rows = [(e, "x", 1, w) for e, _, _, w in ROWS]
    committed = seal(WeightedQuorumArbiter(0.5), intake_of(rows))[1]
    intake = intake_of([*rows, ("eve", "y", 1, 30)], parent=committed)
    overturned = seal(WeightedQuorumArbiter(0.5), intake, panel=PANEL)
    refused(low, overturned, "a step follows a refusal")


def test_a_decision_that_only_dropped_the_absentee_is_refused():
    sealed = seal(WeightedQuorumArbiter(0.9), intake_of([("ann", "x", 1, 2)]), panel=PANEL)
    refused(BASE, sealed, "the roster is not the one")


@pytest.mark.parametrize(
    ("arbiter", "parameters"),
    [
        (RankedRunoffArbiter(0.5, options=["x", "X ", "y"]), {"options": ["x", "X ", "y"]}),
        (FirstToQuorumArbiter(0.5), {"early": "certain"}),
        (SynthesisArbiter(0.5), {"synthesizer": "synthesizer", "ratify": True}),
        (WeightedQuorumArbiter(0.5, normalize=by_case), {"normalize": "custom"}),
    ],
)
def test_every_protocol_is_held_to_its_parameters(arbiter, parameters):
    sealed = seal(arbiter, intake_of(ROWS), panel=PANEL)
    declared = {
        "protocol": arbiter.protocol,
        "parameters": {"quorum": "1/2", **parameters},
        "roster": ROSTER,
    }
    held(declared, sealed)
    for name in parameters:
        for value in ("other", None):
            changed = {**declared["parameters"], name: value}
            refused({**declared, "parameters": changed}, sealed, "the parameters")


def test_an_unknown_panel_and_none():
    with pytest.raises(VerificationError, match="no panel"):
        replay(*STEPS["first"], ReplayContext())
    context = ReplayContext()
    replay(*seal(WEIGHTED, intake_of(ROWS)), context)
    replay(*seal(WeightedQuorumArbiter(normalize=by_case), intake_of(ROWS)), context)
    assert (context.unbound, context.own_normalisers) == (2, 1)


def test_own_functions_in_a_consultation_are_counted_too():
    intake = gather([Proposal("p1", "x", 1, 1, 0.1), Proposal("p2", "x", 1, 1, 0.2)])
    inner = seal(WeightedQuorumArbiter(0.6, normalize=by_case), intake)[1]
    context = SimpleNamespace(notes=[], note_unbound=lambda: None)
    context.note_own_normaliser = lambda: context.notes.append(1)
    replay(*seal(WEIGHTED, escalated(parent=WEAK, told={**CONSULTED, "body": inner})), context)
    assert context.notes == [1]
    away = replace(intake_of(ROWS), absences=(Absence("dee", 1, "timeout"),))
    assert away.roster()["dee"] == 1


def test_verifying_a_ledger_counts_verdicts_by_own_functions():
    with Ledger.open("memory:") as ledger:
        for arbiter in (WEIGHTED, WeightedQuorumArbiter(normalize=by_case)):
            ledger.append(*seal(arbiter, intake_of(ROWS)))
        report = ledger.verify(replay=True)
        assert (report.own_normalisers, report.to_dict()["own_normalisers"]) == (1, 1)
        assert "1 verdict compared answers by a function of the maker's own" in report.describe()
        assert "maker's own" not in ledger.verify().describe()
