"""Where a council sits: one ledger, read as far as it goes and written on that condition.

Theory of operation. Before each command every entry sealed since the last one is read, whoever
it belongs to, and the council's events are folded into the :class:`Book`. None is looked up by
a column beside the entry, which nobody signs: an event that such a column hid would be done
twice. The command is then checked against the book, and its event is sealed on the condition
that no event of the council was sealed since it was read. If somebody wrote first, nothing was
sealed: what is new is read, the command is checked again against that, and sealed again if it
still holds. So of all that act on the same state one succeeds, in one process or in many, and
nothing is ever decided on a state that has gone. What others seal in the same ledger, meanwhile
and as often as they like, keeps no event out.

Time. An event says when it happened, by the clock of the seat, and its entry when it was
sealed, by the clock of the ledger; the two have to agree, or a clock could end what is open or
keep it open for good. A seat whose clock is far behind the ledger writes nothing.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from quorate.core import limits
from quorate.core.errors import (
    HeadMovedError,
    QuorateError,
    StoreError,
    UsageError,
    VerificationError,
)
from quorate.council.book import Book, Change
from quorate.council.bounds import MAX_ATTEMPTS, MAX_EXPIRY_SECONDS, MAX_PAUSE_SECONDS
from quorate.council.drafts import Done
from quorate.council.events import KIND
from quorate.council.rules.values import check_id
from quorate.ledger import Ledger
from quorate.ledger.appending import Clock, EntryTimeError, system_clock
from quorate.ledger.entries import Entry
from quorate.ledger.receipts import Receipt, timestamp

T = TypeVar("T")

# So that whatever expires or is due has a time that can be sealed.
_LATEST: Final = limits.MAX_SAFE_INTEGER - 2 * MAX_EXPIRY_SECONDS * 1_000_000


class Seat:
    """One process's place in a council.

    Attributes:
        ledger: what the council is sealed in.
        book: the council as far as it was read.
        lock: held during each command; a book is never seen half changed.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        council_id: str | None,
        clock: Clock | None,
        *,
        follow: bool = False,
    ) -> None:
        """Take a seat; nothing is read yet.

        Args:
            ledger: an open one, or ``None`` for one in memory.
            council_id: which council of that ledger; ``"council"`` if ``None``.
            clock: gives microseconds since 1970; the ledger's if ``None``.
            follow: write by the ledger's time where the clock is far behind it, instead of
                refusing to.

        Raises:
            UsageError: an argument of another kind.
        """
        if ledger is not None and not isinstance(ledger, Ledger):
            raise UsageError(
                f"the ledger is a {type(ledger).__name__}; give a quorate.Ledger, such as "
                "Ledger.open('sqlite:///council.db', signer=key)"
            )
        id_ = check_id("council" if council_id is None else council_id, "the council's id")
        if ledger is None:
            ledger = Ledger.open("memory:", clock=system_clock if clock is None else clock)
            # Nobody else knows of it, so it goes when the seat does.
            weakref.finalize(self, ledger.close)
        self._clock: Clock = ledger.clock if clock is None else clock
        self.ledger = ledger
        self.book = Book(id_)
        self.lock = threading.RLock()
        self._by_ledger = follow
        self._sealed_at = 0
        self._log = ledger.follow(self._noted)
        # Read, and not taken in yet.
        self._waiting: deque[Receipt] = deque()
        self._last_seq = -1
        self._sealed: tuple[str, Change] | None = None

    def now(self) -> int:
        """The time, in microseconds since 1970; never before the last event.

        Raises:
            UsageError: the clock gives something else.
        """
        now = max(self._clock_now(), self.book.last_at)
        return max(now, self._sealed_at) if self._by_ledger else now

    def _clock_now(self) -> int:
        now = self._clock()
        if type(now) is not int or not 0 <= now <= _LATEST:
            raise UsageError(
                f"the clock gives {now!r}; a council's clock gives whole microseconds since "
                "1970, as time.time_ns() // 1000 does"
            )
        return now

    def refresh(self) -> int:
        """Read what was sealed since the last time; give the ledger's size up to which it was.

        Raises:
            VerificationError: an event that the rules refuse, an entry that was not sealed as
                it stands, or fewer entries than before; names the entry.
        """
        with self.lock:
            size = len(self.ledger)
            if size < self._log.size:
                raise VerificationError(
                    f"{self._log.size} entries were read before, only {size} are here: the rest "
                    "was cut off",
                    index=size,
                    rule="truncation",
                )
            self._waiting.extend(self._log.read())
            while self._waiting:
                receipt = self._waiting[0]
                if self._is_own(receipt):
                    self._take_in(receipt)
                self._waiting.popleft()
            return self._log.size

    def _take_in(self, receipt: Receipt) -> None:
        """Take in one event; what this seat has just sealed was checked before it was."""
        if self._sealed is not None and self._sealed[0] == receipt.entry_hash:
            self.book.take(self._sealed[1], receipt.seq)
        else:
            fold(self.book, receipt)
        self._last_seq = receipt.seq

    def _noted(self, entry: Entry) -> bool:
        """Whether an entry may be an event of this council; its time is noted."""
        self._sealed_at = max(self._sealed_at, entry.time)
        return entry.kind == KIND

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
                receipt = self.seal(change, size)
                if receipt is not None:
                    return answer(change, receipt)
                _pause(attempt)
        raise StoreError(
            f"others wrote to the ledger first, {MAX_ATTEMPTS} times in a row; nothing was "
            "sealed, try again when it is less busy"
        )

    def seal(self, change: Change, size: int, *, key: str | None = None) -> Receipt | None:
        """Seal an event that follows what was read up to ``size``, and take it in.

        Args:
            change: what the book makes of it.
            size: as :meth:`refresh` gave it.
            key: the ledger's idempotency key, or ``None``.

        Returns:
            Its receipt; ``None`` where another event of the council came first.

        Raises:
            UsageError: the clock is too far from the ledger's; nothing was sealed.
            StoreError: it could not be sealed; nothing was.
        """
        at, tolerance = change.body["at"], self._tolerance(change)
        behind = self._sealed_at - at
        if behind > tolerance:
            raise _clock_error(
                f"{_apart(-behind)} the last entry of the ledger, sealed at "
                f"{timestamp(self._sealed_at)}"
            )
        try:
            receipt = self.ledger.append(
                KIND,
                change.body,
                trace_id=self.book.council_id,
                key=key,
                expect=size,
                unless=_is_event,
                within=(at - tolerance, at + tolerance),
            )
        except EntryTimeError as error:
            drift = at - self.ledger.clock()
            # Else it slept between the two, or somebody sealed an entry far ahead meanwhile.
            if abs(drift) > tolerance and abs(self._clock_now() - at) <= tolerance:
                raise _clock_error(f"{_apart(drift)} the ledger's") from error
            return None
        except HeadMovedError:
            return None
        # No event came in between, so that it changes what it would have changed before.
        self._sealed = (receipt.entry_hash, change)
        try:
            self.refresh()
        finally:
            self._sealed = None
        if self._last_seq < receipt.seq:
            raise VerificationError(
                "it was sealed a moment ago, and is not there: something takes entries out as "
                "they are written; act upon nothing, and look at the file",
                index=receipt.seq,
                rule="truncation",
            )
        return receipt

    def _tolerance(self, change: Change) -> int:
        opening = change.opening or self.book.opening
        return 0 if opening is None else opening.config.tolerance

    def _is_own(self, receipt: Receipt) -> bool:
        """Whether an event is one of this council.

        Raises:
            VerificationError: it is, and stands under another trace id.
        """
        if receipt.entry.trace_id == self.book.council_id:
            return True
        body = receipt.payload
        if isinstance(body, dict) and body.get("council") == self.book.council_id:
            raise VerificationError(
                f"an event of the council {self.book.council_id!r} stands under the trace id "
                f"{receipt.entry.trace_id!r}, where none belongs",
                index=receipt.seq,
                rule="council",
            )
        return False

    def bodies(self) -> Iterator[Receipt]:
        """Receipts of all the council's events, as the ledger now has them."""
        found = self.ledger.follow(_is_event).read()
        return (receipt for receipt in found if self._is_own(receipt))

    def verify(self, checkpoint: str | None) -> None:
        """Verify the whole ledger, then replay the council from its first event.

        Raises:
            VerificationError: names the first entry that does not check out, or what is
                missing of what this process has seen.
        """
        with self.lock:
            # Reads on from where it was, so that what was seen before has to be there still.
            self.refresh()
            self.ledger.verify(checkpoint)
            fresh = Book(self.book.council_id)
            for receipt in self.bodies():
                fold(fresh, receipt)


