"""What a council is configured with: thresholds, expiry, and how much may be open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact, from_text
from quorate.council.bounds import MAX_ACTIVE, MAX_EXPIRY_SECONDS

_FIELDS: Final = (
    "quorum_fraction", "majority_threshold", "supermajority_threshold",
    "default_expiry_seconds", "allow_vote_change", "max_active_proposals",
)  # fmt: skip
_HALF: Final = Fraction(1, 2)
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, init=False)
class ConsensusConfig:
    """Configuration of a council; sealed when it is opened, and never changed.

    Attributes:
        quorum_fraction: part of the voters, by heads, that has to approve or reject before
            a routine proposal passes; in (0, 1].
        majority_threshold: part of the weight cast that approval has to exceed for a routine
            proposal; in [1/2, 1).
        supermajority_threshold: part of the registered weight that has to approve a critical
            proposal; in (1/2, 1].
        default_expiry_seconds: how long a proposal stays open unless it says so itself;
            0 for ever.
        allow_vote_change: whether a vote may be changed while nothing is decided.
        max_active_proposals: most proposals open at once, 1 to ``bounds.MAX_ACTIVE``.
    """

    quorum_fraction: Fraction
    majority_threshold: Fraction
    supermajority_threshold: Fraction
    default_expiry_seconds: Fraction
    allow_vote_change: bool
    max_active_proposals: int

    def __init__(
        self,
        quorum_fraction: Number = 0.5,
        majority_threshold: Number = 0.5,
        supermajority_threshold: Number = Fraction(2, 3),
        default_expiry_seconds: Number = 0,
        allow_vote_change: bool = False,  # noqa: FBT001, FBT002 - the published signature
        max_active_proposals: int = 10,
    ) -> None:
        """Read every number exactly as it is written.

        Raises:
            UsageTypeError: a value of another type.
            UsageError: a value out of its range.
        """
        quorum = exact(quorum_fraction, "quorum_fraction")
        majority = exact(majority_threshold, "majority_threshold")
        supermajority = exact(supermajority_threshold, "supermajority_threshold")
        _check(0 < quorum <= 1, "quorum_fraction", quorum_fraction, "above 0 and at most 1")
        # Below a half, a tie would pass.
        _check(
            _HALF <= majority < 1, "majority_threshold", majority_threshold, "from 1/2 to below 1"
        )
        _check(
            _HALF < supermajority <= 1,
            "supermajority_threshold",
            supermajority_threshold,
            "above 1/2 and at most 1",
        )
        if type(allow_vote_change) is not bool:
            raise UsageTypeError(f"allow_vote_change is {allow_vote_change!r}; say True or False")
        most = max_active_proposals
        if type(most) is not int:
            raise UsageTypeError(f"max_active_proposals is {most!r}; give a whole number")
        _check(1 <= most <= MAX_ACTIVE, "max_active_proposals", most, f"1 to {MAX_ACTIVE}")
        expiry = check_expiry(default_expiry_seconds, "default_expiry_seconds")
        values = (quorum, majority, supermajority, expiry, allow_vote_change, most)
        for name, value in zip(_FIELDS, values, strict=True):
            object.__setattr__(self, name, value)

    def to_dict(self) -> dict[str, Any]:
        """As JSON, rationals as ``"p/q"``; :meth:`from_dict` reads it back."""
        return {
            "quorum_fraction": as_text(self.quorum_fraction),
            "majority_threshold": as_text(self.majority_threshold),
            "supermajority_threshold": as_text(self.supermajority_threshold),
            "default_expiry_seconds": as_text(self.default_expiry_seconds),
            "allow_vote_change": self.allow_vote_change,
            "max_active_proposals": self.max_active_proposals,
        }

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> ConsensusConfig:
        """Read what :meth:`to_dict` wrote.

        Raises:
            UsageError: another shape, or a value out of its range.
        """
        if not isinstance(members, Mapping) or set(members) != set(_FIELDS):
            raise UsageError(f"a configuration has exactly the members {list(_FIELDS)}")
        quorum, majority, supermajority, expiry = (
            from_text(members[name], name) for name in _FIELDS[:4]
        )
        change, most = members["allow_vote_change"], members["max_active_proposals"]
        return cls(quorum, majority, supermajority, expiry, change, most)


def check_expiry(seconds: Number, name: str) -> Fraction:
    """Read a number of seconds, 0 (never) to ``bounds.MAX_EXPIRY_SECONDS``.

    Raises:
        UsageTypeError: no number.
        UsageError: out of range.
    """
    value = exact(seconds, name)
    _check(0 <= value <= MAX_EXPIRY_SECONDS, name, seconds, f"0 (never) to {MAX_EXPIRY_SECONDS}")
    return value


def expires_at(opened_at: int, seconds: Fraction) -> int | None:
    """When a proposal opened then expires, in microseconds since 1970; ``None`` for never.

    Parts of a microsecond count as a whole one, so that what has an expiry is open for a
    moment at least.
    """
    return None if seconds == 0 else opened_at + math.ceil(seconds * _MICROSECONDS)


def _check(holds: bool, name: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not holds:
        raise UsageError(f"{name} is {value}; it has to be {allowed}")
