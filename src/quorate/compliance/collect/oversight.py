"""Article 14(4): that people can override and stop it, as drills showed."""

from __future__ import annotations

from typing import Any, Final

from quorate.compliance.collect.reading import Passed, Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.compliance.drill_record import (
    HALT,
    OVERRIDE,
    Drill,
    HaltEntries,
    OverrideEntries,
)
from quorate.compliance.times import DAY, microseconds
from quorate.hub.oversight.rules import KIND
from quorate.ledger.receipts import timestamp

DRILL_DAYS: Final = 365
"""For so long a drill counts."""


@collector("art_14.par_4.d", title="People can override a decision, as a drill showed")
def override_drill(record: Record) -> Found | Lack:
    """The last override drill of this very system and version."""
    return _drill(record, OVERRIDE)


@collector("art_14.par_4.e", title="People can stop it, as a drill showed")
def halt_drill(record: Record) -> Found | Lack:
    """The last halt drill of this very system and version."""
    return _drill(record, HALT)


@collector("overrideControl", title="People can override and stop it, as drills showed")
def both_drills(record: Record) -> Found | Lack:
    """Both drills."""
    found = {kind: _drill(record, kind) for kind in (HALT, OVERRIDE)}
    for came in found.values():
        if isinstance(came, Lack) or came.failed is not None:
            return came
    both = [came for came in found.values() if isinstance(came, Found)]
    data = {kind: dict(came.data) for kind, came in zip(found, both, strict=True)}
    expires = min(came.expires for came in both if came.expires is not None)
    return Found(data, [one for came in both for one in came.entries], expires=expires)


def _drill(record: Record, kind: str) -> Found | Lack:
    drills = [(at, drill) for at, drill in record.drills if drill.kind == kind]
    own = [(at, drill) for at, drill in drills if record.is_of(drill.scope)]
    if not own:
        others = f" ({len(drills)} of other systems or versions)" if drills else ""
        return Lack(
            f"no {kind} drill of {record.scope.system} {record.scope.version} is in the "
            f"ledger{others}; run: quorate drill {kind}"
        )
    # A drill that passed before one that failed says nothing of today.
    at, drill = own[-1]
    entries = [*drill.entries.all, at.reference]
    if not drill.passed:
        told = f"the last {kind} drill, entry {at.seq}, failed: {'; '.join(drill.failures)}"
        return Found({"kind": kind, "seq": at.seq}, entries, failed=told)
    age = record.days_since(at.time)
    if age > DRILL_DAYS:
        return Lack(
            f"the last {kind} drill, entry {at.seq}, is {int(age)} days old; drill again, one a "
            "year at least"
        )
    if not _dated(record, at, drill):
        told = f"the {kind} drill of entry {at.seq} gives other times than its entries have"
        return Found({"kind": kind, "seq": at.seq}, entries, failed=told)
    return Found(_told(drill), entries, expires=timestamp(at.time + DRILL_DAYS * DAY))


def _dated(record: Record, at: Passed, drill: Drill) -> bool:
    """Whether the moments that the drill tells are those at which its entries were sealed."""
    entries = drill.entries
    acted = entries.halt if isinstance(entries, HaltEntries) else entries.disregard
    first, last = entries.all[0], entries.all[-1]
    times = [timestamp(record.whole[one.seq].time) for one in (first, acted, last)]
    told = [drill.started, drill.acted, drill.ended]
    return told == times and microseconds(drill.ended) <= at.time


def _told(drill: Drill) -> dict[str, Any]:
    seen = drill.seen
    data: dict[str, Any] = {
        "kind": drill.kind,
        "started": drill.started,
        "acted": drill.acted,
        "ended": drill.ended,
        "by": drill.by,
        "reason": f"{drill.reason} ({drill.work} experts)",
        "effective": drill.passed,
    }
    if isinstance(drill.entries, OverrideEntries):
        return data | {
            "before": 2,
            "after": 0,
            "decision": drill.entries.decision.seq,
            "override": drill.entries.override.seq,
        }
    return data | {
        "before": seen["before"],
        "after": seen["calls_after"] + seen["verdicts_after"],
        "refused": seen["refused"],
        "resumed": seen["resumed"] > 0,
    }


@collector(
    "art_14.par_4.b", "automationBiasMitigation", title="How often people accept what it says"
)
def acceptance(record: Record) -> Found | Lack:
    """Overrides are in the record; that somebody looked, and agreed, is not."""
    given = (body for _, body in record.kept.get(KIND, ()))
    named = {body["decision"]["seq"] for body in given if "decision" in body}
    overridden = named & {one.entry.seq for one in record.verdicts}
    return Lack(
        f"{len(overridden)} of {len(record.verdicts)} verdicts were overridden, but that somebody "
        "looked at the others and agreed is not in the record, so no rate of acceptance is "
        "claimed; declare what overseers are told, and how many outputs they reviewed"
    )
