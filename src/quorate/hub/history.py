"""Who errs together: the correlation of errors, from sealed verdicts with known outcomes.

Theory of operation. For each verdict whose outcome is known, every expert whose proposal
was folded was right or wrong. For two experts i and j, over the n tasks that both answered,
with a and b the errors of each and c the tasks at which both erred, the correlation of
errors is Pearson's (of two binary variables, phi)::

    (n c - a b) / sqrt(a (n - a) b (n - b))

It has no value for a pair that shares fewer tasks than are asked for, or of which one erred
always or never. rho is the mean over all pairs that have one, clamped to [0, 1] and rounded
to 10^-6. All counts are exact integers and the mean is rounded once, so it is the same in
any order and on every machine.

Outcomes are sealed by :func:`seal_outcome`, and :func:`replay` checks them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np

from quorate.arbitration.forms import shown
from quorate.core.canonical import JSONValue
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.independence import Independence
from quorate.hub.experts import Expert
from quorate.hub.outcomes import (
    History,
    Outcome,
    Source,
    judge,
    replay,
    seal_outcome,
    sealed_outcome,
)

__all__ = [
    "Errors",
    "Outcome",
    "errors_of",
    "independence",
    "replay",
    "seal_outcome",
    "sealed_outcome",
]

LEAST_OUTCOMES: Final = 30
"""Fewest tasks that two experts answered both, for their correlation to be given."""

_BLOCK: Final = 512
_UNITS: Final = 10**6

_Counts = np.ndarray[tuple[int, int], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Who was wrong when, counted for every pair of experts.

    Attributes:
        ids: the n experts, sorted; the order of rows and columns.
        verdicts: sealed verdicts read.
        outcomes: of these, those with a known outcome that could be compared.
        together: int64 [n, n], tasks that both answered; on the diagonal, that one did.
        wrong: int64 [n, n], errors of the row's expert on tasks that both answered.
        both_wrong: int64 [n, n], tasks at which both erred.
    """

    ids: tuple[str, ...]
    verdicts: int
    outcomes: int
    together: _Counts
    wrong: _Counts
    both_wrong: _Counts

    def correlation(self, one: str, other: str, *, least: int = LEAST_OUTCOMES) -> float | None:
        """Correlation of the errors of two experts, -1 to 1; ``None`` where it has no value.

        Raises:
            UsageError: the record names no such expert.
        """
        for name in (one, other):
            if name not in self.ids:
                raise UsageError(f"no outcome is known of a task that {name!r} answered")
        return self._correlation(self.ids.index(one), self.ids.index(other), least)

    def _correlation(self, i: int, j: int, least: int) -> float | None:
        n, c = int(self.together[i, j]), int(self.both_wrong[i, j])
        a, b = int(self.wrong[i, j]), int(self.wrong[j, i])
        spread = a * (n - a) * b * (n - b)
        if n < least or not spread:
            return None
        return (n * c - a * b) / math.sqrt(spread)

    def mean_correlation(self, *, least: int = LEAST_OUTCOMES) -> Fraction | None:
        """Rho: the mean over all pairs that have a value, clamped to [0, 1], in millionths."""
        pairs = [(i, j) for i in range(len(self.ids)) for j in range(i)]
        found = [self._correlation(i, j, least) for i, j in pairs]
        values = [value for value in found if value is not None]
        if not values:
            return None
        mean = math.fsum(values) / len(values)
        return Fraction(round(min(1.0, max(0.0, mean)) * _UNITS), _UNITS)

    def why(self, *, least: int = LEAST_OUTCOMES) -> str | None:
        """Why there is no mean correlation; ``None`` where there is one."""
        if self.mean_correlation(least=least) is not None:
            return None
        if self.outcomes < least:
            return f"the outcomes of {self.outcomes} tasks are known, at least {least} are needed"
        if len(self.ids) < 2:  # noqa: PLR2004 - a pair
            return f"{len(self.ids)} experts answered tasks with a known outcome; it takes two"
        shared = np.triu(self.together, 1).max()
        if shared < least:
            return f"no two experts answered {least} of the same tasks with a known outcome"
        return "of every two experts, one was always right or always wrong"


