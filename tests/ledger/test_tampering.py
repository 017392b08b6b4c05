"""Each way of rewriting history, and the error that names it."""

import dataclasses

import pytest
from ledger_tools import (
    COSIGNER,
    KEY,
    MAC,
    ORIGIN,
    POLICY,
    STRANGER,
    ledger_of,
    put_rows,
    rows,
    sql,
)

from quorate.core.errors import StoreError, UsageError, VerificationError
from quorate.ledger import Ledger, Policy, verify
from quorate.ledger.entries import Entry, commit, entry_hash, first_prev
from quorate.ledger.receipts import decode_signatures, encode_signatures, sign_entry

SIZE = 6


def refusal(ledger, *, policy=POLICY, checkpoint=None):
    with pytest.raises(VerificationError) as caught:
        ledger.verify(checkpoint, policy=policy)
    return caught.value.index, caught.value.rule


def rechain(old, signers, *, origin=ORIGIN):
    """Write the rows anew as a whole, properly chained, signed by ``signers``."""
    prev, new = first_prev(origin), []
    for seq, row in enumerate(old):
        entry = dataclasses.replace(
            Entry.decode(row[1]), seq=seq, prev=prev, body_commitment=commit(row[3], row[2])
        )
        raw = entry.encode()
        prev = entry_hash(raw).hex()
        signatures = encode_signatures(sign_entry(signers, origin, entry_hash(raw))).encode()
        new.append((seq, raw, row[2], row[3], signatures, *row[5:]))
    return new


def test_the_helper_writes_what_the_ledger_would():
    with ledger_of(SIZE) as ledger:
        before = rows(ledger)
        assert rechain(before, (KEY,)) == before
        put_rows(ledger, before)
        assert ledger.verify(policy=POLICY).size == SIZE


@pytest.mark.parametrize("cut", range(1, SIZE + 1))
def test_a_cut_tail_shows_against_a_checkpoint_only(cut):
    with ledger_of(SIZE) as ledger:
        note = ledger.checkpoint()
        assert ledger.verify(note, policy=POLICY).complete
        sql(ledger, "DELETE FROM entries WHERE seq >= ?", SIZE - cut)
        report = ledger.verify(policy=POLICY)
        assert (report.size, report.complete) == (SIZE - cut, False)
        assert "not proven" in report.describe()
        assert refusal(ledger, checkpoint=note) == (SIZE - cut, "truncation")


@pytest.mark.parametrize("later", [0, 1, 3])
def test_a_checkpoint_pins_a_prefix(later):
    with ledger_of(3) as ledger:
        note = ledger.checkpoint()
        for number in range(later):
            ledger.append("note", number)
        report = ledger.verify(note)
        assert (report.size, report.proven, report.complete) == (3 + later, 3, later == 0)
        assert report.to_dict()["complete"] == (later == 0)


@pytest.mark.parametrize("gone", range(SIZE - 1))
def test_a_deleted_entry(gone):
    with ledger_of(SIZE) as ledger:
        sql(ledger, "DELETE FROM entries WHERE seq = ?", gone)
        assert refusal(ledger) == (gone, "sequence")
        # The numbers closed up again.
        put_rows(ledger, [(n, *row[1:]) for n, row in enumerate(rows(ledger))])
        assert refusal(ledger) == (gone, "entry")


@pytest.mark.parametrize("at", range(SIZE + 1))
def test_an_inserted_entry_with_the_right_key_elsewhere(at):
    with ledger_of(SIZE) as ledger, ledger_of(SIZE + 1) as other:
        moved = list(rows(other)[at])
        moved[7] = None
        kept = rows(ledger)
        put_rows(ledger, [*kept[:at], tuple(moved), *[(r[0] + 1, *r[1:]) for r in kept[at:]]])
        index, rule = refusal(ledger)
        # A properly signed first entry of a log of that name is as good as any until the next.
        assert (index, rule) in {(at, "look-up"), (at, "chain")}


