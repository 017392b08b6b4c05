"""The panel file: one file declares who decides, how, and where it is recorded.

::

    [ledger]
    url = "sqlite:///ledger.db"        # relative to the panel file
    signer = "keys/ledger.key"

    [arbiter]
    protocol = "weighted-quorum"
    quorum = 0.66                      # exact: sixty-six hundredths

    [run]
    concurrency = 8                    # tasks decided side by side

    [[experts]]
    id = "length"
    kind = "python"
    call = "experts:length"            # module:function, beside the panel file
    weight = 1
    timeout = 5.0                      # seconds
    confidence = 0.9                   # where the function returns the bare answer
    max_cost = 100
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import ErrorDetails

from quorate.arbitration import Arbiter
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.exact import exact
from quorate.core.quorum import heavy_voters
from quorate.hub.beside import beside, resolve
from quorate.hub.experts import Expert
from quorate.hub.toml_lines import locate
from quorate.ledger.entries import check_origin
from quorate.ledger.files import read_text
from quorate.ledger.log import parse_url

_MOST_SHOWN: Final = 80
_SMALLEST: Final = Fraction(1, 10**307)
_LARGEST: Final = 10**308
_WITHOUT_QUOTES: Final = "a number; write it without quotes"
_TOML_LINE: Final = re.compile(r" \(at line ([0-9]+), column [0-9]+\)$")
_ENDLESS_NUMBER: Final = re.compile(r"[0-9][0-9_]{4000}")
_BYTE_ORDER_MARK: Final = "\ufeff"


def _number(value: object) -> Fraction:
    if isinstance(value, str):
        raise ValueError(_WITHOUT_QUOTES)  # noqa: TRY004 - pydantic reads only this one
    return exact(value)  # type: ignore[arg-type] # it refuses what is no number


Exact = Annotated[Fraction, BeforeValidator(_number), WithJsonSchema({"type": "number"})]


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True
    )


def _whole(name: str) -> str:
    if "\0" in name:
        raise ValueError("no file name has a NUL character in it; take it out")
    return name


class LedgerTable(_Table):
    """``[ledger]``: where decisions are sealed, and by which key."""

    url: str = Field(description="memory: is not for panels; sqlite:///file, relative to the panel")
    signer: str = Field(min_length=1, description="private key file, relative to the panel")
    origin: str | None = Field(None, description="name of the log; random for a new one")

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            path = parse_url(_whole(url))
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
        return _whole(signer)

    @field_validator("origin")
    @classmethod
    def _origin(cls, origin: str | None) -> str | None:
        return None if origin is None else check_origin(origin)


class ArbiterTable(_Table):
    """``[arbiter]``: the protocol and its threshold."""

    protocol: Literal["weighted-quorum"]
    quorum: Exact = Field(
        Fraction(66, 100),
        description="share needed, more than 0, at most 1",
        json_schema_extra={"default": 0.66, "exclusiveMinimum": 0, "maximum": 1},
    )

    @field_validator("quorum")
    @classmethod
    def _quorum(cls, quorum: Fraction) -> Fraction:
        if not 0 < quorum <= 1:
            raise ValueError("a quorum is more than 0 and at most 1")
        return quorum


class RunTable(_Table):
    """``[run]``: how a stream of tasks is worked off."""

    concurrency: int = Field(8, ge=1, le=limits.MAX_CONCURRENCY, description="tasks side by side")


class ExpertTable(_Table):
    """``[[experts]]``: one member of the roster."""

    id: str = Field(min_length=1, max_length=limits.MAX_ID_LENGTH)
    kind: Literal["python"]
    call: str = Field(
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="module:function, such as experts:length",
    )
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

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: Fraction) -> Fraction:
        if not float(timeout):
            raise ValueError("too short a time to be told from 0 seconds")
        return timeout

    max_cost: Exact | None = Field(
        None,
        ge=0,
        description="an answer that cost more is not counted",
        json_schema_extra={"minimum": 0},
    )
    confidence: Exact | None = Field(
        None,
        ge=0,
        le=1,
        description="where the function returns the bare answer",
        json_schema_extra={"minimum": 0, "maximum": 1},
    )


class PanelTable(_Table):
    """A whole panel file."""

    ledger: LedgerTable
    arbiter: ArbiterTable
    run: RunTable = RunTable()
    experts: list[ExpertTable] = Field(min_length=1, max_length=limits.MAX_REPLICAS)


class PanelError(UsageError):
    """A panel file that cannot be used.

    Attributes:
        problems: one text each, beginning with ``file:line:`` where the line is known.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        """Show all ``problems`` at once, so that one round of mending does."""
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class Panel:
    """A panel read from its file, its experts imported, ready to run.

    Attributes:
        path: the panel file.
        table: what it says.
        experts: the roster, in file order.
        arbiter: the declared protocol.
    """

    SCHEMA_FILE: ClassVar = "panel.schema.json"

    def __init__(self, path: Path, table: PanelTable, experts: tuple[Expert, ...]) -> None:
        """Use :meth:`load`."""
        self.path = path
        self.table = table
        self.experts = experts
        self.arbiter = Arbiter(protocol=table.arbiter.protocol, quorum=table.arbiter.quorum)

    @classmethod
    def load(cls, path: str | Path) -> Panel:
        """Read and check a panel file, and import its experts.

        Raises:
            OperationalError: the file cannot be read.
            PanelError: what is wrong, each with its line.
        """
        path = Path(path)
        text, table = _checked(path)
        return cls(path, table, _experts(path, text, table))

    @classmethod
    def declared(cls, path: str | Path) -> Panel:
        """Read and check a panel file without importing its experts: it cannot be run.

        Raises:
            OperationalError: the file cannot be read.
            PanelError: what is wrong, each with its line.
        """
        path = Path(path)
        return cls(path, _checked(path)[1], ())

    @property
    def ledger_url(self) -> str:
        """Where the ledger is, the panel file's folder taken into account."""
        relative = parse_url(self.table.ledger.url)
        assert relative is not None  # noqa: S101 - LedgerTable refuses memory:
        return f"sqlite:///{self.path.parent / relative}"

    @property
    def signer_path(self) -> Path:
        """Where the private key is."""
        return self.path.parent / self.table.ledger.signer

    def importing(self) -> AbstractContextManager[None]:
        """Let experts import modules beside the panel file, as they may while it runs."""
        return beside(self.path.parent).importable()

    def notes(self) -> list[str]:
        """What a careful reader should know about this roster and quorum."""
        found = [
            f"{id_} holds {float(share):.0%} of the weight, a third or more: "
            "it alone, lying, breaks the bound"
            for id_, share in heavy_voters({e.id: e.weight for e in self.experts}).items()
        ]
        quorum = self.table.arbiter.quorum
        if quorum <= Fraction(1, 2):
            found.append(f"a quorum of {float(quorum):g} commits answers that a half may oppose")
        return found


