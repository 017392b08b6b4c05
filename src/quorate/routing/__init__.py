"""Byzantine-fault-tolerant routing: replicas vote, and only a quorum dispatches."""

from __future__ import annotations

from quorate.routing.decision import Absentee, NoConsensusError, RoutingDecision
from quorate.routing.ledger import BFTLedger
from quorate.routing.router import BFTRouter

__all__ = ["Absentee", "BFTLedger", "BFTRouter", "NoConsensusError", "RoutingDecision"]
