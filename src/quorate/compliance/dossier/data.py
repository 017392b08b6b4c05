"""Evidence data laid out to be read: texts, lists, pairs and tables of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from quorate.compliance.dossier import bounds
from quorate.core.canonical import canonical
from quorate.core.text import printable

_MOST_COLUMNS: Final = 7
_MOST_IN_CELL: Final = 2
_SHORT: Final = 70


@dataclass(frozen=True, slots=True)
class Node:
    """One value.

    Attributes:
        kind: ``text`` has ``text``; ``list`` has ``members``; ``pairs`` has ``names`` and
            ``members``, one each; ``table`` has ``names`` as heads and ``rows`` of texts.
        more: members that are not laid out.
    """

    kind: Literal["text", "list", "pairs", "table"]
    text: str = ""
    names: tuple[str, ...] = ()
    members: tuple[Node, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    more: int = field(default=0)

    @property
    def wide(self) -> bool:
        """Whether it takes lines of its own."""
        return self.kind in ("table", "pairs") or any(each.wide for each in self.members)


def laid_out(value: Any, level: int = 0) -> Node:
    """Lay a JSON value out."""
    if isinstance(value, Mapping) and value:
        return _deep(value) if level >= bounds.MOST_LEVELS else _pairs(value, level)
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return _deep(value) if level >= bounds.MOST_LEVELS else _several(value, level)
    return Node("text", text=_words(value))


def label(name: str) -> str:
    """``missing rate`` for ``missing_rate``."""
    return printable(name.replace("_", " ")) if name.islower() else printable(name)


def _words(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return printable(value)
    # What is left of the containers is empty.
    return canonical(value).decode() if isinstance(value, int | float) else "none"


def _deep(value: Any) -> Node:
    return Node("text", text=printable(canonical(value).decode()))


def _pairs(value: Mapping[str, Any], level: int) -> Node:
    if grid := _grid(value):
        return grid
    shown = list(value.items())[: bounds.MOST_MEMBERS]
    return Node(
        "pairs",
        names=tuple(label(name) for name, _ in shown),
        members=tuple(laid_out(each, level + 1) for _, each in shown),
        more=len(value) - len(shown),
    )


def _grid(value: Mapping[str, Any]) -> Node | None:
    """Tables of the same members under several names make one, with a row for each name."""
    inner = list(value.values())
    if not 1 < len(inner) <= bounds.MOST_MEMBERS or not all(isinstance(m, Mapping) for m in inner):
        return None
    heads = tuple(inner[0])
    alike = all(tuple(each) == heads for each in inner)
    if not alike or not 1 < len(heads) < _MOST_COLUMNS:
        return None
    rows = [[_cell(each[name]) for name in heads] for each in inner]
    if any(cell is None for row in rows for cell in row):
        return None
    named = (
        (label(name), *(cell or "" for cell in row)) for name, row in zip(value, rows, strict=True)
    )
    return Node("table", names=("", *map(label, heads)), rows=tuple(named))


def _cell(value: Any) -> str | None:
    """A value that fits into a cell: a scalar, or a few named ones; ``None`` for another."""
    if isinstance(value, Mapping):
        given = {name: each for name, each in value.items() if each is not None}
        nested = any(isinstance(each, Mapping | list | tuple) for each in given.values())
        if nested or len(given) > _MOST_IN_CELL:
            return None
        return "; ".join(f"{label(name)}: {_words(each)}" for name, each in given.items())
    return None if isinstance(value, list | tuple) else _words(value)


def _several(value: Sequence[Any], level: int) -> Node:
    shown = value[: bounds.MOST_MEMBERS]
    more = len(value) - len(shown)
    heads = _heads(shown)
    if heads:
        rows = tuple(tuple(_words(each.get(name, "")) for name in heads) for each in shown)
        return Node("table", names=tuple(map(label, heads)), rows=rows, more=more)
    if all(not isinstance(each, Mapping | list | tuple) for each in shown):
        words = [_words(each) for each in shown]
        if sum(map(len, words)) <= _SHORT and not more:
            return Node("text", text=", ".join(words))
    members = tuple(laid_out(each, level + 1) for each in shown)
    return Node("list", members=members, more=more)


def _heads(value: Sequence[Any]) -> tuple[str, ...]:
    """Names of the columns where the members make a table, else nothing."""
    if not all(isinstance(each, Mapping) and each for each in value):
        return ()
    names = tuple(dict.fromkeys(name for each in value for name in each))
    flat = all(
        not isinstance(member, Mapping | list | tuple) or not member
        for each in value
        for member in each.values()
    )
    return names if flat and len(names) <= _MOST_COLUMNS else ()
