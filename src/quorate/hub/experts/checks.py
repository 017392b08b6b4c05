"""Small checks that adapters share."""

from __future__ import annotations

from quorate.arbitration.forms import shown
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError


def shown_number(value: object) -> str:
    """Show a value in an error: a whole number too, if it is not too long to be read."""
    if type(value) is int and abs(value) <= limits.MAX_SAFE_INTEGER:
        return str(value)
    return shown(value)


def whole(value: object, name: str, least: int, most: int) -> int:
    """Check a whole number from ``least`` to ``most``.

    Raises:
        UsageTypeError: no int; a bool is none.
        UsageError: out of range.
    """
    if type(value) is not int:
        raise UsageTypeError(f"{name} is {shown(value)}; give a whole number")
    if not least <= value <= most:
        raise UsageError(f"{name} is {shown_number(value)}; {least} to {most} are allowed")
    return value
