"""What comes in: one expert's proposal, or its absence.

Theory of operation. A proposal is checked once, at construction, and by whose fault a
defect is: the expert's (its payload, confidence, cost, ranking, or a digest it claimed)
or the caller's (the id and the route weight, which come from the plan). The payload is
copied before anything else looks at it, so an expert that keeps a reference cannot change
its answer afterwards, nor while it is read. Every number is read as the rational it was
written as; what is reported as a float beside it never takes part in a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from typing import Any, Final, cast

from quorate.arbitration.forms import members, shown, text
from quorate.core import limits
from quorate.core.canonical import CanonicalError, JSONValue, canonical
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.core.exact import Number, as_text, exact, from_text, within

_ATOMS: Final = frozenset({int, float, bool, type(None)})
_LEAVES: Final = _ATOMS | {str}
_NUMBERS: Final = frozenset({int, float, Decimal, Fraction})
_KINDS: Final = (int, float, Decimal, Fraction)
_FEW: Final = 10**9
_ITEM_BYTES: Final = len("1,")
_NUMERATORS: Final = 10**limits.MAX_ANSWER_DIGITS
_DENOMINATORS: Final = 10**limits.MAX_ANSWER_PLACES
_set: Final = object.__setattr__

REASONS: Final = ("crashed", "timeout", "over_budget", "void", "recused")
"""Why an expert may be absent; ``void``: what it sent was worthless, or equivocation."""


class FaultError(Exception):
    """What an expert did wrong, before its name is put to it; never leaves this room."""


def plain_copy(value: JSONValue, depth: int = 0) -> JSONValue:
    """Copy a value known to be JSON; tuples become lists, as JSON has them."""
    if type(value) in _LEAVES or not isinstance(value, dict | list | tuple):
        return value
    if depth >= limits.MAX_DEPTH:
        raise UsageError(f"nested deeper than {limits.MAX_DEPTH}")
    # Most items are no containers: not calling for them halves the time.
    if isinstance(value, dict):
        return {
            key: item if type(item) in _LEAVES else plain_copy(item, depth + 1)
            for key, item in value.items()
        }
    return [item if type(item) in _LEAVES else plain_copy(item, depth + 1) for item in value]


class _Taking:
    """Copies foreign values as they stand now; what is no JSON stays, to be refused by name.

    Each container is copied at one stroke and without running foreign code: whoever gave
    it may be changing it at this moment. One that stands many times in another, and that
    one in a third, is as large as what it would be written as: more than could be copied.
    So what is taken is counted, at no more than the bytes it is written as.
    """

    __slots__ = ("_left",)

    def __init__(self) -> None:
        # Beyond the bound a little is taken all the same, to say how large it is.
        self._left = 2 * limits.MAX_PAYLOAD_BYTES

    def take(self, value: JSONValue, depth: int = 0) -> JSONValue:
        kind = type(value)
        if kind is not dict and kind is not list and kind is not tuple:
            if kind is str:
                self._count(len(value))
            return value
        if depth >= limits.MAX_PAYLOAD_DEPTH:
            raise FaultError(f"nested deeper than {limits.MAX_PAYLOAD_DEPTH}")
        if kind is not dict:
            listed = list(value)
            self._count(_ITEM_BYTES * len(listed))
            for index, item in enumerate(listed):
                if type(item) not in _ATOMS:
                    listed[index] = self.take(item, depth + 1)
            return listed
        taken = value.copy()
        self._count(_ITEM_BYTES * len(taken))
        for key, item in taken.items():
            # Setting by a key of another type would ask that type for its hash.
            if type(key) is str:
                self._count(len(key))
                if type(item) not in _ATOMS:
                    taken[key] = self.take(item, depth + 1)
        return taken

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise FaultError(
                f"larger than {limits.MAX_PAYLOAD_BYTES} bytes of canonical JSON, the most allowed"
            )


def read_json(value: JSONValue, name: str) -> tuple[JSONValue, str]:
    """Copy ``value`` and give the copy's digest; fault the expert where it is no bounded JSON."""
    kept, digest, _ = _read_sized(value, name)
    return kept, digest


def _read_sized(value: JSONValue, name: str) -> tuple[JSONValue, str, int]:
    """Copy ``value``; fault the expert where it is no bounded JSON.

    Returns:
        The copy, its digest, and how many bytes of canonical JSON it has.
    """
    try:
        kept = value if type(value) is str else _Taking().take(value)
        encoded = canonical(kept)
    except FaultError as error:
        raise FaultError(f"its {name} is {error}") from None
    except CanonicalError as error:
        raise FaultError(f"its {name} has no canonical form: {error}") from error
    if len(encoded) > limits.MAX_PAYLOAD_BYTES:
        raise FaultError(
            f"its {name} has {len(encoded)} bytes of canonical JSON; "
            f"at most {limits.MAX_PAYLOAD_BYTES} are allowed"
        )
    return kept, sha256(encoded).hexdigest(), len(encoded)


