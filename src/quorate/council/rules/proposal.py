"""A proposal as it stands: what was put to the vote, what was said, what came of it.

All of it is frozen; every event makes a new one. Its digest covers all that a voter agrees
to: council, action, target, evidence, electorate, configuration, when it was opened and
when it expires. It never changes, and a vote is bound to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from quorate.core.canonical import digest, parse
from quorate.council.rules.config import ConsensusConfig, expires_at
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.values import (
    Decision,
    Execution,
    ProposalAction,
    ProposalStatus,
    VoteValue,
    visible,
)

PROPOSAL: Final = "quorate/council-proposal/v1"


class State(StrEnum):
    """All states of a proposal; the table of moves is in :mod:`quorate.council.rules.machine`."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    EXECUTING = "executing"
    UNKNOWN = "unknown"
    EXECUTED = "executed"
    FAILED = "failed"
    # Resolved by hand while whoever began it may yet tell its result.
    RESOLVED_EXECUTED = "resolved as executed"
    RESOLVED_FAILED = "resolved as failed"


_STATUS: Final = {
    State.OPEN: ProposalStatus.OPEN,
    State.EXPIRED: ProposalStatus.EXPIRED,
    State.CANCELLED: ProposalStatus.CANCELLED,
    State.EXECUTED: ProposalStatus.EXECUTED,
    State.RESOLVED_EXECUTED: ProposalStatus.EXECUTED,
}
_EXECUTION: Final = {
    State.EXECUTING: Execution.INTENT,
    State.UNKNOWN: Execution.UNKNOWN,
    State.EXECUTED: Execution.EXECUTED,
    State.FAILED: Execution.FAILED,
    State.RESOLVED_EXECUTED: Execution.EXECUTED,
    State.RESOLVED_FAILED: Execution.FAILED,
}
_WELL_KNOWN: Final = {action.value: action for action in ProposalAction}


