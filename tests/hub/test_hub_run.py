"""A panel decides a stream of tasks: order, resuming, refusals to go on, bounds."""

import asyncio
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest

from quorate.cli.app import run as cli_run
from quorate.core.errors import OperationalError, StoreError, UsageError
from quorate.hub import Panel, Run, run, sink
from quorate.hub.run import RunSummary
from quorate.ledger import sqlite
from quorate.ledger.log import Ledger

CODE = """
import asyncio, threading, time

lock = threading.Lock()
seen, now, most = [], 0, 0
let_go = threading.Event()

def echo(task):
    seen.append(task)
    return task

def count(task):
    global now, most
    with lock:
        now += 1
        most = max(most, now)
    time.sleep(0.002)
    with lock:
        now -= 1
    return task

async def shuffled(task):
    await asyncio.sleep(0.02 if task % 3 == 0 else 0)
    return task

def hang(task):
    let_go.wait(30)
    return task

def first_waits(task):
    if task == 0:
        let_go.wait(30)
    return task

async def hang_async(task):
    await asyncio.sleep(3600)
"""


def calling(*names, more=""):
    return {
        f"{name}{n}": f'call = "experts:{name}"\nconfidence = 1\n{more}'
        for n, name in enumerate(names)
    }


def task_lines(numbers):
    return [json.dumps({"id": f"t{n}", "input": n}) for n in numbers]


def decided(folder):
    return [json.loads(line) for line in folder.out_path.read_text().splitlines()]


def kinds(folder):
    with folder.open_ledger() as ledger:
        ledger.verify(replay=True)
        return [receipt.kind for receipt in ledger]


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


def test_decisions_come_in_the_order_of_tasks(folder):
    folder.declare(CODE, calling("shuffled", "echo", "shuffled"), concurrency="8")
    summary = folder.tasks(*task_lines(range(40))).run()
    assert [(d["id"], d["consensus"], d["seq"]) for d in decided(folder)] == [
        (f"t{n}", n, n + 1) for n in range(40)
    ]
    assert summary == RunSummary(committed=40, refused=0, earlier=0, other_panel=0, size=41)
    assert kinds(folder) == ["panel"] + ["decision"] * 40


def test_a_second_run_does_nothing_and_seals_nothing(folder):
    folder.tasks(*task_lines(range(5))).run()
    before = folder.out_path.read_bytes()
    panel = Panel.load(folder.path)
    asked = panel.experts[0].callee.function.__globals__["seen"]
    asked.clear()
    with folder.open_ledger() as ledger:
        summary = Run(panel, ledger, str(folder.tasks_path), str(folder.out_path)).execute()
    assert summary.to_dict() == {
        "tasks": 5, "committed": 5, "refused": 0, "shadow_refused": 0, "earlier": 5,
        "other_panel": 0, "entries": 6,
    }  # fmt: skip
    assert asked == []
    assert folder.out_path.read_bytes() == before


@pytest.mark.parametrize("kept", [0, 1, 2.5, 3.999, 4, 5])
def test_a_run_goes_on_where_an_earlier_one_was_stopped(folder, kept):
    """Whatever of the output is left, whole lines or a torn one, the rerun completes it."""
    folder.tasks(*task_lines(range(5))).run()
    whole = folder.out_path.read_bytes()
    lines = whole.splitlines(keepends=True)
    torn = lines[int(kept)][: round(len(lines[int(kept)]) * (kept % 1))] if kept < 5 else b""
    folder.out_path.write_bytes(b"".join(lines[: int(kept)]) + torn)
    summary = folder.run()
    assert folder.out_path.read_bytes() == whole
    assert (summary.total, summary.earlier, summary.size) == (5, 5, 6)


def test_tasks_added_later_are_decided_without_the_others(folder):
    folder.tasks(*task_lines(range(3))).run()
    folder.tasks(*task_lines(range(7)))
    summary = folder.run()
    assert (summary.total, summary.earlier) == (7, 3)
    assert [d["seq"] for d in decided(folder)] == list(range(1, 8))


def test_another_output_of_the_same_tasks_is_written_from_the_ledger(folder):
    folder.tasks(*task_lines(range(5))).run()
    other = folder.folder / "other.jsonl"
    folder.run(out=str(other))
    assert other.read_bytes() == folder.out_path.read_bytes()


def test_no_tasks_are_no_decisions(folder):
    assert folder.tasks().run().total == 0
    assert folder.out_path.read_bytes() == b""


# -- what is not ours is left alone


def spoil_with(data):
    def spoil(folder):
        folder.out_path.write_bytes(data)

    return spoil


def edit_a_line(folder):
    text = folder.out_path.read_text()
    folder.out_path.write_text(text.replace('"consensus":1', '"consensus":7'))


