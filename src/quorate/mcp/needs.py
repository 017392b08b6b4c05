"""What the server needs of an extra, named by that extra where it is missing."""

from __future__ import annotations

import importlib.util

from quorate.core.errors import OperationalError


def need_mcp() -> None:
    """See that the MCP SDK is there, without importing it.

    Raises:
        OperationalError: it is not installed; says what to install.
    """
    if importlib.util.find_spec("mcp") is None:
        raise OperationalError(
            'the MCP server takes the MCP SDK, which is not installed: pip install "quorate[mcp]"'
        )
