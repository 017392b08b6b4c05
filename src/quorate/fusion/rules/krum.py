"""Krum and Multi-Krum: the rows that stand closest to their neighbours.

Blanchard, El Mhamdi, Guerraoui and Stainer, *Machine Learning with Adversaries: Byzantine
Tolerant Gradient Descent*, NeurIPS 2017. A row's score is the sum of its squared distances
to its ``neighbours`` nearest other rows, n - f - 2 in the paper. ByzFL and Allouah et al.
(2023) count n - f nearest with the row itself among them, which is ``neighbours = n - f - 1``.

Equal scores are decided by the rows themselves (lexicographic order), never by who sent
them, so the order of the replicas cannot change the result.
"""

from __future__ import annotations

from quorate.fusion.arrays import namespace
from quorate.fusion.rules.distances import Array, added, mean_of, order_of, squared_distances, taken


def krum_of(rows: Array, faults: int, neighbours: int | None = None) -> Array:
    """The row ``[B, E]`` of least score, bit for bit as it was sent.

    Args:
        rows: floats ``[n, B, E]``, finite.
        faults: liars, f.
        neighbours: how many nearest others count; n - f - 2 if ``None``.
    """
    return _chosen(rows, krum_scores(squared_distances(rows), faults, neighbours))


def finite_krum_of(rows: Array, faults: int, neighbours: int | None = None) -> Array | None:
    """:func:`krum_of`, or ``None`` if any value may not be finite.

    Distances that are all finite show that the rows are; so one pass does for both.
    """
    distances = squared_distances(rows)
    if not bool(namespace(rows).all(namespace(rows).isfinite(distances))):
        return None
    return _chosen(rows, krum_scores(distances, faults, neighbours))


def _chosen(rows: Array, scores: Array) -> Array:
    return taken(rows, _least(rows, scores)[None, :])[0]


def multi_krum_of(
    rows: Array, faults: int, kept: int | None = None, neighbours: int | None = None
) -> Array:
    """Mean ``[B, E]`` of the ``kept`` rows of least score (n - f if ``None``)."""
    count = rows.shape[0]
    keep = count - faults if kept is None else min(kept, count)
    xp = namespace(rows)
    order = order_of(rows)
    scores = krum_scores(squared_distances(rows), faults, neighbours)
    scores = xp.take_along_axis(scores, order, axis=0)
    # Places in the canonical order: sorted again, the mean adds up in that order.
    places = xp.sort(xp.argsort(scores, axis=0, stable=True)[:keep], axis=0)
    return mean_of(taken(rows, xp.take_along_axis(order, places, axis=0)))


def krum_scores(distances: Array, faults: int, neighbours: int | None = None) -> Array:
    """Scores ``[n, B]``: sums of squared ``distances [n, n, B]`` to the nearest others."""
    count = distances.shape[0]
    near = count - faults - 2 if neighbours is None else neighbours
    near = max(1, min(near, count - 1))
    ranked = namespace(distances).sort(distances, axis=1)
    # The first is the zero distance to the row itself, or another just as small.
    return added([ranked[:, place] for place in range(near + 1)])


def _least(rows: Array, scores: Array) -> Array:
    """Index ``[B]`` of the least score; among equals, of the lexicographically least row."""
    xp = namespace(rows)
    lowest = scores == xp.min(scores, axis=0)
    best = xp.argmax(xp.astype(lowest, xp.uint8), axis=0)
    shared = xp.sum(xp.astype(lowest, xp.int64), axis=0) > 1
    if not bool(xp.any(shared)):
        return best
    (where,) = xp.nonzero(shared)
    order = order_of(rows[:, where])
    ranked = xp.take_along_axis(lowest[:, where], order, axis=0)
    place = xp.argmax(xp.astype(ranked, xp.uint8), axis=0)
    best[where] = xp.take_along_axis(order, place[None, :], axis=0)[0]
    return best
