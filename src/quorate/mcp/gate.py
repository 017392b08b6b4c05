"""What every message passes before a tool sees it, on every transport.

A tool that there is not, nesting beyond the bound, and a scope that the caller has not are
refused here, each as the error that the protocol has for it. Over HTTP a missing scope is
answered with status 403 before that, by the bounds there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from mcp.shared.exceptions import MCPError

from quorate.core.text import printable
from quorate.mcp import bounds
from quorate.mcp.access import caller_of, calling, token_of
from quorate.mcp.resources import OF_LEDGER
from quorate.mcp.scopes import scope_needed
from quorate.mcp.settings import Settings

INVALID_REQUEST: Final = -32600
INVALID_PARAMS: Final = -32602
_MOST_SHOWN: Final = 60

Next = Callable[[Any], Awaitable[Any]]


class Gate:
    """The SDK's middleware that checks messages."""

    def __init__(self, settings: Settings, arguments: Mapping[str, frozenset[str]]) -> None:
        """Know the tools: name -> names of its arguments."""
        self._settings = settings
        self._arguments = arguments

    async def __call__(self, ctx: Any, call_next: Next) -> Any:
        """Let a message through, or refuse it.

        Raises:
            MCPError: it is refused; the code is the protocol's.
        """
        params = ctx.params
        if bounds.too_deep(params, bounds.DEPTH):
            raise MCPError(INVALID_PARAMS, f"the parameters are nested deeper than {bounds.DEPTH}")
        # They are read in the loop that all calls share.
        if bounds.too_many(params, bounds.NODES):
            raise MCPError(INVALID_PARAMS, f"the parameters hold more than {bounds.NODES} values")
        if ctx.method == "tools/call":
            self._check_call(params)
        if ctx.method == "resources/read" and self._settings.ledger is None:
            self._check_ledger(params)
        scope = scope_needed(ctx.method, params)
        if scope is not None and scope not in caller_of(self._settings, ctx.request).scopes:
            raise MCPError(
                INVALID_REQUEST, f"this takes the scope {scope}, which your token has not"
            )
        token = token_of(ctx.request)
        before = calling.set(None if token is None else token.client_id)
        try:
            return await call_next(ctx)
        finally:
            calling.reset(before)

    def _check_ledger(self, params: Any) -> None:
        """Say of what a ledger would have that there is none, not that it is unknown."""
        uri = params.get("uri") if isinstance(params, Mapping) else None
        if isinstance(uri, str) and uri.startswith(OF_LEDGER):
            raise MCPError(
                INVALID_PARAMS,
                "this server has no ledger, so there are no receipts, bundles and checkpoints; its "
                "operator names one with --ledger or --panel",
            )

    def _check_call(self, params: Any) -> None:
        name = params.get("name") if isinstance(params, Mapping) else None
        known = self._arguments.get(name) if isinstance(name, str) else None
        if known is None:
            raise MCPError(
                INVALID_PARAMS,
                f"there is no tool {_shown(name)}; there is: {', '.join(sorted(self._arguments))}",
            )
        if not isinstance(params.get("arguments") or {}, Mapping):
            raise MCPError(INVALID_PARAMS, "arguments is an object: name -> value")


def unknown_argument(given: Mapping[str, Any], known: frozenset[str]) -> str | None:
    """What to say of an argument that a tool has not; ``None`` where it has all."""
    strange = sorted(given.keys() - known)
    if not strange:
        return None
    return f"there is no argument {_shown(strange[0])}; there is: {', '.join(sorted(known))}"


def _shown(value: object) -> str:
    text = printable(repr(value))
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
