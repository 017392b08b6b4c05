"""Experts behind HTTP: real connections to servers that answer, refuse, hang and lie."""

import asyncio
import contextlib
import email.utils
import hashlib
import json
import os
import socket
import threading
import traceback
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest

from quorate.core import limits
from quorate.core.errors import (
    MisbehaviourError,
    OperationalError,
    TransportError,
    UsageError,
    UsageTypeError,
)
from quorate.hub import Session
from quorate.hub.experts import Adapter, Answer, BareAnswer, Expert
from quorate.hub.experts import http as module
from quorate.hub.experts.adapter import due_in
from quorate.hub.experts.http import HTTPExpert

if "QUORATE_ALL_ADAPTERS" not in os.environ:
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')

ANSWER = b'{"payload":1,"confidence":0.5}'
TOKEN = "s3cr3t-t0ken-0123456789"


def http(body=ANSWER, status="200 OK", *headers):
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Server:
    """Takes connections; each gets the next response, the last one again and again.

    A response is bytes, or a function of the connection. ``None`` closes unanswered.
    """

    def __init__(self, responses):
        self.responses = list(responses)
        self.requests = []
        self.ended = threading.Event()
        self._open = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/ask"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self):
        self.ended.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        for connection, thread in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
            connection.close()

    def _serve(self):
        number = 0
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            response = self.responses[min(number, len(self.responses) - 1)]
            number += 1
            thread = threading.Thread(target=self._answer, args=(connection, response))
            thread.start()
            self._open.append((connection, thread))

    def _answer(self, connection, response):
        with contextlib.suppress(OSError):
            self.requests.append(read_request(connection))
            if callable(response):
                response(connection)
            elif response is not None:
                connection.sendall(response)
            connection.shutdown(socket.SHUT_RDWR)


def read_request(connection):
    """The request line, the headers by lower-case name, and the body."""
    with connection.makefile("rb") as file:
        line = file.readline().decode().strip()
        headers = {}
        while (header := file.readline().strip()) != b"":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        return line, headers, file.read(int(headers.get("content-length", 0)))


