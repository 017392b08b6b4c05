"""``quorate run``: a panel decides a stream of tasks."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.shown import AsJson, note, print_json, progress, tell
from quorate.ledger import Ledger, read_signer
from quorate.ledger.keyfiles import public_path

if TYPE_CHECKING:
    from quorate.hub import Panel, RunSummary

_REFUSED = 3


def run(
    panel: Annotated[Path, typer.Argument(help="Panel file (quorate.toml).")],
    tasks: Annotated[str, typer.Argument(help="Task lines (JSONL), or - for standard input.")],
    out: Annotated[
        str, typer.Option("--out", "-o", help="Decision lines (JSONL), or - for standard output.")
    ],
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 3 if any task was refused.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide tasks, sealing every decision and every refusal; run again to go on after a stop."""
    from quorate.hub import Panel, Run

    # Experts' modules are run to be imported, and may print.
    with redirect_stdout(sys.stderr) if out == "-" else nullcontext():
        declared = Panel.load(panel)
    for text in declared.notes():
        note(text)
    signer = read_signer(declared.signer_path)
    origin = declared.table.ledger.origin
    started = time.monotonic()
    with (
        Ledger.open(declared.ledger_url, signer=signer, origin=origin) as ledger,
        progress("deciding") as shown,
    ):
        try:
            summary = Run(declared, ledger, tasks, out, shown).execute()
        except KeyboardInterrupt:
            tell("what was decided is sealed; give the same command again to go on")
            raise
    seconds = time.monotonic() - started
    if as_json and out != "-":
        print_json({**summary.to_dict(), "seconds": round(seconds, 3), "out": out})
    else:
        _say(summary, declared, out, seconds)
    if strict and summary.refused:
        raise typer.Exit(_REFUSED)


def _say(summary: RunSummary, panel: Panel, out: str, seconds: float) -> None:
    earlier = f" ({summary.earlier} of them decided earlier)" if summary.earlier else ""
    tell(
        f"{summary.total} tasks{earlier}: {summary.committed} committed, "
        f"{summary.refused} refused, in {seconds:.1f} s"
    )
    if summary.other_panel:
        note(
            f"{summary.other_panel} were decided earlier by another panel than this one, and stay "
            "as they are; to decide them again, give them new ids or use another ledger"
        )
    if out != "-":
        tell(f"decisions: {out}")
    tell(f"ledger:    {panel.ledger_url} ({summary.size} entries); check it with")
    tell(f"  {_check(panel)}")


def _check(panel: Panel) -> str:
    """The command that verifies the ledger of that panel, as it can be typed."""
    policy = panel.path.parent / "policy.toml"
    public = public_path(panel.signer_path)
    whom = "--key PUBLIC-KEY-FILE"
    if policy.is_file():
        whom = f"--policy {shlex.quote(str(policy))}"
    elif public.is_file():
        whom = f"--key {shlex.quote(str(public))}"
    ledger = panel.ledger_url.removeprefix("sqlite:///")
    # Verify takes a file of that name for a receipt.
    if ledger.endswith(".json"):
        ledger = panel.ledger_url
    return f"quorate verify {shlex.quote(ledger)} {whom}"
