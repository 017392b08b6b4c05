"""What oversight makes of a record that is unsound, cut, or cannot be read just then."""

import pytest
from oversight_tools import panel, tamper

from quorate.core.errors import StoreError, VerificationError
from quorate.hub import Hub
from quorate.hub.oversight import KIND, HaltedError, Oversight
from quorate.ledger import Ledger


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


def test_an_entry_that_is_no_sound_oversight_halts(ledger):
    ledger.append(KIND, {"rule": "oversight/1", "event": "resume", "by": "x", "reason": "y"})
    hub = Hub(panel([]), ledger=ledger)
    with pytest.raises(HaltedError, match="entry 0 is no sound oversight"):
        hub.dispatch("one")
    Oversight(ledger).resume("J. Doe", "somebody wrote to it")
    assert hub.dispatch("one").consensus == "yes"


def test_an_override_by_another_hash_is_none_and_halts(ledger):
    hub = Hub(panel([]), ledger=ledger)
    seq = hub.dispatch("one").receipt.seq
    body = {
        "rule": "oversight/1",
        "event": "override",
        "by": "x",
        "reason": "y",
        "decision": {"seq": seq, "hash": "0" * 64},
        "answer": "no",
    }
    ledger.append(KIND, body)
    assert Oversight(ledger).standing(seq) is None
    assert Oversight(ledger).halted is not None


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("DELETE FROM entries WHERE seq >= 1", "truncation"),
        ("DELETE FROM entries WHERE seq = 1", "sequence"),
        ("UPDATE entries SET entry = replace(entry, '\"oversight\"', '\"note\"')", "chain"),
    ],
)
def test_a_halt_that_is_cut_out_of_the_log_is_missed(ledger, statement, rule):
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    hub.dispatch("one")
    Oversight(ledger).halt("J. Doe", "stop")
    if rule == "truncation":
        assert oversight.halted.by == "J. Doe"
    else:
        ledger.append("note", {})
    tamper(ledger, statement)
    for _ in range(2):
        with pytest.raises(VerificationError) as caught:
            oversight.check()
        assert caught.value.rule == rule


def test_a_log_is_followed_once_and_read_on_only_where_it_grew(ledger, monkeypatch):
    oversight, reads = Oversight(ledger), []
    real = oversight._follower.read
    monkeypatch.setattr(oversight._follower, "read", lambda: reads.append(1) or real())
    ledger.append("note", {})
    for _ in range(5):
        oversight.check()
    assert len(reads) == 1
    ledger.append("note", {})
    oversight.check()
    assert len(reads) == 2
    assert oversight._follower.size == 2


def test_what_could_not_be_taken_in_is_not_passed_over(ledger, monkeypatch):
    """An override whose decision cannot be read just then: nothing is known until it can."""
    hub, oversight = Hub(panel([]), ledger=ledger), Oversight(ledger)
    seq = hub.dispatch("one").receipt.seq
    Oversight(ledger).override(seq, "J. Doe", "because", "no")
    Oversight(ledger).halt("J. Doe", "stop")

    def broken(number):
        raise StoreError("the disk is gone")

    monkeypatch.setattr(ledger, "get", broken)
    for _ in range(2):
        with pytest.raises(StoreError):
            oversight.check()
    monkeypatch.undo()
    with pytest.raises(HaltedError):
        oversight.check()
    assert oversight.standing(seq).answer == "no"
