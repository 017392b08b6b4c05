"""The tables of a panel file: which keys there are.

What one key can say wrong is checked here and in :mod:`~quorate.hub.table_values`; what two
can say that do not go together, in :mod:`~quorate.hub.panel_checks`. Numbers are read
exactly as they are written.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, field_validator

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.hub.table_values import (
    Arguments,
    ChatConfidence,
    Command,
    Env,
    EnvName,
    Exact,
    Folder,
    Headers,
    Id,
    Json,
    Name,
    Normaliser,
    Table,
    Url,
    share,
    whole,
)
from quorate.ledger.entries import check_origin
from quorate.ledger.log import parse_url


class LedgerTable(Table):
    """``[ledger]``: where decisions are sealed, and by which key."""

    url: str = Field(description="memory: is not for panels; sqlite:///file, relative to the panel")
    signer: str = Field(min_length=1, description="private key file, relative to the panel")
    origin: str | None = Field(None, description="name of the log; random for a new one")

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            path = parse_url(whole(url))
        except UsageError as error:
            file = "ledger.db" if ":" in url or not url.isprintable() else url
            # What parse_url offers besides is no use to a panel.
            raise ValueError(f"no ledger url; give sqlite:///{file or 'ledger.db'}") from error
        if path is None:
            raise ValueError("memory: would be gone with the process; give sqlite:///ledger.db")
        return url

    @field_validator("signer")
    @classmethod
    def _signer(cls, signer: str) -> str:
        return whole(signer)

    @field_validator("origin")
    @classmethod
    def _origin(cls, origin: str | None) -> str | None:
        return None if origin is None else check_origin(origin)


class ArbiterTable(Table):
    """``[arbiter]``: the protocol, its threshold and options, and what follows a refusal."""

    protocol: Literal["weighted-quorum", "ranked-runoff", "first-to-quorum", "synthesis"]
    quorum: Exact = Field(
        Fraction(66, 100),
        description="share needed, more than 0, at most 1",
        json_schema_extra={"default": 0.66, "exclusiveMinimum": 0, "maximum": 1},
    )
    normalize: Normaliser | None = Field(
        None, description="what counts as the same answer; exact: the same JSON"
    )
    options: list[Json] | None = Field(
        None, min_length=1, description="ranked-runoff: the answers there are"
    )
    early: Literal["certain", "fast"] | None = Field(
        None, description="first-to-quorum: when to stop waiting"
    )
    synthesizer: Id | None = Field(None, description="synthesis: id of the expert that merges")
    ratify: bool | None = Field(
        None, description="synthesis: false commits a merge that no quorum ratified"
    )
    on_under_quorum: Literal["raise", "widen", "escalate", "fallback"] = Field(
        "raise", description="what follows where no answer reached the quorum"
    )
    fallback: Id | None = Field(None, description="id of the member trusted under fallback")
    mode: Literal["enforce", "shadow"] = Field(
        "enforce", description="shadow: decide and seal, and block nothing"
    )

    @field_validator("quorum")
    @classmethod
    def _quorum(cls, quorum: Fraction) -> Fraction:
        return share(quorum)

    OF_PROTOCOL: ClassVar[dict[str, str]] = {
        "options": "ranked-runoff",
        "early": "first-to-quorum",
        "synthesizer": "synthesis",
        "ratify": "synthesis",
    }

    def arbiter_options(self) -> dict[str, Any]:
        """What is declared of the protocol's own options, for ``Arbiter(**options)``."""
        given = {name: getattr(self, name) for name in ("normalize", *self.OF_PROTOCOL)}
        if self.ratify:
            # To ratify is what synthesis does unless told otherwise.
            del given["ratify"]
        return {name: value for name, value in given.items() if value is not None}


