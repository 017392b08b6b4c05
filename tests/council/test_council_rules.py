"""The rules against their twin: every state, every sequence, every order."""

from fractions import Fraction
from itertools import chain, combinations, combinations_with_replacement, permutations, product

import pytest
from council_tools import act, proposal_under, seen
from council_twin import ABSTAIN, APPROVE, REFUSED, REJECT, VALUES, Rules, State, step
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import MisbehaviourError, UsageError
from quorate.council import ConsensusConfig, Decision, ProposalStatus, Vote, VoteValue
from quorate.council.rules import machine, tally
from quorate.council.rules.electorate import Electorate, check_blocking, weights_of
from quorate.council.rules.machine import TABLE, Event, Refusal
from quorate.council.rules.proposal import State as Standing

EXECUTION = [
    ("begin",), ("finish executed",), ("finish failed",), ("finish unknown",),
    ("resolve executed",), ("resolve failed",),
]  # fmt: skip
STRANGER = "zed"


def equal(n):
    return dict.fromkeys("abcde"[:n], 1)


def operations(rules, *, execution=True, strangers=(STRANGER,)):
    voters = [*rules.weights, *strangers]
    return [
        *(("vote", voter, value) for voter in voters for value in VALUES),
        *(("cancel", voter) for voter in voters),
        ("tally",), ("close",), ("wait",),
        *(EXECUTION if execution else ()),
    ]  # fmt: skip


def both(rules, proposal, state, operation):
    """The next of the real thing and of the twin; they have to agree."""
    expected = step(rules, state, operation)
    try:
        found = act(proposal, operation, late=state.late)
    except (UsageError, MisbehaviourError):
        found = REFUSED
    if expected is REFUSED or found is REFUSED:
        assert (found is REFUSED, expected is REFUSED) == (True, True), (operation, state.seen())
        return proposal, state, False
    assert seen(found) == expected.seen(), (operation, state.seen())
    return found, expected, True


def role(rules, state, voter):
    """What tells a voter from others; those alike may change places."""
    who = (voter == rules.proposer, voter == rules.target)
    return (str(rules.weights[voter]), *who, state.votes.get(voter, ""), voter in state.calls)


def symmetry(rules, state):
    """What tells a state from others."""
    each = sorted(role(rules, state, voter) for voter in rules.weights)
    return (state.status, state.decision, state.late, tuple(each))


def reach(rules, every):
    """Every state that can be reached, once of each kind; each operation is tried in each.

    Of voters that are alike in a state, the first acts for all.
    """
    start = (proposal_under(rules), State())
    done, todo = {symmetry(rules, start[1])}, [start]
    while todo:
        proposal, state = todo.pop()
        yield proposal
        first = {role(rules, state, v): v for v in reversed(rules.weights)}
        for operation in every:
            if len(operation) > 1 and operation[1] not in (*first.values(), STRANGER):
                continue
            after, later, moved = both(rules, proposal, state, operation)
            if not moved:
                continue
            check_step(rules, proposal, after)
            key = symmetry(rules, later)
            if key not in done:
                done.add(key)
                todo.append((after, later))


def explore(rules):
    """How many kinds of states there are."""
    # Execution and strangers do not depend on how many voters there are, and calls to cancel
    # not on the action.
    few = len(rules.weights) <= 3
    every = operations(rules, execution=few, strangers=(STRANGER,) if few else ())
    if len(rules.weights) == 5:
        every = [op for op in every if rules.critical or op[0] != "cancel"]
    return sum(1 for _ in reach(rules, every))


def check_step(rules, before, after):
    if before.result is not None:
        withdrawn = before.state is Standing.APPROVED and after.state is Standing.CANCELLED
        assert after.result is before.result or withdrawn
        if withdrawn:
            assert not after.result.approved
            assert rules.critical_passes(sorted(after.cancellations))
        assert after.votes is before.votes
    if after.decision is Decision.APPROVED:
        approving = {v for v, vote in after.votes.items() if vote.value is VoteValue.APPROVE}
        assert rules.target not in approving
        assert len(approving) >= (rules.size if rules.critical else rules.least)


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_every_reachable_state_agrees_with_the_twin(n, critical):
    rules = Rules(equal(n), critical=critical, proposer="a", target="agent")
    assert explore(rules) > {1: 10, 2: 30, 3: 100, 4: 300, 5: 300}[n]


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize(
    "weights",
    [{"a": 2, "b": 1, "c": 1}, {"a": 2, "b": 2, "c": 1, "d": 1}, {"a": 3, "b": 2, "c": 2, "d": 2}],
    ids=str,
)
def test_every_reachable_state_with_weights_and_a_recused_voter(weights, critical):
    explore(Rules(weights, critical=critical, proposer="b", target="c"))


