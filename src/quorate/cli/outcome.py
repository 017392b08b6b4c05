"""``quorate outcome``: seal what the right answers were, once they are known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.shown import AsJson, print_json, progress, say
from quorate.cli.where import PANEL
from quorate.core.errors import UsageError
from quorate.core.text import counted
from quorate.ledger import Ledger, read_signer


def outcome(
    outcomes: Annotated[
        str, typer.Argument(help='Lines {"id": …, "answer": …} (JSONL), or - for standard input.')
    ],
    panel: Annotated[
        Path, typer.Option(help="Panel file that names the ledger and its key.")
    ] = PANEL,
    as_json: AsJson = False,
) -> None:
    """Seal the right answers to tasks; what is sealed already is left as it is."""
    from quorate.hub.lines import read_outcomes
    from quorate.hub.outcomes import seal_outcome
    from quorate.hub.panel import Panel
    from quorate.hub.source import open_tasks

    declared = Panel.declared(panel)
    signer = read_signer(declared.signer_path)
    origin = declared.table.ledger.origin
    total = None
    with open_tasks(outcomes) as source:
        if source.seekable():
            # A line that is broken is told before anything is sealed.
            start = source.tell()
            total = sum(1 for _ in read_outcomes(source, outcomes))
            source.seek(start)
        with (
            Ledger.open(declared.ledger_url, signer=signer, origin=origin) as ledger,
            progress("sealing") as shown,
        ):
            before, done, sealed = len(ledger), 0, 0
            for known in read_outcomes(source, outcomes):
                try:
                    receipt = seal_outcome(ledger, known.id, known.answer)
                except UsageError as error:
                    raise UsageError(f"{outcomes}:{known.line}: {error}") from error
                done += 1
                sealed += receipt.seq >= before
                shown(done, total)
    if as_json:
        print_json({"outcomes": done, "sealed": sealed, "earlier": done - sealed})
    else:
        earlier = f" ({done - sealed} of them sealed earlier)" if done > sealed else ""
        say(f"{counted(done, 'outcome')}{earlier}: {sealed} sealed in {declared.ledger_url}")
