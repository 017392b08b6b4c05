"""A card to begin with: valid as it is, with what is to be filled in named."""

from __future__ import annotations

from typing import Any

from quorate.cards.form import V0_3
from quorate.cards.reading import read_card
from quorate.core.errors import UsageError


def starter_card(name: str, url: str, *, version: str = "1.0") -> dict[str, Any]:
    """A valid card for an agent.

    Args:
        name: the agent's name.
        url: where it is reached by JSON-RPC.
        version: of A2A, ``"1.0"`` or ``"0.3"``.

    Raises:
        UsageError: with this name or url it is not valid, or another version.
    """
    skill = {
        "id": "answer",
        "name": "Answer",
        "description": "Answers a question in a sentence. Say here what yours does.",
        "tags": ["question-answering"],
    }
    card: dict[str, Any] = {
        "name": name,
        "description": f"{name} answers questions. Say here what yours does, and for whom.",
        "version": "0.1.0",
        "capabilities": {"streaming": False, "pushNotifications": False},
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"],
        "skills": [skill],
    }
    if version == V0_3:
        card |= {
            "protocolVersion": "0.3.0",
            "url": url,
            "preferredTransport": "JSONRPC",
            "securitySchemes": {"bearer": {"type": "http", "scheme": "Bearer"}},
            "security": [{"bearer": []}],
        }
    elif version == "1.0":
        card |= {
            "supportedInterfaces": [
                {"url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0"}
            ],
            "securitySchemes": {"bearer": {"httpAuthSecurityScheme": {"scheme": "Bearer"}}},
            "securityRequirements": [{"schemes": {"bearer": {"list": []}}}],
        }
    else:
        raise UsageError(f"the version of A2A is {version!r}; give 1.0 or 0.3")
    errors = read_card(card).errors
    if errors:
        raise UsageError("\n".join(problem.describe() for problem in errors))
    return card
