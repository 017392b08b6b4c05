"""Calls are told of one by one as they end, and the rest can be stopped."""

import asyncio
import gc
import threading
import time
import weakref

import pytest

from quorate.core import calls
from quorate.core.calls import CRASHED, STOPPED, TIMEOUT, Call, Callee, Calls

LONG = 30.0


def after(seconds, value):
    async def answer(_):
        await asyncio.sleep(seconds)
        return value

    return answer


def made(functions, told, timeout=LONG):
    asked = [Call(Callee(f"c{i}", f), None, timeout) for i, f in enumerate(functions)]
    return Calls(asked, told)


async def turns():
    """Let the loop take more turns than whatever is ready needs, however long they are."""
    for _ in range(50):
        await asyncio.sleep(0)


def told_of(*functions, timeout=LONG, stop_at=None, ended=()):
    """What was told of in order; all is stopped when so many have been.

    ended: events, of which each is set once the call at its place was told of.
    """
    heard = []

    async def main():
        def told(index, outcome):
            heard.append((index, outcome))
            if ended:
                ended[index].set()
            if len(heard) == stop_at:
                under_way.stop()

        under_way = made(functions, told, timeout)
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
    return heard


def test_each_is_told_once_in_the_order_of_ending():
    async def fails(_):
        raise ValueError

    ended = [asyncio.Event() for _ in range(4)]

    def once(other, value):
        async def answer(_):
            await ended[other].wait()
            return value

        return answer

    heard = told_of(once(3, "slow"), once(2, "quick"), fails, once(1, "mid"), ended=ended)
    assert [(i, o.value, o.reason) for i, o in heard] == [
        (2, None, CRASHED),
        (1, "quick", None),
        (3, "mid", None),
        (0, "slow", None),
    ]
    assert all(o.started > 0 and not o.running for _, o in heard)


def test_no_calls_are_over_at_once():
    assert told_of() == []


def test_a_stopped_coroutine_is_cancelled_and_may_clean_up():
    ended = []

    async def cleans(_):
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0.05)
            ended.append("clean")

    heard = told_of(cleans, after(0.01, 1), stop_at=1)
    assert ended == ["clean"]
    assert [(i, o.reason) for i, o in heard] == [(1, None), (0, STOPPED)]
    assert heard[1][1].detail == "stopped; cancelled"
    assert not heard[1][1].running
    assert 0 < heard[1][1].seconds < LONG


def test_what_a_stopped_one_still_returns_or_raises_is_none():
    async def stubborn(_):
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            return "after all"

    async def spiteful(_):
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            raise ValueError("after all") from None

    heard = told_of(stubborn, spiteful, after(0.01, 1), stop_at=1)
    assert sorted((i, o.value, o.reason) for i, o in heard[1:]) == [
        (0, None, STOPPED),
        (1, None, STOPPED),
    ]
    assert "it ended after" in heard[1][1].detail


def test_a_stopped_thread_is_said_to_be_running():
    began, release = threading.Event(), threading.Event()

    def hangs(_):
        began.set()
        release.wait(LONG)

    async def once_it_began(_):
        await asyncio.to_thread(began.wait, LONG)

    heard = told_of(hangs, once_it_began, stop_at=1)
    release.set()
    assert (heard[1][1].reason, heard[1][1].running) == (STOPPED, True)
    assert heard[1][1].detail == "stopped; still running, it cannot be stopped"


def test_a_coroutine_that_will_not_stop_is_left_after_its_grace(monkeypatch):
    monkeypatch.setattr(calls, "_CANCEL_GRACE_SECONDS", 0.1)
    release = []

    async def deaf(_):
        while not release:
            try:
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                continue

    heard = []

    async def main():
        def told(index, outcome):
            heard.append((index, outcome))
            if len(heard) == 1:
                under_way.stop()

        under_way = made([deaf, after(0.01, 1)], told)
        await under_way.wait()
        under_way.drop()
        release.append(True)
        await asyncio.sleep(0.1)

    asyncio.run(main())
    assert [(i, o.reason, o.running) for i, o in heard] == [(1, None, False), (0, STOPPED, True)]