@pytest.mark.parametrize("at", range(SIZE - 1))
def test_two_entries_in_the_wrong_order(at):
    with ledger_of(SIZE) as ledger:
        kept = rows(ledger)
        kept[at], kept[at + 1] = (at, *kept[at + 1][1:]), (at + 1, *kept[at][1:])
        put_rows(ledger, kept)
        assert refusal(ledger) == (at, "entry")


@pytest.mark.parametrize("at", range(SIZE))
def test_rechaining_without_the_key(at):
    with ledger_of(SIZE) as ledger:
        kept = rows(ledger)
        kept[at] = (at, kept[at][1], b'{"n":99}', *kept[at][3:])
        new = rechain(kept, (STRANGER,))
        put_rows(ledger, [*kept[:at], *new[at:]])
        assert refusal(ledger) == (at, "signature")
        # Old signatures kept over the new hashes.
        put_rows(ledger, [(*n[:4], k[4], *n[5:]) for n, k in zip(new, kept, strict=True)])
        assert refusal(ledger) == (at, "signature")


@pytest.mark.parametrize("at", range(SIZE))
def test_a_fork_signed_with_the_right_key(at):
    with ledger_of(SIZE) as ledger:
        note = ledger.checkpoint()
        kept = rows(ledger)
        kept[at] = (at, kept[at][1], b'{"n":99}', *kept[at][3:])
        put_rows(ledger, rechain(kept, (KEY,)))
        assert ledger.verify(policy=POLICY).size == SIZE
        assert refusal(ledger, checkpoint=note) == (None, "fork")


def test_a_fork_below_a_checkpoint_of_a_prefix():
    with ledger_of(3) as ledger:
        note = ledger.checkpoint()
        ledger.append("note", "more")
        kept = rows(ledger)
        kept[1] = (1, kept[1][1], b"1", *kept[1][3:])
        put_rows(ledger, rechain(kept, (KEY,)))
        assert refusal(ledger, checkpoint=note) == (None, "fork")


@pytest.mark.parametrize("at", [0, 3])
def test_rows_of_another_log_of_the_same_key(at):
    with ledger_of(SIZE) as ledger, ledger_of(SIZE, origin="example.org/other") as other:
        kept, moved = rows(ledger), rows(other)
        put_rows(ledger, [*kept[:at], moved[at], *kept[at + 1 :]])
        assert refusal(ledger) == (at, "chain")
        # Chained in, but signed for the other log: the same hash, another name.
        new = rechain([*kept[:at], moved[at], *kept[at + 1 :]], (KEY,))
        theirs = sign_entry((KEY,), other.origin, entry_hash(new[at][1]))
        new[at] = (*new[at][:4], encode_signatures(theirs).encode(), *new[at][5:])
        put_rows(ledger, new)
        assert refusal(ledger) == (at, "signature")


def test_a_whole_log_under_another_name():
    with ledger_of(SIZE) as ledger, ledger_of(SIZE, origin="example.org/other") as other:
        put_rows(ledger, rows(other))
        assert refusal(ledger) == (0, "chain")
        assert refusal(other) == (0, "origin")
        with pytest.raises(VerificationError, match="of the log"):
            other.verify(ledger.checkpoint(), policy=Policy((KEY.verifier,), 1, other.origin))
        with pytest.raises(VerificationError, match="the checkpoint is for"):
            other.verify(ledger.checkpoint(), policy=Policy((KEY.verifier,)))


@pytest.mark.parametrize(("microseconds", "fails"), [(-1, True), (0, False), (1, False)])
def test_backdating_is_seen_even_with_the_right_key(microseconds, fails):
    with ledger_of(SIZE, clock=lambda: 10**15) as ledger:
        kept = rows(ledger)
        entry = Entry.decode(kept[3][1])
        kept[3] = (3, dataclasses.replace(entry, time=10**15 + microseconds).encode(), *kept[3][2:])
        new = rechain(kept, (KEY,))
        put_rows(ledger, new if microseconds <= 0 else new[:4])
        if fails:
            assert refusal(ledger) == (3, "time")
        else:
            ledger.verify(policy=POLICY)


