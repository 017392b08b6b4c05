"""A council told in JSON and in words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from quorate.core.text import counted, printable
from quorate.council.book import CHANGE, Book
from quorate.council.changes import read_change
from quorate.council.rules.electorate import Difference, cautions
from quorate.council.rules.machine import has_lapsed
from quorate.council.rules.proposal import Proposal, State, TallyResult
from quorate.council.rules.tally import is_expired, tally
from quorate.council.rules.values import Execution, ProposalStatus
from quorate.ledger.receipts import timestamp

_MICROSECONDS = 1_000_000
_PLAIN = re.compile(r"[\w.@/#+-]+(:[\w.@/#+-]+)*")


def summary(book: Book, now: int) -> dict[str, Any]:
    """The council in short, as JSON."""
    electorate, config, _ = book.constitution()
    proposals = list(book.proposals.values())
    statuses = Counter(proposal.status.value for proposal in proposals)
    decisions = Counter(proposal.decision.value for proposal in proposals)
    return {
        "council": book.council_id,
        "voters": electorate.to_dict()["voters"],
        "keyed": list(electorate.keys),
        "voter_count": electorate.quorum.n,
        "max_byzantine_faults": electorate.quorum.faults,
        "bft_quorum": electorate.quorum.size,
        "config": config.to_dict(),
        "proposals": len(proposals),
        "by_status": {status.value: statuses[status.value] for status in ProposalStatus},
        "by_decision": dict(sorted(decisions.items())),
        "unresolved": [p.id for p in proposals if _unresolved(p)],
        "open": [_open_line(book.proposals[id_], now) for id_ in book.open],
        "events": book.number,
        "cautions": cautions(electorate, config),
    }


def render(book: Book, now: int) -> str:
    """The council for a person: who votes, what is open, what it needs, how long is left."""
    told = summary(book, now)
    voters, lying, needed = (
        counted(told["voter_count"], "voter"),
        told["max_byzantine_faults"],
        counted(told["bft_quorum"], "approval"),
    )
    name, all_ = printable(book.council_id), told["proposals"]
    lines = [
        f"Council {name}: {voters}, up to {lying} may lie, a critical action takes {needed}",
        *(f"  note: {printable(caution)}" for caution in told["cautions"]),
        f"{len(book.open)} of {counted(all_, 'proposal')} open, {counted(book.number, 'event')}",
    ]
    for id_ in book.open:
        lines += _open_lines(book.proposals[id_], now)
    lines += [f"  {_unresolved_line(book.proposals[id_], now)}" for id_ in told["unresolved"]]
    done = [proposal for id_, proposal in book.proposals.items() if id_ not in book.open]
    lines += [f"  {_done_line(proposal, now)}" for proposal in done[-_LATEST:]]
    return "\n".join(lines)


_LATEST = 10


def _unresolved(proposal: Proposal) -> bool:
    return proposal.execution in {Execution.INTENT, Execution.UNKNOWN}


def _open_line(proposal: Proposal, now: int) -> dict[str, Any]:
    left, changes = proposal.expires_at, difference(proposal)
    return {
        "proposal": proposal.id,
        "action": proposal.subject.action,
        "target": proposal.target,
        "changes": None if changes is None else changes.to_dict(),
        "proposer": proposal.proposer_id,
        "signed": proposal.signature is not None,
        "expires_in_seconds": None if left is None else max(left - now, 0) / _MICROSECONDS,
        "expired": is_expired(proposal, now),
        "standing": tally(proposal, now).to_dict(),
        "waiting_for": _waiting(proposal),
    }


def _waiting(proposal: Proposal) -> list[str]:
    said = proposal.votes
    return [v for v in proposal.electorate.units if v not in said and v != proposal.recused]


def difference(proposal: Proposal) -> Difference | None:
    """What a proposal to change the electorate changes; ``None`` for every other."""
    if proposal.subject.action != CHANGE:
        return None
    return Difference.between(
        proposal.electorate, read_change(proposal.evidence, proposal.electorate)
    )


def quoted(text: str) -> str:
    """A target as one word: in quotes unless it cannot be taken for anything else."""
    return text if _PLAIN.fullmatch(text) else json.dumps(text)


def _what(proposal: Proposal) -> str:
    target = "" if proposal.target is None else f" {quoted(proposal.target)}"
    critical = " (critical)" if proposal.is_critical else ""
    return f"{proposal.id} {printable(proposal.subject.action)}{target}{critical}"


def _open_lines(proposal: Proposal, now: int) -> Sequence[str]:
    left = proposal.expires_at
    until = "no expiry" if left is None else f"until {timestamp(left)}"
    if is_expired(proposal, now):
        until = "its time is up: tally it"
    waiting = ", ".join(map(printable, _waiting(proposal))) or "nobody"
    changes = difference(proposal)
    return [
        f"  {_what(proposal)}, by {printable(proposal.proposer_id)}, {until}",
        *(f"    {printable(line)}" for line in ([] if changes is None else changes.lines())),
        f"    {_so_far(tally(proposal, now))}",
        f"    waiting for {waiting}",
    ]


def _so_far(result: TallyResult) -> str:
    return (
        f"{result.approvals} approve, {result.rejections} reject, {result.abstentions} abstain "
        f"of {result.voters}; {result.approvals_needed} approvals needed; stands at "
        f"{result.decision.value}"
    )


def _unresolved_line(proposal: Proposal, now: int) -> str:
    begun = proposal.begun
    if proposal.state is State.EXECUTING and begun is not None and begun.due > now:
        how = "" if begun.executor is None else f" by {printable(begun.executor)}"
        return f"{proposal.id}: being executed{how}, its result is due {timestamp(begun.due)}"
    return f"{proposal.id}: nobody knows whether it was executed; find out and resolve it by hand"


def _done_line(proposal: Proposal, now: int) -> str:
    told = f"{_what(proposal)}: {proposal.decision.value}, {proposal.status.value}"
    if has_lapsed(proposal, now):
        told += ", lapsed: it was not executed in time"
    execution, begun = proposal.execution, proposal.begun
    if execution is Execution.NONE:
        return told
    by = "" if begun is None or begun.by is None else f", begun by {printable(begun.by)}"
    return f"{told}, execution {execution.value}{by}"
