"""Attacks on a council by whoever can write its file, has its ledger's key, or turns a clock."""

import threading
from itertools import product

import pytest
from council_tools import KEY, Clock, approve, council, passed, sql

import quorate
from quorate.core.errors import StoreError, UsageError, VerificationError
from quorate.council import ConsensusConfig, ConsensusProtocol, Decision, ProposalStatus
from quorate.council.book import Book
from quorate.ledger import Ledger

DAY = 86_400 * 10**6


def approved(ledger, voters="abcd", **options):
    c = council(voters, ledger=ledger, **options)
    p = c.propose("a", "terminate", "agent")
    assert passed(c, p, voters).approved
    return c, p


# --- what nobody signs ------------------------------------------------------------------


@pytest.mark.parametrize("column", ["kind", "trace_id"])
@pytest.mark.parametrize("event", ["executed", "cancel"])
def test_an_event_behind_a_changed_column_is_not_passed_over(ledger, column, event):
    """The attack: nobody signs the columns by which entries are found."""
    c, p = approved(ledger)
    if event == "executed":
        assert c.execute(p)
    else:
        assert [c.cancel(p, voter) for voter in "abc"] == [False, False, True]
    # What others seal comes after it, so that the last row is not the one that was touched.
    ledger.append("notice", {"any": 1})
    seq = next(r.seq for r in ledger if r.kind == "council" and r.payload["event"] == event)
    if event == "cancel":
        seq += 2
    sql(ledger, f"UPDATE entries SET {column} = 'x' WHERE seq = ?", seq)  # noqa: S608
    with pytest.raises(VerificationError) as caught:
        ConsensusProtocol.reopen(ledger).execute(p)
    assert (caught.value.index, caught.value.rule) == (seq, "look-up")


def test_what_is_taken_out_as_it_is_written_is_nobodys(ledger):
    """The attack: a trigger put into the file, which deletes each execution."""
    c, p = approved(ledger)
    sql(
        ledger,
        "CREATE TRIGGER t AFTER INSERT ON entries WHEN new.body LIKE '%\"executed\"%' "
        "BEGIN DELETE FROM entries WHERE seq = new.seq; END",
    )
    with pytest.raises((VerificationError, StoreError)):
        c.execute(p)


@pytest.mark.parametrize("trace", [None, "elsewhere"])
@pytest.mark.parametrize("event", ["executed", "voted"])
def test_an_event_under_another_trace_id_is_found_by_all_or_none(ledger, trace, event):
    """The attack: counted by the one verifier, and not seen by the seats."""
    c, p = approved(ledger)
    book = c._seat.book
    members = {"by": None, "signature": None}
    if event == "voted":
        p = c.propose("b", "restrict", "x")
        members = {
            "voter": "a", "value": "approve", "reason": None, "revision": 0, "signature": None,
        }  # fmt: skip
    body = book.draft(event, book.last_at, proposal=p, digest=c.get_proposal(p).digest, **members)
    seq = ledger.append("council", body, trace_id=trace).seq
    for look in (
        lambda: quorate.verify(ledger, keys=[KEY.verifier], replay=True),
        c.verify_audit_chain,
        lambda: c.execute("p1"),
        lambda: ConsensusProtocol.reopen(ledger),
    ):
        with pytest.raises(VerificationError, match="trace id") as caught:
            look()
        assert caught.value.index == seq


# --- clocks -----------------------------------------------------------------------------


def test_one_fast_clock_ends_nothing_and_keeps_nothing_open(ledger):
    """The attack: a seat a year ahead tallies, and every open proposal is over."""
    c = council("abcd", ledger=ledger)
    p = c.propose("a", "terminate", "x", expiry_seconds=3600)
    approve(c, p, "ab")
    ahead = Clock(ledger.clock() + 365 * DAY)
    fast = ConsensusProtocol.reopen(ledger, clock=ahead)
    for act in (
        lambda: fast.tally(p),
        lambda: fast.propose("d", "restrict", "x"),
        fast.settle,
    ):
        with pytest.raises(UsageError, match="clock is 31536000 s ahead of the ledger's"):
            act()
    c.vote(p, "c", "approve")
    assert c.tally(p).approved
    assert c.verify_audit_chain()


