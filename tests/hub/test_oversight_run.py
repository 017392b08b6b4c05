"""``quorate run`` and the commands: halted, resumed, overridden."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from run_tools import task_lines

from quorate.cli.app import run as command
from quorate.hub import Run
from quorate.hub.oversight import HaltedError, Oversight
from quorate.ledger import Ledger

SLOW = """
import asyncio, pathlib
HERE = pathlib.Path(__file__).parent

async def slow(task):
    with (HERE / "calls").open("a") as file:
        file.write(".")
    await asyncio.sleep(0.05)
    return task

async def hang(task):
    with (HERE / "calls").open("a") as file:
        file.write(".")
    await asyncio.sleep(60)
    return task
"""


def run(*arguments):
    return command([str(one) for one in arguments])


def calls(folder):
    path = folder.folder / "calls"
    return len(path.read_text()) if path.exists() else 0


def until(true):
    for _ in range(2000):
        if true():
            return
        time.sleep(0.01)
    pytest.fail("waited in vain")


@pytest.fixture
def folder(panel_folder):
    def declare(name):
        one = f'call = "experts:{name}"\nconfidence = 1'
        return panel_folder.declare(SLOW, dict.fromkeys("abc", one))

    panel_folder.of = declare
    return panel_folder.tasks(*task_lines(range(2000)))


def test_a_run_begins_nothing_while_halted_and_writes_nothing(folder):
    folder.of("slow")
    with folder.open_ledger() as ledger:
        Oversight(ledger).halt("J. Doe", "stop")
    with pytest.raises(HaltedError):
        folder.run()
    assert calls(folder) == 0
    assert not folder.out_path.exists()
    with folder.open_ledger() as ledger:
        assert len(ledger) == 1
        Oversight(ledger).resume("J. Doe", "on")
    folder.tasks(*task_lines(range(3)))
    assert folder.run().committed == 3


def test_a_run_under_way_stops_and_goes_on_later_without_deciding_twice(folder):
    folder.of("slow")
    came = []

    def work():
        try:
            folder.run()
        except HaltedError as error:
            came.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    with folder.open_ledger() as ledger:
        until(lambda: len(ledger) > 5)
        halt = Oversight(ledger).halt("J. Doe", "stop")
        worker.join(60)
        assert [error.halt.by for error in came] == ["J. Doe"]
        begun = calls(folder)
        after = len(ledger)
        assert after == halt.seq + 1
        time.sleep(0.3)
        assert (calls(folder), len(ledger)) == (begun, after)
        assert begun < 6000
        Oversight(ledger).resume("J. Doe", "on")
    folder.tasks(*task_lines(range(20)))
    folder.out_path.unlink(missing_ok=True)
    assert folder.run().committed == 20
    with folder.open_ledger() as ledger:
        ledger.verify(replay=True)
    assert halt.kind == "oversight"


def test_experts_that_hang_are_let_go_of(folder):
    folder.of("hang").tasks(*task_lines(range(4)))
    came = []
    worker = threading.Thread(target=lambda: came.append(_halted(folder)))
    worker.start()
    until(lambda: calls(folder) == 12)
    with folder.open_ledger() as ledger:
        Oversight(ledger).halt("J. Doe", "stop")
    worker.join(30)
    assert came == [True]


def _halted(folder):
    try:
        folder.run()
    except HaltedError:
        return True
    return False


def test_another_process_is_stopped_and_exits_3(folder):
    folder.of("slow")
    arguments = ["run", folder.path, folder.tasks_path, "-o", folder.out_path]
    started = subprocess.Popen(
        [sys.executable, "-m", "quorate", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": "src"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    until(lambda: calls(folder) > 12)
    assert run("halt", folder.path, "--by", "J. Doe", "--reason", "it misjudges") == 0
    _, told = started.communicate(timeout=60)
    assert started.returncode == 3
    assert b"halted by J. Doe" in told
    begun = calls(folder)
    time.sleep(0.2)
    assert calls(folder) == begun < 6000
    with folder.open_ledger() as ledger:
        assert ledger.verify(replay=True).kinds["oversight"] == 1


def test_halt_and_resume_as_commands(panel_folder, capsys):
    folder = panel_folder.tasks(*task_lines(range(2)))
    who = ["--by", "J. Doe", "--reason", "it misjudges"]
    # A panel that was never run has no ledger yet.
    assert run("halt", folder.path, *who) == 0
    assert "halted in entry 0" in capsys.readouterr().out
    assert run("halt", folder.path, *who) == 0
    assert "it was halted before, by J. Doe in entry 0" in capsys.readouterr().out
    decide = ["run", folder.path, folder.tasks_path, "-o", folder.out_path]
    assert run(*decide) == 3
    assert "nothing is dispatched until 'quorate resume'" in capsys.readouterr().err
    assert run(*decide, "--json") == 3
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "HaltedError"
    assert run("resume", folder.path, *who, "--halt", 1, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["lifted"] == {"seq": 1, "by": "J. Doe"}
    assert (told["halted"], [one["seq"] for one in told["in_force"]]) == (True, [0])
    assert run(*decide) == 3
    assert run("resume", folder.path, *who, "--json") == 0
    assert json.loads(capsys.readouterr().out)["halted"] is False
    assert run("resume", folder.path, *who) == 2
    assert "nothing is halted" in capsys.readouterr().err
    assert run(*decide) == 0


def test_a_ledger_by_its_file_and_key(panel_folder, capsys):
    folder, who = panel_folder, ["--by", "J. Doe", "--reason", "it misjudges"]
    folder.tasks(*task_lines(range(1))).run()
    assert run("halt", folder.ledger_path, *who) == 2
    assert "name the private key" in capsys.readouterr().err
    key = ["--signer", folder.folder / "ledger.key"]
    assert run("halt", folder.ledger_path, *who, *key, "--json") == 0
    assert json.loads(capsys.readouterr().out)["halted"] is True
    assert run("halt", folder.folder / "none.db", *who, *key) == 5
    assert not (folder.folder / "none.db").exists()
    assert run("resume", folder.path, *who, *key) == 2


def test_override_as_a_command_and_in_explain(panel_folder, capsys):
    folder, who = panel_folder, ["--by", "J. Doe", "--reason", "she knows better"]
    folder.tasks(*task_lines(range(2))).run()
    assert run("override", folder.path, 1, *who, "--answer", '"no"') == 0
    assert "'no' stands in its place" in capsys.readouterr().out
    assert run("override", folder.path, 1, *who, "--answer", '"no"') == 0
    assert "nothing was added" in capsys.readouterr().out
    assert run("override", folder.path, 1, *who, "--answer", '"maybe"') == 2
    assert "one person overrides a decision once" in capsys.readouterr().err
    assert run("override", folder.path, 2, *who, "--json") == 0
    assert json.loads(capsys.readouterr().out)["standing"]["acted_upon"] is False
    assert run("override", folder.path, 0, *who) == 2
    assert "entry 0 is of the kind 'panel'" in capsys.readouterr().err
    assert run("override", folder.path, 1, *who, "--answer", "no") == 2
    assert "a text has quotes of its own" in capsys.readouterr().err

    look = ["--ledger", folder.ledger_path]
    assert run("explain", 1, *look) == 0
    assert "Overridden by J. Doe (entry 3): 'no' stands in its place" in capsys.readouterr().out
    assert run("explain", 2, *look, "--json") == 0
    assert json.loads(capsys.readouterr().out)["overridden"]["acted_upon"] is False
    assert run("explain", 3, *look) == 0
    assert 'J. Doe put "no" in place of the decision of entry 1' in capsys.readouterr().out
    assert run("explain", 4, *look, "--key", folder.folder / "ledger.pub") == 0
    assert "disregarded the decision of entry 2" in capsys.readouterr().out


def test_no_verdict_of_a_run_stands_behind_a_halt(folder, monkeypatch):
    """Another process halts after all looks, right before the verdicts are written."""
    folder.of("slow").tasks(*task_lines(range(3)))
    real, acted = Ledger.append_all, []

    def halted_before(self, items, **more):
        if items and not acted:
            with folder.open_ledger() as other:
                acted.append(Oversight(other).halt("J. Doe", "stop").seq)
        return real(self, items, **more)

    monkeypatch.setattr(Ledger, "append_all", halted_before)
    with pytest.raises(HaltedError):
        folder.run()
    assert folder.out_path.read_bytes() == b""
    with folder.open_ledger() as ledger:
        assert [receipt.kind for receipt in ledger] == ["panel", "oversight"]


def test_what_was_decided_long_before_is_not_given_out_while_halted(folder, monkeypatch):
    folder.of("slow").tasks(*task_lines(range(3))).run()
    folder.out_path.unlink()
    real = Run._begin

    def halted_meanwhile(self, task, running):
        if task.id == "t1":
            Oversight(self.ledger).halt("J. Doe", "stop")
        return real(self, task, running)

    monkeypatch.setattr(Run, "_begin", halted_meanwhile)
    with pytest.raises(HaltedError):
        folder.run()
    assert folder.out_path.read_bytes() == b""


# -- what people put in place of a decision is what a run gives out


def overrides(folder, *given):
    """Override by command: the entry, who, and the answer as JSON, if any."""
    for seq, who, *answer in given:
        more = ["--answer", *answer] if answer else []
        assert run("override", folder.path, seq, "--by", who, "--reason", "r", *more) == 0


def lines(folder):
    return [json.loads(line) for line in folder.out_path.read_text().splitlines()]


def test_a_run_gives_out_what_stands_in_place_of_a_decision(folder, capsys):
    folder.of("slow").tasks(*task_lines(range(4))).run()
    plain = lines(folder)
    assert [one["status"] for one in plain] == ["committed"] * 4
    overrides(folder, (1, "A", '"no"'), (2, "A"), (3, "A", "1"), (3, "B", "2"))
    folder.out_path.unlink()
    decide = ["run", folder.path, folder.tasks_path, "-o", folder.out_path]
    capsys.readouterr()
    assert run(*decide, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["committed"], summary["overridden"], summary["withheld"]) == (4, 1, 2)
    told = lines(folder)
    assert [one["status"] for one in told] == ["overridden", "withheld", "withheld", "committed"]
    assert [one["consensus"] for one in told] == ["no", None, None, 3]
    assert told[0]["overridden"] == {"by": ["A"], "seqs": [5], "contested": False}
    assert told[2]["overridden"] == {"by": ["A", "B"], "seqs": [7, 8], "contested": True}
    assert told[3] == plain[3]
    # What was decided stays as it was.
    for before, after in zip(plain, told, strict=True):
        changed = {"status", "consensus", "overridden"}
        assert {k: v for k, v in before.items() if k not in changed} == {
            k: v for k, v in after.items() if k not in changed
        }
    assert run(*decide) == 0
    assert "1 overridden by people, 2 withheld by people" in capsys.readouterr().err
    assert run(*decide, "--strict") == 3


def test_lines_of_before_an_override_are_known_and_told_of(folder, capsys):
    folder.of("slow").tasks(*task_lines(range(3))).run()
    before = folder.out_path.read_bytes()
    overrides(folder, (1, "A", '"no"'))
    decide = ["run", folder.path, folder.tasks_path, "-o", folder.out_path]
    for _ in range(2):
        capsys.readouterr()
        assert run(*decide) == 0
        assert "1 line of" in capsys.readouterr().err
        assert folder.out_path.read_bytes() == before
    overrides(folder, (1, "B", '"yes"'), (2, "B"))
    capsys.readouterr()
    assert run(*decide, "--json") == 0
    assert json.loads(capsys.readouterr().out)["outdated"] == 2
    # A line that was torn is written anew, and says what stands now.
    folder.out_path.write_bytes(before[: before.index(b"\n") + 20])
    assert run(*decide) == 0
    assert [one["status"] for one in lines(folder)] == ["committed", "withheld", "committed"]
    folder.out_path.unlink()
    assert run(*decide) == 0
    assert [one["status"] for one in lines(folder)] == ["withheld", "withheld", "committed"]
    # Of that file each line is the one of now, and stays known when a third person speaks.
    overrides(folder, (1, "C", '"yes"'))
    capsys.readouterr()
    assert run(*decide) == 0
    assert "1 line of" in capsys.readouterr().err
    folder.out_path.write_bytes(before.replace(b"committed", b"overridden"))
    assert run(*decide) == 2
    assert "is not the decision on task 't0'" in capsys.readouterr().err


def test_nothing_of_a_shadow_panel_counts_as_undecided(folder, capsys):
    folder.of("slow").tasks(*task_lines(range(1)))
    text = folder.path.read_text()
    folder.path.write_text(text.replace("[arbiter]", '[arbiter]\nmode = "shadow"', 1))
    folder.run()
    overrides(folder, (1, "A"))
    folder.out_path.unlink()
    assert run("run", folder.path, folder.tasks_path, "-o", folder.out_path, "--strict") == 0
    (line,) = lines(folder)
    assert (line["status"], line["shadow"]) == ("withheld", True)


def test_a_halt_says_what_it_does_not_stop(panel_folder, capsys):
    who = ["--by", "J. Doe", "--reason", "stop"]
    assert run("halt", panel_folder.path, *who) == 0
    told = capsys.readouterr().out
    assert "'quorate run' and hubs over this ledger ask nobody" in told
    assert "not stopped by it: what a council executes, routers, hubs over another" in told
    assert run("halt", panel_folder.path, *who, "--json") == 0
    assert "what a council executes" in json.loads(capsys.readouterr().out)["not_stopped"]


def test_a_damaged_log_is_halted_too(panel_folder, capsys):
    folder = panel_folder.tasks(*task_lines(range(3)))
    folder.run()
    with folder.open_ledger() as ledger, ledger.store.transaction():
        ledger.store._db.execute("UPDATE entries SET entry = '{}' WHERE seq = 1")
    assert run("halt", folder.path, "--by", "J. Doe", "--reason", "stop") == 0
    came = capsys.readouterr()
    assert "halted in entry 4" in came.out
    assert "the halt is sealed, but the log before it is damaged" in came.err
    assert run("run", folder.path, folder.tasks_path, "-o", folder.out_path) == 4


def test_explain_does_not_overlook_what_is_hidden(panel_folder, capsys):
    folder = panel_folder.tasks(*task_lines(range(2)))
    folder.run()
    overrides(folder, (1, "A", '"no"'))
    with folder.open_ledger() as ledger:
        ledger.append("note", {})
        with ledger.store.transaction():
            ledger.store._db.execute("UPDATE entries SET kind = 'note' WHERE kind = 'oversight'")
    key = folder.folder / "ledger.pub"
    assert run("explain", 1, "--ledger", folder.ledger_path, "--key", key) == 4
    assert "look-up column" in capsys.readouterr().err


def test_a_name_and_a_reason_are_asked_for(panel_folder, capsys):
    assert run("halt", panel_folder.path, "--by", "J. Doe") == 2
    assert run("halt", panel_folder.path, "--by", " ", "--reason", "x") == 2
    assert "give a person's name" in capsys.readouterr().err
