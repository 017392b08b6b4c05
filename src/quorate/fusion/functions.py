"""Each rule as a function, with the parameters that :func:`quorate.fusion.fuse` leaves alone.

All of them take ``[n, d]`` or ``[n, ..., E]`` (NumPy, PyTorch, or lists), drop rows that are
not finite as :func:`quorate.fusion.fuse` does, and raise

- ``UsageTypeError`` or ``UsageError`` for input that cannot be used: a wrong type or shape, a
  parameter out of range, or fewer replicas than the rule needs (the least n is named);
- ``NoQuorum`` where a token has more than f rows that are not finite.

A majority of n - f rows that are equal bit for bit is given back bit for bit by every rule
but ``mean``. The bound on liars is ``f`` in rules that are computed from it, and ``faults``, by
keyword alone, where it decides no more than how many broken rows a token bears.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quorate.core.errors import UsageError, UsageTypeError
from quorate.fusion.arrays import as_vectors, finite_rows, is_numpy, is_torch, namespace, whole
from quorate.fusion.fuse import all_finite, folded, groups, require_finite, robust_aggregate
from quorate.fusion.names import MDA, check_rule, checked_faults
from quorate.fusion.rules.clipping import centered_clipping_of
from quorate.fusion.rules.geometric import STEPS, TOLERANCE, geometric_median_of
from quorate.fusion.rules.krum import finite_krum_of, krum_of, multi_krum_of
from quorate.fusion.rules.mixing import BUCKET, bucketed, mixed

Array = Any
"""A NumPy array or a PyTorch tensor."""


def coordinate_wise_median(vectors: Array, *, faults: int | None = None) -> Array:
    """The median of each coordinate; Yin et al., ICML 2018. Needs n >= 2f + 1.

    Each coordinate lies within the honest rows' range, bit for bit.
    """
    return robust_aggregate(vectors, "median", faults)


def trimmed_mean(vectors: Array, f: int) -> Array:
    """The mean of each coordinate without its f least and f greatest values; n >= 2f + 1.

    Yin et al., ICML 2018. Each coordinate lies within the honest rows' range, bit for bit.
    """
    array, liars = _checked(vectors, f, "trimmed_mean")
    return robust_aggregate(array, "trimmed_mean", liars)


def mean_around_median(vectors: Array, f: int) -> Array:
    """The mean of the n - f values of each coordinate nearest to its median; n >= 2f + 1.

    Xie, Koyejo and Gupta, *Generalized Byzantine-tolerant SGD*, 2018.
    """
    array, liars = _checked(vectors, f, "mean_around_median")
    return robust_aggregate(array, "mean_around_median", liars)


def minimum_diameter_averaging(vectors: Array, f: int) -> Array:
    """The mean of the n - f rows of least diameter; n >= 2f + 1, for few replicas.

    El Mhamdi, Guerraoui and Rouault, ICML 2018. More than
    :data:`quorate.fusion.rules.diameter.MAX_SUBSETS` subsets are refused.
    """
    array, liars = _checked(vectors, f, MDA)
    return robust_aggregate(array, MDA, liars)


def krum(vectors: Array, f: int, *, neighbours: int | None = None) -> Array:
    """The row nearest to its neighbours, bit for bit as it was sent; n >= 2f + 3.

    Args:
        vectors: ``[n, ..., E]``.
        f: liars.
        neighbours: nearest others that count in a score, 1 to n - 1: n - f - 2 if ``None``
            (Blanchard et al., NeurIPS 2017); n - f - 1 is ByzFL's.
    """
    array, liars = _checked(vectors, f, "krum")
    near = None if neighbours is None else _between(neighbours, "neighbours", 1, len(array) - 1)
    fold = folded(
        array,
        liars,
        lambda rows, left: krum_of(rows, left, near),
        "krum",
        at_once=lambda rows, left: finite_krum_of(rows, left, near),
    )
    return fold.require_quorum().values


def multi_krum(
    vectors: Array, f: int, m: int | None = None, *, neighbours: int | None = None
) -> Array:
    """The mean of the m rows of least score; n >= 2f + 3.

    Args:
        vectors: ``[n, ..., E]``.
        f: liars.
        m: rows averaged, 1 to n - f; n - f if ``None``.
        neighbours: as for :func:`krum`.
    """
    array, liars = _checked(vectors, f, "multi_krum")
    near = None if neighbours is None else _between(neighbours, "neighbours", 1, len(array) - 1)
    kept = None if m is None else _between(m, "m", 1, len(array) - liars)

    def fold(rows: Array, left: int) -> Array:
        return multi_krum_of(rows, left, kept, near)

    return folded(array, liars, fold, "multi_krum").require_quorum().values


def geometric_median(
    vectors: Array,
    *,
    faults: int | None = None,
    steps: int = STEPS,
    tolerance: float = TOLERANCE,
) -> Array:
    """The point whose distances to the rows add up to least; n >= 2f + 1.

    Args:
        vectors: ``[n, ..., E]``.
        faults: liars, which decide only how many broken rows a token bears.
        steps: most iterations, at least 1.
        tolerance: an iteration is the last when its step is no longer than this times the
            mean distance to the rows; at least 0.
    """
    array = as_vectors(vectors)
    f = check_rule("geometric_median", array.shape[0], faults)
    most = _between(steps, "steps", 1, 1_000_000)
    least = _positive(tolerance, "tolerance", zero=True)
    fold = folded(
        array, f, lambda rows, _: geometric_median_of(rows, most, least), "geometric_median"
    )
    return fold.require_quorum().values


def centered_clipping(
    vectors: Array,
    *,
    faults: int | None = None,
    centre: Array | None = None,
    radius: float | None = None,
    steps: int = 1,
) -> Array:
    """A centre, plus the mean of the rows' differences from it, each clipped; n >= 2f + 1.

    Karimireddy, He and Jaggi, ICML 2021.

    Args:
        vectors: ``[n, ..., E]``.
        faults: liars, which decide only how many broken rows a token bears.
        centre: ``[..., E]``, finite, of the vectors' kind; their coordinate-wise median if
            ``None``.
        radius: greatest length of a difference, above 0; the median distance from the
            centre if ``None``.
        steps: how often to clip, each time around the last result; 1 to 10,000.
    """
    array = as_vectors(vectors)
    f = check_rule("centered_clipping", array.shape[0], faults)
    most = _between(steps, "steps", 1, 10_000)
    reach = None if radius is None else _positive(radius, "radius")
    beside = None if centre is None else _checked_centre(centre, array)

    def fold(rows: Array, _: int, around: Array | None = None) -> Array:
        return centered_clipping_of(rows, around, reach, most)

    return folded(array, f, fold, "centered_clipping", beside=beside).require_quorum().values


def nearest_neighbour_mixing(vectors: Array, f: int) -> Array:
    """Replace each row by the mean of the n - f rows nearest to it, itself among them.

    Allouah et al., *Fixing by Mixing*, AISTATS 2023. Needs n >= 2f + 1. Gives ``[n, ..., E]``;
    a row that was not finite comes out as NaN, so that a rule run next drops it as well.
    """
    array, liars = _checked(vectors, f, "nnm+median")
    xp = namespace(array)
    rows = xp.reshape(array, (array.shape[0], -1, array.shape[-1]))
    if all_finite(rows):
        return xp.reshape(mixed(rows, liars), array.shape)
    finite = finite_rows(rows)
    result = xp.full_like(rows, xp.nan)
    for group in groups(rows, finite, liars):
        result[group.places, group.tokens[None, :]] = mixed(group.rows, group.faults)
    require_finite(finite, liars)
    return xp.reshape(result, array.shape)


def bucketing(
    vectors: Array, size: int = BUCKET, *, faults: int | None = None, order: Any = None
) -> Array:
    """Replace the rows by the means of buckets of ``size``; the last may hold fewer.

    Karimireddy, He and Jaggi, ICLR 2022. Gives ``[ceil(n / size), ..., E]``. Each liar may
    spoil one bucket, so more than 2f buckets are asked for. Where rows are not finite, as
    many buckets as are left over come out as NaN.

    Args:
        vectors: ``[n, ..., E]``.
        size: rows in one bucket, 1 to n.
        faults: liars; ``(n - 1) // 3`` if ``None``.
        order: the replicas ``[n]`` in the order that fills the buckets; the rows' canonical
            order if ``None``.
    """
    array = as_vectors(vectors)
    count = int(array.shape[0])
    f = check_rule("mean", count, faults)
    width = _between(size, "size", 1, count)
    if -(-count // width) <= 2 * f:
        raise UsageError(
            f"bucketing {count} replicas by {width} gives {-(-count // width)} buckets, of which "
            f"{f} liars may spoil {f}; a majority needs at least {width * 2 * f + 1} replicas"
        )
    xp = namespace(array)
    rows = xp.reshape(array, (count, -1, array.shape[-1]))
    if order is not None:
        rows = rows[xp.asarray(_checked_order(order, count), device=rows.device)]
    result = xp.full(
        (-(-count // width), *rows.shape[1:]), xp.nan, dtype=rows.dtype, device=rows.device
    )
    finite = finite_rows(rows)
    for group in groups(rows, finite, f):
        means = bucketed(group.rows, width, canonical=order is None)
        result[: means.shape[0], group.tokens] = means
    require_finite(finite, f)
    return xp.reshape(result, (result.shape[0], *array.shape[1:]))


def _checked(vectors: Any, f: int, rule: str) -> tuple[Array, int]:
    """What the replicas sent, and how many of them may lie, in the words of these functions."""
    array = as_vectors(vectors)
    count = int(array.shape[0])
    return array, check_rule(rule, count, checked_faults(count, f, "f"))


def _between(value: int, name: str, least: int, most: int) -> int:
    found = whole(value, name)
    if not least <= found <= most:
        raise UsageError(f"{name} is {found}; it lies between {least} and {most} here")
    return found


def _positive(value: float, name: str, *, zero: bool = False) -> float:
    numbers = int | float | np.integer | np.floating
    if isinstance(value, bool) or not isinstance(value, numbers):
        raise UsageTypeError(f"{name} is {value!r} ({type(value).__name__}); give a number")
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        least = "of at least 0" if zero else "above 0"
        raise UsageError(f"{name} is {value!r}; give a finite number {least}")
    return float(value)


def _checked_centre(centre: Any, vectors: Array) -> Array:
    xp = namespace(vectors)
    plain = not hasattr(centre, "shape")
    same = plain or is_numpy(centre) if is_numpy(vectors) else is_torch(centre)
    if not same:
        raise UsageTypeError(
            f"centre is a {type(centre).__name__} and vectors a {type(vectors).__name__}; "
            "give both of one kind"
        )
    array = as_vectors(centre[None] if hasattr(centre, "shape") else [centre], name="centre")[0]
    if tuple(array.shape) != tuple(vectors.shape[1:]):
        raise UsageError(
            f"centre has shape {tuple(array.shape)}; the vectors' is {tuple(vectors.shape[1:])}"
        )
    if not bool(xp.all(xp.isfinite(array))):
        raise UsageError("centre holds a value that is not finite; give a finite one")
    return array


def _checked_order(order: Any, count: int) -> list[int]:
    try:
        places = [whole(place, "order") for place in order]
    except TypeError as error:
        raise UsageTypeError(
            f"order is {order!r}; give the numbers 0 to {count - 1}, each once"
        ) from error
    if sorted(places) != list(range(count)):
        raise UsageError(f"order is {places}; it names each of 0 to {count - 1} once")
    return places
