"""The last entry of the log is what the next one signs over: changed, it is not built upon."""

import json
import sqlite3

import pytest
from ledger_tools import KEY, ORIGIN, ledger_of, put_rows, rows, sql

from quorate.core.errors import StoreError, VerificationError
from quorate.ledger import Ledger
from quorate.ledger.entries import entry_hash


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'log.db'}"


def opened(url, signer=KEY):
    return Ledger.open(url, signer=signer, origin=ORIGIN)


def attack(url, *statements):
    """Change the file as somebody does who has it and no key."""
    database = sqlite3.connect(url.removeprefix("sqlite:///"))
    for statement in statements:
        database.execute(*statement) if isinstance(statement, tuple) else database.execute(
            statement
        )
    database.commit()
    database.close()


def rechained(url, start, **changes):
    """Change entry ``start``, and make all after it follow, as far as that goes without a key."""
    database = sqlite3.connect(url.removeprefix("sqlite:///"))
    found = database.execute("SELECT seq, entry FROM entries WHERE seq >= ? ORDER BY seq", (start,))
    prev = None
    for seq, raw in found.fetchall():
        entry = json.loads(raw) | ({"prev": prev} if prev else changes)
        new = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        prev = entry_hash(new.encode()).hex()
        statement = "UPDATE entries SET entry = ?, kind = ? WHERE seq = ?"
        database.execute(statement, (new, entry["kind"], seq))
    database.commit()
    database.close()


def refused(write):
    with pytest.raises(VerificationError) as caught:
        write()
    return caught.value.rule


@pytest.mark.parametrize("others", [1, 3], ids=["the last", "a suffix"])
@pytest.mark.parametrize("known", [True, False], ids=["which wrote before", "which only read"])
def test_nothing_is_signed_over_what_another_process_wrote_and_somebody_changed(url, others, known):
    with opened(url) as ledger:
        ledger.append("note", 0)
    with opened(url) as ledger, opened(url) as other:
        if known:
            ledger.append("note", 1)
        start = len(ledger)
        for number in range(others):
            other.append("wanted" if number == 0 else "note", number)
        rechained(url, start, kind="note")
        for write in (
            lambda: ledger.append("note", 2),
            lambda: ledger.append_many("note", [2, 3]),
            lambda: ledger.append("note", 2, expect=0, unless=lambda entry: False),
        ):
            assert refused(write) == "signature"
        assert len(ledger) == start + others


def test_nor_over_what_the_process_wrote_itself(url):
    with opened(url) as ledger:
        ledger.append("note", 0)
        ledger.append("wanted", 1)
        rechained(url, 1, kind="note")
        assert refused(lambda: ledger.append("note", 2)) == "signature"


FORGED = {
    "entry": "UPDATE entries SET entry = '{}' WHERE seq = 1",
    "chain": "UPDATE entries SET entry = replace(entry, '\"stop\"', '\"note\"') WHERE seq = 1",
    "sequence": "DELETE FROM entries WHERE seq = 1",
}


@pytest.mark.parametrize("rule", FORGED)
@pytest.mark.parametrize("above", [1, 2])
def test_what_was_written_since_is_not_believed_where_the_next_does_not_follow_it(url, rule, above):
    """What has a bearing is asked of entries that nobody verifies one by one."""
    with opened(url) as ledger, opened(url) as other:
        ledger.append("note", 0)
        other.append("stop", 1)
        for number in range(above):
            other.append("note", number)
        attack(url, FORGED[rule])

        def bears(entry):
            return entry.kind == "stop"

        assert refused(lambda: ledger.append("note", 9, expect=1, unless=bears)) == rule
        assert len(ledger) == 2 + above


def test_a_branch_that_the_same_key_signed_is_not_gone_on_with():
    """Two copies of one log, each written to, and one put in the place of the other."""
    with ledger_of(3) as ledger, ledger_of(3) as twin:
        ledger.append("note", "here")
        twin.append("note", "there")
        put_rows(ledger, rows(twin))
        assert refused(lambda: ledger.append("note", 4)) == "fork"
        twin.append("note", "there again")
        put_rows(ledger, rows(twin))
        assert refused(lambda: ledger.append("note", 5)) == "chain"


