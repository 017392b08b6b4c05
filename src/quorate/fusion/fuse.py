"""Fold replicas' vectors into one per token, whatever some of them send.

Theory of operation. A row (one replica's vector for one token) with a value that is not
finite is its sender's fault and is dropped: with d such rows the rule runs on the n - d
others against f - d liars, and with d > f the token has no quorum. Tokens are grouped by
d, so that each group is one call of the rule; where all is finite, which one cheap sum
shows, there is one group and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from quorate.core.errors import NoQuorum
from quorate.fusion.arrays import as_vectors, finite_rows, is_numpy, keys_of, namespace
from quorate.fusion.names import check_rule, checked_faults, find_rule

Array = Any
"""A NumPy array or a PyTorch tensor."""

Fold = Callable[..., Array]
"""From clean rows ``[n, B, E]`` and f to ``[B, E]``."""

_SHOWN = 8
"""Most replicas listed in one message."""


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """What a rule made of the replicas' vectors.

    Attributes:
        values: ``[..., E]``, of the input's kind, dtype and device; 0 where no quorum.
        quorum: bool ``[...]``: False where more than ``faults`` rows were not finite.
        dropped: int64 ``[n]``: rows of each replica dropped because a value was not finite.
        rule: name of the rule.
        n: replicas.
        faults: liars it was run against.
    """

    values: Array
    quorum: Array
    dropped: Array
    rule: str
    n: int
    faults: int

    def require_quorum(self) -> Fusion:
        """This fusion, if every token has a quorum.

        Raises:
            NoQuorum: some token has none; says how many, and whose rows were dropped.
        """
        xp = namespace(self.quorum)
        if not bool(xp.all(self.quorum)):
            tokens = int(np.prod(self.quorum.shape, dtype=np.int64))
            lost = tokens - int(xp.sum(xp.astype(self.quorum, xp.int64)))
            raise _no_quorum(lost, tokens, self.dropped, self.faults)
        return self


def _no_quorum(lost: int, tokens: int, dropped: Array, faults: int) -> NoQuorum:
    counts = [(row, int(rows)) for row, rows in enumerate(dropped) if int(rows)]
    named = ", ".join(f"{row} ({rows})" for row, rows in counts[:_SHOWN])
    more = f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else ""
    return NoQuorum(
        f"{lost} of {tokens} token{'' if tokens == 1 else 's'} had more than {faults} of "
        f"{dropped.shape[0]} rows with values that are not finite; replicas (rows dropped): "
        f"{named}{more}"
    )


def require_finite(finite: Array, faults: int) -> None:
    """Refuse where a token of ``finite [n, B]`` has more than ``faults`` broken rows.

    Raises:
        NoQuorum: as :meth:`Fusion.require_quorum`.
    """
    xp = namespace(finite)
    broken = xp.astype(~finite, xp.int64)
    lost = int(xp.sum(xp.astype(xp.sum(broken, axis=0) > faults, xp.int64)))
    if lost:
        raise _no_quorum(lost, finite.shape[1], xp.sum(broken, axis=1), faults)


def fuse(vectors: Array, rule: str = "median", faults: int | None = None) -> Fusion:
    """Fold n replicas' vectors into one per token.

    Args:
        vectors: ``[n, d]``, one vector of each replica, or ``[n, ..., E]``, one per token;
            a NumPy array, a PyTorch tensor, or lists (read as float64). The first axis counts
            replicas: tokens in its place would be taken for that many replicas.
        rule: name of the rule, such as ``"median"``, ``"krum"``, ``"nnm+trimmed_mean"``.
        faults: how many replicas may lie, f; ``(n - 1) // 3`` if ``None``.

    Raises:
        UsageTypeError: ``vectors`` holds no real numbers, or another argument's type is wrong.
        UsageError: a wrong shape, an unknown rule, or too few replicas for it and f.
    """
    array = as_vectors(vectors)
    f = check_rule(rule, int(array.shape[0]), faults)
    found = find_rule(rule)
    return folded(
        array,
        f,
        found.fold,
        found.name,
        at_once=found.at_once,
        # These keep all bits by themselves.
        zeros=not found.per_coordinate,
    )


def folded(
    vectors: Array,
    faults: int,
    fold: Fold,
    name: str,
    *,
    beside: Array | None = None,
    at_once: Callable[[Array, int], Array | None] | None = None,
    zeros: bool = True,
) -> Fusion:
    """Run ``fold`` on the finite rows of each token of ``vectors [n, ..., E]``.

    Args:
        vectors: floats, as :func:`quorate.fusion.arrays.as_vectors` gives them.
        faults: liars, f; the rule's precondition has been checked.
        fold: from clean rows ``[n, B, E]`` and f to ``[B, E]``.
        name: of the rule, for the result.
        beside: ``[..., E]``, handed to ``fold`` as a third argument, token by token.
        at_once: tries ``fold`` before looking for rows that are not finite; gives ``None``
            where there are some.
        zeros: see to it that n - f rows equal in every bit give back the signs of their zeros.
    """
    xp = namespace(vectors)
    count, length = int(vectors.shape[0]), int(vectors.shape[-1])
    shape = tuple(vectors.shape[1:-1])
    rows = xp.reshape(vectors, (count, -1, length))
    given = () if beside is None else (xp.reshape(beside, (-1, length)),)
    values = None if at_once is None else at_once(rows, faults)
    if values is None and all_finite(rows):
        values = fold(rows, faults, *given)
    if values is not None:
        values = _with_shared_zeros(values, rows, faults) if zeros else values
        quorum = xp.ones(rows.shape[1], dtype=xp.bool, device=rows.device)
        dropped = xp.zeros(count, dtype=xp.int64, device=rows.device)
    else:
        finite = finite_rows(rows)
        values = xp.zeros(rows.shape[1:], dtype=rows.dtype, device=rows.device)
        for group in groups(rows, finite, faults):
            some = (array[group.tokens] for array in given)
            made = fold(group.rows, group.faults, *some)
            if zeros:
                made = _with_shared_zeros(made, group.rows, group.faults)
            values[group.tokens] = made
        broken = xp.astype(~finite, xp.int64)
        quorum, dropped = xp.sum(broken, axis=0) <= faults, xp.sum(broken, axis=1)
    return Fusion(
        values=xp.reshape(values, (*shape, length)),
        quorum=xp.reshape(quorum, shape),
        dropped=dropped,
        rule=name,
        n=count,
        faults=faults,
    )


def _with_shared_zeros(values: Array, rows: Array, faults: int) -> Array:
    """``values [B, E]``; where they equal a row that n - f of ``rows`` share, in all its bits.

    ``-0.0`` equals ``0.0``, so a liar may copy the honest row but for the sign of a zero, and
    no distance tells which of the two was meant.
    """
    xp = namespace(values)
    (where,) = xp.nonzero(xp.any(values == 0, axis=-1))
    if not where.shape[0]:
        return values
    some, own = rows[:, where], values[where]
    bits = keys_of(some)
    count = int(rows.shape[0])
    # More than half as well: a rule that bears no liar may be asked about more of them.
    least = max(count - faults, count // 2 + 1)
    for row in range(min(faults, count - 1) + 1):
        alike = xp.sum(xp.astype(xp.all(bits == bits[row], axis=-1), xp.int64), axis=0) >= least
        alike = alike & xp.all(some[row] == own, axis=-1)
        own = xp.where(alike[:, None], some[row], own)
    if is_numpy(values):
        values[where] = own
        return values
    return values.index_copy(0, where, own)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Tokens that have the same number of broken rows.

    Attributes:
        tokens: their indices ``[b]``.
        places: replicas ``[n - d, b]`` whose rows are finite, in the order they came.
        rows: those rows, ``[n - d, b, E]``.
        faults: liars still possible among them, f - d.
    """

    tokens: Array
    places: Array
    rows: Array
    faults: int


