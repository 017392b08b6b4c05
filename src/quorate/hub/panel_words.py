"""How mistakes in a panel file are told: with their line, and with a hint where there is one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quorate.core.errors import UsageError
from quorate.hub.panel_checks import Problem, near
from quorate.hub.table_values import WITHOUT_QUOTES, Table
from quorate.hub.tables import (
    KINDS,
    ArbiterTable,
    EscalationTable,
    ExpertTable,
    LedgerTable,
    PanelTable,
    RunTable,
)
from quorate.hub.toml_lines import locate

_MOST_SHOWN: Final = 80
_SMALLEST: Final = Fraction(1, 10**307)
_LARGEST: Final = 10**308
_TOML_LINE: Final = re.compile(r" \(at line ([0-9]+), column [0-9]+\)$")
_ENDLESS_NUMBER: Final = re.compile(r"[0-9][0-9_]{4000}")
_UNDER_KIND: Final = 3
_TABLES: Final[dict[str, type[Table]]] = {
    "ledger": LedgerTable,
    "arbiter": ArbiterTable,
    "escalation": EscalationTable,
    "run": RunTable,
}


class PanelError(UsageError):
    """A panel file that cannot be used.

    Attributes:
        problems: one text each, beginning with ``file:line:`` where the line is known.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        """Show all ``problems`` at once, so that one round of mending does."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def not_toml(path: Path, text: str, error: Exception) -> str:
    """What to say of a file that the TOML reader gave up on."""
    if not isinstance(error, tomllib.TOMLDecodeError):
        endless = _ENDLESS_NUMBER.search(text)
        line = text.count("\n", 0, endless.start()) + 1 if endless is not None else 1
        return f"{path}:{line}: not TOML that can be read: a number has too many digits"
    told = str(error)
    found = _TOML_LINE.search(told)
    line = int(found[1]) if found is not None else max(len(text.splitlines()), 1)
    return f"{path}:{line}: not TOML: {told[:1].lower()}{told[1:]}"


def place(path: Path, text: str, where: tuple[str | int, ...]) -> str:
    """``file:line: name`` of the value at ``where``."""
    line = locate(text, where)
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return f"{path}:{line or 1}: {name.lstrip('.')}" if name else f"{path}"


def told(path: Path, text: str, problems: Iterable[Problem]) -> list[str]:
    """Say each problem with its place, in order of lines."""
    found = [
        (locate(text, where) or 1, f"{place(path, text, where)}: {message}")
        for where, message in problems
    ]
    return [message for _, message in sorted(found)]


def of_validation(error: ValidationError) -> Iterable[Problem]:
    """The problems that the tables found, in words of a panel file."""
    for detail in error.errors():
        where = _without_kind(detail["loc"])
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            where = (*where, "kind")
        yield Problem(where, _words(detail, where))


def _without_kind(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """A path as it stands in the file; the reader puts the expert's kind between."""
    if loc[:1] == ("experts",) and len(loc) >= _UNDER_KIND and loc[2] in KINDS:
        return loc[:2] + loc[3:]
    return loc


def _words(detail: ErrorDetails, where: tuple[str | int, ...]) -> str:
    name = str(where[-1]) if where else ""
    if detail["type"] == "extra_forbidden":
        return f"unknown key{_meant(name, detail['loc'])}"
    if detail["type"] in ("missing", "union_tag_not_found"):
        return "is missing"
    if detail["type"] == "union_tag_invalid":
        kind = detail["input"].get("kind") if isinstance(detail["input"], dict) else None
        return f"is {_shown(kind)}: should be one of {', '.join(KINDS)}{near(str(kind), KINDS)}"
    hint = _hint(name, detail)
    if hint is not None:
        return f"is {hint}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"is {_shown(detail['input'])}: {message[:1].lower()}{message[1:]}"


def _hint(name: str, detail: ErrorDetails) -> str | None:  # noqa: PLR0911 - one for each slip
    """What to say of the commonest slips, in words of a panel file.

    What may hold a secret by mistake is not repeated.
    """
    kind, value = detail["type"], detail["input"]
    if name == "call" and kind == "string_pattern_mismatch":
        return f"{value!r}; give module:function, such as experts:length"
    if name in ("url", "base_url") and kind == "string_pattern_mismatch":
        return "no address; give http:// or https://, a host, and no name or password"
    if name.endswith("_env") and kind == "string_pattern_mismatch":
        return "no name of an environment variable, in capitals; never give what it holds"
    if name in ("headers", "env") and kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind == "literal_error" and isinstance(value, str):
        known = [word.strip("' ") for word in re.split(r",| or ", detail["ctx"]["expected"])]
        return f"{_shown(value)}: should be one of {', '.join(known)}{near(value, known)}"
    if kind == "list_type" and isinstance(value, dict):
        return f"one table; write [[{name}]], in double brackets, above each"
    if kind == "model_type" and isinstance(value, list):
        return f"a list of tables; write [{name}], in single brackets, and once"
    if kind == "int_type" and isinstance(value, str):
        return f"{_shown(value)}: {WITHOUT_QUOTES}"
    return None


def _shown(value: object) -> str:
    """A value as its author may have written it, and not too long."""
    if isinstance(value, Fraction):
        # A double cannot hold all that may be written.
        if value == 0 or _SMALLEST < abs(value) < _LARGEST:
            return f"{float(value):g}"
        return f"{Decimal(value.numerator) / value.denominator:.6g}"
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"


def _meant(name: str, loc: tuple[str | int, ...]) -> str:
    """A hint at what an unknown key was meant to be, or at the kinds that have it."""
    if len(loc) == 1:
        return near(name, PanelTable.model_fields)
    if loc[0] != "experts":
        return near(name, _TABLES.get(str(loc[0]), PanelTable).model_fields)
    kind = KINDS.get(str(loc[2]), ExpertTable) if len(loc) >= _UNDER_KIND else ExpertTable
    hint = near(name, kind.model_fields)
    having = [of for of, table in KINDS.items() if name in table.model_fields]
    if having and not hint:
        return f" of the kind {loc[2]}; of {' and '.join(having)} it is one"
    return hint
