"""Executors declared in a council file, with a real MCP server and a real address."""

import importlib
import os
import sys
from pathlib import Path

import pytest
from cli_council_acts import approved, declare, events, server
from cli_council_tools import opened, told

from quorate.ledger import Ledger

TOOLS = Path(__file__).parents[1] / "council" / "mcp_tools.py"


def need(module):
    """Import a library of an extra; without it skip, but not where all are to be there."""
    if "QUORATE_ALL_ADAPTERS" in os.environ:
        return importlib.import_module(module)
    return pytest.importorskip(module, reason=f"{module} is not installed; make test-adapters")


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


def of_program(tool, *more):
    words = ", ".join(f'"{word}"' for word in (sys.executable, TOOLS))
    lines = [f'kind = "mcp"\ntool = "{tool}"\ncommand = [{words}]\ntimeout = 60', *more]
    return "[executors.quarantine]\n" + "\n".join(lines) + "\n"


def test_a_tool_of_a_program_gets_the_order(council, monkeypatch):
    need("mcp")
    monkeypatch.setenv("OPS_TOKEN", "s3cret")
    monkeypatch.setenv("OTHER_TOKEN", "x")
    declare(of_program("quarantine", 'pass_env = ["OPS_TOKEN"]'))
    found = told(council("execute", approved(council), "--json"))
    assert (found["execution"], found["detail"]["target"]) == ("executed", "agent-7")
    assert "OPS_TOKEN" in found["detail"]["env"]
    assert "OTHER_TOKEN" not in found["detail"]["env"]
    assert events(council, "intent")[0]["executor"].startswith("mcp:quarantine#")


def test_a_result_that_holds_a_secret_is_not_sealed(council, monkeypatch):
    need("mcp")
    monkeypatch.setenv("OPS_TOKEN", "s3cret")
    declare(of_program("text", 'pass_env = ["OPS_TOKEN"]'))
    id_ = approved(council, target="not s3cret any more")
    code, out, _ = council("execute", id_)
    assert (code, "its result holds the token; it is not kept" in out) == (5, True)
    assert "s3cret" not in str(events(council, "result"))


def test_a_tool_runs_in_the_folder_of_the_file(council, tmp_path):
    need("mcp")
    (tmp_path / "tools").mkdir()
    link = tmp_path / "tools" / "server.py"
    link.write_text(TOOLS.read_text())
    declare(
        '[executors.quarantine]\nkind = "mcp"\ntool = "quarantine"\ncwd = "tools"\n'
        f'command = ["{sys.executable}", "server.py"]\n'
    )
    assert told(council("execute", approved(council), "--json"))["execution"] == "executed"


def test_a_tool_that_is_not_there_is_unknown_and_never_called_again(council):
    need("mcp")
    declare(of_program("nosuch"))
    id_ = approved(council)
    assert council("execute", id_)[0] == 5
    assert told(council("show", id_, "--json"))["execution"] == "unknown"
    assert council("execute", id_)[0] == 2
    assert len(events(council, "intent")) == 1


@pytest.mark.parametrize(
    ("status", "body", "code", "execution"),
    [
        (200, b'{"outcome": "executed"}', 0, "executed"),
        (200, b"<html>log in first</html>", 5, "unknown"),
        (403, b"", 5, "failed"),
        (500, b"", 5, "unknown"),
    ],
)
def test_what_an_address_answers(council, status, body, code, execution):
    need("httpx2")
    with server(status, body) as (url, seen):
        declare(f'[executors.quarantine]\nkind = "webhook"\nurl = "{url}"\n')
        id_ = approved(council)
        assert council("execute", id_)[0] == code
        assert council("execute", id_)[0] == 2
    assert told(council("show", id_, "--json"))["execution"] == execution
    assert len(seen) == 1


def test_an_address_that_is_a_secret_comes_from_the_environment(council, monkeypatch):
    need("httpx2")
    declare(
        '[executors.quarantine]\nkind = "webhook"\nurl_env = "OPS_URL"\n',
        '[[hooks]]\nname = "chat"\nkind = "webhook"\nurl_env = "OPS_URL"\non = ["executed"]\n',
    )
    monkeypatch.setenv("OPS_URL", "https://ann:s3cret@ops.example/")
    id_ = approved(council)
    code, _, err = council("execute", id_)
    assert (code, "OPS_URL holds no address to post to" in err, "s3cret" in err) == (5, True, False)
    assert events(council, "intent") == []
    with server(body=b'{"outcome": "executed", "detail": "/hooks/s3cret-path is fine"}') as (
        url,
        seen,
    ):
        monkeypatch.setenv("OPS_URL", url.replace("/act", "/hooks/s3cret-path"))
        code, out, _ = council("execute", id_)
        assert (code, "s3cret" in out) == (5, False)
        assert council("watch", "--once")[0] == 0
    assert len(seen) == 2
    assert events(council, "intent")[0]["executor"].startswith("webhook:$OPS_URL#")
    with Ledger.open("sqlite:///council.db") as ledger:
        assert "s3cret" not in "".join(str(receipt.payload) for receipt in ledger)


def test_nothing_of_a_secret_address_is_told_where_nobody_answers(council, monkeypatch):
    need("httpx2")
    declare('[[hooks]]\nname = "chat"\nkind = "webhook"\nurl_env = "OPS_URL"\n')
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    for address in ("http://127.0.0.1:1/s3cret", "http://127.0.0.1:99999/s3cret", "s3cret", ""):
        monkeypatch.setenv("OPS_URL", address)
        code, out, err = council("watch", "--once")
        assert (code, "retried" in out, "s3cret" in out + err) == (5, True, False)
