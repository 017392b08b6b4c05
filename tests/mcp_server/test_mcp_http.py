"""The real server over HTTP: called by the official client, and refused what it must refuse."""

import asyncio
import json
import re
import signal
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from serve_calls import call_everything, proposals
from serve_desk import answer, given, process, refusal
from serve_lines import certificate
from serve_needs import need

from quorate.cli.app import run
from quorate.mcp import bounds
from quorate.mcp.tokens import new_token, read_tokens, write_tokens

MCPError = need("mcp.shared.exceptions").MCPError
httpx2 = need("httpx2")

HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "tests", "version": "1"},
    },
}
MANY = 200  # more than there are workers, and no more than one token may have
ACCEPT = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def post(served, message=HELLO, token="all", **headers):  # noqa: S107 - the name of one
    sent = {**ACCEPT, **(served.headers(token) if token else {}), **headers}
    content = message if isinstance(message, bytes) else json.dumps(message).encode()
    return httpx2.post(served.url, content=content, headers=sent, timeout=60)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_the_official_client_calls_every_tool(served, mode):
    async def go():
        async with served.client(mode=mode) as client:
            await call_everything(client, served.folder)

    asyncio.run(go())


def test_many_calls_at_once_are_all_answered_each_with_its_own(served):
    async def go():
        async with served.client() as client:

            async def one(number):
                said = proposals({expert: {"call": number} for expert in "abc"})
                found = answer(await client.call_tool("arbitrate", {"proposals": said}))
                return number, found["consensus"], found["sealed"]["seq"]

            return await asyncio.gather(*(one(number) for number in range(MANY)))

    found = asyncio.run(go())
    assert all(consensus == {"call": number} for number, consensus, _ in found)
    assert len({seq for _, _, seq in found}) == MANY


def test_no_call_waits_for_a_slow_one(served):
    async def go():
        async with served.client() as client:
            slow = asyncio.ensure_future(
                client.call_tool("red_team_scan", {"target": {"name": "parrot"}})
            )
            quick = await client.call_tool("bft_quorum", {"num_nodes": 4})
            answer(quick)
            answer(await slow)

    asyncio.run(go())


@pytest.mark.parametrize("sent", [{}, {"Authorization": "Bearer quorate_nope"}])
def test_without_a_good_token_it_is_401(served, sent):
    response = post(served, token=None, **sent)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer ")


def test_a_missing_scope_is_403_and_says_which(served):
    call = {"name": "arbitrate", "arguments": {"proposals": []}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    response = post(served, message, token="reader")
    assert response.status_code == 403
    assert 'scope="decide"' in response.headers["www-authenticate"]


def test_a_token_votes_as_nobody_but_its_voters(served):
    async def go():
        async with served.client() as client:
            put = await client.call_tool("council_propose", {"action": "restrict", "target": "x"})
            assert "name the voter: one of anna, bo" in refusal(put)
            put = {"action": "restrict", "target": "x", "proposer": "anna"}
            id_ = answer(await client.call_tool("council_propose", put))["proposal_id"]
            ballot = {"proposal_id": id_, "value": "approve"}
            stolen = await client.call_tool("council_vote", {**ballot, "voter": "cleo"})
            assert "may not vote as 'cleo'" in refusal(stolen)
            unsigned = await client.call_tool("council_vote", {**ballot, "voter": "bo"})
            assert "unsigned" in refusal(unsigned)
        async with served.client("cleo") as client:
            own = answer(await client.call_tool("council_vote", ballot))
            assert [b["voter"] for b in own["ballots"] if b["value"]] == ["cleo"]

    asyncio.run(go())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Host": "localhost:1"}, 421),
    ],
)
def test_other_origins_and_hosts_are_refused(served, headers, status):
    assert post(served, **headers).status_code == status


def test_its_own_origin_may_call(served):
    assert post(served, Origin=served.url.removesuffix("/mcp")).status_code == 200


def chunks(size):
    for _ in range(size >> 16):
        yield b"a" * (1 << 16)


def test_a_body_beyond_the_bound_is_413_with_and_without_its_length(served):
    size = (4 << 20) + 1
    assert post(served, b"a" * size).status_code == 413
    sent = {**ACCEPT, **served.headers()}
    response = httpx2.post(served.url, content=chunks(5 << 20), headers=sent, timeout=60)
    assert response.status_code == 413


