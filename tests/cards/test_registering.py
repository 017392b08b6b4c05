"""A candidate becomes an expert that really answers, or is told every reason why not."""

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from card_server import free_port, sends, serving
from evidence_tools import POLICY, SYSTEM, TODAY, item, sealed
from needed import need

from quorate.cards.fetching import FetchRules
from quorate.cards.registering import (
    Candidate,
    CandidateRefusedError,
    aregister_expert,
    register_expert,
)
from quorate.core.errors import UsageError
from quorate.hub import Registry, Session
from quorate.hub.experts import Expert

need("mcp")
need("httpx2")

MCP_PEER = Path(__file__).parents[1] / "adapters" / "mcp_peer.py"
LOCAL = FetchRules(insecure_http=True, insecure_private=True, seconds=60)
SETTINGS = {"as_of": TODAY, "evidence_policy": POLICY, "fetching": LOCAL}


@pytest.fixture(scope="module")
def evidence():
    items, receipts = sealed([item("hitlContact")])
    return {
        "metadata": {"hitlContact": items[0].to_dict()},
        "receipts": [receipt.to_dict() for receipt in receipts],
    }


@pytest.fixture(scope="module")
def server():
    """An MCP server in a process of its own; gives its address."""
    port = free_port()
    code = f"import mcp_peer; mcp_peer.make([]).run('streamable-http', port={port})"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=MCP_PEER.parent)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/mcp"
    process.terminate()
    process.wait(20)


def candidate(bundle, **changes):
    given = {
        "expert_id": "desk",
        "name": SYSTEM.name,
        "version": SYSTEM.version,
        "tools": ["judge"],
        "field": "hitlContact",
        "evidence": bundle,
        "mcp": {"command": [sys.executable, str(MCP_PEER)]},
        **changes,
    }
    return {name: value for name, value in given.items() if value is not ...}


def register(registry, given, **how):
    return register_expert(registry, given, **{**SETTINGS, **how})


def refused(given, registry=None, **how):
    registry = Registry() if registry is None else registry
    before = registry.ids
    with pytest.raises(CandidateRefusedError) as found:
        register(registry, given, **how)
    assert registry.ids == before
    return found.value.reasons


async def answer_of(expert, question):
    try:
        return await expert.function(question)
    finally:
        await expert.aclose()


def test_an_mcp_tool_becomes_an_expert_that_answers(evidence):
    registry = Registry()
    expert = register(registry, candidate(evidence, timeout=60), insecure_commands=True)
    assert registry.get("desk") is expert
    assert (expert.kind, expert.capabilities) == ("mcp", ("hitlContact", "judge"))
    answer = asyncio.run(answer_of(expert, "Is it so?"))
    assert (answer.payload, answer.confidence) == ("yes", 0.75)


@pytest.fixture(scope="module")
def agent():
    """A2A agents in processes of their own; gives the address of one with that skill."""
    need("a2a.server.routes")
    need("uvicorn")
    running = []

    def start(skill="judge", version="1.0"):
        command = [sys.executable, str(Path(__file__).with_name("a2a_peer.py")), skill, version]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        return f"http://127.0.0.1:{int(process.stdout.readline())}"

    yield start
    for process in running:
        process.terminate()
        process.wait(20)
        process.stdout.close()


@pytest.mark.parametrize("version", ["1.0", "0.3.0"])
def test_an_a2a_agent_becomes_an_expert_that_answers(evidence, agent, version):
    registry = Registry()
    expert = register(registry, candidate(evidence, mcp=..., a2a={"url": agent("judge", version)}))
    assert (expert.kind, registry.ids) == ("a2a", ("desk",))
    answer = asyncio.run(answer_of(expert, "Is it so?"))
    assert answer.payload == "judged: Is it so?"


def test_a_skill_that_the_agent_has_not_is_told(evidence, agent):
    reasons = refused(candidate(evidence, mcp=..., a2a={"url": agent("other")}))
    assert reasons == ("it has no tool 'judge'; it has Judge, other",)


def test_a_tool_that_the_server_has_not_is_told(evidence, server):
    reasons = refused(candidate(evidence, tools=["judge", "fly"], mcp={"url": server}))
    (reason,) = reasons
    assert reason.startswith("it has no tool 'fly'; it has ")


def test_all_reasons_come_at_once(evidence, server):
    taken = Registry([Expert("desk", lambda task: task, confidence=1)])
    bundle = {"metadata": {"hitlContact": True}}
    given = candidate(bundle, tools=["fly", "fly"], mcp={"url": server})
    reasons = refused(given, taken)
    assert len(reasons) == 5
    assert reasons[0] == "the tool 'fly' stands twice"
    assert reasons[1] == "the id 'desk' is taken"
    assert reasons[2].startswith("its evidence for hitlContact does not count (invalid): ")
    assert reasons[3].startswith("it has no tool 'fly'")


