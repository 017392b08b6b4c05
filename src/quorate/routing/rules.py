"""The rules of one routing round: who may vote, what a vote counts for, when it is over.

Theory of operation.

1. A round is opened with its ballot: the roster, the quorum over that roster, and the
   proposals that may win. None of the three ever changes.
2. Only members vote; a stranger's vote is refused with its name and changes nothing.
3. A member has one vote. The same vote again changes nothing. A second, different one is
   equivocation: the pair is kept, the vote is withdrawn, and nothing that member says in
   this round counts any more.
4. A vote for a proposal that may not win is void: it counts for nobody, and it is the
   member's one vote all the same.
5. The round is decided as soon as one proposal has ``quorum.size`` standing votes, and
   what is decided stays decided: votes that were counted are not withdrawn after it. The
   equivocation of a member found later is still kept.
6. A closed round takes no more votes; it still keeps equivocations.

Why an order of arrival may decide or not, but never differently: two decided proposals
need two quorums, any two quorums share more than f members, and each shared member voted
for both. So more than f members equivocated, which is more than the roster bears.

A proposal is named here by its digest; what it means is the business of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from quorate.core.errors import MisbehaviourError, UsageError
from quorate.core.quorum import Quorum

Key = str | int
"""What names an expert; never a bool, which Python holds equal to 0 or 1."""

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_NO_PAIRS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ballot:
    """Who votes, on what, and how many must agree; shared by every round that asks the same.

    Attributes:
        roster: ids of the members, sorted, each once.
        quorum: over ``len(roster)``.
        experts: proposal digest -> expert key, for every proposal that may win.
        members: ``roster`` as a set.
        digests: ``experts`` the other way round.
    """

    roster: tuple[str, ...]
    quorum: Quorum
    experts: Mapping[str, Key]
    members: frozenset[str] = field(init=False, repr=False)
    digests: Mapping[Key, str] = field(init=False, repr=False)

    def __init__(
        self, roster: Sequence[str], experts: Mapping[str, Key], faults: int | None = None
    ) -> None:
        """Sort the roster and reckon its quorum.

        Args:
            roster: 1 to ``limits.MAX_REPLICAS`` different ids, in any order.
            experts: proposal digest -> expert key, at least one.
            faults: how many members may lie; the greatest bearable number if ``None``.

        Raises:
            UsageError: no member, a member twice, no expert, or more faults than bearable.
        """
        ids = tuple(sorted(roster))
        members = frozenset(ids)
        if len(members) != len(ids):
            twice = next(a for a, b in pairwise(ids) if a == b)
            raise UsageError(f"the replica {twice!r} stands twice in the roster; give each its id")
        if not experts:
            raise UsageError("no expert to vote for; name at least one")
        object.__setattr__(self, "roster", ids)
        object.__setattr__(self, "quorum", Quorum(len(ids), faults))
        object.__setattr__(self, "experts", MappingProxyType(dict(experts)))
        object.__setattr__(self, "members", members)
        digests = {key: proposal for proposal, key in experts.items()}
        object.__setattr__(self, "digests", MappingProxyType(digests))


@dataclass(frozen=True, slots=True)
class Round:
    """One round as it stands; every vote makes a new one.

    Attributes:
        session_id: the session it belongs to.
        number: 1 for the first round of the session.
        input_digest: 64 hex digits that name what was voted on.
        ballot: roster, quorum and the proposals that may win.
        votes: replica -> digest of the proposal it stands behind, void ones included.
        equivocations: replica -> the two different proposals it voted for, sorted.
        decided: digest of the decided proposal, or ``None``.
        closed: whether it takes no more votes.
    """

    session_id: str
    number: int
    input_digest: str
    ballot: Ballot
    votes: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    equivocations: Mapping[str, tuple[str, str]] = field(default_factory=lambda: _NO_PAIRS)
    decided: str | None = None
    closed: bool = False

    @property
    def roster(self) -> tuple[str, ...]:
        """Ids of the members, sorted."""
        return self.ballot.roster

    @property
    def quorum(self) -> Quorum:
        """Quorum arithmetic of the roster."""
        return self.ballot.quorum


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a round came to.

    Attributes:
        consensus: whether a proposal was decided.
        leader: digest of the decided proposal, or else of the one with most standing
            votes (the smaller digest on a tie); ``None`` where no valid vote stands.
        votes: standing votes behind ``leader``.
        dissenting: members whose standing vote is for something else, void ones
            included, sorted; empty without consensus.
        void: members whose standing vote counts for nobody, sorted.
        equivocating: members that voted twice, differently, sorted.
    """

    consensus: bool
    leader: str | None
    votes: int
    dissenting: tuple[str, ...]
    void: tuple[str, ...]
    equivocating: tuple[str, ...]


