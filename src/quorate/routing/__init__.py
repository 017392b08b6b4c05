"""Byzantine-fault-tolerant routing: replicas vote, and only a quorum dispatches.

The names that work on arrays are imported when they are first used, and NumPy with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from quorate.routing.decision import Absentee, NoConsensusError, RoutingDecision
from quorate.routing.ledger import BFTLedger
from quorate.routing.router import BFTRouter

if TYPE_CHECKING:
    from quorate.routing.rules_batch import BatchRouting, route_batch
    from quorate.routing.rules_gate import (
        Assignment,
        assign,
        load_balancing_loss,
        noisy_top_k,
        softmax,
        top_k,
        z_loss,
    )
    from quorate.routing.rules_logits import BatchGating, route_logits

_HOMES = {
    "Assignment": "quorate.routing.rules_gate",
    "BatchGating": "quorate.routing.rules_logits",
    "BatchRouting": "quorate.routing.rules_batch",
    "assign": "quorate.routing.rules_gate",
    "load_balancing_loss": "quorate.routing.rules_gate",
    "noisy_top_k": "quorate.routing.rules_gate",
    "route_batch": "quorate.routing.rules_batch",
    "route_logits": "quorate.routing.rules_logits",
    "softmax": "quorate.routing.rules_gate",
    "top_k": "quorate.routing.rules_gate",
    "z_loss": "quorate.routing.rules_gate",
}

__all__ = [
    "Absentee",
    "Assignment",
    "BFTLedger",
    "BFTRouter",
    "BatchGating",
    "BatchRouting",
    "NoConsensusError",
    "RoutingDecision",
    "assign",
    "load_balancing_loss",
    "noisy_top_k",
    "route_batch",
    "route_logits",
    "softmax",
    "top_k",
    "z_loss",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - only when a name is used

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'quorate.routing' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
