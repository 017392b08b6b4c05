"""Call untrusted callables side by side, each with its deadline, and always come back.

Theory of operation. A coroutine function runs in the event loop and is cancelled at its
deadline. A plain function runs in a daemon thread, which Python cannot stop: at its
deadline it is left behind and said to be still running, and a callable with too many
such calls is not called again until some return. Whatever a callable does, the caller
gets an :class:`Outcome`: a value, or a reason why there is none. :func:`call_all` waits for
all of them; :class:`Calls` tells of each as it ends, and can stop the rest.

Lateness is judged by time stamps, and not by who is looked at first. A thread stamps its
own end, so nothing that holds up the loop can make it late. A coroutine that blocks the
loop past its deadline is late; another that only could not run meanwhile gets a few turns
of the loop to end in. That is a courtesy, for the two cannot always be told apart: an
async callable must not block.

The blocking doors share one loop in a daemon thread. A callable that stops that loop, or
makes an exit escape into it, holds nobody up: it is run on. One that breaks it for good
fails the calls that wait for it, and the next call gets a new loop.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import inspect
import os
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import shortened
from quorate.core.threads import threads

T = TypeVar("T")

CRASHED: Final = "crashed"
TIMEOUT: Final = "timeout"
STOPPED: Final = "stopped"

_CANCEL_GRACE_SECONDS: Final = 0.5
_LAST_TURNS: Final = 8
_SHORTEST_WAIT_SECONDS: Final = 0.001


class Outcome(NamedTuple):
    """What came of one call.

    Attributes:
        value: what the callable returned; ``None`` where ``reason`` is given.
        reason: ``None``, ``"crashed"``, ``"timeout"``, or ``"stopped"`` by the caller.
        detail: for people; one line, at most ``limits.MAX_DETAIL_LENGTH`` characters.
        seconds: wall time from the start of the call to its end, or to its deadline.
        started: when its first turn came (``time.monotonic``).
        running: it was given up, and still runs.
    """

    value: Any = None
    reason: str | None = None
    detail: str = ""
    seconds: float = 0.0
    started: float = 0.0
    running: bool = False


class NotBegunError(asyncio.CancelledError):
    """What a callable raises that is cancelled while it waits to begin: an absence says why.

    Attributes:
        why: what it waited for, such as ``"no process was free"``.
        remedy: what to do about it.
    """

    def __init__(self, why: str, remedy: str) -> None:
        """Hold both."""
        super().__init__(f"{why}; {remedy}")
        self.why = why
        self.remedy = remedy


class Callee:
    """One callable, sync or async, and the calls of it that are still running in threads."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        """Wrap ``function``; ``name`` is what errors and threads call it.

        Raises:
            UsageError: not callable.
        """
        if not callable(function):
            raise UsageError(f"{name} is {function!r}, which cannot be called")
        self.name = name
        self.function = function
        call = getattr(function, "__call__", None)  # noqa: B004 - for objects with an async __call__
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        self.running: set[object] = set()


@dataclass(slots=True)
class Call:
    """One call to make: the callee, its one argument, and seconds until its deadline."""

    callee: Callee
    argument: Any
    timeout: float | None = None


class _Progress:
    """When the loop was last seen to get on with a set of calls (``time.monotonic``)."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = 0.0


class _Running:
    """A call being made.

    Attributes:
        index: its place among the calls.
        task: what makes it, where it has a task of its own.
        started: when (``time.monotonic``); 0 while it waits for its first turn.
        ended: when its thread returned, stamped there; 0 for a coroutine.
        threaded: whether it is in a thread at this moment.
        late: its deadline passed before it ended.
        stopped: the caller stopped it before it ended.
        told: its outcome was told.
    """

    __slots__ = (
        "call", "ended", "index", "late", "progress", "started", "stopped", "task", "threaded",
        "told",
    )  # fmt: skip

    task: asyncio.Task[Outcome]

    def __init__(self, call: Call, progress: _Progress, index: int = 0) -> None:
        self.call = call
        self.index = index
        self.progress = progress
        self.started = self.ended = 0.0
        self.threaded = self.late = self.stopped = self.told = False

    def seconds(self) -> float:
        """Wall time of the call, which has just ended; finds out whether it was late."""
        timeout, progress = self.call.timeout, self.progress
        if self.ended:
            seconds = self.ended - self.started
            if timeout is not None and seconds > timeout:
                self.late = True
            return seconds
        now = time.monotonic()
        seconds = now - self.started
        # If the loop is known to have come back only after the deadline, another held it up.
        if timeout is not None and seconds > timeout >= progress.seen - self.started:
            self.late = True
        progress.seen = now
        return seconds

    def left(self, now: float, timeout: float) -> float:
        """Seconds until it can be called late, 0 or less if it can."""
        if not self.started:
            return timeout
        if self.ended and self.ended - self.started <= timeout:
            # Its thread returned in time, and what it returned is on its way.
            return _SHORTEST_WAIT_SECONDS
        return self.started + timeout - now


