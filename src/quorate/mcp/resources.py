"""What can be read: receipts, bundles, the log's checkpoint, and the catalogue of obligations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Final

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError, ToolError

from quorate.core.errors import UsageError
from quorate.ledger import Ledger
from quorate.mcp.settings import Settings
from quorate.mcp.work import Workers

OF_LEDGER: Final = ("quorate://receipt/", "quorate://bundle/", "quorate://checkpoint")
"""How the addresses of what a ledger has begin."""

_JSON = "application/json"
_SEQ = re.compile(r"0|[1-9][0-9]{0,15}")


class Resources:
    """Receipts and what pins them, of the operator's ledger."""

    def __init__(self, settings: Settings, workers: Workers) -> None:
        """Read from the operator's ledger, if there is one."""
        self._settings = settings
        self._workers = workers

    def register(self, server: MCPServer[Any]) -> None:
        """Add the resources to a server: those of a ledger only where there is one."""
        if self._settings.ledger is not None:
            server.resource(
                "quorate://receipt/{seq}",
                name="receipt",
                title="Receipt",
                description="One sealed entry with its body and signatures; verify it with "
                "verify_receipt, or offline with quorate verify.",
                mime_type=_JSON,
            )(self.receipt)
            server.resource(
                "quorate://bundle/{seq}",
                name="bundle",
                title="Bundle",
                description="A receipt with the proof that the log holds it: one file that can "
                "be verified offline.",
                mime_type=_JSON,
            )(self.bundle)
            server.resource(
                "quorate://checkpoint",
                name="checkpoint",
                title="Checkpoint",
                description="A signed note that pins the log as it stands. Keep it: against it "
                "nothing that was sealed can be cut off unseen.",
                mime_type="text/plain",
            )(self.checkpoint)
        server.resource(
            "quorate://catalogue",
            name="catalogue",
            title="Catalogue of obligations",
            description="What of the EU AI Act evidence is evaluated against, with dates.",
            mime_type=_JSON,
        )(self.catalogue)

    async def receipt(self, seq: str) -> str:
        """The receipt of one entry, as JSON."""
        place = _place(seq)
        return await self._read(lambda log: json.dumps(log.get(place).to_dict()))

    async def bundle(self, seq: str) -> str:
        """The bundle of one entry, as JSON."""
        place = _place(seq)
        return await self._read(lambda log: log.bundle(place).to_text())

    async def checkpoint(self) -> str:
        """A signed note of the log as it stands."""
        return await self._read(lambda log: log.checkpoint())

    async def catalogue(self) -> str:
        """The catalogue, as JSON."""
        from quorate.mcp.tools.assuring import catalogue  # noqa: PLC0415 - loads the catalogue

        return await self._run(catalogue)

    async def _read(self, read: Callable[[Ledger], str]) -> str:
        ledger = self._settings.ledger
        if ledger is None:
            raise ResourceNotFoundError("this server has no ledger")
        return await self._run(lambda: read(ledger))

    async def _run(self, function: Callable[[], str]) -> str:
        try:
            return await self._workers.run(function)
        except ToolError as error:
            if isinstance(error.__cause__, UsageError):
                raise ResourceNotFoundError(str(error)) from error
            raise ResourceError(str(error)) from error


def _place(seq: str) -> int:
    if not _SEQ.fullmatch(seq):
        raise ResourceNotFoundError("entries are numbered 0, 1, 2 and on")
    return int(seq)
