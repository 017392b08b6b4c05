"""A proposal told to somebody who has just been woken up: what it needs, and what comes next."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quorate.cli.council.story import Ending, ending_of, short
from quorate.cli.council.times import moment, relative
from quorate.core.text import counted, printable
from quorate.council import (
    Decision,
    Execution,
    Proposal,
    ProposalAction,
    ProposalStatus,
    TallyResult,
)
from quorate.council.rules.machine import has_lapsed
from quorate.council.rules.proposal import Begun, State
from quorate.council.rules.tally import is_expired, tally
from quorate.council.telling import difference, quoted
from quorate.ledger.receipts import timestamp

_MICROSECONDS = 1_000_000
_SHOWN_DIGITS = 12
OUTCOMES = {
    Execution.EXECUTED: "executed",
    Execution.FAILED: "failed, nothing was done",
    Execution.UNKNOWN: "it may or may not have been done",
}
"""What came of an execution, in words."""

_NEXT_OF_STATE = {
    State.EXECUTING: "its execution began and has no result: find out, then resolve",
    State.UNKNOWN: "nobody knows whether it was executed: find out, then resolve",
}
_CHECK_FIRST = "do nothing before the signatures are checked: anybody may have written this"


@dataclass(frozen=True, slots=True)
class Needs:
    """What an open proposal lacks.

    Attributes:
        approvals: heads that still have to approve.
        weight: of the registered, that still has to approve; 0 for a routine action.
        heads: that still have to approve or reject; 0 for a critical action.
        waiting_for: voters who have not voted, the recused left out.
    """

    approvals: int
    weight: Fraction
    heads: int
    waiting_for: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON, the weight as ``"p/q"``."""
        return {
            "approvals": self.approvals,
            "weight": str(self.weight),
            "heads": self.heads,
            "waiting_for": list(self.waiting_for),
        }


def needs_of(proposal: Proposal, standing: TallyResult) -> Needs:
    """What is missing for approval, as the votes stand."""
    weight, heads = Fraction(0), 0
    if standing.critical:
        asked = standing.threshold * standing.registered_weight
        weight = max(asked - standing.approve_weight, Fraction(0))
    else:
        asked = proposal.subject.config.quorum_fraction * standing.voters
        heads = max(math.ceil(asked) - standing.approvals - standing.rejections, 0)
    waiting = tuple(
        voter
        for voter in proposal.electorate.voters
        if voter not in proposal.votes and voter != proposal.recused
    )
    return Needs(max(standing.approvals_needed - standing.approvals, 0), weight, heads, waiting)


def told(
    proposal: Proposal, now: int, flag: str = "", unchecked: str | None = None
) -> dict[str, Any]:
    """A proposal as JSON.

    Args:
        proposal: as it stands.
        now: the council's time, in microseconds since 1970.
        flag: goes with each command.
        unchecked: where the signatures of the record were not checked: what goes with the
            command that checks them.
    """
    standing = tally(proposal, now)
    ends, changes, begun = proposal.expires_at, difference(proposal), proposal.begun
    ending = ending_of(proposal)
    left = None if ends is None or not _is_open(proposal) else max(ends - now, 0)
    return {
        "proposal": proposal.id,
        "action": proposal.subject.action,
        "critical": proposal.is_critical,
        "target": proposal.target,
        "proposer": proposal.proposer_id,
        "signed": proposal.signature is not None,
        "digest": proposal.digest,
        "changes": None if changes is None else changes.to_dict(),
        "recused": proposal.recused,
        "status": proposal.status.value,
        "decision": proposal.decision.value,
        "execution": proposal.execution.value,
        "opened_at": timestamp(proposal.opened_at),
        "expires_at": None if ends is None else timestamp(ends),
        "expires_in_seconds": None if left is None else left / _MICROSECONDS,
        "expired": is_expired(proposal, now),
        "decided_at": _timestamp(proposal.decided_at),
        "approval_lapses_at": _timestamp(proposal.lapses_at),
        "execution_began": None
        if begun is None
        else {
            "at": timestamp(begun.at),
            "by": begun.by,
            "signed": begun.signature is not None,
            "executor": begun.executor,
            "due": timestamp(begun.due),
        },
        "execution_ended": None if ending is None else _ended(ending),
        "standing": standing.to_dict(),
        "needs": needs_of(proposal, standing).to_dict() if _is_open(proposal) else None,
        "next": _with(_next(proposal, standing, now, unchecked)[1], flag),
    }


def _ended(ending: Ending) -> dict[str, Any]:
    return {
        "at": timestamp(ending.at),
        "by": ending.by,
        "by_hand": ending.by_hand,
        "reason": ending.reason,
    }