async def call_all(calls: Sequence[Call]) -> list[Outcome]:
    """Make all ``calls`` side by side; one outcome each, in the order given.

    Returns when every call has ended or passed its deadline, which runs from the start of
    that call. An answer after the deadline is none. If this coroutine is cancelled, every
    call still running is cancelled with it. A call cancelled by anyone else, itself
    included, has crashed.

    An async callable must not block: no deadline can end it, and all others wait for it.
    """
    made = Calls(calls)
    try:
        await made.over
    finally:
        made.drop()
    return [_outcome(each) for each in made.running]


async def call_one(call: Call) -> Outcome:
    """Make one call in the caller's own task, without a deadline.

    Its ``timeout`` is not looked at. A callable that cancels its task cancels the caller.
    """
    return await _guarded(_Running(call, _Progress()))


class Calls:
    """Calls under way side by side, with one timer for each different deadline.

    ``asyncio.wait`` would do, at twice the cost of all else in a round of quick replicas.

    Attributes:
        running: the calls, in the order given.
        over: done when every call has ended, or was given up after its grace.
    """

    def __init__(
        self, calls: Sequence[Call], told: Callable[[int, Outcome], None] | None = None
    ) -> None:
        """Begin ``calls`` in the running loop; they are the caller's to :meth:`drop`.

        Args:
            calls: as for :func:`call_all`.
            told: called in the loop once for each call, as soon as it has ended or was
                given up, with its place among ``calls`` and its outcome. It must not raise,
                and may :meth:`stop` the rest. What it takes time for makes no call late.
        """
        self._loop = loop = asyncio.get_running_loop()
        self._told = told
        self._progress = progress = _Progress()
        self.over: asyncio.Future[None] = loop.create_future()
        self.running = running = [_Running(call, progress, i) for i, call in enumerate(calls)]
        self._open: dict[asyncio.Task[Outcome], _Running] = {}
        for each in running:
            each.task = task = loop.create_task(_guarded(each))
            self._open[task] = each
            task.add_done_callback(self._ended)
        if not running:
            self.over.set_result(None)
        self._timers: list[asyncio.Handle] = []
        timeouts = {each.call.timeout for each in running}
        for timeout in timeouts:
            if timeout is not None:
                group = running
                if len(timeouts) > 1:
                    group = [each for each in running if each.call.timeout == timeout]
                self._timers.append(loop.call_later(timeout, self._expire, timeout, group))

    async def wait(self) -> None:
        """Wait until all are over; to cancel the waiting stops no call, and one may wait again."""
        if self.over.cancelled():
            self.over = self._loop.create_future()
            if not self._open:
                self.over.set_result(None)
        await self.over

    def stop(self) -> None:
        """Cancel what still runs, and give it a moment to clean up after itself.

        What has ended by now keeps its outcome. What is already being cancelled is left to
        its cleaning up.
        """
        due = [e for e in self._open.values() if not (e.late or e.stopped or e.task.done())]
        for each in due:
            each.stopped = True
            each.task.cancel()
        if due:
            self._timers.append(self._loop.call_later(_CANCEL_GRACE_SECONDS, self._leave, due))

    def drop(self) -> None:
        """Drop the timers, and cancel what still runs, without waiting for it."""
        for timer in self._timers:
            timer.cancel()
        for task in self._open:
            task.cancel()

    def _ended(self, task: asyncio.Task[Outcome]) -> None:
        each = self._open.pop(task, None)
        # It was given up before.
        if each is None:
            return
        if self._told is not None:
            outcome = _outcome(each)
            # What is told is not kept: an answer may be large.
            each.told = True
            del each.task
            self._told(each.index, outcome)
            self._progress.seen = time.monotonic()
        if not self._open and not self.over.done():
            self.over.set_result(None)

    def _expire(self, timeout: float, group: Sequence[_Running], turns: int = _LAST_TURNS) -> None:
        """Cancel what is late, and give it a moment to clean up after itself.

        This may itself be late, if a callable held up the loop. So what has ended meanwhile
        is taken in first, and what began late has its whole time.
        """
        now = self._progress.seen = time.monotonic()
        live = [e for e in group if not (e.told or e.stopped or e.task.done())]
        left = [(each.left(now, timeout), each) for each in live]
        due = [each for seconds, each in left if seconds <= 0]
        if due and turns:
            self._timers.append(self._loop.call_soon(self._expire, timeout, live, turns - 1))
            return
        for each in due:
            each.late = True
            each.task.cancel()
        if due:
            self._timers.append(self._loop.call_later(_CANCEL_GRACE_SECONDS, self._leave, due))
        rest = [each for seconds, each in left if seconds > 0]
        if rest:
            wait = max(_SHORTEST_WAIT_SECONDS, min(seconds for seconds, _ in left if seconds > 0))
            self._timers.append(self._loop.call_later(wait, self._expire, timeout, rest))

    def _leave(self, group: Sequence[_Running]) -> None:
        """Stop waiting for tasks that do not let themselves be cancelled."""
        for each in group:
            if not each.told:
                self._ended(each.task)


