"""The safety council: people and monitors vote, a quorum decides, the vote binds."""

from __future__ import annotations

from quorate.council.ballots import (
    BadSignatureError,
    UnsignedBallotError,
    sign_cancellation,
    sign_vote,
)
from quorate.council.events import AuditEntry
from quorate.council.insight import Bloc
from quorate.council.protocol import ConsensusProtocol, Intent
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.proposal import Cancellation, Proposal, TallyResult, Vote
from quorate.council.rules.values import (
    Decision,
    Execution,
    ProposalAction,
    ProposalStatus,
    VoteValue,
)

__all__ = [
    "AuditEntry",
    "BadSignatureError",
    "Bloc",
    "Cancellation",
    "ConsensusConfig",
    "ConsensusProtocol",
    "Decision",
    "Electorate",
    "Execution",
    "Intent",
    "Proposal",
    "ProposalAction",
    "ProposalStatus",
    "TallyResult",
    "UnsignedBallotError",
    "Vote",
    "VoteValue",
    "sign_cancellation",
    "sign_vote",
]
