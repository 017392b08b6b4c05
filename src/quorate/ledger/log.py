"""The ledger: append, look up, checkpoint, verify.

Theory of operation. Appenders prepare their bodies side by side (canonical bytes, salt,
commitment) and queue up. One of them writes: it takes all that is queued, chains and
signs it, and commits it in one transaction. The others sleep until theirs is settled or
nobody writes. So many appenders share one disk flush, and one alone waits for one.
``append`` returns when the entry is on disk. Other processes may write the same file:
each commit starts from the last entry as the database has it, inside the database's
write lock.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import StoreError, UsageError, UsageTypeError, VerificationError
from quorate.core.identity import Ed25519Signer, Signer, Verifier
from quorate.ledger import checkpoint as checkpoints
from quorate.ledger.entries import (
    SALT_BYTES,
    Entry,
    check_kind,
    check_origin,
    check_reference,
    commit,
    entry_hash,
    first_prev,
    key_digest,
)
from quorate.ledger.merkle import MerkleTree
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import (
    Receipt,
    decode_signatures,
    encode_signatures,
    sign_entry,
)
from quorate.ledger.sqlite import Row, SQLiteStore
from quorate.ledger.verification import (
    Progress,
    VerifyReport,
    check_look_up,
    verify_store,
)

Clock = Callable[[], int]
"""Gives microseconds since 1970."""


def system_clock() -> int:
    """Microseconds since 1970 by the system's clock."""
    return time.time_ns() // 1000


