"""Ranked runoff, version 1: an instant runoff that commits only with a quorum behind it.

Theory of operation. Each expert ranks options; its ballot has the weight of its vote,
v = w c. The runoff (:mod:`~quorate.arbitration.rules.runoff`) goes on until two options
remain. A ballot ends with whichever of these it ranks higher, or is exhausted. With B the
ballots that end with the winner::

    support = V(B) / (V(all) + W(A))      backing = W(B) / (W(all) + W(A))

V(all) holds the exhausted ballots too, A are the absentees. The winner is committed if,
and only if, both reach the quorum: backing for the reason it is asked for in weighted
quorum, that no expert chooses its own weight.

A runoff between n options has up to n - 1 rounds, and so n^2 / 2 tallies. Of a long one
the tallies of the last rounds are told: all take part, and each follows from the ballots.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quorate.arbitration.rules.reasons import reaches, shortfall
from quorate.arbitration.rules.runoff import RULE, Round, instant_runoff
from quorate.arbitration.rules.weighted import Group, Scaled, to_scale
from quorate.core import limits

__all__ = ["RULE", "RankedBallot", "RankedFold", "RankedRound", "ranked_runoff"]


@dataclass(frozen=True, slots=True)
class RankedBallot:
    """What the fold needs of one proposal.

    Attributes:
        expert_id: who; each has one ballot.
        ranking: options, best first, each once; not empty.
        weight: route weight, >= 0.
        confidence: 0 to 1.
    """

    expert_id: str
    ranking: tuple[int, ...]
    weight: Fraction
    confidence: Fraction


@dataclass(frozen=True, slots=True)
class RankedRound:
    """One round: votes by option that had any, who left after it, votes exhausted so far.

    Its tally is ``None`` where it and those after it are more than
    ``limits.MAX_ROUND_TALLIES`` votes together.
    """

    tally: dict[int, Fraction] | None
    eliminated: int | None
    exhausted: Fraction


@dataclass(frozen=True, slots=True)
class RankedFold:
    """The outcome of a fold.

    Attributes:
        winner: the option that won the runoff; ``None`` if there was no ballot.
        groups: the ballots as they stood at the end, by option, the winner's first; a
            group's ``digest`` is empty, and its ``top`` has the highest vote among those
            that ranked the option first, or, if nobody did, among all in it.
        options: the option of each group.
        rounds: first to last.
        exhausted: ids of those whose ballots ended with no option, sorted.
        condorcet: the option that beats every other one to one, if there is one.
        support, backing: the winner's.
        total_votes: V(all). absent_weight: W(A). roster_weight: W(all) + W(A).
        reason: ``None`` if the winner is committed, else why not.
    """

    winner: int | None
    groups: tuple[Group, ...]
    options: tuple[int, ...]
    rounds: tuple[RankedRound, ...]
    exhausted: tuple[str, ...]
    condorcet: int | None
    support: Fraction
    backing: Fraction
    total_votes: Fraction
    absent_weight: Fraction
    roster_weight: Fraction
    reason: str | None


def ranked_runoff(
    ballots: Sequence[RankedBallot],
    absent: Mapping[str, Fraction],
    options: int,
    quorum: Fraction,
) -> RankedFold:
    """Fold ranked ballots and absentees into a verdict; the order of both never matters.

    Args:
        ballots: one per expert, in any order; they rank options 0 to ``options`` - 1.
        absent: route weight of each absentee.
        options: how many there are, in the order that breaks ties, the greater one out first.
        quorum: in (0, 1].

    Raises:
        UsageError: the common denominator has more than ``limits.MAX_SCALE_DIGITS`` digits.
    """
    cast = sorted(ballots, key=lambda ballot: ballot.expert_id)
    scaled = to_scale(cast, list(absent.values()))
    result = instant_runoff(
        [list(ballot.ranking) for ballot in cast], scaled.votes, options=list(range(options))
    )
    rounds = tuple(_told(result.rounds, scaled.scale))
    last = dict(_numbered(result.rounds[-1].tally)) if rounds else {}
    winner = _in_front(result.winner, last) if cast else None
    ends = _ends(cast, last)
    order = sorted({o for o in ends if o is not None}, key=lambda o: (o != winner, -last[o]))
    led = sum(v for v, end in zip(scaled.votes, ends, strict=True) if end == winner)
    backed = sum(w for w, end in zip(scaled.weights, ends, strict=True) if end == winner)
    condorcet = result.condorcet_winner
    return RankedFold(
        winner=winner,
        groups=tuple(_group(option, cast, ends, scaled) for option in order),
        options=tuple(order),
        rounds=rounds,
        exhausted=tuple(b.expert_id for b, end in zip(cast, ends, strict=True) if end is None),
        condorcet=None if condorcet is None else int(condorcet),
        support=Fraction(led, scaled.total) if scaled.total else Fraction(0),
        backing=Fraction(backed, scaled.roster) if scaled.roster else Fraction(0),
        total_votes=Fraction(sum(scaled.votes), scaled.scale),
        absent_weight=Fraction(scaled.gone, scaled.weight_scale),
        roster_weight=Fraction(scaled.roster, scaled.weight_scale),
        reason=shortfall(
            some=bool(cast),
            total=scaled.total,
            supported=reaches(led, scaled.total, quorum),
            backed=reaches(backed, scaled.roster, quorum),
        ),
    )


def _in_front(winner: Any, last: Mapping[int, object]) -> int | None:
    """The option that a verdict is about: the winner, or of equals at zero the smallest.

    With no votes nobody wins, but a refusal still shows its first option in front.
    """
    return min(last, default=None) if winner is None else int(winner)


def _told(rounds: Sequence[Round], scale: int) -> Iterator[RankedRound]:
    """The rounds, first to last, with the tallies of as many of the last as are told."""
    left = limits.MAX_ROUND_TALLIES
    told = len(rounds)
    while told and (left := left - sum(map(bool, rounds[told - 1].tally.values()))) >= 0:
        told -= 1
    for number, one in enumerate(rounds):
        yield RankedRound(
            None
            if number < told
            else {o: Fraction(v) / scale for o, v in _numbered(one.tally) if v},
            None if one.eliminated is None else int(one.eliminated),
            Fraction(one.exhausted) / scale,
        )


def _numbered(tally: Mapping[Any, Any]) -> Iterator[tuple[int, int | Fraction]]:
    """A tally of the runoff, whose options are numbers here."""
    return iter(tally.items())


def _ends(ballots: Sequence[RankedBallot], standing: Mapping[int, object]) -> list[int | None]:
    """The option that each ballot ends with."""
    return [next((o for o in ballot.ranking if o in standing), None) for ballot in ballots]


def _group(
    option: int, ballots: Sequence[RankedBallot], ends: Sequence[int | None], scaled: Scaled
) -> Group:
    mine = [index for index, end in enumerate(ends) if end == option]
    top = min(
        mine,
        key=lambda i: (ballots[i].ranking[0] != option, -scaled.votes[i], ballots[i].expert_id),
    )
    return Group(
        digest="",
        votes=Fraction(sum(scaled.votes[i] for i in mine), scaled.scale),
        weight=Fraction(sum(scaled.weights[i] for i in mine), scaled.weight_scale),
        top_vote=Fraction(scaled.votes[top], scaled.scale),
        top=ballots[top].expert_id,
        members=tuple(ballots[i].expert_id for i in mine),
    )
