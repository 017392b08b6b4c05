"""Moments and days, as evidence writes them: RFC 3339 in UTC, and ISO 8601 dates."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator, WithJsonSchema

from quorate.core.errors import UsageError, UsageTypeError

_INSTANT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?Z"
)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
DAY: Final = 86_400_000_000
"""One day in microseconds."""


def microseconds(text: str) -> int:
    """Read an RFC 3339 moment in UTC as microseconds since 1970.

    Raises:
        UsageError: another form, or no such moment.
    """
    if not isinstance(text, str) or not _INSTANT.fullmatch(text):
        raise UsageError(f"{text!r} is no moment in UTC; write it as 2026-11-21T09:30:00Z")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no moment: {error}") from error
    return (moment - _EPOCH) // _MICROSECOND


def read_day(value: date | str, name: str = "date") -> date:
    """Read a day: a ``date``, or text such as ``2026-11-21``.

    Raises:
        UsageTypeError: neither.
        UsageError: another form, or no such day.
    """
    if isinstance(value, str) and _DAY.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise UsageError(f"{name} is {value!r}, which is no day: {error}") from error
    if isinstance(value, str):
        raise UsageError(f"{name} is {value!r}; write a day as 2026-11-21")
    # A moment is a kind of date to Python; which day it falls on depends on the place.
    if not isinstance(value, date) or isinstance(value, datetime):
        raise UsageTypeError(f"{name} is {value!r}; give a date, or text such as '2026-11-21'")
    return value


def start_of(day: date) -> int:
    """First microsecond of a day in UTC, since 1970."""
    return (datetime(day.year, day.month, day.day, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def end_of(day: date) -> int:
    """Last microsecond of a day in UTC, since 1970."""
    return start_of(day) + DAY - 1


def day_of(moment: int) -> str:
    """The day in UTC of a moment in microseconds since 1970, as text."""
    return (_EPOCH + timedelta(microseconds=moment)).date().isoformat()


class Moment:
    """Marks members that say when something was; see :meth:`~.schema_types.Data.moments`."""


def moment(text: str) -> int:
    """A moment, or the first microsecond of a day, since 1970.

    Raises:
        UsageError: another form, or no such moment or day.
    """
    return start_of(read_day(text)) if _DAY.fullmatch(text) else microseconds(text)


def _instant(text: str) -> str:
    microseconds(text)
    return text


def _day(text: str) -> str:
    read_day(text)
    return text


Instant = Annotated[
    str,
    AfterValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{_INSTANT.pattern}$"}),
    Moment,
]
"""RFC 3339 in UTC, such as ``2026-11-21T09:30:00Z``."""

Day = Annotated[
    str,
    AfterValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": f"^{_DAY.pattern}$"}),
    Moment,
]
"""ISO 8601, such as ``2026-11-21``."""
