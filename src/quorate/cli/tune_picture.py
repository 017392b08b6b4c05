"""``quorate tune --svg``: right, wrong and refused over the quorum, as a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from quorate.core.text import counted, printable

if TYPE_CHECKING:
    from quorate.hub.tuning import Row

_WIDTH: Final = 760
_LEFT, _RIGHT = 62, 30
_PLOT: Final = _WIDTH - _LEFT - _RIGHT
_TOP: Final = 92
_HEIGHT: Final = 240
_BELOW: Final = 64
_KINDS: Final = (
    ("right", "#1a7f37"),
    ("wrong", "#cf222e"),
    ("open", "#9a6700"),
    ("refused", "#d0d7de"),
)
"""From the bottom up; told apart by the order in the legend too, not by colour alone."""
_COMMITS: Final = (("committed", "#0969da"),)
_TEXT: Final = "#1f2328"
_TICKS: Final = 4
_LEGEND_STEP: Final = 150


def picture(rows: Sequence[Row], chosen: Row | None, *, known: int, verdicts: int) -> str:
    """Draw the rows of one protocol as one static SVG element: no script, nothing fetched.

    At each quorum the column is made up of what it would have come to. A row stands for
    itself and the quorums below it, down to the row before: a verdict commits at its
    threshold, and at none above.

    Args:
        rows: by quorum, the least first; at least one.
        chosen: the row to mark, if there is one.
        known: verdicts whose outcome is known; where there are none, what commits is drawn.
        verdicts: all verdicts.
    """
    kinds = _KINDS if known else _COMMITS
    total = known or verdicts
    heading = f"{counted(total, 'verdict')} by quorum: {printable(rows[0].protocol)}"
    told = _told(rows, chosen, kinds)
    # Several pictures may stand in one page, and ids are the page's.
    mark = hashlib.sha256(f"{heading}{told}".encode()).hexdigest()[:12]
    height = _TOP + _HEIGHT + _BELOW
    size = f'viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
    named = f'role="img" aria-labelledby="t{mark}" aria-describedby="d{mark}"'
    font = 'font-family="ui-monospace, monospace" font-size="13"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {named} {font}>',
            f'<title id="t{mark}">{escape(heading)}</title>',
            f'<desc id="d{mark}">{escape(told)}</desc>',
            f'<rect width="{_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
            _text(_LEFT, 28, heading, 'font-weight="bold"'),
            *_legend(kinds),
            *_columns(rows, kinds, total),
            *_axes(total),
            *_mark(chosen),
            "</svg>",
            "",
        )
    )


def _told(rows: Sequence[Row], chosen: Row | None, kinds: Sequence[tuple[str, str]]) -> str:
    said = [
        f"quorum {_short(row.quorum)}: "
        + ", ".join(f"{getattr(row, name)} {name}" for name, _ in kinds)
        for row, before in zip(rows, [None, *rows], strict=False)
        if before is None or any(getattr(row, n) != getattr(before, n) for n, _ in kinds)
    ]
    if chosen is not None:
        said.append(f"the least quorum recommended is {_short(chosen.quorum)}")
    return "; ".join(said)


def _legend(kinds: Sequence[tuple[str, str]]) -> Iterator[str]:
    for number, (name, colour) in enumerate(kinds):
        x = _LEFT + number * _LEGEND_STEP
        yield f'<rect x="{x}" y="44" width="12" height="12" fill="{colour}" stroke="{_TEXT}"/>'
        yield _text(x + 18, 55, name)


def _columns(rows: Sequence[Row], kinds: Sequence[tuple[str, str]], total: int) -> Iterator[str]:
    starts = [rows[0].quorum, *(row.quorum for row in rows)]
    for row, start in zip(rows, starts, strict=False):
        width = max(2.0, _x(row.quorum) - _x(start))
        left = _x(row.quorum) - width
        counts = ", ".join(f"{getattr(row, name)} {name}" for name, _ in kinds)
        yield f"<g><title>quorum {_short(row.quorum)}: {counts}</title>"
        done = 0
        for name, colour in kinds:
            count = getattr(row, name)
            if count:
                top = _y((done + count) / total)
                yield (
                    f'<rect x="{left:.2f}" y="{top:.2f}" width="{width:.2f}" '
                    f'height="{_y(done / total) - top:.2f}" fill="{colour}" '
                    'shape-rendering="crispEdges"/>'
                )
            done += count
        yield "</g>"


def _axes(total: int) -> Iterator[str]:
    bottom = _TOP + _HEIGHT
    yield f'<path d="M{_LEFT} {_TOP}V{bottom}H{_LEFT + _PLOT}" fill="none" stroke="{_TEXT}"/>'
    for tick in range(_TICKS + 1):
        share = tick / _TICKS
        x, y = _LEFT + share * _PLOT, _y(share)
        yield f'<path d="M{_LEFT - 4} {y:.2f}h4M{x:.2f} {bottom}v4" stroke="{_TEXT}"/>'
        yield _text(_LEFT - 8, y + 4, f"{total * share:.4g}", 'text-anchor="end"')
        yield _text(x, bottom + 19, f"{share:g}", 'text-anchor="middle"')
    yield _text(_LEFT + _PLOT / 2, bottom + 42, "quorum", 'text-anchor="middle"')


def _mark(chosen: Row | None) -> Iterator[str]:
    if chosen is None:
        return
    x = _x(chosen.quorum)
    yield (
        f'<path d="M{x:.2f} {_TOP - 6}V{_TOP + _HEIGHT}" stroke="{_TEXT}" stroke-width="2" '
        'stroke-dasharray="5 3"/>'
    )
    anchor = "end" if chosen.quorum * 2 > 1 else "start"
    aside = -6 if anchor == "end" else 6
    where = f'text-anchor="{anchor}" font-weight="bold"'
    yield _text(x + aside, _TOP - 4, f"least {_short(chosen.quorum)}", where)


def _x(quorum: Fraction) -> float:
    return _LEFT + float(quorum) * _PLOT


def _y(share: float) -> float:
    return _TOP + _HEIGHT * (1 - share)


def _short(quorum: Fraction) -> str:
    return f"{float(quorum):.4g}"


def _text(x: float, y: float, text: str, more: str = "") -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" fill="{_TEXT}" {more}>{escape(text)}</text>'
