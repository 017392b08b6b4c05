"""The geometry of the chart of a page: one bar for each severity, a piece for each state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from quorate.compliance.rendering.view import View
from quorate.compliance.rendering.words import State

WIDTH: Final = 680
_LABEL: Final = 120
_ROW: Final = 34
_BAR: Final = 22
_TOP: Final = 6
_LEAST_FOR_NUMBER: Final = 18


@dataclass(frozen=True, slots=True)
class Piece:
    """Checks of one state in one bar; lengths in units of the drawing."""

    state: State
    number: int
    x: int
    width: int

    @property
    def middle(self) -> int:
        """Where its number stands."""
        return self.x + self.width // 2

    @property
    def numbered(self) -> bool:
        """Whether there is room for the number."""
        return self.width >= _LEAST_FOR_NUMBER


@dataclass(frozen=True, slots=True)
class Bar:
    """One severity: its checks from left to right, ``shown`` first."""

    name: str
    total: int
    y: int
    height: int
    pieces: tuple[Piece, ...]

    @property
    def told(self) -> str:
        """The bar in words."""
        parts = [f"{piece.number} {piece.state.word}" for piece in self.pieces]
        return f"{self.name}: {', '.join(parts) or 'no checks'}"


@dataclass(frozen=True, slots=True)
class Chart:
    """All bars, drawn to one scale."""

    width: int
    height: int
    label: int
    bars: tuple[Bar, ...]
    legend: tuple[State, ...]

    @property
    def told(self) -> str:
        """The chart in words, for those who do not see it."""
        return ". ".join(bar.told for bar in self.bars) + "."


def severity_chart(shown: View) -> Chart:
    """Lay out the bars. Whole units, so that the drawing is the same on every machine."""
    most = max((sum(counts) for _, counts in shown.severities), default=0)
    bars = []
    for row, (name, counts) in enumerate(shown.severities):
        pieces, done, total = [], 0, sum(counts)
        # From the best to the worst: what is shown grows from the axis.
        for state, number in reversed(list(zip(shown.states, counts, strict=True))):
            if state.name == "not_applicable" or number == 0:
                continue
            left, right = _at(done, most), _at(done + number, most)
            pieces.append(Piece(state, number, left, right - left))
            done += number
        aside = dict(zip((s.name for s in shown.states), counts, strict=True))["not_applicable"]
        if aside:
            state = next(s for s in shown.states if s.name == "not_applicable")
            left = _at(done, most)
            pieces.append(Piece(state, aside, left, _at(total, most) - left))
        bars.append(Bar(name, total, _TOP + row * _ROW, _BAR, tuple(pieces)))
    used = {piece.state.name for bar in bars for piece in bar.pieces}
    legend = tuple(state for state in shown.states if state.name in used)
    return Chart(WIDTH, _TOP + len(bars) * _ROW, _LABEL, tuple(bars), legend)


def _at(number: int, most: int) -> int:
    return _LABEL + (WIDTH - _LABEL - 10) * number // max(1, most)
