"""Declarations that contradict themselves: each check of a panel stands without the others."""

from rosters import intake_of
from test_held_to_panel import DECLARED, ESCALATION, PANEL, STEPS, WEAK, WEIGHTED, refused
from test_sealed_protocols import CONSULTED, ROWS, escalated, seal

from quorate.arbitration import Proposal, RankedRunoffArbiter, gather


def test_a_fallback_that_is_named_decides_only_under_its_policy():
    for way in ("raise", "widen", "escalate"):
        declared = {**DECLARED["fallback"], "on_under_quorum": way}
        refused(declared, STEPS["fallback"], "a fallback expert decided")


def test_others_that_are_named_are_consulted_only_under_its_policy():
    for way in ("raise", "widen", "fallback"):
        declared = {**DECLARED["escalate"], "on_under_quorum": way, "fallback": "bob"}
        refused(declared, STEPS["escalate"], "others were consulted")


def test_those_consulted_do_not_decide_by_a_runoff_with_the_same_parameters():
    sent = [Proposal("p1", "x", 1, 1, 0.1), Proposal("p2", "x", 1, 1, 0.2)]
    kind, other = seal(RankedRunoffArbiter(0.6), gather(sent))
    assert (kind, other["parameters"]) == ("decision", CONSULTED["body"]["parameters"])
    assert other["parameters"]["quorum"] == ESCALATION["quorum"]
    intake = escalated(parent=WEAK, told={**CONSULTED, "body": other})
    refused(DECLARED["escalate"], seal(WEIGHTED, intake, panel=PANEL), "another rule")


def test_a_reserve_that_is_named_joins_only_under_its_policy():
    wider = intake_of([*ROWS, ("eve", "x", 1, 30)], parent=WEAK)
    sealed = seal(WEIGHTED, wider, panel=PANEL)
    for way in ("raise", "escalate", "fallback"):
        refused({**DECLARED["widen"], "on_under_quorum": way}, sealed, "a wider roster was asked")
