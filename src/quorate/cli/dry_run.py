"""``quorate run --dry-run``: what a run would take, without asking anybody."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.markup import escape
from rich.table import Table

from quorate.cli.shown import out, print_json, progress, say, writing
from quorate.core.text import counted, printable
from quorate.ledger import Ledger
from quorate.ledger.log import parse_url

if TYPE_CHECKING:
    from quorate.hub.estimate import Estimate, ExpertEstimate, Figure, History
    from quorate.hub.panel import Panel

_BAR: Final = 16
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def foretell(panel: Path, tasks: str, *, as_json: bool) -> None:
    """Print what it would take to decide the tasks by that panel.

    Raises:
        PanelError: the panel file cannot be used.
        UsageError: a line of the tasks is broken.
        OperationalError: a file or the ledger cannot be read.
    """
    from quorate.hub.estimate import estimate
    from quorate.hub.panel import Panel

    declared = Panel.declared(panel)
    with progress("reading") as shown:
        count, decided, history = _looked_at(declared, tasks, shown)
    found = estimate(declared.table, count, decided, history)
    if as_json:
        print_json(found.to_dict())
    else:
        _say(found, declared)


def _looked_at(
    panel: Panel, tasks: str, shown: Callable[[int, int | None], None]
) -> tuple[int, int, History]:
    """Count tasks, those decided already, and what the ledger shows of earlier calls."""
    from quorate.hub.estimate import History
    from quorate.hub.lines import read_tasks
    from quorate.hub.outcomes import verdict_entries, verdict_key
    from quorate.hub.source import open_tasks

    url = panel.ledger_url
    path = parse_url(url)
    count = decided = 0
    with open_tasks(tasks) as source:
        if path is None or not path.is_file() or not path.stat().st_size:
            return sum(1 for _ in read_tasks(source, tasks)), 0, History()
        with Ledger.open(url) as ledger:
            for task in read_tasks(source, tasks):
                count += 1
                decided += ledger.by_key(verdict_key(task.id)) is not None
                shown(count, None)
            history = History.of(verdict_entries(ledger))
    return count, decided, history


def _say(found: Estimate, panel: Panel) -> None:
    already = f" ({found.decided} of them decided already)" if found.decided else ""
    left = found.tasks - found.decided
    tasks = counted(found.tasks, "task")
    if not left:
        say(f"{tasks}{already}; nothing is left to decide, so nobody would be asked")
        return
    say(f"{tasks}{already}; to decide {left}, nothing has been asked yet:")
    say("")
    with writing():
        out().print(_table(found), soft_wrap=False)
    say("")
    turns = -(-left // panel.table.run.concurrency)
    say(
        f"longest: {_time(found.seconds)}, if every expert takes all of its timeout "
        f"({counted(turns, 'time')} {counted(panel.table.run.concurrency, 'task')} side by side)"
    )
    for text in _remarks(found):
        say(text)


def _table(found: Estimate) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("expert", overflow="fold")
    table.add_column("role")
    for name in ("calls", "at most", "cost", "at most", "tokens", "at most"):
        table.add_column(name, justify="right", no_wrap=True)
    most = max((e.cost.expected or Fraction(0) for e in found.experts), default=Fraction(0))
    if most:
        table.add_column("")
    for expert in found.experts:
        figures = (expert.calls, expert.cost, expert.tokens)
        cells = [cell for figure in figures for cell in _cells(figure)]
        bar = "=" * round(_BAR * (expert.cost.expected or 0) / most) if most else ""
        name = escape(printable(expert.id))
        table.add_row(name, expert.role, *cells, *([bar] if most else []))
    totals = [c for name in ("calls", "cost", "tokens") for c in _cells(found.total(name))]
    table.add_row("all", "", *totals, *([""] if most else []), style="bold")
    return table


def _cells(figure: Figure) -> tuple[str, str]:
    mark = "*" if figure.source == "history" and figure.expected is not None else ""
    expected = "?" if figure.expected is None else f"{float(figure.expected):,.6g}{mark}"
    greatest = "no limit" if figure.greatest is None else f"{float(figure.greatest):,.6g}"
    return expected, greatest


def _remarks(found: Estimate) -> list[str]:
    told = []
    if any(e.cost.source == "history" for e in found.experts):
        told.append(f"* the mean of what {_past(found)}")
    unknown = {
        name: [printable(e.id) for e in found.experts if getattr(e, name).source == "unknown"]
        for name in ("cost", "tokens")
    }
    for name, ids in unknown.items():
        if ids:
            told.append(f"? {name} not known of {', '.join(ids)}: declare {name} in the panel")
    told += [_sampled(expert) for expert in found.experts if expert.samples > 1]
    if any(expert.retries for expert in found.experts):
        most = max(expert.retries for expert in found.experts)
        told.append(
            "calls count each question once: failed attempts that adapters repeat (up to "
            f"{counted(most, 'time')}) come on top"
        )
    if any(e.calls.expected != e.calls.greatest for e in found.experts):
        seen = (
            "no verdict in the ledger shows how often tasks are refused; none is expected to be"
            if found.refused is None
            else f"{float(found.refused):.1%} of tasks are expected to be refused at first, "
            f"as {_past(found)}"
        )
        told.append(seen)
    if any(e.cost.greatest is not None or e.tokens.greatest is not None for e in found.experts):
        told.append(
            "at most: what is counted; an answer over max_cost or max_tokens is paid for, "
            "and counts as none"
        )
    return told


def _past(found: Estimate) -> str:
    shows = "shows" if found.past == 1 else "show"
    return f"{counted(found.past, 'verdict')} in the ledger {shows}"


def _sampled(expert: ExpertEstimate) -> str:
    expected, greatest = _cells(expert.completions)
    most = "" if expected == greatest else f", at most {greatest}"
    completions = "completion" if expected == "1" else "completions"
    return (
        f"{printable(expert.id)} is sampled {expert.samples} times in each call: {expected} "
        f"{completions}{most}; its cost and tokens are of a call with all of them"
    )


def _time(seconds: Fraction) -> str:
    if seconds < 2 * _MINUTE:
        return f"{float(seconds):.3g} s"
    if seconds < 2 * _HOUR:
        return f"{float(seconds / _MINUTE):.3g} minutes"
    if seconds < 2 * _DAY:
        return f"{float(seconds / _HOUR):.3g} hours"
    return f"{float(seconds / _DAY):,.3g} days"
