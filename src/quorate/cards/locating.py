"""Where in a text of JSON each value stands, and which keys stand twice.

It reads what the standard library's reader has read already, so it need not say what is
wrong with the text: it only follows along.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from json.decoder import JSONDecoder
from typing import Final

from quorate.cards.problems import Path

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_DECODER: Final = JSONDecoder(strict=True)
_ATOM: Final = re.compile(r"[^\s,\]}]+")
# A text without an end goes to the end of all, so that none is read twice.
_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of text; lines and columns count from 1, the end is past the last character.

    Columns count characters, each Unicode code point as one.
    """

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(slots=True)
class Located:
    """Values of one JSON text by their path.

    Attributes:
        spans: path to first character and the one past the last, from 0; of a key that
            stands twice, the last.
        twice: paths of keys that stand more than once in their object, in order.
    """

    text: str
    spans: dict[Path, tuple[int, int]] = field(default_factory=dict)
    twice: list[Path] = field(default_factory=list)
    _lines: list[int] = field(default_factory=list)

    def region(self, path: Path) -> Region:
        """Where the value at ``path`` stands, or the nearest one around it that is there."""
        while path and path not in self.spans:
            path = path[:-1]
        begin, end = self.spans.get(path, (0, len(self.text)))
        return Region(*self._place(begin), *self._place(end))

    def _place(self, offset: int) -> tuple[int, int]:
        if not self._lines:
            self._lines = [0, *(m.end() for m in re.finditer(r"\r\n|\n|\r", self.text))]
        line = bisect.bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1


@dataclass(slots=True)
class _Open:
    """A list or object whose end has not come yet."""

    path: Path
    begin: int
    keys: set[str] | None
    length: int = 0


def deeper(text: str, most: int) -> bool:
    """Whether lists and objects lie more than ``most`` deep in one another.

    Takes text that nobody has read yet, JSON or not, and no more memory than it has.
    """
    depth = 0
    for found in _BRACKET.finditer(text):
        sign = found[0]
        if sign in "[{":
            depth += 1
            if depth > most:
                return True
        elif sign in "]}":
            depth -= 1
    return False


def locate(text: str) -> Located:
    """Find where each value of a JSON text stands; ``text`` must be JSON."""
    found = Located(text)
    open_: list[_Open] = []
    at = _after_space(text, 0)
    path: Path = ()
    while True:
        if text[at] in "{[":
            open_.append(_Open(path, at, set() if text[at] == "{" else None))
            at = _after_space(text, at + 1)
            ended = text[at] in "}]"
        else:
            end = _end_of_atom(text, at)
            found.spans[path] = (at, end)
            at = _after_space(text, end)
            ended = False
        at = _close(found, open_, at, ended=ended)
        if not open_:
            return found
        path, at = _next(found, open_[-1], at)


def _close(found: Located, open_: list[_Open], at: int, *, ended: bool) -> int:
    """Close what ends here; leave off at the next member, past the comma before it."""
    text = found.text
    while open_:
        if not ended:
            if text[at] == ",":
                return _after_space(text, at + 1)
            ended = text[at] in "}]"
            if not ended:
                return at
        done = open_.pop()
        found.spans[done.path] = (done.begin, at + 1)
        at = _after_space(text, at + 1)
        ended = False
    return at


def _next(found: Located, inside: _Open, at: int) -> tuple[Path, int]:
    """The path of the next value, and where it begins."""
    text = found.text
    if inside.keys is None:
        inside.length += 1
        return (*inside.path, inside.length - 1), at
    key, end = _DECODER.raw_decode(text, at)
    path = (*inside.path, key)
    if key in inside.keys:
        found.twice.append(path)
    inside.keys.add(key)
    colon = _after_space(text, end)
    return path, _after_space(text, colon + 1)


def _end_of_atom(text: str, at: int) -> int:
    if text[at] == '"':
        return _DECODER.raw_decode(text, at)[1]
    match = _ATOM.match(text, at)
    return at + 1 if match is None else match.end()


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def texts(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in a JSON value, keys of objects too, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield (*path, key), key
            yield from texts(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from texts(item, (*path, place))
