"""Compiled kernels for routing by logits; needs numba (extra ``fast``).

Theory of operation. Tokens go through in pieces that stay in the second-level cache. The
median of a piece is one loop over its columns, written as text from a selection network, so
that a column's values stay in registers; it also notices whether all of them are finite.
Then the k best of each token are found without branches that depend on the logits, and the
replicas that would choose the same are counted without sorting theirs.

Loops index whole arrays by counters that start at 0: slices inside a loop would be counted
references, and counters of unknown sign would be looked at in every step; both cost more
than the work itself. Tokens with a value that is not finite are left to the plain rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit

from quorate.fusion.rules.networks import middle
from quorate.routing.kernels import compiled

_LANES = 64
_STRIDE = 16
_EXPONENT = 0x7F800000


@cache
def median_of(replicas: int) -> Callable[..., bool]:
    """A kernel for the columns ``lo`` to ``hi`` of ``rows [replicas, any]``, to ``fused``.

    It returns whether all values were finite. Compiling takes about a second, once per
    process.
    """
    program = middle(replicas).program()
    lines = [f"r{i} = rows[{i}, lo:hi]" for i in range(replicas)]
    body = [f"v{i} = r{i}[c]" for i in range(replicas)]
    body += [f"broken |= wide(abs(v{i}) <= most) ^ one" for i in range(replicas)]
    body += [
        f"v{into} = v{a} if v{a} {'>' if greater else '<'} v{b} else v{b}"
        for greater, a, b, into in program.steps
    ]
    low, high = program.outputs[0], program.outputs[-1]
    body.append(f"fused[c] = v{low} if v{low} == v{high} else v{low} * half + v{high} * half")
    text = "\n    ".join(
        [
            "def kernel(rows, lo, hi, fused):",
            *("broken = wide(0)", *lines, "for c in range(hi - lo):"),
            *("    " + line for line in body),
            "return broken == 0",
        ]
    )
    names: dict[str, Any] = {
        "wide": np.int32,
        "one": np.int32(1),
        "half": np.float32(0.5),
        "most": np.finfo(np.float32).max,
    }
    # The text is made of numbers alone.
    exec(text, names)  # noqa: S102 - see above
    return njit(nogil=True)(names["kernel"])  # type: ignore[no-any-return]


@compiled()
def _turned(row: Any, first: int, count: int, column: int, columns: Any) -> None:
    """Turn a square of logits round: tokens become lanes; past the end, the last token again."""
    for lane in range(_LANES):
        t = min(first + lane, count - 1)
        for e in range(min(_STRIDE, row.shape[1] - column)):
            columns[e, lane] = row[t, column + e]


@compiled()
def _enter(columns: Any, e: int, expert: Any, tops: Any, ats: Any, carry: Any, moved: Any) -> None:
    """Let an expert of all lanes find its place among those kept, and the others move down."""
    for lane in range(_LANES):
        carry[lane] = columns[e, lane]
        moved[lane] = expert
    for j in range(tops.shape[0]):
        for lane in range(_LANES):
            ahead = columns[e, lane] > tops[j, lane]
            top, at = tops[j, lane], ats[j, lane]
            new, of = carry[lane], moved[lane]
            tops[j, lane] = new if ahead else top
            ats[j, lane] = of if ahead else at
            carry[lane] = top if ahead else new
            moved[lane] = at if ahead else of


@compiled()
def best_of(row: Any, count: int, best: Any, values: Any) -> None:
    """The greatest of the first ``count`` rows ``[any, E]``, ties to the lowest index.

    Tokens go side by side in the lanes of vectors. Nothing branches on how a comparison
    comes out, which on logits is a coin's toss.

    Args:
        row: float32, finite.
        count: see above.
        best: int64 [any, k], written: greatest first.
        values: float32 [any, k], written: theirs.
    """
    k = best.shape[1]
    columns = np.empty((_STRIDE, _LANES), dtype=np.float32)
    tops = np.empty((k, _LANES), dtype=np.float32)
    ats = np.empty((k, _LANES), dtype=np.int32)
    carry = np.empty(_LANES, dtype=np.float32)
    ats[:] = 0
    moved = np.empty(_LANES, dtype=np.int32)
    for first in range(0, count, _LANES):
        tops[:] = -np.float32(np.inf)
        for column in range(0, row.shape[1], _STRIDE):
            _turned(row, first, count, column, columns)
            for e in range(min(_STRIDE, row.shape[1] - column)):
                _enter(columns, e, np.int32(column + e), tops, ats, carry, moved)
        for lane in range(min(_LANES, count - first)):
            for j in range(k):
                best[first + lane, j] = ats[j, lane]
                values[first + lane, j] = tops[j, lane]


@compiled()
def _tied(logits: Any, i: int, token: int, best: Any, t: int, least: Any, above: Any) -> bool:
    """Whether, of those equal to the least of ``best``, the first ones are in ``best``."""
    last = 0
    for j in range(best.shape[1]):
        if logits[i, token, best[t, j]] == least:
            last = max(last, best[t, j])
    for e in range(last + 1):
        above += logits[i, token, e] == least
    return bool(above == best.shape[1])


@compiled()
def choosers(logits: Any, first: int, count: int, best: Any, agree: Any) -> None:
    """Whether the replicas' own greatest are ``best``, for tokens ``first`` and following.

    Args:
        logits: float32 [N, T, E].
        first: see above.
        count: how many tokens.
        best: int64 [any, k], any order.
        agree: bool [N, any], written.
    """
    k, length = best.shape[1], logits.shape[2]
    for i in range(logits.shape[0]):
        for t in range(count):
            least = logits[i, first + t, best[t, 0]]
            for j in range(1, k):
                value = logits[i, first + t, best[t, j]]
                least = min(least, value)
            reached = np.int32(0)
            if length == _STRIDE // 2:  # a number known in advance needs no loop at all
                for e in range(_STRIDE // 2):
                    reached = np.int32(reached + np.int32(logits[i, first + t, e] >= least))
            else:
                for e in range(length):
                    reached = np.int32(reached + np.int32(logits[i, first + t, e] >= least))
            if reached > k:
                above = np.int32(0)
                for e in range(length):
                    above = np.int32(above + np.int32(logits[i, first + t, e] > least))
                if above < k:
                    reached = k if _tied(logits, i, first + t, best, t, least, above) else reached
            agree[i, t] = reached == k


@compiled(fastmath={"reassoc", "contract"})
def _square(row: Any, fused: Any) -> float:
    total = 0.0
    for e in range(row.shape[0]):
        apart = np.float64(row[e]) - np.float64(fused[e])
        total += apart * apart
    return total


@compiled()
def _tally(first: int, count: int, quorum: int, agree: Any, consensus: Any, sums: Any) -> None:
    """Count who agrees, by replica and by token: the loops run over tokens."""
    support = sums[0]
    for t in range(count):
        support[first + t] = 0
    for i in range(agree.shape[0]):
        for t in range(count):
            support[first + t] += agree[i, t]
    decided = 0
    for t in range(count):
        consensus[first + t] = support[first + t] >= quorum
        decided += consensus[first + t]
    for i in range(agree.shape[0]):
        same = 0
        for t in range(count):
            same += agree[i, t] & consensus[first + t]
        sums[1][i] += decided - same


@compiled()
def settle(
    first: int,
    count: int,
    quorum: int,
    piece: Any,
    experts: Any,
    weights: Any,
    consensus: Any,
    sums: Any,
) -> None:
    """Write what came of a piece.

    Args:
        first: its first token.
        count: how many.
        quorum: replicas that must agree.
        piece: int64 [any, k], the best; float32 [any, k], theirs, greatest first;
            bool [N, any], who agrees.
        experts: int64 [T, k], written.
        weights: float32 [T, k], written.
        consensus: bool [T], written.
        sums: int64 [T], support, written; int64 [N], dissent, added to.
    """
    best, values, agree = piece
    _tally(first, count, quorum, agree, consensus, sums)
    masses = np.empty(best.shape[1], dtype=np.float64)
    for t in range(count):
        if consensus[first + t]:
            masses[0] = total = 1.0
            for j in range(1, best.shape[1]):
                masses[j] = math.exp(np.float64(values[t, j] - values[t, 0]))
                total += masses[j]
            for j in range(best.shape[1]):
                weights[first + t, j] = masses[j] / total
                experts[first + t, j] = best[t, j]
        else:
            for j in range(best.shape[1]):
                weights[first + t, j] = 0.0
                experts[first + t, j] = -1


@compiled()
def finish(
    logits: Any, span: Any, quorum: int, fused: Any, piece: Any, outcome: Any, sums: Any
) -> None:
    """Route the tokens ``span``, first and how many, by their fused logits.

    Args:
        logits: float32 [N, T, E].
        span: see above.
        quorum: replicas that must agree.
        fused: float32 [any, E].
        piece: room for what :func:`settle` reads.
        outcome: experts, weights and consensus, see :func:`settle`.
        sums: support and dissent, see :func:`settle`; float64 [N], squares, added to.
    """
    first, count = span
    replicas, length = logits.shape[0], logits.shape[2]
    rows = logits.reshape(replicas, -1)
    lo, hi = first * length, (first + count) * length
    for i in range(replicas):
        sums[2][i] += _square(rows[i, lo:hi], fused.reshape(-1)[: hi - lo])
    best, values, agree = piece
    best_of(fused, count, best, values)
    choosers(logits, first, count, best, agree)
    experts, weights, consensus = outcome
    settle(first, count, quorum, piece, experts, weights, consensus, (sums[0], sums[1]))


@compiled()
def _finite(bits: Any) -> bool:
    """Whether all floats whose bits these are are finite; no early end, so it is vectors."""
    broken = np.int32(0)
    for c in range(bits.shape[0]):
        broken |= np.int32((bits[c] & np.int32(_EXPONENT)) == np.int32(_EXPONENT))
    return bool(broken == 0)


@compiled()
def _keep_better(count: int, quorum: int, best: Any, agree: Any, other: Any, room: Any) -> int:
    """Take the other set where more replicas have it; the tokens still without a quorum."""
    open_ = 0
    for t in range(count):
        votes, had = 0, 0
        for i in range(agree.shape[0]):
            votes += room[i, t]
            had += agree[i, t]
        if votes > had and had < quorum:
            for i in range(agree.shape[0]):
                agree[i, t] = room[i, t]
            for j in range(best.shape[1]):
                best[t, j] = other[t, j]
            had = votes
        open_ += had < quorum
    return open_


@compiled()
def _in_order(count: int, best: Any) -> None:
    """Put each token's experts in the order of their indices."""
    for t in range(count):
        for j in range(1, best.shape[1]):
            expert, place = best[t, j], j
            while place > 0 and best[t, place - 1] > expert:
                best[t, place] = best[t, place - 1]
                place -= 1
            best[t, place] = expert


