"""Articles 12, 19(1) and 26(6): that events are recorded without a gap, which, and kept."""

from __future__ import annotations

from typing import Any, Final

from quorate.compliance.collect.reading import Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.compliance.schema_records import SIX_MONTHS_DAYS
from quorate.compliance.times import DAY, day_of
from quorate.core.text import counted
from quorate.hub.oversight.rules import Reference
from quorate.ledger.receipts import timestamp

_SECOND: Final = 1_000_000

EVENTS: Final = {
    "risk": ("decision", "refusal", "oversight", "council", "routing", "gating"),
    "modification": ("panel", "card", "threshold"),
    "monitoring": ("decision", "refusal", "outcome", "measurement", "shadow", "redteam"),
    "operation": ("decision", "refusal", "routing", "gating", "shadow", "council"),
}
"""What the law wants recorded -> the kinds of entries that record it.

``risk``: that nothing was decided, who dissented, who stopped or overrode; ``modification``:
who decides and by which rule, sealed anew whenever it changes.
"""


@collector("art_12.par_1", title="Events are recorded from the first on, without a gap")
def gapless_logging(record: Record) -> Found | Lack:
    """Every number is there, each entry follows the one before, and no silence is too long."""
    silence, after = record.silence()
    bound = record.silence_seconds
    data: dict[str, Any] = {
        "range": record.range(),
        "entries": len(record.passed),
        "silence_seconds": silence,
        "bound_seconds": bound,
        "from_start": record.passed[0].seq == 0,
        "checkpoint": record.report.root if record.report.complete else None,
        "signatures": record.policy.signatures,
        "kinds": dict(record.kinds),
    }
    numbers = [one.seq for one in record.passed]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return Found(data, record.ends, failed="the period has gaps in its numbers")
    if bound is None:
        return Found(data, record.ends)
    if silence > bound and after is not None:
        told = (
            f"nothing was recorded for {silence:g} seconds before entry {after.seq}, and "
            f"{bound:g} are declared as normal"
        )
        return Found(data, (*record.ends, after.reference), failed=told)
    tail = (record.now - record.passed[-1].time) / _SECOND
    whole = record.passed[-1].seq == record.report.size - 1
    if whole and tail > bound:
        told = (
            f"nothing was recorded since entry {record.passed[-1].seq}, {tail:g} seconds ago, and "
            f"{bound:g} are declared as normal"
        )
        return Found(data, record.ends, failed=told)
    return Found(data, record.ends)


@collector("eventLogging", title="Events are recorded without a gap, those that are wanted too")
def event_logging(record: Record) -> Found | Lack:
    """The range without a gap, where the events of Article 12(2) are in it."""
    events = traceable_events(record)
    return events if isinstance(events, Lack) else gapless_logging(record)


@collector("art_12.par_2.a", title="Risks and substantial modifications can be seen in the log")
def risk_events(record: Record) -> Found | Lack:
    """Entries of what shows a risk, and of what shows a modification."""
    return _events(record, ("risk", "modification"))


@collector("art_12.par_2.b", title="The log feeds the monitoring on the market")
def monitoring_events(record: Record) -> Found | Lack:
    """Entries of which series of figures can be made."""
    return _events(record, ("monitoring",))


@collector("art_12.par_2.c", title="Deployers can watch the operation in the log")
def operation_events(record: Record) -> Found | Lack:
    """Entries of what the system did."""
    return _events(record, ("operation",))


@collector("logTraceability", title="The log lets one trace risks, changes and operation")
def traceable_events(record: Record) -> Found | Lack:
    """All of these together."""
    return _events(record, tuple(EVENTS))


def _events(record: Record, wanted: tuple[str, ...]) -> Found | Lack:
    covers = {}
    # Who decides was declared before the period began, and holds in it.
    known = set(record.own_kinds) | {kind for kind in ("panel",) if record.kept.get(kind)}
    for event in wanted:
        there = [kind for kind in EVENTS[event] if kind in known]
        if not there:
            kinds = ", ".join(EVENTS[event])
            return Lack(f"no entry of the period records {event}: none is of the kinds {kinds}")
        covers[event] = there
    used = sorted({kind for there in covers.values() for kind in there})
    counts = {**dict.fromkeys(used, 0), **record.own_kinds}
    entries = [_first(record, kind) for kind in used]
    data = {"range": record.range(), "kinds": counts, "covers": covers}
    return Found(data, [one for one in entries if one is not None])


def _first(record: Record, kind: str) -> Reference | None:
    for one in record.passed:
        if one.kind == kind:
            return one.reference
    kept = record.kept.get(kind)
    return kept[0][0].reference if kept else None


@collector(
    "art_19.par_1", "art_26.par_6", title="Logs are kept for six months or longer, none deleted"
)
def retention(record: Record) -> Found | Lack:
    """The log is whole from its first entry, and that is six months old."""
    start = record.start
    if start is None or record.passed[0].seq != 0:
        return Lack("the period does not begin with the first entry; leave the period out")
    age = record.days_since(start.time)
    if age < SIX_MONTHS_DAYS:
        due = day_of(start.time + SIX_MONTHS_DAYS * DAY)
        return Lack(
            f"the oldest record is {counted(int(age), 'day')} old; nothing was deleted since, and "
            f"that it is kept for six months ({SIX_MONTHS_DAYS} days) can be shown from {due} on"
        )
    data = {
        "range": record.range(),
        "oldest": timestamp(start.time),
        "newest": record.until,
        "required_days": SIX_MONTHS_DAYS,
        "deletions": [],
    }
    return Found(data, record.ends)
