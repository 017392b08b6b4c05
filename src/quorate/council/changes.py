"""A change of the electorate, as the evidence of a proposal says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.core.exact import Number
from quorate.core.identity import Ed25519Verifier
from quorate.council.ballots import read_keys
from quorate.council.rules.electorate import (
    Difference,
    Electorate,
    weights_from_json,
    weights_of,
)


def electorate_evidence(
    voter_ids: Iterable[str],
    weights: Mapping[str, Number] | None = None,
    *,
    keys: Mapping[str, str | Ed25519Verifier] | None = None,
    drop_keys: Iterable[str] = (),
) -> dict[str, Any]:
    """The evidence of a proposal to change the electorate: the electorate that is to be.

    Args:
        voter_ids: as of :class:`ConsensusProtocol`.
        weights: likewise.
        keys: likewise.
        drop_keys: exactly the voters that stay, have a key now and are to have none. Whoever
            can write the ledger can propose and vote in their names from then on.

    Raises:
        UsageError: it is no electorate.
    """
    evidence = Electorate(weights_of(voter_ids, weights), read_keys(keys)).to_dict()
    dropped = sorted(drop_keys)
    return {**evidence, "dropped_keys": dropped} if dropped else evidence


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
    electorate = Electorate(weights_from_json(members["voters"]), read_keys(members["keys"]))
    if canonical(electorate.to_dict()) != canonical(members):
        raise UsageError("the electorate is not in its one form")
    return electorate


def read_change(members: object, now: Electorate) -> Electorate:
    """Read the evidence of a change of the electorate.

    It is an electorate, and besides, where voters that stay have a key now and none then,
    ``dropped_keys``: all of them, sorted. So no key goes without a word.

    Args:
        members: the evidence.
        now: the electorate that is to be changed.

    Raises:
        UsageError: another shape, no electorate, or it does not say which keys go.
    """
    said = []
    if isinstance(members, dict) and "dropped_keys" in members:
        members = dict(members)
        said = members.pop("dropped_keys")
        if said == []:
            raise UsageError("dropped_keys is empty; leave it out")
    after = read_electorate(members)
    gone = list(Difference.between(now, after).unkeyed)
    if said != gone:
        raise UsageError(
            f"dropped_keys is {said!r}, and the voters that stay and would have no key are "
            f"{gone!r}: from then on whoever can write the ledger can vote in their names; give "
            "them their keys, or say drop_keys with exactly these"
        )
    return after
