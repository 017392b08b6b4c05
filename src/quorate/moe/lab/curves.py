"""The lab's pictures by number of liars: the score, and where tokens go."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from textwrap import fill
from typing import TYPE_CHECKING, Final

from quorate.moe.lab.drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    drawing,
    files,
    headed,
)
from quorate.moe.lab.findings import headline, headline_score, scored
from quorate.moe.lab.report import BIT, PLAIN, POISONED, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES: Final = (BLUE, GREEN, ORANGE, PURPLE, SKY, BLACK)
_CLOSE: Final = 0.02
"""Lines that differ by less than this share of the axis are one line with all names."""
_THICK: Final = 9.0
"""Width of the first line, and what each next one is thinner by: none hides another."""
_THINNER: Final = 2.3
_LETTERS: Final = 120
"""In a line of the legend."""

Curve = list[float | None]


def axis_of(metric: str) -> str:
    """What an axis of that metric shows."""
    if metric == "accuracy":
        return "share of test images classified correctly"
    return "loss, nats per character (less is better)"


# -- score by number of liars


def liars_picture(report: Report, subject: str, n: int) -> dict[str, bytes]:
    """The worst score over all attacks by number of liars: one gate alone, and replicas."""
    metric = report.metric(subject)
    curves = {rule: _worst_scores(report, subject, n, rule) for rule in report.rules_of(subject, n)}
    wanted = {"subject": subject, "rule": PLAIN}
    alone = [report.worst("score", liars, but=POISONED, **wanted)[0] for liars in (0, 1)]
    finite = [v for curve in [*curves.values(), alone] for v in curve if v is not None]
    top = 1.0 if metric == "accuracy" else max(finite) * 1.12
    with drawing() as made:
        figure = made.figure.Figure(figsize=(10.6, 6.0), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[0.42, 1])
        _one_gate(left, report, subject, alone, top)
        _promised(right, n, top)
        for place, (names, curve) in enumerate(_grouped(curves, top)):
            told = ", ".join(name.replace("_", " ") for name in names)
            right.plot(
                range(n + 1), [_shown(metric, value, top) for value in curve],
                color=_LINES[place % len(_LINES)], marker="o", ms=6,
                lw=max(_THICK - _THINNER * place, 1.6), label=fill(told, _LETTERS),
            )  # fmt: skip
        right.set(xlim=(-0.15, n + 0.2), ylim=(-0.04 * top, top * 1.09), xticks=range(n + 1))
        right.set_xlabel(f"lying replicas, of {n} copies of one gate")
        right.set_title(f"{n} copies, by rule", fontsize=11)
        left.set_ylabel(f"{axis_of(metric)}\nworst of {len(report.lying())} attacks on replicas")
        handles = right.get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower left", ncols=1, frameon=False, fontsize=9.5)
        headed(figure, headline_score(report, subject, n))
        return files(figure, f"moe-{subject}-liars")


def _one_gate(axes: Axes, report: Report, subject: str, alone: Curve, top: float) -> None:
    metric = report.metric(subject)
    told = {"worst attack": alone[1]}
    bit = report.one(subject=subject, rule=PLAIN, attack=BIT)
    if bit is not None:
        told = {"one flipped bit": bit.at("score", 1)} | told
    start = _shown(metric, alone[0], top)
    for name, value in told.items():
        end = _shown(metric, value, top)
        axes.plot([0, 1], [start, end], color=VERMILLION, lw=2.4, marker="o", ms=7)
        beyond = ", off the scale" if value is None else ""
        text = f"{name}:\n{scored(metric, value)}{beyond}"
        axes.text(1.09, end, text, color=VERMILLION, va="center", fontweight="bold", fontsize=9.5)
    axes.text(0.08, start, scored(metric, alone[0]), va="bottom", ha="left", fontsize=9.5)
    axes.set(xlim=(-0.15, 2.1), xticks=[0, 1], xticklabels=["sound", "faulty"])
    axes.set_title("one gate alone", fontsize=11)


def _shown(metric: str, value: float | None, top: float) -> float:
    """What is not a number is drawn as the worst that there is."""
    if value is None:
        return 0.0 if metric == "accuracy" else top
    return value


def _worst_scores(report: Report, subject: str, n: int, rule: str) -> Curve:
    wanted = {"subject": subject, "replicas": "copies", "n": n, "rule": rule}
    return [report.worst("score", liars, but=POISONED, **wanted)[0] for liars in range(n + 1)]


def _promised(axes: Axes, n: int, top: float) -> None:
    f = (n - 1) // 3
    axes.axvspan(-0.15, f + 0.5, color="#e8f4ee", zorder=0)
    axes.text(-0.05, top * 1.03, f"promised: up to f = {f} liars", color="#2b6a4d", va="bottom")
    axes.text(
        f + 0.62, top * 1.03, "more than f: nothing is promised", color="#666666", va="bottom"
    )


def _grouped(curves: dict[str, Curve], span: float) -> list[tuple[list[str], Curve]]:
    """Curves that cannot be told apart, as one, by all their names."""
    groups: list[tuple[list[str], Curve]] = []
    for name, curve in curves.items():
        for names, like in groups:
            if _alike(curve, like, _CLOSE * span):
                names.append(name)
                break
        else:
            groups.append(([name], curve))
    return groups


def _alike(one: Curve, other: Curve, gap: float) -> bool:
    return all(
        a == b or (a is not None and b is not None and abs(a - b) <= gap)
        for a, b in zip(one, other, strict=True)
    )


# -- what becomes of a token

Bar = tuple[float, float, float, float]
"""Shares: same, other, no answer; and the greatest share sent elsewhere by one attack."""

_FATES: Final = (
    ("same experts as without liars", "#bfe3d4", ""),
    ("other experts", VERMILLION, ""),
    ("no answer: too few replicas send numbers", "#8a8a8a", ""),
    ("refused: no quorum", "#e4e4e4", "///"),
)


def fate_picture(report: Report, subject: str, n: int) -> dict[str, bytes]:
    """Where tokens go by number of liars: the mean over attacks, and the worst of them."""
    known, attacks = report.rules_of(subject, n), len(report.lying())
    rules = [rule for rule in ("mean", "median") if rule in known] or known[:1]
    panels = [(rule, strict) for rule in rules for strict in (False, True)]
    panels = [panel for panel in panels if panel != ("mean", True)]
    with drawing() as made:
        figure = made.figure.Figure(figsize=(3.0 + 3.3 * len(panels), 5.0), layout="constrained")
        grid = figure.subplots(
            1, len(panels) + 1, sharey=True, width_ratios=[0.34, *[1] * len(panels)]
        )
        _draw(grid[0], [_fate(report, subject, 1, PLAIN, liars) for liars in (0, 1)], strict=False)
        grid[0].set_title("one gate", fontsize=11)
        grid[0].set_ylabel(f"share of tokens, mean of {attacks} attacks on replicas")
        for axes, (rule, strict) in zip(grid[1:], panels, strict=True):
            bars = [_fate(report, subject, n, rule, liars, strict=strict) for liars in range(n + 1)]
            _draw(axes, bars, strict=strict)
            told = "served only if a quorum agrees" if strict else "served where there is an answer"
            axes.set_title(f"{rule} of {n} copies,\n{told}", fontsize=11)
            axes.axvline((n - 1) // 3 + 0.5, color=BLACK, lw=1, ls=(0, (3, 3)))
            axes.text((n - 1) // 3 + 0.55, 1.02, "more than f", fontsize=9, color="#444444")
            axes.set_xlabel("lying replicas")
        handles: dict[str, object] = {}
        for axes in (grid[-2], grid[-1]):
            found, labels = axes.get_legend_handles_labels()
            handles |= dict(zip(labels, found, strict=True))
        figure.legend(
            list(handles.values()), list(handles), loc="outside lower center",
            ncols=3, frameon=False,
        )  # fmt: skip
        headed(figure, headline(report, subject, n))
        return files(figure, f"moe-{subject}-tokens")


def _draw(axes: Axes, bars: Sequence[Bar], *, strict: bool) -> None:
    below = [0.0] * len(bars)
    # What is not served is refused in one kind of panel, and has no answer in the other.
    fates = (*_FATES[:2], _FATES[3] if strict else _FATES[2])
    for place, (name, colour, hatch) in enumerate(fates):
        heights = [bar[place] for bar in bars]
        axes.bar(
            range(len(bars)), heights, bottom=below, color=colour, hatch=hatch, label=name,
            width=0.86, edgecolor="#8a8a8a" if hatch else colour, linewidth=0,
        )  # fmt: skip
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.plot(
        range(len(bars)), [bar[3] for bar in bars], ls="", marker="_", ms=17, mew=2.4,
        color=BLACK, label="other experts, under the worst attack",
    )  # fmt: skip
    axes.set(xticks=range(len(bars)), ylim=(-0.02, 1.1), yticks=[0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _fate(
    report: Report, subject: str, n: int, rule: str, liars: int, *, strict: bool = False
) -> Bar:
    lost, kept = ("unbacked", "refused") if strict else ("misrouted", "void")
    replicas = "one" if rule == PLAIN else "copies"
    found = [
        (one.at(lost, liars) or 0.0, one.at(kept, liars) or 0.0)
        for one in report.where(subject=subject, replicas=replicas, n=n, rule=rule)
        if liars in one.liars and one.attack != POISONED
    ]
    other, none = (fmean(values) for values in zip(*found, strict=True))
    return 1 - other - none, other, none, max(values[0] for values in found)
