"""Signed ballots: one signature counts for one thing, and nothing counts without one."""

import dataclasses

import pytest
from council_tools import KEYS, SIGNERS, Clock, changed, council, forged, passed, put

from quorate.core.errors import MisbehaviourError, UsageError, VerificationError
from quorate.core.identity import Ed25519Signer, HmacSigner
from quorate.council import (
    BadSignatureError,
    ConsensusConfig,
    ConsensusProtocol,
    UnsignedBallotError,
    VoteValue,
    sign_cancellation,
    sign_vote,
)
from quorate.council.sealed import replay

STRANGER = Ed25519Signer(b"\x09" * 32)


@pytest.fixture
def keyed():
    return council(keys=KEYS)


def signed(protocol, proposal_id, voter, value="approve", reason=None):
    return sign_vote(SIGNERS[voter], protocol.get_proposal(proposal_id), value, reason)


def vote(protocol, proposal_id, voter, value="approve", reason=None):
    signature = signed(protocol, proposal_id, voter, value, reason)
    return protocol.vote(proposal_id, voter, value, reason, signature=signature)


def test_signed_votes_decide_and_the_decision_verifies_with_the_keys_in_it(keyed):
    p = put(keyed, "a", "terminate", "x", {"why": "rss"})
    for voter in "abcd":
        assert vote(keyed, p, voter, reason="seen").signature
    assert keyed.tally(p).approved
    body = keyed.certificate(p).payload
    replay("council", body)
    # The sealer of the log cannot make a vote out of nothing, nor another out of one.
    for path, to in (
        (("votes", 0, "reason"), "other"),
        (("votes", 0, "signature"), None),
        (("votes", 0, "signature"), "00" * 64),
        (("votes", 0, "signature"), body["votes"][1]["signature"]),
        (("subject", "evidence_digest"), "0" * 64),
        (("electorate", "keys"), {}),
    ):
        with pytest.raises(VerificationError):
            replay("council", changed(body, *path, to=to))


def test_a_decision_about_another_target_cannot_be_made_of_these_votes(keyed):
    """The attack: take the votes of one termination and put another target over them."""
    p = put(keyed, "a", "terminate", "x")
    for voter in "abcd":
        vote(keyed, p, voter)
    keyed.tally(p)
    genuine = keyed.get_proposal(p)
    subject = dataclasses.replace(genuine.subject, target="y")
    body = keyed.certificate(p).payload
    body = {**body, "subject": subject.to_dict(), "digest": subject.digest}
    with pytest.raises(VerificationError, match="its signature is not over this ballot"):
        replay("council", body)


def test_a_vote_of_a_keyed_voter_without_a_signature_is_refused(keyed):
    p = put(keyed, "a", "terminate", "x")
    with pytest.raises(UnsignedBallotError, match="came unsigned") as caught:
        keyed.vote(p, "b", "approve")
    assert isinstance(caught.value, MisbehaviourError)
    assert caught.value.culprit == "b"
    with pytest.raises(UnsignedBallotError):
        keyed.cancel(p, "a")
    assert keyed.tally(p).approvals == 0
    assert len(keyed.audit_log) == 2


@pytest.mark.parametrize(
    "said",
    [
        {"voter": "b"}, {"value": "reject"}, {"reason": "other"}, {"signature": "00" * 64},
        {"signature": "AA" * 64}, {"signature": "00"}, {"signature": ""}, {"signature": b"raw"},
    ],
    ids=str,
)  # fmt: skip
def test_a_signature_is_for_one_voter_value_and_reason(keyed, said):
    p = put(keyed, "a", "terminate", "x")
    given = {"voter": "a", "value": "approve", "reason": "r"}
    given |= {"signature": signed(keyed, p, "a", "approve", "r")} | said
    with pytest.raises(BadSignatureError, match="its signature is not over this ballot"):
        keyed.vote(p, given["voter"], given["value"], given["reason"], signature=given["signature"])
    assert keyed.tally(p).approvals == keyed.tally(p).rejections == 0
    assert len(keyed.audit_log) == 2


def test_a_signature_for_one_proposal_never_counts_on_another():
    clock = Clock()
    first = council(keys=KEYS, clock=clock)
    base = ("a", "terminate", "x", {"n": 1}, 60)
    p = put(first, *base)
    signature = signed(first, p, "b")
    others = [
        (first, put(first, *base)),
        (first, put(first, "a", "terminate", "y", {"n": 1}, 60)),
        (first, put(first, "a", "terminate", "x", {"n": 2}, 60)),
        (first, put(first, "a", "quarantine", "x", {"n": 1}, 60)),
        (first, put(first, "a", "terminate", "x", {"n": 1}, 61)),
    ]
    # The same first proposal at the same time, of councils that differ in one thing each.
    seconds = (
        council(keys=KEYS, clock=clock),
        council(keys=KEYS, clock=clock, council_id="other"),
        council(keys=KEYS, clock=clock, weights={"a": 1.1}),
        council(keys=KEYS, clock=clock, config=ConsensusConfig(quorum_fraction=0.4)),
    )
    others += [(second, put(second, *base)) for second in seconds]
    for protocol, other in others:
        with pytest.raises(BadSignatureError, match="its signature is not over this ballot"):
            protocol.vote(other, "b", "approve", signature=signature)
    assert first.vote(p, "b", "approve", signature=signature).value is VoteValue.APPROVE


