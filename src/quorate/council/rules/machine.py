"""What may follow what: the table of states and events, and one step for each command.

========== =====================================================================
state      what may happen
========== =====================================================================
open       votes; calls to cancel, of which enough (or the proposer's, before any
           vote) cancel it; a decision that is certain, or that time makes
approved   one execution is begun, while the approval holds; calls to cancel, of
           which enough cancel it
executing  its result is told; or, once that is overdue, it is resolved by hand
resolved   the result may still be told: one that says otherwise makes it unknown
unknown    it is resolved by hand
the rest   nothing, ever
========== =====================================================================

``TABLE`` holds a next state or the reason of refusal for every pair. The steps below check
what the table cannot see (who, when, how often) and then ask the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from quorate.core.canonical import canonical
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.council.rules.proposal import (
    Begun,
    Cancellation,
    Proposal,
    State,
    TallyResult,
    Vote,
)
from quorate.council.rules.tally import cancels, count, is_expired, result_of, tally
from quorate.council.rules.values import Decision, token_digest

_MICROSECONDS: Final = 1_000_000


class Event(StrEnum):
    """What can happen to a proposal."""

    VOTE = "vote"
    CALL = "call to cancel"
    CANCEL = "cancel"
    APPROVE = "approve"
    REFUSE = "refuse"
    EXPIRE = "expire"
    BEGIN = "begin execution"
    SUCCEED = "report success"
    FAIL = "report failure"
    LOSE = "report an unknown result"
    CONFIRM = "resolve as executed"
    DISPROVE = "resolve as failed"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event is refused in a state."""

    reason: str


_MOVES: Final[Mapping[State, Mapping[Event, State]]] = {
    State.OPEN: {
        Event.VOTE: State.OPEN,
        Event.CALL: State.OPEN,
        Event.CANCEL: State.CANCELLED,
        Event.APPROVE: State.APPROVED,
        Event.REFUSE: State.REFUSED,
        Event.EXPIRE: State.EXPIRED,
    },
    State.APPROVED: {
        Event.BEGIN: State.EXECUTING,
        Event.CALL: State.APPROVED,
        Event.CANCEL: State.CANCELLED,
    },
    State.EXECUTING: {
        Event.SUCCEED: State.EXECUTED,
        Event.FAIL: State.FAILED,
        Event.LOSE: State.UNKNOWN,
        Event.CONFIRM: State.RESOLVED_EXECUTED,
        Event.DISPROVE: State.RESOLVED_FAILED,
    },
    # Who began it knows best, and is heard late as well.
    State.RESOLVED_EXECUTED: {
        Event.SUCCEED: State.EXECUTED,
        Event.FAIL: State.UNKNOWN,
        Event.LOSE: State.EXECUTED,
    },
    State.RESOLVED_FAILED: {
        Event.SUCCEED: State.UNKNOWN,
        Event.FAIL: State.FAILED,
        Event.LOSE: State.FAILED,
    },
    State.UNKNOWN: {Event.CONFIRM: State.EXECUTED, Event.DISPROVE: State.FAILED},
}
_WHY: Final[Mapping[State, str]] = {
    State.OPEN: "it is open; it has to be decided first",
    State.APPROVED: "it is approved, which is final; it can only be executed, or cancelled by a "
    "quorum before it is",
    State.REFUSED: "it was not approved, which is final; open a new proposal",
    State.EXPIRED: "it expired without approval, which is final; open a new proposal",
    State.CANCELLED: "it was cancelled, which is final; open a new proposal",
    State.EXECUTING: "its execution has begun; it happens at most once",
    State.UNKNOWN: "whether it was executed is unknown; somebody has to find out and resolve it",
    State.EXECUTED: "it was executed, which is final",
    State.FAILED: "its execution failed, which is final; open a new proposal",
    State.RESOLVED_EXECUTED: "it was resolved as executed, which is final",
    State.RESOLVED_FAILED: "it was resolved as failed, which is final; open a new proposal",
}

