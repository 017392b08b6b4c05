"""Logits of many tokens at once: which k experts the replicas agree on, and with what weights.

Theory of operation. Under rule ``"vote"`` each replica's own k best experts are its vote, and
the set that a quorum votes for is chosen; the weights come from the coordinate-wise median
of its supporters' logits. That median keeps the set: each supporter ranks each expert of it
above all others, and a median keeps what holds in every row.

Under any other rule the logits are fused first, token by token, and the k best experts of
the result are chosen. They are dispatched only if a quorum of replicas would choose the same
set by itself, so that a wrong fusion can refuse but not misroute.

Whether a replica's own k best are a given set S takes no sorting: they are exactly if no
expert outside S ranks above the least of S, that is, if k experts rank no lower than it.
A replica whose row for a token is not wholly finite supports nothing there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from quorate.core.errors import UsageError
from quorate.core.quorum import Quorum
from quorate.fusion.arrays import as_vectors, finite_rows, is_numpy, namespace, whole
from quorate.fusion.fuse import fuse
from quorate.fusion.names import check_rule, find_rule
from quorate.routing.compiled import best_of as best_of_compiled
from quorate.routing.compiled import fused_router, logit_kernels
from quorate.routing.compiled import supporters as supporters_compiled
from quorate.routing.rules_batch import MAX_REPLICAS
from quorate.routing.rules_gate import best_of, checked_k

Array = Any
"""A NumPy array or a PyTorch tensor."""

Summary = tuple[Array, ...]
"""experts, weights, consensus, support of tokens; squares, terms, dissent, dropped of replicas."""

VOTE: Final = "vote"
"""The rule that counts sets of experts instead of fusing logits."""

_AXES: Final = 3
_LANES: Final = 64
_BLOCK_BYTES: Final = 1 << 19
_DEVICE_BLOCK_BYTES: Final = 1 << 28
"""Of logits read at once: in a cache, or where starting work costs more than memory."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchGating:
    """Which experts N replicas agreed on for each of T tokens, and how much each counts.

    Arrays are of the kind, and on the device, of the logits.

    Attributes:
        experts: int64 [T, k]; best first; -1 where there is no consensus.
        weights: [T, k], of the logits' type; the softmax over the chosen, 0 where none.
        consensus: bool [T].
        support: int64 [T]; replicas whose own k best are the chosen set, agreed or not. Under
            ``"vote"`` the most that any one set has. 0 where fusion had no quorum.
        deviation: float64 [N]; root mean square of logit minus fused logit, in logits, over
            the replica's finite rows of tokens that have a fused logit; inf where none is.
            Under ``"vote"`` over the chosen experts of tokens with consensus.
        dissent: int64 [N]; tokens with consensus that the replica does not support.
        dropped: int64 [N]; rows of the replica that are not wholly finite.
        rule: name of the rule.
        quorum: replicas that must support a set.
        faults: how many replicas may lie.
    """

    experts: Array
    weights: Array
    consensus: Array
    support: Array
    deviation: Array
    dissent: Array
    dropped: Array
    rule: str
    quorum: int
    faults: int


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What came of one block of b tokens.

    Attributes:
        experts: int64 [b, k], whether or not they are agreed on.
        weights: [b, k], likewise.
        consensus: bool [b].
        support: int64 [b].
        agree: bool [N, b]; whether the replica's own set is the chosen one.
        finite: bool [N, b].
        squares: float64 [N]; squared deviations, added up.
        terms: int64 [N]; how many.
    """

    experts: Array
    weights: Array
    consensus: Array
    support: Array
    agree: Array
    finite: Array
    squares: Array
    terms: Array


@dataclass(frozen=True, slots=True)
class Tools:
    """How to find what the rules ask for; every way gives the same.

    Attributes:
        best_of: see :func:`quorate.routing.rules_gate.best_of`.
        supporters: see :func:`supporters`.
    """

    best_of: Callable[[Array, int], Array]
    supporters: Callable[[Array, Array], Array]


def route_logits(
    logits: Array, *, rule: str = "median", faults: int | None = None, k: int = 1
) -> BatchGating:
    """Choose k experts for every token, as a quorum of replicas would.

    With at most ``faults`` liars, a token's experts are the own k best of a strict majority
    of the honest replicas; where the honest agree on a set, no other is ever given. Weights
    under ``"vote"`` lie within the honest supporters' range as long as the liars among the
    supporters are fewer than half, which a quorum implies. Ties go to the lowest index.

    Args:
        logits: floats [N, T, E]: a NumPy array, a PyTorch tensor on any device, or lists. N is
            1 to 64.
        rule: ``"vote"``, or a rule of :func:`quorate.fusion.fuse`.
        faults: how many replicas may lie, any whole number; ``(N - 1) // 3`` if ``None``.
        k: experts per token, 1 to E.

    Raises:
        UsageTypeError: no real numbers, or another argument of a wrong type.
        UsageError: not three axes, an empty one, too many replicas, an unknown rule, ``k`` or
            ``faults`` out of range, or too few replicas for the rule.
    """
    array = as_vectors(logits, name="logits")
    shape = tuple(int(length) for length in array.shape)
    if len(shape) != _AXES:
        raise UsageError(f"logits has shape {shape}; give [replicas, tokens, experts]")
    replicas, tokens, experts = shape
    if replicas > MAX_REPLICAS:
        raise UsageError(
            f"logits has shape {shape}, which is {replicas} replicas; give 1 to {MAX_REPLICAS}: "
            "[replicas, tokens, experts]"
        )
    k = checked_k(k, experts)
    faults = None if faults is None else whole(faults, "faults")
    if rule != VOTE:
        rule = find_rule(rule, also=(VOTE,)).name
        faults = check_rule(rule, replicas, faults)
    quorum = Quorum(replicas, faults)
    length = _block_length(array)
    compiled = logit_kernels(array) is not None
    tools = Tools(best_of_compiled, supporters_compiled) if compiled else PLAIN

    def decide(first: int, count: int) -> Summary:
        block = array[:, first : first + count]
        if rule == VOTE:
            return _summary(by_vote(block, quorum.size, k, tools))
        return _summary(by_fusion(block, rule, quorum, k, tools))

    router = fused_router(array, rule, quorum.size, k, length) if compiled else None
    if router is not None:
        return _gating(router(decide), rule, quorum)
    starts = range(0, tokens, length)
    parts = [decide(start, min(length, tokens - start)) for start in starts]
    return _gating(_joined(parts), rule, quorum)


def _block_length(array: Array) -> int:
    """Tokens per block: at least one, and whole vectors of them for the kernels."""
    replicas, tokens, experts = (int(length) for length in array.shape)
    near = is_numpy(array) or str(array.device) == "cpu"
    size = _BLOCK_BYTES if near else _DEVICE_BLOCK_BYTES
    length = size // (replicas * experts * int(array.dtype.itemsize))
    return min(tokens, max(_LANES, length // _LANES * _LANES))


def by_fusion(block: Array, rule: str, quorum: Quorum, k: int, tools: Tools) -> Block:
    """Choose the k best of the fused logits of ``block [N, b, E]``."""
    xp = namespace(block)
    finite = finite_rows(block)
    fusion = fuse(block, rule, quorum.faults)
    chosen = tools.best_of(fusion.values, k)
    agree = tools.supporters(block, chosen) & finite & fusion.quorum
    support = xp.sum(xp.astype(agree, xp.int64), axis=0)
    squares, terms = _squares(block, fusion.values, finite & fusion.quorum)
    return Block(
        experts=chosen,
        weights=_weights(xp.take_along_axis(fusion.values, chosen, axis=-1)),
        consensus=support >= quorum.size,
        support=support,
        agree=agree,
        finite=finite,
        squares=squares,
        terms=terms,
    )


def by_vote(block: Array, size: int, k: int, tools: Tools) -> Block:
    """Choose the set of k experts that ``size`` replicas have as their own k best."""
    xp = namespace(block)
    finite = finite_rows(block)
    chosen, agree = _leading(block, finite, size, k, tools)
    support = xp.sum(xp.astype(agree, xp.int64), axis=0)
    consensus = support >= size
    chosen = xp.sort(chosen, axis=-1)
    values = _rows_at(block, chosen)
    middle = _median_where(values, agree, support)
    squares, terms = _squares(values, middle, finite & consensus)
    order = xp.argsort(middle, axis=-1, descending=True, stable=True)
    return Block(
        experts=xp.take_along_axis(chosen, order, axis=-1),
        weights=_weights(xp.take_along_axis(middle, order, axis=-1)),
        consensus=consensus,
        support=support,
        agree=agree,
        finite=finite,
        squares=squares,
        terms=terms,
    )


def supporters(block: Array, chosen: Array) -> Array:
    """Whose own k best are the chosen: bool ``[N, b]`` of logits ``[N, b, E]``.

    Args:
        block: rows that are not finite may give either answer.
        chosen: int64 ``[b, k]``, each row's experts distinct, in any order.
    """
    xp = namespace(block)
    own = _rows_at(block, chosen)
    least = xp.min(own, axis=-1, keepdims=True)
    # Of equals the one of the highest index ranks lowest.
    last = xp.max(xp.where(own == least, chosen, -1), axis=-1, keepdims=True)
    if not is_numpy(block):
        return _ranked_at_least(block, least, last) == chosen.shape[-1]
    counts = np.count_nonzero(block >= least, axis=-1)
    agree = counts == chosen.shape[-1]
    doubtful = np.nonzero(counts > chosen.shape[-1])
    if doubtful[0].size:
        exact = _ranked_at_least(block[doubtful], least[doubtful], last[doubtful])
        agree[doubtful] = exact == chosen.shape[-1]
    return agree


def _ranked_at_least(rows: Array, least: Array, last: Array) -> Array:
    """How many experts of each row rank no lower than expert ``last``, whose logit is given."""
    xp = namespace(rows)
    everyone = xp.arange(rows.shape[-1], device=rows.device)
    reached = (rows > least) | ((rows == least) & (everyone <= last))
    return xp.sum(xp.astype(reached, xp.int64), axis=-1)


PLAIN: Final = Tools(best_of, supporters)


def _rows_at(block: Array, chosen: Array) -> Array:
    """The logits of the chosen experts: ``[N, b, k]``."""
    xp = namespace(block)
    at = xp.broadcast_to(chosen, (block.shape[0], *chosen.shape))
    return xp.take_along_axis(block, at, axis=-1)


def _leading(block: Array, finite: Array, size: int, k: int, tools: Tools) -> tuple[Array, Array]:
    """The set that most replicas have as their own: (int64 [b, k], bool [N, b] of whom).

    Each replica's set is a candidate in turn, for the tokens that have no quorum yet; where
    the replicas agree, the first one settles it.
    """
    xp = namespace(block)
    replicas, tokens = finite.shape
    chosen = xp.zeros((tokens, k), dtype=xp.int64, device=block.device)
    chosen += xp.arange(k, device=block.device)
    agree = xp.zeros((replicas, tokens), dtype=xp.bool, device=block.device)
    most = xp.zeros(tokens, dtype=xp.int64, device=block.device)
    for replica in range(replicas):
        (open_,) = xp.nonzero(finite[replica] & (most < size))
        if not open_.shape[0]:
            continue
        candidate = tools.best_of(block[replica][open_], k)
        with_it = tools.supporters(block[:, open_], candidate) & finite[:, open_]
        count = xp.sum(xp.astype(with_it, xp.int64), axis=0)
        better = count > most[open_]
        ahead = open_[better]
        chosen[ahead] = candidate[better]
        agree[:, ahead] = with_it[:, better]
        most[ahead] = count[better]
    return chosen, agree


def _median_where(values: Array, among: Array, count: Array) -> Array:
    """Median of ``values [N, b, k]`` over the ``count [b]`` replicas that ``among`` marks."""
    xp = namespace(values)
    ranked = xp.sort(xp.where(among[..., None], values, xp.inf), axis=0)
    count = xp.clip(count, min=1)
    shape = (1, *values.shape[1:])
    low = xp.take_along_axis(ranked, xp.broadcast_to(((count - 1) // 2)[:, None], shape), axis=0)
    high = xp.take_along_axis(ranked, xp.broadcast_to((count // 2)[:, None], shape), axis=0)
    middle = xp.where(low == high, low, low / 2 + high / 2)[0]
    return xp.where(xp.isfinite(middle), middle, 0.0)


def _weights(values: Array) -> Array:
    """Softmax over values ``[b, k]`` that stand in descending order."""
    xp = namespace(values)
    wide = xp.float64 if values.dtype == xp.float64 else xp.float32
    # Beyond the greatest float the difference is -inf, whose share is 0.
    with np.errstate(over="ignore"):
        masses = xp.exp(xp.astype(values - values[:, :1], wide))
    return xp.astype(masses / xp.sum(masses, axis=-1, keepdims=True), values.dtype)


def _squares(block: Array, fused: Array, rows: Array) -> tuple[Array, Array]:
    """Sums over the marked rows of squared differences, and how many: ([N], [N])."""
    xp = namespace(block)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = xp.astype(block, xp.float64) - xp.astype(fused, xp.float64)
        sums = (apart * apart).sum(-1) if not is_numpy(block) else np.vecdot(apart, apart)
    kept = xp.where(rows, sums, 0.0)
    terms = xp.sum(xp.astype(rows, xp.int64), axis=1) * fused.shape[-1]
    return xp.sum(kept, axis=1), terms


def _summary(block: Block) -> Summary:
    """What is kept of a block."""
    xp = namespace(block.weights)
    agreed = block.consensus[:, None]
    return (
        xp.where(agreed, block.experts, -1),
        xp.where(agreed, block.weights, 0.0),
        block.consensus,
        block.support,
        block.squares,
        block.terms,
        xp.sum(xp.astype(block.consensus & ~block.agree, xp.int64), axis=1),
        xp.sum(xp.astype(~block.finite, xp.int64), axis=1),
    )


def _joined(parts: list[Summary]) -> Summary:
    """One summary of all blocks, in their order."""
    if len(parts) == 1:
        return parts[0]
    xp = namespace(parts[0][0])
    experts, weights, consensus, support, *sums = zip(*parts, strict=True)
    squares, terms, dissent, dropped = (xp.sum(xp.stack(each), axis=0) for each in sums)
    return (
        *(xp.concat(experts), xp.concat(weights), xp.concat(consensus), xp.concat(support)),
        *(squares, terms, dissent, dropped),
    )


def _gating(summary: Summary, rule: str, quorum: Quorum) -> BatchGating:
    experts, weights, consensus, support, squares, terms, dissent, dropped = summary
    xp = namespace(squares)
    mean = squares / xp.clip(xp.astype(terms, xp.float64), min=1.0)
    return BatchGating(
        experts=experts,
        weights=weights,
        consensus=consensus,
        support=support,
        deviation=xp.where(terms > 0, xp.sqrt(mean), xp.inf),
        dissent=dissent,
        dropped=dropped,
        rule=rule,
        quorum=quorum.size,
        faults=quorum.faults,
    )
