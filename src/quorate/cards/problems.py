"""What is wrong with a card: where, by which rule, why, and what to give instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quorate.arbitration.forms import members, shown, text
from quorate.cards import bounds
from quorate.core.errors import UsageError
from quorate.core.text import printable

ERROR: Final = "error"
WARNING: Final = "warning"

Path = tuple["str | int", ...]
"""The way from the card to a value in it: names of members, and places in lists from 0."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN_NAME: Final = 60


def where(path: Path) -> str:
    """A path as JSONPath, such as ``$.skills[0].id``."""
    return "$" + "".join(map(_step, path))


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _NAME.fullmatch(step) and len(step) <= _SHOWN_NAME:
        return f".{step}"
    short = step if len(step) <= _SHOWN_NAME else step[: _SHOWN_NAME - 1] + "…"
    safe = printable(short.encode("utf-8", "backslashreplace").decode())
    return "['" + safe.replace("'", "\\'") + "']"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a card, or in doubt.

    Attributes:
        path: where, as JSONPath.
        rule: name of the rule that is broken, such as ``"required"``.
        message: why, and what to give instead.
        level: ``"error"``, the card is not valid; ``"warning"``, it is, and this is in doubt.
    """

    path: str
    rule: str
    message: str
    level: str = ERROR

    def describe(self) -> str:
        """One line: path, message, rule."""
        return f"{self.path}: {self.message} [{self.rule}]"

    def to_dict(self) -> dict[str, str]:
        """The problem as JSON; :meth:`from_dict` reads it back."""
        return {
            "path": self.path,
            "rule": self.rule,
            "message": self.message,
            "level": self.level,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Problem:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is no problem.
        """
        form = members(data, "the problem", ("path", "rule", "message", "level"))
        if form["level"] not in (ERROR, WARNING):
            raise UsageError(f"the level of the problem is {shown(form['level'])}")
        most = bounds.MAX_TEXT_LENGTH
        path, rule, message = (
            text(form[name], f"the {name}", most) for name in ("path", "rule", "message")
        )
        return cls(path, rule, message, form["level"])


def error(path: Path, rule: str, message: str) -> Problem:
    """Something for which the card is not valid."""
    return Problem(where(path), rule, message)


def warning(path: Path, rule: str, message: str) -> Problem:
    """Something that is in doubt."""
    return Problem(where(path), rule, message, WARNING)
