"""Who executes, resolves, proposes and reads: named, signed where there is a key, and in time."""

import pytest
from council_tools import (
    KEYS,
    SIGNERS,
    Clock,
    council,
    keyed,
    passed,
    put,
    signed_through,
    verify_all,
)

from quorate.core.errors import MisbehaviourError, UsageError
from quorate.council import (
    BadSignatureError,
    ConsensusConfig,
    Decision,
    Execution,
    ProposalStatus,
    UnsignedBallotError,
    bounds,
    sign_execution,
    sign_proposal,
    sign_resolution,
)
from quorate.council.rules.values import token_digest

WEEK = 7 * 86_400
KEYED = {voter: KEYS[voter] for voter in "abcd"}


# --- who proposes -----------------------------------------------------------------------


def test_nobody_proposes_in_the_name_of_a_voter_with_a_key(ledger):
    """The attack: one machine fills all places in others' names."""
    c = keyed(ledger=ledger)
    with pytest.raises(UnsignedBallotError, match="sign it with sign_proposal") as caught:
        c.propose("b", "quarantine", "junk")
    assert caught.value.culprit == "b"
    by_another = sign_proposal(SIGNERS["a"], c.request("b", "quarantine", "junk"))
    with pytest.raises(BadSignatureError):
        c.propose("b", "quarantine", "junk", signature=by_another)
    assert (len(ledger), c.list_proposals()) == (1, [])
    p = put(c, "b", "quarantine", "x")
    assert c.get_proposal(p).signature is not None
    assert c.summary()["open"][0]["signed"] is True
    assert c.verify_audit_chain()
    verify_all(ledger)


ASKED = ("b", "quarantine", "x", {"n": 1}, 60)


@pytest.mark.parametrize(
    "other",
    [
        ("a", *ASKED[1:]), ("b", "terminate", *ASKED[2:]), (*ASKED[:2], "y", *ASKED[3:]),
        (*ASKED[:3], {"n": 2}, 60), (*ASKED[:4], 61), (*ASKED[:4], 0), (*ASKED[:4], None),
    ],
    ids=str,
)  # fmt: skip
def test_a_proposers_signature_is_for_one_proposal(other):
    c = keyed()
    signature = sign_proposal(SIGNERS["b"], c.request(*ASKED))
    with pytest.raises(BadSignatureError):
        c.propose(*other, signature=signature)
    assert c.propose(*ASKED, signature=signature) == "p1"


def test_a_proposers_signature_counts_once_and_in_one_council(ledger):
    """The attack: what a voter proposed once is put again and again, until its places are full."""
    c = keyed(ledger=ledger)
    signature = sign_proposal(SIGNERS["b"], c.request(*ASKED))
    c.propose(*ASKED, signature=signature)
    with pytest.raises(BadSignatureError):
        c.propose(*ASKED, signature=signature)
    for other in (keyed(), keyed(ledger=ledger, council_id="other")):
        with pytest.raises(BadSignatureError):
            other.propose(*ASKED, signature=signature)
    book = c._seat.book
    body = {**c.audit_log[1].details, "proposal": "p2"}
    for turn in (0, 1, True):
        with pytest.raises((UsageError, MisbehaviourError)):
            book.next(book.draft("proposed", book.last_at, **{**body, "turn": turn}))


def test_a_proposal_with_a_key_of_its_own_is_signed_too():
    c = keyed()
    p = put(c, *ASKED, key="k")
    assert put(c, *ASKED, key="k") == p
    with pytest.raises(UnsignedBallotError):
        c.propose(*ASKED, key="other")


def test_who_has_no_key_needs_no_signature_and_cannot_give_one():
    c = council("abcd", keys={"a": KEYS["a"]})
    assert c.propose("b", "quarantine", "x") == "p1"
    with pytest.raises(UsageError, match="no registered key"):
        c.propose("b", "quarantine", "x", signature="00" * 64)
    assert any("3 of 4 voters have no key (b, c, d)" in x for x in c.summary()["cautions"])
    assert not any("no key" in caution for caution in keyed().summary()["cautions"])


