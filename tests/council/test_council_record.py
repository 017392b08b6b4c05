"""Councils over a ledger: restarts, several seats, and what tampering comes to."""

import cProfile
import dataclasses
import pstats

import pytest
from council_tools import (
    KEY,
    Clock,
    approve,
    changed,
    council,
    forged,
    passed,
    rewrite_body,
    sql,
    verify_all,
)

from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.council import ConsensusConfig, ConsensusProtocol, Decision, ProposalStatus
from quorate.council.book import Book
from quorate.council.events import decided_members
from quorate.council.sealed import replay
from quorate.ledger import Ledger, following
from quorate.ledger.replay import ReplayContext


def shown(protocol):
    return [(p.id, p.state, p.digest, dict(p.votes), p.result) for p in protocol.list_proposals()]


def test_a_restart_finds_everything(tmp_path):
    url = f"sqlite:///{tmp_path / 'c.db'}"
    with Ledger.open(url, signer=KEY) as ledger:
        c = council(ledger=ledger)
        p = c.propose("a", "terminate", "x", {"n": 1})
        passed(c, p, "abcd")
        before = shown(c)
    with Ledger.open(url, signer=KEY) as ledger:
        again = council(ledger=ledger)
        assert shown(again) == before
        assert again.get_proposal(p).evidence == {"n": 1}
        assert again.execute(p) is True
        assert again.verify_audit_chain()
    with Ledger.open(url, verify_with=KEY.verifier) as ledger:
        reader = ConsensusProtocol.reopen(ledger)
        assert reader.get_proposal(p).status is ProposalStatus.EXECUTED
        assert reader.standing(p).approved
        assert reader.verify_audit_chain()
        with pytest.raises(UsageError, match="opened for reading"):
            reader.propose("a", "restrict", "x")


def test_opening_it_again_with_something_else_is_refused(ledger):
    council(ledger=ledger)
    for options, words in (
        ({"voters": "abcd"}, "voters or weights"),
        ({"weights": {"a": 1.5}}, "voters or weights"),
        ({"config": ConsensusConfig(quorum_fraction=0.6)}, "thresholds or limits"),
        ({"actions": {"notify": False}}, "other actions"),
        ({"keys": {"a": KEY.verifier}}, "other keys"),
    ):
        with pytest.raises(UsageError, match=words):
            council(ledger=ledger, **options)
    assert len(ledger) == 1
    assert council("edcba", ledger=ledger, weights={"a": 1.0}).voter_count == 5
    assert council("abc", ledger=ledger, council_id="another").voter_count == 3
    with pytest.raises(UsageError, match="no council 'third'"):
        ConsensusProtocol.reopen(ledger, council_id="third")


def test_two_councils_of_one_ledger_do_not_meet(ledger):
    one, two = council(ledger=ledger), council(ledger=ledger, council_id="other")
    p = one.propose("a", "terminate", "x")
    assert two.list_proposals() == []
    assert two.propose("a", "terminate", "x") == p
    assert two.get_proposal(p).digest != one.get_proposal(p).digest
    ledger.append("note", "not a council's")
    assert one.verify_audit_chain()
    assert two.verify_audit_chain()


def test_several_seats_see_one_council(ledger):
    seats = [council(ledger=ledger, clock=Clock(n)) for n in (5, 1, 3)]
    p = seats[0].propose("a", "terminate", "x")
    for n, voter in enumerate("abcd"):
        seats[n % 3].vote(p, voter, "approve")
    assert {seat.tally(p).approved for seat in seats} == {True}
    assert sorted(seat.execute(p) for seat in seats) == [False, False, True]
    assert shown(seats[0]) == shown(seats[1]) == shown(seats[2])


def test_a_command_reads_only_what_is_new(ledger, monkeypatch):
    c = council(ledger=ledger)
    for _ in range(5):
        passed(c, c.propose("a", "restrict", "x"), "abc")
    read = []
    real = following.read_row

    def counted(row, *rest):
        read.append(row.seq)
        return real(row, *rest)

    monkeypatch.setattr(following, "read_row", counted)
    size = len(ledger)
    p = c.propose("a", "restrict", "x")
    approve(c, p, "abc")
    c.tally(p)
    c.execute(p)
    # What it sealed itself is read back once, and nothing else.
    assert read == list(range(size, size + 6))
    ledger.append("note", "of no interest")
    other = council(ledger=ledger)
    read.clear()
    other.vote(other.propose("a", "restrict", "x"), "a", "approve")
    assert len(read) == 2
    read.clear()
    c.tally("p7")
    assert len(read) == 2


