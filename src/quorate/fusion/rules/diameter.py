"""Minimum-diameter averaging: the mean of the n - f rows that lie closest together.

El Mhamdi, Guerraoui and Rouault, *The Hidden Vulnerability of Distributed Learning in
Byzantium*, ICML 2018, under the name Brute; the idea is Rousseeuw's (1985). Every subset of
n - f rows is tried, so it is for few replicas. Among subsets of equal diameter the first
counts, with the rows in canonical order.
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import numpy as np

from quorate.fusion.arrays import namespace
from quorate.fusion.rules.distances import Array, arranged, mean_of, squared_distances, taken

MAX_SUBSETS: Final = 20_000
"""Most subsets that are tried; 16 rows with 5 liars have 4,368."""

_AT_A_TIME: Final = 1 << 21
"""Distances looked at in one step."""


def minimum_diameter_of(rows: Array, faults: int) -> Array:
    """Mean ``[B, E]`` of the n - f rows of least diameter (greatest distance within).

    Args:
        rows: floats ``[n, B, E]``, finite; at most :data:`MAX_SUBSETS` subsets.
        faults: liars, f.
    """
    ordered = arranged(rows)
    if faults == 0:
        return mean_of(ordered)
    subsets = _subsets(rows.shape[0], rows.shape[0] - faults)
    chosen = _narrowest(squared_distances(ordered), subsets)
    return mean_of(taken(ordered, chosen))


def _subsets(count: int, size: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """All subsets in lexicographic order, ``[subsets, size]``."""
    return np.array(list(combinations(range(count), size)), dtype=np.int64)


def _narrowest(distances: Array, subsets: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> Array:
    """Members ``[size, B]`` of each token's subset of least diameter; the first among equals."""
    xp = namespace(distances)
    count, _, tokens = distances.shape
    size = subsets.shape[1]
    pairs = [(one, two) for one in range(size) for two in range(one + 1, size)]
    flat = xp.reshape(distances, (count * count, tokens))
    least = xp.full(tokens, xp.inf, dtype=xp.float64, device=distances.device)
    best = xp.zeros(tokens, dtype=xp.int64, device=distances.device)
    step = max(1, _AT_A_TIME // max(1, tokens))
    for start in range(0, len(subsets), step):
        some = subsets[start : start + step]
        diameter = xp.zeros((len(some), tokens), dtype=xp.float64, device=distances.device)
        for one, two in pairs:
            where = xp.asarray(some[:, one] * count + some[:, two], device=distances.device)
            diameter = xp.maximum(diameter, flat[where])
        here = xp.argmin(diameter, axis=0)
        found = xp.take_along_axis(diameter, here[None, :], axis=0)[0]
        best = xp.where(found < least, here + start, best)
        least = xp.minimum(found, least)
    return xp.asarray(subsets, device=distances.device)[best].T
