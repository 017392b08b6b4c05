"""Places that one token may take: of calls, of streams and of workers, and never those of all."""

import asyncio
import json
import threading
from collections import Counter
from contextlib import ExitStack
from datetime import UTC, datetime
from queue import SimpleQueue
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from serve_lines import asked, asking, connected, listening, status, until
from serve_needs import need
from test_mcp_exhausting import ask

from quorate.mcp import HttpSettings, Settings, bounds
from quorate.mcp.access import calling
from quorate.mcp.http_bounds import Bounds
from quorate.mcp.places import Places
from quorate.mcp.tokens import TokenFile, new_token, write_tokens

work = need("quorate.mcp.work")
gate = need("quorate.mcp.gate")
LARGE = 4 << 20


@pytest.fixture
def tokens(tmp_path):
    """The file of two tokens, and name -> the header that one is sent in."""
    now = datetime.now(UTC)
    made = {name: new_token(name, ["read"], [], 1, now=now) for name in ("a", "b")}
    write_tokens(tmp_path / "tokens.toml", [token for _, token in made.values()])
    sent = {name: f"Bearer {text}" for name, (text, _) in made.items()}
    return TokenFile(tmp_path / "tokens.toml"), sent


async def answers(scope, receive, send):
    """As much as the path says, and no end of it for GET."""
    size = int(scope["path"][1:] or 2)
    stream = scope["method"] == "GET"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x" * size, "more_body": stream})
    while stream and (await receive())["type"] != "http.disconnect":
        pass


# -- calls and streams


def test_who_does_not_read_has_its_share_and_not_the_places_of_all(tokens, monkeypatch):
    monkeypatch.setattr(bounds, "WRITE_SECONDS", 600)
    file, sent = tokens
    app = Bounds(answers, HttpSettings(tokens=file, calls=4), ["x"], [])
    large = asking(f"/{LARGE}", "POST", authorization=sent["a"])
    with listening(app, little=True) as address, ExitStack() as held:
        lines = []
        for _ in range(2):
            lines.append(held.enter_context(connected(address, large, little=True)))
            until(lambda: app.busy == len(lines))
        assert [asked(address, "/2", "POST", authorization=sent["a"]) for _ in range(3)] == [
            429
        ] * 3
        assert app.busy == 2
        assert asked(address, "/2", "POST", authorization=sent["b"]) == 200
        assert asked(address, "/2", "POST") == 200


def test_who_never_reads_gives_its_place_back_all_the_same(tokens, monkeypatch):
    monkeypatch.setattr(bounds, "WRITE_SECONDS", 0.3)
    file, sent = tokens
    app = Bounds(answers, HttpSettings(tokens=file, calls=4), ["x"], [])
    large = asking(f"/{LARGE}", "POST", authorization=sent["a"])
    with listening(app, little=True) as address, connected(address, large, little=True):
        until(lambda: app.busy == 1)
        until(lambda: app.busy == 0)


@pytest.mark.parametrize("said", ["Bearer ", "bearer  ", "Basic ", "", None])
def test_all_who_have_no_token_have_one_share(tokens, said):
    file, sent = tokens
    given = {"authorization": f"{said}nope"} if said is not None else {}

    async def go():
        hold = asyncio.Event()

        async def waits(_scope, _receive, send):
            await hold.wait()
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        app = Bounds(waits, HttpSettings(tokens=file, calls=4), ["x"], [])
        first = [asyncio.ensure_future(one(app, **given)) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await one(app, authorization="Bearer another")
        other = asyncio.ensure_future(one(app, authorization=sent["b"]))
        await asyncio.sleep(0)
        busy = app.busy
        hold.set()
        return [await each for each in (*first, other)], refused, busy, app.busy

    assert asyncio.run(go()) == ([401] * 3, 429, 3, 0)


async def one(app, method="POST", **headers):
    """The status of a request."""
    scope = {"type": "http", "method": method, "path": "/", "client": ("127.0.0.1", 1)}
    named = {"host": "x", **headers}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in named.items()]
    sent = []

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]


def test_standing_streams_of_one_token_are_no_more_than_its_share(tokens, monkeypatch):
    monkeypatch.setattr("quorate.mcp.http_bounds.most_connections", lambda: 8)
    file, sent = tokens
    app = Bounds(answers, HttpSettings(tokens=file), ["x"], [])
    with listening(app) as address, ExitStack() as held:
        for name in "ab":
            stream = asking(authorization=sent[name])
            lines = [held.enter_context(connected(address, stream)) for _ in range(2)]
            assert [status(line) for line in lines] == [200, 200]
            assert asked(address, authorization=sent[name]) == 429
        assert app.busy == 0


def test_without_tokens_clients_are_not_told_apart():
    async def go():
        async def waits(_scope, _receive, send):
            await hold.wait()
            await answers({"path": "/", "method": "POST"}, None, send)

        hold = asyncio.Event()
        app = Bounds(waits, HttpSettings(calls=8), ["x"], [])
        first = [asyncio.ensure_future(one(app)) for _ in range(8)]
        await asyncio.sleep(0)
        refused = await one(app)
        hold.set()
        return [await each for each in first], refused

    assert asyncio.run(go()) == ([200] * 8, 503)


