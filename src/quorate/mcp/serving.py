"""Serving: over standard input and output, or over HTTP until a signal ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import anyio
import uvicorn
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

from quorate.core.errors import OperationalError
from quorate.mcp import bounds
from quorate.mcp.accepting import Accepting
from quorate.mcp.connections import Connection
from quorate.mcp.http_bounds import Bounds
from quorate.mcp.server import build_server
from quorate.mcp.settings import HttpSettings, Settings

_BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True)
class Listening:
    """Where a server listens.

    Attributes:
        url: of the endpoint.
        port: the one taken.
    """

    url: str
    port: int


def serve_stdio(settings: Settings) -> None:
    """Serve the one client that started this process, until it closes our standard input."""
    anyio.run(build_server(settings).run_stdio_async)


def serve_http(
    settings: Settings, http: HttpSettings, told: Callable[[Listening], None] | None = None
) -> int | None:
    """Serve over HTTP until SIGINT or SIGTERM; calls being answered are let finish.

    Args:
        settings: what the tools work with.
        http: where to listen, and to whom.
        told: called once it listens.

    Returns:
        The signal that ended it; ``None`` where nothing of the kind did.

    Raises:
        UsageError: the operator's own would be open to anybody.
        OperationalError: the address cannot be listened on.
    """
    http.check_with(settings)

    def server(url: str) -> MCPServer[Any]:
        return build_server(settings, tokens=http.tokens, url=url)

    return serve_built(server, http, told)


def serve_built(
    build: Callable[[str], MCPServer[Any]],
    http: HttpSettings,
    told: Callable[[Listening], None] | None = None,
    **options: Any,
) -> int | None:
    """Serve a server that ``build`` makes for its address; see :func:`serve_http`.

    Args:
        build: makes the server, given its URL.
        http: where to listen, and to whom.
        told: called once it listens.
        options: further ones of the SDK's ``streamable_http_app``.
    """
    listener = _listen(http)
    with contextlib.closing(listener):
        port = listener.getsockname()[1]
        app = bounded(build(_address(http, port).url), http, port, **options)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                http=Connection,
                # Whoever asks for another protocol would leave the bounds of this one.
                ws="none",
                ssl_certfile=http.tls_cert,
                ssl_keyfile=http.tls_key,
                timeout_keep_alive=bounds.KEEP_SECONDS,
                timeout_graceful_shutdown=bounds.STOP_SECONDS,
                h11_max_incomplete_event_size=64 << 10,
                lifespan="on",
            ),
            app.close,
            (lambda: None) if told is None else (lambda: told(_address(http, port))),
        )
        try:
            asyncio.run(server.serve(sockets=[listener]))
        except (OSError, ValueError) as error:
            raise OperationalError(f"the server cannot be started: {error}") from error
        return server.ended_by


def bounded(server: MCPServer[Any], http: HttpSettings, port: int, **options: Any) -> Bounds:
    """The ASGI application of a server that listens on ``port``, bounds and all."""
    hosts, origins = _names(http, port)
    app = server.streamable_http_app(
        streamable_http_path=http.path,
        max_request_body_size=http.body_bytes,
        session_idle_timeout=bounds.SESSION_SECONDS,
        max_sessions=bounds.SESSIONS,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=hosts, allowed_origins=origins
        ),
        **options,
    )
    return Bounds(app, http, hosts, origins)


def _address(http: HttpSettings, port: int) -> Listening:
    host = f"[{http.host}]" if ":" in http.host else http.host
    return Listening(f"{http.scheme}://{host}:{port}{http.path}", port)


def _names(http: HttpSettings, port: int) -> tuple[list[str], list[str]]:
    """The Hosts and Origins that are ours; a browser's page on another port is not."""
    own = ["127.0.0.1", "localhost", "[::1]"]
    host = f"[{http.host}]" if ":" in http.host else http.host
    own = own if http.is_loopback and host in own else [host]
    hosts = [f"{name}:{port}" for name in own] + list(http.allowed_hosts)
    if port == {"http": 80, "https": 443}[http.scheme]:
        hosts += own
    origins = [f"{http.scheme}://{name}" for name in hosts]
    return hosts, [*origins, *http.allowed_origins]


def _listen(http: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((http.host, http.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)  # noqa: FBT003 - so it is named
    except OSError as error:
        listener.close()
        raise OperationalError(
            f"{http.host} port {http.port} cannot be listened on: {error.strerror}; is a server "
            "running there already? Name another with --port"
        ) from error
    return listener


class _Server(Accepting):
    """A server that ends on a signal without passing it on to the process."""

    def __init__(self, config: Any, close: Callable[[], None], told: Callable[[], None]) -> None:
        super().__init__(config)
        self.ended_by: int | None = None
        self._close = close
        self._told = told

    async def startup(self, sockets: Any = None) -> None:
        """Begin, and tell of it."""
        await super().startup(sockets)
        if self.started:
            self._told()

    async def shutdown(self, sockets: Any = None) -> None:
        """End the streams first: nothing else would."""
        self._close()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Note which signal came, and stop."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)

        # No method of ours: the library that streams answers looks at the handler for a server
        # that is to end, and would cut off the answers in progress.
        def end(number: int, _frame: object) -> None:
            self._end(number)

        before = {one: signal.signal(one, end) for one in signals}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    def _end(self, number: int) -> None:
        # A second one does not wait for what is still being answered.
        if self.ended_by is not None:
            self.force_exit = True
        self.should_exit = True
        self.ended_by = number
