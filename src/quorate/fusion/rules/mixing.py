"""Steps in front of a rule that replace rows by averages of rows.

Nearest-neighbour mixing: Allouah et al., *Fixing by Mixing*, AISTATS 2023: each row becomes
the mean of the n - f rows nearest to it, itself among them. Bucketing: Karimireddy, He and
Jaggi, *Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing*, ICLR 2022: rows
are averaged in groups. There the groups are drawn by lot; here they follow the canonical
order of the rows, or one that the caller gives, so that the result can be computed again.
"""

from __future__ import annotations

from typing import Final

from quorate.fusion.arrays import namespace
from quorate.fusion.rules.distances import (
    Array,
    arranged,
    mean_of,
    order_of,
    squared_distances,
    taken,
)

BUCKET: Final = 2
"""Rows in one bucket where a rule is named ``bucketing+RULE``."""


def mixed(rows: Array, faults: int) -> Array:
    """Rows ``[n, B, E]``: each the mean of its n - f nearest; equal distances by canonical order.

    Args:
        rows: floats ``[n, B, E]``, finite.
        faults: liars, f.
    """
    xp = namespace(rows)
    order = order_of(rows)
    ordered = taken(rows, order)
    distances = squared_distances(ordered)
    keep = rows.shape[0] - faults
    result = xp.empty_like(rows)
    for place in range(rows.shape[0]):
        near = xp.argsort(distances[place], axis=0, stable=True)[:keep]
        mean = mean_of(taken(ordered, xp.sort(near, axis=0)))
        result[order[place], xp.arange(rows.shape[1], device=rows.device)] = mean
    return result


def bucketed(rows: Array, size: int, *, canonical: bool = True) -> Array:
    """Means ``[ceil(n / size), B, E]`` of ``size`` rows each; the last bucket may hold fewer.

    Args:
        rows: floats ``[n, B, E]``, finite.
        size: rows in one bucket.
        canonical: put each token's rows in canonical order first.
    """
    ordered = arranged(rows) if canonical else rows
    means = [mean_of(ordered[start : start + size]) for start in range(0, rows.shape[0], size)]
    return namespace(rows).stack(means)