def test_every_reachable_state_where_votes_may_change():
    explore(Rules(equal(3), critical=False, proposer="a", change=True))


def walk(rules, proposal, state, every, left):
    if left == 0:
        return 1
    total = 0
    for operation in every:
        total += walk(rules, *both(rules, proposal, state, operation)[:2], every, left - 1)
    return total


@pytest.mark.parametrize(
    ("rules", "length"),
    [
        (Rules(equal(2), critical=False, proposer="a", change=True), 4),
        (Rules(equal(2), critical=True, proposer="a"), 4),
        (Rules({"a": 2, "b": 1, "c": 1}, critical=True, proposer="b", target="c"), 3),
    ],
    ids=["two, changing", "two, critical", "three, weighted"],
)
def test_every_sequence_of_operations_agrees_with_the_twin(rules, length):
    every = operations(rules, execution=False, strangers=())
    assert walk(rules, proposal_under(rules), State(), every, length) == len(every) ** length


WEIGHTINGS = [
    equal(1), equal(2), equal(3), equal(4), equal(5),
    {"a": 2, "b": 1, "c": 1}, {"a": 3, "b": 3, "c": 2, "d": 1},
    {"a": "0.1", "b": "0.2", "c": "0.3", "d": "0.2"}, {"a": 2, "b": 2, "c": 1, "d": 1, "e": 1},
]  # fmt: skip
THRESHOLDS = [
    {},
    {"quorum": Fraction(4, 5), "majority": Fraction(3, 5)},
    {"quorum": Fraction(1, 5), "supermajority": Fraction(51, 100)},
]


def cast_of(votes):
    return {v: Vote(v, VoteValue(value), None, 1) for v, value in votes.items()}


def tallied(rules, proposal, votes, at):
    for vote in cast_of(votes).values():
        proposal = machine.cast(proposal, vote)
    return tally.tally(proposal, at)


def ways_to_vote(rules):
    """Every way, but of those in which voters of the same weight change places only one."""
    alike = [
        [voter for voter in rules.can_vote if rules.weights[voter] == weight]
        for weight in dict.fromkeys(rules.weights.values())
    ]
    said = (combinations_with_replacement((*VALUES, None), len(group)) for group in alike)
    for values in product(*said):
        found = zip(chain(*alike), chain(*values), strict=True)
        yield {voter: value for voter, value in found if value is not None}


@pytest.mark.parametrize("weights", WEIGHTINGS, ids=str)
@pytest.mark.parametrize("critical", [False, True])
def test_pending_is_exactly_what_votes_to_come_could_change(weights, critical):
    voters = list(weights)
    for thresholds, target in product(THRESHOLDS, (None, "a")):
        rules = Rules(weights, critical=critical, target=target, **thresholds)
        empty = proposal_under(rules)
        electorate, config = empty.subject.electorate, empty.subject.config
        for votes in ways_to_vote(rules):
            count = tally.count(electorate, cast_of(votes), empty.recused)
            certain = tally.certain(count, electorate, config, critical=critical)
            final = tally.final(count, electorate, config, critical=critical)
            assert certain.value == rules.certain(votes), (thresholds, votes)
            assert final.value == rules.end(votes), (thresholds, votes)
            assert sum(count.heads) == len(voters) - (target is not None)


NUMBERS = st.one_of(st.integers(1, 9), st.fractions(Fraction(1, 9), 9, max_denominator=9))


@settings(max_examples=50)
@given(st.lists(NUMBERS, min_size=1, max_size=7), st.booleans(), st.data())
def test_any_weights_and_thresholds_agree_with_the_twin(numbers, critical, data):
    weights = dict(zip("abcdefg", numbers, strict=False))
    half = st.fractions(Fraction(1, 2), Fraction(99, 100), max_denominator=100)
    rules = Rules(
        weights,
        critical=critical,
        target=data.draw(st.sampled_from([None, "a"])),
        quorum=data.draw(st.fractions(Fraction(1, 100), 1, max_denominator=100)),
        majority=data.draw(half),
        supermajority=data.draw(half) + Fraction(1, 100),
    )
    said = st.sampled_from([*VALUES, None])
    votes = {v: x for v in rules.can_vote if (x := data.draw(said)) is not None}
    proposal = proposal_under(rules)
    assert tallied(rules, proposal, votes, 1).decision.value == rules.certain(votes)
    assert tallied(rules, proposal, votes, 100).decision.value == rules.tally(votes, late=True)


