"""Who may build upon the last entry: one rule at opening, and after another process wrote."""

import sqlite3

import pytest
from ledger_tools import COSIGNER, KEY, ORIGIN, STRANGER, ledger_of, put_rows, rows

from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Ledger
from quorate.ledger.entries import first_prev
from quorate.ledger.tip import FOLLOWS_NOTHING, OtherKeysError

BOTH = (KEY, COSIGNER)
STOPPED = "stopped for good"


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'log.db'}"


def opened(url, signer=KEY, **extra):
    return Ledger.open(url, signer=signer, origin=ORIGIN, **extra)


def attack(url, *statements):
    """Change the file as somebody does who has it and no key."""
    database = sqlite3.connect(url.removeprefix("sqlite:///"))
    for statement in statements:
        database.execute(*statement) if isinstance(statement, tuple) else database.execute(
            statement
        )
    database.commit()
    database.close()


def heedless(ledger):
    """Sign on top of anything, as somebody's own program may."""
    ledger._appender._read_tip = ledger._receipt
    return ledger


def written_by(url, signer):
    """Put an entry on top by other keys: a program of ours opens no such ledger."""
    with opened("memory:", signer, verify_with=[each.verifier for each in BOTH]) as own:
        heedless(own)
        with Ledger.open(url) as read:
            put_rows(own, rows(read))
        own.append("note", "on top")
        new = rows(own)[-1]
    database = sqlite3.connect(url.removeprefix("sqlite:///"))
    values = [each.decode() if isinstance(each, bytes) and at != 3 else each
              for at, each in enumerate(new)]  # fmt: skip
    database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("owner", "other", "known"),
    [
        (KEY, STRANGER, ()),
        (KEY, STRANGER, (KEY.verifier,)),
        (BOTH, KEY, ()),
        (BOTH, KEY, (COSIGNER.verifier,)),
        (KEY, BOTH, ()),
    ],
)
def test_a_log_that_other_keys_began_meanwhile_is_left_alone(url, owner, other, known):
    """Both opened it empty. A halt of the other's would take the log from its owner."""
    with opened(url, owner) as mine, opened(url, other, verify_with=known) as theirs:
        mine.append("note", 0)
        for write in (theirs.append, theirs.append_anyway, theirs.append):
            with pytest.raises(OtherKeysError, match=f"last signed by key {KEY.key_id}"):
                write("note", 1)
        assert mine.append("note", 1).seq == 1
        assert mine.verify().size == 2
        with pytest.raises(UsageError, match="last signed by key"):
            opened(url, other, verify_with=known)
    with opened(url, owner) as again:
        assert again.append("note", 2).seq == 2


def test_an_entry_that_one_of_two_signed_is_not_gone_on_with(url):
    with opened(url, BOTH) as ledger:
        ledger.append("note", 0)
        written_by(url, KEY)
        for _ in range(2):
            with pytest.raises(OtherKeysError, match="last signed by key"):
                ledger.append("note", 2)
        with pytest.raises(OtherKeysError, match="last signed by key"):
            opened(url, BOTH)
        sealed = ledger.append_anyway("stop", {})
        assert sealed.previous_hash == ledger.get(1).entry_hash
        assert ledger.verify().size == 3


def test_what_a_stranger_put_on_top_of_ours_is_damage(url):
    with opened(url) as ledger:
        ledger.append("note", 0)
        written_by(url, STRANGER)
        with pytest.raises(VerificationError, match="no key of this ledger signed it") as caught:
            ledger.append("note", 2)
        assert (caught.value.index, caught.value.rule) == (1, "signature")
        sealed = ledger.append_anyway("stop", {})
        assert (sealed.seq, sealed.previous_hash) == (2, FOLLOWS_NOTHING)


def test_a_bad_signature_of_ours_is_no_question_of_keys_though_a_stranger_signed_too(url):
    """At opening and when appending alike."""
    with opened(url) as ledger, opened(url) as other:
        ledger.append("note", 0)
        other.append("note", 1)
        forged = f"{KEY.key_id}:{'0' * 128},{STRANGER.key_id}:{'0' * 128}"
        attack(url, ("UPDATE entries SET signatures = ? WHERE seq = 1", (forged,)))
        for write in (lambda: ledger.append("note", 2), lambda: opened(url)):
            with pytest.raises(VerificationError, match="is not over this entry"):
                write()


