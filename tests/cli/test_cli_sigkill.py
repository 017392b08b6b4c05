"""`quorate run` killed at random moments: nothing is lost, nothing is sealed twice.

Most runs are forked off a process that has everything imported, and killed after so many more
lines of their work; some are the command itself, killed from its first moments on.
"""

import contextlib
import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from quorate.hub.lines import decision_line
from quorate.ledger import Ledger

TASKS = 96
WARM_KILLS = 20
COLD_KILLS = 4

PANEL = """
[ledger]
url = "sqlite:///ledger.db"
signer = "keys/ledger.key"
[arbiter]
protocol = "weighted-quorum"
quorum = 0.66
[run]
concurrency = 8
"""
EXPERT = """
[[experts]]
id = "e{n}"
kind = "python"
call = "napping:nap{n}"
confidence = 0.9
"""
CODE = """
import asyncio

async def nap0(task):
    await asyncio.sleep(task * 7 % 11 / 100)
    return task % 2

async def nap1(task):
    await asyncio.sleep(task * 5 % 13 / 200)
    return task % 2

async def nap2(task):
    return 0
"""


@pytest.fixture
def new_folder(quorate, tmp_path):
    """Makes folders with a panel that naps, ready to run."""

    def make(name):
        folder = tmp_path / name
        assert quorate("init", folder)[0] == 0
        (folder / "quorate.toml").write_text(PANEL + "".join(EXPERT.format(n=n) for n in range(3)))
        (folder / "napping.py").write_text(CODE)
        (folder / "tasks.jsonl").write_text(
            "".join(f'{{"id": "t{n}", "input": {n}}}\n' for n in range(TASKS))
        )
        return folder

    return make


def run_arguments(folder):
    return ["run", folder / "quorate.toml", folder / "tasks.jsonl", "-o", folder / "out.jsonl"]


def check_after_kill(folder: Path) -> int:
    """Every line is what the ledger holds; gives how many there are."""
    out, db = folder / "out.jsonl", folder / "ledger.db"
    lines = out.read_bytes().splitlines(keepends=True) if out.exists() else []
    if not lines:
        return 0
    with Ledger.open(f"sqlite:///{db}") as ledger:
        for number, line in enumerate(lines):
            receipt = ledger.by_key(f"task:t{number}")
            assert receipt is not None, f"line {number} is not backed by the ledger"
            sealed = decision_line(receipt)
            torn = number == len(lines) - 1 and not line.endswith(b"\n")
            assert sealed.startswith(line) if torn else line == sealed
    return len(lines)


def check_end(folder, quorate):
    decisions = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [d["id"] for d in decisions] == [f"t{n}" for n in range(TASKS)]
    assert [d["seq"] for d in decisions] == list(range(1, TASKS + 1))
    assert {d["status"] for d in decisions} == {"committed"}
    code, out, err = quorate(
        "verify", folder / "ledger.db", "--key", folder / "keys/ledger.pub", "--replay", "--json"
    )
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["kinds"] == {"panel": 1, "decision": TASKS}
    assert report["replayed"] == TASKS + 1


def lines_of(folder):
    out = folder / "out.jsonl"
    return out.read_bytes().count(b"\n") if out.exists() else 0


def until(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.0005)


def until_written(folder, lines):
    """Wait until there are so many lines of output."""
    until(lambda: lines_of(folder) >= min(lines, TASKS))


def until_sealing(folder, running):
    """Wait until something is written into the ledger, or the run has ended."""
    log = folder / "ledger.db-wal"

    def written():
        with contextlib.suppress(FileNotFoundError):
            return log.stat().st_mtime_ns
        return None

    before = written()
    until(lambda: written() != before or running.poll() is not None)


def test_killed_in_the_midst_of_its_work(fork, forked, new_folder, quorate):
    chance = random.Random(20)
    kills, chain, left = 0, 0, set()
    while kills < WARM_KILLS:
        folder = new_folder(f"chain{chain}")
        chain += 1
        while kills < WARM_KILLS and lines_of(folder) < TASKS:
            running = fork(*run_arguments(folder))
            until_written(folder, lines_of(folder) + chance.randrange(12))
            if chance.random() < 0.5:
                until_sealing(folder, running)
            else:
                time.sleep(chance.uniform(0, 0.03))
            running.kill()
            assert running.wait() in {-signal.SIGKILL, 0}
            kills += 1
            left.add(check_after_kill(folder))
        assert forked(*run_arguments(folder)).returncode == 0
        check_end(folder, quorate)
    # The kills did fall into the work.
    assert len(left - {0, TASKS}) >= WARM_KILLS // 3


def test_killed_from_its_first_moments_on(start, new_folder, quorate, forked):
    chance = random.Random(21)
    folder = new_folder("cold")
    for _ in range(COLD_KILLS):
        running = start(*run_arguments(folder))
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=chance.uniform(0.05, 1.2))
        running.kill()
        running.communicate()
        assert running.returncode in {-signal.SIGKILL, 0}
        check_after_kill(folder)
    assert forked(*run_arguments(folder)).returncode == 0
    check_end(folder, quorate)
