"""Counting many ranked ballots at once, in NumPy, exactly.

Theory of operation. Ballots stand as columns: row j holds everybody's j-th choice, so that
looking at one choice of all ballots reads memory in order. Each ballot keeps the option it
counts for and how far it has read; when an option is eliminated only the ballots that
counted for it read on, and only the tallies that they join are added to. So all rounds
together add up a weight at most once for each place on its ballot.

Sums are exact whatever the weights: a weight is cut into limbs of 26 bits, each limb is
summed in doubles, where every partial sum is an integer below 2^53, and the sums are put
together as Python integers. Weights that sum to less than 2^53 need one limb; equal
weights of 1 need none.

NumPy is imported by this module alone, which is imported only for many ballots: a panel's
handful is counted without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quorate.core.errors import UsageError, UsageTypeError

_LIMB_BITS: Final = 26
_EXACT_DOUBLE: Final = 2**53

Ints = npt.NDArray[np.signedinteger[Any]]
Limbs = list[npt.NDArray[np.float64]]


def read_array(rankings: Any, count: int) -> Ints:
    """Check an array of positions, best first, padded with -1.

    Args:
        rankings: integers [B, K], each in -1 .. count - 1.
        count: number of declared options.

    Raises:
        UsageTypeError: not a two-dimensional array of integers.
        UsageError: an entry out of range, or an option behind padding.
    """
    array = np.asarray(rankings)
    if array.ndim != 2 or array.dtype.kind not in "iu":  # noqa: PLR2004 - ballots, choices
        raise UsageTypeError(
            f"rankings is an array of {array.dtype} with shape {array.shape}; "
            "give integers [ballots, choices], padded with -1"
        )
    if array.size == 0:
        return np.full((array.shape[0], 0), -1, dtype=np.int16)
    wrong = (array >= count) | ((array < -1) if array.dtype.kind == "i" else False)
    if wrong.any():
        row, column = (int(i[0]) for i in np.nonzero(wrong))
        raise UsageError(
            f"rankings[{row}, {column}] is {array[row, column]}; "
            f"with {count} options it should lie between -1 and {count - 1}"
        )
    small: Ints = array.astype(np.int16)
    gap = (small[:, :-1] < 0) & (small[:, 1:] >= 0)
    if gap.any():
        row, column = (int(i[0]) for i in np.nonzero(gap))
        raise UsageError(
            f"rankings[{row}] names an option behind -1 in column {column}; pad only at the end"
        )
    return small


def recoded(array: Ints, codes: Sequence[int]) -> Ints:
    """Replace each position by its code; the padding stays."""
    table = np.array([*codes, -1], dtype=np.int16)
    return table[array]


def as_lists(array: Ints) -> list[list[int]]:
    """The rows without their padding."""
    return [[code for code in row if code >= 0] for row in array.tolist()]


def from_lists(rankings: Sequence[Sequence[Any]], codes: dict[Any, int]) -> Ints:
    """Code ballots as an array [B, K] padded with -1.

    Raises:
        KeyError: an option has no code.
    """
    lengths = np.fromiter(map(len, rankings), dtype=np.int64, count=len(rankings))
    total = int(lengths.sum())
    flat = chain.from_iterable(rankings)
    coded = np.fromiter(map(codes.__getitem__, flat), dtype=np.int16, count=total)
    longest = int(lengths.max(initial=0))
    array = np.full((len(rankings), longest), -1, dtype=np.int16)
    array[np.arange(longest) < lengths[:, None]] = coded
    return array


def limbs_of(weights: Sequence[int] | None) -> Limbs:
    """Cut weights into limbs of 26 bits, least first; no limb where every weight is 1."""
    if weights is None:
        return []
    total = sum(weights)
    if total < _EXACT_DOUBLE:
        return [np.array(weights, dtype=np.float64)]
    mask = (1 << _LIMB_BITS) - 1
    shifts = range(0, max(weights).bit_length(), _LIMB_BITS)
    return [np.array([(w >> s) & mask for w in weights], dtype=np.float64) for s in shifts]


def _joined(sums: Sequence[float]) -> int:
    return sum(int(part) << (_LIMB_BITS * place) for place, part in enumerate(sums))


class Columns:
    """Ballots as columns, counted round by round.

    Attributes:
        tally: weight by option, those eliminated included (0).
        exhausted: weight of the ballots that name no option still standing.
    """

    def __init__(self, array: Ints, weights: Sequence[int] | None, count: int) -> None:
        """Take ballots [B, K] coded 0 .. count - 1, padded with -1, and integer weights >= 0."""
        ballots, longest = array.shape
        narrow = np.int8 if count < np.iinfo(np.int8).max else np.int16
        # One row more: past its last choice every ballot reads -1.
        self._choices = np.full((longest + 1, ballots), -1, dtype=narrow)
        self._choices[:longest] = array.T
        self._weights = weights
        self._limbs = limbs_of(weights)
        self._count = count
        self._top = self._choices[0].copy()
        self._read = np.zeros(ballots, dtype=np.int16)
        # Indexed by -1 too: an exhausted ballot reads no further.
        self._standing = np.ones(count + 1, dtype=bool)
        self._positions: Ints | None = None
        self.exhausted, *self.tally = self._sums(self._top, None)

    def _sums(self, options: Ints, index: npt.NDArray[np.intp] | None) -> list[int]:
        """Weight by option, that of -1 first, of all ballots or of those in ``index``."""
        places = options.astype(np.intp) + 1
        size = self._count + 1
        if not self._limbs:
            return [int(n) for n in np.bincount(places, minlength=size)]
        parts = [
            np.bincount(places, limb if index is None else limb[index], minlength=size).tolist()
            for limb in self._limbs
        ]
        return [_joined(sums) for sums in zip(*parts, strict=True)]

    def eliminate(self, option: int) -> None:
        """Let the ballots that count for ``option`` count for their next one."""
        self._standing[option] = False
        moving = np.flatnonzero(self._top == option)
        left = moving
        read = self._read[left]
        while left.size:
            read = read + 1
            reached = self._choices[read, left]
            settled = self._standing[reached]
            arrived = left[settled]
            self._top[arrived] = reached[settled]
            self._read[arrived] = read[settled]
            left, read = left[~settled], read[~settled]
        self.tally[option] = 0
        if self._weights is not None and moving.size <= self._count:
            self._add_each(moving, self._weights)
            return
        exhausted, *gained = self._sums(self._top[moving], moving)
        self.exhausted += exhausted
        self.tally = [had + more for had, more in zip(self.tally, gained, strict=True)]

    def _add_each(self, moving: npt.NDArray[np.intp], weights: Sequence[int]) -> None:
        """Add few weights one by one.

        Their sums by limbs would be put together for every option in every round, which for
        a thousand options and weights of eighty limbs is most of all the work there is.
        """
        for ballot, option in zip(moving.tolist(), self._top[moving].tolist(), strict=True):
            if option < 0:
                self.exhausted += weights[ballot]
            else:
                self.tally[option] += weights[ballot]

    def prefers(self, one: int, other: int) -> bool:
        """Whether more weight ranks ``one`` above ``other`` than below it."""
        if self._positions is None:
            self._positions = self._first_positions()
        a, b = self._positions[one], self._positions[other]
        return self._weigh(a < b) > self._weigh(b < a)

    def _weigh(self, chosen: npt.NDArray[np.bool_]) -> int:
        if not self._limbs:
            return int(np.count_nonzero(chosen))
        ones = chosen.astype(np.float64)
        return _joined([float(ones @ limb) for limb in self._limbs])

    def _first_positions(self) -> Ints:
        """Where each option first stands on each ballot; unranked is last."""
        longest = self._choices.shape[0] - 1
        narrow = np.int8 if longest < np.iinfo(np.int8).max else np.int16
        ballots = self._choices.shape[1]
        # The last row takes the padding, whose index is -1.
        positions = np.full((self._count + 1, ballots), longest, dtype=narrow)
        every = np.arange(ballots)
        for place in range(longest - 1, -1, -1):
            positions[self._choices[place], every] = place
        return positions
