"""The bounds around the SDK's application, over an application that answers anything."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import settings as trying
from hypothesis import strategies as st

from quorate.mcp import HttpSettings
from quorate.mcp.bounds import too_deep
from quorate.mcp.http_bounds import Bounds, Rates

HOST, ORIGIN = "127.0.0.1:8000", "http://127.0.0.1:8000"
CALL = {"method": "tools/call", "params": {"name": "arbitrate"}}


async def echo(scope, receive, send):
    """Read the body, then answer with it."""
    body = (await receive())["body"] if scope["method"] == "POST" else b""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def request(bounds, body=(b"{}",), method="POST", user=None, client_id="c", **headers):
    """Send a request, its body in chunks; a chunk of None never comes. Gives status and body."""
    named = {"host": HOST, **headers}
    scope = {
        "type": "http",
        "method": method,
        "headers": [(k.replace("_", "-").encode(), v.encode()) for k, v in named.items()],
        "client": ("127.0.0.1", 1),
    }
    if user is not None:
        token = SimpleNamespace(client_id=client_id, scopes=user)
        scope["user"] = SimpleNamespace(access_token=token)
    chunks, sent = list(body), []

    async def receive():
        chunk = chunks.pop(0) if chunks else None
        if chunk is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    async def send(message):
        sent.append(message)

    await bounds(scope, receive, send)
    assert sent[-1].get("more_body", False) is False
    return (
        sent[0]["status"],
        b"".join(each.get("body", b"") for each in sent),
        dict(sent[0]["headers"]),
    )


def asked(app=echo, settings=None, **given):
    async def go():
        bounds = Bounds(app, HttpSettings(**(settings or {})), [HOST], [ORIGIN])
        return await request(bounds, **given)

    return asyncio.run(go())


def test_what_is_within_bounds_goes_through_whole():
    assert asked(body=[b"{", b"", b"}"])[:2] == (200, b"{}")
    assert asked(origin=ORIGIN, host=HOST.upper())[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": ""}, 421),
        ({"host": f"{HOST}.evil"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": f"{ORIGIN}.evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"origin": "https://127.0.0.1:8000"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_another_host_or_origin_is_refused_whatever_is_asked(headers, status, method):
    assert asked(method=method, **headers)[0] == status


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_is_taken_up_to_its_bound_and_not_one_byte_more(declared):
    for size, status in ((1024, 200), (1025, 413)):
        length = {"content_length": str(size)} if declared else {}
        parts = [b"a" * 1000, b"a" * (size - 1000)]
        assert asked(settings={"body_bytes": 1024}, body=parts, **length)[0] == status


@pytest.mark.parametrize("length", ["-1", "x", "9" * 5000, "1e3"])
def test_a_length_that_is_none_is_refused(length):
    assert asked(content_length=length)[0] == 413


def test_a_body_that_does_not_come_is_408():
    assert asked(settings={"body_seconds": 0.05}, body=[b"{", None])[0] == 408


def test_a_scope_that_the_token_has_not_is_403_and_named():
    body = [json.dumps(CALL).encode()]
    status, _, headers = asked(body=body, user=["read", "vote"])
    assert status == 403
    assert b'scope="decide"' in headers[b"www-authenticate"]
    assert asked(body=body, user=["decide"])[0] == 200
    assert asked(body=[json.dumps([CALL]).encode()], user=["read"])[0] == 403
    read = json.dumps({"method": "resources/read", "params": {"uri": "quorate://receipt/0"}})
    assert asked(body=[read.encode()], user=["decide"])[0] == 403
    for harmless in (
        b"{",
        b"1",
        b"null",
        b'{"method": 1}',
        b'{"method": "tools/call", "params": 1}',
    ):
        assert asked(body=[harmless], user=[])[0] == 200


def test_more_calls_at_once_than_allowed_are_503_and_later_ones_are_answered():
    async def go():
        held = asyncio.Event()

        async def waiting(scope, receive, send):
            await held.wait()
            await echo(scope, receive, send)

        bounds = Bounds(waiting, HttpSettings(calls=2), [HOST], [ORIGIN])
        first = [asyncio.ensure_future(request(bounds)) for _ in range(2)]
        await asyncio.sleep(0)
        third = await request(bounds)
        held.set()
        return [(await each)[0] for each in first], third, await request(bounds), bounds.busy

    first, third, later, busy = asyncio.run(go())
    assert (first, third[0], later[0], busy) == ([200, 200], 503, 200, 0)
    assert third[2][b"retry-after"] == b"1"


def test_each_client_has_a_rate_of_its_own():
    async def go():
        bounds = Bounds(echo, HttpSettings(calls_per_minute=1), [HOST], [ORIGIN])
        told = [(await request(bounds, user=[]))[0] for _ in range(2)]
        return told, (await request(bounds))[0]

    assert asyncio.run(go()) == ([200, 429], 200)


def test_a_crash_inside_is_not_hidden():
    async def broken(_scope, receive, _send):
        await receive()
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        asked(broken)


def test_what_the_application_says_of_a_refusal_is_not_sent():
    async def outer(scope, receive, send):
        # As Starlette does: whatever is raised becomes an answer, and is raised on.
        try:
            await echo(scope, receive, send)
        except Exception:
            await send({"type": "http.response.start", "status": 500, "headers": []})
            raise

    assert asked(outer, settings={"body_bytes": 1024}, body=[b"a" * 1025])[0] == 413


def test_streams_end_when_the_server_does():
    async def go():
        async def stream(_scope, _receive, send):
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await asyncio.Event().wait()

        bounds = Bounds(stream, HttpSettings(), [HOST], [ORIGIN])
        open_ = asyncio.ensure_future(request(bounds, method="GET"))
        await asyncio.sleep(0.01)
        assert not open_.done()
        bounds.close()
        return await asyncio.wait_for(open_, 30)

    assert asyncio.run(go())[0] == 200


json_values = st.recursive(
    st.just(0),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from("ab"), below),
    max_leaves=8,
)


def depth(value):
    below = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if below is None else 1 + max(map(depth, below), default=0)


@trying(max_examples=50)
@given(json_values, st.integers(0, 5))
def test_depth_is_measured_as_by_recursion(value, most):
    assert too_deep(value, most) == (depth(value) > most)


@given(
    st.integers(1, 5), st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30)), max_size=30)
)
def test_no_client_has_more_calls_than_its_rate_allows(most, calls):
    rates, now, granted = Rates(most), 0.0, {"a": [], "b": []}
    for client, pause in calls:
        now += pause
        if rates.wait(client, now) == 0:
            granted[client].append(now)
    for times in granted.values():
        for first in range(len(times)):
            for last in range(first, len(times)):
                allowed = most + (times[last] - times[first]) * most / 60
                assert last - first + 1 <= allowed + 1e-6


@given(st.integers(1, 100), st.lists(st.floats(0, 600), max_size=20))
def test_who_waits_as_told_may_call(most, pauses):
    rates, now = Rates(most), 0.0
    for pause in pauses:
        now += pause
        wait = rates.wait("a", now)
        if wait:
            now += wait + 1e-6
            assert rates.wait("a", now) == 0
