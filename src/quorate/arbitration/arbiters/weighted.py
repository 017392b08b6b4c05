"""``weighted-quorum``: the heaviest answer, if votes and route weight both reach the quorum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from quorate.arbitration import rules
from quorate.arbitration.arbiters.base import (
    QuorumArbiter,
    answered,
    outside,
    shares,
    totals,
    weighted_groups,
)
from quorate.arbitration.arbiters.spelling import winner_of
from quorate.arbitration.counted import count
from quorate.arbitration.decision import Decision, Tally
from quorate.arbitration.intake import Intake


@dataclass(frozen=True, slots=True, init=False)
class WeightedQuorumArbiter(QuorumArbiter):
    """Commits the heaviest answer if votes and route weight both reach the quorum.

    The rule is :mod:`quorate.arbitration.rules.weighted`; of several spellings of the
    answer :mod:`~quorate.arbitration.arbiters.spelling` chooses one.
    """

    protocol: ClassVar[str] = "weighted-quorum"
    rule: ClassVar[str] = rules.RULE

    def folded(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""
        counted = count(intake, self.normaliser)
        fold = rules.weighted_quorum(counted.ballots(), counted.away, self.exact_quorum)
        groups = weighted_groups(fold.groups, intake, counted)
        shared = {
            **self._common(intake, counted),
            **shares(fold.support, fold.backing),
            "trace": self._trace(counted, groups, totals(fold)),
        }
        if fold.reason is not None:
            leader = fold.groups[0].digest if fold.groups else None
            return Tally(**shared, reason=fold.reason, leader=leader)
        winner = winner_of(counted, fold.groups[0])
        groups[0]["answer"] = intake.answers[winner.digest]
        return Decision(**shared, **answered(winner), dissenting=outside(fold.groups[1:]))
