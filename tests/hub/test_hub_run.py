"""A panel decides a stream of tasks: order, resuming, refusals to go on."""

import asyncio
import json

import pytest
from run_tools import CODE, calling, decided, kinds, task_lines

from quorate.cli.app import run as cli_run
from quorate.core.errors import OperationalError, UsageError
from quorate.hub import Panel, Run
from quorate.hub.run import RunSummary
from quorate.ledger.log import Ledger


@pytest.fixture
def folder(panel_folder):
    return panel_folder.declare(CODE, calling("echo", "echo", "echo"))


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
        "other_panel": 0, "entries": 6, "not_by_quorum": 0, "shadow_not_by_quorum": 0,
        "overridden": 0, "withheld": 0, "outdated": 0, "failing": [],
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

        def overtaken(items, **more):
            for kind, body, trace, key in items[1:3]:
                if len(raced) < 3:
                    raced.append(key)
                    changed = body | {"note": "sealed by another run"}
                    other.append(kind, changed, trace_id=trace, key=key)
            return append_all(items, **more)

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
    def refuse(self, items, **more):
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
