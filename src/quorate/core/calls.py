"""Call untrusted callables side by side, each with its deadline, and always come back.

Theory of operation. A coroutine function runs in the event loop and is cancelled at its
deadline. A plain function runs in a daemon thread, which Python cannot stop: at its
deadline it is left behind and said to be still running, and a callable with too many
such calls is not called again until some return. Whatever a callable does, the caller
gets an :class:`Outcome`: a value, or a reason why there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, NamedTuple, TypeVar

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.text import shortened

T = TypeVar("T")

CRASHED: Final = "crashed"
TIMEOUT: Final = "timeout"

_CANCEL_GRACE_SECONDS: Final = 0.5


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


async def call_all(calls: Sequence[Call]) -> list[Outcome]:
    """Make all ``calls`` side by side; one outcome each, in the order given.

    Returns when every call has ended or passed its deadline. An answer after the deadline
    is none. If this coroutine is cancelled, every call still running is cancelled with it.
    """
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(_guarded(call)) for call in calls]
    waiting = _Waiting(loop, tasks, calls)
    try:
        await waiting.over
    finally:
        waiting.stop()
    return [
        _late(task, call) if task in waiting.late else task.result()
        for task, call in zip(tasks, calls, strict=True)
    ]


async def call_one(call: Call) -> Outcome:
    """Make one call without a deadline; its ``timeout`` is not looked at."""
    return await _guarded(call)


class _Waiting:
    """Waits for tasks, with one timer for each different deadline.

    ``asyncio.wait`` would do, at twice the cost of all else in a round of quick replicas.

    Attributes:
        over: done when every task has ended, or passed its deadline and its grace.
        late: tasks that passed their deadline.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: Sequence[asyncio.Task[Outcome]],
        calls: Sequence[Call],
    ) -> None:
        self.over: asyncio.Future[None] = loop.create_future()
        self.late: set[asyncio.Task[Outcome]] = set()
        self._loop = loop
        self._open = set(tasks)
        for task in tasks:
            task.add_done_callback(self._ended)
        if not tasks:
            self.over.set_result(None)
        self._timers = [
            loop.call_later(
                timeout,
                self._expire,
                [t for t, c in zip(tasks, calls, strict=True) if c.timeout == timeout],
            )
            for timeout in {call.timeout for call in calls}
            if timeout is not None
        ]

    def _ended(self, task: asyncio.Task[Outcome]) -> None:
        self._open.discard(task)
        if not self._open and not self.over.done():
            self.over.set_result(None)

    def _expire(self, tasks: Sequence[asyncio.Task[Outcome]]) -> None:
        """Cancel what is late, and give it a moment to clean up after itself."""
        late = [task for task in tasks if task in self._open]
        for task in late:
            self.late.add(task)
            task.cancel()
        self._timers.append(self._loop.call_later(_CANCEL_GRACE_SECONDS, self._leave, late))

    def _leave(self, tasks: Sequence[asyncio.Task[Outcome]]) -> None:
        """Stop waiting for tasks that do not let themselves be cancelled."""
        for task in tasks:
            self._ended(task)

    def stop(self) -> None:
        """Drop the timers, and cancel what still runs."""
        for timer in self._timers:
            timer.cancel()
        for task in self._open:
            task.cancel()


def _late(task: asyncio.Task[Outcome], call: Call) -> Outcome:
    seconds = call.timeout or 0.0
    how = "cancelled"
    if not call.callee.is_async or not task.done():
        how = "still running, it cannot be stopped"
    return Outcome(None, TIMEOUT, f"no answer within {seconds:g} s; {how}", seconds)


async def _guarded(call: Call) -> Outcome:
    """Run one call; everything it raises becomes an outcome, our own cancelling excepted."""
    started = time.monotonic()
    callee = call.callee
    try:
        if callee.is_async:
            value = await callee.function(call.argument)
        else:
            value = await in_thread(callee, call.argument)
            if inspect.isawaitable(value):
                value = await value
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Outcome(reason=CRASHED, detail=_line(error), seconds=time.monotonic() - started)
    # What runs here is foreign code: anything it raises is its crash, never ours.
    except BaseException as error:  # noqa: BLE001
        return Outcome(reason=CRASHED, detail=_line(error), seconds=time.monotonic() - started)
    return Outcome(value=value, seconds=time.monotonic() - started)


def _line(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    # An exception of foreign code may fail even at describing itself.
    except Exception:  # noqa: BLE001
        text = "(its message cannot be shown)"
    return shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__)


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


def in_thread(callee: Callee, argument: Any) -> Awaitable[Any]:
    """Call a plain function in a daemon thread; what it returns or raises comes as a future.

    Raises:
        RuntimeError: ``limits.MAX_CALLS_PER_REPLICA`` earlier calls of it are still running.
    """
    if len(callee.running) >= limits.MAX_CALLS_PER_REPLICA:
        raise RuntimeError(f"{len(callee.running)} earlier calls of it are still running")
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()
    token = object()

    def settle(value: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def work() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = context.run(callee.function, argument)
        except StopIteration as stop:
            # A future refuses to carry StopIteration.
            error = RuntimeError(f"StopIteration: {stop}")
        # Foreign code in a thread of ours: nothing may escape into the thread's top.
        except BaseException as raised:  # noqa: BLE001
            error = raised
        callee.running.discard(token)
        # The loop may be gone by the time a late call returns; nobody waits for it then.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, value, error)

    callee.running.add(token)
    _threads.submit(work)
    return future


class _BackgroundLoop:
    """One event loop in a daemon thread, for the blocking doors of the async core."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._loop.run_forever, name="quorate-loop", daemon=True
                )
                self._thread.start()
            return self._loop

    def is_current(self) -> bool:
        return threading.current_thread() is self._thread


_background = _BackgroundLoop()


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine`` on the process's background loop and wait for its result.

    Raises:
        UsageError: called from a coroutine that itself runs on that loop, where waiting
            would never end.
    """
    if _background.is_current():
        coroutine.close()
        raise UsageError("a blocking call inside an async replica or expert; await its async twin")
    future = asyncio.run_coroutine_threadsafe(coroutine, _background.get())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.forget)
    os.register_at_fork(after_in_child=_background.forget)
