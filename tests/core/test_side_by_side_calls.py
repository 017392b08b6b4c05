"""Whatever a callable does, its caller comes back in time with an outcome."""

import asyncio
import contextlib
import contextvars
import functools
import subprocess
import sys
import threading
import time

import pytest

from quorate.core import calls, limits
from quorate.core.calls import CRASHED, TIMEOUT, Call, Callee, call_all, run_blocking
from quorate.core.errors import OperationalError, UsageError

SOON = 0.1
LIMIT = 0.8
LONG = 30.0


def outcomes(*functions, timeout=None, argument=None):
    timeouts = timeout if isinstance(timeout, tuple) else (timeout,) * len(functions)
    pairs = zip(functions, timeouts, strict=True)
    asked = [Call(Callee(f"c{i}", f), argument, t) for i, (f, t) in enumerate(pairs)]
    return asyncio.run(call_all(asked))


class Waiter:
    """A plain callable that hangs until it is released."""

    def __init__(self):
        self.release = threading.Event()
        self.calls = 0

    def __call__(self, _argument):
        self.calls += 1
        self.release.wait(LONG)
        return "late"


@pytest.fixture
def waiter():
    waiter = Waiter()
    yield waiter
    waiter.release.set()


def until(condition):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_values_come_in_the_order_of_the_calls():
    async def slow(x):
        await asyncio.sleep(0.05)
        return ("slow", x)

    class Awaitable:
        async def __call__(self, x):
            return ("object", x)

    found = outcomes(
        slow, lambda x: ("plain", x), Awaitable(), functools.partial(slow),
        slow, argument=7,
    )  # fmt: skip
    assert [o.value for o in found] == [
        ("slow", 7), ("plain", 7), ("object", 7), ("slow", 7), ("slow", 7),
    ]  # fmt: skip
    assert all(o.reason is None and o.detail == "" for o in found)
    assert found[0].seconds >= 0.04


def test_no_calls_give_no_outcomes():
    assert outcomes() == []


def test_calls_run_side_by_side():
    meeting = threading.Barrier(5, timeout=LONG)
    found = outcomes(*[lambda _: meeting.wait()] * 5, timeout=LONG)
    assert sorted(o.value for o in found) == [0, 1, 2, 3, 4]


def test_a_callee_must_be_callable():
    with pytest.raises(UsageError, match="r1 is 3, which cannot be called"):
        Callee("r1", 3)


class Sly(BaseException):
    """No Exception, so that a careless handler misses it."""


class Mute(Exception):  # noqa: N818 - a stand-in for a foreign class
    def __str__(self):
        raise ValueError("no")


class Exits(Exception):  # noqa: N818 - likewise
    def __str__(self):
        raise SystemExit(3)


class ExitsWhenNamed(type):
    def __getattribute__(cls, name):
        if name == "__name__":
            raise SystemExit(3)
        return super().__getattribute__(name)


RAISED = [
    (ValueError("bad   input\nhere"), "ValueError: bad input here"),
    (KeyError(), "KeyError"),
    (SystemExit(3), "SystemExit: 3"),
    (asyncio.CancelledError(), "CancelledError"),
    (TimeoutError("mine"), "TimeoutError: mine"),
    (KeyboardInterrupt(), "KeyboardInterrupt"),
    (GeneratorExit(), "GeneratorExit"),
    (Sly("hidden"), "Sly: hidden"),
    (Mute(), "Mute: (its message cannot be shown)"),
    (Exits(), "Exits: (its message cannot be shown)"),
    (StopIteration(5), "RuntimeError"),
    (StopIteration(Mute()), "RuntimeError"),
    (StopAsyncIteration(), "StopAsyncIteration"),
    (ValueError("\ud800"), "ValueError: \\ud800"),
]


