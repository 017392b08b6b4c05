"""Halting and resuming while others decide, write and cancel: nothing comes between."""

import asyncio
import threading

import pytest
from oversight_tools import between, panel

from quorate.core.errors import StoreError
from quorate.core.identity import Ed25519Signer
from quorate.hub import Expert, Hub
from quorate.hub.oversight import KIND, Guard, HaltedError, Oversight
from quorate.hub.oversight.rules import Halt
from quorate.ledger import Ledger


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


def test_what_experts_are_at_is_cancelled_when_another_process_halts(tmp_path):
    url, signer = f"sqlite:///{tmp_path / 'ledger.db'}", Ed25519Signer.generate()
    began, ended = [], []

    async def hangs(task):
        began.append(task)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(task)
            raise

    async def both(hub, other):
        working = [asyncio.ensure_future(hub.adispatch(n)) for n in range(3)]
        while len(began) < 9:  # noqa: ASYNC110 - experts of three tasks, none of which tells
            await asyncio.sleep(0.01)
        await asyncio.to_thread(Oversight(other).halt, "J. Doe", "stop")
        return await asyncio.gather(*working, return_exceptions=True)

    # Another handle on the same file reads what it did not write, as another process does.
    with Ledger.open(url, signer=signer) as mine, Ledger.open(url, signer=signer) as other:
        hub = Hub([Expert(n, hangs, confidence=1) for n in "abc"], ledger=mine)
        came = asyncio.run(asyncio.wait_for(both(hub, other), 30))
        assert [type(one) for one in came] == [HaltedError] * 3
        assert sorted(began) == sorted(ended)
        assert [receipt.kind for receipt in mine] == [KIND]


def test_what_was_answered_as_somebody_halted_is_neither_sealed_nor_given_out(ledger):
    def halts(task):
        Oversight(ledger).halt("J. Doe", "stop")
        return "yes"

    hub = Hub([Expert("a", halts, confidence=1)], ledger=ledger)
    with pytest.raises(HaltedError):
        hub.dispatch("one")
    assert [receipt.kind for receipt in ledger] == [KIND]


def test_halts_and_dispatches_side_by_side(ledger):
    """From many threads: whatever began after the halt was sealed was refused."""
    calls, hub = [], None
    hub = Hub(panel(calls), ledger=ledger)
    halted, late = threading.Event(), []

    def work():
        for n in range(20):
            after = halted.is_set()
            try:
                hub.dispatch(n)
            except HaltedError:
                continue
            if after:
                late.append(n)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    Oversight(ledger).halt("J. Doe", "stop")
    halted.set()
    for worker in workers:
        worker.join()
    assert late == []


def test_who_cancels_work_from_outside_is_told_no_halt(ledger):
    ended = []

    async def hangs():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def main():
        working = asyncio.ensure_future(Guard(ledger).run(hangs()))
        await asyncio.sleep(0.01)
        working.cancel()
        await asyncio.wait([working])
        return working.cancelled()

    assert asyncio.run(main()) is True
    assert ended == [True]


def test_a_record_that_can_no_longer_be_read_stops_what_is_under_way(ledger, monkeypatch):
    guard = Guard(ledger)

    def broken(self):
        raise StoreError("the disk is gone")

    async def main():
        working = asyncio.ensure_future(guard.run(asyncio.sleep(60)))
        await asyncio.sleep(0.01)
        monkeypatch.setattr(Oversight, "check", broken)
        await working

    with pytest.raises(StoreError, match="the disk is gone"):
        asyncio.run(asyncio.wait_for(main(), 30))
    with pytest.raises(StoreError):
        asyncio.run(guard.run(asyncio.sleep(0)))


def test_what_bears_on_nothing_holds_no_decision_up(ledger, monkeypatch):
    hub = Hub(panel([]), ledger=ledger)
    between(monkeypatch, ledger, lambda: ledger.append("note", {}))
    assert hub.dispatch("one").consensus == "yes"
    first = hub.dispatch("two", id="t2").receipt.seq
    between(monkeypatch, ledger, lambda: Oversight(ledger).override(first, "A", "because"))
    assert hub.dispatch("three").consensus == "yes"
    assert [receipt.kind for receipt in ledger] == [
        "note", "decision", "decision", KIND, "decision",
    ]  # fmt: skip


def test_two_handles_of_one_file_never_decide_behind_a_halt(tmp_path):
    url, signer = f"sqlite:///{tmp_path / 'ledger.db'}", Ed25519Signer.generate()
    for _ in range(3):
        with Ledger.open(url, signer=signer) as mine, Ledger.open(url, signer=signer) as other:
            hub, came = Hub(panel([]), ledger=mine), []

            def work(hub=hub, came=came):
                try:
                    while True:
                        came.append(hub.dispatch("again").receipt.seq)
                except HaltedError as halted:
                    came.append(halted)

            worker = threading.Thread(target=work)
            worker.start()
            while not came:
                threading.Event().wait(0.001)
            halt = Oversight(other).halt("J. Doe", "stop")
            worker.join(60)
            assert isinstance(came[-1], HaltedError)
            assert max(came[:-1]) < halt.seq
            assert [r for r in other if r.kind == "decision" and r.seq > halt.seq] == []
            Oversight(other).resume("J. Doe", "on")


def test_a_disk_that_may_hide_a_halt_holds_the_incumbent_back_too(ledger, monkeypatch):
    incumbent = Expert("old", lambda _: "old", confidence=1)
    hub = Hub(panel([]), ledger=ledger, mode="shadow", incumbent=incumbent)

    def broken(items, **more):
        Oversight(ledger).halt("J. Doe", "stop")
        raise StoreError("the disk is full")

    monkeypatch.setattr(ledger, "append_all", broken)
    with pytest.raises(HaltedError):
        hub.dispatch("one")


def test_who_halts_while_another_resumes_is_not_overheard(ledger, monkeypatch):
    oversight = Oversight(ledger)
    oversight.halt("A", "one")
    append = ledger.append

    def first_another_halt(kind, body, **more):
        if body["event"] == "resume" and len(ledger) == 1:
            append(KIND, Halt("B", "two").to_dict())
        return append(kind, body, **more)

    monkeypatch.setattr(ledger, "append", first_another_halt)
    assert oversight.resume("A", "mended").payload["halt"] == 0
    assert [one.by for one in oversight.in_force] == ["B"]


def test_who_writes_meanwhile_does_not_keep_anybody_from_resuming(ledger, monkeypatch):
    oversight = Oversight(ledger)
    oversight.halt("A", "one")
    append = ledger.append

    def busy(kind, body, **more):
        append("note", {})
        return append(kind, body, **more)

    monkeypatch.setattr(ledger, "append", busy)
    oversight.resume("A", "mended")
    assert oversight.halted is None