def fold(book: Book, receipt: Receipt) -> Change:
    """Take one sealed event into a book.

    Raises:
        VerificationError: the rules refuse it; names the entry.
    """
    try:
        change = book.next(receipt.payload, receipt.entry.time)
    # What is sealed may be anything: a bad shape shows as one of these while it is read.
    except (QuorateError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(
            f"no event that could follow: {error}", index=receipt.seq, rule="council"
        ) from error
    book.take(change, receipt.seq)
    return change


def _is_event(entry: Entry) -> bool:
    return entry.kind == KIND


def _clock_error(what: str) -> UsageError:
    return UsageError(
        f"this machine's clock is {what}; nothing was sealed. Set the clock right; if it is the "
        "ledger's time that is wrong, that cannot be undone: open another council, or go on by "
        "the ledger's time with follow_ledger_time, by which proposals then end"
    )


def _apart(microseconds: int) -> str:
    """How far one time is from another."""
    seconds = f"{abs(microseconds) / 1_000_000:.0f} s"
    return f"{seconds} behind" if microseconds < 0 else f"{seconds} ahead of"


def _pause(attempt: int) -> None:
    # Drawn, or two processes could go on meeting each other.
    longest = min(MAX_PAUSE_SECONDS, 0.0005 * 2 ** min(attempt, 6))
    time.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
