"""What a dossier's ledger declares of its system, and which items are sealed in it.

Role, category and conditions decide what is asked for. Where the entry that declares them is
bundled, nobody can make a dossier of the same evidence that is asked for less.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from quorate.compliance.collected import check_collected
from quorate.compliance.coverage import Coverage
from quorate.compliance.declaring import KIND, Declaration, scope_of
from quorate.compliance.drill_record import Drill
from quorate.compliance.evidence import KIND as EVIDENCE
from quorate.compliance.evidence import EntryRef, Evidence, EvidenceSet
from quorate.compliance.sealed import COLLECTED
from quorate.compliance.system import UNDECLARED, System
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.ledger import Bundle
from quorate.ledger import checkpoint as checkpoints


def declaration_in(bundles: Mapping[int, Bundle], system: System) -> tuple[int, Declaration] | None:
    """The last entry among ``bundles`` that declares this system and version.

    Raises:
        UsageError: one that declares a system cannot be read.
    """
    if system == UNDECLARED:
        return None
    last = None
    for seq in sorted(bundles):
        if bundles[seq].receipt.kind == KIND:
            found = Declaration.from_dict(bundles[seq].receipt.payload)
            if found.scope == scope_of(system):
                last = seq, found
    return last


def undeclared(system: System, evidence: EvidenceSet, bundles: Mapping[int, Bundle]) -> str | None:
    """Why a dossier of this evidence may not speak of ``system``; ``None`` where it may.

    Raises:
        UsageError: as :func:`declaration_in`.
    """
    found = declaration_in(bundles, system)
    if found is None:
        if any(item.source.startswith(COLLECTED) for item in sealed_items(evidence, bundles)):
            return (
                "evidence in it was collected from a ledger, and no entry of that ledger declares "
                f"{system.name} {system.version} as its system: quorate comply declare"
            )
        return None
    seq, declared = found
    if declared.system == system:
        return None
    names = [
        name
        for name in ("role", "category", "conditions")
        if getattr(system, name) != getattr(declared.system, name)
    ]
    return (
        f"{' and '.join(names)} of {system.name} {system.version} differ from what entry {seq} "
        "declares; declare it anew: quorate comply declare"
    )


def sealed_items(evidence: EvidenceSet, bundles: Mapping[int, Bundle]) -> Iterator[Evidence]:
    """The items that the entries which they name do seal."""
    for item in evidence.items:
        bundle = None if item.receipt is None else bundles.get(item.receipt.seq)
        if bundle is None or bundle.receipt.kind != EVIDENCE:
            continue
        if bundle.receipt.body_bytes == canonical(item.body()):
            yield item


def not_collected(
    evidence: EvidenceSet, bundles: Mapping[int, Bundle]
) -> Iterator[tuple[str, str]]:
    """Items that say they were collected, and were not from the entries that they name."""

    def drill_of(entry: EntryRef) -> Drill:
        return Drill.from_dict(bundles[entry.seq].receipt.payload)

    for item in sealed_items(evidence, bundles):
        if any(each.seq not in bundles for each in item.entries):
            continue
        try:
            check_collected(item, lambda entry: bundles[entry.seq].receipt.kind, drill_of)
        except UsageError as error:
            yield item.field, str(error)


def refused_coverage(coverage: Coverage, bundles: Mapping[int, Bundle]) -> str | None:
    """Why a dossier of these bundles may not say that of its ledger; ``None`` where it may."""
    if not bundles:
        return "no entry of a ledger lies in the dossier, so nothing holds it to one"
    for note in {each.note for each in bundles.values()}:
        pinned = checkpoints.read(note)
        if coverage.origin != pinned.origin:
            return f"it is of the log {coverage.origin}, and the evidence lies in {pinned.origin}"
        if coverage.pinned not in (None, pinned.size):
            return (
                f"it says that the checkpoint pins {coverage.pinned} entries, and the one of the "
                f"bundles pins {pinned.size}"
            )
    return None


def names_of_documents(evidence: EvidenceSet, bundles: Mapping[int, Bundle]) -> set[str]:
    """Digests of the documents that sealed evidence names.

    Others stay out: anybody could name any document in an item that nobody sealed.
    """
    return {item.digest for item in sealed_items(evidence, bundles) if item.digest is not None}


def refuse_undeclared(system: System, evidence: EvidenceSet, bundles: Mapping[int, Bundle]) -> None:
    """Refuse to write what :func:`undeclared` says may not be.

    Raises:
        UsageError: why.
    """
    why = undeclared(system, evidence, bundles)
    if why is not None:
        raise UsageError(why)
