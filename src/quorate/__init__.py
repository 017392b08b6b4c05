"""Decisions that AI systems may act on only when a quorum agrees, each one sealed.

``import quorate`` loads nothing but this module; each name below is imported from its
own room when it is first used.
"""

from __future__ import annotations

# Not from typing, whose import would take longer than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from quorate.arbitration import Absence, Arbiter, Decision, Proposal, UnderQuorum
    from quorate.core.errors import NoQuorum, QuorateError
    from quorate.core.quorum import Quorum, quorum_size, tolerated_faults
    from quorate.fusion import robust_route
    from quorate.hub import Hub
    from quorate.ledger import Ledger, Receipt, verify
    from quorate.routing import BFTLedger, BFTRouter, NoConsensusError, RoutingDecision

__version__ = "0.1.0"

_HOMES = {
    "Absence": "quorate.arbitration",
    "Arbiter": "quorate.arbitration",
    "BFTLedger": "quorate.routing",
    "BFTRouter": "quorate.routing",
    "Decision": "quorate.arbitration",
    "Hub": "quorate.hub",
    "Ledger": "quorate.ledger",
    "NoConsensusError": "quorate.routing",
    "NoQuorum": "quorate.core.errors",
    "Proposal": "quorate.arbitration",
    "QuorateError": "quorate.core.errors",
    "Quorum": "quorate.core.quorum",
    "Receipt": "quorate.ledger",
    "RoutingDecision": "quorate.routing",
    "UnderQuorum": "quorate.arbitration",
    "quorum_size": "quorate.core.quorum",
    "robust_route": "quorate.fusion",
    "tolerated_faults": "quorate.core.quorum",
    "verify": "quorate.ledger",
}

__all__ = [
    "Absence",
    "Arbiter",
    "BFTLedger",
    "BFTRouter",
    "Decision",
    "Hub",
    "Ledger",
    "NoConsensusError",
    "NoQuorum",
    "Proposal",
    "QuorateError",
    "Quorum",
    "Receipt",
    "RoutingDecision",
    "UnderQuorum",
    "quorum_size",
    "robust_route",
    "tolerated_faults",
    "verify",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - only when a name is used

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'quorate' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
