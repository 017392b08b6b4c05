"""Votes of many tokens at once: who gets a quorum, token by token, without a loop over them.

Theory of operation. A quorum is always more than half of the replicas, so whoever has one
stands in the middle of the votes put in order, whatever the order is. Each block of tokens
is therefore sorted along the replicas by a network of minima and maxima, the middle vote is
compared with every vote, and the equals are counted. Where they are no quorum, the leading
count is the longest run of one valid vote in the sorted block.

A void vote (negative, or no expert's index) is sorted like any other and can win nothing.
Votes are compared as unsigned integers: negative ones become the greatest, so that a single
bound, ``limit``, tells void from valid. A block whose votes all fit is narrowed to a byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.quorum import Quorum
from quorate.fusion.arrays import whole
from quorate.fusion.rules.networks import sorting
from quorate.routing.compiled import vote_counter

MAX_REPLICAS: Final = 64
"""Most replicas in one batch."""

_BLOCK_BYTES: Final = 1 << 19
"""Of votes, sorted votes and matches together: a fraction of a second-level cache."""

_LEAST_BLOCK: Final = 1 << 10
_MOST_BLOCK: Final = 1 << 16
_FEW: Final = 4
_BYTE: Final = 255
_INDEX_LIMIT: Final = 1 << 63
_AXES: Final = 2
_WHAT: Final = "give integers [replicas, tokens]"

Codes = npt.NDArray[np.unsignedinteger[Any]]
"""Votes as unsigned integers, [N, block]; valid exactly where below a limit."""

Pairs = tuple[tuple[int, int], ...]
"""Comparators of a sorting network: the smaller of the two goes to the first place."""


@dataclass(frozen=True, slots=True, eq=False)
class BatchRouting:
    """What N replicas agreed on for each of T tokens.

    Attributes:
        expert: int64 [T]; the expert that a quorum voted for, or -1.
        count: int64 [T]; votes behind the valid expert that has the most; 0 if all are void.
        consensus: bool [T]; whether ``count`` reaches ``quorum``.
        dissent: int64 [N]; tokens with consensus where the replica voted otherwise.
        void: int64 [N]; tokens where the replica's vote names no expert.
        quorum: matching votes needed.
        faults: how many replicas may lie without a wrong dispatch.
    """

    expert: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]
    consensus: npt.NDArray[np.bool_]
    dissent: npt.NDArray[np.int64]
    void: npt.NDArray[np.int64]
    quorum: int
    faults: int


def route_batch(
    votes: Any,
    *,
    experts: int | None = None,
    faults: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> BatchRouting:
    """Find for every token the expert that a quorum of replicas voted for.

    With at most ``faults`` liars, a token's expert has a strict majority of the honest
    replicas behind it; where all honest replicas agree, no other expert is ever given.

    Args:
        votes: integers [N, T] of any width, or a sequence of N such rows, each of its own
            type. N is 1 to 64. May be mapped from a file: it is read in blocks, and beyond
            the result only a few blocks are held in memory.
        experts: number of experts; a vote of this or above is void, as negative ones are,
            and so is one of 2^63 or above in any case.
            ``None``: every vote from 0 to 2^63 - 1 names an expert.
        faults: how many replicas may lie, any whole number; ``(N - 1) // 3`` if ``None``.
        progress: called after each block with the number of tokens done so far.

    Raises:
        UsageTypeError: votes of another type than integers, or ``experts`` is no int.
        UsageError: no token, too many replicas or none, rows of different lengths,
            ``experts`` below 1, or ``faults`` out of range.
    """
    rows = _rows_of(votes)
    bound = _checked_bound(experts)
    quorum = Quorum(len(rows), None if faults is None else whole(faults, "faults"))
    tokens = len(rows[0])
    result = BatchRouting(
        expert=np.empty(tokens, dtype=np.int64),
        count=np.empty(tokens, dtype=np.int64),
        consensus=np.empty(tokens, dtype=np.bool_),
        dissent=np.zeros(len(rows), dtype=np.int64),
        void=np.zeros(len(rows), dtype=np.int64),
        quorum=quorum.size,
        faults=quorum.faults,
    )
    count = vote_counter(len(rows) * tokens) or count_block
    length = _block_length(rows)
    for start in range(0, tokens, length):
        stop = min(tokens, start + length)
        codes, limit, at = _block(votes, rows, bound, start, stop)
        count(codes, at, limit, sorting_network(len(rows)), slice(start, stop), result)
        if progress is not None:
            progress(stop)
    return result


def _rows_of(votes: Any) -> list[npt.NDArray[np.integer[Any]]]:
    """The replicas' rows as integer arrays of one length, checked."""
    if isinstance(votes, Sequence) and not isinstance(votes, str | bytes):
        rows = [_row_of(row, f"votes[{place}]") for place, row in enumerate(votes)]
        shape: tuple[int, ...] = (len(rows), len(rows[0])) if rows else (0,)
    else:
        array = _integers(votes, "votes")
        rows = list(array) if array.ndim == _AXES else []
        shape = array.shape
    if len(shape) != _AXES:
        raise UsageError(f"votes has shape {shape}; {_WHAT}")
    if not 1 <= shape[0] <= MAX_REPLICAS:
        raise UsageError(
            f"votes holds {shape[0]} replicas; give 1 to {MAX_REPLICAS}: the first axis counts "
            "replicas, the second tokens"
        )
    for place, row in enumerate(rows):
        if len(row) != shape[1]:
            raise UsageError(
                f"votes[{place}] has {len(row)} tokens and votes[0] {shape[1]}; "
                "give one vote of every replica for every token, -1 where it has none"
            )
    if shape[1] == 0:
        raise UsageError(f"votes has shape {shape}, which holds no token; {_WHAT}")
    return rows


