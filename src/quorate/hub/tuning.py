"""What each quorum would have come to: the sealed history, folded again.

Theory of operation. A sealed verdict holds the proposals and absences it was computed
from, so it can be folded again at another quorum, under its own protocol and normaliser.
Support and backing do not depend on the quorum, so each verdict has one **threshold**: it
commits at that quorum and every lower one, and at none above. It is found by folding: it is
the greatest of support, backing and 1 at which the fold still commits.

A verdict that grew out of a weaker one (retried wider, consulted, or fallen back) is folded
link by link: at a given quorum, the first link that commits gives the answer. So raising
the quorum can also bring a wrong fallback to light.

What first-to-quorum cut off is not in the record. Above its threshold such a verdict is
**open**: nobody knows what the experts that were no longer waited for would have said.
:meth:`Tuning.recommend` counts it as if it were wrong.

Only counts are kept, per threshold, so the record may be larger than memory.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Final

from quorate.arbitration import Decision
from quorate.arbitration.forms import shown
from quorate.core import limits
from quorate.core.canonical import JSONValue
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError, VerificationError
from quorate.core.exact import Number, as_text, exact
from quorate.hub import folding
from quorate.hub.outcomes import History, SealedVerdict, Source, sameness

LEAST_QUORUM: Final = Fraction(34, 100)
STEP: Final = Fraction(2, 100)
AS_SEALED: Final = "as sealed"
"""What the protocol of a row is called where each verdict was folded under its own."""

_RIGHT, _WRONG, _COMMITTED, _REFUSED, _OPEN = "right", "wrong", "committed", "refused", "open"

_State = tuple[bool, str]
"""Whether the outcome is known, and what came of the verdict."""

_Edge = tuple[Fraction, bool]
"""A quorum where something changes, and whether what comes before still holds at it."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one quorum would have come to.

    ``right``, ``wrong``, ``refused`` and ``open`` are of the verdicts whose outcome is
    known, and sum up to those.

    Attributes:
        quorum: the threshold, in (0, 1].
        protocol: that it was folded under, or ``"as sealed"``.
        right: committed, and it was the right answer.
        wrong: committed, and it was not.
        refused: nothing committed.
        open: not known, because experts had been cut off.
        committed: of all verdicts, whether an outcome is known or not.
        coverage: ``committed`` over all verdicts, 0 where there are none.
    """

    quorum: Fraction
    protocol: str
    right: int
    wrong: int
    refused: int
    open: int
    committed: int
    coverage: Fraction

    def to_dict(self) -> dict[str, Any]:
        """As JSON, rationals as ``"p/q"``."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            name: as_text(value) if isinstance(value, Fraction) else value
            for name, value in values.items()
        }


@dataclass(frozen=True, slots=True)
class Tuning:
    """The whole table.

    Attributes:
        rows: by protocol, then by quorum, the least first.
        verdicts: sealed verdicts folded.
        known: of these, those with a known outcome.
        not_comparable: of these, those with an outcome that the verdict's normaliser cannot
            compare; they count as not known.
        passed: entries of these kinds that are no verdicts, or cannot be folded again.
    """

    rows: tuple[Row, ...]
    verdicts: int
    known: int
    not_comparable: int
    passed: int
    _sweeps: Mapping[str, _Sweep]
    _quorums: tuple[Fraction, ...] | None

    def recommend(self, max_wrong: int = 0, *, protocol: str | None = None) -> Row | None:
        """The least quorum at which a right one commits and at most ``max_wrong`` are wrong.

        Verdicts that are open count as wrong here. What was right in the past says what may
        be right in the future only as far as the tasks are alike.

        Args:
            max_wrong: 0 or more.
            protocol: which, where several were asked for.

        Returns:
            Its row; ``None`` where every quorum has more wrong, or commits nothing right.

        Raises:
            UsageError: no outcome is known, or the protocol was not asked for.
        """
        if isinstance(max_wrong, bool) or not isinstance(max_wrong, int) or max_wrong < 0:
            raise UsageError(f"max_wrong is {shown(max_wrong)}; give a whole number, 0 or more")
        if not self.known:
            raise UsageError(
                "no outcome of these verdicts is known, so none is known to be wrong; seal "
                "outcomes, or give them by task id"
            )
        names = tuple(self._sweeps)
        if protocol is None and len(names) > 1:
            raise UsageError(f"name the protocol, one of: {', '.join(names)}")
        name = names[0] if protocol is None else protocol
        if name not in self._sweeps:
            raise UsageError(f"the protocol {name!r} was not folded; there is: {', '.join(names)}")
        sweep = self._sweeps[name]
        every = self._quorums or sorted({*_grid(), *sweep.thresholds()})
        rows = sweep.rows(every, name)
        return next((r for r in rows if r.right and r.wrong + r.open <= max_wrong), None)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "verdicts": self.verdicts,
            "known": self.known,
            "not_comparable": self.not_comparable,
            "passed": self.passed,
            "rows": [row.to_dict() for row in self.rows],
        }


