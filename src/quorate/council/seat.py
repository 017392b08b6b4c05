"""Where a council sits: one ledger, read as far as it goes and written on that condition.

Theory of operation. Before each command the events sealed since the last one are read and
folded into the :class:`Book`. The command is then checked against the book, and its event is
sealed on the condition that the ledger still has the size up to which it was read. If
somebody wrote first, nothing was sealed: what is new is read, the command is checked again
against that, and sealed again if it still holds. So of all that act on the same state one
succeeds, in one process or in many, and nothing is ever decided on a state that has gone.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from quorate.core.errors import (
    HeadMovedError,
    QuorateError,
    StoreError,
    UsageError,
    VerificationError,
)
from quorate.council.book import Book, Change
from quorate.council.bounds import MAX_ATTEMPTS, MAX_PAUSE_SECONDS
from quorate.council.drafts import Done
from quorate.council.events import KIND
from quorate.council.rules.values import check_id
from quorate.ledger import Ledger
from quorate.ledger.appending import Clock, system_clock
from quorate.ledger.receipts import Receipt

T = TypeVar("T")


class Seat:
    """One process's place in a council.

    Attributes:
        ledger: what the council is sealed in.
        book: the council as far as it was read.
        lock: held during each command; a book is never seen half changed.
    """

    def __init__(self, ledger: Ledger | None, council_id: str | None, clock: Clock | None) -> None:
        """Take a seat; nothing is read yet.

        Args:
            ledger: an open one, or ``None`` for one in memory.
            council_id: which council of that ledger; ``"council"`` if ``None``.
            clock: gives microseconds since 1970.

        Raises:
            UsageError: an argument of another kind.
        """
        if ledger is not None and not isinstance(ledger, Ledger):
            raise UsageError(
                f"the ledger is a {type(ledger).__name__}; give a quorate.Ledger, such as "
                "Ledger.open('sqlite:///council.db', signer=key)"
            )
        id_ = check_id("council" if council_id is None else council_id, "the council's id")
        self._clock: Clock = system_clock if clock is None else clock
        if ledger is None:
            ledger = Ledger.open("memory:", clock=self._clock)
            # Nobody else knows of it, so it goes when the seat does.
            weakref.finalize(self, ledger.close)
        self.ledger = ledger
        self.book = Book(id_)
        self.lock = threading.RLock()
        self._read_to = 0

    def now(self) -> int:
        """The time, in microseconds since 1970; never before the last event.

        Raises:
            UsageError: the clock gives something else.
        """
        now = self._clock()
        if type(now) is not int or now < 0:
            raise UsageError(
                f"the clock gives {now!r}; a council's clock gives whole microseconds since "
                "1970, as time.time_ns() // 1000 does"
            )
        return max(now, self.book.last_at)

    def refresh(self) -> int:
        """Read what was sealed since the last time; give the ledger's size up to which it was.

        Raises:
            VerificationError: an event that the rules refuse, or fewer entries than before;
                names the entry.
        """
        with self.lock:
            size = len(self.ledger)
            if size < self._read_to:
                raise VerificationError(
                    f"{self._read_to} entries were read before, only {size} are here: the rest "
                    "was cut off",
                    index=size,
                    rule="truncation",
                )
            for receipt in self._events(self._read_to):
                fold(self.book, receipt)
                self._read_to = receipt.seq + 1
            self._read_to = max(self._read_to, size)
            return self._read_to

    def command(
        self,
        draft: Callable[[Book, int], dict[str, Any]],
        answer: Callable[[Change, Receipt], T],
    ) -> T:
        """Check, seal and take in one event.

        Args:
            draft: writes the event from the book and the time; raises ``Done`` where there
                is none to seal.
            answer: what to return, from the change and its receipt.

        Raises:
            StoreError: it could not be sealed, or others wrote first, again and again;
                nothing was.
        """
        with self.lock:
            for attempt in range(MAX_ATTEMPTS):
                size = self.refresh()
                try:
                    change = self.book.next(draft(self.book, self.now()))
                except Done as done:
                    value: T = done.value
                    return value
                try:
                    receipt = self.ledger.append(
                        KIND, change.body, trace_id=self.book.council_id, expect=size
                    )
                except HeadMovedError:
                    _pause(attempt)
                    continue
                self.book.take(change, receipt.seq)
                self._read_to = receipt.seq + 1
                return answer(change, receipt)
        raise StoreError(
            f"others wrote to the ledger first, {MAX_ATTEMPTS} times in a row; nothing was "
            "sealed, try again when it is less busy"
        )

    def bodies(self) -> Iterator[Receipt]:
        """Receipts of all the council's events, as the ledger now has them."""
        return self._events(0)

    def verify(self, checkpoint: str | None) -> None:
        """Verify the whole ledger, then replay the council from its first event.

        Raises:
            VerificationError: names the first entry that does not check out, or what is
                missing of what this process has seen.
        """
        with self.lock:
            self.refresh()
            self.ledger.verify(checkpoint)
            fresh = Book(self.book.council_id)
            for receipt in self._events(0):
                fold(fresh, receipt)
                if fresh.number == self.book.number and fresh.head != self.book.head:
                    raise VerificationError(
                        "it is not the event that was here before: the log was rewritten",
                        index=receipt.seq,
                        rule="fork",
                    )
        if fresh.number < self.book.number:
            raise VerificationError(
                f"{self.book.number} events of the council were seen before, only "
                f"{fresh.number} are here",
                index=len(self.ledger),
                rule="truncation",
            )

    def _events(self, start: int) -> Iterator[Receipt]:
        return self.ledger.find(trace_id=self.book.council_id, kind=KIND, start=start)


def fold(book: Book, receipt: Receipt) -> Change:
    """Take one sealed event into a book.

    Raises:
        VerificationError: the rules refuse it; names the entry.
    """
    try:
        change = book.next(receipt.payload)
    # What is sealed may be anything: a bad shape shows as one of these while it is read.
    except (QuorateError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(
            f"no event that could follow: {error}", index=receipt.seq, rule="council"
        ) from error
    book.take(change, receipt.seq)
    return change


def _pause(attempt: int) -> None:
    # Drawn, or two processes could go on meeting each other.
    longest = min(MAX_PAUSE_SECONDS, 0.0005 * 2 ** min(attempt, 6))
    time.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
