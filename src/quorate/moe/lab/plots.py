"""The lab's pictures.

Each is meant to be read without the text around it, and is headed by what it shows. Axes of
shares go from 0 to 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from quorate.moe.lab.curves import axis_of, fate_picture, liars_picture
from quorate.moe.lab.drawing import BLACK, BLUE, GREEN, GREY, VERMILLION, drawing, files, headed
from quorate.moe.lab.findings import headline, headline_poisoned, scored, share
from quorate.moe.lab.report import NO_ATTACK, PLAIN, POISONED, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pictures(report: Report) -> dict[str, bytes]:
    """Every picture of a report, file name to content.

    Raises:
        OperationalError: matplotlib is not installed.
    """
    made: dict[str, bytes] = {}
    n = max(report.sizes())
    for subject in report.subjects:
        if report.lying():
            made |= liars_picture(report, subject, n)
            made |= attacks_picture(report, subject, n)
            made |= fate_picture(report, subject, n)
        if POISONED in report.attacks:
            made |= poisoned_picture(report, subject, n)
    return made


# -- attacks by rules


def attacks_picture(report: Report, subject: str, n: int) -> dict[str, bytes]:
    """Share of tokens misrouted by each attack under each rule, as a heat map."""
    rules = report.rules_of(subject, n)
    f = (n - 1) // 3
    attacks = report.lying()
    columns = [PLAIN, *rules]
    cells = [
        [_moved(report, subject, n, rule, attack, f) for rule in columns] for attack in attacks
    ]
    with drawing() as made:
        shades = made.colors.LinearSegmentedColormap.from_list(
            "lost", ["#f7f7f7", "#f3c9a5", VERMILLION]
        )
        figure = made.figure.Figure(
            figsize=(3.4 + 0.72 * len(columns), 2.9 + 0.42 * len(attacks)), layout="constrained"
        )
        axes = figure.add_subplot()
        axes.imshow(cells, cmap=shades, vmin=0, vmax=1, aspect="auto")
        for row, values in enumerate(cells):
            for column, value in enumerate(values):
                axes.text(
                    column, row, _percent(value), ha="center", va="center",
                    color="#9a9a9a" if value == 0 else BLACK,
                    fontweight="normal" if value == 0 else "bold",
                )  # fmt: skip
        axes.set_yticks(range(len(attacks)), [name.replace("_", " ") for name in attacks])
        names = ["one gate alone", *(name.replace("_", " ") for name in rules)]
        axes.set_xticks(range(len(columns)), names, rotation=38, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.axvline(0.5, color="white", lw=6)
        about = (
            f"tokens sent to other experts, by {len(attacks)} attacks on replicas ({f} of {n} lie)"
        )
        if POISONED in report.attacks:
            about += "; poisoned training has a picture of its own"
        axes.set_xlabel(about)
        headed(figure, headline(report, subject, n))
        return files(figure, f"moe-{subject}-attacks")


def _moved(report: Report, subject: str, n: int, rule: str, attack: str, f: int) -> float:
    wanted: dict[str, Any] = {"subject": subject, "rule": rule, "attack": attack}
    if rule != PLAIN:
        wanted |= {"replicas": "copies", "n": n}
    one = report.one(**wanted)
    value = None if one is None else one.at("misrouted", 1 if rule == PLAIN else f)
    return 0.0 if value is None else value


def _percent(value: float) -> str:
    return "0" if value == 0 else "<1%" if value < 0.01 else f"{value:.0%}"  # noqa: PLR2004


# -- what copies do not protect from


def poisoned_picture(report: Report, subject: str, n: int) -> dict[str, bytes]:
    """Targeted tokens where one gate's training was poisoned, and what it costs to be safe."""
    metric = report.metric(subject)
    rule = "median" if "median" in report.rules_of(subject, n) else report.rules_of(subject, n)[0]
    rows = _poisoned_rows(report, subject, rule, n)
    drawn = [row.score for row in rows if row.score is not None]
    widest = 1.0 if metric == "accuracy" else max(drawn, default=1.0)
    with drawing() as made:
        figure = made.figure.Figure(figsize=(11.6, 2.3 + 0.48 * len(rows)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.5, 1])
        for place, row in enumerate(rows):
            _bar(left, place, row.score, widest, scored(metric, row.score), row.colour)
            _bar(right, place, row.refused, 0.0, row.said, "#b9b9b9")
        left.set_yticks(range(len(rows)), [row.name for row in rows])
        left.invert_yaxis()
        left.set_xlim(0, 1.18 * widest)
        right.set_xlim(0, 1.18)
        left.set_xlabel(f"{axis_of(metric)},\n{report.subjects[subject]['target']} only")
        right.set_xlabel("the price: tokens refused\nwhere a quorum has to agree")
        for axes in (left, right):
            axes.tick_params(axis="y", length=0)
        f = (n - 1) // 3
        left.set_title(
            f"Promised: up to f = {f} of {n}. Grey: more than f; what holds or falls there is this "
            "attack's doing.",
            fontsize=9.5, fontweight="normal", color="#444444",
        )  # fmt: skip
        headed(figure, headline_poisoned(report, subject, n, rule))
        return files(figure, f"moe-{subject}-poisoned")


class _Row(NamedTuple):
    name: str
    score: float | None
    refused: float | None
    colour: str

    @property
    def said(self) -> str:
        return "never refuses" if self.refused is None else share(self.refused)


def _poisoned_rows(report: Report, subject: str, rule: str, n: int) -> list[_Row]:
    f = (n - 1) // 3

    def row(name: str, colour: str, attack: str, liars: int, **where: object) -> _Row:
        one = report.one(subject=subject, attack=attack, **where)
        if one is None:
            return _Row(name, None, None, colour)
        alone = where["rule"] == PLAIN
        return _Row(
            name, one.at("targeted", liars), None if alone else one.at("refused", liars), colour
        )

    copies: dict[str, object] = {"rule": rule, "replicas": "copies", "n": n}
    apart = copies | {"replicas": "apart"}
    rows = [
        row("one gate, trained on clean data", GREEN, NO_ATTACK, 0, rule=PLAIN),
        row("one gate, poisoned", VERMILLION, POISONED, 1, rule=PLAIN),
        row(f"{n} copies of the poisoned gate, {rule}", VERMILLION, POISONED, n, **copies),
        row(f"{n} gates trained apart, none poisoned, {rule}", BLUE, NO_ATTACK, 0, **apart),
    ]
    # One more than half of them: there the median is one of the poisoned.
    for liars in range(1, n // 2 + 2):
        beside = " = f" if liars == f else ", more than f" if liars > f else ""
        colour = BLUE if liars <= f else GREY
        name = f"{n} gates trained apart, {liars} poisoned{beside}"
        rows.append(row(name, colour, POISONED, liars, **apart))
    return rows


def _bar(
    axes: Axes, place: int, value: float | None, widest: float, told: str, colour: str
) -> None:
    # A bar of no length would show no colour, which tells here what the bar stands for.
    length = max(value or 0.0, 0.012 * widest)
    if value is not None:
        axes.barh(place, length, color=colour, height=0.66)
    axes.text(length, place, f" {told}", va="center", fontweight="bold")