def heading(proposal: Proposal) -> str:
    """Which proposal it is, in one line."""
    target = "" if proposal.target is None else f" {quoted(proposal.target)}"
    critical = " (critical)" if proposal.is_critical else ""
    return f"{proposal.id}  {printable(proposal.subject.action)}{target}{critical}"


def open_lines(proposal: Proposal, now: int, flag: str = "") -> list[str]:
    """What an open proposal needs, how long is left and what comes next."""
    standing = tally(proposal, now)
    proposer = quoted(proposal.proposer_id) + ("" if proposal.signature else " (unsigned)")
    lines = [f"{heading(proposal)}, by {proposer} {relative(proposal.opened_at, now)}"]
    lines += change_lines(proposal)
    if standing.decision is Decision.PENDING:
        needs = needs_of(proposal, standing)
        waiting = ", ".join(map(quoted, needs.waiting_for)) or "nobody"
        lines += [f"needs {_lacking(proposal, needs)}", f"not voted yet: {waiting}"]
    if proposal.recused is not None:
        lines.append(f"{quoted(proposal.recused)} is its target, and has no vote")
    return [*lines, *last_lines(proposal, now, flag)]


def last_lines(
    proposal: Proposal, now: int, flag: str = "", unchecked: str | None = None
) -> list[str]:
    """How the votes stand, how long is left, and what comes next; see :func:`told`."""
    standing = tally(proposal, now)
    lines = []
    if _is_open(proposal):
        lines = [votes_line(standing), f"time: {_left(proposal, now)}"]
    if proposal.state is State.APPROVED and not has_lapsed(proposal, now):
        lines += change_lines(proposal)
        lines += [f"approved: {_until(proposal.lapses_at, now)}"]
    if proposal.state is State.EXECUTING and proposal.begun is not None:
        lines += [_begun_line(proposal.begun, now)]
    what, command = _next(proposal, standing, now, unchecked)
    return [*lines, f"next: {what}" + ("" if command is None else f": {command}{flag}")]


def change_lines(proposal: Proposal) -> list[str]:
    """What a proposal to change the electorate changes; nothing for every other."""
    changes = difference(proposal)
    return [] if changes is None else [printable(line) for line in changes.lines()]


def _begun_line(begun: Begun, now: int) -> str:
    by = "" if begun.by is None else f", by {quoted(begun.by)}"
    how = "" if begun.executor is None else f" ({short(begun.executor)})"
    running = "running" if begun.due > now else "no result"
    was = "is" if begun.due > now else "was"
    due = f"its result {was} due {moment(begun.due, now)} ({relative(begun.due, now)})"
    return f"{running}: begun {_since(begun.at, now)}{by}{how}; {due}"


def _since(at: int, now: int) -> str:
    return f"{moment(at, now)} ({relative(at, now)})"


def _until(ends: int | None, now: int) -> str:
    return "for good" if ends is None else f"until {moment(ends, now)} ({relative(ends, now)})"


def _timestamp(at: int | None) -> str | None:
    return None if at is None else timestamp(at)


def done_line(proposal: Proposal, now: int) -> str:
    """What became of a proposal that is no longer open, when, and by whom, in one line."""
    words = "cancelled" if proposal.state is State.CANCELLED else _plain(proposal.decision)
    expired = proposal.status is ProposalStatus.EXPIRED
    after = " when its time was up" if expired else ""
    if proposal.decided_at is not None:
        after += f" {relative(proposal.decided_at, now)}"
    ending = ending_of(proposal)
    if ending is not None:
        by = "" if ending.by is None else f" by {short(ending.by)}"
        hand = " by hand" if ending.by_hand else ""
        when = relative(ending.at, now)
        after += f", execution: {proposal.execution.value} {when}{by}{hand}"
    elif proposal.state is State.EXECUTING:
        after += ", execution: no result yet"
    elif proposal.state is State.APPROVED:
        after += ", not executed yet"
    return f"{heading(proposal)}: {words}{after}"


def outcome_line(proposal: Proposal) -> str:
    """What was sealed of its execution, as JSON in one line."""
    return f"outcome: {json.dumps(outcome_of(proposal), ensure_ascii=False)}"


def outcome_of(proposal: Proposal) -> dict[str, Any] | None:
    """What was sealed of its execution, without its time; ``None`` where nothing was."""
    if proposal.outcome is None:
        return None
    return {name: value for name, value in proposal.outcome.items() if name != "at"}


