"""What ``quorate run`` says at its end, what its lines say, and where its traces may go."""

import asyncio
import json
import sys
from fractions import Fraction
from io import StringIO

import pytest
from rich.console import Console

from quorate.cli import tune
from quorate.hub import Panel, Session
from quorate.hub.experts import Expert
from quorate.hub.experts.subprocess import SubprocessExpert
from quorate.hub.failing import Absences
from quorate.hub.panel import PanelError
from quorate.hub.tuning import Row

CODE = """
import asyncio
from quorate.hub import Answer

def yes(task):
    return "yes"

def no(task):
    return "no"

def fail(task):
    raise ValueError("no idea")

def at_times(task):
    if task == 0:
        raise ValueError("not today")
    return "yes"

async def for_ever(task):
    await asyncio.sleep(3600)

def ab(task):
    return Answer("a", 0.9, ranking=["a", "b"])

def c(task):
    return Answer("c", 0.1, ranking=["c"])
"""
# It answers once eight of its kind have been asked, each in a process of its own.
PATIENT = """
import json, os, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    open(f"asked-{os.getpid()}", "w").close()
    while sum(name.startswith("asked-") for name in os.listdir()) < 8:
        time.sleep(0.02)
    print(json.dumps({"id": asked["id"], "payload": "yes", "confidence": 0.9}), flush=True)
"""


def expert(id_, call, more="", *, sure=True):
    sure = "confidence = 0.9\n" if sure else ""
    return f'[[experts]]\nid = "{id_}"\nkind = "python"\ncall = "experts:{call}"\n{sure}{more}'


def program(id_, more):
    return f'[[experts]]\nid = "{id_}"\nkind = "subprocess"\n{more}'


@pytest.fixture
def folder(tmp_path, monkeypatch, quorate):
    """Declares a panel in the working folder, with tasks 0, 1, 2 and so on."""
    monkeypatch.chdir(tmp_path)
    quorate("keys", "new", "ledger.key")
    (tmp_path / "experts.py").write_text(CODE)
    (tmp_path / "patient.py").write_text(PATIENT)

    def declare(arbiter, *experts, tasks=1, concurrency=8):
        ledger = '[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "ledger.key"'
        head = [ledger, f"[arbiter]\n{arbiter}", f"[run]\nconcurrency = {concurrency}"]
        (tmp_path / "quorate.toml").write_text("\n\n".join([*head, *experts]) + "\n")
        lines = [json.dumps({"id": f"t{n}", "input": n}) for n in range(tasks)]
        (tmp_path / "tasks.jsonl").write_text("\n".join(lines) + "\n")
        return tmp_path

    return declare


def lines(folder):
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


RUN = ("run", "quorate.toml", "tasks.jsonl", "-o", "out.jsonl")
QUORUM = 'protocol = "weighted-quorum"\nquorum = 0.66'
FALLBACK = f'{QUORUM}\non_under_quorum = "fallback"\nfallback = "b"'


# -- processes


@pytest.mark.parametrize(("more", "places"), [("", 6), ("processes = 2\n", 2)])
@pytest.mark.parametrize("kind", ["subprocess", "python"])
def test_there_are_as_many_processes_as_tasks_side_by_side(folder, kind, more, places):
    command = f'command = ["{sys.executable}", "patient.py"]\n'
    made = {
        "subprocess": program("p", command + more),
        "python": expert("p", "yes", "process = true\n" + more),
    }
    path = folder(QUORUM, made[kind], concurrency=6) / "quorate.toml"
    assert Panel.load(path).every["p"].function._children._slots._free == places


def test_many_tasks_side_by_side_make_no_process_late(folder, quorate):
    command = f'command = ["{sys.executable}", "patient.py"]\ntimeout = 60\n'
    where = folder(QUORUM, program("p", command), tasks=8)
    assert quorate(*RUN, "--strict")[0] == 0
    assert [line["status"] for line in lines(where)] == ["committed"] * 8


def test_a_call_that_never_got_a_process_says_so():
    adapter = SubprocessExpert(["cat"], processes=1)

    async def ask():
        await adapter._children._slots.acquire()
        try:
            return await Session([Expert("p", adapter, timeout=0.05)], 1).acollect()
        finally:
            adapter._children._slots.release()

    (absence,) = asyncio.run(ask()).absent
    assert absence.reason == "timeout"
    assert absence.detail == "no process was free within 0.05 s; raise processes"
    assert adapter._children._slots._free == 1


