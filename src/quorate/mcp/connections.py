"""Connections that are let in: so many at once, and none that keeps us waiting for ever.

The server's own time limits begin once the head of a request is there. Whoever opens
connections and sends half a head holds them for ever, and needs no token for it; a thousand
of them, and nobody else gets in. Likewise whoever asks and does not read the answer, which
waits in memory, its call counting as one in progress. And whoever was answered once, with a
refusal even, may ask again, and until then holds a connection that another has a use for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from quorate.mcp import bounds
from quorate.mcp.places import most_connections


class Lines:
    """The connections of a server, each from the moment it is accepted.

    One of which nothing is being answered is there on sufferance: if there are too many, the
    one that has been so for the longest time is closed, and the new one let in.
    """

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        # A dict, for its order: those that have been idle longest come first.
        self._idle: dict[Connection, None] = {}

    def enter(self, line: Connection) -> bool:
        """Let one in; ``False`` where all that are there are being answered."""
        if len(self._open) >= most_connections() and not self._make_room():
            return False
        self._open.add(line)
        self._idle[line] = None
        return True

    def leave(self, line: Connection) -> None:
        """One has gone."""
        self._open.discard(line)
        self._idle.pop(line, None)

    def note(self, line: Connection, *, answering: bool) -> None:
        """Whether a request of one is being answered now."""
        if answering:
            self._idle.pop(line, None)
        elif line in self._open:
            self._idle.setdefault(line)

    def cut_unmade(self) -> None:
        """Cut off those that have not come as far as to send a request."""
        for line in [one for one in self._idle if one.transport is None]:
            line.cut()

    def _make_room(self) -> bool:
        oldest = next(iter(self._idle), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.cut()
        return True


class Connection(H11Protocol):  # type: ignore[misc, unused-ignore]
    """A connection that is closed where its place is wanted, or its client keeps us waiting.

    That is: the head of a request is late, or an answer is not read.
    """

    _late: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    _lines: Lines
    _socket: socket.socket

    def accepted(self, lines: Lines, line: socket.socket) -> None:
        """Belong to ``lines``, before anything is known of the client."""
        self._lines = lines
        self._socket = line

    def cut(self) -> None:
        """End it now, however far it has come."""
        if self.transport is not None:
            self.transport.abort()
            return
        # Whatever waits for the client to begin takes this for its having gone.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def connection_made(self, transport: Any) -> None:
        """A request may come."""
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._lines.leave(self)
        self._forget_head()
        self._forget_unread()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what came, and see whether the head of a request is whole now."""
        super().data_received(data)
        self._lines.note(self, answering=self._answering())
        if self._answering():
            self._forget_head()
        elif self._late is None:
            self._expect_head()

    def on_response_complete(self) -> None:
        """After an answer the server's own limit for idle connections holds."""
        super().on_response_complete()
        self._lines.note(self, answering=self._answering())
        # What is less than the transport lets pile up nobody waits for; it is held all the same.
        if self.transport.get_write_buffer_size():
            self._expect_read()
        if not self._answering() and self.timeout_keep_alive_task is None:
            self._expect_head()

    def pause_writing(self) -> None:
        """So much is unread that the answer waits: not for ever."""
        super().pause_writing()
        self._expect_read()

    def resume_writing(self) -> None:
        """It is read again."""
        super().resume_writing()
        self._forget_unread()

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

    def _expect_read(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(bounds.WRITE_SECONDS, self._not_read)

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _not_read(self) -> None:
        self._unread = None
        if not self.transport.get_write_buffer_size():
            return
        # Of an answer that is done something may be left because another is being read by now.
        if self._answering() and not self.flow.write_paused:
            self._expect_read()
        else:
            # Closed only, it would wait for the client to read the rest.
            self.transport.abort()
