"""What every rendering of a report shows, in words fit for a screen and in one order.

Texts come from evidence that others wrote: control characters and marks of text direction
are made visible here, once, for all renderings.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from quorate.compliance.coverage import Coverage
from quorate.compliance.evidence import COLLECTED
from quorate.compliance.rendering.words import (
    MOST_REASONS,
    SEVERITIES,
    STATES,
    State,
    applies,
    article,
    category,
    percent,
    references,
    spans,
)
from quorate.compliance.report import (
    SHIPPED_PROFILES,
    CheckResult,
    ComplianceReport,
    ItemResult,
    quoted,
)
from quorate.compliance.rules import NOT_APPLICABLE, SHOWN
from quorate.compliance.system import UNDECLARED, System
from quorate.core.text import printable

MOST_LINKED: Final = 24
"""Most entries of one line that are linked one by one."""

_SCRIPTED: Final = tuple(f"{COLLECTED}scripted_{kind}_drill" for kind in ("halt", "override"))
"""Collectors of drills in which a script stood in for the system's own experts."""
_TO_THE_END: Final = tuple(
    f"{COLLECTED}{name}" for name in ("gapless_logging", "event_logging", "retention")
)
"""Collectors of evidence that entries cut off the end would make untrue."""
_NUMBERED: Final = re.compile(r"[0-9]+[a-z]?")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A ledger entry that a line names: its number, and where its bundle is, if it is at hand."""

    seq: int
    href: str | None


@dataclass(frozen=True, slots=True)
class Line:
    """One check.

    Attributes:
        id, title, severity, weight: of the check.
        obligations: that it stands for, as references to the law.
        state: of the check.
        blocking: whether it is a blocker that applies and is not shown.
        judge: whether a person has to judge the content.
        applies: from when, and whether it does already; empty where its article's heading says it.
        reasons: why it is not shown.
        advice: what to do next.
        lacks: what of it the ledger does not show yet, and what would show it.
        sealed: entries that seal its evidence.
        made_of: entries that the evidence was made from; ``more`` of them are not listed.
        entries: all of these in short.
        sources: who established what is shown.
        remarks: what a reader has to know of what is shown.
    """

    id: str
    title: str
    severity: str
    weight: int
    obligations: str
    state: State
    blocking: bool
    judge: bool
    applies: str
    reasons: tuple[str, ...]
    advice: str
    lacks: tuple[str, ...]
    sealed: tuple[Receipt, ...]
    made_of: tuple[Receipt, ...]
    more: int
    entries: str
    sources: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """What to do next: first what has the ledger show it, then what to bring."""
        return (*self.lacks, self.advice) if self.advice else self.lacks


@dataclass(frozen=True, slots=True)
class Article:
    """The checks of one article: heading, sums, from when it applies where all agree, lines."""

    name: str
    heading: str
    title: str
    anchor: str
    shown: int
    total: int
    weight_shown: int
    weight_total: int
    worst: State
    applies: str
    counts: tuple[int, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A report, in words.

    Attributes:
        title: of the whole.
        facts: name -> value: the system, the day, the law.
        score: weight shown / weight in all, as text; ``percent`` cut after one place.
        states: in the order of the columns of ``counts``.
        counts: checks by state.
        severities: severity -> checks by state.
        articles: in the order of the report.
        blocking: lines that block, the worst first.
        unblocked: why there are none, where there are none.
        judge: lines whose content a person has to judge.
        undeclared: conditions that nobody declared.
        unknown: fields of evidence that nothing asks for.
        gaps: what the ledger does not show -> why, and what would show it.
        notices: what a reader has to know first.
        disclaimer: of the report.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    shown: int
    total: int
    weight_shown: int
    weight_total: int
    percent: str
    states: tuple[State, ...]
    counts: tuple[int, ...]
    severities: tuple[tuple[str, tuple[int, ...]], ...]
    articles: tuple[Article, ...]
    blocking: tuple[Line, ...]
    unblocked: str
    judge: tuple[Line, ...]
    undeclared: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...]
    gaps: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    disclaimer: str


def view(
    report: ComplianceReport,
    *,
    bundles: Mapping[int, str] | None = None,
    notices: Sequence[str] = (),
    coverage: Coverage | None = None,
) -> View:
    """Prepare a report for rendering.

    Args:
        report: to be shown.
        bundles: entry -> where its bundle lies, relative to the page.
        notices: what a reader has to know first, such as that the ledger does not verify.
        coverage: what is known of the ledger behind it; ``None`` where none was looked at.
    """
    links = {} if bundles is None else bundles
    articles = tuple(
        _article(report, each.article, links, place, coverage)
        for place, each in enumerate(report.articles)
    )
    lines = [line for each in articles for line in each.lines]
    states = [each.state for each in report.results]
    return View(
        title=f"Evidence for the EU AI Act: {named(report.system)}",
        facts=facts(report, coverage),
        shown=states.count(SHOWN),
        total=len(states) - states.count(NOT_APPLICABLE),
        weight_shown=report.weight_shown,
        weight_total=report.weight_total,
        percent=percent(report.weight_shown, report.weight_total),
        states=tuple(STATES.values()),
        counts=_counts(report.results),
        severities=tuple(
            (each, _counts([r for r in report.results if r.severity == each]))
            for each in SEVERITIES
        ),
        articles=articles,
        blocking=tuple(sorted((each for each in lines if each.blocking), key=_worst_first)),
        unblocked=_unblocked(report),
        judge=tuple(line for line in lines if line.id in report.to_judge),
        undeclared=conditions(report),
        unknown=tuple(map(_words, report.unknown_fields)),
        gaps=gaps(coverage),
        notices=tuple(map(_words, notices)),
        disclaimer=report.disclaimer,
    )


def conditions(report: ComplianceReport) -> tuple[tuple[str, str], ...]:
    """Conditions that nobody declared, each with what it means."""
    return tuple((_words(each), _meaning(each)) for each in report.undeclared)


def gaps(coverage: Coverage | None) -> tuple[tuple[str, str], ...]:
    """What the ledger does not show -> why, and what would show it."""
    found = () if coverage is None else coverage.gaps()
    return tuple((_words(name), _words(why)) for name, why in found)


def _pinned(coverage: Coverage | None) -> bool:
    return coverage is not None and coverage.complete


def facts(
    report: ComplianceReport, coverage: Coverage | None = None
) -> tuple[tuple[str, str], ...]:
    """What was evaluated, when, against what; and how much of the ledger it rests on."""
    text, system = report.law_text, report.system
    role = "provider and deployer" if system.role == "both" else system.role
    ledger = () if coverage is None else (("Ledger", _words(coverage.describe())),)
    return (
        ("System", named(system)),
        ("Declared", f"{role}; {category(system)}"),
        ("Excluded", _excluded(system)),
        ("Day", report.as_of.isoformat()),
        *ledger,
        ("Law", f"{text.title} (this text since {text.since.isoformat()})"),
        ("Acts", "; ".join(text.acts)),
        ("Profile", _profile(report)),
        ("Catalogue", report.catalogue_version),
        ("Texts", _texts(report)),
    )


def _excluded(system: System) -> str:
    """Conditions declared false, which take obligations away, with what they mean."""
    names = sorted(name for name, holds in system.conditions.items() if not holds)
    if not names:
        return "no condition is declared not to hold"
    told = "; ".join(f"{name} ({_meaning(name)})" for name in names)
    return _words(f"declared not to hold: {told}")


def _texts(report: ComplianceReport) -> str:
    """How much of what is shown a person still has to read."""
    shown = sum(each.state == SHOWN for each in report.results)
    if not shown:
        return "nothing is shown"
    return (
        f"{len(report.on_texts)} of the {shown} shown rest on what people wrote, texts or numbers, "
        "and no machine judged whether it is so"
    )


def _profile(report: ComplianceReport) -> str:
    """Its name, and whether it is one of ours: one's own asks for what it likes."""
    if report.profile in SHIPPED_PROFILES:
        return report.profile
    return f"one's own, named {quoted(report.profile)}, {report.profile_digest}"


