"""One byte form for every JSON value (RFC 8785), and a strict reader.

Theory of operation. Most values lie in the *guarded domain*: exact built-in types, ASCII
keys, and floats whose shortest decimal is written alike by RFC 8785 and by orjson.
There orjson with sorted keys gives the RFC's bytes, some ten times faster, and finding
out that a value lies there is cheap (:func:`_fast`). Whatever does not is walked once
more, which refuses what has no single JSON form and names the culprit by path; what
remains, the rfc8785 library writes. A differential test holds the two together.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final

import orjson
import rfc8785

from quorate.core import limits
from quorate.core.errors import UsageError

JSONValue = Any
"""None, bool, int, float, str, or lists, tuples and str-keyed dicts of such."""


class CanonicalError(UsageError):
    """A value has no canonical form.

    Attributes:
        path: where the culprit stands, such as ``$.proposals[3].cost``.
    """

    def __init__(self, path: str, message: str) -> None:
        """Name the ``path`` and say why the value there is refused."""
        super().__init__(f"{path}: {message}")
        self.path = path


def canonical(value: JSONValue) -> bytes:
    """Encode ``value`` as RFC 8785 canonical JSON (UTF-8 bytes).

    Raises:
        CanonicalError: NaN, an infinity, an integer beyond ±(2^53 - 1), a key that is not
            a string, bytes, a date, a set, another object, a lone surrogate, or nesting
            deeper than ``limits.MAX_DEPTH``; ``path`` names the culprit.
    """
    kind = type(value)
    if kind is str or kind is int:
        try:
            return orjson.dumps(value, option=_OPTIONS)
        except orjson.JSONEncodeError:
            _refuse(value, (), 0)
    encoded = _fast(value)
    if encoded is not None:
        return encoded
    _refuse(value, (), 0)
    return rfc8785.dumps(value)


def digest(value: JSONValue) -> str:
    """SHA-256 of the canonical bytes of ``value``, as 64 lower-case hex digits.

    Raises:
        CanonicalError: as :func:`canonical`.
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def parse(text: bytes | str) -> JSONValue:
    """Read JSON strictly: what is read has a canonical form, or it is refused.

    Raises:
        CanonicalError: not JSON, not UTF-8, duplicate keys, NaN or infinities, a number
            whose value a double or a safe integer cannot hold, lone surrogates, too deep.
    """
    found = _read_fast(text) if isinstance(text, bytes) else None
    if found is not None:
        return found[0]
    try:
        source = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(
            source,
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_read_integer,
        )
    except UnicodeDecodeError as error:
        raise CanonicalError("$", f"not UTF-8: byte {error.start} is no character") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise CanonicalError("$", f"not JSON: {error.msg} at {where}") from error
    except RecursionError as error:
        raise CanonicalError("$", f"nested deeper than {limits.MAX_DEPTH}") from error
    except CanonicalError:
        raise
    except ValueError as error:
        # CPython refuses to read integers of thousands of digits.
        raise CanonicalError("$", f"not JSON that can be read: {error}") from error
    if _fast(value) is None:
        _refuse(value, (), 0)
    return value


def parse_canonical(text: bytes) -> JSONValue:
    """Read JSON that must stand in its one canonical form.

    Raises:
        CanonicalError: as :func:`parse`; or it is JSON, but spelled otherwise.
    """
    found = _read_fast(text)
    if found is not None:
        return found[0]
    value = parse(text)
    if canonical(value) != text:
        raise CanonicalError("$", "not in canonical form")
    return value


