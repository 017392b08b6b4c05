"""What the disk and other programs can do to a store: an error that names the file."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_tools import KEY, ORIGIN, ledger_of, sql

from quorate.core.errors import QuorateError, StoreError, VerificationError
from quorate.ledger import Ledger
from quorate.ledger.sqlite import SQLiteStore

AS_NOBODY = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
from ledger_tools import KEY
from quorate.core.errors import QuorateError
from quorate.ledger import Ledger
from ledger_tools import POLICY
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
found = []
for signer in (KEY, None):
    try:
        with Ledger.open(f"sqlite:///{sys.argv[2]}", signer=signer) as ledger:
            size = ledger.verify(policy=POLICY).size
            if signer:
                ledger.append("note", 1)
            found.append(["fine", size])
    except QuorateError as error:
        found.append([type(error).__name__, str(error)])
print(json.dumps(found))
"""

SMALL_DISK = """
import json, resource, sys
sys.path.insert(0, sys.argv[1])
from ledger_tools import KEY
from quorate.core.errors import QuorateError
from quorate.ledger import Ledger
ledger = Ledger.open(f"sqlite:///{sys.argv[2]}", signer=KEY)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
acknowledged = 0
try:
    while True:
        ledger.append("note", "x" * 20_000)
        acknowledged += 1
except QuorateError as error:
    print(json.dumps([acknowledged, type(error).__name__, str(error)]))
"""


def in_process(script, path):
    done = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent), str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def still_sound(path, size):
    with Ledger.open(f"sqlite:///{path}", signer=KEY) as ledger:
        assert ledger.verify(ledger.checkpoint()).size == size
        assert ledger.append("note", "more").seq == size


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "l.db"
    with ledger_of(3, url=f"sqlite:///{path}"):
        pass
    return path


def test_locked_by_another_program(path):
    store = SQLiteStore(path, lock_seconds=0.05)
    store.begin(None)
    with Ledger(store, signers=[KEY]) as ledger:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"l\.db.*locked.*another process"):
            ledger.append("note", 1)
        assert ledger.verify().size == 3
        other.execute("ROLLBACK")
        other.close()
        assert ledger.append("note", 1).seq == 3
    still_sound(path, 4)


def test_a_new_ledger_in_a_locked_file(tmp_path):
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError, match=r"new\.db.*locked"):
        SQLiteStore(path, lock_seconds=0.05).begin(ORIGIN)
    other.close()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_read_only_file_and_folder(tmp_path_factory, what):
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="quorate-test-"))
    try:
        path = folder / "l.db"
        with ledger_of(3, url=f"sqlite:///{path}"):
            pass
        folder.chmod(0o777 if what == "file" else 0o555)
        path.chmod(0o444 if what == "file" else 0o666)
        (kind, text), reading = in_process(AS_NOBODY, path)
        assert kind == "StoreError"
        assert "l.db" in text
        assert "permission" in text or "check that its folder" in text
        assert reading == ["fine", 3]
        folder.chmod(0o755)
        path.chmod(0o644)
        still_sound(path, 3)
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_file_that_may_not_be_read():
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="quorate-test-"))
    try:
        folder.chmod(0o755)
        path = folder / "l.db"
        with ledger_of(1, url=f"sqlite:///{path}"):
            pass
        path.chmod(0o000)
        for kind, text in in_process(AS_NOBODY, path):
            assert kind == "StoreError"
            assert "l.db" in text
    finally:
        shutil.rmtree(folder)


def test_a_full_database(path):
    with Ledger.open(f"sqlite:///{path}", signer=KEY) as ledger:
        sql(ledger, f"PRAGMA max_page_count={sql(ledger, 'PRAGMA page_count')[0][0] + 3}")
        with pytest.raises(StoreError, match=r"l\.db.*full.*free some space"):
            ledger.append_many("note", ["x" * 3000 for _ in range(20)])
        assert len(ledger) == 3
        sql(ledger, "PRAGMA max_page_count=100000")
        assert len(ledger.append_many("note", ["x" * 3000 for _ in range(20)])) == 20
        assert ledger.verify(ledger.checkpoint()).size == 23
    still_sound(path, 23)


def test_a_full_disk(path):
    acknowledged, kind, text = in_process(SMALL_DISK, path)
    assert (kind, acknowledged > 0) == ("StoreError", True)
    assert "l.db" in text
    still_sound(path, 3 + acknowledged)


@pytest.mark.parametrize("signer", [KEY, None], ids=["writing", "reading"])
@pytest.mark.parametrize(
    "content", [b"x" * 5000, b"hello", b"SQLite format 3\x00" + b"\xff" * 4096]
)
def test_not_a_database(tmp_path, content, signer):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises((StoreError, VerificationError), match=r"notes\.txt"):
        Ledger.open(f"sqlite:///{path}", signer=signer)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("signer", [KEY, None], ids=["writing", "reading"])
def test_another_programs_database(tmp_path, signer):
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE entries (seq INTEGER)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"other\.db is a database, but not a ledger"):
        Ledger.open(f"sqlite:///{path}", signer=signer)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        "CREATE TABLE extra (x)",
        "DROP INDEX entries_key",
        "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END",
        "CREATE VIEW v AS SELECT 1",
        "PRAGMA user_version=2",
        "PRAGMA application_id=5",
        "ALTER TABLE entries ADD COLUMN more TEXT",
    ],
)
def test_a_layout_that_is_not_ours(path, change):
    other = sqlite3.connect(path)
    other.execute(change)
    other.commit()
    other.close()
    for signer in (KEY, None):
        with pytest.raises(VerificationError, match="layout") as caught:
            Ledger.open(f"sqlite:///{path}", signer=signer)
        assert caught.value.rule == "layout"


@pytest.mark.parametrize("signer", [KEY, None], ids=["writing", "reading"])
def test_a_folder_in_the_place_of_a_file_or_none_at_all(tmp_path, signer):
    for path in (tmp_path, tmp_path / "none" / "l.db"):
        with pytest.raises(StoreError, match=path.name):
            Ledger.open(f"sqlite:///{path}", signer=signer)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_becomes_a_ledger_only_for_writing(tmp_path):
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(StoreError, match="there is no ledger"):
        Ledger.open(f"sqlite:///{path}")
    assert path.stat().st_size == 0
    with pytest.raises(QuorateError):
        Ledger.open(f"sqlite:///{path}", signer=KEY, origin="a b")
    assert path.stat().st_size == 0
    with ledger_of(1, url=f"sqlite:///{path}") as ledger:
        assert len(ledger) == 1


class BusySwitching:
    """A connection that SQLite refuses to switch at first, as when two processes begin at once."""

    def __init__(self, db, times):
        self.db = db
        self.times = times

    def __getattr__(self, name):
        return getattr(self.db, name)

    def execute(self, statement, *values):
        if "journal_mode" in statement and self.times > 0:
            self.times -= 1
            raise sqlite3.OperationalError("database is locked")
        return self.db.execute(statement, *values)


@pytest.mark.parametrize(("times", "works"), [(3, True), (10**9, False)])
def test_two_that_begin_at_once_wait_for_each_other(tmp_path, times, works):
    store = SQLiteStore(tmp_path / "new.db", lock_seconds=0.3)
    store._db = BusySwitching(store._db, times)
    if works:
        store.begin(ORIGIN)
        assert store.origin() == ORIGIN
    else:
        with pytest.raises(StoreError, match=r"new\.db.*locked"):
            store.begin(ORIGIN)
    store.close()
