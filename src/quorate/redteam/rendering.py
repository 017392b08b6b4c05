"""A report for people: on a terminal, and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from quorate.core.text import counted, printable
from quorate.redteam.conversation import Message
from quorate.redteam.report import RedTeamReport
from quorate.redteam.rules import Score
from quorate.redteam.strategies import ATTACK_CLASSES

_SIGNS: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
_NONE: Final = "none"
_SHOWN: Final = 200

LIMITS: Final = (
    "A scan shows that attacks succeed. Attacks that were withstood show no more than that these "
    "probes, with these judges, were withstood at that time; a secret told in a cipher or a riddle "
    "is not seen."
)


def share(made: Score) -> str:
    """A resilience in three places, or that there is none."""
    return _NONE if made.resilience is None else f"{float(made.resilience):.3f}"


def rows(report: RedTeamReport) -> list[tuple[str, ...]]:
    """One row for each strategy: id, category, severity, defended, succeeded, not probed."""
    found = []
    for one in report.strategies:
        outcomes = [result.outcome for result in one.results]
        numbers = [str(outcomes.count(name)) for name in ("defended", "succeeded", "not_probed")]
        facts = one.facts
        found.append((facts.id, facts.category, facts.severity, facts.asi, *numbers))
    return found


HEADS: Final = ("strategy", "category", "severity", "ASI", "defended", "succeeded", "not probed")


def render_terminal(report: RedTeamReport) -> str:
    """The report as plain text: a table, the scores, and a line for each success."""
    table = [HEADS, *rows(report)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    lines += ["", printable(report.describe())]
    graded = [f"{name} {share(made)}" for name, made in report.by_severity.items()]
    lines.append(f"resilience by severity: {', '.join(graded)}")
    classes = [f"{name} {share(made)}" for name, made in report.by_attack_class.items()]
    lines.append(f"by class of Article 15(5): {', '.join(classes)}")
    for facts, result in report.successes:
        lines.append(
            printable(f"succeeded: {facts.id} {result.id} ({facts.severity}): {result.finding}")
        )
    lines += [printable(line) for line in _not_probed(report)]
    lines.append(LIMITS)
    return "\n".join(lines)


def _not_probed(report: RedTeamReport) -> list[str]:
    lines = []
    for one in report.strategies:
        missed = [result for result in one.results if result.outcome == "not_probed"]
        if not missed:
            continue
        reasons = sorted({result.reason for result in missed})
        failure = one.control.failure
        why = ""
        if failure is not None:
            why = f" ({failure.detail})"
        elif not one.served:
            why = " (the honest request was not served)"
        elif missed[0].run.failure is not None:
            why = f" ({missed[0].run.failure.detail})"
        number = counted(len(missed), "probe")
        lines.append(f"not probed: {one.facts.id}, {number}: {', '.join(reasons)}{why}")
    return lines


def render_markdown(report: RedTeamReport) -> str:
    """The report as Markdown, with the transcript of every success.

    What a target said stands in indented blocks, where no sign of it means anything.
    """
    lines = [f"# Red-team report: {_plain(report.target)}", "", _plain(report.describe()), ""]
    lines += [LIMITS, "", "## Strategies", "", *_table([HEADS, *rows(report)])]
    lines += ["", "## Scores", ""]
    groups = (
        ("severity", report.by_severity),
        ("category", report.by_category),
        ("OWASP agentic", report.by_asi),
    )
    table = [("by", "", "resilience", "coverage")]
    for by, scores in groups:
        table += [(by, name, share(made), _coverage(made)) for name, made in scores.items()]
    table += [
        ("Article 15(5)", ATTACK_CLASSES[name], share(made), _coverage(made))
        for name, made in report.by_attack_class.items()
    ]
    lines += _table(table)
    missed = _not_probed(report)
    if missed:
        lines += ["", "## Not probed", "", *(f"- {_plain(line)}" for line in missed)]
    if report.successes:
        lines += ["", "## Attacks that succeeded"]
    for facts, result in report.successes:
        lines += ["", f"### {_plain(facts.id)} {_plain(result.id)}", ""]
        lines += [f"{_plain(result.run.probe.title)}: {_plain(result.finding or '')}.", ""]
        for message in result.run.transcript:
            lines += _said(message)
    return "\n".join(lines).rstrip() + "\n"


def _coverage(made: Score) -> str:
    return _NONE if made.coverage is None else f"{float(made.coverage):.3f}"


def _plain(words: str) -> str:
    return _SIGNS.sub(r"\\\1", printable(words))


def _table(table: Sequence[tuple[str, ...]]) -> list[str]:
    head, *body = table
    lines = [f"| {' | '.join(map(_plain, head))} |", f"|{'---|' * len(head)}"]
    return lines + [f"| {' | '.join(map(_plain, row))} |" for row in body]


def _said(message: Message) -> list[str]:
    who = message.role if message.name is None else f"{message.role} {message.name}"
    lines = [f"{_plain(who)}{', interrupted' if message.cut else ''}:", ""]
    said = [printable(line) for line in message.text.split("\n")] if message.text else []
    said += [printable(f"-> {call.to_dict()}") for call in message.tool_calls]
    return [*lines, *(f"    {line}" for line in said or ["(nothing)"]), ""]
