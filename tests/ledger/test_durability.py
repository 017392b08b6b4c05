"""Pull the plug between any two steps of a write: what was acknowledged is there."""

import json
import sqlite3
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from ledger_tools import KEY, ORIGIN, ledger_of, sql

from quorate.core.errors import StoreError
from quorate.ledger import Ledger

# Forks one child for each fault point; the child kills itself there. Prints, for each, what
# was acknowledged over a pipe, and where it died.
PULLER = """
import json, os, signal, sys
sys.path.insert(0, sys.argv[1])
from ledger_tools import KEY, ORIGIN
from quorate.ledger import Ledger
from quorate.ledger.sqlite import SQLiteStore
from pathlib import Path

def child(path, at, pipe):
    count = 0
    def hook(point):
        nonlocal count
        if count == at:
            os.write(pipe, json.dumps({"died": point}).encode() + b"\\n")
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
    store = SQLiteStore(Path(path), fault_point=hook)
    store.begin(ORIGIN)
    ledger = Ledger(store, signers=[KEY])
    for batch in ([0], [1, 2, 3], [4], [5, 6]):
        if len(batch) == 1:
            ledger.append("note", batch[0], key=f"k{batch[0]}")
        else:
            ledger.append_many("note", batch, keys=[f"k{n}" for n in batch])
        os.write(pipe, json.dumps({"acknowledged": batch}).encode() + b"\\n")
    os._exit(0)

for at in range(100):
    reader, writer = os.pipe()
    path = f"{sys.argv[2]}/{at}.db"
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            child(path, at, writer)
        finally:
            os._exit(7)
    os.close(writer)
    with os.fdopen(reader) as lines:
        told = [json.loads(line) for line in lines]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps({"at": at, "status": status, "told": told}))
    if status == 0:
        break
"""

BATCHES = [[0], [1, 2, 3], [4], [5, 6]]


@pytest.fixture(scope="module")
def pulled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pulled")
    done = subprocess.run(
        [sys.executable, "-c", PULLER, str(Path(__file__).parent), str(folder)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return folder, [json.loads(line) for line in done.stdout.splitlines()]


def test_every_step_of_a_write_was_pulled(pulled):
    _, runs = pulled
    assert [run["status"] for run in runs[:-1]] == [-9] * (len(runs) - 1)
    assert runs[-1]["status"] == 0
    died = [run["told"][-1]["died"].split()[0] for run in runs[:-1]]
    assert died.count("schema") == 5
    assert died.count("begun") == died.count("written") == died.count("committed") == 5
    assert [
        run["told"][-1]["died"] for run in runs[:-1] if "inserted" in run["told"][-1]["died"]
    ] == [f"inserted {n}" for n in range(7)]


def test_what_was_acknowledged_is_there_and_nothing_by_halves(pulled):
    folder, runs = pulled
    for run in runs:
        acknowledged = [told["acknowledged"] for told in run["told"] if "acknowledged" in told]
        # A new store: SQLite recovers what the write-ahead log holds, no more and no less.
        with Ledger.open(f"sqlite:///{folder}/{run['at']}.db", signer=KEY, origin=ORIGIN) as ledger:
            held = [r.payload for r in ledger]
            whole = len(acknowledged)
            candidates = [list(chain.from_iterable(BATCHES[:n])) for n in (whole, whole + 1)]
            assert held in candidates, run
            # Killed after the commit, before the word got out: it is there.
            last = run["told"][-1].get("died", "")
            if last == "committed" and held:
                assert held == candidates[1]
            if last.split()[0:1] in (["begun"], ["inserted"], ["written"]):
                assert held == candidates[0]
            assert ledger.verify(ledger.checkpoint()).size == len(held)
            for batch in BATCHES:
                ledger.append_many("note", batch, keys=[f"k{n}" for n in batch])
            assert [r.payload for r in ledger] == list(range(7))
            assert ledger.verify(ledger.checkpoint()).complete


def test_a_read_only_look_right_after_the_plug_was_pulled(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PULLER, str(Path(__file__).parent), str(tmp_path)],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    for run in map(json.loads, done.stdout.splitlines()):
        words = (told.get("acknowledged", []) for told in run["told"])
        acknowledged = list(chain.from_iterable(words))
        try:
            ledger = Ledger.open(f"sqlite:///{tmp_path}/{run['at']}.db")
        except StoreError as error:
            assert "there is no ledger" in str(error)  # noqa: PT017 - or it opens, see below
            assert not acknowledged
            continue
        with ledger:
            assert [r.payload for r in ledger][: len(acknowledged)] == acknowledged


def test_a_commit_waits_for_the_disk(tmp_path):
    with ledger_of(1, url=f"sqlite:///{tmp_path / 'l.db'}") as ledger:
        assert ledger.store.synchronous() == 2
        assert sql(ledger, "PRAGMA journal_mode") == [(b"wal",)]
        assert sql(ledger, "PRAGMA fullfsync") == [(1,)]
    # The file itself says that it is written ahead.
    assert (tmp_path / "l.db").read_bytes()[18:20] == b"\x02\x02"


def test_a_ledger_taken_off_its_write_ahead_log_gets_it_back(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger_of(1, url=url).close()
    other = sqlite3.connect(tmp_path / "ledger.db")
    assert other.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    other.close()
    with Ledger.open(url, signer=KEY) as ledger:
        assert sql(ledger, "PRAGMA journal_mode") == [(b"wal",)]
