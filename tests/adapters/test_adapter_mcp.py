"""MCP tools: the official client against servers of the official SDK, over HTTP and stdio."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from needed import cancelled_once, need

from quorate.arbitration import Arbiter
from quorate.core import limits
from quorate.core.errors import MisbehaviourError, OperationalError, TransportError, UsageError
from quorate.hub.experts import Answer, BareAnswer, Expert
from quorate.hub.session import Session

need("mcp.server")
need("uvicorn")
import mcp_peer  # noqa: E402

from quorate.hub.experts.mcp import MCPExpert  # noqa: E402

PEER = Path(__file__).with_name("mcp_peer.py")
COMMAND = [sys.executable, str(PEER)]
CALLS = []


def serve_tools(serve, token=None):
    app = mcp_peer.make(CALLS, token).streamable_http_app()
    return serve(app, lifespan="on") + "/mcp"


@pytest.fixture(scope="module")
def url(serve):
    return serve_tools(serve)


@pytest.fixture(autouse=True)
def fresh():
    CALLS.clear()


def ask(expert, task="Is it so?"):
    async def go():
        try:
            return await expert(task)
        finally:
            await expert.aclose()

    return asyncio.run(go())


def panel(expert, timeout=20):
    roster = [
        Expert("tool", expert, timeout=timeout),
        Expert("one", lambda task: Answer("yes", 0.9)),
        Expert("two", lambda task: Answer("yes", 0.9)),
    ]

    async def go():
        try:
            return await Session(roster, "Is it so?").acollect()
        finally:
            await expert.aclose()

    proposals = asyncio.run(go())
    return proposals, Arbiter(quorum=0.6).arbitrate(proposals)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_panel_of_three_commits_with_a_tool_over_http(url):
    tool = MCPExpert("judge", url=url)
    proposals, decision = panel(tool)
    assert not proposals.absent
    assert decision.consensus == "yes"
    assert str(proposals[1].exact_confidence) == "3/4"
    assert proposals[1].exact_cost == 2
    assert CALLS == ["Is it so?"]
    assert "with each answer" in tool.confidence_source


def test_a_panel_of_three_commits_with_a_tool_over_stdio(tmp_path):
    """The process serves a panel, and then ends with the loop."""
    tool = MCPExpert("whoami", command=COMMAND, cwd=tmp_path, env={"MARK": "here"})
    roster = [
        Expert("tool", tool, weight=3),
        Expert("one", lambda task: Answer("x", 0.5)),
        Expert("two", lambda task: Answer("y", 0.5)),
    ]
    proposals = asyncio.run(Session(roster, "?").acollect())
    assert not proposals.absent
    found = dict(Arbiter(quorum=0.6).arbitrate(proposals).consensus)
    assert not alive(found.pop("pid"))
    assert found == {"mark": "here", "cwd": str(tmp_path)}


def test_one_process_serves_many_calls_until_it_dies_or_is_closed():
    tool = MCPExpert("whoami", command=COMMAND)
    deadly = MCPExpert("end", command=COMMAND)
    deadly._held = tool._held

    async def go():
        found = await asyncio.gather(*[tool(n) for n in range(3)])
        with pytest.raises(TransportError, match="the disk is full"):
            await deadly(1)
        found.append(await tool(2))
        await tool.aclose()
        await tool.aclose()
        return [answer.payload["pid"] for answer in found]

    pids = asyncio.run(go())
    assert len(set(pids[:3])) == 1
    assert pids[3] != pids[0]
    assert not any(alive(pid) for pid in pids)


def test_each_loop_has_a_connection_and_closing_closes_all(url):
    tool = MCPExpert("judge", url=url)
    assert len(Session([Expert("tool", tool)], "?").collect()) == 1
    assert len(tool._held._holders) == 1
    ask(tool)
    assert not tool._held._holders


def test_arguments_take_the_input_in_their_places(url):
    tool = MCPExpert("label", url=url, reads="payload", arguments={"text": "{input}", "lang": "en"})
    assert ask(tool, "hello {input}") == BareAnswer("en:hello {input}")
    tool = MCPExpert("label", url=url, reads="payload", arguments="{input}")
    assert ask(tool, {"text": "a", "lang": "de"}) == BareAnswer("de:a")
    with pytest.raises(UsageError, match="arguments are an object"):
        ask(tool, "a")
    tool = MCPExpert("judge", url=url, arguments={"input": [{"a": "{input}"}, 1]})
    assert ask(tool, {"deep": [1]}).payload == "yes"
    assert CALLS[-1] == [{"a": {"deep": [1]}}, 1]


def test_text_alone_is_read_too(url):
    text = '{"payload": {"n": 1}, "confidence": "1/3"}'
    got = ask(MCPExpert("plain", url=url), text)
    assert (got.payload, str(got.confidence)) == ({"n": 1}, "1/3")
    assert ask(MCPExpert("plain", url=url, reads="payload"), "it is") == BareAnswer("it is")


@pytest.mark.parametrize(
    ("text", "why"),
    [("yes", "declare reads"), ('{"answer": 1}', "payload"), ("[]", "the answer"), ("", "no JSON")],
)
def test_what_is_no_answer_is_void_and_called_once(url, text, why):
    with pytest.raises(MisbehaviourError, match=why):
        ask(MCPExpert("plain", url=url), text)
    assert [text] == CALLS


def test_a_tool_that_fails_is_a_crash_and_called_once(url):
    with pytest.raises(TransportError, match=r"fail failed: .*out of paper"):
        ask(MCPExpert("fail", url=url))
    assert CALLS == ["Is it so?"]


def test_a_tool_that_is_not_there_is_a_crash(url):
    with pytest.raises(TransportError, match="nosuch"):
        ask(MCPExpert("nosuch", url=url))


def test_a_late_tool_is_absent(url):
    proposals, decision = panel(MCPExpert("hang", url=url), timeout=0.5)
    assert proposals.absent[0].reason == "timeout"
    assert decision.consensus == "yes"


def test_a_cancelled_call_ends_the_tool(url):
    assert cancelled_once(MCPExpert("hang", url=url), lambda: CALLS)

    async def until():
        while "cancelled" not in CALLS:  # noqa: ASYNC110 - another thread's list
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(until(), 60))


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("import sys; sys.exit('no such model')", "no such model"),
        ("print('hi')", "could not be asked"),
    ],
)
def test_a_process_that_is_no_server_is_a_crash(program, why):
    with pytest.raises(TransportError, match=why):
        ask(MCPExpert("judge", command=[sys.executable, "-c", program]))


def test_a_program_that_is_not_there_is_a_crash(tmp_path):
    with pytest.raises(TransportError, match=r"could not be asked: .*No such file"):
        ask(MCPExpert("judge", command=[str(tmp_path / "nothing")]))


def test_a_process_that_never_speaks_is_ended_at_the_deadline():
    tool = MCPExpert("judge", command=[sys.executable, "-c", "import time; time.sleep(60)"])
    proposals, decision = panel(tool, timeout=0.5)
    assert proposals.absent[0].reason == "timeout"
    assert decision.consensus == "yes"
    assert not tool._held._holders


def test_nobody_there_is_a_crash():
    with pytest.raises(TransportError, match="could not be asked"):
        ask(MCPExpert("judge", url="http://127.0.0.1:9/mcp"))


def test_too_long_a_result_is_broken_off(url):
    with pytest.raises((MisbehaviourError, TransportError)):
        ask(MCPExpert("flood", url=url))


def test_an_endless_response_is_void(serve):
    from starlette.responses import StreamingResponse

    async def app(scope, receive, send):
        async def flood():
            for _ in range(1600):
                yield b" " * 65_536
                await asyncio.sleep(0)

        response = StreamingResponse(flood(), media_type="application/json")
        await response(scope, receive, send)

    with pytest.raises(MisbehaviourError, match=f"over {limits.MAX_ANSWER_BYTES} bytes"):
        ask(MCPExpert("judge", url=serve(app) + "/mcp"))


def test_the_token_goes_to_the_server_and_into_no_record(serve, token, monkeypatch):
    url = serve_tools(serve, token)
    tool = MCPExpert("judge", url=url, bearer_env="EXPERT_TOKEN")
    assert ask(tool).payload == "yes"
    assert token not in repr(tool)
    echo = MCPExpert("plain", url=url, bearer_env="EXPERT_TOKEN", reads="payload")
    with pytest.raises(MisbehaviourError, match="holds the secret"):
        ask(echo, token)
    with pytest.raises(TransportError):
        ask(MCPExpert("judge", url=url))
    monkeypatch.setenv("EXPERT_TOKEN", "another")
    with pytest.raises(TransportError):
        ask(tool)
    monkeypatch.delenv("EXPERT_TOKEN")
    with pytest.raises(OperationalError, match="EXPERT_TOKEN is not set"):
        ask(tool)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "one of the two"),
        ({"url": "http://127.0.0.1/mcp", "command": ["x"]}, "one of the two"),
        ({"url": "127.0.0.1"}, "https://host"),
        ({"url": "http://h/mcp", "bearer_env": "T"}, "plain http"),
        ({"url": "http://h/mcp", "cwd": "/"}, "cwd and env"),
        ({"command": "python server.py"}, "give a list"),
        ({"command": []}, "give a list"),
        ({"command": [""]}, "0 words|1 words"),
        ({"command": ["x"] * (limits.MAX_COMMAND_ARGUMENTS + 1)}, "at most 1024"),
        ({"command": ["x"], "bearer_env": "T"}, "is for a url"),
        ({"command": ["x"], "arguments": {"a": 1}}, "no argument"),
        ({"command": ["x"], "arguments": "input"}, "give an object"),
        ({"command": ["x"], "arguments": {"a": "{input}", "b": {1}}}, "set"),
        ({"command": ["x"], "reads": "text"}, "'answer' or 'payload'"),
        ({"tool": "", "command": ["x"]}, "its name"),
        ({"tool": "x" * (limits.MAX_ID_LENGTH + 1), "command": ["x"]}, "its name"),
    ],
)
def test_options_that_cannot_be_used(options, why):
    with pytest.raises(UsageError, match=why):
        MCPExpert(**{"tool": "judge"} | options)


def test_options_at_their_bounds():
    expert = MCPExpert("x" * limits.MAX_ID_LENGTH, command=["x"] * limits.MAX_COMMAND_ARGUMENTS)
    assert len(expert._command) == limits.MAX_COMMAND_ARGUMENTS