# --- what was read ----------------------------------------------------------------------


def test_another_proposal_than_the_one_that_was_read_gets_nothing(ledger):
    """The attack: p1 is another by the time it is voted on."""
    c = council("abcd", ledger=ledger)
    p = c.propose("a", "quarantine", "agent-7")
    read = c.get_proposal(p).digest
    for wrong in ("0" * 64, "f" * 8, read[:7] + "xyz", read.upper()[:9] + "G", "", read[:7], 7):
        for act in (
            lambda wrong=wrong: c.vote(p, "a", "approve", digest=wrong),
            lambda wrong=wrong: c.cancel(p, "a", digest=wrong),
            lambda wrong=wrong: c.execute(p, digest=wrong),
            lambda wrong=wrong: c.begin_execution(p, "x", digest=wrong),
        ):
            with pytest.raises(UsageError, match="digest"):
                act()
    assert len(ledger) == 2
    for voter, shown in zip("abc", (read, read[:8], read[:20]), strict=True):
        c.vote(p, voter, "approve", digest=shown)
    assert c.tally(p).approved
    assert c.execute(p, digest=read[:12])


# --- who executes -----------------------------------------------------------------------


def test_who_begins_or_marks_is_sealed_and_signed(ledger):
    c = keyed(ledger=ledger)
    one, two = (signed_through(c, put(c, v, "quarantine", "x")) for v in "ab")
    with pytest.raises(UnsignedBallotError, match="sign_execution"):
        c.execute(one, by="b")
    with pytest.raises(MisbehaviourError, match="no voter of this council"):
        c.execute(one, by="mallory")
    with pytest.raises(UsageError, match="nobody who signed"):
        c.execute(one, signature="00" * 64)
    proposal = c.get_proposal(one)
    signature = sign_execution(SIGNERS["b"], proposal, "b")
    for wrong in (
        lambda: c.execute(one, by="a", signature=signature),
        lambda: c.execute(two, by="b", signature=signature),
        lambda: c.begin_execution(one, "x", by="b", signature=signature),
    ):
        with pytest.raises(BadSignatureError):
            wrong()
    assert c.execute(one, by="b", signature=signature)
    assert "begun by b" in c.render()
    signature = sign_execution(SIGNERS["c"], c.get_proposal(two), "c", "hand")
    intent = c.begin_execution(two, "hand", by="c", signature=signature)
    assert (intent.proposal.begun.by, intent.proposal.begun.executor) == ("c", "hand")
    assert c.verify_audit_chain()
    verify_all(ledger)


def test_where_only_voters_execute_nobody_burns_an_approval_unnamed(ledger):
    c = keyed(ledger=ledger, config=ConsensusConfig(only_voters_execute=True))
    p = signed_through(c, put(c, "a", "quarantine", "x"))
    for unnamed in (lambda: c.execute(p), lambda: c.begin_execution(p, "x")):
        with pytest.raises(UsageError, match="only voters execute here"):
            unnamed()
    book = c._seat.book
    body = book.draft(
        "executed", book.last_at, proposal=p, digest=c.get_proposal(p).digest, by=None,
        signature=None,
    )  # fmt: skip
    with pytest.raises(UsageError, match="only voters execute here"):
        book.next(body)
    assert c.execute(p, by="a", signature=sign_execution(SIGNERS["a"], c.get_proposal(p), "a"))


def test_nobody_who_reads_the_ledger_can_tell_the_result(ledger):
    """The attack: the token was sealed in clear when the execution began."""
    c = council("abcd", ledger=ledger)
    p = c.propose("a", "quarantine", "x")
    passed(c, p, "abc")
    intent = c.begin_execution(p, "hand")
    sealed = b"".join(receipt.body_bytes for receipt in ledger)
    assert intent.token.encode() not in sealed
    assert intent.receipt.payload["token_digest"] == token_digest(intent.token)
    for guess in (token_digest(intent.token), c.get_proposal(p).token, "t", 7):
        with pytest.raises(UsageError):
            c.finish_execution(p, guess, "failed")
    c.finish_execution(p, intent.token, "executed")
    assert intent.token.encode() in list(ledger)[-1].body_bytes


