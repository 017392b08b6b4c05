"""How much of a ledger a report rests on: how far its end is pinned, and what it does not show.

A signature shows that an entry was not changed. That none was cut off the end shows only a
checkpoint that was kept elsewhere. A report says so in every form, and what no collector could
show stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from quorate.arbitration.forms import items, members, shown, text
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.text import counted

FORMAT: Final = "quorate/coverage/1"

HEADING: Final = "What the ledger does not show yet"

_MOST: Final = 1 << 20
_KEEP: Final = (
    "make a checkpoint now with 'quorate ledger checkpoint -o checkpoint.note', keep it where "
    "nobody who writes the ledger can change it, and give it with --checkpoint next time"
)


@dataclass(frozen=True, slots=True)
class Lacking:
    """Something that a collector could not show.

    Attributes:
        collector: its name.
        fields: that it would have made evidence for.
        reason: why, and what would show it.
    """

    collector: str
    fields: tuple[str, ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"collector": self.collector, "fields": list(self.fields), "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a report knows of the ledger behind it, which verified.

    Attributes:
        origin: name of the log.
        size: entries that were verified.
        pinned: entries that a checkpoint kept elsewhere pins, up to ``size``; ``None`` where
            none was given.
        lacking: what the collectors could not show.
    """

    origin: str
    size: int
    pinned: int | None = None
    lacking: tuple[Lacking, ...] = ()

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageError: the checkpoint pins more entries than were verified.
        """
        if self.pinned is not None and self.pinned > self.size:
            raise UsageError(f"pinned is {self.pinned}, and {self.size} entries were verified")

    @property
    def complete(self) -> bool:
        """Whether the checkpoint pins exactly the entries that were verified."""
        return self.pinned == self.size

    def describe(self) -> str:
        """Which entries were verified, and whether a cut tail would have been seen."""
        found = f"{self.origin}: {counted(self.size, 'entry', 'entries')} verified"
        if self.complete:
            return f"{found}; the checkpoint pins exactly these, so none was cut off the end"
        if self.pinned is None:
            return (
                f"{found}; entries cut off the end cannot be seen without a checkpoint kept "
                "elsewhere (--checkpoint), and none was given"
            )
        first = "entry" if self.pinned == 1 else f"{self.pinned} entries"
        return (
            f"{found}; the checkpoint pins the first {first}, and entries cut off after those "
            "cannot be seen"
        )

    def gaps(self) -> tuple[tuple[str, str], ...]:
        """What is not shown -> why, and what would show it; each reason once."""
        found: list[tuple[str, str]] = []
        if self.pinned is None:
            found.append(("that nothing was cut off the end", f"no checkpoint was given; {_KEEP}"))
        elif not self.complete:
            found.append(("that nothing was cut off the end", f"the checkpoint is older; {_KEEP}"))
        reasons: dict[str, list[str]] = {}
        for each in self.lacking:
            reasons.setdefault(each.reason, []).extend(each.fields)
        return (*found, *((", ".join(fields), reason) for reason, fields in reasons.items()))

    def tail(self) -> dict[str, Any]:
        """Whether a cut tail would have been seen, as JSON for programs."""
        return {
            "size": self.size,
            "pinned": self.pinned,
            "proven": self.complete,
            "told": self.describe(),
        }

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` reads it back."""
        return {
            "format": FORMAT,
            "origin": self.origin,
            "size": self.size,
            "pinned": self.pinned,
            "lacking": [each.to_dict() for each in self.lacking],
        }

    @classmethod
    def from_dict(cls, value: object) -> Coverage:
        """Read what :meth:`to_dict` wrote.

        Raises:
            UsageError: another shape.
        """
        form = members(value, "the coverage", ("format", "origin", "size", "pinned", "lacking"))
        if form["format"] != FORMAT:
            raise UsageError(f"format is {shown(form['format'])}; {FORMAT!r} is known")
        pinned = None if form["pinned"] is None else _number(form["pinned"], "pinned")
        lacking = items(form["lacking"], "lacking", _lacking)
        return cls(text(form["origin"], "origin"), _number(form["size"], "size"), pinned, lacking)


def _number(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is {shown(value)}; it is a whole number of entries")
    if not 0 <= value <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"{name} is {value}; it is a number of entries")
    return value


def _lacking(value: object) -> Lacking:
    form = members(value, "a member of lacking", ("collector", "fields", "reason"))
    fields = items(form["fields"], "fields", lambda each: text(each, "a field"))
    reason = text(form["reason"], "reason", _MOST, least=0)
    return Lacking(text(form["collector"], "collector"), fields, reason)