def work_of_a_proposal(c):
    """Function calls, and steps of SQLite, that one whole proposal takes."""
    steps = []
    c.ledger.store._db.set_progress_handler(lambda: steps.append(1), 1)
    profile = cProfile.Profile()
    profile.enable()
    c.execute(passed(c, c.propose("a", "restrict", "x"), "abc").proposal_id)
    profile.disable()
    c.ledger.store._db.set_progress_handler(None, 1)
    return pstats.Stats(profile).total_calls, len(steps)


def test_the_work_of_a_proposal_does_not_grow_with_history(ledger):
    c = council(ledger=ledger)
    work_of_a_proposal(c)
    early = work_of_a_proposal(c)
    for _ in range(100):
        passed(c, c.propose("a", "restrict", "x"), "abc")
    late = work_of_a_proposal(c)
    assert all(after <= 1.05 * before for before, after in zip(early, late, strict=True))


def test_the_audit_log_is_chained_and_shows_what_was_changed(told):
    log = told.audit_log
    assert [entry.number for entry in log] == list(range(len(log)))
    assert [entry.event for entry in log[:3]] == ["opened", "proposed", "voted"]
    assert all(entry.compute_hash() == entry.entry_hash for entry in log)
    assert [e.previous_hash for e in log[1:]] == [e.entry_hash for e in log[:-1]]
    vote = log[2]
    for change in (
        {"at": vote.at + 1}, {"number": 9}, {"event": "cancel"}, {"proposal_id": "p2"},
        {"details": {**vote.details, "value": "reject"}}, {"previous_hash": "0" * 64},
        {"council_id": "other"},
    ):  # fmt: skip
        changed = dataclasses.replace(vote, **change)
        assert changed.compute_hash() != vote.entry_hash


def test_a_stored_body_that_was_changed_is_found(ledger, told):
    for seq in (0, 2, 6, len(ledger) - 1):
        kept = ledger.get(seq).body_bytes.decode()
        rewrite_body(ledger, seq, lambda body: body.update(at=body["at"] + 1))
        with pytest.raises(VerificationError) as caught:
            told.verify_audit_chain()
        assert caught.value.index == seq
        sql(ledger, "UPDATE entries SET body = CAST(? AS TEXT) WHERE seq = ?", kept, seq)
        assert told.verify_audit_chain()


def test_a_tail_that_was_cut_off_is_found(ledger, told):
    note = ledger.checkpoint()
    sql(ledger, "DELETE FROM entries WHERE seq >= 12")
    for look in (
        told.verify_audit_chain,
        told.list_proposals,
        lambda: told.vote("p2", "b", "approve"),
    ):
        with pytest.raises(VerificationError, match="cut off") as caught:
            look()
        assert (caught.value.rule, caught.value.index) == ("truncation", 12)
    # Who comes later knows nothing of it, but for a checkpoint.
    later = council(ledger=ledger)
    assert later.verify_audit_chain()
    with pytest.raises(VerificationError, match="cut off"):
        later.verify_audit_chain(note)


def test_a_tail_that_was_cut_off_and_grown_anew_is_found(ledger, told):
    rows = len(ledger)
    sql(ledger, "DELETE FROM entries WHERE seq >= 12")
    forger = council(ledger=Ledger(ledger.store, signers=[KEY], clock=ledger.clock))
    while len(ledger) < rows:
        forger.propose("a", "restrict", "x")
    assert forger.verify_audit_chain()
    with pytest.raises(VerificationError):
        told.verify_audit_chain()


