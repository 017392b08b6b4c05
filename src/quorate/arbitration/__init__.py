"""Arbitration: competing proposals are folded into one decision, or refused.

>>> from quorate.arbitration import Arbiter, Proposal
>>> arbiter = Arbiter(protocol="weighted-quorum", quorum=0.66)
>>> decision = arbiter.arbitrate(
...     [
...         Proposal("a", "yes", confidence=0.9, route_weight=0.4),
...         Proposal("b", "yes", confidence=0.8, route_weight=0.4),
...         Proposal("c", "no", confidence=0.9, route_weight=0.2),
...     ]
... )
>>> decision.consensus, decision.support_exact, decision.dissenting
('yes', '34/43', ('c',))
"""

from quorate.arbitration.arbiter import Arbiter
from quorate.arbitration.arbiters import (
    FallbackArbiter,
    FirstToQuorumArbiter,
    RankedRunoffArbiter,
    SynthesisArbiter,
    WeightedQuorumArbiter,
)
from quorate.arbitration.decision import Decision, Tally, UnderQuorum
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.merge import Merge
from quorate.arbitration.pending import Pending
from quorate.arbitration.proposal import Absence, Proposal
from quorate.arbitration.rules.runoff import Round, RunoffResult, instant_runoff

__all__ = [
    "Absence",
    "Arbiter",
    "Decision",
    "FallbackArbiter",
    "FirstToQuorumArbiter",
    "Intake",
    "Merge",
    "Pending",
    "Proposal",
    "RankedRunoffArbiter",
    "Round",
    "RunoffResult",
    "SynthesisArbiter",
    "Tally",
    "UnderQuorum",
    "WeightedQuorumArbiter",
    "gather",
    "instant_runoff",
]
