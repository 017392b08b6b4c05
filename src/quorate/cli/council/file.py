"""The council file: who votes, what it takes, and where it is sealed.

::

    id = "council"                     # which council of the ledger

    [ledger]                           # as in a panel file
    url = "sqlite:///council.db"
    signer = "keys/council.key"

    [rules]
    quorum_fraction = "1/2"            # a number, or "p/q"; both exact
    default_expiry = "1h"

    [actions]                          # beside the well-known ones
    reboot = "routine"

    [[voters]]
    id = "anna"
    weight = 1
    key = "keys/anna.pub"              # or the key's own text; a voter with one signs

    [executors.quarantine]             # who does it, on this machine; never sealed
    kind = "command"
    command = ["./quarantine.sh"]

    [[hooks]]                          # who is told of it
    name = "pager"
    kind = "webhook"
    url = "https://pager.example/council"
    on = ["proposed", "expired"]

:mod:`~quorate.cli.council.tables` holds every key.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from quorate.cli.council import declared
from quorate.cli.council.tables import (
    KINDS,
    TABLES,
    CouncilTable,
    ExecutorTable,
    RulesTable,
    VoterTable,
)
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import Ed25519Verifier
from quorate.council import ConsensusConfig, Electorate, ProposalAction
from quorate.council.executors import DeclaredExecutor
from quorate.council.notify import CommandHook, WebhookHook
from quorate.council.rules.electorate import check_blocking, weights_of
from quorate.council.rules.values import WELL_KNOWN, actions_of, find_action, normal_name
from quorate.hub.panel_checks import Problem, near
from quorate.hub.panel_words import PanelError, not_toml, told
from quorate.hub.table_values import Table
from quorate.hub.toml_lines import locate
from quorate.ledger import read_verifier
from quorate.ledger.files import read_text
from quorate.ledger.log import parse_url

__all__ = ["CouncilFile", "CouncilFileError", "CouncilTable", "RulesTable", "VoterTable"]

_BYTE_ORDER_MARK: Final = "\ufeff"
_MOST_SHOWN: Final = 80
_KIND: Final = 2  # where the reader puts it in a path
_CHANGE: Final = ProposalAction.CHANGE_ELECTORATE.value


class CouncilFileError(PanelError):
    """A council file that cannot be used; every problem begins with ``file:line:``."""


class CouncilFile:
    """A council file, read and checked.

    Attributes:
        path: of the file; what it names is relative to its folder.
        id: of the council.
        electorate: voters, weights and keys that it names.
        config: thresholds and limits.
        actions: beside the well-known: normal name -> whether it is critical.
        executors: normal name of an action -> who carries it out, not yet imported.
        hooks: who is told of what happens.
    """

    def __init__(self, path: Path) -> None:
        """Read and check a council file.

        Raises:
            OperationalError: the file cannot be read.
            CouncilFileError: what is wrong, each with its line.
        """
        self.path = path
        text = _read(path)
        try:
            table = CouncilTable.model_validate(tomllib.loads(text, parse_float=Decimal))
        except ValidationError as error:
            raise CouncilFileError(_told(path, text, _of_validation(error))) from error
        # The reader gives up on numbers out of all bounds with other errors than its own.
        except (ValueError, InvalidOperation) as error:
            raise CouncilFileError([not_toml(path, text, error)]) from error
        except RecursionError as error:
            message = f"{path}: not TOML that can be read: nested too deep"
            raise CouncilFileError([message]) from error
        self._table = table
        self._executor_tables: dict[str, ExecutorTable] = {}
        self.id = table.id
        self.actions = {name: kind == "critical" for name, kind in table.actions.items()}
        problems = [*_actions(self.actions), *_voters(table)]
        keys: dict[str, str] = {}
        for number, voter in enumerate(table.voters):
            try:
                if voter.key is not None:
                    keys[voter.id] = _public(path.parent, voter.key)
            except (UsageError, OperationalError) as error:
                problems.append(Problem(("voters", number, "key"), str(error)))
        try:
            self.config = _config(table.rules)
        except UsageError as error:
            problems.append(_of_rules(error))
        self.executors: dict[str, DeclaredExecutor] = {}
        self.hooks: list[WebhookHook | CommandHook] = []
        problems += [*self._read_executors(), *self._read_hooks()]
        if problems:
            raise CouncilFileError(_told(path, text, problems))
        try:
            ids = [voter.id for voter in table.voters]
            weights = {voter.id: voter.weight for voter in table.voters}
            self.electorate = Electorate(weights_of(ids, weights), keys)
            check_blocking(self.electorate, self.config)
        except UsageError as error:
            problem = Problem(("voters",), str(error))
            raise CouncilFileError(_told(path, text, [problem])) from error

    def _read_executors(self) -> Iterator[Problem]:
        """Make the executors; give what is wrong with those that cannot be made."""
        known = {**actions_of(None), **self.actions}
        for spelled, table in self._table.executors.items():
            where = ("executors", spelled)
            try:
                action = find_action(spelled, known)
                if action == _CHANGE:
                    raise UsageError("the council itself changes its electorate; take it out")  # noqa: TRY301 - told where the others are
                if action in self.executors:
                    raise UsageError(f"stands for {action!r}, which has an executor already")  # noqa: TRY301
                self.executors[action] = declared.executor_of(table, action, self.path.parent)
                self._executor_tables[action] = table
            except UsageError as error:
                yield Problem(where, str(error))

    def _read_hooks(self) -> Iterator[Problem]:
        seen: set[str] = set()
        for number, table in enumerate(self._table.hooks):
            if table.name in seen:
                message = f"{table.name!r} is the name of another hook too"
                yield Problem(("hooks", number, "name"), message)
            seen.add(table.name)
            try:
                self.hooks.append(declared.hook_of(table, self.path.parent))
            except UsageError as error:
                yield Problem(("hooks", number), str(error))

    @property
    def starts(self) -> dict[str, int]:
        """Name of a hook -> ledger entry from which on it is told."""
        return {table.name: table.from_entry for table in self._table.hooks}

    def executing(self, action: str) -> AbstractContextManager[DeclaredExecutor]:
        """Have the executor of an action at hand, its function imported.

        Raises:
            UsageError: there is no such function, or it cannot be imported.
        """
        return declared.executing(self._executor_tables[action], action, self.path.parent)

    @property
    def ledger_url(self) -> str:
        """Where the council is sealed, the file's folder taken into account."""
        return f"sqlite:///{self.ledger_path}"

    @property
    def ledger_path(self) -> Path:
        """The ledger's file."""
        relative = parse_url(self._table.ledger.url)
        assert relative is not None  # noqa: S101 - LedgerTable refuses memory:
        return self.path.parent / relative

    @property
    def signer_path(self) -> Path:
        """Where the ledger's private key is."""
        return self.path.parent / self._table.ledger.signer

    @property
    def origin(self) -> str | None:
        """Name of the log, if it is declared."""
        return self._table.ledger.origin


