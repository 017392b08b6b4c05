"""Options that the commands of ``quorate comply`` share, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.halt import is_panel, writing_to
from quorate.cli.where import PANEL, ledger_url, refuse_empty, trusted
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.ledger import Ledger, Policy
from quorate.ledger.files import read_text

SYSTEM: Final = Path("system.toml")
UNVERIFIED: Final = 4
REFUSED: Final = 3


def complete_profile(incomplete: str) -> list[str]:
    """Profiles that a shell may offer."""
    from quorate.compliance.profiles import SHIPPED

    return [name for name in SHIPPED if name.startswith(incomplete)]


Target = Annotated[
    str | None,
    typer.Argument(
        metavar="[LEDGER|PANEL]",
        help="A ledger (URL or file), or a panel file (.toml) that names one; else the one that "
        "./quorate.toml names.",
        show_default=False,
    ),
]
SystemFile = Annotated[
    Path, typer.Option("--system", help="File that declares the system; 'comply init' writes one.")
]
ProfileName = Annotated[
    str,
    typer.Option(
        "--profile",
        help="core, full or experts, or the path of one's own.",
        autocompletion=complete_profile,
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of",
        metavar="DATE",
        help="Day to evaluate, such as 2026-11-21; else today, in UTC.",
        show_default=False,
    ),
]
EvidenceFile = Annotated[
    Path | None,
    typer.Option(
        "--evidence", help="Evidence that people wrote, beside what the ledger shows.",
        show_default=False,
    ),
]  # fmt: skip
Signer = Annotated[
    Path | None,
    typer.Option(
        "--signer",
        help="Private key of the ledger; a panel file names its own.",
        show_default=False,
    ),
]
Silence = Annotated[
    float | None,
    typer.Option(
        "--silence",
        metavar="SECONDS",
        help="Greatest gap between two entries that is declared as normal.",
        show_default=False,
    ),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Checkpoint kept elsewhere; without one, a cut tail goes unseen.",
        show_default=False,
    ),
]
Seal = Annotated[
    bool, typer.Option("--seal", help="Seal what is collected in the ledger; takes its key.")
]
Html = Annotated[
    Path | None, typer.Option("--html", help="Save the report as a page.", show_default=False)
]
Markdown = Annotated[
    Path | None,
    typer.Option("--markdown", help="Save the report as Markdown.", show_default=False),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 3 while a blocker that applies is not shown.")
]


def note_of(checkpoint: Path | None) -> str | None:
    """The text of the checkpoint named."""
    if checkpoint is None:
        return None
    return read_text(checkpoint, "checkpoint", limits.MAX_NOTE_BYTES)


def today() -> date:
    """The day, in UTC."""
    return datetime.now(UTC).date()


def day_of(as_of: str | None) -> date:
    """The day meant by ``--as-of``."""
    from quorate.compliance.times import read_day

    return today() if as_of is None else read_day(as_of, "--as-of")


def trust_of(keys: list[str] | None, policy: Path | None) -> Policy:
    """The policy meant; nothing counts as sealed without one.

    Raises:
        UsageError: neither keys nor a policy.
    """
    found = trusted(keys, policy)
    if found is None:
        raise UsageError(
            "name whom you trust: --policy policy.toml, or --key ledger.pub; evidence counts "
            "only where a key that you name signed it"
        )
    return found


@contextmanager
def reading_from(target: str | None) -> Iterator[Ledger]:
    """Open the ledger that is meant for reading."""
    if target is not None and is_panel(target):
        from quorate.hub.panel import Panel

        url = Panel.declared(target).ledger_url
    else:
        url = ledger_url(target)
    refuse_empty(url)
    with Ledger.open(url) as log:
        yield log


@contextmanager
def opened(target: str | None, signer: Path | None, *, writing: bool) -> Iterator[Ledger]:
    """Open the ledger that is meant, for writing only where something is to be sealed."""
    if not writing:
        if signer is not None:
            raise UsageError("--signer is for --seal; add it, or leave the key out")
        with reading_from(target) as log:
            yield log
        return
    with writing_to(str(PANEL) if target is None else target, signer) as (log, _):
        yield log
