"""A report as Markdown: for a repository, a ticket, a wiki. Needs no extra."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from quorate.compliance.coverage import HEADING, Coverage
from quorate.compliance.rendering.view import Article, Line, Receipt, View, view
from quorate.compliance.report import ComplianceReport
from quorate.compliance.rules import NOT_APPLICABLE, SHOWN
from quorate.core.text import counted, printable

_SIGNS: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
_FIRST: Final = re.compile(r"^([0-9]+(?=\.)|(?=[-=]))([-=.])")


def plain(text: str) -> str:
    """Foreign text as Markdown shows it word for word: no markup, no HTML, one line."""
    escaped = _SIGNS.sub(r"\\\1", printable(text))
    return _FIRST.sub(r"\1\\\2", escaped)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table; its cells are Markdown already."""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def receipts(found: tuple[Receipt, ...]) -> str:
    """Numbers of entries, each a link where its bundle is at hand."""
    return ", ".join(
        str(each.seq) if each.href is None else f"[{each.seq}]({each.href})" for each in found
    )


def render_markdown(
    report: ComplianceReport,
    *,
    bundles: Mapping[int, str] | None = None,
    notices: Sequence[str] = (),
    coverage: Coverage | None = None,
) -> str:
    """The report as Markdown.

    Args:
        report: to be shown.
        bundles: entry -> where its bundle lies, relative to the page; without one, entries are
            told by their numbers.
        notices: what a reader has to know first.
        coverage: what is known of the ledger behind it.
    """
    shown = view(report, bundles=bundles, notices=notices, coverage=coverage)
    return "\n".join(_lines(shown)).rstrip() + "\n"


def _lines(shown: View) -> Iterator[str]:
    yield f"# {plain(shown.title)}"
    yield ""
    for notice in shown.notices:
        yield f"> **{plain(notice)}**"
        yield ""
    yield f"> {plain(shown.disclaimer)}"
    yield ""
    yield from table(("", ""), ((f"**{name}**", plain(value)) for name, value in shown.facts))
    yield (
        f"**{shown.weight_shown} of {shown.weight_total} by weight ({shown.percent})**, "
        f"{shown.shown} of {counted(shown.total, 'check')} that apply are shown."
    )
    yield ""
    yield from _map(shown)
    yield from _blocking(shown)
    for article in shown.articles:
        yield from _article(article)
    yield from _rest(shown)


def _map(shown: View) -> Iterator[str]:
    heads = ("", *(f"{state.sign} {state.word}" for state in shown.states))
    rows = [(plain(f"{each.heading} {each.title}"), each.counts) for each in shown.articles]
    rows += [(f"*{severity}*", counts) for severity, counts in shown.severities]
    yield from table(heads, ((head, *(str(n or "") for n in of)) for head, of in rows))


def _blocking(shown: View) -> Iterator[str]:
    yield "## Blocking"
    yield ""
    if not shown.blocking:
        yield f"Nothing: {shown.unblocked}."
    for line in shown.blocking:
        yield f"- {line.state.sign} **{line.state.word}** {plain(line.id)}: {plain(line.title)}"
        yield from (f"  - next: {plain(step)}" for step in line.steps)
    yield ""


def _article(article: Article) -> Iterator[str]:
    yield f"## {plain(article.heading)}: {plain(article.title)}"
    yield ""
    if article.total == 0:
        yield "Nothing of it applies to this system."
    else:
        yield (
            f"{article.weight_shown} of {article.weight_total} by weight, {article.shown} of "
            f"{counted(article.total, 'check')} shown."
        )
    if article.applies:
        yield f"Applies: {article.applies}."
    yield ""
    yield from table(
        ("state", "check", "severity", "receipts", "why, and what next"), map(_row, article.lines)
    )


def _row(line: Line) -> tuple[str, ...]:
    what = f"**{plain(line.id)}** {plain(line.title)}"
    what += f"<br>{plain(line.obligations)}" if line.obligations else ""
    what += f"<br>applies: {line.applies}" if line.applies else ""
    word = "sealed" if line.state.name == SHOWN else "evidence"
    sealed = f"{word} in {receipts(line.sealed)}" if line.sealed else ""
    made = receipts(line.made_of) + (f" and {line.more} more" if line.more else "")
    found = [each for each in (sealed, f"made from {made}" if made else "") if each]
    told = [plain(reason) for reason in line.reasons] if line.state.name != SHOWN else []
    if line.state.name not in (SHOWN, NOT_APPLICABLE):
        told += [f"next: {plain(step)}" for step in line.steps]
    told += [plain(remark) for remark in line.remarks]
    if line.judge:
        told.append("*a person has to judge the content*")
    return (
        f"{line.state.sign} {line.state.word}",
        what,
        f"{line.severity} {line.weight}",
        "<br>".join(found),
        "<br>".join(told),
    )


def _rest(shown: View) -> Iterator[str]:
    if shown.judge:
        yield "## For people to judge"
        yield ""
        yield from (f"- {plain(line.id)}: {plain(line.title)}" for line in shown.judge)
        yield ""
    if shown.undeclared:
        yield "## Not declared, so taken to hold"
        yield ""
        yield from (f"- {plain(name)}: {plain(meaning)}" for name, meaning in shown.undeclared)
        yield ""
    if shown.unknown:
        yield "## Evidence that nothing asks for"
        yield ""
        yield from (f"- {plain(each)}" for each in shown.unknown)
        yield ""
    yield from gaps(shown.gaps)
    yield plain(shown.disclaimer)


def gaps(found: Sequence[tuple[str, str]]) -> Iterator[str]:
    """What the ledger does not show; nothing where there is nothing."""
    if found:
        yield f"## {HEADING}"
        yield ""
        yield from (f"- **{plain(name)}**: {plain(why)}" for name, why in found)
        yield ""