def test_nobody_without_a_token_has_a_body_read(served):
    assert post(served, b"a" * (5 << 20), token=None).status_code == 401


def test_json_that_is_too_deep_or_none_is_refused(served):
    async def go():
        deep = 0
        for _ in range(70):
            deep = [deep]
        async with served.client() as client:
            with pytest.raises(MCPError, match="deeper than 64"):
                await client.call_tool("evaluate_eu_ai_act", {"evidence": {"a": deep}})

    asyncio.run(go())
    assert post(served, b"[" * 100_000).status_code == 400
    assert post(served, b"{").status_code == 400


def test_what_there_is_not_is_refused_by_the_protocols_error(served):
    async def go():
        async with served.client() as client:
            with pytest.raises(MCPError, match="no tool 'nope'") as error:
                await client.call_tool("nope", {})
            assert error.value.error.code == -32602
            strange = await client.call_tool("bft_quorum", {"num_nodes": 4, "nodes": 5})
            assert "no argument 'nodes'" in refusal(strange)
            for wrong in (0, True, 4.5, "4", None, 1 << 60):
                assert "num_nodes" in refusal(
                    await client.call_tool("bft_quorum", {"num_nodes": wrong})
                )
            for uri in ("receipt/99999", "receipt/..%2F1", "receipt/-1", "bundle/x"):
                with pytest.raises(MCPError):
                    await client.read_resource(f"quorate://{uri}")

    asyncio.run(go())


def test_errors_tell_nothing_of_the_machine(served):
    async def go():
        async with served.client() as client:
            said = [
                await client.call_tool("verify_receipt", {"receipt": {}}),
                await client.call_tool("verify_receipt", {"receipt": {}, "keys": ["/etc/passwd"]}),
                await client.call_tool("council_tally", {"proposal_id": "p999"}),
                await client.call_tool("red_team_scan", {"target": {"name": "os:system"}}),
                await client.call_tool("red_team_scan", {"target": {"name": "http://127.0.0.1/"}}),
                await client.call_tool("evaluate_eu_ai_act", {"evidence": {}, "profile": "/etc"}),
            ]
            return [refusal(one) for one in said]

    for words in asyncio.run(go()):
        assert str(served.folder) not in words
        assert not re.search(r"Traceback|\.py|site-packages|sqlite", words), words


def test_one_token_has_so_many_sessions_and_others_have_theirs(served):
    sent = {**ACCEPT, **served.headers("reader")}
    with httpx2.Client(headers=sent, timeout=60) as client:
        answers = [client.post(served.url, json=HELLO) for _ in range(bounds.CLIENT_SESSIONS + 1)]
        *opened, refused = [one.status_code for one in answers]
        assert (opened, refused) == ([200] * bounds.CLIENT_SESSIONS, 429)
        assert "sessions open" in answers[-1].json()["error"]["message"]
        assert post(served, token="cleo").status_code == 200
        named = {"mcp-session-id": answers[0].headers["mcp-session-id"]}
        assert client.delete(served.url, headers=named).status_code == 200
        assert client.post(served.url, json=HELLO).status_code == 200


def test_a_token_taken_out_of_the_file_stops_working_at_once(served):
    path = served.folder / "tokens.toml"
    before = read_tokens(path)
    text, token = new_token("guest", ["read"], [], 1, now=datetime.now(UTC))
    sent = {**ACCEPT, "Authorization": f"Bearer {text}"}
    statuses = []
    for known in (before, [*before, token], before):
        write_tokens(path, known)
        statuses.append(httpx2.post(served.url, json=HELLO, headers=sent).status_code)
    assert statuses == [401, 200, 401]


@pytest.fixture
def strict(desk, tmp_path):
    """Starts a server with narrow bounds, without tokens or anything of the operator's."""
    with ExitStack() as started:

        def start(table=""):
            config = tmp_path / "serve.toml"
            config.write_text(f"[serve]\n{table}")
            running, facts = started.enter_context(process(["--config", str(config)], desk))
            return running, facts["url"]

        yield start


