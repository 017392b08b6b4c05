"""Bounds of a run, and others at the same files."""

import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest
from run_tools import CODE, calling, decided, kinds, task_lines

from quorate.core.errors import OperationalError, StoreError, UsageError
from quorate.hub import Panel, Run, run, sink
from quorate.ledger import sqlite
from quorate.ledger.log import Ledger


@pytest.fixture
def folder(panel_folder):
    return panel_folder.declare(CODE, calling("echo", "echo", "echo"))


@pytest.fixture
def module():
    """The panel's module: its state, and no thread of it left waiting."""
    loaded = {}

    def get(panel):
        loaded["it"] = panel.experts[0].callee.function.__globals__
        return loaded["it"]

    yield get
    if loaded:
        loaded["it"]["let_go"].set()


# -- bounds


def test_no_more_tasks_run_at_once_than_declared(folder, module):
    folder.declare(CODE, calling("count"), concurrency="3")
    panel = Panel.load(folder.path)
    folder.tasks(*task_lines(range(60)))
    with folder.open_ledger() as ledger:
        Run(panel, ledger, str(folder.tasks_path), str(folder.out_path)).execute()
    assert 2 <= module(panel)["most"] <= 3


def test_the_reader_is_never_further_ahead_than_the_window(folder, module, monkeypatch):
    """With the first task stuck, no more than a few are read, and all go on when it is not."""
    folder.declare(CODE, calling("first_waits"), concurrency="3")
    panel = Panel.load(folder.path)
    state = module(panel)
    taken = []
    stuck_at = []

    def watched(file, name, read=run.read_tasks):
        for task in read(file, name):
            taken.append(task.id)
            yield task

    def let_go():
        stuck_at.append(len(taken))
        state["let_go"].set()

    monkeypatch.setattr(run, "read_tasks", watched)
    folder.tasks(*task_lines(range(100)))
    timer = threading.Timer(0.5, let_go)
    with folder.open_ledger() as ledger:
        job = Run(panel, ledger, str(folder.tasks_path), str(folder.out_path))
        monkeypatch.setattr(job.__class__, "_precheck", lambda *_: 100)
        timer.start()
        job.execute()
    timer.join()
    assert stuck_at == [3 * run._WAITING_PER_RUNNING]
    assert len(decided(folder)) == 100


@pytest.mark.parametrize("name", ["hang", "hang_async"])
def test_experts_that_hang_do_not_hold_up_the_run(folder, module, name):
    experts = calling("echo", "echo") | calling(name, more="timeout = 0.05")
    folder.declare(CODE, experts, quorum="0.6", concurrency="8")
    panel = Panel.load(folder.path)
    module(panel)
    folder.tasks(*task_lines(range(20)))
    with folder.open_ledger() as ledger:
        Run(panel, ledger, str(folder.tasks_path), str(folder.out_path)).execute()
    assert {(d["status"], d["absent"][0]["reason"]) for d in decided(folder)} == {
        ("committed", "timeout")
    }


def test_progress_counts_up_to_all_tasks(folder):
    told = []
    folder.tasks(*task_lines(range(10)))
    with folder.open_ledger() as ledger:
        panel = Panel.load(folder.path)
        args = (str(folder.tasks_path), str(folder.out_path))
        Run(panel, ledger, *args, lambda *counts: told.append(counts)).execute()
    assert told == [(n, 10) for n in range(1, 11)]


# -- others at the same files


def test_two_runs_cannot_write_one_output(folder):
    folder.tasks(*task_lines(range(3))).run()
    with folder.out_path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(OperationalError, match="being written by another run"):
            folder.run()
    assert folder.run().earlier == 3


def test_a_ledger_locked_by_another_process_is_named(folder, monkeypatch):
    monkeypatch.setitem(sqlite.SQLiteStore.__init__.__kwdefaults__, "lock_seconds", 0.05)
    folder.tasks(*task_lines(range(3))).run()
    folder.tasks(*task_lines(range(6)))
    before = folder.out_path.read_bytes()
    other = sqlite3.connect(folder.ledger_path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"ledger\.db.*locked.*another process"):
        folder.run()
    other.execute("ROLLBACK")
    other.close()
    assert folder.out_path.read_bytes() == before
    summary = folder.run()
    assert (summary.total, summary.earlier, summary.size) == (6, 3, 7)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write whatever the permissions say")