@dataclass(slots=True)
class _Pending:
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
        settled: they are on disk, or surely will not be. What they hold may change until then.
    """

    items: list[_Pending]
    settled: bool = False


@dataclass(slots=True)
class _Head:
    """Where the log ends: number of entries, hash and time of the last."""

    size: int
    prev: str
    time: int
    raw: bytes | None


class Ledger:
    """An append-only, hash-chained, Merkle-logged, signed record. Open one with :meth:`open`.

    Safe to use from many threads, and from many processes over one file.
    """

    def __init__(
        self,
        store: SQLiteStore,
        *,
        signers: Sequence[Signer] = (),
        verifiers: Sequence[Verifier] = (),
        clock: Clock = system_clock,
    ) -> None:
        """Work on an open ``store``; without ``signers`` it can only be read.

        Raises:
            UsageError: the last entry was signed by none of these keys.
            VerificationError: the last entry is damaged.
        """
        self._store = store
        self._signers = tuple(signers)
        ids = {s.key_id for s in self._signers}
        if len(ids) != len(self._signers) or len(ids) > limits.MAX_KEYS:
            raise UsageError(f"sign with 1 to {limits.MAX_KEYS} keys, each once")
        own = [s.verifier for s in self._signers]
        extra = [v for v in verifiers if v.key_id not in ids]
        self._verifiers: tuple[Verifier, ...] = (*own, *extra)
        self._clock = clock
        self._origin = store.origin()
        self._tree = MerkleTree()
        self._tree_prev = first_prev(self._origin)
        self._queue: list[_Group] = []
        self._head: _Head | None = None
        self._turn = threading.Condition()
        self._writer: _Group | None = None
        self._write_lock = threading.Lock()
        if self._signers:
            self._check_last()

    @classmethod
    def open(
        cls,
        url: str,
        *,
        signer: Signer | Sequence[Signer] | None = None,
        origin: str | None = None,
        verify_with: Verifier | Iterable[Verifier] = (),
        clock: Clock = system_clock,
    ) -> Self:
        """Open the ledger at ``url``, or begin one there if a signer is given.

        Args:
            url: ``memory:`` (gone with the process), ``sqlite:///relative/path`` or
                ``sqlite:////absolute/path``.
            signer: key that signs entries and checkpoints, or several that co-sign, in
                order. Without one a file is opened for reading; ``memory:`` makes its own.
            origin: name of the log; random for a new one. An existing one must match.
            verify_with: keys to verify with, besides those of ``signer``.
            clock: gives microseconds since 1970.

        Raises:
            UsageError: an argument cannot be used.
            StoreError: the store cannot be opened; nothing was changed.
            VerificationError: what is there is damaged.
        """
        path = parse_url(url)
        signers = _several(signer)
        if path is None and not signers:
            signers = (Ed25519Signer.generate(),)
        store = SQLiteStore(path, read_only=not signers)
        try:
            fresh = (
                check_origin(origin) if origin is not None else f"quorate/{os.urandom(12).hex()}"
            )
            store.begin(fresh if signers else None)
            _check_same_origin(store.origin(), origin)
            return cls(store, signers=signers, verifiers=_several(verify_with), clock=clock)
        except BaseException:
            store.close()
            raise

    @property
    def origin(self) -> str:
        """Name of the log; it stands in everything that is signed."""
        return self._origin

    @property
    def store(self) -> SQLiteStore:
        """Where the rows are."""
        return self._store

    # -- writing

    def append(
        self,
        kind: str,
        body: Any,
        *,
        trace_id: str | None = None,
        parent: str | None = None,
        key: str | None = None,
    ) -> Receipt:
        """Seal ``body`` as the next entry; return when it is on disk.

        Args:
            kind: what it is, in lower-case words, such as ``decision``.
            body: any JSON value.
            trace_id: id of the larger story. It outlives an erased body: keep it opaque.
            parent: id of what this follows from.
            key: idempotency key. If an entry with that key is there with the same kind and
                body, its receipt is returned and nothing is written.

        Raises:
            UsageError: an argument cannot be used, the key stands for another body, or the
                ledger was opened for reading.
            StoreError: it could not be written; nothing was.
        """
        return self._submit(_Group([self._pending(kind, body, trace_id, parent, key)]))[0]

    def append_many(
        self,
        kind: str,
        bodies: Iterable[Any],
        *,
        keys: Iterable[str] | None = None,
        trace_ids: Iterable[str | None] | None = None,
    ) -> list[Receipt]:
        """Seal several bodies as consecutive entries with one disk flush, all or none.

        Raises:
            UsageError: as :meth:`append`; lists of different lengths; more than
                ``limits.MAX_BATCH``. Nothing was written.
            StoreError: they could not be written; none was.
        """
        items = list(bodies)
        return self.append_all(
            [
                (kind, body, trace_id, key)
                for body, trace_id, key in zip(
                    items,
                    [None] * len(items) if trace_ids is None else list(trace_ids),
                    [None] * len(items) if keys is None else list(keys),
                    strict=True,
                )
            ]
        )

    def append_all(self, items: Sequence[tuple[str, Any, str | None, str | None]]) -> list[Receipt]:
        """Seal ``(kind, body, trace_id, key)`` items as :meth:`append_many` does, kinds mixed."""
        if len(items) > limits.MAX_BATCH:
            raise UsageError(
                f"{len(items)} entries at once; at most {limits.MAX_BATCH} are allowed"
            )
        pending = [self._pending(kind, body, trace, None, key) for kind, body, trace, key in items]
        return self._submit(_Group(pending)) if pending else []

    def _pending(
        self, kind: str, body: Any, trace_id: str | None, parent: str | None, key: str | None
    ) -> _Pending:
        if not self._signers:
            raise UsageError("the ledger was opened for reading; open it with signer=… to append")
        check_kind(kind)
        encoded = canonical(body)
        if len(encoded) > limits.MAX_BODY_BYTES:
            raise UsageError(
                f"the body has {len(encoded)} bytes; at most {limits.MAX_BODY_BYTES} are allowed"
            )
        if key is not None and (not isinstance(key, str) or not key):
            raise UsageTypeError(f"key is {key!r}; give a text that is not empty")
        salt = os.urandom(SALT_BYTES)
        return _Pending(
            kind=kind,
            body=encoded,
            salt=salt,
            commitment=commit(salt, encoded),
            trace_id=check_reference(trace_id, "trace_id"),
            parent=check_reference(parent, "parent"),
            key=None if key is None else key_digest(key),
        )

    def _submit(self, group: _Group) -> list[Receipt]:
        """Queue a group, which commits whole or not at all, and see it through."""
        with self._turn:
            self._queue.append(group)
        try:
            self._await_turn(group)
            # More may be queued before it than one commit takes.
            while not group.settled:
                with self._write_lock:
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
        rows: list[_NewRow] = []
        try:
            with self._store.transaction():
                head = self._read_head()
                seen: dict[str, Receipt] = {}
                for group in groups:
                    head = self._seal(group.items, head, rows, seen)
                self._store.insert([row.columns for row in rows])
        except BaseException as error:
            # The others wait for this thread's word; none may be left thinking it is sealed.
            told = error if isinstance(error, Exception) else StoreError("the writer was stopped")
            for item in itertools.chain.from_iterable(group.items for group in groups):
                item.receipt, item.error = None, told
            self._head = None
            if not isinstance(error, Exception):
                raise
            return
        finally:
            for group in groups:
                group.settled = True
        self._head = head
        for row in rows:
            if row.seq == self._tree.size:
                self._tree.append(row.hash)
                self._tree_prev = row.hash.hex()

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
        tip = self._store.tip()
        if tip is None:
            return _Head(0, first_prev(self._origin), 0, None)
        seq, raw = tip
        head = self._head
        if head is not None and head.size == seq + 1 and head.raw == raw:
            return head
        try:
            entry = Entry.decode(raw)
        except UsageError as error:
            raise VerificationError(str(error), index=seq, rule="entry") from error
        if entry.seq != seq:
            raise VerificationError(f"it says it is number {entry.seq}", index=seq, rule="entry")
        return _Head(seq + 1, entry_hash(raw).hex(), entry.time, raw)

    def _seal(
        self, group: list[_Pending], head: _Head, rows: list[_NewRow], seen: dict[str, Receipt]
    ) -> _Head:
        """Chain and sign one group; if one of it cannot be sealed, none of it is."""
        fresh: list[_NewRow] = []
        start = head
        try:
            for item in group:
                known = self._known(item, seen)
                if known is not None:
                    item.receipt = known
                    continue
                row, head = self._chain(item, head)
                fresh.append(row)
                if item.key is not None and item.receipt is not None:
                    seen[item.key] = item.receipt
        except UsageError as error:
            for item in group:
                if item.key is not None and item.receipt is not None:
                    seen.pop(item.key, None)
                item.receipt, item.error = None, error
            return start
        rows.extend(fresh)
        return head

    def _known(self, item: _Pending, seen: dict[str, Receipt]) -> Receipt | None:
        if item.key is None:
            return None
        receipt = seen.get(item.key)
        if receipt is None:
            row = self._store.by_key(item.key)
            receipt = None if row is None else self._receipt(row)
        if receipt is not None and (receipt.kind, receipt.body_bytes) != (item.kind, item.body):
            raise UsageError(
                f"that key was used for entry {receipt.seq}, which holds something else; "
                "a key stands for one body"
            )
        return receipt

    def _chain(self, item: _Pending, head: _Head) -> tuple[_NewRow, _Head]:
        entry = Entry(
            seq=head.size,
            # A clock that was set back must not make the log say so.
            time=max(self._clock(), head.time),
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
        row = _NewRow(
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
        return row, _Head(entry.seq + 1, hash_.hex(), entry.time, raw)

    # -- reading

    def __len__(self) -> int:
        """Number of entries."""
        return self._store.count()

    def __iter__(self) -> Iterator[Receipt]:
        """All receipts in order, read a page at a time."""
        return self.find()

    def get(self, seq: int) -> Receipt:
        """The receipt of entry ``seq`` (0-based), checked as :meth:`find` says.

        Raises:
            UsageError: there is no such entry.
            VerificationError: it is damaged.
        """
        if isinstance(seq, bool) or not isinstance(seq, int):
            raise UsageTypeError(f"seq is {seq!r}; give a whole number")
        row = self._store.at(seq) if 0 <= seq <= limits.MAX_SAFE_INTEGER else None
        if row is None:
            size = len(self)
            have = f"there are {size} entries, 0 to {size - 1}" if size else "the ledger is empty"
            raise UsageError(f"there is no entry {seq}; {have}")
        return self._receipt(row)

    def find(
        self, *, trace_id: str | None = None, kind: str | None = None, start: int = 0
    ) -> Iterator[Receipt]:
        """Receipts in order, of one trace or kind if named, from ``start`` on.

        Each is checked on its own (form, commitment and, if keys are known, signature); only
        :meth:`verify` checks how they hang together.

        Raises:
            VerificationError: an entry on the way is damaged.
        """
        for row in self._store.rows(start, kind=kind, trace_id=trace_id):
            yield self._receipt(row)

    def by_key(self, key: str) -> Receipt | None:
        """The receipt sealed under that idempotency key, checked as by :meth:`find`, or None."""
        row = self._store.by_key(key_digest(key))
        return None if row is None else self._receipt(row)

    def _receipt(self, row: Row) -> Receipt:
        try:
            entry = Entry.decode(row.entry)
            signatures = decode_signatures(row.signatures.decode("ascii"))
        except (UsageError, UnicodeDecodeError) as error:
            raise VerificationError(str(error), index=row.seq, rule="entry") from error
        check_look_up(row, entry)
        receipt = Receipt(self._origin, entry, row.entry, row.body, row.salt, signatures)
        if entry.seq != row.seq:
            raise VerificationError(
                f"it says it is number {entry.seq}", index=row.seq, rule="entry"
            )
        if self._verifiers:
            receipt.verify(Policy.of(self._verifiers))
        else:
            receipt.check_commitment()
        return receipt

    def _check_last(self) -> None:
        row = self._store.last()
        if row is None:
            return
        try:
            receipt = self._receipt(row)
        except VerificationError as error:
            if error.rule != "signature":
                raise
            signed = ", ".join(s.key_id for s in decode_signatures(row.signatures.decode("ascii")))
            known = ", ".join(v.key_id for v in self._verifiers)
            raise UsageError(
                f"this ledger was last signed by key {signed}, not by {known}; "
                "open it with the key it was begun with"
            ) from error
        if {s.key_id for s in receipt.signatures} != {s.key_id for s in self._signers}:
            raise UsageError(
                "this ledger was last signed by other keys; open it with the keys it was begun with"
            )

    # -- proving

    def checkpoint(self) -> str:
        """Sign a note that pins the log as it stands. Keep it somewhere else than the log.

        Raises:
            UsageError: opened for reading.
            VerificationError: what was added since the last one does not hang together; an
                inconsistent log is never signed.
        """
        if not self._signers:
            raise UsageError("the ledger was opened for reading; a checkpoint takes its key")
        with self._write_lock:
            for row in self._store.rows(self._tree.size):
                self._take_in(row)
            pinned = checkpoints.Checkpoint(self._origin, self._tree.size, self._tree.root())
        return checkpoints.sign(pinned, self._signers)

    def _take_in(self, row: Row) -> None:
        """Add a row that this object did not write itself to the tree, checking that it follows."""
        seq = self._tree.size
        receipt = self._receipt(row)
        if row.seq != seq:
            raise VerificationError(f"found number {row.seq} instead", index=seq, rule="sequence")
        if receipt.previous_hash != self._tree_prev:
            raise VerificationError("it does not follow its predecessor", index=seq, rule="chain")
        self._tree.append(entry_hash(row.entry))
        self._tree_prev = receipt.entry_hash

    def verify(
        self,
        checkpoint: str | None = None,
        replay: bool = False,  # noqa: FBT001, FBT002 - reads as ledger.verify(replay=True)
        *,
        policy: Policy | None = None,
        progress: Progress | None = None,
    ) -> VerifyReport:
        """Verify every entry against the keys given at :meth:`open`, or against ``policy``.

        Args:
            checkpoint: a signed note kept elsewhere; without one a cut tail goes unseen.
            replay: compute every sealed verdict again.
            policy: whom to trust, in place of the ledger's own keys.
            progress: called with entries done and entries in all.

        Raises:
            UsageError: no key is known to verify with.
            VerificationError: the first bad index and the rule it breaks.
        """
        if policy is None:
            if not self._verifiers:
                raise UsageError(
                    "no key to verify with; open the ledger with verify_with=…, or give a policy"
                )
            policy = Policy.of(self._verifiers)
        return verify_store(
            self._store, policy, note=checkpoint, replaying=replay, progress=progress
        )

    def close(self) -> None:
        """Close the store. What was appended is on disk already."""
        self._store.close()

    def __enter__(self) -> Self:
        """Use as a context manager, which closes it at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


