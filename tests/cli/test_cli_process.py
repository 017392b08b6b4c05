"""The command line as a process: exit codes, pipes, signals, and other processes."""

import json
import os
import selectors
import shlex
import shutil
import signal
import sqlite3
import time
from pathlib import Path

import pytest

SLOW = """
import asyncio

async def slow(task):
    await asyncio.sleep(0.05)
    return task

async def never(task):
    open("asked", "w").close()
    await asyncio.sleep(3600)

async def stubborn(task):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

def stuck(task):
    import time
    time.sleep(3600)
"""


def panel(folder, call="slow", concurrency=2):
    text = (folder / "quorate.toml").read_text()
    head = text[: text.index("[[experts]]")].replace(
        "concurrency = 8", f"concurrency = {concurrency}"
    )
    expert = f'[[experts]]\nid = "e"\nkind = "python"\ncall = "slow:{call}"\nconfidence = 1\n'
    (folder / "slow.toml").write_text(head + expert)
    (folder / "slow.py").write_text(SLOW)


def task_lines(count):
    return "".join(f'{{"id": "s{n}", "input": {n}}}\n' for n in range(count))


def line_within(running, seconds=30.0):
    """The next line that the process prints, or a failure."""
    with selectors.DefaultSelector() as ready:
        ready.register(running.stdout, selectors.EVENT_READ)
        assert ready.select(seconds), "no line came"
    return running.stdout.readline()


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# -- exit codes, as another program sees them


def test_exit_0_and_3(here, process, forked):
    arguments = ("run", "quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl")
    assert process(*arguments).returncode == 0
    done = forked(*arguments, "--strict")
    assert (done.returncode, done.stdout) == (3, "")


def test_exit_2(here, forked):
    done = forked("run", "quorate.toml", "tasks.jsonl")
    assert (done.returncode, done.stdout) == (2, "")
    done = forked("verify", "ledger.db", "--json")
    assert (done.returncode, done.stderr) == (2, "")
    assert json.loads(done.stdout)["exit_code"] == 2


def test_exit_4_and_5(here, process, forked):
    db = sqlite3.connect("ledger.db")
    with db:
        db.execute("UPDATE entries SET body = '{}' WHERE seq = 3")
    db.close()
    done = process("verify", "ledger.db", "--policy", "policy.toml")
    assert (done.returncode, "entry 3: " in done.stderr) == (4, True)
    assert forked("verify", "none.db", "--policy", "policy.toml").returncode == 5


def hinted(text):
    """The command that the summary of a run offers."""
    return shlex.split(text.splitlines()[-1])


def test_the_command_that_a_run_offers_works_as_it_is_typed(here, forked):
    odd = here / "my panel"
    shutil.copytree(here, odd, ignore=lambda *_: {"my panel"})
    for folder in (here, odd):
        for told, left in (("--policy", "policy.toml"), ("--key", "keys/ledger.pub")):
            run = (os.path.relpath(folder / "quorate.toml"), folder / "tasks.jsonl")
            command = hinted(forked("run", *run, "-o", folder / "decisions.jsonl").stderr)
            assert (command[:2], command[3]) == (["quorate", "verify"], told)
            done = forked(*command[1:])
            assert (done.returncode, "9 entries" in done.stdout) == (0, True), done
            (folder / left).unlink()
        told = forked("run", *run, "-o", folder / "decisions.jsonl").stderr
        assert hinted(told)[-2:] == ["--key", "PUBLIC-KEY-FILE"]


# -- signals


