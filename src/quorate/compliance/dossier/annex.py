"""The points of Annex IV as a dossier tells them: state, evidence, what is missing, who judges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from quorate.compliance.catalogue import load_catalogue
from quorate.compliance.dossier.data import Node, laid_out
from quorate.compliance.evidence import Evidence, EvidenceSet
from quorate.compliance.rendering.view import MOST_LINKED, Receipt
from quorate.compliance.rendering.words import STATES, State, applies, article, reference
from quorate.compliance.report import CheckResult, ComplianceReport, ItemResult
from quorate.compliance.rules import MISSING
from quorate.core.text import printable

_DOCUMENTATION: Final = "technicalDocumentation"

TITLES: Final = {
    1: "General description of the system",
    2: "Elements of the system, and how it was developed",
    3: "Monitoring, functioning and control",
    4: "Why the performance metrics suit the system",
    5: "The risk management system (Article 9)",
    6: "Changes over the life of the system",
    7: "Standards applied, or other solutions",
    8: "The EU declaration of conformity",
    9: "Monitoring on the market (Article 72)",
}
"""Point -> title, in our own words."""

RELATED: Final[Mapping[int, tuple[str, ...]]] = {
    1: ("art_13.par_2", "art_13.par_3.a"),
    2: ("art_10", "art_9.par_6", "art_9.par_8", "art_15.par_5"),
    3: ("art_12", "art_13.par_3.b", "art_14", "art_15.par_4"),
    4: ("art_15.par_1", "art_15.par_3"),
    5: ("art_9",),
    6: ("art_12.par_2.a",),
    7: ("art_17",),
    8: (),
    9: ("art_72", "art_12.par_2.b"),
}
"""Point -> obligations whose evidence bears on it, by id or by what the id begins with."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of evidence, to be read; ``about`` says what its field asks for."""

    field: str
    about: str
    source: str
    time: str
    expires: str | None
    status: str
    state: State | None
    reason: str
    digest: str | None
    document: str | None
    sealed: Receipt | None
    made_of: tuple[Receipt, ...]
    more: int
    data: Node


