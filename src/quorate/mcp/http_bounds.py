"""Bounds on requests, around the SDK's application.

A body is read only once the token has been accepted, whole, within its bounds of size and
time, and looked at for the scope that it takes; so the SDK meets none that is endless. The
order: address (Host and Origin), number of requests, token, size, time, scope, rate.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson

from quorate.mcp.scopes import scope_needed
from quorate.mcp.settings import HttpSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_MINUTE: Final = 60.0
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
    """ASGI middleware that holds requests to their bounds.

    Attributes:
        busy: requests being answered now.
    """

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
        self.busy = 0

    def close(self) -> None:
        """End the streams that wait for news; what is being answered goes on."""
        self._closing.set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, or pass on what is none."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sending = _Sending(send)
        try:
            self._check_address(scope)
            if scope["method"] == "GET":
                await self._stream(scope, receive, sending)
            else:
                await self._answer(scope, receive, sending)
        except _Refused as refused:
            await sending.refuse(refused)

    def _check_address(self, scope: Message) -> None:
        headers = scope["headers"]
        hosts = [value.decode("latin-1").lower() for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            raise _Refused(421, "the header Host names another server")
        origins = [value.decode("latin-1") for name, value in headers if name == b"origin"]
        if origins and (len(origins) != 1 or origins[0] not in self._origins):
            raise _Refused(403, "pages of this origin may not call")

    async def _answer(self, scope: Message, receive: Receive, sending: _Sending) -> None:
        if self.busy >= self._settings.calls:
            raise _Refused(503, "too many calls at once; try again", {"retry-after": "1"})
        self.busy += 1
        held: list[Message] = []
        read = False

        async def bounded() -> Message:
            nonlocal read
            if not read:
                read = True
                try:
                    body = await self._body(scope, receive)
                    self._admit(scope, body)
                except _Refused as refused:
                    # Answered before anything further out can take it for a crash.
                    await sending.refuse(refused)
                    raise
                held.append({"type": "http.request", "body": body, "more_body": False})
            return held.pop() if held else await receive()

        try:
            await self._app(scope, bounded, sending)
        finally:
            self.busy -= 1

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

    def _admit(self, scope: Message, body: bytes) -> None:
        """Refuse by status a scope that the token has not, and too many calls of one client."""
        token = getattr(scope.get("user"), "access_token", None)
        client = scope.get("client") or ("", 0)
        wait = self._rates.wait(
            token.client_id if token is not None else client[0], time.monotonic()
        )
        if wait > 0:
            raise _Refused(429, "too many calls a minute", {"retry-after": str(int(wait) + 1)})
        if token is None:
            return
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        for each in message if isinstance(message, list) else [message]:
            needed = _needed(each)
            if needed is not None and needed not in token.scopes:
                told = f'Bearer error="insufficient_scope", scope="{needed}"'
                raise _Refused(403, f"this takes the scope {needed}", {"www-authenticate": told})

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
    """Sends one response, and knows how far it has got."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if self._ended:
            return
        if message["type"] == "http.response.start":
            self._begun = True
        elif not message.get("more_body", False):
            self._ended = True
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


def _needed(message: object) -> str | None:
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return None
    params = message.get("params")
    return scope_needed(message["method"], params if isinstance(params, dict) else None)