def _read_fast(text: bytes) -> tuple[JSONValue] | None:
    """Read canonical bytes of the guarded domain; ``None`` for any others.

    What the fast encoder writes back byte for byte is canonical: no key stood in it twice,
    and no number was rounded.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return (value,) if _fast(value) == text else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise CanonicalError("$", f"the key {key!r} stands twice in one object")
            seen.add(key)
    return members


def _refuse_constant(name: str) -> Any:
    raise CanonicalError("$", f"{name} is not JSON")


def _read_integer(text: str) -> int | float:
    """Read digits as an int; beyond the safe ones as the double of which they are the form."""
    value = int(text)
    if abs(value) > limits.MAX_SAFE_INTEGER and len(text) <= _MOST_DIGITS:
        double = float(value)
        # RFC 8785 writes doubles below 1e21 without an exponent.
        if rfc8785.dumps(double) == text.encode():
            return double
    return value


_MOST_DIGITS: Final = len("-") + 21
_ATOMS: Final = frozenset({str, int, bool, type(None)})
_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER


def _fast(value: JSONValue) -> bytes | None:
    """The canonical bytes of a value in the guarded domain; ``None`` for any other."""
    if not _is_plain(value, 0):
        return None
    try:
        encoded = orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # An unsafe integer, a lone surrogate, a key that is no text: all refused below.
        return None
    return encoded if encoded.isascii() or _has_ascii_keys(value) else None


def _is_plain(value: JSONValue, depth: int) -> bool:
    """Whether types, floats and depth are those of the guarded domain; keys are not looked at."""
    kind = type(value)
    if kind is dict:
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    elif kind is float:
        # Inside this band neither form uses an exponent, and both write the shortest digits.
        return 1e-4 <= abs(value) < 1e15 and not value.is_integer()  # noqa: PLR2004
    else:
        return kind in _ATOMS
    if depth == limits.MAX_DEPTH:
        return False
    for item in items:
        kind = type(item)
        # Most items are these: not calling for them halves the time.
        if kind is not str and kind is not int and not _is_plain(item, depth + 1):
            return False
    return True


def _has_ascii_keys(value: JSONValue) -> bool:
    """Whether all keys are ASCII; beyond it the two encoders sort differently."""
    if isinstance(value, dict):
        return all(map(str.isascii, value)) and all(map(_has_ascii_keys, value.values()))
    return not isinstance(value, list | tuple) or all(map(_has_ascii_keys, value))


_Path = tuple["str | int", ...]


def _where(path: _Path) -> str:
    steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in path)
    return "$" + "".join(steps).encode("utf-8", "backslashreplace").decode()


def _refuse(value: JSONValue, path: _Path, depth: int) -> None:
    """Refuse what has no canonical form, naming the culprit by its path."""
    kind = type(value)
    if kind is str:
        _refuse_text(value, path)
    elif kind is int:
        if abs(value) > limits.MAX_SAFE_INTEGER:
            raise CanonicalError(
                _where(path), "an integer beyond ±(2^53-1); write it as a string of digits"
            )
    elif kind is float:
        if not math.isfinite(value):
            raise CanonicalError(_where(path), f"{value!r} is not a JSON number")
    elif kind is dict or kind is list or kind is tuple:
        _refuse_inside(value, path, depth)
    elif value is not None and kind is not bool:
        raise CanonicalError(_where(path), _unfit(value))


def _refuse_inside(
    value: dict[Any, Any] | list[Any] | tuple[Any, ...], path: _Path, depth: int
) -> None:
    if depth >= limits.MAX_DEPTH:
        raise CanonicalError(_where(path), f"nested deeper than {limits.MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if type(key) is not str:
                raise CanonicalError(_where(path), f"the key {key!r} is not a string")
            _refuse_text(key, (*path, key))
            _refuse(item, (*path, key), depth + 1)
    else:
        for index, item in enumerate(value):
            _refuse(item, (*path, index), depth + 1)


def _refuse_text(value: str, path: _Path) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise CanonicalError(
            _where(path), f"a lone surrogate at character {error.start}; it is no Unicode text"
        ) from error


def _unfit(value: object) -> str:
    name = type(value).__name__
    for base in (bool, int, float, str, list, dict):
        if isinstance(value, base):
            return f"{name} is a kind of {base.__name__}; convert it with {base.__name__}(...)"
    hints = {
        "bytes": "bytes are not JSON; encode them as base64 or hex text",
        "datetime": "a date is not JSON; write it as text, such as value.isoformat()",
        "date": "a date is not JSON; write it as text, such as value.isoformat()",
        "set": "a set has no order; give a sorted list",
        "ndarray": "an array is not JSON; give array.tolist()",
        "Decimal": "a Decimal is not JSON; write it as text",
    }
    return hints.get(name, f"{name} is not JSON (null, bool, number, text, list or object)")
