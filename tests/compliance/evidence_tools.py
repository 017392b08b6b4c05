"""Evidence that fits: data for each schema, items, and a ledger that seals them."""

from quorate.compliance import Evidence, EvidenceSet, System, load_catalogue, load_profile
from quorate.compliance.schema_tests import ATTACK_CLASSES, VERBS
from quorate.compliance.schemas import FIELD_NEEDS, FIELD_SCHEMAS
from quorate.compliance.times import microseconds
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, Policy

KEY = Ed25519Signer(b"\x01" * 32)
STRANGER = Ed25519Signer(b"\x03" * 32)
ORIGIN = "example.org/evidence"
POLICY = Policy((KEY.verifier,), 1, ORIGIN)
TODAY = "2026-11-21"
TIME = "2026-11-20T09:00:00Z"
SEALED = microseconds("2026-11-20T10:00:00Z")
SYSTEM = System(name="triage", version="2.1.0", role="both", category="annex_iii")
DIGEST = "sha256:" + "ab" * 32
HEX = "cd" * 32
PERSON = {"name": "A. Muster", "role": "risk owner", "contact": "risk@example.org"}
RANGE = {
    "origin": "example.org/log", "first": 0, "last": 9,
    "since": "2026-11-01T00:00:00Z", "until": "2026-11-20T00:00:00Z",
}  # fmt: skip
COMMITTED = {"seq": 3, "hash": HEX, "time": "2026-11-01T00:00:00Z"}
METRIC = {"name": "accuracy", "value": 0.93, "threshold": 0.9, "direction": "at_least"}
RESIDUAL = {"level": "low", "acceptable": True, "accepted_by": PERSON, "date": "2026-11-01"}
SERIES = {
    "metric": "accuracy", "threshold": 0.9, "direction": "at_least",
    "points": [
        {"version": "2.1.0", "time": "2026-11-02T00:00:00Z", "value": 0.93, "samples": 400}
    ],
}  # fmt: skip


def drill(kind):
    common = {
        "kind": kind, "started": "2026-11-19T10:00:00Z", "acted": "2026-11-19T10:00:05Z",
        "ended": "2026-11-19T10:00:09Z", "by": "A. Muster", "reason": "drill", "before": 3,
        "after": 0, "effective": True,
    }  # fmt: skip
    if kind == "halt":
        return common | {"refused": 2, "resumed": True}
    return common | {"after": 1, "decision": 4, "override": 6}