class _NewRow(NamedTuple):
    """A sealed row on its way to the store."""

    seq: int
    hash: bytes
    columns: tuple[int, str, str, bytes, str, str, str | None, str | None]


def _several(one_or_more: Any) -> tuple[Any, ...]:
    if one_or_more is None:
        return ()
    if isinstance(one_or_more, Iterable):
        return tuple(one_or_more)
    return (one_or_more,)


def _check_same_origin(found: str, asked: str | None) -> None:
    if asked is not None and found != asked:
        raise UsageError(
            f"the ledger's origin is {found!r}, not {asked!r}; leave origin out, "
            "or open another ledger"
        )


def parse_url(url: str) -> Path | None:
    """The file that a ledger URL names; ``None`` for ``memory:``.

    Raises:
        UsageError: another form, or another kind of store.
    """
    if not isinstance(url, str):
        raise UsageTypeError(f"the ledger url is {url!r}; give a text such as sqlite:///ledger.db")
    if url == "memory:":
        return None
    prefix = "sqlite:///"
    if url.startswith(prefix) and len(url) > len(prefix):
        return Path(url.removeprefix(prefix))
    raise UsageError(
        f"the ledger url {url!r} is not usable; give memory: or sqlite:///relative/path "
        "or sqlite:////absolute/path"
    )


