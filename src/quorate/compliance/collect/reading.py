"""A ledger, verified whole and read once: what the collectors look at.

Everything is verified first, under the policy that was given and with every verdict computed
again. Then the same entries are read, and their Merkle root is compared with the one that was
verified: what changes in between is found. Nothing later than that is looked at.

Counted are the entries of which the ledger declares that they are the record of the system and
version in question, see :mod:`quorate.compliance.declaring`. What names its system and version
itself, a measurement say, speaks of that one wherever it stands, so that no failure is left out.

What a drill's script decided says nothing of the system: verdicts under a panel of scripted
experts, and that panel, are counted among the entries of the log and nowhere else. Nor does a
verdict that names neither a task nor a panel, as one that a remote client had folded out of what
it sent itself: nothing in it says whose it is.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

from quorate.arbitration.sealed import DECISION, REFUSAL
from quorate.compliance.committing import MEASUREMENT, THRESHOLD, Measurement, Threshold
from quorate.compliance.declaring import KIND as SYSTEM
from quorate.compliance.declaring import Declaration, Declarations, Late
from quorate.compliance.drill_record import KIND as DRILL
from quorate.compliance.drill_record import SCRIPTED, Drill
from quorate.compliance.evidence import Scope
from quorate.compliance.times import DAY
from quorate.core.canonical import digest
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.hub.outcomes import KIND as OUTCOME
from quorate.hub.outcomes import Outcome, sameness
from quorate.hub.oversight.rules import KIND as OVERSIGHT
from quorate.hub.oversight.rules import Reference
from quorate.hub.panel_record import KIND as PANEL
from quorate.ledger import Ledger, Policy, Receipt, VerifyReport
from quorate.ledger.merkle import MerkleTree
from quorate.ledger.receipts import timestamp

_VERDICTS: Final = frozenset({DECISION, REFUSAL})
_KEPT: Final = frozenset({PANEL, "redteam", OVERSIGHT, DRILL, THRESHOLD, MEASUREMENT, SYSTEM})
_READ: Final = _KEPT | _VERDICTS
_SECOND: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Passed:
    """An entry, without its body: number, hash, kind, and time in microseconds since 1970."""

    seq: int
    hash: str
    kind: str
    time: int

    @property
    def reference(self) -> Reference:
        """It, by number and hash."""
        return Reference(self.seq, self.hash)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is kept of a decision or a refusal.

    Attributes:
        entry: where it stands.
        task: id of its task; ``None`` where it names none.
        panel: digest of the panel it names, likewise.
        lacks: which of support, dissent and reason it does not carry.
        right: whether the answer committed is the one known to be right; ``None`` where none
            is known, or nothing was committed.
        known: number of the entry that says which answer is right; ``None`` likewise.
    """

    entry: Passed
    task: str | None
    panel: str | None
    lacks: tuple[str, ...]
    right: bool | None = None
    known: int | None = None

    @property
    def committed(self) -> bool:
        """Whether an answer was committed."""
        return self.entry.kind == DECISION


class Silence(NamedTuple):
    """A stretch of time without an entry.

    Attributes:
        seconds: how long it was.
        after: the entry that ended it.
        bound: the longest, in seconds, that was declared as normal; ``None`` where none was.
    """

    seconds: float
    after: Passed
    bound: float | None

    @property
    def too_long(self) -> bool:
        """Whether it is longer than its bound."""
        return self.bound is not None and self.seconds > self.bound


