"""Compiled kernels for routing; needs numba (extra ``fast``).

Every loop that carries the work runs over consecutive tokens or experts, in pieces that
stay in the first-level cache, so that the compiler makes it one of vector instructions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])

_PIECE = 2048
# Counts of so many tokens fit in a byte, of which a vector holds the most.
_BYTE_RUN = 128


def compiled(**options: Any) -> Callable[[Function], Function]:
    """Compile on first call, and keep the machine code on disk where that can be written."""

    def wrap(function: Function) -> Function:
        try:
            return cast("Function", njit(cache=True, nogil=True, **options)(function))
        except RuntimeError:  # numba found no folder that it may write to
            return cast("Function", njit(nogil=True, **options)(function))

    return wrap


@compiled()
def _count_above(row: Any, greatest: Any) -> int:
    """How many codes of a piece are void."""
    total = 0
    for start in range(0, _PIECE, _BYTE_RUN):
        part: Any = np.uint8(0)
        for t in range(start, start + _BYTE_RUN):
            part = np.uint8(part + np.uint8(row[t] > greatest))
        total += part
    return total


@compiled()
def _count_equal(row: Any, other: Any, where: Any) -> int:
    """In how many of the tokens marked in ``where`` the two agree."""
    total = 0
    for start in range(0, _PIECE, _BYTE_RUN):
        part: Any = np.uint8(0)
        for t in range(start, start + _BYTE_RUN):
            part = np.uint8(part + (np.uint8(row[t] == other[t]) & where[t]))
        total += part
    return total


@compiled()
def _compare_exchange(low: Any, high: Any) -> None:
    for t in range(_PIECE):
        a, b = low[t], high[t]
        low[t] = min(a, b)
        high[t] = max(a, b)


@compiled()
def _longest_run(ranked: Any, greatest: Any, decided: Any, counts: Any, run: Any) -> None:
    """Replace the counts of undecided tokens by the longest run of one valid code."""
    for t in range(_PIECE):
        run[t] = 1
        first = np.uint8(ranked[0, t] <= greatest)
        counts[t] = counts[t] if decided[t] else first
    for i in range(1, ranked.shape[0]):
        below, row = ranked[i - 1], ranked[i]
        for t in range(_PIECE):
            run[t] = run[t] * np.uint8(row[t] == below[t]) + np.uint8(1)
            valid = np.uint8(run[t] * np.uint8(row[t] <= greatest))
            counts[t] = max(counts[t], valid)


@compiled()
def _copy_piece(row: Any, own: Any, ranks: Any) -> None:
    """Copy a piece of a row twice; what is missing of it reads 0."""
    size = row.shape[0]
    for t in range(size):
        own[t] = row[t]
    for t in range(size, _PIECE):
        own[t] = 0
    for t in range(_PIECE):
        ranks[t] = own[t]


@compiled()
def _add_equal(row: Any, middle: Any, counts: Any) -> None:
    for t in range(_PIECE):
        counts[t] += np.uint8(row[t] == middle[t])


@compiled()
def _decide(middle: Any, counts: Any, greatest: Any, quorum: Any, decided: Any) -> None:
    for t in range(_PIECE):
        decided[t] = np.uint8(counts[t] >= quorum) & np.uint8(middle[t] <= greatest)


@compiled()
def _write(middle: Any, decided: Any, counts: Any, expert: Any, count: Any, consensus: Any) -> None:
    for t in range(expert.shape[0]):
        expert[t] = np.int64(middle[t]) if decided[t] else np.int64(-1)
        count[t] = counts[t]
        consensus[t] = decided[t] != 0


@compiled()
def count_votes(
    codes: Any, at: int, greatest: Any, network: Any, quorum: Any, outcome: Any, sums: Any
) -> None:
    """Decide one block of votes; see ``quorate.routing.rules_batch``.

    Args:
        codes: unsigned [N, any], C order; the block starts at column ``at``.
        at: see above.
        greatest: the greatest valid code, of the same type.
        network: int64 [C, 2], comparators that sort N values.
        quorum: uint8, matching votes needed.
        outcome: int64 [block], expert; int64 [block], count; bool [block], consensus: written.
        sums: int64 [N], dissent; int64 [N], void: added to.
    """
    expert, count, consensus = outcome
    dissent, void = sums
    replicas, length = codes.shape[0], expert.shape[0]
    held = np.zeros((replicas, _PIECE), dtype=codes.dtype)
    ranked = np.empty((replicas, _PIECE), dtype=codes.dtype)
    counts = np.empty(_PIECE, dtype=np.uint8)
    decided = np.empty(_PIECE, dtype=np.uint8)
    run = np.empty(_PIECE, dtype=np.uint8)
    for start in range(0, length, _PIECE):
        size = min(_PIECE, length - start)
        for i in range(replicas):
            _copy_piece(codes[i, at + start : at + start + size], held[i], ranked[i])
            void[i] += _count_above(held[i], greatest)
        for c in range(network.shape[0]):
            _compare_exchange(ranked[network[c, 0]], ranked[network[c, 1]])
        middle = ranked[replicas // 2]
        counts[:] = 0
        for i in range(replicas):
            _add_equal(held[i], middle, counts)
        _decide(middle, counts, greatest, quorum, decided)
        for t in range(size, _PIECE):
            decided[t] = 0
        total = _count_equal(decided, decided, decided)
        for i in range(replicas):
            dissent[i] += total - _count_equal(held[i], middle, decided)
        if total < size:
            _longest_run(ranked, greatest, decided, counts, run)
        stop = start + size
        parts = expert[start:stop], count[start:stop], consensus[start:stop]
        _write(middle, decided, counts, *parts)
