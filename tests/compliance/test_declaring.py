"""Which system a ledger is the record of: from which entry on, and that no record is taken over."""

import pytest
from collect_tools import SCOPE, SYSTEM, Place
from hypothesis import given
from hypothesis import strategies as st

from quorate.compliance import System
from quorate.compliance.declaring import (
    Declaration,
    Declarations,
    declarations,
    declare_system,
    described,
    find_declaration,
    replay,
    scope_of,
)
from quorate.compliance.evidence import Scope
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.ledger import Ledger

MINE = Scope(**SCOPE)
NEXT = {"name": "triage", "version": "2.2.0"}


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened


def notes(ledger, number):
    for _ in range(number):
        ledger.append("note", {})


def ranges(ledger, system=SYSTEM):
    return declarations(ledger).ranges(scope_of(System.read(system)), len(ledger))


def declare(ledger, system=SYSTEM, **more):
    return declare_system(ledger, system, by="J. Doe", **more)


def body(**changes):
    made = Declaration(System.read(SYSTEM), 0, "J. Doe").to_dict()
    return {name: told for name, told in (made | changes).items() if told is not ...}


def test_a_ledger_that_declares_nothing_is_nobodys_record(ledger):
    notes(ledger, 3)
    assert ranges(ledger) == ()
    assert find_declaration(ledger, MINE) is None


def test_from_the_declaration_on_unless_told(ledger):
    notes(ledger, 2)
    sealed = declare(ledger)
    notes(ledger, 1)
    assert (sealed.kind, sealed.payload["since"]) == ("system", 2)
    assert ranges(ledger) == (range(2, 4),)
    assert ranges(ledger, NEXT) == ()
    assert ledger.verify(replay=True).replayed == 1


def test_it_may_reach_back_over_what_was_nobodys(ledger):
    notes(ledger, 3)
    declare(ledger, since=1)
    assert ranges(ledger) == (range(1, 4),)
    declare(ledger, since=0)
    assert ranges(ledger) == (range(5),)
    # The same declared again from here on takes nothing back.
    declare(ledger)
    assert ranges(ledger) == (range(6),)


def test_another_version_ends_it_and_takes_nothing_over(ledger):
    declare(ledger)
    notes(ledger, 3)
    with pytest.raises(UsageError, match=r"the entries before 4 are the record of triage 2\.1\.0"):
        declare(ledger, NEXT, since=3)
    assert len(ledger) == 4
    declare(ledger, NEXT)
    notes(ledger, 1)
    assert (ranges(ledger), ranges(ledger, NEXT)) == ((range(4),), (range(4, 6),))
    # Nor by declaring twice.
    with pytest.raises(UsageError, match=r"the entries before 4 are the record of triage 2\.1\.0"):
        declare(ledger, NEXT, since=0)
    declare(ledger)
    assert ranges(ledger) == (range(4), range(6, 7))
    assert ranges(ledger, NEXT) == (range(4, 6),)
    with pytest.raises(UsageError, match=r"the entries before 6 are the record of triage 2\.2\.0"):
        declare(ledger, since=5)


def test_a_name_alone_is_not_the_system(ledger):
    declare(ledger)
    for other in ({"name": "triage", "version": "2.1"}, {"name": "Triage", "version": "2.1.0"}):
        assert ranges(ledger, other) == ()


def test_it_does_not_reach_past_itself(ledger):
    with pytest.raises(UsageError, match="since is 1, and the declaration is entry 0"):
        declare(ledger, since=1)
    assert len(ledger) == 0


def test_the_last_declaration_tells_role_and_silence(ledger):
    declare(ledger, silence_seconds=60)
    declare(ledger, SYSTEM | {"role": "deployer"}, silence_seconds=90)
    declare(ledger, NEXT)
    receipt, found = find_declaration(ledger, MINE)
    assert (receipt.seq, found.system.role, found.silence_seconds) == (1, "deployer", 90)
    assert find_declaration(ledger, found.system) == (receipt, found)
    assert Declaration.from_dict(receipt.payload) == found
    assert described(receipt.payload) == (
        "J. Doe declared the entries from 1 on the record of triage 2.1.0, with at most "
        "90 seconds without an entry."
    )


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"since": -1}, "the number of an entry"),
        ({"since": True}, "whole number"),
        ({"since": "0"}, "whole number"),
        ({"silence_seconds": 0}, "1 or more"),
        ({"silence_seconds": 1.5}, "whole seconds"),
        ({"silence_seconds": True}, "whole seconds"),
        ({"system": {"name": "x"}}, "the system"),
        ({"system": {"name": "undeclared", "version": "undeclared"}}, "no system is named"),
        ({"by": ""}, "name"),
        ({"by": "two\nlines"}, "on one line"),
    ],
)
def test_arguments_that_cannot_be_used(ledger, more, told):
    given = {"system": SYSTEM, "by": "J. Doe"} | more
    with pytest.raises(UsageError, match=told):
        declare_system(ledger, given.pop("system"), **given)
    assert len(ledger) == 0