DATA = {
    "document": {
        "title": "Technical documentation", "version": "7", "date": "2026-10-01",
        "owner": PERSON, "system_version": "2.1.0", "released": "2026-11-01",
        "links": ["risk register 4"],
    },
    "instructions": {
        "title": "Instructions for use", "version": "3", "date": "2026-10-01", "owner": PERSON,
        "system_version": "2.1.0", "languages": ["de", "en"], "metrics": {"accuracy": 0.93},
    },
    "declaration": {
        "title": "EU declaration", "version": "1", "date": "2026-10-01", "owner": PERSON,
        "signed_by": PERSON,
    },
    "register": {
        "title": "Risk register", "version": "4", "owner": PERSON, "interval_days": 120,
        "reviews": [
            {"date": "2026-07-01", "by": "board", "trigger": "quarterly", "outcome": "kept"},
            {"date": "2026-10-01", "by": "board", "trigger": "release 2.1", "outcome": "1 added"},
        ],
    },
    "hazards": {
        "hazards": [
            {
                "id": "H1", "title": "wrong triage", "category": "health", "source": "incidents",
                "analysis": "a rare symptom is taken for a common one", "severity": "high",
                "likelihood": "unlikely", "misuse": True, "redteam": "RT-7",
                "monitoring": ["M-12"], "measures": ["C1"], "residual": RESIDUAL,
            }
        ],
        "overall": RESIDUAL,
    },
    "measures": {
        "measures": [
            {
                "id": "C1", "hazards": ["H1"], "kind": "mitigate", "status": "in_place",
                "description": "a quorum of models decides", "tests": ["T1"],
                "why_not_eliminated": "no model is free of error", "section": "4.2",
            }
        ]
    },
    "test-run": {
        "tests": [
            {
                "id": "T1", "started": "2026-11-02T00:00:00Z", "metrics": [METRIC],
                "finished": "2026-11-02T01:00:00Z", "measures": ["C1"], "thresholds": COMMITTED,
                "results": {"seq": 8, "hash": HEX, "time": "2026-11-02T01:00:00Z"},
            }
        ],
        "tool": "bench 1.0",
        "real_world": "plan RW-1",
    },
    "datasets": {
        "datasets": [
            {
                "name": "wards-2025", "purpose": "testing", "digest": DIGEST, "records": 400,
                "governance": dict.fromkeys(
                    (
                        "choices", "origin", "preparation", "assumptions", "suitability",
                        "bias_examination", "bias_measures", "gaps",
                    ),
                    "told in section 3",
                ),
                "personal_data": False,
                "statistics": {
                    "missing_rate": 0.01, "label_error": 0.02,
                    "groups": [{"group": "over 65", "count": 120, "target": 0.3}],
                },
                "setting": {
                    "geographic": "DE", "contextual": "wards", "behavioural": "nurses",
                    "functional": "triage",
                },
            }
        ]
    },
    "bias": {
        "examinations": [
            {
                "dataset": "wards-2025", "metric": "equal opportunity",
                "groups": ["over 65", "others"], "value": 0.02, "finding": "small",
                "measures": ["reweighing"],
            }
        ]
    },
    "attestation": {
        "statement": "it was considered", "by": PERSON, "date": "2026-10-01",
        "basis": "workshop of September", "applies": False, "references": ["minutes 12"],
    },
    "pointers": {"items": {}, "owner": PERSON},
    "changes": {
        "changes": [
            {"version": "2.1.0", "date": "2026-10-01", "what": "model 7", "seq": 2, "hash": HEX}
        ]
    },
    "standards": {
        "standards": [
            {"reference": "EN 18286:2026", "title": "QMS", "part": "part", "cited": False}
        ],
        "solutions": ["section 9 of the documentation"],
    },
    "plan": {
        "title": "Monitoring plan", "version": "2", "date": "2026-10-01", "owner": PERSON,
        "cadence": "weekly", "collects": ["overrides"], "links": ["Annex IV, 9"],
    },
    "registration": {
        "database": "EU", "id": "EU-1", "date": "2026-10-01", "section": "public",
        "released": "2026-11-01",
    },
    "incidents": {
        "since": "2026-01-01T00:00:00Z", "until": "2026-11-20T00:00:00Z", "procedure": "P-4",
        "by": PERSON,
        "incidents": [
            {
                "id": "I1", "kind": "serious", "aware": "2026-05-01T00:00:00Z",
                "reported": "2026-05-16T00:00:00Z", "authority": "BfArM",
            }
        ],
    },
    "contact": {"people": [PERSON], "channel": "phone", "answer_within_minutes": 15},
    "log-range": {
        "range": RANGE, "entries": 10, "silence_seconds": 60, "bound_seconds": 3600,
        "from_start": True, "kinds": {"decision": 9, "panel": 1},
    },
    "event-kinds": {
        "range": RANGE, "kinds": {"decision": 8, "refusal": 1, "panel": 1}, "covers": {},
        "links": ["plan 2"],
    },
    "retention": {
        "range": RANGE, "oldest": "2026-01-01T00:00:00Z", "newest": "2026-11-20T00:00:00Z",
        "required_days": 184, "deletions": [],
    },
    "decisions": {
        "range": RANGE, "decisions": 9, "committed": 8, "refused": 1, "with_support": 9,
        "with_dissent": 9, "with_reason": 9,
    },
    "drill": drill("halt"),
    "drills": {"halt": drill("halt"), "override": drill("override")},
    "metric-series": {
        "series": [SERIES], "declared": {"accuracy": 0.93}, "instructions": DIGEST,
    },
    "redundancy": {
        "n": 7, "faults": 2, "quorum": 5, "effective_faults": 0,
        "domains": [{"attribute": "host", "groups": 1, "largest": 7, "faults": 0}],
        "limit": "one host", "no_quorum": "the task is refused",
    },
    "redteam-run": {
        "target": "triage", "tool": "quorate redteam", "seed": "7", "resilience": 0.9,
        "required": 0.8, "classes": ["adversarial_examples"],
        "strategies": [
            {
                "id": "RT-CRESCENDO", "category": "multi_turn", "severity": "critical",
                "probes": 10, "successes": 1,
            }
        ],
    },
    "fault-injection": {
        "injections": [{"fault": "an expert crashes", "count": 20, "handled": 20}],
        "tool": "soak",
    },
    "attack-matrix": {
        "cells": {
            each: {
                verb: {"test": "T9"} if verb == "detect" else {"not_applicable": "not trained"}
                for verb in VERBS
            }
            for each in ATTACK_CLASSES
        }
    },
    "oversight": {
        "overseers": [{**PERSON, "training": "course 3"}], "hooks": ["quorate halt"],
        "measures": [{"id": "O1", "location": "built_in", "description": "halt"}],
        "anomalies": "dissent above a third pages the duty officer", "hazards": ["H1"],
        "commensurate": "it only proposes",
    },
    "automation-bias": {"notice": "banner", "reviewed": 50, "accepted": 44},
    "two-persons": {"decisions": {"4": ["key1", "key2"]}},
    "monitoring": {
        "watches": ["dissent"], "every_seconds": 60, "last": TIME, "alerts_to": PERSON,
        "events": 12, "plan": "plan 2",
    },
    "tool-attestation": {
        "server": "files", "tools": [{"name": "read", "digest": DIGEST}], "checked": TIME,
    },
    "anchor": {
        "network": "example", "reference": "tx 1", "root": HEX, "size": 10, "anchored": TIME,
    },
    "scores": {"framework": "NIST AI RMF", "scores": {}, "required": 0.5, "assessor": PERSON},
    "payment": {
        "scheme": "exact", "network": "example", "transaction": "tx 2", "amount": "1/100",
        "asset": "EUR", "settled": True,
    },
    "fuzzing": {"targets": ["parser"], "runs": 1000, "seed": "3", "found": 1, "fixed": 1},
    "audit": {
        "auditor": "C. Prüfer", "independent": True, "criteria": "core", "entries_checked": 10,
        "findings": {"F1": "mended"}, "open_findings": 0,
    },
}  # fmt: skip
"""Schema -> data that fit it; what single fields need beyond it, ``data_for`` fills in."""

