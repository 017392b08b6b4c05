"""Measure, print a table, and keep the figures as JSON: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks import (
    arbitration,
    council,
    dispatching,
    durable,
    fusion,
    imports,
    krum,
    machine,
    moe,
    routing,
    runoff,
    sealing,
    tensor,
)
from benchmarks.measure import Figure, Settings, Spread, Step

_HERE: Final = Path(__file__).parent
_FILE_WIDTH: Final = 150


def main() -> int:
    """Run all measurements; 0 whether or not the aims are reached."""
    arguments = _arguments()
    started = time.monotonic()
    # Beside the code rather than in the system's folder, which is often kept in memory.
    with tempfile.TemporaryDirectory(prefix="results-scratch-", dir=arguments.scratch) as folder:
        settings = Settings(arguments.quick, Path(folder))
        about = machine.facts(settings.scratch)
        figures = _run(
            [
                step
                for module in (
                    durable,
                    sealing,
                    routing,
                    arbitration,
                    runoff,
                    dispatching,
                    council,
                    tensor,
                    fusion,
                    krum,
                    moe,
                    imports,
                )
                for step in module.steps(settings)
            ]
        )
    seconds = time.monotonic() - started
    # A file has no width of its own, and the table is unreadable at the customary 80.
    wide = None if sys.stdout.isatty() else _FILE_WIDTH
    _print(Console(width=wide), figures, about, seconds)
    written = {
        "quick": settings.quick,
        "seconds": round(seconds, 1),
        "turns": settings.turns,
        "machine": about,
        "figures": [figure.to_dict() for figure in figures],
    }
    arguments.json.write_text(json.dumps(written, indent=2) + "\n", "utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns, less work in each")
    parser.add_argument(
        "--json", type=Path, default=_HERE / "results.json", metavar="PATH", help="where figures go"
    )
    parser.add_argument(
        "--scratch", type=Path, default=_HERE, metavar="DIR", help="folder on the disk to measure"
    )
    arguments = parser.parse_args()
    for folder in (arguments.scratch, arguments.json.resolve().parent):
        if not folder.is_dir():
            parser.error(f"{folder} is no folder; make it first")
    return arguments


def _run(steps: list[Step]) -> list[Figure]:
    figures: list[Figure] = []
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
        # A bar that redraws itself often would be measured too.
        refresh_per_second=2,
    ) as progress:
        task = progress.add_task("", total=len(steps))
        for step in steps:
            progress.update(task, description=step.name)
            figures += step.run()
            progress.advance(task)
    return figures


def _print(console: Console, figures: list[Figure], about: dict[str, Any], seconds: float) -> None:
    for subject, group in groupby(figures, key=lambda figure: figure.subject):
        make = _shares if subject == sealing.SHARES else _table
        console.print(make(subject, list(group)))
    judged = [figure.reached for figure in figures if figure.reached is not None]
    console.print(
        f"{sum(judged)} of {len(judged)} aims reached here, in {seconds:.0f} s; "
        "rates drift from run to run, ratios were taken side by side.",
        highlight=False,
    )
    console.print(
        f"{about['processor']}, {about['usable_cpus']} cpus, load {about['load_before']}, "
        f"{about['python']}, SQLite {about['sqlite']}, {about['filesystem']}",
        style="dim",
        highlight=False,
    )
    if about["in_memory"]:
        console.print(
            f"The scratch folder is on {about['filesystem']}, which is memory: flushing means "
            "nothing there, and no figure under 'durable' does. Name another with --scratch.",
            style="bold",
            highlight=False,
        )


def _table(subject: str, figures: list[Figure]) -> Table:
    table = Table(title=subject, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for heading in ("what", "here", "against", "there", "ratio (range)", "aim", ""):
        right = heading in {"here", "there", "ratio (range)"}
        table.add_column(heading, justify="right" if right else "left", no_wrap=right)
    for figure in figures:
        note = f"\n[dim]{figure.note}[/dim]" if figure.note else ""
        table.add_row(
            figure.name + note,
            f"{_count(figure.rate.median)} {figure.unit}",
            figure.reference,
            "" if figure.reference_rate is None else _count(figure.reference_rate.median),
            "" if figure.ratio is None else _ratio(figure.ratio),
            "" if figure.aim is None else figure.aim.text,
            _verdict(figure),
        )
    return table


def _shares(subject: str, figures: list[Figure]) -> Table:
    table = Table(title=subject, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("stage")
    table.add_column("share (range)", justify="right")
    for figure in figures:
        table.add_row(figure.name, _ratio(figure.rate))
    return table


def _verdict(figure: Figure) -> str:
    if figure.reached is None:
        return ""
    return "[green]reached[/green]" if figure.reached else "[yellow]not reached[/yellow]"


def _ratio(spread: Spread) -> str:
    if spread.median >= 2:
        return f"{spread.median:.1f}x ({spread.least:.1f}-{spread.most:.1f})"
    return f"{spread.median:.0%} ({spread.least:.0%}-{spread.most:.0%})"


def _count(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


if __name__ == "__main__":
    sys.exit(main())