@pytest.mark.parametrize("offset", [-301, 301])
@pytest.mark.parametrize("event", ["opened", "voted"])
def test_an_event_dated_far_from_its_entry_is_refused_as_a_record(ledger, offset, event):
    """The attack: forged with the ledger's key, past what the clock of its machine says."""
    clock = Clock(10**15)
    c = council("abcd", ledger=ledger, clock=clock)
    if event == "voted":
        p = c.propose("a", "terminate", "x")
        clock.wait(max(0, -offset))
        book = c._seat.book
        at = clock.now + offset * 10**6
        body = book.draft(
            "voted", at, proposal=p, digest=c.get_proposal(p).digest, voter="a",
            value="approve", reason=None, revision=0, signature=None,
        )  # fmt: skip
        ledger.append("council", body, trace_id="council")
    else:
        told = c.audit_log[0].details
        body = Book("forged").draft("opened", clock.now + offset * 10**6, **told)
        ledger.append("council", body, trace_id="forged")
    with pytest.raises(VerificationError, match="at most 300 s may lie between"):
        ConsensusProtocol.reopen(ledger, council_id=body["council"])
    with pytest.raises(VerificationError, match="at most 300 s may lie between"):
        quorate.verify(ledger, keys=[KEY.verifier], replay=True)


def test_a_process_that_slept_between_the_two_dates_its_event_anew(ledger, monkeypatch):
    """A vote sealed long after its proposal expired would count as one from before."""
    clock = Clock()
    c = council("abcd", ledger=ledger, clock=clock)
    p = c.propose("a", "quarantine", "x", expiry_seconds=3600)
    real = Ledger.append

    def slept(self, *args, **options):
        monkeypatch.setattr(Ledger, "append", real)
        clock.wait(30 * 86_400)
        return real(self, *args, **options)

    monkeypatch.setattr(Ledger, "append", slept)
    with pytest.raises(UsageError, match="its time is up"):
        c.vote(p, "b", "approve")
    assert c.get_proposal(p).votes == {}
    assert c.tally(p).decision is Decision.NO_QUORUM


def test_a_seat_far_behind_the_ledger_writes_nothing_until_it_is_told_to(ledger):
    clock = Clock()
    c = council("abcd", ledger=ledger, clock=clock)
    p = c.propose("a", "quarantine", "x")
    clock.wait(2 * 86_400)
    ledger.append("note", "from a machine that is two days ahead")
    clock.wait(-2 * 86_400)
    size = len(ledger)
    with pytest.raises(UsageError, match="172800 s behind the last entry of the ledger"):
        c.vote(p, "a", "approve")
    # What is there already is told all the same.
    assert c.tally(p).decision is Decision.PENDING
    assert (len(ledger), c.now()) == (size, clock.now)
    by_ledger = ConsensusProtocol.reopen(ledger, follow_ledger_time=True)
    assert by_ledger.now() == clock.now + 2 * DAY
    approve(by_ledger, p, "abc")
    assert by_ledger.tally(p).approved
    assert quorate.verify(ledger, keys=[KEY.verifier], replay=True)
    clock.wait(2 * 86_400)
    assert c.execute(p)


def test_an_entry_far_ahead_that_comes_in_between_is_told_as_what_it_is(ledger, monkeypatch):
    clock = Clock()
    c = council("abcd", ledger=ledger, clock=clock)
    p = c.propose("a", "quarantine", "x")
    real = Ledger.append

    def overtaken(self, *args, **options):
        monkeypatch.setattr(Ledger, "append", real)
        clock.wait(86_400)
        real(self, "note", "from a machine that is a day ahead")
        clock.wait(-86_400)
        return real(self, *args, **options)

    monkeypatch.setattr(Ledger, "append", overtaken)
    with pytest.raises(UsageError, match="86400 s behind the last entry of the ledger"):
        c.vote(p, "a", "approve")
    assert c.get_proposal(p).votes == {}
    assert c.verify_audit_chain()


def test_within_the_tolerance_clocks_may_differ(ledger):
    clock = Clock()
    config = ConsensusConfig(clock_tolerance_seconds=2)
    c = council("abcd", ledger=ledger, clock=clock, config=config)
    ahead = Clock(clock.now + 2_000_000)
    other = ConsensusProtocol.reopen(ledger, clock=ahead)
    p = other.propose("a", "quarantine", "x")
    assert c.now() == ahead.now
    c.vote(p, "b", "approve")
    assert c.get_proposal(p).votes["b"].at == ahead.now
    assert c.verify_audit_chain()
    ahead.wait(0.000001)
    with pytest.raises(UsageError, match="this machine's clock"):
        other.vote(p, "c", "approve")


@pytest.mark.parametrize("wrong", [0, -1, 86_401, float("nan"), "5m", True])
def test_a_tolerance_that_is_none_is_refused(wrong):
    with pytest.raises(UsageError, match="clock_tolerance_seconds"):
        ConsensusConfig(clock_tolerance_seconds=wrong)


