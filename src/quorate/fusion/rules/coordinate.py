"""Rules that look at one coordinate at a time: median, trimmed mean, mean around the median.

Theory of operation. Per coordinate, a network of minima and maxima picks the order
statistics that the rule needs, and the rule computes on them in ascending order. So who
sent which value cannot change a bit of the result.

Minima and maxima of floats are exact except between ``-0.0`` and ``0.0``, which compare
equal. On NumPy's float32 and float64 the network runs on the floats themselves, a block of
columns at a time so that all stays in the cache; where a result comes out as zero, or so
small that halves round, those columns are done again on keys (``arrays.keys_of``), which
tell the zeros apart. Everything else runs on keys from the start. Both ways give the same
bits, and so does the compiled one (``quorate.fusion.compiled``), which is taken for large
arrays where it is installed.

Numbers. Of two middle values the median gives half of each, added, which cannot overflow
(float16 and bfloat16 in float32, rounded once); equal ones come back unchanged. Means are
summed in float64 (float16 and bfloat16 in float32) and clipped to the range of what they
are means of. Hence with at most f liars median and trimmed mean lie, coordinate by
coordinate, within the range of the honest values, bit for bit; and where all honest rows
are equal in every bit, so is the result, for all three rules.

Input is clean: every row finite, checked before. Tensors that carry gradients give the
gradients of the chosen values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from quorate.core.errors import UsageError
from quorate.fusion import compiled
from quorate.fusion.arrays import Array, finite_rows, floats_of, is_numpy, keys_of, namespace
from quorate.fusion.rules.networks import MAX_WIRES, Network, Program, middle, sorting

Rows = list[Array]
"""One array [columns] per order statistic."""

_BLOCK_BYTES: Final = 1 << 20
_MOST_COLUMNS: Final = 1 << 15
_FEWEST_COLUMNS: Final = 1 << 10
# Keeps a sum of 1,024 of the largest floats finite.
_DOWN: Final = 2.0**-11
_HALVED_WIDE: Final = {"float16", "bfloat16"}
_WIDE: Final = {"float16": "float32", "bfloat16": "float32", "float32": "float64"}


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which order statistics to pick, and what to make of them.

    Attributes:
        name: of its compiled kernel.
        f: liars that it allows for, as its kernel asks.
        first: least statistic wanted, 0 for the minimum.
        last: greatest statistic wanted.
        network: picks them; ``None`` for more replicas than networks are made for.
        formula: takes them as rows, and gives the result [columns]. Rows of zeros
            may have either sign only where the result is zero.
    """

    name: str
    f: int
    first: int
    last: int
    network: Network | None
    formula: Callable[[Rows], Array]


def median_of(vectors: Array) -> Array:
    """Coordinate-wise median; half of each middle value where their number is even.

    Args:
        vectors: ``[n, ...]`` of floats, all finite.

    Returns:
        ``[...]``, of the same kind, type and device.
    """
    return _applied(vectors, _median(vectors))


def trimmed_of(vectors: Array, f: int) -> Array:
    """Coordinate-wise mean of what is left without the ``f`` least and ``f`` greatest.

    Source: Yin et al., Byzantine-Robust Distributed Learning, ICML 2018.

    Args:
        vectors: ``[n, ...]`` of floats, all finite.
        f: values to drop at either end; n > 2f.

    Returns:
        ``[...]``, of the same kind, type and device.

    Raises:
        UsageError: ``f`` is negative or leaves nothing.
    """
    return _applied(vectors, _trimmed(vectors, f))


def mean_around_median_of(vectors: Array, f: int) -> Array:
    """Coordinate-wise mean of the n - f values nearest to the median.

    Of two equally near, the lesser is nearer. Source: Xie et al., Generalized
    Byzantine-tolerant SGD, 2018.

    Args:
        vectors: ``[n, ...]`` of floats, all finite.
        f: values to leave out; n > 2f.

    Returns:
        ``[...]``, of the same kind, type and device.

    Raises:
        UsageError: ``f`` is negative or leaves no majority.
    """
    n = _left(vectors, f)
    network = sorting(n) if n <= MAX_WIRES else None
    formula = partial(_mean_near_middle, f)
    return _applied(vectors, _Rule(compiled.NEAR, f, 0, n - 1, network, formula))


def finite_median_of(vectors: Array) -> Array | None:
    """:func:`median_of`, or ``None`` if any value is not finite; one pass where compiled."""
    return _if_finite(vectors, _median(vectors))


def finite_trimmed_of(vectors: Array, f: int) -> Array | None:
    """:func:`trimmed_of`, or ``None`` if any value is not finite; one pass where compiled."""
    return _if_finite(vectors, _trimmed(vectors, f))