def cast(state: Round, replica: str, proposal: str) -> Round:
    """Take one vote: the round after it.

    Raises:
        MisbehaviourError: ``replica`` is no member; names it.
        UsageError: the round is closed and the member had no vote in it.
    """
    return cast_all(state, ((replica, proposal),))


def cast_all(state: Round, casts: Iterable[tuple[str, str]], *, closing: bool = False) -> Round:
    """Take votes in the order given, as :func:`cast` does one by one, in linear time.

    If any vote is refused, none is taken.

    Args:
        state: the round before.
        casts: pairs of a member's id and the digest of its proposal.
        closing: whether the round is closed after them.

    Raises:
        MisbehaviourError: a stranger among the voters; names it.
        UsageError: the round is closed and a member had no vote in it.
    """
    ballot, size, decided = state.ballot, state.ballot.quorum.size, state.decided
    votes, pairs = dict(state.votes), dict(state.equivocations)
    counts = _counts(votes.values()) if votes else {}
    for replica, proposal in casts:
        if replica not in ballot.members:
            raise _stranger(state, replica, proposal)
        standing = votes.get(replica)
        if standing == proposal or replica in pairs:
            continue
        if standing is not None:
            pairs[replica] = (min(standing, proposal), max(standing, proposal))
            if decided is None and not state.closed:
                del votes[replica]
                counts[standing] -= 1
        elif state.closed:
            raise UsageError(
                f"round {state.number} of session {state.session_id!r} is closed; "
                f"the vote of {replica!r} comes too late, open a new round"
            )
        else:
            votes[replica] = proposal
            counts[proposal] = count = counts.get(proposal, 0) + 1
            if decided is None and count >= size and proposal in ballot.experts:
                decided = proposal
    return Round(
        state.session_id,
        state.number,
        state.input_digest,
        ballot,
        MappingProxyType(votes),
        MappingProxyType(pairs) if pairs else _NO_PAIRS,
        decided,
        closing or state.closed,
    )


def close(state: Round) -> Round:
    """End the voting: the same round, closed."""
    return state if state.closed else replace(state, closed=True)


def verdict(state: Round) -> Verdict:
    """Say what the round came to, as it stands."""
    votes, experts = state.votes, state.ballot.experts
    counts = _counts(votes.values())
    leader = state.decided
    if leader is None:
        valid = [(-count, proposal) for proposal, count in counts.items() if proposal in experts]
        leader = min(valid)[1] if valid else None
    consensus = state.decided is not None
    behind = 0 if leader is None else counts[leader]
    others = [(r, vote) for r, vote in votes.items() if vote != leader]
    return Verdict(
        consensus,
        leader,
        behind,
        tuple(sorted([r for r, _ in others])) if consensus else (),
        tuple(sorted([r for r, vote in others if vote not in experts])),
        tuple(sorted(state.equivocations)),
    )


def _counts(proposals: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for proposal in proposals:
        counts[proposal] = counts.get(proposal, 0) + 1
    return counts


def _stranger(state: Round, replica: str, proposal: str) -> MisbehaviourError:
    return MisbehaviourError(
        str(replica),
        f"not a member of round {state.number} of session {state.session_id!r}; "
        "its vote was refused and nothing changed",
        evidence={"replica": replica, "proposal": proposal},
    )
