"""How a mistake in a file of evidence or a profile is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quorate.core.text import printable, shortened

_MOST_SHOWN = 80
_MOST_TOLD = 5


def near(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` where a known word is close to ``word``, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: object) -> str:
    """A foreign value, short and fit for a screen."""
    text = printable(shortened(repr(value)))
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"


def told(error: ValidationError) -> str:
    """What a reader found wrong, each with its place; at most the first few."""
    details = error.errors()
    parts = [detail_words(detail) for detail in details[:_MOST_TOLD]]
    if len(details) > _MOST_TOLD:
        parts.append(f"and {len(details) - _MOST_TOLD} more")
    return "; ".join(parts)


def place(loc: Iterable[str | int]) -> str:
    """``datasets[2].origin`` for a path."""
    steps = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return printable(steps.lstrip("."))


def detail_words(detail: ErrorDetails) -> str:
    """One mistake in words."""
    where = place(detail["loc"])
    kind = detail["type"]
    if kind == "missing":
        return f"{where} is missing"
    if kind == "extra_forbidden":
        return f"{where} is unknown"
    message = detail["msg"]
    if kind == "value_error":
        # In our own words already; an id may stand first.
        message = message.removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    message = message[:1].lower() + message[1:]
    return f"{where or 'it'} is {shown(detail['input'])}: {message}"
