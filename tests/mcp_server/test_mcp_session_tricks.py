"""What a client tries so that its sessions are not counted, on the SDK's own application."""

import asyncio
import json
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from serve_needs import need

from quorate.mcp import HttpSettings, Settings, bounds
from quorate.mcp.tokens import TokenFile, new_token, write_tokens

serving = need("quorate.mcp.serving")
build_server = need("quorate.mcp.server").build_server

PORT = 8000
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {"experimental": {"a": {"b": 1}}},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
UNKNOWN = {
    "jsonrpc": "2.0",
    "id": 3,
    "method": "nothing/known",
    "params": {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    },
}
NEWER = {"mcp-protocol-version": "2026-07-28", "mcp-method": "nothing/known"}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A server that lets a token have two sessions, and the tokens of two clients."""
    monkeypatch.setattr(bounds, "CLIENT_SESSIONS", 2)
    now = datetime.now(UTC)
    made = {name: new_token(name, ["read"], [], 1, now=now) for name in ("a", "b")}
    write_tokens(tmp_path / "tokens.toml", [token for _, token in made.values()])
    file = TokenFile(tmp_path / "tokens.toml")
    url = f"http://127.0.0.1:{PORT}/mcp"
    server = build_server(Settings(), tokens=file, url=url)
    app = serving.bounded(server, HttpSettings(tokens=file), PORT)
    return SimpleNamespace(
        server=server, app=app, tokens={name: t for name, (t, _) in made.items()}
    )


async def send(desk, message, method="POST", path="/mcp", token="a", **headers):  # noqa: S107 - the name of one
    """One request; gives its status, and the session that it names."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    named = {
        "host": f"127.0.0.1:{PORT}",
        "accept": "application/json, text/event-stream",
        "content-type": "application/json",
        **({"authorization": f"Bearer {desk.tokens[token]}"} if token else {}),
        **headers,
    }
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", PORT),
    }
    given, sent = [{"type": "http.request", "body": body, "more_body": False}], []

    async def receive():
        if not given:
            await asyncio.Event().wait()
        return given.pop()

    async def take(message):
        sent.append(message)

    await desk.app(scope, receive, take)
    told = dict(sent[0]["headers"]).get(b"mcp-session-id", b"").decode()
    return sent[0]["status"], told


def session(name):
    return {"mcp-session-id": name}


TRICKS = {
    "another path": (404, lambda desk, at: send(desk, PING, path="/nothing", **session(at))),
    "another path, no token": (
        404,
        lambda desk, at: send(desk, PING, path="/nothing", token=None, **session(at)),
    ),
    "another token": (404, lambda desk, at: send(desk, PING, token="b", **session(at))),
    "deleted by another": (
        404,
        lambda desk, at: send(desk, b"", "DELETE", token="b", **session(at)),
    ),
    "deleted without a token": (
        401,
        lambda desk, at: send(desk, b"", "DELETE", token=None, **session(at)),
    ),
    "a redirect": (307, lambda desk, at: send(desk, b"", "DELETE", "/mcp/", **session(at))),
    "an unknown method": (404, lambda desk, at: send(desk, UNKNOWN, **session(at), **NEWER)),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_what_ends_no_session_leaves_no_place(desk, trick):
    expected, play = TRICKS[trick]

    async def go():
        async with desk.server.session_manager.run():
            statuses, lives = [], []
            for _ in range(2):
                status, at = await send(desk, HELLO)
                assert status == 200
                statuses.append((await play(desk, at))[0])
                lives.append((await send(desk, PING, **session(at)))[0])
            return statuses, lives, (await send(desk, HELLO))[0]

    assert asyncio.run(go()) == ([expected] * 2, [200] * 2, 429)


def test_what_ends_one_does(desk):
    async def go():
        async with desk.server.session_manager.run():
            opened = [await send(desk, HELLO) for _ in range(3)]
            ended = await send(desk, b"", "DELETE", **session(opened[0][1]))
            return [status for status, _ in opened], ended[0], (await send(desk, HELLO))[0]

    assert asyncio.run(go()) == ([200, 200, 429], 200, 200)


def test_whatever_the_sdk_reads_as_an_opening_is_counted_as_one(desk):
    odd = json.dumps(HELLO).replace('"b": 1', '"b": NaN').encode()

    async def go():
        async with desk.server.session_manager.run():
            return [await send(desk, odd) for _ in range(3)]

    came = asyncio.run(go())
    assert [status for status, _ in came] == [200, 200, 429]
    assert all(named for _, named in came[:2])
