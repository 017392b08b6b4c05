"""Verify a whole log, entry by entry, naming the first bad one and the rule it breaks.

The rules, in the order they are applied to each row:

==============  ===========================================================
``sequence``    seq counts 0, 1, 2, … without gaps
``entry``       the entry is canonical, of this schema, and says the same seq
``chain``       ``prev`` is the hash of the entry before (SHA-256(origin) at first)
``time``        not before the entry before
``look-up``     the indexed columns repeat the entry
``commitment``  SHA-256(salt || body) is what the entry commits to
``body``        the body is canonical JSON
``signature``   the policy's keys signed it, under this origin
``replay``      with replay: the verdict comes out the same (``panel``: under the
                panel that was sealed before it)
==============  ===========================================================

Then over the whole: ``checkpoint`` (the note itself), ``truncation`` (fewer entries than
it pins), ``fork`` (another root at its size), and ``store`` (the file is damaged).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from quorate.core.canonical import parse, parse_canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.core.text import counted
from quorate.ledger import checkpoint as checkpoints
from quorate.ledger.entries import SALT_BYTES, Entry, commit, entry_hash, first_prev
from quorate.ledger.merkle import MerkleTree
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import check_signatures, decode_signatures, encode_signatures
from quorate.ledger.replay import ReplayContext, SealedPanel, replay
from quorate.ledger.rows import check_look_up
from quorate.ledger.sqlite import Row, SQLiteStore

Progress = Callable[[int, int], None]
"""Called with entries done and entries in all."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was verified. There is no report of a failure: that is an error.

    Attributes:
        size: entries verified.
        root: Merkle root over them, hex.
        complete: a checkpoint from elsewhere pins exactly these entries, so none is
            missing at the end.
        origin: name of the log.
        proven: entries pinned by that checkpoint; 0 without one.
        replayed: verdicts and declarations computed again; ``None`` without replay.
        unbound: of them, decisions and refusals that name no panel sealed before them, and so
            are held only to the roster and quorum they state themselves.
        own_normalisers: of them, those whose answers were compared by a function of the
            caller's own, and so rest on the table of what it gave.
        correlations: of them, those whose number of effective voters rests on a correlation
            of errors that was measured elsewhere.
        kinds: entries of each kind.
        panels: with replay, the panels that were sealed; any later verdict may name them.
        unreplayed: with replay, entries of each kind that claim no verdict.
    """

    size: int
    root: str
    complete: bool
    origin: str
    proven: int = 0
    replayed: int | None = None
    unbound: int = 0
    own_normalisers: int = 0
    correlations: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    panels: tuple[SealedPanel, ...] = ()
    unreplayed: Mapping[str, int] = field(default_factory=dict)

    def describe(self) -> str:
        """Say what was shown, and what was not."""
        entries = counted(self.size, "entry", "entries")
        lines = [f"verified {entries} of {self.origin}, root {self.root}"]
        if self.replayed is not None:
            lines.append(f"replayed {self.replayed} of them: every verdict comes out the same")
        lines += [panel.describe() for panel in self.panels]
        if self.unreplayed:
            kinds = ", ".join(f"{kind} ({n})" for kind, n in sorted(self.unreplayed.items()))
            lines.append(f"not replayed, for they claim no verdict: {kinds}")
        if self.unbound:
            names = "names" if self.unbound == 1 else "name"
            lines.append(
                f"{counted(self.unbound, 'verdict')} {names} no panel sealed before: held only to "
                "the roster and quorum stated there"
            )
        if self.own_normalisers:
            lines.append(
                f"{counted(self.own_normalisers, 'verdict')} compared answers by a function of "
                "the maker's own: which answers count as the same there is taken as sealed, not "
                "computed"
            )
        if self.correlations:
            count = "counts" if self.correlations == 1 else "count"
            lines.append(
                f"{counted(self.correlations, 'verdict')} {count} effective voters by a "
                "correlation of errors: how it was measured is taken as sealed, not computed"
            )
        if self.complete:
            lines.append("complete: the checkpoint pins exactly these entries")
        elif self.proven:
            lines.append(
                f"the checkpoint pins the first {self.proven}; "
                f"the tail of {self.size - self.proven} is not proven to be all there is"
            )
        else:
            lines.append(
                "the tail is not proven: entries may have been cut off the end; "
                "give a checkpoint kept elsewhere to rule that out"
            )
        return "\n".join(lines)

    def to_dict(self) -> dict[str, object]:
        """The report as JSON."""
        return {
            "verified": True,
            "size": self.size,
            "root": self.root,
            "complete": self.complete,
            "proven": self.proven,
            "replayed": self.replayed,
            "unbound": self.unbound,
            "own_normalisers": self.own_normalisers,
            "correlations": self.correlations,
            "origin": self.origin,
            "kinds": dict(sorted(self.kinds.items())),
            "panels": [{"seq": p.seq, "digest": p.digest, **p.declaration} for p in self.panels],
            "unreplayed": dict(sorted(self.unreplayed.items())),
        }


def verify_store(
    store: SQLiteStore,
    policy: Policy,
    *,
    note: str | None = None,
    replaying: bool = False,
    progress: Progress | None = None,
) -> VerifyReport:
    """Verify every row of ``store`` (see the module for the rules).

    Raises:
        VerificationError: with the first bad index and the rule it breaks.
        StoreError: the store cannot be read.
    """
    pinned = None if note is None else checkpoints.verify(note, policy)
    origin = store.origin()
    _check_origins(origin, policy, pinned)
    walk = _Walk(origin, policy, ReplayContext(policy.panels) if replaying else None)
    total = store.count()
    try:
        for row in store.rows():
            if pinned is not None and walk.tree.size == pinned.size:
                _check_root(walk.tree, pinned)
            walk.step(row)
            if progress is not None:
                progress(walk.tree.size, total)
    except VerificationError as error:
        if error.rule == "store":
            raise VerificationError(
                "the database file is damaged from here on", index=walk.tree.size, rule="store"
            ) from error
        raise
    _check_end(store, walk, pinned)
    return VerifyReport(
        size=walk.tree.size,
        root=walk.tree.root().hex(),
        complete=pinned is not None and pinned.size == walk.tree.size,
        origin=origin,
        proven=0 if pinned is None else pinned.size,
        replayed=walk.replayed if replaying else None,
        unbound=0 if walk.context is None else walk.context.unbound,
        own_normalisers=0 if walk.context is None else walk.context.own_normalisers,
        correlations=0 if walk.context is None else walk.context.correlations,
        kinds=walk.kinds,
        panels=() if walk.context is None else tuple(walk.context.panels.values()),
        unreplayed=walk.unreplayed,
    )


def _check_origins(origin: str, policy: Policy, pinned: checkpoints.Checkpoint | None) -> None:
    for other, whose in (
        (policy.origin, "the policy"),
        (None if pinned is None else pinned.origin, "the checkpoint"),
    ):
        if other is not None and other != origin:
            raise VerificationError(
                f"the ledger says its origin is {origin!r}, {whose} is for {other!r}",
                index=0,
                rule="origin",
            )


def _check_root(tree: MerkleTree, pinned: checkpoints.Checkpoint) -> None:
    if tree.root() != pinned.root:
        raise VerificationError(
            f"the checkpoint pins {counted(pinned.size, 'entry', 'entries')}, but the log does not "
            "begin with them: it was rewritten or is another branch of it",
            rule="fork",
        )


def _check_end(store: SQLiteStore, walk: _Walk, pinned: checkpoints.Checkpoint | None) -> None:
    size = walk.tree.size
    if pinned is not None and size < pinned.size:
        raise VerificationError(
            f"the checkpoint pins {counted(pinned.size, 'entry', 'entries')}, but the log ends "
            f"after {size}: {counted(pinned.size - size, 'entry', 'entries')} cut off at the end",
            index=size,
            rule="truncation",
        )
    if pinned is not None and size == pinned.size:
        _check_root(walk.tree, pinned)
    problems = store.problems()
    if problems:
        raise VerificationError(f"the database file is damaged: {problems[0]}", rule="store")
    if store.has_negative():
        raise VerificationError(
            "rows are numbered below 0, which only tampering does", index=size, rule="sequence"
        )


class _Walk:
    """The state carried from one entry to the next."""

    def __init__(self, origin: str, policy: Policy, context: ReplayContext | None) -> None:
        self.tree = MerkleTree()
        self.kinds: Counter[str] = Counter()
        self.replayed = 0
        self._origin = origin
        self._policy = policy
        self.context = context
        self.unreplayed: Counter[str] = Counter()
        self._prev = first_prev(origin)
        self._time = 0

    def step(self, row: Row) -> None:
        """Check one row against all rules and take it in."""
        seq = self.tree.size
        if row.seq != seq:
            raise VerificationError(f"found number {row.seq} instead", index=seq, rule="sequence")
        entry = self._entry(row)
        check_look_up(row, entry)
        self._check_body(row, entry)
        hash_ = entry_hash(row.entry)
        self._check_signatures(row, hash_)
        if self.context is not None:
            self.context.current = entry
            if replay(entry.kind, parse(row.body), self.context, seq):
                self.replayed += 1
            else:
                self.unreplayed[entry.kind] += 1
            self.context.note_entry(entry.kind, hash_)
        self.tree.append(hash_)
        self.kinds[entry.kind] += 1
        self._prev = hash_.hex()
        self._time = entry.time

    def _entry(self, row: Row) -> Entry:
        seq = row.seq
        try:
            entry = Entry.decode(row.entry)
        except UsageError as error:
            raise VerificationError(str(error), index=seq, rule="entry") from error
        if entry.seq != seq:
            raise VerificationError(f"it says it is number {entry.seq}", index=seq, rule="entry")
        if entry.prev != self._prev:
            before = "the origin" if seq == 0 else "the entry before"
            raise VerificationError(f"it does not follow {before}", index=seq, rule="chain")
        if entry.time < self._time:
            raise VerificationError("it is dated before its predecessor", index=seq, rule="time")
        return entry

    def _check_body(self, row: Row, entry: Entry) -> None:
        seq = row.seq
        if len(row.salt) != SALT_BYTES or commit(row.salt, row.body) != entry.body_commitment:
            raise VerificationError(
                "the body or its salt is not what was sealed", index=seq, rule="commitment"
            )
        try:
            parse_canonical(row.body)
        except UsageError as error:
            raise VerificationError(str(error), index=seq, rule="body") from error

    def _check_signatures(self, row: Row, hash_: bytes) -> None:
        try:
            text = row.signatures.decode("ascii")
            signatures = decode_signatures(text)
        except (UsageError, UnicodeDecodeError) as error:
            raise VerificationError(
                f"its signatures cannot be read: {error}", index=row.seq, rule="signature"
            ) from error
        if encode_signatures(signatures) != text:
            raise VerificationError(
                "its signatures are not in canonical form", index=row.seq, rule="signature"
            )
        check_signatures(signatures, self._policy, self._origin, hash_, row.seq)