def _row_of(row: Any, name: str) -> npt.NDArray[np.integer[Any]]:
    if isinstance(row, Sequence) and not isinstance(row, str | bytes):
        # Through an array, 2^64 would change the type of every vote beside it.
        return np.array([_vote_of(vote, name) for vote in row], dtype=np.int64)
    array = _integers(row, name)
    if array.ndim != 1:
        raise UsageError(f"{name} has shape {array.shape}; give one row [tokens] per replica")
    return array


def _vote_of(vote: Any, name: str) -> int:
    if isinstance(vote, bool | np.bool_) or not isinstance(vote, int | np.integer):
        raise UsageTypeError(f"{name} holds {vote!r} ({type(vote).__name__}); {_WHAT}")
    return int(vote) if 0 <= vote < _INDEX_LIMIT else -1


def _integers(value: Any, name: str) -> npt.NDArray[np.integer[Any]]:
    if isinstance(value, np.ma.MaskedArray):
        raise UsageTypeError(f"{name} is a masked array; fill it with -1 first, a void vote")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise UsageTypeError(f"{name} cannot be read as one array ({error}); {_WHAT}") from error
    if array.dtype.kind not in "iu":
        raise UsageTypeError(f"{name} holds {array.dtype}; {_WHAT}")
    return array


def _checked_bound(experts: int | None) -> int:
    if experts is None:
        return _INDEX_LIMIT
    count = whole(experts, "experts")
    if count < 1:
        raise UsageError(f"experts is {count}; give at least 1")
    return min(count, _INDEX_LIMIT)


