"""Article 14(4): that people can override and stop it, as drills showed.

A drill with scripted experts shows the ledger's own halt and override at work, and not that the
system's own experts obey them. So it makes evidence of its own, whose source and words say that
a script stood in, and none where a profile asks for both drills of the system.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Final

from quorate.compliance.collect.reading import Passed, Record, Verdict
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.compliance.drill_record import (
    HALT,
    OVERRIDE,
    PANEL,
    SCRIPTED,
    Drill,
    HaltEntries,
    OverrideEntries,
)
from quorate.compliance.times import DAY, microseconds
from quorate.core.canonical import digest
from quorate.hub.oversight.rules import KIND
from quorate.hub.panel_record import KIND as PANELS
from quorate.ledger.receipts import timestamp

_Told = tuple[Passed, Drill]

DRILL_DAYS: Final = 365
"""For so long after it ended a drill counts."""

_MOST: Final = 512
_SHORT: Final = 12
_AT_WORK: Final = {
    PANEL: "the panel's own experts were at work",
    SCRIPTED: "scripted experts stood in, so it shows the halt and the override of this ledger, "
    "and not that the system's own experts obey them",
}


@collector("art_14.par_4.d", title="People can override a decision of its own panel: a drill")
def override_drill(record: Record) -> Found | Lack:
    """The last override drill of this very system and version, by the panel's own experts."""
    return _drill(record, OVERRIDE, PANEL)


@collector("art_14.par_4.e", title="People can stop its own panel: a drill")
def halt_drill(record: Record) -> Found | Lack:
    """The last halt drill of this very system and version, of the panel's own experts."""
    return _drill(record, HALT, PANEL)


@collector("art_14.par_4.d", title="The ledger's override works: a drill with scripted experts")
def scripted_override_drill(record: Record) -> Found | Lack:
    """The last override drill for this very system and version in which a script stood in."""
    return _drill(record, OVERRIDE, SCRIPTED)


@collector("art_14.par_4.e", title="The ledger's halt works: a drill with scripted experts")
def scripted_halt_drill(record: Record) -> Found | Lack:
    """The last halt drill for this very system and version in which a script stood in."""
    return _drill(record, HALT, SCRIPTED)


@collector("overrideControl", title="People can override and stop its own panel: drills")
def both_drills(record: Record) -> Found | Lack:
    """Both drills, by the panel's own experts."""
    found = {kind: _drill(record, kind, PANEL) for kind in (HALT, OVERRIDE)}
    for came in found.values():
        if isinstance(came, Lack) or came.failed is not None:
            return came
    both = [came for came in found.values() if isinstance(came, Found)]
    data = {kind: dict(came.data) for kind, came in zip(found, both, strict=True)}
    expires = min(came.expires for came in both if came.expires is not None)
    return Found(data, [one for came in both for one in came.entries], expires=expires)


def _drill(record: Record, kind: str, work: str) -> Found | Lack:
    drills = [(at, drill) for at, drill in record.drills if drill.kind == kind]
    ours = [(at, drill) for at, drill in drills if record.is_of(drill.scope)]
    own = [(at, drill) for at, drill in ours if _work(record, drill) == work]
    if not own:
        return _none(record, kind, work, len(drills) - len(ours), len(ours))
    if work == PANEL:
        decided = _undrilled(record)
        standing = next((one for one in reversed(own) if _stands(one, own, decided)), None)
        if standing is None:
            return _of_other(kind, *own[-1], decided)
        own = [standing]
    # A drill that passed before one that failed says nothing of today.
    at, drill = own[-1]
    entries = [*drill.entries.all, at.reference]
    if not drill.passed:
        told = f"the last {kind} drill, entry {at.seq}, failed: {'; '.join(drill.failures)}"
        return Found({"kind": kind, "seq": at.seq}, entries, failed=told)
    # Of the drill itself: sealing it later does not make it younger.
    ended = microseconds(drill.ended)
    age = record.days_since(ended)
    if age > DRILL_DAYS:
        return Lack(
            f"the last {kind} drill, entry {at.seq}, is {int(age)} days old; drill again, one a "
            "year at least"
        )
    if not _dated(record, at, drill):
        told = f"the {kind} drill of entry {at.seq} gives other times than its entries have"
        return Found({"kind": kind, "seq": at.seq}, entries, failed=told)
    return Found(_told(drill, work), entries, expires=timestamp(ended + DRILL_DAYS * DAY))