@pytest.fixture
def serve(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(module, "_FIRST_WAIT_SECONDS", 0.001)
    servers = []

    def start(*responses):
        servers.append(Server(responses))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def ask(expert, task=None):
    return asyncio.run(expert(task))


def failure(expert, error=TransportError):
    with pytest.raises(error) as caught:
        ask(expert)
    assert type(caught.value) is error
    return str(caught.value)


def test_one_post_and_one_answer(serve):
    body = b'{"payload":{"a":[1]},"confidence":"1/3","cost":0.1,"tokens":5,"ranking":[1,2]}'
    server = serve(http(body, "201 Created"))
    expert = HTTPExpert(server.url + "?key=1", headers={"X-Tenant": "ours"})
    assert isinstance(expert, Adapter)
    assert ask(expert, {"é": 1}) == Answer(
        {"a": [1]}, Fraction(1, 3), 0.1, ranking=[1, 2], tokens=5
    )
    ((line, headers, sent),) = server.requests
    assert line == "POST /ask?key=1 HTTP/1.1"
    assert json.loads(sent) == {"input": {"é": 1}}
    assert headers["content-type"] == "application/json"
    assert headers["accept-encoding"] == "identity"
    assert headers["x-tenant"] == "ours"
    assert "authorization" not in headers
    assert "idempotency-key" not in headers


def test_in_a_session(serve):
    def hang(connection):
        stop.wait(30)

    stop = threading.Event()
    servers = [
        serve(http()),
        serve(http(b'{"payload":7}')),
        serve(http(b'{"payload":7}')),
        serve(http(b"no JSON")),
        serve(http(b"oh", "500 Internal")),
        serve(hang),
        serve(http(b'{"error":"no idea"}')),
    ]
    experts = [Expert(f"e{n}", HTTPExpert(server.url)) for n, server in enumerate(servers)]
    experts[2] = Expert("e2", HTTPExpert(servers[2].url), confidence=0.9)
    experts[5] = Expert("e5", HTTPExpert(servers[5].url), timeout=0.5)
    got = Session(experts, None).collect()
    stop.set()
    assert [(p.expert_id, p.payload, p.confidence) for p in got] == [
        ("e0", 1, 0.5),
        ("e2", 7, Fraction(9, 10)),
    ]
    assert [(a.expert_id, a.reason) for a in got.absent] == [
        ("e1", "void"),
        ("e3", "void"),
        ("e4", "crashed"),
        ("e5", "timeout"),
        ("e6", "crashed"),
    ]
    told = {a.expert_id: a.detail for a in got.absent}
    assert told["e4"] == "TransportError: its server answered 500: oh"
    assert told["e6"] == "TransportError: its server says that it failed: no idea"


def test_calls_may_come_from_one_event_loop_after_another(serve):
    server = serve(http())
    expert = HTTPExpert(server.url)
    for _ in range(2):
        assert ask(expert) == Answer(1, 0.5)
    assert len(Session([Expert("e", expert)], None).collect()) == 1
    asyncio.run(expert.aclose())
    assert ask(expert) == Answer(1, 0.5)


def test_an_answer_is_read_up_to_the_bound_and_not_one_byte_past_it(serve):
    server = serve(http(ANSWER.ljust(limits.MAX_ANSWER_BYTES)))
    assert ask(HTTPExpert(server.url)) == Answer(1, 0.5)
    server = serve(http(ANSWER.ljust(limits.MAX_ANSWER_BYTES + 1)))
    told = f"has more than {limits.MAX_ANSWER_BYTES} bytes"
    assert told in failure(HTTPExpert(server.url), MisbehaviourError)
    server = serve(http())
    assert ask(HTTPExpert(server.url, max_bytes=len(ANSWER))) == Answer(1, 0.5)
    told = f"has more than {len(ANSWER) - 1} bytes"
    assert told in failure(HTTPExpert(server.url, max_bytes=len(ANSWER) - 1), MisbehaviourError)


@pytest.mark.parametrize("head", ["Content-Length: 1073741824", "X-Length: until the end"])
@pytest.mark.parametrize("status", ["200 OK", "500 Internal"])
def test_a_flood_is_broken_off(serve, head, status):
    sent = []

    def flood(connection):
        connection.sendall(f"HTTP/1.1 {status}\r\n{head}\r\n\r\n".encode())
        while True:
            sent.append(connection.send(b"x" * (1 << 20)))

    server = serve(flood)
    failure(HTTPExpert(server.url), MisbehaviourError if status[0] == "2" else TransportError)
    server.close()
    assert sum(sent) < 1 << 27


def test_a_compressed_answer_is_refused(serve):
    server = serve(http(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"))
    assert "compressed ('gzip'), unasked" in failure(HTTPExpert(server.url), MisbehaviourError)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b"[1]", "the answer is a list"),
        (b'{"payload":1,"payload":2}', "stands twice"),
        (b'{"payload":1,"confidense":1}', "unknown keys: 'confidense'"),
        (b'{"payload":1,"confidence":NaN}', "NaN"),
        (b'{"payload":"\xff","confidence":1}', "UTF-8"),
    ],
)
def test_what_is_no_answer_is_misbehaviour(serve, body, told):
    server = serve(http(body))
    said = failure(HTTPExpert(server.url), MisbehaviourError)
    assert said.startswith("its server: ")
    assert told in said
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + ANSWER,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20),
        b"no HTTP at all\r\n\r\n",
        None,
    ],
)
def test_what_breaks_off_is_a_crash_and_asked_once(serve, response):
    server = serve(response)
    assert failure(HTTPExpert(server.url)).startswith("its server broke off: ")
    assert len(server.requests) == 1


def test_a_longer_answer_than_announced_is_cut_as_announced(serve):
    body = ANSWER + b"trailing"
    server = serve(http(ANSWER) + b"trailing")
    assert ask(HTTPExpert(server.url)) == Answer(1, 0.5)
    server = serve(http(body).replace(b": %d" % len(body), b": %d" % (len(ANSWER) - 1)))
    failure(HTTPExpert(server.url), MisbehaviourError)