@pytest.mark.parametrize("critical", [False, True])
def test_the_order_of_votes_never_matters(critical):
    rules = Rules({"a": 3, "b": 2, "c": 2, "d": 1}, critical=critical)
    empty = proposal_under(rules)
    for values in product((APPROVE, REJECT, ABSTAIN), repeat=4):
        votes = [(v, x) for v, x in zip("abcd", values, strict=True)]
        results = {
            (tallied(rules, empty, dict(order[:so_far]), 1), frozenset(order[:so_far]))
            for order in permutations(votes)
            for so_far in (3, 4)
        }
        assert len(results) == 5  # all four votes, and each way to leave one out


def test_a_tally_between_votes_changes_no_outcome():
    rules = Rules(equal(4), critical=False)
    for values in product(VALUES, repeat=4):
        proposal = proposal_under(rules)
        for voter, value in zip("abcd", values, strict=True):
            early = tally.tally(proposal, 1)
            if early.decision is not Decision.PENDING:
                break
            proposal = machine.cast(proposal, Vote(voter, VoteValue(value), None, 1))
        whole = tallied(rules, proposal_under(rules), dict(zip("abcd", values, strict=True)), 1)
        assert tally.tally(proposal, 1).decision is whole.decision


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_fewer_than_a_quorum_approve_nothing_critical_whatever_they_do(n):
    size = Rules(equal(n), critical=True).size
    # Of groups with the proposer, and of those without, one stands for all.
    for group in {"abcde"[: size - 1], "bcde"[: min(size, n) - 1]}:
        # The others do nothing, so they must not stand for those who do.
        weights = {v: 1 if v in group else 1 + Fraction(1, 10**9) for v in "abcde"[:n]}
        rules = Rules(weights, critical=True, proposer="a", supermajority=Fraction(501, 1000))
        theirs = [op for op in operations(rules) if len(op) == 1 or op[1] in group]
        decisions = {proposal.decision for proposal in reach(rules, theirs)}
        assert Decision.APPROVED not in decisions
        assert len(decisions) > 1


@pytest.mark.parametrize("critical", [False, True])
@pytest.mark.parametrize("weights", [equal(4), equal(5), {"a": 4, "b": 3, "c": 3, "d": 2}], ids=str)
def test_as_many_as_may_lie_do_not_block_what_the_rest_approve(weights, critical):
    """Whatever one of them does, first or in between, the others' approval passes."""
    rules = Rules(weights, critical=critical, target="agent")
    assert rules.f == 1
    for liar in weights:
        rest = [v for v in weights if v != liar]
        rules.proposer = rest[0]
        deeds = [
            *(("vote", liar, value) for value in VALUES), ("cancel", liar), ("tally",), ("close",)
        ]  # fmt: skip
        for first, second, place in product(deeds, deeds, range(len(rest))):
            proposal = proposal_under(rules)
            moves = [("vote", v, APPROVE) for v in rest]
            for operation in [*moves[:place], first, second, *moves[place:], ("tally",)]:
                try:
                    proposal = act(proposal, operation, late=False)
                except (UsageError, MisbehaviourError):
                    assert operation in deeds or proposal.result is not None
            assert proposal.decision is Decision.APPROVED


def test_a_tie_rejects():
    for weights in (equal(2), equal(4), {"a": 3, "b": 2, "c": 1}):
        rules = Rules(weights, critical=False)
        half = sum(Fraction(w) for w in weights.values()) / 2
        votes, weight = {}, Fraction(0)
        for voter, its in weights.items():
            votes[voter] = APPROVE if weight + its <= half else REJECT
            weight += its if votes[voter] == APPROVE else 0
        assert weight == half
        assert tallied(rules, proposal_under(rules), votes, 1).decision is Decision.REJECTED


def test_thresholds_are_exact():
    """Sums of floats would miss a third of 0.1 + 0.2, and two thirds of three tenths."""
    rules = Rules({"a": "0.1", "b": "0.1", "c": "0.1"}, critical=True)
    result = tallied(rules, proposal_under(rules), {"a": APPROVE, "b": APPROVE}, 1)
    assert result.decision is Decision.APPROVED
    assert result.approve_weight == Fraction(1, 5)
    above = Rules({"a": "0.1", "b": "0.1", "c": "0.100000000000000001"}, critical=True)
    result = tallied(above, proposal_under(above), {"a": APPROVE, "b": APPROVE}, 1)
    assert result.decision is Decision.PENDING