@pytest.mark.parametrize("timeout", [-1, bounds.MAX_EXECUTION_SECONDS + 1, "1", float("nan")])
def test_a_time_for_the_execution_that_is_none_is_refused(timeout):
    c = council("abcd")
    p = c.propose("a", "quarantine", "x")
    passed(c, p, "abc")
    with pytest.raises(UsageError):
        c.begin_execution(p, "hand", timeout=timeout)
    assert c.get_proposal(p).execution is Execution.NONE


# --- who resolves -----------------------------------------------------------------------


def begun(c, p="p1", **options):
    c.propose("a", "quarantine", "x")
    passed(c, p, "abc")
    return c.begin_execution(p, "hand", **options)


def test_nobody_resolves_what_may_still_run_and_no_stranger_ever():
    clock = Clock()
    c = council("abcd", clock=clock)
    begun(c, timeout=90)
    clock.wait(89.999999)
    assert "p1: being executed by hand, its result is due 1970-01-01T00:01:31.000000Z" in c.render()
    with pytest.raises(UsageError, match="its result is due in 1 s"):
        c.resolve("p1", "failed", reason="it takes too long", by="b")
    clock.wait(0.000001)
    with pytest.raises(MisbehaviourError, match="no voter of this council"):
        c.resolve("p1", "failed", reason="so", by="nobody at all")
    assert c.get_proposal("p1").execution is Execution.INTENT
    assert "p1: nobody knows whether it was executed" in c.render()
    assert c.resolve("p1", "failed", reason="looked", by="b").execution is Execution.FAILED


def test_nobody_says_of_themselves_that_it_was_done():
    c = council("abcd")
    p = c.propose("a", "quarantine", "d")
    passed(c, p, "abc")
    for act in (lambda: c.execute(p, by="d"), lambda: c.begin_execution(p, "x", by="d")):
        with pytest.raises(MisbehaviourError, match="nobody says of themselves") as caught:
            act()
        assert caught.value.culprit == "d"
    c.begin_execution(p, "x", by="c", timeout=0)
    with pytest.raises(MisbehaviourError, match="nobody says of themselves"):
        c.resolve(p, "executed", reason="I am in quarantine", by="d")
    assert c.resolve(p, "failed", reason="it answers", by="a").execution is Execution.FAILED


def test_a_resolution_is_signed_by_its_voter(ledger):
    clock = Clock()
    c = keyed(ledger=ledger, clock=clock)
    p = signed_through(c, put(c, "a", "quarantine", "x"))
    c.begin_execution(p, "hand", timeout=0)
    with pytest.raises(UnsignedBallotError, match="sign_resolution"):
        c.resolve(p, "executed", reason="looked", by="b")
    proposal = c.get_proposal(p)
    signature = sign_resolution(SIGNERS["b"], proposal, "b", "executed", "looked")
    for said in (
        {"outcome": "failed"}, {"reason": "other"}, {"by": "a"}, {"signature": "00" * 64},
    ):  # fmt: skip
        given = {"outcome": "executed", "reason": "looked", "by": "b", "signature": signature}
        with pytest.raises(BadSignatureError):
            c.resolve(p, **(given | said))
    told = c.resolve(p, Execution.EXECUTED, reason="looked", by="b", signature=signature)
    assert (told.status, told.execution) == (ProposalStatus.EXECUTED, Execution.EXECUTED)
    verify_all(ledger)


