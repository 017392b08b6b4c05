"""Which text of the law is in force on a day, and from when each part of it applies.

Dated data from ``data/law.toml``; nothing here asks the clock.

>>> from datetime import date
>>> text_at(date(2026, 11, 21)).id
'2026-07-27'
>>> applies_from("annex_iii", date(2026, 11, 21)).isoformat()
'2027-12-02'
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Final

from quorate.compliance.times import read_day
from quorate.compliance.wording import near
from quorate.core.errors import UsageError

CATEGORIES: Final = ("annex_iii", "annex_i")
"""How a system is high-risk: by its use (Annex III), or by product law (Annex I)."""

HIGH_RISK: Final = "high_risk"
GENERAL: Final = "general"
FIRST_CHAPTERS: Final = "first_chapters"
SCHEDULES: Final = (HIGH_RISK, GENERAL, FIRST_CHAPTERS)
"""Groups of provisions that begin to apply together."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act of the Union: its number, title, CELEX number, and its days."""

    id: str
    title: str
    celex: str
    adopted: date
    published: date
    in_force: date


@dataclass(frozen=True, slots=True)
class Text:
    """One consolidated text of the law.

    Attributes:
        id: of the text.
        title: in words.
        since: first day on which it is in force.
        acts: that it consolidates, in order.
        applies: schedule -> category -> first day on which it applies.
    """

    id: str
    title: str
    since: date
    acts: tuple[Act, ...]
    applies: Mapping[str, Mapping[str, date]]


@dataclass(frozen=True, slots=True)
class Provision:
    """A provision with a day of its own."""

    id: str
    title: str
    applies_from: date


@cache
def acts() -> tuple[Act, ...]:
    """The acts, in order of time."""
    return tuple(Act(**members) for members in _read()["acts"])


@cache
def texts() -> tuple[Text, ...]:
    """The texts, in order of time."""
    known = {act.id: act for act in acts()}
    return tuple(
        Text(
            members["id"],
            members["title"],
            members["since"],
            tuple(known[act] for act in members["acts"]),
            members["applies_from"],
        )
        for members in _read()["texts"]
    )


@cache
def provisions() -> tuple[Provision, ...]:
    """Provisions that have days of their own, whatever the category."""
    return tuple(Provision(**members) for members in _read()["provisions"])


def text_at(as_of: date | str) -> Text:
    """The text in force on a day.

    Raises:
        UsageError: the day is before the first act, or is no day.
    """
    day = read_day(as_of, "as_of")
    found = [text for text in texts() if text.since <= day]
    if not found:
        first = texts()[0].since.isoformat()
        raise UsageError(f"as_of is {day.isoformat()}; there is no such law before {first}")
    return found[-1]


def applies_from(category: str, as_of: date | str, schedule: str = HIGH_RISK) -> date:
    """From when a group of provisions applies to a category, by the text of a day.

    Args:
        category: ``annex_iii`` or ``annex_i``.
        as_of: whose text is asked.
        schedule: ``high_risk`` (Articles 6 to 27), ``general`` (49, 50, 72, 73 and all
            without a day of their own) or ``first_chapters`` (4a).

    Raises:
        UsageError: no such category, schedule or text.
    """
    if category not in CATEGORIES:
        raise UsageError(
            f"category is {category!r}; it is one of {', '.join(CATEGORIES)}"
            f"{near(str(category), CATEGORIES)}"
        )
    if schedule not in SCHEDULES:
        raise UsageError(
            f"schedule is {schedule!r}; it is one of {', '.join(SCHEDULES)}"
            f"{near(str(schedule), SCHEDULES)}"
        )
    return text_at(as_of).applies[schedule][category]


@cache
def _read() -> dict[str, Any]:
    source = resources.files("quorate.compliance") / "data" / "law.toml"
    return tomllib.loads(source.read_text("utf-8"))