@pytest.mark.parametrize("left", [0, 1])
def test_what_the_process_wrote_is_missed_when_it_is_cut_off(url, left):
    with opened(url) as ledger:
        for number in range(3):
            ledger.append("note", number)
        attack(url, ("DELETE FROM entries WHERE seq >= ?", (left,)))
        for _ in range(2):
            assert refused(lambda: ledger.append("note", 3)) == "truncation"
        assert len(ledger) == left


def test_a_failure_in_between_makes_it_no_less_missed(url):
    with opened(url) as ledger:
        for number in range(3):
            ledger.append("note", number)
        with pytest.raises(StoreError), ledger.store.transaction():
            ledger.append("note", 3)
        attack(url, "DELETE FROM entries WHERE seq >= 1")
        assert refused(lambda: ledger.append("note", 4)) == "truncation"


def test_no_more_is_read_than_the_last_row_and_that_only_where_another_wrote_it(url, monkeypatch):
    with opened(url) as ledger, opened(url) as other:
        lasts = []
        real = ledger.store.last

        def no_other(*_, **__):
            pytest.fail("more of the log was read")

        monkeypatch.setattr(ledger.store, "last", lambda: lasts.append(1) or real())
        for name in ("rows", "at"):
            monkeypatch.setattr(ledger.store, name, no_other)
        for number in range(3):
            ledger.append("note", number)
        assert lasts == []
        for number in range(3):
            other.append("note", number)
        ledger.append("note", 4)
        ledger.append("note", 5)
        assert lasts == [1]