TABLE: Final[Mapping[tuple[State, Event], State | Refusal]] = MappingProxyType({
    (state, event): _MOVES.get(state, {}).get(event) or Refusal(_WHY[state])
    for state in State
    for event in Event
})  # fmt: skip
"""Every state with every event: the next state, or why there is none."""


def move(proposal: Proposal, event: Event) -> State:
    """The next state.

    Raises:
        UsageError: the table refuses the event; says why.
    """
    found = TABLE[proposal.state, event]
    if isinstance(found, Refusal):
        raise UsageError(f"cannot {event.value} on proposal {proposal.id}: {found.reason}")
    return found


def cast(proposal: Proposal, vote: Vote) -> Proposal:
    """Take one vote.

    Raises:
        UsageError: the proposal is not open, or its time is up.
        MisbehaviourError: a stranger, the target itself, a second and different vote where
            votes do not change, or a revision that is not the next.
    """
    after = _heard(proposal, vote.voter_id, vote.at, Event.VOTE)
    standing = proposal.votes.get(vote.voter_id)
    if standing is not None and not proposal.subject.config.allow_vote_change:
        raise MisbehaviourError(
            vote.voter_id,
            f"voted {standing.value} on proposal {proposal.id} already; its vote for "
            f"{vote.value} was refused: votes do not change here, nor do their reasons",
            evidence={"standing": standing.to_dict(), "refused": vote.to_dict()},
        )
    expected = 0 if standing is None else standing.revision + 1
    if vote.revision != expected:
        raise MisbehaviourError(
            vote.voter_id,
            f"its vote on proposal {proposal.id} has revision {vote.revision}, not {expected}: "
            "it was made for another moment",
            evidence=vote.to_dict(),
        )
    votes = MappingProxyType({**proposal.votes, vote.voter_id: vote})
    return replace(proposal, votes=votes, state=after)


def call_off(proposal: Proposal, call: Cancellation) -> Proposal:
    """Take one voter's call to end a proposal, and end it if they are enough.

    The proposer's alone is enough before the first vote. What is approved can be called off
    until it is begun.

    Raises:
        UsageError: the proposal is not open, its time is up, or the voter called already.
        MisbehaviourError: a stranger, or the target itself unless it is the proposer.
    """
    subject = proposal.subject
    own = call.voter_id == subject.proposer_id and not proposal.votes
    _heard(proposal, call.voter_id, call.at, Event.CALL, recuse=not own)
    if call.voter_id in proposal.cancellations:
        raise UsageError(f"{call.voter_id!r} called proposal {proposal.id} off already")
    calls = MappingProxyType({**proposal.cancellations, call.voter_id: call})
    enough = own or cancels(subject.electorate, subject.config, frozenset(calls))
    if not enough:
        return replace(proposal, cancellations=calls, state=move(proposal, Event.CALL))
    found = count(subject.electorate, proposal.votes, proposal.recused)
    return replace(
        proposal,
        cancellations=calls,
        state=move(proposal, Event.CANCEL),
        result=result_of(proposal, found, Decision.REJECTED, "cancel"),
    )


def decide(proposal: Proposal, at: int) -> Proposal:
    """Make final what the votes come to.

    Raises:
        UsageError: it is not open, or votes still to come could change the outcome.
    """
    result = tally(replace(proposal, result=None), at)
    after = move(proposal, _ending(result))
    if result.decision is Decision.PENDING:
        raise UsageError(
            f"proposal {proposal.id} is pending: votes still to come could change the outcome; "
            "wait for them or for its expiry, or cancel it by a quorum"
        )
    return replace(proposal, state=after, result=result, decided_at=at)


def _ending(result: TallyResult) -> Event:
    if result.decision is Decision.APPROVED:
        return Event.APPROVE
    return Event.EXPIRE if result.by == "expiry" else Event.REFUSE


