"""Thresholds, measurements and evidence as they are sealed, and computed again."""

import pytest
from collect_tools import DATA, SCOPE, SYSTEM, Place

from quorate.compliance.collect import seal_evidence, survey
from quorate.compliance.committing import (
    Measurement,
    Threshold,
    commit_threshold,
    described,
    record_measurement,
)  # fmt: skip
from quorate.compliance.sealed import replay
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Ledger

DOSSIER = {
    "rule": "dossier/1",
    "manifest": DATA,
    "as_of": "2026-11-21",
    "profile": "core",
    "system": SYSTEM,
    "declared": None,
}


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


def fix(ledger, value="19/20", comparison="at_least", **more):
    return commit_threshold(ledger, "recall", comparison, value, scope=SCOPE, by="J. Doe", **more)


def refused(ledger):
    with pytest.raises(VerificationError) as caught:
        ledger.verify(replay=True)
    assert caught.value.rule == "replay"
    assert caught.value.index == len(ledger) - 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("comparison", "value", "met"),
    [
        ("at_least", "0.95", True),
        ("at_least", "0.949999999999999999999", False),
        ("at_least", 0.95, True),
        ("at_most", "19/20", True),
        ("at_most", "0.950000000000000000001", False),
        ("at_most", 0, True),
    ],
)
def test_a_threshold_is_kept_exactly(ledger, comparison, value, met):
    sealed = record_measurement(
        ledger, fix(ledger, "0.95", comparison).seq, value, samples=10, dataset=DATA
    )
    assert sealed.payload["met"] is met
    assert ("does NOT keep" in described("measurement", sealed.payload)) is not met
    assert ledger.verify(replay=True).replayed == 2


def test_a_confidence_is_of_both(ledger):
    sealed = record_measurement(
        ledger, fix(ledger, confidence="0.99").seq, "0.96", samples=10, dataset=DATA
    )
    assert sealed.payload["confidence"] == "99/100"
    body = {**sealed.payload, "confidence": "1/2"}
    ledger.append("measurement", body)
    assert "confidence is 0.5, and that of the threshold in entry 0 is 0.99" in refused(ledger)


def test_forms_round_trip(ledger):
    threshold = fix(ledger, confidence="0.99")
    assert Threshold.from_dict(threshold.payload).to_dict() == threshold.payload
    made = record_measurement(ledger, threshold.seq, "0.96", samples=10, dataset=DATA)
    assert Measurement.from_dict(made.payload).to_dict() == made.payload
    assert "recall at least 0.95, at confidence 0.99" in described("threshold", threshold.payload)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"value": "many"}, "give a number"),
        ({"value": "1/0"}, "give a number"),
        ({"value": "1e999999999"}, "digits"),
        ({"value": "9" * 999}, "characters"),
        ({"value": float("nan")}, "nan"),
        ({"comparison": "about"}, "at_least"),
        ({"confidence": "1"}, "above 0 and below 1"),
        ({"confidence": 0}, "above 0 and below 1"),
    ],
)
def test_a_threshold_that_cannot_be_used(ledger, more, told):
    with pytest.raises(UsageError, match=told):
        fix(ledger, **more)
    assert len(ledger) == 0


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"samples": 0}, "1 or more"),
        ({"samples": True}, "whole number"),
        ({"dataset": "sha256:x"}, "64 lower-case hex"),
        ({"dataset": None}, "64 lower-case hex"),
        ({"threshold": 1}, "no entry 1"),
    ],
)
def test_a_measurement_that_cannot_be_used(ledger, more, told):
    given = {"threshold": fix(ledger).seq, "value": 1, "samples": 10, "dataset": DATA} | more
    with pytest.raises(UsageError, match=told):
        record_measurement(ledger, **given)
    assert len(ledger) == 1


