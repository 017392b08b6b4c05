"""How far fusion rules were led astray, of what is proven: the page and the picture.

From the JSON of :meth:`quorate.fusion.robustness.Table.to_dict`; neither needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quorate.moe.lab.drawing import BLUE, GREEN, ORANGE, PURPLE, VERMILLION, drawing, files
from quorate.moe.lab.tables import table

NOT_APPLICABLE: Final = "n/a"
_MARKS: Final = (("o", BLUE), ("s", ORANGE), ("D", GREEN), ("^", PURPLE))
_ABOUT: Final = (
    "Each cell is the greatest kappa measured under any attack, of the kappa proven for the "
    "rule with its default parameters: kappa is the squared distance of the result from the "
    "honest mean, divided by the honest variance. A greater one of the two that is measured "
    "would disprove the bound; a small one shows only that these attacks, on these inputs, did "
    "not reach it."
)

Row = Mapping[str, Any]


def measured_of(row: Row) -> str:
    """One cell: measured, of what is proven."""
    if row["worst"] is None:
        return NOT_APPLICABLE
    bound = {None: "?", "inf": "no bound"}.get(row["bound"])
    return f"{_short(row['worst'])} of {bound or _short(row['bound'])}"


def brief_of(row: Row) -> str:
    """The same as short as it can be, for a terminal of 80 columns."""
    return measured_of(row).replace(" of ", "/").replace("no bound", "none")


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004


def cells(told: Mapping[str, Any], *, brief: bool = False) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the table: a line per rule, a column per size."""
    rows = told["rows"]
    sizes = sorted({(row["n"], row["faults"]) for row in rows})
    shown = brief_of if brief else measured_of
    found = {(row["rule"], row["n"], row["faults"]): shown(row) for row in rows}
    lines = [
        [name, *(found.get((name, *size), "") for size in sizes)]
        for name in dict.fromkeys(row["rule"] for row in rows)
    ]
    return ["rule", *(f"n={n}, f={f}" for n, f in sizes)], lines


def page(told: Mapping[str, Any]) -> str:
    """The Markdown page."""
    rows = told["rows"]
    excluded = [
        f"- {row['rule']}, n = {row['n']}, f = {row['faults']}: {row['excluded']}"
        for row in rows
        if row["excluded"]
    ]
    sources = {row["rule"]: row["source"] for row in rows if row["source"]}
    parts = [
        "# Fusion rules under attack: measured and proven",
        f"{_made(told)} {_ABOUT}",
        table(*cells(told)),
        "## Attacks",
        "\n".join(f"- {name}" for name in told["attacks"]),
        "## Where the bounds are from",
        "\n".join(f"- {rule}: {source}" for rule, source in sources.items()),
        "## Not applicable",
        "\n".join(excluded),
    ]
    return "\n\n".join(parts) + "\n"


def _made(told: Mapping[str, Any]) -> str:
    quick = " --quick" if told["quick"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return f"Made by `quorate bench fusion{quick}`, seed {told['seed']}, with {versions}."


def kappa_picture(told: Mapping[str, Any]) -> dict[str, bytes]:
    """Measured and proven, a row per rule and two marks per size; least measured on top.

    Raises:
        OperationalError: matplotlib is not installed.
    """
    rows = told["rows"]
    names = sorted(dict.fromkeys(row["rule"] for row in rows), key=lambda name: _rank(rows, name))
    sizes = sorted({(row["n"], row["faults"]) for row in rows})
    with drawing() as made:
        figure = made.figure.Figure(figsize=(9.6, 2.9 + 0.52 * len(names)), layout="constrained")
        axes = figure.add_subplot(xscale="log")
        for place, (size, (marker, colour)) in enumerate(zip(sizes, _MARKS, strict=False)):
            label = f"n = {size[0]}, f = {size[1]}"
            axes.plot([], [], ls="", marker=marker, ms=6.5, color=colour, label=label)
            for row in rows:
                if (row["n"], row["faults"]) == size:
                    height = names.index(row["rule"]) + (place - len(sizes) / 2 + 0.5) * 0.19
                    _marks(axes, row, height, marker, colour)
        axes.plot([], [], ls="", marker="|", ms=11, mew=2.2, color="black", label="proven bound")
        for place, name in enumerate(names):
            _remark(axes, place, [row for row in rows if row["rule"] == name])
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks([place + 0.5 for place in range(len(names) - 1)], minor=True)
        axes.grid(axis="y", which="minor", color="#dddddd")
        axes.grid(axis="x", color="#eeeeee")
        axes.tick_params(axis="y", which="both", length=0)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.set_xlabel(
            "kappa: squared distance from the honest mean, by the honest variance (less is better)"
        )
        figure.legend(loc="outside lower center", ncols=len(sizes) + 1, frameon=False)
        figure.suptitle(
            "How far liars led each fusion rule astray, and the proven limit",
            x=0.01, ha="left", fontweight="bold", fontsize=13,
        )  # fmt: skip
        axes.set_title(_reading(rows), fontsize=9.5, fontweight="normal", color="#444444")
        return files(figure, "fusion-kappa")


def _reading(rows: Sequence[Row]) -> str:
    """How to read the marks; and which are missing, so that no gap is taken for a zero."""
    lines = [
        "Filled: greatest kappa measured under any attack; bar: what is proven. A long gap means",
        "that the bound is loose or that no attack here came near it: it makes no rule better.",
    ]
    missing: dict[int, list[str]] = {}
    for row in rows:
        if row["worst"] is None and _usable(rows, row["rule"]):
            missing.setdefault(row["n"], []).append(row["rule"].replace("_", " "))
    lines += [f"Too few replicas at n = {n}: {', '.join(names)}." for n, names in missing.items()]
    return "\n".join(lines)


def _marks(axes: Any, row: Row, height: float, marker: str, colour: str) -> None:
    worst, bound = row["worst"], row["bound"]
    if not isinstance(worst, float) or worst <= 0:
        return
    if isinstance(bound, (int, float)):
        axes.plot([worst, bound], [height] * 2, color=colour, lw=1.1, alpha=0.55)
        axes.plot([bound], [height], ls="", marker="|", ms=9, mew=2.2, color=colour)
    axes.plot([worst], [height], ls="", marker=marker, ms=6.5, color=colour)


def _rank(rows: Sequence[Row], name: str) -> tuple[float, ...]:
    """By what was measured, worst over the sizes; rules that were not measured last."""
    found = [row["worst"] for row in rows if row["rule"] == name and row["worst"] is not None]
    return (0.0, max(map(float, found))) if found else (1.0,)


def _usable(rows: Sequence[Row], name: str) -> bool:
    return any(row["worst"] is not None for row in rows if row["rule"] == name)


def _remark(axes: Any, place: int, rows: Sequence[Row]) -> None:
    """Say of a rule why marks are missing."""
    if not any(row["worst"] is not None for row in rows):
        reason = str(rows[-1]["excluded"]).removeprefix(f"{rows[-1]['rule']} ")
        text, colour = f"not applicable: {reason.replace(' needs ', ' it needs ', 1)}", "#666666"
    elif any(row["bound"] == "inf" for row in rows):
        text, colour = "no bound exists: one liar moves it as far as it likes", VERMILLION
    elif all(row["bound"] is None for row in rows):
        text, colour = "no bound is proven here", "#666666"
    else:
        return
    across = axes.get_yaxis_transform()
    axes.text(0.02, place, text, transform=across, va="center", color=colour, fontweight="bold")
