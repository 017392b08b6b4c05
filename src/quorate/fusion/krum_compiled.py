"""Distances between long rows, compiled; used where the extra ``fast`` is installed.

The same differences in float64 as :mod:`quorate.fusion.rules.distances`, added up in
another order: sums may differ in their last bits, and are equal wherever rows are equal in
pairs. Which way is taken depends on the rows' length and type alone, so that a token's
result never depends on the batch it came in.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

Array = Any
"""A NumPy array or a PyTorch tensor."""

SHORTEST: Final = 1 << 15
"""Rows shorter than this are not worth a compiler's start."""

_BLOCK: Final = 512
_TYPES: Final = ("float32", "float64")


@cache
def available() -> bool:
    """Whether numba is installed; it is not imported to find out."""
    return find_spec("numba") is not None


def applies(rows: Array) -> bool:
    """Whether :func:`add_distances` takes ``rows [n, B, E]``, a NumPy array."""
    return bool(rows.shape[-1] >= SHORTEST and str(rows.dtype) in _TYPES and available())


def add_distances(rows: Array, result: Array) -> None:
    """Add squared distances of ``rows [n, B, E]`` to ``result [n, n, B]`` above its diagonal."""
    _kernel()(np.ascontiguousarray(rows), result)


@cache
def _kernel() -> Any:
    from numba import njit  # noqa: PLC0415 - an extra, and slow to import

    # Sums may be regrouped, which is what lets them run side by side; nothing else may.
    pair = njit(fastmath={"reassoc", "contract"})(_four)
    single = njit(fastmath={"reassoc", "contract"})(_one)
    widen = njit(_widen)

    def fill(rows: Array, result: Array) -> None:
        count, tokens, length = rows.shape
        wide = np.zeros((count, _BLOCK))
        for token in range(tokens):
            for start in range(0, length, _BLOCK):
                stop = min(start + _BLOCK, length)
                for row in range(count):
                    widen(rows[row, token, start:stop], wide[row])
                for row in range(count - 1):
                    other = row + 1
                    while other + 3 < count:
                        sums = pair(
                            wide[row],
                            wide[other],
                            wide[other + 1],
                            wide[other + 2],
                            wide[other + 3],
                        )
                        for place in range(4):
                            result[row, other + place, token] += sums[place]
                        other += 4
                    while other < count:
                        result[row, other, token] += single(wide[row], wide[other])
                        other += 1

    return njit(fill)


def _widen(values: Array, wide: Array) -> None:
    for place in range(values.shape[0]):
        wide[place] = values[place]
    # What is left of the last block is zero in every row, and so are its differences.
    for place in range(values.shape[0], wide.shape[0]):
        wide[place] = 0.0


def _one(left: Array, right: Array) -> float:
    total = 0.0
    for place in range(left.shape[0]):
        gap = left[place] - right[place]
        total += gap * gap
    return total


def _four(
    left: Array, one: Array, two: Array, three: Array, four: Array
) -> tuple[float, float, float, float]:
    """Four sums at once read ``left`` once."""
    first = second = third = fourth = 0.0
    for place in range(left.shape[0]):
        value = left[place]
        gap = value - one[place]
        first += gap * gap
        gap = value - two[place]
        second += gap * gap
        gap = value - three[place]
        third += gap * gap
        gap = value - four[place]
        fourth += gap * gap
    return first, second, third, fourth