@dataclass(frozen=True)
class Record:
    """A verified ledger as collectors see it.

    Attributes:
        origin: name of the log.
        scope: the system and version that evidence is collected for.
        report: of the verification, of the whole ledger.
        policy: whom it was verified against.
        now: microseconds since 1970.
        silence_seconds: the greatest silent gap that is declared as normal last, or the
            caller's own bound where that is stricter; ``None`` without either.
        whole: all entries of the log, in order.
        passed: of the record of that system, those of the period.
        start: the log's first entry.
        verdicts: among them.
        kept: bodies of panels, red-team runs and the like, by kind, of the whole log.
        drills, thresholds, measurements: of the whole log and of any system.
        kinds: how many of ``passed`` are of each kind.
        own_kinds: the same, without those that say nothing of the system.
        apart: numbers of the entries that say nothing of the system, of the whole log: those
            of a drill's script, and verdicts that name neither a task nor a panel.
        nobodys: of these the verdicts in the period that name neither.
        decided: verdicts of the whole record, whatever the period.
        bounds: the bound on silence that each declaration of the system sealed, with the number
            of its entry, in order; those that sealed none are left out.
        asked_seconds: the caller's own bound, or ``None``.
        late: declarations of the system that came after what they declare to be its record.
        declared: what the log says of that system; ``None`` where it does not declare it.
        ranges: numbers of the entries that are its record.
    """

    origin: str
    scope: Scope
    report: VerifyReport
    policy: Policy
    now: int
    silence_seconds: float | None
    whole: tuple[Passed, ...]
    passed: tuple[Passed, ...]
    start: Passed | None
    verdicts: tuple[Verdict, ...]
    kept: Mapping[str, tuple[tuple[Passed, Any], ...]]
    drills: tuple[tuple[Passed, Drill], ...] = ()
    thresholds: tuple[tuple[Passed, Threshold], ...] = ()
    measurements: tuple[tuple[Passed, Measurement], ...] = ()
    kinds: Mapping[str, int] = field(default_factory=dict)
    own_kinds: Mapping[str, int] = field(default_factory=dict)
    apart: frozenset[int] = frozenset()
    nobodys: tuple[int, ...] = ()
    decided: tuple[Verdict, ...] = ()
    declared: Declaration | None = None
    ranges: tuple[range, ...] = ()
    bounds: tuple[tuple[int, int], ...] = ()
    asked_seconds: float | None = None
    late: tuple[Late, ...] = ()

    @property
    def since(self) -> str:
        """When the first entry of the period was sealed."""
        return timestamp(self.passed[0].time)

    @property
    def until(self) -> str:
        """When the last one was."""
        return timestamp(self.passed[-1].time)

    @property
    def ends(self) -> tuple[Reference, ...]:
        """First and last entry of the period."""
        first, last = self.passed[0].reference, self.passed[-1].reference
        return (first,) if first == last else (first, last)

    def range(self, of: Sequence[Passed] = ()) -> dict[str, Any]:
        """The period, or some entries of it, as the schemas of evidence write it."""
        entries = of or self.passed
        first, last = entries[0], entries[-1]
        return {
            "origin": self.origin,
            "first": first.seq,
            "last": last.seq,
            "since": timestamp(first.time),
            "until": timestamp(last.time),
        }

    def panels(self) -> tuple[Passed, ...]:
        """Panels that were sealed in the period, and those sealed before that decided in it."""
        named = {one.panel for one in self.verdicts}
        there = {one.seq for one in self.passed}
        return tuple(
            at
            for at, body in self.kept.get(PANEL, ())
            if at.seq in there or digest(dict(body)) in named
        )

    def silences(self) -> Iterator[Silence]:
        """Every silence in the whole record, each with the bound that held as it ended.

        Whatever the period: one that leaves a silence out does not end it. What follows the
        record, the declaration of another system, ends a silence as well. What is declared
        later makes no silence normal that was over by then.
        """
        for numbers in self.ranges:
            for one, other in pairwise(self.whole[numbers.start : numbers.stop + 1]):
                yield Silence((other.time - one.time) / _SECOND, other, self.bound_before(other))

    def bound_before(self, after: Passed) -> float | None:
        """The bound on a silence that an entry ended: declared last before it, or else first."""
        place = max(bisect_left(self.bounds, (after.seq,)) - 1, 0)
        sealed = [seconds for _, seconds in self.bounds[place : place + 1]]
        asked = [] if self.asked_seconds is None else [self.asked_seconds]
        return min([*sealed, *asked], default=None)

    def is_of(self, scope: Scope) -> bool:
        """Whether something is of the very system and version."""
        return scope == self.scope

    def days_since(self, moment: int) -> float:
        """Days from a moment, in microseconds since 1970, to now."""
        return (self.now - moment) / DAY