@pytest.mark.parametrize("style", ["sync", "async", "awaitable"])
@pytest.mark.parametrize(("error", "detail"), RAISED, ids=lambda x: type(x).__name__)
def test_whatever_is_raised_is_a_crash_and_the_others_are_heard(style, error, detail):
    def plain(_):
        raise error

    async def coroutine(_):
        raise error

    def wrapped(x):
        return coroutine(x)

    function = {"sync": plain, "async": coroutine, "awaitable": wrapped}[style]
    found = outcomes(function, lambda _: "fine", timeout=LONG)
    assert found[0].reason == CRASHED
    assert found[0].value is None
    if style != "awaitable":
        assert found[0].detail.startswith(detail)
    assert found[1].value == "fine"


def test_an_exception_that_cannot_even_be_named_is_a_crash():
    # Made inside: pytest would ask for its name.
    class Nameless(Exception, metaclass=ExitsWhenNamed):  # noqa: N818 - a stand-in
        pass

    def plain(_):
        raise Nameless("x")

    async def coroutine(_):
        raise Nameless("x")

    found = outcomes(plain, coroutine)
    assert [o[:3] for o in found] == [(None, CRASHED, "an exception: x")] * 2


def test_a_crash_says_no_more_than_fits_the_record():
    def verbose(_):
        raise ValueError("é" * 10_000)

    (found,) = outcomes(verbose)
    assert len(found.detail) == limits.MAX_DETAIL_LENGTH
    assert found.detail.endswith("…")


@pytest.mark.parametrize("extra", [0, 1])
def test_a_detail_at_the_bound_and_one_past(extra):
    text = "x" * (limits.MAX_DETAIL_LENGTH - len("ValueError: ") + extra)

    def fail(_):
        raise ValueError(text)

    (found,) = outcomes(fail)
    assert len(found.detail) == limits.MAX_DETAIL_LENGTH
    assert found.detail.endswith("…") == bool(extra)


def test_a_slow_coroutine_is_cancelled_at_its_deadline():
    ended = []

    async def slow(_):
        try:
            await asyncio.sleep(LONG)
        finally:
            ended.append(True)

    started = time.monotonic()
    slow_one, quick = outcomes(slow, lambda _: 1, timeout=(SOON, LONG))
    assert time.monotonic() - started < LONG
    assert (slow_one.reason, slow_one.value, slow_one.seconds) == (TIMEOUT, None, SOON)
    assert slow_one.detail == "no answer within 0.1 s; cancelled"
    assert ended == [True]
    assert quick.value == 1


def test_a_slow_thread_is_left_behind_and_said_to_be_running(waiter):
    started = time.monotonic()
    slow_one, quick = outcomes(waiter, lambda _: 1, timeout=(SOON, LONG))
    assert time.monotonic() - started < LONG
    assert (slow_one.reason, slow_one.value) == (TIMEOUT, None)
    assert "still running" in slow_one.detail
    assert quick.value == 1


def test_each_call_has_its_own_deadline():
    async def slow(_):
        await asyncio.sleep(LONG)

    async def ready(_):
        await asyncio.sleep(0.3)
        return "ready"

    async def main():
        return await call_all(
            [
                Call(Callee("a", slow), None, 0.2),
                Call(Callee("b", ready), None, None),
                Call(Callee("c", slow), None, 0.05),
                Call(Callee("d", slow), None, 0.0),
            ]
        )

    found = asyncio.run(main())
    assert [o.reason for o in found] == [TIMEOUT, None, TIMEOUT, TIMEOUT]
    assert found[1].value == "ready"
    assert [o.seconds for o in found if o.reason] == [0.2, 0.05, 0.0]


def test_an_answer_after_the_deadline_is_none():
    async def stubborn(_):
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            return "too late"

    async def spiteful(_):
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            raise ValueError("too late") from None

    for found in outcomes(stubborn, spiteful, timeout=SOON):
        assert (found.reason, found.value) == (TIMEOUT, None)


