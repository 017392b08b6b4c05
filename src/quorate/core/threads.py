"""Threads for calls that may never return."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final


class DaemonThreads:
    """Threads that are reused, and that never keep the process from ending.

    ``concurrent.futures`` joins its threads at exit, so one callable that hangs would
    hang the whole process there.
    """

    _MOST_IDLE: Final = 64

    def __init__(self) -> None:
        """Start with none; each is made when there is work and no idle one."""
        self.forget()

    def forget(self) -> None:
        """Start afresh, as a forked child must: it has none of its parent's threads."""
        self._lock = threading.Lock()
        self._idle: deque[SimpleQueue[Callable[[], None]]] = deque()

    def submit(self, work: Callable[[], None]) -> None:
        """Have ``work``, which raises nothing, done in a thread."""
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


threads: Final = DaemonThreads()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=threads.forget)
