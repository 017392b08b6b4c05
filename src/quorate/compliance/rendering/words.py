"""The words and signs of reports: states, categories, references to the law, numbers of entries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from quorate.compliance.report import CheckResult
from quorate.compliance.rules import (
    FAILED,
    INVALID,
    MISSING,
    NOT_APPLICABLE,
    OUT_OF_SCOPE,
    SHOWN,
    STALE,
    UNSIGNED,
    WEIGHTS,
)
from quorate.compliance.system import System
from quorate.core.text import printable


@dataclass(frozen=True, slots=True)
class State:
    """How a state is told; never by its colour alone.

    Attributes:
        name: in reports as JSON.
        sign: one character.
        plain: one character of ASCII.
        word: in words.
        meaning: in one sentence.
        style: of rich.
    """

    name: str
    sign: str
    plain: str
    word: str
    meaning: str
    style: str


_STATES: Final = (
    State(FAILED, "✗", "x", "failed", "evidence says that it is not so", "bold red"),
    State(INVALID, "!", "!", "invalid", "what was brought is no valid evidence", "red"),
    State(UNSIGNED, "○", "o", "not sealed", "no receipt that verifies binds it", "magenta"),
    State(OUT_OF_SCOPE, "≠", "#", "out of scope", "it speaks of another system, version or a "
          "later time", "blue"),
    State(STALE, "~", "~", "stale", "it is too old to count", "yellow"),
    State(MISSING, "∅", "-", "missing", "there is no evidence", "yellow"),
    State(SHOWN, "✓", "+", "shown", "valid evidence is bound to a receipt that verifies", "green"),
    State(NOT_APPLICABLE, "·", ".", "not applicable", "it does not apply to this system", "dim"),
)  # fmt: skip

STATES: Final[dict[str, State]] = {state.name: state for state in _STATES}
"""Name -> state, the worst first."""

SEVERITIES: Final = tuple(WEIGHTS)
"""The heaviest first."""

CATEGORIES: Final = {"annex_iii": "Annex III", "annex_i": "Annex I"}

_CATEGORY_WORDS: Final = {
    "annex_iii": "high-risk by its use (Annex III)",
    "annex_i": "high-risk by product law (Annex I)",
    "both": "high-risk by its use (Annex III) and by product law (Annex I)",
    "undeclared": "category not declared: the days of both categories are given",
}

MOST_REASONS: Final = 6
"""Most reasons told of one check; all of them stand in the JSON."""

_ROMAN: Final = re.compile(r"[ivx]+")
_ID: Final = re.compile(r"(art|annex)_([0-9a-z]+)((?:\.[a-z0-9_]+)*)")


def category(system: System) -> str:
    """How the system is high-risk, in words."""
    return _CATEGORY_WORDS[system.category]


def categories(system: System) -> tuple[str, ...]:
    """The categories whose days concern the system."""
    return (system.category,) if system.category in CATEGORIES else tuple(CATEGORIES)


def applies(result: CheckResult, system: System) -> str:
    """From when a check applies, and whether it does on the day; empty where it is of no law."""
    days = {str(each): first for each, first in result.applies_from.items()}
    now = {str(each): came for each, came in result.in_force.items()}
    told = [
        f"{CATEGORIES[each]} from {days[each].isoformat()} "
        f"({'applicable' if now[each] else 'not yet applicable'})"
        for each in categories(system)
        if each in days
    ]
    return "; ".join(told)


def reference(id_: str) -> str:
    """``Article 13(3)(b)(ii)`` for ``art_13.par_3.b.ii``; another id as it is.

    >>> reference("annex_iv.point_2.g")
    'Annex IV(2)(g)'
    >>> reference("art_15.par_4.s2")
    'Article 15(4) sentence 2'
    """
    found = _ID.fullmatch(id_)
    if found is None:
        return printable(id_)
    head = f"Article {found[2]}" if found[1] == "art" else f"Annex {found[2].upper()}"
    tail = ""
    for part in found[3].split(".")[1:]:
        kind, _, number = part.partition("_")
        if kind in ("par", "point") and number:
            head += f"({number})"
        elif re.fullmatch(r"s[0-9]", part):
            tail = f" sentence {part[1:]}"
        else:
            head += f"({part})"
    return head + tail


def references(ids: Iterable[str], most: int = 8) -> str:
    """Several of them, those of one article together: ``Article 9(1), (2)``."""
    found = list(ids)
    words: list[str] = []
    before = ""
    for each in map(reference, found[:most]):
        head, paren, rest = each.partition("(")
        words.append(f"({rest}" if paren and head == before else each)
        before = head
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(words) + more


def article(name: str) -> str:
    """``Article 9`` for the heading ``9``; another heading as it is."""
    return f"Article {name}" if re.fullmatch(r"[0-9]+[a-z]?", name) else printable(name)


def spans(numbers: Iterable[int]) -> str:
    """Numbers in order, with runs drawn together: ``3, 5-9``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(
        str(first)
        if first == last
        else f"{first}{',' if last == first + 1 else '-'}{' ' if last == first + 1 else ''}{last}"
        for first, last in runs
    )


def percent(shown: int, total: int) -> str:
    """A share in words, cut and never rounded up: 199 of 200 is no 100 %."""
    return "none applies" if total == 0 else f"{shown * 1000 // total / 10:.1f} %"