def test_an_interrupted_run_exits_130_and_a_rerun_completes_it(here, fork, forked):
    panel(here)
    (here / "slow.jsonl").write_text(task_lines(100))
    out = here / "slow-out.jsonl"
    running = fork("run", "slow.toml", "slow.jsonl", "-o", out)
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") >= 3)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.splitlines()[-2:] == [
        b"what was decided is sealed; give the same command again to go on",
        b"interrupted",
    ]
    assert b"Traceback" not in err
    assert 3 <= out.read_bytes().count(b"\n") < 100
    assert out.read_bytes().endswith(b"\n")
    panel(here, concurrency=100)
    done = forked("run", "slow.toml", "slow.jsonl", "-o", out, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["tasks"] == 100
    assert [json.loads(line)["id"] for line in out.read_text().splitlines()] == [
        f"s{n}" for n in range(100)
    ]
    assert forked("verify", "ledger.db", "--policy", "policy.toml", "--replay").returncode == 0


def test_an_interrupt_while_standard_input_is_awaited(here, fork):
    panel(here)
    running = fork("run", "slow.toml", "-", "-o", "-")
    running.stdin.write(task_lines(1).encode())
    running.stdin.flush()
    line_within(running)
    running.send_signal(signal.SIGINT)
    running.wait(timeout=30)
    assert running.returncode == 130
    err = running.stderr.read()
    assert err.splitlines()[-1] == b"interrupted"
    assert b"Fatal" not in err


def test_an_interrupt_while_an_expert_hangs(here, fork):
    panel(here, "never")
    (here / "slow.jsonl").write_text(task_lines(1))
    out = here / "slow-out.jsonl"
    running = fork("run", "slow.toml", "slow.jsonl", "-o", out)
    wait_for((here / "asked").exists)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 130
    assert err.splitlines()[-1] == b"interrupted"
    assert out.read_bytes() == b""


# -- streams


def test_each_task_of_a_stream_is_answered_before_the_next_is_there(here, fork):
    running = fork("run", "quorate.toml", "-", "-o", "-")
    for n in range(5):
        task = {"id": f"n{n}", "input": {"from": "ana@example.com", "text": "Lunch?"}}
        running.stdin.write(json.dumps(task).encode() + b"\n")
        running.stdin.flush()
        decision = json.loads(line_within(running))
        assert (decision["id"], decision["consensus"]) == (f"n{n}", "ham")
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (0, b"")
    assert b"5 tasks: 5 committed" in err


def test_a_stream_can_be_sent_again(here, forked):
    arguments = ("run", "quorate.toml", "-", "-o")
    tasks = (here / "tasks.jsonl").read_text()
    done = forked(*arguments, "new.jsonl", given=tasks)
    assert (done.returncode, "8 of them decided earlier" in done.stderr) == (0, True)
    assert (here / "new.jsonl").read_bytes() == (here / "decisions.jsonl").read_bytes()
    assert forked(*arguments, "-", given=tasks).stdout == (here / "decisions.jsonl").read_text()


def test_tasks_redirected_from_a_file_are_checked_before_any_is_decided(here, forked):
    (here / "bad.jsonl").write_text('{"id": "n1", "input": 1}\nbroken\n')
    with (here / "bad.jsonl").open() as tasks:
        done = forked("run", "quorate.toml", "-", "-o", "-", stdin=tasks.fileno())
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: -:2: $: not JSON" in done.stderr


def test_what_comes_before_a_broken_line_of_a_stream_is_decided(here, forked):
    panel(here)
    done = forked("run", "slow.toml", "-", "-o", "-", given=task_lines(20) + "broken\n{}\n")
    assert done.returncode == 2
    assert "error: -:21: $: not JSON" in done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [
        f"s{n}" for n in range(20)
    ]


@pytest.mark.parametrize("how", ["never", "stubborn", "stuck"])
def test_an_expert_that_hangs_times_out_and_holds_up_nothing(here, forked, how):
    panel(here, how)
    text = (here / "slow.toml").read_text()
    (here / "slow.toml").write_text(text + "timeout = 0.1\n")
    done = forked("run", "slow.toml", "-", "-o", "-", given=task_lines(4))
    assert done.returncode == 0
    for line in done.stdout.splitlines():
        assert json.loads(line)["absent"] == [{"expert_id": "e", "reason": "timeout"}]
    assert "Task was destroyed" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_standard_output_is_named_and_decides_nothing_twice(here, process, forked):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = process(
            "run", "quorate.toml", "tasks.jsonl", "-o", "-", stdout=full, capture_output=False,
            stderr=-1,
        )  # fmt: skip
        assert done.returncode == 5
        assert "the output - cannot be written: No space left on device" in done.stderr
        assert "every decision is in the ledger" in done.stderr
        for arguments in (("ledger", "ls"), ("ledger", "ls", "--json"), ("--version",)):
            done = forked(*arguments, stdout=full.fileno())
            assert done.returncode == 5, arguments
            assert "Exception" not in done.stderr
    done = forked("run", "quorate.toml", "tasks.jsonl", "-o", "-")
    assert "8 of them decided earlier" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("ledger", "ls"),
        ("ledger", "ls", "--json"),
        ("ledger", "show", "0"),
        ("explain", "1"),
        ("--help",),
        ("run", "quorate.toml", "tasks.jsonl", "-o", "-"),
    ],
)
def test_a_reader_that_goes_away_is_no_crash(here, forked, arguments):
    """As in ``quorate ledger ls | head -1``."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = forked(*arguments, stdout=writing)
    finally:
        os.close(writing)
    assert done.returncode == 5
    assert "Exception" not in done.stderr


def test_closed_standard_streams_are_no_crash(here, process):
    def close(*descriptors):
        return lambda: [os.close(descriptor) for descriptor in descriptors]

    run = ("run", "quorate.toml", "-", "-o", "new.jsonl")
    done = process(*run, preexec_fn=close(0))
    assert (done.returncode, "0 tasks" in done.stderr) == (0, True)
    for closed in ((1,), (2,), (0, 1, 2)):
        done = process("ledger", "ls", preexec_fn=close(*closed))
        assert (done.returncode, done.stderr) == (0, "")


def test_output_in_a_poor_encoding_is_no_crash(here, process):
    for encoding, *commands in (
        ("ascii", ("explain", "1"), ("--help",)),
        ("latin-1", ("ledger", "ls", "-n", "2"), ("nonsense",)),
    ):
        environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "60"}
        for arguments in commands:
            assert process(*arguments, env=environment).returncode in {0, 2}


def test_arguments_that_are_no_text_are_named(here, process):
    done = process("ledger", "ls", "--kind", os.fsdecode(b"\xff"))
    assert (done.returncode, "is not UTF-8 text" in done.stderr) == (2, True)


# -- other processes


def entries():
    db = sqlite3.connect("ledger.db")
    count = db.execute("SELECT count(*) FROM entries").fetchone()[0]
    db.close()
    return count


def test_two_runs_at_once_on_one_output(here, fork, forked):
    panel(here, "never")
    (here / "slow.jsonl").write_text(task_lines(1))
    out = here / "slow-out.jsonl"
    arguments = ("run", "slow.toml", "slow.jsonl", "-o", out)
    first = fork(*arguments)
    # The panel is sealed after the output is locked.
    wait_for(lambda: entries() == 9 + 1)
    second = forked(*arguments)
    assert second.returncode == 5
    assert "is being written by another run" in second.stderr
    first.kill()
    first.wait()
    # A run that was killed leaves no lock behind.
    panel(here)
    assert forked(*arguments).returncode == 0


def test_two_runs_at_once_on_one_ledger_seal_nothing_twice(here, fork, forked):
    panel(here, concurrency=4)
    (here / "slow.jsonl").write_text(task_lines(60))
    both = [fork("run", "slow.toml", "slow.jsonl", "-o", f"out{n}.jsonl") for n in (1, 2)]
    for running in both:
        _, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
    assert (here / "out1.jsonl").read_bytes() == (here / "out2.jsonl").read_bytes()
    report = json.loads(forked("verify", "ledger.db", "--policy", "policy.toml", "--json").stdout)
    # Nine of the starter panel; then this panel, and each task once.
    assert report["size"] == 9 + 1 + 60
