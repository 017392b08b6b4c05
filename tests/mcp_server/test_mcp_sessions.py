"""Sessions of one client: bounded, so that no token keeps the others out."""

import asyncio
import json
from types import SimpleNamespace

from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from test_mcp_bounds import HOST, ORIGIN, request

from quorate.mcp import HttpSettings, bounds
from quorate.mcp.http_bounds import Bounds
from quorate.mcp.sessions import Sessions

HELLO = [json.dumps({"method": "initialize", "id": 1}).encode()]


class Desk:
    """An application that opens sessions and ends them, as the SDK does."""

    def __init__(self):
        self.open = {}
        self.hold = asyncio.Event()
        self.hold.set()
        self.used = asyncio.Event()
        self.rest = asyncio.Event()

    async def __call__(self, scope, receive, send):
        await receive()
        await self.hold.wait()
        headers = {name: value.decode() for name, value in scope["headers"]}
        session = headers.get(b"mcp-session-id")
        if b"x-stays" in headers:
            await self.used.wait()
        status, named = 200, []
        if session is None and headers.get(b"x-fails") is None:
            session = f"s{len(self.open)}"
            self.open[session] = True
            named = [(b"mcp-session-id", session.encode())]
        elif session is None:
            status = 400
        elif not self.open.get(session):
            status = 404
        elif scope["method"] == "DELETE":
            self.open[session] = False
        await send({"type": "http.response.start", "status": status, "headers": named})
        if b"x-lingers" in headers:
            await self.rest.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def serving(most=2):
    desk = Desk()
    app = Bounds(desk, HttpSettings(), [HOST], [ORIGIN])
    app._sessions = Sessions(most, bounds.SESSION_SECONDS)
    return desk, app


async def hello(app, user="c", **headers):
    return (await request(app, HELLO, user=[], client_id=user, **headers))[:2]


def test_one_token_has_so_many_sessions_and_others_have_theirs():
    async def go():
        _, app = serving()
        told = [await hello(app) for _ in range(3)]
        return told, await hello(app, "d"), (await request(app, HELLO))[0]

    told, other, nobody = asyncio.run(go())
    assert [status for status, _ in told] == [200, 200, 429]
    assert b"has 2 sessions open" in told[2][1]
    assert b"DELETE" in told[2][1]
    assert (other[0], nobody) == (200, 200)


def test_a_session_that_was_deleted_leaves_its_place():
    async def go():
        _, app = serving(1)
        first = [(await hello(app))[0] for _ in range(2)]
        await request(app, method="DELETE", user=[], mcp_session_id="s0")
        return first, (await hello(app))[0]

    assert asyncio.run(go()) == ([200, 429], 200)


def test_that_nothing_was_found_neither_ends_a_session_nor_keeps_it(monkeypatch):
    async def go():
        desk, app = serving(1)
        clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        monkeypatch.setattr("quorate.mcp.http_bounds.time", clock)
        assert (await hello(app))[0] == 200
        desk.open["s0"] = False
        statuses = []
        for clock.now in (bounds.SESSION_SECONDS, bounds.SESSION_SECONDS + 1):
            statuses.append((await request(app, user=[], mcp_session_id="s0"))[0])
            statuses.append((await hello(app))[0])
        return statuses

    assert asyncio.run(go()) == [404, 429, 404, 200]


def test_what_opened_nothing_takes_no_place():
    async def go():
        _, app = serving(1)
        failed = [(await hello(app, x_fails="1"))[0] for _ in range(3)]
        other = (await request(app, [b'{"method": "ping"}'], user=[]))[0]
        return failed, other, (await hello(app))[0]

    assert asyncio.run(go()) == ([400] * 3, 200, 200)


