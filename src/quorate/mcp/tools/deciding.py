"""Tools that compute decisions: quorums, arbitration and routing."""

from __future__ import annotations

from typing import Annotated, Any, Final

from mcp.server.mcpserver import Context
from pydantic import Field, StrictInt

from quorate.arbitration import Absence, Arbiter, Decision, Intake, Proposal, Tally, gather
from quorate.arbitration.sealed import body_of, kind_of
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import (
    MisbehaviourError,
    NoQuorum,
    OperationalError,
    UsageError,
    VerificationError,
)
from quorate.core.exact import Number, exact
from quorate.core.quorum import Quorum
from quorate.core.text import shortened
from quorate.hub.oversight import HaltedError, Oversight
from quorate.ledger import Ledger, Receipt
from quorate.mcp import bounds
from quorate.mcp.access import Caller, caller_of
from quorate.mcp.models import (
    AbsenceGiven,
    AbsentAnswer,
    ArbitrateAnswer,
    Id,
    ProposalGiven,
    Protocol,
    QuorumAnswer,
    RouteAnswer,
    Share,
    VoteGiven,
)
from quorate.mcp.settings import Settings
from quorate.mcp.tools.sealing import number, plain_json, sealed_as
from quorate.mcp.work import Workers
from quorate.routing import Absentee, BFTLedger
from quorate.routing.ledger import Concluded
from quorate.routing.sealed import body_of as routing_body
from quorate.routing.sealed import describe as describe_routing

_ONE_LIAR = 4
_SILENT: Final = "no vote was given"


class _Heeding:
    """The operator's ledger, in which nothing is decided that a person has halted."""

    def __init__(self, ledger: Ledger) -> None:
        self._oversight = Oversight(ledger)

    def append(
        self,
        kind: str,
        body: dict[str, Any],
        *,
        trace_id: str | None = None,
        parent: None = None,  # noqa: ARG002 - as a record of rounds takes it
        key: str | None = None,
    ) -> Receipt:
        """Seal a verdict, unless it is halted: looked at and written as one.

        Raises:
            NoQuorum: it is halted, or people overrode what was sealed under that key; by whom
                and why is not for every client to know.
            UsageError: the key stands for another body.
            OperationalError: whether it is cannot be told, or it could not be written.
        """
        try:
            receipt = self._oversight.seal([(kind, body, trace_id, key)])[0]
            standing = self._oversight.standing(receipt.seq)
        except HaltedError as error:
            raise NoQuorum(
                f"a person halted this in entry {error.halt.seq} of the ledger: nothing is decided "
                "until it is resumed"
            ) from error
        except VerificationError as error:
            # Its words name the operator's file, and go to the operator's log.
            raise OperationalError(str(error)) from error
        if standing is not None:
            entries = ", ".join(str(one.seq) for one in standing.overrides)
            raise NoQuorum(
                f"people overrode this decision, entry {receipt.seq} of the ledger: do not act on "
                f"it; what they put in its place is in entry {entries}"
            )
        return receipt


