"""Geometric median: the point whose distances to the rows add up to least.

Weiszfeld's iteration in float64 with the correction of Vardi and Zhang (PNAS 2000), which
keeps it going where it lands on a row. It starts from the coordinate-wise median, so that a
majority of equal rows is given back at once, bit for bit.

The exact point has no closed form. A token is done when a step is shorter than
:data:`TOLERANCE` times its mean distance to the rows, or after :data:`STEPS` steps. Steps
towards a row that is itself the median would only get shorter; so after a few, each row is
tried by the condition for that, and at last the nearest one by its sum, since rounding can
hide the condition where it holds with equality.

Beside a row that only just is not the median, plain steps shrink to nearly nothing long
before they arrive. So after the first few each step is also tried longer, and mixed with
the one before it (Anderson acceleration, J. ACM 1965, of depth one), and the point whose
distances add up to least is taken: never a worse one than the plain step's. Each token
goes and stops on its own, so the result does not depend on which others came with it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from quorate.fusion.arrays import in_float64, is_numpy, namespace
from quorate.fusion.rules.coordinate import median_of
from quorate.fusion.rules.distances import (
    Array,
    added,
    arranged,
    squared_from,
    squares,
    taken,
    within,
)

STEPS: Final = 200
"""Most iterations."""
TOLERANCE: Final = 1e-10
"""Step, over the mean distance to the rows, below which an iteration is the last one."""

_PLAIN_STEPS: Final = 4
_LEAST_REACH: Final = 1.5
_MOST_REACH: Final = 1e8
"""Bounds of how many times longer than a plain step a longer one is."""


def geometric_median_of(rows: Array, steps: int = STEPS, tolerance: float = TOLERANCE) -> Array:
    """Geometric median ``[B, E]`` of ``rows [n, B, E]``, in the rows' dtype.

    Args:
        rows: floats, finite.
        steps: most iterations.
        tolerance: as :data:`TOLERANCE`.
    """
    xp = namespace(rows)
    ordered = arranged(rows)
    point = in_float64(median_of(ordered))
    active = xp.arange(rows.shape[1], device=rows.device)
    past = _Past(point)
    for count in range(steps):
        if count == _PLAIN_STEPS:
            active = _without_rows(ordered, point, active)
        if active.shape[0] == 0:
            break
        some, here = ordered[:, active], point[active]
        moved, step, mean = _stepped(some, here)
        if count >= _PLAIN_STEPS:
            moved = past.best_of(some, here, moved, active)
        point[active] = xp.where((step > 0)[:, None], moved, here)
        active = active[step > tolerance * mean]
    return within(_or_nearest(ordered, point), rows)


class _Past:
    """What the last plain step of each token was, and how much longer one may try to be."""

    def __init__(self, point: Array) -> None:
        xp = namespace(point)
        # Nothing is mixed with a step that was not made: no number is below another.
        self.moved = xp.full_like(point, xp.nan)
        self.gap = xp.full_like(point, xp.nan)
        self.reach = xp.full_like(point[:, 0], _LEAST_REACH)

    def best_of(self, rows: Array, here: Array, moved: Array, active: Array) -> Array:
        """The best of the plain step ``here -> moved``, a longer one and a mixed one."""
        xp = namespace(rows)
        gap = moved - here
        change = gap - self.gap[active]
        with np.errstate(over="ignore", invalid="ignore"):
            size = squares(change)
            share = _inner(gap, change) / xp.where(size > 0, size, 1.0)
            mixed = moved - share[:, None] * (moved - self.moved[active])
            reach = self.reach[active]
            far = here + gap * reach[:, None]
            # A point beyond all numbers has no least sum, and is not taken.
            best, least, _ = _better(rows, mixed, moved, _sum_of_distances(rows, moved))
            best, _, longer = _better(rows, far, best, least)
        self.reach[active] = xp.where(
            longer, xp.clip(reach * 2, None, _MOST_REACH), xp.clip(reach / 2, _LEAST_REACH, None)
        )
        self.moved[active], self.gap[active] = moved, gap
        return best


def _better(rows: Array, tried: Array, best: Array, least: Array) -> tuple[Array, Array, Array]:
    """The better of two points, its sum of distances, and where it is the one tried."""
    xp = namespace(rows)
    found = _sum_of_distances(rows, tried)
    better = found < least
    return xp.where(better[:, None], tried, best), xp.where(better, found, least), better


def _inner(left: Array, right: Array) -> Array:
    """Inner products along the last axis."""
    if is_numpy(left):
        return np.vecdot(left, right)
    return namespace(left).sum(left * right, axis=-1)


def _sum_of_distances(rows: Array, point: Array) -> Array:
    """What the median makes least, ``[B]``."""
    return added(namespace(rows).sqrt(squared_from(rows, point)))


def _without_rows(rows: Array, point: Array, active: Array) -> Array:
    """Set ``point`` where a row is itself the median; the tokens left."""
    for row in rows:
        here = in_float64(row[active])
        _, step, _ = _stepped(rows[:, active], here)
        found = step == 0
        point[active[found]] = here[found]
        active = active[~found]
    return active


def _stepped(rows: Array, point: Array) -> tuple[Array, Array, Array]:
    """The next points ``[B, E]``, the lengths of the steps and the mean distances ``[B]``."""
    xp = namespace(rows)
    distances = xp.sqrt(squared_from(rows, point))
    here = distances == 0
    weights = xp.where(here, 0.0, 1.0 / xp.where(here, 1.0, distances))
    total = added(weights)
    # Rows infinitely far off (their squares overflow) have no weight.
    safe = xp.where(total > 0, total, 1.0)
    aim = xp.zeros_like(point)
    # Near the greatest floats lengths overflow, and no weight times infinity is no number:
    # such a step is no longer than any, and the token stays where it is.
    with np.errstate(over="ignore", invalid="ignore"):
        for row in range(rows.shape[0]):
            aim = aim + xp.astype(rows[row], xp.float64) * (weights[row] / safe)[:, None]
        length = xp.sqrt(squared_from(aim[None], point)[0])
        pull = length * total
        held = added(xp.astype(here, xp.float64))
        share = xp.where(pull > held, 1.0 - held / xp.where(pull > 0, pull, 1.0), 0.0)
        moved = point + (aim - point) * share[:, None]
        return moved, length * share, added(distances) / rows.shape[0]


def _or_nearest(rows: Array, point: Array) -> Array:
    """``point``, or the nearest row where its distances add up to no more."""
    xp = namespace(rows)
    distances = xp.sqrt(squared_from(rows, point))
    nearest = xp.argmin(distances, axis=0)
    row = in_float64(taken(rows, nearest[None, :])[0])
    others = _sum_of_distances(rows, row)
    return xp.where((others <= added(distances))[:, None], row, point)
