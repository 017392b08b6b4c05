"""The evidence there is: what was sealed in the ledger, what it shows now, what people bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from quorate.cli.comply.options import today
from quorate.cli.comply.standing import Standing, sealed_before
from quorate.cli.shown import progress
from quorate.compliance import Evidence, EvidenceSet, System
from quorate.compliance.collect import Survey, seal_evidence, survey
from quorate.compliance.declaring import Declaration
from quorate.compliance.times import end_of
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Ledger, Policy, Receipt


@dataclass(frozen=True, slots=True)
class Gathered:
    """Evidence on one system.

    Attributes:
        evidence: all of it.
        survey: what the ledger shows now; ``None`` where the day asked for is past.
        broken: why the ledger does not verify; ``None`` where it does.
        declared: the entry that declares the system; ``None`` where none does.
        sealed: how many items of the survey were sealed just now.
        notices: what a reader has to know first.
    """

    evidence: EvidenceSet
    survey: Survey | None
    broken: str | None
    declared: Receipt | None
    sealed: int
    notices: tuple[str, ...]


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
    """Gather what there is on a system for a day; the ledger is verified for any day.

    What was sealed before counts by field and source, as :func:`sealed_before` says. What the
    ledger shows now stands beside it, and counts once it is sealed.
    """
    found: Survey | None = None
    items: list[Evidence] = []
    notices: list[str] = []
    sealed, until = 0, None
    if day < today():
        if seal:
            raise UsageError("--seal is for today; what is sealed now was not sealed on that day")
        notices.append("The day is past: what was sealed by then counts, and nothing is collected.")
        until = end_of(day)
        broken = _broken(ledger, policy, checkpoint)
    else:
        found = surveyed(
            ledger, policy=policy, system=system, silence=silence, checkpoint=checkpoint
        )
        broken, items = found.broken, list(found.items)
        if seal and broken is None and items:
            items, sealed = [], len(seal_evidence(ledger, found.items, collected=found))
    before = Standing()
    if broken is None:
        try:
            before = sealed_before(ledger, system, until=until, survey=found)
        except VerificationError as error:
            broken = f"the ledger does not verify: {error}"
    if broken is not None:
        what = "What was collected from it is failed" if items else "Nothing in it counts"
        notices.append(f"{broken}. {what}.")
    notices += before.notices
    notices += _otherwise(system, before.declared)
    brought = EvidenceSet() if file is None else EvidenceSet.read(file)
    evidence = EvidenceSet(
        system,
        (*before.items, *items, *brought.items),
        (*before.receipts, *brought.receipts),
        brought.invalid,
    )
    return Gathered(evidence, found, broken, before.declared, sealed, tuple(notices))


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


def _otherwise(system: System, declared: Receipt | None) -> Iterator[str]:
    """Say where the system is told otherwise than it is declared in the ledger."""
    if declared is None:
        return
    sealed = Declaration.from_dict(declared.payload).system
    names = [
        name
        for name in ("role", "category", "conditions")
        if getattr(system, name) != getattr(sealed, name)
    ]
    if names:
        yield (
            f"What is asked for follows from a {' and '.join(names)} other than entry "
            f"{declared.seq} declares: quorate comply declare."
        )


def _broken(ledger: Ledger, policy: Policy, checkpoint: str | None) -> str | None:
    """Why the ledger does not verify, as a survey says it."""
    try:
        with progress("verifying") as shown:
            ledger.verify(checkpoint, replay=True, policy=policy, progress=shown)
    except VerificationError as error:
        return f"the ledger does not verify: {error}"
    return None
