"""The council as its users meet it."""

import dataclasses
import json
from fractions import Fraction

import pytest
from council_tools import KEY, Clock, approve, council, passed

from quorate.core import limits
from quorate.core.canonical import CanonicalError
from quorate.core.errors import MisbehaviourError, StoreError, UsageError, UsageTypeError
from quorate.council import (
    ConsensusConfig,
    ConsensusProtocol,
    Decision,
    Execution,
    ProposalAction,
    ProposalStatus,
    VoteValue,
    bounds,
)
from quorate.ledger import Ledger

FULL_WIDTH = "\uff34\uff25\uff32\uff2d\uff29\uff2e\uff21\uff34\uff25"


def test_a_critical_proposal_from_first_word_to_last():
    c = council()
    assert (c.voter_count, c.max_byzantine_faults, c.bft_quorum) == (5, 1, 4)
    assert c.voter_ids == tuple("abcde")
    p = c.propose("a", ProposalAction.TERMINATE, "agent-7", {"rss": [1, 2]})
    assert passed(c, p, "abc").decision is Decision.PENDING
    assert c.execute(p) is False
    result = passed(c, p, "d")
    assert result.approved
    assert (result.approvals, result.outstanding, result.participation_rate) == (4, 1, 0.8)
    assert "4 approve (weight 4)" in result.describe()
    assert c.get_proposal(p).status is ProposalStatus.DECIDED
    assert [c.execute(p), c.execute(p)] == [True, False]
    proposal = c.get_proposal(p)
    assert (proposal.status, proposal.execution) == (ProposalStatus.EXECUTED, Execution.EXECUTED)
    assert proposal.is_critical
    assert proposal.evidence == {"rss": [1, 2]}
    assert c.tally(p) == result
    assert c.verify_audit_chain() is True


def test_well_known_actions_and_which_are_critical():
    critical = {action for action in ProposalAction if action.is_critical()}
    assert critical == {"terminate", "escalate", "release", "change_electorate"}
    for action in ProposalAction:
        if action is not ProposalAction.CHANGE_ELECTORATE:
            c = council()
            proposal = c.get_proposal(c.propose("a", action, "x"))
            assert proposal.action is action
            assert proposal.is_critical is action.is_critical()


@pytest.mark.parametrize(
    "spelling",
    ["TERMINATE", "terminate", " Terminate\t", FULL_WIDTH, "\U0001d413erminate"],
    ids=ascii,
)
def test_every_spelling_of_terminate_is_one_action_under_one_rule(spelling):
    c = council()
    p = c.propose("a", spelling, "agent")
    assert c.get_proposal(p).action is ProposalAction.TERMINATE
    # Three of five would be enough for a routine action.
    assert passed(c, p, "abc").decision is Decision.PENDING


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ("delete", "'delete' is unknown here"),
        ("tеrminate", "is unknown here"),  # noqa: RUF001 - a Cyrillic letter
        ("term\u200binate", "visible characters"),
        ("", "visible characters"),
        ("x" * 257, "257 characters"),
        (7, "give a text"),
    ],
)
def test_unknown_actions_are_refused_and_leave_nothing(action, words):
    c = council()
    with pytest.raises(UsageError, match=words):
        c.propose("a", action, "agent")
    assert len(c.audit_log) == 1
    assert c.list_proposals() == []


def test_registered_actions_have_the_criticality_they_were_registered_with():
    c = council(actions={"Notify": False, "erase": True})
    assert passed(c, c.propose("a", "NOTIFY"), "abc").approved
    assert passed(c, c.propose("a", "erase"), "abc").decision is Decision.PENDING
    for wrong in ({"TERMINATE": False}, {"x": 1}, {"x": True, "X": False}, ["x"], {"": True}):
        with pytest.raises(UsageError):
            council(actions=wrong)
    many = {f"act{n}": False for n in range(bounds.MAX_ACTIONS)}
    assert len(council(actions=many).audit_log) == 1
    with pytest.raises(UsageError, match="at most 256"):
        council(actions={**many, "more": False})


@pytest.mark.parametrize(
    ("evidence", "path"),
    [
        (float("nan"), r"\$"),
        ({"at": {"deep": b"raw"}}, r"\$\.at\.deep"),
        ({1: 2}, "is not a string"),
        ({"n": 2**60}, r"\$\.n"),
        ("\ud800", "lone surrogate"),
        ({"x": {1, 2}}, r"\$\.x"),
    ],
)
def test_evidence_that_is_not_canonical_json_leaves_nothing_behind(evidence, path):
    c = council()
    with pytest.raises(CanonicalError, match=path):
        c.propose("a", "restrict", "x", evidence)
    assert (len(c.ledger), c.list_proposals()) == (1, [])
    assert c.propose("a", "restrict", "x", {"ok": True}) == "p1"