def test_a_coroutine_that_swallows_every_cancelling_is_left_behind():
    release = []

    async def deaf(_):
        while not release:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue

    async def main():
        started = time.monotonic()
        found = await call_all([Call(Callee("deaf", deaf), None, SOON)])
        took = time.monotonic() - started
        release.append(True)
        await asyncio.sleep(0.1)
        return found, took

    (found,), took = asyncio.run(main())
    assert found.reason == TIMEOUT
    assert "still running" in found.detail
    assert took < LONG


def test_cancelling_the_caller_stops_its_children():
    seen = []

    async def child(name):
        try:
            await asyncio.sleep(LONG)
        except asyncio.CancelledError:
            seen.append(name)
            raise

    async def main():
        task = asyncio.create_task(
            call_all([Call(Callee(n, child), n, t) for n, t in (("a", None), ("b", LONG))])
        )
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
    assert sorted(seen) == ["a", "b"]


CANCELLED = "CancelledError: it cancelled its own task, or another callable did"


@pytest.mark.parametrize("timeout", [None, LONG])
def test_a_coroutine_that_cancels_its_own_task_has_crashed(timeout):
    async def at_an_await(_):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    async def at_its_end(_):
        asyncio.current_task().cancel()
        return "never heard"

    async def survivor(_):
        asyncio.current_task().cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0)
        return "heard"

    found = outcomes(at_an_await, at_its_end, survivor, lambda _: 1, timeout=timeout)
    assert [o[:3] for o in found] == [
        *[(None, CRASHED, CANCELLED)] * 2,
        ("heard", None, ""),
        (1, None, ""),
    ]


def test_a_coroutine_that_cancels_the_others_leaves_them_crashed(waiter):
    async def waits(_):
        await asyncio.sleep(LONG)

    async def cancels(caller):
        for task in asyncio.all_tasks() - {caller, asyncio.current_task()}:
            task.cancel()
        return "done"

    async def main():
        me = asyncio.current_task()
        functions = [waits, cancels, waits, waiter]
        return await call_all([Call(Callee("c", f), me, LONG) for f in functions])

    found = asyncio.run(main())
    assert [o.reason for o in found] == [CRASHED, None, CRASHED, CRASHED]
    assert {found[0].detail, found[2].detail, found[3].detail} == {CANCELLED}


def block(_):
    """A foreign step that holds up the loop past every deadline of ``LIMIT``."""
    time.sleep(1.2)


async def blocks_at_once(_):
    block(_)
    return "late"


async def blocks_after_a_sleep(_):
    await asyncio.sleep(0.05)
    block(_)
    return "late"


async def blocks_and_fails(_):
    await asyncio.sleep(0.01)
    block(_)
    raise ValueError("late")


@pytest.mark.parametrize(
    ("blocker", "position"),
    [(blocks_at_once, 0), (blocks_at_once, 4), (blocks_after_a_sleep, 2), (blocks_and_fails, 2)],
)
def test_one_that_blocks_the_loop_is_late_and_no_honest_one(blocker, position):
    async def honest(_):
        await asyncio.sleep(0.05)
        return "in time"

    async def nested(_):
        async with asyncio.timeout(LONG):
            return await honest(_)

    def thread(_):
        time.sleep(0.05)
        return "in time"

    async def quick(_):
        return "in time"

    functions = [honest, thread, nested, lambda _: quick(_)]  # noqa: PLW0108 - it is not async
    functions.insert(position, blocker)
    found = outcomes(*functions, timeout=LIMIT)
    late = found.pop(position)
    assert (late.reason, late.value, late.seconds) == (TIMEOUT, None, LIMIT)
    assert "it ended after" in late.detail
    assert [o.reason for o in found] == [None] * 4


def test_a_thread_that_returns_late_is_late_though_the_loop_was_blocked():
    def slow(_):
        time.sleep(1.0)
        return "late"

    found = outcomes(slow, blocks_after_a_sleep, timeout=LIMIT)
    assert [(o.reason, o.value) for o in found] == [(TIMEOUT, None)] * 2
    assert "it ended after" in found[0].detail


