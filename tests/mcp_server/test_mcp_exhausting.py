"""What a client does to keep others out, and that it does not."""

import asyncio
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from serve_calls import proposals
from serve_needs import need

from quorate.mcp import Settings, bounds

MCPError = need("mcp.shared.exceptions").MCPError
Client = need("mcp").Client
accepting = need("quorate.mcp.accepting")
connections = need("quorate.mcp.connections")
work = need("quorate.mcp.work")


def ask(name, arguments, settings=None):
    """One call of a server in this process, as its client sees it."""
    from quorate.mcp.server import build_server

    async def go():
        async with Client(build_server(settings or Settings())) as client:
            try:
                return await client.call_tool(name, arguments)
            except MCPError as error:
                return error

    return asyncio.run(go())


# -- connections


@pytest.fixture
def listening(monkeypatch):
    """A plain HTTP server whose connections are ours: gives its address and what it served."""
    uvicorn = need("uvicorn")
    monkeypatch.setattr(bounds, "HEADER_SECONDS", 0.5)
    monkeypatch.setattr(connections, "most_connections", lambda: 5)

    async def app(scope, receive, send):
        if scope["type"] == "http":
            await asyncio.sleep(1.0 if scope["path"] == "/slow" else 0)
            await send({"type": "http.response.start", "status": 200, "headers": [
                (b"content-length", b"2")]})  # fmt: skip
            await send({"type": "http.response.body", "body": b"ok"})

    listener = socket.create_server(("127.0.0.1", 0))
    server = accepting.Accepting(
        uvicorn.Config(
            app, http=connections.Connection, lifespan="off", log_config=None, timeout_keep_alive=60
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()
    server.should_exit = True
    server.force_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture
def unread(monkeypatch):
    """A server that lets answers of a size lie unread: its address, and when it let one go."""
    uvicorn = need("uvicorn")
    monkeypatch.setattr(bounds, "WRITE_SECONDS", 0.5)
    gone = threading.Event()

    class Line(connections.Connection):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            gone.set()

    async def app(scope, receive, send):
        size = int(scope["path"][1:])
        await send({"type": "http.response.start", "status": 200, "headers": [
            (b"content-length", str(size).encode())]})  # fmt: skip
        await send({"type": "http.response.body", "body": b"x" * size})

    listener = socket.create_server(("127.0.0.1", 0))
    # So little that the kernel takes that the rest is seen to lie unread.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    server = accepting.Accepting(
        uvicorn.Config(app, http=Line, lifespan="off", log_config=None, timeout_keep_alive=600)
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname(), gone
    server.should_exit = True
    server.force_exit = True
    thread.join(30)
    assert not thread.is_alive()


# More than the transport lets pile up, so that the answer waits; and less, so that it is over.
@pytest.mark.parametrize("size", [4 << 20, 48 << 10])
def test_who_does_not_read_the_answer_is_let_go(unread, size):
    address, gone = unread
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.connect(address)
        line.sendall(request(f"/{size}").encode())
        assert gone.wait(60)
        line.settimeout(60)
        read = 0
        try:
            while found := line.recv(1 << 16):
                read += len(found)
        except ConnectionResetError:
            pass
        assert read < size


class Transport:
    """What a connection asks of one, and whether it was cut off."""

    def __init__(self):
        self.lying, self.aborted = 0, False

    def get_write_buffer_size(self):
        return self.lying

    def abort(self):
        self.aborted = True


class Clock:
    """Calls later, when it is told to."""

    def __init__(self):
        self.calls = []

    def call_later(self, seconds, call):
        assert seconds == bounds.WRITE_SECONDS
        one = SimpleNamespace(call=call, cancel=lambda: self.calls.remove(one))
        self.calls.append(one)
        return one

    def strike(self):
        calls, self.calls = self.calls, []
        for one in calls:
            one.call()


@pytest.fixture
def line():
    made = connections.Connection.__new__(connections.Connection)
    made.transport, made.loop, made.cycle = Transport(), Clock(), None
    made.flow = SimpleNamespace(write_paused=False)
    made.flow.pause_writing = lambda: setattr(made.flow, "write_paused", True)
    made.flow.resume_writing = lambda: setattr(made.flow, "write_paused", False)
    return made


def test_who_reads_on_is_not_let_go(line):
    for _ in range(3):
        line.transport.lying = 70_000
        line.pause_writing()
        assert len(line.loop.calls) == 1
        line.transport.lying = 10
        line.resume_writing()
        assert not line.loop.calls
    assert not line.transport.aborted


@pytest.mark.parametrize(
    ("lying", "paused", "answering", "aborted"),
    [
        (0, False, False, False),
        (10, False, False, True),
        (10, False, True, False),
        (70_000, True, True, True),
    ],
)
def test_when_an_answer_lies_unread_for_long(line, lying, paused, answering, aborted):
    line._expect_read()
    line._expect_read()
    assert len(line.loop.calls) == 1
    line.transport.lying, line.flow.write_paused = lying, paused
    line.cycle = SimpleNamespace(response_complete=not answering)
    line.loop.strike()
    assert line.transport.aborted is aborted
    # Another answer is on its way by then: that one is looked at in its turn.
    assert len(line.loop.calls) == (answering and not paused)


def connected(address, text=""):
    line = socket.create_connection(address, timeout=30)
    line.sendall(text.encode())
    return line


def request(path="/"):
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"


def answered(line):
    """Read one answer to its end."""
    found = b""
    while not found.endswith(b"ok"):
        more = line.recv(1000)
        assert more
        found += more
    return found


def ended(line):
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("sent", ["", "GET / HTTP/1.1\r\nHost: x\r\n"])
def test_who_sends_no_head_is_let_go(listening, sent):
    with connected(listening, sent) as line:
        assert ended(line)


def test_a_second_request_without_an_end_is_let_go_too(listening):
    with connected(listening, request()) as line:
        assert answered(line)
        line.sendall(b"GET / HT")
        assert ended(line)


def test_an_answer_may_take_longer_than_a_head(listening):
    with connected(listening, request("/slow")) as line:
        assert answered(line)
        line.sendall(request("/slow").encode())
        assert answered(line)


def test_beyond_the_bound_who_waits_longest_is_closed_and_others_go_on(listening):
    held = [connected(listening) for _ in range(4)]
    with connected(listening, request()) as line:
        assert answered(line)
        with connected(listening, request()) as one_more:
            assert answered(one_more)
            line.sendall(request().encode())
            assert answered(line)
        for each in held:
            assert ended(each)
            each.close()


def test_half_of_the_files_are_left_for_other_things():
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert connections.most_connections() <= min(bounds.CONNECTIONS, soft)


# -- work for nobody


def test_a_scan_that_nobody_waits_for_stops_and_is_not_sealed(tmp_path):
    from quorate.core.identity import Ed25519Signer
    from quorate.ledger import Ledger

    asked = []

    def slow(request):
        asked.append(request)
        time.sleep(0.15)
        return "no"

    with Ledger.open("memory:", signer=Ed25519Signer.generate()) as ledger:
        settings = Settings(ledger=ledger, targets={"slow": slow}, call_seconds=1.0)
        found = ask("red_team_scan", {"target": {"name": "slow"}}, settings)
        assert found.is_error
        assert "took longer than" in found.content[0].text
        settled = -1
        while settled != len(asked):
            settled = len(asked)
            time.sleep(1)
        assert 0 < settled < 33
        assert len(ledger) == 0


def test_work_that_is_wanted_goes_on():
    async def go():
        return await work.Workers(30, 2).run(lambda: (work.check_wanted(), "done")[1])

    assert asyncio.run(go()) == "done"
    work.check_wanted()


def test_a_call_whose_client_has_gone_is_stopped_between_its_steps():
    steps, seen = [], threading.Event()

    def long():
        for step in range(1000):
            work.check_wanted()
            steps.append(step)
            seen.set()
            time.sleep(0.02)

    async def go():
        workers = work.Workers(30, 1)
        first = asyncio.create_task(workers.run(long))
        await asyncio.to_thread(seen.wait, 30)
        first.cancel()
        # Its thread is free again long before it would have been through.
        return await workers.run(lambda: "next")

    assert asyncio.run(go()) == "next"
    assert len(steps) < 1000


# -- what takes longer to read than to send


def test_arguments_beyond_the_bound_are_refused_before_they_are_read():
    many = {"target": {"name": "x", **{f"k{n}": n for n in range(bounds.NODES)}}}
    assert "more than 50000 values" in str(ask("red_team_scan", many))
    most = {"target": {"name": "x", **{f"k{n}": n for n in range(bounds.NODES - 100)}}}
    found = ask("red_team_scan", most)
    assert found.is_error
    assert re.search(r"the arguments have \d+ mistakes", found.content[0].text)


@pytest.mark.parametrize("name", ["python", "code"])
def test_programs_are_bounded_together(name):
    size = bounds.CODE_CHARACTERS // 4
    fitting = {f"e{n}": "#" * size for n in range(4)}
    assert not ask("arbitrate", {"proposals": proposals(fitting), "normalize": name}).is_error
    found = ask("arbitrate", {"proposals": proposals({**fitting, "e9": "#"}), "normalize": name})
    assert found.is_error
    assert "read as programs" in found.content[0].text
    others = {"proposals": proposals({**fitting, "e9": "#"})}
    assert not ask("arbitrate", others).is_error


def test_counting_values_needs_no_stack():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(bounds.too_many, deep, 99_999).result()
    assert not bounds.too_many({"a": [1, 2, {"b": ()}]}, 5)
    assert bounds.too_many({"a": [1, 2, {"b": ()}]}, 4)