def test_a_program_that_cannot_be_found_is_told_with_its_line(folder, tmp_path):
    (tmp_path / "plain.txt").write_text("no program")
    for command in ("no-such-program", "./plain.txt", "./none", str(tmp_path)):
        path = folder(QUORUM, program("p", f'command = ["{command}"]')) / "quorate.toml"
        with pytest.raises(PanelError, match=r"quorate.toml:15: experts\[0\].command: ") as told:
            Panel.load(path)
        assert repr(command) in str(told.value)


def test_a_program_is_looked_for_where_it_would_be_run(folder, tmp_path):
    (tmp_path / "bin").mkdir()
    tool = tmp_path / "bin" / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    found = ('["./tool"]\ncwd = "bin"', '["bin/tool"]', '["tool"]\nenv = {PATH = "bin"}')
    for command in found:
        Panel.load(folder(QUORUM, program("p", f"command = {command}")) / "quorate.toml")


# -- traces


@pytest.mark.parametrize(
    "name",
    [
        "tasks.jsonl", "quorate.toml", "out.jsonl", "./out.jsonl", "ledger.db", "ledger.db-wal",
        "ledger.key", "ledger.pub", "experts.py", "notes.txt", "mixed.jsonl", "whole.jsonl", ".",
    ],
)  # fmt: skip
def test_traces_go_into_no_file_that_is_something_else(folder, quorate, name):
    where = folder(QUORUM, expert("a", "yes"))
    (where / "notes.txt").write_text("mine\n")
    trace = '{"id":"t","started_at":null,"spans":[]}\n'
    (where / "mixed.jsonl").write_text(trace + '{"id":"x","input":1}\n')
    # One line that may seem torn, and is a task.
    (where / "whole.jsonl").write_text('{"id":"x","input":1}')
    kept = {p.name: p.read_bytes() for p in where.iterdir() if p.is_file()}
    code, _, err = quorate(*RUN, "--trace", name)
    assert code in (2, 5), err
    assert "name a" in err
    assert kept == {n: (where / n).read_bytes() for n in kept}
    assert not (where / "out.jsonl").exists()


def test_traces_go_behind_traces_and_a_torn_one_is_taken_off(folder, quorate):
    where = folder(QUORUM, expert("a", "yes"))
    trace = b'{"id":"t","started_at":null,"spans":[]}\n'
    (where / "t.jsonl").write_bytes(trace + b'{"id":"t1","star')
    assert quorate(*RUN, "--trace", "t.jsonl")[0] == 0
    first, second = (where / "t.jsonl").read_bytes().splitlines(keepends=True)
    assert (first, json.loads(second)["id"]) == (trace, "t0")


# -- decision lines


def test_a_line_says_where_no_quorum_decided_and_strict_minds(folder, quorate):
    where = folder(FALLBACK, expert("a", "yes"), expert("b", "no"), tasks=2)
    code, _, err = quorate(*RUN, "--strict")
    assert code == 3
    assert "2 tasks: 2 committed (2 not by a quorum), 0 refused" in err
    assert [line["by_quorum"] for line in lines(where)] == [False, False]
    assert quorate(*RUN)[0] == 0
    summary = json.loads(quorate(*RUN, "--json")[1])
    assert (summary["committed"], summary["not_by_quorum"]) == (2, 2)


def test_in_shadow_mode_strict_minds_no_fallback(folder, quorate):
    folder(f'{FALLBACK}\nmode = "shadow"', expert("a", "yes"), expert("b", "no"))
    code, out, _ = quorate(*RUN, "--strict", "--json")
    assert (code, json.loads(out)["shadow_not_by_quorum"]) == (0, 1)


def test_a_line_has_by_quorum_and_pending_only_where_there_is_something_to_say(folder, quorate):
    where = folder(QUORUM, expert("a", "yes"))
    assert quorate(*RUN, "--strict")[0] == 0
    assert not {"by_quorum", "pending"} & lines(where)[0].keys()


def test_a_line_names_whom_first_to_quorum_left_waiting(folder, quorate):
    arbiter = 'protocol = "first-to-quorum"\nquorum = 0.5'
    experts = (expert("a", "yes"), expert("b", "yes"), expert("slow", "for_ever"))
    where = folder(arbiter, *experts)
    assert quorate(*RUN)[0] == 0
    assert lines(where)[0]["pending"] == ["slow"]


