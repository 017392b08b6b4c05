"""``first-to-quorum``: decides as soon as the answers still to come could change nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from quorate.arbitration.arbiters.base import (
    DEFAULT_QUORUM,
    QuorumArbiter,
    answered,
    outside,
    shares,
    totals,
    weighted_groups,
)
from quorate.arbitration.arbiters.spelling import winner_of
from quorate.arbitration.counted import Counted, count
from quorate.arbitration.decision import Decision, Tally
from quorate.arbitration.forms import shown
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.normal import Normalize
from quorate.arbitration.pending import Pending
from quorate.arbitration.proposal import Absence, Proposal
from quorate.arbitration.rules import early as pure
from quorate.core.errors import UsageError
from quorate.core.exact import Number


@dataclass(frozen=True, slots=True, init=False)
class FirstToQuorumArbiter(QuorumArbiter):
    """Commits an answer while others are still pending, once that is safe.

    The rule is :mod:`quorate.arbitration.rules.early`. With nobody pending it is weighted
    quorum. Under a normaliser the answer is certain, but not its spelling: that is chosen
    among those that have arrived (:mod:`~quorate.arbitration.arbiters.spelling`).

    Attributes:
        early: ``"certain"``: commits what the full fold would commit, whatever the pending
            say. ``"fast"``: commits on what has arrived; the full fold might refuse.
    """

    early: str

    protocol: ClassVar[str] = "first-to-quorum"
    rule: ClassVar[str] = pure.RULE
    decides_over_pending: ClassVar[bool] = True

    def __init__(
        self,
        quorum: Number = DEFAULT_QUORUM,
        *,
        normalize: Normalize = None,
        early: str = pure.CERTAIN,
    ) -> None:
        """Take the threshold, and when to stop waiting.

        Raises:
            UsageTypeError: ``quorum`` is not a number, or ``normalize`` no way of comparing.
            UsageError: ``quorum`` is not in (0, 1], or a name is unknown.
        """
        # Named: a slotted dataclass is a new class, which bare super() does not know.
        QuorumArbiter.__init__(self, quorum, normalize=normalize)
        if early not in pure.WAYS:
            raise UsageError(f"early is {shown(early)}; it should be {' or '.join(pure.WAYS)}")
        object.__setattr__(self, "early", early)

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the rule was given, as JSON, numbers exact."""
        return {**self._quorum_parameters(), "early": self.early}

    def standing(
        self,
        proposals: Iterable[Proposal],
        absent: Iterable[Absence] = (),
        pending: Iterable[Pending] = (),
    ) -> str:
        """Say where the verdict stands while experts are pending.

        Args:
            proposals: those that have arrived; what it carries as ``.absent`` and
                ``.pending`` is read too.
            absent: absentees so far.
            pending: experts whose answer is open.

        Returns:
            ``"commit"``: :meth:`arbitrate` would commit now. ``"refuse"``: whatever the
            pending say, no answer can reach both thresholds. ``"open"``: neither.

        Raises:
            UsageError, VerificationError: as :meth:`arbitrate`.
        """
        intake = gather(proposals, absent, pending)
        return self._early(intake, count(intake, self.normaliser)).standing

    def folded(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""
        counted = count(intake, self.normaliser)
        early = self._early(intake, counted)
        groups = early.arrived.groups
        weights = {
            **totals(early.arrived),
            "pending_weight": early.pending_weight,
            "roster_weight": early.roster_weight,
        }
        trace = self._trace(counted, weighted_groups(groups, intake, counted), weights)
        trace["early"] = self.early
        trace["pending"] = [one.to_dict() for one in intake.pending]
        shared = {
            **self._common(intake, counted),
            **shares(early.support, early.backing),
            "trace": trace,
        }
        if early.reason is not None:
            leader = groups[0].digest if groups else None
            return Tally(**shared, reason=early.reason, leader=leader)
        winner = winner_of(counted, groups[0])
        trace["groups"][0]["answer"] = intake.answers[winner.digest]
        return Decision(**shared, **answered(winner), dissenting=outside(groups[1:]))

    def _early(self, intake: Intake, counted: Counted) -> pure.EarlyFold:
        return pure.first_to_quorum(
            counted.ballots(),
            counted.away,
            {one.expert_id: one.exact_weight for one in intake.pending},
            self.exact_quorum,
            early=self.early,
        )
