"""The tables of a council file: which keys there are, and what each can hold.

``council.schema.json`` beside this module is their JSON Schema. What two keys say together is
checked where the file is read.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, WithJsonSchema
from pydantic import ValidationError as _Invalid

from quorate.cli.council.times import duration
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.exact import as_text, exact, from_text
from quorate.council import bounds
from quorate.council.executors.process import MOST_EXIT
from quorate.council.notify import EVENTS, LONGEST_SECONDS
from quorate.hub.table_values import (
    Command,
    EnvName,
    Exact,
    Folder,
    Id,
    Table,
    Url,
)
from quorate.hub.table_values import Env as PanelEnv
from quorate.hub.tables import LedgerTable

_ENV: Final = TypeAdapter(PanelEnv)
_CALL: Final = r"^([A-Za-z_][A-Za-z0-9_.]*|[^:]*[A-Za-z0-9_]\.py):[A-Za-z_][A-Za-z0-9_]*$"


def _share(value: object) -> Fraction:
    """A share: a number, or ``"p/q"`` where no decimal is exact."""
    return from_text(value) if isinstance(value, str) else exact(value)  # type: ignore[arg-type] # it refuses what is no number


def _duration(value: object) -> Fraction:
    if not isinstance(value, str):
        raise ValueError('a duration is a text such as "10m", "1h30m" or "never"')  # noqa: TRY004 - pydantic reads only this one
    try:
        return duration(value, "it")
    except UsageError as error:
        # Where it is told, the value stands before it.
        raise ValueError(str(error).removeprefix(f"it is {value!r}; ")) from error


def _no_secrets(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        try:
            _ENV.validate_python({name: value})
        except _Invalid as error:
            raise ValueError(
                f"giving away {name}, a secret, which no council file holds; set it where the "
                "command is started, and name it in pass_env"
            ) from error
    return env


_Share = Annotated[
    Fraction,
    BeforeValidator(_share),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"type": "string", "pattern": "^(0|1|[1-9][0-9]*/[1-9][0-9]*)$"},
            ]
        }
    ),
]
_Duration = Annotated[
    Fraction,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": "^(never|(?=.*[1-9])([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m(?!s))?"
            "([0-9]{1,9}s)?([0-9]{1,9}ms)?)$",
        }
    ),
]
_Exit = Annotated[int, Field(ge=1, le=MOST_EXIT)]
_Env = Annotated[dict[EnvName, str], AfterValidator(_no_secrets)]


class RulesTable(Table):
    """``[rules]``: the thresholds and limits of :class:`ConsensusConfig`."""

    quorum_fraction: _Share = Field(
        Fraction(1, 2),
        description="routine: so many of the voters approve or reject",
        json_schema_extra={"default": "1/2"},
    )
    majority_threshold: _Share = Field(
        Fraction(1, 2),
        description="routine: more than this part of the weight cast approves",
        json_schema_extra={"default": "1/2"},
    )
    supermajority_threshold: _Share = Field(
        Fraction(2, 3),
        description="critical: at least this part of all weight approves",
        json_schema_extra={"default": "2/3"},
    )
    default_expiry: _Duration = Field(
        Fraction(0),
        description="how long votes count, such as 90s, 10m, 1h30m, 2d or never",
        json_schema_extra={"default": "never"},
    )
    allow_vote_change: bool = Field(default=False, description="before the decision")
    max_active_proposals: int = Field(
        10, ge=1, le=bounds.MAX_ACTIVE, description="open at the same time"
    )
    execute_within: _Duration = Field(
        Fraction(7 * 86_400),
        description="how long an approval holds, such as 2d or never",
        json_schema_extra={"default": "7d"},
    )
    clock_tolerance: _Duration = Field(
        Fraction(300),
        description="how far clocks may differ, such as 5m",
        json_schema_extra={"default": "5m"},
    )
    only_voters_execute: bool = Field(
        default=False, description="in their own names, and signed where they have keys"
    )


class VoterTable(Table):
    """``[[voters]]``: one voter, its weight, and the public key that its ballots are checked by."""

    id: Id
    weight: Exact = Field(
        Fraction(1),
        description="above 0, exact",
        json_schema_extra={"default": 1, "exclusiveMinimum": 0},
    )
    key: str | None = Field(
        None, min_length=1, description="ed25519:… itself, or its file, relative to this one"
    )


_CWD: Final = Field(
    None, description="folder it runs in, relative to this file; else this file's own"
)
_SET: Final[Any] = Field(
    default={}, description="variables set for it besides PATH, HOME; no secrets"
)
_PASSED: Final[Any] = Field(
    default=[], description="variables handed on to it from where the command is started"
)
_ADDRESS: Final = Field(None, description="variable that holds the url, where that is a secret")
_BEARER: Final = Field(None, description="variable that holds the bearer token")
_INSECURE: Final = Field(
    default=False, description="plain http to another machine, for all on the way to read"
)
_COMMAND: Final = Field(description="program and arguments; no shell reads them")


class ExecutorTable(Table):
    """``[executors.ACTION]``: who carries out an action that was approved."""

    timeout: Exact = Field(
        Fraction(60),
        gt=0,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="seconds until its result is due",
        json_schema_extra={
            "default": 60,
            "exclusiveMinimum": 0,
            "maximum": limits.MAX_TIMEOUT_SECONDS,
        },
    )

    def declaration(self) -> dict[str, Any]:
        """What is declared, as JSON; numbers as ``"p/q"``. Its digest is sealed."""
        return {
            name: as_text(value) if isinstance(value, Fraction) else value
            for name, value in self.model_dump(exclude_unset=True).items()
        }


class CommandTable(ExecutorTable):
    """A program that finds the order on its standard input."""

    kind: Literal["command"]
    command: Command = _COMMAND
    cwd: Folder | None = _CWD
    env: _Env = _SET
    pass_env: list[EnvName] = _PASSED
    failed_exits: list[_Exit] = Field(
        default=[], description="exit statuses by which it says that nothing was done"
    )


class WebhookTable(ExecutorTable):
    """An address that the order is posted to."""

    kind: Literal["webhook"]
    url: Url | None = None
    url_env: EnvName | None = _ADDRESS
    bearer_env: EnvName | None = _BEARER
    insecure_http: bool = _INSECURE


class MCPTable(ExecutorTable):
    """A tool of an MCP server, reached by ``url`` or started by ``command``."""

    kind: Literal["mcp"]
    tool: Id
    url: Url | None = None
    command: Command | None = Field(None, description="program and arguments of the server")
    cwd: Folder | None = _CWD
    env: _Env = _SET
    pass_env: list[EnvName] = _PASSED
    bearer_env: EnvName | None = _BEARER
    insecure_http: bool = _INSECURE


class PythonTable(ExecutorTable):
    """A function that takes the order."""

    kind: Literal["python"]
    call: str = Field(
        pattern=_CALL,
        description="module:function or FILE.py:function, beside this file",
    )


class HookTable(Table):
    """``[[hooks]]``: somebody to be told of what happens."""

    name: Id = Field(description="by which it is known in the ledger, for good")
    on: list[Literal["proposed", "decided", "expired", "executed"]] = Field(
        default=list(EVENTS), min_length=1, description="what it is told of"
    )
    timeout: Exact = Field(
        Fraction(10),
        gt=0,
        le=LONGEST_SECONDS,
        description="seconds for one notice",
        json_schema_extra={"default": 10, "exclusiveMinimum": 0, "maximum": LONGEST_SECONDS},
    )
    from_entry: int = Field(
        0,
        ge=0,
        le=limits.MAX_SAFE_INTEGER,
        description="ledger entry from which on it is told; what was before it is not",
    )


class WebhookHookTable(HookTable):
    """An address that each notice is posted to."""

    kind: Literal["webhook"]
    url: Url | None = None
    url_env: EnvName | None = _ADDRESS
    bearer_env: EnvName | None = _BEARER
    insecure_http: bool = _INSECURE


class CommandHookTable(HookTable):
    """A program that is run for each notice."""

    kind: Literal["command"]
    command: Command = _COMMAND
    cwd: Folder | None = _CWD
    env: _Env = _SET
    pass_env: list[EnvName] = _PASSED


AnyExecutorTable = Annotated[
    CommandTable | WebhookTable | MCPTable | PythonTable, Field(discriminator="kind")
]
AnyHookTable = Annotated[WebhookHookTable | CommandHookTable, Field(discriminator="kind")]


class CouncilTable(Table):
    """A whole council file."""

    id: Id = Field("council", description="which council of the ledger")
    ledger: LedgerTable
    rules: RulesTable = Field(RulesTable(), json_schema_extra={"default": {}})
    actions: dict[str, Literal["routine", "critical"]] = Field(
        default={}, description="actions beside the well-known ones"
    )
    voters: list[VoterTable] = Field(min_length=1)
    executors: dict[str, AnyExecutorTable] = Field(
        default={}, description="who carries out which action, on this machine; never sealed"
    )
    hooks: list[AnyHookTable] = Field(
        default=[], max_length=bounds.MAX_HOOKS, description="who is told of what happens"
    )

    SCHEMA_FILE: ClassVar = "council.schema.json"


KINDS: Final[dict[str, dict[str, type[Table]]]] = {
    "executors": {
        "command": CommandTable,
        "webhook": WebhookTable,
        "mcp": MCPTable,
        "python": PythonTable,
    },
    "hooks": {"webhook": WebhookHookTable, "command": CommandHookTable},
}
"""Where a table says its kind: kind -> the table of it."""

TABLES: Final[dict[str, type[Table]]] = {
    "ledger": LedgerTable, "rules": RulesTable, "voters": VoterTable,
}  # fmt: skip
"""The others."""
