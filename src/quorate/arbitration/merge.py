"""One answer made of several: what the synthesizer wrote, and who ratified it.

A merge is checked as a proposal is, and by whose fault a defect is: the payload and the
cost are the synthesizer's, everything else is the caller's. Its payload is copied before
anything else looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from quorate.arbitration.forms import hex_digest, items, members, text
from quorate.arbitration.proposal import FaultError, plain_copy, read_json, read_number
from quorate.core import limits
from quorate.core.canonical import JSONValue
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, from_text

_KEYS = ("synthesizer", "payload", "digest", "sources", "cost", "ratified", "declined")


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Merge:
    """A synthesizer's merged answer, its sources, and the proposers' word on it.

    Proposers that are in neither list were asked and did not answer, or were not asked:
    both count against the quorum.

    Attributes:
        synthesizer: id of whoever merged.
        payload: the merged answer, as a private JSON copy.
        sources: digests of the payloads merged, sorted, each once.
        cost: what merging cost, 0 to 2^53 - 1, in the caller's unit.
        ratified: ids of the proposers that ratified the merged answer, sorted.
        declined: ids of those that refused to, sorted.
        digest: SHA-256 of the canonical payload, 64 hex digits.
        exact_cost: the cost as a rational.
    """

    synthesizer: str
    payload: JSONValue
    sources: tuple[str, ...]
    cost: Number
    ratified: tuple[str, ...]
    declined: tuple[str, ...]
    digest: str = field(init=False)
    exact_cost: Fraction = field(init=False, repr=False)

    def __init__(
        self,
        synthesizer: str,
        payload: JSONValue,
        sources: Iterable[str],
        cost: Number = 0,
        ratified: Iterable[str] = (),
        declined: Iterable[str] = (),
    ) -> None:
        """Check, copy and sort; see the class for the ranges.

        Raises:
            UsageTypeError: an id, a digest or a list is of the wrong type.
            UsageError: an id or digest is malformed, there is no source, or more than
                ``limits.MAX_REPLICAS`` of anything, or one both ratified and declined.
            MisbehaviourError: the synthesizer's fault: a payload that is no JSON or too
                large, a cost that is no number or out of range.
        """
        name = text(synthesizer, "synthesizer")
        try:
            kept, found = read_json(payload, "payload")
            spent = read_number(cost, "cost", limits.MAX_SAFE_INTEGER)
        except FaultError as fault:
            raise MisbehaviourError(name, str(fault), evidence={"cost": cost}) from fault.__cause__
        merged = tuple(hex_digest(one, "a source") for one in _distinct(sources, "sources"))
        if not merged:
            raise UsageError("sources is empty; a merge is made of at least one proposal")
        yes = tuple(text(one, "an id in ratified") for one in _distinct(ratified, "ratified"))
        no = tuple(text(one, "an id in declined") for one in _distinct(declined, "declined"))
        both = sorted(set(yes) & set(no))
        if both:
            raise UsageError(f"{both[0]!r} both ratified and declined; it did one of them")
        values: dict[str, Any] = {
            "synthesizer": name,
            "payload": kept,
            "sources": merged,
            "cost": cost,
            "ratified": yes,
            "declined": no,
            "digest": found,
            "exact_cost": spent,
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Merge):
            return NotImplemented
        return self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def _identity(self) -> tuple[object, ...]:
        who = (self.synthesizer, self.digest, self.sources)
        return (*who, self.exact_cost, self.ratified, self.declined)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, the cost exact as ``"p/q"``."""
        return {
            "synthesizer": self.synthesizer,
            "payload": plain_copy(self.payload),
            "digest": self.digest,
            "sources": list(self.sources),
            "cost": as_text(self.exact_cost),
            "ratified": list(self.ratified),
            "declined": list(self.declined),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Merge:
        """Read back what :meth:`to_dict` wrote; the digest is checked against the payload.

        Raises:
            UsageError: keys, lists or numbers are not as :meth:`to_dict` writes them.
            MisbehaviourError: as the constructor.
        """
        form = members(data, "the merge", _KEYS)
        lists = {
            name: items(form[name], name, _as_it_is) for name in ("sources", "ratified", "declined")
        }
        cost = from_text(form["cost"], "cost")
        merge = cls(form["synthesizer"], form["payload"], cost=cost, **lists)
        if form["digest"] != merge.digest:
            raise UsageError(f"the digest of the merge is not its payload's, {merge.digest}")
        return merge


def _as_it_is(value: object) -> Any:
    return value


def _distinct(values: object, name: str) -> list[str]:
    """The strings of a list, sorted, each once."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageTypeError(f"{name} is a {type(values).__name__}; give a list of strings")
    found: set[str] = set()
    for value in values:
        if not isinstance(value, str):
            raise UsageTypeError(f"{name} holds a {type(value).__name__}; give strings")
        found.add(value)
        if len(found) > limits.MAX_REPLICAS:
            raise UsageError(f"{name} has more than {limits.MAX_REPLICAS} items")
    return sorted(found)
