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
import importlib
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, Final, Literal

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
from quorate.hub.experts import Expert
from quorate.hub.toml_lines import locate
from quorate.ledger.entries import check_origin
from quorate.ledger.files import read_text
from quorate.ledger.log import parse_url

_MOST_SHOWN: Final = 80


def _number(value: object) -> Fraction:
    return exact(value)  # type: ignore[arg-type] # it refuses what is no number


Exact = Annotated[Fraction, BeforeValidator(_number), WithJsonSchema({"type": "number"})]


class _Table(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True
    )


class LedgerTable(_Table):
    """``[ledger]``: where decisions are sealed, and by which key."""

    url: str = Field(description="memory: is not for panels; sqlite:///file, relative to the panel")
    signer: str = Field(min_length=1, description="private key file, relative to the panel")
    origin: str | None = Field(None, description="name of the log; random for a new one")

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        if parse_url(url) is None:
            raise ValueError("memory: would be gone with the process; give sqlite:///file")
        return url

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
    # The reader gives up on whole numbers of thousands of digits with a bare ValueError.
    except ValueError as error:
        raise PanelError([f"{path}: not TOML: {error}"]) from error
    except RecursionError as error:
        raise PanelError([f"{path}: not TOML that can be read: nested too deep"]) from error
    problems = list(_repeated(path, text, table))
    if problems:
        raise PanelError(problems)
    return text, table


def _read(path: Path) -> str:
    try:
        return read_text(path, "panel", limits.MAX_PANEL_BYTES)
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
    if name == "call" and detail["type"] == "string_pattern_mismatch":
        return f"is {detail['input']!r}; give module:function, such as experts:length"
    message = detail["msg"].removeprefix("Value error, ")
    return f"is {_shown(detail['input'])}: {message[:1].lower()}{message[1:]}"


def _shown(value: object) -> str:
    """A value as its author may have written it, and not too long."""
    if isinstance(value, Fraction):
        return f"{float(value):g}"
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
    with _importing_from(path.parent, {expert.call.partition(":")[0] for expert in table.experts}):
        for number, expert in enumerate(table.experts):
            try:
                function = _resolve(expert.call)
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


@contextmanager
def _importing_from(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """Let modules beside the panel file be found, before any other of the same name."""
    place = folder.resolve()
    hidden: dict[str, ModuleType] = {}
    for top in {name.partition(".")[0] for name in names}:
        # Another panel's module of that name, or the standard library's, may be loaded already.
        if _is_beside(place, top) and not _comes_from(place, sys.modules.get(top)):
            for name in [n for n in sys.modules if n == top or n.startswith(f"{top}.")]:
                hidden[name] = sys.modules.pop(name)
    sys.path.insert(0, str(place))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(place))
        sys.modules.update(hidden)


def _is_beside(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name / "__init__.py").is_file()


def _comes_from(folder: Path, module: ModuleType | None) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and folder in Path(file).resolve().parents


def _resolve(call: str) -> Callable[[Any], Any]:
    module_name, _, name = call.partition(":")
    try:
        module = importlib.import_module(module_name)
    # Importing runs the module, and a module may raise anything.
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{module_name!r} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    function = getattr(module, name, None)
    if function is None:
        near = difflib.get_close_matches(name, [n for n in vars(module) if n[0] != "_"], n=1)
        raise UsageError(
            f"{module_name!r} has no {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if not callable(function):
        raise UsageError(f"{call} is {type(function).__name__}, which cannot be called")
    return function  # type: ignore[no-any-return] # any callable will do
