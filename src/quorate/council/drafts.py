"""Drafts of events: what a command would seal, written from the council as it stands.

A draft need not be right: :meth:`Book.next` checks it as it checks a sealed event. Where a
command finds that there is nothing to seal, it raises :class:`Done` with what it returns.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from quorate.core.canonical import canonical, digest, parse
from quorate.core.errors import UsageError
from quorate.core.exact import Number
from quorate.council.book import Book
from quorate.council.bounds import MIN_DIGEST_LENGTH
from quorate.council.events import decided_members
from quorate.council.rules import machine
from quorate.council.rules.config import check_expiry, expires_at
from quorate.council.rules.proposal import Cancellation, Proposal, State, Subject
from quorate.council.rules.tally import tally
from quorate.council.rules.values import (
    Decision,
    Execution,
    VoteValue,
    check_aim,
    check_id,
    check_target,
    find_action,
    registered,
    token_digest,
)

Body = dict[str, Any]

_MICROSECONDS: Final = 1_000_000
_DIGEST: Final = re.compile(rf"[0-9a-f]{{{MIN_DIGEST_LENGTH},64}}")


class Done(Exception):  # noqa: N818 - no error: there is nothing to seal
    """Raised by a draft that finds nothing left to seal; carries what the command returns."""

    def __init__(self, value: Any) -> None:
        """Keep the value."""
        super().__init__()
        self.value = value


def opened(book: Book, at: int, members: Mapping[str, Any]) -> Body:
    """Draft the opening, or make sure that the council there is the one asked for.

    Raises:
        UsageError: it was opened with something else; says what differs.
    """
    if book.opening is None:
        return book.draft("opened", at, nonce=os.urandom(16).hex(), **members)
    now, config, actions = book.constitution()
    for name in ("voters", "keys"):
        if members[name] not in (book.opening.electorate.to_dict()[name], now.to_dict()[name]):
            raise _other({"voters": "voters or weights"}.get(name, name), book)
    if members["config"] != config.to_dict():
        raise _other("thresholds or limits (config)", book)
    if members["actions"] != registered(actions):
        raise _other("actions", book)
    raise Done(None)


def _other(what: str, book: Book) -> UsageError:
    return UsageError(
        f"the council {book.council_id!r} was opened with other {what}; give the same, take the "
        "seat with ConsensusProtocol.reopen(ledger), or open another council_id"
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller proposes, as it was given.

    Attributes:
        proposer_id: who.
        action: in any spelling.
        target: of the action.
        evidence: canonical JSON.
        expiry_seconds: 0 for ever, the council's default if ``None``.
    """

    proposer_id: str
    action: str
    target: str | None
    evidence: bytes
    expiry_seconds: Number | None


def subject(book: Book, at: int, asked: Asked) -> Subject:
    """What would be put to the vote, were it sealed now.

    Raises:
        UsageError: an argument cannot be used.
    """
    electorate, config, actions = book.constitution()
    name = find_action(asked.action, actions)
    seconds = (
        config.default_expiry_seconds
        if asked.expiry_seconds is None
        else check_expiry(asked.expiry_seconds, "expiry_seconds")
    )
    target = None if asked.target is None else check_target(asked.target)
    check_aim(name, target)
    return Subject(
        council_id=book.council_id,
        genesis=book.genesis,
        id=book.next_id(),
        proposer_id=check_id(asked.proposer_id, "the proposer's id"),
        action=name,
        critical=actions[name],
        target=target,
        evidence_digest=digest(parse(asked.evidence)),
        opened_at=at,
        expires_at=expires_at(at, seconds),
        electorate=electorate,
        config=config,
        epoch=book.epoch,
    )


def proposed(book: Book, at: int, asked: Asked, signature: str | None) -> Body:
    """Draft a proposal; errors as of :func:`subject`."""
    put = subject(book, at, asked)
    return book.draft(
        "proposed",
        at,
        proposal=put.id,
        proposer=put.proposer_id,
        action=put.action,
        critical=put.critical,
        target=put.target,
        evidence=parse(asked.evidence),
        expires_at=put.expires_at,
        electorate=put.electorate.digest,
        digest=put.digest,
        turn=book.turns[put.proposer_id],
        signature=signature,
    )