def test_a_coroutine_still_at_it_when_the_blocked_loop_comes_back_is_late():
    async def slow(_):
        await asyncio.sleep(LONG)

    async def spins(_):
        while True:  # noqa: ASYNC110 - it wants to be busy
            await asyncio.sleep(0)

    found = outcomes(slow, spins, blocks_after_a_sleep, timeout=LIMIT)
    assert [(o.reason, o.value) for o in found] == [(TIMEOUT, None)] * 3


def test_a_call_that_could_only_begin_late_has_its_whole_time():
    async def slow(_):
        await asyncio.sleep(0.1)
        return "in time"

    async def hangs(_):
        await asyncio.sleep(LONG)

    started = time.monotonic()
    found = outcomes(blocks_at_once, slow, hangs, timeout=LIMIT)
    assert [o.value for o in found] == [None, "in time", None]
    assert 2.0 <= time.monotonic() - started < LONG


def test_hung_threads_of_one_callable_are_bounded(monkeypatch, waiter):
    monkeypatch.setattr(limits, "MAX_CALLS_PER_REPLICA", 3)
    callee = Callee("hung", waiter)

    async def main():
        hung = await call_all([Call(callee, None, SOON)] * 3)
        refused = await call_all([Call(callee, None, SOON)])
        other = await call_all([Call(Callee("other", lambda _: 1), None, LONG)])
        return hung, refused, other

    hung, (refused,), (other,) = asyncio.run(main())
    assert [o.reason for o in hung] == [TIMEOUT] * 3
    assert refused.reason == CRASHED
    assert "3 earlier calls of it are still running" in refused.detail
    until(lambda: waiter.calls == 3)
    assert other.value == 1
    # They return long after the loop that called them is gone, and still make room.
    waiter.release.set()
    until(lambda: not callee.running)
    assert asyncio.run(call_all([Call(callee, None, LONG)]))[0].value == "late"


def test_threads_are_used_again():
    names = set()

    def note(_):
        names.add(threading.current_thread().name)
        return threading.get_ident()

    async def main():
        found = []
        for _ in range(20):
            found += await call_all([Call(Callee("n", note), None, None)])
            await asyncio.sleep(0.002)
        return {o.value for o in found}

    assert len(asyncio.run(main())) < 10
    assert names == {"quorate-call"}


def test_context_variables_reach_a_thread():
    variable = contextvars.ContextVar("variable", default="unset")

    async def main():
        variable.set("set")
        return await call_all([Call(Callee("v", lambda _: variable.get()), None, None)])

    assert asyncio.run(main())[0].value == "set"


def test_run_blocking_returns_values_and_raises_errors():
    async def value():
        return threading.current_thread().name

    async def error():
        raise KeyError("here")

    assert run_blocking(value()) == "quorate-loop"
    with pytest.raises(KeyError, match="here"):
        run_blocking(error())


def test_run_blocking_works_inside_another_running_loop():
    async def inner():
        return 5

    async def outer():
        return run_blocking(inner())

    assert asyncio.run(outer()) == 5


def test_run_blocking_inside_its_own_loop_is_refused_instead_of_hanging():
    async def inner():
        return 5

    async def expert(_):
        return run_blocking(inner())

    found = run_blocking(call_all([Call(Callee("e", expert), None, LONG)]))
    assert found[0].reason == CRASHED
    assert "await its async twin" in found[0].detail


def test_a_plain_expert_may_block_on_the_loop_that_calls_it():
    async def inner():
        return 5

    found = run_blocking(call_all([Call(Callee("e", lambda _: run_blocking(inner())), None, LONG)]))
    assert found[0].value == 5


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Sly, GeneratorExit])
def test_no_expert_can_end_the_background_loop(error):
    def plain(_):
        raise error

    async def coroutine(_):
        raise error

    calls = [Call(Callee("p", plain), None, 5), Call(Callee("c", coroutine), None, 5)]
    assert [o.reason for o in run_blocking(call_all(calls))] == [CRASHED] * 2
    assert run_blocking(asyncio.sleep(0, "alive")) == "alive"