def _checked(path: Path) -> tuple[str, PanelTable]:
    """Read a panel file and check all but its experts' code."""
    text = _read(path)
    try:
        table = PanelTable.model_validate(tomllib.loads(text, parse_float=Decimal))
    except ValidationError as error:
        raise PanelError(_problems(path, text, error)) from error
    # The reader gives up on numbers out of all bounds with other errors than its own.
    except (ValueError, InvalidOperation) as error:
        raise PanelError([_not_toml(path, text, error)]) from error
    except RecursionError as error:
        raise PanelError([f"{path}: not TOML that can be read: nested too deep"]) from error
    problems = list(_repeated(path, text, table))
    if problems:
        raise PanelError(problems)
    return text, table


def _not_toml(path: Path, text: str, error: Exception) -> str:
    if not isinstance(error, tomllib.TOMLDecodeError):
        endless = _ENDLESS_NUMBER.search(text)
        line = text.count("\n", 0, endless.start()) + 1 if endless is not None else 1
        return f"{path}:{line}: not TOML that can be read: a number has too many digits"
    told = str(error)
    found = _TOML_LINE.search(told)
    line = int(found[1]) if found is not None else max(len(text.splitlines()), 1)
    return f"{path}:{line}: not TOML: {told[:1].lower()}{told[1:]}"


