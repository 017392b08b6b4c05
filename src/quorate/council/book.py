"""The council as its events make it: each is checked against all before it, then taken in.

Theory of operation. A :class:`Book` is folded from sealed bodies alone. ``next`` says what a
body would change, or why it is refused, and changes nothing; ``take`` makes the change. A
command drafts a body, asks ``next``, seals the body and only then calls ``take``; a restart,
another process and a verifier go through the very same two. So what is refused as a command
is refused as a record.

Taking in one event costs no more for all that went before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.core.text import counted
from quorate.council import ballots
from quorate.council.bounds import MAX_DETAIL_BYTES, MAX_EXECUTION_SECONDS, MAX_EXPIRY_SECONDS
from quorate.council.changes import read_change, read_electorate
from quorate.council.events import (
    RULE,
    check_reason,
    check_shape,
    check_time,
    decided_members,
    first_previous,
    read_vote,
)
from quorate.council.rules import machine
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import Electorate, check_blocking
from quorate.council.rules.proposal import (
    Begun,
    Cancellation,
    Proposal,
    Request,
    State,
    Subject,
)
from quorate.council.rules.tally import can_pass, is_expired
from quorate.council.rules.values import (
    ProposalAction,
    actions_of,
    check_aim,
    check_id,
    check_target,
    registered,
)
from quorate.ledger.receipts import timestamp

CHANGE: Final = ProposalAction.CHANGE_ELECTORATE.value
_MICROSECONDS: Final = 1_000_000
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Opening:
    """What a council was opened with."""

    electorate: Electorate
    config: ConsensusConfig
    actions: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Change:
    """What one event changes.

    Attributes:
        body: the event.
        head: digest of its body.
        proposal: the proposal after it, if it is about one.
        electorate: the council's electorate after it, where that is another.
        opening: for the first event.
    """

    body: Mapping[str, Any]
    head: str
    proposal: Proposal | None = None
    electorate: Electorate | None = None
    opening: Opening | None = None


class Book:
    """State of one council.

    Attributes:
        council_id: which.
        number: how many events were taken in.
        head: digest of the last, or what the first has to follow.
        last_at: time of the last, in microseconds since 1970.
        opening: what it was opened with; ``None`` before that.
        electorate: of the next proposal.
        epoch: how many changes of the electorate there were.
        turns: voter -> how many proposals it made.
        genesis: digest of the opening event.
        proposals: by id, in the order in which they were proposed.
        open: ids of those that are open.
        certificates: id -> ledger seq of the event that decided it.
    """

    def __init__(self, council_id: str) -> None:
        """Begin before the first event."""
        self.council_id = council_id
        self.number = 0
        self.head = first_previous(council_id)
        self.last_at = 0
        self.opening: Opening | None = None
        self.electorate: Electorate | None = None
        self.epoch = 0
        self.turns: Counter[str] = Counter()
        self.genesis = ""
        self.proposals: dict[str, Proposal] = {}
        self.open: dict[str, None] = {}
        self.certificates: dict[str, int] = {}

    def draft(self, event: str, at: int, **members: Any) -> dict[str, Any]:
        """Write an event that would come next; :meth:`next` says whether it may."""
        return {
            "rule": RULE,
            "council": self.council_id,
            "number": self.number,
            "previous": self.head,
            "at": at,
            "event": event,
            **members,
        }

    def proposal(self, proposal_id: str) -> Proposal:
        """The proposal of that id.

        Raises:
            UsageError: there is none.
        """
        found = self.proposals.get(proposal_id) if isinstance(proposal_id, str) else None
        if found is None:
            raise UsageError(
                f"there is no proposal {proposal_id!r}; list_proposals() names all there are"
            )
        return found

    def active(self, at: int) -> list[Proposal]:
        """Open proposals whose time is not up."""
        found = [self.proposals[id_] for id_ in self.open]
        return [proposal for proposal in found if not is_expired(proposal, at)]

    def next(self, body: object, sealed_at: int | None = None) -> Change:
        """What an event would change; nothing is changed yet.

        Args:
            body: the event.
            sealed_at: time of the ledger entry that holds it, in microseconds since 1970;
                ``None`` where there is none yet.

        Raises:
            UsageError: it is no event, not the next one, or refused by the rules.
            MisbehaviourError: a voter may not do that; names it.
        """
        event = check_shape(body)
        change = self._next(event)
        opening = change.opening or self.opening
        if sealed_at is not None and opening is not None:
            tolerance = opening.config.clock_tolerance_seconds
            if abs(event["at"] - sealed_at) > opening.config.tolerance:
                raise UsageError(
                    f"it says {timestamp(event['at'])}, and its entry was sealed at "
                    f"{timestamp(sealed_at)}; at most {float(tolerance):g} s may lie between"
                )
        return change

    def _next(self, event: dict[str, Any]) -> Change:
        for name, own in (
            ("council", self.council_id),
            ("number", self.number),
            ("previous", self.head),
        ):
            if event[name] != own:
                raise UsageError(f"its {name} is {event[name]!r}; here {own!r} comes next")
        if event["at"] < self.last_at:
            raise UsageError("it is dated before the event before it")
        if (event["event"] == "opened") != (self.opening is None):
            raise UsageError("a council is opened once, before all else")
        if event["event"] in _ON_PROPOSAL:
            proposal = self.proposal(event["proposal"])
            if event["digest"] != proposal.digest:
                raise UsageError(f"it is about another proposal than {proposal.id}")
            return _ON_PROPOSAL[event["event"]](self, event, proposal)
        return self._opened(event) if event["event"] == "opened" else self._proposed(event)

    def take(self, change: Change, seq: int) -> None:
        """Make a change that :meth:`next` gave, sealed as ledger entry ``seq``."""
        self.number += 1
        self.head = change.head
        self.last_at = change.body["at"]
        if change.opening is not None:
            self.opening, self.genesis = change.opening, change.head
        if change.electorate is not None:
            self.epoch += self.electorate is not None
            self.electorate = change.electorate
        proposal = change.proposal
        if proposal is not None:
            self.proposals[proposal.id] = proposal
            if proposal.state is State.OPEN:
                self.open[proposal.id] = None
            else:
                self.open.pop(proposal.id, None)
        if change.body["event"] == "proposed":
            self.turns[change.body["proposer"]] += 1
        if change.body["event"] == "decided":
            self.certificates[change.body["proposal"]] = seq

    def _opened(self, event: dict[str, Any]) -> Change:
        check_id(event["nonce"], "the nonce")
        opening = Opening(
            read_electorate({"voters": event["voters"], "keys": event["keys"]}),
            ConsensusConfig.from_dict(event["config"]),
            actions_of(event["actions"]),
        )
        check_blocking(opening.electorate, opening.config)
        if canonical(registered(opening.actions)) != canonical(event["actions"]):
            raise UsageError("its actions are not named in their one form")
        return Change(event, digest(event), electorate=opening.electorate, opening=opening)

    def _proposed(self, event: dict[str, Any]) -> Change:
        electorate, config, actions = self.constitution()
        proposer = check_id(event["proposer"], "the proposer's id")
        if proposer not in electorate.units:
            raise MisbehaviourError(proposer, "no voter of this council; only voters propose")
        if event["proposal"] != self.next_id():
            raise UsageError(f"the next proposal is {self.next_id()}, not {event['proposal']!r}")
        critical = actions.get(event["action"])
        if critical is None or event["critical"] is not critical:
            raise UsageError(f"the action {event['action']!r} is not registered like this")
        evidence = canonical(event["evidence"])
        _check_size(evidence, "the evidence", limits.MAX_PAYLOAD_BYTES)
        subject = Subject(
            council_id=self.council_id,
            genesis=self.genesis,
            id=event["proposal"],
            proposer_id=proposer,
            action=event["action"],
            critical=critical,
            target=None if event["target"] is None else check_target(event["target"]),
            evidence_digest=digest(event["evidence"]),
            opened_at=event["at"],
            expires_at=_check_expiry(event),
            electorate=electorate,
            config=config,
            epoch=self.epoch,
        )
        check_aim(subject.action, subject.target)
        proposal = Proposal(subject, evidence, signature=event["signature"])
        if (event["electorate"], event["digest"]) != (electorate.digest, subject.digest):
            raise UsageError("its digests are not those of what it proposes")
        if subject.action == CHANGE:
            check_blocking(read_change(event["evidence"], electorate), config)
        self._check_places(proposer, event["at"])
        _check_can_pass(proposal)
        request = self.request(subject)
        if event["turn"] != request.turn or type(event["turn"]) is not int:
            raise UsageError(f"its turn is {event['turn']!r}; {request.turn} is the proposer's")
        ballots.check_request(electorate, request, event["signature"])
        return Change(event, digest(event), proposal)

    def request(self, subject: Subject) -> Request:
        """What the proposer of a proposal that comes next asks for, as it signs it."""
        ends = subject.expires_at
        return Request(
            council_id=subject.council_id,
            genesis=subject.genesis,
            epoch=subject.epoch,
            proposer_id=subject.proposer_id,
            turn=self.turns[subject.proposer_id],
            action=subject.action,
            target=subject.target,
            evidence_digest=subject.evidence_digest,
            open_for=None if ends is None else ends - subject.opened_at,
        )

    def next_id(self) -> str:
        """Id of the next proposal."""
        return f"p{len(self.proposals) + 1}"

    def constitution(self) -> tuple[Electorate, ConsensusConfig, Mapping[str, bool]]:
        """Electorate of the next proposal, configuration and actions.

        Raises:
            UsageError: the council is not opened.
        """
        if self.opening is None or self.electorate is None:
            raise UsageError(f"the council {self.council_id!r} is not opened")
        return self.electorate, self.opening.config, self.opening.actions

    def _check_places(self, proposer: str, at: int) -> None:
        """Whether one more proposal of this voter may be open.

        Each voter has places of its own, which no other takes, or as many as may lie could
        silence the council by filling them all. What is left over is for whoever asks first.
        """
        electorate, config, _ = self.constitution()
        own = config.places_of_each(electorate.quorum.n)
        held = Counter(proposal.proposer_id for proposal in self.active(at))
        if held[proposer] < own:
            return
        kept = sum(max(held[voter], own) for voter in electorate.units)
        gone = sum(held[voter] for voter in held if voter not in electorate.units)
        if kept + gone < config.max_active_proposals:
            return
        raise UsageError(
            f"open proposals: {held.total()}, of which {held[proposer]} by {proposer!r}; each "
            f"voter has {counted(own, 'place')} of its own, and those that "
            f"all share are taken (max_active_proposals is {config.max_active_proposals}); "
            "tally, close or cancel one first, or vote one down"
        )

    def _voted(self, event: dict[str, Any], proposal: Proposal) -> Change:
        vote = read_vote(event, event["at"])
        after = machine.cast(proposal, vote)
        ballots.check_vote(proposal.subject, vote)
        return Change(event, digest(event), after)

    def _cancel(self, event: dict[str, Any], proposal: Proposal) -> Change:
        voter = check_id(event["voter"], "a voter's id")
        reason = check_reason(event["reason"])
        call = Cancellation(voter, reason, event["at"], event["signature"])
        after = machine.call_off(proposal, call)
        ballots.check_cancellation(proposal.subject, call)
        if event["cancelled"] is not (after.state is State.CANCELLED):
            raise UsageError("it says otherwise whether the proposal is cancelled")
        return Change(event, digest(event), after)

    def _decided(self, event: dict[str, Any], proposal: Proposal) -> Change:
        after = machine.decide(proposal, event["at"])
        again = decided_members(after)
        for name, value in again.items():
            if canonical(value) != canonical(event[name]):
                raise UsageError(f"its {name} is {event[name]!r}; the votes make it {value!r}")
        return Change(event, digest(event), after)

    def _executed(self, event: dict[str, Any], proposal: Proposal) -> Change:
        begun = Begun(event["at"], self._who(event, proposal), event["signature"], due=event["at"])
        after = machine.mark(proposal, begun)
        self._check_begun(proposal, begun)
        changed = (
            read_change(after.evidence, proposal.electorate)
            if after.subject.action == CHANGE
            else None
        )
        return Change(event, digest(event), after, changed)

    def _intent(self, event: dict[str, Any], proposal: Proposal) -> Change:
        begun = Begun(
            at=event["at"],
            by=self._who(event, proposal),
            signature=event["signature"],
            executor=check_id(event["executor"], "the executor"),
            token_digest=_check_digest(event["token_digest"]),
            due=check_time(event["due"], "the time until which the result is due"),
        )
        if not 0 <= begun.due - begun.at <= MAX_EXECUTION_SECONDS * _MICROSECONDS:
            raise UsageError(
                f"its result is due before it is begun, or later than {MAX_EXECUTION_SECONDS} s "
                "after"
            )
        after = machine.begin(proposal, begun)
        if proposal.subject.action == CHANGE:
            raise UsageError("the council itself changes its electorate; call execute()")
        self._check_begun(proposal, begun)
        return Change(event, digest(event), after)

    def _who(self, event: dict[str, Any], proposal: Proposal) -> str | None:
        """Who begins an execution, if it says so: a voter that is registered now."""
        electorate, config, _ = self.constitution()
        if event["by"] is None:
            if config.only_voters_execute:
                raise UsageError(
                    "only voters execute here (only_voters_execute); say who begins it"
                )
            return None
        who = check_id(event["by"], "who begins it")
        _check_voter(electorate, proposal, who)
        return who

    def _check_begun(self, proposal: Proposal, begun: Begun) -> None:
        electorate, _, _ = self.constitution()
        ballots.check_execution(electorate, proposal.subject, begun)
        # By its number: the same voters may come back, and what was put to others before
        # that is no answer to what they are asked now.
        if proposal.subject.action == CHANGE and proposal.subject.epoch != self.epoch:
            raise UsageError(
                f"proposal {proposal.id} changes an electorate that is no longer the council's; "
                "propose the change again"
            )

    def _result(self, event: dict[str, Any], proposal: Proposal) -> Change:
        _check_size(canonical(event["detail"]), "the detail", MAX_DETAIL_BYTES)
        told = {"outcome": event["outcome"], "detail": event["detail"], "at": event["at"]}
        token = check_id(event["token"], "the token")
        after = machine.finish(proposal, token, event["outcome"], told)
        return Change(event, digest(event), after)

    def _resolved(self, event: dict[str, Any], proposal: Proposal) -> Change:
        who = check_id(event["by"], "who resolves it")
        reason = check_reason(event["reason"])
        if not reason:
            raise UsageError("resolving takes a reason; say how it was found out")
        told = {"outcome": event["outcome"], "by": who, "reason": reason, "at": event["at"]}
        after = machine.resolve(proposal, event["outcome"], told, event["at"])
        electorate, _, _ = self.constitution()
        _check_voter(electorate, proposal, who)
        ballots.check_resolution(electorate, proposal.subject, event)
        return Change(event, digest(event), after)


_ON_PROPOSAL: Final = MappingProxyType({
    "voted": Book._voted,  # noqa: SLF001 - the class's own table
    "cancel": Book._cancel,  # noqa: SLF001
    "decided": Book._decided,  # noqa: SLF001
    "executed": Book._executed,  # noqa: SLF001
    "intent": Book._intent,  # noqa: SLF001
    "result": Book._result,  # noqa: SLF001
    "resolved": Book._resolved,  # noqa: SLF001
})  # fmt: skip


def _check_voter(electorate: Electorate, proposal: Proposal, who: str) -> None:
    """Whether somebody may begin or resolve an execution: a voter that is not its target."""
    if who not in electorate.units:
        raise MisbehaviourError(who, "no voter of this council; it was refused, nothing changed")
    if who == proposal.recused:
        raise MisbehaviourError(
            who, f"the target of proposal {proposal.id}; nobody says of themselves that it was done"
        )


def _check_digest(value: object) -> str:
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise UsageError(f"the digest of the token is {value!r}; it is 64 hex digits")
    return value


def _check_expiry(event: dict[str, Any]) -> int | None:
    if event["expires_at"] is None:
        return None
    expires_at = check_time(event["expires_at"], "the expiry")
    if not 0 < expires_at - event["at"] <= MAX_EXPIRY_SECONDS * _MICROSECONDS:
        raise UsageError("it expires before it is opened, or too late")
    return expires_at


def _check_size(encoded: bytes, name: str, most: int) -> None:
    if len(encoded) > most:
        raise UsageError(f"{name} has {len(encoded)} bytes; at most {most} are allowed")


def _check_can_pass(proposal: Proposal) -> None:
    subject = proposal.subject
    if can_pass(subject.electorate, subject.config, proposal.recused, critical=subject.critical):
        return
    raise UsageError(
        f"a proposal to {subject.action} {subject.target!r} could never pass: its target is a "
        "voter, who does not vote on it, and the others together are not enough"
    )
