"""Where a run takes its tasks from, without ever waiting for them in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from quorate.core.calls import Callee, in_thread
from quorate.core.errors import OperationalError, UsageError
from quorate.hub.lines import Task
from quorate.hub.sink import DASH


class Source:
    """Tasks one by one. Standard input is read in a thread, for it may keep us waiting."""

    def __init__(self, tasks: Iterator[Task], *, blocking: bool) -> None:
        """Take from ``tasks``, in a thread if getting one may be ``blocking``."""
        self._tasks = tasks
        self._reader = Callee("tasks", lambda _: next(tasks, None)) if blocking else None
        self._reading: asyncio.Future[Task | None] | None = None
        self._ended = False
        self._error: UsageError | None = None

    def take(self) -> Task | None:
        """The next task if it is there now; ``None`` if not, or if there are no more."""
        if self._ended:
            return None
        task = None
        try:
            if self._reader is None:
                task = next(self._tasks, None)
            elif self._reading is not None and self._reading.done():
                task, self._reading = self._reading.result(), None
            else:
                return None
        except UsageError as error:
            self._error = error
        self._ended = task is None
        return task

    def raise_error(self) -> None:
        """Raise what was wrong with the line after the last task, if anything was.

        Raises:
            UsageError: as :func:`~quorate.hub.lines.read_tasks`.
        """
        if self._error is not None:
            raise self._error

    def pending(self, *, wanted: bool) -> set[asyncio.Future[Any]]:
        """What to wait for until the next task is there; empty if none will come."""
        if self._reader is None or self._ended:
            return set()
        if self._reading is None and wanted:
            self._reading = asyncio.ensure_future(in_thread(self._reader, None))
        return set() if self._reading is None else {self._reading}


@contextlib.contextmanager
def open_tasks(name: str) -> Iterator[BinaryIO]:
    """Open a file of tasks; ``-`` is standard input.

    Raises:
        OperationalError: it cannot be read.
    """
    try:
        if name == DASH:
            # A reader of its own: the interpreter must not find sys.stdin locked at its end
            # by a thread that still waits in it.
            file = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - closed below
        else:
            file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise OperationalError(f"the tasks {name} cannot be read: {error.strerror}") from error
    try:
        yield file
    except BaseException:
        # A thread may still wait for the next line of a pipe, and closing would wait for it.
        if file.seekable():
            file.close()
        raise
    file.close()
