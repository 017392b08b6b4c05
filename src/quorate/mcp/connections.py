"""Connections that are let in: so many at once, and none that never asks anything.

The server's own time limits begin once the head of a request is there. Whoever opens
connections and sends half a head holds them for ever, and needs no token for it; a thousand
of them, and nobody else gets in.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from quorate.mcp import bounds


def most_connections() -> int:
    """How many connections may be open: files are wanted for other things too."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    half = bounds.CONNECTIONS if files == resource.RLIM_INFINITY else files // 2
    return max(1, min(bounds.CONNECTIONS, half))


class Connection(H11Protocol):  # type: ignore[misc, unused-ignore]
    """A connection that is closed where there are too many, or the head of a request is late."""

    _turned_away = False
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Let it in, or close it at once."""
        if len(self.connections) >= most_connections():
            self._turned_away = True
            transport.abort()
            return
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._forget_head()
        if not self._turned_away:
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came, and see whether the head of a request is whole now."""
        if self._turned_away:
            return
        super().data_received(data)
        if self._answering():
            self._forget_head()
        elif self._late is None:
            self._expect_head()

    def on_response_complete(self) -> None:
        """After an answer the server's own limit for idle connections holds."""
        super().on_response_complete()
        if not self._answering() and self.timeout_keep_alive_task is None:
            self._expect_head()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _expect_head(self) -> None:
        self._forget_head()
        self._late = self.loop.call_later(bounds.HEADER_SECONDS, self._too_late)

    def _forget_head(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        self._late = None
        if not self._answering() and not self.transport.is_closing():
            self.transport.abort()
