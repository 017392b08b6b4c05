"""Sessions that each client holds: so many, and one of them cannot use up those of all.

The SDK bounds the sessions of all clients together. Whoever has a token could open so many
that nobody else gets in, and none of them ends before it has lain idle for long.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.mcp import bounds


@dataclass(slots=True)
class Session:
    """One session: whose, how many requests of it are being answered, and since when none."""

    name: str
    client: str
    busy: int = 0
    idle_since: float = 0.0


class Sessions:
    """Which client has which sessions open, as seen from the requests that go by.

    The SDK forgets a session that has lain idle; so does this, by the same number of seconds.
    """

    def __init__(self, most: int, idle_seconds: float) -> None:
        """Let each client have so many, each until it has been idle for so long."""
        self._most = most
        self._idle_seconds = idle_seconds
        self._open: dict[str, Session] = {}
        self._opening: dict[str, int] = {}

    def open(self, client: str, now: float) -> bool:
        """Whether a client may open one more; if so, :meth:`opened` has to follow."""
        self._forget(now)
        held = sum(one.client == client for one in self._open.values())
        if held + self._opening.get(client, 0) >= self._most:
            return False
        self._opening[client] = self._opening.get(client, 0) + 1
        return True

    def opened(self, client: str, session: str | None, now: float) -> None:
        """What came of it: a session's id, or ``None`` where none was opened.

        It is told before the client can know the id: a request of a session that is not known
        here is never counted.
        """
        left = self._opening.pop(client) - 1
        if left:
            self._opening[client] = left
        if session is not None:
            self._open[session] = Session(session, client, idle_since=now)

    def begin(self, name: str) -> Session | None:
        """A request of a session is being answered; if one is given, :meth:`end` has to follow."""
        found = self._open.get(name)
        if found is not None:
            found.busy += 1
        return found

    def end(self, session: Session, now: float, *, gone: bool, unused: bool = False) -> None:
        """It has been.

        Args:
            session: as :meth:`begin` gave it.
            now: in seconds, of the clock of all calls.
            gone: the session has ended with it.
            unused: it never reached the session, which has lain idle all the same.
        """
        session.busy -= 1
        if not unused:
            session.idle_since = now
        if gone:
            self._open.pop(session.name, None)

    def _forget(self, now: float) -> None:
        over = [
            name
            for name, one in self._open.items()
            if not one.busy and now - one.idle_since > self._idle_seconds
        ]
        for name in over:
            del self._open[name]

    def told(self) -> str:
        """Why no more are opened, and what to do."""
        return (
            f"this client has {self._most} sessions open, which is the most; end one (DELETE with "
            f"its id), or wait until one has lain idle for {self._idle_seconds:g} s"
        )


def client_sessions() -> Sessions:
    """Those of one server."""
    return Sessions(bounds.CLIENT_SESSIONS, bounds.SESSION_SECONDS)
