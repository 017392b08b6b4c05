"""A follower of the log: it finds what it wants by the entries, so that nothing can hide."""

import pytest
from ledger_tools import KEY, MAC, ORIGIN, STRANGER, ledger_of, put_rows, rows, sql

from quorate.core.errors import VerificationError
from quorate.ledger import Ledger


def odd(entry):
    return entry.trace_id == "t1"


def numbers(receipts):
    return [receipt.seq for receipt in receipts]


def test_it_gives_what_is_wanted_once_and_goes_on():
    with ledger_of(5) as ledger:
        following = ledger.follow(odd)
        assert numbers(following.read()) == [1, 3]
        assert (following.read(), following.size) == ([], 5)
        ledger.append("note", {"n": 5}, trace_id="t1")
        ledger.append("note", {"n": 6}, trace_id="t0")
        assert numbers(following.read()) == [5]
        assert following.size == 7


def test_an_empty_log_has_nothing():
    with Ledger.open("memory:", signer=MAC, origin=ORIGIN) as ledger:
        assert ledger.follow(odd).read() == []


@pytest.mark.parametrize("column", ["kind", "trace_id", "key"])
def test_an_entry_behind_a_changed_column_is_not_passed_over(column):
    with ledger_of(6) as ledger:
        sql(ledger, f"UPDATE entries SET {column} = 'x' WHERE seq = 3")  # noqa: S608
        with pytest.raises(VerificationError, match="look-up column") as caught:
            ledger.follow(odd).read()
        assert (caught.value.index, caught.value.rule) == (3, "look-up")
        if column == "trace_id":
            assert numbers(ledger.find(trace_id="t1")) == [1, 5]


def test_a_row_taken_out_or_put_in_is_seen():
    with ledger_of(6) as ledger, ledger_of(6, signer=STRANGER) as foreign:
        kept = rows(ledger)
        put_rows(ledger, kept[:3] + kept[4:])
        with pytest.raises(VerificationError, match="found number 4 instead"):
            ledger.follow(odd).read()
        put_rows(ledger, [*kept[:3], rows(foreign)[3], *kept[4:]])
        with pytest.raises(VerificationError) as caught:
            ledger.follow(odd).read()
        assert caught.value.index in {3, 4}


def test_a_wanted_entry_cannot_be_swapped_for_one_that_nobody_wants():
    """Nobody asks for the signature of such an entry, but the one after does not follow it."""
    with ledger_of(6) as ledger:
        kept = rows(ledger)
        for prev_fits in (False, True):
            with Ledger.open(
                "memory:", signer=STRANGER, origin=ORIGIN, verify_with=KEY.verifier
            ) as other:
                # As somebody's own program does it, which does not ask whose log it is.
                other._appender._read_tip = other._receipt
                if prev_fits:
                    put_rows(other, kept[:3])
                while len(other) < 4:
                    other.append("note", {"n": 3}, trace_id="t0")
                put_rows(ledger, [*kept[:3], rows(other)[3], *kept[4:]])
            with pytest.raises(VerificationError, match="does not follow") as caught:
                ledger.follow(odd).read()
            assert caught.value.index == 3 + prev_fits


def test_a_new_end_that_nobody_signed_is_seen_though_nobody_wants_it():
    with ledger_of(4) as ledger, ledger_of(7, signer=STRANGER) as foreign:
        assert ledger.follow(odd).read()
        put_rows(ledger, rows(foreign))
        with pytest.raises(VerificationError) as caught:
            ledger.follow(lambda entry: False).read()
        assert (caught.value.index, caught.value.rule) == (6, "signature")


def test_what_was_read_may_neither_go_nor_change():
    with ledger_of(6) as ledger, ledger_of(6) as twin:
        following = ledger.follow(odd)
        following.read()
        kept = rows(ledger)
        put_rows(ledger, kept[:4])
        with pytest.raises(VerificationError, match="cut off") as caught:
            following.read()
        assert caught.value.rule == "truncation"
        put_rows(ledger, rows(twin))
        with pytest.raises(VerificationError, match="rewritten") as caught:
            following.read()
        assert caught.value.rule == "fork"
        put_rows(ledger, kept)
        assert following.read() == []


def test_a_failure_takes_nothing_in():
    with ledger_of(3) as ledger:
        following = ledger.follow(odd)
        following.read()
        ledger.append("note", {"n": 3}, trace_id="t1")
        ledger.append("note", {"n": 4}, trace_id="t0")
        kept = rows(ledger)
        sql(ledger, "UPDATE entries SET kind = 'x' WHERE seq = 4")
        with pytest.raises(VerificationError):
            following.read()
        put_rows(ledger, kept)
        assert numbers(following.read()) == [3]


def test_without_keys_the_form_and_the_chain_are_still_checked(tmp_path):
    url = f"sqlite:///{tmp_path}/log.db"
    ledger_of(4, url=url, signer=KEY).close()
    with Ledger.open(url) as reading:
        assert numbers(reading.follow(odd).read()) == [1, 3]
