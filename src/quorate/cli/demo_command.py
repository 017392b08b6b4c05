"""``quorate demo``: a panel with liars in it decides real cases; or a council with a traitor."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli.shown import AsJson, err, print_json, put, say, tell
from quorate.core.errors import UsageError

_UNVERIFIED = 4


class Which(StrEnum):
    """The demos beside the one that runs unless another is named."""

    COUNCIL = "council"


def demo(
    which: Annotated[
        Which | None,
        typer.Argument(
            metavar="[council]",
            help="council: five monitors, one of them bought, judge a real process.",
            show_default=False,
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option("--keep", help="Keep the ledger, its key and the checkpoint in this folder."),
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Save what is shown as a picture too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Seven models judge real patients, some of them lying; see who is fooled."""
    if which is Which.COUNCIL:
        if svg is not None:
            raise UsageError("--svg draws the demo of the panel; leave it out, or the word council")
        _council(folder, as_json=as_json)
        return
    from quorate.cli.demo import check_picture, render, run_demo, save_picture

    if svg is not None:
        check_picture(svg, folder)
    if not err().is_terminal:
        # No bar moves there, and silence looks like a hang.
        tell("training seven models, then deciding four runs; this takes some seconds …")
    report = run_demo(folder)
    if svg is not None:
        save_picture(report, svg)
    if as_json:
        print_json(report)
    else:
        render(report)
    if not report["sound"]:
        raise typer.Exit(_UNVERIFIED)


def _council(folder: Path | None, *, as_json: bool) -> None:
    """Five monitors judge a process whose memory grows; one of them was bought."""
    from quorate.cli.demo.council import opening, run_council_demo

    if as_json:
        tell("a process is started and watched; this takes some seconds …")
        report = run_council_demo(lambda _line: None, folder)
        print_json(report)
    else:
        put(opening())
        try:
            report = run_council_demo(_say, folder)
        except _GoneError as gone:
            raise BrokenPipeError from gone
        put(_moral(report))
    if not report["sound"]:
        raise typer.Exit(_UNVERIFIED)


class _GoneError(Exception):
    """Whoever read the story has gone, as ``head`` does."""


def _say(line: str) -> None:
    """Tell a line of the story.

    Raises:
        _GoneError: nobody reads any more. The demo would take the error of the operating system
            for one of its own folder.
    """
    try:
        say(line)
    except BrokenPipeError as error:
        raise _GoneError from error


def _moral(report: Mapping[str, Any]) -> str:
    if not report["sound"]:
        return "\nSOMETHING WENT WRONG: the story is not the one that the rules allow.\n"
    told = (
        "\nThe bought monitor could not keep the process running, nor set it free, nor save it; "
        "and no\nmonitor alone could have stopped it. Nothing was done to the process before the "
        "decision to do\nit was sealed, and nothing twice.\n"
    )
    kept = report["kept"]
    if kept is None:
        return told
    return told + "".join(f"\n{command}" for command in kept["commands"]) + "\n"