class DecidingTools:
    """``bft_quorum``, ``arbitrate`` and ``route``."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        """Seal in the operator's ledger, if there is one."""
        self._settings = settings
        self._workers = workers
        self._record = None if settings.record is None else _Heeding(settings.record)
        self._rounds = BFTLedger(self._record)

    async def bft_quorum(
        self,
        num_nodes: Annotated[
            StrictInt,
            Field(ge=1, le=limits.MAX_REPLICAS, description="registered nodes, absentees included"),
        ],
    ) -> QuorumAnswer:
        """How many of some nodes may lie, and how many must agree so that no two values can win.

        Counts nodes that fail independently: those that share weights, host or vendor fail
        together.
        """
        return quorum_answer(num_nodes)

    async def arbitrate(
        self,
        context: Context,
        proposals: Annotated[
            list[ProposalGiven], Field(max_length=limits.MAX_REPLICAS, description="who said what")
        ],
        absent: Annotated[
            list[AbsenceGiven],
            Field(max_length=limits.MAX_REPLICAS, description="the rest of the roster"),
        ] = [],  # noqa: B006 - copied by the schema, and never changed
        protocol: Annotated[Protocol, Field(description="how they are folded")] = "weighted-quorum",
        quorum: Annotated[Share, Field(description="share of the weight needed, in (0, 1]")] = 0.66,
        normalize: Annotated[
            str | None, Field(description="what counts as the same answer; exact: the same JSON")
        ] = None,
        options: Annotated[
            list[Any] | None, Field(description="ranked-runoff: the answers there are")
        ] = None,
        request_id: Annotated[
            Id | None,
            Field(description="your own name for this call: the same call again seals nothing new"),
        ] = None,
    ) -> ArbitrateAnswer:
        """Fold competing proposals into one decision that a quorum of the weight stands behind.

        Under the quorum the status is "refused" and there is no consensus: do not act on it.
        List everybody who was asked, the silent among "absent": they count against the quorum.
        """
        caller = caller_of(self._settings, context.request_context.request)

        def fold() -> ArbitrateAnswer:
            _check_programs(proposals, normalize)
            arbiter = _arbiter(protocol, number(quorum, "quorum"), normalize, options)
            intake = _intake(proposals, absent)
            outcome = arbiter.fold(intake)
            return self._sealed(arbiter, intake, outcome, caller, request_id)

        return await self._workers.run(fold)

    def _sealed(
        self,
        arbiter: Arbiter,
        intake: Intake,
        outcome: Decision | Tally,
        caller: Caller,
        request_id: str | None,
    ) -> ArbitrateAnswer:
        record, receipt = self._record, None
        if record is not None:
            # A name given by one client never stands for a call of another.
            key = None if request_id is None else _key(caller, request_id)
            body = body_of(outcome, arbiter, intake)
            receipt = record.append(kind_of(outcome), body, trace_id=request_id, key=key)
        committed = isinstance(outcome, Decision)
        return ArbitrateAnswer(
            status="committed" if committed else "refused",
            consensus=outcome.consensus if isinstance(outcome, Decision) else None,
            digest=outcome.digest if isinstance(outcome, Decision) else None,
            reason=None if isinstance(outcome, Decision) else outcome.reason,
            protocol=outcome.protocol,
            quorum=float(outcome.quorum),
            quorum_exact=outcome.quorum_exact,
            support=outcome.support,
            support_exact=outcome.support_exact,
            backing=outcome.backing,
            backing_exact=outcome.backing_exact,
            engaged=list(outcome.engaged),
            dissenting=_dissenting(outcome),
            absent=[
                AbsentAnswer(id=one.expert_id, reason=one.reason, detail=one.detail)
                for one in outcome.absent
            ],
            explanation=outcome.describe(),
            sealed=sealed_as(receipt),
        )

    async def route(
        self,
        replicas: Annotated[
            list[Id],
            Field(min_length=1, max_length=limits.MAX_REPLICAS, description="the whole roster"),
        ],
        experts: Annotated[
            list[Any], Field(min_length=1, description="keys that may win: texts or integers")
        ],
        votes: Annotated[
            list[VoteGiven],
            Field(max_length=2 * limits.MAX_REPLICAS, description="what each replica voted for"),
        ],
        input: Annotated[Any, Field(description="what is routed: any JSON; its digest is sealed")],  # noqa: A002 - the field's name in the API
        session_id: Annotated[Id, Field(description="rounds are numbered within it")] = "mcp",
        faults: Annotated[
            StrictInt | None, Field(ge=0, description="how many may lie; the most, if left out")
        ] = None,
    ) -> RouteAnswer:
        """Count the votes of router replicas, and say which expert a quorum of them chose.

        No code runs and nothing is dispatched. A replica without a vote is absent and stays
        in the denominator; one that votes twice, differently, is equivocating and has no vote.
        """

        def count() -> RouteAnswer:
            named = digest(plain_json(input, "input"))
            number_ = self._rounds.open(session_id, replicas, named, experts, faults)
            try:
                answers = _cast(votes, len(replicas))
                voted = {vote.replica for vote in votes}
                # Nobody waited: of the reasons that a round has it is the one for silence.
                away = [Absentee(r, "timeout", _SILENT) for r in replicas if r not in voted]
                return _route_answer(self._rounds.settle(session_id, number_, answers, away))
            except BaseException:
                self._rounds.abandon(session_id, number_)
                raise

        return await self._workers.run(count)


def quorum_answer(num_nodes: int) -> QuorumAnswer:
    """Quorum arithmetic, with what is unsafe about the number."""
    quorum = Quorum(num_nodes)
    warnings = []
    if quorum.faults == 0:
        warnings.append(
            f"{num_nodes} nodes tolerate no faulty one: a single liar can mislead them. "
            f"{_ONE_LIAR} nodes are the least that tolerate one."
        )
    elif quorum.size != quorum.two_f_plus_one:
        warnings.append(
            f"2f+1 = {quorum.two_f_plus_one} is not a safe quorum for {num_nodes} nodes: it holds "
            f"only where n = 3f+1. Wait for {quorum.size}."
        )
    needed = 3 * quorum.faults + 1
    if num_nodes != needed:
        warnings.append(
            f"{needed} nodes tolerate as many faults as {num_nodes}; "
            f"{needed + 3} tolerate {quorum.faults + 1}."
        )
    warnings.append(
        "The figures assume that nodes fail independently. Nodes that share weights, host, "
        "model family or vendor fail together and count as fewer."
    )
    return QuorumAnswer(
        num_nodes=num_nodes,
        tolerated_faults=quorum.faults,
        quorum_size=quorum.size,
        two_f_plus_one=quorum.two_f_plus_one,
        bears_a_liar=quorum.faults > 0,
        warnings=warnings,
        explanation=quorum.describe(),
    )


