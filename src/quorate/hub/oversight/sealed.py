"""Sealed oversight checked again, one by one and in the order of the log.

With a context that is handed from entry to entry of one log, as ``verify --replay`` does, an
entry is held to those before it: a resume lifts a halt in force, and an override names, by
number and hash, an earlier entry that is a decision.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from quorate.core.errors import UsageError, VerificationError
from quorate.hub.oversight.rules import KIND, Override, State, check_decision, read_event
from quorate.ledger.receipts import timestamp
from quorate.ledger.replay import NotedEntry, ReplayContext

# What the entries of one log came to, for as long as its context is alive.
_STATES: Final[WeakKeyDictionary[ReplayContext, State]] = WeakKeyDictionary()


def state_of(context: ReplayContext) -> State:
    """What the oversight entries that the context has passed came to."""
    return _STATES.setdefault(context, State())


def replay(kind: str, body: Any, context: ReplayContext | None = None) -> None:
    """Check one sealed entry again; return only if it is sound.

    Args:
        kind: must be ``"oversight"``.
        body: the sealed body.
        context: of the log; one that has not passed all entries before this one, or none,
            checks the body on its own.

    Raises:
        VerificationError: rule ``"replay"``; says what is wrong.
    """
    try:
        event = read_event(body if kind == KIND else None)
        if context is None or not context.whole:
            return
        if isinstance(event, Override):
            found = named_entry(context, event.decision.seq, event.decision.hash)
            check_decision(found.kind, event.decision.seq)
        at = "" if context.current is None else timestamp(context.current.time)
        state_of(context).take(context.seq, event, at)
    except UsageError as error:
        raise VerificationError(f"the oversight is not sound: {error}", rule="replay") from error


def named_entry(context: ReplayContext, seq: int, hash_: str) -> NotedEntry:
    """The entry named by number and hash, which comes before the one being replayed.

    Raises:
        UsageError: there is none of that number before it, or it has another hash.
    """
    entry = context.entry(seq)
    if entry is None:
        raise UsageError(f"it names entry {seq}, which does not come before it")
    if entry.hash != hash_:
        raise UsageError(
            f"it names entry {seq} by the hash {hash_}, but that entry of this log has {entry.hash}"
        )
    return entry
