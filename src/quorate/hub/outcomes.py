"""Known outcomes: what the right answer was, sealed after the fact, and who had it.

An entry of kind ``outcome`` holds the right answer to one task. It is sealed once: the
same answer again is fine, another is refused. Whether an expert was right is judged as the
verdict on that task was folded: by the same normaliser.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from quorate.arbitration.forms import hex_digest, items, members, shown, text
from quorate.arbitration.proposal import plain_copy
from quorate.arbitration.rules.normalise import NotNormalError, normal_digest
from quorate.arbitration.sealed import DECISION, REFUSAL
from quorate.core.canonical import JSONValue, canonical, digest
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.ledger import Ledger, Receipt
from quorate.ledger.replay import ReplayContext

KIND: Final = "outcome"
RULE: Final = "outcome/1"
EXACT: Final = "exact"
CUSTOM: Final = "custom"

Source = Ledger | Iterable[Receipt]
"""Where sealed verdicts and outcomes are read from."""


def verdict_key(task_id: str) -> str:
    """The idempotency key that the verdict on a task is sealed under."""
    return f"task:{task_id}"


def outcome_key(task_id: str) -> str:
    """The idempotency key that the outcome of a task is sealed under."""
    return f"outcome:{task_id}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The right answer to a task.

    Attributes:
        task_id: which.
        answer: any JSON value.
        digest: SHA-256 of the canonical answer, 64 hex digits.
        input_digest: of the task's input, where it is known.
    """

    task_id: str
    answer: JSONValue
    digest: str
    input_digest: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        task = {"id": self.task_id}
        if self.input_digest is not None:
            task["input_digest"] = self.input_digest
        return {
            "rule": RULE,
            "task": task,
            "answer": plain_copy(self.answer),
            "digest": self.digest,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Outcome:
        """Read back what :meth:`to_dict` wrote; the digest is checked against the answer.

        Raises:
            UsageError: it is no outcome.
        """
        form = members(data, "the outcome", ("rule", "task", "answer", "digest"))
        if form["rule"] != RULE:
            raise UsageError(f"rule is {shown(form['rule'])}; this version reads {RULE}")
        task = members(form["task"], "task", ("id",), ("input_digest",))
        found = digest(form["answer"])
        if form["digest"] != found:
            raise UsageError(f"digest is {shown(form['digest'])}, but the answer has {found!r}")
        input_digest = None
        if "input_digest" in task:
            input_digest = hex_digest(task["input_digest"], "task.input_digest")
        return cls(text(task["id"], "task.id"), form["answer"], found, input_digest)


def seal_outcome(
    ledger: Ledger, task_id: str, answer: JSONValue, *, input_digest: str | None = None
) -> Receipt:
    """Seal the right answer to a task, before or after its verdict.

    Args:
        ledger: opened for writing.
        task_id: which.
        answer: any JSON value.
        input_digest: of the task's input; where the verdict is sealed already, it is taken
            from there.

    Raises:
        UsageError: an argument cannot be used; another answer is sealed for that task, or
            its verdict was on another input.
        StoreError: it could not be written; nothing was.
    """
    name = text(task_id, "task_id")
    found = digest(answer)
    earlier = sealed_outcome(ledger, name)
    if earlier is not None:
        receipt, outcome = earlier
        if outcome.digest != found:
            raise UsageError(
                f"the outcome of the task {name!r} is sealed in entry {receipt.seq} as "
                f"{outcome.digest}, and this answer has {found}; an outcome never changes"
            )
        return receipt
    if input_digest is not None:
        input_digest = hex_digest(input_digest, "input_digest")
    known = _input_digest(ledger, name)
    if input_digest is not None and known not in (None, input_digest):
        raise UsageError(
            f"the verdict on the task {name!r} was on the input {known}, not on {input_digest}"
        )
    outcome = Outcome(name, answer, found, known or input_digest)
    return ledger.append(KIND, outcome.to_dict(), key=outcome_key(name))


def sealed_outcome(ledger: Ledger, task_id: str) -> tuple[Receipt, Outcome] | None:
    """The outcome sealed for a task, and its receipt; ``None`` where there is none.

    Raises:
        VerificationError: rule ``outcome``: what is sealed under its key is none.
    """
    receipt = ledger.by_key(outcome_key(task_id))
    if receipt is None:
        return None
    try:
        return receipt, _read_outcome(receipt.kind, receipt.payload)
    except UsageError as error:
        raise VerificationError(
            f"it has the key of an outcome and is none: {error}", index=receipt.seq, rule=KIND
        ) from error


def _read_outcome(kind: str, body: Any) -> Outcome:
    if kind != KIND:
        raise UsageError(f"it is sealed as {shown(kind)}")
    return Outcome.from_dict(body)


def _input_digest(ledger: Ledger, task_id: str) -> str | None:
    receipt = ledger.by_key(verdict_key(task_id))
    verdict = None if receipt is None else read_verdict(receipt)
    return None if verdict is None else verdict.input_digest


def replay(kind: str, body: Any, context: ReplayContext) -> None:
    """Check a sealed outcome: its form and digest, and that it is its task's only one.

    Where it says of which input, that is the one the verdict on the task was on.

    Raises:
        VerificationError: rule ``replay``: it is not so.
    """
    try:
        outcome = _read_outcome(kind, body)
    except UsageError as error:
        raise VerificationError(f"the outcome is not sound: {error}", rule="replay") from error
    context.note_outcome(outcome.task_id, outcome.input_digest)


# -- verdicts, and who was right


@dataclass(frozen=True, slots=True)
class SealedVerdict:
    """What is read here of a sealed decision or refusal.

    Attributes:
        seq: number of its entry.
        body: the whole sealed body.
        task_id, input_digest: the task, where it names one.
        committed: whether an answer was committed.
        by_quorum: whether a quorum committed it.
        engaged: experts whose proposals were folded, and the payload of each.
        dissenting: those of them that proposed another answer than was committed.
        absent: id of each absentee, and the reason.
    """

    seq: int
    body: Mapping[str, Any]
    task_id: str | None
    input_digest: str | None
    committed: bool
    by_quorum: bool
    engaged: Mapping[str, JSONValue]
    dissenting: frozenset[str]
    absent: Mapping[str, str]

    @property
    def plan(self) -> Mapping[str, Any] | None:
        """The sealed plan; that of the verdict it grew out of where it has none itself."""
        body: Any = self.body
        while isinstance(body, dict):
            if isinstance(body.get("plan"), dict):
                found: Mapping[str, Any] = body["plan"]
                return found
            body = body.get("parent")
        return None


def read_verdict(receipt: Receipt) -> SealedVerdict | None:
    """Read a sealed verdict; ``None`` where the entry is of another kind or shape.

    Whoever has the key can seal anything under any kind, and what is sealed stays: what is
    no verdict is passed over. Replay is where a wrong one is found.
    """
    if receipt.kind not in (DECISION, REFUSAL):
        return None
    body = receipt.payload
    try:
        return _read_verdict(receipt, body)
    except (KeyError, TypeError, AttributeError, UsageError):
        return None


def _read_verdict(receipt: Receipt, body: Any) -> SealedVerdict:
    verdict, task = body["verdict"], body.get("task") or {}
    payloads = {text(one["expert_id"], "an id"): one["payload"] for one in body["proposals"]}
    engaged = items(verdict["engaged"], "engaged", lambda name: text(name, "an id"))
    committed = receipt.kind == DECISION
    if committed:
        canonical(verdict["consensus"])
    if not isinstance(body["parameters"], dict):
        raise UsageTypeError("parameters should be an object")
    return SealedVerdict(
        seq=receipt.seq,
        body=body,
        task_id=None if "id" not in task else text(task["id"], "task.id"),
        input_digest=task.get("input_digest"),
        committed=committed,
        by_quorum=committed and verdict["by_quorum"] is True,
        engaged={name: payloads[name] for name in engaged},
        dissenting=frozenset(verdict["dissenting"]) if committed else frozenset(),
        absent={text(one["expert_id"], "an id"): one["reason"] for one in verdict["absent"]},
    )


def sameness(body: Mapping[str, Any], answer: JSONValue) -> Callable[[JSONValue], bool]:
    """What says whether a payload is the same answer as ``answer``, as that body folds.

    Raises:
        UsageError: it cannot be compared: the verdict's normaliser cannot read ``answer``,
            or is one of the caller's own that was never given it.
    """
    name = body["parameters"].get("normalize", EXACT)
    if name == EXACT:
        wanted = digest(answer)
        return lambda payload: digest(payload) == wanted
    if name == CUSTOM:
        return _sealed_sameness(body, answer)
    try:
        normal = normal_digest(name, answer)
    except NotNormalError as error:
        raise UsageError(f"the normaliser {name!r} cannot read the answer: {error}") from error

    def same(payload: JSONValue) -> bool:
        try:
            return normal_digest(name, payload) == normal
        except NotNormalError:
            return False

    return same


def _sealed_sameness(body: Mapping[str, Any], answer: JSONValue) -> Callable[[JSONValue], bool]:
    """By the results that a normaliser of the caller's own left in the body."""
    sealed = body.get("normal") or {}
    normal = sealed.get(digest(answer))
    if normal is None:
        raise UsageError(
            "the verdict's normaliser is the caller's own, and no expert gave exactly this answer"
        )
    return lambda payload: sealed.get(digest(payload)) == normal


def judge(verdict: SealedVerdict, answer: JSONValue) -> dict[str, bool]:
    """Id of each engaged expert, and whether its proposal was the right answer.

    Raises:
        UsageError: the answer cannot be compared; see :func:`sameness`.
    """
    same = sameness(verdict.body, answer)
    return {name: same(payload) for name, payload in verdict.engaged.items()}


class History:
    """Sealed verdicts and the outcomes known of them, read without holding all bodies.

    Attributes:
        read: verdicts read so far.
        passed: entries of these kinds so far that are no verdicts.
    """

    def __init__(self, source: Source, outcomes: Mapping[str, JSONValue] | None = None) -> None:
        """Read from a ledger, or from receipts.

        Args:
            source: a ledger; or receipts, of which outcomes may stand anywhere.
            outcomes: right answers by task id, beside those that are sealed.

        Raises:
            UsageTypeError: ``source`` or ``outcomes`` is something else.
        """
        if outcomes is not None and not isinstance(outcomes, Mapping):
            raise UsageTypeError(f"outcomes is {shown(outcomes)}; give {{task id: answer}}")
        self._given = outcomes or {}
        self._ledger = source if isinstance(source, Ledger) else None
        self._receipts: Sequence[Receipt] = ()
        self._sealed: dict[str, Outcome] = {}
        self.read = 0
        self.passed = 0
        if isinstance(source, Ledger):
            return
        if not isinstance(source, Iterable):
            raise UsageTypeError(f"the history is {shown(source)}; give a Ledger or receipts")
        self._receipts = tuple(source)
        for receipt in self._receipts:
            if not isinstance(receipt, Receipt):
                raise UsageTypeError(f"{shown(receipt)} is no Receipt")
            if receipt.kind == KIND:
                outcome = Outcome.from_dict(receipt.payload)
                self._sealed.setdefault(outcome.task_id, outcome)

    def verdicts(
        self, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[SealedVerdict]:
        """All verdicts in order of the log.

        Args:
            progress: called with entries passed and entries in all.

        Raises:
            VerificationError: an entry on the way is damaged.
        """
        total = len(self._receipts) if self._ledger is None else len(self._ledger)
        for receipt in self._entries():
            verdict = read_verdict(receipt)
            if verdict is not None:
                self.read += 1
                yield verdict
            elif receipt.kind in (DECISION, REFUSAL):
                self.passed += 1
            if progress is not None:
                # Receipts may be of any part of a log.
                done = receipt.seq + 1 if self._ledger is not None else self.read + self.passed
                progress(min(done, total), total)
        if progress is not None:
            progress(total, total)

    def _entries(self) -> Iterator[Receipt]:
        if self._ledger is None:
            return iter(self._receipts)
        return verdict_entries(self._ledger)

    def outcome(self, verdict: SealedVerdict) -> Outcome | None:
        """The outcome known of the task that was decided, or ``None``.

        Raises:
            UsageError: one is given, and another is sealed.
            VerificationError: what is sealed under its key is none.
        """
        if verdict.task_id is None:
            return None
        sealed = self._of(verdict.task_id)
        if verdict.task_id in self._given:
            answer = self._given[verdict.task_id]
            given = Outcome(verdict.task_id, answer, digest(answer))
            if sealed is not None and sealed.digest != given.digest:
                raise UsageError(
                    f"the outcome of the task {verdict.task_id!r} is given as {given.digest}, "
                    f"but sealed as {sealed.digest}; leave it out"
                )
            return given
        return sealed if matches(sealed, verdict) else None

    def _of(self, task_id: str) -> Outcome | None:
        if self._ledger is None:
            return self._sealed.get(task_id)
        found = sealed_outcome(self._ledger, task_id)
        return None if found is None else found[1]


def matches(outcome: Outcome | None, verdict: SealedVerdict) -> bool:
    """Whether an outcome is of the very task decided: two inputs under one id are two tasks."""
    if outcome is None or outcome.task_id != verdict.task_id:
        return False
    return None in (outcome.input_digest, verdict.input_digest) or (
        outcome.input_digest == verdict.input_digest
    )


def verdict_entries(ledger: Ledger, *more: str, start: int = 0) -> Iterator[Receipt]:
    """Entries of decisions and refusals, and of ``more`` kinds, in order from ``start`` on.

    Other kinds, some of which are large, are not even read.
    """
    streams = [ledger.find(kind=kind, start=start) for kind in (DECISION, REFUSAL, *more)]
    return heapq.merge(*streams, key=lambda receipt: receipt.seq)
