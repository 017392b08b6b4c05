"""What a caller may be allowed, and what each message takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SCOPES: Final[Mapping[str, str]] = {
    "read": "compute quorums, verify receipts, evaluate evidence and cards, read what is sealed",
    "decide": "fold proposals and votes into decisions, which are sealed",
    "vote": "propose and vote in the council, as the voters that the token names",
    "scan": "run red-team scans against the operator's targets",
}
"""What a token can be allowed, and what that is."""

SCOPE_OF: Final[Mapping[str, str]] = {
    "bft_quorum": "read",
    "verify_receipt": "read",
    "evaluate_eu_ai_act": "read",
    "validate_agent_card": "read",
    "council_tally": "read",
    "arbitrate": "decide",
    "route": "decide",
    "council_propose": "vote",
    "council_vote": "vote",
    "red_team_scan": "scan",
}
"""The scope that each tool takes. A tool that is not here is not served."""

READS: Final = frozenset({"resources/read", "resources/subscribe"})
"""Methods that show what is sealed; they take the scope ``read``."""


def scope_needed(method: str, params: Mapping[str, Any] | None) -> str | None:
    """The scope that a message takes; ``None`` where any caller may send it."""
    if method == "tools/call":
        name = (params or {}).get("name")
        return SCOPE_OF.get(name) if isinstance(name, str) else None
    return "read" if method in READS else None