CHANGES = {
    "kind": "UPDATE entries SET entry = replace(entry, '\"wanted\"', '\"note\"'), kind = 'note'",
    "nothing": "UPDATE entries SET entry = '{}' WHERE seq = (SELECT max(seq) FROM entries)",
    "cut": "DELETE FROM entries WHERE seq > 0",
    "empty": "DELETE FROM entries",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_must_get_through_does_and_leaves_the_log_broken(url, change):
    with opened(url) as ledger, opened(url) as other:
        ledger.append("note", 0)
        ledger.append("note", 1)
        other.append("wanted", 2)
        attack(url, change)
        sealed = ledger.append_anyway("stop", {})
        assert ledger.get(sealed.seq).payload == {}
    with pytest.raises(VerificationError):
        opened(url)
    with Ledger.open(url, verify_with=KEY.verifier) as reading:
        with pytest.raises(VerificationError):
            reading.follow(lambda entry: False).read()
        with pytest.raises(VerificationError):
            reading.verify()


def test_over_a_sound_log_it_is_an_entry_like_any_other(url):
    with opened(url) as ledger, opened(url) as other:
        ledger.append("note", 0)
        other.append("note", 1)
        ledger.append_anyway("stop", {})
        ledger.append("note", 3)
        assert ledger.verify().size == 4


TRIGGERS = {
    "ignored": "BEFORE INSERT ON entries WHEN new.kind = 'stop' BEGIN SELECT RAISE(IGNORE); END",
    "deleted": "AFTER INSERT ON entries BEGIN DELETE FROM entries WHERE kind = 'stop'; END",
    "changed": "AFTER INSERT ON entries BEGIN UPDATE entries SET entry = '{}' "
    "WHERE kind = 'stop'; END",
    "body": "AFTER INSERT ON entries BEGIN UPDATE entries SET body = '9' WHERE seq = new.seq; END",
    "signatures": "AFTER INSERT ON entries BEGIN UPDATE entries SET signatures = '[]' "
    "WHERE seq = new.seq; END",
    "another": "AFTER INSERT ON entries BEGIN DELETE FROM entries WHERE seq = 0; END",
    "name": "AFTER INSERT ON entries BEGIN UPDATE log SET origin = 'x'; END",
}


@pytest.mark.parametrize("hidden", [False, True], ids=["in the layout", "and struck out of it"])
@pytest.mark.parametrize("trigger", TRIGGERS.values(), ids=TRIGGERS)
def test_there_is_no_receipt_for_what_is_not_there(url, trigger, hidden):
    """A trigger that is struck out of the layout acts on in a connection that has read it."""
    with opened(url) as ledger:
        ledger.append("note", 0)
        attack(url, f"CREATE TRIGGER t {trigger}")
        if hidden:
            assert len(ledger) == 1
            attack(url, "PRAGMA writable_schema=ON", "DELETE FROM sqlite_master WHERE name = 't'")
        for write in (ledger.append, ledger.append_anyway):
            assert refused(lambda write=write: write("stop", {})) == "layout"
        assert len(ledger) == 1


def test_nor_for_two_of_which_one_was_put_in_the_place_of_another_change(url):
    """As many rows are changed as were to be written, and the last is the one that was."""
    swapped = (
        "BEFORE INSERT ON entries WHEN new.seq = 1 BEGIN "
        "UPDATE entries SET body = '9' WHERE seq = 0; SELECT RAISE(IGNORE); END"
    )
    with opened(url) as ledger:
        ledger.append("note", 0)
        attack(url, f"CREATE TRIGGER t {swapped}")
        assert refused(lambda: ledger.append_many("note", [1, 2])) == "layout"
        assert [receipt.payload for receipt in ledger] == [0]


def test_appending_goes_on_when_the_trigger_is_gone(url):
    with opened(url) as ledger:
        attack(url, f"CREATE TRIGGER t {TRIGGERS['ignored']}")
        assert refused(lambda: ledger.append("stop", {})) == "layout"
        attack(url, "DROP TRIGGER t")
        assert ledger.append("stop", {}).seq == 0
        assert ledger.verify().size == 1


LAYOUTS = {
    "CREATE TABLE x (a)": "'CREATE TABLE x (a)' is not part of it",
    "ANALYZE": "'CREATE TABLE sqlite_stat1(tbl,idx,stat)' is not part of it",
    "DROP INDEX entries_kind": "'CREATE INDEX entries_kind ON entries (kind)' is missing",
    "CREATE VIEW x AS SELECT '\x1b[2J' AS a": r"\x1b[2J",
    f"CREATE VIEW x AS SELECT {'1' * 200}": "111...' is not part of it",
    "PRAGMA user_version = 7": "version 7",
}


@pytest.mark.parametrize("change", LAYOUTS)
def test_another_layout_is_told_by_what_is_too_much_or_missing(url, change):
    with opened(url) as ledger:
        ledger.append("note", 0)
        attack(url, change)
        if "PRAGMA" not in change:
            with pytest.raises(VerificationError) as caught:
                ledger.store.check_same(ORIGIN)
            assert LAYOUTS[change] in str(caught.value)
            assert str(caught.value).isprintable()
    with pytest.raises(VerificationError) as caught:
        opened(url)
    assert LAYOUTS[change] in str(caught.value)


@pytest.mark.parametrize("changed", ["CREATE TABLE x (a)", "CREATE VIEW x AS SELECT 1"])
def test_a_layout_that_was_changed_is_told_from_ones_own(url, changed):
    """SQLite counts changes to the layout, and lets anybody set the count back."""
    with opened(url) as ledger:
        ledger.store.check_same(ORIGIN)
        ledger.store.keep_derived("learnt", b"{}")
        ledger.store.check_same(ORIGIN)
        (count,) = sql(ledger, "PRAGMA schema_version")[0]
        attack(url, changed, f"PRAGMA schema_version = {int(count)}")
        assert refused(lambda: ledger.store.check_same(ORIGIN)) == "layout"
        attack(url, f"DROP {changed.split()[1]} x", "UPDATE log SET origin = 'x'")
        assert refused(lambda: ledger.store.check_same(ORIGIN)) == "origin"


def test_a_bad_signature_by_the_right_key_is_not_called_another_key(url):
    with opened(url) as ledger:
        ledger.append("note", 0)
    rechained(url, 0, kind="other")
    assert refused(lambda: opened(url)) == "signature"
