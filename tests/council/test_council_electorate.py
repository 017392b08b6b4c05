"""Who votes and under which thresholds: what is accepted, and how it is changed."""

import json
from fractions import Fraction

import pytest
from council_tools import council, passed

from quorate.core import limits
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.council import ConsensusConfig, ConsensusProtocol, Decision, bounds


@pytest.mark.parametrize(
    ("voters", "weights"),
    [
        ("abc", None), ([], None), (["a", "a"], None), (["a", 7], None), ([""], None),
        (["x" * 257], None), (["a"], {"b": 1}), (["a"], {"a": 0}), (["a"], {"a": -1}),
        (["a"], {"a": float("nan")}), (["a"], {"a": "1"}), (["a"], {"a": True}), (["a"], [1]),
        (["a"], {"a": 10**bounds.MAX_WEIGHT_DIGITS}),
        (["a"], {"a": Fraction(1, 10**bounds.MAX_WEIGHT_DIGITS)}),
        (list("abcd"), {"a": 2}),
    ],
)  # fmt: skip
def test_an_electorate_that_is_none_is_refused(voters, weights):
    with pytest.raises(UsageError):
        ConsensusProtocol(voters, weights)


def test_sizes_at_their_bounds():
    many = [f"v{n}" for n in range(limits.MAX_REPLICAS)]
    assert ConsensusProtocol(many).bft_quorum == 683
    with pytest.raises(UsageError, match="1025 voters"):
        ConsensusProtocol([*many, "more"])
    heaviest = {"a": 10**bounds.MAX_WEIGHT_DIGITS - 1}
    assert ConsensusProtocol(["a"], heaviest).voter_count == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"quorum_fraction": 0}, {"quorum_fraction": 1.01}, {"majority_threshold": 0.49},
        {"majority_threshold": 1}, {"supermajority_threshold": 0.5},
        {"supermajority_threshold": 1.1}, {"default_expiry_seconds": -1},
        {"allow_vote_change": 1}, {"max_active_proposals": 0}, {"max_active_proposals": True},
        {"max_active_proposals": bounds.MAX_ACTIVE + 1}, {"quorum_fraction": "1/2"},
        {"quorum_fraction": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_a_configuration_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        ConsensusConfig(**wrong)


def test_a_configuration_is_read_exactly_and_round_trips():
    config = ConsensusConfig(0.1, 0.6, 0.7, 1.5, allow_vote_change=True, max_active_proposals=3)
    assert config.quorum_fraction == Fraction(1, 10)
    assert ConsensusConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert ConsensusConfig().supermajority_threshold == Fraction(2, 3)
    for broken in (
        {},
        {**config.to_dict(), "more": 1},
        [],
        {**config.to_dict(), "quorum_fraction": 1},
    ):
        with pytest.raises(UsageError):
            ConsensusConfig.from_dict(broken)


def test_a_change_of_the_electorate_is_critical_and_open_proposals_keep_theirs():
    c = council()
    before = c.propose("a", "terminate", "x")
    p = c.propose_electorate("a", [*"abcdefg"], {"g": Fraction(3, 2)})
    assert c.get_proposal(p).is_critical
    assert passed(c, p, "abc").decision is Decision.PENDING
    assert passed(c, p, "d").approved
    assert c.voter_count == 5
    with pytest.raises(UsageError, match=r"call execute\(\)"):
        c.begin_execution(p, "by hand")
    assert [c.execute(p), c.execute(p)] == [True, False]
    assert (c.voter_count, c.max_byzantine_faults) == (7, 2)
    with pytest.raises(MisbehaviourError, match="no voter of proposal p1"):
        c.vote(before, "g", "approve")
    assert passed(c, before, "abcd").approved
    c.vote(c.propose("g", "terminate", "x"), "f", "approve")
    assert c.verify_audit_chain()


def test_a_change_of_another_electorate_is_not_carried_out():
    c = council("abcd")
    one = c.propose_electorate("a", [*"abc"])
    two = c.propose_electorate("b", [*"abcde"])
    for p in (one, two):
        assert passed(c, p, "abcd").approved
    assert c.execute(one)
    with pytest.raises(UsageError, match="no longer the council's"):
        c.execute(two)
    assert c.voter_ids == tuple("abc")


def test_an_electorate_that_could_be_blocked_cannot_even_be_proposed():
    c = council("abcd")
    with pytest.raises(UsageError, match="could block every critical proposal"):
        c.propose_electorate("a", [*"abcd"], {"a": 9})
    for evidence in (
        None,
        {"voters": {"a": 1}, "keys": {}},
        {"voters": {"a": "1"}},
        {"voters": {}, "keys": {}},
    ):
        with pytest.raises(UsageError):
            c.propose("a", "change_electorate", None, evidence)
    assert len(c.audit_log) == 1
