"""The pages about Annex IV: made for print, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from quorate.compliance.coverage import Coverage
from quorate.compliance.declaring import Declaration
from quorate.compliance.dossier.annex import Annex, Item, Point, Section
from quorate.compliance.dossier.data import Node
from quorate.compliance.rendering.html import fill
from quorate.compliance.rendering.markdown import gaps as told_gaps
from quorate.compliance.rendering.markdown import plain, receipts, table
from quorate.compliance.rendering.view import conditions, facts, gaps, named
from quorate.compliance.report import ComplianceReport, quoted
from quorate.core.text import counted, printable
from quorate.ledger import checkpoint as checkpoints

INTRODUCTION: Final = (
    "Technical documentation with the content of Annex IV. Of each point it says what evidence "
    "there is, in which ledger entry that is sealed, what is missing, and what people have to "
    "judge."
)

BEYOND: Final = (
    "Nor declared, for obligations that the profile of the report does not ask for and this page "
    "tells of"
)

VERIFYING: Final = (
    "quorate comply verify FOLDER --policy policy.toml checks all of it offline: the digests of "
    "the files, each bundle against the keys that you name, and the report and these pages, which "
    "are computed again. Get the policy from the operator, not from this folder."
)


def annex_html(
    report: ComplianceReport,
    full: ComplianceReport,
    annex: Annex,
    note: str | None,
    declared: tuple[int, Declaration] | None = None,
    coverage: Coverage | None = None,
) -> str:
    """The page for print.

    Args:
        report: under the profile of the dossier.
        full: the same evidence under the profile ``full``.
        annex: laid out.
        note: the signed checkpoint behind it.
        declared: the entry that declares the system, and what it says.
        coverage: what is known of the ledger behind it.

    Raises:
        OperationalError: Jinja2 is not installed.
    """
    return fill("annex.html", **_values(report, full, annex, note, declared, coverage))


def _values(
    report: ComplianceReport,
    full: ComplianceReport,
    annex: Annex,
    note: str | None,
    declared: tuple[int, Declaration] | None,
    coverage: Coverage | None,
) -> dict[str, Any]:
    return {
        "title": f"Technical documentation (Annex IV): {named(report.system)}",
        "introduction": INTRODUCTION,
        "verifying": VERIFYING,
        "beyond": BEYOND,
        "facts": (*facts(report, coverage), ("Declaration", _declared(declared)), *_log(note)),
        "gaps": gaps(coverage),
        "annex": annex,
        "undeclared": conditions(report),
        "undeclared_beyond": tuple(
            each for each in conditions(full) if each not in conditions(report)
        ),
        "disclaimer": report.disclaimer,
        "score": report.weight_shown,
        "total": report.weight_total,
    }


def _log(note: str | None) -> tuple[tuple[str, str], ...]:
    """The log behind it, as the signed checkpoint says."""
    if note is None:
        return (
            ("Checkpoint", "none: no evidence here is sealed, and nothing ties it to a ledger"),
        )
    pinned = checkpoints.read(note)
    size = counted(pinned.size, "entry", "entries")
    return (("Checkpoint", f"{printable(pinned.origin)}, {size}, root {pinned.root.hex()}"),)


def _declared(found: tuple[int, Declaration] | None) -> str:
    """Which entry holds role, category and conditions to what was declared."""
    if found is None:
        return (
            "none is sealed: role, category and conditions are the word of whoever made this "
            "dossier"
        )
    seq, declared = found
    return (
        f"sealed in entry {seq}, for the entries from {declared.since} on, by {quoted(declared.by)}"
    )


def annex_markdown(
    report: ComplianceReport,
    full: ComplianceReport,
    annex: Annex,
    note: str | None,
    declared: tuple[int, Declaration] | None = None,
    coverage: Coverage | None = None,
) -> str:
    """The same as Markdown; see :func:`annex_html`."""
    values = _values(report, full, annex, note, declared, coverage)
    return "\n".join(_lines(values, annex)).rstrip() + "\n"


def _lines(values: dict[str, Any], annex: Annex) -> Iterator[str]:
    yield f"# {plain(values['title'])}"
    yield ""
    yield f"> {plain(values['disclaimer'])}"
    yield ""
    yield values["introduction"]
    yield ""
    yield from table(("", ""), ((f"**{name}**", plain(value)) for name, value in values["facts"]))
    yield values["verifying"]
    yield ""
    if values["undeclared"]:
        told = ", ".join(f"{name} ({meaning})" for name, meaning in values["undeclared"])
        yield f"Not declared, so taken to hold: {plain(told)}."
        yield ""
    if values["undeclared_beyond"]:
        told = ", ".join(f"{name} ({meaning})" for name, meaning in values["undeclared_beyond"])
        yield f"{BEYOND}: {plain(told)}."
        yield ""
    for section in annex.sections:
        yield from _section(section)
    for heading, items in annex.others:
        yield f"## Other evidence: {plain(heading)}"
        yield ""
        for item in items:
            yield from _item(item, titled=True)
    yield "## For people to judge"
    yield ""
    yield from table(
        ("obligation", "what it asks", "state of the evidence", "judgement, name, date"),
        ((point.reference, plain(point.text), _standing(point), "") for point in annex.judge),
    )
    yield from told_gaps(values["gaps"])
    yield plain(values["disclaimer"])


def _section(section: Section) -> Iterator[str]:
    yield f"## Annex IV({section.number}): {section.title}"
    yield ""
    for title, where in section.documentation:
        yield f"In the documentation {plain(title)}: {plain(where)}"
        yield ""
    for point in section.points:
        yield from _point(point)
    if section.related:
        yield f"### Evidence under the Articles that bears on Annex IV({section.number})"
        yield ""
        yield from table(
            ("obligation", "what it asks", "state", "receipts"),
            (
                (
                    each.reference,
                    plain(each.text),
                    _standing(each),
                    "<br>".join([receipts(each.sealed), *_parts(each)]).removeprefix("<br>"),
                )
                for each in section.related
            ),
        )


def _point(point: Point) -> Iterator[str]:
    yield f"### {point.reference}: {plain(point.text)}"
    yield ""
    applies = f"; applies: {point.applies}" if point.applies else ""
    yield f"**{_standing(point)}** ({point.severity}{applies})"
    yield ""
    yield from (f"- {part}" for part in _parts(point))
    for reason in point.reasons:
        yield f"- {plain(reason)}"
    if point.advice:
        yield f"- next: {plain(point.advice)}"
    if point.judge:
        yield "- **A person has to judge the content.**"
    yield ""
    for item in point.items:
        yield from _item(item)


def _standing(point: Point) -> str:
    """The state by evidence of its own, for what is under a check may be of less detail."""
    return f"{point.state.sign} {point.state.word if point.alone else 'none of its own'}"


def _parts(point: Point) -> Iterator[str]:
    for part in point.part_of:
        sealed = f" in {receipts(part.sealed)}" if part.sealed else ""
        yield f"part of {plain(part.id)}, {part.state.word}: {plain(part.field)}{sealed}"


def _item(item: Item, *, titled: bool = False) -> Iterator[str]:
    state = "" if item.state is None else f" {item.state.sign} {item.state.word}"
    about = f" {plain(item.about)}:" if titled and item.about else ""
    yield f"**{plain(item.field)}**{about}{state}, {plain(item.source)}, {item.time}"
    yield ""
    if item.reason:
        yield f"- {plain(item.reason)}"
    yield f"- found: {item.status}" + (f", counts until {item.expires}" if item.expires else "")
    if item.digest is not None:
        where = f", [in this dossier]({item.document})" if item.document else ""
        yield f"- document: {item.digest}{where}"
    sealed = "not sealed" if item.sealed is None else f"sealed in {receipts((item.sealed,))}"
    made = f"; made from {receipts(item.made_of)}" if item.made_of else ""
    yield f"- {sealed}{made}" + (f" and {item.more} more" if item.more else "")
    yield from _node(item.data, 0)
    yield ""


def _node(node: Node, level: int) -> Iterator[str]:
    """A value as nested bullets; a table within an item would end its list."""
    pad = "  " * level
    if node.kind == "text":
        yield f"{pad}- {plain(node.text)}"
    for row in node.rows:
        cells = [
            f"{plain(name)}: {plain(cell)}" for name, cell in zip(node.names, row, strict=True)
        ]
        yield f"{pad}- {'; '.join(cells)}"
    names = node.names if node.kind == "pairs" else ("",) * len(node.members)
    for name, member in zip(names, node.members, strict=True):
        if member.kind == "text":
            yield f"{pad}- {plain(name)}{': ' if name else ''}{plain(member.text)}"
        else:
            yield f"{pad}- {plain(name)}"
            yield from _node(member, level + 1)
    if node.more:
        yield f"{pad}- and {node.more} more, in evidence.json"