def _median(vectors: Array) -> _Rule:
    n = int(vectors.shape[0])
    network = middle(n) if n <= MAX_WIRES else None
    return _Rule(compiled.MEDIAN, 0, (n - 1) // 2, n // 2, network, _half_of_each)


def _trimmed(vectors: Array, f: int) -> _Rule:
    n = _left(vectors, f)
    network = sorting(n, f, n - f - 1) if n <= MAX_WIRES else None
    return _Rule(compiled.TRIMMED, f, f, n - f - 1, network, _mean)


def _left(vectors: Array, f: int) -> int:
    n = int(vectors.shape[0])
    if not 0 <= 2 * f < n:
        raise UsageError(f"f is {f} with {n} replicas; give 0 <= f and n > 2f")
    return n


# --- what the rules make of order statistics --------------------------------------


def _half_of_each(rows: Rows) -> Array:
    """Of one middle value itself, of two in any order half of each."""
    if len(rows) == 1:
        return rows[0]
    one, other = rows
    if _name(one) in _HALVED_WIDE:
        return _narrowed(_widened(one) * 0.5 + _widened(other) * 0.5, one)
    half = one * 0.5 + other * 0.5
    if is_numpy(half) and np.abs(half).min() > _doubtful(half):
        return half
    # Halves of the smallest floats round. Of -0.0 and 0.0 the sum is 0.0, in any order.
    return _either((one == other) & (one != 0), one, half)


def _doubtful(half: Array) -> float:
    """Greatest magnitude of a sum of two halves of which one may have been rounded."""
    return 4 * float(np.finfo(half.dtype).smallest_normal)


def _mean(rows: Rows) -> Array:
    """The mean of rows in ascending order, within their range."""
    wide = [_widened(row) for row in rows]
    return _clipped(_summed(wide, len(wide)), rows[0], rows[-1])


def _mean_near_middle(f: int, rows: Rows) -> Array:
    """The mean of a window of n - f of the sorted rows: the nearest to the median."""
    n, kept = len(rows), len(rows) - f
    centre = _widened(_half_of_each(rows[(n - 1) // 2 : n // 2 + 1]))
    wide = [_widened(row) for row in rows]
    # The window moves up while its lowest value is farther than the next one above it.
    moves = [_farther(centre, wide[i], wide[i + kept]) for i in range(f)]
    low, high = rows[0], rows[kept - 1]
    # Adding -0.0 changes nothing, not even -0.0.
    nothing = namespace(centre).full_like(centre, -0.0)
    for i, moved in enumerate(moves):
        low = _either(moved, rows[i + 1], low)
        high = _either(moved, rows[i + kept], high)
        wide[i] = _either(moved, nothing, wide[i])
        wide[i + kept] = _either(moved, wide[i + kept], nothing)
    return _clipped(_summed(wide, kept), low, high)


def _farther(centre: Array, low: Array, high: Array) -> Array:
    """Whether ``low`` lies farther below ``centre`` than ``high`` above it."""
    below, above = centre - low, high - centre
    farther = below > above
    if _name(centre) == "float64":
        both = (below == np.inf) & (above == np.inf)
        quarter = centre * 0.25
        farther = farther | (both & (quarter - low * 0.25 > high * 0.25 - quarter))
    return farther


def _summed(wide: Rows, count: int) -> Array:
    """The sum of rows, in their order, divided by ``count``."""
    total = wide[0]
    for row in wide[1:]:
        total = total + row
    mean = total / count
    if _name(mean) != "float64" or (is_numpy(mean) and np.isfinite(mean).all()):
        return mean
    scaled = wide[0] * _DOWN
    for row in wide[1:]:
        scaled = scaled + row * _DOWN
    xp = namespace(mean)
    return xp.where(xp.isfinite(total), mean, scaled / count / _DOWN)


def _clipped(mean: Array, low: Array, high: Array) -> Array:
    """``mean`` in the type of its bounds, which equal values give back unchanged."""
    narrow = _narrowed(mean, low)
    if is_numpy(narrow) and _name(narrow) not in _HALVED_WIDE:
        quick = np.minimum(np.maximum(narrow, low), high)
        # Only zeros can come out with a sign that depends on the order of two equals.
        if quick.all():
            return quick
    narrow = _either(narrow < low, low, narrow)
    return _either(narrow > high, high, narrow)


def _either(mask: Array, one: Array, other: Array) -> Array:
    """``one`` where ``mask``, else ``other``."""
    if not is_numpy(one):
        return namespace(one).where(mask, one, other)
    # NumPy's where branches on every value; choosing bits takes a third of its time.
    kind = f"int{8 * one.itemsize}"
    all_bits = np.negative(mask.view(np.int8)).astype(kind)
    chosen = one.view(kind) ^ other.view(kind)
    chosen &= all_bits
    chosen ^= other.view(kind)
    return chosen.view(one.dtype)


def _narrowed(array: Array, like: Array) -> Array:
    return array.astype(like.dtype) if is_numpy(array) else array.to(like.dtype)


def _name(array: Array) -> str:
    return str(array.dtype).removeprefix("torch.")


def _widened(row: Array) -> Array:
    """``row`` in the type that means are summed in."""
    name = _WIDE.get(_name(row))
    if name is None:
        return row
    if is_numpy(row):
        return row.astype(name)
    if name == "float64" and row.device.type == "mps":
        return row  # has no wider type
    return row.to(getattr(namespace(row), name))


# --- how order statistics are picked ----------------------------------------------


def _applied(vectors: Array, rule: _Rule) -> Array:
    """Run ``rule`` over all columns of ``vectors [n, ...]``."""
    done = _attempted(vectors, rule)
    return done[0] if done is not None else _plainly(vectors, rule)


def _if_finite(vectors: Array, rule: _Rule) -> Array | None:
    done = _attempted(vectors, rule)
    if done is not None:
        return done[0] if done[1] else None
    return _plainly(vectors, rule) if bool(finite_rows(vectors).all()) else None


def _attempted(vectors: Array, rule: _Rule) -> tuple[Array, bool] | None:
    """What the compiled kernel gives, and whether all input was finite; if there is one."""
    if is_numpy(vectors):
        done = compiled.run(rule.name, rule.f, vectors.reshape(vectors.shape[0], -1))
        return None if done is None else (done[0].reshape(vectors.shape[1:]), done[1])
    if not _shared_with_numpy(vectors):
        return None
    done = _attempted(vectors.detach().numpy(), rule)
    return None if done is None else (namespace(vectors).from_numpy(done[0]), done[1])


def _shared_with_numpy(tensor: Array) -> bool:
    """Whether NumPy can work on a tensor's own memory, and gradients are not asked for."""
    return (
        tensor.device.type == "cpu" and _name(tensor) != "bfloat16" and not _with_gradients(tensor)
    )


def _with_gradients(tensor: Array) -> bool:
    return bool(tensor.requires_grad and namespace(tensor).is_grad_enabled())


def _plainly(vectors: Array, rule: _Rule) -> Array:
    if vectors.shape[0] == 1:
        return vectors[0].copy() if is_numpy(vectors) else vectors[0].clone()
    if is_numpy(vectors):
        with np.errstate(all="ignore"):
            out = _on_blocks(vectors.reshape(vectors.shape[0], -1), rule)
        return out.reshape(vectors.shape[1:])
    if _with_gradients(vectors):
        order = keys_of(vectors).sort(dim=0, stable=True).indices
        return rule.formula(list(vectors.gather(0, order[rule.first : rule.last + 1])))
    if _shared_with_numpy(vectors):
        return namespace(vectors).from_numpy(_plainly(vectors.detach().numpy(), rule))
    return _exact(vectors.detach(), rule)


def _exact(block: Array, rule: _Rule) -> Array:
    """The rule on keys: right for all input, on any device."""
    keys = keys_of(block)
    if rule.network is None:
        ranked = np.sort(keys, axis=0) if is_numpy(keys) else keys.sort(dim=0).values
        picked = list(ranked[rule.first : rule.last + 1])
    else:
        xp = namespace(keys)
        picked = rule.network.run(list(keys), xp.minimum, xp.maximum)
    return rule.formula([floats_of(row, block) for row in picked])


def _on_blocks(flat: Array, rule: _Rule) -> Array:
    """The rule on [n, d] in NumPy, as many columns at a time as the cache holds."""
    n, length = flat.shape
    out = np.empty(length, dtype=flat.dtype)
    fast = rule.network is not None and _name(flat) in {"float32", "float64"}
    program = rule.network.program() if rule.network is not None and fast else None
    registers = n if program is None else program.registers
    columns = _BLOCK_BYTES // (registers * flat.itemsize)
    columns = min(_MOST_COLUMNS, max(_FEWEST_COLUMNS, columns), length)
    if program is None:
        for start in range(0, length, columns):
            out[start : start + columns] = _exact(flat[:, start : start + columns], rule)
        return out
    work = np.empty((registers, columns), dtype=flat.dtype)
    for start in range(0, length, columns):
        block = flat[:, start : start + columns]
        _on_floats(block, rule, program, work, out[start : start + columns])
    return out


def _on_floats(block: Array, rule: _Rule, program: Program, work: Array, out: Array) -> None:
    """The rule on the floats of one block, into ``out``; what that may get wrong, on keys."""
    rows = [*block, *work[:, : block.shape[1]]]
    rows[program.outputs[0]] = out
    for greater, one, other, into in program.steps:
        (np.maximum if greater else np.minimum)(rows[one], rows[other], out=rows[into])
    picked = [rows[register] for register in program.outputs]
    limit = 0.0
    spare = rows[program.spare]
    if rule.formula is not _half_of_each:
        out[...] = rule.formula(picked)
    elif len(picked) > 1:
        # Cheaper than the formula; wrong only where halves round.
        limit = _doubtful(out)
        np.multiply(out, 0.5, out=out)
        np.multiply(picked[1], 0.5, out=picked[1])
        np.add(out, picked[1], out=out)
    np.abs(out, out=spare)
    if spare.min() <= limit:
        doubtful = np.flatnonzero(spare <= limit)
        out[doubtful] = _exact(block[:, doubtful], rule)