def test_evidence_is_bounded_and_kept_as_it_was():
    c = council()
    most = limits.MAX_PAYLOAD_BYTES - 2
    assert c.propose("a", "restrict", "x", "x" * most) == "p1"
    with pytest.raises(UsageError, match="at most 1048576"):
        c.propose("a", "restrict", "x", "x" * (most + 1))
    evidence = {"seen": [1]}
    p = c.propose("a", "restrict", "x", evidence)
    evidence["seen"].append(2)
    c.get_proposal(p).evidence["seen"].append(3)
    assert c.get_proposal(p).evidence == {"seen": [1]}
    deepest = []
    for _ in range(limits.MAX_DEPTH - 2):
        deepest = [deepest]
    assert c.propose("a", "restrict", "x", deepest) == "p3"
    with pytest.raises(CanonicalError, match="nested deeper"):
        c.propose("a", "restrict", "x", [deepest])


def test_only_voters_propose_and_vote():
    c = council()
    with pytest.raises(MisbehaviourError, match="no voter of this council") as caught:
        c.propose("mallory", "terminate", "x")
    assert caught.value.culprit == "mallory"
    p = c.propose("a", "terminate", "x")
    with pytest.raises(MisbehaviourError, match="mallory: no voter of proposal p1"):
        c.vote(p, "mallory", "approve")
    with pytest.raises(UsageTypeError):
        c.vote(p, 7, "approve")
    for value in ("yes", True, None, "APPROVE"):
        with pytest.raises(UsageError, match="the vote is"):
            c.vote(p, "a", value)
    with pytest.raises(UsageError, match="no proposal 'p9'"):
        c.vote("p9", "a", "approve")
    assert len(c.audit_log) == 2


def test_one_voter_one_vote_and_the_same_again_is_no_second():
    c = council()
    p = c.propose("a", "quarantine", "x")
    first = c.vote(p, "a", VoteValue.APPROVE, "seen it")
    assert c.vote(p, "a", "approve", "seen it") == first
    assert len(c.audit_log) == 3
    for value, reason in (("reject", None), ("abstain", None), ("approve", "other words")):
        with pytest.raises(MisbehaviourError, match="votes do not change here") as caught:
            c.vote(p, "a", value, reason)
        assert caught.value.culprit == "a"
        assert caught.value.evidence["standing"]["value"] == "approve"
    assert c.tally(p).approvals == 1
    assert c.get_voter_history("a") == [(p, first)]
    assert c.get_voter_history("nobody") == []
    for wrong in ([1], None, 7, ""):
        with pytest.raises(UsageError, match="a voter's id"):
            c.get_voter_history(wrong)


def test_votes_change_where_that_is_allowed_and_only_before_the_decision():
    c = council("abc", config=ConsensusConfig(allow_vote_change=True))
    p = c.propose("a", "quarantine", "x")
    approve(c, p, "ab")
    assert c.vote(p, "b", "reject").revision == 1
    assert c.tally(p).decision is Decision.PENDING
    c.vote(p, "b", "approve")
    assert c.tally(p).approved
    with pytest.raises(UsageError, match="which is final"):
        c.vote(p, "b", "reject")
    assert c.tally(p).approvals == 2


def test_reasons_and_ids_are_bounded():
    c = council()
    p = c.propose("a", "restrict", "t" * limits.MAX_ID_LENGTH)
    c.vote(p, "a", "approve", "r" * bounds.MAX_REASON_LENGTH)
    for reason in ("r" * (bounds.MAX_REASON_LENGTH + 1), "\ud800", 7):
        with pytest.raises(UsageError, match="the reason"):
            c.vote(p, "b", "approve", reason)
    for target in ("t" * (limits.MAX_ID_LENGTH + 1), "", 7, "\ud800"):
        with pytest.raises(UsageError, match="the target"):
            c.propose("a", "restrict", target)


def test_the_target_is_recused_but_stays_in_the_denominator():
    c = council()
    p = c.propose("a", "terminate", "e")
    with pytest.raises(MisbehaviourError, match="nobody votes on themselves"):
        c.vote(p, "e", "reject")
    with pytest.raises(MisbehaviourError, match="nobody votes on themselves"):
        c.cancel(p, "e")
    assert passed(c, p, "abc").decision is Decision.PENDING
    result = passed(c, p, "d")
    assert (result.decision, result.outstanding, result.voters) == (Decision.APPROVED, 0, 5)
    # Another letter is another target; what cannot be seen makes none.
    c.vote(c.propose("a", "terminate", "E"), "e", "reject")
    for hidden in ("e ", " e", "e\u200b", "\te"):
        assert c.get_proposal(c.propose("b", "terminate", hidden)).recused == "e"


