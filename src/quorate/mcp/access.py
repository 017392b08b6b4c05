"""Who calls, and what that caller may do: asked of every call, on whatever transport."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from mcp.server.auth.provider import AccessToken
from mcp.server.mcpserver.exceptions import ToolError

from quorate.mcp.scopes import SCOPES
from quorate.mcp.settings import Settings
from quorate.mcp.tokens import TokenFile

calling: Final[ContextVar[str | None]] = ContextVar("calling", default=None)
"""Name of the token whose call is being answered; ``None`` where there is none."""

_log = logging.getLogger(__name__)
_VOTERS: Final = "voters"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        name: of its token; ``"local"`` without one.
        scopes: what it may do.
        voters: whom it may propose and vote as.
    """

    name: str
    scopes: frozenset[str]
    voters: frozenset[str]

    def voter(self, named: str | None) -> str:
        """The voter that it speaks as: the one named, or the only one it has.

        Raises:
            ToolError: it has no voter, several and named none, or not the one named.
        """
        if not self.voters:
            raise ToolError(
                "this client may vote as nobody: its token names no voter, or the server was "
                "started without --voter"
            )
        if named is None:
            if len(self.voters) > 1:
                raise ToolError(f"name the voter: one of {', '.join(sorted(self.voters))}")
            return next(iter(self.voters))
        if named not in self.voters:
            raise ToolError(
                f"this client may not vote as {named!r}; it may as {', '.join(sorted(self.voters))}"
            )
        return named


class BearerTokens:
    """The SDK's verifier of tokens, over a :class:`TokenFile`."""

    def __init__(self, file: TokenFile) -> None:
        """Ask ``file`` at every request, so that a token taken out stops working at once."""
        self._file = file

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the token allows; ``None`` where it is unknown or has expired."""
        found = self._file.find(token, datetime.now(UTC))
        if found is None:
            return None
        return AccessToken(
            token=found.sha256,
            client_id=found.name,
            scopes=sorted(found.scopes),
            expires_at=int(found.expires.timestamp()),
            subject=found.name,
            claims={_VOTERS: sorted(found.voters)},
        )


def token_of(request: Any) -> AccessToken | None:
    """The token that a request came with; ``request`` is the SDK's, ``None`` over stdio."""
    user = None if request is None else request.scope.get("user")
    return getattr(user, "access_token", None)


def caller_of(settings: Settings, request: Any) -> Caller:
    """Who sent a request; ``request`` is the SDK's HTTP request, ``None`` over stdio.

    Over HTTP without tokens it is whoever is on the machine, who has no voter.
    """
    if request is None:
        return Caller("local", frozenset(SCOPES), settings.voters)
    token = token_of(request)
    if token is None:
        return Caller("local", frozenset(SCOPES), frozenset())
    return Caller(
        token.client_id, frozenset(token.scopes), frozenset((token.claims or {}).get(_VOTERS, ()))
    )
