"""An MCP server of the official SDK, with tools to call: over HTTP in a test, or run over stdio."""

# ruff: noqa: A002 - the tools' argument is called as adapters call it

import os
import sys
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver.exceptions import ToolError


class Tokens(TokenVerifier):
    def __init__(self, token: str) -> None:
        self.token = token

    async def verify_token(self, token: str) -> AccessToken | None:
        good = token == self.token
        return AccessToken(token=token, client_id="tests", scopes=["ask"]) if good else None


def bare_server(token: str | None) -> MCPServer:
    if token is None:
        return MCPServer("peer")
    url = "http://127.0.0.1"
    auth = AuthSettings(
        issuer_url=url,
        resource_server_url=f"{url}/mcp",
        required_scopes=["ask"],
        validate_token_resource=False,
    )
    return MCPServer("peer", token_verifier=Tokens(token), auth=auth)


def make(calls: list[Any], token: str | None = None) -> MCPServer:
    """A server whose tools note their calls in ``calls``."""
    server = bare_server(token)

    @server.tool()
    async def judge(input: Any) -> dict[str, Any]:
        """Answer with an answer object."""
        calls.append(input)
        return {"payload": "yes", "confidence": 0.75, "cost": 2, "tokens": 40}

    @server.tool()
    async def label(text: str, lang: str) -> str:
        """Answer with a bare value."""
        calls.append((text, lang))
        return f"{lang}:{text}"

    @server.tool(structured_output=False)
    async def plain(input: str) -> str:
        """Answer in text alone: what came in."""
        calls.append(input)
        return input

    @server.tool()
    async def fail(input: Any) -> str:
        """Fail."""
        calls.append(input)
        raise ToolError("out of paper")

    @server.tool()
    async def hang(input: Any) -> str:
        """Take longer than anyone waits."""
        import anyio

        calls.append(input)
        try:
            await anyio.sleep(60)
        except BaseException:
            calls.append("cancelled")
            raise
        return "late"

    @server.tool()
    async def end(input: Any) -> str:
        """End the process, with a word of farewell."""
        print("the disk is full", file=sys.stderr, flush=True)
        os._exit(3)

    @server.tool()
    async def whoami(input: Any) -> dict[str, Any]:
        """Tell about this process."""
        payload = {"pid": os.getpid(), "mark": os.environ.get("MARK"), "cwd": str(Path.cwd())}
        return {"payload": payload, "confidence": 1}

    @server.tool(structured_output=False)
    async def flood(input: Any) -> str:
        """Answer at length."""
        return "x" * (6 << 20)

    return server


if __name__ == "__main__":
    make([]).run("stdio")