def errors_of(
    source: Source,
    outcomes: Mapping[str, JSONValue] | None = None,
    *,
    ids: Iterable[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Errors:
    """Count errors over all sealed verdicts with a known outcome.

    Args:
        source: a ledger, or receipts.
        outcomes: right answers by task id, beside those that are sealed.
        ids: count these experts only.
        progress: called with entries read and entries in all.

    Raises:
        UsageError: an outcome is given, and another is sealed for that task.
        VerificationError: an entry is damaged.
    """
    history = History(source, outcomes)
    only = None if ids is None else frozenset(ids)
    table = _Table()
    known = 0
    for verdict in history.verdicts(progress):
        outcome = history.outcome(verdict)
        if outcome is None:
            continue
        try:
            right = judge(verdict, outcome.answer)
        except UsageError:
            # An answer that the verdict's normaliser cannot read is no outcome of it.
            continue
        known += 1
        table.add({name: was for name, was in right.items() if only is None or name in only})
    together, wrong, both = table.finish()
    return Errors(tuple(table.ids), history.read, known, together, wrong, both)


class _Table:
    """Sums up tasks in blocks, so that the record need not be in memory."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self._rows: list[dict[str, bool]] = []
        self._sums = [np.zeros((0, 0), dtype=np.int64) for _ in range(3)]

    def add(self, right: dict[str, bool]) -> None:
        self._rows.append(right)
        if len(self._rows) == _BLOCK:
            self._sum_up()

    def finish(self) -> tuple[_Counts, _Counts, _Counts]:
        """The three tables, with rows and columns in order of id."""
        self._sum_up()
        order = np.argsort(np.array(self.ids, dtype=object), kind="stable")
        self.ids.sort()
        together, wrong, both = (table[np.ix_(order, order)] for table in self._sums)
        return together, wrong, both

    def _sum_up(self) -> None:
        self.ids += sorted({name for row in self._rows for name in row} - set(self.ids))
        place = {name: index for index, name in enumerate(self.ids)}
        answered = np.zeros((len(self._rows), len(self.ids)), dtype=np.int64)
        erred = np.zeros_like(answered)
        for index, row in enumerate(self._rows):
            for name, right in row.items():
                answered[index, place[name]] = 1
                erred[index, place[name]] = not right
        more = (answered.T @ answered, erred.T @ answered, erred.T @ erred)
        for index, (before, now) in enumerate(zip(self._sums, more, strict=True)):
            now[: len(before), : len(before)] += before
            self._sums[index] = now
        self._rows = []


def independence(
    source: Source,
    experts: Iterable[Expert] = (),
    *,
    outcomes: Mapping[str, JSONValue] | None = None,
    least: int = LEAST_OUTCOMES,
    progress: Callable[[int, int], None] | None = None,
) -> Independence:
    """What the experts declare of how they may fail together, and how they did.

    Args:
        source: a ledger, or receipts.
        experts: whose declarations to take, and whose errors to count; where there are
            none, the errors of everybody are counted.
        outcomes: right answers by task id, beside those that are sealed.
        least: fewest tasks that a pair must share, 2 or more.
        progress: called with entries read and entries in all.

    Returns:
        The correlation is ``None`` where no pair has one; :meth:`Errors.why` says why.

    Raises:
        UsageError: as :func:`errors_of`; or ``least`` is out of range.
        VerificationError: an entry is damaged.
    """
    if isinstance(least, bool) or not isinstance(least, int):
        raise UsageTypeError(f"least is {shown(least)}; give a whole number")
    if least < 2:  # noqa: PLR2004 - one point has no correlation
        raise UsageError(f"least is {least}; it is 2 or more")
    asked = tuple(experts)
    domains: dict[str, Any] = {
        expert.id: dict(expert.failure_domain)
        for expert in asked
        if expert.failure_domain is not None
    }
    ids = [expert.id for expert in asked] or None
    found = errors_of(source, outcomes, ids=ids, progress=progress)
    return Independence(domains, found.mean_correlation(least=least), found.outcomes)