def read_number(value: object, name: str, most: int) -> Fraction:
    """Read a number the expert gave: exact, from 0 to ``most``, of bounded denominator."""
    kind = type(value)
    if kind not in _NUMBERS and (kind is bool or not isinstance(value, _KINDS)):
        raise FaultError(f"its {name} is {shown(value)}; it should be a number")
    try:
        number = exact(cast("Number", value), name)
    except UsageError as error:
        raise FaultError(f"its {error}") from error
    if not within(number, most):
        raise FaultError(f"its {name} is {value}; it should lie between 0 and {most}")
    odd = number.denominator
    # What one expert writes stands in every sum of a verdict, which has to fit its entry.
    if number.numerator >= _NUMERATORS or odd >= _DENOMINATORS:
        raise FaultError(
            f"its {name} has more than {limits.MAX_ANSWER_DIGITS} digits, or a denominator of "
            f"more than {limits.MAX_ANSWER_PLACES}; it should be rounded"
        )
    if odd > limits.MAX_ODD_DENOMINATOR and pow(10, limits.MAX_NUMBER_DIGITS, odd) != 0:
        raise FaultError(
            f"its {name} is no finite decimal and has a denominator above "
            f"{limits.MAX_ODD_DENOMINATOR}; it should be written as a decimal"
        )
    return number


