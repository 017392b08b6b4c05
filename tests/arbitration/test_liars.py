"""Two of seven lie, as sure as they like: nothing is committed without an honest backer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosters import waiting

from quorate.arbitration import (
    Decision,
    FirstToQuorumArbiter,
    Merge,
    Proposal,
    RankedRunoffArbiter,
    SynthesisArbiter,
    WeightedQuorumArbiter,
    gather,
)
from quorate.core.canonical import digest

SURE = st.integers(0, 10).map(lambda tenth: tenth / 10)
HONEST = st.lists(st.tuples(st.permutations("abc"), SURE), min_size=5, max_size=5)
LIARS = st.lists(st.permutations(["lie", "a", "b", "c"]), min_size=1, max_size=2)


def roster(honest, liars):
    """Honest experts with any confidence, and liars that claim certainty for one lie."""
    sent = [
        Proposal(f"h{i}", ranking[0], sure, 1, ranking=list(ranking))
        for i, (ranking, sure) in enumerate(honest)
    ]
    for i, ranking in enumerate(liars):
        lied = ["lie", *(o for o in ranking if o != "lie")]
        sent.append(Proposal(f"l{i}", "lie", 1.0, 1, ranking=lied))
    return sent


@given(HONEST, LIARS, st.sampled_from([0.34, 0.5, 0.66]), st.sets(st.integers(0, 6)))
def test_no_protocol_commits_what_no_honest_expert_backs(honest, liars, quorum, late):
    # Below a third of seven, two liars would have the weight for themselves.
    sent = roster(honest, liars)
    backers = {}
    for arbiter in (WeightedQuorumArbiter(quorum), RankedRunoffArbiter(quorum)):
        backers[arbiter] = arbiter.fold(gather(sent))
    here = [p for i, p in enumerate(sent) if i not in late]
    gone = waiting([(p.expert_id, 0, 0, 1) for i, p in enumerate(sent) if i in late])
    for early in ("certain", "fast"):
        arbiter = FirstToQuorumArbiter(quorum, early=early)
        backers[arbiter] = arbiter.fold(gather(here, (), gone))
    for outcome in backers.values():
        if isinstance(outcome, Decision):
            assert any(name.startswith("h") for name in outcome.trace["groups"][0]["members"])


@given(HONEST, LIARS, st.sampled_from([0.34, 0.5, 0.66]), st.sets(st.integers(0, 4)))
def test_no_merge_is_committed_that_no_honest_expert_ratified(honest, liars, quorum, ratified):
    sent = roster(honest, liars)
    yes = [f"h{i}" for i in ratified] + [f"l{i}" for i in range(len(liars))]
    merge = Merge("synthesizer", "lie", [digest("lie")], 0, yes)
    outcome = SynthesisArbiter(quorum).fold(_with(gather(sent), merge))
    if isinstance(outcome, Decision):
        assert ratified
    assert isinstance(outcome, Decision) == (len(yes) >= quorum * len(sent))


def _with(intake, merge):
    from dataclasses import replace

    return replace(intake, merge=merge)


@pytest.mark.parametrize("early", ["certain", "fast"])
def test_two_liars_that_come_first_are_not_believed(early):
    lies = [Proposal(f"l{i}", "lie", 1.0, 1) for i in range(2)]
    later = waiting([(f"h{i}", 0, 0, 1) for i in range(5)])
    outcome = FirstToQuorumArbiter(early=early).fold(gather(lies, (), later))
    assert outcome.reason == "pending"
