"""The file that declares a system.

It is TOML::

name = "triage"                  # evidence has to speak of this system
version = "2.1.0"                # and of this version
role = "provider"                # provider, deployer or both
category = "annex_iii"           # annex_iii, annex_i, both or undeclared

[conditions]                     # what is not declared is taken to hold
trains_models = false
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from quorate.compliance import EvidenceSet, System, load_catalogue
from quorate.compliance.system import UNDECLARED
from quorate.compliance.wording import detail_words, near
from quorate.core.errors import UsageError
from quorate.core.text import printable
from quorate.hub.toml_lines import locate
from quorate.ledger.files import read_text

_MOST_BYTES: Final = 64 << 10


def read_system(path: Path) -> System:
    """Read it.

    Raises:
        OperationalError: it cannot be read.
        UsageError: what is wrong, each with its line.
    """
    if not path.exists() and not path.is_symlink():
        raise UsageError(
            f"there is no {path}, which declares the system; name one with --system, or have one "
            "written: quorate comply init"
        )
    text, name = read_text(path, "system file", _MOST_BYTES), printable(str(path))
    try:
        members = tomllib.loads(text)
    # The reader gives up on whole numbers of thousands of digits with a bare ValueError.
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: not TOML: {error}") from error
    try:
        system = System.model_validate(members)
    except ValidationError as error:
        raise UsageError(_told(name, text, error)) from error
    conditions = load_catalogue().conditions
    wrong = [
        f"{name}:{locate(text, ('conditions', each)) or 1}: nothing depends on a condition "
        f"{each!r}{near(each, conditions)}"
        for each in system.conditions
        if each not in conditions
    ]
    if wrong:
        known = ", ".join(conditions)
        raise UsageError("\n".join([*wrong, f"conditions are: {known}"]))
    return system


def system_of(given: EvidenceSet, path: Path | None, default: Path) -> System:
    """The system meant: of the file named, else of the evidence, else of the default file."""
    if path is not None:
        return read_system(path)
    if given.system == UNDECLARED and default.is_file():
        return read_system(default)
    return given.system


def _told(name: str, text: str, error: ValidationError) -> str:
    lines = []
    for each in error.errors():
        where: tuple[Any, ...] = each["loc"]
        hint = near(str(where[0]), System.model_fields) if each["type"] == "extra_forbidden" else ""
        lines.append((locate(text, where) or 1, f"{detail_words(each)}{hint}"))
    return "\n".join(f"{name}:{line}: {message}" for line, message in sorted(lines))
