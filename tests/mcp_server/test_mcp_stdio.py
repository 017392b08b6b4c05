"""The real server over standard input and output, in a process of its own."""

import asyncio
import sys

from serve_calls import call_everything
from serve_desk import given, refusal
from serve_needs import need

mcp = need("mcp")

RUN = "from quorate.cli import main; main()"


def client(folder, *arguments):
    command = ["-c", RUN, "mcp", *arguments]
    return mcp.Client(mcp.StdioServerParameters(command=sys.executable, args=command, cwd=folder))


def test_the_official_client_calls_every_tool(desk):
    voters = ["--voter", "anna", "--voter", "bo"]

    async def go():
        async with client(desk, *given(desk), *voters) as server:
            await call_everything(server, desk)

    asyncio.run(go())


def test_with_nothing_configured_nothing_is_sealed_and_nobody_votes(tmp_path):
    async def go():
        async with client(tmp_path) as server:
            said = [{"expert_id": "a", "payload": 1, "confidence": 1, "route_weight": 1}]
            found = await server.call_tool("arbitrate", {"proposals": said})
            assert found.structured_content["status"] == "committed"
            assert found.structured_content["sealed"] is None
            put = await server.call_tool("council_propose", {"action": "restrict"})
            assert "may vote as nobody" in refusal(put)
            tally = await server.call_tool("council_tally", {"proposal_id": "p1"})
            assert "no council" in refusal(tally)
            listed = await server.list_resource_templates()
            assert listed.resource_templates == []

    asyncio.run(go())
    assert list(tmp_path.iterdir()) == []
