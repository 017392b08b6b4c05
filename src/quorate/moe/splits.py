"""How replicas split on tokens without a quorum: who chose alike, and who chose nothing.

On such a token nothing was decided that anyone could dissent from, so who chose like whom
is all there is to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quorate.core.text import counted

NOT_FINITE: Final = -1
ABSENT: Final = -2

Pattern = tuple[int, ...]
"""Per replica, the lowest replica that chose the same experts, or one of the marks above."""

MOST_KINDS: Final = 32
"""Most ways of splitting that a gate's counters keep apart."""

_MOST_TOLD: Final = 3


def listed(patterns: Mapping[Pattern, int]) -> list[dict[str, Any]]:
    """Ways of splitting as JSON, those of the most tokens first.

    Args:
        patterns: pattern -> tokens that split so.

    Returns:
        Each with ``tokens``, ``groups`` (replicas that chose alike, the largest group first),
        ``not_finite`` and ``absent``.
    """
    order = sorted(patterns, key=lambda pattern: (-patterns[pattern], pattern))
    return [{"tokens": patterns[pattern], **_groups(pattern)} for pattern in order]


def _groups(pattern: Pattern) -> dict[str, Any]:
    of: dict[int, list[int]] = {}
    for replica, mark in enumerate(pattern):
        of.setdefault(mark, []).append(replica)
    void, absent = of.pop(NOT_FINITE, []), of.pop(ABSENT, [])
    groups = sorted(of.values(), key=lambda group: (-len(group), group))
    return {"groups": groups, "not_finite": void, "absent": absent}


def pattern_of(seen: Mapping[str, Any], absent: Sequence[int], n: int) -> Pattern:
    """The pattern of one token at one gate, from its sealed leaf."""
    first: dict[tuple[int, ...], int] = {}
    marks: list[int] = []
    for replica in range(n):
        chosen = seen["others"].get(str(replica), seen["experts"])
        if replica in absent:
            marks.append(ABSENT)
        elif chosen is None:
            marks.append(NOT_FINITE)
        else:
            marks.append(first.setdefault(tuple(chosen), replica))
    return tuple(marks)


def in_words(splits: Sequence[Mapping[str, Any]]) -> str:
    """``on 20 tokens replicas 0 and 3 against 1 and 2``; the commonest ways, and how many more."""
    told = [f"on {counted(each['tokens'], 'token')} {_split(each)}" for each in splits[:_MOST_TOLD]]
    more = sum(each["tokens"] for each in splits[_MOST_TOLD:])
    if more:
        told.append(f"on {counted(more, 'token')} otherwise")
    return "; ".join(told)


def _split(split: Mapping[str, Any]) -> str:
    groups = split["groups"]
    told = [replicas(groups[0]) if groups else "no replica chose"]
    told += [f"against {joined(group)}" for group in groups[1:]]
    marks = [("not finite", split["not_finite"]), ("excluded", split["absent"])]
    return " ".join(told) + "".join(f", {mark}: {joined(of)}" for mark, of in marks if of)


def replicas(numbers: Sequence[int]) -> str:
    """``replica 3`` or ``replicas 0 and 3``."""
    return f"replica{'' if len(numbers) == 1 else 's'} {joined(numbers)}"


def joined(numbers: Sequence[int]) -> str:
    """``0, 1 and 3``."""
    *most, last = [str(each) for each in numbers]
    return f"{', '.join(most)} and {last}" if most else last
