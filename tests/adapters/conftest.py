"""Peers that the adapters' tests talk to: real servers, on this machine alone."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from needed import need


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Any], str]]:
    """Serve an ASGI application on a free port of loopback; gives its address."""
    uvicorn = need("uvicorn")
    running = []

    def start(app: Any, *, lifespan: str = "off") -> str:
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan=lifespan)
        server = uvicorn.Server(config)
        started = threading.Event()
        startup = server.startup

        async def tell(sockets: Any = None) -> None:
            await startup(sockets)
            started.set()

        server.startup = tell
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        running.append((server, thread))
        assert started.wait(30)
        port = server.servers[0].sockets[0].getsockname()[1]
        return f"http://127.0.0.1:{port}"

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    value = "s3cret-of-the-tests"
    monkeypatch.setenv("EXPERT_TOKEN", value)
    return value
