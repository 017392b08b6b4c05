"""The evidence there is: what was sealed in the ledger, what it shows now, what people bring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from quorate.cli.comply.options import today
from quorate.cli.shown import progress
from quorate.compliance import Evidence, EvidenceSet, System
from quorate.compliance.collect import Survey, seal_evidence, survey
from quorate.compliance.evidence import KIND
from quorate.core.errors import UsageError, VerificationError
from quorate.core.text import counted
from quorate.ledger import Ledger, Policy, Receipt


@dataclass(frozen=True, slots=True)
class Gathered:
    """Evidence on one system.

    Attributes:
        evidence: all of it.
        survey: what the ledger shows now; ``None`` where the day asked for is past.
        sealed: how many items of it were sealed just now.
        notices: what a reader has to know first.
    """

    evidence: EvidenceSet
    survey: Survey | None
    sealed: int
    notices: tuple[str, ...]

    @property
    def broken(self) -> str | None:
        """Why the ledger does not verify; ``None`` where it does."""
        return None if self.survey is None else self.survey.broken


def gather(
    ledger: Ledger,
    *,
    policy: Policy,
    system: System,
    day: date,
    file: Path | None = None,
    silence: float | None = None,
    checkpoint: str | None = None,
    seal: bool = False,
) -> Gathered:
    """Gather what there is on a system for a day.

    What was sealed before counts by field and source: the last in the log stands for the
    earlier ones. What the ledger shows now stands beside it, and counts once it is sealed.
    """
    found: Survey | None = None
    notices: list[str] = []
    items: list[Evidence] = []
    sealed = 0
    if day < today():
        if seal:
            raise UsageError("--seal is for today; what is sealed now was not sealed on that day")
        notices.append("The day is past: what was sealed by then counts, and nothing is collected.")
    else:
        found = surveyed(
            ledger, policy=policy, system=system, silence=silence, checkpoint=checkpoint
        )
        if found.broken is not None:
            notices.append(f"{found.broken}. What was collected from it is failed.")
        items += found.items
        if seal and found.broken is None and found.items:
            items, sealed = [], len(seal_evidence(ledger, found.items))
    before, receipts, damaged = sealed_before(ledger, system)
    if damaged:
        number = counted(len(damaged), "sealed item")
        notices.append(f"{number} of evidence cannot be read: {damaged[0]}")
    brought = EvidenceSet() if file is None else EvidenceSet.read(file)
    evidence = EvidenceSet(
        system,
        (*before, *items, *brought.items),
        (*receipts, *brought.receipts),
        brought.invalid,
    )
    return Gathered(evidence, found, sealed, tuple(notices))


def surveyed(
    ledger: Ledger,
    *,
    policy: Policy,
    system: System,
    silence: float | None = None,
    checkpoint: str | None = None,
) -> Survey:
    """Verify the ledger and ask the collectors, with progress."""
    with progress("verifying") as shown:
        return survey(
            ledger,
            policy=policy,
            system=system,
            now=datetime.now(UTC),
            silence_seconds=silence,
            checkpoint=checkpoint,
            progress=shown,
        )


def sealed_before(
    ledger: Ledger, system: System
) -> tuple[list[Evidence], list[Receipt], list[str]]:
    """Evidence on a system that lies sealed in a ledger: the last of each field and source.

    That of another version is kept only where its field has none of this version, so that it
    is told why it does not count. What is damaged or no evidence is told by its reason; the
    evaluation judges the others by their receipts, one by one.
    """
    last: dict[tuple[str, str, str], tuple[Evidence, Receipt]] = {}
    damaged: list[str] = []
    for receipt in _readable(ledger, damaged):
        body = receipt.payload
        try:
            item = Evidence.read(body if isinstance(body, dict) else None).sealed_by(receipt)
        except UsageError as error:
            damaged.append(f"entry {receipt.seq}: {error}")
            continue
        if item.scope.system == system.name:
            last[item.field, item.source, item.scope.version] = (item, receipt)
    current = {item.field for item, _ in last.values() if item.scope.version == system.version}
    kept = sorted(
        (
            (item, receipt)
            for item, receipt in last.values()
            if item.scope.version == system.version or item.field not in current
        ),
        key=lambda each: each[1].seq,
    )
    return [item for item, _ in kept], [receipt for _, receipt in kept], damaged


def _readable(ledger: Ledger, damaged: list[str]) -> Iterable[Receipt]:
    start = 0
    while True:
        try:
            for receipt in ledger.find(kind=KIND, start=start):
                start = receipt.seq + 1
                yield receipt
        except VerificationError as error:
            damaged.append(str(error))
            if error.index is None or error.index < start:
                return
            start = error.index + 1
        else:
            return
