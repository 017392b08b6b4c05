"""Oversight of one ledger: what people did so far, and doing it.

Reading is cheap where nothing is new, for it is done before every dispatch: only entries of
the kind ``oversight`` beyond the last one known are read.
"""

from __future__ import annotations

import threading
from typing import Final

from quorate.core.canonical import JSONValue, canonical
from quorate.core.errors import HeadMovedError, NoQuorum, UsageError, UsageTypeError
from quorate.hub.oversight.rules import (
    KIND,
    Halt,
    Override,
    Reference,
    Resume,
    Standing,
    State,
    check_decision,
    read_event,
    who,
    why,
)
from quorate.ledger import Ledger, Receipt

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
            "dispatched until 'quorate resume'"
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
        self._next = 0

    # -- looking

    @property
    def halted(self) -> Halt | None:
        """The halt in force now, or ``None``.

        Raises:
            VerificationError: an entry of this kind is damaged.
            StoreError: the ledger cannot be read.
        """
        with self._lock:
            self._read()
            return self._state.halted

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

    def _read(self) -> None:
        for receipt in self.ledger.find(kind=KIND, start=self._next):
            self._take(receipt)
            self._next = receipt.seq + 1

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

    # -- doing

    def halt(self, by: str, reason: str) -> Receipt:
        """Halt: from the moment this returns, nothing is dispatched. It always gets through.

        Args:
            by: who halts.
            reason: why, for whoever reads the record later.

        Raises:
            UsageError: a name or reason that says nothing, or the ledger is open for reading.
            StoreError: it could not be written: nothing is halted.
        """
        return self.ledger.append(KIND, Halt(who(by), why(reason)).to_dict())

    def resume(self, by: str, reason: str, *, halt: int | None = None) -> Receipt:
        """Lift the halt in force.

        Args:
            by: who resumes.
            reason: why.
            halt: entry of the halt that is meant; the one in force now, unless told.

        Raises:
            UsageError: as :meth:`halt`; nothing is halted, or somebody halted again meanwhile.
            StoreError: it could not be written.
        """
        by, reason = who(by), why(reason)
        found = self.halted
        if found is None:
            raise UsageError("nothing is halted, so there is nothing to resume")
        event = Resume(by, reason, found.seq if halt is None else halt)
        for _ in range(_ATTEMPTS):
            size = len(self.ledger)
            with self._lock:
                self._read()
                self._state.check(event)
            try:
                return self.ledger.append(KIND, event.to_dict(), expect=size)
            except HeadMovedError:
                continue
        raise UsageError(
            f"others wrote to the ledger {_ATTEMPTS} times in a row meanwhile, so nothing was "
            "resumed; try again"
        )

    def override(
        self, decision: int, by: str, reason: str, answer: JSONValue | object = _NOTHING
    ) -> Receipt:
        """Put a person's answer in place of a decision, or disregard it.

        The same once more changes nothing, and gives the receipt that is there.

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
        return self.ledger.append(KIND, event.to_dict(), key=f"override:{found.seq}:{by}")