async def stops(_):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "went on"


async def lets_an_exit_escape(_):
    asyncio.get_running_loop().call_soon(sys.exit)
    await asyncio.sleep(0.01)
    return "went on"


async def lets_a_task_exit(_):
    async def leave():
        raise KeyboardInterrupt

    left = asyncio.create_task(leave())
    await asyncio.wait([left])
    left.exception()
    return "went on"


def in_time(function):
    """Call it in a thread, so that a test fails where it would hang."""
    found = []

    def work():
        try:
            found.append(function())
        except BaseException as error:  # noqa: BLE001
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(5)
    assert found, "it hangs"
    return found[0]


def close_by_force(loop):
    def close():
        loop._thread_id = None
        loop.close()

    loop.call_soon_threadsafe(close)


def break_its_select(loop):
    def select(_timeout):
        raise OSError(9, "Bad file descriptor")

    loop.call_soon_threadsafe(setattr, loop._selector, "select", select)


@pytest.fixture
def background(monkeypatch):
    """A loop of the test's own: what breaks it stays in the test."""
    fresh = calls._BackgroundLoop()
    monkeypatch.setattr(calls, "_background", fresh)
    yield fresh
    close_by_force(fresh._loop)
    fresh._thread.join(5)


@pytest.mark.parametrize("function", [stops, lets_an_exit_escape, lets_a_task_exit])
@pytest.mark.usefixtures("background")
def test_the_background_loop_runs_on_whatever_a_callable_does_to_it(function):
    async def honest(_):
        await asyncio.sleep(0.05)
        return 1

    asked = [Call(Callee("f", f), None, 3) for f in (function, honest, lambda _: 2)]
    found = in_time(lambda: run_blocking(call_all(asked)))
    assert [o.value for o in found] == ["went on", 1, 2]
    assert in_time(lambda: run_blocking(asyncio.sleep(0, "alive"))) == "alive"


@pytest.mark.parametrize("breaks", [close_by_force, break_its_select])
def test_a_broken_background_loop_fails_its_waiters_and_is_replaced(breaks, background):
    assert run_blocking(asyncio.sleep(0, "alive")) == "alive"
    loop = background._loop
    threading.Timer(0.1, breaks, [loop]).start()
    error = in_time(lambda: run_blocking(asyncio.sleep(LONG)))
    assert isinstance(error, OperationalError)
    assert "was stopped by a callable" in str(error)
    assert in_time(lambda: run_blocking(asyncio.sleep(0, "alive"))) == "alive"
    assert background._loop is not loop
    assert not background._waiting


@pytest.mark.usefixtures("background")
def test_a_callable_that_cancels_every_task_ends_the_blocking_call_with_an_error():
    async def cancels(_):
        for task in asyncio.all_tasks():
            task.cancel()

    error = in_time(lambda: run_blocking(call_all([Call(Callee("c", cancels), None, LONG)])))
    assert isinstance(error, OperationalError)
    assert "was cancelled by a callable" in str(error)


FORKED = """
import os, threading, warnings
from quorate.core.calls import Call, Callee, call_all, run_blocking
warnings.simplefilter("ignore")
def call():
    return run_blocking(call_all([Call(Callee("f", lambda x: x + 1), 1, 20.0)]))[0].value
assert call() == 2
if (child := os.fork()) == 0:
    os._exit(0 if call() == 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert call() == 2
"""

HUNG = """
import threading
from quorate.core.calls import Call, Callee, call_all, run_blocking
call = Call(Callee("h", lambda _: threading.Event().wait()), 1, 0.1)
print(run_blocking(call_all([call]))[0].reason)
"""


@pytest.mark.parametrize(
    ("script", "says"), [(FORKED, ""), (HUNG, "timeout\n")], ids=["forked", "hung at exit"]
)
def test_in_a_process_of_its_own(script, says):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, says, "")