_FILLINGS = {"sections": "section 1", "items": "handbook 4", "covers": ["decision"], "scores": 0.7}


def data_for(schema, needs):
    """Data of a schema that meet the needs too."""
    data = dict(DATA[schema])
    for need in needs:
        head, _, tail = need.partition(".")
        if head in _FILLINGS and tail:
            data[head] = {**data.get(head, {}), tail: _FILLINGS[head]}
        elif head == "kind=override":
            data = drill("override")
    if schema == "pointers" and not data["items"]:
        data["items"] = {"all": "handbook"}
    if schema == "event-kinds" and not data["covers"]:
        data["covers"] = {"risk": ["decision"]}
    if schema == "scores" and not data["scores"]:
        data["scores"] = {"all": 0.7}
    return data


def form_of(field):
    """Schema and needs of a field or an obligation."""
    if field in FIELD_SCHEMAS:
        return FIELD_SCHEMAS[field].NAME, FIELD_NEEDS[field]
    obligation = load_catalogue()[field]
    return obligation.schema, obligation.needs


def item(field, **changes):
    """A passed item with data that fit, not sealed."""
    members = {
        "field": field,
        "status": "passed",
        "source": "test",
        "time": TIME,
        "scope": {"system": SYSTEM.name, "version": SYSTEM.version},
        "digest": DIGEST,
        "data": changes.pop("data", None) or data_for(*form_of(field)),
    }
    return Evidence.model_validate(members | changes)


def sealed(items, *, kind="evidence", signer=KEY, origin=ORIGIN, at=SEALED, before=0):
    """Seal items in a log of their own: items with receipts, and the receipts."""
    with Ledger.open("memory:", signer=signer, origin=origin, clock=lambda: at) as ledger:
        for number in range(before):
            ledger.append("note", {"n": number})
        receipts = [ledger.append(kind, each.body()) for each in items]
    return [each.sealed_by(r) for each, r in zip(items, receipts, strict=True)], receipts


def evidence(*items, system=SYSTEM, **how):
    """A set of sealed evidence."""
    bound, receipts = sealed(items, **how)
    return EvidenceSet(system, tuple(bound), tuple(receipts))


def core_items():
    """One item for each of the 19 core checks."""
    return [item(field) for field in load_profile("core").fields]