def _read(path: Path) -> str:
    try:
        text = read_text(path, "council file", limits.MAX_PANEL_BYTES)
    except OperationalError as error:
        hint = "name another with --council, or write one with: quorate council init"
        raise OperationalError(f"{error}; {hint}") from error
    except UsageError as error:
        raise CouncilFileError([str(error)]) from error
    # Some editors of Windows put a mark there, which says nothing of UTF-8.
    return text.removeprefix(_BYTE_ORDER_MARK)


def _public(folder: Path, key: str) -> str:
    named = key if key.startswith("ed25519:") else folder / key
    verifier = read_verifier(named)
    if not isinstance(verifier, Ed25519Verifier):
        raise UsageError("is a shared secret; a voter's key is an Ed25519 public key")
    return verifier.to_text()


def _config(rules: RulesTable) -> ConsensusConfig:
    return ConsensusConfig(
        rules.quorum_fraction,
        rules.majority_threshold,
        rules.supermajority_threshold,
        rules.default_expiry,
        rules.allow_vote_change,
        rules.max_active_proposals,
        execute_within_seconds=rules.execute_within,
        clock_tolerance_seconds=rules.clock_tolerance,
        only_voters_execute=rules.only_voters_execute,
    )


def _of_rules(error: UsageError) -> Problem:
    """The problem of the key that the message begins with."""
    name, _, rest = str(error).partition(" ")
    # The file gives times in words, and so without their unit in the name.
    return Problem(("rules", name.removesuffix("_seconds")), rest)


