"""``quorate comply declare``: which system a ledger is the record of, sealed in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.comply.options import SYSTEM, Signer, Target, opened
from quorate.cli.halt import By
from quorate.cli.shown import AsJson, print_json, say
from quorate.core.text import printable


def declare(
    by: By,
    system: Annotated[
        Path, typer.Argument(help="File that declares the system; 'comply init' writes one.")
    ] = SYSTEM,
    target: Target = None,
    *,
    since: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="SEQ",
            help="First entry that is its record; else those from the declaration on.",
            show_default=False,
        ),
    ] = None,
    silence: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Longest time without an entry that is normal.",
            show_default=False,
        ),
    ] = None,
    signer: Signer = None,
    as_json: AsJson = False,
) -> None:
    """Declare that a ledger is the record of a system and version, and seal that in it.

    Only then does the ledger show anything of the system. Declare it again where its role,
    category or conditions change, and at each new version: what was recorded before is the
    record of the version before.
    """
    from quorate.cli.comply.declared import read_system
    from quorate.compliance.declaring import declare_system, described

    declared = read_system(system)
    with opened(target, signer, writing=True) as log:
        sealed = declare_system(log, declared, by=by, since=since, silence_seconds=silence)
    if as_json:
        print_json({"seq": sealed.seq, "hash": sealed.entry_hash, "declaration": sealed.payload})
        return
    say(printable(described(sealed.payload)))
    say(f"sealed in entry {sealed.seq}, {sealed.timestamp}")
    if since is None:
        say("  its record begins there; --since SEQ reaches back, over what is nobody else's")
    elif since < sealed.seq:
        say("  what was recorded before it is told in every report as declared afterwards")