def test_what_could_never_pass_is_refused_when_it_is_proposed():
    two = council("ab")
    with pytest.raises(UsageError, match="could never pass"):
        two.propose("a", "terminate", "b")
    with pytest.raises(UsageError, match="could never pass"):
        two.propose("a", "quarantine", "b")
    heavy = council("abc", weights={"a": 2})
    with pytest.raises(UsageError, match="could never pass"):
        heavy.propose("b", "terminate", "a")
    assert passed(heavy, heavy.propose("b", "quarantine", "a"), "bc").approved


def test_close_seals_only_what_is_certain():
    c = council()
    p = c.propose("a", "terminate", "x")
    approve(c, p, "abc")
    with pytest.raises(UsageError, match="could change the outcome"):
        c.close(p)
    assert c.get_proposal(p).status is ProposalStatus.OPEN
    approve(c, p, "d")
    result = c.close(p)
    assert result.approved
    assert c.close(p) == c.tally(p) == result


def test_cancelling_takes_a_quorum_or_the_proposer_before_the_first_vote():
    c = council()
    assert c.cancel(c.propose("a", "terminate", "x"), "a", "by mistake") is True
    p = c.propose("a", "terminate", "x")
    c.vote(p, "b", "approve")
    assert [c.cancel(p, voter) for voter in "acd"] == [False] * 3
    with pytest.raises(UsageError, match="called proposal p2 off already"):
        c.cancel(p, "a")
    assert c.get_proposal(p).status is ProposalStatus.OPEN
    assert c.cancel(p, "e") is True
    assert c.get_proposal(p).status is ProposalStatus.CANCELLED
    assert (c.tally(p).decision, c.tally(p).by) == (Decision.REJECTED, "cancel")
    with pytest.raises(UsageError, match="was cancelled, which is final"):
        c.vote(p, "c", "approve")
    assert c.execute(p) is False
    with pytest.raises(MisbehaviourError, match="mallory"):
        c.cancel(c.propose("a", "restrict", "x"), "mallory")


def test_expiry_at_its_very_microsecond():
    clock = Clock()
    c = council(clock=clock)
    p = c.propose("a", "quarantine", "x", expiry_seconds=1.5)
    approve(c, p, "ab")
    clock.now += 1_499_999
    c.vote(p, "c", "abstain")
    assert c.tally(p).decision is Decision.PENDING
    clock.now += 1
    with pytest.raises(UsageError, match="its time is up"):
        c.vote(p, "d", "reject")
    with pytest.raises(UsageError, match="its time is up"):
        c.cancel(p, "d")
    result = c.tally(p)
    assert (result.decision, result.by) == (Decision.NO_QUORUM, "expiry")
    assert c.get_proposal(p).status is ProposalStatus.EXPIRED


def test_what_stands_at_expiry_decides():
    clock = Clock()
    c = council(clock=clock, config=ConsensusConfig(default_expiry_seconds=10))
    three = c.propose("a", "quarantine", "x")
    approve(c, three, "ab")
    c.vote(three, "c", "reject")
    critical = c.propose("a", "terminate", "x")
    approve(c, critical, "abc")
    forever = c.propose("a", "terminate", "x", expiry_seconds=0)
    clock.wait(10**9)
    assert (c.tally(three).decision, c.tally(three).by) == (Decision.APPROVED, "expiry")
    assert c.get_proposal(three).status is ProposalStatus.DECIDED
    assert c.tally(critical).decision is Decision.REJECTED
    assert c.tally(forever).decision is Decision.PENDING
    c.vote(forever, "a", "approve")


@pytest.mark.parametrize("seconds", [-1, bounds.MAX_EXPIRY_SECONDS + 1, float("inf"), "9", True])
def test_an_expiry_that_is_none_is_refused(seconds):
    c = council()
    with pytest.raises(UsageError, match="expiry_seconds"):
        c.propose("a", "restrict", "x", expiry_seconds=seconds)
    assert c.propose("a", "restrict", "x", expiry_seconds=bounds.MAX_EXPIRY_SECONDS) == "p1"
    tiny = c.get_proposal(c.propose("a", "restrict", "x", expiry_seconds=Fraction(1, 10**9)))
    assert tiny.expires_at == tiny.opened_at + 1


def test_a_clock_that_goes_back_does_not_take_the_council_along():
    clock = Clock()
    c = council(clock=clock)
    p = c.propose("a", "restrict", "x", expiry_seconds=5)
    clock.wait(6)
    assert c.tally(p).decision is Decision.NO_QUORUM
    clock.wait(-6)
    q = c.propose("a", "restrict", "x", expiry_seconds=5)
    assert c.get_proposal(q).opened_at == clock.now + 6_000_000
    assert c.verify_audit_chain()
    for wrong in (1.5, None, -1, True, limits.MAX_SAFE_INTEGER):
        with pytest.raises(UsageError, match="the clock gives"):
            council(clock=lambda wrong=wrong: wrong, ledger=Ledger.open("memory:"))