class EscalationTable(Table):
    """``[escalation]``: who is consulted on what the members could not decide."""

    to: Literal["peer-consult"]
    experts: list[Id] = Field(min_length=1, max_length=limits.MAX_REPLICAS)
    weight: Exact = Field(
        gt=0,
        le=limits.MAX_SAFE_INTEGER,
        description="route weight of what the consultants decide, beside the members' proposals",
        json_schema_extra={"exclusiveMinimum": 0, "maximum": limits.MAX_SAFE_INTEGER},
    )
    quorum: Exact | None = Field(
        None,
        description="share the consultants need among themselves; that of [arbiter] if left out",
        json_schema_extra={"exclusiveMinimum": 0, "maximum": 1},
    )

    @field_validator("quorum")
    @classmethod
    def _quorum(cls, quorum: Fraction | None) -> Fraction | None:
        return None if quorum is None else share(quorum)


class RunTable(Table):
    """``[run]``: how a stream of tasks is worked off."""

    concurrency: int = Field(8, ge=1, le=limits.MAX_CONCURRENCY, description="tasks side by side")


class ExpertTable(Table):
    """``[[experts]]``: what every kind of expert has."""

    id: Id
    weight: Exact = Field(
        Fraction(1),
        ge=0,
        le=limits.MAX_SAFE_INTEGER,
        description="route weight, exact",
        json_schema_extra={"default": 1, "minimum": 0, "maximum": limits.MAX_SAFE_INTEGER},
    )
    timeout: Exact = Field(
        Fraction(30),
        gt=0,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="seconds for one task",
        json_schema_extra={
            "default": 30,
            "exclusiveMinimum": 0,
            "maximum": limits.MAX_TIMEOUT_SECONDS,
        },
    )
    max_cost: Exact | None = Field(
        None,
        ge=0,
        description="an answer that cost more is not counted",
        json_schema_extra={"minimum": 0},
    )
    max_tokens: int | None = Field(
        None,
        ge=0,
        le=limits.MAX_SAFE_INTEGER,
        description="an answer that took more tokens is not counted",
    )
    cost: Exact = Field(
        Fraction(0),
        ge=0,
        description="expected for one call, in the panel's own unit",
        json_schema_extra={"default": 0, "minimum": 0},
    )
    tokens: int = Field(0, ge=0, le=limits.MAX_SAFE_INTEGER, description="expected for one call")
    capabilities: list[Name] = Field(
        default=[], max_length=limits.MAX_CAPABILITIES, description="what it can do"
    )
    failure_domain: dict[Name, Name] = Field(
        default={},
        max_length=limits.MAX_DOMAIN_ATTRIBUTES,
        description="what it may fail together with others by: host, weights, vendor",
    )
    role: Literal["member", "reserve", "consultant", "synthesizer"] = Field(
        "member", description="members decide; the others are asked where the panel says so"
    )

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: Fraction) -> Fraction:
        if not float(timeout):
            raise ValueError("too short a time to be told from 0 seconds")
        return timeout


_INSECURE: Final = Field(default=False, description="send the secret over plain http all the same")


_CWD: Final = Field(
    None, description="folder it runs in, relative to the panel file; else the panel file's own"
)


_PROCESSES: Final = Field(
    None,
    ge=1,
    le=limits.MAX_CHILD_PROCESSES,
    description="most of them at once, each with one task; else as many as [run] concurrency",
)


class _BareTable(ExpertTable):
    """An expert that may answer without a confidence of its own."""

    confidence: Exact | None = Field(
        None,
        ge=0,
        le=1,
        description="where the expert returns the bare answer",
        json_schema_extra={"minimum": 0, "maximum": 1},
    )


class PythonTable(_BareTable):
    """A function beside the panel file; in processes of its own where ``process`` is true."""

    kind: Literal["python"]
    call: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="module:function, such as experts:length",
    )
    process: bool = Field(default=False, description="run it in processes that can be stopped")
    processes: int | None = _PROCESSES


class SubprocessTable(_BareTable):
    """A program that reads tasks and writes answers, as JSON lines."""

    kind: Literal["subprocess"]
    command: Command = Field(description="program and arguments; no shell reads them")
    cwd: Folder | None = _CWD
    env: Env = Field(
        default={}, description="variables set for it besides those of the run; no secrets"
    )
    processes: int | None = _PROCESSES


