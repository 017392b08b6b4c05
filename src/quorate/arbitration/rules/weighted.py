"""Weighted quorum, version 1: the fold from ballots to a verdict, pure and exact.

Theory of operation. Expert i has route weight w_i (the plan's trust) and confidence
c_i (its own claim); its vote is v_i = w_i * c_i. Ballots with one digest form a group
G. With A the absentees::

    V(G)    = sum of v over G             W(G) = sum of w over G
    support = V(G) / (V(all) + W(A))      backing = W(G) / (W(all) + W(A))

The winner is the first group of one total order: greater V(G); then greater highest
single vote; then the smaller expert id, by code point, among the holders of that
highest vote. It is committed if, and only if, support and backing both reach the quorum.
What is committed is a payload of the group; where a normaliser joined several spellings,
the one with the most votes (:mod:`quorate.arbitration.arbiters.spelling`).

Why backing. Confidence is the expert's own claim, so whoever claims 1.0 votes at full
weight while honest experts that are less sure do not: at equal weights liars with 55%
of the weight take 71% of the votes against honest confidence of 0.5. Backing asks the
plan's weights alone, which no expert chooses: nothing commits without a quorum of the
roster's weight behind it, whatever is claimed.

Why absentees count at full weight. What they would have said is unknown; the fold takes
them as if they had voted against the winner with full confidence. So a commit stays a
commit whichever way they would have voted.

One expert has one ballot. Equal ballots count once; two that differ are equivocation,
and all of that expert's are void: it is an absentee of its greatest weight.

All numbers are brought to common denominators; sums and comparisons are of integers.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

from quorate.arbitration.rules.reasons import reaches, shortfall
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.exact import common_scale

RULE: Final = "weighted-quorum/1"

_SCALE_BOUND = 10**limits.MAX_SCALE_DIGITS


@dataclass(frozen=True, slots=True)
class Ballot:
    """What the fold needs of one proposal.

    Attributes:
        expert_id: who.
        digest: of the answer.
        weight: route weight, >= 0.
        confidence: 0 to 1.
        rest: whatever else tells two proposals of one expert apart.
    """

    expert_id: str
    digest: str
    weight: Fraction
    confidence: Fraction
    rest: Hashable = None


@dataclass(frozen=True, slots=True)
class Void:
    """An expert that sent different ballots, and its greatest route weight."""

    expert_id: str
    weight: Fraction
    ballots: tuple[Ballot, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Ballots of one digest.

    Attributes:
        digest: of the answer they share.
        votes: V(G).
        weight: W(G).
        top_vote: highest single vote.
        top: smallest expert id among those that hold ``top_vote``.
        members: expert ids, sorted.
    """

    digest: str
    votes: Fraction
    weight: Fraction
    top_vote: Fraction
    top: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """The outcome of a fold.

    Attributes:
        groups: in the total order, the leader first; empty if there was nothing to fold.
        void: experts that equivocated, sorted by id.
        support, backing: the leader's; 0 where there is no leader or the total is zero.
        total_votes: V(all). absent_weight: W(A), the void among A.
        roster_weight: W(all) + W(A).
        reason: ``None`` if the leader is committed, else why not.
    """

    groups: tuple[Group, ...]
    void: tuple[Void, ...]
    support: Fraction
    backing: Fraction
    total_votes: Fraction
    absent_weight: Fraction
    roster_weight: Fraction
    reason: str | None


