"""Pictures of a council, as SVG or PNG, by matplotlib: who agrees with whom, and what came when.

Each is meant to be read without the text around it. Colours are those of Okabe and Ito and
the scale is cividis, both told apart by colour-blind readers too; whatever a colour says, a
shape or a number says as well. Agreement is drawn from 0 to 1, time to scale. The same
council gives the same picture with the same matplotlib.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import counted, printable
from quorate.council.events import AuditEntry
from quorate.council.insight import Agreement, Agreements
from quorate.council.timeline import Line, Mark, lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = ("svg", "png")

MAX_ROWS: Final = 40
"""Most proposals in one timeline: the latest."""

_ORANGE, _SKY, _GREEN, _BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
_VERMILLION, _GREY, _DARK, _PALE = "#D55E00", "#8a8a8a", "#333333", "#e4e4e4"
_STYLE: Final[dict[str, Any]] = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "quorate",
    "svg.fonttype": "none",
    # Ids come from those who write them: no text is a formula.
    "text.parse_math": False,
}
_DPI: Final = 120
# In tags alone: a voter may be named like one of these.
_TAG: Final = re.compile(r"<[A-Za-z][^<>]*>")
_IDS: Final = re.compile(r'(\bid="|url\(#|href="#)([a-z][0-9a-f]{10})\b')
_LONGEST: Final = 28
_TEXT_TO: Final = 14
_COUNTS_TO: Final = 10
# Voters up to which a square has that many inches; as much as its text, or a name, needs.
_SQUARES: Final = ((_COUNTS_TO, 0.78), (24, 0.42))
_LEAST_SQUARE: Final = 0.24
_DARK_BELOW: Final = 0.55


# -- who agrees with whom


def agreement_picture(
    voters: Sequence[str], found: Agreements, *, kind: str = "svg", min_shared: int = 3
) -> bytes:
    """A heat map of how often every two voters said the same.

    A pair that shares no vote is blank; one that shares fewer than ``min_shared`` is hatched.

    Args:
        voters: two or more ids, in the order in which they are drawn.
        found: of :func:`quorate.council.insight.agreements`.
        kind: ``svg`` or ``png``.
        min_shared: fewest shared votes that say anything.

    Raises:
        UsageError: fewer than two voters, or another kind of picture.
        OperationalError: matplotlib is not installed.
    """
    n = len(voters)
    if n < 2:  # noqa: PLR2004 - a pair
        raise UsageError("one voter agrees with nobody; a heat map takes two or more")
    with _drawing(kind) as made:
        square = next((inches for most, inches in _SQUARES if n <= most), _LEAST_SQUARE)
        side = 2.6 + max(square * n, 2.2)
        figure = made.figure.Figure(figsize=(side + 1.5, side + 0.7), layout="constrained")
        axes = figure.add_subplot()
        values = [[_rate(found, one, other) for other in voters] for one in voters]
        shown = made.colormaps["cividis"].with_extremes(bad="white")
        image = axes.imshow(values, cmap=shown, vmin=0, vmax=1)
        pairs = {
            (row, column): _pair(found, one, other)
            for row, one in enumerate(voters)
            for column, other in enumerate(voters)
            if one != other
        }
        few = [at for at, pair in pairs.items() if 0 < pair.shared < min_shared]
        # Nothing is to be seen on the diagonal: everyone agrees with oneself.
        _squares(axes, made, [(row, row) for row in range(n)], facecolor=_PALE, edgecolor="none")
        _squares(axes, made, few, facecolor="none", edgecolor="white", hatch="////", linewidth=0)
        # White lines between, so that equal neighbours are still two squares.
        edges = [edge - 0.5 for edge in range(n + 1)]
        axes.hlines(edges, -0.5, n - 0.5, color="white", lw=1.5)
        axes.vlines(edges, -0.5, n - 0.5, color="white", lw=1.5)
        if n <= _TEXT_TO:
            for (row, column), pair in pairs.items():
                _figures(axes, row, column, pair, n=n, few=(row, column) in few)
        names = [_short(voter) for voter in voters]
        axes.set_yticks(range(n), names)
        axes.set_xticks(range(n), names, rotation=40, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.03)
        bar.set_label("shared votes on which both said the same")
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        bar.outline.set_visible(False)
        _headed(figure, "How often two voters said the same", _below(n, min_shared))
        return _saved(figure, kind, "agreement")


def _below(n: int, min_shared: int) -> str:
    counts = "In each square: how often, of how many. " if n <= _COUNTS_TO else ""
    return (
        f"{counts}Hatched: fewer than {counted(min_shared, 'shared vote')}. White: none.\n"
        "Agreement is a reason to look, no proof: who sees the same agrees."
    )


def _pair(found: Agreements, one: str, other: str) -> Agreement:
    return found[min(one, other), max(one, other)]


def _rate(found: Agreements, one: str, other: str) -> float:
    rate = None if one == other else _pair(found, one, other).rate
    return float("nan") if rate is None else float(rate)


def _squares(axes: Axes, made: Any, where: Sequence[tuple[int, int]], **style: Any) -> None:
    rectangles = [made.patches.Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in where]
    axes.add_collection(made.collections.PatchCollection(rectangles, **style))


def _figures(axes: Axes, row: int, column: int, pair: Agreement, *, n: int, few: bool) -> None:
    dark = pair.rate is None or pair.rate > _DARK_BELOW or few
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9.5}
    if few:
        style["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    text = "none" if pair.rate is None else f"{float(pair.rate):.0%}"
    if n <= _COUNTS_TO and pair.rate is not None:
        text += f"\nof {pair.shared}"
    axes.text(column, row, text, color="black" if dark else "white", **style)


# -- what came when


def timeline_picture(
    log: Sequence[AuditEntry], *, now: int | None = None, kind: str = "svg"
) -> bytes:
    """A line for each proposal: opened, votes, decided, executed, expired; time to scale, UTC.

    Args:
        log: a council's audit log, whole and in order.
        now: microseconds since 1970, up to which what is open is drawn; the last event's if
            ``None`` or earlier.
        kind: ``svg`` or ``png``.

    Raises:
        UsageError: no proposal is in the log, or another kind of picture.
        OperationalError: matplotlib is not installed.
    """
    every = lines(log, now)
    if not every:
        raise UsageError("nothing was proposed yet, so there is no timeline to draw")
    drawn = every[-MAX_ROWS:]
    with _drawing(kind) as made:
        figure = made.figure.Figure(figsize=(12, 2.9 + 0.52 * len(drawn)), layout="constrained")
        axes = figure.add_subplot()
        first, last = min(line.opened for line in drawn), max(line.until for line in drawn)
        margin = max((last - first) // 50, _LEAST_MARGIN)
        axes.set_xlim(_time(first - margin), _time(last + margin))
        axes.set_ylim(len(drawn) - 0.4, -0.6)
        for row, line in enumerate(drawn):
            _draw_line(axes, row, line, span=last - first + 2 * margin)
        axes.set_yticks(range(len(drawn)), [_named(line) for line in drawn])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        locator = made.dates.AutoDateLocator(tz=UTC, minticks=4, maxticks=9)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(made.dates.ConciseDateFormatter(locator, tz=UTC))
        axes.grid(axis="x", color="#ececec", zorder=0)
        axes.set_axisbelow(True)
        axes.set_xlabel("time (UTC), to scale")
        _legend(figure, made, {mark.what for line in drawn for mark in _shown(line)}, drawn)
        more = f"The latest {len(drawn)} of {len(every)} proposals. " if every != drawn else ""
        _headed(
            figure,
            "What was proposed, voted, decided and done",
            f"{more}Figures at the right: approvals : rejections.",
        )
        return _saved(figure, kind, "timeline")


_SHAPES: Final[Mapping[str, tuple[str, str, str, float]]] = {
    # What it is called, shape, colour, size in points. What is done lies upon what was decided.
    "approve": ("approves", "^", _BLUE, 7),
    "reject": ("rejects", "v", _VERMILLION, 7),
    "abstain": ("abstains", "o", "white", 6),
    "call": ("calls it off", "s", _ORANGE, 6),
    "approved": ("decided: approved", "D", _GREEN, 10),
    "rejected": ("decided: rejected", "X", _VERMILLION, 11.5),
    "no_quorum": ("decided: no quorum", "D", "white", 10),
    "cancelled": ("called off by enough", "s", _ORANGE, 11),
    "intent": ("execution begun", ">", "white", 6),
    "executed": ("executed", "*", "white", 10),
    "failed": ("execution failed", "x", _DARK, 8),
    "unknown": ("result unknown", "P", _ORANGE, 8),
}
_SIDES: Final = {"approve": -1, "reject": 1}
_DEEDS: Final = frozenset({"intent", "executed", "failed", "unknown"})
_LEAST_MARGIN: Final = 50_000
_NEAR: Final = 0.009
_LEVELS: Final = 2


def _draw_line(axes: Axes, row: int, line: Line, *, span: int) -> None:
    opened, ended = _time(line.opened), _time(line.ended)
    axes.barh(row, ended - opened, left=opened, height=0.16, color="#cfd8dc", zorder=1)
    _tick(axes, row, line.opened, "-")
    if line.expires is not None and line.expires <= line.until:
        _tick(axes, row, line.expires, ":")
    begun = [mark.at for mark in line.marks if mark.what in _DEEDS]
    if begun:
        axes.plot([_time(begun[0]), _time(begun[-1])], [row, row], color=_DARK, lw=1.4, zorder=3)
    placed: dict[int, list[int]] = {}
    for mark in _shown(line):
        side = _SIDES.get(mark.what, 0)
        level = _level(placed.setdefault(side, []), mark.at, span) if side else 0
        _, shape, colour, size = _SHAPES[mark.what]
        axes.plot(
            [_time(mark.at)], [row + side * (0.24 + 0.1 * level)], marker=shape, ms=size,
            mfc=colour, mec=_DARK, mew=2 if shape == "x" else 0.7, ls="none",
            zorder=6 if mark.what in _DEEDS else 5 if size > _SMALL else 4, clip_on=False,
        )  # fmt: skip
    axes.text(
        1.012, row, line.outcome, transform=axes.get_yaxis_transform(), va="center", color=_DARK,
        fontsize=9.5,
    )  # fmt: skip


_SMALL: Final = 7


def _shown(line: Line) -> list[Mark]:
    """Of an execution with a result, the line to it says when it was begun."""
    return [mark for mark in line.marks if mark.what != "intent" or mark is line.marks[-1]]


def _tick(axes: Axes, row: int, at: int, style: str) -> None:
    axes.plot([_time(at)] * 2, [row - 0.3, row + 0.3], color=_DARK, lw=1.8, ls=style, zorder=2)


def _level(before: list[int], at: int, span: int) -> int:
    """How many marks of its side stand too near to be told apart; it moves aside by as many."""
    near = sum(1 for other in before if abs(other - at) < _NEAR * span)
    before.append(at)
    return min(near, _LEVELS)


def _legend(figure: Figure, made: Any, used: set[str], drawn: Sequence[Line]) -> None:
    line = made.lines.Line2D
    handles = [line([], [], color=_DARK, marker="|", ms=12, mew=1.8, ls="none", label="opened")]
    handles += [
        line([], [], marker=shape, ms=size, mfc=colour, mec=_DARK, mew=2 if shape == "x" else 0.7,
             ls="none", label=name)
        for what, (name, shape, colour, size) in _SHAPES.items()
        if what in used
    ]  # fmt: skip
    if any(one.expires is not None and one.expires <= one.until for one in drawn):
        handles.append(line([], [], color=_DARK, lw=1.8, ls=":", label="expiry"))
    figure.legend(handles=handles, loc="outside lower center", ncols=6, frameon=False, fontsize=9.5)


def _named(line: Line) -> str:
    target = "" if line.target is None else f" {line.target}"
    return _short(f"{line.id} {line.action}{target}")


def _time(microseconds: int) -> float:
    """Days since 1970, as matplotlib reckons its dates."""
    return microseconds / _DAY


_DAY: Final = 86_400_000_000


# -- both


def _short(text: str) -> str:
    clean = printable(text)
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"


def _headed(figure: Figure, title: str, below: str) -> None:
    """Title at the left, and under it what a reader has to know."""
    room = "\n" * (2 + below.count("\n"))
    figure.suptitle(f"{title}{room}", x=0.012, ha="left", fontweight="bold", fontsize=13)
    figure.text(0.012, 0.985, f"\n{below}", ha="left", va="top", fontsize=9.5, color=_DARK)


@contextmanager
def _drawing(kind: str) -> Iterator[Any]:
    """Matplotlib, with this module's style for this block alone."""
    if kind not in FORMATS:
        raise UsageError(f"a picture is one of {', '.join(FORMATS)}, not {kind!r}")
    try:
        matplotlib = import_module("matplotlib")
        for part in ("collections", "dates", "figure", "lines", "patches"):
            import_module(f"matplotlib.{part}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise OperationalError(
            'pictures need matplotlib, which is not installed; run: pip install "quorate[plots]"'
        ) from error
    with matplotlib.rc_context(_STYLE):
        yield matplotlib


def _saved(figure: Figure, kind: str, name: str) -> bytes:
    """The picture, without the time of day or the maker's version in it."""
    held = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(held, format=kind, metadata=metadata, facecolor="white", dpi=_DPI)
    if kind == "png":
        return held.getvalue()
    # Matplotlib's ids hang on the last bits of a layout: numbered, they are the same each time.
    numbers: dict[str, str] = {}

    def numbered(tag: re.Match[str]) -> str:
        return _IDS.sub(
            lambda found: found[1] + numbers.setdefault(found[2], f"{name}-{len(numbers)}"), tag[0]
        )

    return _TAG.sub(numbered, held.getvalue().decode()).encode()
