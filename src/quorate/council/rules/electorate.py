"""Who votes, with what weight and key, and how many of them may lie.

With n voters, f = (n - 1) // 3 may lie. An electorate in which the f heaviest voters hold
more than 1 minus the supermajority threshold of the weight is refused: those f could block
every critical proposal by saying nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final

from quorate.core import limits
from quorate.core.canonical import digest
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, common_scale, exact, from_text
from quorate.core.quorum import Quorum, heavy_voters
from quorate.council.bounds import MAX_WEIGHT_DIGITS
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.keys import ballot_point
from quorate.council.rules.values import check_id

_NAMED: Final = 5

_NO_KEYS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Electorate:
    """The registered voters of a proposal.

    Attributes:
        weights: voter -> exact weight above 0, in order of the ids.
        keys: voter -> public key, for those that sign their votes.
        quorum: over the number of voters.
        units: voter -> weight as a multiple of ``1 / scale``.
        scale: the denominator that all weights share.
        total: all of ``units``.
        digest: of voters, weights and keys, 64 hex digits.
    """

    weights: Mapping[str, Fraction]
    keys: Mapping[str, str]
    quorum: Quorum = field(init=False)
    units: Mapping[str, int] = field(init=False, repr=False)
    scale: int = field(init=False, repr=False)
    total: int = field(init=False, repr=False)
    digest: str = field(init=False, repr=False)

    def __init__(self, weights: Mapping[str, Fraction], keys: Mapping[str, str] = _NO_KEYS) -> None:
        """Take weights and keys that :func:`weights_of` and a reader of keys have checked.

        Raises:
            UsageError: no voter, too many, a key of a stranger, or two voters with one key.
        """
        ordered = {voter: weights[voter] for voter in sorted(weights)}
        units, scale = common_scale(ordered.values())
        set_ = object.__setattr__
        set_(self, "weights", MappingProxyType(ordered))
        set_(self, "keys", MappingProxyType({voter: keys[voter] for voter in sorted(keys)}))
        set_(self, "quorum", Quorum(len(ordered)))
        set_(self, "units", MappingProxyType(dict(zip(ordered, units, strict=True))))
        set_(self, "scale", scale)
        set_(self, "total", sum(units))
        for voter in self.keys:
            if voter not in ordered:
                raise UsageError(f"a key is registered for {voter!r}, who is no voter")
        _check_own_keys(self.keys)
        set_(self, "digest", digest(self.to_dict()))

    @property
    def voters(self) -> tuple[str, ...]:
        """Ids of the voters, sorted."""
        return tuple(self.weights)

    @property
    def least_approvals(self) -> int:
        """Fewest approvals with which anything passes: max(2, f + 1); 1 for a sole voter."""
        return 1 if self.quorum.n == 1 else max(2, self.quorum.faults + 1)

    def weight(self, units: int) -> Fraction:
        """So many units as a weight."""
        return Fraction(units, self.scale)

    def heaviest(self) -> int:
        """Weight of the f heaviest voters together, in units."""
        return sum(sorted(self.units.values(), reverse=True)[: self.quorum.faults])

    def to_dict(self) -> dict[str, Any]:
        """As JSON, weights as ``"p/q"``."""
        return {
            "voters": {voter: as_text(weight) for voter, weight in self.weights.items()},
            "keys": dict(self.keys),
        }


def _check_own_keys(keys: Mapping[str, str]) -> None:
    """Refuse two voters with one key: whoever holds it could vote for both."""
    holders: dict[bytes, str] = {}
    for voter, text in keys.items():
        first = holders.setdefault(ballot_point(text), voter)
        if first != voter:
            raise UsageError(
                f"two voters have the same key: {first!r} and {voter!r}; give each one of its own"
            )


def weights_of(
    voter_ids: Iterable[str], weights: Mapping[str, Number] | None
) -> dict[str, Fraction]:
    """Read voters and their weights; a voter that ``weights`` leaves out weighs 1.

    Raises:
        UsageTypeError: an id or a weight of another type.
        UsageError: no voter or more than ``limits.MAX_REPLICAS``, one twice, a weight of a
            stranger, or one that is not above 0 or has too many digits.
    """
    if isinstance(voter_ids, str | bytes) or not isinstance(voter_ids, Iterable):
        raise UsageTypeError(f"voter_ids is {voter_ids!r}; give a list of ids")
    if isinstance(voter_ids, Mapping):
        raise UsageTypeError(
            "voter_ids is a mapping, whose values would go unread; give a list of ids, and "
            "weights={voter: weight}"
        )
    ids = [check_id(voter, "a voter's id") for voter in voter_ids]
    if not 1 <= len(ids) <= limits.MAX_REPLICAS:
        raise UsageError(f"{len(ids)} voters; a council has 1 to {limits.MAX_REPLICAS}")
    twice = next(
        (voter for i, voter in enumerate(sorted(ids)[1:]) if sorted(ids)[i] == voter), None
    )
    if twice is not None:
        raise UsageError(f"the voter {twice!r} stands twice; give each its own id")
    if weights is not None and not isinstance(weights, Mapping):
        raise UsageTypeError("weights is no mapping; give voter -> weight")
    given = {} if weights is None else dict(weights)
    strangers = sorted(str(voter) for voter in given if voter not in set(ids))
    if strangers:
        raise UsageError(f"a weight is given for {strangers[0]!r}, who is no voter")
    return {voter: _weight(voter, exact(given.get(voter, 1), "a weight")) for voter in ids}


def _weight(voter: str, weight: Fraction) -> Fraction:
    most = 10**MAX_WEIGHT_DIGITS
    if weight <= 0:
        raise UsageError(f"the weight of {voter!r} is {weight}; a voter's is above 0")
    # Sums over many voters with odd denominators would grow without bound.
    if weight.numerator >= most or weight.denominator >= most:
        raise UsageError(f"the weight of {voter!r} needs more than {MAX_WEIGHT_DIGITS} digits")
    return weight


def weights_from_json(members: object) -> dict[str, Fraction]:
    """Read sealed weights, voter -> ``"p/q"``; see :func:`weights_of` for the errors."""
    if not isinstance(members, dict):
        raise UsageError("voters is no object of weights")
    return weights_of(
        list(members), {voter: from_text(text, "a weight") for voter, text in members.items()}
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """How one electorate differs from another.

    Attributes:
        come: voters that were none.
        go: voters that are none any more.
        weigh: voter -> weight before and after, for those that stay and weigh otherwise.
        keyed: voters that stay and get their first key.
        rekeyed: voters that stay and get another key.
        unkeyed: voters that stay and have a key no more.
    """

    come: tuple[str, ...]
    go: tuple[str, ...]
    weigh: Mapping[str, tuple[Fraction, Fraction]]
    keyed: tuple[str, ...]
    rekeyed: tuple[str, ...]
    unkeyed: tuple[str, ...]

    @classmethod
    def between(cls, before: Electorate, after: Electorate) -> Difference:
        """Compare two electorates."""
        old, new = before.weights, after.weights
        stay = [voter for voter in old if voter in new]
        had, has = before.keys, after.keys
        return cls(
            come=tuple(voter for voter in new if voter not in old),
            go=tuple(voter for voter in old if voter not in new),
            weigh={v: (old[v], new[v]) for v in stay if old[v] != new[v]},
            keyed=tuple(v for v in stay if v not in had and v in has),
            rekeyed=tuple(v for v in stay if v in had and v in has and had[v] != has[v]),
            unkeyed=tuple(v for v in stay if v in had and v not in has),
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON, weights as ``"p/q"``."""
        return {
            "come": list(self.come),
            "go": list(self.go),
            "weigh": {v: [as_text(was), as_text(is_)] for v, (was, is_) in self.weigh.items()},
            "keyed": list(self.keyed),
            "rekeyed": list(self.rekeyed),
            "unkeyed": list(self.unkeyed),
        }

    def lines(self) -> list[str]:
        """In words, a line for each kind of change; one that says so where there is none."""
        found = [
            f"{words}: {', '.join(voters)}"
            for words, voters in (
                ("voters that come", self.come),
                ("voters that go", self.go),
                ("voters with a first key", self.keyed),
                ("voters with another key", self.rekeyed),
                ("voters that LOSE their key, and sign nothing from then on", self.unkeyed),
            )
            if voters
        ]
        found += [f"{v} weighs {is_}, and {was} before" for v, (was, is_) in self.weigh.items()]
        return found or ["it changes nothing: the same voters, weights and keys"]


