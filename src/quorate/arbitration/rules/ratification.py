"""Synthesis, version 1: a merged answer is committed by those whose answers it was made of.

Theory of operation. One synthesizer merges; left to itself it could put anything into
everybody's mouth. So the merge is committed only if proposers R that hold the quorum of
the roster's route weight ratify it::

    support = V(R) / (V(all) + W(A))      backing = W(R) / (W(all) + W(A))

Backing decides. Support is told, not asked for: a proposer's confidence was in its own
answer, not in the merged one. Silence does not ratify: whoever did not answer counts
against, as the absentees A do. Only who has a ballot can ratify.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from quorate.arbitration.rules.reasons import NO_PROPOSALS, NOT_RATIFIED, ZERO_TOTAL, reaches
from quorate.arbitration.rules.weighted import Ballot, to_scale

RULE: Final = "synthesis/1"


@dataclass(frozen=True, slots=True)
class Ratified:
    """What the ratifiers hold, and why that does not commit, or ``None`` if it does."""

    support: Fraction
    backing: Fraction
    reason: str | None


def ratified(
    ballots: Sequence[Ballot],
    ratifiers: Collection[str],
    absent: Sequence[Fraction],
    quorum: Fraction,
) -> Ratified:
    """Weigh the ratifiers against the roster.

    Args:
        ballots: one per expert, in any order.
        ratifiers: expert ids; those without a ballot do not count.
        absent: route weights of the absentees.
        quorum: in (0, 1].

    Raises:
        UsageError: the common denominator has more than ``limits.MAX_SCALE_DIGITS`` digits.
    """
    scaled = to_scale(ballots, absent)
    yes = [index for index, ballot in enumerate(ballots) if ballot.expert_id in ratifiers]
    led = sum(scaled.votes[i] for i in yes)
    backed = sum(scaled.weights[i] for i in yes)
    if not ballots:
        reason: str | None = NO_PROPOSALS
    elif scaled.roster == 0:
        reason = ZERO_TOTAL
    else:
        reason = None if reaches(backed, scaled.roster, quorum) else NOT_RATIFIED
    return Ratified(
        support=Fraction(led, scaled.total) if scaled.total else Fraction(0),
        backing=Fraction(backed, scaled.roster) if scaled.roster else Fraction(0),
        reason=reason,
    )