@compiled()
def _gather(logits: Any, start: int, at: int, size: int, j: int, piece: Any, lanes: Any) -> None:
    """One chosen expert's logits of ``size`` tokens; infinite in ``ranked`` if not in favour."""
    best, _, agree = piece
    rows, ranked, _ = lanes
    for i in range(rows.shape[0]):
        for lane in range(size):
            value = logits[i, start + lane, best[at + lane, j]]
            rows[i, lane] = value
            ranked[i, lane] = value if agree[i, at + lane] else np.float32(np.inf)


@compiled()
def _exchange(ranked: Any, low: int, high: int) -> None:
    for lane in range(_LANES):
        a, b = ranked[low, lane], ranked[high, lane]
        ranked[low, lane] = min(a, b)
        ranked[high, lane] = max(a, b)


@compiled()
def _halfway(ranked: Any, backers: Any, middles: Any) -> None:
    """The median of the first ``backers`` of each lane, which stands in order."""
    half = np.float32(0.5)
    for lane in range(_LANES):
        low = ranked[max(0, backers[lane] - 1) // 2, lane]
        high = ranked[backers[lane] // 2, lane]
        middles[lane] = low if low == high else low * half + high * half


@compiled()
def _by_value(count: int, best: Any, values: Any) -> None:
    """Put each token's experts in the order of their values, equals as they stand."""
    for t in range(count):
        for j in range(1, best.shape[1]):
            value, expert, place = values[t, j], best[t, j], j
            while place > 0 and values[t, place - 1] < value:
                values[t, place], best[t, place] = values[t, place - 1], best[t, place - 1]
                place -= 1
            values[t, place], best[t, place] = value, expert


@compiled()
def _middles(logits: Any, first: int, count: int, quorum: int, piece: Any, squares: Any) -> None:
    """Find the medians over the supporters, and put the experts in their order."""
    best, values, agree = piece
    k, replicas = best.shape[1], agree.shape[0]
    rows, ranked = np.zeros((2, replicas, _LANES), dtype=np.float32)
    backers, middles = np.zeros(_LANES, dtype=np.int64), np.empty(_LANES, dtype=np.float32)
    _in_order(count, best)
    for at in range(0, count, _LANES):
        size = min(_LANES, count - at)
        backers[:] = 0
        for i in range(replicas):
            for lane in range(size):
                backers[lane] += agree[i, at + lane]
        for j in range(k):
            _gather(logits, first + at, at, size, j, piece, (rows, ranked, middles))
            for last in range(replicas - 1, 0, -1):
                for i in range(last):
                    _exchange(ranked, i, i + 1)
            _halfway(ranked, backers, middles)
            for lane in range(size):
                values[at + lane, j] = middles[lane]
            for i in range(replicas):
                total = 0.0
                for lane in range(size):
                    apart = np.float64(rows[i, lane]) - np.float64(middles[lane])
                    total += apart * apart if backers[lane] >= quorum else 0.0
                squares[i] += total
    _by_value(count, best, values)


@compiled()
def vote(
    logits: Any, bits: Any, span: Any, quorum: int, piece: Any, spare: Any, outcome: Any, sums: Any
) -> bool:
    """Rule ``"vote"`` for the tokens ``span``, first and how many.

    Args:
        logits: float32 [N, T, E].
        bits: the same as int32.
        span: see above.
        quorum: replicas that must have the same set.
        piece: room, see :func:`settle`.
        spare: as much room again.
        outcome: see :func:`finish`.
        sums: see :func:`finish`; ``squares`` of the chosen experts of agreed tokens.

    Returns:
        Whether all values were finite; where not, nothing was written.
    """
    first, count = span
    replicas = logits.shape[0]
    for i in range(replicas):
        if not _finite(bits[i, first : first + count].reshape(-1)):
            return False
    best, values, agree = piece
    other, masses, room = spare
    best_of(logits[0, first : first + count], count, best, values)
    choosers(logits, first, count, best, agree)
    candidate = 1
    # A set that a quorum has is the own set of one of the first few, most often of the first.
    open_ = _keep_better(count, quorum, best, agree, best, agree)
    while open_ > 0 and candidate < replicas:
        best_of(logits[candidate, first : first + count], count, other, masses)
        choosers(logits, first, count, other, room)
        open_ = _keep_better(count, quorum, best, agree, other, room)
        candidate += 1
    _middles(logits, first, count, quorum, piece, sums[2])
    experts, weights, consensus = outcome
    settle(first, count, quorum, piece, experts, weights, consensus, (sums[0], sums[1]))
    return True