def test_a_changed_vote_cannot_be_brought_back_by_its_old_signature():
    c = council("abc", keys={v: KEYS[v] for v in "abc"},
                config=ConsensusConfig(allow_vote_change=True))  # fmt: skip
    p = put(c, "a", "quarantine", "x")
    old = signed(c, p, "a")
    c.vote(p, "a", "approve", signature=old)
    vote(c, p, "a", "reject")
    with pytest.raises(BadSignatureError):
        c.vote(p, "a", "approve", signature=old)
    assert c.get_proposal(p).votes["a"].value is VoteValue.REJECT
    assert vote(c, p, "a", "approve").revision == 2


def test_a_vote_is_no_cancellation_and_calling_off_takes_its_own_signature(keyed):
    p = put(keyed, "a", "terminate", "x")
    with pytest.raises(BadSignatureError):
        keyed.cancel(p, "a", signature=signed(keyed, p, "a"))
    proposal = keyed.get_proposal(p)
    with pytest.raises(BadSignatureError):
        keyed.cancel(p, "a", "why", signature=sign_cancellation(SIGNERS["a"], proposal))
    with pytest.raises(BadSignatureError):
        keyed.vote(p, "a", "reject", signature=sign_cancellation(SIGNERS["a"], proposal))
    assert keyed.cancel(p, "a", "why", signature=sign_cancellation(SIGNERS["a"], proposal, "why"))


def test_another_key_signs_for_nobody(keyed):
    p = put(keyed, "a", "terminate", "x")
    proposal = keyed.get_proposal(p)
    with pytest.raises(UsageError, match="registered for no voter"):
        sign_vote(STRANGER, proposal, "approve")
    with pytest.raises(BadSignatureError) as caught:
        keyed.vote(
            p, "a", "approve", signature=sign_vote(STRANGER, proposal, "approve", voter_id="a")
        )
    assert caught.value.culprit == "a"


def test_voters_without_a_key_need_no_signature_and_cannot_give_one():
    c = council(keys={"a": KEYS["a"]})
    p = c.propose("b", "terminate", "x")
    c.vote(p, "b", "approve")
    with pytest.raises(UsageError, match="no registered key"):
        c.vote(p, "c", "approve", signature="00" * 64)
    with pytest.raises(UnsignedBallotError):
        c.vote(p, "a", "approve")
    assert passed(c, p, "cde").approved


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"zed": KEYS["a"]}, "'zed', who is no voter"),
        ({"a": KEYS["a"], "b": KEYS["a"]}, "the same key"),
        ({"a": "ed25519:c2hvcnQ"}, "has 5 bytes"),
        ({"a": "rubbish"}, "no public key"),
        ({"a": HmacSigner(b"\x01" * 32)}, "is a HmacSigner"),
        (["a"], "no mapping"),
    ],
)
def test_keys_that_are_none_are_refused(keys, words):
    with pytest.raises(UsageError, match=words):
        ConsensusProtocol(list("abcde"), keys=keys)


def test_keys_are_given_as_text_too(keyed):
    texts = {voter: key.to_text() for voter, key in KEYS.items()}
    again = council(keys=texts, ledger=keyed.ledger)
    assert dict(again.electorate.keys) == texts


def test_a_forged_unsigned_vote_in_the_log_is_found(keyed):
    p = put(keyed, "a", "terminate", "x")
    members = {"voter": "b", "value": "approve", "reason": None, "revision": 0}
    digest = keyed.get_proposal(p).digest
    forged(keyed.ledger, keyed, "voted", proposal=p, digest=digest, signature=None, **members)
    with pytest.raises(VerificationError, match="came unsigned"):
        keyed.tally(p)


def test_a_new_electorate_brings_its_keys():
    c = council("abcd")
    p = c.propose_electorate("a", [*"abcd"], keys={"a": KEYS["a"]})
    assert passed(c, p, "abcd").approved
    assert c.execute(p)
    q = put(c, "a", "terminate", "x")
    with pytest.raises(UnsignedBallotError):
        c.vote(q, "a", "approve")
    vote(c, q, "a")
