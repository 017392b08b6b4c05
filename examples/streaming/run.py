"""Five experts, one of them slow now and then: what committing early saves.

    python examples/streaming/run.py

Each task goes to a hub that waits for everybody, and to one that commits as soon as
nothing that is still to come can change the answer. What still runs then is cancelled.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from quorate import Arbiter, Hub, Ledger
from quorate.core.identity import Ed25519Signer
from quorate.hub import Answer, Expert

TASKS = 40
USUAL, SLOW = 0.01, 0.25  # seconds
cancelled: list[int] = []


def expert(position: int) -> Expert:
    """One that answers whether a number is even; every tenth task it is slow, each in turn."""

    async def answer(task: dict[str, Any]) -> Answer:
        number = task["number"]
        try:
            await asyncio.sleep(SLOW if number % 10 == 2 * position else USUAL)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return Answer("even" if number % 2 == 0 else "odd", 0.95)

    return Expert(f"expert-{position}", answer, timeout=5)


def times(arbiter: Arbiter, ledger: Ledger) -> tuple[list[float], list[str]]:
    """Seconds for each task, and the digests that were committed."""
    hub = Hub([expert(position) for position in range(5)], arbiter, ledger=ledger, router="all")
    seconds, digests = [], []
    for number in range(TASKS):
        started = time.perf_counter()
        done = hub.dispatch({"number": number}, id=f"{arbiter.protocol}-{number}")
        seconds.append(time.perf_counter() - started)
        digests.append(done.decision.digest)
    return seconds, digests


def show(name: str, seconds: list[float]) -> None:
    """Median, 95th percentile and longest, with a bar for the longest."""
    ordered = sorted(seconds)
    p95 = ordered[int(0.95 * len(ordered))]
    print(
        f"{name:>16}: median {statistics.median(ordered) * 1000:4.0f} ms, "
        f"95% within {p95 * 1000:4.0f} ms, longest {ordered[-1] * 1000:4.0f} ms  "
        + "#"
        * round(ordered[-1] * 100)
    )


def main() -> None:
    """Time both, compare the answers, verify the record."""
    with tempfile.TemporaryDirectory(prefix="quorate-example-") as folder:
        url = f"sqlite:///{Path(folder) / 'ledger.db'}"
        with Ledger.open(url, signer=Ed25519Signer.generate()) as ledger:
            patient, answers = times(Arbiter("weighted-quorum", 0.66), ledger)
            assert not cancelled
            quick, early = times(Arbiter("first-to-quorum", 0.66), ledger)
            show("waiting for all", patient)
            show("first to quorum", quick)
            same = sum(one == other for one, other in zip(answers, early, strict=True))
            print(f"{same} of {TASKS} answers are the same; {len(cancelled)} calls were cancelled")
            report = ledger.verify(replay=True)
            print(f"{report.size} entries verified, {report.replayed} verdicts computed again")


if __name__ == "__main__":
    main()
