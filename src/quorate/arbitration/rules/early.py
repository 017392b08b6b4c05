"""First to quorum, version 1: when a verdict over answers that are still coming is certain.

Theory of operation. Of those that have answered, let L be the leader's votes and R the
best rival's (0 if there is none); A all their votes and the route weight of the absent;
P the route weight of the experts that are still pending; q the quorum.

``certain`` commits if, and only if::

    L > R + P          no pending vote can bring a rival to the front
    L >= q (A + P)     support, if every pending vote went against the leader
    W(L) >= q W(all)   backing, over the whole roster, the pending in it

The pending can only add to what this counts: one that joins the leader adds as much to its
votes as to the total, any other stays within P. So the full fold, whoever of them answers
whatever, commits the same answer, with at least the support told here; under a normaliser
it may commit another spelling of it, for that with the most votes is. With no pending
weight the first condition falls away, for the order of the groups is final; with nobody
pending this is weighted quorum.

``fast`` asks for L >= q A instead, of what has arrived, and for the same backing. With
q > 1/2 two answers cannot both have the backing, so it never commits another answer than
the full fold does; it may commit one where that would refuse.

A refusal is certain where, even if all the pending joined it with full confidence, no
group could reach both thresholds: (V(G) + P) / (A + P) and (W(G) + P) / W(all) are the
most it can come to. A group that nobody is in yet can come to no more than any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from quorate.arbitration.rules.reasons import PENDING, reaches, shortfall
from quorate.arbitration.rules.weighted import Ballot, Fold, weighted_quorum

RULE: Final = "first-to-quorum/1"

CERTAIN: Final = "certain"
FAST: Final = "fast"
WAYS: Final = (CERTAIN, FAST)
"""When to stop waiting: once the full fold is certain, or once what has arrived suffices."""

COMMIT: Final = "commit"
REFUSE: Final = "refuse"
OPEN: Final = "open"


@dataclass(frozen=True, slots=True)
class EarlyFold:
    """The outcome so far.

    Attributes:
        arrived: the weighted-quorum fold of what has arrived.
        support, backing: the leader's: under ``certain`` the support is a lower bound, under
            ``fast`` that over what has arrived; the backing is over the whole roster.
        pending_weight: P. roster_weight: W(all), the pending in it.
        standing: ``"commit"``, ``"refuse"`` or ``"open"``.
        reason: ``None`` if the leader is committed, else why not.
    """

    arrived: Fold
    support: Fraction
    backing: Fraction
    pending_weight: Fraction
    roster_weight: Fraction
    standing: str
    reason: str | None


def first_to_quorum(
    ballots: Sequence[Ballot],
    absent: Mapping[str, Fraction],
    pending: Mapping[str, Fraction],
    quorum: Fraction,
    *,
    early: str = CERTAIN,
) -> EarlyFold:
    """Fold what has arrived, with the weight of what has not; no order ever matters.

    Args:
        ballots: of those that have answered.
        absent: route weight of each absentee.
        pending: route weight of each expert whose answer is open; in neither of the others.
        quorum: in (0, 1].
        early: one of :data:`WAYS`.

    Raises:
        UsageError: as :func:`~quorate.arbitration.rules.weighted.weighted_quorum`.
    """
    fold = weighted_quorum(ballots, absent, quorum)
    waiting = sum(pending.values(), Fraction(0))
    counted = fold.total_votes + fold.absent_weight
    total = counted + (waiting if early == CERTAIN else Fraction(0))
    roster = fold.roster_weight + waiting
    led, backed, rival = _leading(fold)
    lacks = shortfall(
        some=bool(fold.groups),
        total=total,
        supported=reaches(led, total, quorum),
        backed=reaches(backed, roster, quorum),
    )
    ahead = early == FAST or waiting == 0 or led > rival + waiting
    standing = COMMIT if lacks is None and ahead else OPEN
    if standing == OPEN and waiting == 0:
        standing = REFUSE
    elif standing == OPEN:
        hopeless = _hopeless(fold, counted + waiting, roster, waiting, quorum)
        standing, lacks = (OPEN, PENDING) if hopeless is None else (REFUSE, hopeless)
    return EarlyFold(
        arrived=fold,
        support=led / total if total else Fraction(0),
        backing=backed / roster if roster else Fraction(0),
        pending_weight=waiting,
        roster_weight=roster,
        standing=standing,
        reason=lacks,
    )


def _leading(fold: Fold) -> tuple[Fraction, Fraction, Fraction]:
    """The leader's votes and route weight, and the best rival's votes."""
    if not fold.groups:
        return Fraction(0), Fraction(0), Fraction(0)
    rival = fold.groups[1].votes if len(fold.groups) > 1 else Fraction(0)
    return fold.groups[0].votes, fold.groups[0].weight, rival


def _hopeless(
    fold: Fold, total: Fraction, roster: Fraction, waiting: Fraction, quorum: Fraction
) -> str | None:
    """Why no answer can be committed whatever the pending say; ``None`` where one still can."""
    at_best = [(group.votes, group.weight) for group in fold.groups] or [(Fraction(0),) * 2]
    reasons = [
        shortfall(
            some=True,
            total=total,
            supported=reaches(votes + waiting, total, quorum),
            backed=reaches(weight + waiting, roster, quorum),
        )
        for votes, weight in at_best
    ]
    return None if None in reasons else reasons[0]
