"""How independently a roster fails: what a fault bound assumes, counted.

Theory of operation. That f of n may lie is a statement about n *independent* voters. Those
that share a host, weights, a model family or a vendor fail together, so per attribute the
unit that fails is a group: with s_f the number of voters in the f largest groups, f groups
are borne as long as 3 s_f < n, and two quorums share an honest voter beyond any f groups
when a quorum has (n + s_f) // 2 + 1 voters. With every voter a group of its own that is
the plain bound, f = (n - 1) // 3 and ceil(2n / 3).

What is left open is read in the worst way. A voter that declares nothing for an attribute
that others declare counts to the largest group of it, for nothing says that it is not one
of them. The fewest faults that any attribute bears count, and the largest quorum that any
asks for. A roster of which nobody declares anything is counted as n independent voters,
and marked: that is an assumption, not a finding.

Declared domains say what could fail together; errors seen say what did. The effective
number of voters is n / (1 + (n - 1) rho), rho the mean pairwise correlation of their
errors, 0 where it is below: n for independent voters, 1 for n copies of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact, from_text

_KEYS = frozenset({"domains", "correlation", "outcomes"})


@dataclass(frozen=True, slots=True, init=False)
class Independence:
    """What is known of how voters fail together.

    Attributes:
        domains: voter to attribute to value, such as ``{"a": {"host": "rack-1"}}``; a voter
            that declares nothing is left out. Not to be changed.
        correlation: mean pairwise correlation of errors, -1 to 1, or ``None`` if unknown.
        outcomes: how many known outcomes the correlation was measured on.
    """

    domains: Mapping[str, Mapping[str, str]]
    correlation: Fraction | None
    outcomes: int

    def __init__(
        self,
        domains: Mapping[str, Mapping[str, str]],
        correlation: Number | None = None,
        outcomes: int = 0,
    ) -> None:
        """Copy and check; see the class for the ranges.

        Raises:
            UsageTypeError: an argument is of the wrong type.
            UsageError: too many voters or attributes, a text that is empty, too long or not
                whole Unicode, a correlation out of range or of no outcome.
        """
        if isinstance(outcomes, bool) or not isinstance(outcomes, int):
            raise UsageTypeError(f"outcomes is {outcomes!r}; give a whole number")
        if not 0 <= outcomes <= limits.MAX_SAFE_INTEGER:
            raise UsageError(f"outcomes is {outcomes}; it should lie between 0 and 2^53 - 1")
        rho = None if correlation is None else exact(correlation, "correlation")
        if rho is not None and not -1 <= rho <= 1:
            raise UsageError(f"correlation is {correlation}; it should lie between -1 and 1")
        if rho is not None and outcomes == 0:
            raise UsageError("a correlation was given of no outcome; say how many it is of")
        object.__setattr__(self, "domains", _read_domains(domains))
        object.__setattr__(self, "correlation", rho)
        object.__setattr__(self, "outcomes", outcomes)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, the correlation exact as ``"p/q"``."""
        return {
            "domains": {voter: dict(told) for voter, told in self.domains.items()},
            "correlation": None if self.correlation is None else as_text(self.correlation),
            "outcomes": self.outcomes,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Independence:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: keys or values are not as :meth:`to_dict` writes them.
        """
        if not isinstance(data, dict):
            raise UsageTypeError(f"independence is a {type(data).__name__}; it should be an object")
        if data.keys() != _KEYS:
            raise UsageError(f"independence should have the keys {', '.join(sorted(_KEYS))}")
        rho = data["correlation"]
        return cls(
            data["domains"],
            None if rho is None else from_text(rho, "correlation"),
            data["outcomes"],
        )


def _read_domains(domains: Any) -> dict[str, dict[str, str]]:
    """Copy domains, voters and attributes in order; those that declare nothing are left out."""
    if not isinstance(domains, Mapping):
        raise UsageTypeError(f"domains is a {type(domains).__name__}; give voter to attributes")
    if len(domains) > limits.MAX_REPLICAS:
        raise UsageError(
            f"domains tells of {len(domains)} voters; at most {limits.MAX_REPLICAS} are allowed"
        )
    found: dict[str, dict[str, str]] = {}
    for voter, told in domains.items():
        name = _text(voter, "a voter in domains")
        if not isinstance(told, Mapping):
            raise UsageTypeError(
                f"domains of {name!r} is a {type(told).__name__}; give attribute to value"
            )
        if len(told) > limits.MAX_DOMAIN_ATTRIBUTES:
            raise UsageError(
                f"domains of {name!r} has {len(told)} attributes; "
                f"at most {limits.MAX_DOMAIN_ATTRIBUTES} are allowed"
            )
        found[name] = {
            _text(attribute, f"an attribute of {name!r}"): _text(value, f"{attribute} of {name!r}")
            for attribute, value in told.items()
        }
    return {voter: dict(sorted(found[voter].items())) for voter in sorted(found) if found[voter]}


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise UsageTypeError(f"{name} is a {type(value).__name__}; it should be a string")
    if not 1 <= len(value) <= limits.MAX_ID_LENGTH:
        raise UsageError(
            f"{name} has {len(value)} characters; 1 to {limits.MAX_ID_LENGTH} are allowed"
        )
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UsageError(f"{name} has a lone surrogate; it is no Unicode text")
    return str(value)


def bound(n: int, sizes: Iterable[int]) -> tuple[int, int]:
    """How many groups may fail together, and the quorum that bears it.

    Args:
        n: voters, 0 or more.
        sizes: of the groups, in any order; together at most ``n``, the rest alone.

    Returns:
        The greatest f with 3 s_f < n, s_f being the size of the f largest groups together
        (0 where n is 0), and (n + s_f) // 2 + 1.
    """
    largest = sorted(sizes, reverse=True)
    largest += [1] * (n - sum(largest))
    faults = lost = 0
    for size in largest:
        if 3 * (lost + size) >= n:
            break
        lost += size
        faults += 1
    return faults, (n + lost) // 2 + 1


def effective_voters(n: int, correlation: Number) -> Fraction:
    """How many independent voters n correlated ones are worth: n / (1 + (n - 1) rho).

    Args:
        n: voters, 0 or more.
        correlation: mean pairwise correlation of errors; read as 0 below 0, as 1 above 1.

    Raises:
        UsageTypeError: an argument is of the wrong type.
        UsageError: ``n`` is negative, or the correlation is no finite number.
    """
    if isinstance(n, bool) or not isinstance(n, int):
        raise UsageTypeError(f"n is {n!r}; give a whole number")
    if n < 0:
        raise UsageError(f"n is {n}; it cannot be negative")
    rho = min(max(exact(correlation, "correlation"), Fraction(0)), Fraction(1))
    return Fraction(0) if n == 0 else n / (1 + (n - 1) * rho)


def report(ids: Iterable[str], independence: Independence | None) -> dict[str, Any]:
    """Say what a fault bound over these voters assumes, as JSON, exact and deterministic.

    Args:
        ids: the roster; order and repetition do not matter.
        independence: what is known; ``None`` is nothing.

    Returns:
        ``declared`` (whether any of the voters declared anything), ``attributes`` (each with
        ``groups``: value to number of voters, ``undeclared``: voters counted to the largest
        group, ``faults`` and ``quorum``), ``worst`` (the attribute that bears the fewest
        faults; of those the one that asks for the largest quorum, then the smaller name),
        ``faults`` (the fewest of all), ``quorum`` (the largest of all), ``effective_voters``
        and ``correlation`` (``"p/q"`` or ``None``), ``outcomes``, and ``why`` there is no
        number of effective voters (``None`` where there is one).

    Raises:
        UsageError: more than ``limits.MAX_REPLICAS`` voters.
    """
    roster = sorted(set(ids))
    n = len(roster)
    if n > limits.MAX_REPLICAS:
        raise UsageError(f"there are {n} voters; at most {limits.MAX_REPLICAS} are supported")
    known = independence or Independence({})
    told = [known.domains.get(voter, {}) for voter in roster]
    names = sorted({attribute for declared in told for attribute in declared})
    attributes = {name: _attribute(name, told) for name in names}
    ranked = [(-a["faults"], a["quorum"]) for a in attributes.values()]
    faults, quorum = bound(n, ())
    if attributes:
        faults = min(a["faults"] for a in attributes.values())
        quorum = max(a["quorum"] for a in attributes.values())
    rho = known.correlation
    return {
        "declared": bool(attributes),
        "attributes": attributes,
        "worst": names[ranked.index(max(ranked))] if ranked else None,
        "faults": faults,
        "quorum": quorum,
        "effective_voters": None if rho is None else as_text(effective_voters(n, rho)),
        "correlation": None if rho is None else as_text(rho),
        "outcomes": known.outcomes,
        "why": _why(known),
    }


def _attribute(name: str, told: list[Mapping[str, str]]) -> dict[str, Any]:
    groups: dict[str, int] = {}
    for declared in told:
        if name in declared:
            groups[declared[name]] = groups.get(declared[name], 0) + 1
    silent = sum(name not in declared for declared in told)
    largest, *others = sorted(groups.values(), reverse=True)
    faults, quorum = bound(len(told), [largest + silent, *others])
    return {
        "groups": dict(sorted(groups.items())),
        "undeclared": silent,
        "faults": faults,
        "quorum": quorum,
    }


def _why(known: Independence) -> str | None:
    if known.correlation is not None:
        return None
    if known.outcomes == 0:
        return "no known outcomes: how the voters' errors go together is unknown"
    return "the known outcomes show no correlation of errors: too few voters erred"


def describe(found: Mapping[str, Any]) -> str:
    """Say in words what :func:`report` found."""
    faults, quorum = found["faults"], found["quorum"]
    bears = f"bears {faults} faulty" if faults else "bears no faulty"
    if not found["declared"]:
        said = (
            f"independence undeclared: it {bears} voter if all fail independently (quorum {quorum})"
        )
    else:
        worst = found["attributes"][found["worst"]]
        sizes = ", ".join(f"{value}: {size}" for value, size in worst["groups"].items())
        silent = f", undeclared: {worst['undeclared']}" if worst["undeclared"] else ""
        said = f"it {bears} {found['worst']} ({sizes}{silent}), quorum {quorum}"
    if found["effective_voters"] is None:
        return f"{said}; effective voters unknown ({found['why']})"
    return (
        f"{said}; {found['effective_voters']} effective voters "
        f"(error correlation {found['correlation']} over {found['outcomes']} outcomes)"
    )
