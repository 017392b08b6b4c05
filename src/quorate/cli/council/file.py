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
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from quorate.cli.council.times import duration
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.exact import exact, from_text
from quorate.core.identity import Ed25519Verifier
from quorate.council import ConsensusConfig, Electorate
from quorate.council.rules.electorate import check_blocking, weights_of
from quorate.council.rules.values import actions_of
from quorate.hub.panel_checks import Problem, near
from quorate.hub.panel_words import PanelError, not_toml, told
from quorate.hub.table_values import Exact, Id, Table
from quorate.hub.tables import LedgerTable
from quorate.ledger import read_verifier
from quorate.ledger.files import read_text
from quorate.ledger.log import parse_url

_BYTE_ORDER_MARK: Final = "\ufeff"
_MOST_SHOWN: Final = 80


class CouncilFileError(PanelError):
    """A council file that cannot be used; every problem begins with ``file:line:``."""


def _share(value: object) -> Fraction:
    """A share: a number, or ``"p/q"`` where no decimal is exact."""
    return from_text(value) if isinstance(value, str) else exact(value)  # type: ignore[arg-type] # it refuses what is no number


def _duration(value: object) -> Fraction:
    if not isinstance(value, str):
        raise ValueError('a duration is a text such as "10m", "1h30m" or "never"')  # noqa: TRY004 - pydantic reads only this one
    return duration(value, "it")


_Share = Annotated[Fraction, BeforeValidator(_share)]


class RulesTable(Table):
    """``[rules]``: the thresholds and limits of :class:`ConsensusConfig`."""

    quorum_fraction: _Share = Fraction(1, 2)
    majority_threshold: _Share = Fraction(1, 2)
    supermajority_threshold: _Share = Fraction(2, 3)
    default_expiry: Annotated[Fraction, BeforeValidator(_duration)] = Fraction(0)
    allow_vote_change: bool = False
    max_active_proposals: int = 10


class VoterTable(Table):
    """``[[voters]]``: one voter, its weight, and the public key that its ballots are checked by."""

    id: Id
    weight: Exact = Fraction(1)
    key: str | None = Field(None, min_length=1)


class CouncilTable(Table):
    """A whole council file."""

    id: Id = "council"
    ledger: LedgerTable
    rules: RulesTable = RulesTable()
    actions: dict[str, Literal["routine", "critical"]] = Field(default_factory=dict)
    voters: list[VoterTable] = Field(min_length=1)


_TABLES: Final[dict[str, type[Table]]] = {
    "ledger": LedgerTable, "rules": RulesTable, "voters": VoterTable,
}  # fmt: skip


class CouncilFile:
    """A council file, read and checked.

    Attributes:
        path: of the file; what it names is relative to its folder.
        id: of the council.
        electorate: voters, weights and keys that it names.
        config: thresholds and limits.
        actions: beside the well-known: normal name -> whether it is critical.
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
            raise CouncilFileError(told(path, text, _of_validation(error))) from error
        # The reader gives up on numbers out of all bounds with other errors than its own.
        except (ValueError, InvalidOperation) as error:
            raise CouncilFileError([not_toml(path, text, error)]) from error
        except RecursionError as error:
            message = f"{path}: not TOML that can be read: nested too deep"
            raise CouncilFileError([message]) from error
        self._table = table
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
        if problems:
            raise CouncilFileError(told(path, text, problems))
        try:
            ids = [voter.id for voter in table.voters]
            weights = {voter.id: voter.weight for voter in table.voters}
            self.electorate = Electorate(weights_of(ids, weights), keys)
            check_blocking(self.electorate, self.config)
        except UsageError as error:
            problem = Problem(("voters",), str(error))
            raise CouncilFileError(told(path, text, [problem])) from error

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
    )


def _of_rules(error: UsageError) -> Problem:
    """The problem of the key that the message begins with."""
    name, _, rest = str(error).partition(" ")
    return Problem(("rules", name), rest)


def _actions(actions: Mapping[str, bool]) -> Iterator[Problem]:
    """Names that are none, are well known, or are another's spelling, one by one."""
    sound: dict[str, bool] = {}
    for name, critical in actions.items():
        try:
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


def _of_validation(error: ValidationError) -> Iterator[Problem]:
    for detail in error.errors():
        where = tuple(part for part in detail["loc"] if part != "[key]")
        yield Problem(where, _words(detail, where))


def _words(detail: ErrorDetails, where: tuple[str | int, ...]) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        table = CouncilTable if len(where) == 1 else _TABLES.get(str(where[0]), CouncilTable)
        return f"unknown key{near(str(where[-1]), table.model_fields)}"
    if kind == "missing":
        return "is missing"
    if kind == "list_type" and isinstance(value, dict):
        return f"is one table; write [[{where[-1]}]], in double brackets, above each"
    if kind == "literal_error":
        words = ("routine", "critical")
        return f"is {_shown(value)}: should be one of {', '.join(words)}{near(str(value), words)}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"is {_shown(value)}: {message[:1].lower()}{message[1:]}"


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 1]}…"
