"""``quorate tune``: which quorum the past speaks for."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.table import Table

from quorate.cli.shown import AsJson, out, print_json, progress, say, writing
from quorate.cli.where import is_url, open_reading
from quorate.core import limits

if TYPE_CHECKING:
    from quorate.hub.tuning import Row, Tuning

_BAR: Final = 30
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
    as_json: AsJson = False,
) -> None:
    """Show what each quorum would have got right, got wrong, and refused."""
    from quorate.hub.tuning import tune as tuned

    known = None if outcomes is None else _known(outcomes)
    with open_reading(_ledger(target)) as ledger, progress("folding") as shown:
        found = tuned(ledger, known, quorum or None, protocol or None, progress=shown)
    names = list(dict.fromkeys(row.protocol for row in found.rows))
    best = {name: _best(found, max_wrong, name) for name in names}
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
    say(f"{found.verdicts} verdicts, of {found.known} of them the right answer is known")
    if found.not_comparable:
        say(f"{found.not_comparable} right answers cannot be compared as their verdicts compare")
    if found.passed:
        say(f"{found.passed} entries are no verdicts that can be folded again, and were passed")
    for name, chosen in best.items():
        rows = [row for row in found.rows if row.protocol == name]
        say("")
        say(f"{name}:" if len(best) > 1 else "= right  x wrong  ? open  . refused")
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
        return f"at every quorum more than {max_wrong} are wrong, or may be: none is recommended"
    return (
        f"least quorum with {most} wrong: {_short(chosen.quorum)}; it commits "
        f"{float(chosen.coverage):.1%} of all verdicts. Tasks to come may be unlike these."
    )


def _counts(row: Row) -> _Counts:
    return (row.right, row.wrong, row.refused, row.open, row.committed)


def _table(rows: Sequence[Row], chosen: Row | None, *, known: bool) -> Table:
    """Rows in which nothing changes are one line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("quorum", no_wrap=True)
    names = ("right", "wrong", "refused", "open", "commits") if known else ("commits",)
    for name in names:
        table.add_column(name, justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("", no_wrap=True)
    groups = [list(same) for _, same in groupby(rows, _counts)]
    for group in groups[:_MOST_SHOWN]:
        first, last = group[0], group[-1]
        span = _short(first.quorum)
        span += "" if first is last else f" to {_short(last.quorum)}"
        cells = [str(count) for count in (_counts(first) if known else (first.committed,))]
        least = chosen is not None and first.quorum <= chosen.quorum <= last.quorum
        table.add_row(span, *cells, _bar(first, known=known), "<- least" if least else "")
    if len(groups) > _MOST_SHOWN:
        table.add_row(f"… {len(groups) - _MOST_SHOWN} more, see --json")
    return table


def _short(quorum: Fraction) -> str:
    return f"{float(quorum):.4g}"


def _bar(row: Row, *, known: bool) -> str:
    """Shares as a bar; a share that is there at all has one mark at least."""
    if not known:
        return "=" * round(_BAR * row.coverage)
    shares = {"=": row.right, "x": row.wrong, "?": row.open, ".": row.refused}
    total = sum(shares.values())
    if not total:
        return ""
    widths = {mark: max(count > 0, _BAR * count // total) for mark, count in shares.items()}
    return "".join(mark * width for mark, width in widths.items())
