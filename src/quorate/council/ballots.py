"""Signed ballots: what a voter with a registered key signs, and how that is checked.

A signature covers the kind (``council-vote`` or ``council-cancel``, with its version), the
council, the digest of the proposal, the voter and what it says. The digest covers action,
target, evidence, electorate, configuration, opening and expiry, so a signature counts for
one proposal of one council and for nothing else. It also covers how many votes of that voter
went before, so that a vote that was changed cannot be brought back by showing it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from quorate.core.canonical import canonical
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError
from quorate.core.identity import Ed25519Signer, Ed25519Verifier
from quorate.council.rules.proposal import Cancellation, Proposal, Subject, Vote
from quorate.council.rules.values import VoteValue

VOTE_KIND: Final = "council-vote"
CANCEL_KIND: Final = "council-cancel"

_SIGNATURE = re.compile(r"[0-9a-f]{128}")


class UnsignedBallotError(MisbehaviourError):
    """A ballot in the name of a voter with a registered key came without a signature."""


class BadSignatureError(MisbehaviourError):
    """A ballot's signature is not that of the voter's key over exactly this ballot."""


def read_keys(keys: Mapping[str, Any] | None) -> dict[str, str]:
    """Read public keys, given as text or as :class:`Ed25519Verifier`.

    Raises:
        UsageTypeError: no mapping, or another kind of key.
        UsageError: a text that is no public key.
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
    voter = _voter_of(signer, proposal) if voter_id is None else voter_id
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
    voter = _voter_of(signer, proposal) if voter_id is None else voter_id
    message = _cancel_message(proposal.subject, Cancellation(voter, reason, 0))
    return signer.sign(CANCEL_KIND, message).hex()


def check_vote(subject: Subject, vote: Vote) -> None:
    """Check the signature of a vote against the key registered for its voter.

    Raises:
        UnsignedBallotError: the voter has a key and the vote no signature.
        BadSignatureError: the signature is not over this vote on this proposal.
        UsageError: the voter has no key that a signature could be checked by.
    """
    _check(subject, VOTE_KIND, vote.voter_id, vote.signature, _vote_message(subject, vote))


def check_cancellation(subject: Subject, call: Cancellation) -> None:
    """Check the signature of a call to end a proposal; errors as of :func:`check_vote`."""
    _check(subject, CANCEL_KIND, call.voter_id, call.signature, _cancel_message(subject, call))


def _check(subject: Subject, kind: str, voter: str, signature: str | None, message: bytes) -> None:
    key = subject.electorate.keys.get(voter)
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
            f"has a registered key, and a ballot in its name on proposal {subject.id} came "
            "unsigned; sign it with sign_vote or sign_cancellation",
        )
    good = isinstance(signature, str) and _SIGNATURE.fullmatch(signature) is not None
    if not good or not _verifier(key).verify(kind, message, bytes.fromhex(signature)):
        raise BadSignatureError(
            voter,
            f"its signature is not over this ballot on proposal {subject.id}; one counts for one "
            "proposal, one voter, one value, one reason and one revision",
            evidence={"kind": kind, "proposal": subject.digest, "signature": signature},
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


def _voter_of(signer: Ed25519Signer, proposal: Proposal) -> str:
    own = signer.verifier.to_text()
    for voter, key in proposal.electorate.keys.items():
        if key == own:
            return voter
    raise UsageError(
        f"key {signer.key_id} is registered for no voter of proposal {proposal.id}; use the key "
        "that the electorate names"
    )


@lru_cache(maxsize=1024)
def _verifier(text: str) -> Ed25519Verifier:
    return Ed25519Verifier.from_text(text)
