"""Options that several commands share, and how they find a ledger and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.core.errors import UsageError
from quorate.core.identity import Verifier
from quorate.ledger import Ledger, Policy, read_verifier

PANEL: Final = Path("quorate.toml")

Where = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        help="URL or file of the ledger; else the one that ./quorate.toml names.",
        show_default=False,
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Option(
        "--key",
        metavar="PUB",
        help="Public key to trust: its text or its file. May be repeated.",
        show_default=False,
    ),
]
PolicyFile = Annotated[
    Path | None,
    typer.Option("--policy", help="Policy file that says which keys to trust.", show_default=False),
]


def ledger_url(where: str | None) -> str:
    """The URL of the ledger meant: named, or that of the panel file in this folder."""
    if where is not None:
        schemes = ("sqlite:", "memory:", "postgresql:")
        return where if where.startswith(schemes) else f"sqlite:///{where}"
    if not PANEL.is_file():
        raise UsageError("name a ledger with --ledger; there is no quorate.toml in this folder")
    from quorate.hub.panel import Panel

    return Panel.declared(PANEL).ledger_url


def open_reading(where: str | None, verifiers: Sequence[Verifier] = ()) -> Ledger:
    """Open that ledger for reading."""
    return Ledger.open(ledger_url(where), verify_with=verifiers)


def trusted(keys: list[str] | None, policy: Path | None) -> Policy | None:
    """The policy meant by ``--key`` and ``--policy``; ``None`` if neither is given."""
    if keys and policy is not None:
        raise UsageError("give --key or --policy, not both")
    if policy is not None:
        return Policy.read(policy)
    if keys:
        return Policy.of([read_verifier(key) for key in keys])
    return None
