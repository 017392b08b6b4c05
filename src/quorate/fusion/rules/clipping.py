"""Centred clipping: rows pulled towards a centre until none is farther than a radius.

Karimireddy, He and Jaggi, *Learning from History for Byzantine Robust Optimization*, ICML
2021. There the centre is the last round's result and the radius a constant of the problem;
here, with no last round, the centre is the coordinate-wise median and the radius the median
distance from it, unless the caller gives others. So a majority of equal rows is given back
bit for bit: the median distance is zero then, and nothing moves.
"""

from __future__ import annotations

from quorate.fusion.arrays import in_float64, namespace
from quorate.fusion.rules.coordinate import median_of
from quorate.fusion.rules.distances import Array, added, arranged, squared_from, within


def centered_clipping_of(
    rows: Array, centre: Array | None = None, radius: float | None = None, steps: int = 1
) -> Array:
    """Centre ``[B, E]`` plus the mean of the clipped differences, ``steps`` times.

    Args:
        rows: floats ``[n, B, E]``, finite.
        centre: ``[B, E]`` to start from; the coordinate-wise median if ``None``.
        radius: greatest length of a difference; if ``None``, each token's median distance
            (of an even number, the lower of the two in the middle) at each step.
        steps: how often to clip around the new centre.
    """
    ordered = arranged(rows)
    given = centre is not None
    point = in_float64(centre if given else median_of(ordered))
    for _ in range(steps):
        point = _clipped(ordered, point, radius)
    if given:
        return namespace(rows).astype(point, rows.dtype)
    return within(point, rows)


def _clipped(rows: Array, centre: Array, radius: float | None) -> Array:
    xp = namespace(rows)
    count = rows.shape[0]
    distances = xp.sqrt(squared_from(rows, centre))
    if radius is None:
        reach = xp.sort(distances, axis=0)[(count - 1) // 2][None, :]
    else:
        reach = xp.zeros_like(distances) + radius
    beyond = distances > reach
    kept = xp.where(beyond, reach / xp.where(beyond, distances, 1.0), 1.0) / count
    result = centre * (1.0 - added(kept))[:, None]
    for row in range(count):
        result = result + xp.astype(rows[row], xp.float64) * kept[row][:, None]
    still = ~xp.any((distances > 0) & (kept > 0), axis=0)
    return xp.where(still[:, None], centre, result)