def test_stripped_and_swapped_signatures():
    lax = Policy((KEY.verifier, COSIGNER.verifier), 1, ORIGIN)
    with ledger_of(3, signer=(KEY, COSIGNER)) as ledger:
        assert ledger.verify(policy=lax).size == 3
        kept = rows(ledger)
        first, second = kept[1][4].split(b",")
        mine, theirs = decode_signatures(kept[1][4].decode())
        crossed = encode_signatures(
            [
                dataclasses.replace(mine, value=theirs.value),
                dataclasses.replace(theirs, value=mine.value),
            ]
        ).encode()
        other = kept[2][4]
        for bad in (first, second, second + b"," + first, crossed, other, first + b"," + first):
            put_rows(ledger, [kept[0], (*kept[1][:4], bad, *kept[1][5:]), kept[2]])
            assert refusal(ledger, policy=lax) == (1, "signature"), bad
        put_rows(ledger, kept)
        assert refusal(ledger, policy=Policy((KEY.verifier, STRANGER.verifier), 2)) == (
            0,
            "signature",
        )
        assert refusal(ledger, policy=Policy((STRANGER.verifier,))) == (0, "signature")


def test_a_body_that_is_not_canonical_is_refused_though_committed_to():
    with ledger_of(2) as ledger:
        for body in (
            b'{"n": 1}',
            b'{"n":1,"n":1}',
            b"NaN",
            b"\xff",
            b"",
            b"1.0",
            b"9007199254740993",
        ):
            kept = rows(ledger)
            put_rows(ledger, rechain([kept[0], (1, kept[1][1], body, *kept[1][3:])], (KEY,)))
            assert refusal(ledger) == (1, "body"), body


def test_an_index_that_lies_is_damage():
    with ledger_of(SIZE) as ledger:
        sql(ledger, "PRAGMA writable_schema=ON")
        sql(ledger, "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master "
            "WHERE name='entries_kind') WHERE name='entries_trace_id'")  # fmt: skip
        sql(ledger, "PRAGMA writable_schema=RESET")
        with pytest.raises((VerificationError, StoreError)):
            ledger.verify(policy=POLICY)


def test_nothing_is_verified_without_saying_whom_to_trust(tmp_path):
    path = tmp_path / "l.db"
    with ledger_of(2, url=f"sqlite:///{path}") as ledger, pytest.raises(UsageError, match="trust"):
        verify(ledger)
    with Ledger.open(f"sqlite:///{path}") as ledger, pytest.raises(UsageError, match="no key"):
        ledger.verify()
    with pytest.raises(UsageError, match="not both"):
        verify(path, keys=[KEY.verifier], policy=POLICY)
    for target in (path, str(path), f"sqlite:///{path}"):
        assert verify(target, policy=POLICY).size == 2
        assert verify(target, keys=[KEY.verifier]).kinds == {"note": 2}


def test_an_hmac_ledger_verifies_and_shows_forgery():
    policy = Policy((MAC,), 1, ORIGIN)
    with ledger_of(3, signer=MAC) as ledger:
        assert ledger.verify(ledger.checkpoint(), policy=policy).complete
        kept = rows(ledger)
        put_rows(ledger, [*kept[:2], (*kept[2][:4], kept[1][4], *kept[2][5:])])
        assert refusal(ledger, policy=policy) == (2, "signature")


def test_no_checkpoint_is_signed_over_an_inconsistent_log(tmp_path):
    url = f"sqlite:///{tmp_path / 'l.db'}"
    with ledger_of(4, url=url) as ledger:
        kept = rows(ledger)
        put_rows(ledger, [*kept[:2], kept[3]])
    with Ledger.open(url, signer=KEY) as again, pytest.raises(VerificationError) as caught:
        again.checkpoint()
    assert (caught.value.index, caught.value.rule) == (2, "sequence")
