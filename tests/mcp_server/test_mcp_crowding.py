"""Connections that are there for nothing else than to keep others out, and that they do not."""

import errno
import logging
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st
from serve_lines import (
    accepting,
    asked,
    asking,
    certificate,
    connected,
    connections,
    listening,
    status,
    trusted,
)
from serve_needs import need

from quorate.mcp import HttpSettings, Settings, bounds


async def ok(scope, _receive, send):
    # Whoever asks for it gets no end of the answer, and so is being answered until it goes.
    begun = scope["path"] == "/stays"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok", "more_body": begun})
    while begun:
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        if (await _receive())["type"] == "http.disconnect":
            return


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(connections, "most_connections", lambda: 4)


def ended(line):
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.usefixtures("few")
def test_who_was_answered_once_and_lies_idle_keeps_nobody_out():
    with listening(ok) as address, ExitStack() as held:
        idle = [held.enter_context(connected(address, asking())) for _ in range(4)]
        assert [status(line) for line in idle] == [200] * 4
        assert [asked(address) for _ in range(8)] == [200] * 8
        # The first was idle longest, and is gone.
        with suppress(ConnectionResetError):
            while idle[0].recv(1000):
                pass


@pytest.mark.usefixtures("few")
def test_who_connects_and_does_not_begin_tls_keeps_nobody_out(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "HEADER_SECONDS", 600)
    path = certificate(tmp_path)
    with listening(ok, path) as address, ExitStack() as held:
        silent = [held.enter_context(connected(address)) for _ in range(12)]
        for _ in range(6):
            with trusted(connected(address), path) as line:
                line.sendall(asking().encode())
                assert status(line) == 200
        # They were cut off, and not only no more counted.
        assert all(ended(line) for line in silent[:8])


def test_who_does_not_begin_tls_is_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "HEADER_SECONDS", 0.3)
    path = certificate(tmp_path)
    with listening(ok, path) as address, connected(address) as line:
        assert ended(line)


@pytest.mark.usefixtures("few")
def test_where_all_are_being_answered_the_new_one_goes():
    with listening(ok) as address, ExitStack() as held:
        busy = [held.enter_context(connected(address, asking("/stays"))) for _ in range(4)]
        assert [status(line) for line in busy] == [200] * 4
        with connected(address, asking()) as line:
            assert status(line) is None
        busy[0].close()
        found = None
        while found is None:
            found = asked(address)
        assert found == 200


def test_where_no_files_are_left_the_log_is_not_filled_and_later_ones_are_let_in(
    monkeypatch, caplog
):
    monkeypatch.setattr(accepting, "_PAUSE_SECONDS", 0.001)
    tried = []

    def scarce(loop):
        accept = loop.sock_accept

        async def once_more(listener):
            tried.append(listener)
            if len(tried) <= 50:
                raise OSError(errno.EMFILE, "Too many open files")
            return await accept(listener)

        loop.sock_accept = once_more

    with caplog.at_level(logging.WARNING), listening(ok, before=scarce) as address:
        assert asked(address) == 200
    told = [one for one in caplog.records if one.name == accepting.__name__]
    assert len(told) == 1
    assert "Too many open files" in told[0].getMessage()
    assert told[0].exc_info is None


class Line:
    """What is told to go."""

    transport = None

    def __init__(self):
        self.gone = False

    def cut(self):
        self.gone = True


steps = st.lists(
    st.tuples(st.sampled_from(["enter", "leave", "answer", "idle"]), st.integers(0, 9)),
    max_size=40,
)


@trying(max_examples=100)
@given(steps)
def test_the_line_that_goes_is_the_one_that_was_idle_longest(steps):
    book, naive, made, clock = connections.Lines(), {}, [], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "most_connections", lambda: 3)
        for what, number in steps:
            clock += 1
            line = made[number % len(made)] if made else None
            if what == "enter":
                idle = {one: since for one, since in naive.items() if since is not None}
                made.append(Line())
                if len(naive) == 3 and idle:
                    goes = min(idle, key=idle.get)
                    del naive[goes]
                    assert not goes.gone
                    assert book.enter(made[-1])
                    assert goes.gone
                else:
                    assert book.enter(made[-1]) is (len(naive) < 3)
                if len(naive) < 3:
                    naive[made[-1]] = clock
            elif line is None:
                continue
            elif what == "leave":
                book.leave(line)
                naive.pop(line, None)
            else:
                book.note(line, answering=what == "answer")
                if line in naive:
                    since = naive[line] or clock
                    naive[line] = None if what == "answer" else since
        assert book._open == naive.keys()
        assert book._idle.keys() == {one for one, since in naive.items() if since is not None}


def test_what_is_served_is_served_so_and_in_no_other_protocol(monkeypatch):
    serving = need("quorate.mcp.serving")
    made = []

    class Seen(serving._Server):
        def __init__(self, config, *given):
            super().__init__(config, *given)
            made.append(self)

        async def serve(self, sockets):
            pass

    monkeypatch.setattr(serving, "_Server", Seen)
    serving.serve_http(Settings(), HttpSettings(port=0))
    (server,) = made
    assert isinstance(server, accepting.Accepting)
    server.config.load()
    assert server.config.http_protocol_class is connections.Connection
    assert server.config.ws_protocol_class is None