def _dissenting(outcome: Decision | Tally) -> list[str]:
    """Who said otherwise: than what was committed, or than the answer in front."""
    if isinstance(outcome, Decision):
        return list(outcome.dissenting)
    return sorted(one for group in outcome.trace["groups"][1:] for one in group["members"])


def _key(caller: Caller, request_id: str) -> str:
    return digest({"kind": "quorate/mcp-call/v1", "client": caller.name, "request": request_id})


_PROGRAMS: Final = frozenset({"code", "python"})


def _check_programs(proposals: list[ProposalGiven], normalize: str | None) -> None:
    """Programs take longer to read than to send; in one call there may be so much of them."""
    if normalize not in _PROGRAMS:
        return
    size = sum(len(each.payload) for each in proposals if isinstance(each.payload, str))
    if size > bounds.CODE_CHARACTERS:
        raise UsageError(
            f"the answers have {size} characters; read as programs, those of one call may have "
            f"{bounds.CODE_CHARACTERS}"
        )


def _arbiter(
    protocol: str, quorum: Number, normalize: str | None, options: list[Any] | None
) -> Arbiter:
    given = {"normalize": normalize, "options": options}
    return Arbiter(protocol, quorum, **{k: v for k, v in given.items() if v is not None})


def _intake(proposals: list[ProposalGiven], absent: list[AbsenceGiven]) -> Intake:
    """Take in the roster; whose answer is worthless is absent, as in every fold."""
    came, away = [], [_absence(one) for one in absent]
    for one in proposals:
        weight = number(one.route_weight, f"route_weight of {one.expert_id!r}")
        try:
            came.append(
                Proposal(
                    one.expert_id,
                    one.payload,
                    one.confidence,
                    weight,
                    one.cost,
                    ranking=one.ranking,
                )
            )
        except MisbehaviourError as error:
            exact(weight, "route_weight")
            away.append(Absence(one.expert_id, weight, "void", shortened(str(error))))
    return gather(came, away)


def _absence(one: AbsenceGiven) -> Absence:
    weight = number(one.route_weight, f"route_weight of {one.expert_id!r}")
    return Absence(one.expert_id, weight, one.reason, one.detail)


def _cast(votes: list[VoteGiven], roster: int) -> list[tuple[str, Any]]:
    """The votes, those of whoever voted twice, differently, before all others.

    Here they came at once: in whichever order they are listed, whoever equivocates has no
    vote before anything is decided.

    Raises:
        UsageError: the only replica did.
    """
    said: dict[str, dict[bytes, Any]] = {}
    for vote in votes:
        said.setdefault(vote.replica, {})[canonical(plain_json(vote.expert, "a vote"))] = (
            vote.expert
        )
    pairs = {replica: found for replica, found in said.items() if len(found) > 1}
    if pairs and roster == 1:
        raise UsageError(f"the only replica, {next(iter(pairs))!r}, voted twice, differently")
    ordered = [*pairs, *(replica for replica in said if replica not in pairs)]
    return [(replica, said[replica][key]) for replica in ordered for key in sorted(said[replica])]


def _route_answer(concluded: Concluded) -> RouteAnswer:
    state, found = concluded.round, concluded.verdict
    body = routing_body(state, found, concluded.said, concluded.absent)
    return RouteAnswer(
        session_id=state.session_id,
        round=state.number,
        consensus=found.consensus,
        expert_key=body["verdict"]["key"],
        agreed_hash=state.decided,
        input_digest=state.input_digest,
        quorum=state.quorum.size,
        faults=state.quorum.faults,
        total_replicas=state.quorum.n,
        votes=found.votes,
        proposals={v["replica"]: v.get("key", v.get("void")) for v in body["votes"]},
        void=list(found.void),
        absent=[
            AbsentAnswer(id=one.replica, reason=one.reason, detail=one.detail)
            for one in concluded.absent
        ],
        dissenting=list(found.dissenting),
        equivocating=list(found.equivocating),
        explanation=describe_routing(body),
        sealed=sealed_as(concluded.receipt),
    )