@dataclass(frozen=True, slots=True)
class Vote:
    """A single vote cast by a voter.

    Attributes:
        voter_id: who.
        value: what.
        reason: in the voter's words, or ``None``.
        at: when, in microseconds since 1970.
        revision: how many votes of this voter on this proposal it replaces, one by one.
        signature: of the voter's key, 128 hex digits; ``None`` for a voter without one.
    """

    voter_id: str
    value: VoteValue
    reason: str | None
    at: int
    revision: int = 0
    signature: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "voter": self.voter_id,
            "value": self.value.value,
            "reason": self.reason,
            "at": self.at,
            "revision": self.revision,
            "signature": self.signature,
        }


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A voter's call to end a proposal; fields as those of a :class:`Vote`."""

    voter_id: str
    reason: str | None
    at: int
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class TallyResult:
    """Result of tallying the votes on a proposal.

    Attributes:
        proposal_id: which.
        decision: what it comes to; pending while votes still to come could change it.
        by: ``"votes"`` where none could, ``"expiry"`` where time decided, ``"cancel"`` where
            it was called off, ``None`` while pending.
        critical: whether it took a quorum and a supermajority of the registered voters.
        approvals: heads.
        rejections: heads.
        abstentions: heads.
        outstanding: heads that may still vote.
        voters: registered heads, the target among them if it is a voter.
        approvals_needed: heads.
        approve_weight: exact.
        reject_weight: exact.
        abstain_weight: exact.
        registered_weight: of all voters, exact.
        threshold: part of the weight asked for: of the registered if critical, else a part
            of the weight cast that has to be exceeded.
    """

    proposal_id: str
    decision: Decision
    by: str | None
    critical: bool
    approvals: int
    rejections: int
    abstentions: int
    outstanding: int
    voters: int
    approvals_needed: int
    approve_weight: Fraction
    reject_weight: Fraction
    abstain_weight: Fraction
    registered_weight: Fraction
    threshold: Fraction

    @property
    def approved(self) -> bool:
        """Whether the proposal is approved."""
        return self.decision is Decision.APPROVED

    @property
    def participation(self) -> Fraction:
        """Part of the registered heads that approved or rejected, exact."""
        return Fraction(self.approvals + self.rejections, self.voters)

    @property
    def participation_rate(self) -> float:
        """:attr:`participation` as the nearest double, 0 to 1."""
        return float(self.participation)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, weights as ``"p/q"``."""
        return {
            "decision": self.decision.value,
            "by": self.by,
            "critical": self.critical,
            "approvals": self.approvals,
            "rejections": self.rejections,
            "abstentions": self.abstentions,
            "outstanding": self.outstanding,
            "voters": self.voters,
            "approvals_needed": self.approvals_needed,
            "approve_weight": str(self.approve_weight),
            "reject_weight": str(self.reject_weight),
            "abstain_weight": str(self.abstain_weight),
            "registered_weight": str(self.registered_weight),
            "threshold": str(self.threshold),
        }

    def describe(self) -> str:
        """Say in a paragraph what was counted, what was needed and what came of it."""
        asked = (
            f"at least {self.threshold} of the registered weight {self.registered_weight}"
            if self.critical
            else f"more than {self.threshold} of the weight cast"
        )
        because = {"expiry": " when its time was up", "cancel": ": it was called off"}
        return (
            f"Proposal {self.proposal_id} is {self.decision.value.replace('_', ' ')}"
            f"{because.get(self.by or '', '')}: {self.approvals} approve (weight "
            f"{self.approve_weight}), {self.rejections} reject (weight {self.reject_weight}), "
            f"{self.abstentions} abstain, {self.outstanding} may still vote, of {self.voters}. "
            f"It takes {self.approvals_needed} approvals and {asked}."
        )


@dataclass(frozen=True, slots=True)
class Subject:
    """What was put to the vote; nothing in it ever changes.

    Attributes:
        council_id: whose proposal it is.
        genesis: digest of that council's opening, which no other council has.
        id: unique in its council.
        proposer_id: who put it.
        action: normal name.
        critical: whether that action is.
        target: what it is done to, or ``None``.
        evidence_digest: of the evidence, 64 hex digits.
        opened_at: microseconds since 1970.
        expires_at: the first microsecond at which no vote counts, or ``None`` for never.
        electorate: those who vote.
        config: under which thresholds.
        epoch: how many changes of the electorate there were before it.
        digest: of all this, 64 hex digits.
    """

    council_id: str
    genesis: str
    id: str
    proposer_id: str
    action: str
    critical: bool
    target: str | None
    evidence_digest: str
    opened_at: int
    expires_at: int | None
    electorate: Electorate
    config: ConsensusConfig
    epoch: int
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        """Reckon the digest."""
        bound = {**self.to_dict(), "electorate": self.electorate.digest, "kind": PROPOSAL}
        object.__setattr__(self, "digest", digest({**bound, "config": self.config.to_dict()}))

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without electorate and configuration."""
        return {
            "council": self.council_id,
            "genesis": self.genesis,
            "proposal": self.id,
            "proposer": self.proposer_id,
            "action": self.action,
            "critical": self.critical,
            "target": self.target,
            "evidence_digest": self.evidence_digest,
            "opened_at": self.opened_at,
            "expires_at": self.expires_at,
            "epoch": self.epoch,
        }


