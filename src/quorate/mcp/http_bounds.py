"""Bounds on requests, around the SDK's application.

A body is read only once the token has been accepted, whole, within its bounds of size and
time, and looked at for the scope that it takes; so the SDK meets none that is endless. The
order: address (Host and Origin), number of requests, token, size, time, scope, rate. A request
keeps its place until its client has read the answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import from_json

from quorate.mcp.places import Places, most_connections
from quorate.mcp.scopes import scope_needed
from quorate.mcp.sessions import Session, client_sessions
from quorate.mcp.settings import HttpSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_MINUTE: Final = 60.0
_SESSION: Final = b"mcp-session-id"
_BEARER: Final = "bearer "
_WITHOUT: Final = ""
_DONE_WELL: Final = range(200, 300)
_FAILED: Final = 400
_NOT_FOUND: Final = 404
_MOST_CLIENTS: Final = 4096
_DONE: Final = {"type": "http.response.body", "body": b"", "more_body": False}


class _Refused(Exception):  # noqa: N818 - it carries an answer
    """A request that is answered here."""

    def __init__(self, status: int, why: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(why)
        self.status = status
        self.why = why
        self.headers = headers or {}


class Bounds:
    """ASGI middleware that holds requests to their bounds."""

    def __init__(
        self, app: App, settings: HttpSettings, hosts: list[str], origins: list[str]
    ) -> None:
        """Let only requests of these Hosts and Origins through, and not too much of any."""
        self._app = app
        self._settings = settings
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origins)
        self._closing = asyncio.Event()
        self._rates = Rates(settings.calls_per_minute)
        self._sessions = client_sessions()
        self._calls = Places(settings.calls)
        # The other half is left to calls, and to those who come.
        self._streams = Places(max(1, most_connections() // 2))

    @property
    def busy(self) -> int:
        """Requests being answered now; streams that wait for news are none."""
        return self._calls.taken

    def close(self) -> None:
        """End the streams that wait for news; what is being answered goes on."""
        self._closing.set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = _Sending(send)
        named = _session(scope["headers"])
        session = None if named is None else self._sessions.begin(named)
        try:
            self._check_address(scope)
            stream = scope["method"] == "GET"
            places, serve = (self._streams, self._stream) if stream else (self._calls, self._answer)
            client = self._client(scope)
            _check_place(places, client)
            with places.taken_by(client):
                await serve(scope, receive, sending)
        except _Refused as refused:
            await sending.refuse(refused)
        finally:
            if session is not None:
                # Only that ends it for certain. That nothing was found may be said of the path,
                # of the token or of the method, and the session lives on.
                gone = scope["method"] == "DELETE" and sending.status in _DONE_WELL
                unused = sending.status == _NOT_FOUND
                self._sessions.end(session, time.monotonic(), gone=gone, unused=unused)

    def _check_address(self, scope: Message) -> None:
        headers = scope["headers"]
        hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise _Refused(421, "the header Host names another server")
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        if origins and (len(origins) != 1 or origins[0] not in self._origins):
            raise _Refused(403, "pages of this origin may not call")

    def _client(self, scope: Message) -> str | None:
        """Whose places a request takes: of its token, or of all who have none.

        ``None`` where no tokens are asked for, and clients are not told apart.
        """
        tokens = self._settings.tokens
        if tokens is None:
            return None
        found = (value for name, value in scope["headers"] if name == b"authorization")
        said = next(found, b"").decode("latin-1")
        # As it is read further in: what is not read so there has no token there.
        if not said.lower().startswith(_BEARER):
            return _WITHOUT
        token = tokens.find(said[len(_BEARER) :], datetime.now(UTC))
        return _WITHOUT if token is None else token.name

    async def _answer(self, scope: Message, receive: Receive, sending: _Sending) -> None:
        held: list[Message] = []
        read = False
        opening: str | None = None
        opened: Session | None = None

        def begun() -> None:
            nonlocal opening, opened
            if opening is not None:
                made = sending.session if sending.status < _FAILED else None
                self._sessions.opened(opening, made, time.monotonic())
                opening, opened = None, None if made is None else self._sessions.begin(made)

        async def bounded() -> Message:
            nonlocal read, opening
            if not read:
                read = True
                try:
                    body = await self._body(scope, receive)
                    opening = self._admit(scope, body)
                except _Refused as refused:
                    # Answered before anything further out can take it for a crash.
                    await sending.refuse(refused)
                    raise
                held.append({"type": "http.request", "body": body, "more_body": False})
            return held.pop() if held else await receive()

        sending.on_start = begun
        try:
            await self._app(scope, bounded, sending)
        finally:
            # Unanswered, it opened nothing.
            begun()
            if opened is not None:
                self._sessions.end(opened, time.monotonic(), gone=False)

    async def _body(self, scope: Message, receive: Receive) -> bytes:
        most = self._settings.body_bytes
        too_large = _Refused(413, f"the body is larger than {most} bytes")
        declared = [value for name, value in scope["headers"] if name == b"content-length"]
        if declared and (not declared[0].isdigit() or int(declared[0][:20]) > most):
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Refused(400, "the client has gone")
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError as error:
            seconds = self._settings.body_seconds
            raise _Refused(408, f"the body did not come within {seconds:g} s") from error

    def _admit(self, scope: Message, body: bytes) -> str | None:
        """Refuse by status a scope that the token has not, and too much of one client.

        Returns:
            The client, where it is about to open a session.
        """
        token = getattr(scope.get("user"), "access_token", None)
        client = scope.get("client") or ("", 0)
        wait = self._rates.wait(
            token.client_id if token is not None else client[0], time.monotonic()
        )
        if wait > 0:
            raise _Refused(429, "too many calls a minute", {"retry-after": str(int(wait) + 1)})
        if token is None:
            return None
        try:
            # By the parser that reads it further in: what another refuses may be a message there.
            message = from_json(body)
        except ValueError:
            return None
        for each in message if isinstance(message, list) else [message]:
            needed = _needed(each)
            if needed is not None and needed not in token.scopes:
                told = f'Bearer error="insufficient_scope", scope="{needed}"'
                raise _Refused(403, f"this takes the scope {needed}", {"www-authenticate": told})
        if _session(scope["headers"]) is not None or not _opens(message):
            return None
        if not self._sessions.open(token.client_id, time.monotonic()):
            raise _Refused(429, self._sessions.told())
        return str(token.client_id)

    async def _stream(self, scope: Message, receive: Receive, sending: _Sending) -> None:
        """Serve a standing stream until its client goes or the server stops."""
        serving = asyncio.ensure_future(self._app(scope, receive, sending))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({serving, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            closing.cancel()
            if not serving.done():
                serving.cancel()
                await asyncio.wait({serving})
        if not serving.cancelled():
            serving.result()
        await sending.end()


class _Sending:
    """Sends one response, and knows how far it has got.

    Attributes:
        status: of the response; 0 until it begins.
        session: that it names; ``None`` for none.
        on_start: called when it begins, before anything of it is sent.
    """

    def __init__(self, send: Send) -> None:
        self.status = 0
        self.session: str | None = None
        self.on_start: Callable[[], None] = _nothing
        self._send = send
        self._begun = False
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if self._ended:
            return
        if message["type"] == "http.response.start":
            self._begun = True
            self.status = message["status"]
            self.session = _session(message.get("headers", ()))
            self.on_start()
        elif not message.get("more_body", False):
            self._ended = True
            if message.get("body"):
                # Its end waits until little of it lies unread; else what a client leaves unread
                # is held for it in memory, and counts for nothing.
                await self._send({**message, "more_body": True})
                message = dict(_DONE)
        await self._send(message)

    async def refuse(self, refused: _Refused) -> None:
        """Answer with an error of the protocol's form, unless an answer has begun."""
        if self._begun:
            await self.end()
            return
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": refused.why}}
        headers = {"content-type": "application/json", "connection": "close", **refused.headers}
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": refused.status, "headers": pairs})
        body = json.dumps(error).encode()
        await self({"type": "http.response.body", "body": body, "more_body": False})

    async def end(self) -> None:
        """End a response that has begun."""
        if self._begun:
            await self(dict(_DONE))