def begin(proposal: Proposal, begun: Begun) -> Proposal:
    """Say that the execution is about to begin.

    Raises:
        UsageError: it is not approved, was begun before, or the approval has lapsed.
    """
    after = move(proposal, Event.BEGIN)
    if has_lapsed(proposal, begun.at):
        within = proposal.subject.config.execute_within_seconds
        raise UsageError(
            f"the approval of proposal {proposal.id} has lapsed: it was not begun within "
            f"{float(within):g} s; propose it again"
        )
    return replace(proposal, state=after, begun=begun)


def has_lapsed(proposal: Proposal, at: int) -> bool:
    """Whether it was approved too long ago to be begun, from the microsecond ``lapses_at`` on."""
    approved, lapses_at = proposal.state is State.APPROVED, proposal.lapses_at
    return approved and lapses_at is not None and at >= lapses_at


def mark(proposal: Proposal, begun: Begun) -> Proposal:
    """Say at once that it is executed; errors as of :func:`begin`."""
    executing = begin(proposal, begun)
    return replace(executing, state=move(executing, Event.SUCCEED), outcome_json=b"{}")


_TOLD: Final = {"executed": Event.SUCCEED, "failed": Event.FAIL, "unknown": Event.LOSE}
_RESOLVED: Final = {"executed": Event.CONFIRM, "failed": Event.DISPROVE}


def finish(proposal: Proposal, token: str, outcome: str, told: Mapping[str, Any]) -> Proposal:
    """Take the result of an execution, from the one who began it.

    Args:
        proposal: one whose execution was begun.
        token: of which the digest was sealed when it was begun.
        outcome: ``executed``, ``failed`` or ``unknown``.
        told: what is kept of it.

    Raises:
        UsageError: another outcome, another token, or none was begun.
    """
    after = move(proposal, _named(_TOLD, outcome))
    if proposal.begun is None or token_digest(token) != proposal.begun.token_digest:
        raise UsageError(
            f"the execution of proposal {proposal.id} was begun by another; only who began it "
            "can report its result"
        )
    return replace(proposal, state=after, outcome_json=_kept(proposal, told))


def resolve(proposal: Proposal, outcome: str, told: Mapping[str, Any], at: int) -> Proposal:
    """Take by hand what became of an execution of which no result is known.

    Args:
        proposal: one whose execution was begun.
        outcome: ``executed`` or ``failed``.
        told: what is kept of it.
        at: microseconds since 1970.

    Raises:
        UsageError: another outcome, nothing is to be resolved, or its result is not due yet.
    """
    after = move(proposal, _named(_RESOLVED, outcome))
    if proposal.state is State.EXECUTING and proposal.begun is not None:
        left = proposal.begun.due - at
        if left > 0:
            raise UsageError(
                f"the execution of proposal {proposal.id} may still be running: its result is "
                f"due in {-(-left // _MICROSECONDS)} s; only then can it be resolved by hand"
            )
    return replace(proposal, state=after, outcome_json=_kept(proposal, told))


def _kept(proposal: Proposal, told: Mapping[str, Any]) -> bytes:
    before = proposal.outcome
    return canonical(dict(told) if before is None else {**told, "before": before})


def _named(events: Mapping[str, Event], outcome: str) -> Event:
    if not isinstance(outcome, str) or outcome not in events:
        raise UsageError(f"the outcome is {outcome!r}; it is one of {', '.join(events)}")
    return events[outcome]


def _heard(proposal: Proposal, voter: str, at: int, event: Event, *, recuse: bool = True) -> State:
    """Whether this voter may say anything on this proposal now; the state after it."""
    if voter not in proposal.subject.electorate.units:
        raise MisbehaviourError(
            voter, f"no voter of proposal {proposal.id}; it was refused and nothing changed"
        )
    after = move(proposal, event)
    if proposal.state is State.OPEN and is_expired(proposal, at):
        raise UsageError(
            f"cannot {event.value} on proposal {proposal.id}: its time is up; tally it, or open "
            "a new proposal"
        )
    if recuse and voter == proposal.recused:
        raise MisbehaviourError(
            voter, f"the target of proposal {proposal.id}; nobody votes on themselves"
        )
    return after
