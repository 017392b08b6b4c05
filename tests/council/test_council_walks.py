"""Random walks through a whole council, against the twin; then told again from its ledger."""

from council_tools import Clock, council, seen, verify_all
from council_twin import EXPIRY, REFUSED, VALUES, Rules, State, step
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import MisbehaviourError, UsageError
from quorate.council import ConsensusConfig, ConsensusProtocol

VOTERS = "abcd"
MOVES = st.one_of(
    st.tuples(st.just("vote"), st.sampled_from("abcdz"), st.sampled_from(VALUES)),
    st.tuples(st.just("vote"), st.sampled_from(VOTERS), st.just("approve")),
    st.tuples(st.just("cancel"), st.sampled_from("abcdz")),
    st.sampled_from([("tally",), ("close",), ("wait",)]),
    st.tuples(st.just("execute")),
)


def act(c, clock, opened, move):
    name, *rest = move
    if name == "wait":
        clock.now = max(clock.now, opened + EXPIRY)
    elif name == "vote":
        c.vote("p1", *rest)
    elif name == "cancel":
        c.cancel("p1", *rest)
    elif name == "execute":
        return c.execute("p1")
    else:
        getattr(c, name)("p1")
    return None


def expected(rules, state, move):
    """The twin's next state, and whether the council refuses aloud."""
    if move == ("execute",):
        begun = step(rules, state, ("begin",))
        return (
            (state, False)
            if begun is REFUSED
            else (step(rules, begun, ("finish executed",)), False)
        )
    after = step(rules, state, move)
    if after is not REFUSED:
        return after, False
    # What is decided, or pending, is told again; and so is the very vote that stands.
    told_again = move[0] == "tally" or (move[0] == "close" and state.status != "open")
    if move[0] == "vote" and state.votes.get(move[1]) == move[2]:
        told_again = True
    return state, not told_again


@settings(max_examples=60)
@given(
    st.lists(MOVES, max_size=12), st.booleans(), st.booleans(), st.sampled_from([None, "c"]),
    st.sampled_from([(1, 1, 1, 1), (4, 3, 3, 2)]),
)  # fmt: skip
def test_any_walk_agrees_with_the_twin_and_with_its_own_record(
    moves, critical, change, target, weights
):
    given_weights = dict(zip(VOTERS, weights, strict=True))
    rules = Rules(
        given_weights, critical=critical, target=target or "agent", proposer="a", change=change
    )
    clock = Clock()
    config = ConsensusConfig(allow_vote_change=change)
    c = council(VOTERS, weights=given_weights, config=config, clock=clock)
    action = "terminate" if critical else "quarantine"
    c.propose("a", action, target or "agent", expiry_seconds=EXPIRY / 10**6)
    opened, state = clock.now, State()
    for move in moves:
        refused = False
        try:
            executed = act(c, clock, opened, move)
        except (UsageError, MisbehaviourError):
            refused, executed = True, False
        after, aloud = expected(rules, state, move)
        assert refused is aloud, move
        assert bool(executed) is (after.status == "executed" != state.status)
        assert seen(c.get_proposal("p1")) == after.seen()
        state = after
    again = ConsensusProtocol.reopen(c.ledger)
    assert again.get_proposal("p1") == c.get_proposal("p1")
    assert c.verify_audit_chain()
    verify_all(c.ledger)