class Votes(Protocol):
    """What a vote is made of."""

    @property
    def weight(self) -> Fraction:
        """Route weight."""

    @property
    def confidence(self) -> Fraction:
        """Confidence, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """Votes and weights as integers.

    Attributes:
        votes: over ``scale``, one for each ballot.
        weights: over ``weight_scale``, likewise.
        gone: weight of the absent, over ``weight_scale``.
        scale, weight_scale: the denominators; the second divides the first.
        total: all votes and the weight of the absent, over ``scale``.
        roster: all weights, over ``weight_scale``.
    """

    votes: list[int]
    weights: list[int]
    gone: int
    scale: int
    weight_scale: int
    total: int
    roster: int


def to_scale(ballots: Sequence[Votes], absent: Sequence[Fraction]) -> Scaled:
    """Bring votes and weights to common denominators.

    Raises:
        UsageError: that of the votes has more than ``limits.MAX_SCALE_DIGITS`` digits.
    """
    weights, weight_scale = common_scale([*(ballot.weight for ballot in ballots), *absent])
    sureness, sure_scale = common_scale([ballot.confidence for ballot in ballots])
    scale = weight_scale * sure_scale
    if scale >= _SCALE_BOUND:
        raise UsageError(
            "the route weights and confidences share no denominator of at most "
            f"{limits.MAX_SCALE_DIGITS} digits; write the route weights as decimals"
        )
    here = weights[: len(ballots)]
    votes = [weight * sure for weight, sure in zip(here, sureness, strict=True)]
    gone = sum(weights[len(ballots) :])
    return Scaled(
        votes=votes,
        weights=here,
        gone=gone,
        scale=scale,
        weight_scale=weight_scale,
        total=sum(votes) + gone * sure_scale,
        roster=sum(weights),
    )


def settle(ballots: Sequence[Ballot]) -> tuple[list[Ballot], tuple[Void, ...]]:
    """One ballot per expert: equal ones count once, differing ones are void.

    Returns:
        The ballots that count, sorted by expert id, and the equivocators, likewise.
    """
    by_expert: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        sent = by_expert.setdefault(ballot.expert_id, [])
        if not sent or ballot not in sent:
            sent.append(ballot)
    kept: list[Ballot] = []
    void: list[Void] = []
    for expert_id in sorted(by_expert):
        sent = by_expert[expert_id]
        if len(sent) == 1:
            kept.append(sent[0])
        else:
            ordered = sorted(sent, key=lambda b: (b.digest, b.confidence, b.weight, repr(b.rest)))
            void.append(Void(expert_id, max(b.weight for b in sent), tuple(ordered)))
    return kept, tuple(void)


def weighted_quorum(
    ballots: Sequence[Ballot], absent: Mapping[str, Fraction], quorum: Fraction
) -> Fold:
    """Fold ballots and absentees into a verdict; the order of both never matters.

    Args:
        ballots: in any order.
        absent: route weight of each absentee; no expert is both here and in ``ballots``.
        quorum: in (0, 1].

    Raises:
        UsageError: the common denominator has more than ``limits.MAX_SCALE_DIGITS`` digits.
    """
    kept, void = settle(ballots)
    scaled = to_scale(kept, [*absent.values(), *(item.weight for item in void)])
    votes, here, gone = scaled.votes, scaled.weights, scaled.gone
    scale, weight_scale = scaled.scale, scaled.weight_scale
    total, roster = scaled.total, scaled.roster
    by_digest: dict[str, list[int]] = {}
    for index, ballot in enumerate(kept):
        by_digest.setdefault(ballot.digest, []).append(index)
    # No two groups rank alike, so the groups themselves are never compared.
    order = sorted((_rank(group, kept, votes), group) for group in by_digest.values())
    led = -order[0][0][0] if order else 0
    backed = sum([here[i] for i in order[0][1]]) if order else 0
    return Fold(
        groups=tuple([_group(rank, g, kept, here, (scale, weight_scale)) for rank, g in order]),
        void=void,
        support=Fraction(led, total) if total else Fraction(0),
        backing=Fraction(backed, roster) if roster else Fraction(0),
        total_votes=Fraction(sum(votes), scale),
        absent_weight=Fraction(gone, weight_scale),
        roster_weight=Fraction(roster, weight_scale),
        reason=shortfall(
            some=bool(order),
            total=total,
            supported=reaches(led, total, quorum),
            backed=reaches(backed, roster, quorum),
        ),
    )


def _top(group: Sequence[int], kept: Sequence[Ballot], votes: Sequence[int]) -> tuple[int, str]:
    """The order within a group: greatest vote, then smallest id."""
    return min([(-votes[i], kept[i].expert_id) for i in group])


def _rank(
    group: Sequence[int], kept: Sequence[Ballot], votes: Sequence[int]
) -> tuple[int, int, str]:
    """The total order of groups, the first of which leads; no two groups rank alike."""
    return (-sum([votes[i] for i in group]), *_top(group, kept, votes))


def _group(
    rank: tuple[int, int, str],
    group: Sequence[int],
    kept: Sequence[Ballot],
    weights: Sequence[int],
    scales: tuple[int, int],
) -> Group:
    scale, weight_scale = scales
    behind, top_vote, top = rank
    return Group(
        digest=kept[group[0]].digest,
        votes=Fraction(-behind, scale),
        weight=Fraction(sum([weights[i] for i in group]), weight_scale),
        top_vote=Fraction(-top_vote, scale),
        top=top,
        members=tuple([kept[i].expert_id for i in group]),
    )
