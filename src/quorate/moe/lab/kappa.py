"""How far fusion rules were led astray, of what is proven: the page and the picture.

From the JSON of :meth:`quorate.fusion.robustness.Table.to_dict`; neither needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from quorate.moe.lab.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION, drawing, files
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


def _short(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"  # noqa: PLR2004


def cells(told: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Heads and lines of the table: a line per rule, a column per size."""
    rows = told["rows"]
    sizes = sorted({(row["n"], row["faults"]) for row in rows})
    found = {(row["rule"], row["n"], row["faults"]): measured_of(row) for row in rows}
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
        f"Made by `quorate bench fusion`. {_ABOUT}",
        table(*cells(told)),
        "## Attacks",
        "\n".join(f"- {name}" for name in told["attacks"]),
        "## Where the bounds are from",
        "\n".join(f"- {rule}: {source}" for rule, source in sources.items()),
        "## Not applicable",
        "\n".join(excluded),
    ]
    return "\n\n".join(parts) + "\n"


def kappa_picture(told: Mapping[str, Any]) -> dict[str, bytes]:
    """Measured over proven, a row per rule and a mark per size.

    Raises:
        OperationalError: matplotlib is not installed.
    """
    rows = told["rows"]
    names = [name for name in dict.fromkeys(row["rule"] for row in rows) if _usable(rows, name)]
    sizes = sorted({(row["n"], row["faults"]) for row in rows})
    with drawing() as made:
        figure = made.figure.Figure(figsize=(9.6, 2.0 + 0.42 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        for place, (size, (marker, colour)) in enumerate(zip(sizes, _MARKS, strict=False)):
            dots = [
                (share, names.index(row["rule"]) + (place - len(sizes) / 2 + 0.5) * 0.14)
                for row in rows
                if (row["n"], row["faults"]) == size and (share := _share(row)) is not None
            ]
            if dots:
                axes.plot(
                    *zip(*dots, strict=True), ls="", marker=marker, ms=7, color=colour,
                    label=f"n = {size[0]}, f = {size[1]}",
                )  # fmt: skip
        for place, name in enumerate(names):
            _remark(axes, place, [row for row in rows if row["rule"] == name])
        axes.axvline(1, color=VERMILLION, lw=2)
        axes.text(0.99, -0.75, "proven bound", color=VERMILLION, ha="right", fontweight="bold")
        axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        axes.set(xlim=(0, max(1.08, 1.05 * _greatest(rows))), ylim=(len(names) - 0.4, -1.2))
        axes.grid(axis="y", color="#eeeeee")
        axes.set_axisbelow(True)
        axes.set_xlabel("greatest kappa measured under any attack, as a share of the proven one")
        figure.legend(loc="outside lower center", ncols=len(sizes), frameon=False)
        figure.suptitle(
            "How far liars led each fusion rule astray", x=0.01, ha="left", fontweight="bold",
            fontsize=13,
        )  # fmt: skip
        return files(figure, "fusion-kappa")


def _usable(rows: Sequence[Row], name: str) -> bool:
    return any(row["worst"] is not None for row in rows if row["rule"] == name)


def _share(row: Row) -> float | None:
    """Measured over proven, or ``None`` where that is no number."""
    if not isinstance(row["worst"], float) or not isinstance(row["bound"], (int, float)):
        return None
    return float(row["worst"] / row["bound"])


def _greatest(rows: Sequence[Row]) -> float:
    return max((share for row in rows if (share := _share(row)) is not None), default=0.0)


def _remark(axes: Any, place: int, rows: Sequence[Row]) -> None:
    """Say of a rule without a bound how far it was led."""
    if any(row["bound"] == "inf" for row in rows):
        worst = max(row["worst"] for row in rows if isinstance(row["worst"], float))
        axes.text(
            0.02, place, f"no bound exists: kappa of {worst:,.0f} measured", va="center",
            color=VERMILLION, fontweight="bold",
        )  # fmt: skip
    elif all(row["bound"] is None for row in rows):
        axes.text(0.02, place, "no bound is proven here", va="center", color=GREY)
