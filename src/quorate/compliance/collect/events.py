"""Articles 12, 19(1) and 26(6): that events are recorded without a gap, which, and kept."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from quorate.compliance.collect.reading import Passed, Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.compliance.schema_records import SIX_MONTHS_DAYS
from quorate.compliance.times import DAY, day_of
from quorate.core.text import counted
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
    """Every number is there, each entry follows the one before, and no silence is too long.

    A record that another system's interrupts is told by its last stretch; its silences are
    those of all.
    """
    bound = record.silence_seconds
    silences = list(record.silences())
    broken = next((one for one in silences if one.too_long), None)
    if bound is None and broken is None:
        return Lack(
            "nobody declared how long a silence is normal, so that none is too long; declare it: "
            "quorate comply declare system.toml LEDGER --silence SECONDS"
        )
    last = _last_stretch(record)
    ends = (last[0].reference, last[-1].reference)
    entries = ends[:1] if ends[0] == ends[1] else ends
    data: dict[str, Any] = {
        "range": record.range(last),
        "entries": len(last),
        "silence_seconds": max((one.seconds for one in silences), default=0.0),
        # The loosest that held: each silence kept the one of its time.
        "bound_seconds": max(
            (one for one in (bound, *(each.bound for each in silences)) if one is not None),
            default=None,
        ),
        "from_start": last[0].seq == 0,
        "checkpoint": record.report.root if record.report.complete else None,
        "signatures": record.policy.signatures,
        "kinds": dict(Counter(one.kind for one in sorted(last, key=lambda one: one.kind))),
    }
    if broken is not None:
        told = (
            f"nothing was recorded for {broken.seconds:g} seconds before entry "
            f"{broken.after.seq}, longer than the {broken.bound:g} declared as normal"
        )
        return Found(data, (*entries, broken.after.reference), failed=told)
    end = record.ranges[-1].stop
    newest = record.whole[end - 1]
    tail = (record.now - newest.time) / _SECOND
    if end == len(record.whole) and bound is not None and tail > bound:
        told = (
            f"nothing was recorded since entry {newest.seq}, {tail:g} seconds ago, longer "
            f"than the {bound:g} declared as normal"
        )
        return Found(data, entries, failed=told)
    return Found(data, entries)


def _last_stretch(record: Record) -> tuple[Passed, ...]:
    """The last entries of the period that follow on one another."""
    first = len(record.passed) - 1
    while first and record.passed[first - 1].seq + 1 == record.passed[first].seq:
        first -= 1
    return record.passed[first:]


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
    panels = record.panels()
    # Who decides was declared before the period began, and holds in it.
    known = set(record.own_kinds) | ({"panel"} if panels else set())
    for event in wanted:
        there = [kind for kind in EVENTS[event] if kind in known]
        if not there:
            kinds = ", ".join(EVENTS[event])
            return Lack(f"no entry of its record shows {event}: none is of the kinds {kinds}")
        covers[event] = there
    used = sorted({kind for there in covers.values() for kind in there})
    counts = {**dict.fromkeys(used, 0), **record.own_kinds}
    newest = {one.kind: one for one in record.passed if one.seq not in record.apart}
    if panels:
        newest.setdefault("panel", panels[-1])
    entries = {newest[kind].reference for kind in used} | set(record.ends)
    data = {"range": record.range(), "kinds": counts, "covers": covers}
    # As old as that event which was recorded last longest ago; who decides holds until changed.
    dates = [max(newest[kind].time for kind in there) for event, there in covers.items()
             if event != "modification"]  # fmt: skip
    moment = min(dates, default=record.passed[-1].time)
    return Found(data, sorted(entries, key=lambda one: one.seq), moment=moment)


@collector(
    "art_19.par_1", "art_26.par_6", title="Logs are kept for six months or longer, none deleted"
)
def retention(record: Record) -> Found | Lack:
    """The record is whole from its first entry, and a note kept elsewhere bears out its age.

    The times of entries are by the operator's own clock: half a year of them is made in a
    second. A checkpoint pins what was there when it was given away; when that was, only whoever
    kept it can say, so that a person has to judge it.
    """
    first = record.whole[record.ranges[0].start]
    if record.passed[0] != first:
        why = "the period does not begin with its first entry; leave the period out"
        return Lack(why, untold=True)
    age = record.days_since(first.time)
    if age < SIX_MONTHS_DAYS:
        due = day_of(first.time + SIX_MONTHS_DAYS * DAY)
        return Lack(
            f"the oldest record is {counted(int(age), 'day')} old; nothing was deleted since, and "
            f"that it is kept for six months ({SIX_MONTHS_DAYS} days) can be shown from {due} on"
        )
    proven = record.report.proven
    if proven <= first.seq or record.days_since(record.whole[proven - 1].time) < SIX_MONTHS_DAYS:
        return Lack(
            f"that the oldest record is {counted(int(age), 'day')} old is told by the operator's "
            "own clock alone; give a checkpoint that was kept elsewhere for six months "
            f"({SIX_MONTHS_DAYS} days): --checkpoint NOTE ('quorate ledger checkpoint' makes one)",
            untold=True,
        )
    data = {
        "range": record.range(),
        "oldest": timestamp(first.time),
        "newest": record.until,
        "required_days": SIX_MONTHS_DAYS,
        "deletions": [],
        "checkpoint": (
            f"pins the first {counted(proven, 'entry', 'entries')}, the last with the hash "
            f"{record.whole[proven - 1].hash}; that it was kept elsewhere, and since when, is the "
            "word of whoever gave it: ask them, the ledger cannot show it"
        ),
    }
    pinned = record.whole[proven - 1].reference
    entries = {*record.ends, pinned}
    return Found(data, sorted(entries, key=lambda one: one.seq))