def test_a_ledger_without_write_permission_is_named(folder):
    folder.tasks(*task_lines(range(3))).run()
    folder.ledger_path.chmod(0o400)
    folder.tasks(*task_lines(range(4)))
    with pytest.raises(StoreError, match=r"ledger\.db"):
        folder.run()


def test_a_ledger_that_cannot_be_written_is_named(folder, monkeypatch):
    """As one on a read-only medium, which permissions cannot show to root."""
    folder.tasks(*task_lines(range(3))).run()
    folder.tasks(*task_lines(range(4)))
    before = folder.out_path.read_bytes()
    panel = Panel.load(folder.path)
    with folder.open_ledger() as ledger:
        ledger.store._db.execute("PRAGMA query_only=ON")
        with pytest.raises(StoreError, match=r"ledger\.db.*readonly.*check its permissions"):
            Run(panel, ledger, str(folder.tasks_path), str(folder.out_path)).execute()
    assert folder.out_path.read_bytes() == before


def test_a_ledger_opened_for_reading_is_refused(folder):
    folder.tasks(*task_lines(range(3))).run()
    panel = Panel.load(folder.path)
    with Ledger.open(f"sqlite:///{folder.ledger_path}") as ledger:
        job = Run(panel, ledger, str(folder.tasks_path), str(folder.out_path))
        with pytest.raises(UsageError, match="opened for reading"):
            job.execute()


SMALL_FILES = """
    import resource, signal, sys
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    most = int(sys.argv[1])
    from quorate.cli.app import run
    from quorate.ledger import sqlite
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    sys.exit(run(sys.argv[2:]))
"""


def limited(folder, most):
    """Run the command line where no file can grow beyond ``most`` bytes."""
    arguments = ["run", str(folder.path), str(folder.tasks_path), "-o", str(folder.out_path)]
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SMALL_FILES), str(most), *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_an_output_that_cannot_grow_keeps_whole_lines_and_is_completed_later(folder):
    text = "x" * 300_000
    lines = [json.dumps({"id": f"t{n}", "input": text}) for n in range(3)]
    folder.tasks(*lines).run(out=str(folder.folder / "other.jsonl"))
    # What is left to write are the lines, larger than the log of the ledger may become.
    done = limited(folder, 400_000)
    assert done.returncode == 5, done.stderr
    assert "cannot be written: File too large; every decision is in the ledger" in done.stderr
    assert "Traceback" not in done.stderr
    whole = (folder.folder / "other.jsonl").read_bytes()
    assert whole.startswith(folder.out_path.read_bytes())
    assert folder.out_path.read_bytes() in {b"", whole.splitlines(keepends=True)[0]}
    assert folder.run().earlier == 3
    assert folder.out_path.read_bytes() == whole


def test_a_ledger_that_cannot_grow_acknowledges_nothing_it_did_not_keep(folder):
    lines = [json.dumps({"id": f"t{n}", "input": "x" * 20_000}) for n in range(40)]
    done = limited(folder.tasks(*lines), 600_000)
    assert done.returncode == 5, done.stderr
    assert "ledger.db" in done.stderr
    assert "Traceback" not in done.stderr
    written = len(decided(folder))
    with folder.open_ledger() as ledger:
        assert len(ledger) >= written + 1
    assert written < 40
    assert folder.run().total == 40
    assert kinds(folder) == ["panel"] + ["decision"] * 40
    assert [d["id"] for d in decided(folder)] == [f"t{n}" for n in range(40)]


def test_an_output_whose_write_fails_half_way_loses_no_line_and_keeps_no_half(folder, monkeypatch):
    folder.tasks(*task_lines(range(30)))
    real = os.write
    left = [2000]

    def failing(descriptor, data):
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        written = real(descriptor, bytes(data[: min(len(data), 37, left[0])]))
        left[0] -= written
        return written

    panel = Panel.load(folder.path)
    with folder.open_ledger() as ledger:
        job = Run(panel, ledger, str(folder.tasks_path), str(folder.out_path))
        monkeypatch.setattr(sink.os, "write", failing)
        with pytest.raises(OperationalError, match="No space left on device"):
            job.execute()
        monkeypatch.undo()
    assert folder.out_path.read_bytes()[-1:] in {b"", b"\n"}
    assert folder.run().total == 30
    assert len(decided(folder)) == 30
