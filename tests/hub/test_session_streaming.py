"""A session hands out what comes as it comes, and really stops the rest."""

import asyncio
import contextlib
import gc
import threading
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.arbitration import Absence, Proposal
from quorate.core import calls
from quorate.core.errors import OperationalError, UsageError, UsageTypeError
from quorate.hub import Answer, Expert, Session

LONG = 30.0


def after(seconds, payload="yes", **more):
    async def answer(_task):
        await asyncio.sleep(seconds)
        return Answer(payload, 1, **more)

    return answer


async def turns():
    """Let the loop take more turns than whatever is ready needs, however long they are."""
    for _ in range(100):
        await asyncio.sleep(0)


class Hanging:
    """An async expert that never answers, and notes that it was stopped."""

    def __init__(self, cleaning=0.0):
        self.cleaning = cleaning
        self.called = self.stopped = self.cleaned = 0

    async def __call__(self, _task):
        self.called += 1
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            self.stopped += 1
            await asyncio.sleep(self.cleaning)
            self.cleaned += 1
            raise


@pytest.fixture
def stuck():
    """A plain expert that nothing can stop, until the test is over."""
    release = threading.Event()
    began = threading.Event()

    def wait(_task):
        began.set()
        release.wait(LONG)
        return Answer("late", 1)

    wait.began = began
    yield wait
    release.set()


def ids(members):
    return [member.expert_id for member in members]


def statuses(session):
    return {span.name: span.status for span in session.spans}


def test_settled_sees_each_arrival_with_who_is_pending():
    seen = []
    first, second = asyncio.Event(), asyncio.Event()

    def settled(there):
        seen.append((ids(there), ids(there.absent), ids(there.pending)))
        (second if there.absent else first).set()
        return False

    async def fail(_task):
        await first.wait()
        raise ValueError

    async def last(_task):
        await second.wait()
        return Answer("yes", 1)

    session = Session(
        [Expert("c", after(0.01)), Expert("b", fail), Expert("a", last, weight=3)], None
    )
    got = asyncio.run(session.acollect(settled))
    assert seen == [
        (["c"], [], ["a", "b"]),
        (["c"], ["b"], ["a"]),
        (["a", "c"], ["b"], []),
    ]
    assert (ids(got), ids(got.absent), got.pending) == (["a", "c"], ["b"], ())


def test_once_settled_the_rest_is_stopped_and_stays_pending(stuck):
    hanging = Hanging(cleaning=0.05)

    async def quick(_task):
        await asyncio.to_thread(stuck.began.wait, LONG)
        return Answer("yes", 1)

    session = Session(
        [
            Expert("quick", quick),
            Expert("hangs", hanging, weight=Fraction(1, 3)),
            Expert("stuck", stuck),
        ],
        None,
    )
    started = time.monotonic()
    got = asyncio.run(session.acollect(lambda there: len(there) == 1))
    assert time.monotonic() - started < LONG
    assert (ids(got), got.absent) == (["quick"], ())
    assert [(p.expert_id, p.exact_weight) for p in got.pending] == [
        ("hangs", Fraction(1, 3)),
        ("stuck", 1),
    ]
    assert hanging.cleaned == 1
    assert statuses(session) == {
        "hangs": "cancelled",
        "quick": "answered",
        "stuck": "still_running",
    }
    assert "still running, it cannot be stopped" in session.spans[2].detail


def test_what_settled_did_not_see_is_not_returned():
    # All three have ended by the time the first is heard.
    experts = [Expert(name, after(0, name)) for name in "abc"]
    session = Session(experts, None)
    seen = []

    def settled(there):
        seen.append(there)
        return True

    got = asyncio.run(session.acollect(settled))
    assert len(seen) == 1
    assert got == seen[0]
    assert got.pending == seen[0].pending
    assert len(got) == 1
    assert len(got.pending) == 2
    assert sorted(statuses(session).values()) == ["answered", "cancelled", "cancelled"]


@pytest.mark.parametrize("raised", [ValueError("no"), SystemExit(3), StopIteration()])
def test_a_settled_that_raises_leaves_no_expert_running(raised):
    hanging = Hanging(cleaning=0.05)

    def settled(_there):
        raise raised

    async def main():
        session = Session([Expert("quick", after(0)), Expert("hangs", hanging)], None)
        # A coroutine cannot raise StopIteration.
        expected = RuntimeError if isinstance(raised, StopIteration) else type(raised)
        with pytest.raises(expected):
            await session.acollect(settled)
        assert hanging.cleaned == 1
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_settled_that_is_no_plain_function_is_refused():
    hanging = Hanging()
    waiting = asyncio.sleep(0)

    async def main():
        session = Session([Expert("quick", after(0)), Expert("hangs", hanging)], None)
        with pytest.raises(UsageTypeError, match="settled gave coroutine"):
            await session.acollect(lambda _: waiting)

    asyncio.run(main())
    waiting.close()
    assert hanging.cleaned == 1