def test_a_server_that_drips_is_left_at_the_deadline(serve):
    closed = threading.Event()

    def drip(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        try:
            while not server.ended.wait(0.01):
                connection.sendall(b" ")
        except OSError:
            closed.set()

    server = serve(drip)
    got = Session([Expert("e", HTTPExpert(server.url), timeout=0.5)], None).collect()
    assert [a.reason for a in got.absent] == ["timeout"]
    assert closed.wait(20)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(serve, status):
    other = serve(http())
    server = serve(http(b"", status, f"Location: {other.url}"))
    said = failure(HTTPExpert(server.url))
    assert f"answered {status[:3]}, which points to {other.url}; redirects are not" in said
    assert other.requests == []


# --- asking again ---------------------------------------------------------------------


@pytest.mark.parametrize("status", ["429 Too Many", "503 Unavailable"])
def test_a_server_that_turns_it_away_is_asked_again(serve, status):
    server = serve(http(b"busy", status), http(b"busy", status), http())
    assert ask(HTTPExpert(server.url)) == Answer(1, 0.5)
    assert len(server.requests) == 3
    server = serve(http(b"busy", status))
    assert failure(HTTPExpert(server.url)) == f"its server answered {status[:3]}: busy"
    assert len(server.requests) == 3
    server = serve(http(b"busy", status))
    failure(HTTPExpert(server.url, retries=0))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "status", ["400 Bad", "401 No", "404 None", "500 Oh", "502 Bad", "504 Late"]
)
def test_other_refusals_are_final(serve, status):
    server = serve(http(b"", status))
    assert failure(HTTPExpert(server.url)) == f"its server answered {status[:3]}"
    assert len(server.requests) == 1


@pytest.mark.parametrize("response", [None, http(b"", "502 Bad"), http(b"", "504 Late")])
def test_what_may_have_been_served_is_asked_again_only_if_declared_idempotent(serve, response):
    server = serve(response, http())
    failure(HTTPExpert(server.url))
    assert len(server.requests) == 1
    server = serve(response, http())
    assert ask(HTTPExpert(server.url, idempotent=True), {"b": 1, "a": 2}) == Answer(1, 0.5)
    (_, first, body), (_, second, again) = server.requests
    assert body == again
    key = hashlib.sha256(b'{"input":{"a":2,"b":1}}').hexdigest()
    assert first["idempotency-key"] == second["idempotency-key"] == key


@pytest.mark.parametrize("status", ["400 Bad", "500 Oh"])
def test_an_idempotent_server_is_not_asked_again_for_what_it_refused(serve, status):
    server = serve(http(b"", status))
    failure(HTTPExpert(server.url, idempotent=True))
    assert len(server.requests) == 1


def test_where_no_connection_comes_about_it_is_tried_again(serve, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    waits = []

    async def wait(again, attempt):
        waits.append(attempt)

    monkeypatch.setattr(module, "_wait", wait)
    said = failure(HTTPExpert(f"http://127.0.0.1:{port}/", retries=3))
    assert said.startswith("its server cannot be reached: ")
    assert waits == [0, 1, 2]


def slept(monkeypatch, expert, seconds=None):
    """Ask with this many seconds left; how long it waited in between, and what came."""
    waits = []

    async def sleep(wait):
        waits.append(wait)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)

    async def call():
        with due_in(seconds) if seconds is not None else contextlib.nullcontext():
            return await expert(None)

    try:
        return waits, asyncio.run(call())
    except TransportError as error:
        return waits, error


def test_how_long_a_server_asks_to_wait_is_honoured(serve, monkeypatch):
    busy = http(b"", "503 Unavailable", "Retry-After: 7")
    assert slept(monkeypatch, HTTPExpert(serve(busy, http()).url)) == ([7], Answer(1, 0.5))
    moment = email.utils.format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    busy = http(b"", "429 Too Many", f"Retry-After: {moment}")
    (wait,), answer = slept(monkeypatch, HTTPExpert(serve(busy, http()).url))
    assert 3500 < wait <= 3600
    assert answer == Answer(1, 0.5)


