"""The council's rules once more, plain and slow: sets, and every way the rest may vote."""

from fractions import Fraction
from itertools import product

APPROVE, REJECT, ABSTAIN = "approve", "reject", "abstain"
VALUES = (APPROVE, REJECT, ABSTAIN)
EXPIRY = 100  # no vote counts from here on


class Rules:
    """One proposal's electorate and thresholds."""

    def __init__(
        self,
        weights,
        *,
        critical,
        target=None,
        proposer=None,
        quorum=Fraction(1, 2),
        majority=Fraction(1, 2),
        supermajority=Fraction(2, 3),
        change=False,
    ):
        self.weights = {voter: Fraction(weight) for voter, weight in weights.items()}
        self.critical, self.target, self.proposer = critical, target, proposer
        self.quorum, self.majority, self.supermajority = quorum, majority, supermajority
        self.change = change
        self.n = len(weights)
        self.f = (self.n - 1) // 3
        self.size = next(q for q in range(1, self.n + 1) if 2 * q - self.n > self.f)
        self.least = 1 if self.n == 1 else max(2, self.f + 1)
        self.can_vote = [voter for voter in weights if voter != target]
        self._seen = {}

    def critical_passes(self, approving):
        weight = sum((self.weights[v] for v in approving), Fraction(0))
        enough = len(approving) >= self.size and len(approving) >= self.least
        return enough and weight >= self.supermajority * sum(self.weights.values())

    def end(self, votes):
        """What the votes come to if nobody else ever votes."""
        approving = [v for v in self.can_vote if votes.get(v) == APPROVE]
        rejecting = [v for v in self.can_vote if votes.get(v) == REJECT]
        took_part = Fraction(len(approving) + len(rejecting), self.n) >= self.quorum
        for_it = sum((self.weights[v] for v in approving), Fraction(0))
        against = sum((self.weights[v] for v in rejecting), Fraction(0))
        if self.critical:
            passes = self.critical_passes(approving)
        else:
            passes = (
                took_part
                and len(approving) >= self.least
                and for_it > self.majority * (for_it + against)
            )
        if passes:
            return "approved"
        return "rejected" if took_part else "no_quorum"

    def certain(self, votes):
        """What they come to however the rest votes, or pending."""
        key = tuple(votes.get(v) for v in self.can_vote)
        if key not in self._seen:
            rest = [v for v in self.can_vote if v not in votes]
            # To abstain is to take no part, as silence is.
            ends = {
                self.end({**votes, **dict(zip(rest, more, strict=True))})
                for more in product((APPROVE, REJECT, None), repeat=len(rest))
            }
            self._seen[key] = ends.pop() if len(ends) == 1 else "pending"
        return self._seen[key]

    def tally(self, votes, *, late):
        found = self.certain(votes)
        return self.end(votes) if found == "pending" and late else found


REFUSED = "refused"


class State:
    """One proposal as the prose has it."""

    def __init__(self, votes=None, calls=(), status="open", decision="pending", late=False):
        self.votes, self.calls = dict(votes or {}), frozenset(calls)
        self.status, self.decision, self.late = status, decision, late

    def but(self, **changed):
        return State(**{**self.__dict__, **changed})

    def seen(self):
        return (self.status, self.decision, self.votes, self.calls)


def step(rules, state, operation):
    """The state after, or REFUSED."""
    name, *rest = operation
    if name == "wait":
        return state.but(late=True)
    if name in ("vote", "cancel"):
        return (vote if name == "vote" else cancel)(rules, state, *rest)
    if name in ("tally", "close"):
        if state.status != "open":
            return REFUSED
        found = rules.tally(state.votes, late=state.late)
        if found == "pending":
            return REFUSED
        by_time = state.late and rules.certain(state.votes) == "pending"
        lost = "expired" if by_time else "refused"
        return state.but(decision=found, status="approved" if found == "approved" else lost)
    told = {
        ("begin", "approved"): "executing",
        ("finish executed", "executing"): "executed",
        ("finish failed", "executing"): "failed",
        ("finish unknown", "executing"): "unknown",
        ("resolve executed", "executing"): "resolved as executed",
        ("resolve failed", "executing"): "resolved as failed",
        # Who began it is heard late too: one that agrees or cannot tell changes nothing.
        ("finish executed", "resolved as executed"): "executed",
        ("finish failed", "resolved as executed"): "unknown",
        ("finish unknown", "resolved as executed"): "executed",
        ("finish executed", "resolved as failed"): "unknown",
        ("finish failed", "resolved as failed"): "failed",
        ("finish unknown", "resolved as failed"): "failed",
        ("resolve executed", "unknown"): "executed",
        ("resolve failed", "unknown"): "failed",
    }.get((name, state.status))
    return REFUSED if told is None else state.but(status=told)


def vote(rules, state, voter, value):
    if state.status != "open" or state.late or voter not in rules.can_vote:
        return REFUSED
    if voter in state.votes and not rules.change:
        return REFUSED
    return state.but(votes={**state.votes, voter: value})


def cancel(rules, state, voter):
    running = state.status == "open" and not state.late
    if not (running or state.status == "approved") or voter not in rules.weights:
        return REFUSED
    own = voter == rules.proposer and not state.votes
    if voter in state.calls or (voter == rules.target and not own):
        return REFUSED
    calls = state.calls | {voter}
    if own or rules.critical_passes(sorted(calls)):
        return state.but(calls=calls, status="cancelled", decision="rejected")
    return state.but(calls=calls)
