"""Options that several commands share, and how they find a ledger and its keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.core.errors import StoreError, UsageError
from quorate.core.identity import Verifier
from quorate.ledger import Ledger, Policy, read_verifier
from quorate.ledger.keyfiles import public_path
from quorate.ledger.log import parse_url

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


def is_url(text: str) -> bool:
    """Whether it is the URL of a ledger, rather than the name of a file."""
    return text.startswith(("sqlite:", "memory:", "postgresql:"))


def ledger_url(where: str | None) -> str:
    """The URL of the ledger meant: named, or that of the panel file in this folder."""
    if where is not None:
        return where if is_url(where) else f"sqlite:///{where}"
    if not PANEL.is_file():
        raise UsageError(
            "there is no quorate.toml in this folder; name a ledger, such as ledger.db, with "
            "--ledger where the command has that option"
        )
    from quorate.hub.panel import Panel

    return Panel.declared(PANEL).ledger_url


def open_reading(where: str | None, verifiers: Sequence[Verifier] = ()) -> Ledger:
    """Open that ledger for reading."""
    url = ledger_url(where)
    refuse_empty(url)
    return Ledger.open(url, verify_with=verifiers)


def refuse_empty(url: str) -> None:
    """Tell an empty file from a ledger that is not there.

    Raises:
        StoreError: the file at ``url`` is there, and empty.
    """
    path = parse_url(url)
    if path is not None and path.is_file() and path.stat().st_size == 0:
        raise StoreError(f"the file {path} is empty: it holds no ledger")


def own_key() -> Path | None:
    """The public key beside the private key of the panel in this folder; ``None`` without one."""
    if not PANEL.is_file():
        return None
    from quorate.hub.panel import Panel

    public = public_path(Panel.declared(PANEL).signer_path)
    return public if public.is_file() else None


def trusted(keys: list[str] | None, policy: Path | None) -> Policy | None:
    """The policy meant by ``--key`` and ``--policy``; ``None`` if neither is given."""
    if keys and policy is not None:
        raise UsageError("give --key or --policy, not both")
    if policy is not None:
        return Policy.read(policy)
    if keys:
        return Policy.of([read_verifier(key) for key in keys])
    return None
