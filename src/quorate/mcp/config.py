"""The ``[serve]`` table: what the options of ``quorate serve`` say, in a file.

::

    [serve]
    ledger = "ledger.db"               # or panel = "quorate.toml", which names both
    signer = "keys/ledger.key"
    tokens = "tokens.toml"
    council = "council.toml"

What it names is relative to its folder. An option on the command line goes before it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.ledger.files import read_text
from quorate.mcp import bounds

_FILES: Final = (
    "tokens", "signer", "panel", "council", "policy", "trust", "tls_cert", "tls_key",
)  # fmt: skip
_MOST_SHOWN: Final = 8


class ServeTable(BaseModel):
    """``[serve]``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    host: str | None = Field(None, description="address to listen on; 127.0.0.1")
    port: int | None = Field(None, description="8000; 0 takes a free one")
    path: str = Field("/mcp", description="of the endpoint")
    tokens: str | None = Field(None, description="file of tokens: who may call")
    ledger: str | None = Field(None, description="URL or file of the ledger")
    signer: str | None = Field(None, description="private key file that seals")
    origin: str | None = Field(None, description="name of the log")
    panel: str | None = Field(None, description="panel file that names ledger and signer")
    council: str | None = Field(None, description="council file")
    policy: str | None = Field(None, description="policy file: whose receipts are trusted")
    trust: str | None = Field(None, description="trust store: whose agent cards are trusted")
    voters: list[str] = Field([], description="stdio: whom the client may vote as")
    targets: dict[str, str] = Field({}, description="name -> module:function or FILE.py:function")
    allowed_hosts: list[str] = Field([], description="further values of Host")
    allowed_origins: list[str] = Field([], description="values of Origin: pages that may call")
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure_http: bool | None = None
    insecure_no_tokens: bool | None = None
    call_seconds: float = bounds.CALL_SECONDS
    workers: int = bounds.WORKERS
    body_bytes: int = bounds.BODY_BYTES
    body_seconds: float = bounds.BODY_SECONDS
    calls: int = bounds.CALLS
    calls_per_minute: int | None = None

    @classmethod
    def read(cls, path: Path) -> ServeTable:
        """Read the table of a file, its files made relative to where the process runs.

        Raises:
            OperationalError: the file cannot be read.
            UsageError: it has no such table, or something in it cannot be used.
        """
        text = read_text(path, "configuration", limits.MAX_PANEL_BYTES)
        try:
            members = tomllib.loads(text.removeprefix("\ufeff"))
        # The reader gives up on whole numbers of thousands of digits with a bare ValueError.
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{path} is not TOML: {error}") from error
        if not isinstance(members.get("serve"), dict):
            raise UsageError(f"{path} has no table [serve]")
        try:
            table = cls.model_validate(members["serve"])
        except ValidationError as error:
            raise UsageError(_told(path, error)) from error
        return table.model_copy(update=_beside(path.parent, table))


def _beside(folder: Path, table: ServeTable) -> dict[str, Any]:
    named = {name: getattr(table, name) for name in _FILES}
    found: dict[str, Any] = {k: str(folder / v) for k, v in named.items() if v is not None}
    ledger = table.ledger
    if ledger is not None and ":" not in ledger:
        found["ledger"] = str(folder / ledger)
    files = {n: str(folder / call) for n, call in table.targets.items() if ".py:" in call}
    return {**found, "targets": {**table.targets, **files}}


def _told(path: Path, error: ValidationError) -> str:
    known = ", ".join(ServeTable.model_fields)
    told = []
    for one in error.errors()[:_MOST_SHOWN]:
        name = ".".join(map(str, one["loc"]))
        unknown = one["type"] == "extra_forbidden"
        told.append(f"{name}: {f'unknown; there is {known}' if unknown else one['msg']}")
    return f"{path}: [serve] {'; '.join(told)}"
