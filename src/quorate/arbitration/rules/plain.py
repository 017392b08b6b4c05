"""What the normalisers share: their one error, white space, and code fences."""

from __future__ import annotations

import re
from typing import Any, Final

from quorate.core import limits

WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
"""The characters of Unicode's property White_Space; ``str.isspace`` says yes to others too."""

_FENCE: Final = re.compile(r"(`{3,}+|~{3,}+)[ \t]*+([^ \t`~]*+)[ \t]*+")


class NotNormalError(ValueError):
    """A normaliser cannot read a payload; says what it found and what it reads."""


def text_of(payload: Any, what: str, most: int = limits.MAX_PAYLOAD_BYTES) -> str:
    """Check that a payload is a text of at most ``most`` characters.

    Raises:
        NotNormalError: it is not.
    """
    if type(payload) is not str:
        raise NotNormalError(f"{what} is read from a text; this is a {type(payload).__name__}")
    if len(payload) > most:
        raise NotNormalError(f"{len(payload)} characters; at most {most} are read as {what}")
    return payload


def unfenced(text: str) -> str:
    """Take off the code fences around a whole text, and the white space around those.

    A fence is a first line of three or more backticks or tildes, perhaps with one word
    behind them, and a last line of at least as many of the same, that no line between
    closes before. White space stays as it is in a text without a fence.

    Raises:
        NotNormalError: more than ``limits.MAX_FENCES`` around one another.
    """
    for _ in range(limits.MAX_FENCES + 1):
        inner = _inside(text.strip(WHITE_SPACE))
        if inner is None:
            return text
        text = inner
    raise NotNormalError(f"more than {limits.MAX_FENCES} code fences around one another")


def _inside(text: str) -> str | None:
    if not text.startswith(("```", "~~~")):
        return None
    lines = text.replace("\r\n", "\n").split("\n")
    opening = _FENCE.fullmatch(lines[0])
    if opening is None or len(lines) == 1:
        return None
    mark = opening[1]
    closing = [line.strip(" \t") for line in lines[1:]]
    closes = [len(c) >= len(mark) and c == mark[0] * len(c) for c in closing]
    # The first line that closes must be the last.
    return "\n".join(lines[1:-1]) if closes[-1] and sum(closes) == 1 else None
