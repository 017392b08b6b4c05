"""The guard before every dispatch, and over what is under way.

Theory of operation. A guard is asked three times for each task: before anything is done for
it, again at the last moment before experts are asked, and as a verdict is sealed, in one with
it. So what was planned, or queued, when somebody halted is not begun, and no verdict stands
behind a halt in the log. What experts are working on
by then is watched: as long as anything is under way in an event loop, one task there looks
at the ledger every :data:`POLL_SECONDS`, and cancels all of it once there is a halt, no
matter which process sealed it. Between the last look and the first expert's turn there is
a moment in which another process can seal a halt; such a call is cancelled by the watch.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Final, TypeVar

from quorate.core.errors import QuorateError, UsageError
from quorate.hub.oversight.record import Oversight
from quorate.hub.oversight.rules import Standing
from quorate.ledger import Ledger, Receipt

T = TypeVar("T")

POLL_SECONDS: Final = 0.1
"""How often the ledger is looked at for a halt while experts are at work."""


_Running = dict[asyncio.Future[Any], QuorateError | None]
"""What is under way, and why it was stopped, if it was."""


class Guard:
    """Lets work begin, and stops it, by what the ledger says. For many threads and loops.

    Attributes:
        oversight: of the ledger; ``None`` where there is none, and nothing can be halted.
    """

    def __init__(self, ledger: Ledger | None) -> None:
        """Guard the work of ``ledger``."""
        self.oversight = None if ledger is None else Oversight(ledger)
        self._lock = threading.Lock()
        self._running: dict[asyncio.AbstractEventLoop, _Running] = {}

    def check(self) -> None:
        """Return where work may begin.

        Raises:
            HaltedError: it is halted.
            VerificationError, StoreError: whether it is cannot be told, so it may not.
        """
        if self.oversight is not None:
            self.oversight.check()

    def seal(self, items: Sequence[tuple[str, Any, str | None, str | None]]) -> list[Receipt]:
        """Seal verdicts, unless it is halted; see :meth:`~.record.Oversight.seal`.

        Raises:
            UsageError: there is no ledger to seal in; else as there.
        """
        if self.oversight is None:
            raise UsageError("there is no ledger to seal in")
        return self.oversight.seal(items)

    def by_key(self, key: str) -> Receipt | None:
        """The verdict sealed under a key; see :meth:`~.record.Oversight.by_key`.

        Raises:
            VerificationError, StoreError: as there.
        """
        return None if self.oversight is None else self.oversight.by_key(key)

    def standing(self, decision: int) -> Standing | None:
        """What people put in place of the decision of that entry; ``None`` where nobody did.

        Raises:
            VerificationError, StoreError: as :meth:`check`.
        """
        return None if self.oversight is None else self.oversight.standing(decision)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work``, unless it is halted, before or meanwhile.

        Raises:
            HaltedError: it was; ``work`` was cancelled, and what it started with it.
            VerificationError, StoreError: as :meth:`check`.
        """
        try:
            self.check()
        except BaseException:
            work.close()
            raise
        if self.oversight is None:
            return await work
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)
        running = self._join(loop, task)
        try:
            return await task
        except asyncio.CancelledError:
            why, waiting = running.get(task), asyncio.current_task()
            # Whoever cancels this one from outside is not told of a halt.
            if why is None or (waiting is not None and waiting.cancelling()):
                raise
            raise why from None
        finally:
            self._leave(loop, task)

    def _join(self, loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> _Running:
        with self._lock:
            first = loop not in self._running
            running = self._running.setdefault(loop, {})
            running[task] = None
        if first:
            watch = loop.create_task(self._watch(loop))
            # Held by its own name, or it could be collected while it sleeps.
            _WATCHES.add(watch)
            watch.add_done_callback(_let_go)
        return running

    def _leave(self, loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> None:
        with self._lock:
            self._running.get(loop, {}).pop(task, None)

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look for a halt as long as something runs in this loop."""
        try:
            while self._any(loop):
                why = self._why_not()
                if why is not None:
                    self._stop(loop, why)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            # Whoever comes next starts another watch.
            with self._lock:
                self._running.pop(loop, None)

    def _any(self, loop: asyncio.AbstractEventLoop) -> bool:
        with self._lock:
            return bool(self._running.get(loop))

    def _why_not(self) -> QuorateError | None:
        """Why work may not go on: a halt, or a record in which one could not be read."""
        try:
            self.check()
        except QuorateError as error:
            return error
        return None

    def _stop(self, loop: asyncio.AbstractEventLoop, why: QuorateError) -> None:
        with self._lock:
            running = self._running.get(loop, {})
            tasks = [task for task, told in running.items() if told is None]
            running.update(dict.fromkeys(tasks, why))
        for task in tasks:
            task.cancel()


_WATCHES: Final[set[asyncio.Task[None]]] = set()


def _let_go(watch: asyncio.Task[None]) -> None:
    _WATCHES.discard(watch)
    # A signal may have been raised in it, of all places: it went on from there to whoever runs
    # the loop, and is not to be told of a second time.
    if not watch.cancelled():
        watch.exception()