def read_record(  # noqa: PLR0913 - one argument for each thing that a reading may be told
    ledger: Ledger,
    *,
    policy: Policy,
    scope: Scope,
    now: datetime,
    period: tuple[datetime, datetime] | None = None,
    checkpoint: str | None = None,
    silence_seconds: float | None = None,
    past: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Record:
    """Verify a ledger whole, and read it.

    Args:
        ledger: open.
        policy: whom to trust.
        scope: the system and version that evidence is collected for.
        now: the moment it is read at.
        period: what to look at; all of the record unless told.
        checkpoint: a signed note that was kept elsewhere.
        silence_seconds: the caller's own bound on silence.
        past: that ``now`` is over: what was sealed later is verified, and then left out.
        progress: called with steps done and steps in all.

    Raises:
        VerificationError: it does not check out, it was changed meanwhile, or it is dated
            after ``now``.
        UsageError: an argument cannot be used.
        StoreError: it cannot be read.
    """
    moment = instant(now, "now")
    within = None if period is None else (instant(period[0], "since"), instant(period[1], "until"))
    if within is not None and within[1] < within[0]:
        raise UsageError("the period ends before it begins")
    told = _Steps(progress)
    report = ledger.verify(checkpoint, replay=True, policy=policy, progress=told.verified)
    size = _size_at(ledger, report.size, moment) if past else report.size
    reading = _Reading(_answers(ledger, size), size)
    for receipt in _first(ledger, report.size):
        reading.take(receipt)
        told.read(receipt.seq + 1, report.size)
    reading.check(report, moment)
    read: dict[str, list[tuple[Passed, Any]]] = reading.kept
    sealed = [(at.seq, Declaration.from_dict(body)) for at, body in read.get(SYSTEM, ())]
    declarations = Declarations.of(sealed)
    last = declarations.last_of(scope)
    ranges = declarations.ranges(scope, size)
    own = [reading.whole[seq] for numbers in ranges for seq in numbers]
    passed = [one for one in own if within is None or within[0] <= one.time <= within[1]]
    there = {one.seq for one in passed}
    recorded = {one.seq for one in own}
    return Record(
        origin=report.origin,
        scope=scope,
        report=report,
        policy=policy,
        now=moment,
        silence_seconds=_bound(silence_seconds, None if last is None else last[1]),
        whole=tuple(reading.whole),
        passed=tuple(passed),
        start=reading.whole[0] if reading.whole else None,
        verdicts=tuple(one for one in reading.verdicts if one.entry.seq in there),
        kept={kind: tuple(found) for kind, found in read.items()},
        drills=tuple((at, Drill.from_dict(body)) for at, body in read.get(DRILL, ())),
        thresholds=tuple((at, Threshold.from_dict(body)) for at, body in read.get(THRESHOLD, ())),
        measurements=tuple(
            (at, Measurement.from_dict(body)) for at, body in read.get(MEASUREMENT, ())
        ),
        kinds=_kinds(passed),
        own_kinds=_kinds(one for one in passed if one.seq not in reading.apart),
        apart=frozenset(reading.apart),
        nobodys=tuple(seq for seq in reading.nobodys if seq in there),
        decided=tuple(one for one in reading.verdicts if one.entry.seq in recorded),
        declared=None if last is None else last[1],
        ranges=ranges,
        bounds=tuple(
            (seq, one.silence_seconds)
            for seq, one in sealed
            if one.scope == scope and one.silence_seconds is not None
        ),
        asked_seconds=silence_seconds,
        late=declarations.late(scope),
    )


@dataclass(frozen=True, slots=True)
class _Steps:
    """Every entry is verified and then read: two steps each."""

    progress: Callable[[int, int], None] | None

    def verified(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(done, 2 * total)

    def read(self, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(total + done, 2 * total)


def _bound(told: float | None, declared: Declaration | None) -> float | None:
    """The stricter of what the caller says and what the ledger declares."""
    sealed = None if declared is None else declared.silence_seconds
    return min((one for one in (told, sealed) if one is not None), default=None)


def _kinds(entries: Iterable[Passed]) -> dict[str, int]:
    return dict(sorted(Counter(one.kind for one in entries).items()))


def instant(moment: datetime, name: str) -> int:
    """A moment with its time zone, as microseconds since 1970.

    Raises:
        UsageTypeError: no ``datetime``.
        UsageError: without a time zone.
    """
    if not isinstance(moment, datetime):
        raise UsageTypeError(f"{name} is a {type(moment).__name__}; give a datetime with its zone")
    if moment.tzinfo is None:
        raise UsageError(f"{name} is {moment}, without a time zone; give one, such as UTC")
    whole = int(moment.replace(microsecond=0).timestamp())
    return whole * _SECOND + moment.microsecond


def _size_at(ledger: Ledger, size: int, moment: int) -> int:
    """How many of the first ``size`` entries were sealed by a moment; no time goes back."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if ledger.get(middle).entry.time <= moment:
            low = middle + 1
        else:
            high = middle
    return low


def _first(ledger: Ledger, size: int) -> Iterator[Receipt]:
    for receipt in ledger:
        if receipt.seq >= size:
            return
        yield receipt


class _Reading:
    """What was read so far."""

    def __init__(self, answers: Mapping[str, tuple[int, Any]], size: int) -> None:
        self._answers = answers
        self._size = size
        self.whole: list[Passed] = []
        self.verdicts: list[Verdict] = []
        self.kept: dict[str, list[tuple[Passed, Any]]] = {}
        self.apart: set[int] = set()
        self.nobodys: list[int] = []
        self._scripts: set[str] = set()
        self._tree = MerkleTree()

    def take(self, receipt: Receipt) -> None:
        entry = Passed(receipt.seq, receipt.entry_hash, receipt.kind, receipt.entry.time)
        self._tree.append(bytes.fromhex(entry.hash))
        # The body is what the entry commits to: the look-up checked it.
        receipt.check_commitment()
        if entry.seq >= self._size:
            return
        self.whole.append(entry)
        body = receipt.payload if entry.kind in _READ else None
        if self._is_script(entry.kind, body):
            self.apart.add(entry.seq)
        elif entry.kind in _VERDICTS and _is_nobodys(body):
            self.apart.add(entry.seq)
            self.nobodys.append(entry.seq)
        elif entry.kind in _KEPT:
            self.kept.setdefault(entry.kind, []).append((entry, body))
        elif entry.kind in _VERDICTS and body is not None:
            self.verdicts.append(_verdict(entry, body, self._answers))

    def _is_script(self, kind: str, body: Mapping[str, Any] | None) -> bool:
        """Whether it is the panel of a drill's script, or a verdict by one."""
        if body is None:
            return False
        if kind in _VERDICTS:
            return body.get("panel") in self._scripts
        if kind != PANEL:
            return False
        told = body["experts"].values()
        script = all(isinstance(one, dict) and one.get("kind") == SCRIPTED for one in told)
        if script:
            self._scripts.add(digest(body))
        return script

    def check(self, report: VerifyReport, now: int) -> None:
        if self._tree.root().hex() != report.root:
            raise VerificationError(
                "the ledger was changed while it was read; collect again", rule="changed"
            )
        last = self.whole[-1] if self.whole else None
        if last is not None and last.time > now:
            raise VerificationError(
                f"it is dated {timestamp(last.time)}, after now, {timestamp(now)}: a clock "
                "was wrong, the ledger's or this one",
                index=last.seq,
                rule="time",
            )


def _answers(ledger: Ledger, size: int) -> dict[str, tuple[int, Any]]:
    """The right answers that are known, by the id of their task, each with its entry."""
    found = {}
    for receipt in ledger.find(kind=OUTCOME):
        if receipt.seq < size:
            outcome = Outcome.from_dict(receipt.payload)
            found[outcome.task_id] = (receipt.seq, outcome.answer)
    return found


def _is_nobodys(body: Mapping[str, Any] | None) -> bool:
    """Whether a verdict names neither a task nor a panel, so that nothing says whose it is."""
    return body is not None and body.get("task") is None and body.get("panel") is None


def _verdict(
    entry: Passed, body: Mapping[str, Any], answers: Mapping[str, tuple[int, Any]]
) -> Verdict:
    task = (body.get("task") or {}).get("id")
    verdict = body["verdict"]
    right, known = None, None
    if entry.kind == DECISION and task is not None and task in answers:
        # A normaliser of the caller's own may never have been given this answer.
        with suppress(UsageError):
            right, known = sameness(body, answers[task][1])(verdict["consensus"]), answers[task][0]
    return Verdict(entry, task, body.get("panel"), tuple(_lacking(verdict)), right, known)


def _lacking(verdict: Mapping[str, Any]) -> Iterator[str]:
    """Which of support, dissent and reason a verdict does not carry."""
    from quorate.arbitration import Decision, Tally, describing  # noqa: PLC0415 - its story

    if not isinstance(verdict.get("support_exact"), str):
        yield "support"
    if verdict["status"] == "committed":
        if not isinstance(verdict.get("dissenting"), list):
            yield "dissent"
        told = describing.committed(Decision.from_dict(verdict), alone=True)
    else:
        # Every answer stands in the trace with who was for it.
        trace = verdict.get("trace", {})
        if not any(isinstance(trace.get(name), list) for name in ("groups", "options")):
            yield "dissent"
        told = describing.refused(Tally.from_dict(verdict), alone=True)
    if not told.strip():
        yield "reason"