class HTTPTable(_BareTable):
    """A service that answers a POST of the task."""

    kind: Literal["http"]
    url: Url
    bearer_env: EnvName | None = Field(None, description="variable that holds the bearer token")
    headers: Headers = Field(default={}, description="no secrets; they go by bearer_env")
    retries: int = Field(2, ge=0, le=limits.MAX_RETRIES, description="after failed attempts")
    idempotent: bool = Field(default=False, description="it may be asked twice without harm")
    insecure_http: bool = _INSECURE


class ChatTable(ExpertTable):
    """A language model behind an OpenAI-compatible interface."""

    kind: Literal["chat"]
    model: str = Field(min_length=1)
    base_url: Url
    api_key_env: EnvName | None = Field(None, description="variable that holds the key")
    system: str | None = None
    template: str | None = Field(None, description="the question, with the task put in")
    confidence: ChatConfidence = Field(
        "self",
        description="self (it says so), logprobs, samples:N (how often it says the same), "
        "or a number that is declared for it",
    )
    structured: Literal["json_schema", "json_object", "prompt"] = Field(
        "json_schema", description="how the form of the answer is asked for"
    )
    output_limit: Literal["max_completion_tokens", "max_tokens"] = Field(
        "max_completion_tokens", description="the server's name for max_output_tokens"
    )
    temperature: Exact | None = Field(None, ge=0, json_schema_extra={"minimum": 0})
    max_output_tokens: int | None = Field(None, ge=1, le=limits.MAX_OUTPUT_TOKENS)
    price_in: Exact | None = Field(
        None, ge=0, description="for a million tokens", json_schema_extra={"minimum": 0}
    )
    price_out: Exact | None = Field(
        None, ge=0, description="for a million tokens", json_schema_extra={"minimum": 0}
    )
    seed: int | None = Field(None, ge=0, le=limits.MAX_SAFE_INTEGER)
    choices: list[str] | None = Field(
        None, min_length=1, max_length=limits.MAX_CHOICES, description="the answers there are"
    )
    normalize: Normaliser = Field(
        "text", description="samples:N: which samples say the same; exact: the same JSON"
    )
    retries: int = Field(2, ge=0, le=limits.MAX_RETRIES, description="after failed attempts")
    insecure_http: bool = _INSECURE


class _ReadTable(_BareTable):
    """An expert that may answer with the bare payload."""

    reads: Literal["answer", "payload"] = Field(
        "answer", description="an answer object, or the bare payload"
    )
    insecure_http: bool = _INSECURE


class A2ATable(_ReadTable):
    """An agent that speaks A2A."""

    kind: Literal["a2a"]
    url: Url
    bearer_env: EnvName | None = Field(None, description="variable that holds the bearer token")


class MCPTable(_ReadTable):
    """A tool of an MCP server, reached by ``url`` or started by ``command``."""

    kind: Literal["mcp"]
    tool: str = Field(min_length=1)
    url: Url | None = None
    command: Command | None = Field(None, description="program and arguments of the server")
    cwd: Folder | None = _CWD
    env: Env = Field(default={}, description="variables set for the command; no secrets")
    arguments: Arguments | None = Field(
        None, description="of the tool, with {input} where the task's input goes"
    )
    bearer_env: EnvName | None = Field(None, description="variable that holds the bearer token")


AnyExpertTable = Annotated[
    PythonTable | SubprocessTable | HTTPTable | ChatTable | A2ATable | MCPTable,
    Field(discriminator="kind"),
]

KINDS: Final[dict[str, type[ExpertTable]]] = {
    "python": PythonTable,
    "subprocess": SubprocessTable,
    "http": HTTPTable,
    "chat": ChatTable,
    "a2a": A2ATable,
    "mcp": MCPTable,
}
"""Every kind of expert, and its table."""


class PanelTable(Table):
    """A whole panel file."""

    ledger: LedgerTable
    arbiter: ArbiterTable
    escalation: EscalationTable | None = None
    run: RunTable = RunTable()
    experts: list[AnyExpertTable] = Field(min_length=1, max_length=limits.MAX_REPLICAS)