def test_a_stream_gives_each_as_it_comes():
    heard = []
    first, second = asyncio.Event(), asyncio.Event()

    async def fail(_task):
        await first.wait()
        raise ValueError

    async def last(_task):
        await second.wait()
        return Answer("yes", 1)

    async def main():
        session = Session([Expert("a", last), Expert("b", fail), Expert("c", after(0))], None)
        async for one in session.astream():
            (second if heard else first).set()
            heard.append((type(one), one.expert_id))
        return heard, session.spans

    came, spans = asyncio.run(main())
    assert came == [(Proposal, "c"), (Absence, "b"), (Proposal, "a")]
    assert [s.name for s in spans] == ["a", "b", "c"]


def test_a_slow_reader_of_a_stream_misses_nothing():
    async def main():
        heard = []
        session = Session([Expert(f"e{n}", after(n / 100)) for n in range(5)], None)
        async for one in session.astream():
            await asyncio.sleep(0.03)
            heard.append(one.expert_id)
        return heard

    assert asyncio.run(main()) == [f"e{n}" for n in range(5)]


def test_closing_a_stream_stops_the_rest():
    hanging = Hanging(cleaning=0.05)

    async def main():
        session = Session([Expert("quick", after(0)), Expert("hangs", hanging)], None)
        async with contextlib.aclosing(session.astream()) as stream:
            async for one in stream:
                assert one.expert_id == "quick"
                break
        assert hanging.cleaned == 1
        there = session.proposals
        assert (ids(there), ids(there.pending)) == (["quick"], ["hangs"])
        assert statuses(session) == {"quick": "answered", "hangs": "cancelled"}
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_stream_that_is_forgotten_stops_the_rest_too():
    hanging = Hanging()

    async def main():
        session = Session([Expert("quick", after(0)), Expert("hangs", hanging)], None)
        async for _ in session.astream():
            break
        gc.collect()
        await turns()
        assert hanging.cleaned == 1

    asyncio.run(main())


def test_cancelling_the_reader_of_a_stream_stops_the_rest():
    hanging = Hanging(cleaning=0.05)

    async def main():
        async def read():
            async for _ in Session([Expert("hangs", hanging)], None).astream():
                pass

        reading = asyncio.ensure_future(read())
        await turns()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert hanging.cleaned == 1

    asyncio.run(main())


