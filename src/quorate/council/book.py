"""The council as its events make it: each is checked against all before it, then taken in.

Theory of operation. A :class:`Book` is folded from sealed bodies alone. ``next`` says what a
body would change, or why it is refused, and changes nothing; ``take`` makes the change. A
command drafts a body, asks ``next``, seals the body and only then calls ``take``; a restart,
another process and a verifier go through the very same two. So what is refused as a command
is refused as a record.

Taking in one event costs no more for all that went before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.council import ballots
from quorate.council.bounds import MAX_DETAIL_BYTES, MAX_EXPIRY_SECONDS
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
from quorate.council.rules.electorate import Electorate, check_blocking, weights_from_json
from quorate.council.rules.proposal import Cancellation, Proposal, State, Subject
from quorate.council.rules.tally import can_pass, is_expired
from quorate.council.rules.values import ProposalAction, actions_of, check_id, registered

CHANGE: Final = ProposalAction.CHANGE_ELECTORATE.value
_MICROSECONDS: Final = 1_000_000


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

    def next(self, body: object) -> Change:
        """What an event would change; nothing is changed yet.

        Raises:
            UsageError: it is no event, not the next one, or refused by the rules.
            MisbehaviourError: a voter may not do that; names it.
        """
        event = check_shape(body)
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
            self.electorate = change.electorate
        proposal = change.proposal
        if proposal is not None:
            self.proposals[proposal.id] = proposal
            if proposal.state is State.OPEN:
                self.open[proposal.id] = None
            else:
                self.open.pop(proposal.id, None)
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
            target=None if event["target"] is None else check_id(event["target"], "the target"),
            evidence_digest=digest(event["evidence"]),
            opened_at=event["at"],
            expires_at=_check_expiry(event),
            electorate=electorate,
            config=config,
        )
        proposal = Proposal(subject, evidence)
        if (event["electorate"], event["digest"]) != (electorate.digest, subject.digest):
            raise UsageError("its digests are not those of what it proposes")
        if subject.action == CHANGE:
            check_blocking(read_electorate(event["evidence"]), config)
        self._check_places(proposer, event["at"])
        _check_can_pass(proposal)
        return Change(event, digest(event), proposal)

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
        """Whether one more proposal may be open.

        As many voters as may lie could fill all places with proposals of their own. One place
        more is kept for the others, or a single compromised voter would silence the council.
        """
        electorate, config, _ = self.constitution()
        active = self.active(at)
        if len(active) < config.max_active_proposals:
            return
        holders = {proposal.proposer_id for proposal in active}
        if proposer in holders or len(holders) > electorate.quorum.faults:
            raise UsageError(
                f"{len(active)} proposals are open, and {config.max_active_proposals} may be; "
                "tally, close or cancel one first"
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
        token = check_id(event["token"], "the token")
        begun = self._begun(proposal, token)
        after = machine.finish(begun, token, "executed", {})
        changed = read_electorate(after.evidence) if after.subject.action == CHANGE else None
        return Change(event, digest(event), after, changed)

    def _intent(self, event: dict[str, Any], proposal: Proposal) -> Change:
        check_id(event["executor"], "the executor")
        begun = self._begun(proposal, check_id(event["token"], "the token"))
        if proposal.subject.action == CHANGE:
            raise UsageError("the council itself changes its electorate; call execute()")
        return Change(event, digest(event), begun)

    def _begun(self, proposal: Proposal, token: str) -> Proposal:
        begun = machine.begin(proposal, token)
        now = self.electorate
        if proposal.subject.action == CHANGE and (
            now is None or proposal.electorate.digest != now.digest
        ):
            raise UsageError(
                f"proposal {proposal.id} changes an electorate that is no longer the council's; "
                "propose the change again"
            )
        return begun

    def _result(self, event: dict[str, Any], proposal: Proposal) -> Change:
        _check_size(canonical(event["detail"]), "the detail", MAX_DETAIL_BYTES)
        told = {"outcome": event["outcome"], "detail": event["detail"], "at": event["at"]}
        after = machine.finish(proposal, event["token"], event["outcome"], told)
        return Change(event, digest(event), after)

    def _resolved(self, event: dict[str, Any], proposal: Proposal) -> Change:
        who = check_id(event["by"], "who resolves it")
        reason = check_reason(event["reason"])
        if not reason:
            raise UsageError("resolving takes a reason; say how it was found out")
        told = {"outcome": event["outcome"], "by": who, "reason": reason, "at": event["at"]}
        return Change(event, digest(event), machine.resolve(proposal, event["outcome"], told))


_ON_PROPOSAL: Final = MappingProxyType({
    "voted": Book._voted,  # noqa: SLF001 - the class's own table
    "cancel": Book._cancel,  # noqa: SLF001
    "decided": Book._decided,  # noqa: SLF001
    "executed": Book._executed,  # noqa: SLF001
    "intent": Book._intent,  # noqa: SLF001
    "result": Book._result,  # noqa: SLF001
    "resolved": Book._resolved,  # noqa: SLF001
})  # fmt: skip


def read_electorate(members: object) -> Electorate:
    """Read an electorate as ``Electorate.to_dict`` writes it.

    Raises:
        UsageError: another shape, or no electorate.
    """
    if not isinstance(members, dict) or set(members) != {"voters", "keys"}:
        raise UsageError(
            'an electorate is {"voters": {id: "p/q"}, "keys": {id: public key}}; '
            "propose_electorate() writes one"
        )
    electorate = Electorate(
        weights_from_json(members["voters"]), ballots.read_keys(members["keys"])
    )
    if canonical(electorate.to_dict()) != canonical(members):
        raise UsageError("the electorate is not in its one form")
    return electorate


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
