"""Five monitors: four that judge a process by their own readings, and one that was bought."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from quorate.core.identity import Ed25519Signer

MIB: Final = 1 << 20
INSIDER: Final = "insider"

Reading = tuple[float, int]
"""Seconds since the process started, and bytes that it holds."""

Judge = Callable[[Sequence[Reading]], str | None]
"""What is wrong, in words, or ``None``; given at least two readings, the oldest first."""

_MOST_ABOVE: Final = 20 * MIB
_MOST_RATE: Final = 4 * MIB
_IN_A_ROW: Final = 8
_CEILING: Final = 512 * MIB
_SOON_SECONDS: Final = 120.0


@dataclass
class Monitor:
    """A voter with a key of its own, and with nobody's readings but its own.

    Attributes:
        id: its name in the council.
        judge: its rule; the insider has none, and suspects nothing.
        told: what that rule is, in words.
        signer: signs its votes.
        readings: all that it has taken, the oldest first.
    """

    id: str
    judge: Judge
    told: str
    signer: Ed25519Signer = field(default_factory=Ed25519Signer.generate, repr=False)
    readings: list[Reading] = field(default_factory=list)

    def suspicion(self) -> str | None:
        """What is wrong by its own readings, in words; ``None`` if nothing is."""
        return self.judge(self.readings) if len(self.readings) > 1 else None


def panel() -> list[Monitor]:
    """The five, the insider last."""
    return [
        Monitor("size", _size, f"more than {_MOST_ABOVE // MIB} MiB above its first reading"),
        Monitor("slope", _slope, f"more than {_MOST_RATE // MIB} MiB a second"),
        Monitor("trend", _trend, f"{_IN_A_ROW} readings in a row, each above the one before"),
        Monitor(
            "forecast",
            _forecast,
            f"{_CEILING // MIB} MiB within {_SOON_SECONDS:.0f} s at this rate",
        ),
        Monitor(INSIDER, _blind, "whatever the attacker wants"),
    ]


def mib(size: int) -> str:
    """Bytes, for people."""
    return f"{size / MIB:.1f} MiB"


def _size(readings: Sequence[Reading]) -> str | None:
    above = readings[-1][1] - readings[0][1]
    return f"it holds {mib(above)} more than at first" if above > _MOST_ABOVE else None


def _rate(readings: Sequence[Reading]) -> float:
    """Bytes per second over the last second or so."""
    last = readings[-1]
    first = next(reading for reading in readings if reading[0] >= last[0] - 1.0)
    seconds = last[0] - first[0]
    return (last[1] - first[1]) / seconds if seconds > 0 else 0.0


def _slope(readings: Sequence[Reading]) -> str | None:
    rate = _rate(readings)
    if len(readings) < _IN_A_ROW or rate <= _MOST_RATE:
        return None
    return f"it grows by {mib(round(rate))} a second"


def _trend(readings: Sequence[Reading]) -> str | None:
    last = [size for _, size in readings[-_IN_A_ROW - 1 :]]
    rising = len(last) > _IN_A_ROW and all(a < b for a, b in pairwise(last))
    return f"it grew from each of {_IN_A_ROW} readings to the next" if rising else None


def _forecast(readings: Sequence[Reading]) -> str | None:
    rate = _rate(readings)
    if len(readings) < _IN_A_ROW or rate <= 0:
        return None
    left = (_CEILING - readings[-1][1]) / rate
    told = f"in {max(left, 0):.0f} s it will hold {_CEILING // MIB} MiB"
    return told if left < _SOON_SECONDS else None


def _blind(_readings: Sequence[Reading]) -> str | None:
    return None