def _block_length(rows: Sequence[npt.NDArray[Any]]) -> int:
    """Tokens per block, so that what is made of them stays in the cache."""
    widest = max(row.itemsize for row in rows)
    # What arrives wide is mostly narrowed to a byte, and then read only once.
    length = _BLOCK_BYTES // (len(rows) * (3 + (widest if widest > 1 else 0)))
    return max(_LEAST_BLOCK, min(_MOST_BLOCK, length // 64 * 64))


def _block(
    votes: Any, rows: Sequence[npt.NDArray[np.integer[Any]]], bound: int, start: int, stop: int
) -> tuple[Codes, int, int]:
    """Codes that hold one block, the limit of valid ones, and where in them it starts."""
    if isinstance(votes, np.ndarray) and votes.itemsize == 1 and votes.flags.c_contiguous:
        limit = min(bound, 1 << (7 if votes.dtype.kind == "i" else 8))
        return np.asarray(votes).view(np.uint8), limit, start
    return *_coded([row[start:stop] for row in rows], bound), 0


def _coded(rows: Sequence[npt.NDArray[np.integer[Any]]], bound: int) -> tuple[Codes, int]:
    """One block as unsigned codes [N, block], and the limit below which a code is valid."""
    unsigned, limits = [], []
    for row in rows:
        native = row if row.dtype.isnative else row.astype(row.dtype.newbyteorder("="))
        unsigned.append(native.view(f"u{row.itemsize}"))
        # A narrow negative vote is only as great as its own type lets it be.
        signed = row.dtype.kind == "i" or row.itemsize == np.dtype(np.int64).itemsize
        limits.append(min(bound, 1 << (8 * row.itemsize - signed)))
    if len(set(limits)) > 1:
        unsigned = [_widened(row, limit) for row, limit in zip(unsigned, limits, strict=True)]
        limits = [bound]
    limit = limits[0]
    codes = np.empty((len(rows), len(rows[0])), dtype=np.uint8)
    if all(_fits(row, code) for row, code in zip(unsigned, codes, strict=True)):
        return codes, min(limit, _BYTE + 1)
    if limit <= _BYTE:
        for row, code in zip(unsigned, codes, strict=True):
            code[:] = np.minimum(row, _BYTE)
        return codes, limit
    return np.stack(unsigned), limit


def _fits(row: Codes, code: npt.NDArray[np.uint8]) -> bool:
    """Copy ``row`` into ``code`` if every code fits in a byte."""
    if row.itemsize > 1 and int(row.max()) > _BYTE:
        return False
    np.copyto(code, row, casting="unsafe")
    return True


def _widened(row: Codes, limit: int) -> npt.NDArray[np.uint64]:
    """As uint64, with all that is not below ``limit`` made the greatest of them."""
    wide = row.astype(np.uint64)
    wide[row >= limit] = np.iinfo(np.uint64).max
    return wide


@cache
def sorting_network(count: int) -> Pairs:
    """Comparators that put ``count`` values in order."""
    return tuple((step.low, step.high) for step in sorting(count).comparators)


def count_block(
    codes: Codes, at: int, limit: int, network: Pairs, span: slice, to: BatchRouting
) -> None:
    """Decide one block and write it to ``span`` of the result.

    Args:
        codes: [N, any]; the block starts at column ``at`` and is as long as ``span``.
        at: see above.
        limit: codes below it are valid.
        network: of :func:`sorting_network`.
        span: where in the result the block stands.
        to: the result, written to; ``dissent`` and ``void`` are added to.
    """
    codes = codes[:, at : at + span.stop - span.start]
    ranked = _ranked(codes, network)
    middle = ranked[len(ranked) // 2]
    equal = codes == middle
    counts = np.add.reduce(equal, axis=0, dtype=np.uint8)
    consensus = counts >= to.quorum
    greatest = int(ranked[-1].max())
    if greatest >= limit:
        consensus &= middle < limit
        for replica, row in enumerate(codes):
            to.void[replica] += np.count_nonzero(row >= limit)
    to.expert[span] = middle
    to.count[span] = counts
    to.consensus[span] = consensus
    undecided = np.flatnonzero(~consensus)
    if undecided.size:
        to.expert[span.start + undecided] = -1
        # Picking votes one by one costs more than going over all of a block.
        few = undecided.size * _FEW < len(middle)
        runs = _longest_run([row[undecided] for row in ranked] if few else ranked, limit)
        to.count[span.start + undecided] = runs if few else runs[undecided]
        equal &= consensus
    decided = len(middle) - undecided.size
    for replica, matches in enumerate(equal):
        to.dissent[replica] += decided - np.count_nonzero(matches)


def _ranked(codes: Codes, network: Pairs) -> list[Codes]:
    """The votes of each token in ascending order, one row per rank."""
    ranked = list(codes.copy(order="C"))
    spare = np.empty_like(ranked[0])
    for low, high in network:
        np.minimum(ranked[low], ranked[high], out=spare)
        np.maximum(ranked[low], ranked[high], out=ranked[high])
        ranked[low], spare = spare, ranked[low]
    return ranked


def _longest_run(ranked: Sequence[Codes], limit: int) -> npt.NDArray[np.uint8]:
    """How often the most frequent valid code occurs in each sorted column."""
    run = np.ones(len(ranked[0]), dtype=np.uint8)
    longest = (ranked[0] < limit).view(np.uint8)
    for before, row in pairwise(ranked):
        run *= row == before
        run += 1
        np.maximum(longest, run * (row < limit), out=longest)
    return longest
