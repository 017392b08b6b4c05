"""A proposal's key: repeated, it proposes once, whoever writes to the ledger meanwhile."""

import pytest
from council_tools import KEY, Clock, council, verify_all

from quorate.core.errors import UsageError
from quorate.council import ConsensusProtocol
from quorate.council import protocol as module
from quorate.ledger import Ledger

ASKED = ("a", "quarantine", "x", {"a": [1, 2]}, 60)


def test_a_key_is_sealed_with_the_proposal_and_read_again_by_another_seat(ledger):
    c = council(ledger=ledger)
    id_ = c.propose(*ASKED, key="k")
    assert ConsensusProtocol.reopen(ledger).propose(*ASKED, key="k") == id_
    assert c.propose(*ASKED) == "p2"
    assert len(c.list_proposals()) == 2
    assert c.verify_audit_chain()
    verify_all(ledger)


def test_it_is_the_same_proposal_whatever_became_of_it(ledger):
    clock = Clock()
    c = council(ledger=ledger, clock=clock)
    c.propose(*ASKED, key="k")
    clock.wait(61)
    assert c.propose(*ASKED, key="k") == "p1"
    assert c.get_proposal("p1").status == "expired"


@pytest.mark.parametrize(
    "other",
    [
        ("a", "restrict", "x", {"a": [1, 2]}, 60),
        ("a", "quarantine", "y", {"a": [1, 2]}, 60),
        # To Python, True is 1; to what is sealed it is not.
        ("a", "quarantine", "x", {"a": [True, 2]}, 60),
        ("a", "quarantine", "x", {"a": [1, 2]}, 61),
        ("a", "quarantine", "x", {"a": [1, 2]}, 0),
    ],
)
def test_another_proposal_under_the_key_is_refused(ledger, other):
    c = council(ledger=ledger)
    c.propose(*ASKED, key="k")
    with pytest.raises(UsageError, match="the key 'k' stands for proposal p1, which has another"):
        c.propose(*other, key="k")
    assert len(c.list_proposals()) == 1


def test_councils_of_one_ledger_and_voters_have_keys_of_their_own(ledger):
    one, two = council(ledger=ledger), council(ledger=ledger, council_id="other")
    assert [c.propose(*ASKED, key="k") for c in (one, two)] == ["p1", "p1"]
    assert one.propose("b", *ASKED[1:], key="k") == "p2"


@pytest.mark.parametrize("key", ["", "k" * 257, 7, b"k"])
def test_what_is_no_key_is_refused(ledger, key):
    c = council(ledger=ledger)
    with pytest.raises((UsageError, TypeError)):
        c.propose(*ASKED, key=key)
    assert c.list_proposals() == []


@pytest.mark.parametrize("repeated", [True, False])
def test_who_writes_between_the_look_and_the_seal_changes_nothing(ledger, monkeypatch, repeated):
    """The same proposal under the same key, or another event, sealed at the worst moment."""
    clock = Clock()
    c, other = council(ledger=ledger, clock=clock), council(ledger=ledger, clock=clock)
    real, done = Ledger.append, []

    def append(self, kind, body, **options):
        if not done:
            done.append(True)
            other.propose(*ASKED, key="k" if repeated else "another")
        return real(self, kind, body, **options)

    monkeypatch.setattr(Ledger, "append", append)
    assert c.propose(*ASKED, key="k") == ("p1" if repeated else "p2")
    assert [p.id for p in c.list_proposals()] == (["p1"] if repeated else ["p1", "p2"])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("note", {"proposal": "p1", "event": "proposed"}),
        ("note", "text"),
        ("council", {"proposal": "p1", "event": "proposed", "digest": "f" * 64}),
    ],
)
def test_what_else_is_sealed_under_the_key_is_no_proposal(ledger, kind, body):
    """Whoever has the ledger's key may seal anything under any key."""
    c = council(ledger=ledger)
    c.propose("b", "restrict", "y")
    name = module._key_of(c._seat.book, "a", "k")
    ledger.append(kind, body, trace_id="elsewhere", key=name)
    with pytest.raises(UsageError, match="which proposes nothing"):
        c.propose(*ASKED, key="k")
    assert len(c.list_proposals()) == 1


def test_nothing_is_sealed_under_a_key_that_the_rules_refuse():
    with Ledger.open("memory:", signer=KEY, origin="example.org/council") as ledger:
        c = council(ledger=ledger)
        size = len(ledger)
        with pytest.raises(Exception, match="no voter"):
            c.propose("stranger", *ASKED[1:], key="k")
        assert len(ledger) == size
