"""Receipts: an item counts once a trusted key sealed exactly it, in a log, in time."""

import pytest
from evidence_tools import (
    DATA,
    KEY,
    ORIGIN,
    POLICY,
    SEALED,
    STRANGER,
    SYSTEM,
    TODAY,
    core_items,
    evidence,
    item,
    sealed,
)

from quorate.compliance import EvidenceSet, System, evaluate
from quorate.compliance.sealing import unbound
from quorate.compliance.times import microseconds
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Policy

LOGGING = "EUAIACT-ART12-001"


def report(given, as_of=TODAY, **named):
    named.setdefault("policy", POLICY)
    return evaluate(given, "core", as_of, **named)


def unsigned_reason(given, **named):
    result = report(given, **named).result(LOGGING)
    assert result.state == "unsigned"
    return result.items[0].reason


def test_an_unsealed_item():
    given = EvidenceSet(SYSTEM, (item("eventLogging"),))
    assert unsigned_reason(given) == "it is not sealed in any ledger"


def test_without_a_policy_nothing_is_sealed():
    found = evaluate(evidence(*core_items()), "core", TODAY)
    assert len(found.unsigned) == 19
    assert found.results[0].items[0].reason == (
        "no policy names the keys that may seal evidence; name them"
    )
    assert "name the keys" in found.results[0].advice


def test_a_receipt_that_is_not_given():
    bound, _ = sealed([item("eventLogging")])
    assert unsigned_reason(EvidenceSet(SYSTEM, tuple(bound))) == (
        "the receipt of entry 0 of example.org/evidence is not among those given"
    )


def test_receipts_may_come_beside_the_evidence():
    bound, receipts = sealed([item("eventLogging")])
    for beside in (receipts, [each.to_dict() for each in receipts]):
        found = report(EvidenceSet(SYSTEM, tuple(bound)), receipts=beside)
        assert found.result(LOGGING).state == "shown"


def test_a_strangers_receipt():
    given = evidence(item("eventLogging"), signer=STRANGER)
    assert "does not verify: entry 0: signed by 0 trusted keys" in unsigned_reason(given)


def test_a_receipt_of_another_log():
    given = evidence(item("eventLogging"), origin="example.org/other")
    assert "the policy is for 'example.org/evidence' [origin]" in unsigned_reason(given)


def test_too_few_signatures():
    other = Ed25519Signer(b"\x05" * 32)
    strict = Policy((KEY.verifier, other.verifier), 2, ORIGIN)
    reason = unsigned_reason(evidence(item("eventLogging")), policy=strict)
    assert "signed by 1 trusted keys, 2 needed" in reason


def test_a_receipt_of_another_kind():
    given = evidence(item("eventLogging"), kind="note")
    assert unsigned_reason(given) == (
        "entry 0 of example.org/evidence is of the kind 'note', not 'evidence'"
    )


def test_a_receipt_of_another_item():
    bound, receipts = sealed([item("eventLogging"), item("riskAssessment")])
    moved = bound[0].model_copy(update={"receipt": bound[1].receipt})
    assert unsigned_reason(EvidenceSet(SYSTEM, (moved,), tuple(receipts))) == (
        "entry 1 of example.org/evidence seals another item than this one"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"source": "somebody else"},
        {"time": "2026-11-20T09:00:01Z"},
        {"digest": "sha256:" + "0" * 64},
        {"expires": "2030-01-01T00:00:00Z"},
        {"data": DATA["log-range"] | {"silence_seconds": 1}},
        {"scope": {"system": "triage", "version": "2.1.1"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_item_changed_after_it_was_sealed(change):
    bound, receipts = sealed([item("eventLogging")])
    forged = item("eventLogging", **change).sealed_by(receipts[0])
    system = System(name="triage", version=forged.scope.version, role="both")
    reason = unsigned_reason(EvidenceSet(system, (forged,), tuple(receipts)))
    assert reason.startswith("entry 0 of example.org/evidence seals another item than this one")
    assert bound[0] != forged


@pytest.mark.parametrize("part", ["body", "salt", "signatures", "seq", "origin", "kind"])
def test_a_tampered_receipt(part):
    whole = evidence(item("eventLogging"), before=1).to_dict()
    receipt = whole["receipts"][0]
    if part == "body":
        receipt["body"]["source"] = "forged"
    elif part == "salt":
        receipt["salt"] = "0" * 64
    elif part == "signatures":
        signature = receipt["signatures"][0]["signature"]
        receipt["signatures"][0]["signature"] = ("0" if signature[0] != "0" else "1") + (
            signature[1:]
        )
    elif part == "origin":
        receipt["origin"] = "example.org/forged"
    elif part == "seq":
        receipt["entry"]["seq"] = 7
    else:
        receipt["entry"]["kind"] = "note"
    reason = unsigned_reason(whole)
    # What changes the entry or the log's name makes it another receipt than the one named.
    other = part in ("origin", "seq", "kind")
    assert ("is not among those given" if other else "does not verify: ") in reason


@pytest.mark.parametrize("first", [True, False])
def test_a_broken_twin_takes_nothing_from_a_good_receipt(first):
    whole = evidence(item("eventLogging")).to_dict()
    good = whole["receipts"][0]
    broken = {**good, "body": {**good["body"], "source": "forged"}}
    whole["receipts"] = [broken, good] if first else [good, broken]
    assert report(whole).result(LOGGING).state == "shown"
    whole["receipts"] = [broken, broken]
    assert "does not verify: " in unsigned_reason(whole)


def test_a_policy_without_a_log_is_told_of():
    assert unbound(POLICY) is None
    assert unbound(None) is None
    anywhere = Policy((KEY.verifier,), 1)
    assert unbound(anywhere).startswith("the policy names no log: ")
    # What the warning is about: another log of the same key counts.
    given = evidence(item("eventLogging"), origin="example.org/other")
    assert report(given, policy=anywhere).result(LOGGING).state == "shown"


def test_a_receipt_that_cannot_be_read():
    whole = evidence(item("eventLogging")).to_dict()
    del whole["receipts"][0]["salt"]
    assert unsigned_reason(whole) == (
        "the receipt of entry 0 of example.org/evidence is not among those given that can be "
        "read; 1 receipt cannot, the first because a receipt is an object with exactly "
        "['body', 'entry', 'origin', 'receipt', 'salt', 'signatures']"
    )


def test_sealed_after_the_day():
    at = microseconds("2026-11-22T00:00:00Z")
    assert "after the day of the evaluation" in unsigned_reason(
        evidence(item("eventLogging"), at=at)
    )
    shown = report(evidence(item("eventLogging"), at=at - 1))
    assert shown.result(LOGGING).state == "shown"


def test_dated_ahead_to_last_longer():
    dated = item("eventLogging", time="2027-11-01T00:00:00Z")
    given = evidence(dated, at=SEALED)
    assert "before the item's time" in unsigned_reason(given, as_of="2028-01-01")