def named(system: System) -> str:
    """Name and version, or that nobody said which system it is."""
    if system == UNDECLARED:
        return "no system declared"
    return f"{quoted(system.name)}, version {quoted(system.version)}"


def _unblocked(report: ComplianceReport) -> str:
    """Why nothing blocks: that all is shown is not said where nothing could block."""
    blockers = [each for each in report.results if each.severity == "blocker"]
    if not blockers:
        return "no check of this profile is a blocker"
    if all(each.state == NOT_APPLICABLE for each in blockers):
        return "no blocker of this profile applies to this system"
    return "every blocker that applies is shown"


def _article(
    report: ComplianceReport,
    name: str,
    links: Mapping[int, str],
    place: int,
    coverage: Coverage | None,
) -> Article:
    totals = next(each for each in report.articles if each.article == name)
    results = [each for each in report.results if each.article == name]
    days = {applies(each, report.system) for each in results}
    common = days.pop() if len(days) == 1 else ""
    return Article(
        name=name,
        heading=article(name),
        title=_words(totals.title),
        anchor=f"article-{name}" if _NUMBERED.fullmatch(name) else f"part-{place}",
        shown=totals.shown,
        total=totals.total,
        weight_shown=totals.weight_shown,
        weight_total=totals.weight_total,
        worst=STATES[totals.worst],
        applies=common,
        counts=_counts(results),
        lines=tuple(_line(each, report, links, coverage, alone=not common) for each in results),
    )


