"""Oversight of one ledger: what people did so far, and doing it.

Nothing is looked up by the columns of the store, which nobody signs: whoever can write the
file could hide a halt there. The log is followed from its first entry on, each entry held to
the one before. Reading is cheap where nothing is new, for it is done before every dispatch;
so one object is kept for a ledger, and not made anew.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from quorate.core.canonical import JSONValue, canonical
from quorate.core.errors import (
    HeadMovedError,
    NoQuorum,
    StoreError,
    UsageError,
    UsageTypeError,
    VerificationError,
)
from quorate.hub.oversight.rules import (
    KIND,
    Halt,
    Override,
    Reference,
    Resume,
    Standing,
    State,
    check_decision,
    folded,
    listed,
    read_event,
    who,
    whole_seq,
    why,
)
from quorate.ledger import Ledger, Receipt
from quorate.ledger.entries import Entry, key_digest

T = TypeVar("T")

_ATTEMPTS: Final = 64
_NOTHING: Final = object()


class HaltedError(NoQuorum):
    """A person halted the system: nobody was asked, and nothing is to be acted upon.

    It is a refusal, so that what holds still on :class:`NoQuorum` holds still on it too.

    Attributes:
        halt: who halted, why, when and in which entry.
    """

    def __init__(self, halt: Halt) -> None:
        """Say who halted, why, and how work goes on."""
        super().__init__(
            f"halted by {halt.by} in entry {halt.seq}, {halt.time}: {halt.reason}; nothing is "
            "dispatched until 'quorate resume'; 'quorate halt --show' lists all halts in force"
        )
        self.halt = halt


class OverriddenError(NoQuorum):
    """A person disregarded the decision, or several contest it: nothing is to be acted upon.

    Attributes:
        standing: who put what in its place.
    """

    def __init__(self, standing: Standing) -> None:
        """Say who did."""
        super().__init__(standing.describe())
        self.standing = standing


class Oversight:
    """What people did to the system of one ledger. Safe to use from many threads.

    Attributes:
        ledger: open; for writing, if something is to be done.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Follow ``ledger``; nothing is read yet.

        Raises:
            UsageTypeError: it is no ledger.
        """
        if not isinstance(ledger, Ledger):
            raise UsageTypeError(
                f"ledger is a {type(ledger).__name__}; give what Ledger.open(url) gives"
            )
        self.ledger = ledger
        self._lock = threading.RLock()
        self._state = State()
        self._follower = ledger.follow(_is_ours)
        self._untaken: deque[Receipt] = deque()
        # Entries of the decisions that people overrode, by the digest of the key of each.
        self._overridden: dict[str, int] = {}
        self._tip: tuple[int, bytes] | None = None

    # -- looking

    @property
    def halted(self) -> Halt | None:
        """The last halt in force now, or ``None``.

        Raises:
            VerificationError: the log does not hang together, so a halt may hide in it; or it
                is a file that a new process could not open, and so not halt either.
            StoreError: the ledger cannot be read.
        """
        with self._lock:
            self._read()
            return self._state.halted

    @property
    def in_force(self) -> tuple[Halt, ...]:
        """All halts in force now, in order of the log.

        Raises:
            VerificationError, StoreError: as :attr:`halted`.
        """
        with self._lock:
            self._read()
            return self._state.in_force

    def check(self) -> None:
        """Return where work may go on.

        Raises:
            HaltedError: it is halted.
            VerificationError, StoreError: as :attr:`halted`; then nothing may be dispatched.
        """
        halt = self.halted
        if halt is not None:
            raise HaltedError(halt)

    def standing(self, decision: int) -> Standing | None:
        """What people put in place of the decision of that entry; ``None`` where nobody did.

        Raises:
            VerificationError, StoreError: as :attr:`halted`.
        """
        with self._lock:
            self._read()
            return self._state.standing(decision)

    def halted_before(self, seq: int) -> Halt | None:
        """The last halt in force when entry ``seq`` was sealed, that entry aside, or ``None``.

        Raises:
            VerificationError, StoreError: as :attr:`halted`.
        """
        with self._lock:
            self._read()
            return self._state.halted_before(seq)

    def by_key(self, key: str) -> Receipt | None:
        """The verdict sealed under that idempotency key, or ``None``.

        It is looked up by a column, which nobody signs; that of a decision which people
        overrode is known by its entry, and cannot be made to look undecided.

        Raises:
            VerificationError: rule ``look-up``: people overrode one with that key, and it is
                not found; else as :attr:`halted`.
            StoreError: as :attr:`halted`.
        """
        with self._lock:
            self._read()
            seq = self._overridden.get(key_digest(key))
        found = self.ledger.by_key(key)
        if seq is not None and (found is None or found.seq != seq):
            raise VerificationError(
                "people overrode this decision, and the look-up column key does not lead to it",
                index=seq,
                rule="look-up",
            )
        return found

    def _read(self) -> int:
        """Read on to the end; how many entries the log had then."""
        self.ledger.store.check_same(self.ledger.origin)
        tip = self.ledger.store.tip()
        # By the chain the last entry speaks for all before it, and those were read.
        if tip is None or tip != self._tip:
            self._untaken.extend(self._follower.read())
            # Grown meanwhile, it is read on next time.
            self._tip = tip if tip is not None and tip[0] + 1 == self._follower.size else None
        # One that could not be taken in stays: nothing is known until it is.
        while self._untaken:
            self._take(self._untaken[0])
            self._untaken.popleft()
        return self._follower.size

    def _take(self, receipt: Receipt) -> None:
        # Whoever has the key can seal anything, and what is sealed stays.
        try:
            event = read_event(receipt.payload)
            if isinstance(event, Override):
                self._named(event.decision, receipt.seq)
            self._state.take(receipt.seq, event, receipt.timestamp)
        except UsageError as error:
            self._state.unsound(receipt.seq, str(error), receipt.timestamp)

    def _named(self, decision: Reference, before: int) -> None:
        if decision.seq >= before:
            raise UsageError(f"entry {decision.seq} does not come before it")
        found = self.ledger.get(decision.seq)
        check_decision(found.kind, found.seq)
        if found.entry_hash != decision.hash:
            raise UsageError(f"entry {decision.seq} has not the hash that it names")
        if found.entry.key is not None:
            self._overridden[found.entry.key] = found.seq

    # -- doing

    def seal(self, items: Sequence[tuple[str, Any, str | None, str | None]]) -> list[Receipt]:
        """Seal verdicts, unless it is halted: looked at and written as one.

        No halt that another process seals can come between, so no verdict that is given out
        stands behind one in the log.

        Args:
            items: as :meth:`quorate.ledger.Ledger.append_all` takes them.

        Raises:
            HaltedError: it is halted; nothing was sealed.
            VerificationError: as :attr:`halted`; nothing was sealed.
            UsageError, StoreError: as the ledger's own; nothing was sealed.
        """

        def check() -> None:
            self._check_running()
            for *_, key in items:
                if key is not None and key_digest(key) in self._overridden:
                    self.by_key(key)

        def append(size: int) -> list[Receipt]:
            return self.ledger.append_all(items, expect=size, unless=_is_ours)

        return self._as_one(check, append)

    def _check_running(self) -> None:
        if self._state.halted is not None:
            raise HaltedError(self._state.halted)

    def _as_one(self, check: Callable[[], None], append: Callable[[int], T]) -> T:
        """Append what ``check`` lets pass, if nobody did anything between the two."""
        for _ in range(_ATTEMPTS):
            with self._lock:
                size = self._read()
                check()
            try:
                return append(size)
            except HeadMovedError:
                # A halt, a resume or an override came between: it is read first.
                continue
        raise StoreError(
            f"people halted, resumed or overrode {_ATTEMPTS} times in a row meanwhile, so "
            "nothing was sealed; try again"
        )

    def halt(self, by: str, reason: str, *, unless_halted: bool = False) -> Receipt:
        """Halt: from the moment this returns, nothing is dispatched. It always gets through.

        Nothing is read for it, so that a log that is damaged can be halted too.

        Args:
            by: who halts.
            reason: why, for whoever reads the record later.
            unless_halted: seal it only where nothing is halted, looked at and written as one:
                for a drill, which is to stand above nobody's halt.

        Raises:
            UsageError: a name or reason that says nothing, or the ledger is open for reading.
            HaltedError: it is halted, and was not to be.
            VerificationError: what was written is not there: nothing is halted. With
                ``unless_halted`` also as :attr:`halted`.
            StoreError: it could not be written: nothing is halted.
        """
        body = Halt(who(by), why(reason)).to_dict()
        if not unless_halted:
            return self.ledger.append_anyway(KIND, body)

        def append(size: int) -> Receipt:
            return self.ledger.append(KIND, body, expect=size, unless=_is_ours)

        return self._as_one(self._check_running, append)

    def resume(self, by: str, reason: str, *, halt: int | None = None) -> Receipt:
        """Lift one halt; any other stays in force, one that is sealed meanwhile as well.

        Args:
            by: who resumes.
            reason: why.
            halt: entry of the halt that is meant; where one is in force, that, unless told.

        Raises:
            UsageError: as :meth:`halt`; nothing is halted, that halt is not in force, or
                several are and none is named.
            VerificationError: as :attr:`halted`.
            StoreError: it could not be written.
        """
        by, reason = who(by), why(reason)
        found = self.in_force
        if not found:
            raise UsageError("nothing is halted, so there is nothing to resume")
        if halt is None and len(found) > 1:
            raise UsageError(
                f"{len(found)} halts are in force: {listed(found)}; a resume lifts one, so name "
                "it by its entry, with halt=… (--halt)"
            )
        event = Resume(by, reason, found[0].seq if halt is None else whole_seq(halt, "halt"))

        def append(size: int) -> Receipt:
            return self.ledger.append(KIND, event.to_dict(), expect=size, unless=_is_ours)

        return self._as_one(lambda: self._state.check(event), append)

    def override(
        self, decision: int, by: str, reason: str, answer: JSONValue | object = _NOTHING
    ) -> Receipt:
        """Put a person's answer in place of a decision, or disregard it.

        The same once more changes nothing, and gives the receipt that is there. A person is
        known by the name alone: capitals and blanks make no other, and nobody checks it.

        Args:
            decision: number of its entry.
            by: who overrides.
            reason: why.
            answer: any JSON value, ``None`` included; left out, the decision is disregarded.

        Raises:
            UsageError: as :meth:`halt`; there is no such entry, it is no decision, or that
                person put something else in its place before.
            StoreError: it could not be written.
        """
        by, reason = who(by), why(reason)
        found = self.ledger.get(decision)
        check_decision(found.kind, found.seq)
        answered = answer is not _NOTHING
        if answered:
            canonical(answer)
        given = answer if answered else None
        event = Override(by, reason, Reference(found.seq, found.entry_hash), answered, given)
        with self._lock:
            self._read()
            self._state.check(event)
            earlier = self._state.by(found.seq, by)
        if earlier is not None:
            return self.ledger.get(earlier.seq)
        # Two processes that speak for one person at once: the key lets one of them through.
        key = f"override:{found.seq}:{folded(by)}"
        return self.ledger.append(KIND, event.to_dict(), key=key)


def _is_ours(entry: Entry) -> bool:
    return entry.kind == KIND