def tune(
    source: Source,
    outcomes: Mapping[str, JSONValue] | None = None,
    quorums: Iterable[Number] | None = None,
    protocols: Iterable[str] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Tuning:
    """Fold the sealed history again at each quorum, and count right, wrong and refused.

    Args:
        source: a ledger, or receipts.
        outcomes: right answers by task id, beside those that are sealed.
        quorums: which; ``None`` for 0.34 to 1 in steps of 0.02 and, between them, every
            quorum above which a verdict would not commit any more. Where these are more
            than ``limits.MAX_TUNING_ROWS``, rows are given where a wrong verdict falls, or
            else for the steps alone; :meth:`Tuning.recommend` goes by all of them.
        protocols: fold under each of these; ``None`` for each verdict's own.
        progress: called with entries read and entries in all.

    Raises:
        UsageError: an argument cannot be used; or an outcome is given, and another is sealed.
        VerificationError: an entry is damaged; or, rule ``replay``, a sealed verdict is not
            what its own fold gives.
    """
    asked = None if quorums is None else _read_quorums(quorums)
    names = (AS_SEALED,) if protocols is None else _read_protocols(protocols)
    history = History(source, outcomes)
    sweeps = {name: _Sweep() for name in names}
    counts = Counter[str]()
    for verdict in history.verdicts(progress):
        try:
            links = folding.links_of(verdict.body)
            found = {name: [_Folded.of(link, name) for link in links] for name in names}
        except (UsageError, MisbehaviourError):
            counts["passed"] += 1
            continue
        if AS_SEALED in found:
            _check_sealed(verdict, links, found[AS_SEALED])
        counts["verdicts"] += 1
        judge = _judge_of(history, verdict, counts)
        for name, folded in found.items():
            sweeps[name].add(*_segments(folded, judge))
    return Tuning(
        rows=tuple(row for name, sweep in sweeps.items() for row in _shown(sweep, name, asked)),
        verdicts=counts["verdicts"],
        known=counts["known"],
        not_comparable=counts["not_comparable"],
        passed=counts["passed"] + history.passed,
        _sweeps=sweeps,
        _quorums=asked,
    )


def _grid() -> Iterator[Fraction]:
    quorum = LEAST_QUORUM
    while quorum <= 1:
        yield quorum
        quorum += STEP


def _read_quorums(quorums: Iterable[Number]) -> tuple[Fraction, ...]:
    if isinstance(quorums, str | bytes) or not isinstance(quorums, Iterable):
        raise UsageTypeError(f"quorums is {shown(quorums)}; give a list of numbers")
    found = {exact(quorum, "a quorum") for quorum in quorums}
    for quorum in found:
        if not 0 < quorum <= 1:
            raise UsageError(f"a quorum is {quorum}; it should be above 0 and at most 1")
    if not 1 <= len(found) <= limits.MAX_TUNING_ROWS:
        raise UsageError(f"{len(found)} quorums; 1 to {limits.MAX_TUNING_ROWS} are allowed")
    return tuple(sorted(found))


def _read_protocols(protocols: Iterable[str]) -> tuple[str, ...]:
    if isinstance(protocols, str | bytes) or not isinstance(protocols, Iterable):
        raise UsageTypeError(f"protocols is {shown(protocols)}; give a list of names")
    names = tuple(dict.fromkeys(protocols))
    if not names:
        raise UsageError("protocols is empty; name one, or leave it out")
    for name in names:
        if name not in folding.PROTOCOLS:
            raise UsageError(
                f"{shown(name)} is no protocol that a record can be folded under; "
                f"there is: {', '.join(folding.PROTOCOLS)}"
            )
    return names


# -- one verdict


@dataclass(frozen=True, slots=True)
class _Folded:
    """One link of a verdict, folded.

    Attributes:
        threshold: it commits at this quorum and every lower one; ``None`` if at none.
        consensus: what it commits.
        open: whether nobody knows what it would do above the threshold.
        open_below: where it is sealed as refused though experts were cut off: the refusal
            was certain at this quorum, so at every higher one too, and is open below.
    """

    threshold: Fraction | None
    consensus: JSONValue = None
    open: bool = False
    open_below: Fraction | None = None

    @classmethod
    def of(cls, link: folding.Link, protocol: str) -> _Folded:
        name = None if protocol == AS_SEALED else protocol
        cut_off = bool(link.intake.pending)
        if cut_off and name is not None:
            return cls(None, open=True)
        open_below = link.quorum if cut_off and not link.committed else None
        outcome = link.fold(Fraction(1), name)
        shares = {Fraction(1), Fraction(outcome.support_exact), Fraction(outcome.backing_exact)}
        for quorum in sorted(map(_short, shares), reverse=True):
            if quorum == 0:
                break
            again = outcome if quorum == 1 else link.fold(quorum, name)
            if isinstance(again, Decision):
                return cls(quorum, again.consensus, cut_off, open_below)
        return cls(None, None, cut_off, open_below)


def _short(quorum: Fraction) -> Fraction:
    """A quorum that can be asked for: one of too many digits is rounded down."""
    most = 10 ** (limits.MAX_NUMBER_DIGITS - 1)
    return quorum if quorum.denominator < most else Fraction(int(quorum * most), most)


def _check_sealed(verdict: SealedVerdict, links: list[folding.Link], found: list[_Folded]) -> None:
    for link, folded in zip(links, found, strict=True):
        commits = folded.threshold is not None and link.quorum <= folded.threshold
        if commits != link.committed:
            raise VerificationError(
                "the sealed verdict is not what its own proposals give; verify the ledger "
                "with replay",
                index=verdict.seq,
                rule="replay",
            )


def _judge_of(
    history: History, verdict: SealedVerdict, counts: Counter[str]
) -> Callable[[JSONValue], bool] | None:
    """What says whether a consensus is right; ``None`` where that is not known."""
    outcome = history.outcome(verdict)
    if outcome is None:
        return None
    try:
        same = sameness(verdict.body, outcome.answer)
    except UsageError:
        counts["not_comparable"] += 1
        return None
    counts["known"] += 1
    return same


def _segments(
    folded: list[_Folded], judge: Callable[[JSONValue], bool] | None
) -> tuple[list[tuple[_Edge, _State]], _State]:
    """What comes of a verdict up to each edge, and above the last."""
    known = judge is not None
    segments: list[tuple[_Edge, _State]] = []

    def up_to(edge: _Edge, word: str) -> None:
        if not segments or edge > segments[-1][0]:
            segments.append((edge, (known, word)))

    for link in folded:
        if link.threshold is not None:
            word = _COMMITTED
            if judge is not None:
                word = _RIGHT if judge(link.consensus) else _WRONG
            up_to((link.threshold, True), word)
        if link.open_below is not None:
            up_to((link.open_below, False), _OPEN)
        elif link.open:
            # What a later link would have been asked is not known either.
            return segments, (known, _OPEN)
    return segments, (known, _REFUSED)


# -- all verdicts


class _Sweep:
    """Counts of what comes of all verdicts, and where that changes."""

    def __init__(self) -> None:
        self._lowest = Counter[_State]()
        self._changes: dict[_Edge, Counter[tuple[_State, _State]]] = {}

    def add(self, segments: list[tuple[_Edge, _State]], end: _State) -> None:
        """Count one verdict."""
        states = [*(state for _, state in segments), end]
        self._lowest[states[0]] += 1
        for (edge, before), after in zip(segments, states[1:], strict=True):
            self._changes.setdefault(edge, Counter())[before, after] += 1

    def thresholds(self, *, wrong_only: bool = False) -> set[Fraction]:
        """Quorums where something changes, from the least quorum on."""
        return {
            threshold
            for (threshold, _), changes in self._changes.items()
            if threshold >= LEAST_QUORUM
            and (not wrong_only or any(_WRONG in (b[1], a[1]) for b, a in changes))
        }

    def rows(self, quorums: Iterable[Fraction], protocol: str) -> Iterator[Row]:
        """A row for each of ``quorums``, which are sorted."""
        now = Counter(self._lowest)
        total = sum(now.values())
        edges = sorted(self._changes)
        passed = 0
        for quorum in quorums:
            reached = bisect_right(edges, (quorum, False))
            for edge in edges[passed:reached]:
                for (before, after), count in self._changes[edge].items():
                    now[before] -= count
                    now[after] += count
            passed = reached
            committed = now[True, _RIGHT] + now[True, _WRONG] + now[False, _COMMITTED]
            yield Row(
                quorum=quorum,
                protocol=protocol,
                right=now[True, _RIGHT],
                wrong=now[True, _WRONG],
                refused=now[True, _REFUSED],
                open=now[True, _OPEN],
                committed=committed,
                coverage=Fraction(committed, total) if total else Fraction(0),
            )


def _shown(sweep: _Sweep, name: str, asked: tuple[Fraction, ...] | None) -> Iterator[Row]:
    if asked is not None:
        return sweep.rows(asked, name)
    steps = set(_grid())
    for more in (sweep.thresholds(), sweep.thresholds(wrong_only=True)):
        quorums = sorted(steps.union(more))
        if len(quorums) <= limits.MAX_TUNING_ROWS:
            return sweep.rows(quorums, name)
    return sweep.rows(sorted(steps), name)
