"""``quorate trace``: who was asked when, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape
from rich.table import Table

from quorate.cli.shown import AsJson, out, print_json, put, say, write_new, writing
from quorate.core import limits
from quorate.core.canonical import parse
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import printable

if TYPE_CHECKING:
    from quorate.hub.trace import Trace

_MOST_LISTED: Final = 20
_BAR: Final = 30
_WIDEST: Final = 160


def trace(
    file: Annotated[Path, typer.Argument(help="File that 'quorate run --trace' wrote.")],
    id_: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Id of the task.", show_default=False)
    ] = None,
    svg: Annotated[
        Path | None, typer.Option("--svg", help="Save the waterfall as a picture instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one task's waterfall; without an id, the tasks that took longest."""
    if id_ is None:
        found = _slowest(file)
        if len(found) != 1 and svg is None:
            _list(found, as_json=as_json)
            return
        if len(found) != 1:
            raise UsageError(f"{file} has {len(found)} traces or more; name the task to draw")
        chosen = found[0]
    else:
        chosen = _named(file, id_)
    if svg is not None:
        write_new(svg, chosen.svg())
    elif as_json:
        print_json(chosen.to_dict())
    else:
        console = out()
        width = min(console.width if console.is_terminal else 100, _WIDEST)
        put(chosen.waterfall(max(width, 60)).rstrip("\n") + "\n")


def _traces(file: Path) -> Iterator[Trace]:
    from quorate.hub.trace import Trace

    try:
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(limits.MAX_BODY_BYTES + 1):
                number += 1
                try:
                    if len(line) > limits.MAX_BODY_BYTES:
                        raise UsageError(f"longer than {limits.MAX_BODY_BYTES} bytes")  # noqa: TRY301
                    data = parse(line)
                    if not isinstance(data, dict):
                        raise UsageError("it is no object")  # noqa: TRY301
                    yield Trace.from_dict(data)
                except UsageError as error:
                    raise UsageError(f"{file}:{number}: no trace: {error}") from error
    except OSError as error:
        raise OperationalError(f"the traces {file} cannot be read: {error.strerror}") from error


def _named(file: Path, id_: str) -> Trace:
    """The last trace of that task: earlier ones are of runs that were stopped."""
    found = None
    for one in _traces(file):
        if one.id == id_:
            found = one
    if found is None:
        raise UsageError(f"{file} has no trace of the task {id_!r}")
    return found


def _slowest(file: Path) -> list[Trace]:
    """The traces that took longest, longest first; no more are held at once."""
    found: list[Trace] = []
    for one in _traces(file):
        found.append(one)
        if len(found) > _MOST_LISTED:
            found.sort(key=lambda t: -t.seconds)
            del found[_MOST_LISTED:]
    if not found:
        raise UsageError(f"{file} holds no trace")
    return sorted(found, key=lambda t: -t.seconds)


def _list(found: list[Trace], *, as_json: bool) -> None:
    rows = [
        {
            "id": one.id,
            "seconds": one.seconds,
            "spans": len(one.spans),
            "cost": float(sum(span.cost for span in one.spans)),
            "tokens": sum(span.tokens for span in one.spans),
        }
        for one in found
    ]
    if as_json:
        print_json({"slowest": rows})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", overflow="fold")
    for name in ("seconds", "spans", "cost", "tokens"):
        table.add_column(name, justify="right")
    table.add_column("")
    most = max(one.seconds for one in found) or 1
    for one, row in zip(found, rows, strict=True):
        cells = [f"{row['seconds']:.3f}", str(row["spans"]), f"{row['cost']:g}", str(row["tokens"])]
        bar = "=" * round(_BAR * one.seconds / most)
        table.add_row(escape(printable(one.id)), *cells, bar)
    with writing():
        out().print(table, soft_wrap=False)
    say("look at one with: quorate trace FILE ID")
