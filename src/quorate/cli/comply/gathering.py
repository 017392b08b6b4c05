"""The evidence there is: what was sealed in the ledger, what it shows now, what people bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from quorate.cli.comply.options import today
from quorate.cli.comply.standing import Standing, sealed_before
from quorate.cli.shown import progress
from quorate.compliance import Evidence, EvidenceSet, System
from quorate.compliance.collect import Survey, seal_evidence, survey
from quorate.compliance.coverage import Coverage
from quorate.compliance.declaring import Declaration
from quorate.compliance.evidence import KIND, UNVERIFIED
from quorate.compliance.sealing import unbound
from quorate.compliance.times import end_of, microseconds
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Ledger, Policy, Receipt

_GROWING: Final = frozenset({"range", "entries", "silence_seconds"})
"""Members that any entry may change, whatever its kind; a silence too long fails the item."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Evidence on one system.

    Attributes:
        evidence: all of it.
        survey: what the ledger shows now; ``None`` where the day asked for is past.
        coverage: what is known of the ledger; ``None`` where it does not verify.
        broken: why the ledger does not verify; ``None`` where it does.
        declared: the entry that declares the system; ``None`` where none does.
        sealed: how many items of the survey were sealed just now.
        fresh: how many are not sealed, nor the same as one that is.
        notices: what a reader has to know first.
    """

    evidence: EvidenceSet
    survey: Survey | None
    coverage: Coverage | None
    broken: str | None
    declared: Receipt | None
    sealed: int
    fresh: int
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
    notices: list[str] = []
    sealed: int = 0
    until: int | None = None
    if seal and day != today():
        raise UsageError(
            "--seal is for today: what is sealed now was not sealed on an earlier day, and will "
            "have aged on a later one"
        )
    before = Standing()
    past = day < today()
    if past:
        notices.append(
            "The day is past: what was sealed by then counts. Nothing is collected but what had "
            "failed by then."
        )
        until = end_of(day)
    found = surveyed(
        ledger,
        policy=policy,
        system=system,
        silence=silence,
        checkpoint=checkpoint,
        until=until,
    )
    broken = found.broken
    items = [item for item in found.items if item.status == "failed" or not past]
    if past and broken is not None:
        # What was tampered with is found today, and was not found on that day.
        items = []
    known = Coverage(ledger.origin, found.size, found.pinned, found.wanted)
    try:
        if broken is None:
            before = sealed_before(ledger, system, until=until, survey=found)
            items = unsealed(items, before, end_of(day))
        if broken is None and seal and items:
            items, sealed = [], len(seal_evidence(ledger, items, collected=found))
            before = sealed_before(ledger, system, survey=found)
    except VerificationError as error:
        broken = f"{UNVERIFIED}: {error}"
    if broken is not None:
        what = "What was collected from it is failed" if items else "Nothing in it counts"
        unmet = ", and nothing was sealed" if seal and not sealed else ""
        notices.append(f"{broken}. {what}{unmet}.")
    notices += before.notices
    notices += _otherwise(system, before.declared)
    brought = EvidenceSet() if file is None else EvidenceSet.read(file)
    notices += _of_other_logs(brought, ledger.origin, policy)
    evidence = EvidenceSet(
        system,
        (*before.items, *items, *brought.items),
        (*before.receipts, *brought.receipts),
        brought.invalid,
    )
    return Gathered(
        evidence,
        None if past else found,
        known if broken is None else None,
        broken,
        before.declared,
        sealed,
        len(items),
        tuple(notices),
    )


def unsealed(items: Iterable[Evidence], before: Standing, until: int) -> list[Evidence]:
    """Those of a survey that the ledger does not hold sealed already, with the same content.

    Also without those that are too old at the moment ``until``, where one like them is sealed:
    to seal them too would show no more.
    """
    known = {(one.field, one.source): one for one in before.items if one.receipt is not None}
    found = []
    for item in items:
        one = known.get((item.field, item.source))
        old = item.expires is not None and microseconds(item.expires) <= until
        if one is None or one.scope != item.scope or not (old or same(one, item)):
            found.append(item)
    return found


def standing_for(
    items: Iterable[Evidence], new: Iterable[Evidence], before: Standing
) -> list[Evidence]:
    """The items of a survey, each that is not new as it lies sealed."""
    left = {(one.field, one.source) for one in new}
    known = {(one.field, one.source): one for one in before.items if one.receipt is not None}
    return [
        item if (item.field, item.source) in left else known.get((item.field, item.source), item)
        for item in items
    ]


def same(sealed: Evidence, now: Evidence) -> bool:
    """Whether two items of one collector tell the same.

    That the log grew by evidence alone, as it does when it is sealed, changes nothing.
    """
    return sealed.status == now.status and _content(sealed) == _content(now)


def _content(item: Evidence) -> bytes:
    told = {name: value for name, value in item.data.items() if name not in _GROWING}
    kinds = told.get("kinds")
    if isinstance(kinds, dict):
        told["kinds"] = {name: number for name, number in kinds.items() if name != KIND}
    return canonical(told)


def surveyed(
    ledger: Ledger,
    *,
    policy: Policy,
    system: System,
    silence: float | None = None,
    checkpoint: str | None = None,
    until: int | None = None,
) -> Survey:
    """Verify the ledger and ask the collectors, with progress.

    Args:
        ledger: open.
        policy: whom to trust.
        system: that evidence is collected for.
        silence: the caller's own bound on silence, in seconds.
        checkpoint: a signed note that was kept elsewhere.
        until: the end of a past day, in microseconds since 1970; ``None`` for now.
    """
    with progress("verifying and reading") as shown:
        return survey(
            ledger,
            policy=policy,
            system=system,
            now=datetime.now(UTC) if until is None else _moment(until),
            past=until is not None,
            silence_seconds=silence,
            checkpoint=checkpoint,
            progress=shown,
        )


def covered(coverage: Coverage | None) -> dict[str, Any]:
    """What is known of the ledger, as JSON."""
    return {
        "tail": None if coverage is None else coverage.tail(),
        "lacking": [] if coverage is None else [each.to_dict() for each in coverage.lacking],
    }


def _of_other_logs(brought: EvidenceSet, origin: str, policy: Policy) -> Iterator[str]:
    """Say where a policy lets in what was sealed in another log."""
    others = (each for each in brought.receipts if not isinstance(each, str))
    why = unbound(policy)
    if why is not None and any(each.origin != origin for each in others):
        yield f"Evidence sealed in another log than {origin} is brought, and {why}."


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


def _moment(microseconds_: int) -> datetime:
    """A moment in microseconds since 1970, exactly."""
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds_)
