"""What the tools take and give, as schemas that clients are shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from quorate.core import limits

Id = Annotated[str, Field(strict=True, min_length=1, max_length=limits.MAX_ID_LENGTH)]
Share = Annotated[
    StrictFloat | StrictStr,
    Field(description='a number, taken as it is written, or a fraction in lowest terms: "2/3"'),
]
Protocol = Literal["weighted-quorum", "ranked-runoff", "first-to-quorum"]


class _Given(BaseModel):
    """What clients give: nothing unknown is let pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    """What tools give."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProposalGiven(_Given):
    """One expert's answer."""

    expert_id: Id = Field(description="whose it is; one expert has one proposal")
    payload: Any = Field(description="the answer: any JSON value")
    confidence: StrictFloat = Field(description="how sure the expert says it is, 0 to 1")
    route_weight: Share = Field(description="the expert's weight, from your plan, above 0")
    cost: StrictFloat = Field(0, description="what it cost, in your unit, 0 or more")
    ranking: list[Any] | None = Field(None, description="ranked-runoff: its answers, best first")


class AbsenceGiven(_Given):
    """An expert of the roster that gave no answer; it counts against the quorum."""

    expert_id: Id
    route_weight: Share
    reason: Literal["crashed", "timeout", "over_budget", "void", "recused"] = "timeout"
    detail: str = Field("", max_length=limits.MAX_DETAIL_LENGTH)


class VoteGiven(_Given):
    """What one replica voted for."""

    replica: Id
    expert: Any = Field(description="key of the expert it chose; what is no key is a void vote")


class TargetGiven(_Given):
    """Which target to probe: one of those that the server's operator offers."""

    name: Id = Field(description="its name; an address or a function's name is none")


class Sealed(_Answer):
    """Where it stands in the operator's ledger."""

    origin: str = Field(description="name of the log")
    seq: StrictInt = Field(description="number of the entry")
    hash: str = Field(description="hash of the entry, 64 hex digits")
    resource: str = Field(description="URI of the receipt, to be read as a resource")


class QuorumAnswer(_Answer):
    """Quorum arithmetic for a number of nodes."""

    num_nodes: int
    tolerated_faults: int = Field(description="how many may lie: floor((n - 1) / 3)")
    quorum_size: int = Field(description="matching votes that decide: floor((n + f) / 2) + 1")
    two_f_plus_one: int = Field(description="the textbook figure, right only where n = 3f + 1")
    bears_a_liar: bool = Field(description="whether even one faulty node is tolerated")
    warnings: list[str] = Field(description="what is unsafe or wasteful about this number")
    explanation: str


class AbsentAnswer(_Answer):
    """Who has no valid answer, and why."""

    id: str
    reason: str
    detail: str = ""


class ArbitrateAnswer(_Answer):
    """A committed answer, or a refusal with the tally: then there is no decision to act on."""

    status: Literal["committed", "refused"]
    consensus: Any = Field(None, description="the answer committed; null where it is refused")
    digest: str | None = Field(None, description="SHA-256 of the canonical consensus")
    reason: str | None = Field(None, description="why nothing was committed")
    protocol: str
    quorum: float
    quorum_exact: str
    support: float = Field(description="share of the votes behind the leading answer")
    support_exact: str
    backing: float = Field(description="share of the roster's weight behind it")
    backing_exact: str
    engaged: list[str]
    dissenting: list[str] = Field(description="who answered otherwise than what leads")
    absent: list[AbsentAnswer]
    explanation: str
    sealed: Sealed | None = Field(None, description="null where the operator seals nothing")


class RouteAnswer(_Answer):
    """What the replicas agreed on, if they did. Nothing is dispatched by this tool."""

    session_id: str
    round: int
    consensus: bool
    dispatched: Literal[False] = False
    expert_key: StrictStr | StrictInt | None
    agreed_hash: str | None
    input_digest: str
    quorum: int
    faults: int
    total_replicas: int
    votes: int = Field(description="votes behind the expert that has the most")
    proposals: dict[str, Any] = Field(description="replica -> what it voted for")
    void: list[str]
    absent: list[AbsentAnswer]
    dissenting: list[str]
    equivocating: list[str] = Field(description="who voted twice, differently")
    explanation: str
    sealed: Sealed | None = None


class Check(_Answer):
    """One thing that was looked at."""

    rule: str
    passed: bool
    detail: str


class VerifyAnswer(_Answer):
    """What was checked of a receipt or bundle, and against which keys."""

    verified: bool
    kind: Literal["receipt", "bundle"]
    origin: str
    seq: int
    entry_kind: str
    sealed_at: str
    signers: list[str] = Field(description="ids of the keys that signed")
    trusted_by: Literal["keys", "policy"] = Field(description="whose word for whom to trust")
    checks: list[Check]
    not_shown: list[str] = Field(description="what this does not show")
    log_size: int | None = Field(None, description="bundle: entries pinned by its checkpoint")
    root: str | None = Field(None, description="bundle: Merkle root at that size")


class BallotAnswer(_Answer):
    """One voter, and what its next vote has to say it is."""

    voter: str
    value: str | None = Field(description="the vote that stands; null where there is none")
    signs: StrictBool = Field(description="whether it has a registered key, so has to sign")
    revision: int = Field(description="number of its next vote; a signature covers it")


class CouncilAnswer(_Answer):
    """A proposal of the council as it stands."""

    council: str
    proposal_id: str
    digest: str = Field(description="of all that a vote is bound to; a signature covers it")
    action: str
    target: str | None
    evidence: Any
    proposer: str
    critical: bool
    opened_at: str
    expires_at: str | None
    status: str
    decision: str
    by: str | None
    approvals: int
    rejections: int
    abstentions: int
    outstanding: int
    voters: int
    approvals_needed: int
    approve_weight: str
    reject_weight: str
    abstain_weight: str
    registered_weight: str
    threshold: str
    ballots: list[BallotAnswer]
    explanation: str
    certificate: Sealed | None = Field(None, description="the sealed decision, once there is one")


class ComplianceAnswer(_Answer):
    """What is shown by evidence and what is missing. It is no conformity assessment."""

    score: str | None = Field(description='weight shown / weight that applies, exact: "p/q"')
    score_value: float | None
    profile: str
    as_of: str
    blocking: list[str] = Field(description="ids of blockers that are not shown")
    missing: list[str] = Field(description="ids of checks without any evidence")
    summary: str
    disclaimer: str
    report: dict[str, Any] = Field(description="the whole report, quorate/compliance-report/1")


class CardAnswer(_Answer):
    """Whether an agent card is fit to be published, and why not."""

    passed: bool
    valid: bool
    signed: bool = Field(
        description="whether as many keys as the server asks for signed the whole card; a "
        "signature that leaves something out does not count (state partial)"
    )
    experts_covered: int = Field(description="of the 14 safety experts")
    errors: list[dict[str, Any]] = Field(description="JSON path, rule and message of each")
    summary: str
    verdict: dict[str, Any] = Field(description="the whole verdict, quorate/card-verdict/1")


class ScanAnswer(_Answer):
    """How a target held out. Nothing probed is no score, not a perfect one."""

    target: str
    scripted: bool = Field(description="whether it is a built-in script: evidence of nothing")
    resilience: float | None = Field(description="0 to 1, 1 where everything was defended")
    risk_score: float | None = Field(description="1 - resilience; null where nothing was probed")
    summary: str
    report: dict[str, Any] = Field(description="the whole report, quorate/redteam-report/3 or /4")
    sealed: Sealed | None = None
