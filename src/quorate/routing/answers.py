"""What replicas answer, read into proposals: a key that names an expert, or a void vote.

A proposal has one JSON form, ``{"key": 7}`` or ``{"void": what it said instead}``, and is
named by the digest of that form. The two forms keep apart a replica that named an expert
from one whose answer merely looks like a key when it is printed.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any, Final

from quorate.core import limits
from quorate.core.calls import Callee
from quorate.core.canonical import CanonicalError, digest
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.text import shortened
from quorate.routing.rules import Key

_MOST_BITS_SHOWN: Final = 256
# Asked by way of the class itself, a metaclass could answer in any way.
_NAME_OF_TYPE: Final = type.__dict__["__name__"]

Proposal = dict[str, Any]
"""``{"key": Key}`` or ``{"void": JSON scalar}``."""


def check_id(value: object, name: str) -> str:
    """Give back ``value`` if it can be an id: text of 1 to ``limits.MAX_ID_LENGTH`` characters.

    Args:
        value: what may be an id.
        name: what to call it in an error.

    Raises:
        UsageTypeError: not exactly a ``str``.
        UsageError: empty, too long, or no Unicode text (a lone surrogate).
    """
    if type(value) is not str:
        raise UsageTypeError(f"{name} is {_shown(value)} ({type(value).__name__}); give a str")
    if not 1 <= len(value) <= limits.MAX_ID_LENGTH:
        raise UsageError(f"{name} has {len(value)} characters; give 1 to {limits.MAX_ID_LENGTH}")
    if not value.isascii() and not _is_unicode(value):
        raise UsageError(f"{name} is {value!r}, which holds half a character; give Unicode text")
    return value


def check_key(value: object) -> Key:
    """Give back ``value`` if it can name an expert.

    Raises:
        UsageTypeError: neither exactly a ``str`` nor an ``int`` (``True == 1`` in Python, and
            ``1.0 == 1``, so neither a bool nor a float can be told from an int).
        UsageError: an integer beyond ±(2^53 - 1), or a text that is no id.
    """
    if type(value) is int:
        if abs(value) > limits.MAX_SAFE_INTEGER:
            raise UsageError(
                f"the expert key {_shown(value)} is beyond ±(2^53-1); give it as a str"
            )
        return value
    if type(value) is str:
        return check_id(value, "an expert key")
    raise UsageTypeError(
        f"the expert key {_shown(value)} is a {type(value).__name__}; give a str or an int"
    )


def proposals_of(experts: Iterable[object]) -> dict[str, Key]:
    """Name every expert by the digest of its proposal: digest -> key, in the order of keys.

    Integers come first, in numeric order, then texts in order of their code points.

    Raises:
        UsageError: no expert, more than ``limits.MAX_REPLICAS``, a key twice, or a bad key.
    """
    if isinstance(experts, str | bytes):
        raise UsageTypeError(f"experts is {experts!r}; give a mapping or a list of keys")
    keys = [check_key(key) for key in experts]
    if not keys:
        raise UsageError("experts is empty; give at least one")
    if len(keys) > limits.MAX_REPLICAS:
        raise UsageError(f"{len(keys)} experts; at most {limits.MAX_REPLICAS} are supported")
    numbers = sorted(key for key in keys if isinstance(key, int))
    texts = sorted(key for key in keys if isinstance(key, str))
    ordered: list[Key] = [*numbers, *texts]
    named = {digest({"key": key}): key for key in ordered}
    if len(named) != len(keys):
        twice = next(key for index, key in enumerate(keys) if key in keys[:index])
        raise UsageError(f"the expert {twice!r} stands twice; give each its own key")
    return named


def callees(named: Mapping[Any, Any], what: str) -> dict[Any, Callee]:
    """Wrap every callable of ``named``, so that errors and threads can name it.

    Raises:
        UsageError: something that cannot be called.
    """
    return {key: Callee(f"the {what} {key!r}", function) for key, function in named.items()}


def read_answer(answer: object) -> Proposal:
    """Read what a replica returned. Never raises: what is not a key is a void vote.

    A NumPy integer, or another thing that is an index but no bool, counts as its ``int``.
    """
    kind = type(answer)
    if kind is int or kind is str:
        return _from_exact(answer)
    if answer is None or kind is bool:
        return {"void": answer}
    # Whatever the answer does when it is looked at, it does on its replica's account. An exit
    # let through would end the loop, and the rounds of all others with it.
    try:
        if isinstance(answer, str):
            return _from_exact(str.__str__(answer))
        if isinstance(answer, float):
            value = float.__add__(answer, 0.0)
            return {"void": value if math.isfinite(value) else repr(value)}
        if "bool" not in str(getattr(answer, "dtype", "")):
            number = operator.index(answer)  # type: ignore[arg-type]
            return _from_exact(int.__add__(number, 0))
    except BaseException:  # noqa: BLE001, S110 - falls to the void vote below
        pass
    return {"void": _shown(answer)}


def _from_exact(answer: Any) -> Proposal:
    try:
        return {"key": check_key(answer)}
    except UsageError:
        return {"void": _shown(answer)}


def _shown(answer: object) -> str:
    """Show any object, whatever it does when it is looked at; huge integers by their size."""
    if type(answer) is int and answer.bit_length() > _MOST_BITS_SHOWN:
        return f"(an integer of {answer.bit_length()} bits)"
    try:
        # Its text may be a str of its own kind, with methods of its own.
        return shortened(str.__getitem__(repr(answer), slice(2 * limits.MAX_DETAIL_LENGTH)))
    # An answer of foreign code may fail even at being shown, and at naming its type.
    except BaseException:  # noqa: BLE001
        name = _NAME_OF_TYPE.__get__(type(answer))
        return shortened(f"(a {name} that cannot be shown)")


def _is_unicode(text: str) -> bool:
    try:
        digest(text)
    except CanonicalError:
        return False
    return True
