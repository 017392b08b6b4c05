"""Signed ballots: what a voter with a registered key signs, and how that is checked.

A signature covers the kind (``council-vote``, ``council-cancel``, ``council-execute`` or
``council-resolve``, with its version), the council, the digest of the proposal, the voter and
what it says. The digest covers action, target, evidence, electorate, configuration, opening
and expiry, so a signature counts for one proposal of one council and for nothing else. It
also covers how many votes of that voter went before, so that a vote that was changed cannot
be brought back by showing it again.

A proposal has no digest before it is sealed: its proposer signs a :class:`Request`
(``council-propose``), which counts once, for how many it proposed before is part of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError
from quorate.core.identity import Ed25519Signer, Ed25519Verifier
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.keys import ballot_point, check_point
from quorate.council.rules.proposal import Begun, Cancellation, Proposal, Request, Subject, Vote
from quorate.council.rules.values import VoteValue

VOTE_KIND: Final = "council-vote"
CANCEL_KIND: Final = "council-cancel"
PROPOSE_KIND: Final = "council-propose"
EXECUTE_KIND: Final = "council-execute"
RESOLVE_KIND: Final = "council-resolve"

_SIGNED_BY: Final = {
    VOTE_KIND: "sign_vote",
    CANCEL_KIND: "sign_cancellation",
    PROPOSE_KIND: "sign_proposal",
    EXECUTE_KIND: "sign_execution",
    RESOLVE_KIND: "sign_resolution",
}
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


class UnsignedBallotError(MisbehaviourError):
    """A ballot in the name of a voter with a registered key came without a signature."""


class BadSignatureError(MisbehaviourError):
    """A ballot's signature is not that of the voter's key over exactly this ballot."""


def read_keys(keys: Mapping[str, Any] | None) -> dict[str, str]:
    """Read public keys, given as text or as :class:`Ed25519Verifier`.

    Raises:
        UsageTypeError: no mapping, or another kind of key.
        UsageError: a text that is no public key, or a key under which others can sign.
    """
    if keys is None:
        return {}
    if not isinstance(keys, Mapping):
        raise UsageTypeError("keys is no mapping; give voter -> public key")
    found = {}
    for voter, key in keys.items():
        if isinstance(key, Ed25519Verifier):
            found[voter] = key.to_text()
        elif isinstance(key, str):
            found[voter] = _verifier(key).to_text()
        else:
            raise UsageTypeError(
                f"the key of {voter!r} is a {type(key).__name__}; give a public key, as text "
                "('ed25519:…') or as an Ed25519Verifier"
            )
        check_point(found[voter], voter)
    return found


def sign_vote(
    signer: Ed25519Signer,
    proposal: Proposal,
    value: VoteValue | str,
    reason: str | None = None,
    *,
    voter_id: str | None = None,
) -> str:
    """Sign a vote on a proposal as it now stands.

    Args:
        signer: whose public key is registered for the voter.
        proposal: as ``get_proposal`` gives it; read what it holds before signing.
        value: what is voted.
        reason: the same as will be given to ``vote``.
        voter_id: who votes; found by the key if left out.

    Returns:
        128 hex digits, for ``vote(..., signature=...)``.

    Raises:
        UsageError: the key is registered for no voter of the proposal.
    """
    voter = _voter_of(signer, proposal.electorate) if voter_id is None else voter_id
    standing = proposal.votes.get(voter)
    revision = 0 if standing is None else standing.revision + 1
    vote = Vote(voter, VoteValue(value), reason, 0, revision)
    return signer.sign(VOTE_KIND, _vote_message(proposal.subject, vote)).hex()


def sign_cancellation(
    signer: Ed25519Signer,
    proposal: Proposal,
    reason: str | None = None,
    *,
    voter_id: str | None = None,
) -> str:
    """Sign a call to end a proposal; see :func:`sign_vote`."""
    voter = _voter_of(signer, proposal.electorate) if voter_id is None else voter_id
    message = _cancel_message(proposal.subject, Cancellation(voter, reason, 0))
    return signer.sign(CANCEL_KIND, message).hex()


def sign_proposal(signer: Ed25519Signer, request: Request) -> str:
    """Sign what is to be proposed.

    Args:
        signer: whose public key is registered for the proposer.
        request: as ``ConsensusProtocol.request`` gives it, of the very arguments that
            ``propose`` will be given.

    Returns:
        128 hex digits, for ``propose(..., signature=...)``.
    """
    return signer.sign(PROPOSE_KIND, canonical(request.to_dict())).hex()


def sign_execution(
    signer: Ed25519Signer, proposal: Proposal, voter_id: str, executor: str | None = None
) -> str:
    """Sign that this voter begins the execution of a proposal, or marks it as executed.

    Args:
        signer: whose public key is registered for the voter.
        proposal: as ``get_proposal`` gives it.
        voter_id: who begins or marks.
        executor: what runs it, as given to ``begin_execution``; ``None`` for ``execute``.

    Returns:
        128 hex digits, for ``begin_execution`` or ``execute``.
    """
    message = _execute_message(proposal.subject, voter_id, executor)
    return signer.sign(EXECUTE_KIND, message).hex()


def sign_resolution(
    signer: Ed25519Signer, proposal: Proposal, voter_id: str, outcome: str, reason: str
) -> str:
    """Sign what became of an execution, for ``resolve``; arguments as it takes them."""
    message = _resolve_message(proposal.subject, voter_id, str(outcome), reason)
    return signer.sign(RESOLVE_KIND, message).hex()


def check_vote(subject: Subject, vote: Vote) -> None:
    """Check the signature of a vote against the key registered for its voter.

    Raises:
        UnsignedBallotError: the voter has a key and the vote no signature.
        BadSignatureError: the signature is not over this vote on this proposal.
        UsageError: the voter has no key that a signature could be checked by.
    """
    ballot = _Ballot(VOTE_KIND, vote.voter_id, f"proposal {subject.id}", subject.digest)
    _check(subject.electorate, ballot, vote.signature, _vote_message(subject, vote))


def check_cancellation(subject: Subject, call: Cancellation) -> None:
    """Check the signature of a call to end a proposal; errors as of :func:`check_vote`."""
    ballot = _Ballot(CANCEL_KIND, call.voter_id, f"proposal {subject.id}", subject.digest)
    _check(subject.electorate, ballot, call.signature, _cancel_message(subject, call))


def check_request(electorate: Electorate, request: Request, signature: str | None) -> None:
    """Check a proposer's signature; errors as of :func:`check_vote`."""
    message = canonical(request.to_dict())
    ballot = _Ballot(PROPOSE_KIND, request.proposer_id, "its proposal", digest(request.to_dict()))
    _check(electorate, ballot, signature, message)


