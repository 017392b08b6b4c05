"""The lab's pictures, as SVG and PNG, by matplotlib.

Each is meant to be read without the text around it. Lines are named where they end, colours
are those of Okabe and Ito (told apart by colour-blind readers too), and axes of shares go
from 0 to 1. The same report gives the same files with the same matplotlib.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from quorate.core.errors import OperationalError
from quorate.moe.lab.findings import scored
from quorate.moe.lab.report import NO_ATTACK, PLAIN, POISONED, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#8a8a8a"
_LINES: Final = (BLUE, GREEN, ORANGE, PURPLE, SKY, BLACK)
_STYLE: Final[dict[str, Any]] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "svg.hashsalt": "quorate",
    "svg.fonttype": "none",
    "figure.dpi": 110,
}
_IDS: Final = re.compile(r"\b[a-z][0-9a-f]{10}\b")
_CLOSE: Final = 0.02
"""Lines that differ by less than this share of the axis are one line with all names."""
_MOST_NAMES: Final = 3


@contextmanager
def drawing() -> Iterator[Any]:
    """Matplotlib, with this module's style for this block alone.

    Raises:
        OperationalError: matplotlib is not installed.
    """
    try:
        matplotlib = import_module("matplotlib")
        import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise OperationalError(
            'pictures need matplotlib, which is not installed; run: pip install "quorate[plots]"'
        ) from error
    with matplotlib.rc_context(_STYLE):
        yield matplotlib


def files(figure: Figure, name: str) -> dict[str, bytes]:
    """The picture as ``name.svg`` and ``name.png``, without the time of day in either."""
    made = {}
    for ending, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        held = io.BytesIO()
        figure.savefig(held, format=ending, metadata=metadata, facecolor="white", dpi=110)
        made[f"{name}.{ending}"] = held.getvalue()
    made[f"{name}.svg"] = _renamed(made[f"{name}.svg"].decode(), name).encode()
    return made


def _renamed(svg: str, name: str) -> str:
    """Number the picture's ids: matplotlib's hang on the last bits of a layout.

    They carry the picture's name, since several may stand in one page.
    """
    numbers: dict[str, str] = {}
    return _IDS.sub(
        lambda found: numbers.setdefault(found[0], f"{name}-{len(numbers)}"),
        svg,
    )


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


# -- score by number of liars


def liars_picture(report: Report, subject: str, n: int) -> dict[str, bytes]:
    """The worst score over all attacks by number of lying replicas, a line per rule."""
    metric = report.metric(subject)
    curves = {rule: _worst_scores(report, subject, n, rule) for rule in report.rules_of(subject, n)}
    alone = [
        report.worst("score", liars, subject=subject, rule=PLAIN, but=POISONED)[0]
        for liars in (0, 1)
    ]
    finite = [v for curve in [*curves.values(), alone] for v in curve if v is not None]
    top = 1.0 if metric == "accuracy" else max(finite) * 1.12
    lost = 0.0 if metric == "accuracy" else top
    f = (n - 1) // 3
    with drawing() as made:
        figure = made.figure.Figure(figsize=(9.6, 5.4), layout="constrained")
        axes = figure.add_subplot()
        _bound(axes, n, top)
        shown = [lost if v is None else v for v in alone]
        axes.plot([0, 1], shown, color=VERMILLION, lw=2.6, marker="o", ms=8, zorder=5)
        _say(axes, 1.1, shown[1], _alone_label(metric, alone[1]), VERMILLION)
        names: list[tuple[float, str, str]] = []
        for place, (name, curve) in enumerate(_grouped(curves, top)):
            drawn = [lost if v is None else v for v in curve]
            colour = _LINES[place % len(_LINES)]
            axes.plot(range(n + 1), drawn, color=colour, lw=2.2, marker="o", ms=4.5)
            names.append((drawn[f], name, colour))
        _spread(axes, names, f, top)
        axes.set(xlim=(-0.15, n + 0.2), ylim=(-0.03 * top, top * 1.07), xticks=range(n + 1))
        axes.set_xlabel(f"lying replicas, of {n} copies of one gate")
        axes.set_ylabel(_axis(metric))
        attacks = len(report.lying())
        axes.set_title(f"{subject}: {metric} as gates begin to lie, worst of {attacks} attacks")
        return files(figure, f"moe-{subject}-liars")


def _axis(metric: str) -> str:
    if metric == "accuracy":
        return "test images read rightly"
    return "loss, nats per character (less is better)"


def _alone_label(metric: str, score: float | None) -> str:
    off = " (off the scale)" if score is None else ""
    return f"plain gate, 1 of 1 lying: {scored(metric, score)}{off}"


def _worst_scores(report: Report, subject: str, n: int, rule: str) -> list[float | None]:
    wanted = {"subject": subject, "replicas": "copies", "n": n, "rule": rule}
    return [report.worst("score", liars, but=POISONED, **wanted)[0] for liars in range(n + 1)]


def _bound(axes: Axes, n: int, top: float) -> None:
    f = (n - 1) // 3
    axes.axvspan(-0.15, f + 0.5, color="#e8f4ee", zorder=0)
    axes.text(-0.05, top * 1.02, f"up to f = {f} liars are borne", color="#2b6a4d", va="bottom")
    axes.text(f + 0.62, top * 1.02, "beyond f nothing is promised", color="#666666", va="bottom")


def _grouped(
    curves: dict[str, list[float | None]], span: float
) -> list[tuple[str, list[float | None]]]:
    """Curves that cannot be told apart, as one, by all their names."""
    groups: list[tuple[list[str], list[float | None]]] = []
    for name, curve in curves.items():
        for names, like in groups:
            if _alike(curve, like, _CLOSE * span):
                names.append(name)
                break
        else:
            groups.append(([name], curve))
    return [(_joined(names), curve) for names, curve in groups]


def _alike(one: Sequence[float | None], other: Sequence[float | None], gap: float) -> bool:
    return all(
        a == b or (a is not None and b is not None and abs(a - b) <= gap)
        for a, b in zip(one, other, strict=True)
    )


def _joined(names: list[str]) -> str:
    shown = [name.replace("_", " ") for name in names[:_MOST_NAMES]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more rule{'s' if more > 1 else ''}" if more else "")


def _spread(axes: Axes, names: list[tuple[float, str, str]], f: int, top: float) -> None:
    """Name each line beside its last point within the bound; move apart what would overlap."""
    step, free = 0.06 * top, -top
    for height, name, colour in sorted(names):
        at = max(height, free)
        _say(axes, f + 0.62, at, name, colour)
        free = at + step


def _say(axes: Axes, x: float, y: float, text: str, colour: str) -> None:
    axes.text(
        x, y, text, color=colour, va="center", fontweight="bold", fontsize=9.5, zorder=6,
        bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.2},
    )  # fmt: skip


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
        names = [f"one {PLAIN},\n1 of 1 lying", *(name.replace("_", " ") for name in rules)]
        axes.set_xticks(range(len(columns)), names, rotation=38, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.axvline(0.5, color="white", lw=6)
        figure.suptitle(
            f"{subject}: tokens sent to other experts\n"
            f"with {f} of {n} copies lying, by attack and rule",
            x=0.01, ha="left", fontweight="bold", fontsize=13,
        )  # fmt: skip
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


# -- what becomes of a token


def fate_picture(report: Report, subject: str, n: int) -> dict[str, bytes]:
    """Tokens sent as without liars, sent elsewhere, and refused, by number of liars."""
    known = report.rules_of(subject, n)
    rules = [rule for rule in ("mean", "median") if rule in known] or known[:1]
    panels = [(rule, strict) for rule in rules for strict in (False, True)]
    panels = [panel for panel in panels if panel != ("mean", True)]
    with drawing() as made:
        figure = made.figure.Figure(figsize=(3.0 + 3.3 * len(panels), 4.6), layout="constrained")
        grid = figure.subplots(
            1, len(panels) + 1, sharey=True, width_ratios=[0.34, *[1] * len(panels)]
        )
        _fate_bars(
            grid[0], [_fate(report, subject, 1, PLAIN, liars, strict=False) for liars in (0, 1)]
        )
        grid[0].set_title("plain gate", fontsize=11)
        grid[0].set_ylabel("share of tokens, under the worst attack")
        for axes, (rule, strict) in zip(grid[1:], panels, strict=True):
            bars = [_fate(report, subject, n, rule, liars, strict=strict) for liars in range(n + 1)]
            _fate_bars(axes, bars)
            told = "only what a quorum chose" if strict else "always served"
            axes.set_title(f"{rule} of {n} copies\n{told}", fontsize=11)
            axes.axvline((n - 1) // 3 + 0.5, color=BLACK, lw=1, ls=(0, (3, 3)))
            axes.text((n - 1) // 3 + 0.55, 1.015, "beyond f", fontsize=9, color="#444444")
            axes.set_xlabel("lying replicas")
        handles = grid[1].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=3, frameon=False)
        figure.suptitle(
            f"{subject}: where tokens go as gates begin to lie", x=0.01, ha="left",
            fontweight="bold", fontsize=13,
        )  # fmt: skip
        return files(figure, f"moe-{subject}-tokens")


_FATES: Final = (
    ("same experts as without liars", "#bfe3d4", ""),
    ("other experts", VERMILLION, ""),
    ("refused", "#d9d9d9", "///"),
)


def _fate_bars(axes: Axes, bars: list[tuple[float, float, float]]) -> None:
    below = [0.0] * len(bars)
    for place, (name, colour, hatch) in enumerate(_FATES):
        heights = [bar[place] for bar in bars]
        axes.bar(
            range(len(bars)), heights, bottom=below, color=colour, hatch=hatch, label=name,
            width=0.86, edgecolor="#8a8a8a" if hatch else colour, linewidth=0,
        )  # fmt: skip
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set(xticks=range(len(bars)), ylim=(0, 1.08), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _fate(
    report: Report, subject: str, n: int, rule: str, liars: int, *, strict: bool
) -> tuple[float, float, float]:
    """Same, other, refused: under the attack that misroutes most, then refuses most."""
    lost, refused = ("unbacked", "refused") if strict else ("misrouted", "void")
    replicas = "one" if rule == PLAIN else "copies"
    found = [
        (one.at(lost, liars) or 0.0, one.at(refused, liars) or 0.0)
        for one in report.where(subject=subject, replicas=replicas, n=n, rule=rule)
        if liars in one.liars and one.attack != POISONED
    ]
    other, none = max(found)
    return 1 - other - none, other, none


# -- what copies do not protect from


def poisoned_picture(report: Report, subject: str, n: int) -> dict[str, bytes]:
    """The score of targeted tokens where one gate's training was poisoned."""
    metric = report.metric(subject)
    rule = "median" if "median" in report.rules_of(subject, n) else report.rules_of(subject, n)[0]
    f = (n - 1) // 3
    rows = [
        ("one gate, trained on clean data", _target(report, subject, PLAIN, NO_ATTACK, 0), GREEN),
        ("one gate, poisoned", _target(report, subject, PLAIN, POISONED, 1), VERMILLION),
        (
            f"{n} copies of the poisoned gate, {rule}",
            _target(report, subject, rule, POISONED, n, replicas="copies", n=n),
            VERMILLION,
        ),
        *(
            (
                f"{n} gates trained apart, {liars} poisoned{_beside(liars, f)}, {rule}",
                _target(report, subject, rule, POISONED, liars, replicas="apart", n=n),
                BLUE if liars <= f else GREY,
            )
            for liars in range(1, f + 2)
        ),
    ]
    drawn = [value for _, value, _ in rows if value is not None]
    with drawing() as made:
        figure = made.figure.Figure(figsize=(9.6, 1.7 + 0.5 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        for place, (_, value, colour) in enumerate(rows):
            axes.barh(place, value or 0.0, color=colour, height=0.66)
            told = f" {scored(metric, value)}"
            axes.text(value or 0.0, place, told, va="center", fontweight="bold")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.1 if metric == "accuracy" else max(drawn) * 1.12)
        target = report.subjects[subject]["target"]
        axes.set_xlabel(f"{_axis(metric)}, {target} only")
        axes.tick_params(axis="y", length=0)
        figure.suptitle(
            f"{subject}: tokens that poisoned training is after", x=0.01, ha="left",
            fontweight="bold", fontsize=13,
        )  # fmt: skip
        return files(figure, f"moe-{subject}-poisoned")


def _beside(liars: int, f: int) -> str:
    return " (f)" if liars == f else " (more than f)" if liars > f else ""


def _target(
    report: Report, subject: str, rule: str, attack: str, liars: int, **where: object
) -> float | None:
    one = report.one(subject=subject, rule=rule, attack=attack, **where)
    return None if one is None else one.at("targeted", liars)