def test_a_body_that_dribbles_in_is_408_and_counts_as_a_call(strict):
    _, url = strict("body_seconds = 3\ncalls = 1\n")
    host, port = re.match(r"http://([^:]+):(\d+)", url).groups()
    with socket.create_connection((host, int(port)), timeout=60) as line:
        line.sendall(
            f"POST /mcp HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 100\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            "\r\n{".encode()
        )
        # The server may come to ours first; it has three seconds in which it does not.
        tries = (httpx2.post(url, json=HELLO, headers=ACCEPT).status_code for _ in range(100))
        assert 503 in tries
        assert line.recv(100).startswith(b"HTTP/1.1 408 ")


def test_too_many_calls_a_minute_are_429_and_a_signal_ends_it_with_a_stream_open(strict):
    started, url = strict("calls_per_minute = 3\n")
    answers = [httpx2.post(url, json=HELLO, headers=ACCEPT) for _ in range(5)]
    assert [one.status_code for one in answers] == [200, 200, 200, 429, 429]
    with streaming(url, answers[0].headers["mcp-session-id"]) as stream:
        assert stream.status_code == 200
        started.send_signal(signal.SIGINT)
        assert started.wait(60) == 130


def streaming(url, session, **headers):
    sent = {"mcp-session-id": session, "Accept": "text/event-stream", **headers}
    return httpx2.stream("GET", url, headers=sent, timeout=60)


def test_a_call_in_progress_is_answered_before_it_ends_and_a_stream_is_not_waited_for(desk, tokens):
    arguments = ["--target", "slow=targets.py:slow", "--tokens", str(desk / "tokens.toml")]
    scan = {"target": {"name": "slow"}, "strategies": ["RT-PROMPT-SEND"]}
    call = {"name": "red_team_scan", "arguments": scan}
    message = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": call}
    sent = {**ACCEPT, "Authorization": f"Bearer {tokens['all']}"}
    mark = desk / "slow.mark"
    with process(arguments, desk) as (started, facts), ThreadPoolExecutor(1) as pool:
        hello = httpx2.post(facts["url"], json=HELLO, headers=sent)
        sent["mcp-session-id"] = hello.headers["mcp-session-id"]
        ready = {"jsonrpc": "2.0", "method": "notifications/initialized"}
        assert httpx2.post(facts["url"], json=ready, headers=sent).status_code == 202
        calling = pool.submit(httpx2.post, facts["url"], json=message, headers=sent, timeout=60)
        while not mark.exists() and not calling.done():
            time.sleep(0.01)
        session = hello.headers["mcp-session-id"]
        with streaming(facts["url"], session, Authorization=sent["Authorization"]) as stream:
            assert stream.status_code == 200
            started.send_signal(signal.SIGTERM)
            answered = calling.result()
            assert started.wait(60) == 0
    assert answered.status_code == 200
    assert '"target":"slow"' in answered.text


def test_tokens_travel_encrypted_where_there_is_a_certificate(desk, tokens):
    both = certificate(desk)
    tls = ["--tls-cert", both, "--tls-key", both]
    trust = ssl.create_default_context(cafile=both)
    with process([*tls, "--tokens", str(desk / "tokens.toml")], desk) as (_, facts):
        url = facts["url"].replace("127.0.0.1", "localhost")
        assert url.startswith("https://")
        sent = {**ACCEPT, "Authorization": f"Bearer {tokens['reader']}"}
        assert httpx2.post(url, json=HELLO, headers=sent, verify=trust).status_code == 200


def test_what_is_not_safe_is_refused_before_it_listens(desk, tokens, capfd, monkeypatch):
    def serves(*_given):
        raise AssertionError("it serves")

    monkeypatch.chdir(desk)
    monkeypatch.setattr("quorate.mcp.serve_http", serves)
    for arguments, words in (
        (given(desk), "anybody on this machine may call"),
        (["--host", "0.0.0.0"], "can be reached from other machines"),  # noqa: S104 - refused
        (["--host", "0.0.0.0", "--tokens", str(desk / "tokens.toml")], "unencrypted"),  # noqa: S104
        (["--allow-origin", "*"], "without *"),
    ):
        assert run(["serve", "--port", "0", *arguments]) == 2
        assert words in capfd.readouterr().err