@pytest.mark.parametrize("resolved", ["executed", "failed"])
@pytest.mark.parametrize("told", ["executed", "failed", "unknown"])
def test_who_began_it_is_heard_after_it_was_resolved(ledger, resolved, told):
    """A hasty word by hand does not keep the true result out: a contradiction is open again."""
    c = council("abcd", ledger=ledger)
    intent = begun(c, timeout=0)
    c.resolve("p1", resolved, reason="it looked so", by="b")
    after = c.finish_execution("p1", intent.token, told, {"pid": 7})
    contradicted = {resolved, told} == {"executed", "failed"}
    assert after.execution == ("unknown" if contradicted else resolved)
    assert after.outcome["outcome"] == told
    assert after.outcome["before"]["reason"] == "it looked so"
    assert (c.summary()["unresolved"] == ["p1"]) is contradicted
    assert c.execute("p1") is False
    assert c.begin_execution("p1", "again") is None
    with pytest.raises(UsageError):
        c.finish_execution("p1", intent.token, told)
    if contradicted:
        final = c.resolve("p1", "executed", reason="both looked", by="c")
        assert final.execution is Execution.EXECUTED
        assert final.outcome["before"]["before"]["by"] == "b"
    assert c.verify_audit_chain()
    verify_all(ledger)


def test_what_is_told_of_an_execution_is_a_copy():
    c = council("abcd")
    intent = begun(c)
    c.finish_execution("p1", intent.token, "executed", {"seen": [1]})
    c.get_proposal("p1").outcome["detail"]["seen"].append(2)
    assert c.get_proposal("p1").outcome["detail"] == {"seen": [1]}


# --- how long an approval holds ---------------------------------------------------------


def test_an_approval_lapses_at_its_very_microsecond(ledger):
    """The attack: a termination approved long ago is executed after the release."""
    clock = Clock()
    c = council("abcd", ledger=ledger, clock=clock)
    p, q = (c.propose("a", "terminate", "x", None, 60) for _ in range(2))
    passed(c, p, "abc")
    passed(c, q, "abc")
    clock.wait(WEEK - 0.000001)
    assert c.execute(q)
    clock.wait(0.000001)
    for act in (lambda: c.execute(p), lambda: c.begin_execution(p, "x")):
        with pytest.raises(UsageError, match=r"the approval of proposal p1 has lapsed"):
            act()
    book = c._seat.book
    digest = c.get_proposal(p).digest
    body = book.draft("executed", clock.now, proposal=p, digest=digest, by=None, signature=None)
    with pytest.raises(UsageError, match="has lapsed"):
        book.next(body)
    assert c.get_proposal(p).execution is Execution.NONE
    assert "p1 terminate x (critical): approved, decided, lapsed" in c.render()
    forever = council("abcd", clock=clock, config=ConsensusConfig(execute_within_seconds=0))
    r = forever.propose("a", "terminate", "x")
    passed(forever, r, "abc")
    clock.wait(10 * WEEK)
    assert forever.execute(r)


def test_a_quorum_takes_an_approval_back_until_it_is_begun(ledger):
    c = council("abcd", ledger=ledger)
    p, q = (c.propose("a", "terminate", "x") for _ in range(2))
    passed(c, p, "abc")
    # No voter alone, not even the proposer.
    assert [c.cancel(p, voter) for voter in "ab"] == [False, False]
    with pytest.raises(UsageError, match="called proposal p1 off already"):
        c.cancel(p, "a")
    assert c.get_proposal(p).status is ProposalStatus.DECIDED
    assert c.cancel(p, "d") is True
    assert c.get_proposal(p).status is ProposalStatus.CANCELLED
    assert c.tally(p).decision is Decision.REJECTED
    assert c.execute(p) is False
    with pytest.raises(UsageError, match="was cancelled"):
        c.begin_execution(p, "x")
    passed(c, q, "abc")
    c.begin_execution(q, "x")
    with pytest.raises(UsageError, match="its execution has begun"):
        c.cancel(q, "a")
    assert c.verify_audit_chain()
    verify_all(ledger)