class Rates:
    """So many calls a minute of each client; those saved up while it is silent come at once."""

    def __init__(self, per_minute: int | None) -> None:
        """Allow so many of each; any number if ``None``."""
        self._most = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Count a call; how many seconds it comes too early, 0 where it may be answered."""
        if self._most is None:
            return 0.0
        left, seen = self._left.pop(client, (float(self._most), now))
        left = min(float(self._most), left + (now - seen) * self._most / _MINUTE)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left, now)
        if len(self._left) > _MOST_CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) * _MINUTE / self._most


def _check_place(places: Places, client: str | None) -> None:
    wait = {"retry-after": "1"}
    if places.full_for(client):
        whose = "of this client" if client else "without a token"
        raise _Refused(
            429, f"{places.share} requests {whose} are being answered, the most; try again", wait
        )
    if places.full:
        raise _Refused(503, "too many calls at once; try again", wait)


def _needed(message: object) -> str | None:
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return None
    params = message.get("params")
    return scope_needed(message["method"], params if isinstance(params, dict) else None)


def _session(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The session that headers name."""
    found = (value for name, value in headers if name.lower() == _SESSION)
    return next((value.decode("latin-1") for value in found), None)


def _nothing() -> None:
    """Who is not told."""


def _opens(message: object) -> bool:
    return isinstance(message, dict) and message.get("method") == "initialize"