# --- others in the ledger ---------------------------------------------------------------


def test_whoever_else_writes_to_the_ledger_keeps_no_vote_out(ledger, monkeypatch):
    """The attack, and ordinary use: something else is always sealed first."""
    c = council("abcd", ledger=ledger)
    p = c.propose("a", "terminate", "x")
    real, tried = Ledger.append, []

    def busy(self, kind, *args, **options):
        if kind == "council":
            tried.append(real(self, "decision", {"n": len(tried)}))
        return real(self, kind, *args, **options)

    monkeypatch.setattr(Ledger, "append", busy)
    approve(c, p, "abc")
    assert len(tried) == 3
    assert c.tally(p).approved
    assert c.execute(p)
    assert ConsensusProtocol.reopen(ledger).get_proposal(p).status is ProposalStatus.EXECUTED


def test_several_seats_beside_a_busy_writer_lose_nothing(tmp_path):
    with Ledger.open(f"sqlite:///{tmp_path / 'c.db'}", signer=KEY) as ledger:
        seats = [council("abcd", ledger=ledger) for _ in range(2)]
        p = seats[0].propose("a", "terminate", "x")
        stop = threading.Event()

        def write():
            while not stop.is_set():
                ledger.append("decision", {"any": 1})

        busy = threading.Thread(target=write)
        busy.start()
        try:
            for n, voter in enumerate("abc"):
                seats[n % 2].vote(p, voter, "approve")
            assert {seat.tally(p).approved for seat in seats} == {True}
            assert sorted(seat.execute(p) for seat in seats) == [False, True]
        finally:
            stop.set()
            busy.join(60)
        assert seats[1].verify_audit_chain()


# --- places -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "most"),
    [(n, most) for n in (1, 2, 3, 4) for most in range(1, 9 if n == 4 else 13)],
)
def test_whatever_others_have_open_each_voter_may_have_its_share(n, most):
    """Every way in which the voters may hold places, by asking for one more after another."""
    voters = "abcd"[:n]
    c = council(voters, config=ConsensusConfig(max_active_proposals=most))
    book = c._seat.book
    config = c.config
    own = config.places_of_each(n)
    assert own == max(1, most // (2 * n))

    def may(held, voter):
        class Held:
            def __init__(self, by):
                self.proposer_id = by

        book.active = lambda _at: [Held(v) for v, k in held.items() for _ in range(k)]
        try:
            book._check_places(voter, 0)
        except UsageError:
            return False
        return True

    start = dict.fromkeys(voters, 0)
    seen, todo = {tuple(start.values())}, [start]
    while todo:
        held = todo.pop()
        for voter in voters:
            allowed = may(held, voter)
            # The dumb twin: places of its own, and one of those that nobody's share is.
            shared = max(0, most - own * n)
            taken = sum(max(0, k - own) for k in held.values())
            assert allowed is (held[voter] < own or taken < shared), (held, voter)
            if allowed:
                after = {**held, voter: held[voter] + 1}
                assert sum(after.values()) <= max(most, n)
                if tuple(after.values()) not in seen:
                    seen.add(tuple(after.values()))
                    todo.append(after)
    assert seen


@pytest.mark.parametrize(("first", "flooder"), [*product("bcd", "a")])
def test_one_voter_fills_no_place_of_another(first, flooder):
    """The attack: one honest proposal is open, and the liar takes all places that are left."""
    c = council("abcd")
    c.propose(first, "terminate", "agent-7")
    for _ in range(7):
        c.propose(flooder, "quarantine", "junk", None, 0)
    with pytest.raises(UsageError, match="each voter has 1 place of its own"):
        c.propose(flooder, "quarantine", "junk", None, 0)
    for voter in set("bcd") - {first}:
        c.propose(voter, "terminate", "agent-8")
    with pytest.raises(UsageError, match="open proposals: 10"):
        c.propose(first, "terminate", "agent-8")


def test_voters_that_are_gone_take_the_places_that_all_share():
    c = council("abcd", config=ConsensusConfig(max_active_proposals=6))
    for _ in range(3):
        c.propose("d", "restrict", "x")
    p = c.propose_electorate("a", [*"abc"])
    passed(c, p, "abc")
    assert c.execute(p)
    for voter in "abc":
        c.propose(voter, "restrict", "x")
        with pytest.raises(UsageError, match="open proposals"):
            c.propose(voter, "restrict", "x")
