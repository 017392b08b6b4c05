"""The server, put together from tools, resources and the gate before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import ValidationError

import quorate
from quorate.mcp.access import BearerTokens
from quorate.mcp.gate import Gate, unknown_argument
from quorate.mcp.misfits import misfits
from quorate.mcp.resources import Resources
from quorate.mcp.scopes import SCOPE_OF
from quorate.mcp.settings import Settings
from quorate.mcp.tokens import TokenFile
from quorate.mcp.tools.assuring import AssuringTools
from quorate.mcp.tools.deciding import DecidingTools
from quorate.mcp.tools.verifying import VerifyingTools
from quorate.mcp.tools.voting import VotingTools
from quorate.mcp.work import Workers

_INSTRUCTIONS: Final = (
    "Decisions that need a quorum, each one sealed in a receipt that anyone can verify offline. "
    'A refusal (status "refused", consensus false) is no decision: do not act on it.'
)
_TITLES: Final = {
    "bft_quorum": "Quorum arithmetic",
    "arbitrate": "Fold proposals into a decision",
    "route": "Count router votes",
    "verify_receipt": "Verify a receipt or bundle",
    "council_propose": "Propose to the council",
    "council_vote": "Vote in the council",
    "council_tally": "Tally a proposal",
    "evaluate_eu_ai_act": "Evaluate evidence for the EU AI Act",
    "validate_agent_card": "Check an agent card",
    "red_team_scan": "Red-team a registered target",
}
_PURE: Final = ("bft_quorum", "verify_receipt", "evaluate_eu_ai_act", "validate_agent_card")


def annotations_of(name: str, settings: Settings) -> ToolAnnotations:
    """What a client may take for granted of a tool, as this server is set up.

    Nothing here is destructive: entries are only ever added. What seals is not read-only, and
    the same call again adds another entry unless it is named by a ``request_id``.
    """
    seals = name not in _PURE and (settings.record is not None or name.startswith("council_"))
    repeats = not seals or name in ("council_vote", "council_tally")
    return ToolAnnotations(
        title=_TITLES[name],
        read_only_hint=not seals,
        destructive_hint=False,
        idempotent_hint=repeats,
        open_world_hint=name == "red_team_scan",
    )


def build_server(
    settings: Settings, *, tokens: TokenFile | None = None, url: str | None = None
) -> MCPServer[Any]:
    """Build the server over what the operator gives it.

    Args:
        settings: ledger, council, keys and bounds.
        tokens: who may call over HTTP; with ``None`` the transport lets anybody.
        url: with tokens, the server's own address.
    """
    workers = Workers(settings.call_seconds, settings.workers)
    tools = tools_of(settings, workers)
    known: dict[str, frozenset[str]] = {}
    auth: dict[str, Any] = {}
    if tokens is not None:
        # No resource_server_url: that would name an authorization server, and there is none.
        auth["auth"] = AuthSettings(
            issuer_url=url or "http://127.0.0.1",
            resource_server_url=None,
        )
        auth["token_verifier"] = BearerTokens(tokens)
    server = _Server(
        "quorate",
        title="Quorate",
        instructions=_INSTRUCTIONS,
        version=quorate.__version__,
        log_level="WARNING",
        # Nothing that is listed here ever changes, so nobody has to wait for news of it.
        subscriptions=False,
        middleware=[Gate(settings, known)],
        **auth,
    )
    server.known = known
    for name, function in tools.items():
        server.add_tool(
            function,
            name=name,
            title=_TITLES[name],
            description=_words(function),
            annotations=annotations_of(name, settings),
            structured_output=True,
        )
    for listed in server._tool_manager.list_tools():  # noqa: SLF001 - the public list is a coroutine
        known[listed.name] = frozenset(listed.parameters.get("properties", {}))
        listed.parameters["additionalProperties"] = False
    Resources(settings, workers).register(server)
    return server


class _Server(MCPServer[Any]):  # type: ignore[misc, unused-ignore]
    """The SDK's server, with words of its own for what is wrong with a call.

    Whatever that is, the model that called may mend it: so it is the tool's answer, which says
    that it failed, rather than an error of the protocol.
    """

    known: Mapping[str, frozenset[str]]

    async def call_tool(self, name: str, arguments: dict[str, Any], context: Any = None) -> Any:
        """Call a tool.

        Raises:
            ToolError: as the SDK's; of arguments it says which, and what they should be.
        """
        strange = unknown_argument(arguments, self.known.get(name, frozenset()))
        if strange is not None:
            raise ToolError(f"{name}: {strange}")
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(f"{name}: {misfits(error.__cause__)}") from error
            # A crash is of a class below, which the SDK logs: that stays as it is.
            if type(error) is ToolError and isinstance(error.__cause__, ToolError):
                raise ToolError(f"{name}: {error.__cause__}") from error.__cause__
            raise


def tools_of(settings: Settings, workers: Workers) -> Mapping[str, Callable[..., Any]]:
    """The tools, by name; the names are those that scopes are given for."""
    deciding = DecidingTools(settings, workers)
    voting = VotingTools(settings, workers)
    assuring = AssuringTools(settings, workers)
    tools: dict[str, Callable[..., Any]] = {
        "bft_quorum": deciding.bft_quorum,
        "arbitrate": deciding.arbitrate,
        "route": deciding.route,
        "verify_receipt": VerifyingTools(settings, workers).verify_receipt,
        "council_propose": voting.council_propose,
        "council_vote": voting.council_vote,
        "council_tally": voting.council_tally,
        "evaluate_eu_ai_act": assuring.evaluate_eu_ai_act,
        "validate_agent_card": assuring.validate_agent_card,
        "red_team_scan": assuring.red_team_scan,
    }
    assert tools.keys() == SCOPE_OF.keys()  # noqa: S101 - a tool without a scope is served to nobody
    return tools


def _words(function: Callable[..., Any]) -> str:
    """The docstring, each paragraph on one line."""
    paragraphs = (function.__doc__ or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