def test_abstaining_is_no_participation():
    rules = Rules(equal(4), critical=False)
    votes = {"a": APPROVE, "b": ABSTAIN, "c": ABSTAIN, "d": ABSTAIN}
    result = tallied(rules, proposal_under(rules), votes, 1)
    assert result.decision is Decision.NO_QUORUM
    assert result.participation == Fraction(1, 4)
    assert result.participation_rate == 0.25
    assert not result.approved


def test_nothing_passes_with_fewer_approvals_than_two_or_one_more_than_may_lie():
    rules = Rules(equal(3), critical=False, quorum=Fraction(1, 100))
    assert tallied(rules, proposal_under(rules), {"a": APPROVE}, 100).decision == "rejected"
    seven = Rules(dict.fromkeys("abcdefg", 1), critical=False, quorum=Fraction(1, 100))
    two, three = dict.fromkeys("ab", APPROVE), dict.fromkeys("abc", APPROVE)
    assert tallied(seven, proposal_under(seven), two, 100).decision is Decision.REJECTED
    assert tallied(seven, proposal_under(seven), three, 100).decision is Decision.APPROVED


def test_the_moment_of_expiry_is_the_first_at_which_no_vote_counts():
    proposal = proposal_under(Rules(equal(3), critical=False))
    vote = Vote("a", VoteValue.APPROVE, None, 99)
    assert machine.cast(proposal, vote).votes["a"] == vote
    with pytest.raises(UsageError, match="its time is up"):
        machine.cast(proposal, Vote("a", VoteValue.APPROVE, None, 100))
    with pytest.raises(UsageError, match="pending"):
        machine.decide(proposal, 99)
    ended = machine.decide(proposal, 100)
    assert (ended.status, ended.decision) == (ProposalStatus.EXPIRED, Decision.NO_QUORUM)


def test_the_table_has_an_answer_for_everything_and_ends_where_it_says():
    assert set(TABLE) == set(product(Standing, Event))
    moving = {state for (state, _), found in TABLE.items() if not isinstance(found, Refusal)}
    assert moving == {
        Standing.OPEN, Standing.APPROVED, Standing.EXECUTING, Standing.UNKNOWN,
        Standing.RESOLVED_EXECUTED, Standing.RESOLVED_FAILED,
    }  # fmt: skip
    assert all((isinstance(found, Refusal) and found.reason) or found in Standing
               for found in TABLE.values())  # fmt: skip
    # Only one way leads to an execution, and none leads back.
    assert [key for key, found in TABLE.items() if found is Standing.EXECUTING] == [
        (Standing.APPROVED, Event.BEGIN)
    ]
    assert [key for key, found in TABLE.items() if found is Standing.APPROVED] == [
        (Standing.OPEN, Event.APPROVE), (Standing.APPROVED, Event.CALL),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("weights", "threshold", "refused"),
    [
        ({"a": 2, "b": 2, "c": 1, "d": 1}, Fraction(2, 3), False),
        ({"a": 201, "b": 200, "c": 100, "d": 100}, Fraction(2, 3), True),
        (dict.fromkeys("abcd", 1), Fraction(3, 4), False),
        (dict.fromkeys("abcd", 1), Fraction(76, 100), True),
        ({"a": 9, "b": 1, "c": 1}, Fraction(2, 3), False),  # none is tolerated to lie anyway
        (dict.fromkeys("abcdefg", 1), Fraction(5, 7), False),
        ({**dict.fromkeys("abcdefg", 10), "a": 12}, Fraction(5, 7), True),
    ],
)
def test_an_electorate_that_its_heaviest_could_block_is_refused(weights, threshold, refused):
    electorate = Electorate(weights_of(list(weights), weights))
    config = ConsensusConfig(supermajority_threshold=threshold)
    # The same by looking at every set of as many as may lie.
    total, f = sum(weights.values()), electorate.quorum.faults
    blocking = any(
        total - sum(weights[v] for v in group) < threshold * total
        for group in combinations(weights, f)
        if f
    )
    assert blocking is refused
    if refused:
        with pytest.raises(UsageError, match="could block every critical proposal"):
            check_blocking(electorate, config)
    else:
        check_blocking(electorate, config)
