"""How many must agree.

With n replicas of which f may lie, two quorums must share more than f members, or
two different values could each find one. Two sets of size q out of n share at least
2q - n members, so 2q - n > f, whose least solution is ``(n + f) // 2 + 1``. With
the greatest tolerable f = (n - 1) // 3 that is ceil(2n / 3): two thirds of the
roster. At n = 3f + 1 it equals the well-known 2f + 1 (Castro & Liskov, PBFT, 1999);
for every other n, plain 2f + 1 is unsafe: at n = 6 it lets two disjoint groups of
three each decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError


def _count(n: int, name: str = "n") -> int:
    if isinstance(n, bool) or not isinstance(n, int):
        raise UsageTypeError(f"{name} is {n!r} ({type(n).__name__}); give a whole number")
    return n


def tolerated_faults(n: int) -> int:
    """Most liars that ``n`` replicas can bear: ``(n - 1) // 3``.

    Raises:
        UsageTypeError: ``n`` is not an int (a bool is not one here).
        UsageError: ``n`` is below 1 or above ``limits.MAX_REPLICAS``.
    """
    if _count(n) < 1:
        raise UsageError(f"n is {n}; a quorum needs at least one replica")
    if n > limits.MAX_REPLICAS:
        raise UsageError(f"n is {n}; at most {limits.MAX_REPLICAS} replicas are supported")
    return (n - 1) // 3


def quorum_size(n: int, faults: int | None = None) -> int:
    """Least number of matching votes that decides: ``(n + f) // 2 + 1``.

    Args:
        n: registered replicas, 1 to ``limits.MAX_REPLICAS``; absentees count.
        faults: how many of them may lie; the greatest bearable number if ``None``.

    Raises:
        UsageTypeError: an argument is not an int (a bool is not one here).
        UsageError: out of range, or more faults than ``(n - 1) // 3``.
    """
    most = tolerated_faults(n)
    f = most if faults is None else _count(faults, "faults")
    if f < 0:
        raise UsageError(f"faults is {f}; it cannot be negative")
    if f > most:
        raise UsageError(
            f"faults is {f}, but {n} replicas bear at most {most}: "
            f"{f} liars need at least {3 * f + 1} replicas"
        )
    return (n + f) // 2 + 1


@dataclass(frozen=True, slots=True)
class Quorum:
    """Quorum arithmetic for one roster.

    Attributes:
        n: registered replicas.
        faults: how many of them may lie without a wrong decision.
        size: matching votes needed, counted against the roster, never the arrivals.
    """

    n: int
    faults: int
    size: int

    def __init__(self, n: int, faults: int | None = None) -> None:
        """See :func:`quorum_size` for the ranges and the errors."""
        size = quorum_size(n, faults)
        object.__setattr__(self, "n", n)
        object.__setattr__(self, "faults", tolerated_faults(n) if faults is None else faults)
        object.__setattr__(self, "size", size)

    @property
    def two_f_plus_one(self) -> int:
        """The textbook figure 2f + 1; equal to ``size`` exactly where n = 3f + 1."""
        return 2 * self.faults + 1

    def describe(self) -> str:
        """Say in words, with a picture, what this quorum promises and on what condition."""
        shared = 2 * self.size - self.n
        bar = "#" * self.size + "." * (self.n - self.size)
        rab = "." * (self.n - self.size) + "#" * self.size
        lines = [
            f"{self.size} of {self.n} replicas must agree; up to {self.faults} may lie.",
            f"  one quorum   [{bar}]" if self.n <= 64 else "",  # noqa: PLR2004 - a screen's width
            f"  another      [{rab}]" if self.n <= 64 else "",  # noqa: PLR2004
            (
                f"Any two quorums share at least {shared} of the {self.n}, so at least "
                f"{shared - self.faults} honest: no two values can both be decided."
            ),
            (
                f"With {self.n - self.size} absent it still decides; "
                f"with {self.n - self.size + 1} absent it refuses."
            ),
        ]
        if self.faults == 0:
            lines.append("It bears no liar at all: four replicas are the least that bear one.")
        elif self.size != self.two_f_plus_one:
            lines.append(
                f"(2f+1 would be {self.two_f_plus_one}, which is safe only where n = 3f+1.)"
            )
        lines.append(
            "This counts replicas that fail independently; those that share weights, "
            "host or vendor fail together."
        )
        return "\n".join(line for line in lines if line)


def heavy_voters(weights: Mapping[str, Fraction]) -> dict[str, Fraction]:
    """Voters that hold a third or more of all weight, with their shares.

    A weighted quorum holds only while the liars' weight stays strictly below a third,
    so each of these alone breaks the bound by lying.
    """
    total = sum(weights.values(), Fraction(0))
    if total == 0:
        return {}
    return {
        voter: weight / total for voter, weight in sorted(weights.items()) if 3 * weight >= total
    }
