"""Sealing beside the event loop: what many tasks bring shares one disk flush.

Theory of operation. A task hands over its entries and awaits the receipts. One thread at
a time writes: it takes all that is waiting, appends it as one group, and tells each task,
until nothing waits. So the loop never waits for the disk, and a thousand tasks that end
together cost a few flushes. Tasks may come from several event loops.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.core import limits
from quorate.core.errors import StoreError, UsageError
from quorate.core.threads import threads
from quorate.ledger import Ledger, Receipt

_log = logging.getLogger("quorate.hub")

Item = tuple[str, Any, str | None, str | None]
"""``(kind, body, trace_id, key)`` of one entry."""


@dataclass(slots=True)
class _Waiting:
    """The entries of one task, which are sealed together or not at all."""

    items: list[Item]
    loop: asyncio.AbstractEventLoop
    receipts: asyncio.Future[list[Receipt]]


class Sealer:
    """Appends to one ledger what tasks bring, many at once."""

    def __init__(
        self,
        ledger: Ledger,
        sealed: Callable[[Sequence[Receipt]], None] | None = None,
        append: Callable[[Sequence[Item]], list[Receipt]] | None = None,
    ) -> None:
        """Write to ``ledger``, which is open for writing.

        Args:
            ledger: where all is appended.
            append: does it, as the ledger's own ``append_all`` does, which is the default.
            sealed: told of each group in the thread that writes, in order of the log,
                before any of the tasks is; it raises nothing.
        """
        self.ledger = ledger
        self._sealed = sealed
        self._append_all = ledger.append_all if append is None else append
        self._lock = threading.Lock()
        self._queue: deque[_Waiting] = deque()
        self._writing = False

    async def seal(self, items: Sequence[Item]) -> list[Receipt]:
        """Seal the entries of one task together; return when they are on disk.

        If this coroutine is cancelled, they may be sealed all the same.

        Raises:
            UsageError: one of them cannot be sealed, or its key stands for another body.
            StoreError: they could not be written.
            HaltedError: somebody halted, and ``append`` heeds it.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(list(items), loop, loop.create_future())
        with self._lock:
            self._queue.append(waiting)
            start = not self._writing
            self._writing = True
        if start:
            threads.submit(self._write)
        return await waiting.receipts

    def _write(self) -> None:
        while group := self._take():
            outcomes = self._append(group)
            by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Waiting, Any]]] = {}
            for waiting, outcome in zip(group, outcomes, strict=True):
                by_loop.setdefault(waiting.loop, []).append((waiting, outcome))
            for loop, settled in by_loop.items():
                try:
                    loop.call_soon_threadsafe(_tell, settled)
                except RuntimeError:
                    # That loop is closed: nobody there waits any more.
                    continue

    def _take(self) -> list[_Waiting]:
        with self._lock:
            group: list[_Waiting] = []
            count = 0
            while self._queue and count + len(self._queue[0].items) <= limits.MAX_BATCH:
                count += len(self._queue[0].items)
                group.append(self._queue.popleft())
            # Decided with the lock held: who comes later starts another thread.
            self._writing = bool(group)
            return group

    def _append(self, group: list[_Waiting]) -> list[list[Receipt] | Exception]:
        """The receipts of each, or why it has none; one that cannot be sealed stops no other."""
        try:
            made = self._append_all([i for w in group for i in w.items])
        except UsageError as error:
            if len(group) == 1:
                return [error]
            return [self._append([waiting])[0] for waiting in group]
        # Whatever it is, the tasks that wait must hear of it.
        except Exception as error:  # noqa: BLE001
            return [error] * len(group)
        except BaseException:  # noqa: BLE001
            return [StoreError("the writer was stopped")] * len(group)
        if self._sealed is not None:
            try:
                self._sealed(made)
            # No thread could be had. What is sealed stands, and the tasks must hear of it.
            except RuntimeError:
                _log.exception("what was sealed could not be passed on, to learn from it")
        receipts = iter(made)
        return [[next(receipts) for _ in waiting.items] for waiting in group]


def _tell(settled: list[tuple[_Waiting, Any]]) -> None:
    for waiting, outcome in settled:
        if waiting.receipts.done():
            continue
        if isinstance(outcome, Exception):
            waiting.receipts.set_exception(outcome)
        else:
            waiting.receipts.set_result(outcome)