NOBODY = {"by": None, "signature": None}
INTENT = {"executor": "x", "due": 1_000_000, "token_digest": "0" * 64, **NOBODY}
STRANGE = {
    "a stranger's vote": ("voted", {"proposal": "p2", "voter": "mallory", "value": "approve"}),
    "a second vote": ("voted", {"proposal": "p2", "voter": "a", "value": "approve"}),
    "a vote on what is decided": ("voted", {"proposal": "p1", "voter": "e", "value": "reject"}),
    "no value": ("voted", {"proposal": "p2", "voter": "b", "value": "yes"}),
    "a later revision": (
        "voted", {"proposal": "p2", "voter": "b", "value": "approve", "revision": 1},
    ),
    "a revision of another type": (
        "voted", {"proposal": "p2", "voter": "b", "value": "approve", "revision": False},
    ),
    "a vote on no proposal": ("voted", {"proposal": "p9", "voter": "b", "value": "approve"}),
    "a cancellation by one": ("cancel", {"proposal": "p2", "voter": "b", "cancelled": True}),
    "an execution of what is open": ("executed", {"proposal": "p2", **NOBODY}),
    "an execution of what was rejected": ("executed", {"proposal": "p3", **NOBODY}),
    "an intent for what is open": ("intent", {"proposal": "p2", **INTENT}),
    "an intent that is due before it begins": ("intent", {"proposal": "p1", **INTENT, "due": 0}),
    "an intent that is never due": ("intent", {"proposal": "p1", **INTENT, "due": 2**52}),
    "an intent that shows its token": (
        "intent", {"proposal": "p1", **INTENT, "token_digest": "t0ken"},
    ),
    "an intent of a stranger": ("intent", {"proposal": "p1", **INTENT, "by": "mallory"}),
    "an execution by a stranger": (
        "executed", {"proposal": "p1", "by": "mallory", "signature": None},
    ),
    "an execution signed by nobody": (
        "executed", {"proposal": "p1", "by": None, "signature": "00" * 64},
    ),
    "a result without intent": (
        "result", {"proposal": "p1", "token": "t", "outcome": "executed", "detail": None},
    ),
    "a resolution of nothing": (
        "resolved", {"proposal": "p1", "outcome": "executed", "reason": "so", **NOBODY, "by": "a"},
    ),
    "an unknown event": ("crowned", {"proposal": "p1"}),
    "a second opening": (
        "opened", {"nonce": "n", "voters": {"m": "1"}, "keys": {}, "config": {}, "actions": {}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_a_forged_event_is_found_by_a_restart_a_seat_and_a_verifier(ledger, told, name):
    event, members = STRANGE[name]
    defaults = {
        "voted": {"reason": None, "revision": 0, "signature": None},
        "cancel": {"reason": None, "signature": None},
    }.get(event, {})
    known = {p.id: p.digest for p in told.list_proposals()}
    if event != "opened":
        defaults["digest"] = known.get(members["proposal"], "0" * 64)
    if event == "crowned":
        defaults = {}
    seq = forged(ledger, told, event, **{**defaults, **members}).seq
    for look in (lambda: council(ledger=ledger), told.list_proposals, told.verify_audit_chain):
        with pytest.raises(VerificationError) as caught:
            look()
        assert (caught.value.index, caught.value.rule) == (seq, "council")
    with pytest.raises(VerificationError):
        verify_all(ledger)


def test_a_right_log_replays(ledger, told):
    told.execute("p1")
    verify_all(ledger)


def test_the_same_events_left_out_or_put_elsewhere_do_not_replay(told):
    bodies = [receipt.payload for receipt in told.ledger]
    wrong = [bodies[:n] + bodies[n + 1 :] for n in range(len(bodies) - 1)]
    wrong += [
        [*bodies[:n], bodies[n + 1], bodies[n], *bodies[n + 2 :]] for n in range(len(bodies) - 1)
    ]
    wrong += [[*bodies[: n + 1], bodies[n], *bodies[n + 1 :]] for n in range(len(bodies))]
    for order in wrong:
        with pytest.raises(VerificationError, match=r"\[replay\]"):
            replay_all(order)


def replay_all(bodies):
    context = ReplayContext()
    for body in bodies:
        replay("council", body, context)


FORGERIES = [
    (("verdict", "decision"), "rejected"),
    (("verdict", "decision"), "pending"),
    (("verdict", "by"), "expiry"),
    (("verdict", "approvals"), 5),
    (("verdict", "approve_weight"), "5"),
    (("verdict", "registered_weight"), "4"),
    (("verdict", "threshold"), "1/2"),
    (("votes", 0, "value"), "reject"),
    (("votes", 0, "value"), "cheer"),
    (("votes", 0, "voter"), "mallory"),
    (("votes", 0, "voter"), "b"),
    (("votes", 0, "revision"), 1),
    (("votes", 0, "at"), 10**15),
    (("votes", 0, "at"), 0),
    (("votes", 0, "signature"), "00" * 64),
    (("votes",), []),
    (("votes",), None),
    (("subject", "target"), "other"),
    (("subject", "action"), "quarantine"),
    (("subject", "critical"), False),
    (("subject", "evidence_digest"), "0" * 64),
    (("subject", "proposer"), "mallory"),
    (("subject", "council"), "other"),
    (("subject",), {}),
    (("electorate", "voters", "e"), "9"),
    (("electorate", "voters"), dict.fromkeys("abcd", "1")),
    (("electorate",), {}),
    (("config", "supermajority_threshold"), "3/5"),
    (("config",), {}),
    (("digest",), "0" * 64),
    (("rule",), "council/2"),
    (("event",), "voted"),
    (("at",), -1),
]


def test_a_forged_decision_fails_on_its_own(told):
    body = told.certificate("p1").payload
    replay("council", body)
    for path, to in FORGERIES:
        with pytest.raises(VerificationError, match=r"\[replay\]"):
            replay("council", changed(body, *path, to=to))
    with pytest.raises(VerificationError, match="kind"):
        replay("decision", body)


@pytest.mark.parametrize(
    "body", [None, [], {}, "x", {"rule": "council/1"}, {"rule": "council/1", "event": []}]
)
def test_a_body_that_is_no_event_is_refused(body):
    with pytest.raises(VerificationError, match="no event"):
        replay("council", body)


def test_a_proposal_forged_under_a_lesser_rule_is_found(ledger, told):
    """Termination sealed as if it were routine, in its right place."""
    book = told._seat.book
    genuine = told.get_proposal("p1")
    subject = dataclasses.replace(genuine.subject, id="p4", critical=False, opened_at=book.last_at)
    forged(
        ledger, told, "proposed", proposal="p4", proposer="a", action="terminate", critical=False,
        target="agent", evidence={"why": "rss"}, expires_at=None,
        electorate=subject.electorate.digest, digest=subject.digest, turn=1, signature=None,
    )  # fmt: skip
    with pytest.raises(VerificationError, match="not registered like this"):
        told.list_proposals()


def test_each_thing_that_places_an_event_is_checked(told):
    """One at a time, all else being right."""
    bodies = [receipt.payload for receipt in told.ledger]
    vote = next(n for n, body in enumerate(bodies) if body["event"] == "voted")
    other = told.get_proposal("p2").digest
    assert bodies[vote]["at"] > 0
    for name, to in (
        ("number", vote + 1), ("previous", "0" * 64), ("at", bodies[vote]["at"] - 1),
        ("council", "other"), ("digest", other),
    ):  # fmt: skip
        with pytest.raises(VerificationError):
            replay_all([*bodies[:vote], changed(bodies[vote], name, to=to)])
    replay_all(bodies)


def test_an_opening_that_the_rules_refuse_is_found(ledger):
    told = council(ledger=ledger).audit_log[0].details
    for name, to in (
        ("voters", {"a": "9", "b": "1", "c": "1", "d": "1"}),
        ("voters", {"a": "2/2"}),
        ("keys", {"zed": KEY.verifier.to_text()}),
        ("actions", {"TERMINATE": False}),
        ("actions", {"Notify": False}),
        ("config", {}),
        ("nonce", None),
    ):
        book = Book("forged")
        with Ledger.open("memory:", signer=KEY, clock=Clock(1)) as fresh:
            body = book.draft("opened", 1, **{**told, name: to})
            fresh.append("council", body, trace_id="forged")
            with pytest.raises(VerificationError, match="entry 0"):
                ConsensusProtocol.reopen(fresh, council_id="forged")


def test_a_forged_verdict_is_found_by_every_seat(ledger, told):
    for voter in "bcde":
        told.vote("p2", voter, "approve")
    genuine = told.standing("p2")
    assert genuine.decision is Decision.APPROVED
    proposal = dataclasses.replace(told.get_proposal("p2"), result=genuine)
    members = decided_members(proposal)
    for path, to in (
        (("verdict", "decision"), "rejected"), (("verdict", "by"), "expiry"),
        (("votes",), members["votes"][:4]), (("votes", 0, "value"), "approve"),
        (("config", "quorum_fraction"), "1/3"), (("electorate", "voters", "a"), "1/2"),
    ):  # fmt: skip
        size, elsewhere = len(ledger), Ledger(ledger.store, signers=[KEY], clock=ledger.clock)
        forged(elsewhere, told, "decided", **changed(members, *path, to=to))
        with pytest.raises(VerificationError, match=f"entry {size}"):
            council(ledger=ledger)
        sql(ledger, "DELETE FROM entries WHERE seq = ?", size)
    assert told.tally("p2") == genuine


def test_a_termination_decided_as_if_it_were_routine_fails_on_its_own(told):
    """The attack: three approvals are enough for a routine action, and the log is one's own."""
    q = told.propose("a", "quarantine", "agent")
    passed(told, q, "abc")
    body = told.certificate(q).payload
    subject = dataclasses.replace(told.get_proposal(q).subject, action="terminate")
    lesser = {**body, "subject": subject.to_dict(), "digest": subject.digest}
    replay("council", body)
    with pytest.raises(VerificationError, match="critical"):
        replay("council", lesser)


def test_an_entry_of_another_key_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path / 'c.db'}"
    with Ledger.open(url, signer=KEY) as ledger:
        council(ledger=ledger)
    with pytest.raises(UsageError, match="last signed by key"):
        Ledger.open(url, signer=Ed25519Signer.generate())