def _actions(actions: Mapping[str, bool]) -> Iterator[Problem]:
    """Names that are none, are well known, or are another's spelling, one by one."""
    sound: dict[str, bool] = {}
    for name, critical in actions.items():
        try:
            known = normal_name(name)
            if known in WELL_KNOWN:
                kind = "critical" if WELL_KNOWN[known] else "routine"
                message = f"{known!r} is well known, and {kind} in every council; take it out"
                yield Problem(("actions", name), message)
                continue
            actions_of({**sound, name: critical})
        except UsageError as error:
            yield Problem(("actions", name), str(error))
        else:
            sound[name] = critical


def _voters(table: CouncilTable) -> Iterator[Problem]:
    seen: set[str] = set()
    for number, voter in enumerate(table.voters):
        if voter.id in seen:
            yield Problem(("voters", number, "id"), f"{voter.id!r} is the id of another voter too")
        seen.add(voter.id)
        if voter.weight <= 0:
            message = f"is {float(voter.weight):g}; a voter's weight is above 0"
            yield Problem(("voters", number, "weight"), message)


def _told(path: Path, text: str, problems: Iterable[Problem]) -> list[str]:
    """Say each problem with its line; ``[executors.reboot]`` is the header of one table."""
    found = []
    for where, message in problems:
        if where[:1] == ("executors",) and len(where) > 1:
            dotted = (f"{where[0]}.{where[1]}", *where[2:])
            found.append(Problem(where if locate(text, dotted) is None else dotted, message))
        else:
            found.append(Problem(where, message))
    return told(path, text, found)


def _of_validation(error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors():
        where = tuple(part for part in detail["loc"] if part != "[key]")
        kinds = KINDS.get(str(where[0]), {}) if where else {}
        table = kinds.get(str(where[_KIND])) if len(where) > _KIND else None
        # The reader puts the kind between, which does not stand there in the file.
        where = where if table is None else where[:_KIND] + where[_KIND + 1 :]
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            where = (*where, "kind")
        yield Problem(where, _words(detail, where, table))


def _words(detail: ErrorDetails, where: tuple[str | int, ...], of: type[Table] | None) -> str:  # noqa: PLR0911 - one for each slip
    kind, value = detail["type"], detail["input"]
    name = str(where[-1]) if where else ""
    if kind == "extra_forbidden":
        table = CouncilTable if len(where) == 1 else (of or TABLES.get(str(where[0]), CouncilTable))
        return f"unknown key{near(name, table.model_fields)}"
    if kind in ("missing", "union_tag_not_found"):
        return "is missing"
    if kind == "union_tag_invalid":
        known = KINDS[str(where[0])]
        given = value.get("kind") if isinstance(value, dict) else None
        return f"is {_shown(given)}: should be one of {', '.join(known)}{near(str(given), known)}"
    if kind == "list_type" and isinstance(value, dict):
        return f"is one table; write [[{name}]], in double brackets, above each"
    if kind == "literal_error":
        words = [word.strip("' ") for word in re.split(r",| or ", detail["ctx"]["expected"])]
        return f"is {_shown(value)}: should be one of {', '.join(words)}{near(str(value), words)}"
    hint = _hint(name, kind)
    if hint is not None:
        return hint
    message = detail["msg"].removeprefix("Value error, ").replace("panel file", "council file")
    if name in ("env", "command", "url"):
        # What stands there may hold a secret, which is not repeated.
        return f"is {message[:1].lower()}{message[1:]}" if kind == "value_error" else message
    return f"is {_shown(value)}: {message[:1].lower()}{message[1:]}"


def _hint(name: str, kind: str) -> str | None:
    """What to say of text that may be a secret by mistake, and is not repeated."""
    if kind != "string_pattern_mismatch":
        return None
    if name == "url":
        return "is no address; give http:// or https://, a host, and no name or password"
    if name == "call":
        return "is no function; give module:function or FILE.py:function, such as acts.py:fence"
    return "is no name of an environment variable, in capitals; never give what it holds"


def _shown(value: Any) -> str:
    plain = isinstance(value, Decimal | Fraction)
    text = str(value) if plain else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