def _read(path: Path) -> str:
    try:
        # Some editors of Windows put a mark there, which says nothing of UTF-8.
        return read_text(path, "panel", limits.MAX_PANEL_BYTES).removeprefix(_BYTE_ORDER_MARK)
    except OperationalError as error:
        raise OperationalError(f"{error}; 'quorate init' writes one") from error
    except UsageError as error:
        raise PanelError([str(error)]) from error


def _place(path: Path, text: str, where: tuple[str | int, ...]) -> str:
    line = locate(text, where)
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return f"{path}:{line or 1}: {name.lstrip('.')}" if name else f"{path}"


def _problems(path: Path, text: str, error: ValidationError) -> list[str]:
    found = []
    for detail in error.errors():
        where = detail["loc"]
        found.append((locate(text, where) or 1, f"{_place(path, text, where)}: {_words(detail)}"))
    return [message for _, message in sorted(found)]


def _words(detail: ErrorDetails) -> str:
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, _known_keys(detail["loc"]), n=1)
        return "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    if detail["type"] == "missing":
        return "is missing"
    hint = _hint(name, detail["type"], detail["input"])
    if hint is not None:
        return f"is {hint}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"is {_shown(detail['input'])}: {message[:1].lower()}{message[1:]}"


def _hint(name: str, kind: str, value: object) -> str | None:
    """What to say of the commonest slips, in words of a panel file."""
    if name == "call" and kind == "string_pattern_mismatch":
        return f"{value!r}; give module:function, such as experts:length"
    if kind == "list_type" and isinstance(value, dict):
        return f"one table; write [[{name}]], in double brackets, above each"
    if kind == "model_type" and isinstance(value, list):
        return f"a list of tables; write [{name}], in single brackets, and once"
    if kind == "int_type" and isinstance(value, str):
        return f"{_shown(value)}: {_WITHOUT_QUOTES}"
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


def _known_keys(where: tuple[str | int, ...]) -> list[str]:
    models: dict[str, type[_Table]] = {
        "ledger": LedgerTable,
        "arbiter": ArbiterTable,
        "run": RunTable,
        "experts": ExpertTable,
    }
    model = PanelTable if len(where) == 1 else models.get(str(where[0]), PanelTable)
    return list(model.model_fields)


def _repeated(path: Path, text: str, table: PanelTable) -> Iterator[str]:
    seen: set[str] = set()
    for number, expert in enumerate(table.experts):
        if expert.id in seen:
            place = _place(path, text, ("experts", number, "id"))
            yield f"{place}: {expert.id!r} is the id of another expert too"
        seen.add(expert.id)
    if not sum(expert.weight for expert in table.experts):
        place = _place(path, text, ("experts", 0, "weight"))
        yield f"{place}: all weights are 0; nobody could ever decide"


def _experts(path: Path, text: str, table: PanelTable) -> tuple[Expert, ...]:
    experts, problems = [], []
    called = {expert.call.partition(":")[0] for expert in table.experts}
    with beside(path.parent).importable(called):
        for number, expert in enumerate(table.experts):
            try:
                function = resolve(expert.call)
            except UsageError as error:
                place = _place(path, text, ("experts", number, "call"))
                problems.append(f"{place}: {error}")
                continue
            experts.append(
                Expert(
                    expert.id,
                    function,
                    weight=expert.weight,
                    timeout=float(expert.timeout),
                    max_cost=expert.max_cost,
                    confidence=expert.confidence,
                )
            )
    if problems:
        raise PanelError(problems)
    return tuple(experts)