def _outcome(running: _Running) -> Outcome:
    """What came of a call that has ended, or was given up."""
    if running.late or running.stopped or running.task.cancelled():
        return _missing(running)
    return running.task.result()


def _missing(running: _Running) -> Outcome:
    """Say why there is no answer: too late, or stopped, or another cancelled the task."""
    now = time.monotonic()
    started = running.started or now
    if not (running.late or running.stopped):
        detail = "CancelledError: it cancelled its own task, or another callable did"
        return Outcome(None, CRASHED, detail, now - started, started, running.threaded)
    task = running.task
    runs = running.threaded or not task.done()
    if runs:
        how = "still running, it cannot be stopped"
    elif task.cancelled():
        how = "cancelled"
    else:
        how = f"it ended after {task.result().seconds:.4g} s"
    if running.stopped:
        return Outcome(None, STOPPED, f"stopped; {how}", now - started, started, runs)
    seconds = running.call.timeout or 0.0
    waited = None if runs else _not_begun(task)
    detail = f"no answer within {seconds:g} s; {how}"
    if waited is not None:
        detail = shortened(f"{waited.why} within {seconds:g} s; {waited.remedy}")
    return Outcome(None, TIMEOUT, detail, seconds, started, runs)


def _not_begun(task: asyncio.Task[Outcome]) -> NotBegunError | None:
    """What a cancelled call says of not having begun; ``None`` where it says nothing."""
    if not task.cancelled():
        return None
    try:
        task.result()
    except NotBegunError as error:
        return error
    except asyncio.CancelledError:
        return None
    return None


async def _guarded(running: _Running) -> Outcome:
    """Run one call; everything it raises becomes an outcome, our own cancelling excepted."""
    running.started = running.progress.seen = time.monotonic()
    call = running.call
    callee = call.callee
    try:
        if callee.is_async:
            value = await callee.function(call.argument)
        else:
            value = await _threaded(running)
            if inspect.isawaitable(value):
                running.ended = 0.0
                value = await value
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Outcome(None, CRASHED, _line(error), running.seconds(), running.started)
    # What runs here is foreign code: anything it raises is its crash, never ours.
    except BaseException as error:  # noqa: BLE001
        return Outcome(None, CRASHED, _line(error), running.seconds(), running.started)
    return Outcome(value, None, "", running.seconds(), running.started)


