"""Sealed evidence, thresholds, measurements and drills checked again, in the order of the log.

With a context that is handed from entry to entry of one log, as ``verify --replay`` does, each
is held to the entries that it names: a measurement to its threshold, a drill to the halts,
overrides and verdicts that it tells of, and what a collector of ours sealed to its entries.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from pydantic import ValidationError

from quorate.compliance.collected import check_collected
from quorate.compliance.committing import MEASUREMENT, THRESHOLD, Measurement, Threshold
from quorate.compliance.drill_record import KIND as DRILL
from quorate.compliance.drill_record import VERDICTS, Drill, HaltEntries, check_silence
from quorate.compliance.evidence import COLLECTED, EntryRef, Evidence
from quorate.compliance.evidence import KIND as EVIDENCE
from quorate.compliance.wording import told
from quorate.core.errors import UsageError, VerificationError
from quorate.hub.oversight.rules import Reference
from quorate.hub.oversight.sealed import named_entry, state_of
from quorate.ledger.replay import ReplayContext

__all__ = ["COLLECTED", "replay"]

# The thresholds of one log, for as long as its context is alive.
_FIXED: Final[WeakKeyDictionary[ReplayContext, dict[int, Threshold]]] = WeakKeyDictionary()
# The drills of one log, likewise.
_DRILLS: Final[WeakKeyDictionary[ReplayContext, dict[int, Drill]]] = WeakKeyDictionary()
# The entries that drills of one log named, and the drill of each, likewise.
_DRILLED: Final[WeakKeyDictionary[ReplayContext, dict[int, int]]] = WeakKeyDictionary()


def replay(kind: str, body: Any, context: ReplayContext | None = None) -> None:
    """Check one sealed entry again; return only if it is sound.

    Args:
        kind: ``"evidence"``, ``"threshold"``, ``"measurement"`` or ``"drill"``.
        body: the sealed body.
        context: of the log; one that has not passed all entries before this one, or none,
            checks the body on its own.

    Raises:
        VerificationError: rule ``"replay"``; says what is wrong.
    """
    whole = context if context is not None and context.whole else None
    try:
        _checks(kind)(body, whole)
    except (UsageError, ValidationError) as error:
        why = told(error) if isinstance(error, ValidationError) else str(error)
        raise VerificationError(f"the {kind} is not sound: {why}", rule="replay") from error


def _checks(kind: str) -> Callable[[Any, ReplayContext | None], None]:
    known = {
        EVIDENCE: _evidence,
        THRESHOLD: _threshold,
        MEASUREMENT: _measurement,
        DRILL: _drill,
    }
    if kind not in known:
        raise UsageError(f"it is sealed as {kind!r}")
    return known[kind]


def _evidence(body: Any, context: ReplayContext | None) -> None:
    if not isinstance(body, dict) or "receipt" in body:
        raise UsageError("it is no item, or says which entry seals it, which no body can")
    item = Evidence.model_validate(body)
    if item.body() != body:
        raise UsageError("it is not written as items are")
    if not item.source.startswith(COLLECTED):
        return
    if item.status == "passed" and not item.entries:
        raise UsageError(f"its source is {item.source}, which names the entries that it is from")
    if context is None:
        return

    def kind_of(entry: EntryRef) -> str:
        return named_entry(context, entry.seq, entry.hash).kind

    for entry in item.entries:
        kind_of(entry)
    drills = _DRILLS.get(context, {})
    check_collected(item, kind_of, lambda entry: drills[entry.seq])


def _threshold(body: Any, context: ReplayContext | None) -> None:
    fixed = Threshold.from_dict(body)
    if context is not None:
        _FIXED.setdefault(context, {})[context.seq] = fixed


def _measurement(body: Any, context: ReplayContext | None) -> None:
    made = Measurement.from_dict(body)
    if context is None:
        return
    named = made.threshold
    entry = named_entry(context, named.seq, named.hash)
    fixed = _FIXED.get(context, {}).get(named.seq)
    if fixed is None:
        raise UsageError(f"it names entry {named.seq} as its threshold, and that is a {entry.kind}")
    made.check(fixed)


def _drill(body: Any, context: ReplayContext | None) -> None:
    drill = Drill.from_dict(body)
    if context is None:
        return

    def kind_of(reference: Reference) -> str:
        return named_entry(context, reference.seq, reference.hash).kind

    named = _DRILLED.setdefault(context, {})
    for one in drill.entries.all:
        first = named.get(one.seq)
        if first is not None:
            raise UsageError(
                f"it names entry {one.seq}, as the drill of entry {first} did; a drill is sealed "
                "once, so drill again"
            )
    state = state_of(context)
    drill.check(kind_of, state)
    drill.check_people(state)
    for one in drill.verdicts:
        panel = context.panel_of(one.seq)
        roster = () if panel is None else panel.declaration["roster"]
        drill.check_panel(one.seq, None if panel is None else panel.digest, roster)
    if context.current is not None:
        drill.check_sealed(context.current.time)
    _DRILLS.setdefault(context, {})[context.seq] = drill
    named.update(dict.fromkeys((one.seq for one in drill.entries.all), context.seq))
    if isinstance(drill.entries, HaltEntries):
        resume = drill.entries.resume
        last = context.seq if resume is None else resume.seq
        between = (context.entry(seq) for seq in range(drill.entries.halt.seq + 1, last))
        check_silence(drill, sum(one is not None and one.kind in VERDICTS for one in between))