@dataclass(frozen=True, slots=True)
class Part:
    """A check of the report that an obligation is part of: its state, and what bears on it."""

    id: str
    field: str
    state: State
    sealed: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One obligation.

    Attributes:
        id: of the obligation; ``reference`` is where it stands in the law.
        text: what it asks.
        severity, judge, applies, reasons, advice: as in the report.
        state: by evidence of its own.
        sealed: entries that seal that evidence.
        part_of: checks of the report that it is part of and that have evidence under another
            field.
        items: evidence of its own.
    """

    id: str
    reference: str
    text: str
    severity: str
    state: State
    judge: bool
    applies: str
    reasons: tuple[str, ...]
    advice: str
    sealed: tuple[Receipt, ...]
    part_of: tuple[Part, ...]
    items: tuple[Item, ...]

    @property
    def alone(self) -> bool:
        """Whether its own state says all that there is to say of it."""
        return self.state.name != MISSING or not self.part_of


@dataclass(frozen=True, slots=True)
class Section:
    """One point of Annex IV.

    Attributes:
        number: 1 to 9.
        title: in words.
        points: its obligations.
        documentation: what the technical documentation says stands where.
        related: obligations of Articles whose evidence bears on it.
    """

    number: int
    title: str
    points: tuple[Point, ...]
    documentation: tuple[tuple[str, str], ...]
    related: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Annex:
    """All of it.

    Attributes:
        sections: the points of Annex IV.
        others: heading -> evidence that stands under no point.
        judge: what people have to judge.
    """

    sections: tuple[Section, ...]
    others: tuple[tuple[str, tuple[Item, ...]], ...]
    judge: tuple[Point, ...]


def annex(
    report: ComplianceReport,
    full: ComplianceReport,
    evidence: EvidenceSet,
    bundles: Mapping[int, str],
    documents: Mapping[str, str],
) -> Annex:
    """Lay the dossier out.

    Args:
        report: under the profile of the dossier.
        full: the same evidence under the profile ``full``.
        evidence: all of it.
        bundles: entry -> path of its bundle.
        documents: digest, ``sha256:…`` -> path of the document.
    """
    items = _Items(evidence, (full, report), bundles, documents)
    points = {each.id: _point(each, full, report, items) for each in full.results}
    sections = tuple(_section(number, points, full, evidence) for number in TITLES)
    placed = {id_ for id_ in points if id_.startswith("annex_iv.")}
    judge = [
        points[id_]
        for id_ in points
        if points[id_].judge and (id_ in placed or _asked(id_, report))
    ]
    return Annex(sections, _others(evidence, report, placed, items), tuple(judge))


class _Items:
    """The items of evidence, each with the state that an evaluation gave it."""

    def __init__(
        self,
        evidence: EvidenceSet,
        reports: Iterable[ComplianceReport],
        bundles: Mapping[int, str],
        documents: Mapping[str, str],
    ) -> None:
        self._bundles = bundles
        self._documents = documents
        self._by_field: dict[str, list[Evidence]] = defaultdict(list)
        for item in evidence.items:
            self._by_field[item.field].append(item)
        self._results: dict[str, list[ItemResult]] = {}
        self._titles: dict[str, str] = {}
        for report in reports:
            for result in report.results:
                self._titles.setdefault(result.field, printable(result.title))
                found = [each for each in result.items if each.field == result.field]
                if found:
                    self._results.setdefault(result.field, found)

    def of(self, field: str) -> tuple[Item, ...]:
        """Those of one field, in order."""
        given = self._by_field[field]
        results: list[ItemResult | None] = list(self._results.get(field, ()))
        results += [None] * (len(given) - len(results))
        return tuple(map(self._item, given, results))

    def receipts(self, numbers: Iterable[int]) -> tuple[Receipt, ...]:
        return tuple(Receipt(seq, self._bundles.get(seq)) for seq in sorted(set(numbers)))

    def _item(self, item: Evidence, result: ItemResult | None) -> Item:
        numbers = sorted({each.seq for each in item.entries})
        return Item(
            field=printable(item.field),
            about=self._titles.get(item.field, ""),
            source=printable(item.source),
            time=item.time,
            expires=item.expires,
            status=item.status,
            state=None if result is None else STATES[result.state],
            reason="" if result is None else printable(result.reason),
            digest=item.digest,
            document=None if item.digest is None else self._documents.get(item.digest),
            sealed=None if item.receipt is None else self.receipts([item.receipt.seq])[0],
            made_of=self.receipts(numbers[:MOST_LINKED]),
            more=max(0, len(numbers) - MOST_LINKED),
            data=laid_out(item.data),
        )


def _point(
    result: CheckResult, full: ComplianceReport, report: ComplianceReport, items: _Items
) -> Point:
    return Point(
        id=result.id,
        reference=reference(result.id),
        text=printable(result.title),
        severity=result.severity,
        state=STATES[result.state],
        judge=result.id in full.to_judge,
        applies=applies(result, full.system),
        reasons=tuple(map(printable, result.reasons)),
        advice=printable(result.advice),
        sealed=items.receipts(i.receipt for i in result.items if i.receipt is not None),
        part_of=tuple(_parts(result.id, report, items)),
        items=items.of(result.id),
    )


def _parts(id_: str, report: ComplianceReport, items: _Items) -> Iterator[Part]:
    for each in report.results:
        own = [item for item in each.items if item.field == each.field]
        if id_ in each.obligations and each.field != id_ and own:
            sealed = items.receipts(item.receipt for item in own if item.receipt is not None)
            yield Part(printable(each.id), printable(each.field), STATES[each.state], sealed)


def _section(
    number: int, points: Mapping[str, Point], full: ComplianceReport, evidence: EvidenceSet
) -> Section:
    own = f"annex_iv.point_{number}"
    related = [
        points[each.id]
        for each in full.results
        if any(each.id == begin or each.id.startswith(f"{begin}.") for begin in RELATED[number])
    ]
    return Section(
        number=number,
        title=TITLES[number],
        points=tuple(p for id_, p in points.items() if id_ == own or id_.startswith(f"{own}.")),
        documentation=_documentation(evidence, number),
        related=tuple(related),
    )


def _documentation(evidence: EvidenceSet, number: int) -> tuple[tuple[str, str], ...]:
    """Where the technical documentation says that it treats a point."""
    found = []
    for item in evidence.items:
        sections = item.data.get("sections") if item.field == _DOCUMENTATION else None
        where = sections.get(f"annex_iv_{number}") if isinstance(sections, Mapping) else None
        if isinstance(where, str):
            title = item.data.get("title")
            found.append((printable(str(title or item.field)), printable(where)))
    return tuple(found)


def _asked(id_: str, report: ComplianceReport) -> bool:
    return any(id_ in each.obligations and each.id in report.to_judge for each in report.results)


def _others(
    evidence: EvidenceSet, report: ComplianceReport, placed: set[str], items: _Items
) -> tuple[tuple[str, tuple[Item, ...]], ...]:
    homes = {each.field: each.article for each in reversed(report.results)}
    homes |= {id_: each.article for id_, each in load_catalogue().items()}
    groups: dict[str, list[Item]] = {}
    for field in dict.fromkeys(item.field for item in evidence.items):
        if field not in placed:
            home = article(homes[field]) if field in homes else "Other evidence"
            groups.setdefault(home, []).extend(items.of(field))
    # As the report has them; evidence comes in the order in which it was sealed.
    order = list(dict.fromkeys([article(each.article) for each in report.results]))
    order += [home for home in map(article, load_catalogue().articles) if home not in order]
    ranked = sorted(groups, key=lambda home: order.index(home) if home in order else len(order))
    return tuple((home, tuple(groups[home])) for home in ranked)