def swap_lines(folder):
    one, two, *rest = folder.out_path.read_bytes().splitlines(keepends=True)
    folder.out_path.write_bytes(b"".join([two, one, *rest]))


def other_tasks(folder):
    folder.tasks(*task_lines(range(10, 13)))


def fewer_tasks(folder):
    folder.tasks(*task_lines(range(2)))


def other_ledger(folder):
    folder.ledger_path.unlink()


SPOILERS = {
    "a letter": (spoil_with(b"Dear Sir,\nyours\n"), 1),
    "no newline": (spoil_with(b"an hour of typing"), 1),
    "an empty line": (spoil_with(b"\n"), 1),
    "NUL bytes": (spoil_with(b"\0" * 100), 1),
    "an edited line": (edit_a_line, 2),
    "lines swapped": (swap_lines, 1),
    "other tasks": (other_tasks, 1),
    "fewer tasks": (fewer_tasks, 3),
    "another ledger": (other_ledger, 1),
}


@pytest.mark.parametrize("how", SPOILERS)
def test_an_output_that_is_not_of_these_tasks_is_left_as_it_is(folder, how):
    spoil, line = SPOILERS[how]
    folder.tasks(*task_lines(range(3))).run()
    spoil(folder)
    before = folder.out_path.read_bytes()
    with pytest.raises(UsageError) as caught:
        folder.run()
    assert str(caught.value).startswith(f"{folder.out_path}:{line}: ")
    assert "name another output" in str(caught.value)
    assert folder.out_path.read_bytes() == before


def test_the_tasks_file_is_no_output(folder):
    folder.tasks(*task_lines(range(3)))
    before = folder.tasks_path.read_bytes()
    with pytest.raises(UsageError, match="name another output"):
        folder.run(out=str(folder.tasks_path))
    assert folder.tasks_path.read_bytes() == before
    assert not folder.ledger_path.exists() or kinds(folder) == []


def test_an_output_that_is_no_file_is_refused(folder):
    folder.tasks(*task_lines(range(3)))
    with pytest.raises(UsageError, match="no regular file"):
        folder.run(out="/dev/null")
    with pytest.raises(OperationalError, match="directory"):
        folder.run(out=str(folder.folder))
    with pytest.raises(OperationalError, match="No such file"):
        folder.run(out=str(folder.folder / "none" / "out.jsonl"))
    assert kinds(folder) == []


def test_a_task_never_changes_once_it_is_decided(folder):
    folder.tasks(*task_lines(range(3))).run()
    folder.tasks(*task_lines(range(2)), '{"id": "t2", "input": "another"}')
    for out in (None, str(folder.folder / "new.jsonl")):
        with pytest.raises(UsageError) as caught:
            folder.run(out=out)
        assert str(caught.value).startswith(f"{folder.tasks_path}:3: the task 't2' was decided")
        assert "(entry 3)" in str(caught.value)
    assert len(decided(folder)) == 3


def test_a_key_that_somebody_else_used_is_not_taken_for_a_decision(folder):
    with folder.open_ledger() as ledger:
        ledger.append("note", {"hello": 1}, key="task:t0")
    with pytest.raises(UsageError, match=r"entry 0"):
        folder.tasks(*task_lines(range(1))).run()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("note", [1, 2]),
        ("decision", [1, 2]),
        ("decision", "x"),
        ("refusal", {"task": {"id": "t0"}}),
    ],
)
def test_anything_sealed_under_the_key_of_a_task_is_named(folder, kind, body):
    with folder.open_ledger() as ledger:
        ledger.append(kind, body, key="task:t0")
    with pytest.raises(UsageError, match=r"tasks\.jsonl:1: entry 0 .*'task:t0' and is no decision"):
        folder.tasks(*task_lines(range(1))).run()


def test_what_another_run_sealed_meanwhile_stands(folder):
    """Two runs whose experts answer otherwise; the later to seal adopts what it finds."""
    folder.tasks(*task_lines(range(6)))
    panel = Panel.load(folder.path)
    with folder.open_ledger() as ledger, folder.open_ledger() as other:
        append_all = ledger.append_all
        raced = []

        def overtaken(items):
            for kind, body, trace, key in items[1:3]:
                if len(raced) < 3:
                    raced.append(key)
                    changed = body | {"note": "sealed by another run"}
                    other.append(kind, changed, trace_id=trace, key=key)
            return append_all(items)

        ledger.append_all = overtaken
        args = (str(folder.tasks_path), str(folder.out_path))
        summary = Run(panel, ledger, *args).execute()
        assert (summary.total, summary.earlier, summary.size) == (6, len(raced), 7)
        assert len(raced) >= 2
        for line in decided(folder):
            receipt = ledger.by_key(f"task:{line['id']}")
            assert line["seq"] == receipt.seq
            assert ("note" in receipt.payload) == (f"task:{line['id']}" in raced)
    assert [d["id"] for d in decided(folder)] == [f"t{n}" for n in range(6)]


