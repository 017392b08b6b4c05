"""How experts have done so far, worked out from the sealed record and from nothing else.

Theory of operation. Entries of kind ``decision``, ``refusal`` and ``outcome`` are read in
the order of the log, and counted per expert:

=============  ================================================================
``engaged``    verdicts in which its proposal was folded
``agreed``     of these, decisions by a quorum for the answer it proposed
``dissented``  of these, decisions by a quorum for another answer
``absent``     verdicts it was asked for without a proposal that counts, by its
               own fault or misfortune; whoever recused itself is not counted
``right``      verdicts with a known outcome, in which it proposed the right answer
``wrong``      the same, with another answer
=============  ================================================================

**Success rate.** An expert succeeds at a task when it answers, and is right::

    accuracy     = (s + 1) / (s + f + 2)      s, f = right, wrong
    availability = (engaged + 1) / (engaged + absent + 1)
    success rate = accuracy * availability

Where no outcome is known, s and f are ``agreed`` and ``dissented``: agreement with what
was committed stands in for being right. The accuracy is Laplace's rule of succession, so an
expert of which nothing is known has 1/2, and it takes many tasks to come near 0 or 1. It is
an exact rational.

The router that learns, if there is one, is fed from the same entries in the same order.

**What is kept.** Counts and the router's state, with the number of entries they stand for
and the hash of the last of these, are kept in a table beside the entries, now and then. A
restart goes on from there. If the table is lost, damaged, or of another log, everything is
worked out again from the first entry.

An outcome is matched to the verdict that was sealed under the key of its task, ``task:ID``,
as the hub and ``quorate run`` do; :mod:`quorate.hub.history` and :mod:`quorate.hub.tuning`
read the whole log and need no key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Final

import orjson

from quorate.arbitration.forms import members, text
from quorate.arbitration.sealed import DECISION, REFUSAL
from quorate.core.errors import UsageError, VerificationError
from quorate.core.exact import as_text
from quorate.hub.outcomes import (
    KIND,
    Outcome,
    SealedVerdict,
    judge,
    matches,
    outcome_key,
    read_verdict,
    sealed_outcome,
    verdict_entries,
    verdict_key,
)
from quorate.hub.routers import Lesson, Router
from quorate.hub.signature import TaskSignature
from quorate.ledger import Ledger, Receipt
from quorate.ledger.entries import key_digest

VERSION: Final = 1
KEEP_EVERY: Final = 1000
"""Entries read between two times that the state is kept."""

_READ: Final = frozenset({DECISION, REFUSAL, KIND})
_RECUSED: Final = "recused"


@dataclass(slots=True)
class Counts:
    """What an expert did; the module says what each number counts."""

    engaged: int = 0
    agreed: int = 0
    dissented: int = 0
    absent: int = 0
    right: int = 0
    wrong: int = 0

    @property
    def success_rate(self) -> Fraction:
        """By the formula of the module, above 0 and below 1."""
        known = self.right + self.wrong
        good, bad = (self.right, self.wrong) if known else (self.agreed, self.dissented)
        return Fraction(good + 1, good + bad + 2) * Fraction(
            self.engaged + 1, self.engaged + self.absent + 1
        )

    def to_list(self) -> list[int]:
        """The numbers, in the order of the module."""
        return [getattr(self, one.name) for one in fields(self)]


class Standing:
    """Counts per expert, and what the router learned. Safe to use from many threads.

    Attributes:
        router: the router that is fed, or ``None``.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        router: Router | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """Go on from what is kept beside the ledger's entries, and catch up.

        Args:
            ledger: opened for reading or for writing; nothing is kept in one for reading.
            router: fed from the record; it should not have learned anything yet.
            progress: called with entries read and entries in all.

        Raises:
            VerificationError: an entry is damaged.
            StoreError: the ledger cannot be read or written.
        """
        self.router = router
        self._ledger = ledger
        self._lock = threading.RLock()
        self._blank = None if router is None else router.to_dict()
        self._name = "standing" if router is None else f"standing/{router.name}"
        self._clear()
        self._restore()
        self.catch_up(progress)

    def _clear(self) -> None:
        self._counts: dict[str, Counts] = {}
        self._seq = self._kept = self._waiting = self._passed = 0
        if self.router is not None and self._blank is not None:
            self.router.restore(self._blank)

    # -- asking

    @property
    def seq(self) -> int:
        """How many entries of the log it stands for."""
        return self._seq

    @property
    def waiting(self) -> int:
        """Outcomes whose verdict was not found under the key of the task, so far."""
        return self._waiting

    @property
    def passed(self) -> int:
        """Entries and outcomes that could not be read or compared, and count for nothing."""
        return self._passed

    @property
    def ids(self) -> tuple[str, ...]:
        """All experts that the record names, sorted."""
        with self._lock:
            return tuple(sorted(self._counts))

    def counts(self, expert_id: str) -> Counts:
        """A copy of what is counted of one expert, all 0 where the record does not name it."""
        with self._lock:
            return Counts(*self._counts.get(expert_id, Counts()).to_list())

    def success_rate(self, expert_id: str) -> Fraction:
        """By the formula of the module; 1/2 where the record does not name the expert."""
        return self.counts(expert_id).success_rate

    def to_dict(self) -> dict[str, Any]:
        """Counts and success rate of each expert, as JSON."""
        with self._lock:
            return {
                "seq": self._seq,
                "waiting": self._waiting,
                "passed": self._passed,
                "experts": {
                    name: {
                        **{
                            one.name: getattr(self._counts[name], one.name)
                            for one in fields(Counts)
                        },
                        "success_rate": as_text(self._counts[name].success_rate),
                    }
                    for name in self.ids
                },
            }

    # -- reading the record

    def catch_up(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Read what was sealed since the last time.

        Returns:
            How many entries were added to the log since then.

        Raises:
            VerificationError: an entry is damaged; what comes before it is counted.
            StoreError: the ledger cannot be read or written.
        """
        with self._lock:
            start, end = self._seq, len(self._ledger)
            if end > start:
                for receipt in verdict_entries(self._ledger, KIND, start=start):
                    if receipt.seq >= end:
                        break
                    self._take(receipt)
                    self._seq = receipt.seq + 1
                    if progress is not None:
                        progress(self._seq, end)
                self._seq = end
            if progress is not None:
                progress(end, end)
            if self._seq - self._kept >= KEEP_EVERY:
                self.keep()
            return end - start

    def take_in(self, sealed: Sequence[Receipt]) -> None:
        """Take in what this process has just sealed, without reading it back.

        What stands between it and what was taken in before, such as what another process
        sealed, is read from the ledger.

        Args:
            sealed: in order of the log, as the ledger gave them when they were appended.

        Raises:
            VerificationError: an entry that had to be read is damaged.
            StoreError: the ledger cannot be read or written.
        """
        with self._lock:
            for receipt in sealed:
                if receipt.seq > self._seq or receipt.origin != self._ledger.origin:
                    self.catch_up()
                elif receipt.seq == self._seq:
                    if receipt.kind in _READ:
                        self._take(receipt)
                    self._seq += 1
            if self._seq - self._kept >= KEEP_EVERY:
                self.keep()

    def rebuild(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Forget everything, and work it out again from the first entry."""
        with self._lock:
            self._clear()
            self.catch_up(progress)
            self.keep()

    def _take(self, receipt: Receipt) -> None:
        if receipt.kind == KIND:
            self._take_outcome(receipt)
            return
        verdict = read_verdict(receipt)
        if verdict is None:
            self._passed += 1
            return
        self._count(verdict)
        if self.router is not None and verdict.plan is not None:
            self.router.planned(_asked(verdict.plan))
        if verdict.task_id is None or not _under(receipt, verdict_key(verdict.task_id)):
            return
        if not self._waiting and not self._passed:
            # Then no outcome came before its verdict, and none is looked for.
            return
        found = self._outcome(verdict.task_id)
        # One that is sealed later is taken when its own turn comes.
        if found is not None and found[0].seq < receipt.seq:
            self._waiting -= 1
            self._judge(verdict, found[1])

    def _take_outcome(self, receipt: Receipt) -> None:
        try:
            outcome = Outcome.from_dict(receipt.payload)
        except UsageError:
            outcome = None
        if outcome is None or not _under(receipt, outcome_key(outcome.task_id)):
            self._passed += 1
            return
        decided = self._ledger.by_key(verdict_key(outcome.task_id))
        verdict = None if decided is None else read_verdict(decided)
        if verdict is None or verdict.seq > receipt.seq:
            self._waiting += 1
            return
        self._judge(verdict, outcome)

    def _outcome(self, task_id: str) -> tuple[Receipt, Outcome] | None:
        try:
            return sealed_outcome(self._ledger, task_id)
        except VerificationError as error:
            if error.rule != KIND:
                raise
            return None

    def _of(self, expert_id: str) -> Counts:
        return self._counts.setdefault(expert_id, Counts())

    def _count(self, verdict: SealedVerdict) -> None:
        for name in verdict.engaged:
            counts = self._of(name)
            counts.engaged += 1
            if verdict.by_quorum and name in verdict.dissenting:
                counts.dissented += 1
            elif verdict.by_quorum:
                counts.agreed += 1
        for name, reason in verdict.absent.items():
            if reason != _RECUSED:
                self._of(name).absent += 1

    def _judge(self, verdict: SealedVerdict, outcome: Outcome) -> None:
        """Count who was right, and teach the router."""
        if not matches(outcome, verdict):
            self._passed += 1
            return
        try:
            right = judge(verdict, outcome.answer)
        except UsageError:
            self._passed += 1
            return
        for name, was in right.items():
            if was:
                self._of(name).right += 1
            else:
                self._of(name).wrong += 1
        if self.router is None or verdict.plan is None:
            return
        try:
            self.router.learn(_lesson(verdict.plan, right))
        except UsageError:
            # Such as an embedding of another model: what is sealed stays, and teaches nothing.
            self._passed += 1

    # -- keeping

    def keep(self) -> None:
        """Keep all of it beside the ledger's entries; nothing, where it is open for reading.

        Raises:
            StoreError: it cannot be written.
        """
        with self._lock:
            if self._ledger.store.read_only:
                return
            state = {
                "version": VERSION,
                "seq": self._seq,
                "head": self._head(self._seq),
                "waiting": self._waiting,
                "passed": self._passed,
                "counts": {name: counts.to_list() for name, counts in self._counts.items()},
                "router": None if self.router is None else self.router.to_dict(),
            }
            self._ledger.store.keep_derived(self._name, orjson.dumps(state))
            self._kept = self._seq

    def _head(self, seq: int) -> str:
        """Hash of the last of the first ``seq`` entries."""
        return "" if seq == 0 else self._ledger.get(seq - 1).entry_hash

    def _restore(self) -> None:
        raw = self._ledger.store.derived(self._name)
        if raw is None:
            return
        try:
            self._read_state(orjson.loads(raw))
        except (orjson.JSONDecodeError, UsageError, TypeError):
            # What is kept is no record: where it does not fit, the record itself is read.
            self._clear()

    def _read_state(self, data: Any) -> None:
        names = ("version", "seq", "head", "waiting", "passed", "counts", "router")
        form = members(data, "what is kept", names)
        if form["version"] != VERSION or not isinstance(form["counts"], dict):
            raise UsageError(f"what is kept is not of version {VERSION}")
        seq, waiting, passed = (_count(form[name]) for name in ("seq", "waiting", "passed"))
        if form["head"] != self._head(seq):
            raise UsageError("what is kept is of another log")
        counts = {text(name, "an id"): _read_counts(c) for name, c in form["counts"].items()}
        if (self.router is None) != (form["router"] is None):
            raise UsageError("what is kept is of another router")
        if self.router is not None:
            self.router.restore(form["router"])
        self._counts, self._waiting, self._passed = counts, waiting, passed
        self._seq = self._kept = seq


def _under(receipt: Receipt, key: str) -> bool:
    """Whether an entry is the one sealed under that idempotency key."""
    return receipt.entry.key == key_digest(key)


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError("a count should be a whole number, 0 or more")
    return value


def _read_counts(data: Any) -> Counts:
    if not isinstance(data, list) or len(data) != len(fields(Counts)):
        raise UsageError(f"counts should be a list of {len(fields(Counts))}")
    return Counts(*(_count(value) for value in data))


def _asked(plan: Mapping[str, Any]) -> tuple[str, ...]:
    weights = plan.get("weights")
    return tuple(sorted(weights)) if isinstance(weights, dict) else ()


def _lesson(plan: Mapping[str, Any], right: Mapping[str, bool]) -> Lesson:
    form = members(plan, "the plan", ("signature", "scores"), plan.keys())
    if not isinstance(form["scores"], dict):
        raise UsageError("scores should be an object")
    signature = TaskSignature.from_dict(form["signature"])
    return Lesson(signature, tuple(sorted(form["scores"])), right)
