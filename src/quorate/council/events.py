"""Events as they are sealed: one ledger entry of kind ``council`` for each.

Every body has::

    {"rule": "council/1", "council", "number", "previous", "at", "event", ...}

``number`` counts the council's events from 0, ``previous`` is the digest of the body before
(of the council's id for the first), ``at`` is in microseconds since 1970 and never goes
back; it is within the council's ``clock_tolerance_seconds`` of the time of its ledger entry,
whose trace id is the council's. What else there is depends on the event:

=========  ==================================================================
opened     nonce, voters, keys, config, actions
proposed   proposal, proposer, action, critical, target, evidence, expires_at,
           electorate (digest), digest, turn, signature
voted      proposal, digest, voter, value, reason, revision, signature
cancel     proposal, digest, voter, reason, signature, cancelled
decided    proposal, digest, subject, electorate, config, votes, verdict
executed   proposal, digest, by, signature
intent     proposal, digest, executor, due, token_digest, by, signature
result     proposal, digest, token, outcome, detail
resolved   proposal, digest, outcome, reason, by, signature
=========  ==================================================================

``decided`` holds all that the verdict was computed from, so that it can be computed again
from that body alone; the evidence it holds by digest. ``intent`` holds the SHA-256 of a token
that whoever began the execution keeps to itself; ``result`` shows the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quorate.core import limits
from quorate.core.canonical import digest
from quorate.core.errors import UsageError
from quorate.council.bounds import MAX_REASON_LENGTH
from quorate.council.rules.proposal import Proposal, Vote
from quorate.council.rules.values import VoteValue, check_id, check_text

KIND: Final = "council"
"""Kind of the ledger entries."""

RULE: Final = "council/1"
"""Name and version of the rules under which the events hold."""

_COMMON: Final = frozenset({"rule", "council", "number", "previous", "at", "event"})
FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "opened": frozenset({"nonce", "voters", "keys", "config", "actions"}),
    "proposed": frozenset({
        "proposal", "proposer", "action", "critical", "target", "evidence", "expires_at",
        "electorate", "digest", "turn", "signature",
    }),
    "voted": frozenset({
        "proposal", "digest", "voter", "value", "reason", "revision", "signature",
    }),
    "cancel": frozenset({"proposal", "digest", "voter", "reason", "signature", "cancelled"}),
    "decided": frozenset({
        "proposal", "digest", "subject", "electorate", "config", "votes", "verdict",
    }),
    "executed": frozenset({"proposal", "digest", "by", "signature"}),
    "intent": frozenset({
        "proposal", "digest", "executor", "due", "token_digest", "by", "signature",
    }),
    "result": frozenset({"proposal", "digest", "token", "outcome", "detail"}),
    "resolved": frozenset({"proposal", "digest", "outcome", "reason", "by", "signature"}),
}  # fmt: skip
"""Event -> its own members, beside those that every event has."""


def first_previous(council_id: str) -> str:
    """``previous`` of a council's first event."""
    return digest({"kind": "quorate/council/v1", "council": council_id})


def check_shape(body: object) -> dict[str, Any]:
    """Give back ``body`` if it has the members of an event of this version.

    Raises:
        UsageError: it has not; says what is missing or too much.
    """
    if not isinstance(body, dict) or body.get("rule") != RULE:
        raise UsageError(f"this is no event of a council under {RULE!r}")
    event = body.get("event")
    own = FIELDS.get(event) if isinstance(event, str) else None
    if own is None:
        raise UsageError(f"the event is {event!r}; known are {', '.join(FIELDS)}")
    if set(body) != _COMMON | own:
        odd = sorted(set(body) ^ (_COMMON | own))
        raise UsageError(f"the event {event!r} has missing or unknown members: {odd}")
    check_id(body["council"], "the council's id")
    check_time(body["number"], "the number of an event")
    check_time(body["at"], "the time of an event")
    if event != "opened":
        check_id(body["proposal"], "a proposal's id")
    return body


def check_time(value: object, name: str) -> int:
    """Give back a whole number from 0 to 2^53 - 1.

    Raises:
        UsageError: another value or type.
    """
    if type(value) is not int or not 0 <= value <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"{name} is {value!r}; it is a whole number, 0 or more")
    return value


def check_reason(value: object) -> str | None:
    """Give back a reason: ``None``, or text of at most ``bounds.MAX_REASON_LENGTH`` characters.

    Raises:
        UsageError: it is none.
    """
    return None if value is None else check_text(value, "the reason", MAX_REASON_LENGTH)


def read_vote(members: Mapping[str, Any], at: int) -> Vote:
    """Read a vote out of a sealed body.

    Raises:
        UsageError: it is none.
    """
    return Vote(
        voter_id=check_id(members["voter"], "a voter's id"),
        value=read_value(members["value"]),
        reason=check_reason(members["reason"]),
        at=at,
        revision=check_time(members["revision"], "the revision of a vote"),
        signature=members["signature"],
    )


def read_value(value: object) -> VoteValue:
    """Read what is voted: a :class:`VoteValue`, or its text.

    Raises:
        UsageError: neither.
    """
    if isinstance(value, str):
        for known in VoteValue:
            if value == known.value:
                return known
    words = ", ".join(VoteValue)
    raise UsageError(f"the vote is {value!r}; give a VoteValue or one of {words}")


def decided_members(proposal: Proposal) -> dict[str, Any]:
    """What ``decided`` says of a proposal with a result, but for its times."""
    subject, result = proposal.subject, proposal.result
    if result is None:
        raise UsageError(f"proposal {proposal.id} is not decided")
    return {
        "proposal": subject.id,
        "digest": subject.digest,
        "subject": subject.to_dict(),
        "electorate": subject.electorate.to_dict(),
        "config": subject.config.to_dict(),
        "votes": [vote.to_dict() for _, vote in sorted(proposal.votes.items())],
        "verdict": result.to_dict(),
    }


@dataclass(frozen=True)
class AuditEntry:
    """One event of the audit log, chained to the one before.

    Attributes:
        number: 0-based place among the council's events.
        seq: 0-based place in the ledger.
        at: microseconds since 1970.
        event: what happened.
        council_id: whose it is.
        proposal_id: which proposal it is about, or ``None``.
        details: the other members of the sealed body.
        previous_hash: ``entry_hash`` of the event before.
        entry_hash: as it was when it was read from the ledger.
    """

    number: int
    seq: int
    at: int
    event: str
    council_id: str
    proposal_id: str | None
    details: Mapping[str, Any]
    previous_hash: str
    entry_hash: str

    def compute_hash(self) -> str:
        """Hash what the entry now holds: 64 hex digits, ``entry_hash`` if nothing was changed."""
        return digest({
            **self.details,
            **({} if self.proposal_id is None else {"proposal": self.proposal_id}),
            "rule": RULE,
            "council": self.council_id,
            "number": self.number,
            "previous": self.previous_hash,
            "at": self.at,
            "event": self.event,
        })  # fmt: skip

    @classmethod
    def of(cls, body: Mapping[str, Any], seq: int) -> AuditEntry:
        """Read a sealed body that was checked before."""
        return cls(
            number=body["number"],
            seq=seq,
            at=body["at"],
            event=body["event"],
            council_id=body["council"],
            proposal_id=body.get("proposal"),
            details={k: v for k, v in body.items() if k not in _COMMON and k != "proposal"},
            previous_hash=body["previous"],
            entry_hash=digest(body),
        )
