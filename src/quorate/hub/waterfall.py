"""A trace drawn as a waterfall: one bar for each span, for a terminal or as a picture.

Both drawings follow from the trace alone. Names are foreign text: what could rewrite a
screen is escaped, and so is what could break out of the picture.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len, set_cell_size

from quorate.core.errors import UsageError
from quorate.core.text import printable

if TYPE_CHECKING:
    from quorate.hub.trace import Span, Trace

LEAST_WIDTH: Final = 60
"""Fewest columns of a waterfall: below it there is no room for a bar."""

MOST_WIDTH: Final = 1000
"""Most columns of a waterfall."""

_GAP: Final = 2
_PHASE: Final = "phase"
_MARKS: Final = {"answered": "=", "done": "=", "still_running": ">", "cancelled": "-"}
_FAILED: Final = "x"

# One picture for light and dark pages alike, so it brings its own ground. Every colour has
# a contrast of at least 3 to 1 against it, and the status is written beside.
_COLOURS: Final = {
    "answered": "#1a7f37",
    "done": "#57606a",
    "still_running": "#9a6700",
    "cancelled": "#6e7781",
}
_FAILED_COLOUR: Final = "#cf222e"
_PICTURE_WIDTH: Final = 960
_HEADING_CELLS: Final = 112
_NAME_CELLS: Final = 28
_BAR_LEFT: Final = 250
_BAR_WIDTH: Final = 470
_MS_RIGHT: Final = 815
_STATUS_LEFT: Final = 830
_MARGIN: Final = 16
_ROW: Final = 24
_BAR: Final = 12
_TOP: Final = 56


def waterfall(trace: Trace, width: int = 80) -> str:
    """Draw ``trace`` in plain characters, each line at most ``width`` columns.

    A bar of ``=`` has an answer or is done, ``x`` failed, ``-`` was cancelled, ``>`` was
    given up and still runs; the status is written beside it.

    Args:
        trace: what to draw.
        width: columns, :data:`LEAST_WIDTH` to :data:`MOST_WIDTH`.

    Returns:
        Lines without a line feed at the end.

    Raises:
        UsageError: too narrow, or too wide.
    """
    if not LEAST_WIDTH <= width <= MOST_WIDTH:
        raise UsageError(f"width is {width}; {LEAST_WIDTH} to {MOST_WIDTH} columns are allowed")
    lines = [_fitted(_heading(trace), width).rstrip()]
    spans = trace.spans
    names = [_indented(span) for span in spans]
    times = [_ms(span.seconds) for span in spans]
    name_width = min(max(map(cell_len, names), default=0), width // 4)
    time_width = max(map(len, times), default=0)
    status_width = max((len(span.status) for span in spans), default=0)
    bar_width = width - name_width - time_width - status_width - 3 * _GAP
    gap = " " * _GAP
    for span, name, time in zip(spans, names, times, strict=True):
        left, right = _place(span, trace.seconds, bar_width)
        bar = " " * left + _MARKS.get(span.status, _FAILED) * (right - left)
        columns = (
            _fitted(name, name_width),
            bar.ljust(bar_width),
            time.rjust(time_width),
            span.status,
        )
        lines.append(gap.join(columns))
    return "\n".join(lines)


def svg(trace: Trace) -> str:
    """Draw ``trace`` as one static SVG element: no script, no style sheet, nothing fetched.

    Readers of screens get a title, and a description with every span.
    """
    # Several pictures may stand in one page, and ids are the page's.
    mark = hashlib.sha256(repr(trace).encode()).hexdigest()[:12]
    height = _TOP + _ROW * len(trace.spans) + _MARGIN
    heading = _heading(trace)
    size = f'viewBox="0 0 {_PICTURE_WIDTH} {height}" width="{_PICTURE_WIDTH}" height="{height}"'
    named = f'role="img" aria-labelledby="t{mark}" aria-describedby="d{mark}"'
    font = 'font-family="ui-monospace, monospace" font-size="13"'
    bold = f'x="{_MARGIN}" y="30" fill="#1f2328" font-weight="bold"'
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} {named} {font}>',
            f'<title id="t{mark}">{_safe(heading)}</title>',
            f'<desc id="d{mark}">{_safe(_told(trace))}</desc>',
            f'<rect width="{_PICTURE_WIDTH}" height="{height}" rx="6" fill="#ffffff"/>',
            f"<text {bold}>{_safe(_shortened(heading, _HEADING_CELLS))}</text>",
            *_rows(trace),
            "</svg>",
        )
    )


def _rows(trace: Trace) -> Iterator[str]:
    for number, span in enumerate(trace.spans):
        top = _TOP + _ROW * number
        base = top + _BAR - 1
        left, right = _shares(span, trace.seconds)
        colour = _COLOURS.get(span.status, _FAILED_COLOUR)
        name = _safe(_shortened(_indented(span), _NAME_CELLS).lstrip())
        indent = _MARGIN if span.kind == _PHASE else _MARGIN + 12
        yield "<g>"
        yield f"<title>{_safe(_sentence(span))}</title>"
        yield f'<text x="{indent}" y="{base}" fill="#1f2328">{name}</text>'
        yield (
            f'<rect x="{_BAR_LEFT}" y="{top}" width="{_BAR_WIDTH}" height="{_BAR}" fill="#f0f2f4"/>'
        )
        yield (
            f'<rect x="{_BAR_LEFT + left * _BAR_WIDTH:.2f}" y="{top}" '
            f'width="{max(1.0, (right - left) * _BAR_WIDTH):.2f}" height="{_BAR}" '
            f'fill="{colour}"/>'
        )
        yield (
            f'<text x="{_MS_RIGHT}" y="{base}" fill="#1f2328" text-anchor="end">'
            f"{_ms(span.seconds)}</text>"
        )
        yield f'<text x="{_STATUS_LEFT}" y="{base}" fill="#1f2328">{_safe(span.status)}</text>'
        yield "</g>"


def _heading(trace: Trace) -> str:
    number = len(trace.spans)
    parts = [
        f"trace {printable(trace.id)}",
        *([] if trace.started_at is None else [printable(trace.started_at)]),
        _ms(trace.seconds),
        f"{number} span{'' if number == 1 else 's'}",
    ]
    return "  ".join(parts)


def _told(trace: Trace) -> str:
    return " ".join(_sentence(span) for span in trace.spans) or "It has no spans."


def _sentence(span: Span) -> str:
    detail = f": {printable(span.detail)}" if span.detail else ""
    return (
        f"{printable(span.kind)} {printable(span.name)}, from {_ms(span.started)} "
        f"for {_ms(span.seconds)}, {span.status}{detail}."
    )


def _indented(span: Span) -> str:
    return ("" if span.kind == _PHASE else "  ") + printable(span.name)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _shares(span: Span, total: float) -> tuple[float, float]:
    """Where it begins and ends, as shares of the whole."""
    return (span.started / total, span.ended / total) if total else (0.0, 0.0)


def _place(span: Span, total: float, width: int) -> tuple[int, int]:
    """The first column of its bar, and the one after its last; at least one."""
    start, end = _shares(span, total)
    left = min(int(start * width), width - 1)
    return left, min(width, max(left + 1, math.ceil(end * width)))


def _shortened(text: str, cells: int) -> str:
    return text if cell_len(text) <= cells else set_cell_size(text, cells - 2).rstrip() + ".."


def _fitted(text: str, cells: int) -> str:
    return set_cell_size(_shortened(text, cells), cells)


def _safe(text: str) -> str:
    return escape(text, quote=True)
