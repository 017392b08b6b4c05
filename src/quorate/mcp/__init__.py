"""The MCP server: quorum arithmetic, decisions, receipts, votes and evidence for any MCP client.

Needs ``pip install "quorate[mcp]"``; the library is imported when the server is built.

>>> from quorate.mcp import Settings
>>> Settings().call_seconds
60.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorate.mcp.scopes import SCOPES
from quorate.mcp.settings import HttpSettings, Settings
from quorate.mcp.tokens import Token, TokenFile

if TYPE_CHECKING:
    from quorate.mcp.server import build_server
    from quorate.mcp.serving import serve_http, serve_stdio

_HOMES = {
    "build_server": "quorate.mcp.server",
    "serve_http": "quorate.mcp.serving",
    "serve_stdio": "quorate.mcp.serving",
}

__all__ = [
    "SCOPES",
    "HttpSettings",
    "Settings",
    "Token",
    "TokenFile",
    "build_server",
    "serve_http",
    "serve_stdio",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - only when a name is used

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'quorate.mcp' has no attribute {name!r}")
    from quorate.mcp.needs import need_mcp  # noqa: PLC0415

    need_mcp()
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
