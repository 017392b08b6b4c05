"""Sealed events checked again, one by one and in the order of the log.

``decided`` is computed again from its own body: electorate, configuration and votes, their
signatures included. With a context that is handed from entry to entry of one log, as
``verify --replay`` does, every event is put through the state machine besides: a vote of a
stranger, an event left out or put elsewhere, a decision that the votes before it do not make,
an event under another trace id, where no seat of its council would read it, and one that says
another time than its entry.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn
from weakref import WeakKeyDictionary

from quorate.core.canonical import canonical
from quorate.core.errors import QuorateError, VerificationError
from quorate.council import ballots
from quorate.council.book import Book
from quorate.council.changes import read_electorate
from quorate.council.events import KIND, check_shape, check_time, decided_members, read_vote
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import check_blocking
from quorate.council.rules.machine import cast, decide
from quorate.council.rules.proposal import Proposal, Subject, Vote
from quorate.council.rules.values import WELL_KNOWN, check_aim

# One log's councils, for as long as its context is alive.
_BOOKS: Final[WeakKeyDictionary[Any, dict[str, Book]]] = WeakKeyDictionary()
_SUBJECT: Final = frozenset({
    "council", "genesis", "proposal", "proposer", "action", "critical", "target",
    "evidence_digest", "opened_at", "expires_at", "epoch",
})  # fmt: skip


def replay(kind: str, body: object, context: Any = None) -> None:
    """Check one sealed event again; return only if nothing differs.

    Args:
        kind: must be ``"council"``.
        body: the sealed body.
        context: the same object for every entry of one log, in their order, whose ``seq``
            and ``current`` say which entry this is; ``None`` to check the body on its own.

    Raises:
        VerificationError: rule ``"replay"``; says what differs.
    """
    if kind != KIND:
        _refuse(f"kind {kind!r} is none of a council")
    # What is sealed may be anything: a bad shape shows as one of these while it is read.
    try:
        event = check_shape(body)
        if event["event"] == "decided":
            _decide_again(event)
        if context is not None:
            books = _BOOKS.setdefault(context, {})
            book = books.setdefault(event["council"], Book(event["council"]))
            current = getattr(context, "current", None)
            if current is not None and current.trace_id != event["council"]:
                _refuse(
                    f"an event of the council {event['council']!r} stands under the trace id "
                    f"{current.trace_id!r}, where that council does not look for it"
                )
            sealed_at = None if current is None else current.time
            book.take(book.next(event, sealed_at), getattr(context, "seq", 0))
    except VerificationError:
        raise
    except (QuorateError, KeyError, TypeError, ValueError, AttributeError) as error:
        _refuse(f"no event of a council that could stand here: {error}")


def _decide_again(event: dict[str, Any]) -> None:
    proposal = _reopened(event)
    for members in event["votes"]:
        vote = read_vote(members, check_time(members["at"], "the time of a vote"))
        if not proposal.opened_at <= vote.at <= event["at"]:
            _refuse(f"{vote.voter_id!r} voted before it was opened or after it was decided")
        ballots.check_vote(proposal.subject, vote)
        proposal = _cast_latest(proposal, vote)
    again = decided_members(decide(proposal, event["at"]))
    for name, value in again.items():
        if canonical(value) != canonical(event[name]):
            _refuse(f"{name} is {event[name]!r}; computed again it is {value!r}")


def _cast_latest(proposal: Proposal, vote: Vote) -> Proposal:
    """Cast a vote whose earlier ones are not at hand: a decided body has the last of each."""
    config = proposal.subject.config
    if vote.revision and not config.allow_vote_change:
        _refuse(f"{vote.voter_id!r} changed its vote, which was not allowed")
    first = Vote(vote.voter_id, vote.value, vote.reason, vote.at)
    after = cast(proposal, first)
    return Proposal(
        after.subject, after.evidence_json, {**after.votes, vote.voter_id: vote}, state=after.state
    )


def _reopened(event: dict[str, Any]) -> Proposal:
    told = event["subject"]
    if not isinstance(told, dict) or set(told) != _SUBJECT:
        _refuse(f"its subject has not exactly the members {sorted(_SUBJECT)}")
    if (told["council"], told["proposal"]) != (event["council"], event["proposal"]):
        _refuse("its subject is another proposal")
    electorate = read_electorate(event["electorate"])
    config = ConsensusConfig.from_dict(event["config"])
    check_blocking(electorate, config)
    known = WELL_KNOWN.get(told["action"], told["critical"])
    if type(told["critical"]) is not bool or told["critical"] is not known:
        _refuse(f"it says of {told['action']!r} that it is critical: {told['critical']!r}")
    if told["proposer"] not in electorate.units:
        _refuse("its proposer is no voter")
    check_aim(told["action"], told["target"])
    subject = Subject(
        council_id=told["council"],
        genesis=told["genesis"],
        id=told["proposal"],
        proposer_id=told["proposer"],
        action=told["action"],
        critical=told["critical"],
        target=told["target"],
        evidence_digest=told["evidence_digest"],
        opened_at=check_time(told["opened_at"], "the opening"),
        expires_at=told["expires_at"],
        electorate=electorate,
        config=config,
        epoch=check_time(told["epoch"], "the epoch"),
    )
    return Proposal(subject)


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
