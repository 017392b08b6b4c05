"""The safety council: people and monitors vote, a quorum decides, the vote binds."""

from __future__ import annotations

from quorate.council.ballots import (
    BadSignatureError,
    UnsignedBallotError,
    sign_cancellation,
    sign_execution,
    sign_proposal,
    sign_resolution,
    sign_vote,
)
from quorate.council.changes import electorate_evidence
from quorate.council.events import AuditEntry
from quorate.council.executing import Intent
from quorate.council.insight import Bloc
from quorate.council.protocol import ConsensusProtocol
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.proposal import Cancellation, Proposal, Request, TallyResult, Vote
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
    "Request",
    "TallyResult",
    "UnsignedBallotError",
    "Vote",
    "VoteValue",
    "electorate_evidence",
    "sign_cancellation",
    "sign_execution",
    "sign_proposal",
    "sign_resolution",
    "sign_vote",
]
