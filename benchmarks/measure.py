"""Measure rates side by side, and keep what came out as figures with their aims.

Theory of operation. A machine's speed drifts by half and more within a minute, so no
rate says anything alone. Whatever is compared runs in turns, A B A B, each turn giving
one rate; the ratio is taken turn by turn, and the median and the range over the turns
are kept.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Subject = Callable[[], float]
"""Does one turn of work and gives its rate, in units per second."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run is made.

    Attributes:
        quick: fewer turns and less work in each, for a first look.
        scratch: an empty folder on the disk to measure.
    """

    quick: bool
    scratch: Path

    @property
    def turns(self) -> int:
        """How often each subject runs."""
        return 3 if self.quick else 7

    def units(self, full: int) -> int:
        """Units of work in one turn, where a full run does ``full``."""
        return max(1, full // 3) if self.quick else full


@dataclass(frozen=True, slots=True)
class Spread:
    """Median, least and greatest of one quantity over the turns."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Summarise one or more values."""
        return cls(statistics.median(values), min(values), max(values))

    def to_dict(self) -> dict[str, float]:
        """As JSON, rounded to six digits."""
        return {
            "median": _rounded(self.median),
            "least": _rounded(self.least),
            "most": _rounded(self.most),
        }


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should reach: a least ratio, or a least rate.

    Attributes:
        text: for people, such as ``at least 85%``.
        ratio: least ratio, or ``None``.
        rate: least rate, or ``None``.
    """

    text: str
    ratio: float | None = None
    rate: float | None = None

    def reached(self, rate: float, ratio: float | None) -> bool:
        """Whether the medians ``rate`` and ``ratio`` are good enough."""
        if self.rate is not None and rate < self.rate:
            return False
        return self.ratio is None or (ratio is not None and ratio >= self.ratio)


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        subject: the section it stands in.
        name: what was measured.
        unit: of the rates, such as ``entries/s``.
        rate: ours.
        reference: what it is compared with, or ``""``.
        reference_rate: theirs, from the same turns.
        ratio: ours over theirs, turn by turn.
        aim: what it should reach, or ``None``.
        note: what a reader must know beside it.
    """

    subject: str
    name: str
    unit: str
    rate: Spread
    reference: str = ""
    reference_rate: Spread | None = None
    ratio: Spread | None = None
    aim: Aim | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim is reached; ``None`` without an aim."""
        if self.aim is None:
            return None
        return self.aim.reached(self.rate.median, None if self.ratio is None else self.ratio.median)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "subject": self.subject,
            "name": self.name,
            "unit": self.unit,
            "rate": self.rate.to_dict(),
            "reference": self.reference or None,
            "reference_rate": None
            if self.reference_rate is None
            else self.reference_rate.to_dict(),
            "ratio": None if self.ratio is None else self.ratio.to_dict(),
            "aim": None if self.aim is None else self.aim.text,
            "reached": self.reached,
            "note": self.note or None,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of the run: a name for the progress bar, and what gives its figures."""

    name: str
    run: Callable[[], list[Figure]]


@dataclass(frozen=True, slots=True)
class Turns:
    """Rates of several subjects, turn by turn."""

    rates: Mapping[str, list[float]]

    def compare(
        self,
        name: str,
        reference: str,
        *,
        subject: str,
        unit: str,
        title: str | None = None,
        aim: Aim | None = None,
        note: str = "",
    ) -> Figure:
        """The figure of subject ``name`` beside that of ``reference``; both by their keys."""
        ours, theirs = self.rates[name], self.rates[reference]
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        return Figure(
            subject=subject,
            name=title or name,
            unit=unit,
            rate=Spread.of(ours),
            reference=reference,
            reference_rate=Spread.of(theirs),
            ratio=Spread.of(ratios),
            aim=aim,
            note=note,
        )


def side_by_side(subjects: Mapping[str, Subject], turns: int) -> Turns:
    """Run every subject once to warm up, then all of them in turn, ``turns`` times."""
    rates: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(turns + 1):
        for name, subject in subjects.items():
            # What one subject left behind is not the next one's to clear.
            gc.collect()
            rate = subject()
            if turn:
                rates[name].append(rate)
    return Turns(rates)


def rate_of(units: int, work: Callable[[], object]) -> float:
    """Run ``work``, which does ``units`` of something; units per second."""
    started = time.perf_counter()
    work()
    return units / (time.perf_counter() - started)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
