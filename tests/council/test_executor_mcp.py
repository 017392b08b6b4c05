"""Orders to tools of an MCP server of the official SDK, over HTTP and over its input and output."""

import socket
import sys
import threading
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason='mcp is not installed; pip install "quorate[mcp]"')
uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed; see the extra peers")

import mcp_tools  # noqa: E402
from council_executions import ODD, Server, approved, ran  # noqa: E402

from quorate.core.errors import OperationalError, UsageError  # noqa: E402
from quorate.council import Execution  # noqa: E402
from quorate.council.executors import Executors, MCPExecutor  # noqa: E402
from quorate.council.rules.values import token_digest  # noqa: E402
from quorate.ledger import Receipt  # noqa: E402

CALLS = []
COMMAND = [sys.executable, str(Path(mcp_tools.__file__))]


@pytest.fixture(scope="module")
def url():
    app = mcp_tools.make(CALLS).streamable_http_app()
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    started, startup = threading.Event(), server.startup

    async def tell(sockets=None):
        await startup(sockets)
        started.set()

    server.startup = tell
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert started.wait(30)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/mcp"
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(autouse=True)
def fresh():
    CALLS.clear()


def test_a_tool_gets_the_order_over_http(ledger, url, monkeypatch):
    monkeypatch.setenv("COUNCIL_TOKEN", "t0ken")
    c = approved(ledger, target=ODD)
    result = ran(c, MCPExecutor("quarantine", url=url, bearer_env="COUNCIL_TOKEN"))
    assert result.execution is Execution.EXECUTED
    assert result.detail["target"] == ODD
    (order,) = CALLS
    assert token_digest(order["token"]) == c.get_proposal("p1").token
    assert Receipt.from_dict(order["certificate"]).payload["digest"] == order["digest"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_no_proxy_of_the_environment_gets_an_order(ledger, url, monkeypatch, variable):
    proxy = Server()
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, proxy.url.partition("/run")[0])
    try:
        result = ran(approved(ledger), MCPExecutor("quarantine", url=url))
    finally:
        proxy.close()
    assert proxy.seen == []
    assert (result.execution, len(CALLS)) == (Execution.EXECUTED, 1)


def test_a_tool_of_a_program_gets_the_order_and_nothing_of_our_environment(ledger, monkeypatch):
    monkeypatch.setenv("COUNCIL_SECRET", "s3cret")
    executor = MCPExecutor("quarantine", command=COMMAND, env={"OWN": "1"})
    result = ran(approved(ledger, target=ODD), executor)
    assert (result.execution, result.detail["target"]) == (Execution.EXECUTED, ODD)
    assert "OWN" in result.detail["env"]
    assert "COUNCIL_SECRET" not in result.detail["env"]


@pytest.mark.parametrize(
    ("tool", "target", "execution", "why"),
    [
        ("text", '{"outcome": "failed", "detail": 7}', "failed", "7"),
        ("text", "it is done", "unknown", "names no outcome"),
        ("text", '{"outcome": "done"}', "unknown", "the outcome is 'done'"),
        ("text", "t0ken", "unknown", "holds the token"),
        ("two_tongues", '{"outcome": "executed"}', "executed", ""),
        ("two_tongues", "done", "executed", ""),
        ("two_tongues", '{"outcome": "failed"}', "unknown", "says otherwise"),
        ("two_tongues", '{"outcome": "done"}', "unknown", "says otherwise"),
        ("fail", "x", "unknown", "went wrong"),
        ("nosuch", "x", "unknown", ""),
        ("flood", "x", "unknown", "over 4194304 bytes"),
    ],
)
def test_what_a_tool_says(ledger, url, monkeypatch, tool, target, execution, why):
    monkeypatch.setenv("COUNCIL_TOKEN", "t0ken")
    executor = MCPExecutor(tool, url=url, bearer_env="COUNCIL_TOKEN", timeout=20)
    result = ran(approved(ledger, target=target), executor)
    assert result.execution == execution
    assert why in str(result.detail)
    assert len(CALLS) == (tool != "nosuch")
    assert "t0ken" not in str([r.payload for r in ledger if r.payload["event"] == "result"])


def test_a_tool_that_hangs_or_ends_its_server_is_unknown(ledger, url):
    result = ran(approved(ledger), MCPExecutor("hang", url=url, timeout=2))
    assert result.execution is Execution.UNKNOWN
    assert len(CALLS) == 1


def test_a_server_that_ends_under_the_call_is_unknown(ledger):
    result = ran(approved(ledger), MCPExecutor("end", command=COMMAND, timeout=20))
    assert result.execution is Execution.UNKNOWN
    assert "no result came" in result.detail["why"]


def test_what_cannot_be_reached_has_failed(ledger):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}/mcp"
        result = ran(approved(ledger), MCPExecutor("quarantine", url=nowhere))
    assert result.execution is Execution.FAILED
    assert "it cannot be reached" in result.detail["why"]


def test_what_cannot_be_called_begins_nothing(ledger, monkeypatch):
    c = approved(ledger)
    for executor, why in (
        (MCPExecutor("t", command=["no-such-program"]), "there is no program"),
        (MCPExecutor("t", url="https://127.0.0.1/", bearer_env="UNSET_TOKEN"), "UNSET_TOKEN"),
    ):
        executors = Executors(c)
        executors.register("quarantine", executor)
        with pytest.raises(OperationalError, match=why):
            executors.run("p1")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(OperationalError, match=r'pip install "quorate\[mcp\]"$'):
        executors.run("p1")
    assert c.get_proposal("p1").execution is Execution.NONE
    for options in ({}, {"url": "https://x/", "command": ["x"]}):
        with pytest.raises(UsageError, match="one of the two"):
            MCPExecutor("t", **options)
    with pytest.raises(UsageError, match="bearer_env is for a url"):
        MCPExecutor("t", command=["x"], bearer_env="X")
    with pytest.raises(UsageError, match="plain http"):
        MCPExecutor("t", url="http://example.org/mcp")
