"""Times as people write and read them: durations, moments in the reader's zone, how long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Final

from quorate.core.errors import UsageError
from quorate.council.bounds import MAX_EXPIRY_SECONDS

_UNITS: Final = {
    "d": Fraction(86_400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}
_DURATION: Final = re.compile(
    r"(?:(?P<d>[0-9]{1,9})d)?(?:(?P<h>[0-9]{1,9})h)?(?:(?P<m>[0-9]{1,9})m(?!s))?"
    r"(?:(?P<s>[0-9]{1,9})s)?(?:(?P<ms>[0-9]{1,9})ms)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS: Final = 1_000_000
# A step up is taken late: "90 min" says more than "1 h".
_STEPS: Final = ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"))
_DAY: Final = 86_400
_LEAST: Final = Fraction(1, 1000)


def duration(
    text: str, name: str, least: Fraction = Fraction(0), most: Fraction | None = None
) -> Fraction:
    """Read a duration such as ``10m``, ``1h30m``, ``2d`` or ``never`` (0), in seconds.

    Args:
        text: whole numbers with d, h, m, s or ms, the larger first.
        name: of the value, for the error.
        least: shortest, in seconds.
        most: longest, in seconds; ``None``: ``bounds.MAX_EXPIRY_SECONDS``, or ``never``.

    Raises:
        UsageError: anything else; zero, or out of that range.
    """
    if text == "never" and most is None:
        return Fraction(0)
    found = _DURATION.fullmatch(text)
    if not text or found is None:
        raise UsageError(
            f"{name} is {text!r}; give a duration such as 90s, 10m, 1h30m or 2d (units d, h, m, "
            "s and ms, the larger first, without spaces)" + (", or never" if most is None else "")
        )
    seconds = sum(
        (int(count) * _UNITS[unit] for unit, count in found.groupdict().items() if count),
        Fraction(0),
    )
    longest = MAX_EXPIRY_SECONDS if most is None else most
    if not max(least, _LEAST) <= seconds <= longest:
        days = MAX_EXPIRY_SECONDS // _DAY
        asked = (
            f"more than 0 and at most {days}d, or never"
            if most is None
            else f"{_told(least)} to {_told(most)}"
        )
        raise UsageError(f"{name} is {text!r}; give {asked}")
    return seconds


def _told(seconds: Fraction) -> str:
    """A duration as it may be given, in its largest unit."""
    unit = next(name for name, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def moment(at: int, now: int) -> str:
    """A moment in the reader's zone, such as ``17:05:36 CET``; with its date on another day."""
    there, here = _local(at), _local(now)
    if there is None:
        return "beyond the year 9999"
    same = here is not None and there.date() == here.date()
    return there.strftime("%H:%M:%S %Z" if same else "%Y-%m-%d %H:%M:%S %Z")


def relative(at: int, now: int) -> str:
    """How long ago, or until then: ``in 4 min``, ``2 h ago``, ``now``."""
    told = length(abs(at - now))
    if told == "0 s":
        return "now"
    return f"in {told}" if at > now else f"{told} ago"


def length(microseconds: int) -> str:
    """A length of time in its largest unit that tells enough, rounded down: ``90 min``."""
    seconds = microseconds // _MICROSECONDS
    for below, unit, name in _STEPS:
        if seconds < below:
            return f"{seconds // unit} {name}"
    return f"{seconds // _DAY} days"


def _local(at: int) -> datetime | None:
    try:
        return (_EPOCH + timedelta(microseconds=at)).astimezone()
    except (OverflowError, ValueError, OSError):
        return None