@pytest.mark.parametrize(("quorum", "status"), [("0.5", "committed"), ("0.99", "refused")])
def test_an_exhausted_ballot_dissents(folder, quorate, quorum, status):
    arbiter = f'protocol = "ranked-runoff"\nquorum = {quorum}'
    experts = [expert(i, "ab", sure=False) for i in "ab"] + [expert("lone", "c", sure=False)]
    experts += [expert("d", "no")]
    where = folder(arbiter, *experts)
    assert quorate(*RUN)[0] == 0
    (line,) = lines(where)
    assert (line["status"], line["dissenting"]) == (status, ["d", "lone"])


# -- the summary


def test_an_expert_that_fails_again_and_again_is_named(folder, quorate):
    experts = [expert(i, "yes") for i in "abc"] + [expert("pr", "fail")]
    folder(QUORUM, *experts, expert("rare", "at_times"), tasks=4)
    code, _, err = quorate(*RUN)
    assert code == 0
    assert "note: expert pr: crashed on 4 of 4 (ValueError: no idea)" in err
    assert "rare" not in err
    (one,) = json.loads(quorate(*RUN, "--json")[1])["failing"]
    assert one == {
        "expert_id": "pr", "asked": 4, "absent": {"crashed": 4}, "detail": "ValueError: no idea",
    }  # fmt: skip


def body(engaged=(), absent=(), **more):
    away = [{"expert_id": i, "reason": reason, "detail": f"by {reason}"} for i, reason in absent]
    return {"verdict": {"engaged": list(engaged), "absent": away}, **more}


def test_a_third_is_much_and_less_is_not():
    counted = Absences()
    counted.add(body(absent=[("a", "timeout"), ("b", "void")]))
    counted.add(body(["a", "b"]))
    counted.add(body(["a"], pending=[{"expert_id": "b"}]))
    counted.add(body(["b"], consultation={"body": body(["a"], absent=[("c", "crashed")])}))
    assert [one.expert_id for one in counted.failing()] == ["c"]
    counted = Absences()
    for absent in ([("a", "timeout")], [], [("a", "crashed")], [("a", "timeout")], [], []):
        counted.add(body([] if absent else ["a"], absent))
    (one,) = counted.failing()
    assert str(one) == "expert a: timed out on 2, crashed on 1, of 6 (by timeout)"


def test_one_task_is_one_task(folder, quorate):
    folder(QUORUM, expert("a", "yes"))
    told = [quorate(*RUN)[2], quorate("tune", "ledger.db")[1]]
    told += [quorate("run", "quorate.toml", "tasks.jsonl", "--dry-run")[1]]
    assert "1 task: 1 committed" in told[0]
    assert "1 verdict;" in told[1]
    for text in told:
        assert not [w for w in ("tasks", "verdicts", "entries") if f" 1 {w}" in f" {text}"], text


# -- tune


def test_a_quorum_that_commits_nothing_is_not_recommended(folder, quorate):
    where = folder('protocol = "weighted-quorum"\nquorum = 0.5', expert("a", "yes"))
    assert quorate(*RUN)[0] == 0
    (where / "outcomes.jsonl").write_text('{"id": "t0", "answer": "no"}\n')
    arguments = ("tune", "ledger.db", "--outcomes", "outcomes.jsonl")
    out = quorate(*arguments)[1]
    assert "no quorum commits a right answer with none wrong" in out
    assert "none is recommended" in out
    assert list(json.loads(quorate(*arguments, "--json")[1])["recommended"].values()) == [None]


def test_headings_are_whole_on_80_columns_whatever_the_counts(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    n = 1_234_567
    rows = [
        Row(Fraction(q, 10_000), "as sealed", n, n + q, n, n, 4 * n, Fraction(1, 2))
        for q in (6667, 7778, 8889)
    ]
    table = tune._table(rows, rows[1], known=True)
    console = Console(file=StringIO(), width=80)
    console.print(table)
    head, *shown = console.file.getvalue().splitlines()
    assert head.split() == ["quorum", "right", "wrong", "refused", "open", "commits"]
    assert [line.split()[0] for line in shown] == ["0.6667", "0.7778", "0.8889"]
    assert "<- least" in shown[1]
    assert "…" not in console.file.getvalue()
