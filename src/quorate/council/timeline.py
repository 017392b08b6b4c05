"""When what happened to each proposal, read from the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from quorate.council.events import AuditEntry

CALL: Final = "call"
CANCELLED: Final = "cancelled"
INTENT: Final = "intent"
EXECUTED: Final = "executed"

_BEGUN: Final = "execution begun, no result"


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a proposal.

    Attributes:
        at: microseconds since 1970.
        what: a vote's value, ``call``, a decision's value, ``cancelled``, ``intent``, or an
            execution's outcome.
        who: the voter, for votes and calls; else ``None``.
    """

    at: int
    what: str
    who: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One proposal, from its opening to whatever was last heard of it.

    Times are in microseconds since 1970.

    Attributes:
        id: of the proposal.
        action: its normal name.
        target: or ``None``.
        opened: when it was proposed.
        expires: when its time is up, or ``None`` for never.
        ended: when it was decided or called off; until now, if it is open.
        until: the last that is known of it, at least ``ended``.
        open: whether it is not decided.
        outcome: what came of it, in words.
        marks: all else, in order.
    """

    id: str
    action: str
    target: str | None
    opened: int
    expires: int | None
    ended: int
    until: int
    open: bool
    outcome: str
    marks: tuple[Mark, ...]


def lines(log: Iterable[AuditEntry], now: int | None = None) -> list[Line]:
    """A line for each proposal of a log, in the order in which they were proposed.

    Args:
        log: a council's audit log, whole and in order.
        now: until when what is open is drawn; the last event's time if ``None`` or earlier.
    """
    entries = list(log)
    last = max([*(entry.at for entry in entries), now or 0], default=0)
    proposed: dict[str, AuditEntry] = {}
    after: dict[str, list[AuditEntry]] = {}
    for entry in entries:
        if entry.proposal_id is None:
            continue
        if entry.event == "proposed":
            proposed[entry.proposal_id] = entry
        after.setdefault(entry.proposal_id, []).append(entry)
    return [_line(entry, after[id_], last) for id_, entry in proposed.items()]


def _line(proposed: AuditEntry, entries: list[AuditEntry], last: int) -> Line:
    marks = tuple(mark for entry in entries for mark in _marks(entry))
    ending = next((e for e in entries if e.event == "decided" or _cancels(e)), None)
    ended = last if ending is None else ending.at
    return Line(
        id=proposed.proposal_id or "",
        action=proposed.details["action"],
        target=proposed.details["target"],
        opened=proposed.at,
        expires=proposed.details["expires_at"],
        ended=ended,
        until=max(ended, entries[-1].at),
        open=ending is None,
        outcome=_outcome(ending, marks, proposed.details["expires_at"], last),
        marks=marks,
    )


def _cancels(entry: AuditEntry) -> bool:
    return entry.event == "cancel" and entry.details["cancelled"] is True


def _marks(entry: AuditEntry) -> list[Mark]:
    details = entry.details
    match entry.event:
        case "voted":
            return [Mark(entry.at, details["value"], details["voter"])]
        case "cancel":
            return [Mark(entry.at, CANCELLED if _cancels(entry) else CALL, details["voter"])]
        case "decided":
            return [Mark(entry.at, details["verdict"]["decision"])]
        case "executed" | "intent":
            return [Mark(entry.at, entry.event)]
        case "result" | "resolved":
            return [Mark(entry.at, details["outcome"])]
        case _:
            return []


_DONE: Final[Mapping[str, str]] = MappingProxyType({
    EXECUTED: "executed", "failed": "execution failed", "unknown": "result unknown",
    INTENT: _BEGUN,
})  # fmt: skip


def _outcome(
    ending: AuditEntry | None, marks: tuple[Mark, ...], expires: int | None, last: int
) -> str:
    if ending is None:
        return "time is up, not tallied" if expires is not None and expires <= last else "open"
    if ending.event == "cancel":
        return "called off"
    verdict: Mapping[str, Any] = ending.details["verdict"]
    told = str(verdict["decision"]).replace("_", " ")
    told += f" {verdict['approvals']} : {verdict['rejections']}"
    if verdict["by"] == "expiry":
        told += ", at expiry"
    done = _DONE.get(marks[-1].what)
    return told if done is None else f"{told}, {done}"
