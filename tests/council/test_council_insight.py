"""Who votes like whom, against plain counting."""

from itertools import combinations

import pytest
from council_tools import council
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError
from quorate.council import Bloc, ConsensusConfig, bounds
from quorate.council.insight import Agreement, blocs

SPOKEN = ("approve", "reject")


def history(table):
    """A council whose proposals were voted on as the table says, a row each."""
    c = council(config=ConsensusConfig(max_active_proposals=100))
    for row in table:
        p = c.propose("a", "restrict", "x")
        for voter, value in row.items():
            c.vote(p, voter, value)
    return c


TABLES = st.lists(
    st.dictionaries(st.sampled_from("abcde"), st.sampled_from([*SPOKEN, "abstain"])), max_size=8
)


@settings(max_examples=40)
@given(TABLES, st.sampled_from([0.5, 0.75, 1]), st.integers(1, 3))
def test_agreement_and_blocs_agree_with_plain_counting(table, threshold, min_shared):
    c = history(table)
    matrix = c.voter_agreement_matrix()
    near = {}
    for one, other in combinations("abcde", 2):
        shared = [r for r in table if r.get(one) in SPOKEN and r.get(other) in SPOKEN]
        same = sum(row[one] == row[other] for row in shared)
        rate = same / len(shared) if shared else None
        assert matrix[one][other] == matrix[other][one] == rate
        near[one, other] = len(shared) >= min_shared and same >= threshold * len(shared)
    together = [
        set(group)
        for size in range(2, 6)
        for group in combinations("abcde", size)
        if all(near[pair] for pair in combinations(group, 2))
    ]
    largest = [group for group in together if not any(group < other for other in together)]
    found = c.detect_voting_blocs(threshold, min_shared)
    assert sorted(bloc.voters for bloc in found) == sorted(tuple(sorted(g)) for g in largest)
    assert all(bloc.shared >= min_shared and bloc.agreement >= threshold for bloc in found)


def test_a_bloc_says_how_much_it_rests_on():
    rows = [{"a": "approve", "b": "approve", "c": "reject", "d": "reject"}] * 3
    rows += [{"a": "reject", "b": "reject", "c": "approve"}, {"e": "abstain"}]
    c = history(rows)
    assert c.detect_voting_blocs() == [Bloc(("a", "b"), 4, 1.0), Bloc(("c", "d"), 3, 1.0)]
    assert c.detect_voting_blocs(min_shared=4) == [Bloc(("a", "b"), 4, 1.0)]
    matrix = c.voter_agreement_matrix()
    assert (matrix["a"]["b"], matrix["a"]["c"], matrix["a"]["e"]) == (1.0, 0.0, None)
    assert matrix["e"]["e"] == 1.0


@pytest.mark.parametrize("wrong", [{"threshold": 0}, {"threshold": 1.1}, {"threshold": "1"},
                                   {"min_shared": 0}, {"min_shared": 1.0}])  # fmt: skip
def test_arguments_out_of_range_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        council().detect_voting_blocs(**wrong)


def test_more_blocs_than_can_be_read_are_refused():
    """Three voters out of each of seven parties: every choice of one from each is a bloc."""
    voters = [f"v{n:02}" for n in range(21)]
    found = {
        (one, other): Agreement(int(int(one[1:]) // 3 != int(other[1:]) // 3), 1)
        for one, other in combinations(voters, 2)
    }
    assert bounds.MAX_BLOCS < 3**7
    with pytest.raises(UsageError, match="more than 1000 blocs"):
        blocs(voters, found, 1, 1)
    assert len(blocs(voters[:18], {p: a for p, a in found.items() if p[1] < "v18"}, 1, 1)) == 3**6