def test_what_is_wrong_but_no_race_is_still_an_error(folder, monkeypatch):
    def refuse(self, items):
        raise UsageError("the clock is mad")

    monkeypatch.setattr(Ledger, "append_all", refuse)
    with pytest.raises(UsageError, match="the clock is mad"):
        folder.tasks(*task_lines(range(2))).run()


def test_a_changed_panel_leaves_decided_tasks_as_they_are_and_says_so(folder):
    folder.tasks(*task_lines(range(3))).run()
    before = folder.out_path.read_bytes()
    folder.declare(CODE, calling("echo", "echo", "echo"), quorum="0.9")
    folder.tasks(*task_lines(range(5)))
    summary = folder.run()
    assert (summary.earlier, summary.other_panel, summary.total) == (3, 3, 5)
    assert folder.out_path.read_bytes().startswith(before)
    assert kinds(folder) == ["panel"] + ["decision"] * 3 + ["panel"] + ["decision"] * 2
    assert folder.run().other_panel == 3


# -- broken tasks


@pytest.mark.parametrize("number", [1, 2, 5, 50])
def test_a_broken_line_in_a_file_decides_nothing(folder, number):
    lines = task_lines(range(60))
    lines[number - 1] = '{"id": "x"'
    with pytest.raises(UsageError, match=rf"tasks\.jsonl:{number}: "):
        folder.tasks(*lines).run()
    assert not folder.out_path.exists()
    assert kinds(folder) == []


def test_tasks_that_cannot_be_read_are_the_environments_fault(folder):
    with pytest.raises(OperationalError, match="No such file"):
        folder.run(tasks=str(folder.folder / "none.jsonl"))
    with pytest.raises(OperationalError, match="directory"):
        folder.run(tasks=str(folder.folder))


@pytest.mark.parametrize("id_", ["x", "é" * 256, "a\\nb", "\\u0000", " ", "\\u2028", "[bold]"])
def test_every_id_that_is_read_can_be_decided(folder, id_):
    assert folder.tasks(f'{{"id": "{id_}", "input": 1}}').run().committed == 1
    assert folder.run().earlier == 1


# -- runs that end early, and what experts import and print


async def ends_quietly(self, tasks, sink):
    self._taken += len(list(tasks))


async def leaves(self, tasks, sink):
    await asyncio.get_running_loop().create_task(leaving())


async def leaving():
    raise SystemExit


async def is_cancelled(self, tasks, sink):
    raise asyncio.CancelledError


@pytest.mark.parametrize("ended", [ends_quietly, leaves, is_cancelled])
def test_a_run_that_ends_before_all_is_decided_says_so(folder, monkeypatch, ended):
    monkeypatch.setattr(Run, "_decide", ended)
    with pytest.raises(OperationalError, match=r"the run ended early.*run again to go on"):
        folder.tasks(*task_lines(range(2))).run()


LEAVES = """
from quorate.hub import Answer

class Leaving(Answer):
    @property
    def payload(self):
        raise SystemExit

def echo(task):
    return object.__new__(Leaving)

def good(task):
    return Answer(1, 1)
"""


def test_an_answer_that_exits_when_looked_at_is_void_and_all_tasks_are_decided(folder):
    experts = {"a": 'call = "experts:echo"', "b": 'call = "experts:good"'}
    folder.declare(LEAVES, experts, quorum="0.5")
    assert folder.tasks(*task_lines(range(5))).run().total == 5
    assert {d["absent"][0]["reason"] for d in decided(folder)} == {"void"}


LAZY = """
print("at the top")

def echo(task):
    import helper
    print("inside")
    return helper.double(task)
"""


def test_experts_may_import_what_is_beside_them_inside_a_call(folder):
    (folder.folder / "helper.py").write_text("def double(task):\n    return 2 * task\n")
    folder.declare(LAZY, calling("echo", "echo"), quorum="1").tasks(*task_lines(range(4))).run()
    assert [d["consensus"] for d in decided(folder)] == [0, 2, 4, 6]
    assert kinds(folder) == ["panel"] + ["decision"] * 4


def test_what_experts_print_does_not_come_between_decision_lines(folder, capfd):
    (folder.folder / "helper.py").write_text("def double(task):\n    return 2 * task\n")
    folder.declare(LAZY, calling("echo", "echo")).tasks(*task_lines(range(4)))
    arguments = ["run", str(folder.path), str(folder.tasks_path), "-o", "-"]
    assert cli_run(arguments) == 0
    out, err = capfd.readouterr()
    assert [json.loads(line)["consensus"] for line in out.splitlines()] == [0, 2, 4, 6]
    # Side by side, ends of lines may come later.
    assert (err.count("inside"), err.count("at the top")) == (8, 1)


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
