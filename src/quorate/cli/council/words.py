"""A proposal told to somebody who has just been woken up: what it needs, and what comes next."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quorate.cli.council.times import moment, relative
from quorate.core.text import counted, printable
from quorate.council import Decision, Execution, Proposal, ProposalStatus, TallyResult
from quorate.council.rules.proposal import State
from quorate.council.rules.tally import is_expired, tally
from quorate.ledger.receipts import timestamp

_MICROSECONDS = 1_000_000
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


def told(proposal: Proposal, now: int, flag: str = "") -> dict[str, Any]:
    """A proposal as JSON; ``now`` is in microseconds since 1970, ``flag`` goes with commands."""
    standing = tally(proposal, now)
    ends = proposal.expires_at
    return {
        "proposal": proposal.id,
        "action": proposal.subject.action,
        "critical": proposal.is_critical,
        "target": proposal.target,
        "proposer": proposal.proposer_id,
        "recused": proposal.recused,
        "status": proposal.status.value,
        "decision": proposal.decision.value,
        "execution": proposal.execution.value,
        "opened_at": timestamp(proposal.opened_at),
        "expires_at": None if ends is None else timestamp(ends),
        "expires_in_seconds": None if ends is None else max(ends - now, 0) / _MICROSECONDS,
        "expired": is_expired(proposal, now),
        "standing": standing.to_dict(),
        "needs": needs_of(proposal, standing).to_dict() if _is_open(proposal) else None,
        "next": _with(_next(proposal, standing)[1], flag),
    }


def heading(proposal: Proposal) -> str:
    """Which proposal it is, in one line."""
    target = "" if proposal.target is None else f" {printable(proposal.target)}"
    critical = " (critical)" if proposal.is_critical else ""
    return f"{proposal.id}  {printable(proposal.subject.action)}{target}{critical}"


def open_lines(proposal: Proposal, now: int, flag: str = "") -> list[str]:
    """What an open proposal needs, how long is left and what comes next."""
    standing = tally(proposal, now)
    proposer = printable(proposal.proposer_id)
    lines = [f"{heading(proposal)}, by {proposer} {relative(proposal.opened_at, now)}"]
    if standing.decision is Decision.PENDING:
        needs = needs_of(proposal, standing)
        waiting = ", ".join(map(printable, needs.waiting_for)) or "nobody"
        lines += [f"needs {_lacking(proposal, needs)}", f"not voted yet: {waiting}"]
    if proposal.recused is not None:
        lines.append(f"{printable(proposal.recused)} is its target, and has no vote")
    return [*lines, *last_lines(proposal, now, flag)]


def last_lines(proposal: Proposal, now: int, flag: str = "") -> list[str]:
    """How the votes stand, how long is left, and what comes next."""
    standing = tally(proposal, now)
    lines = []
    if _is_open(proposal):
        lines = [votes_line(standing), f"time: {_left(proposal, now)}"]
    what, command = _next(proposal, standing)
    return [*lines, f"next: {what}" + ("" if command is None else f": {command}{flag}")]


def done_line(proposal: Proposal) -> str:
    """What became of a proposal that is no longer open, in one line."""
    words = "cancelled" if proposal.state is State.CANCELLED else _plain(proposal.decision)
    expired = proposal.status is ProposalStatus.EXPIRED
    after = " when its time was up" if expired else ""
    if proposal.execution is not Execution.NONE:
        after += f", execution: {proposal.execution.value}"
    elif proposal.state is State.APPROVED:
        after += ", not executed yet"
    return f"{heading(proposal)}: {words}{after}"


def outcome_line(proposal: Proposal) -> str:
    """What was sealed of its execution, as JSON in one line."""
    told = {} if proposal.outcome is None else dict(proposal.outcome)
    told.pop("at", None)
    return f"outcome: {json.dumps(told, ensure_ascii=False)}"


def votes_line(standing: TallyResult) -> str:
    """The heads, and what they come to."""
    return (
        f"votes: {standing.approvals} of {standing.approvals_needed} approvals, "
        f"{standing.rejections} reject, {standing.abstentions} abstain, "
        f"{standing.outstanding} of {standing.voters} may still vote"
    )


def next_step(proposal: Proposal, now: int) -> str | None:
    """The command that comes next, if there is one."""
    return _next(proposal, tally(proposal, now))[1]


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


def _next(proposal: Proposal, standing: TallyResult) -> tuple[str, str | None]:
    """What comes next, and the command for it."""
    id_ = proposal.id
    if _is_open(proposal):
        if standing.decision is Decision.PENDING:
            return "vote", f"quorate council vote {id_} approve|reject|abstain --as VOTER"
        certain = f"{_plain(standing.decision)} is certain, seal it"
        return certain, f"quorate council tally {id_}"
    if proposal.state is State.APPROVED:
        return "have it carried out", f"quorate council execute {id_}"
    if proposal.state in _NEXT_OF_STATE:
        command = f"quorate council resolve {id_} executed|failed --reason TEXT --as NAME"
        return _NEXT_OF_STATE[proposal.state], command
    return "nothing, this is final", None


def _plain(decision: Decision) -> str:
    return decision.value.replace("_", " ")
