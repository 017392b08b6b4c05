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

from quorate.arbitration.arbiter import Arbiter, WeightedQuorumArbiter
from quorate.arbitration.decision import Decision, Tally, UnderQuorum
from quorate.arbitration.proposal import Absence, Proposal

__all__ = [
    "Absence",
    "Arbiter",
    "Decision",
    "Proposal",
    "Tally",
    "UnderQuorum",
    "WeightedQuorumArbiter",
]