def _work(record: Record, drill: Drill) -> str:
    """Who was at work: a script too where its panel was declared as one, whatever it says."""
    declared = {digest(dict(body)) for _, body in record.kept.get(PANELS, ())}
    return PANEL if drill.work == PANEL and drill.panel in declared else SCRIPTED


def _undrilled(record: Record) -> list[Verdict]:
    """The verdicts of the record that no drill asked for, in order."""
    drilled = {one.seq for _, drill in record.drills for one in drill.verdicts}
    return [one for one in record.decided if one.entry.seq not in drilled]


def _stands(one: _Told, own: list[_Told], decided: list[Verdict]) -> bool:
    """Whether a drill says something of the panel that decides: failed, none made it good."""
    at, drill = one
    if drill.passed:
        return _at_work(at, decided) == {drill.panel}
    later = (other for place, other in own if place.seq > at.seq and other.panel == drill.panel)
    return not any(other.passed for other in later)


def _at_work(at: Passed, decided: list[Verdict]) -> set[str | None]:
    """The panels that decide: the last one before a drill, and all since."""
    before = bisect_left(decided, at.seq, key=lambda one: one.entry.seq)
    return {one.panel for one in decided[max(before - 1, 0) :]}


def _of_other(kind: str, at: Passed, drill: Drill, decided: list[Verdict]) -> Lack:
    """Why the last drill says nothing of the panel that decides."""
    others = _at_work(at, decided) - {drill.panel}
    again = f"; drill its own: quorate drill {kind} quorate.toml --panel --task JSON"
    if not others:
        return Lack(
            f"the {kind} drill of entry {at.seq} is of the panel {drill.panel}, and nothing else "
            "was decided in the record, so that nothing shows that this panel is the system's own; "
            "it counts once that panel has decided"
        )
    named = ", ".join(sorted("none" if one is None else one for one in others))
    return Lack(
        f"the {kind} drill of entry {at.seq} is of the panel {drill.panel}, and the record was "
        f"decided by another: {named}{again}"
    )


def _none(record: Record, kind: str, work: str, others: int, otherwise: int) -> Lack:
    """No drill of that kind and work: what there is, and what to run."""
    told = f" ({others} of other systems or versions)" if others else ""
    who, more = "scripted experts", ""
    if work == PANEL:
        who, more = "the panel's own experts", " quorate.toml --panel --task JSON"
        if otherwise:
            told = (
                f" (a script stood in for them in {otherwise}, which shows the ledger's own {kind})"
            )
    return Lack(
        f"no {kind} drill of {record.scope.system} {record.scope.version} with {who} is in the "
        f"ledger{told}; run: quorate drill {kind}{more}"
    )


def _dated(record: Record, at: Passed, drill: Drill) -> bool:
    """Whether the moments that the drill tells are those at which its entries were sealed."""
    entries = drill.entries
    acted = entries.halt if isinstance(entries, HaltEntries) else entries.disregard
    first, last = entries.all[0], entries.all[-1]
    times = [timestamp(record.whole[one.seq].time) for one in (first, acted, last)]
    told = [drill.started, drill.acted, drill.ended]
    return told == times and microseconds(drill.ended) <= at.time


def _told(drill: Drill, work: str) -> dict[str, Any]:
    why = drill.reason if len(drill.reason) <= _MOST else f"{drill.reason[: _MOST - 1]}…"
    seen = drill.seen
    data: dict[str, Any] = {
        "kind": drill.kind,
        "started": drill.started,
        "acted": drill.acted,
        "ended": drill.ended,
        "by": drill.by,
        "reason": (
            f"{why} ({_AT_WORK[work]}; the panel drilled is {drill.panel[:_SHORT]}…; names are as "
            "given, not authenticated)"
        ),
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
    "art_14.par_4.b",
    "automationBiasMitigation",
    title="How often people accept what it says",
    helps=True,
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