def test_all_that_is_wrong_with_the_form_comes_at_once():
    reasons = refused({"expert_id": "", "tools": [], "field": "hitlKontact", "surprise": 1})
    text = "\n".join(reasons)
    for said in (
        "expert_id", "name is missing", "version is missing", "evidence is missing",
        "surprise is unknown", "tools", "it gives no address, or two; give mcp or a2a",
        "the field 'hitlKontact' is none of the 14 experts; did you mean 'hitlContact'?",
    ):  # fmt: skip
        assert said in text, said
    for odd in (None, 5, "x", ["y"]):
        assert refused(odd)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mcp": ...}, "it gives no address, or two"),
        ({"a2a": {"url": "http://127.0.0.1:9"}}, "it gives no address, or two"),
        ({"mcp": {}}, "has a url or a command, one of the two"),
        ({"mcp": {"command": []}}, "a list of the program|it is a program"),
        ({"mcp": {"command": ["x"], "tool": "other"}}, "none of the tools it names"),
        ({"mcp": {"url": "http://me:pw@127.0.0.1/"}}, "holds a name or password"),
        ({"field": "eventLogging"}, "none of the 14 experts"),
        ({"evidence": {"metadata": 5}}, "its evidence cannot be read"),
        ({"evidence": {}}, "does not count \\(missing\\)"),
        ({"name": "another"}, "does not count \\(out_of_scope\\)"),
        ({"version": "9"}, "does not count \\(out_of_scope\\)"),
        ({"mcp": {"command": ["/nowhere/at/all"]}}, "cannot be asked which tools it has"),
    ],
)
def test_one_thing_that_is_wrong_is_told(evidence, server, changes, said):
    given = candidate(evidence, **{"mcp": {"url": server}, **changes})
    reasons = refused(given, insecure_commands=True)
    assert len(reasons) == 1
    assert re.search(said, reasons[0])


@pytest.mark.parametrize("how", [{"evidence_policy": None}, {"as_of": "2028-01-01"}])
def test_evidence_that_does_not_count_registers_nobody(evidence, server, how):
    (reason,) = refused(candidate(evidence, mcp={"url": server}), **how)
    assert "its evidence for hitlContact does not count" in reason


def test_a_server_that_is_not_there_is_told(evidence):
    need("a2a")
    port = free_port()
    for address in (
        {"mcp": {"url": f"http://127.0.0.1:{port}/mcp"}},
        {"mcp": ..., "a2a": {"url": f"http://127.0.0.1:{port}"}},
    ):
        (reason,) = refused(candidate(evidence, **address))
        assert reason.startswith("it cannot be asked which tools it has: ")


def test_a_card_that_is_not_valid_is_told(evidence):
    need("a2a")
    with serving(sends(b'{"name": "x"}')) as (port, _):
        address = {"url": f"http://127.0.0.1:{port}"}
        (reason,) = refused(candidate(evidence, mcp=..., a2a=address))
        assert reason.startswith("its card is not valid: $.")


def test_an_agent_inside_is_not_asked_unless_told_so(evidence):
    need("a2a")
    with serving(sends()) as (port, seen):
        address = {"url": f"http://127.0.0.1:{port}"}
        given = candidate(evidence, mcp=..., a2a=address)
        (reason,) = refused(given, fetching=FetchRules(insecure_http=True))
        assert "public internet alone" in reason
        assert seen == []


def test_a_candidate_starts_no_program_unasked(evidence, tmp_path):
    mark = tmp_path / "mark"
    given = candidate(evidence, mcp={"command": ["touch", str(mark)]})
    (reason,) = refused(given)
    assert "it names a program to be started here" in reason
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["mcp", "a2a"])
def test_a_candidate_has_no_secret_sent_to_it(evidence, kind):
    """Else it could name any variable of this machine."""
    given = candidate(evidence, mcp=...)
    given[kind] = {"url": "https://evil.example.com", "bearer_env": "PATH"}
    assert any("bearer_env is unknown" in reason for reason in refused(given))


def test_an_mcp_server_inside_is_not_asked_unless_told_so(evidence):
    with serving(sends()) as (port, seen):
        given = candidate(evidence, mcp={"url": f"http://127.0.0.1:{port}/mcp"})
        (reason,) = refused(given, fetching=FetchRules(insecure_http=True))
        assert "public internet alone" in reason
        assert seen == []


def test_a_day_that_is_none_is_the_callers_mistake(evidence):
    with pytest.raises(UsageError, match="write a day as"):
        register(Registry(), candidate(evidence, mcp=..., a2a=...), as_of="soon")


def test_the_async_twin(evidence, server):
    async def go():
        registry = Registry()
        given = Candidate.model_validate(candidate(evidence, mcp={"url": server}))
        expert = await aregister_expert(registry, given, **SETTINGS)
        try:
            return await expert.function("Is it so?")
        finally:
            await expert.aclose()

    assert asyncio.run(go()).payload == "yes"


def test_a_registered_expert_takes_part_in_a_session(evidence, server):
    async def go():
        registry = Registry()
        given = candidate(evidence, timeout=60, mcp={"url": server})
        expert = await aregister_expert(registry, given, **SETTINGS)
        try:
            return await Session(list(registry), "Is it so?").acollect()
        finally:
            await expert.aclose()

    proposals = asyncio.run(go())
    assert [(each.expert_id, each.payload) for each in proposals] == [("desk", "yes")]
    assert proposals.absent == ()
