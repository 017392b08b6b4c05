"""A report with every kind of line, its evidence, and the bundles of the ledger that seals it."""

import json
from functools import cache

from evidence_tools import KEY, ORIGIN, POLICY, SEALED, SYSTEM, TODAY, item

from quorate.compliance import Evidence, EvidenceSet, evaluate
from quorate.compliance.dossier import verify_dossier
from quorate.compliance.dossier.composing import manifest
from quorate.compliance.report import ComplianceReport
from quorate.core.canonical import parse
from quorate.ledger import Ledger

NASTY = "x\x1b[31m\u202e <script>alert(1)</script> | [a](http://evil.example) `b` **c**"
FIELDS = (
    "eventLogging", "riskAssessment", "riskManagementSystem", "dataGovernance",
    "cybersecurityControls", "annex_iv.point_1.a", "annex_iv.point_2.g", "annex_iv.point_4",
    "technicalDocumentation", "art_14.par_4.e", "art_9.par_2.d", "accuracyMetrics",
)  # fmt: skip


@cache
def several_states():
    """Evidence that makes shown, failed, stale, unsealed and missing checks; and bundles."""
    items = [item(field) for field in FIELDS]
    items.append(item("overrideControl", status="failed", data={"reason": NASTY}, source=NASTY))
    items.append(item("biasExamination", time="2024-01-01T00:00:00Z"))
    return made(items, unsealed=[item("humanOversight")])


def made(items, unsealed=(), before=3, system=SYSTEM):
    """Seal items after a few notes; every second one names those notes as what it is made of."""
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED) as ledger:
        for number in range(before):
            ledger.append("note", {"n": number})
        notes = [{"seq": seq, "hash": ledger.get(seq).entry_hash} for seq in range(before)]
        named = [
            Evidence.model_validate(each.to_dict() | {"entries": notes if n % 2 == 0 else []})
            for n, each in enumerate(items)
        ]
        receipts = [ledger.append("evidence", each.body()) for each in named]
        bundles = ledger.bundles(range(len(ledger))) if len(ledger) else []
    bound = [each.sealed_by(receipt) for each, receipt in zip(named, receipts, strict=True)]
    return EvidenceSet(system, (*bound, *unsealed), tuple(receipts)), bundles


def reported(evidence, profile="core", policy=POLICY):
    return evaluate(evidence, profile, TODAY, policy=policy)


def mended(folder):
    """Write the manifest again over what lies there, as a forger would."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    report = ComplianceReport.from_dict(parse((folder / "report.json").read_text("utf-8")))
    (folder / "manifest.json").write_bytes(manifest(files, report))
    return folder


def edited(path, change):
    """Edit a JSON file in place, as it would be written."""
    members = parse(path.read_text("utf-8"))
    change(members)
    path.write_text(json.dumps(members, ensure_ascii=False, indent=1) + "\n", "utf-8")


def found(folder, policy=POLICY):
    report = verify_dossier(folder, policy)
    assert not report.verified
    assert report.report is None
    assert report.describe().startswith("the dossier does NOT verify")
    assert report.to_dict()["verified"] is False
    return [(each.path, each.rule) for each in report.problems]
