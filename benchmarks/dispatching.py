"""Dispatching: a thousand tasks in flight through the hub, beside a bare fan-out."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from benchmarks.measure import Aim, Figure, Settings, Step, Subject, side_by_side
from quorate.arbitration import Arbiter
from quorate.core.identity import HmacSigner
from quorate.hub import Answer, Expert, Hub, Session
from quorate.ledger import Ledger

DISPATCHING: Final = "dispatching, 5 async experts a task"
BARE: Final = "bare asyncio.gather, nothing sealed"
_IN_FLIGHT: Final = 1000
_EXPERTS: Final = 5

_round = itertools.count()


def steps(settings: Settings) -> list[Step]:
    """Experts that answer at once, and experts that take half a second, as services do."""
    return [
        Step("dispatching, instant", lambda: _dispatching(settings, 0.0)),
        Step("dispatching, half a second", lambda: _dispatching(settings, 0.5)),
    ]


def _experts(seconds: float) -> list[Expert]:
    async def answer(task: Any) -> Answer:
        await asyncio.sleep(seconds)
        return Answer(task["number"], 0.9)

    return [Expert(f"expert-{i}", answer, timeout=30) for i in range(_EXPERTS)]


def _dispatching(settings: Settings, seconds: float) -> list[Figure]:
    count = settings.units(_IN_FLIGHT)

    async def plain(number: int) -> Any:
        await asyncio.sleep(seconds)
        return number

    async def bare(number: int) -> None:
        await asyncio.gather(*(plain(number) for _ in range(_EXPERTS)))

    experts = _experts(seconds)

    async def session(number: int) -> None:
        await Session(experts, {"number": number}).acollect()

    def hub() -> float:
        path = settings.scratch / f"hub-{next(_round)}.db"
        # The hub is closed first: it may still learn from what was sealed.
        with (
            Ledger.open(f"sqlite:///{path}", signer=HmacSigner(b"k" * 32)) as ledger,
            Hub(experts, Arbiter(), ledger=ledger, router="all") as made,
        ):

            async def dispatch(number: int) -> None:
                await made.adispatch({"number": number})

            return _at_once(count, dispatch)

    subjects: dict[str, Subject] = {
        BARE: lambda: _at_once(count, bare),
        "sessions": lambda: _at_once(count, session),
        "hub": hub,
    }
    turns = side_by_side(subjects, min(settings.turns, 5))
    aim = Aim("50% of it (2x its time)", ratio=0.5)
    told = f"{count:,} in flight, experts take {seconds:g} s"
    return [
        turns.compare(
            name, BARE, subject=DISPATCHING, unit="tasks/s", title=f"{what}, {told}", aim=aim
        )
        for name, what in (
            ("sessions", "sessions alone"),
            ("hub", "routed, decided, sealed on disk"),
        )
    ]


def _at_once(count: int, once: Callable[[int], Awaitable[None]]) -> float:
    """Start ``count`` at once; tasks per second."""

    async def turn() -> float:
        started = time.perf_counter()
        await asyncio.gather(*(once(number) for number in range(count)))
        return count / (time.perf_counter() - started)

    return asyncio.run(turn())