@trying(max_examples=100)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "", None]), st.booleans()), max_size=40))
def test_places_are_counted_as_by_a_list(steps):
    places, held = Places(6), []
    for client, take in steps:
        listed = [name for name, _ in held]
        of = Counter(listed)
        assert (places.taken, places.full) == (len(held), len(held) == 6)
        assert places.full_for(client) is (client is not None and of[client] >= 3)
        if take and not places.full and not places.full_for(client):
            place = places.taken_by(client)
            place.__enter__()
            held.append((client, place))
        elif not take and client in listed:
            _, place = held.pop(listed.index(client))
            place.__exit__(None, None, None)
    assert set(places._of) == {name for name, _ in held} - {None}


# -- workers


async def working(workers, client, function):
    calling.set(client)
    return await workers.run(function)


def test_one_token_holds_no_more_workers_than_its_share():
    begun, release = SimpleQueue(), threading.Event()

    def scan():
        begun.put(1)
        release.wait(20)

    async def go():
        workers = work.Workers(20, 4)
        held = [asyncio.create_task(working(workers, "a", scan)) for _ in range(20)]
        for _ in range(2):
            await asyncio.to_thread(begun.get)
        others = [await working(workers, name, lambda: "done") for name in ("b", "c", None)]
        more = begun.qsize()
        release.set()
        await asyncio.gather(*held)
        return others, more, begun.qsize(), len(workers._rows)

    assert asyncio.run(go()) == (["done"] * 3, 0, 18, 0)


def test_who_gives_up_waiting_leaves_its_place_in_the_row():
    release = threading.Event()

    async def go():
        workers = work.Workers(60, 1)
        first = asyncio.create_task(working(workers, None, lambda: release.wait(60)))
        await asyncio.sleep(0)
        # It has its own row's place by then, and waits for a thread.
        second = asyncio.create_task(working(workers, "a", lambda: "never"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.wait({second})
        third = asyncio.create_task(working(workers, "a", lambda: "done"))
        release.set()
        await first
        return await third

    assert asyncio.run(go()) == "done"


@pytest.mark.parametrize("client", ["a", None])
def test_where_no_thread_can_be_started_the_place_is_left_to_others(client, monkeypatch, caplog):
    def scarce(_work):
        raise RuntimeError("can't start new thread")

    async def go():
        workers = work.Workers(5, 2)
        with monkeypatch.context() as patch:
            patch.setattr(work.threads, "submit", scarce)
            for _ in range(3):
                with pytest.raises(work.ToolError, match="nothing is decided by this"):
                    await working(workers, client, lambda: "never")
        return workers._free._value, await working(workers, client, lambda: "done")

    assert asyncio.run(go()) == (2, "done")
    assert "no thread can be started" in caplog.text


@pytest.mark.parametrize("name", ["a", None])
def test_the_gate_says_whose_call_it_is(name):
    token = SimpleNamespace(client_id=name, scopes=["read"], claims={})
    user = SimpleNamespace(access_token=token if name else None)
    context = SimpleNamespace(
        params={"name": "bft_quorum"},
        method="tools/call",
        request=SimpleNamespace(scope={"user": user}),
    )

    async def found(_context):
        return calling.get()

    async def go():
        passed = await gate.Gate(Settings(), {"bft_quorum": frozenset()})(context, found)
        return passed, calling.get()

    assert asyncio.run(go()) == (name, None)


# -- what is the operator's


@pytest.mark.parametrize("way", ["raises", "returns"])
def test_what_a_target_raises_is_for_the_log_and_not_for_the_client(way, caplog):
    from quorate.core.identity import Ed25519Signer
    from quorate.ledger import Ledger

    class Failed:
        def __repr__(self):
            return "GET https://llm.internal/v1?key=sk-operators failed"

    def desk(_request):
        if way == "raises":
            raise RuntimeError(repr(Failed()))
        return Failed()

    with Ledger.open("memory:", signer=Ed25519Signer.generate()) as ledger:
        found = ask(
            "red_team_scan",
            {"target": {"name": "desk"}, "strategies": ["RT-BFLA"]},
            Settings(ledger=ledger, targets={"desk": desk}),
        )
        sealed = json.dumps(ledger.get(0).to_dict())
    told = json.dumps(found.structured_content)
    kind = {"raises": "RuntimeError", "returns": "no usable reply"}[way]
    assert kind in told
    assert kind in sealed
    assert "sk-operators" not in told + found.content[0].text + sealed
    logged = [one.getMessage() for one in caplog.records if "the target desk" in one.getMessage()]
    assert len(logged) == 1
    if way == "raises":
        assert "sk-operators" in logged[0]
    assert logged[0].partition(":")[0] in told