@pytest.mark.parametrize(
    "value",
    ["soon", "-5", "1e3", "²", "9" * 300, "Fri, 99 Foo 2020 00:00:00 GMT", ""],
)
def test_a_wait_that_cannot_be_read_is_none(serve, monkeypatch, value):
    response = http(b"", "503 Unavailable", f"Retry-After: {value}").replace("²".encode(), b"\xb2")
    waits, answer = slept(monkeypatch, HTTPExpert(serve(response, http()).url))
    assert waits == [module._FIRST_WAIT_SECONDS]
    assert answer == Answer(1, 0.5)


def test_a_moment_that_has_passed_is_no_wait():
    assert module._retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert module._retry_after("9" * 100) == limits.MAX_TIMEOUT_SECONDS
    # Without a zone.
    assert module._retry_after("Wed, 21 Oct 2015 07:28:00 -0000") is None


def test_what_could_only_come_too_late_is_told_at_once(serve, monkeypatch):
    server = serve(http(b"busy", "503 Unavailable", "Retry-After: 60"), http())
    waits, error = slept(monkeypatch, HTTPExpert(server.url), 59)
    assert waits == []
    assert str(error) == (
        "its server answered 503: busy; it would be asked again in 60 s, "
        "but its answer is due sooner"
    )
    assert len(server.requests) == 1
    server = serve(http(b"busy", "503 Unavailable", "Retry-After: 60"), http())
    assert slept(monkeypatch, HTTPExpert(server.url), 600) == ([60], Answer(1, 0.5))


def test_waits_grow_to_a_bound(monkeypatch):
    waits = []

    async def sleep(wait):
        waits.append(wait)

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    for attempt in range(limits.MAX_RETRIES):
        asyncio.run(module._wait(module._AgainError(TransportError("x")), attempt))
    assert waits == [0.25, 0.5, 1, 2, 4, 8, 8, 8, 8, 8]


# --- the token ------------------------------------------------------------------------


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("EXPERT_TOKEN", TOKEN)
    return "EXPERT_TOKEN"


def test_the_token_comes_from_the_environment_at_each_call(serve, token, monkeypatch):
    server = serve(http())
    expert = HTTPExpert(server.url, bearer_env=token)
    ask(expert)
    monkeypatch.setenv(token, "another")
    ask(expert)
    sent = [headers["authorization"] for _, headers, _ in server.requests]
    assert sent == [f"Bearer {TOKEN}", "Bearer another"]
    monkeypatch.delenv(token)
    assert "EXPERT_TOKEN is not set" in failure(expert, OperationalError)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "response",
    [
        http(TOKEN.encode(), "401 No"),
        http((TOKEN * 1000).encode(), "500 Oh"),
        http(b"x" * (limits.MAX_ERROR_TAIL_BYTES - 5) + TOKEN.encode(), "500 Oh"),
        http((" " * 4088 + TOKEN).encode(), "500 Oh"),
        http(b"", "302 Found", f"Location: /{TOKEN}"),
        http(b"", "503 Busy", f"Retry-After: {TOKEN}"),
        http(b'{"error":"%s"}' % TOKEN.encode()),
        http(b'{"payload":"%s","confidence":1}' % TOKEN.encode()),
        http(b"{} " + TOKEN.encode()),
        http(b"", "200 OK", f"Content-Encoding: {TOKEN}"),
        f"HTTP/1.1 200 {TOKEN}\r\nContent-Length: {TOKEN}\r\n\r\n".encode(),
        f"{TOKEN}\r\n\r\n".encode(),
        f"HTTP/1.1 200 OK\r\n{TOKEN}\r\n\r\n".encode(),
    ],
)
def test_a_server_that_sends_the_token_back_does_not_get_it_on_record(serve, token, response):
    server = serve(response)
    expert = HTTPExpert(server.url, bearer_env=token)
    with pytest.raises((TransportError, MisbehaviourError)) as caught:
        ask(expert)
    shown = "".join(traceback.format_exception(caught.value))
    assert server.requests[0][1]["authorization"] == f"Bearer {TOKEN}"
    assert not any(TOKEN[:n] in str(caught.value) for n in range(5, len(TOKEN)))
    assert TOKEN not in shown
    assert TOKEN not in repr(expert)
    got = Session([Expert("e", expert)], None).collect()
    assert TOKEN not in repr(got.absent)


