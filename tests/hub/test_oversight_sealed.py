"""Sealed oversight computed again: what a verifier refuses."""

import pytest

from quorate.core.errors import VerificationError
from quorate.hub import Expert, Hub
from quorate.hub.oversight import KIND, Oversight
from quorate.hub.oversight.sealed import replay
from quorate.ledger import Ledger
from quorate.ledger.replay import ReplayContext


def body(event, **more):
    return {"rule": "oversight/1", "event": event, "by": "J. Doe", "reason": "because", **more}


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


@pytest.fixture
def decision(ledger):
    return Hub([Expert("a", lambda _: "yes", confidence=1)], ledger=ledger).dispatch("q").receipt


def named(receipt, **more):
    return {"decision": {"seq": receipt.seq, "hash": receipt.entry_hash}, **more}


def refused(ledger):
    with pytest.raises(VerificationError) as caught:
        ledger.verify(replay=True)
    assert caught.value.rule == "replay"
    assert caught.value.index == len(ledger) - 1
    return str(caught.value)


def test_what_people_did_is_computed_again(ledger, decision):
    oversight = Oversight(ledger)
    oversight.halt("A", "one")
    oversight.halt("B", "two")
    oversight.override(decision.seq, "A", "not so", "no")
    oversight.override(decision.seq, "B", "nor so")
    oversight.resume("A", "on", halt=1)
    assert ledger.verify(replay=True).replayed == 6


def test_what_was_sealed_by_the_first_rule_is_computed_as_it_was(ledger):
    for _ in range(2):
        ledger.append(KIND, body("halt"))
    ledger.append(KIND, body("resume", halt=1))
    assert ledger.verify(replay=True).replayed == 3
    assert Oversight(ledger).halted is None


def test_a_resume_of_what_is_no_halt_in_force(ledger):
    for _ in range(2):
        ledger.append(KIND, body("halt"))
    ledger.append(KIND, body("resume", halt=0) | {"rule": "oversight/2"})
    assert ledger.verify(replay=True).replayed == 3
    assert Oversight(ledger).halted.seq == 1
    ledger.append(KIND, body("resume", halt=0) | {"rule": "oversight/2"})
    assert "entry 0 is no halt in force" in refused(ledger)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (body("resume", halt=0), "nothing is halted"),
        (body("halt", halt=0), "none of halt, resume, override"),
        (body("pause"), "none of halt, resume, override"),
        (body("resume"), "none of halt, resume, override"),
        (body("override", answer=1), "none of halt, resume, override"),
        ({**body("halt"), "rule": "oversight/2"}, "this version reads oversight/1"),
        ({**body("halt"), "by": "A\nB"}, "give a person's name"),
        ({**body("halt"), "reason": ""}, "0 characters"),
        ({**body("halt"), "extra": 1}, "unknown keys"),
        ("halt", "should be an object"),
        (body("override", decision={"seq": 9, "hash": "0" * 64}), "does not come before it"),
        (body("override", decision={"seq": True, "hash": "0" * 64}), "whole number"),
        (body("override", decision={"seq": 0, "hash": "x"}), "64"),
    ],
)
def test_what_is_none(ledger, decision, wrong, told):
    ledger.append(KIND, wrong)
    assert told in refused(ledger)


def test_a_resume_that_lifts_another_halt_than_the_last(ledger):
    for _ in range(2):
        ledger.append(KIND, body("halt"))
    ledger.append(KIND, body("resume", halt=0))
    assert "is not the last one" in refused(ledger)


def test_an_override_by_another_hash(ledger, decision):
    ledger.append(KIND, body("override", decision={"seq": decision.seq, "hash": "0" * 64}))
    assert f"that entry of this log has {decision.entry_hash}" in refused(ledger)


def test_an_override_of_what_is_no_decision(ledger):
    halt = ledger.append(KIND, body("halt"))
    ledger.append(KIND, body("override", **named(halt)))
    assert "only decisions are overridden" in refused(ledger)


def test_a_second_override_by_one_person(ledger, decision):
    for answer in ("no", "maybe"):
        ledger.append(KIND, body("override", **named(decision, answer=answer)))
    assert "one person overrides a decision once" in refused(ledger)


def test_an_override_carried_to_another_log(ledger, decision):
    with Ledger.open("memory:") as other:
        Hub([Expert("a", lambda _: "yes", confidence=1)], ledger=other).dispatch("q")
        other.append(KIND, body("override", **named(decision, answer="no")))
        assert "that entry of this log has" in refused(other)


def test_a_body_is_checked_on_its_own_where_the_log_is_not_at_hand(decision):
    for context in (None, ReplayContext()):
        if context is not None:
            context.seq = 7
        replay(KIND, body("override", **named(decision)), context)
        with pytest.raises(VerificationError):
            replay(KIND, body("pause"), context)
    with pytest.raises(VerificationError):
        replay("decision", body("halt"))
