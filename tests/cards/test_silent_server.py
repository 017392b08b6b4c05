"""A candidate whose server says nothing is refused in time, with every other reason."""

import socket
import sys

import pytest
from needed import need

from quorate.cards.fetching import FetchRules
from quorate.cards.registering import CandidateRefusedError, register_expert
from quorate.hub import Registry

need("mcp")
need("httpx2")
# Before the time runs: what is imported first takes its own.
import mcp.client.streamable_http  # noqa: E402

assert mcp.client.streamable_http
SILENT = FetchRules(insecure_http=True, insecure_private=True, seconds=2)
TOLD = "it cannot be asked which tools it has: no answer within 2 s"


def reasons(mcp):
    candidate = {
        "expert_id": "r", "name": "R", "version": "1", "tools": ["assess"],
        "field": "riskAssessment", "evidence": {"metadata": {}}, "timeout": 1, "mcp": mcp,
    }  # fmt: skip
    registry = Registry()
    with pytest.raises(CandidateRefusedError) as found:
        register_expert(
            registry, candidate, as_of="2026-11-21", evidence_policy=None, fetching=SILENT,
            insecure_commands=True,
        )  # fmt: skip
    assert registry.ids == ()
    return found.value.reasons


@pytest.mark.timeout(20)
def test_a_server_that_takes_the_connection_and_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = reasons({"url": f"http://127.0.0.1:{server.getsockname()[1]}/mcp"})
        server.setblocking(False)
        server.accept()[0].close()
    assert told[-1] == TOLD
    assert "no evidence for riskAssessment" in told[0]


@pytest.mark.timeout(20)
def test_a_program_that_says_nothing():
    told = reasons({"command": [sys.executable, "-c", "import sys; sys.stdin.read()"]})
    assert told[-1] == TOLD
