"""``quorate demo``: a panel with liars in it decides real cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.shown import AsJson, err, print_json, tell

_UNVERIFIED = 4


def demo(
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
