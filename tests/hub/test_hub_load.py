"""A thousand dispatches in flight in one process, over experts that sleep, fail and hang."""

import asyncio
import gc
import resource
import threading
import tracemalloc
from pathlib import Path

import pytest

from quorate.arbitration import UnderQuorum
from quorate.core.canonical import digest
from quorate.hub import Answer, Expert
from quorate.hub.hub import Hub
from quorate.ledger import Ledger

TASKS = 1000
STATM = Path("/proc/self/statm")
MOST_GROWTH = 128 << 20
"""Bytes that a thousand tasks in flight may take on top of what was there."""
MOST_KEPT = 400 << 10
"""Bytes that may be kept of a hundred tasks that are done: 4 KiB of each."""


def derived(task):
    return {"n": task["n"], "twice": 2 * task["n"]}


def sleeps(seconds):
    async def answer(task):
        await asyncio.sleep(seconds)
        return Answer(derived(task), 0.9, 1)

    return answer


async def fails_at_odd(task):
    await asyncio.sleep(0.001)
    if task["n"] % 2:
        raise ValueError(f"no idea about {task['n']}")
    return Answer(derived(task), 0.9, 1)


async def hangs_at_every_third(task):
    if task["n"] % 3 == 0:
        await asyncio.sleep(3600)
    return Answer(derived(task), 0.9, 1)


async def lies_at_every_seventh(task):
    await asyncio.sleep(0.002)
    return Answer("lie" if task["n"] % 7 == 0 else derived(task), 0.9, 1)


def experts():
    return [
        Expert("steady-1", sleeps(0.01)),
        Expert("steady-2", sleeps(0.05)),
        Expert("odd", fails_at_odd),
        Expert("third", hangs_at_every_third, timeout=0.5),
        Expert("seventh", lies_at_every_seventh),
    ]


def against(n):
    """How many of the five do not back the answer to task ``n``."""
    return (n % 2 == 1) + (n % 3 == 0) + (n % 7 == 0)


async def all_at_once(hub, tasks, name="task"):
    async def one(n):
        try:
            return await hub.adispatch({"n": n}, id=f"{name}-{n}")
        except UnderQuorum as refusal:
            return refusal.dispatch

    return await asyncio.gather(*(one(n) for n in range(tasks)))


class PeakMemory:
    """By how many bytes the process's resident memory grows at most, looked at every 20 ms."""

    growth = 0

    def __enter__(self):
        self._before = self._resident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self):
        while not self._over.wait(0.02):
            self.growth = max(self.growth, self._resident() - self._before)

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()

    @staticmethod
    def _resident():
        pages = int(STATM.read_text().split()[1])
        return pages * resource.getpagesize()


@pytest.fixture
def ledger(tmp_path):
    from quorate.core.identity import Ed25519Signer

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger.open(url, signer=Ed25519Signer.generate()) as opened:
        yield opened


@pytest.mark.skipif(not STATM.exists(), reason="resident memory is read from /proc")
def test_a_thousand_dispatches_in_flight_lose_and_mix_nothing(ledger):
    with Hub(experts(), ledger=ledger, router="all") as hub, PeakMemory() as peak:
        given = asyncio.run(all_at_once(hub, TASKS))
    assert peak.growth < MOST_GROWTH, f"{peak.growth >> 20} MiB"
    assert len(given) == TASKS
    for n, dispatch in enumerate(given):
        assert dispatch.id == f"task-{n}"
        wanted = against(n) <= 1
        assert dispatch.committed is wanted, n
        if wanted:
            assert dispatch.consensus == derived({"n": n})
        reasons = {a.expert_id: a.reason for a in dispatch.absent}
        expected = {"odd": "crashed"} if n % 2 else {}
        expected |= {} if n % 3 else {"third": "timeout"}
        assert reasons == expected
        for proposal in dispatch.receipt.payload["proposals"]:
            lied = proposal["expert_id"] == "seventh" and n % 7 == 0
            assert proposal["payload"] == ("lie" if lied else derived({"n": n}))
        assert dispatch.receipt.payload["task"] == {
            "id": f"task-{n}",
            "input_digest": digest({"n": n}),
        }
    assert not hub._loads
    seqs = {dispatch.receipt.seq for dispatch in given}
    assert seqs == set(range(TASKS))
    assert ledger.verify(replay=True).size == TASKS
    counts = hub.standing.counts("odd")
    assert (counts.engaged, counts.absent) == (TASKS // 2, TASKS // 2)


def test_what_is_done_is_let_go_of(ledger):
    hub = Hub(experts(), ledger=ledger, router="all")
    asyncio.run(all_at_once(hub, 20))
    hub.close()
    gc.collect()
    tracemalloc.start()
    try:
        asyncio.run(all_at_once(hub, 100, "second"))
        hub.close()
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < MOST_KEPT, f"{left >> 10} KiB were kept"