def read_weight(value: Number, expert_id: str) -> Fraction:
    """Read a route weight, the caller's number: exact, from 0 to 2^53 - 1."""
    # What was read before, such as by a session, and is small is read already.
    if type(value) is Fraction and within(value, _FEW) and value.denominator <= _FEW:
        return value
    weight = exact(value, f"route_weight of {expert_id!r}")
    if not within(weight, limits.MAX_SAFE_INTEGER):
        raise UsageError(
            f"route_weight of {expert_id!r} is {value}; "
            f"it should lie between 0 and {limits.MAX_SAFE_INTEGER}"
        )
    return weight


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Proposal:
    """One expert's answer and everything that arbitration weighs.

    Two proposals are equal where expert, digest, ranking and the exact values of all
    numbers are: ``0.5`` and ``Fraction(1, 2)`` are the same confidence.

    Attributes:
        expert_id: 1 to ``limits.MAX_ID_LENGTH`` characters.
        payload: the answer, as a private JSON copy (tuples become lists).
        confidence: the expert's own certainty, 0 to 1.
        route_weight: the plan's trust in the expert, 0 to 2^53 - 1; not the expert's to say.
        cost: what the answer cost, 0 to 2^53 - 1, in the caller's unit (tokens, money).
        digest: SHA-256 of the canonical payload, 64 hex digits; equal digests are the
            same answer.
        ranking: JSON values, best first, or ``None``; used by ranked-runoff only, where the
            first of them has to be the payload: ``ranking[0] == payload``, else it is void.
        exact_confidence, exact_weight, exact_cost: the same numbers as rationals.
    """

    expert_id: str
    payload: JSONValue
    confidence: Number
    route_weight: Number
    cost: Number
    digest: str
    ranking: tuple[JSONValue, ...] | None
    exact_confidence: Fraction = field(init=False, repr=False)
    exact_weight: Fraction = field(init=False, repr=False)
    exact_cost: Fraction = field(init=False, repr=False)
    _ranking_digest: str = field(init=False, repr=False)
    _size: int = field(init=False, repr=False)

    def __init__(
        self,
        expert_id: str,
        payload: JSONValue,
        confidence: Number,
        route_weight: Number,
        cost: Number = 0,
        digest: str | None = None,
        *,
        ranking: list[JSONValue] | tuple[JSONValue, ...] | None = None,
    ) -> None:
        """Check, copy and measure; see the class for the ranges.

        Raises:
            UsageTypeError: ``expert_id`` or ``route_weight`` is of the wrong type.
            UsageError: ``expert_id`` or ``route_weight`` is out of range.
            MisbehaviourError: the expert's fault: payload or ranking that is no JSON or
                too large, a digest that is not the payload's, a confidence or cost that
                is no number or out of range.
        """
        name = text(expert_id, "expert_id")
        weight = read_weight(route_weight, name)
        try:
            kept, found, size = _read_sized(payload, "payload")
            sureness = read_number(confidence, "confidence", 1)
            spent = read_number(cost, "cost", limits.MAX_SAFE_INTEGER)
            ranked, ranked_digest, more = (
                (None, "", 0) if ranking is None else _read_ranking(ranking)
            )
            if digest is not None:
                _check_digest(digest, found)
        except FaultError as fault:
            seen = {"confidence": confidence, "cost": cost, "digest": digest}
            raise MisbehaviourError(name, str(fault), evidence=seen) from fault.__cause__
        _set(self, "expert_id", name)
        _set(self, "payload", kept)
        _set(self, "confidence", confidence)
        _set(self, "route_weight", route_weight)
        _set(self, "cost", cost)
        _set(self, "digest", found)
        _set(self, "ranking", ranked)
        _set(self, "exact_confidence", sureness)
        _set(self, "exact_weight", weight)
        _set(self, "exact_cost", spent)
        _set(self, "_ranking_digest", ranked_digest)
        _set(self, "_size", size + more)

    @property
    def size(self) -> int:
        """Bytes of canonical JSON that payload and ranking had when they came, together."""
        return self._size

    @property
    def vote(self) -> float:
        """Voting power, the double nearest to route weight times confidence."""
        return float(self.exact_weight * self.exact_confidence)

    @property
    def identity(self) -> tuple[str, str, Fraction, Fraction, Fraction, str]:
        """All that tells two proposals apart; sorts proposals in the one canonical order."""
        return (
            self.expert_id,
            self.digest,
            self.exact_confidence,
            self.exact_weight,
            self.exact_cost,
            self._ranking_digest,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Proposal):
            return NotImplemented
        return self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, numbers exact as ``"p/q"``; ``ranking`` only where there is one."""
        form: dict[str, Any] = {
            "expert_id": self.expert_id,
            "payload": plain_copy(self.payload),
            "digest": self.digest,
            "confidence": as_text(self.exact_confidence),
            "route_weight": as_text(self.exact_weight),
            "cost": as_text(self.exact_cost),
        }
        if self.ranking is not None:
            form["ranking"] = plain_copy(self.ranking)
        return form

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Proposal:
        """Read back what :meth:`to_dict` wrote; the digest is checked against the payload.

        Raises:
            UsageError: keys or numbers are not as :meth:`to_dict` writes them.
            MisbehaviourError: as the constructor.
        """
        numbers = ("confidence", "route_weight", "cost")
        form = members(
            data, "the proposal", ("expert_id", "payload", "digest", *numbers), ("ranking",)
        )
        confidence, weight, cost = (from_text(form[name], name) for name in numbers)
        digest = text(form["digest"], "digest")
        if "ranking" in form and form["ranking"] is None:
            raise UsageError("ranking is null; where there is none, the key is left out")
        ranking = form.get("ranking")
        return cls(
            form["expert_id"], form["payload"], confidence, weight, cost, digest, ranking=ranking
        )


def _check_digest(given: object, found: str) -> None:
    if given != found:
        raise FaultError(f"the digest given is {shown(given)}, but its payload has {found!r}")


def _read_ranking(ranking: object) -> tuple[tuple[JSONValue, ...], str, int]:
    if not isinstance(ranking, list | tuple):
        raise FaultError(f"its ranking is {shown(ranking)}; it should be a list, best first")
    kept, digest, size = _read_sized(list(ranking), "ranking")
    return tuple(kept), digest, size


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Absence:
    """An expert of the roster that has no valid proposal; it counts against the quorum.

    Attributes:
        expert_id: 1 to ``limits.MAX_ID_LENGTH`` characters.
        route_weight: as in :class:`Proposal`.
        reason: one of :data:`REASONS`.
        detail: for people, at most ``limits.MAX_DETAIL_LENGTH`` characters.
        exact_weight: the route weight as a rational.
    """

    expert_id: str
    route_weight: Number
    reason: str
    detail: str
    exact_weight: Fraction = field(init=False, repr=False)

    def __init__(self, expert_id: str, route_weight: Number, reason: str, detail: str = "") -> None:
        """Check; see the class for the ranges.

        Raises:
            UsageTypeError: an argument is of the wrong type.
            UsageError: an argument is out of range, or the reason is unknown.
        """
        name = text(expert_id, "expert_id")
        why = text(reason, "reason")
        if why not in REASONS:
            raise UsageError(f"reason is {shown(why)}; it should be one of {', '.join(REASONS)}")
        told = text(detail, "detail", limits.MAX_DETAIL_LENGTH, least=0)
        object.__setattr__(self, "expert_id", name)
        object.__setattr__(self, "route_weight", route_weight)
        object.__setattr__(self, "reason", why)
        object.__setattr__(self, "detail", told)
        object.__setattr__(self, "exact_weight", read_weight(route_weight, name))

    @property
    def identity(self) -> tuple[str, Fraction, str, str]:
        """All that tells two absences apart; sorts them by expert."""
        return (self.expert_id, self.exact_weight, self.reason, self.detail)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Absence):
            return NotImplemented
        return self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def to_dict(self) -> dict[str, str]:
        """As JSON, the weight exact as ``"p/q"``."""
        return {
            "expert_id": self.expert_id,
            "route_weight": as_text(self.exact_weight),
            "reason": self.reason,
            "detail": self.detail,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Absence:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: keys, weight or reason are not as :meth:`to_dict` writes them.
        """
        form = members(data, "the absence", ("expert_id", "route_weight", "reason", "detail"))
        weight = from_text(form["route_weight"], "route_weight")
        return cls(form["expert_id"], weight, form["reason"], form["detail"])
