"""The ledger: append, look up, checkpoint, verify.

``append`` returns when the entry is on disk; how it gets there, and how appenders share a
flush, is :mod:`quorate.ledger.appending`. The Merkle tree lives in memory and grows with
each commit; what other processes wrote is taken in when the root is next asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.identity import Ed25519Signer, Signer, Verifier
from quorate.ledger import checkpoint as checkpoints
from quorate.ledger.appending import Appender, Clock, NewRow, system_clock
from quorate.ledger.bundle import Bundle, proven
from quorate.ledger.entries import (
    Entry,
    check_kind,
    check_origin,
    check_reference,
    entry_hash,
    first_prev,
    key_digest,
)
from quorate.ledger.following import Follower
from quorate.ledger.merkle import MerkleTree
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import Receipt
from quorate.ledger.rows import read_link, read_row
from quorate.ledger.sqlite import Row, SQLiteStore
from quorate.ledger.tip import read_tip
from quorate.ledger.verification import Progress, VerifyReport, verify_store


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
            UsageError: the last entry was signed by other keys than ``signers``.
            VerificationError: the last entry is damaged, or follows nothing.
        """
        self._store = store
        self._signers = tuple(signers)
        ids = {s.key_id for s in self._signers}
        if len(ids) != len(self._signers) or len(ids) > limits.MAX_KEYS:
            raise UsageError(f"sign with 1 to {limits.MAX_KEYS} keys, each once")
        own = [s.verifier for s in self._signers]
        extra = [v for v in verifiers if v.key_id not in ids]
        self._verifiers: tuple[Verifier, ...] = (*own, *extra)
        self._policy = Policy.of(self._verifiers) if self._verifiers else None
        self._origin = store.origin()
        self._clock = clock
        self._tree = MerkleTree()
        self._tree_prev = first_prev(self._origin)
        self._appender: Appender | None = None
        if self._signers:
            self._appender = self._begin_appending(Policy.of(self._verifiers))

    def _begin_appending(self, policy: Policy) -> Appender:
        own = [s.key_id for s in self._signers]
        read = partial(read_tip, origin=self._origin, policy=policy, own=own)
        row = self._store.last()
        return Appender(
            self._store,
            self._signers,
            self._clock,
            last=None if row is None else read(row),
            read=self._receipt,
            read_tip=read,
            committed=self._grow,
        )

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
    def clock(self) -> Clock:
        """By which its entries are dated."""
        return self._clock

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
        expect: int | None = None,
        unless: Callable[[Entry], bool] | None = None,
        within: tuple[int, int] | None = None,
    ) -> Receipt:
        """Seal ``body`` as the next entry; return when it is on disk.

        Args:
            kind: what it is, in lower-case words, such as ``decision``.
            body: any JSON value.
            trace_id: id of the larger story. It stands outside the body: keep it opaque.
            parent: id of what this follows from.
            key: idempotency key. If an entry with that key is there with the same kind and
                body, its receipt is returned and nothing is written.
            expect: how many entries the log must have: what was read of it has to be all.
                With it, two that act on the same state cannot both succeed.
            unless: with it the log may have more entries than ``expect``, as long as this is
                true of none of those: what has no bearing on this one holds nobody up.
            within: earliest and latest time that the entry may get, in microseconds since
                1970; ``None`` for any.

        Raises:
            UsageError: an argument cannot be used, the key stands for another body, the
                ledger was opened for reading, or other keys signed its last entry.
            VerificationError: the last entry was written by another process and does not
                verify, or follows nothing, or is gone; or what was written is not there.
                Nothing was written.
            HeadMovedError: the log has not ``expect`` entries, or one since for which
                ``unless`` is true; nothing was written.
            EntryTimeError: the entry's time is not ``within``; nothing was written.
            StoreError: it could not be written; nothing was.
        """
        appender = self._writing()
        pending = [appender.prepare(kind, body, trace_id, parent, key)]
        return appender.submit(pending, expect, unless, within)[0]

    def append_anyway(self, kind: str, body: Any) -> Receipt:
        """Seal ``body`` as :meth:`append` does, even where the last entry does not verify.

        There it follows nothing, so that the log is seen to be broken there ever after, and
        :meth:`append` appends nothing any more. Upon a last entry that verifies, but that not all
        of this ledger's keys signed, it is sealed as upon any other.

        Raises:
            UsageError: as :meth:`append`; but where other keys signed the last entry only if
                the log was empty when it was opened, and so was begun with those keys.
            VerificationError: what was written is not there.
            StoreError: it could not be written.
        """
        appender = self._writing()
        return appender.submit([appender.prepare(kind, body, None, None, None)], anyway=True)[0]

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
            VerificationError: as :meth:`append`.
            StoreError: they could not be written; none was.
        """
        items = list(bodies)
        traces = [None] * len(items) if trace_ids is None else list(trace_ids)
        names = [None] * len(items) if keys is None else list(keys)
        if not len(items) == len(traces) == len(names):
            raise UsageError(
                f"{len(items)} bodies, {len(traces)} trace_ids and {len(names)} keys; "
                "give one of each per body, or leave the list out"
            )
        return self.append_all([(kind, *rest) for rest in zip(items, traces, names, strict=True)])

    def append_all(
        self,
        items: Sequence[tuple[str, Any, str | None, str | None]],
        *,
        expect: int | None = None,
        unless: Callable[[Entry], bool] | None = None,
    ) -> list[Receipt]:
        """Seal ``(kind, body, trace_id, key)`` items as :meth:`append_many` does, kinds mixed.

        With ``expect`` and ``unless``, as for :meth:`append`.
        """
        if len(items) > limits.MAX_BATCH:
            raise UsageError(
                f"{len(items)} entries at once; at most {limits.MAX_BATCH} are allowed"
            )
        appender = self._writing()
        pending = [
            appender.prepare(kind, body, trace, None, key) for kind, body, trace, key in items
        ]
        return appender.submit(pending, expect, unless) if pending else []

    def _writing(self) -> Appender:
        if self._appender is None:
            raise UsageError("the ledger was opened for reading; open it with signer=… to append")
        return self._appender

    def _grow(self, rows: Sequence[NewRow]) -> None:
        """Add to the tree what was committed, if the tree has all that comes before."""
        for row in rows:
            if row.seq == self._tree.size:
                self._tree.append(row.hash)
                self._tree_prev = row.hash.hex()

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
            UsageError: an argument cannot be used.
            VerificationError: an entry on the way is damaged.
        """
        if kind is not None:
            check_kind(kind)
        check_reference(trace_id, "trace_id")
        if isinstance(start, bool) or not isinstance(start, int):
            raise UsageTypeError(f"start is {start!r}; give a whole number")
        first = min(start, limits.MAX_SAFE_INTEGER + 1)
        for row in self._store.rows(first, kind=kind, trace_id=trace_id):
            yield self._receipt(row)

    def follow(self, wanted: Callable[[Entry], bool]) -> Follower:
        """Read the log from its first entry on, again and again, so that nothing can hide.

        Args:
            wanted: the entries to give; it is asked about each.
        """
        return Follower(self._store, self._origin, self._policy, wanted)

    def by_key(self, key: str) -> Receipt | None:
        """The receipt sealed under that idempotency key, checked as by :meth:`find`, or None."""
        row = self._store.by_key(key_digest(key))
        return None if row is None else self._receipt(row)

    def _receipt(self, row: Row) -> Receipt:
        return read_row(row, self._origin, self._policy)

    # -- proving

    def checkpoint(self) -> str:
        """Sign a note that pins the log as it stands. Keep it somewhere else than the log.

        Raises:
            UsageError: opened for reading.
            VerificationError: what was added since the last one does not hang together; an
                inconsistent log is never signed.
        """
        if self._appender is None:
            raise UsageError("the ledger was opened for reading; a checkpoint takes its key")
        with self._appender.lock:
            for row in self._store.rows(self._tree.size):
                self._take_in(row)
            pinned = checkpoints.Checkpoint(self._origin, self._tree.size, self._tree.root())
        return checkpoints.sign(pinned, self._signers)

    def bundle(self, seq: int, checkpoint: str | None = None) -> Bundle:
        """Bundle one entry's receipt with the proof that the log holds it; see :meth:`bundles`."""
        return self.bundles([seq], checkpoint)[0]

    def bundles(self, seqs: Iterable[int], checkpoint: str | None = None) -> list[Bundle]:
        """Bundle the receipts of several entries with their proofs, reading the log once.

        Args:
            seqs: numbers of the entries.
            checkpoint: a signed note to prove them against; else one is signed now, for which
                the ledger has to be open with its key.

        Raises:
            UsageError: no such entry, or none that the checkpoint pins; no key and no note.
            VerificationError: the log is not the one that the note pins.
        """
        note = self.checkpoint() if checkpoint is None else checkpoint
        hashes = (entry_hash(row.entry) for row in self._store.rows(0))
        return proven([self.get(seq) for seq in seqs], hashes, self._origin, note)

    def _take_in(self, row: Row) -> None:
        """Add a row that this object did not write itself to the tree, checking that it follows."""
        seq = self._tree.size
        receipt = self._receipt(row)
        read_link(row.seq, row.entry, seq, self._tree_prev)
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
        policy = policy or self._policy
        if policy is None:
            raise UsageError(
                "no key to verify with; open the ledger with verify_with=…, or give a policy"
            )
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