def _line(error: BaseException) -> str:
    # An exception of foreign code may fail even at describing itself, and in any way.
    try:
        name = str(type(error).__name__)
    except BaseException:  # noqa: BLE001
        name = "an exception"
    try:
        text = " ".join(str(error).split())
    except BaseException:  # noqa: BLE001
        text = "(its message cannot be shown)"
    return shortened(f"{name}: {text}" if text else name)


async def in_thread(callee: Callee, argument: Any) -> Any:
    """Call a plain function in a daemon thread; give back what it returns, raise what it raises.

    Raises:
        RuntimeError: ``limits.MAX_CALLS_PER_REPLICA`` earlier calls of it are still running.
    """
    return await _threaded(_Running(Call(callee, argument), _Progress()))


async def _threaded(running: _Running) -> Any:
    callee = running.call.callee
    if len(callee.running) >= limits.MAX_CALLS_PER_REPLICA:
        raise RuntimeError(f"{len(callee.running)} earlier calls of it are still running")
    loop = asyncio.get_running_loop()
    # What was raised comes as a value: a future looks at an exception, in the loop's thread.
    future: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()
    token = object()

    def settle(value: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_result((value, error))

    def work() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = context.run(callee.function, running.call.argument)
        except StopIteration as stop:
            # A coroutine cannot raise StopIteration.
            error = RuntimeError(_line(stop))
        # Foreign code in a thread of ours: nothing may escape into the thread's top.
        except BaseException as raised:  # noqa: BLE001
            error = raised
        running.ended = time.monotonic()
        running.threaded = False
        callee.running.discard(token)
        # The loop may be gone by the time a late call returns; nobody waits for it then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, error)

    callee.running.add(token)
    running.threaded = True
    threads.submit(work)
    value, error = await future
    if error is not None:
        raise error
    return value


class _BackgroundLoop:
    """One event loop in a daemon thread, for the blocking doors of the async core."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start afresh, as a forked child must."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._waiting: set[concurrent.futures.Future[Any]] = set()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Have ``coroutine`` run; every future given out is settled, even if the loop breaks."""
        with self._lock:
            # One that was closed under us may not have noticed yet.
            if self._loop is None or self._loop.is_closed():
                self._fail_waiting()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="quorate-loop", daemon=True
                )
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
            self._waiting.add(future)
            return future

    def settled(self, future: concurrent.futures.Future[Any]) -> None:
        """Forget a future that nobody waits for any more."""
        with self._lock:
            self._waiting.discard(future)

    def is_current(self) -> bool:
        return threading.current_thread() is self._thread

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop on, whatever stops it, until it is broken."""
        while not loop.is_closed():
            try:
                loop.run_forever()
            # Both escape through a loop. Here they are a callable's doing: what a person or
            # the system sends, goes to the main thread.
            except (SystemExit, KeyboardInterrupt):
                continue
            # Closed between two runs, or its file descriptors are gone.
            except Exception:  # noqa: BLE001
                break
        with contextlib.suppress(Exception):
            loop.close()
        with self._lock:
            if self._loop is loop:
                self._loop = None
                self._fail_waiting()

    def _fail_waiting(self) -> None:
        for future in self._waiting:
            with contextlib.suppress(concurrent.futures.InvalidStateError):
                future.set_exception(
                    OperationalError(
                        "the event loop of the blocking calls was stopped by a callable; find "
                        "the replica or expert that closes the loop, and call again"
                    )
                )
        self._waiting.clear()


_background = _BackgroundLoop()


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on the process's background loop and wait for its result.

    Raises:
        UsageError: called from a coroutine that itself runs on that loop, where waiting
            would never end.
        OperationalError: a callable broke the loop, or cancelled what was waited for.
    """
    if _background.is_current():
        coroutine.close()
        raise UsageError("a blocking call inside an async replica or expert; await its async twin")
    future = _background.submit(coroutine)
    try:
        return future.result()
    # Nobody outside that loop can cancel this one.
    except concurrent.futures.CancelledError:
        raise OperationalError(
            "the call was cancelled by a callable; find the replica or expert that cancels "
            "tasks, and call again"
        ) from None
    except BaseException:
        future.cancel()
        raise
    finally:
        _background.settled(future)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_background.forget)