@pytest.mark.parametrize(
    ("url", "keys", "error", "told"),
    [
        ("ftp://host/", {}, UsageError, "give one such as https://host/path"),
        ("host/path", {}, UsageError, "give one such as https://host/path"),
        (3, {}, UsageTypeError, "the url is 3"),
        ("https://user:pass@host/", {}, UsageError, "holds a name or password"),
        ("https://user:pass@host:door/", {}, UsageError, "the url cannot be read"),
        ("http://host/", {"bearer_env": "T"}, UsageError, "plain http"),
        ("https://host/", {"bearer_env": "the secret"}, UsageError, "and not the secret"),
        ("https://host/", {"retries": -1}, UsageError, "retries is -1"),
        ("https://host/", {"retries": limits.MAX_RETRIES + 1}, UsageError, "retries is 11"),
        ("https://host/", {"retries": True}, UsageTypeError, "retries is True"),
        ("https://host/", {"max_bytes": 0}, UsageError, "max_bytes is 0"),
        ("https://host/", {"max_bytes": limits.MAX_ANSWER_BYTES + 1}, UsageError, "max_bytes is"),
        ("https://host/", {"idempotent": 1}, UsageTypeError, "idempotent is of type int"),
        ("https://host/", {"headers": ["X: y"]}, UsageTypeError, "give a table of texts"),
        ("https://host/", {"headers": {"X": 1}}, UsageTypeError, "the header x is a int"),
        ("https://host/", {"headers": {"X\r\nY": "1"}}, UsageError, "no name may have"),
        ("https://host/", {"headers": {"X": "1\r\nY: 2"}}, UsageError, "no header can carry"),
        ("https://host/", {"headers": {"X": "é"}}, UsageError, "no header can carry"),
        ("https://host/", {"headers": {"Authorization": "x"}}, UsageError, "given as bearer_env"),
        ("https://host/", {"headers": {"X": "1", "x": "2"}}, UsageError, "stands twice"),
    ],
)
def test_what_cannot_be_declared_is_refused(url, keys, error, told):
    with pytest.raises(error) as caught:
        HTTPExpert(url, **keys)
    assert told in str(caught.value)
    assert "pass@" not in str(caught.value)


def test_the_bounds_are_the_last_allowed():
    headers = {f"x-{number}": "y" for number in range(limits.MAX_HEADERS)}
    HTTPExpert("https://host/", headers=headers, retries=limits.MAX_RETRIES)
    with pytest.raises(UsageError, match="65 headers; at most 64"):
        HTTPExpert("https://host/", headers={**headers, "one": "more"})
    HTTPExpert("https://host/", headers={"x": "y" * limits.MAX_HEADER_LENGTH})
    with pytest.raises(UsageError, match="the header x has"):
        HTTPExpert("https://host/", headers={"x": "y" * (limits.MAX_HEADER_LENGTH + 1)})


def test_it_says_what_it_is(serve):
    expert = HTTPExpert("https://host/path?key=secret")
    assert repr(expert) == "HTTPExpert('https://host/path', …)"
    assert (expert.kind, expert.confidence_source) == (
        "http",
        "the server gives it with each answer",
    )
    bare = HTTPExpert(serve(http(b'{"payload":1,"cost":3}')).url)
    assert ask(bare) == BareAnswer(1, 3)


def test_a_call_that_is_cancelled_closes_its_connection(serve):
    arrived, closed = threading.Event(), threading.Event()

    def hang(connection):
        arrived.set()
        if not connection.recv(1):
            closed.set()

    server = serve(hang)

    async def cancel():
        call = asyncio.create_task(HTTPExpert(server.url)(None))
        assert await asyncio.to_thread(arrived.wait, 20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancel())
    assert closed.wait(20)