def test_what_another_process_wrote_with_the_same_keys_is_gone_on_with(url):
    with opened(url, BOTH) as ledger, opened(url, BOTH[::-1]) as other:
        for number in range(6):
            (ledger, other)[number % 2].append("note", number)
        assert ledger.append_anyway("stop", {}).seq == 6
        assert other.append("note", 7).seq == 7
        assert ledger.verify().size == 8


DAMAGE = {
    "body": "UPDATE entries SET body = '9' WHERE seq = 1",
    "column": "UPDATE entries SET kind = 'other' WHERE seq = 1",
    "cut": "DELETE FROM entries WHERE seq = 1",
    "emptied": "DELETE FROM entries",
}


@pytest.mark.parametrize("halts", [1, 2])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_nothing_is_ever_chained_to_a_halt_that_follows_nothing(url, damage, halts):
    with opened(url) as ledger:
        ledger.append_many("note", [0, 1])
    with opened(url) as ledger, opened(url) as other:
        attack(url, damage)
        for _ in range(halts):
            assert ledger.append_anyway("stop", {}).previous_hash == FOLLOWS_NOTHING
        for each in (ledger, other, ledger):
            with pytest.raises(VerificationError) as caught:
                each.append("note", 2)
            assert caught.value.rule in {"chain", "truncation"}
        with pytest.raises(VerificationError) as caught:
            opened(url)
        assert caught.value.rule == "chain"
        assert other.append_anyway("stop", {}).previous_hash == FOLLOWS_NOTHING


def test_nor_where_two_were_written_in_one_commit(url):
    """The second would look as if there were something beneath it."""
    with opened(url) as ledger:
        ledger.append("note", 0)
    with opened(url) as ledger:
        attack(url, "UPDATE entries SET body = '9'")
        appender = ledger._appender
        halts = [appender.prepare("stop", {}, None, None, None) for _ in range(2)]
        appender.submit(halts, anyway=True)
        with pytest.raises(VerificationError, match=STOPPED):
            ledger.append("note", 3)
        with pytest.raises(VerificationError, match=STOPPED):
            opened(url)


def test_no_checkpoint_is_signed_over_a_halt_that_follows_nothing(url):
    with opened(url) as ledger:
        ledger.append_many("note", [0, 1])
        attack(url, "UPDATE entries SET entry = '{}' WHERE seq = 1")
        ledger.append_anyway("stop", {})
        with pytest.raises(VerificationError, match="does not follow the entry before"):
            ledger.checkpoint()


def test_a_first_entry_follows_the_origin_and_nothing_else(url):
    with opened(url) as ledger:
        assert ledger.append_anyway("stop", {}).previous_hash == first_prev(ORIGIN)
        ledger.append("note", 1)
        attack(url, "DELETE FROM entries WHERE seq = 1")
        with ledger_of(0) as other:
            other._appender._head.prev = FOLLOWS_NOTHING
            other.append("note", "first")
            put_rows(ledger, rows(other))
    with pytest.raises(VerificationError, match="does not follow the origin"):
        opened(url)


def test_what_was_there_at_opening_is_missed_before_the_first_write(url):
    with opened(url) as ledger:
        ledger.append_many("note", [0, 1])
    with opened(url) as ledger:
        attack(url, "DELETE FROM entries WHERE seq = 1")
        with pytest.raises(VerificationError, match="log of 2 entries was cut") as caught:
            ledger.append("note", 2)
        assert caught.value.rule == "truncation"
        attack(url, "DELETE FROM entries")
        with pytest.raises(VerificationError, match="log of 2 entries was cut"):
            ledger.append("note", 2)
        with ledger_of(2) as twin:
            put_rows(ledger, rows(twin))
        with pytest.raises(VerificationError, match="log was rewritten"):
            ledger.append("note", 2)


def test_a_halt_gets_through_where_a_column_is_of_another_type(url):
    plain = "UPDATE sqlite_master SET sql = replace(sql, '{}', '{}') WHERE name = 'entries'"
    with opened(url) as ledger:
        ledger.append_many("note", [0, 1])
    with opened(url) as ledger:
        attack(url, "PRAGMA writable_schema=ON", plain.format(") STRICT", ")"))
        attack(url, "UPDATE entries SET salt = 5 WHERE seq = 1")
        attack(url, "PRAGMA writable_schema=ON", plain.format("key TEXT)", "key TEXT) STRICT"))
        with pytest.raises(VerificationError, match="another type"):
            ledger.append("note", 2)
        sealed = ledger.append_anyway("stop", {})
        assert (sealed.seq, sealed.previous_hash) == (2, FOLLOWS_NOTHING)
