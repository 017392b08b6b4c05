"""An MCP server of the official SDK whose tools carry out orders: in a test, or over stdio."""

import os
import sys

from mcp.server import MCPServer
from mcp.types import CallToolResult, TextContent


def make(calls):
    """A server whose tools note the orders they get in ``calls``."""
    server = MCPServer("tools")

    @server.tool()
    async def quarantine(order: dict) -> dict:
        calls.append(order)
        return {
            "outcome": "executed",
            "detail": {"target": order["target"], "env": sorted(os.environ)},
        }

    @server.tool(structured_output=False)
    async def text(order: dict) -> str:
        calls.append(order)
        return order["target"]

    @server.tool()
    async def two_tongues(order: dict) -> CallToolResult:
        calls.append(order)
        return CallToolResult(
            content=[TextContent(type="text", text=order["target"])],
            structured_content={"outcome": "executed"},
        )

    @server.tool()
    async def fail(order: dict) -> dict:
        calls.append(order)
        raise ValueError("half way")

    @server.tool()
    async def hang(order: dict) -> dict:
        import anyio

        calls.append(order)
        await anyio.sleep(60)

    @server.tool()
    async def end(order: dict) -> dict:
        os._exit(3)

    @server.tool(structured_output=False)
    async def flood(order: dict) -> str:
        calls.append(order)
        return "x" * (6 << 20)

    return server


if __name__ == "__main__":
    make([]).run("stdio", *sys.argv[1:])
