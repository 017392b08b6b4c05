"""Call untrusted callables side by side, each with its deadline, and always come back.

Theory of operation. A coroutine function runs in the event loop and is cancelled at its
deadline. A plain function runs in a daemon thread, which Python cannot stop: at its
deadline it is left behind and said to be still running, and a callable with too many
such calls is not called again until some return. Whatever a callable does, the caller
gets an :class:`Outcome`: a value, or a reason why there is none.

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
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import shortened

T = TypeVar("T")

CRASHED: Final = "crashed"
TIMEOUT: Final = "timeout"

_CANCEL_GRACE_SECONDS: Final = 0.5
_LAST_TURNS: Final = 8
_SHORTEST_WAIT_SECONDS: Final = 0.001


class Outcome(NamedTuple):
    """What came of one call.

    Attributes:
        value: what the callable returned; ``None`` where ``reason`` is given.
        reason: ``None``, ``"crashed"`` or ``"timeout"``.
        detail: for people; one line, at most ``limits.MAX_DETAIL_LENGTH`` characters.
        seconds: wall time from the start of the call to its end, or to its deadline.
    """

    value: Any = None
    reason: str | None = None
    detail: str = ""
    seconds: float = 0.0


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
        task: what makes it, where it has a task of its own.
        started: when (``time.monotonic``); 0 while it waits for its first turn.
        ended: when its thread returned, stamped there; 0 for a coroutine.
        late: its deadline passed before it ended.
    """

    __slots__ = ("call", "ended", "late", "progress", "started", "task")

    task: asyncio.Task[Outcome]

    def __init__(self, call: Call, progress: _Progress) -> None:
        self.call = call
        self.progress = progress
        self.started = self.ended = 0.0
        self.late = False

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
    loop = asyncio.get_running_loop()
    progress = _Progress()
    running = [_Running(call, progress) for call in calls]
    for each in running:
        each.task = loop.create_task(_guarded(each))
    waiting = _Waiting(loop, running, progress)
    try:
        await waiting.over
    finally:
        waiting.stop()
    return [
        _missing(each) if each.late or each.task.cancelled() else each.task.result()
        for each in running
    ]


async def call_one(call: Call) -> Outcome:
    """Make one call in the caller's own task, without a deadline.

    Its ``timeout`` is not looked at. A callable that cancels its task cancels the caller.
    """
    return await _guarded(_Running(call, _Progress()))


class _Waiting:
    """Waits for tasks, with one timer for each different deadline.

    ``asyncio.wait`` would do, at twice the cost of all else in a round of quick replicas.

    Attributes:
        over: done when every task has ended, or passed its deadline and its grace.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, running: Sequence[_Running], progress: _Progress
    ) -> None:
        self.over: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._progress = progress
        self._open = {each.task for each in running}
        for task in self._open:
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

    def _ended(self, task: asyncio.Task[Outcome]) -> None:
        self._open.discard(task)
        if not self._open and not self.over.done():
            self.over.set_result(None)

    def _expire(self, timeout: float, group: Sequence[_Running], turns: int = _LAST_TURNS) -> None:
        """Cancel what is late, and give it a moment to clean up after itself.

        This may itself be late, if a callable held up the loop. So what has ended meanwhile
        is taken in first, and what began late has its whole time.
        """
        now = self._progress.seen = time.monotonic()
        left = [(each.left(now, timeout), each) for each in group if not each.task.done()]
        due = [each for seconds, each in left if seconds <= 0]
        if due and turns:
            rest = [each for _, each in left]
            self._timers.append(self._loop.call_soon(self._expire, timeout, rest, turns - 1))
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
            self._ended(each.task)

    def stop(self) -> None:
        """Drop the timers, and cancel what still runs."""
        for timer in self._timers:
            timer.cancel()
        for task in self._open:
            task.cancel()


def _missing(running: _Running) -> Outcome:
    """Say why there is no answer: it came late or not at all, or the task was cancelled."""
    if not running.late:
        detail = "CancelledError: it cancelled its own task, or another callable did"
        return Outcome(None, CRASHED, detail, time.monotonic() - running.started)
    task, seconds = running.task, running.call.timeout or 0.0
    if not task.done() or not (running.call.callee.is_async or running.ended):
        how = "still running, it cannot be stopped"
    elif task.cancelled():
        how = "cancelled"
    else:
        how = f"it ended after {task.result().seconds:.4g} s"
    return Outcome(None, TIMEOUT, f"no answer within {seconds:g} s; {how}", seconds)


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
        return Outcome(None, CRASHED, _line(error), running.seconds())
    # What runs here is foreign code: anything it raises is its crash, never ours.
    except BaseException as error:  # noqa: BLE001
        return Outcome(None, CRASHED, _line(error), running.seconds())
    return Outcome(value, None, "", running.seconds())


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


class _DaemonThreads:
    """Threads that are reused, and that never keep the process from ending.

    ``concurrent.futures`` joins its threads at exit, so one callable that hangs would
    hang the whole process there.
    """

    _MOST_IDLE: Final = 64

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start afresh, as a forked child must: it has none of its parent's threads."""
        self._lock = threading.Lock()
        self._idle: deque[SimpleQueue[Callable[[], None]]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        with self._lock:
            inbox = self._idle.pop() if self._idle else None
        if inbox is None:
            inbox = SimpleQueue()
            threading.Thread(
                target=self._serve, args=(inbox,), name="quorate-call", daemon=True
            ).start()
        inbox.put(work)

    def _serve(self, inbox: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            inbox.get()()
            with self._lock:
                if len(self._idle) >= self._MOST_IDLE:
                    return
                self._idle.append(inbox)


_threads = _DaemonThreads()


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
        callee.running.discard(token)
        # The loop may be gone by the time a late call returns; nobody waits for it then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, error)

    callee.running.add(token)
    _threads.submit(work)
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
    os.register_at_fork(after_in_child=_threads.forget)
    os.register_at_fork(after_in_child=_background.forget)