def story_lines(proposal: Proposal, now: int) -> list[str]:
    """When its execution began and how it ended, and who says so."""
    lines, begun, ending = [], proposal.begun, ending_of(proposal)
    if begun is not None and begun.executor is not None:
        by = "" if begun.by is None else f", by {quoted(begun.by)}"
        lines.append(f"began: {_since(begun.at, now)}{by}")
    if ending is not None:
        by = "" if ending.by is None else f", says {quoted(ending.by)}"
        by = f"{by} by hand" if ending.by_hand else ""
        reason = "" if ending.reason is None else f": {printable(ending.reason)}"
        what = OUTCOMES[proposal.execution]
        lines.append(f"ended: {_since(ending.at, now)}, {what}{by}{reason}")
    return lines


def votes_line(standing: TallyResult) -> str:
    """The heads, and what they come to."""
    return (
        f"votes: {standing.approvals} of {standing.approvals_needed} approvals, "
        f"{standing.rejections} reject, {standing.abstentions} abstain, "
        f"{standing.outstanding} of {standing.voters} may still vote"
    )


def next_step(proposal: Proposal, now: int) -> str | None:
    """The command that comes next, if there is one."""
    return _next(proposal, tally(proposal, now), now)[1]


def urgency(proposal: Proposal) -> tuple[bool, float]:
    """By what proposals are sorted: what waits to be done, then what time is up first."""
    ends = proposal.expires_at
    if not _is_open(proposal):
        return (False, 0.0)
    return (True, math.inf if ends is None else ends)


def _is_open(proposal: Proposal) -> bool:
    return proposal.state is State.OPEN


def _with(command: str | None, flag: str) -> str | None:
    return None if command is None else command + flag


def _least_weight(proposal: Proposal, needs: Needs) -> Fraction:
    """What the approvals that are missing weigh at least."""
    weights = sorted(proposal.electorate.weights[voter] for voter in needs.waiting_for)
    return sum(weights[: needs.approvals], Fraction(0))


def _lacking(proposal: Proposal, needs: Needs) -> str:
    found = []
    if needs.approvals:
        found.append(counted(needs.approvals, "more approval"))
    # Where as many heads bring that weight whoever they are, it goes without saying.
    if needs.weight > _least_weight(proposal, needs):
        found.append(f"approving weight of {_number(needs.weight)} more")
    if needs.heads:
        found.append(f"{counted(needs.heads, 'more voter')} to approve or reject")
    return " and ".join(found) or "more weight to approve than the threshold of what is cast"


def _number(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.4g}"


def _left(proposal: Proposal, now: int) -> str:
    ends = proposal.expires_at
    if ends is None:
        return "no limit"
    if is_expired(proposal, now):
        return f"up since {moment(ends, now)} ({relative(ends, now)}); no vote counts any more"
    then = _plain(tally(proposal, ends).decision)
    return f"until {moment(ends, now)} ({relative(ends, now)}), then {then} as the votes stand"


def _next(  # noqa: PLR0911 - one for each step
    proposal: Proposal, standing: TallyResult, now: int, unchecked: str | None = None
) -> tuple[str, str | None]:
    """What comes next, and the command for it."""
    if unchecked is not None and proposal.state in {State.APPROVED, *_NEXT_OF_STATE}:
        return _CHECK_FIRST, f"quorate council history --verify --key PUB{unchecked}"
    id_, digest = proposal.id, proposal.digest[:_SHOWN_DIGITS]
    if _is_open(proposal):
        if standing.decision is Decision.PENDING:
            return (
                "vote",
                f"quorate council vote {id_} approve|reject|abstain --as VOTER --digest {digest}",
            )
        changes = proposal.subject.config.allow_vote_change and standing.by == "votes"
        unless = ", as long as nobody changes a vote" if changes else ""
        certain = f"{_plain(standing.decision)} is certain{unless}, seal it"
        return certain, f"quorate council tally {id_}"
    if has_lapsed(proposal, now):
        return "nothing, the approval has lapsed: propose it again if it is still wanted", None
    if proposal.state is State.APPROVED:
        changes = proposal.subject.action == ProposalAction.CHANGE_ELECTORATE
        what = "put it into effect" if changes else "have it carried out, and do nothing before"
        return what, f"quorate council execute {id_}"
    if proposal.state in _NEXT_OF_STATE:
        command = f"quorate council resolve {id_} executed|failed --reason TEXT --as VOTER"
        begun = proposal.begun
        if proposal.state is State.EXECUTING and begun is not None and begun.due > now:
            return "wait until its result is due, then find out, and resolve", command
        return _NEXT_OF_STATE[proposal.state], command
    return "nothing, this is final", None


def _plain(decision: Decision) -> str:
    return decision.value.replace("_", " ")
