"""What Python source must be like so that every Python, from 3.11 on, reads it alike.

Theory of operation. A verdict is computed again on another machine, with another Python and
other settings; what one can read and another cannot would make an absence of an answer.
So source is looked at before it is parsed, by rules that are the same everywhere:

- its literals and comments end as Python 3.11 has them end, which settles where code is;
- brackets, indentation and digits stay below what any interpreter refuses;
- f-strings are of the kind that 3.11 and 3.12 read alike: in their fields stand neither
  backslashes nor comments nor the quotes around them, and braces pair up;
- characters outside texts and comments are those that Unicode 14.0 assigns, and no
  character is named, for newer versions know more of both;
- nothing decides how the bytes of a file are read: no coding cookie (PEP 263) but UTF-8 in
  the first two lines, no NUL, no form feed, and no carriage return without a line feed.

All patterns are possessive, so that reading takes time in proportion to the length.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from quorate.arbitration.rules.plain import WHITE_SPACE, NotNormalError
from quorate.arbitration.rules.unassigned import unassigned_in
from quorate.core import limits

_COOKIE: Final = re.compile(r"[ \t]*+#.*?coding[:=][ \t]*+([-_.a-zA-Z0-9]++)", re.ASCII)
_LITERAL: Final = re.compile(
    r"""
    \#[^\n]*+
    | (?:(?<!\w)(?P<prefix>[fF][rR]?|[rR][fF]))?
      (?:
        \'\'\' (?P<a>(?:[^\\']|\\.|'(?!''))*+) (?P<a_ends>\'\'\')?
      | \"\"\" (?P<b>(?:[^\\"]|\\.|"(?!""))*+) (?P<b_ends>\"\"\")?
      | ' (?P<c>(?:[^\\'\n]|\\.)*+) (?P<c_ends>')?
      | " (?P<d>(?:[^\\"\n]|\\.)*+) (?P<d_ends>")?
      )
    """,
    re.VERBOSE | re.DOTALL,
)
_EXPRESSION: Final = r"""(?:[^{}\\#'"]|'[^'\\]*+'|"[^"\\]*+")++"""
_PLAIN: Final = r"""[^{}\\#'"\n:()\[\]]"""
# Where a hash may stand, in a format, no comment can be open: nothing before it is.
_FIELD: Final = rf"""
    \{{ {_EXPRESSION} (?: \{{{_EXPRESSION}\}} (?:{_PLAIN}|\{{{_EXPRESSION}\}})*+ )?+ \}}
    | \{{ (?:{_PLAIN}|\((?:{_PLAIN}|:)*+\)|\[(?:{_PLAIN}|:)*+\])++ : (?:{_PLAIN}|\#|:)*+ \}}
    """
_FILLED: Final = re.compile(rf"(?:[^{{}}]|\{{\{{|\}}\}}|{_FIELD})*+", re.VERBOSE)
_PARTS: Final = re.compile(rf"\{{\{{|\}}\}}|(?P<field>{_FIELD})", re.VERBOSE)
_SPACED_CONVERSION: Final = re.compile(r"![ \t\n]*+\w++[ \t\n]|![ \t\n]++\w")
_DIGITS: Final = re.compile(rf"(?<![0-9_])[0-9_]{{{limits.MAX_PYTHON_DIGITS + 1}}}")
_OPENING, _CLOSING = "([{", ")]}"


def check_bytes(given: str, source: str) -> None:
    """Refuse what changes how the text is read once it stands in a file.

    Args:
        given: the text as it was sent.
        source: the same without code fences.

    Raises:
        NotNormalError: a coding cookie other than UTF-8, or a character that ends lines
            in one reading and not in another.
    """
    for mark in ("\0", "\f"):
        if mark in given:
            raise NotNormalError(f"Python is read without {mark!r}, which a file may not keep")
    if "\r" in given.replace("\r\n", ""):
        raise NotNormalError("Python is read without a carriage return that no line feed follows")
    # Whoever saves the text may strip it first, and so move the lines up.
    for text in (given, source, source.lstrip(WHITE_SPACE)):
        for line in text.split("\n", 2)[:2]:
            found = _COOKIE.match(line)
            if found is not None and found[1].lower() not in ("utf-8", "utf8"):
                raise NotNormalError(
                    f"the comment declares the encoding {found[1][:40]!r}, in which a file may "
                    "mean something else; Python is read as UTF-8"
                )


def check_source(source: str) -> None:
    """Refuse source that versions or settings of Python may read differently.

    Raises:
        NotNormalError: as the module says.
    """
    if _DIGITS.search(source):
        raise NotNormalError(
            f"more than {limits.MAX_PYTHON_DIGITS} digits in a row, which not every Python reads"
        )
    bare = _LITERAL.sub(_placeholder, source)
    newer = unassigned_in(bare)
    if newer:
        raise NotNormalError(f"U+{ord(min(newer)):04X} in a name, which not every Python knows")
    _check_nesting(bare)


def _placeholder(found: re.Match[str]) -> str:
    """What stands for a literal or comment in the source without them."""
    if found[0].startswith("#"):
        return ""
    kind = next(name for name in "abcd" if found[name] is not None)
    if found[f"{kind}_ends"] is None:
        raise NotNormalError("no Python that can be read: a text in it does not end")
    if "\\N{" in found[kind]:
        raise NotNormalError("Python is read without characters by name; write them as \\u...")
    if found["prefix"] is None:
        return "''"
    return "".join(("''", *_fields(found[kind])))


def _fields(body: str) -> Iterator[str]:
    """What stands in the fields of an f-string, as source without literals."""
    if not _FILLED.fullmatch(body):
        raise NotNormalError("an f-string that not every Python reads alike")
    for part in _PARTS.finditer(body):
        if part["field"] is None:
            continue
        bare = _LITERAL.sub(_placeholder, part["field"][1:-1])
        if _SPACED_CONVERSION.search(bare):
            raise NotNormalError("an f-string that not every Python reads alike")
        yield bare.replace("\n", " ")


def _check_nesting(bare: str) -> None:
    """Refuse what is nested deeper than every parser bears."""
    open_brackets = 0
    indents = [0]
    for line in bare.split("\n"):
        if not open_brackets and line.strip():
            width = len(line[: len(line) - len(line.lstrip(" \t"))].expandtabs(8))
            while indents[-1] > width:
                indents.pop()
            if indents[-1] < width:
                indents.append(width)
        for character in line:
            if character in _OPENING:
                open_brackets += 1
            elif character in _CLOSING:
                open_brackets = max(0, open_brackets - 1)
            if open_brackets > limits.MAX_PYTHON_BRACKETS:
                raise NotNormalError(
                    f"brackets nested too deep, beyond {limits.MAX_PYTHON_BRACKETS}"
                )
        if len(indents) > limits.MAX_PYTHON_INDENTS + 1:
            raise NotNormalError(f"indented too deep, beyond {limits.MAX_PYTHON_INDENTS} levels")
