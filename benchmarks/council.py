"""What one proposal costs a council, from proposing to executing, by how many went before it."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.measure import Aim, Figure, Settings, Step, Subject, rate_of, side_by_side
from quorate.core.identity import Ed25519Signer
from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger

SUBJECT: Final = "council"
SHORT: Final = 100
LONG: Final = 10_000

_VOTERS: Final = tuple("abcde")
_PER_TURN: Final = 30
_TALLIES: Final = 3_000
_EVIDENCE: Final = {"metric": "rss", "limit": 1 << 25, "seen": [1 << 25, 1 << 26]}
_MOST: Final = 1.2
_AIM: Final = Aim(f"cost under {_MOST} times", ratio=1 / _MOST)


def steps(settings: Settings) -> list[Step]:
    """A ledger in memory shows the council's own cost, one on disk what its users wait for."""
    return [
        Step("council in memory", partial(_histories, settings, "in memory", None)),
        Step("council on disk", partial(_histories, settings, "on disk", settings.scratch)),
    ]


def _histories(settings: Settings, where: str, folder: Path | None) -> list[Figure]:
    """The same work in two councils that differ in their history alone, turn about."""
    each = settings.units(_PER_TURN)
    tallied = settings.units(_TALLIES)
    with ExitStack() as stack:
        seats = {
            _named(size): _seat(stack.enter_context(_ledger(folder, size)), size)
            for size in (SHORT, LONG)
        }
        whole = side_by_side(
            {name: _deciding(seat, each) for name, seat in seats.items()}, settings.turns
        )
        tallies = side_by_side(
            {name: _tallying(seat, tallied) for name, seat in seats.items()}, settings.turns
        )
    more, less = _named(LONG), _named(SHORT)
    return [
        whole.compare(
            more,
            less,
            subject=SUBJECT,
            unit="proposals/s",
            title=f"propose, {len(_VOTERS)} votes, tally, execute; {where}",
            aim=_AIM,
            note=f"each history grows by {each * (settings.turns + 1)} while it is measured",
        ),
        tallies.compare(
            more,
            less,
            subject=SUBJECT,
            unit="tallies/s",
            title=f"tally of a pending proposal; {where}",
            aim=_AIM,
        ),
    ]


def _named(size: int) -> str:
    return f"{size:,} before it"


def _ledger(folder: Path | None, size: int) -> Ledger:
    url = "memory:" if folder is None else f"sqlite:///{folder / f'council-{size}.sqlite'}"
    return Ledger.open(url, signer=Ed25519Signer.generate(), origin="quorate/bench")


def _seat(ledger: Ledger, size: int) -> ConsensusProtocol:
    """A council with so many executed proposals behind it, each made as any other."""
    seat = ConsensusProtocol(_VOTERS, ledger=ledger)
    # Not the history's flushes are measured: without them it is there in a tenth of the time.
    ledger.store._db.execute("PRAGMA synchronous=OFF")
    _decide(seat, size)
    ledger.store._db.execute("PRAGMA synchronous=FULL")
    return seat


def _decide(seat: ConsensusProtocol, proposals: int) -> None:
    for _ in range(proposals):
        proposal = seat.propose("a", "restrict", "agent-7", _EVIDENCE)
        for voter in _VOTERS:
            seat.vote(proposal, voter, "approve")
        if not (seat.tally(proposal).approved and seat.execute(proposal)):
            raise RuntimeError(f"proposal {proposal} was not approved and executed")


def _deciding(seat: ConsensusProtocol, proposals: int) -> Subject:
    return lambda: rate_of(proposals, lambda: _decide(seat, proposals))


def _tallying(seat: ConsensusProtocol, times: int) -> Subject:
    """Tally one that is open and seals nothing: whatever grew with the log would show here."""
    proposal = seat.propose("a", "restrict", "agent-7", _EVIDENCE)
    seat.vote(proposal, "a", "approve")

    def tally() -> None:
        for _ in range(times):
            seat.tally(proposal)

    return lambda: rate_of(times, tally)
