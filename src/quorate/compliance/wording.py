"""How a mistake in a file of evidence or a profile is told."""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quorate.core.text import counted, printable, shortened

_MOST_SHOWN = 80
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0")
_FILLERS = frozenset(
    {"x", "xx", "xxx", "n/a", "na", "n.a.", "todo", "tbd", "tba", "tbc", "fixme", "lorem ipsum"}
)
_MOST_TOLD = 5


def near(word: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` where a known word is close to ``word``, else nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: object) -> str:
    """A foreign value, short and fit for a screen."""
    text = printable(shortened(repr(value)))
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"


def written(value: object) -> str:
    """A foreign value as :func:`shown`, the constants of JSON as they stand in the file."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return shown(value)


def folded(text: str) -> str:
    """A name as people read it: without what is not seen, case, or width of spaces."""
    plain = unicodedata.normalize("NFKC", text)
    seen = "".join(" " if each.isspace() else each for each in plain if _seen(each))
    return " ".join(seen.split()).casefold()


def _seen(character: str) -> bool:
    return character not in _BLANK_LETTERS and (character.isspace() or character.isprintable())


def speaks(text: str) -> bool:
    """Whether a text has a letter or a digit that is seen."""
    return any(each.isalnum() and each not in _BLANK_LETTERS for each in text)


def says_something(text: str) -> str:
    """``text``, unless it says nothing: no letter and no digit, or a mere filler.

    Raises:
        ValueError: it says nothing.
    """
    if not speaks(text):
        raise ValueError("it says nothing; write it in letters or digits")
    if folded(text) in _FILLERS:
        raise ValueError("it is a filler; say what it is, or leave the item out")
    return text


def names_something(text: str) -> str:
    """``text``, unless it is no name: without letter and digit, or with spaces around it.

    Raises:
        ValueError: it is no name.
    """
    if not speaks(text):
        raise ValueError("it names nothing; write it in letters or digits")
    if text != text.strip():
        raise ValueError("it has spaces around it")
    return text


def told(error: ValidationError) -> str:
    """What a reader found wrong, each with its place; at most the first few."""
    # A number that is none is refused as a whole one and again as another; told once.
    parts = list(dict.fromkeys(map(detail_words, error.errors())))
    more = [f"and {len(parts) - _MOST_TOLD} more"] if len(parts) > _MOST_TOLD else []
    return "; ".join([*parts[:_MOST_TOLD], *more])


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
    if kind in ("int_type", "float_type") and detail["loc"][-1:] in (("int",), ("float",)):
        return f"{place(detail['loc'][:-1])} is {written(detail['input'])}; give a number"
    if kind == "too_short":
        least = counted(detail["ctx"]["min_length"], "member")
        return f"{where or 'it'} is {written(detail['input'])}: it takes {least} or more"
    message = detail["msg"]
    if kind == "value_error":
        # In our own words already; an id may stand first.
        message = message.removeprefix("Value error, ")
        return f"{where}: {message}" if where else message
    message = message[:1].lower() + message[1:]
    return f"{where or 'it'} is {written(detail['input'])}: {message}"