@dataclass(frozen=True, slots=True)
class Request:
    """What a voter asks for by a proposal: what it signs, if it has a key.

    Attributes:
        council_id: of which council.
        genesis: digest of that council's opening.
        epoch: how many changes of the electorate there were before it.
        proposer_id: who asks.
        turn: how many proposals of that voter there were before it, so that nobody puts it
            again in the voter's name.
        action: normal name.
        target: what it is to be done to, or ``None``.
        evidence_digest: of the evidence, 64 hex digits.
        open_for: how long votes count, in microseconds; ``None`` for ever.
    """

    council_id: str
    genesis: str
    epoch: int
    proposer_id: str
    turn: int
    action: str
    target: str | None
    evidence_digest: str
    open_for: int | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON; this is what is signed."""
        return {
            "council": self.council_id,
            "genesis": self.genesis,
            "epoch": self.epoch,
            "proposer": self.proposer_id,
            "turn": self.turn,
            "action": self.action,
            "target": self.target,
            "evidence_digest": self.evidence_digest,
            "open_for": self.open_for,
        }


@dataclass(frozen=True, slots=True)
class Begun:
    """An execution that was begun.

    Attributes:
        at: when, in microseconds since 1970.
        by: the voter that began it; ``None`` where none said so.
        signature: of that voter, if it has a key.
        executor: what runs it; ``None`` where it was marked by hand.
        token_digest: SHA-256 of the token that its result takes, 64 hex digits; ``None`` where
            it was marked as executed at once.
        due: until when its result is due, in microseconds since 1970; only then may it be
            resolved by hand.
    """

    at: int
    by: str | None = None
    signature: str | None = None
    executor: str | None = None
    token_digest: str | None = None
    due: int = 0


_NO_VOTES: Mapping[str, Vote] = MappingProxyType({})
_NO_CALLS: Mapping[str, Cancellation] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Proposal:
    """A decision proposal put to vote, as it stands.

    Attributes:
        subject: what was put to the vote.
        evidence_json: canonical JSON of the evidence.
        votes: voter -> the vote that stands.
        cancellations: voter -> its call to end the proposal.
        state: see :class:`State`; ``status``, ``decision`` and ``execution`` say it in the
            published words.
        result: the tally that was sealed, or ``None``.
        decided_at: when, in microseconds since 1970, or ``None``.
        begun: the execution that was begun, or ``None``.
        outcome_json: canonical JSON of :attr:`outcome`, or ``None``.
        signature: of the proposer, if it has a key.
    """

    subject: Subject
    evidence_json: bytes = b"null"
    votes: Mapping[str, Vote] = field(default_factory=lambda: _NO_VOTES)
    cancellations: Mapping[str, Cancellation] = field(default_factory=lambda: _NO_CALLS)
    state: State = State.OPEN
    result: TallyResult | None = None
    decided_at: int | None = None
    begun: Begun | None = None
    outcome_json: bytes | None = None
    signature: str | None = None

    @property
    def outcome(self) -> dict[str, Any] | None:
        """What was sealed of the execution, read anew: who told or resolved it, and the detail.

        What was sealed of it before that, if anything, is under ``before``.
        """
        return None if self.outcome_json is None else parse(self.outcome_json)

    @property
    def token(self) -> str | None:
        """SHA-256 of the token of the execution that was begun, 64 hex digits, or ``None``."""
        return None if self.begun is None else self.begun.token_digest

    @property
    def lapses_at(self) -> int | None:
        """The first microsecond at which the approval holds no more; ``None`` for never.

        And for what is not approved.
        """
        if self.decided_at is None:
            return None
        return expires_at(self.decided_at, self.subject.config.execute_within_seconds)

    @property
    def id(self) -> str:
        """Unique in its council."""
        return self.subject.id

    @property
    def proposer_id(self) -> str:
        """Who put it."""
        return self.subject.proposer_id

    @property
    def action(self) -> str:
        """What is to be done: a :class:`ProposalAction` if it is one, else the normal name."""
        return _WELL_KNOWN.get(self.subject.action, self.subject.action)

    @property
    def target(self) -> str | None:
        """What it is to be done to."""
        return self.subject.target

    @property
    def evidence(self) -> Any:
        """The evidence, read anew from its canonical bytes."""
        return parse(self.evidence_json)

    @property
    def is_critical(self) -> bool:
        """Whether it takes a quorum and a supermajority of the registered voters."""
        return self.subject.critical

    @property
    def opened_at(self) -> int:
        """Microseconds since 1970."""
        return self.subject.opened_at

    @property
    def expires_at(self) -> int | None:
        """The first microsecond at which no vote counts, or ``None`` for never."""
        return self.subject.expires_at

    @property
    def electorate(self) -> Electorate:
        """Those who vote on it, whatever the council's electorate has become since."""
        return self.subject.electorate

    @property
    def digest(self) -> str:
        """Of all that a vote is bound to, 64 hex digits."""
        return self.subject.digest

    @property
    def status(self) -> ProposalStatus:
        """Where it stands in its life."""
        return _STATUS.get(self.state, ProposalStatus.DECIDED)

    @property
    def decision(self) -> Decision:
        """What was decided; pending while open."""
        return Decision.PENDING if self.result is None else self.result.decision

    @property
    def execution(self) -> Execution:
        """What is known of its execution."""
        return _EXECUTION.get(self.state, Execution.NONE)

    @property
    def recused(self) -> str | None:
        """The voter that is the target, who does not vote; ``None`` if none is.

        A target that looks like a voter's id, but for what cannot be seen, is that voter.
        """
        target, units = self.subject.target, self.subject.electorate.units
        if target is None or target in units:
            return target
        seen = visible(target)
        return seen if seen in units else None