def test_an_expert_that_cancels_every_task_does_not_end_a_stream_quietly():
    async def main():
        me = asyncio.current_task()

        async def cancels(_task):
            for task in asyncio.all_tasks() - {me, asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(LONG)

        with pytest.raises(OperationalError, match="cancelled by a callable"):
            async for _ in Session([Expert("c", cancels)], None).astream():
                pass

    asyncio.run(main())


def test_cancel_keeps_what_was_heard():
    hanging = Hanging(cleaning=0.05)

    async def main():
        session = Session([Expert("quick", after(0)), Expert("hangs", hanging)], None)
        collecting = asyncio.ensure_future(session.acollect())
        await turns()
        session.cancel()
        return await collecting, session

    got, session = asyncio.run(main())
    assert (ids(got), got.absent, ids(got.pending)) == (["quick"], (), ["hangs"])
    assert hanging.cleaned == 1
    assert statuses(session) == {"quick": "answered", "hangs": "cancelled"}


def test_cancel_from_another_thread_ends_a_blocking_collect():
    heard = threading.Event()

    async def hangs(_task):
        await turns()
        heard.set()
        await asyncio.sleep(LONG)

    session = Session([Expert("quick", after(0)), Expert("hangs", hangs)], None)

    def cancel():
        heard.wait(LONG)
        session.cancel()

    other = threading.Thread(target=cancel)
    other.start()
    got = session.collect()
    other.join()
    assert (ids(got), ids(got.pending)) == (["quick"], ["hangs"])
    session.cancel()


def test_cancel_ends_a_stream():
    async def main():
        session = Session([Expert("quick", after(0)), Expert("hangs", Hanging())], None)
        heard = []
        async for one in session.astream():
            heard.append(one.expert_id)
            session.cancel()
        return heard

    assert asyncio.run(main()) == ["quick"]


def test_a_session_cancelled_before_it_begins_asks_nobody():
    hanging = Hanging()
    session = Session([Expert("a", hanging)], None)
    session.cancel()
    got = session.collect()
    assert (len(got), got.absent, ids(got.pending)) == (0, (), ["a"])
    assert not hanging.called
    assert statuses(session) == {"a": "cancelled"}


def test_cancel_after_the_loop_is_gone_does_nothing():
    session = Session([Expert("a", after(0))], None)
    assert len(asyncio.run(session.acollect())) == 1
    session.cancel()
    assert ids(session.proposals) == ["a"]


def test_cancelling_a_collect_waits_for_the_cleaning_up_and_goes_on():
    hanging = Hanging(cleaning=0.1)

    async def main():
        session = Session([Expert("a", hanging), Expert("quick", after(0))], None)
        collecting = asyncio.ensure_future(session.acollect())
        await turns()
        collecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await collecting
        assert hanging.cleaned == 1
        assert statuses(session) == {"a": "cancelled", "quick": "answered"}
        # A caller's own deadline is no expert's fault.
        assert session.proposals.absent == ()

    asyncio.run(main())


def test_a_second_cancelling_does_not_wait():
    hanging = Hanging(cleaning=LONG)

    async def main():
        collecting = asyncio.ensure_future(Session([Expert("a", hanging)], None).acollect())
        await turns()
        collecting.cancel()
        await turns()
        collecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await collecting
        await turns()
        assert (hanging.stopped, hanging.cleaned) == (1, 0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_one_that_cannot_be_cancelled_is_left_and_said_to_be_running(monkeypatch):
    monkeypatch.setattr(calls, "_CANCEL_GRACE_SECONDS", 0.1)
    release = []

    async def deaf(_task):
        while not release:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)

    async def main():
        session = Session([Expert("deaf", deaf), Expert("quick", after(0))], None)
        got = await session.acollect(lambda _: True)
        release.append(True)
        await asyncio.sleep(0.1)
        return got, session

    got, session = asyncio.run(main())
    assert (ids(got), ids(got.pending)) == (["quick"], ["deaf"])
    assert statuses(session) == {"deaf": "still_running", "quick": "answered"}


def test_a_session_is_run_once():
    async def main():
        session = Session([Expert("a", after(0))], None)
        assert len(await session.acollect()) == 1
        with pytest.raises(UsageError, match="run before"):
            await session.acollect()
        with pytest.raises(UsageError, match="run before"):
            await anext(session.astream())
        assert ids(session.proposals) == ["a"]

    asyncio.run(main())


@settings(max_examples=25)
@given(st.permutations(range(5)), st.permutations(range(5)))
def test_the_order_of_arrival_and_of_the_roster_changes_nothing(arrival, roster):
    turns = {}

    def expert(n):
        async def answer(_task):
            for _ in range(arrival[n] * 2):
                await asyncio.sleep(0)
            turns[n] = len(turns)
            if n == 3:
                raise ValueError
            return Answer(n % 2, Fraction(1, n + 1), n)

        return Expert(f"e{n}", answer, weight=n + 1)

    got = asyncio.run(Session([expert(n) for n in roster], None).acollect())
    assert sorted(turns, key=turns.get) == sorted(range(5), key=lambda n: arrival[n])
    assert [p.to_dict() for p in got] == [
        Proposal(f"e{n}", n % 2, Fraction(1, n + 1), n + 1, n).to_dict() for n in (0, 1, 2, 4)
    ]
    assert [a.to_dict() for a in got.absent] == [
        Absence("e3", 4, "crashed", "ValueError").to_dict()
    ]


def test_spans_tell_what_became_of_each(stuck):
    session = Session(
        [
            Expert("answers", after(0.02, cost=Fraction(1, 3), tokens=7)),
            Expert("crashes", lambda _: 1 / 0),
            Expert("dear", after(0, cost=9, tokens=4), max_cost=1),
            Expert("slow", Hanging(), timeout=0.05),
            Expert("stuck", stuck, timeout=0.05),
            Expert("void", lambda _: Answer({1, 2}, 1, 5, tokens=2)),
        ],
        None,
    )
    assert session.spans == []
    got = session.collect()
    spans = {span.name: span for span in session.spans}
    assert statuses(session) == {
        "answers": "answered",
        "crashes": "crashed",
        "dear": "over_budget",
        "slow": "timeout",
        "stuck": "still_running",
        "void": "void",
    }
    assert all(span.kind == "expert" for span in spans.values())
    assert (spans["answers"].cost, spans["answers"].tokens) == (Fraction(1, 3), 7)
    # What is spent is spent, whether the answer counts or not.
    assert (spans["dear"].cost, spans["dear"].tokens) == (9, 4)
    assert (spans["void"].cost, spans["void"].tokens) == (5, 2)
    assert spans["slow"].detail == "no answer within 0.05 s; cancelled"
    assert "still running" in spans["stuck"].detail
    assert {a.expert_id: a.reason for a in got.absent}["stuck"] == "timeout"
    assert 0 <= spans["answers"].started <= spans["answers"].ended - 0.015
    assert spans["slow"].seconds == pytest.approx(0.05)
    assert 0 < session.began <= time.monotonic()