def test_only_a_threshold_is_measured_against(ledger):
    ledger.append("note", {})
    with pytest.raises(UsageError, match="is of the kind 'note'"):
        record_measurement(ledger, 0, 1, samples=10, dataset=DATA)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"met": False}, "gives the opposite"),
        ({"met": 1}, "it is true or false"),
        ({"value": "1/10"}, "gives the opposite"),
        ({"metric": "precision"}, "metric is 'precision'"),
        ({"scope": {"system": "triage", "version": "3"}}, "scope is triage 3"),
        ({"threshold": {"seq": 0, "hash": "0" * 64}}, "that entry of this log has"),
        ({"threshold": {"seq": 5, "hash": "0" * 64}}, "does not come before it"),
        ({"value": 0.97}, "rational"),
        ({"samples": None}, "whole number"),
    ],
)
def test_a_measurement_that_does_not_follow(ledger, change, told):
    made = record_measurement(ledger, fix(ledger).seq, "0.97", samples=10, dataset=DATA)
    ledger.append("measurement", made.payload | change)
    assert told in refused(ledger)


def test_a_measurement_against_something_else_than_a_threshold(ledger):
    note = ledger.append("note", {})
    made = record_measurement(ledger, fix(ledger).seq, "0.97", samples=10, dataset=DATA)
    named = {"threshold": {"seq": note.seq, "hash": note.entry_hash}}
    ledger.append("measurement", made.payload | named)
    assert "as its threshold, and that is a note" in refused(ledger)


@pytest.mark.parametrize("kind", ["evidence", "threshold", "measurement", "drill"])
@pytest.mark.parametrize("body", [None, [], {}, {"rule": "threshold/9"}, "text", 7])
def test_what_is_none_of_these(ledger, kind, body):
    ledger.append(kind, body)
    assert f"the {kind} is not sound" in refused(ledger)


def test_evidence_that_names_its_own_receipt_is_none(ledger):
    body = {
        "field": "art_12.par_1", "status": "passed", "source": "somebody",
        "time": "2026-11-21T09:30:00Z", "expires": None, "scope": SCOPE, "digest": None,
        "data": {}, "entries": [],
    }  # fmt: skip
    ledger.append("evidence", body)
    assert ledger.verify(replay=True).replayed == 1
    ledger.append("evidence", {**body, "receipt": None})
    assert "which no body can" in refused(ledger)


def test_what_a_collector_shows_names_what_it_is_from(ledger):
    body = {
        "field": "art_14.par_4.e", "status": "passed", "source": "quorate.collect.halt_drill",
        "time": "2026-11-21T09:30:00Z", "expires": None, "scope": SCOPE, "digest": None,
        "data": {}, "entries": [],
    }  # fmt: skip
    # What a broken ledger shows failed is sealed elsewhere, and names nothing there.
    ledger.append("evidence", body | {"status": "failed"})
    assert ledger.verify(replay=True).replayed == 1
    ledger.append("evidence", body)
    assert "names the entries that it is from" in refused(ledger)


def test_another_kind_is_refused():
    with pytest.raises(VerificationError):
        replay("decision", {})


def test_each_can_be_explained(tmp_path, capsys):
    from quorate.cli.app import run

    place = Place(tmp_path)
    place.decide("one")
    place.drill("halt")
    place.declare()
    with place.open() as ledger:
        threshold = fix(ledger)
        record_measurement(ledger, threshold.seq, "0.9", samples=10, dataset=DATA)
        found = survey(ledger, policy=place.policy, system=SYSTEM, now=place.clock.moment)
        passed = [item for item in found.items if item.status == "passed"]
        seal_evidence(ledger, passed, collected=found)
        ledger.append("dossier", DOSSIER)
        told = {receipt.kind: receipt.seq for receipt in ledger}
    for kind, words in (
        ("threshold", "J. Doe fixed for triage 2.1.0: recall at least 0.95"),
        ("measurement", "that does NOT keep the threshold of entry"),
        ("drill", "A drill of triage 2.1.0 by J. Doe (halt)"),
        ("evidence", "for triage 2.1.0: passed, by quorate.collect."),
        ("system", "J. Doe declared the entries from 0 on the record of triage 2.1.0"),
        ("dossier", "2026-11-21"),
    ):
        assert run(["explain", str(told[kind]), "--ledger", str(place.path)]) == 0
        assert words in capsys.readouterr().out