def verify(
    target: str | Path | Receipt | Ledger,
    *,
    keys: Iterable[Verifier] = (),
    policy: Policy | None = None,
    checkpoint: str | None = None,
    replay: bool = False,
    progress: Progress | None = None,
) -> VerifyReport | None:
    """Verify a ledger (by url or file, or open) or one receipt, against keys that you name.

    Returns:
        The report for a ledger; ``None`` for a receipt, which checks out or raises.

    Raises:
        UsageError: neither keys nor a policy; or a checkpoint or replay for a single receipt.
        VerificationError: what does not check out, and why.
        StoreError: the ledger cannot be read.
    """
    if policy is None:
        verifiers = tuple(keys)
        if not verifiers:
            raise UsageError("name whom you trust: give keys or a policy")
        policy = Policy.of(verifiers)
    elif tuple(keys):
        raise UsageError("give keys or a policy, not both")
    if isinstance(target, Receipt):
        if checkpoint is not None or replay:
            raise UsageError("a checkpoint and replay are for a whole ledger, not for one receipt")
        target.verify(policy)
        return None
    if isinstance(target, Ledger):
        return target.verify(checkpoint, replay, policy=policy, progress=progress)
    text = str(target)
    url = text if text.startswith(("sqlite:", "memory:", "postgresql:")) else f"sqlite:///{text}"
    with Ledger.open(url) as ledger:
        return ledger.verify(checkpoint, replay, policy=policy, progress=progress)
