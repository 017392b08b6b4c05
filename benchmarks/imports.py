"""What ``import quorate`` costs, beside starting Python at all."""

from __future__ import annotations

import subprocess
import sys
from typing import Final

from benchmarks.measure import Figure, Settings, Step, Subject, rate_of, side_by_side

SUBJECT: Final = "start"

_PROGRAMS: Final = {
    "python": "pass",
    "import quorate": "import quorate",
    "from quorate import Ledger": "from quorate import Ledger",
    "from quorate import BFTRouter": "from quorate import BFTRouter",
}


def steps(settings: Settings) -> list[Step]:
    """One step, in new processes."""
    return [Step("import quorate", lambda: _starts(settings))]


def _starts(settings: Settings) -> list[Figure]:
    bare, *others = _PROGRAMS
    turns = side_by_side(
        {name: _starting(program) for name, program in _PROGRAMS.items()}, settings.turns
    )
    figures = []
    for name in others:
        extra = [
            1000 / ours - 1000 / theirs
            for ours, theirs in zip(turns.rates[name], turns.rates[bare], strict=True)
        ]
        note = f"{sorted(extra)[len(extra) // 2]:.0f} ms more"
        figures.append(turns.compare(name, bare, subject=SUBJECT, unit="starts/s", note=note))
    return figures


def _starting(program: str) -> Subject:
    command = [sys.executable, "-c", program]
    return lambda: rate_of(2, lambda: [subprocess.run(command, check=True) for _ in range(2)])
