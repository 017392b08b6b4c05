"""Which compiled kernels this machine has for routing: the extra ``fast``, used where it is.

The kernels themselves are in ``kernels`` and ``kernels_logits``, which import numba and are
themselves imported only here, when there is enough to do that compiling pays: the first call
takes seconds, once per machine, and a median one second per number of replicas and process.

They give what the plain rules give, on NumPy arrays: every vote, count, expert, consensus,
support, dissent and dropped row exactly; weights to 10^-6 and deviations to 10^-9 of their
value, since exponentials and sums are rounded in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from typing import Any, Final

import numpy as np

LEAST_VOTES: Final = 1 << 18
"""Fewer votes than this are counted sooner than a kernel is loaded."""

LEAST_LOGITS: Final = 1 << 16
"""The same for logits."""

MAX_REPLICAS: Final = 16
"""Most replicas that a median is compiled for; beyond it compiling takes too long."""

MEDIAN: Final = "median"
VOTE: Final = "vote"
_FEWEST: Final = 2


@cache
def _loaded(name: str) -> Any:
    """A module of kernels, or ``None`` where numba is missing or does not fit this NumPy."""
    try:
        import_module("numba")
    except ImportError:
        return None
    return import_module(f"quorate.routing.{name}")


def kernels() -> Any:
    """The kernels for votes, or ``None`` without numba."""
    return _loaded("kernels")


def kernels_logits() -> Any:
    """The kernels for logits, or ``None`` without numba."""
    return _loaded("kernels_logits")


def vote_counter(votes: int) -> Callable[..., None] | None:
    """What counts a block of ``quorate.routing.rules_batch`` in one pass, if worth it."""
    if votes < LEAST_VOTES or kernels() is None:
        return None
    return _count_block


def _count_block(codes: Any, at: int, limit: int, network: Any, span: slice, to: Any) -> None:
    kernels().count_votes(
        codes,
        at,
        _bound_of(codes, limit),
        _as_array(network),
        np.uint8(to.quorum),
        (to.expert[span], to.count[span], to.consensus[span]),
        (to.dissent, to.void),
    )


def _bound_of(codes: Any, limit: int) -> Any:
    """The greatest valid code, in the codes' own type: ``limit`` may lie just beyond it."""
    return codes.dtype.type(limit - 1)


@cache
def _as_array(network: tuple[tuple[int, int], ...]) -> Any:
    return np.array(network, dtype=np.int64).reshape(-1, 2)


def logit_kernels(logits: Any) -> Any:
    """The kernels for ``logits [N, T, E]``, or ``None`` where there are none or not worth it."""
    fits = isinstance(logits, np.ndarray) and logits.dtype == np.float32
    if not fits or logits.size < LEAST_LOGITS:
        return None
    return kernels_logits()


def best_of(scores: Any, k: int) -> Any:
    """``quorate.routing.rules_gate.best_of`` for float32 ``[b, E]`` of NumPy."""
    best = np.empty((len(scores), k), dtype=np.int64)
    values = np.empty((len(scores), k), dtype=np.float32)
    kernels_logits().best_of(np.ascontiguousarray(scores), len(scores), best, values)
    return best


def supporters(block: Any, chosen: Any) -> Any:
    """``quorate.routing.rules_logits.supporters`` for float32 of NumPy."""
    agree = np.empty(block.shape[:2], dtype=np.bool_)
    whole = np.ascontiguousarray(block)
    kernels_logits().choosers(whole, 0, block.shape[1], np.ascontiguousarray(chosen), agree)
    return agree


def fused_router(
    logits: Any, rule: str, quorum: int, k: int, length: int
) -> Callable[[Callable[[int, int], Any]], tuple[Any, ...]] | None:
    """What routes float32 ``logits [N, T, E]`` in one pass, in pieces of ``length`` tokens.

    It is called with what decides pieces that hold a value that is not finite, and gives
    the summary of ``quorate.routing.rules_logits``. ``None`` if there is no kernel for the
    rule, for so many replicas, or for the order that the logits stand in.
    """
    if not _FEWEST <= logits.shape[0] <= MAX_REPLICAS or not logits.flags.c_contiguous:
        return None
    kernel = {MEDIAN: _median_piece, VOTE: _vote_piece}.get(rule)
    return None if kernel is None else partial(_route, kernel, logits, quorum, k, length)


def _route(
    kernel: Callable[..., Callable[[int, int], int]],
    logits: Any,
    quorum: int,
    k: int,
    length: int,
    plain: Callable[[int, int], Any],
) -> tuple[Any, ...]:
    replicas, tokens = logits.shape[:2]
    chosen, weights = np.empty((tokens, k), dtype=np.int64), np.empty((tokens, k), np.float32)
    consensus, support = np.empty(tokens, dtype=np.bool_), np.empty(tokens, dtype=np.int64)
    squares = np.zeros(replicas, dtype=np.float64)
    terms, dissent, dropped = np.zeros((3, replicas), dtype=np.int64)
    outcome, sums = (chosen, weights, consensus), (support, dissent, squares)
    decide = kernel(logits, quorum, k, length, outcome, sums)
    for first in range(0, tokens, length):
        count = min(length, tokens - first)
        added = decide(first, count)
        if added >= 0:
            terms += added
            continue
        part = plain(first, count)
        for whole, some in zip((*outcome, support), part[:4], strict=True):
            whole[first : first + count] = some
        for total, more in zip((squares, terms, dissent, dropped), part[4:], strict=True):
            np.add(total, more, out=total)
    return (chosen, weights, consensus, support, squares, terms, dissent, dropped)


def _room(replicas: int, length: int, k: int) -> tuple[Any, Any, Any]:
    """Experts, their logits, and who agrees, for one piece."""
    best, values = np.empty((length, k), dtype=np.int64), np.empty((length, k), np.float32)
    return best, values, np.empty((replicas, length), dtype=np.bool_)


def _median_piece(
    logits: Any, quorum: int, k: int, length: int, outcome: Any, sums: Any
) -> Callable[[int, int], int]:
    """Decides a piece and gives the terms of a deviation; -1 where a value is not finite."""
    replicas, _, experts = logits.shape
    rows, found = logits.reshape(replicas, -1), kernels_logits()
    median, piece = found.median_of(replicas), _room(replicas, length, k)
    fused = np.empty((length, experts), dtype=np.float32)
    flat = fused.reshape(-1)

    def decide(first: int, count: int) -> int:
        if not median(rows, first * experts, (first + count) * experts, flat):
            return -1
        found.finish(logits, (first, count), quorum, fused, piece, outcome, sums)
        return int(count * experts)

    return decide


def _vote_piece(
    logits: Any, quorum: int, k: int, length: int, outcome: Any, sums: Any
) -> Callable[[int, int], int]:
    """The same for votes."""
    bits, kernel = logits.view(np.int32), kernels_logits().vote
    piece, spare = _room(logits.shape[0], length, k), _room(logits.shape[0], length, k)
    consensus = outcome[2]

    def decide(first: int, count: int) -> int:
        if not kernel(logits, bits, (first, count), quorum, piece, spare, outcome, sums):
            return -1
        return k * int(np.count_nonzero(consensus[first : first + count]))

    return decide
