"""Small shared forms: JSON objects with exact keys, ids, and numbers as JSON holds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, TypeVar

from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import exact

T = TypeVar("T")

_SHOWN = 80


def members(
    data: object, name: str, required: Iterable[str], optional: Iterable[str] = ()
) -> Mapping[str, Any]:
    """Check that ``data`` is an object with exactly the keys it should have.

    Raises:
        UsageTypeError: not a dict.
        UsageError: a key is missing or unknown.
    """
    if not isinstance(data, dict):
        raise UsageTypeError(f"{name} is a {type(data).__name__}; it should be an object")
    needed = set(required)
    missing = sorted(needed - data.keys())
    if missing:
        raise UsageError(f"{name} lacks {', '.join(missing)}")
    unknown = sorted(repr(key) for key in data.keys() - needed - set(optional))
    if unknown:
        raise UsageError(f"{name} has unknown keys: {', '.join(unknown)}")
    return data


def items(value: object, name: str, read: Callable[[Any], T]) -> tuple[T, ...]:
    """Read every item of a JSON list.

    Raises:
        UsageTypeError: not a list.
        UsageError: what ``read`` raises.
    """
    if not isinstance(value, list | tuple):
        raise UsageTypeError(f"{name} is a {type(value).__name__}; it should be a list")
    return tuple(read(item) for item in value)


def text(value: object, name: str, most: int = limits.MAX_ID_LENGTH, *, least: int = 1) -> str:
    """Check a text of ``least`` to ``most`` characters that is whole Unicode.

    Raises:
        UsageTypeError: not a string.
        UsageError: too short, too long, or with a lone surrogate.
    """
    if not isinstance(value, str):
        raise UsageTypeError(f"{name} is a {type(value).__name__}; it should be a string")
    if not least <= len(value) <= most:
        raise UsageError(f"{name} has {len(value)} characters; {least} to {most} are allowed")
    # Of a str subclass, such as an enum, the text itself; its str() may be anything.
    value = str.__str__(value)
    try:
        canonical(value)
    except CanonicalError as error:
        raise UsageError(f"{name} is no Unicode text: {error}") from error
    return value


def hex_digest(value: object, name: str) -> str:
    """Check a SHA-256 digest: 64 lower-case hex digits.

    Raises:
        UsageTypeError: not a string.
        UsageError: not such digits.
    """
    found = text(value, name, 64, least=64)
    if not set(found) <= set("0123456789abcdef"):
        raise UsageError(f"{name} is {found!r}; it should be 64 lower-case hex digits")
    return found


def shown(value: object) -> str:
    """Show a value in an error: text, numbers and constants shortened, others by type.

    Foreign objects are not asked for their ``repr``, which may be endless or raise.
    """
    if value is None or isinstance(value, bool | float | str):
        whole = repr(value[:_SHOWN] if isinstance(value, str) else value)
        return whole if len(whole) <= _SHOWN else whole[: _SHOWN - 1] + "…"
    return f"of type {type(value).__name__}"


def as_number(value: Fraction) -> int | float:
    """The JSON number nearest to ``value``: an int where it is one and safe, else a double."""
    if value.denominator == 1 and abs(value.numerator) <= limits.MAX_SAFE_INTEGER:
        return value.numerator
    return float(value)


def as_given(value: Fraction) -> float | Fraction:
    """The double whose shortest decimal is exactly ``value``, or ``value`` where none is."""
    double = float(value)
    return double if exact(double) == value else value


def ratio(value: object, name: str) -> Fraction:
    """Read a derived rational ``"p/q"``, which may have more digits than a given one.

    Raises:
        UsageTypeError: not a string.
        UsageError: no rational in lowest terms.
    """
    written = text(value, name, 10 * limits.MAX_NUMBER_DIGITS)
    try:
        fraction = Fraction(written)
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f'{name} is {shown(written)}; a rational is written "p/q"') from error
    if str(fraction) != written:
        raise UsageError(f"{name} is {shown(written)}, which is not in lowest terms")
    return fraction
