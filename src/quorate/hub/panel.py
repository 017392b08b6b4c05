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

An expert is of the kind python, subprocess, http, chat, a2a or mcp. Members decide; experts
with ``role = "reserve"``, ``"consultant"`` or ``"synthesizer"`` are asked where the panel
says so. :mod:`~quorate.hub.tables` holds every key.
"""

from __future__ import annotations

import tomllib
from contextlib import AbstractContextManager
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar, Final

from pydantic import ValidationError

from quorate.arbitration import Arbiter
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.independence import Independence
from quorate.core.quorum import heavy_voters
from quorate.hub import panel_checks, panel_experts
from quorate.hub.beside import beside
from quorate.hub.experts import Expert
from quorate.hub.panel_checks import CONSULTANT, MEMBER, RESERVE, Problem
from quorate.hub.panel_words import PanelError, not_toml, of_validation, told
from quorate.hub.policy import Policy
from quorate.hub.tables import PanelTable
from quorate.ledger.files import read_text
from quorate.ledger.log import parse_url

__all__ = ["Panel", "PanelError", "PanelTable"]

_BYTE_ORDER_MARK: Final = "\ufeff"


class Panel:
    """A panel read from its file, its experts imported, ready to run.

    Attributes:
        path: the panel file.
        table: what it says.
        arbiter: the declared protocol.
        every: all experts, whatever their role, by id, in file order; empty where the
            panel was only :meth:`declared`.
    """

    SCHEMA_FILE: ClassVar = "panel.schema.json"

    def __init__(self, path: Path, table: PanelTable, arbiter: Arbiter) -> None:
        """Use :meth:`load` or :meth:`declared`."""
        self.path = path
        self.table = table
        self.arbiter = arbiter
        self.every: dict[str, Expert] = {}

    @classmethod
    def load(cls, path: str | Path) -> Panel:
        """Read and check a panel file, and import its experts.

        Raises:
            OperationalError: the file cannot be read, or a kind of expert needs a package
                that is not installed.
            PanelError: what is wrong, each with its line.
        """
        path = Path(path)
        text, panel = _declared(path)
        panel.every, problems = panel_experts.make(panel.table, path.parent)
        if problems:
            raise PanelError(told(path, text, problems))
        return panel

    @classmethod
    def declared(cls, path: str | Path) -> Panel:
        """Read and check a panel file without importing its experts: it cannot be run.

        Raises:
            OperationalError: the file cannot be read.
            PanelError: what is wrong, each with its line.
        """
        return _declared(Path(path))[1]

    @property
    def experts(self) -> tuple[Expert, ...]:
        """The members, in file order: the roster of every decision that is not widened."""
        return self._of_role(MEMBER)

    @property
    def synthesizer(self) -> Expert | None:
        """The expert that merges proposals, under that protocol."""
        named = self.table.arbiter.synthesizer
        return None if named is None else self.every.get(named)

    @property
    def policy(self) -> Policy:
        """What follows where no answer reaches the quorum."""
        arbiter, escalation = self.table.arbiter, self.table.escalation
        given: dict[str, Any] = {"on_under_quorum": arbiter.on_under_quorum}
        if arbiter.fallback is not None:
            given["fallback"] = arbiter.fallback
        if arbiter.on_under_quorum == "widen":
            given["reserve"] = self._of_role(RESERVE)
        if escalation is not None:
            given["consult"] = self._of_role(CONSULTANT)
            given["consult_to"] = escalation.to
            given["consult_weight"] = escalation.weight
            given["consult_quorum"] = self.consult_quorum
        return Policy(**given)

    @property
    def consult_quorum(self) -> Fraction:
        """The share that consultants need among themselves."""
        escalation = self.table.escalation
        own = None if escalation is None else escalation.quorum
        return self.table.arbiter.quorum if own is None else own

    @property
    def independence(self) -> Independence | None:
        """What is declared of failing together; ``None`` where nothing is."""
        domains = {e.id: dict(e.failure_domain) for e in self.table.experts if e.failure_domain}
        return Independence(domains) if domains else None

    @property
    def shadow(self) -> bool:
        """Whether it only shows what it would decide."""
        return self.table.arbiter.mode == "shadow"

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

    async def aclose(self) -> list[str]:
        """Let all experts go of processes and connections.

        Returns:
            What went wrong at that, one line each: nothing that was decided is lost by it.
        """
        failed = []
        for expert in self.every.values():
            try:
                await expert.aclose()
            # An adapter may raise anything; the others are still to be closed.
            except Exception as error:  # noqa: BLE001
                failed.append(f"{expert.id} could not be closed: {type(error).__name__}: {error}")
        return failed

    def notes(self) -> list[str]:
        """What a careful reader should know about this roster and quorum."""
        members = {e.id: e.weight for e in self.table.experts if e.role == MEMBER}
        found = [
            f"{id_} holds {float(share):.0%} of the weight, a third or more: "
            "it alone, lying, breaks the bound"
            for id_, share in heavy_voters(members).items()
        ]
        arbiter = self.table.arbiter
        if arbiter.quorum <= Fraction(1, 2):
            found.append(
                f"a quorum of {float(arbiter.quorum):g} commits answers that a half may oppose"
            )
        if arbiter.ratify is False:
            found.append("ratify = false: the synthesizer alone decides, and its word is no quorum")
        return found

    def _of_role(self, role: str) -> tuple[Expert, ...]:
        named = {declared.id for declared in self.table.experts if declared.role == role}
        return tuple(expert for id_, expert in self.every.items() if id_ in named)


def _declared(path: Path) -> tuple[str, Panel]:
    """Read a panel file and check all but its experts' code; give its text too."""
    text = _read(path)
    try:
        table = PanelTable.model_validate(tomllib.loads(text, parse_float=Decimal))
    except ValidationError as error:
        raise PanelError(told(path, text, of_validation(error))) from error
    # The reader gives up on numbers out of all bounds with other errors than its own.
    except (ValueError, InvalidOperation) as error:
        raise PanelError([not_toml(path, text, error)]) from error
    except RecursionError as error:
        raise PanelError([f"{path}: not TOML that can be read: nested too deep"]) from error
    problems = list(panel_checks.problems(table))
    if problems:
        raise PanelError(told(path, text, problems))
    declared = table.arbiter
    try:
        arbiter = Arbiter(
            protocol=declared.protocol, quorum=declared.quorum, **declared.arbiter_options()
        )
    except UsageError as error:
        raise PanelError(told(path, text, [Problem(("arbiter",), str(error))])) from error
    return text, Panel(path, table, arbiter)


def _read(path: Path) -> str:
    try:
        # Some editors of Windows put a mark there, which says nothing of UTF-8.
        return read_text(path, "panel", limits.MAX_PANEL_BYTES).removeprefix(_BYTE_ORDER_MARK)
    except OperationalError as error:
        raise OperationalError(f"{error}; 'quorate init' writes one") from error
    except UsageError as error:
        raise PanelError([str(error)]) from error