def test_only_so_many_are_open_and_what_expired_is_not():
    clock = Clock()
    c = council("abc", clock=clock, config=ConsensusConfig(max_active_proposals=4))
    for _ in range(2):
        c.propose("a", "restrict", "x", expiry_seconds=5)
    with pytest.raises(UsageError, match="open proposals: 2, of which 2 by 'a'"):
        c.propose("a", "restrict", "x")
    c.propose("b", "restrict", "x")
    c.propose("c", "restrict", "x")
    with pytest.raises(UsageError, match="open proposals: 4, of which 1 by 'c'"):
        c.propose("c", "restrict", "x")
    clock.wait(5)
    c.propose("c", "restrict", "x")
    assert c.get_proposal("p1").status is ProposalStatus.EXPIRED
    assert len(c.list_proposals("open")) == 3


def test_lists_by_status():
    c = council()
    done, gone, open_ = (c.propose("a", "restrict", t) for t in "xyz")
    passed(c, done, "abc")
    c.execute(done)
    c.cancel(gone, "a")
    assert [p.id for p in c.list_proposals()] == [done, gone, open_]
    assert [p.id for p in c.list_proposals(ProposalStatus.OPEN)] == [open_]
    assert [p.id for p in c.list_proposals("executed")] == [done]
    assert c.list_proposals("expired") == []
    with pytest.raises(UsageError, match="the status is 'gone'"):
        c.list_proposals("gone")
    with pytest.raises(dataclasses.FrozenInstanceError):
        c.get_proposal(open_).state = "approved"
    with pytest.raises(TypeError):
        c.get_proposal(open_).votes["a"] = None


def test_summary_and_render_say_what_is_open_and_what_it_needs():
    clock = Clock()
    c = council(clock=clock, council_id="night shift")
    p = c.propose("a", "terminate", "agent\x1b[2J", expiry_seconds=60)
    c.vote(p, "b", "reject")
    passed(c, c.propose("a", "restrict", "done"), "abc")
    told = c.summary()
    assert json.loads(json.dumps(told)) == told
    assert told["by_status"] == {
        "open": 1,
        "decided": 1,
        "executed": 0,
        "expired": 0,
        "cancelled": 0,
    }
    assert told["open"][0]["expires_in_seconds"] == 60
    assert told["open"][0]["waiting_for"] == list("acde")
    assert told["open"][0]["standing"]["approvals_needed"] == 4
    assert "independence is undeclared" in told["cautions"][-1]
    text = c.render()
    assert "Council night shift: 5 voters, up to 1 may lie, a critical action takes 4" in text
    assert "waiting for a, c, d, e" in text
    assert "\x1b" not in text
    clock.wait(60)
    assert "its time is up: tally it" in c.render()
    assert any("four are the least" in caution for caution in council("abc").summary()["cautions"])


def test_every_name_of_the_published_protocol_is_here():
    import quorate.council as room

    for name in (
        "VoteValue", "Decision", "ProposalStatus", "ProposalAction", "Vote", "TallyResult",
        "Proposal", "AuditEntry", "ConsensusConfig", "ConsensusProtocol",
    ):  # fmt: skip
        assert name in room.__all__
    for name in (
        "voter_count", "voter_ids", "max_byzantine_faults", "bft_quorum", "propose", "vote",
        "tally", "execute", "get_proposal", "list_proposals", "get_voter_history",
        "voter_agreement_matrix", "detect_voting_blocs", "audit_log", "verify_audit_chain",
        "summary", "render",
    ):  # fmt: skip
        assert hasattr(ConsensusProtocol, name)


def test_of_a_ledger_that_never_stands_still_the_error_is_clear(monkeypatch):
    ledger = Ledger.open("memory:", signer=KEY)
    c = council(ledger=ledger)
    real = Ledger.append

    tried = []

    def meddled(self, *args, **options):
        tried.append(real(self, "council", {"council": "another"}, trace_id="another"))
        return real(self, *args, **options)

    monkeypatch.setattr("quorate.council.seat.MAX_ATTEMPTS", 5)
    monkeypatch.setattr(Ledger, "append", meddled)
    with pytest.raises(StoreError, match="5 times in a row; nothing was sealed"):
        c.propose("a", "restrict", "x")
    assert len(tried) == 5
    monkeypatch.undo()
    assert c.list_proposals() == []
    assert c.propose("a", "restrict", "x") == "p1"


def test_a_ledger_of_another_kind_is_refused():
    with pytest.raises(UsageError, match=r"give a quorate\.Ledger"):
        council(ledger=[])
    with pytest.raises(UsageError, match="give a ConsensusConfig"):
        council(config={})
