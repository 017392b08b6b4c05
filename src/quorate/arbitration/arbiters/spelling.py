"""Which of a winning group's spellings is committed, where a normaliser joined several.

Theory of operation. Under a normaliser one group may hold payloads of different bytes. The
bytes committed are chosen by the total order of groups, applied within the group: the
spelling with the greatest sum of votes, then with the greatest single vote, then whose
holder of that vote has the smaller id. So who claims the most confidence does not choose
the bytes while a majority of the group's votes agrees on others.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from quorate.arbitration import rules
from quorate.arbitration.counted import Counted
from quorate.arbitration.proposal import Proposal

# The order of groups does not depend on the quorum; a fold asks for one.
_ANY_QUORUM = Fraction(1)


def spelled_by(counted: Counted, group: rules.Group, said: Mapping[str, str] | None = None) -> str:
    """Id of the member whose spelling of the group's answer is committed.

    Args:
        counted: what the fold weighed.
        group: the winning group.
        said: digest of the spelling of each member; ``None`` for those of the payloads.
    """
    here = frozenset(group.members)
    members = [proposal for proposal in counted.proposals if proposal.expert_id in here]
    spelling = {p.expert_id: p.digest for p in members} if said is None else said
    if len({spelling[name] for name in group.members}) == 1:
        return group.top
    ballots = [
        rules.Ballot(p.expert_id, spelling[p.expert_id], p.exact_weight, p.exact_confidence)
        for p in members
    ]
    return rules.weighted_quorum(ballots, {}, _ANY_QUORUM).groups[0].top


def winner_of(counted: Counted, group: rules.Group) -> Proposal:
    """The proposal whose payload is committed for a group of payloads."""
    name = spelled_by(counted, group)
    return next(one for one in counted.proposals if one.expert_id == name)
