"""Arbitrating: every protocol beside the plain fold in floats that it started from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.measure import Figure, Settings, Step, rate_of, side_by_side
from quorate.arbitration import (
    FirstToQuorumArbiter,
    Proposal,
    RankedRunoffArbiter,
    SynthesisArbiter,
    WeightedQuorumArbiter,
)

ARBITRATION: Final = "arbitration"
PLAIN: Final = "plain fold in floats"

_OPTIONS: Final = ("yes", "no", "maybe", "never")


@dataclass(frozen=True)
class _Plain:
    """What the plain fold knows of a proposal."""

    expert_id: str
    payload: str
    confidence: float
    route_weight: float
    digest: str

    @property
    def vote(self) -> float:
        return self.route_weight * self.confidence


def plain_fold(proposals: Sequence[_Plain], quorum: float) -> tuple[str, float, list[str]]:
    """Group by digest, sum votes as floats, take the heaviest group if it holds the quorum.

    No absences, no backing, nothing exact, nothing checked, no account of how it came out.
    """
    groups: dict[str, list[_Plain]] = defaultdict(list)
    for proposal in proposals:
        groups[proposal.digest].append(proposal)
    total = sum(proposal.vote for proposal in proposals)
    ranked = sorted(groups.values(), key=_standing, reverse=True)
    support = sum(proposal.vote for proposal in ranked[0]) / total
    if support < quorum:
        raise ValueError("too little support")
    against = [proposal.expert_id for group in ranked[1:] for proposal in group]
    return ranked[0][0].payload, support, against


def _standing(group: list[_Plain]) -> tuple[float, float, str]:
    top = max(group, key=lambda proposal: proposal.vote)
    return sum(proposal.vote for proposal in group), top.vote, top.expert_id


def steps(settings: Settings) -> list[Step]:
    """Three, seven and thirty-one proposals."""
    return [
        Step(f"arbitration, {n} proposals", lambda n=n: _arbitration(settings, n))  # type: ignore[misc]
        for n in (3, 7, 31)
    ]


def _proposals(n: int) -> list[Proposal]:
    made = []
    for i in range(n):
        first = _OPTIONS[0] if 8 * i < 7 * n else _OPTIONS[1 + i % 3]
        rest = [option for option in _OPTIONS if option != first]
        sure, weight = 0.5 + (i % 10) / 20, 0.1 + (i % 7) / 50
        made.append(Proposal(f"expert-{i}", first, sure, weight, ranking=[first, *rest]))
    return made


def _arbitration(settings: Settings, n: int) -> list[Figure]:
    count = settings.units(max(30, 1500 // n))
    proposals = _proposals(n)
    plain = [
        _Plain(p.expert_id, str(p.payload), float(p.confidence), float(p.route_weight), p.digest)
        for p in proposals
    ]
    arbiters: dict[str, Any] = {
        "weighted-quorum": WeightedQuorumArbiter(0.6),
        "ranked-runoff": RankedRunoffArbiter(0.6),
        "synthesis": SynthesisArbiter(0.6, merge=lambda _: "yes", ratify=lambda *_: True),
        "first-to-quorum": FirstToQuorumArbiter(0.6),
    }

    def ours(arbiter: Any) -> Callable[[], float]:
        return lambda: rate_of(count, lambda: [arbiter.arbitrate(proposals) for _ in range(count)])

    many = 20 * count
    turns = side_by_side(
        {
            PLAIN: lambda: rate_of(many, lambda: [plain_fold(plain, 0.6) for _ in range(many)]),
            **{name: ours(arbiter) for name, arbiter in arbiters.items()},
        },
        settings.turns,
    )
    return [
        turns.compare(
            name,
            PLAIN,
            subject=ARBITRATION,
            unit="decisions/s",
            title=f"{name}, {n} proposals",
            note="exact, checked, explained" if name == "weighted-quorum" else "",
        )
        for name in arbiters
    ]
