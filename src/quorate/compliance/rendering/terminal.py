"""A report on a terminal: what blocks first, then article by article.

States have a word and a sign each, so that nothing is told by colour alone; at 80 columns no
line is broken but where words end.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from quorate.compliance.coverage import HEADING, Coverage
from quorate.compliance.rendering.view import Article, Line, View, view
from quorate.compliance.rendering.words import State, spans
from quorate.compliance.report import ComplianceReport
from quorate.compliance.rules import NOT_APPLICABLE, SHOWN
from quorate.core.errors import UsageError
from quorate.core.text import counted

LEAST_WIDTH: Final = 60
MOST_WIDTH: Final = 110
DEFAULT_WIDTH: Final = 80

_BAR: Final = 20
_FULL: Final = ("█", "#")
_EMPTY: Final = ("░", ".")
_WORD_WIDTH: Final = 14
_BELOW: Final = 6


def render_terminal(
    report: ComplianceReport,
    *,
    width: int = DEFAULT_WIDTH,
    colour: bool = False,
    plain: bool = False,
    notices: Sequence[str] = (),
    coverage: Coverage | None = None,
) -> str:
    """The report as text for a terminal.

    Args:
        report: to be shown.
        width: columns, 60 or more; lines are no longer than that, nor than 110.
        colour: with the escapes of ANSI terminals.
        plain: with signs of ASCII only; foreign text stays as it is.
        notices: what a reader has to know first.
        coverage: what is known of the ledger behind it.

    Raises:
        UsageError: the width is too small.
    """
    if width < LEAST_WIDTH:
        raise UsageError(f"width is {width}; a report takes {LEAST_WIDTH} columns at least")
    prepared = view(report, notices=notices, coverage=coverage)
    return _Screen(prepared, plain=plain).render(min(width, MOST_WIDTH), colour=colour)


class _Screen:
    """One report being laid out."""

    def __init__(self, shown: View, *, plain: bool) -> None:
        self._view = shown
        self._plain = plain

    def render(self, width: int, *, colour: bool) -> str:
        written = io.StringIO()
        console = Console(
            file=written,
            width=width,
            force_terminal=colour,
            color_system="standard" if colour else None,
            highlight=False,
            legacy_windows=False,
        )
        console.print(Group(*self._parts()))
        # Rich fills lines up to the width; in a file or a mail that is noise.
        return "\n".join(line.rstrip() for line in written.getvalue().split("\n")).rstrip() + "\n"

    def _parts(self) -> Iterable[RenderableType]:
        shown = self._view
        for notice in shown.notices:
            yield _row(Text("!!", "bold red"), Text(notice, "bold red"), 3)
        yield Text(shown.title, "bold")
        yield _pairs(shown.facts)
        yield Text()
        yield from self._score()
        yield from self._blocking()
        for article in shown.articles:
            yield from self._article(article)
        yield from self._judge()
        yield from self._declared()
        yield from self._gaps()
        yield Text()
        yield self._last()
        yield Text(shown.disclaimer, "italic")

    def _score(self) -> Iterable[RenderableType]:
        shown = self._view
        line = Text.assemble(
            ("Shown ", "bold"),
            self._bar(shown.weight_shown, shown.weight_total),
            (f" {shown.weight_shown}/{shown.weight_total}", "bold"),
            f" by weight, {shown.percent}; {shown.shown} of {counted(shown.total, 'check')}",
        )
        yield line
        told = [
            (f"{self._sign(state)} {number} {state.word}", state.style)
            for state, number in zip(shown.states, shown.counts, strict=True)
            if number
        ]
        yield Text("   ").join(Text(*each) for each in told)

    def _blocking(self) -> Iterable[RenderableType]:
        blocking = self._view.blocking
        yield Text()
        if not blocking:
            yield Text(f"Blocking: nothing; {self._view.unblocked}", "bold")
            return
        yield Text(f"Blocking: {counted(len(blocking), 'blocker')} not shown", "bold red")
        for line in blocking:
            yield self._headed(line)
            yield from _steps(line.steps)
        yield _indented(Text("What an item looks like: quorate comply catalogue ID", "dim"))

    def _article(self, article: Article) -> Iterable[RenderableType]:
        yield Text()
        yield Text.assemble((f"{article.heading}  ", "bold"), (article.title, "bold"))
        if article.total == 0:
            yield Text("  nothing of it applies to this system", "dim")
        else:
            yield Text.assemble(
                "  ",
                self._bar(article.weight_shown, article.weight_total),
                f" {article.weight_shown}/{article.weight_total} by weight, "
                f"{article.shown} of {counted(article.total, 'check')} shown",
            )
        if article.applies:
            yield _indented(Text(f"applies: {article.applies}", "dim"))
        for line in article.lines:
            yield from self._line(line)

    def _line(self, line: Line) -> Iterable[RenderableType]:
        yield self._headed(line)
        if line.state.name == NOT_APPLICABLE:
            yield from (_below(Text(reason, "dim")) for reason in line.reasons)
            return
        about = f"{line.severity} {line.weight}"
        about += f" · {line.obligations}" if line.obligations else ""
        yield _below(Text(about.replace("·", "|") if self._plain else about, "dim"))
        if line.applies:
            yield _below(Text(f"applies: {line.applies}", "dim"))
        if line.sealed:
            yield _below(_receipts(line))
        elif line.entries:
            number = "entry" if line.entries.isdigit() else "entries"
            yield _below(Text(f"made from {number} {line.entries}; not sealed"))
        if line.state.name != SHOWN:
            for reason in line.reasons:
                yield _below(Text.assemble(("why: ", "bold"), reason))
            # The rest of what a blocker takes stands above, among what blocks.
            yield from _steps(line.lacks if line.blocking else line.steps)
        for remark in line.remarks:
            yield _below(Text(remark, "yellow"))
        if line.judge:
            yield _below(Text("a person has to judge the content", "italic"))

    def _headed(self, line: Line) -> RenderableType:
        state = line.state
        grid = Table.grid(padding=(0, 1, 0, 0))
        grid.add_column(width=3, justify="right")
        grid.add_column(width=_WORD_WIDTH)
        grid.add_column(ratio=1, overflow="fold")
        grid.add_row(
            Text(self._sign(state), state.style),
            Text(state.word, state.style),
            Text.assemble((line.id, "bold"), f"  {line.title}" if line.title != line.id else ""),
        )
        return grid

    def _judge(self) -> Iterable[RenderableType]:
        if not self._view.judge:
            return
        yield Text()
        yield Text(
            f"A person has to judge {counted(len(self._view.judge), 'check')}, whatever the state",
            "bold",
        )
        yield _indented(Text(", ".join(line.id for line in self._view.judge)))

    def _declared(self) -> Iterable[RenderableType]:
        if self._view.undeclared:
            yield Text()
            yield Text("Not declared, so taken to hold", "bold")
            for name, meaning in self._view.undeclared:
                yield _indented(Text(f"{name}: {meaning}" if meaning else name))
        if self._view.unknown:
            yield Text()
            yield Text("Evidence that nothing asks for", "bold")
            yield from (_indented(Text(each)) for each in self._view.unknown)

    def _gaps(self) -> Iterable[RenderableType]:
        if self._view.gaps:
            yield Text()
            yield Text(HEADING, "bold")
            for name, why in self._view.gaps:
                yield _indented(Text.assemble((name, "bold"), f": {why}"))

    def _last(self) -> Text:
        """Long reports scroll: what matters stands at the end again."""
        shown = self._view
        return Text(
            f"{shown.weight_shown}/{shown.weight_total} by weight shown; "
            f"{counted(len(shown.blocking), 'blocker')} open; "
            f"{counted(len(shown.judge), 'check')} for people to judge.",
            "bold",
        )

    def _sign(self, state: State) -> str:
        return state.plain if self._plain else state.sign

    def _bar(self, part: int, whole: int) -> Text:
        # Cut, not rounded: a full bar means that all is shown.
        full = _BAR * part // whole if whole else 0
        signs = _FULL[self._plain] * full, _EMPTY[self._plain] * (_BAR - full)
        return Text.assemble("[", (signs[0], "green"), (signs[1], "dim"), "]")


def _steps(steps: Iterable[str]) -> Iterable[RenderableType]:
    return (_below(Text.assemble(("next: ", "bold"), each)) for each in steps)


def _receipts(line: Line) -> Text:
    number = "entry" if len(line.sealed) == 1 else "entries"
    # What seals some evidence for a check that is not shown does not seal the check.
    what = "sealed in" if line.state.name == SHOWN else "evidence in"
    made = f"; made from {line.entries}" if line.entries else ""
    return Text(f"{what} {number} {spans(each.seq for each in line.sealed)}{made}")


def _pairs(pairs: tuple[tuple[str, str], ...]) -> RenderableType:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(ratio=1, overflow="fold")
    for name, value in pairs:
        grid.add_row(name, Text(value))
    return grid


def _row(sign: Text, text: Text, width: int) -> RenderableType:
    grid = Table.grid()
    grid.add_column(width=width)
    grid.add_column(ratio=1, overflow="fold")
    grid.add_row(sign, text)
    return grid


def _indented(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, 2))


def _below(text: Text) -> RenderableType:
    return Padding(text, (0, 0, 0, _BELOW))
