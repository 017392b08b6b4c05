"""Routing whole arrays: votes per second, and N fused routers beside one that trusts itself."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Aim, Figure, Settings, Spread, Step, rate_of, side_by_side
from quorate.routing import compiled, route_batch, route_logits

VOTES: Final = "votes of many tokens"
LOGITS: Final = "logits of many tokens, with support, dissent and deviation of each replica"
TOKENS: Final = 4096
SHAPES: Final = ((8, 2), (64, 8), (256, 8))
REPLICAS: Final = (4, 7)
FAST: Final = "with numba"
PLAIN: Final = "NumPy alone"
ONE: Final = "torch.topk, one router"

Logits = NDArray[np.float32]
"""[replicas, tokens, experts]"""


def steps(settings: Settings) -> list[Step]:
    """Votes, then logits at every shape, then how the time grows with tokens and experts."""
    return [
        Step("routing, votes", lambda: _votes(settings)),
        *(
            Step(
                f"routing, logits, N={replicas} E={experts}",
                lambda replicas=replicas, experts=experts, k=k: _logits(  # type: ignore[misc]
                    settings, replicas, experts, k
                ),
            )
            for replicas in REPLICAS
            for experts, k in SHAPES
        ),
        Step("routing, growth", lambda: _growth(settings)),
    ]


def _fast() -> bool:
    return importlib.util.find_spec("numba") is not None


def _without_kernels(work: Callable[[], object]) -> object:
    """Do ``work`` as a machine without numba would."""
    kept = compiled.LEAST_VOTES, compiled.LEAST_LOGITS
    compiled.LEAST_VOTES = compiled.LEAST_LOGITS = 1 << 62  # type: ignore[misc]
    try:
        return work()
    finally:
        compiled.LEAST_VOTES, compiled.LEAST_LOGITS = kept  # type: ignore[misc]


def _votes(settings: Settings) -> list[Figure]:
    """Seven replicas, two of which vote at random."""
    tokens, experts = 262_144, 64
    generator = np.random.default_rng(7)
    votes = np.tile(generator.integers(0, experts, tokens), (7, 1)).astype(np.uint8)
    votes[:2] = generator.integers(0, experts, (2, tokens))

    def one_hot() -> object:
        counts = (votes[:, :, None] == np.arange(experts, dtype=np.uint8)).sum(axis=0)
        return counts.argmax(axis=-1), counts.max(axis=-1) >= 5

    def by_median() -> object:
        middle = np.median(votes, axis=0)
        return middle, (votes == middle).sum(axis=0) >= 5

    def ours() -> object:
        return route_batch(votes, experts=experts)

    few = 8
    subjects = {
        PLAIN: lambda: rate_of(few * tokens, lambda: [_without_kernels(ours) for _ in range(few)]),
        "one-hot": lambda: rate_of(tokens, one_hot),
        "np.median + count": lambda: rate_of(tokens, by_median),
    }
    if _fast():
        subjects[FAST] = lambda: rate_of(few * tokens, lambda: [ours() for _ in range(few)])
    turns = side_by_side(subjects, settings.turns)
    aims = {PLAIN: Aim("60 Mtok/s", rate=60e6), FAST: Aim("120 Mtok/s", rate=120e6)}
    return [
        turns.compare(
            *(way, peer),
            subject=VOTES,
            unit="tokens/s",
            title=f"7 replicas, {tokens:,} tokens, {way}",
            aim=aims[way],
            note="votes in bytes; also tells void votes, dissent and every leading count",
        )
        for way in (PLAIN, FAST)
        if way in subjects
        for peer in ("one-hot", "np.median + count")
    ]


def logits(replicas: int, tokens: int, experts: int) -> Logits:
    """A common ranking with a little noise; one replica tells the opposite."""
    generator = np.random.default_rng(replicas + experts)
    common = generator.normal(size=(tokens, experts))
    rows = common + 1e-4 * generator.normal(size=(replicas, tokens, experts))
    rows[0] *= -1
    return rows.astype(np.float32)


def _peers(rows: Logits, k: int) -> dict[str, Callable[[], object]]:
    experts = rows.shape[2]

    def sorted_median() -> object:
        return np.argpartition(np.median(rows, axis=0), experts - k, axis=-1)[:, -k:]

    peers: dict[str, Callable[[], object]] = {
        "np.median + argpartition": sorted_median,
        "reading once (np.sum)": rows.sum,
    }
    if importlib.util.find_spec("torch") is not None:
        import torch

        # One core each, as for all that is compared here.
        torch.set_num_threads(1)
        tensor = torch.from_numpy(rows)
        peers[ONE] = lambda: torch.topk(tensor[1], k)
        peers["torch.median + topk"] = lambda: torch.topk(tensor.median(0).values, k)
    return peers


def _logits(settings: Settings, replicas: int, experts: int, k: int) -> list[Figure]:
    rows = logits(replicas, TOKENS, experts)
    title = f"{replicas} routers fused, {TOKENS} tokens, {experts} experts, k={k}"

    def repeated(work: Callable[[], object], times: int) -> Callable[[], float]:
        return lambda: rate_of(times * TOKENS, lambda: [work() for _ in range(times)])

    times = 2048 // experts
    ours: dict[str, Callable[[], float]] = {
        f"median, {PLAIN}": repeated(
            lambda: _without_kernels(lambda: route_logits(rows, k=k)), max(1, times // 8)
        )
    }
    if _fast():
        ours[f"median, {FAST}"] = repeated(lambda: route_logits(rows, k=k), times)
        ours[f"vote, {FAST}"] = repeated(lambda: route_logits(rows, rule="vote", k=k), times)
    peers = {
        name: repeated(work, max(1, times // 32) if "median" in name else times)
        for name, work in _peers(rows, k).items()
    }
    turns = side_by_side({**ours, **peers}, settings.turns)
    aim = Aim("no slower than one router", ratio=1.0)
    return [
        turns.compare(
            *(way, peer),
            subject=LOGITS,
            unit="tokens/s",
            title=f"{title}; {way}",
            aim=aim if peer == ONE and FAST in way else None,
        )
        for way in ours
        for peer in peers
    ]


def _exponent(sizes: list[int], seconds: list[float]) -> float:
    """The slope of a straight line through the logarithms."""
    xs, ys = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean_x) ** 2 for x in xs)


def _growth(settings: Settings) -> list[Figure]:
    """Time as a power of T and of E, fitted; 1 is proportional."""
    return [
        _grown(settings, "T", [(tokens, 64) for tokens in (1024, 4096, 16_384)]),
        _grown(settings, "E", [(TOKENS, experts) for experts in (32, 64, 128, 256)]),
    ]


def _grown(settings: Settings, axis: str, shapes: list[tuple[int, int]]) -> Figure:
    made: dict[str, Any] = {}
    for tokens, experts in shapes:
        rows = logits(4, tokens, experts)
        made[f"{tokens}x{experts}"] = lambda rows=rows: rate_of(1, lambda: route_logits(rows, k=8))
    turns = side_by_side(made, settings.turns)
    sizes = [tokens if axis == "T" else experts for tokens, experts in shapes]
    fitted = [
        _exponent(sizes, [1 / rate for rate in row])
        for row in zip(*turns.rates.values(), strict=True)
    ]
    return Figure(
        subject=LOGITS,
        name=f"time grows with {axis} to the power of",
        unit="exponent",
        rate=Spread.of(fitted),
        note=f"4 replicas, k=8, {axis} = {', '.join(map(str, sizes))}",
    )