def test_a_declaration_takes_a_system():
    with pytest.raises(UsageTypeError, match="give a System"):
        Declaration(SYSTEM, 0, "J. Doe")


@pytest.mark.parametrize(
    ("sealed", "told"),
    [
        (None, "should be an object"),
        ([], "should be an object"),
        (body(rule="system/2"), "reads system/1"),
        (body(rule=...), "lacks rule"),
        (body(more=1), "unknown keys"),
        (body(since=1), "and the declaration is entry 0"),
        (body(system=SYSTEM), "not written whole"),
        (body(system=None), "the system"),
        (body(silence_seconds=None), "whole seconds"),
        (body(silence_seconds=2.5), "whole seconds"),
    ],
)
def test_what_is_no_declaration_does_not_verify(ledger, sealed, told):
    ledger.append("system", sealed)
    with pytest.raises(VerificationError, match="the system declared is not sound") as caught:
        ledger.verify(replay=True)
    assert told in str(caught.value)
    assert caught.value.rule == "replay"
    with pytest.raises(VerificationError, match="the system declared is not sound") as caught:
        declarations(ledger)
    assert caught.value.index == 0
    with pytest.raises(VerificationError):
        declare(ledger)


def test_a_record_taken_over_by_hand_does_not_verify(ledger):
    declare(ledger)
    notes(ledger, 2)
    stolen = Declaration(System.read(NEXT), 1, "J. Doe")
    ledger.append("system", stolen.to_dict())
    with pytest.raises(VerificationError, match=r"are the record of triage 2\.1\.0"):
        ledger.verify(replay=True)
    with pytest.raises(VerificationError, match=r"are the record of triage 2\.1\.0"):
        declarations(ledger)


def test_on_its_own_a_body_is_checked_as_far_as_it_goes():
    replay("system", body(since=7))
    with pytest.raises(VerificationError):
        replay("note", body())


def test_a_declaration_hidden_by_its_indexed_kind_is_found(tmp_path):
    place = Place(tmp_path)
    with place.open() as ledger:
        declare(ledger)
        notes(ledger, 1)
    place.tamper("UPDATE entries SET kind = 'note' WHERE kind = 'system'")
    with place.open() as ledger:
        assert list(ledger.find(kind="system")) == []
        with pytest.raises(VerificationError):
            declarations(ledger)


def test_another_writer_in_between_is_heeded(ledger, monkeypatch):
    real, meanwhile = Ledger.append, [NEXT]

    def append(self, kind, sealed, **more):
        if meanwhile:
            system = System.read(meanwhile.pop())
            real(self, "system", Declaration(system, 0, "K. Roe").to_dict())
        return real(self, kind, sealed, **more)

    monkeypatch.setattr(Ledger, "append", append)
    assert declare(ledger).payload["since"] == 1
    meanwhile.append(NEXT)
    with pytest.raises(VerificationError, match=r"are the record of triage 2\.1\.0"):
        declare(ledger)


def naive_owner(sealed, size):
    """Whose each entry is: every declaration paints over, entry by entry, what is nobody's."""
    owner = [None] * size
    ordered = dict(sealed)
    current = None
    for seq in range(size):
        if seq in ordered:
            current = ordered[seq].scope
            for earlier in range(ordered[seq].since, seq):
                if owner[earlier] is None:
                    owner[earlier] = current
        owner[seq] = current
    return owner


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab"), st.integers(0, 9)), max_size=6),
    st.integers(0, 3),
)
def test_whose_an_entry_is_follows_entry_by_entry(steps, tail):
    found, sealed, seq = Declarations(), [], 0
    for gap, name, back in steps:
        seq += gap
        one = Declaration(System(name=name, version="1"), max(0, seq - back), "J. Doe")
        before = naive_owner(sealed, seq)
        # It may reach what is nobody's, or its own already.
        fits = all(whose in (None, one.scope) for whose in before[one.since :])
        try:
            found.take(seq, one)
        except UsageError:
            assert not fits
            continue
        assert fits
        sealed.append((seq, one))
        seq += 1
    size = seq + tail
    owner = naive_owner(sealed, size)
    for name in "abc":
        scope = Scope(system=name, version="1")
        mine = [seq for one in found.ranges(scope, size) for seq in one]
        assert mine == [seq for seq in range(size) if owner[seq] == scope]
