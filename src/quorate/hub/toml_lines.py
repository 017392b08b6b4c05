"""Find the line on which a value of a TOML file stands, for messages.

The standard library's TOML reader does not tell. This scanner only follows table
headers and ``key =`` at the beginning of lines, which is how panel files are written;
where it cannot tell, it names the line of the enclosing table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_HEADER = re.compile(r"\s*(\[\[?)\s*([A-Za-z0-9_.\"' -]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*(\"[^\"]*\"|'[^']*'|[A-Za-z0-9_-]+)\s*[.=]")
_TRIPLE = re.compile("'''|\"\"\"")


def locate(text: str, path: Sequence[str | int]) -> int | None:
    """1-based line of the value at ``path``, such as ``("experts", 1, "weight")``.

    Returns:
        The line, that of the nearest enclosing table, or ``None`` where even that is unknown.
    """
    lines = _index(text)
    for length in range(len(path), 0, -1):
        line = lines.get(tuple(path[:length]))
        if line is not None:
            return line
    return None


def _index(text: str) -> dict[tuple[str | int, ...], int]:
    lines: dict[tuple[str | int, ...], int] = {}
    tables: Counter[str] = Counter()
    table: tuple[str | int, ...] = ()
    inside_text = False
    for number, line in enumerate(text.splitlines(), start=1):
        was_inside = inside_text
        inside_text ^= len(_TRIPLE.findall(line)) % 2 == 1
        if was_inside:
            continue
        header = _HEADER.match(line)
        if header is not None:
            name = header[2].strip("\"'")
            table = (name,)
            if header[1] == "[[":
                table = (name, tables[name])
                tables[name] += 1
            lines.setdefault((name,), number)
            lines.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key is not None:
            lines.setdefault((*table, key[1].strip("\"'")), number)
    return lines
