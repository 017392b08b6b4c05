"""What a council is configured with: thresholds, expiry, and how much may be open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact, from_text
from quorate.council.bounds import (
    MAX_ACTIVE,
    MAX_CLOCK_TOLERANCE_SECONDS,
    MAX_EXPIRY_SECONDS,
)

_FIELDS: Final = (
    "quorum_fraction", "majority_threshold", "supermajority_threshold",
    "default_expiry_seconds", "allow_vote_change", "max_active_proposals",
    "execute_within_seconds", "clock_tolerance_seconds", "only_voters_execute",
)  # fmt: skip
_HALF: Final = Fraction(1, 2)
_MICROSECONDS: Final = 1_000_000
_WEEK: Final = 7 * 86_400


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
            0, the default, for ever.
        allow_vote_change: whether a vote may be changed while nothing is decided. Then what
            the votes come to is certain only once it is sealed.
        max_active_proposals: how many proposals may be open at once, 1 to
            ``bounds.MAX_ACTIVE``. Half of the places are shared out among the voters, one
            each at the least, and nobody takes another's; the rest goes to whoever asks first.
        execute_within_seconds: how long an approval holds: what is not begun by then has
            lapsed; 0 for ever.
        clock_tolerance_seconds: how far the time of an event may be from that of its ledger
            entry, and how far a clock that writes may be behind the ledger's; above 0 and at
            most ``bounds.MAX_CLOCK_TOLERANCE_SECONDS``.
        only_voters_execute: whether only a registered voter may begin an execution or mark
            one, in its own name and signed if it has a key.
    """

    quorum_fraction: Fraction
    majority_threshold: Fraction
    supermajority_threshold: Fraction
    default_expiry_seconds: Fraction
    allow_vote_change: bool
    max_active_proposals: int
    execute_within_seconds: Fraction
    clock_tolerance_seconds: Fraction
    only_voters_execute: bool

    def __init__(  # noqa: PLR0913 - the published signature, and one argument for each rule
        self,
        quorum_fraction: Number = 0.5,
        majority_threshold: Number = 0.5,
        supermajority_threshold: Number = Fraction(2, 3),
        default_expiry_seconds: Number = 0,
        allow_vote_change: bool = False,  # noqa: FBT001, FBT002 - the published signature
        max_active_proposals: int = 10,
        *,
        execute_within_seconds: Number = _WEEK,
        clock_tolerance_seconds: Number = 300,
        only_voters_execute: bool = False,
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
        for name, flag in (
            ("allow_vote_change", allow_vote_change),
            ("only_voters_execute", only_voters_execute),
        ):
            if type(flag) is not bool:
                raise UsageTypeError(f"{name} is {flag!r}; say True or False")
        most = max_active_proposals
        if type(most) is not int:
            raise UsageTypeError(f"max_active_proposals is {most!r}; give a whole number")
        _check(1 <= most <= MAX_ACTIVE, "max_active_proposals", most, f"1 to {MAX_ACTIVE}")
        expiry = check_expiry(default_expiry_seconds, "default_expiry_seconds")
        within = check_expiry(execute_within_seconds, "execute_within_seconds")
        tolerance = exact(clock_tolerance_seconds, "clock_tolerance_seconds")
        _check(
            0 < tolerance <= MAX_CLOCK_TOLERANCE_SECONDS,
            "clock_tolerance_seconds",
            clock_tolerance_seconds,
            f"above 0 and at most {MAX_CLOCK_TOLERANCE_SECONDS}",
        )
        values = (
            quorum, majority, supermajority, expiry, allow_vote_change, most, within, tolerance,
            only_voters_execute,
        )  # fmt: skip
        for name, value in zip(_FIELDS, values, strict=True):
            object.__setattr__(self, name, value)

    @property
    def tolerance(self) -> int:
        """:attr:`clock_tolerance_seconds` in whole microseconds, 1 at the least."""
        return math.ceil(self.clock_tolerance_seconds * _MICROSECONDS)

    def places_of_each(self, voters: int) -> int:
        """How many proposals each of so many voters may have open, whatever the others have."""
        return max(1, self.max_active_proposals // (2 * voters))

    def to_dict(self) -> dict[str, Any]:
        """As JSON, rationals as ``"p/q"``; :meth:`from_dict` reads it back."""
        return {
            "quorum_fraction": as_text(self.quorum_fraction),
            "majority_threshold": as_text(self.majority_threshold),
            "supermajority_threshold": as_text(self.supermajority_threshold),
            "default_expiry_seconds": as_text(self.default_expiry_seconds),
            "allow_vote_change": self.allow_vote_change,
            "max_active_proposals": self.max_active_proposals,
            "execute_within_seconds": as_text(self.execute_within_seconds),
            "clock_tolerance_seconds": as_text(self.clock_tolerance_seconds),
            "only_voters_execute": self.only_voters_execute,
        }

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> ConsensusConfig:
        """Read what :meth:`to_dict` wrote.

        Raises:
            UsageError: another shape, or a value out of its range.
        """
        if not isinstance(members, Mapping) or set(members) != set(_FIELDS):
            raise UsageError(f"a configuration has exactly the members {list(_FIELDS)}")
        plain = ("allow_vote_change", "max_active_proposals", "only_voters_execute")
        read: dict[str, Any] = {
            name: members[name] if name in plain else from_text(members[name], name)
            for name in _FIELDS
        }
        return cls(**read)


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
    """When what began then is over, in microseconds since 1970; ``None`` for never.

    Parts of a microsecond count as a whole one, so that what has an expiry is open for a
    moment at least.
    """
    return None if seconds == 0 else opened_at + math.ceil(seconds * _MICROSECONDS)


def _check(holds: bool, name: str, value: object, allowed: str) -> None:  # noqa: FBT001
    if not holds:
        raise UsageError(f"{name} is {value}; it has to be {allowed}")
