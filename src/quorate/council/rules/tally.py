"""What votes come to, exactly, and whether votes still to come could change it.

Heads are counted against all registered voters; weights are whole multiples of one unit,
so every comparison is of integers. With n voters, f = (n - 1) // 3 and q = (n + f) // 2 + 1:

* **critical**: at least max(q, 2, f + 1) approvals, and approving weight of at least the
  supermajority threshold of the registered weight.
* **routine**: heads that approve or reject are at least ``quorum_fraction`` of all, at least
  max(2, f + 1) approve, and approving weight is more than the majority threshold of the
  weight cast. A tie rejects.
* What is not approved is NO_QUORUM where fewer than ``quorum_fraction`` of the heads approved
  or rejected, and REJECTED otherwise.

A sole voter needs no second approval. The target of a proposal, if it is a voter, has no
vote; it stays in every denominator, where it takes the place of one of the f.

"Certain" is said of the votes that stand. Where votes may change (``allow_vote_change``), a
voter may take back what made it so until the decision is sealed.

Both rules are monotone: no voter makes an approval less likely by approving, so the two
extreme ends, all outstanding voters for it and all against it or silent, bound every other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.proposal import Proposal, TallyResult, Vote
from quorate.council.rules.values import Decision, VoteValue


@dataclass(frozen=True, slots=True)
class Count:
    """Heads and units of weight, as they stand.

    Attributes:
        heads: approving, rejecting, abstaining, outstanding.
        units: likewise.
    """

    heads: tuple[int, int, int, int]
    units: tuple[int, int, int, int]


def count(electorate: Electorate, votes: Mapping[str, Vote], recused: str | None) -> Count:
    """Count the votes that stand; a recused voter is in none of the four."""
    heads, units = [0, 0, 0, 0], [0, 0, 0, 0]
    places = {VoteValue.APPROVE: 0, VoteValue.REJECT: 1, VoteValue.ABSTAIN: 2}
    for voter, weight in electorate.units.items():
        if voter == recused:
            continue
        vote = votes.get(voter)
        place = 3 if vote is None else places[vote.value]
        heads[place] += 1
        units[place] += weight
    return Count((heads[0], heads[1], heads[2], heads[3]), (units[0], units[1], units[2], units[3]))


def approvals_needed(electorate: Electorate, *, critical: bool) -> int:
    """Fewest heads that have to approve."""
    least = electorate.least_approvals
    return max(least, electorate.quorum.size) if critical else least


def certain(
    found: Count, electorate: Electorate, config: ConsensusConfig, *, critical: bool
) -> Decision:
    """What the votes come to if no outstanding vote could change it; else PENDING."""
    approving, rejecting, _, outstanding = found.heads
    for_it, against, _, to_come = found.units
    if _passes(
        electorate, config, (approving, rejecting), (for_it, against + to_come), critical=critical
    ):
        return Decision.APPROVED
    if _passes(
        electorate,
        config,
        (approving + outstanding, rejecting),
        (for_it + to_come, against),
        critical=critical,
    ):
        return Decision.PENDING
    cast = approving + rejecting
    if _participates(electorate, config, cast):
        return Decision.REJECTED
    if _participates(electorate, config, cast + outstanding):
        return Decision.PENDING
    return Decision.NO_QUORUM


def final(
    found: Count, electorate: Electorate, config: ConsensusConfig, *, critical: bool
) -> Decision:
    """What the votes come to when no more can come."""
    if _passes(electorate, config, found.heads[:2], found.units[:2], critical=critical):
        return Decision.APPROVED
    enough = _participates(electorate, config, sum(found.heads[:2]))
    return Decision.REJECTED if enough else Decision.NO_QUORUM


def tally(proposal: Proposal, at: int) -> TallyResult:
    """Tally the votes that stand at a moment; a sealed result is given as it is.

    Args:
        proposal: in any state.
        at: microseconds since 1970; from ``expires_at`` on, nothing is pending.
    """
    if proposal.result is not None:
        return proposal.result
    subject = proposal.subject
    electorate, config, critical = subject.electorate, subject.config, subject.critical
    found = count(electorate, proposal.votes, proposal.recused)
    decision = certain(found, electorate, config, critical=critical)
    by = None if decision is Decision.PENDING else "votes"
    if by is None and is_expired(proposal, at):
        decision, by = final(found, electorate, config, critical=critical), "expiry"
    return result_of(proposal, found, decision, by)


def is_expired(proposal: Proposal, at: int) -> bool:
    """Whether its time is up: so it is from the microsecond ``expires_at`` on."""
    return proposal.subject.expires_at is not None and at >= proposal.subject.expires_at


def result_of(proposal: Proposal, found: Count, decision: Decision, by: str | None) -> TallyResult:
    """Write a result down with all that was counted."""
    subject = proposal.subject
    electorate, config = subject.electorate, subject.config
    approve, reject, abstain, _ = (electorate.weight(units) for units in found.units)
    return TallyResult(
        proposal_id=subject.id,
        decision=decision,
        by=by,
        critical=subject.critical,
        approvals=found.heads[0],
        rejections=found.heads[1],
        abstentions=found.heads[2],
        outstanding=found.heads[3],
        voters=electorate.quorum.n,
        approvals_needed=approvals_needed(electorate, critical=subject.critical),
        approve_weight=approve,
        reject_weight=reject,
        abstain_weight=abstain,
        registered_weight=electorate.weight(electorate.total),
        threshold=(
            config.supermajority_threshold if subject.critical else config.majority_threshold
        ),
    )


def can_pass(
    electorate: Electorate, config: ConsensusConfig, recused: str | None, *, critical: bool
) -> bool:
    """Whether all voters but the recused one could pass a proposal together."""
    found = count(electorate, {}, recused)
    return _passes(electorate, config, (found.heads[3], 0), (found.units[3], 0), critical=critical)


def cancels(electorate: Electorate, config: ConsensusConfig, callers: frozenset[str]) -> bool:
    """Whether these voters are enough to call a proposal off: as many as pass a critical one."""
    units = sum(electorate.units[voter] for voter in callers)
    return _passes(electorate, config, (len(callers), 0), (units, 0), critical=True)


def _passes(
    electorate: Electorate,
    config: ConsensusConfig,
    heads: tuple[int, ...],
    units: tuple[int, ...],
    *,
    critical: bool,
) -> bool:
    """Whether (approving, rejecting) heads and units approve."""
    if heads[0] < approvals_needed(electorate, critical=critical):
        return False
    if critical:
        threshold, whole = config.supermajority_threshold, electorate.total
        return units[0] * threshold.denominator >= threshold.numerator * whole
    threshold, whole = config.majority_threshold, units[0] + units[1]
    above = units[0] * threshold.denominator > threshold.numerator * whole
    return above and _participates(electorate, config, heads[0] + heads[1])


def _participates(electorate: Electorate, config: ConsensusConfig, heads: int) -> bool:
    """Whether so many heads are ``quorum_fraction`` of the registered."""
    fraction = config.quorum_fraction
    return heads * fraction.denominator >= fraction.numerator * electorate.quorum.n
