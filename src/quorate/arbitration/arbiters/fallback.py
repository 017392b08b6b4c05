"""``fallback``: after a refusal, one expert named beforehand decides, and it is said so."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Final

from quorate.arbitration import rules
from quorate.arbitration.arbiters.base import (
    DEFAULT_QUORUM,
    QuorumArbiter,
    answered,
    outside,
    proposal_of,
    shares,
    totals,
    weighted_groups,
)
from quorate.arbitration.counted import count
from quorate.arbitration.decision import Decision, Tally
from quorate.arbitration.forms import text
from quorate.arbitration.intake import Intake
from quorate.arbitration.normal import Normalize
from quorate.core.errors import UsageError
from quorate.core.exact import Number, as_text

RULE: Final = "fallback/1"


@dataclass(frozen=True, slots=True, init=False)
class FallbackArbiter(QuorumArbiter):
    """Commits one named expert's answer where a quorum was refused.

    No quorum stands behind what it commits: ``by_quorum`` is false, and support and
    backing are those of the answer, whatever they are. It is a policy's last step, and no
    protocol that one can choose.

    Attributes:
        expert: id of the expert that is trusted to decide.
    """

    expert: str

    protocol: ClassVar[str] = "fallback"
    rule: ClassVar[str] = RULE
    decides_over_pending: ClassVar[bool] = True

    def __init__(
        self,
        expert: str,
        quorum: Number = DEFAULT_QUORUM,
        *,
        normalize: Normalize = None,
    ) -> None:
        """Name the expert, and the quorum that was refused.

        Raises:
            UsageTypeError: ``expert`` is not a string, ``quorum`` no number, or
                ``normalize`` no way of comparing.
            UsageError: ``quorum`` is not in (0, 1], or a name is unknown.
        """
        QuorumArbiter.__init__(self, quorum, normalize=normalize)
        object.__setattr__(self, "expert", text(expert, "expert"))

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the rule was given, as JSON, numbers exact."""
        return {**self._quorum_parameters(), "expert": self.expert}

    def folded(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised.

        Raises:
            UsageError: the intake has no refused verdict as its parent.
        """
        if intake.parent_status != "refused":
            raise UsageError(
                "a fallback decides only after a refusal; give the refused verdict's body as "
                "the parent of the intake"
            )
        counted = count(intake, self.normaliser)
        fold = rules.weighted_quorum(counted.ballots(), counted.away, self.exact_quorum)
        chosen = next((g for g in fold.groups if self.expert in g.members), None)
        others = tuple(group for group in fold.groups if group is not chosen)
        ordered = others if chosen is None else (chosen, *others)
        waiting = sum((one.exact_weight for one in intake.pending), Fraction(0))
        weights = {**totals(fold), "roster_weight": fold.roster_weight + waiting}
        groups = weighted_groups(ordered, intake, counted)
        shared = {
            **self._common(intake, counted),
            **_shares(chosen, fold, waiting),
            "trace": {
                **self._trace(counted, groups, weights),
                "fallback": self.expert,
                "pending": [one.to_dict() for one in intake.pending],
                "pending_weight": as_text(waiting),
            },
        }
        if chosen is None:
            leader = ordered[0].digest if ordered else None
            return Tally(**shared, reason=rules.NO_FALLBACK, leader=leader)
        winner = proposal_of(counted, self.expert)
        # Its own spelling is committed, whoever in its group voted highest.
        groups[0]["answer"] = intake.answers[winner.digest]
        return Decision(**shared, **answered(winner), dissenting=outside(others), by_quorum=False)


def _shares(chosen: rules.Group | None, fold: rules.Fold, waiting: Fraction) -> dict[str, Any]:
    """What the answer holds of all votes, and of the roster's weight."""
    total = fold.total_votes + fold.absent_weight + waiting
    roster = fold.roster_weight + waiting
    votes, weight = (Fraction(0),) * 2 if chosen is None else (chosen.votes, chosen.weight)
    return shares(
        votes / total if total else Fraction(0), weight / roster if roster else Fraction(0)
    )
