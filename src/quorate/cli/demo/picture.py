"""How a report of the demo looks: in a terminal, and as a picture of one."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from quorate.cli.shown import out
from quorate.core.errors import OperationalError

WIDTH: Final = 92
"""Columns of the picture. In a terminal 80 are enough."""

_METHODS: Final = {
    "best_single": "best single model",
    "majority": "plain majority",
    "soft_vote": "scikit-learn soft vote",
    "quorate": "Quorate",
}
_HEADS: Final = ("\nright", "wrong\ncommits", "\nrefused", "\nseconds", "worst\ndraw*")
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def render(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print ``report`` on ``console``, stdout if none is given."""
    console = console or out()
    parts = (*_opening(report), _table(report), *_notes(report), _record(report), Text())
    for part in parts:
        console.print(part, soft_wrap=False)
    # Commands are for copying: if they are too long, the terminal breaks them, not we.
    for line in _ending(report):
        console.print(line, soft_wrap=True)


def check_picture(path: Path, made: Path | None = None) -> None:
    """Refuse a place for a picture where none can be written, before all the work.

    Args:
        path: where the picture is to go.
        made: a folder that will be there by then.

    Raises:
        OperationalError: the folder is not there or not to be written to, or a folder is
            there by that name.
    """
    folder = path.parent
    if made is not None and folder.resolve() == made.resolve() and not folder.exists():
        return
    if path.is_dir():
        why = "it is a folder"
    elif not folder.is_dir():
        why = f"there is no folder {folder}"
    elif not os.access(path if path.exists() else folder, os.W_OK):
        why = "you may not write there"
    else:
        return
    raise OperationalError(f"the picture {path} cannot be written: {why}; name another file")


def save_picture(report: Mapping[str, Any], path: Path) -> None:
    """Write ``report`` as an SVG picture of a terminal; its fonts are the reader's own.

    Raises:
        OperationalError: the file cannot be written.
    """
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    render(report, console)
    picture = console.export_svg(title="quorate demo")
    try:
        # Pictures on a page may fetch nothing, and ours should not ask.
        path.write_text(_FONT_FACE.sub("", picture), "utf-8")
    except OSError as error:
        raise OperationalError(f"the picture {path} cannot be written: {error.strerror}") from error


def _opening(report: Mapping[str, Any]) -> Iterator[RenderableType]:
    data = report["data"]
    yield Text("A panel with liars in it decides real cases", style="bold")
    yield Text(
        f"{data['name']}: {data['patients']} patients. Seven models of different families "
        f"learn from {data['trained_on']}, then judge the other {data['held_out']}, of whom "
        f"{data['malignant']} are ill. A decision takes {float(_share(report)):.0%} of the panel."
    )
    yield Text()
    yield _hanging(
        (Text(str(number), style="bold cyan"), run["told"])
        for number, run in enumerate(report["scenarios"], start=1)
    )


def _hanging(lines: Iterable[tuple[Text, str]]) -> Table:
    """Lines with a mark each, broken beside it."""
    grid = Table.grid(padding=(0, 1))
    for mark, told in lines:
        grid.add_row(mark, Text(told))
    return grid


def _share(report: Mapping[str, Any]) -> float:
    over, _, under = str(report["quorum"]).partition("/")
    return int(over) / int(under or 1)


def _table(report: Mapping[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    table.add_column("")
    for head in _HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for number, run in enumerate(report["scenarios"], start=1):
        if number > 1:
            table.add_section()
        title = Text.assemble((f"{number} ", "bold cyan"), (run["title"], "bold"))
        table.add_row(title)
        for method, words in _METHODS.items():
            table.add_row(*_cells(words, run["methods"][method], ours=method == "quorate"))
    return table


def _cells(words: str, figures: Mapping[str, Any], *, ours: bool) -> Iterator[Text]:
    style = "bold" if ours else ""
    yield Text(f"  {words}", style=style)
    yield Text(str(figures["right"]), style=style)
    yield Text(str(figures["wrong"]), style=f"{style} red" if figures["wrong"] else style)
    yield Text(str(figures["refused"]), style=f"{style} yellow" if figures["refused"] else style)
    yield Text(f"{figures['seconds']:.3f}", style=style)
    yield Text(str(figures["most_wrong"]), style=style)


def _notes(report: Mapping[str, Any]) -> Iterator[Text]:
    best, data = report["best_single"], report["data"]
    hit = [n for n, run in enumerate(report["scenarios"], start=1) if best in _struck(run)]
    if hit:
        luck = f"It is {best}, and it was struck in run {' and '.join(map(str, hit))}."
    else:
        luck = f"It is {best}, which the draw spared: luck that a single model cannot count on."
    yield Text(
        f"* most wrong answers over every draw of who lies and who is down. The draw shown was "
        f"made by seed {data['seed']} before any training; the best single model was chosen on the "
        f"training part alone, by {data['folds']}-fold cross-validation. {luck}",
        style="dim",
    )
    last = report["scenarios"][-1]["methods"]["quorate"]
    yield Text(
        f"In run {len(report['scenarios'])} refusing is the point: four honest of seven are no "
        f"quorum, so {last['refused']} of {data['held_out']} patients are left to a doctor, not "
        f"to a guess. The {last['wrong']} wrong commits are failures.",
        style="dim",
    )
    yield Text(
        "A quorum buys agreement, not truth: Quorate is wrong where the liars and honest models "
        "that err make five of seven together. Its seconds include asking all seven, folding, "
        "and sealing each verdict on disk; the others only fold.",
        style="dim",
    )
    yield Text()


def _struck(run: Mapping[str, Any]) -> list[str]:
    return [*run["liars"], *run["down"]]


def _record(report: Mapping[str, Any]) -> Table:
    record = report["ledger"]
    kinds = record["kinds"]
    told = (
        f"verified {record['size']} entries ({kinds.get('decision', 0)} decisions, "
        f"{kinds.get('refusal', 0)} refusals, {kinds.get('panel', 0)} panel) by the public key "
        f"and the checkpoint; replayed {record['replayed']}, every verdict comes out the same"
    )
    lines = [(_mark(well=record["complete"]), told)]
    for tampering in report["tampering"]:
        well = tampering["found"] == tampering["expected"]
        lines.append((_mark(well=well), _told(tampering)))
    return _hanging(lines)


def _told(tampering: Mapping[str, Any]) -> str:
    if tampering["what"] == "flip":
        done = (
            f"one byte of entry {tampering['seq']} flipped in a copy "
            f"({tampering['before']} to {tampering['after']} in a confidence)"
        )
    else:
        done = f"the last {tampering['rows']} entries cut off another copy"
    caught = "caught" if tampering["found"] == tampering["expected"] else "NOT CAUGHT"
    return f"{done}: {caught}, {tampering['message']}"


def _mark(*, well: bool) -> Text:
    return Text("✓", style="green") if well else Text("✗", style="bold red")


def _ending(report: Mapping[str, Any]) -> Iterator[Text]:
    kept = report["kept"]
    if kept is None:
        yield Text.assemble(
            "Nothing was kept. To look into the ledger yourself: ",
            ("quorate demo --keep FOLDER", "cyan"),
        )
        return
    yield Text(f"The ledger, its key and the checkpoint are kept in {kept['folder']}. Try:")
    for command in kept["commands"]:
        yield Text(f"  {command}", style="cyan")