def test_what_is_already_being_cancelled_is_left_to_its_cleaning_up():
    cleaned = []

    async def slow_to_clean(_):
        try:
            await asyncio.sleep(LONG)
        finally:
            cleaning.set()
            # A second cancelling would end this.
            await asyncio.sleep(0.2)
            cleaned.append(True)

    heard = []
    cleaning = asyncio.Event()

    async def main():
        under_way = made([slow_to_clean], lambda i, o: heard.append((i, o)), 0.05)
        await cleaning.wait()
        under_way.stop()
        under_way.stop()
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
    assert cleaned == [True]
    assert heard[0][1].reason == TIMEOUT


def test_what_was_stopped_is_not_cancelled_again():
    cleaned = []

    async def slow_to_clean(_):
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(0.2)
            cleaned.append(True)

    async def main():
        under_way = made([slow_to_clean], lambda *_: None, 0.1)
        await asyncio.sleep(0.01)
        under_way.stop()
        await asyncio.sleep(0.01)
        under_way.stop()
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
    assert cleaned == [True]


def test_what_has_ended_when_all_is_stopped_keeps_its_outcome():
    heard = told_of(*[after(0, n) for n in range(5)], stop_at=1)
    assert sorted((i, o.value) for i, o in heard) == [(n, n) for n in range(5)]


def test_stopping_before_the_first_turn_calls_nobody():
    called = []

    async def never(_):
        called.append(1)

    heard = []

    async def main():
        under_way = made([never], lambda i, o: heard.append(o))
        under_way.stop()
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
    assert not called
    assert (heard[0].reason, heard[0].running) == (STOPPED, False)
    assert heard[0].seconds < 1
    assert heard[0].started > 0


def test_one_cancelled_before_its_first_turn_took_no_time():
    async def never(_):
        pass

    heard = []

    async def main():
        under_way = made([never], lambda i, o: heard.append(o))
        under_way.running[0].task.cancel()
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
    assert heard[0].reason == CRASHED
    assert heard[0].seconds < 1


def test_waiting_may_be_cancelled_and_taken_up_again():
    heard = []

    async def main():
        released = asyncio.Event()

        async def answer(_):
            await released.wait()
            return "in time"

        under_way = made([answer], lambda i, o: heard.append(o))
        for _ in range(2):
            waiting = asyncio.ensure_future(under_way.wait())
            await turns()
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        released.set()
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
    assert heard[0].value == "in time"


def test_waiting_again_comes_back_though_all_ended_in_between():
    async def main():
        released = asyncio.Event()

        async def answer(_):
            await released.wait()

        under_way = made([answer], lambda *_: None)
        waiting = asyncio.ensure_future(under_way.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        released.set()
        await turns()
        await asyncio.wait_for(under_way.wait(), LONG)
        under_way.drop()

    asyncio.run(main())


def test_time_that_the_telling_takes_makes_no_call_late():
    async def quick(_):
        return "quick"

    async def honest(_):
        # Its last step comes right after the telling of the first.
        await asyncio.sleep(0)
        return "honest"

    def hold_up(_index, outcome):
        heard.append(outcome)
        if outcome.value == "quick":
            time.sleep(0.8)

    heard = []

    async def main():
        under_way = made([quick, honest], hold_up, 0.6)
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
    assert [(o.value, o.reason) for o in heard] == [("quick", None), ("honest", None)]


def test_a_value_that_was_told_is_not_kept():
    class Large:
        pass

    alive = []

    async def large(_):
        value = Large()
        alive.append(weakref.ref(value))
        return value

    async def main():
        released = asyncio.Event()

        async def other(_):
            await released.wait()

        under_way = made([large, other], lambda *_: None)
        await turns()
        gc.collect()
        assert alive[0]() is None
        released.set()
        await under_way.wait()
        under_way.drop()

    asyncio.run(main())
