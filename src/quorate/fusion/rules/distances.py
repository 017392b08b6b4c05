"""Distances between replicas' rows, and one order of rows that no replica's place decides.

Theory of operation. Distances come from differences in float64, never from the Gram form
``|a|^2 + |b|^2 - 2ab``: where rows share a large offset the Gram form loses the digits that
tell them apart. Work goes in blocks of coordinates, so that beside the result only a few
blocks are held, whatever the length of the rows.

Sums of floats depend on their order, and replicas have none that matters. So rows are put
in lexicographic order first (:func:`order_of`).

Everything here takes clean input: floats ``[n, B, E]``, finite, n rows for each of B
tokens. Squares overflow to infinity beyond about 1e150, which still ranks such a row last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from quorate.fusion import krum_compiled
from quorate.fusion.arrays import canonical_order, is_numpy, namespace

Array = Any
"""A NumPy array or a PyTorch tensor."""

_HOST_BLOCK: Final = 1 << 12
"""Values of one row worked on at a time on a CPU: they stay in its cache, and the library
that multiplies starts no threads for so few."""
_DEVICE_BLOCK: Final = 1 << 22
"""The same for tensors, where each step has a price of its own."""


def squared_distances(rows: Array) -> Array:
    """Squared Euclidean distances between the rows of each token.

    Args:
        rows: floats ``[n, B, E]``, finite.

    Returns:
        float64 ``[n, n, B]``, symmetric bit for bit, zero on the diagonal. Rows that are
        not finite have no finite distance from any other.
    """
    xp = namespace(rows)
    count, tokens, _ = rows.shape
    result = xp.zeros((count, count, tokens), dtype=xp.float64, device=rows.device)
    if is_numpy(rows) and krum_compiled.applies(rows):
        krum_compiled.add_distances(rows, result)
    else:
        _add_distances(rows, result)
    for row in range(count - 1):
        result[row + 1 :, row] = result[row, row + 1 :]
    return result


def _add_distances(rows: Array, result: Array) -> None:
    """Add squared distances to ``result [n, n, B]`` above its diagonal."""
    with np.errstate(over="ignore", invalid="ignore"):
        for some, part in blocks(rows):
            block = _wide(rows[:, some, part])
            for row in range(rows.shape[0] - 1):
                result[row, row + 1 :, some] += squares(block[row + 1 :] - block[row])


def squared_from(rows: Array, centre: Array) -> Array:
    """Squared distances ``[n, B]`` (float64) of ``rows [n, B, E]`` from ``centre [B, E]``."""
    xp = namespace(rows)
    count, tokens, _ = rows.shape
    result = xp.zeros((count, tokens), dtype=xp.float64, device=rows.device)
    with np.errstate(over="ignore"):
        for some, part in blocks(rows):
            gap = _wide(rows[:, some, part]) - _wide(centre[some, part])
            result[:, some] += squares(gap)
    return result


def _wide(block: Array) -> Array:
    """``block`` in float64, each row's values side by side.

    A library adds up in another order what lies far apart in memory, and near-equal
    distances would then be told apart by how the caller's array is stored.
    """
    if is_numpy(block):
        return np.ascontiguousarray(block, dtype=np.float64)
    return namespace(block).astype(block, namespace(block).float64).contiguous()


def squares(gap: Array) -> Array:
    """Sum of squares along the last axis."""
    if is_numpy(gap):
        return np.vecdot(gap, gap)
    return namespace(gap).sum(gap * gap, axis=-1)


def blocks(rows: Array) -> Iterator[tuple[slice, slice]]:
    """Tokens and coordinates to work on at a time; the latter depend on E alone."""
    _, tokens, length = rows.shape
    size = _HOST_BLOCK if is_numpy(rows) else _DEVICE_BLOCK
    step = max(1, size // length)
    for first in range(0, tokens, step):
        for start in range(0, length, size):
            yield slice(first, first + step), slice(start, start + size)


def order_of(rows: Array) -> Array:
    """Indices ``[n, B]`` (int64) that put each token's rows in canonical order.

    As :func:`quorate.fusion.arrays.canonical_order`, which is asked only about tokens whose
    rows share a first coordinate.
    """
    xp = namespace(rows)
    first = rows[:, :, 0]
    order = xp.argsort(first, axis=0, stable=True)
    ranked = xp.take_along_axis(first, order, axis=0)
    tied = xp.any(ranked[1:] == ranked[:-1], axis=0)
    if bool(xp.any(tied)):
        (where,) = xp.nonzero(tied)
        order[:, where] = canonical_order(rows[:, where])
    return order


def arranged(rows: Array) -> Array:
    """The rows of each token in their canonical order."""
    return taken(rows, order_of(rows))


def taken(rows: Array, order: Array) -> Array:
    """Rows ``[m, B, E]`` that ``order [m, B]`` names for each token."""
    return rows[order, namespace(rows).arange(rows.shape[1], device=rows.device)[None, :]]


def mean_of(rows: Array) -> Array:
    """Mean ``[B, E]`` over the first axis, inside the range of what is averaged.

    The sum runs in float64 in the order the rows stand in; clipping gives the mean of
    equal values back as it was, and the input's dtype cannot be left by rounding.
    """
    xp = namespace(rows)
    count = rows.shape[0]
    wide = (xp.astype(row, xp.float64) for row in rows)
    with np.errstate(over="ignore"):
        mean = added(wide) / count
    fits = xp.isfinite(mean)
    if not bool(xp.all(fits)):  # a sum overflowed; its mean cannot
        # Value by value: what one token overflows by is not to round another's mean.
        mean = xp.where(fits, mean, added(xp.astype(row, xp.float64) / count for row in rows))
    return within(mean, rows)


def added(terms: Iterable[Array]) -> Array:
    """Sum of one or more arrays, in their order.

    A library's own sum takes another order for another shape, so that a token's result
    would depend on how many came with it.
    """
    total = None
    for term in terms:
        total = term if total is None else total + term
    return total


def within(values: Array, rows: Array) -> Array:
    """``values [B, E]`` in the rows' dtype, clipped to the rows' range per coordinate.

    A zero within the range keeps its sign, and one that bounds it counts as ``0.0``: which of
    two zeros a minimum or maximum gives is the library's choice, and may follow their order.
    """
    xp = namespace(rows)
    narrow = xp.astype(values, rows.dtype)
    low, high = xp.min(rows, axis=0), xp.max(rows, axis=0)
    clipped = xp.minimum(xp.maximum(narrow, low), high)
    if bool(xp.all(clipped != 0)):
        return clipped
    # A sum with 0.0 turns -0.0 round.
    clipped = xp.where(narrow < low, low + 0.0, narrow)
    return xp.where(narrow > high, high + 0.0, clipped)
