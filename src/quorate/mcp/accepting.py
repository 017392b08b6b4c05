"""Accepting connections: each counts, and its time runs, from the moment it is accepted.

A server learns of a connection once TLS has been agreed on. Whoever connects and does not
begin with that would be neither counted nor timed, and needs no token for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from typing import Any, Final

import uvicorn

from quorate.mcp import bounds
from quorate.mcp.connections import Connection, Lines

_log = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0
_TOLD_SECONDS: Final = 60.0


class Accepting(uvicorn.Server):  # type: ignore[misc, unused-ignore]
    """A server that accepts its connections itself; they are :class:`Connection`."""

    def __init__(self, config: Any) -> None:
        """Accept nothing before :meth:`startup`."""
        super().__init__(config)
        self._lines = Lines()
        self._accepting: list[asyncio.Task[None]] = []
        self._greeted: set[asyncio.Task[None]] = set()
        self._told_at: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept on sockets that listen."""
        await super().startup([])
        for listener in sockets or []:
            listener.setblocking(False)  # noqa: FBT003 - so it is named
            task = asyncio.create_task(self._accept(listener))
            task.add_done_callback(self._stopped)
            self._accepting.append(task)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and end what has not begun."""
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        self._lines.cut_unmade()
        await super().shutdown(sockets)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        """A server that accepts nothing any more is none."""
        if not task.cancelled():
            _log.error("no more connections are accepted", exc_info=task.exception())
            self.should_exit = True

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                line, _ = await loop.sock_accept(listener)
            except ConnectionAbortedError:
                pass
            except OSError as error:
                self._tell(error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._let_in(line)
            # Where connections come without an end, the others have their turn too.
            await asyncio.sleep(0)

    def _tell(self, error: OSError) -> None:
        """Once in a while: what lasts is no reason to fill a disk."""
        now = time.monotonic()
        if self._told_at is None or now - self._told_at >= _TOLD_SECONDS:
            self._told_at = now
            _log.error("a connection could not be accepted, and others may not be: %s", error)

    def _let_in(self, line: socket.socket) -> None:
        made: Connection = self.config.http_protocol_class(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        made.accepted(self._lines, line)
        if not self._lines.enter(made):
            line.close()
            return
        task = asyncio.create_task(self._greet(made, line))
        self._greeted.add(task)
        task.add_done_callback(self._greeted.discard)

    async def _greet(self, made: Connection, line: socket.socket) -> None:
        """Agree on TLS, if there is any, within the time that a head may take."""
        context: ssl.SSLContext | None = self.config.ssl
        seconds = None if context is None else bounds.HEADER_SECONDS
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: made,
                line,
                ssl=context,
                ssl_handshake_timeout=seconds,
                ssl_shutdown_timeout=seconds,
            )
        except OSError as error:
            _log.debug("a connection did not come about: %s", error)
        finally:
            # From then on it is told when the connection is lost, and leaves by itself.
            if made.transport is None:
                self._lines.leave(made)
                line.close()
