"""Group commit: many appenders share one disk flush.

Theory of operation. Appenders prepare their bodies side by side (canonical bytes, salt,
commitment) and queue up. One of them writes: it takes all that is queued, chains and
signs it, and commits it in one transaction. The others sleep until theirs is settled or
nobody writes. So many appenders share one disk flush, and one alone waits for one. Other
processes may write the same file: each commit starts from the last entry as the database
has it, inside the database's write lock.

What is signed speaks, by the chain, for all before it. So a last entry that is not this
process's own write is held to the same rule as at opening (:mod:`quorate.ledger.tip`) before
anything is chained to it: whoever has the file and no key could have others sign over what they
changed. Only what must get through, as a halt, is written all the same, and where the last entry
is damaged it then follows nothing: the log stays broken there, for all to see, and nothing is
ever chained to it. A log that is not ours, because other keys began it, is left alone altogether.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import (
    HeadMovedError,
    StoreError,
    UsageError,
    UsageTypeError,
    VerificationError,
)
from quorate.core.identity import Signer
from quorate.ledger.entries import (
    SALT_BYTES,
    Entry,
    check_kind,
    check_reference,
    commit,
    entry_hash,
    first_prev,
    key_digest,
)
from quorate.ledger.receipts import Receipt, encode_signatures, sign_entry
from quorate.ledger.rows import read_link
from quorate.ledger.sqlite import Row, SQLiteStore
from quorate.ledger.tip import FOLLOWS_NOTHING, OtherKeysError

Clock = Callable[[], int]
"""Gives microseconds since 1970."""


def system_clock() -> int:
    """Microseconds since 1970 by the system's clock."""
    return time.time_ns() // 1000


class EntryTimeError(HeadMovedError):
    """An entry would have got a time at which it was not to be written; nothing was."""


@dataclass(slots=True)
class Pending:
    """One entry on its way in."""

    kind: str
    body: bytes
    salt: bytes
    commitment: str
    trace_id: str | None
    parent: str | None
    key: str | None
    receipt: Receipt | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Group:
    """Entries that are committed together or not at all.

    Attributes:
        expect: how many entries the log must have before them, ``None`` for any number.
        unless: with it the log may have more, if it is true of none of those.
        within: earliest and latest time they may get, ``None`` for any.
        anyway: they are written even where the entry before them may not be built upon.
        settled: they are on disk, or surely will not be. What they hold may change until then.
    """

    items: list[Pending]
    expect: int | None = None
    unless: Callable[[Entry], bool] | None = None
    within: tuple[int, int] | None = None
    anyway: bool = False
    settled: bool = False


@dataclass(slots=True)
class _Head:
    """Where the log ends.

    Attributes:
        size: number of entries.
        prev: hash of the last, hex; ``FOLLOWS_NOTHING`` where that is damaged.
        time: of the last, in microseconds since 1970.
        raw: bytes of the last, once this object has written or verified it.
        error: why nothing is to be built upon the last, except what must get through.
    """

    size: int
    prev: str
    time: int
    raw: bytes | None
    error: VerificationError | OtherKeysError | None = None


class NewRow(NamedTuple):
    """A sealed row on its way to the store."""

    seq: int
    hash: bytes
    columns: tuple[int, str, str, bytes, str, str, str | None, str | None]