def check_execution(electorate: Electorate, subject: Subject, begun: Begun) -> None:
    """Check the signature of the voter that began an execution; errors as of :func:`check_vote`."""
    if begun.by is None:
        if begun.signature is not None:
            raise UsageError("there is a signature, and nobody who signed; say who begins it")
        return
    ballot = _Ballot(EXECUTE_KIND, begun.by, f"proposal {subject.id}", subject.digest)
    message = _execute_message(subject, begun.by, begun.executor)
    _check(electorate, ballot, begun.signature, message)


def check_resolution(electorate: Electorate, subject: Subject, event: Mapping[str, Any]) -> None:
    """Check the signature of the voter that resolves; errors as of :func:`check_vote`."""
    ballot = _Ballot(RESOLVE_KIND, event["by"], f"proposal {subject.id}", subject.digest)
    message = _resolve_message(subject, event["by"], event["outcome"], event["reason"])
    _check(electorate, ballot, event["signature"], message)


@dataclass(frozen=True, slots=True)
class _Ballot:
    """What a signature has to be over, for the error that says it is not."""

    kind: str
    voter: str
    about: str
    digest: str


def _check(electorate: Electorate, ballot: _Ballot, signature: str | None, message: bytes) -> None:
    voter, about = ballot.voter, ballot.about
    key = electorate.keys.get(voter)
    if key is None:
        if signature is not None:
            raise UsageError(
                f"{voter!r} has no registered key to check its signature by; register one, or "
                "leave the signature out"
            )
        return
    if signature is None:
        raise UnsignedBallotError(
            voter,
            f"has a registered key, and a ballot in its name on {about} came unsigned; sign it "
            f"with {_SIGNED_BY[ballot.kind]}",
        )
    good = isinstance(signature, str) and _SIGNATURE.fullmatch(signature) is not None
    if not good or not _verifier(key).verify(ballot.kind, message, bytes.fromhex(signature)):
        raise BadSignatureError(
            voter,
            f"its signature is not over this ballot on {about}; one counts for one proposal, one "
            "voter, and exactly what is said",
            evidence={"kind": ballot.kind, "proposal": ballot.digest, "signature": signature},
        )


def _vote_message(subject: Subject, vote: Vote) -> bytes:
    return canonical({
        "council": subject.council_id,
        "proposal": subject.digest,
        "voter": vote.voter_id,
        "value": vote.value.value,
        "reason": vote.reason,
        "revision": vote.revision,
    })  # fmt: skip


def _cancel_message(subject: Subject, call: Cancellation) -> bytes:
    return canonical({
        "council": subject.council_id,
        "proposal": subject.digest,
        "voter": call.voter_id,
        "reason": call.reason,
    })  # fmt: skip


def _execute_message(subject: Subject, voter: str, executor: str | None) -> bytes:
    return canonical({
        "council": subject.council_id,
        "proposal": subject.digest,
        "voter": voter,
        "executor": executor,
    })  # fmt: skip


def _resolve_message(subject: Subject, voter: str, outcome: str, reason: str) -> bytes:
    return canonical({
        "council": subject.council_id,
        "proposal": subject.digest,
        "voter": voter,
        "outcome": outcome,
        "reason": reason,
    })  # fmt: skip


def _voter_of(signer: Ed25519Signer, electorate: Electorate) -> str:
    own = ballot_point(signer.verifier.to_text())
    for voter, key in electorate.keys.items():
        if ballot_point(key) == own:
            return voter
    raise UsageError(
        f"key {signer.key_id} is registered for no voter; use the key that the electorate names"
    )


@lru_cache(maxsize=1024)
def _verifier(text: str) -> Ed25519Verifier:
    return Ed25519Verifier.from_text(text)
