"""Who votes like whom: agreement between voters, and blocs that always agree.

Two voters share a proposal where both approved or rejected it; abstentions say nothing.
Agreement alone proves no collusion: honest monitors that see the same facts agree too. So
every figure comes with the number of shared votes that it rests on; how likely a bloc is by
chance, :mod:`quorate.council.study` says. Its names can be had from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, exact
from quorate.council.bounds import MAX_BLOCS
from quorate.council.rules.proposal import Proposal
from quorate.council.rules.values import VoteValue

if TYPE_CHECKING:
    from quorate.council.study import LikelyBloc, Record, Study, study

__all__ = [
    "Agreement",
    "Agreements",
    "Bloc",
    "LikelyBloc",
    "Record",
    "Study",
    "agreements",
    "blocs",
    "matrix",
    "near_pairs",
    "study",
    "too_many",
]

_OF_STUDY: Final = frozenset({"LikelyBloc", "Record", "Study", "study"})


def __getattr__(name: str) -> Any:
    """Load what is of :mod:`quorate.council.study`, which needs this module first."""
    if name in _OF_STUDY:
        return getattr(import_module("quorate.council.study"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two voters said the same.

    Attributes:
        same: proposals on which both said the same.
        shared: proposals on which both approved or rejected.
    """

    same: int
    shared: int

    @property
    def rate(self) -> Fraction | None:
        """``same / shared``, exact; ``None`` where they share no vote."""
        return Fraction(self.same, self.shared) if self.shared else None


@dataclass(frozen=True, slots=True)
class Bloc:
    """Voters of whom every two agree at least as often as was asked.

    Attributes:
        voters: their ids, sorted.
        shared: fewest shared votes of any two of them.
        agreement: lowest rate of any two of them, 0 to 1.
    """

    voters: tuple[str, ...]
    shared: int
    agreement: float


Agreements = dict[tuple[str, str], Agreement]
"""By pairs of ids, the smaller first."""


def agreements(voters: Sequence[str], proposals: Iterable[Proposal]) -> Agreements:
    """Count shared and equal votes of every two voters.

    Args:
        voters: sorted ids.
        proposals: whose standing votes are counted.
    """
    known = set(voters)
    counts = {pair: [0, 0] for pair in combinations(voters, 2)}
    for proposal in proposals:
        spoken = sorted(
            (voter, vote.value)
            for voter, vote in proposal.votes.items()
            if voter in known and vote.value is not VoteValue.ABSTAIN
        )
        for (one, said), (other, told) in combinations(spoken, 2):
            counts[one, other][0] += said is told
            counts[one, other][1] += 1
    return {pair: Agreement(same, shared) for pair, (same, shared) in counts.items()}


def matrix(voters: Sequence[str], found: Agreements) -> dict[str, dict[str, float | None]]:
    """Rates as rows of a symmetric matrix; ``None`` where two voters share no vote.

    The diagonal is 1.0: whoever votes agrees with itself.
    """

    def rate(one: str, other: str) -> float | None:
        if one == other:
            return 1.0
        exactly = found[min(one, other), max(one, other)].rate
        return None if exactly is None else float(exactly)

    return {one: {other: rate(one, other) for other in voters} for one in voters}


def blocs(
    voters: Sequence[str], found: Agreements, threshold: Number, min_shared: int
) -> list[Bloc]:
    """All largest groups of two or more of whom every two agree often enough.

    Args:
        voters: sorted ids.
        found: their agreements.
        threshold: least rate of agreement, above 0 and at most 1, exact.
        min_shared: fewest shared votes that say anything, at least 1.

    Returns:
        The largest first, then in order of the ids.

    Raises:
        UsageError: an argument out of range, or more than ``bounds.MAX_BLOCS`` blocs.
    """
    near: dict[str, set[str]] = {voter: set() for voter in voters}
    for one, other in near_pairs(found, threshold, min_shared):
        near[one].add(other)
        near[other].add(one)
    groups = [group for group in _cliques(near) if len(group) > 1]
    return [_bloc(group, found) for group in sorted(groups, key=lambda g: (-len(g), g))]


def near_pairs(found: Agreements, threshold: Number, min_shared: int) -> list[tuple[str, str]]:
    """Pairs that agree often enough, on enough shared votes; errors as of :func:`blocs`."""
    least = exact(threshold, "threshold")
    if not 0 < least <= 1:
        raise UsageError(f"threshold is {threshold}; it has to be above 0 and at most 1")
    if type(min_shared) is not int:
        raise UsageTypeError(f"min_shared is {min_shared!r}; give a whole number")
    if min_shared < 1:
        raise UsageError(f"min_shared is {min_shared}; give at least 1")
    return [
        pair
        for pair, agreement in found.items()
        if agreement.shared >= min_shared and (agreement.rate or 0) >= least
    ]


def _cliques(near: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """All maximal cliques (Bron & Kerbosch 1973, with a pivot)."""
    found: list[tuple[str, ...]] = []
    todo: list[tuple[set[str], set[str], set[str]]] = [(set(), set(near), set())]
    while todo:
        chosen, left, done = todo.pop()
        if not left and not done:
            found.append(tuple(sorted(chosen)))
            if len(found) > MAX_BLOCS + len(near):
                raise too_many()
            continue
        pivot = max(sorted(left | done), key=lambda voter: len(near[voter] & left))
        for voter in sorted(left - near[pivot]):
            todo.append((chosen | {voter}, left & near[voter], done & near[voter]))
            left = left - {voter}
            done = done | {voter}
    return found


def _bloc(group: tuple[str, ...], found: Agreements) -> Bloc:
    pairs = [found[pair] for pair in combinations(group, 2)]
    lowest = min(pair.rate or Fraction(0) for pair in pairs)
    return Bloc(group, min(pair.shared for pair in pairs), float(lowest))


def too_many() -> UsageError:
    """The refusal of more than ``bounds.MAX_BLOCS`` blocs."""
    return UsageError(f"more than {MAX_BLOCS} blocs; raise threshold or min_shared")
