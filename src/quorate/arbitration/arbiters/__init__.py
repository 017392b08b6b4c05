"""One arbiter per protocol."""

from quorate.arbitration.arbiters.base import DEFAULT_QUORUM, QuorumArbiter
from quorate.arbitration.arbiters.early import FirstToQuorumArbiter
from quorate.arbitration.arbiters.fallback import FallbackArbiter
from quorate.arbitration.arbiters.runoff import RankedRunoffArbiter
from quorate.arbitration.arbiters.synthesis import SynthesisArbiter
from quorate.arbitration.arbiters.weighted import WeightedQuorumArbiter

__all__ = [
    "DEFAULT_QUORUM",
    "FallbackArbiter",
    "FirstToQuorumArbiter",
    "QuorumArbiter",
    "RankedRunoffArbiter",
    "SynthesisArbiter",
    "WeightedQuorumArbiter",
]
