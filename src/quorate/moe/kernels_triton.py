"""The kernel behind :func:`quorate.moe.kernels.softmax_gate`; needs Triton."""

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _take_greatest(rows: Any, taken: Any, places: Any) -> Any:
    """Mark in each column the greatest of what is not taken, the lowest place among equals."""
    left = tl.where(taken, float("-inf"), rows)
    most = tl.max(left, axis=0)
    first = tl.min(tl.where((left == most[None, :]) & ~taken, places, places.shape[0]), axis=0)
    return taken | (places == first[None, :])


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _rounded(values: Any, kind: tl.constexpr) -> Any:
    """The nearest number of a kind; by bits for bfloat16, which the interpreter cuts off."""
    if kind == tl.bfloat16:
        bits = values.to(tl.uint32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        return bits.to(tl.float32, bitcast=True)
    return values.to(kind).to(tl.float32)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _turned(bits: Any) -> Any:
    """Bits of floats as integers in the same order, -0.0 before 0.0; and back again."""
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def _at(ordered: Any, replicas: Any, place: Any) -> Any:
    """The floats that stand in one place of rows of turned bits."""
    bits = tl.sum(tl.where(replicas[None, :] == place, ordered, 0), axis=1)
    return _turned(bits).to(tl.float32, bitcast=True)


@triton.jit  # type: ignore[untyped-decorator,unused-ignore]
def softmax_gate_kernel(  # noqa: PLR0913, PLR0917 - what a kernel is given
    logits_at: Any,
    fused_at: Any,
    chosen_at: Any,
    weights_at: Any,
    consensus_at: Any,
    support_at: Any,
    tokens: Any,
    N: tl.constexpr,  # noqa: N803 - a constant of the compiled kernel
    E: tl.constexpr,  # noqa: N803
    K: tl.constexpr,  # noqa: N803
    FAULTS: tl.constexpr,  # noqa: N803
    QUORUM: tl.constexpr,  # noqa: N803
    N_PAD: tl.constexpr,  # noqa: N803
    E_PAD: tl.constexpr,  # noqa: N803
    K_PAD: tl.constexpr,  # noqa: N803
) -> None:
    """One program for one token: logits [N, tokens, E] at ``logits_at``, all contiguous."""
    token = tl.program_id(0).to(tl.int64)
    experts = tl.arange(0, E_PAD)
    replicas = tl.arange(0, N_PAD)
    inside = (experts[:, None] < E) & (replicas[None, :] < N)
    where = replicas[None, :].to(tl.int64) * tokens * E + token * E + experts[:, None]
    raw = tl.load(logits_at + where, mask=inside, other=0.0).to(tl.float32)

    # Finite: the difference to itself is 0; of an infinity or NaN it is NaN.
    broken = tl.max(tl.where(raw - raw == 0.0, 0, 1), axis=0)
    counted = (broken == 0) & (replicas < N)
    void = tl.sum(tl.where((broken == 1) & (replicas < N), 1, 0), axis=0)
    borne = void <= FAULTS

    # Median of the finite rows: the others sort behind them. By their bits, as integers: to a
    # sort of floats -0.0 and 0.0 are equal, and a sum with 0.0 would lose the sign.
    rows = tl.where(counted[None, :], raw, 0.0)
    kept = tl.where(counted[None, :], raw, float("inf"))
    ordered = tl.sort(_turned(kept.to(tl.int32, bitcast=True)), dim=1)
    there = N - void
    low = _at(ordered, replicas, tl.maximum(there - 1, 0) // 2)
    high = _at(ordered, replicas, there // 2)
    # Rounded to the rows' own numbers at each step, as PyTorch does.
    kind = fused_at.dtype.element_ty
    half = _rounded(_rounded(low * 0.5, kind) + _rounded(high * 0.5, kind), kind)
    middle = tl.where(low == high, low, half)
    middle = tl.where(middle < low, low, middle)
    fused = tl.where(middle > high, high, middle)
    fused = tl.where(borne & (experts < E), fused, 0.0)
    tl.store(fused_at + token * E + experts, fused.to(kind), mask=experts < E)

    # Top-k of the fused row and of each replica's.
    places = tl.broadcast_to(experts[:, None], (E_PAD, N_PAD))
    own_taken = places >= E
    taken = tl.broadcast_to((experts >= E)[:, None], (E_PAD, 1))
    column = fused[:, None]
    slots = tl.arange(0, K_PAD)
    chosen = tl.zeros((K_PAD,), dtype=tl.int64)
    values = tl.full((K_PAD,), float("-inf"), dtype=tl.float32)
    for slot in tl.static_range(K):
        own_taken = _take_greatest(rows, own_taken, places)
        now = _take_greatest(column, taken, experts[:, None])
        new = now & ~taken
        place = tl.sum(tl.sum(tl.where(new, experts[:, None], 0), axis=1), axis=0)
        value = tl.sum(tl.sum(tl.where(new, column, 0.0), axis=1), axis=0)
        chosen = tl.where(slots == slot, place, chosen)
        values = tl.where(slots == slot, value, values)
        taken = now

    differs = tl.max(tl.where(own_taken == taken, 0, 1), axis=0)
    support = tl.sum(tl.where((differs == 0) & counted & borne, 1, 0), axis=0)
    consensus = borne & (support >= QUORUM)
    powers = tl.exp(values - tl.max(values, axis=0))
    weights = powers / tl.sum(powers, axis=0)
    kept = slots < K
    tl.store(chosen_at + token * K + slots, tl.where(consensus, chosen, -1), mask=kept)
    tl.store(weights_at + token * K + slots, tl.where(consensus, weights, 0.0), mask=kept)
    tl.store(consensus_at + token, consensus)
    tl.store(support_at + token, support.to(tl.int64))