def meant(proposal: Proposal, expected: str | None) -> None:
    """Check that a proposal is the one that was read.

    Args:
        proposal: as it stands.
        expected: its digest, or the first digits of it, ``bounds.MIN_DIGEST_LENGTH`` at least;
            ``None`` where nobody says.

    Raises:
        UsageError: it is another, or no digest.
    """
    if expected is None:
        return
    if not isinstance(expected, str) or _DIGEST.fullmatch(expected) is None:
        raise UsageError(
            f"the digest is {expected!r}; give the proposal's, {MIN_DIGEST_LENGTH} to 64 hex "
            "digits of it"
        )
    if not proposal.digest.startswith(expected):
        raise UsageError(
            f"proposal {proposal.id} is another than the one with the digest {expected}: its "
            f"own is {proposal.digest}; nothing was sealed, read it anew before you act on it"
        )


def voted(
    book: Book,
    at: int,
    proposal_id: str,
    voter_id: str,
    said: VoteValue,
    reason: str | None,
    signature: str | None,
) -> Body:
    """Draft a vote; ``Done`` where that very vote stands already."""
    proposal = book.proposal(proposal_id)
    standing = proposal.votes.get(check_id(voter_id, "a voter's id"))
    if standing is not None and (standing.value, standing.reason) == (said, reason):
        raise Done(standing)
    return _about(
        book,
        at,
        "voted",
        proposal,
        voter=voter_id,
        value=said.value,
        reason=reason,
        revision=0 if standing is None else standing.revision + 1,
        signature=signature,
    )


def cancel(
    book: Book,
    at: int,
    proposal_id: str,
    voter_id: str,
    reason: str | None,
    signature: str | None,
) -> Body:
    """Draft a call to end a proposal."""
    proposal = book.proposal(proposal_id)
    call = Cancellation(check_id(voter_id, "a voter's id"), reason, at, signature)
    cancelled = machine.call_off(proposal, call).state is State.CANCELLED
    return _about(
        book,
        at,
        "cancel",
        proposal,
        voter=voter_id,
        reason=reason,
        signature=signature,
        cancelled=cancelled,
    )


def tallied(book: Book, at: int, proposal_id: str) -> Body:
    """Draft the decision; ``Done`` with the tally while pending, or once it is sealed."""
    proposal = book.proposal(proposal_id)
    result = tally(proposal, at)
    if proposal.result is not None or result.decision is Decision.PENDING:
        raise Done(result)
    return closed(book, at, proposal_id)


def closed(book: Book, at: int, proposal_id: str) -> Body:
    """Draft the decision; ``Done`` once it is sealed.

    Raises:
        UsageError: it is pending.
    """
    proposal = book.proposal(proposal_id)
    if proposal.result is not None:
        raise Done(proposal.result)
    return book.draft("decided", at, **decided_members(machine.decide(proposal, at)))


def executed(book: Book, at: int, proposal_id: str, by: str | None, signature: str | None) -> Body:
    """Draft that it is executed; ``Done`` unless it is approved and not begun."""
    proposal = book.proposal(proposal_id)
    if proposal.state is not State.APPROVED:
        raise Done(value=False)
    return _about(book, at, "executed", proposal, by=by, signature=signature)


def intent(
    book: Book,
    at: int,
    proposal_id: str,
    token: str,
    executor: str,
    *,
    seconds: Fraction,
    by: str | None,
    signature: str | None,
) -> Body:
    """Draft that execution begins; ``Done`` if it was begun already."""
    proposal = book.proposal(proposal_id)
    if proposal.begun is not None:
        raise Done(None)
    return _about(
        book,
        at,
        "intent",
        proposal,
        executor=executor,
        due=at + math.ceil(seconds * _MICROSECONDS),
        token_digest=token_digest(token),
        by=by,
        signature=signature,
    )


def result(book: Book, at: int, proposal_id: str, token: str, outcome: str, detail: Any) -> Body:
    """Draft the result of an execution; the detail is copied."""
    outcome = outcome.value if isinstance(outcome, Execution) else outcome
    kept = parse(canonical(detail))
    proposal = book.proposal(proposal_id)
    return _about(book, at, "result", proposal, token=token, outcome=outcome, detail=kept)


def resolved(
    book: Book,
    at: int,
    proposal_id: str,
    outcome: str,
    *,
    reason: str,
    by: str,
    signature: str | None,
) -> Body:
    """Draft what was found out by hand."""
    outcome = outcome.value if isinstance(outcome, Execution) else outcome
    proposal = book.proposal(proposal_id)
    return _about(
        book,
        at,
        "resolved",
        proposal,
        outcome=outcome,
        reason=reason,
        by=by,
        signature=signature,
    )


def _about(book: Book, at: int, event: str, proposal: Proposal, **members: Any) -> Body:
    return book.draft(event, at, proposal=proposal.id, digest=proposal.digest, **members)
