"""Flip any byte of any stored column: verification names that very entry."""

# ruff: noqa: S608 - the statements are put together from names in this file

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_tools import COSIGNER, KEY, MAC, ORIGIN, ledger_of, sql

from quorate.core.errors import StoreError, VerificationError
from quorate.ledger import Ledger, Policy

TEXTS = ("entry", "body", "signatures", "kind", "trace_id", "key")
MASKS = (0x01, 0x20, 0x80)
SIGNERS = (KEY, MAC)
POLICY = Policy(tuple(s.verifier for s in SIGNERS), 2)
SIZE = 5


@pytest.fixture(scope="module")
def small():
    with ledger_of(SIZE, signer=SIGNERS) as ledger:
        yield ledger


def refused_at(ledger):
    with pytest.raises(VerificationError) as caught:
        ledger.verify(policy=POLICY)
    return caught.value.index


@pytest.mark.parametrize("column", [*TEXTS, "salt"])
@pytest.mark.parametrize("seq", range(SIZE))
def test_every_byte_of_every_column(small, seq, column):
    as_stored = "?" if column == "salt" else "CAST(? AS TEXT)"
    update = f"UPDATE entries SET {column} = {as_stored} WHERE seq = ?"
    ((good,),) = sql(small, f"SELECT {column} FROM entries WHERE seq = ?", seq)
    for place in range(len(good)):
        # Each place meets each of the three in one entry or another.
        mask = MASKS[(place + seq) % len(MASKS)]
        bad = good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :]
        sql(small, update, bad, seq)
        assert refused_at(small) == seq, (column, place, mask)
    sql(small, update, good, seq)
    assert small.verify(policy=POLICY).size == SIZE


@pytest.mark.parametrize("column", [*TEXTS, "salt"])
@pytest.mark.parametrize("seq", [0, 3])
def test_a_column_cut_grown_or_emptied(small, seq, column):
    as_stored = "?" if column == "salt" else "CAST(? AS TEXT)"
    update = f"UPDATE entries SET {column} = {as_stored} WHERE seq = ?"
    ((good,),) = sql(small, f"SELECT {column} FROM entries WHERE seq = ?", seq)
    for bad in (good[:-1], good[1:], good + b"\x00", good + b" ", good + b"0", b" " + good, b""):
        sql(small, update, bad, seq)
        assert refused_at(small) == seq, bad
    if column in ("trace_id", "key"):
        sql(small, f"UPDATE entries SET {column} = NULL WHERE seq = ?", seq)
        assert refused_at(small) == seq
    sql(small, update, good, seq)
    assert small.verify(policy=POLICY).size == SIZE


@pytest.mark.parametrize("seq", range(SIZE))
def test_every_byte_of_a_number(small, seq):
    taken = 0
    for place in range(8):
        for mask in MASKS:
            raw = bytearray(seq.to_bytes(8, "big"))
            raw[place] ^= mask
            bad = int.from_bytes(raw, "big", signed=True)
            try:
                sql(small, "UPDATE entries SET seq = ? WHERE seq = ?", bad, seq)
            except sqlite3.IntegrityError:
                taken += 1
                continue
            assert refused_at(small) == seq
            sql(small, "UPDATE entries SET seq = ? WHERE seq = ?", seq, bad)
    assert taken == (seq ^ 1 < SIZE)
    assert small.verify(policy=POLICY).size == SIZE


def test_every_byte_of_the_origin(small):
    good = ORIGIN.encode()
    for place in range(len(good)):
        for mask in MASKS:
            bad = good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :]
            sql(small, "UPDATE log SET origin = CAST(? AS TEXT)", bad)
            assert refused_at(small) == 0
    sql(small, "UPDATE log SET origin = ?", ORIGIN)
    assert small.verify(policy=POLICY).size == SIZE


@pytest.mark.parametrize("statement", ["DELETE FROM log", "INSERT INTO log VALUES ('b')"])
def test_a_log_with_no_name_or_two(statement):
    with ledger_of(2) as ledger:
        sql(ledger, statement)
        with pytest.raises(VerificationError, match="origins"):
            ledger.verify()


def outcome_of(path):
    """What verification of a damaged file comes to; anything but these two errors escapes."""
    try:
        with Ledger.open(f"sqlite:///{path}") as ledger:
            report = ledger.verify(policy=Policy((KEY.verifier, COSIGNER.verifier), 2))
    except (VerificationError, StoreError):
        return None
    return report.root, report.size, report.origin


def flips_of(good, draw):
    """Places all over the file, and half of them where something is written."""
    written = [place for place, byte in enumerate(good) if byte]
    for number in range(200):
        place = draw.choice(written) if number % 2 else draw.randrange(len(good))
        yield place, draw.choice([1, 2, 4, 8, 16, 32, 64, 128, 255])