def check_blocking(electorate: Electorate, config: ConsensusConfig) -> None:
    """Refuse an electorate in which f voters could block every critical proposal.

    Raises:
        UsageError: names the f heaviest, and what to do.
    """
    threshold = config.supermajority_threshold
    heaviest, total = electorate.heaviest(), electorate.total
    if (total - heaviest) * threshold.denominator >= threshold.numerator * total:
        return
    f = electorate.quorum.faults
    named = sorted(electorate.units, key=lambda voter: (-electorate.units[voter], voter))[:f]
    raise UsageError(
        f"the {f} heaviest of {electorate.quorum.n} voters ({', '.join(named)}) hold "
        f"{Fraction(heaviest, total)} of the weight, more than {1 - threshold}: as many as may "
        "lie could block every critical proposal; even out the weights or lower "
        "supermajority_threshold"
    )


def cautions(electorate: Electorate, config: ConsensusConfig) -> list[str]:
    """What one should know of an electorate that is accepted all the same."""
    found = []
    n, f = electorate.quorum.n, electorate.quorum.faults
    if f == 0:
        found.append(f"with {n} voters no liar is tolerated; four are the least that bear one")
    else:
        heavy = heavy_voters(electorate.weights)
        found += [f"{voter} alone holds {share} of the weight" for voter, share in heavy.items()]
        if n - f < config.quorum_fraction * n:
            found.append(f"{f} silent voters keep a routine proposal from its quorum_fraction")
        rest = electorate.total - electorate.heaviest()
        if rest <= config.majority_threshold * electorate.total:
            found.append(f"{f} voters can hold up a routine proposal by their weight")
    unkeyed = [voter for voter in electorate.weights if voter not in electorate.keys]
    if unkeyed:
        named = ", ".join(unkeyed[:_NAMED]) + (", …" if len(unkeyed) > _NAMED else "")
        found.append(
            f"{len(unkeyed)} of {n} voters have no key ({named}): whoever can write the ledger "
            "can propose and vote in their names"
        )
    found.append("f is reckoned from the number of voters; their independence is undeclared")
    return found
