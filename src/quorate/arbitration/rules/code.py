"""Source code of any language: the white space that no language reads.

Theory of operation. Fences, line ends and blank lines around a text never mean anything.
Trailing blanks, runs of blank lines and a common indentation mean nothing either, except
inside a literal that goes on over several lines, and how a literal opens differs from one
language to the next. So those are touched only in a text in which every line is *closed*:
under every way of reading quotes that is in use, no literal can still be open at its end.
Where one line is not, the text stays as it is inside, and at worst two answers that are
the same count as two.

A line is closed if it holds none of the marks of :data:`_MARKS` (heredocs, raw and
tripled quotes, quoting operators, markup, block scalars ...), does not end in a
backslash, and its quotes pair up whichever of ``'``, ``"`` and the backtick are quotes,
whether a backslash escapes nothing, inside quotes, or everywhere, and whether or not
slashes quote as well. Where it holds quotes it may hold no mark of a block comment, for
a quote may hide there.

It is for programs. Documents in which trailing blanks or indentation carry meaning on
their own, such as Markdown, are not told apart by it.
"""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations
from typing import Any, Final

from quorate.arbitration.rules.plain import text_of, unfenced

_MARKS: Final = re.compile(
    r"""
    \"\"\" | ''' | ```                          # tripled quotes
    | ''[ \t]*$                                 # Nix opens a text so
    | << | \[\[ | \[= | \[[A-Za-z]*\| | \$\w*\$  # heredocs, Lua, quasi-quotes, PostgreSQL
    | [#@]\" | R\" | ~[A-Za-z] | %[A-Za-z]?[^\w\s=]   # raw texts, sigils, Ruby
    | \b(?:q[qwrx]?|m|s|y|tr)[ \t]*[^\w\s.,;:=)\]&*+-]   # Perl, D
    | </ | /> | <!                              # markup
    | [|>][-+0-9]*[ \t]*$                       # YAML
    | ^__(?:END|DATA)__ | \\begin\b             # data behind the program, TeX
    | \\[ \t]*$                                 # a line that goes on
    """,
    re.VERBOSE | re.ASCII,
)
_COMMENTS: Final = re.compile(r"/\*|\*/|\(\*|\*\)|\{-|-\}|<!--|-->|#\||\|#|#=|=#|--\[|\]\]|=begin")
_QUOTES: Final = "\"'`"
_NOWHERE, _INSIDE, _EVERYWHERE = range(3)


@cache
def _pairings(*, slashes: bool, escapes: bool) -> tuple[re.Pattern[str], ...]:
    """Patterns of lines whose quotes pair up, one for each way of reading them."""
    kinds = [set(c) for n in (1, 2, 3) for c in combinations(_QUOTES, n)]
    if slashes:
        kinds.append({*_QUOTES, "/"})
    return tuple(
        _pairing(kind, way) for kind in kinds for way in (range(3) if escapes else (_NOWHERE,))
    )


def _pairing(kinds: set[str], escaping: int) -> re.Pattern[str]:
    inside = r"(?:[^{0}\\]|\\.)*+" if escaping != _NOWHERE else "[^{0}]*+"
    quoted = [f"{kind}{inside.format(kind)}{kind}" for kind in sorted(kinds)]
    marks = "".join(sorted(kinds))
    outside = rf"[^{marks}\\]|\\." if escaping == _EVERYWHERE else f"[^{marks}]"
    return re.compile(f"(?:{'|'.join([outside, *quoted])})*+")


def _closed(line: str) -> bool:
    if _MARKS.search(line):
        return False
    if not any(quote in line for quote in _QUOTES):
        return True
    ways = _pairings(slashes="/" in line, escapes="\\" in line)
    return not _COMMENTS.search(line) and all(way.fullmatch(line) for way in ways)


def code(payload: Any) -> str:
    """Source code without regard to fences, line ends and white space that cannot matter.

    CRLF is LF; code fences and blank lines at both ends go. Where every line is closed
    (see the module), blanks (spaces and tabs) at line ends go too, a run of blank lines
    becomes one, and the spaces that all lines that are not blank begin with go; tabs stay.

    Raises:
        NotNormalError: not a text.
    """
    given = unfenced(text_of(payload, "code")).replace("\r\n", "\n")
    lines = given.split("\n")
    filled = [index for index, line in enumerate(lines) if line.strip(" \t")]
    if not filled:
        return ""
    lines = lines[filled[0] : filled[-1] + 1]
    return "\n".join(_tidied(lines) if all(map(_closed, lines)) else lines)


def _tidied(lines: list[str]) -> list[str]:
    bare = [line.rstrip(" \t") for line in lines]
    shared = min(len(line) - len(line.lstrip(" ")) for line in bare if line)
    return [line[shared:] for index, line in enumerate(bare) if line or bare[index - 1]]