def test_flipped_bytes_of_the_raw_file(tmp_path):
    source = tmp_path / "good.db"
    with ledger_of(SIZE, signer=(KEY, COSIGNER), url=f"sqlite:///{source}"):
        pass
    assert not source.with_name("good.db-wal").exists()
    good = source.read_bytes()
    expected = outcome_of(source)
    assert expected is not None
    target = tmp_path / "bad.db"
    refused = 0
    for place, mask in flips_of(good, random.Random(20260101)):
        target.write_bytes(good[:place] + bytes([good[place] ^ mask]) + good[place + 1 :])
        found = outcome_of(target)
        assert found in (None, expected), (place, mask)
        refused += found is None
        for leftover in tmp_path.glob("bad.db-*"):
            leftover.unlink()
    assert refused > 50


@pytest.mark.parametrize("size", [0, 1, 50, 99, 100, 512, 4096, 5000, 8192])
def test_a_file_cut_short_is_never_verified_as_another_log(tmp_path, size):
    source = tmp_path / "good.db"
    with ledger_of(SIZE, signer=(KEY, COSIGNER), url=f"sqlite:///{source}"):
        pass
    source.write_bytes(source.read_bytes()[:size])
    assert outcome_of(source) is None


def without_types(path, change):
    """Change the file as a flipped type byte would, past the types that the tables declare."""
    db = sqlite3.connect(path, isolation_level=None)
    layout = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    db.execute("PRAGMA writable_schema=ON")
    for name, text in layout:
        loose = text.replace(" NOT NULL", "").replace(" STRICT", "")
        loose = loose.replace(" TEXT", "").replace(" BLOB", "")
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (loose, name))
    db.execute("PRAGMA writable_schema=RESET")
    db.execute(change)
    db.execute("PRAGMA writable_schema=ON")
    for name, text in layout:
        db.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (text, name))
    db.close()


@pytest.mark.parametrize("value", ["5", "1.5", "NULL"])
@pytest.mark.parametrize("column", [*TEXTS, "salt"])
def test_a_column_of_another_type(tmp_path, column, value):
    path = tmp_path / "bad.db"
    with ledger_of(SIZE, signer=SIGNERS, url=f"sqlite:///{path}"):
        pass
    without_types(path, f"UPDATE entries SET {column} = {value} WHERE seq = 2")
    with Ledger.open(f"sqlite:///{path}") as ledger:
        assert refused_at(ledger) == 2
        with pytest.raises(VerificationError):
            ledger.get(2)


@pytest.mark.parametrize("value", ["5", "1.5", "NULL"])
def test_an_origin_of_another_type(tmp_path, value):
    path = tmp_path / "bad.db"
    with ledger_of(SIZE, signer=(KEY, COSIGNER), url=f"sqlite:///{path}"):
        pass
    without_types(path, f"UPDATE log SET origin = {value}")
    assert outcome_of(path) is None


def endless_index(path):
    """Put a tree of pages into the index of kinds in which each leads 200 times to the next."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=DELETE")
        [(root,)] = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'entries_kind'")
        [(size,)] = db.execute("PRAGMA page_size")
    db.close()
    raw = bytearray(path.read_bytes())
    count = len(raw) // size
    # SQLite's file format: a record ("note", 1) in a cell behind the number of the child page.
    record = bytes([3, 13 + 2 * len("note"), 1]) + b"note" + bytes([1])

    def page(child):
        cell = child.to_bytes(4, "big") + bytes([len(record)]) + record
        start = size - 200 * len(cell)
        header = bytes([2, 0, 0, 0, 200]) + start.to_bytes(2, "big") + b"\0"
        places = b"".join((start + n * len(cell)).to_bytes(2, "big") for n in range(200))
        body = header + child.to_bytes(4, "big") + places
        return body + bytes(start - len(body)) + 200 * cell

    leaf = bytes(raw[(root - 1) * size : root * size])
    raw[(root - 1) * size : root * size] = page(count + 1)
    for level in range(1, 9):
        raw += page(count + level + 1)
    raw += leaf
    raw[28:32] = (count + 9).to_bytes(4, "big")
    path.write_bytes(raw)


def test_an_index_without_an_end_is_found_out_and_not_walked(tmp_path):
    path = tmp_path / "ledger.db"
    ledger_of(3, url=f"sqlite:///{path}").close()
    endless_index(path)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from ledger_tools import POLICY\n"
        "from quorate.ledger import verify\n"
        "from quorate.core.errors import VerificationError\n"
        "try: verify(sys.argv[2], policy=POLICY)\n"
        "except VerificationError as error: print(error.rule)"
    )
    # Walked, it would take longer than the universe is old: 200 to the ninth power rows.
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("store\n", "")
