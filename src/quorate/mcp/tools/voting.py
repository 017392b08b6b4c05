"""The council's verbs. A client proposes and votes only as the voters its token names."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field, StrictFloat

from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.council import ConsensusProtocol, ProposalStatus
from quorate.council.ballots import PROPOSE_KIND
from quorate.council.bounds import MAX_REASON_LENGTH
from quorate.ledger.receipts import timestamp
from quorate.mcp.access import caller_of
from quorate.mcp.models import BallotAnswer, CouncilAnswer, Id
from quorate.mcp.scopes import SCOPE_OF
from quorate.mcp.settings import Settings
from quorate.mcp.tools.sealing import plain_json, sealed_as
from quorate.mcp.work import Workers

Voter = Annotated[
    Id | None,
    Field(description="whom you vote as; may be left out where your token names one voter only"),
]
ProposalId = Annotated[Id, Field(description="id of the proposal, such as p1")]


class VotingTools:
    """``council_propose``, ``council_vote`` and ``council_tally``."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        """Vote in the operator's council."""
        self._settings = settings
        self._workers = workers

    def _council(self) -> ConsensusProtocol:
        if self._settings.council is None:
            raise UsageError("this server has no council; its operator names one with --council")
        return self._settings.council

    async def council_propose(
        self,
        context: Context,
        action: Annotated[
            str, Field(description="quarantine, terminate, escalate, release, restrict, or another")
        ],
        target: Annotated[Id | None, Field(description="what it is done to")] = None,
        evidence: Annotated[Any, Field(description="why: any JSON value; it is sealed")] = None,
        proposer: Voter = None,
        expiry_seconds: Annotated[
            StrictFloat | None, Field(ge=0, description="how long votes count, 0 for ever")
        ] = None,
        request_id: Annotated[
            Id | None, Field(description="your own name for it: proposed again it is no second one")
        ] = None,
        signature: Annotated[
            str | None,
            Field(
                max_length=128,
                description="of a voter with a registered key: 128 hex digits, over the request "
                "that the refusal of an unsigned call tells",
            ),
        ] = None,
    ) -> CouncilAnswer:
        """Put an action against an agent to the council's vote. It does nothing by itself.

        A token speaks only for the voters it names, and a voter with a registered key has to
        sign besides: the server cannot propose in its name.
        """
        caller = caller_of(self._settings, context.request_context.request)
        voter = caller.voter(proposer)

        def propose() -> CouncilAnswer:
            council = self._council()
            plain_json(evidence, "evidence")
            asked = (voter, action, target, evidence, expiry_seconds)
            if signature is None and voter in council.electorate.keys:
                wanted = canonical(council.request(*asked).to_dict()).decode()
                # The SDK's own: all of it has to be told, for it is what is signed.
                raise ToolError(
                    f"{voter} has a registered key, so its proposals are signed: call again with "
                    f"the signature, as the kind {PROPOSE_KIND}, over {wanted}"
                )
            id_ = council.propose(*asked, key=request_id, signature=signature)
            return _standing(council, id_)

        return await self._workers.run(propose)

    async def council_vote(
        self,
        context: Context,
        proposal_id: ProposalId,
        value: Annotated[str, Field(description="approve, reject or abstain")],
        reason: Annotated[
            str | None, Field(max_length=MAX_REASON_LENGTH, description="in your words; sealed")
        ] = None,
        voter: Voter = None,
        signature: Annotated[
            str | None,
            Field(
                max_length=128,
                description="of a voter with a registered key: 128 hex digits, by sign_vote over "
                "the digest and revision that council_tally gives",
            ),
        ] = None,
    ) -> CouncilAnswer:
        """Cast a vote. It is sealed and stands; a second, different one is equivocation.

        A token votes only as the voters it names, and a voter with a registered key has to
        sign besides: the server cannot vote in its name.
        """
        caller = caller_of(self._settings, context.request_context.request)
        name = caller.voter(voter)

        def vote() -> CouncilAnswer:
            council = self._council()
            council.vote(proposal_id, name, value, reason, signature=signature)
            return _standing(council, proposal_id)

        return await self._workers.run(vote)

    async def council_tally(self, context: Context, proposal_id: ProposalId) -> CouncilAnswer:
        """How a proposal stands: votes, what is needed, and the decision once it is certain.

        A decision that no vote to come could change is sealed by this where the caller has the
        scope vote; for another it is only looked at. Nothing is cut short.
        """
        caller = caller_of(self._settings, context.request_context.request)
        may_seal = SCOPE_OF["council_vote"] in caller.scopes

        def tally() -> CouncilAnswer:
            council = self._council()
            still = council.get_proposal(proposal_id).status is ProposalStatus.OPEN
            if still and may_seal:
                council.tally(proposal_id)
            return _standing(council, proposal_id)

        return await self._workers.run(tally)


def _standing(council: ConsensusProtocol, proposal_id: str) -> CouncilAnswer:
    found = council.get_proposal(proposal_id)
    result = found.result or council.standing(proposal_id)
    certificate = None
    if found.result is not None and found.result.by != "cancel":
        certificate = council.certificate(proposal_id)
    ballots = [
        BallotAnswer(
            voter=voter,
            value=None if vote is None else vote.value.value,
            signs=voter in found.electorate.keys,
            revision=0 if vote is None else vote.revision + 1,
        )
        for voter in found.electorate.voters
        for vote in [found.votes.get(voter)]
    ]
    ends = found.expires_at
    return CouncilAnswer(
        council=found.subject.council_id,
        proposal_id=found.id,
        digest=found.digest,
        action=str(found.action),
        target=found.target,
        evidence=found.evidence,
        proposer=found.proposer_id,
        opened_at=timestamp(found.opened_at),
        expires_at=None if ends is None else timestamp(ends),
        status=found.status.value,
        ballots=ballots,
        explanation=result.describe(),
        certificate=sealed_as(certificate),
        **result.to_dict(),
    )
