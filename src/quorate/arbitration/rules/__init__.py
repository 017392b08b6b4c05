"""The rules of arbitration, pure and exact: one module per rule."""

from quorate.arbitration.rules.early import first_to_quorum
from quorate.arbitration.rules.ranked import RankedBallot, ranked_runoff
from quorate.arbitration.rules.ratification import ratified
from quorate.arbitration.rules.reasons import (
    BACKING,
    NO_FALLBACK,
    NO_MERGE,
    NO_PROPOSALS,
    NOT_RATIFIED,
    PENDING,
    REASON_OF,
    REASONS,
    SUPPORT,
    SUPPORT_AND_BACKING,
    ZERO_TOTAL,
)
from quorate.arbitration.rules.runoff import instant_runoff
from quorate.arbitration.rules.weighted import (
    RULE,
    Ballot,
    Fold,
    Group,
    Void,
    settle,
    weighted_quorum,
)

__all__ = [
    "BACKING",
    "NOT_RATIFIED",
    "NO_FALLBACK",
    "NO_MERGE",
    "NO_PROPOSALS",
    "PENDING",
    "REASONS",
    "REASON_OF",
    "RULE",
    "SUPPORT",
    "SUPPORT_AND_BACKING",
    "ZERO_TOTAL",
    "Ballot",
    "Fold",
    "Group",
    "RankedBallot",
    "Void",
    "first_to_quorum",
    "instant_runoff",
    "ranked_runoff",
    "ratified",
    "settle",
    "weighted_quorum",
]