def test_a_session_in_use_is_held_however_long_and_an_idle_one_is_not(monkeypatch):
    async def go():
        desk, app = serving(1)
        clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        monkeypatch.setattr("quorate.mcp.http_bounds.time", clock)
        assert (await hello(app))[0] == 200
        using = asyncio.ensure_future(request(app, user=[], mcp_session_id="s0", x_stays="1"))
        await asyncio.sleep(0)
        statuses = []
        clock.now = 10 * bounds.SESSION_SECONDS
        statuses.append((await hello(app))[0])
        desk.used.set()
        await using
        clock.now *= 2
        statuses.append((await hello(app))[0])
        return statuses

    assert asyncio.run(go()) == [429, 200]


def test_a_session_is_counted_before_its_client_knows_it_and_each_use_of_it_with_it(monkeypatch):
    async def go():
        desk, app = serving(1)
        clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
        monkeypatch.setattr("quorate.mcp.http_bounds.time", clock)
        opening = asyncio.ensure_future(hello(app, x_lingers="1"))
        await asyncio.sleep(0)
        assert desk.open
        using = asyncio.ensure_future(request(app, user=[], mcp_session_id="s0", x_stays="1"))
        await asyncio.sleep(0)
        statuses = []
        for ends, task in ((desk.rest, opening), (desk.used, using)):
            clock.now += 10 * bounds.SESSION_SECONDS
            statuses.append((await hello(app))[0])
            ends.set()
            await task
        clock.now += 10 * bounds.SESSION_SECONDS
        return [*statuses, (await hello(app))[0]]

    assert asyncio.run(go()) == [429, 429, 200]


def test_those_being_opened_count_already():
    async def go():
        desk, app = serving(2)
        desk.hold.clear()
        opening = [asyncio.ensure_future(hello(app)) for _ in range(3)]
        done, _ = await asyncio.wait(opening, return_when=asyncio.FIRST_COMPLETED)
        desk.hold.set()
        refused = [one.result()[0] for one in done]
        return refused, sorted([(await one)[0] for one in opening])

    assert asyncio.run(go()) == ([429], [200, 200, 429])


class Naive:
    """The same, from the whole story each time."""

    def __init__(self, most, idle):
        self.most, self.idle, self.story = most, idle, []

    def held(self, client, now):
        found = 0
        for name, events in self.by_session().items():
            if name.partition("-")[0] != client or any(what == "gone" for what, _ in events):
                continue
            busy = sum({"begin": 1, "end": -1, "lost": -1}.get(what, 0) for what, _ in events)
            last = max(at for what, at in events if what in ("open", "end"))
            found += bool(busy) or now - last <= self.idle
        return found

    def by_session(self):
        told = {}
        for name, what, at in self.story:
            told.setdefault(name, []).append((what, at))
        return told


steps = st.lists(
    st.tuples(
        st.sampled_from(["open", "begin", "end", "gone", "lost"]),
        st.sampled_from("ab"),
        st.integers(0, 3),
        st.integers(0, 40),
    ),
    max_size=25,
)


@trying(max_examples=60)
@given(steps)
def test_sessions_are_counted_as_by_their_whole_story(steps):
    book, naive, now, made = Sessions(2, 60), Naive(2, 60), 0, {"a": 0, "b": 0}
    busy = {}
    for what, client, number, pause in steps:
        now += pause
        name = f"{client}-{number}"
        if what == "open":
            free = naive.held(client, now) < 2
            assert book.open(client, now) is free
            if free:
                new = f"{client}-{made[client]}"
                made[client] += 1
                book.opened(client, new, now)
                naive.story.append((new, "open", now))
        elif number < made[client] and what == "begin" and name in book._open:
            busy.setdefault(name, []).append(book.begin(name))
            naive.story.append((name, "begin", now))
        elif what in ("end", "gone", "lost") and busy.get(name):
            book.end(busy[name].pop(), now, gone=what == "gone", unused=what == "lost")
            naive.story.append((name, what, now))


def test_an_idle_session_is_forgotten_and_a_busy_one_is_not():
    book = Sessions(1, 60)
    assert book.open("a", 0)
    book.opened("a", "s", 0)
    used = book.begin("s")
    assert not book.open("a", 1000)
    book.end(used, 1000, gone=False)
    assert not book.open("a", 1060)
    assert book.open("a", 1061)
