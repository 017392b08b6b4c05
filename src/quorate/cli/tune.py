"""``quorate tune``: which quorum the past speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from quorate.cli.shown import AsJson, out, print_json, progress, say, write_new, writing
from quorate.cli.where import is_url, open_reading
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.text import counted

if TYPE_CHECKING:
    from quorate.hub.tuning import Row, Tuning

_BAR: Final = 30
_LEAST_BAR: Final = 10
_GAP: Final = 2
_MARK: Final = "<- least"

_MOST_SHOWN: Final = 50
_Counts = tuple[int, int, int, int, int]


def tune(
    target: Annotated[
        str, typer.Argument(help="A ledger (URL or file), or the panel file that names it.")
    ],
    outcomes: Annotated[
        str | None,
        typer.Option(
            help='Right answers, {"id": …, "answer": …} lines (JSONL), or - for standard input; '
            "beside those that are sealed.",
            show_default=False,
        ),
    ] = None,
    quorum: Annotated[
        list[float] | None,
        typer.Option(help="Only this quorum. May be repeated.", show_default=False),
    ] = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            help="Fold under this protocol, not under each verdict's own. May be repeated.",
            show_default=False,
        ),
    ] = None,
    max_wrong: Annotated[
        int,
        typer.Option(
            min=0, max=limits.MAX_SAFE_INTEGER, help="Most wrong ones that are acceptable."
        ),
    ] = 0,
    svg: Annotated[
        Path | None,
        typer.Option("--svg", help="Save the table as a picture besides; of one protocol."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each quorum would have got right, got wrong, and refused."""
    from quorate.hub.tuning import tune as tuned

    if svg is not None and protocol and len(set(protocol)) > 1:
        raise UsageError("a picture is of one protocol; name one with --protocol")
    known = None if outcomes is None else _known(outcomes)
    with open_reading(_ledger(target)) as ledger, progress("folding") as shown:
        found = tuned(ledger, known, quorum or None, protocol or None, progress=shown)
    names = list(dict.fromkeys(row.protocol for row in found.rows))
    best = {name: _best(found, max_wrong, name) for name in names}
    if svg is not None:
        from quorate.cli.tune_picture import picture

        drawn = picture(found.rows, best[names[0]], known=found.known, verdicts=found.verdicts)
        write_new(svg, drawn)
    if as_json:
        print_json(
            {
                **found.to_dict(),
                "max_wrong": max_wrong,
                "recommended": {n: None if b is None else b.to_dict() for n, b in best.items()},
            }
        )
        return
    _say(found, best, max_wrong)
    if svg is not None:
        say(f"picture: {svg}")


def _ledger(target: str) -> str:
    if is_url(target) or not target.endswith(".toml"):
        return target
    from quorate.hub.panel import Panel

    return Panel.declared(target).ledger_url


def _known(name: str) -> dict[str, Any]:
    from quorate.hub.lines import read_outcomes
    from quorate.hub.source import open_tasks

    with open_tasks(name) as source:
        return {known.id: known.answer for known in read_outcomes(source, name)}


def _best(found: Tuning, max_wrong: int, protocol: str) -> Row | None:
    return found.recommend(max_wrong, protocol=protocol) if found.known else None


def _say(found: Tuning, best: dict[str, Row | None], max_wrong: int) -> None:
    say(f"{counted(found.verdicts, 'verdict')}; the right answer is known of {found.known}")
    if found.not_comparable:
        answers = counted(found.not_comparable, "right answer")
        say(f"cannot be compared as the verdict compares: {answers}")
    if found.passed:
        passed = counted(found.passed, "entry", "entries")
        say(f"passed, for no verdict that can be folded again is in it: {passed}")
    for name, chosen in best.items():
        rows = [row for row in found.rows if row.protocol == name]
        say("")
        if len(best) > 1:
            say(f"{name}:")
        say("= right  x wrong  ? open  . refused" if found.known else "= committed")
        with writing():
            out().print(_table(rows, chosen, known=bool(found.known)), soft_wrap=False)
        say(_advice(found, chosen, max_wrong))


def _advice(found: Tuning, chosen: Row | None, max_wrong: int) -> str:
    if not found.known:
        return (
            "no right answer is known, so no quorum can be recommended; give --outcomes, or seal "
            "them with: quorate outcome"
        )
    most = "none" if max_wrong == 0 else f"at most {max_wrong}"
    if chosen is None:
        return (
            f"no quorum commits a right answer with {most} wrong, counting those that may be: "
            "none is recommended"
        )
    return (
        f"least quorum with {most} wrong: {_short(chosen.quorum)}; it commits "
        f"{float(chosen.coverage):.1%} of all verdicts. Tasks to come may be unlike these."
    )


def _counts(row: Row) -> _Counts:
    return (row.right, row.wrong, row.refused, row.open, row.committed)


def _table(rows: Sequence[Row], chosen: Row | None, *, known: bool) -> Table:
    """Rows in which nothing changes are one line."""
    names = ("right", "wrong", "refused", "open", "commits") if known else ("commits",)
    heads = ["quorum", *names]
    groups = [list(same) for _, same in groupby(rows, _counts)]
    lines = []
    for group in groups[:_MOST_SHOWN]:
        first, last = group[0], group[-1]
        span = _short(first.quorum)
        span += "" if first is last else f" to {_short(last.quorum)}"
        counts = [str(count) for count in (_counts(first) if known else (first.committed,))]
        least = chosen is not None and first.quorum <= chosen.quorum <= last.quorum
        lines.append((first, [span, *counts], _MARK if least else ""))
    every = [heads, *(cells for _, cells, _ in lines)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    # The bar takes what the columns that must be whole leave it.
    taken = sum(widths) + (len(_MARK) if chosen is not None else 0) + _GAP * (len(widths) + 1)
    cells = min(_BAR, out().width - taken)
    bars = cells >= _LEAST_BAR
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for name, width in zip(heads, widths, strict=True):
        table.add_column(
            name, justify="left" if name == "quorum" else "right", no_wrap=True, min_width=width
        )
    for _ in range(1 + bars):
        table.add_column("", no_wrap=True)
    for row, shown, mark in lines:
        table.add_row(*shown, *([_bar(row, cells, known=known)] if bars else []), mark)
    if len(groups) > _MOST_SHOWN:
        table.caption = f"{len(groups) - _MOST_SHOWN} more, see --json"
    return table


def _short(quorum: Fraction) -> str:
    return f"{float(quorum):.4g}"


def _bar(row: Row, cells: int, *, known: bool) -> str:
    """Shares as a bar; a share that is there at all has one mark at least."""
    if not known:
        return "=" * round(cells * row.coverage)
    shares = {"=": row.right, "x": row.wrong, "?": row.open, ".": row.refused}
    total = sum(shares.values())
    if not total:
        return ""
    widths = {mark: max(count > 0, cells * count // total) for mark, count in shares.items()}
    return "".join(mark * width for mark, width in widths.items())