class Appender:
    """Chains, signs and commits what any number of threads bring.

    Attributes:
        lock: held while a commit is made; nothing is appended while it is held.
    """

    def __init__(
        self,
        store: SQLiteStore,
        signers: Sequence[Signer],
        clock: Clock,
        *,
        last: Receipt | None,
        read: Callable[[Row], Receipt],
        read_tip: Callable[[Row], Receipt],
        committed: Callable[[Sequence[NewRow]], None],
    ) -> None:
        """Write to ``store``.

        Args:
            store: holds a ledger already.
            signers: at least one.
            clock: gives microseconds since 1970.
            last: the last entry at opening, ``None`` in an empty log.
            read: checks a stored row and reads it as a receipt.
            read_tip: does so with the last row, as :func:`quorate.ledger.tip.read_tip` does.
            committed: told of the rows of each commit, in order, with the lock held; not of
                what had to be written on top of an entry that is not to be built upon.
        """
        self.lock = threading.Lock()
        self._store = store
        self._signers = signers
        self._clock = clock
        self._read = read
        self._read_tip = read_tip
        self._committed = committed
        self._origin = store.origin()
        self._queue: list[_Group] = []
        # Without its bytes: what was read at opening is verified again before the first write.
        self._head = (
            _Head(0, first_prev(self._origin), 0, None)
            if last is None
            else _Head(last.seq + 1, last.entry_hash, last.entry.time, None)
        )
        self._turn = threading.Condition()
        self._writer: _Group | None = None

    def prepare(
        self, kind: str, body: Any, trace_id: str | None, parent: str | None, key: str | None
    ) -> Pending:
        """Check one entry and do what needs no lock: canonical bytes, salt, commitment.

        Raises:
            UsageError: an argument cannot be used.
        """
        check_kind(kind)
        encoded = canonical(body)
        if len(encoded) > limits.MAX_BODY_BYTES:
            raise UsageError(
                f"the body has {len(encoded)} bytes; at most {limits.MAX_BODY_BYTES} are allowed"
            )
        if key is not None and (not isinstance(key, str) or not key):
            raise UsageTypeError(f"key is {key!r}; give a text that is not empty")
        salt = os.urandom(SALT_BYTES)
        return Pending(
            kind=kind,
            body=encoded,
            salt=salt,
            commitment=commit(salt, encoded),
            trace_id=check_reference(trace_id, "trace_id"),
            parent=check_reference(parent, "parent"),
            key=None if key is None else key_digest(key),
        )

    def submit(
        self,
        items: list[Pending],
        expect: int | None = None,
        unless: Callable[[Entry], bool] | None = None,
        within: tuple[int, int] | None = None,
        *,
        anyway: bool = False,
    ) -> list[Receipt]:
        """Commit entries together or not at all; return when they are on disk.

        Raises:
            UsageError: a key stands for another body; none was written.
            OtherKeysError: other keys signed the last entry, and they are not to be written
                ``anyway``, or other keys began the log. None was written.
            HeadMovedError: the log has not ``expect`` entries; none was written.
            EntryTimeError: their time is not ``within``; none was written.
            VerificationError: the last entry does not verify, and they are not to be written
                ``anyway``; or what was written is not there. None was written.
            StoreError: they could not be written; none was.
        """
        if unless is not None and expect is None:
            raise UsageError("unless goes with expect: since which entry is it to hold?")
        group = _Group(items, expect, unless, within, anyway)
        with self._turn:
            self._queue.append(group)
        try:
            self._await_turn(group)
            # More may be queued before it than one commit takes.
            while not group.settled:
                with self.lock:
                    self._commit_queued()
        finally:
            self._end_turn(group)
        for item in group.items:
            if item.error is not None:
                raise item.error
        return [item.receipt for item in group.items if item.receipt is not None]

    def _await_turn(self, group: _Group) -> None:
        """Wait until another thread has settled the group, or until this one may write.

        Nobody waits for the write lock: whoever did, only to find its group settled, would
        keep its next entry out of the commit that holds the lock.
        """
        with self._turn:
            while self._writer is not None and not group.settled:
                self._turn.wait()
            if not group.settled:
                self._writer = group

    def _end_turn(self, group: _Group) -> None:
        with self._turn:
            if not group.settled:
                # Interrupted while it waited: nobody is told of it, so nobody shall write it.
                self._queue = [queued for queued in self._queue if queued is not group]
            if self._writer is group:
                self._writer = None
                self._turn.notify_all()

    def _commit_queued(self) -> None:
        groups = self._take_queued()
        rows: list[NewRow] = []
        try:
            with self._store.transaction():
                head = self._read_head()
                seen: dict[str, Receipt] = {}
                for group in groups:
                    head = self._seal(group, head, rows, seen)
                self._store.insert([row.columns for row in rows])
        except BaseException as error:
            # The others wait for this thread's word; none may be left thinking it is sealed.
            told = error if isinstance(error, Exception) else StoreError("the writer was stopped")
            for item in itertools.chain.from_iterable(group.items for group in groups):
                item.receipt, item.error = None, told
            if not isinstance(error, Exception):
                raise
            return
        finally:
            for group in groups:
                group.settled = True
        # What stands on top of damage is no part of what was here before, and never signed with it.
        if head.error is None:
            self._head = head
            self._committed(rows)

    def _take_queued(self) -> list[_Group]:
        with self._turn:
            taken = count = 0
            while taken < len(self._queue) and count < limits.MAX_BATCH:
                count += len(self._queue[taken].items)
                taken += 1
            groups, self._queue = self._queue[:taken], self._queue[taken:]
        return groups

    def _read_head(self) -> _Head:
        """Where the log ends now; another process may have moved it since our last write."""
        known, tip = self._head, self._store.tip()
        if tip == (known.size - 1, known.raw) or (tip is None and known.size == 0):
            return known
        try:
            return self._verified(self._store.last(), known)
        except VerificationError as error:
            size = 0 if tip is None else tip[0] + 1
            if not 0 <= size <= limits.MAX_SAFE_INTEGER:
                raise
            # Its time is not to be believed either.
            return _Head(size, FOLLOWS_NOTHING, 0, None, error)

    def _verified(self, row: Row | None, known: _Head) -> _Head:
        """The head that a last row makes, which is not the one we wrote.

        Raises:
            OtherKeysError: other keys began the log.
            VerificationError: it does not verify, or does not go on from what was here before.
        """
        size = known.size
        if row is None or row.seq + 1 < size:
            raise VerificationError(
                f"it was here before, and is gone: the log of {size} entries was cut",
                index=size - 1,
                rule="truncation",
            )
        receipt, refused = self._read_last(row, known)
        entry = receipt.entry
        if entry.seq + 1 == size and receipt.entry_hash != known.prev:
            raise VerificationError(
                "it is not the entry that was here before: the log was rewritten",
                index=entry.seq,
                rule="fork",
            )
        if entry.seq == size and entry.prev != known.prev:
            raise VerificationError(
                "it does not follow the entry before", index=entry.seq, rule="chain"
            )
        return _Head(entry.seq + 1, receipt.entry_hash, entry.time, row.entry, refused)

    def _read_last(self, row: Row, known: _Head) -> tuple[Receipt, OtherKeysError | None]:
        """Read the last row, with the reason why only what must get through is built upon it."""
        try:
            return self._read_tip(row), None
        except OtherKeysError as error:
            # Even a halt of ours would only take the log away from those whose it is.
            if known.size == 0:
                raise
            if error.receipt is not None:
                return error.receipt, error
            # A log of ours is only ever gone on with by our keys: somebody without them did this.
            raise VerificationError(
                f"no key of this ledger signed it: {error}", index=row.seq, rule="signature"
            ) from error

    def _seal(
        self, group: _Group, head: _Head, rows: list[NewRow], seen: dict[str, Receipt]
    ) -> _Head:
        """Chain and sign one group; if one of it cannot be sealed, none of it is."""
        fresh: list[NewRow] = []
        mine: dict[str, Receipt] = {}
        start = head
        try:
            if head.error is not None and not group.anyway:
                raise head.error
            for item in group.items:
                known = self._known(item, mine, seen)
                if known is not None:
                    item.receipt = known
                    continue
                self._check_expected(group, start, rows)
                row, head = self._chain(item, head)
                _check_time(group, head)
                fresh.append(row)
                if item.key is not None and item.receipt is not None:
                    mine[item.key] = item.receipt
        except (UsageError, HeadMovedError, VerificationError) as error:
            for item in group.items:
                item.receipt, item.error = None, error
            return start
        rows.extend(fresh)
        seen.update(mine)
        return head

    def _check_expected(self, group: _Group, head: _Head, unwritten: Sequence[NewRow]) -> None:
        """Check that nothing came between what was read and what is to be written."""
        if group.expect is None or head.size == group.expect:
            return
        if group.unless is None or head.size < group.expect:
            raise HeadMovedError(
                f"the log has {head.size} entries, and {group.expect} were expected; "
                "read what is new and try again"
            )
        between = itertools.chain(
            ((row.seq, row.entry) for row in self._store.rows(group.expect)),
            ((row.seq, row.columns[1].encode()) for row in unwritten if row.seq >= group.expect),
        )
        prev: str | None = None
        for seq, (number, raw) in enumerate(between, group.expect):
            entry = read_link(number, raw, seq, prev)
            prev = entry_hash(raw).hex()
            if group.unless(entry):
                raise HeadMovedError(
                    f"entry {entry.seq} was written since entry {group.expect} was expected "
                    "next, and bears on this one; read what is new and try again"
                )

    def _known(self, item: Pending, *seen: dict[str, Receipt]) -> Receipt | None:
        if item.key is None:
            return None
        receipt = next((known[item.key] for known in seen if item.key in known), None)
        if receipt is None:
            row = self._store.by_key(item.key)
            receipt = None if row is None else self._read(row)
        if receipt is not None and (receipt.kind, receipt.body_bytes) != (item.kind, item.body):
            raise UsageError(
                f"that key was used for entry {receipt.seq}, which holds something else; "
                "a key stands for one body"
            )
        return receipt

    def _now(self) -> int:
        now = self._clock()
        if type(now) is not int or not 0 <= now <= limits.MAX_SAFE_INTEGER:
            raise UsageError(
                f"the clock gives {now!r}; a ledger's clock gives whole microseconds since 1970, "
                "as time.time_ns() // 1000 does"
            )
        return now

    def _chain(self, item: Pending, head: _Head) -> tuple[NewRow, _Head]:
        entry = Entry(
            seq=head.size,
            # A clock that was set back must not make the log say so.
            time=max(self._now(), head.time),
            kind=item.kind,
            trace_id=item.trace_id,
            parent=item.parent,
            key=item.key,
            body_commitment=item.commitment,
            prev=head.prev,
        )
        raw = entry.encode()
        hash_ = entry_hash(raw)
        signatures = sign_entry(self._signers, self._origin, hash_)
        item.receipt = Receipt(self._origin, entry, raw, item.body, item.salt, signatures)
        row = NewRow(
            entry.seq,
            hash_,
            (
                entry.seq,
                raw.decode(),
                item.body.decode(),
                item.salt,
                encode_signatures(signatures),
                item.kind,
                item.trace_id,
                item.key,
            ),
        )
        # Nor may the next one make it look as if there were something beneath.
        prev = FOLLOWS_NOTHING if head.prev == FOLLOWS_NOTHING else hash_.hex()
        return row, _Head(entry.seq + 1, prev, entry.time, raw, head.error)


def _check_time(group: _Group, head: _Head) -> None:
    if group.within is None or group.within[0] <= head.time <= group.within[1]:
        return
    raise EntryTimeError(
        f"the entry would be sealed at {head.time}, and only from {group.within[0]} to "
        f"{group.within[1]}; nothing was written"
    )
