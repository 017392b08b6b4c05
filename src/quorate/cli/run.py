"""``quorate run``: a panel decides a stream of tasks."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quorate.cli.shown import AsJson, note, print_json, progress, tell
from quorate.core.errors import UsageError
from quorate.core.text import counted
from quorate.ledger import Ledger, read_signer
from quorate.ledger.keyfiles import public_path

if TYPE_CHECKING:
    from quorate.hub import Panel, RunSummary

_REFUSED = 3


def run(
    panel: Annotated[Path, typer.Argument(help="Panel file (quorate.toml).")],
    tasks: Annotated[str, typer.Argument(help="Task lines (JSONL), or - for standard input.")],
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            "-o",
            help="Decision lines (JSONL), or - for standard output. Needed but for --dry-run.",
            show_default=False,
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Exit 3 if any task was refused, overridden, or decided otherwise than by a "
            "quorum (in shadow mode nothing counts).",
        ),
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(help="Append who was asked when, a line for each task, to this file."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what it would take; nothing is asked, nothing written."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide tasks, sealing every decision and every refusal; run again to go on after a stop."""
    if dry_run:
        from quorate.cli.dry_run import foretell

        foretell(panel, tasks, as_json=as_json)
        return
    if out is None:
        raise UsageError("name an output with -o, such as -o decisions.jsonl")
    from quorate.hub import Panel

    # Experts' modules are run to be imported, and may print.
    with redirect_stdout(sys.stderr) if out == "-" else nullcontext():
        declared = Panel.load(panel)
    for text in declared.notes():
        note(text)
    started = time.monotonic()
    summary = _decided(declared, tasks, out, trace)
    seconds = time.monotonic() - started
    if as_json and out != "-":
        print_json({**summary.to_dict(), "seconds": round(seconds, 3), "out": out})
    else:
        _say(summary, declared, out, seconds)
    for text in (*map(str, summary.absences.failing()), *summary.unclosed):
        note(text)
    if strict and summary.undecided:
        raise typer.Exit(_REFUSED)


def _decided(panel: Panel, tasks: str, out: str, trace: Path | None) -> RunSummary:
    from quorate.hub import Run
    from quorate.hub.oversight import HaltedError

    signer = read_signer(panel.signer_path)
    origin = panel.table.ledger.origin
    traces = None if trace is None else str(trace)
    with (
        Ledger.open(panel.ledger_url, signer=signer, origin=origin) as ledger,
        progress("deciding") as shown,
        _terminating(),
    ):
        try:
            reading = shown.slow("reading known outcomes")
            return Run(panel, ledger, tasks, out, shown, traces, reading).execute()
        except KeyboardInterrupt:
            tell("what was decided is sealed; give the same command again to go on")
            raise
        except HaltedError:
            tell("what was decided is sealed; once it is resumed, the same command goes on")
            raise


@contextmanager
def _terminating() -> Iterator[None]:
    """Let SIGTERM stop a run as Ctrl-C does: what experts started must not outlive it."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _as_interrupt(_number: int, _frame: object) -> None:
    # A shell starts what it puts in the background with SIGINT ignored: raised, it would vanish.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)


def _say(summary: RunSummary, panel: Panel, out: str, seconds: float) -> None:
    earlier = f" ({summary.earlier} of them decided earlier)" if summary.earlier else ""
    counts = (
        (summary.not_by_quorum, "not by a quorum"),
        (summary.overridden, "overridden by people"),
        (summary.withheld, "withheld by people"),
    )
    told = ", ".join(f"{count} {what}" for count, what in counts if count)
    otherwise = f" ({told})" if told else ""
    tell(
        f"{counted(summary.total, 'task')}{earlier}: {summary.committed} committed{otherwise}, "
        f"{summary.refused} refused, in {seconds:.1f} s"
    )
    if panel.shadow:
        tell("in shadow mode: a refusal blocks nothing, and its line says so")
    if summary.outdated:
        note(
            f"1 line of {out} came before people overrode that "
            "decision, and does not say so; name another output to have all written anew"
            if summary.outdated == 1
            else f"{summary.outdated} lines of {out} came before people overrode those decisions, "
            "and do not say so; name another output to have all written anew"
        )
    if summary.other_panel:
        note(
            "1 was decided earlier by another panel than this one, and stays as it is; to decide "
            "it again, give it a new id or use another ledger"
            if summary.other_panel == 1
            else f"{summary.other_panel} were decided earlier by another panel than this one, and "
            "stay as they are; to decide them again, give them new ids or use another ledger"
        )
    if out != "-":
        tell(f"decisions: {out}")
    entries = counted(summary.size, "entry", "entries")
    tell(f"ledger:    {panel.ledger_url} ({entries}); check it with")
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