def _worst_first(line: Line) -> int:
    return list(STATES).index(line.state.name)


def _line(
    result: CheckResult,
    report: ComplianceReport,
    links: Mapping[int, str],
    coverage: Coverage | None,
    *,
    alone: bool,
) -> Line:
    numbers = sorted({ref.seq for item in result.items for ref in item.entries})
    hidden = max(0, len(result.reasons) - MOST_REASONS)
    reasons = [_words(each) for each in result.reasons[:MOST_REASONS]]
    if hidden:
        reasons.append(f"and {hidden} more reasons, in the report as JSON")
    return Line(
        id=_words(result.id),
        title=_words(result.title),
        severity=result.severity,
        weight=result.weight,
        obligations=references(result.obligations),
        state=STATES[result.state],
        blocking=result.id in report.blocking,
        judge=result.judge and result.state != NOT_APPLICABLE,
        applies=applies(result, report.system) if alone else "",
        reasons=tuple(reasons),
        advice=_words(result.advice),
        lacks=_lacks(result, coverage),
        sealed=_receipts({i.receipt for i in result.items if i.receipt is not None}, links),
        made_of=_receipts(set(numbers[:MOST_LINKED]), links),
        more=max(0, len(numbers) - MOST_LINKED),
        entries=spans(numbers),
        sources=tuple(dict.fromkeys(map(_source, result.items))),
        remarks=tuple(_remarks(result, pinned=_pinned(coverage))),
    )


def _lacks(result: CheckResult, coverage: Coverage | None) -> tuple[str, ...]:
    """What collectors could have shown of a check and did not, in their words, each once."""
    if coverage is None or result.state in (SHOWN, NOT_APPLICABLE):
        return ()
    given = {item.field for item in result.items}
    wanted = {result.field, *result.obligations} - given
    found: dict[str, list[str]] = {}
    for each in coverage.lacking:
        # A script shows less than the drill that is asked for beside it.
        fields = wanted.intersection(each.fields)
        if fields and f"{COLLECTED}{each.collector}" not in _SCRIPTED:
            told = found.setdefault(each.reason, [])
            told += sorted(fields.difference(told))
    return tuple(_words(f"{', '.join(fields)}: {why}") for why, fields in found.items())


def _remarks(result: CheckResult, *, pinned: bool) -> Iterator[str]:
    """That a script stood in for the system's own experts, or that a cut tail goes unseen."""
    sources = {item.source for item in result.items if item.state == SHOWN}
    if not pinned and sources.intersection(_TO_THE_END):
        yield "entries cut off the end cannot be seen without a checkpoint kept elsewhere"
    if sources.intersection(_SCRIPTED):
        yield (
            "a drill with scripted experts is in it: it shows the halt or the override of the "
            "ledger, and not that the system's own experts obey them"
        )


def _source(item: ItemResult) -> str:
    if item.source is None:
        return f"{_words(item.field)}: no valid item"
    return f"{_words(item.field)}: {_words(item.source)}, {item.time}"


def _receipts(numbers: set[int], links: Mapping[int, str]) -> tuple[Receipt, ...]:
    return tuple(Receipt(seq, links.get(seq)) for seq in sorted(numbers))


def _counts(results: Sequence[CheckResult]) -> tuple[int, ...]:
    found: Counter[str] = Counter(each.state for each in results)
    return tuple(found[name] for name in STATES)


def _meaning(condition: str) -> str:
    from quorate.compliance.catalogue import load_catalogue  # noqa: PLC0415 - reads many files

    return load_catalogue().conditions.get(condition, "")


def _words(text: str) -> str:
    return printable(text)