def groups(rows: Array, finite: Array, faults: int) -> Iterator[Group]:
    """The tokens of ``rows [n, B, E]`` that have a quorum, by how many rows are broken."""
    xp = namespace(rows)
    broken = xp.astype(~finite, xp.uint8)
    counts = xp.sum(xp.astype(broken, xp.int64), axis=0)
    for missing in range(min(faults, rows.shape[0] - 1) + 1):
        (tokens,) = xp.nonzero(counts == missing)
        if tokens.shape[0]:
            places = xp.argsort(broken[:, tokens], axis=0, stable=True)
            places = places[: rows.shape[0] - missing]
            yield Group(tokens, places, rows[places, tokens[None, :]], faults - missing)


def all_finite(rows: Array) -> bool:
    """Whether every value is finite, at the price of one sum where it is.

    A sum is finite only if all its terms are. One that overflows says no too soon, so no
    is said only after a second look.
    """
    xp = namespace(rows)
    wide = xp.float32 if str(rows.dtype).endswith(("float16", "bfloat16")) else rows.dtype
    with np.errstate(over="ignore", invalid="ignore"):
        total = xp.sum(rows, dtype=wide)
    return bool(xp.isfinite(total)) or bool(xp.all(xp.isfinite(rows)))


def robust_aggregate(vectors: Array, rule: str = "median", faults: int | None = None) -> Array:
    """:func:`fuse`, as an array ``[..., E]``.

    Raises:
        NoQuorum: some token has more than ``faults`` rows that are not finite.
        UsageError: see :func:`fuse`.
    """
    return fuse(vectors, rule, faults).require_quorum().values


def robust_route(scores: Array, f: int | None = None, method: str = "median") -> Any:
    """The expert of greatest fused score; ties to the lowest index.

    Args:
        scores: ``[n, E]``, or ``[n, ..., E]`` for many tokens.
        f: how many replicas may lie; ``(n - 1) // 3`` if ``None``.
        method: name of the rule.

    Returns:
        An int for ``[n, E]``, else int64 indices ``[...]`` of the input's kind.

    Raises:
        NoQuorum: some token has more than ``f`` rows that are not finite.
        UsageError: see :func:`fuse`.
    """
    array = as_vectors(scores, name="scores")
    liars = checked_faults(int(array.shape[0]), f, "f")
    values = robust_aggregate(array, find_rule(method, argument="method").name, liars)
    xp = namespace(values)
    best = xp.astype(xp.argmax(values, axis=-1), xp.int64)
    return int(best) if values.ndim == 1 else best
