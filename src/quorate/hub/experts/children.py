"""A pool of child processes that answer JSON lines.

A child reads one request a line from its standard input and writes one answer a line to
its standard output::

    {"id": 1, "input": ...}
    {"id": 1, "payload": ..., "confidence": 0.9}      or   {"id": 1, "error": "why"}

It is asked one request at a time, and lives on to be asked again. What it writes to
standard error is read away; the last of it goes into the error if the child fails.

Theory of operation. The pipes are plain non-blocking descriptors, looked at by whichever
event loop makes a call, and only while it does. So a child belongs to no loop: calls may
come from one loop after another, and from several at once. A call that does not end well
(cancelled, overtime, misbehaving) leaves its child in an unknown state, so the child is
killed at once, without waiting for anything, and the next call starts another. Each
child leads a session of its own, and is killed with all processes in it.

Standard input ends when this process does, even by SIGKILL: a child that then exits, as
programs that read lines do, never outlives it. One that is busy or hangs is killed with
this process where that can be had; :mod:`quorate.hub.experts.launch` tells where. What it
started itself may live on.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quorate.arbitration.forms import shown, text
from quorate.core import limits
from quorate.core.calls import NotBegunError
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.hub.experts.checks import whole
from quorate.hub.experts.child import Child
from quorate.hub.experts.secret import inherited


class _Slots:
    """Counts free places; who finds none waits in line, in whatever event loop."""

    def __init__(self, places: int) -> None:
        self._lock = threading.Lock()
        self._free = places
        self._line: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    async def acquire(self) -> None:
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._free:
                self._free -= 1
                return
            place = (loop, loop.create_future())
            self._line.append(place)
        try:
            await place[1]
        except BaseException:
            if place[1].done() and not place[1].cancelled():
                self.release()
            else:
                # Not in line any more: it is being given the place, and will pass it on.
                with self._lock, contextlib.suppress(ValueError):
                    self._line.remove(place)
            raise

    def release(self) -> None:
        with self._lock:
            while self._line:
                loop, future = self._line.popleft()
                # A loop that was closed calls nobody.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._give, future)
                    return
            self._free += 1

    def _give(self, future: asyncio.Future[None]) -> None:
        if future.done():
            self.release()
        else:
            future.set_result(None)


class Children:
    """Up to ``processes`` children with one command, started when they are needed."""

    def __init__(
        self,
        command: Iterable[str],
        *,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        processes: int = 1,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            command: program and arguments; no shell reads them.
            cwd: folder they run in; ``None``: that of this process.
            env: variables set for them besides those of this process; of these they do not
                get what other experts name as theirs, their secrets.
            processes: most that run at once, 1 to ``limits.MAX_CHILD_PROCESSES``.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        self.command = _words(command)
        self._cwd = None if cwd is None else Path(cwd)
        self._env = _variables({} if env is None else env)
        self._slots = _Slots(whole(processes, "processes", 1, limits.MAX_CHILD_PROCESSES))
        self._lock = threading.Lock()
        self._idle: list[tuple[int, Child]] = []
        self._living: set[Child] = set()
        self._generation = 0
        # When nobody closes it: at the end of this process, or of this object.
        weakref.finalize(self, _kill_all, self._living)

    async def ask(self, task: Any) -> dict[str, Any]:
        """Put one task's input (a JSON value) to a child, waiting for a free one.

        Returns:
            The JSON object it answered, without the id.

        Raises:
            MisbehaviourError: what it wrote is no answer to this request.
            TransportError: it cannot be started, ended, or wrote too much.
        """
        encoded = canonical(task)
        try:
            await self._slots.acquire()
        except asyncio.CancelledError as error:
            raise NotBegunError("no process was free", "raise processes") from error
        child: Child | None = None
        try:
            generation, child = self._take()
            reply = await child.ask(encoded)
        except BaseException:
            if child is not None:
                self._discard(child)
            raise
        else:
            self._give_back(generation, child)
            return reply
        finally:
            self._slots.release()

    async def aclose(self) -> None:
        """End the children that nobody is asking; the others end after their answer."""
        with self._lock:
            self._generation += 1
            idle, self._idle = self._idle, []
        try:
            await asyncio.gather(*(child.end() for _, child in idle))
        finally:
            for _, child in idle:
                self._discard(child)

    def pids(self) -> list[int]:
        """Process numbers of the children that live, in order."""
        return sorted(child.process.pid for child in tuple(self._living))

    def _take(self) -> tuple[int, Child]:
        """An idle child that lives, or a new one."""
        with self._lock:
            generation = self._generation
            ended = [each for each in self._idle if each[1].has_exited()]
            self._idle = [each for each in self._idle if each not in ended]
            taken = self._idle.pop() if self._idle else None
        for _, child in ended:
            self._discard(child)
        if taken is not None:
            if taken[1].is_fit():
                return taken
            self._discard(taken[1])
        child = Child(self.command, self._cwd, inherited(self._env))
        with self._lock:
            self._living.add(child)
        return generation, child

    def _give_back(self, generation: int, child: Child) -> None:
        with self._lock:
            if generation == self._generation:
                self._idle.append((generation, child))
                return
        self._discard(child)

    def _discard(self, child: Child) -> None:
        with self._lock:
            self._living.discard(child)
        child.kill()


def _kill_all(living: set[Child]) -> None:
    for child in tuple(living):
        child.kill(wait=True)


def _words(command: Iterable[str]) -> list[str]:
    if isinstance(command, str | bytes) or not isinstance(command, Iterable):
        raise UsageTypeError(
            f'the command is {shown(command)}; give a list of words, such as ["python3", '
            '"expert.py"], for no shell reads it'
        )
    words = list(command)
    if not 1 <= len(words) <= limits.MAX_COMMAND_ARGUMENTS:
        raise UsageError(
            f"the command has {len(words)} words; 1 to {limits.MAX_COMMAND_ARGUMENTS} are allowed"
        )
    return [
        _word(word, "a word of the command", least=int(position == 0))
        for position, word in enumerate(words)
    ]


def _variables(env: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(env, Mapping):
        raise UsageTypeError(f"env is {shown(env)}; give a table of texts")
    found = {
        _word(key, "a name in env", least=1): _word(value, f"{shown(key)} in env")
        for key, value in env.items()
    }
    for name in found:
        if "=" in name:
            raise UsageError(f"a name in env is {shown(name)}; no variable has '=' in its name")
    return found


def _word(value: object, name: str, *, least: int = 0) -> str:
    word = text(value, name, limits.MAX_PANEL_BYTES, least=least)
    if "\0" in word:
        raise UsageError(f"{name} has a NUL character in it; take it out")
    return word
