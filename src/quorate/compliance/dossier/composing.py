"""The files of a dossier, computed from what it holds; the same when written and when verified."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import quorate
from quorate.compliance.coverage import Coverage
from quorate.compliance.dossier.annex import annex
from quorate.compliance.dossier.declared import declaration_in
from quorate.compliance.dossier.pages import annex_html, annex_markdown
from quorate.compliance.dossier.verdict import UNTIED
from quorate.compliance.evaluation import evaluate
from quorate.compliance.evidence import EvidenceSet
from quorate.compliance.profiles import Profile
from quorate.compliance.rendering import render_html, render_markdown
from quorate.compliance.report import ComplianceReport
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.core.identity import Ed25519Verifier
from quorate.ledger import Bundle, Policy, Receipt

FORMAT: Final = "quorate/dossier/1"

MANIFEST: Final = "manifest.json"
REPORT: Final = "report.json"
EVIDENCE: Final = "evidence.json"
COVERAGE: Final = "coverage.json"
CHECKPOINT: Final = "checkpoint.note"
POLICY: Final = "policy.toml"
PROFILE: Final = "profile.toml"
BUNDLES: Final = "bundles"
DOCUMENTS: Final = "documents"


@dataclass(frozen=True, slots=True)
class Contents:
    """What a dossier holds, before it is laid out.

    Attributes:
        report: under the profile.
        evidence: with the system of the report.
        bundles: of all entries that evidence names, and of the one that declares the system,
            by number.
        policy: its text.
        profile: text of the profile where it is one's own, else ``None``.
        documents: name -> content.
        coverage: what is known of the ledger behind it, where it was surveyed.
    """

    report: ComplianceReport
    evidence: EvidenceSet
    bundles: Mapping[int, Bundle]
    policy: str
    profile: str | None
    documents: Mapping[str, bytes]
    coverage: Coverage | None = None


def compose(contents: Contents, policy: Policy) -> dict[str, bytes]:
    """All files but the manifest: path -> content.

    Raises:
        OperationalError: the pages cannot be made, for want of the extra ``reports``.
        UsageError: something in it cannot be written.
    """
    bundles = {seq: bundle_path(seq) for seq in contents.bundles}
    documents = {
        digest_of(content): f"{DOCUMENTS}/{name}" for name, content in contents.documents.items()
    }
    report = contents.report
    full = evaluated(contents, policy, "full")
    laid_out = annex(report, full, contents.evidence, bundles, documents)
    notes = {each.note for each in contents.bundles.values()}
    note = next(iter(notes), None)
    declared = declaration_in(contents.bundles, report.system)
    known = contents.coverage
    # Where no entry lies in it, the pages say so themselves.
    notices = () if contents.bundles else (f"This dossier is of no ledger. {UNTIED}",)
    files = {
        REPORT: _json(report.to_dict()),
        EVIDENCE: _json(contents.evidence.to_dict()),
        "report.html": render_html(
            report, bundles=bundles, notices=notices, coverage=known
        ).encode(),
        "report.md": render_markdown(
            report, bundles=bundles, notices=notices, coverage=known
        ).encode(),
        "annex-iv.html": annex_html(report, full, laid_out, note, declared, known).encode(),
        "annex-iv.md": annex_markdown(report, full, laid_out, note, declared, known).encode(),
        POLICY: contents.policy.encode(),
        **{bundle_path(seq): each.to_text().encode() for seq, each in contents.bundles.items()},
        **{f"{DOCUMENTS}/{name}": content for name, content in contents.documents.items()},
    }
    if known is not None:
        files[COVERAGE] = _json(known.to_dict())
    if contents.profile is not None:
        files[PROFILE] = contents.profile.encode()
    if note is not None:
        files[CHECKPOINT] = note.encode()
    return files


def evaluated(contents: Contents, policy: Policy, profile: str | Profile) -> ComplianceReport:
    """What the evidence shows with the receipts of the bundles, and with no others."""
    return evaluate(
        replace(contents.evidence, receipts=()),
        profile,
        contents.report.as_of,
        policy=policy,
        receipts=[each.receipt for each in contents.bundles.values()],
    )


def sealing(evidence: EvidenceSet, bundles: Mapping[int, Bundle]) -> tuple[Receipt, ...]:
    """The receipts that seal the items, from the bundles, in order."""
    numbers = {item.receipt.seq for item in evidence.items if item.receipt is not None}
    return tuple(bundles[seq].receipt for seq in sorted(numbers) if seq in bundles)


def manifest(
    files: Mapping[str, bytes], report: ComplianceReport, version: str = quorate.__version__
) -> bytes:
    """The manifest over ``files`` as ``version`` of the tool writes it: canonical JSON."""
    return canonical(
        {
            "format": FORMAT,
            "tool": {"name": "quorate", "version": version},
            "system": {"name": report.system.name, "version": report.system.version},
            "as_of": report.as_of.isoformat(),
            "profile": report.profile,
            "files": {
                path: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                for path, content in files.items()
            },
        }
    )


def bundle_path(seq: int) -> str:
    """Where the bundle of an entry lies."""
    return f"{BUNDLES}/{seq:06d}.json"


def digest_of(content: bytes) -> str:
    """As evidence writes digests."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def made_under(policy: Policy, bundles: Iterable[Bundle]) -> Policy:
    """A policy without the keys that signed none of these entries; all of it without entries.

    Raises:
        UsageError: no key is left that it asks for.
    """
    signed = signers(bundles)
    if not signed:
        return policy
    # A shared secret is refused later, used or not.
    kept = tuple(
        each
        for each in policy.verifiers
        if each.key_id in signed or not isinstance(each, Ed25519Verifier)
    )
    return replace(policy, verifiers=kept)


def signers(bundles: Iterable[Bundle]) -> set[str]:
    """Ids of the keys whose signatures the entries have."""
    return {each.key_id for bundle in bundles for each in bundle.receipt.signatures}


def policy_text(policy: Policy) -> str:
    """A policy as a file of public keys.

    Raises:
        UsageError: a key is a shared secret, which no dossier may hold.
    """
    keys = []
    for each in policy.verifiers:
        if not isinstance(each, Ed25519Verifier):
            raise UsageError(
                f"the key {each.key_id} is a shared secret: whoever can verify with it can "
                "forge, so it stays out of a dossier; use a policy of public keys"
            )
        keys.append(each.to_text())
    lines = [
        "# The keys under which this dossier was made. It holds no secret. Whoever verifies it",
        "# names keys of their own, got from the operator and not from here.",
    ]
    if policy.origin is not None:
        lines.append(f"origin = {json.dumps(policy.origin, ensure_ascii=False)}")
    lines += [f"keys = {json.dumps(keys)}", f"signatures = {policy.signatures}"]
    if policy.panels is not None:
        lines.append(f"panels = {json.dumps(sorted(policy.panels))}")
    return "\n".join(lines) + "\n"


def _json(members: Any) -> bytes:
    canonical(members)  # refuses what JSON cannot hold, with the path of the culprit
    return (json.dumps(members, ensure_ascii=False, indent=1) + "\n").encode()
