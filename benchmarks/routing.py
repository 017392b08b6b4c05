"""Routing: the router beside a bare fan-out."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from benchmarks.cases import routing_input
from benchmarks.measure import Aim, Figure, Settings, Step, Subject, side_by_side
from quorate.routing import BFTRouter

ROUTING: Final = "routing"

_EXPERTS: Final = (1, 2, 3)


def steps(settings: Settings) -> list[Step]:
    """The router with four and seven replicas."""
    return [
        Step("routing, 4 replicas", lambda: _routing(settings, 4)),
        Step("routing, 7 replicas", lambda: _routing(settings, 7)),
    ]


async def _replica(x: Any) -> int:
    return int(x["meta"]["priority"])


def _plain_replica(x: Any) -> int:
    return int(x["meta"]["priority"])


def _routing(settings: Settings, n: int) -> list[Figure]:
    asked = routing_input()
    count = settings.units(600)

    async def gathered() -> None:
        await asyncio.gather(*(_replica(copy.deepcopy(asked)) for _ in range(n)))

    async def gathered_from_bytes() -> None:
        """The same with the cheapest copies there are, which keep no tuple a tuple."""
        raw = orjson.dumps(asked)
        await asyncio.gather(*(_replica(orjson.loads(raw)) for _ in range(n)))

    async def threaded() -> None:
        raw = orjson.dumps(asked)
        await asyncio.gather(
            *(asyncio.to_thread(_plain_replica, orjson.loads(raw)) for _ in range(n))
        )

    quick = BFTRouter(_EXPERTS, [_replica] * n)
    plain = BFTRouter(_EXPERTS, [_plain_replica] * n)
    gather, threads = "gather, deepcopy each", "gather of to_thread, from bytes"
    from_bytes = "gather, copies from bytes"
    turns = side_by_side(
        {
            "async": _looped(count, lambda: quick.adecide(asked, "bench")),
            gather: _looped(count, gathered),
            from_bytes: _looped(count, gathered_from_bytes),
            "plain": _looped(count // 2, lambda: plain.adecide(asked, "bench")),
            threads: _looped(count // 2, threaded),
        },
        settings.turns,
    )
    aim = Aim("67% of it (1.5x its time)", ratio=1 / 1.5)
    unit = "decisions/s"
    title = f"{n} async replicas"
    return [
        turns.compare("async", gather, subject=ROUTING, unit=unit, title=title, aim=aim),
        turns.compare("async", from_bytes, subject=ROUTING, unit=unit, title=title, aim=aim),
        turns.compare(
            "plain", threads, subject=ROUTING, unit=unit, title=f"{n} plain functions, in threads"
        ),
    ]


def _looped(count: int, once: Callable[[], Awaitable[object]]) -> Subject:
    async def turn() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        for _ in range(count):
            await once()
        return count / (loop.time() - started)

    return lambda: asyncio.run(turn())
