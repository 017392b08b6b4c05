"""A child does not outlive the process that started it, be it ever so busy."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from child_processes import state, wait_until

from quorate.core.errors import TransportError
from quorate.core.identity import Ed25519Signer
from quorate.hub.experts import launch
from quorate.hub.experts.subprocess import SubprocessExpert
from quorate.ledger import write_key

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux kills a child with its parent"
)

BUSY = """
for request in requests:
    with open("pid", "w") as file:
        file.write(f"{os.getpid()}\\n")
    while True:
        pass
"""
PIDS = """
for request in requests:
    answer(request, payload=os.getpid(), confidence=1)
"""
STATUS = """
def status(name):
    return next(l.split()[1] for l in open("/proc/self/status") if l.startswith(name))

before = status("SigIgn"), sorted(os.listdir("/proc/self/fd")), sorted(os.environ)
for request in requests:
    answer(request, payload=[*before], confidence=1)
"""
PANEL = """
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"
[arbiter]
protocol = "weighted-quorum"
[[experts]]
id = "busy"
kind = "subprocess"
command = {command}
"""


def over(pid):
    return state(pid) in "ZX"


@linux
def test_a_busy_child_ends_with_a_run_that_is_killed(tmp_path, child):
    write_key(tmp_path / "ledger.key", Ed25519Signer.generate())
    command = child(BUSY)
    (tmp_path / "quorate.toml").write_text(PANEL.format(command=json.dumps(command)))
    (tmp_path / "tasks.jsonl").write_text('{"id": "1", "input": 1}\n')
    arguments = ["run", "quorate.toml", "tasks.jsonl", "-o", "out.jsonl"]
    own = [sys.executable, "-c", "from quorate.cli import main; main()", *arguments]
    running = subprocess.Popen(own, cwd=tmp_path, stderr=subprocess.DEVNULL)
    pid_file = tmp_path / "pid"
    try:
        assert wait_until(lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
        pid = int(pid_file.read_text())
        assert not over(pid)
    finally:
        running.kill()
        running.wait()
    try:
        assert wait_until(lambda: over(pid))
    finally:
        if not over(pid):
            os.kill(pid, signal.SIGKILL)


def ask(expert, task=None):
    async def go():
        return await expert(task)

    return asyncio.run(go())


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def test_a_child_outlives_the_thread_that_started_it(child):
    """Were it killed with that thread, it could be at work for another."""
    expert = SubprocessExpert(
        child("for request in requests:\n    answer(request, payload=os.getpid(), confidence=1)")
    )
    first = in_thread(lambda: ask(expert)).payload
    assert ask(expert).payload == first
    assert in_thread(lambda: ask(expert)).payload == first
    asyncio.run(expert.aclose())


@linux
def test_a_child_is_as_it_would_be_without_a_launcher(child):
    """Signals, descriptors and variables."""
    command = child(STATUS)

    def asked():
        expert = SubprocessExpert(command)
        try:
            return ask(expert).payload
        finally:
            asyncio.run(expert.aclose())

    tied, untied = asked(), in_thread(asked)
    assert tied == untied


@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("program", ["/no/such/program", "folder", "text"])
def test_a_program_that_cannot_be_started_is_told_in_the_same_words(tmp_path, thread, program):
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("plain text")
    expert = SubprocessExpert([str(tmp_path / program) if program[0] != "/" else program])

    def why():
        with pytest.raises(TransportError) as caught:
            ask(expert)
        return str(caught.value)

    told = in_thread(why) if thread else why()
    reason = "No such file or directory" if program[0] == "/" else "Permission denied"
    assert told == f"its process cannot be started: {reason}: {expert._children.command[0]}"
    assert expert._children.pids() == []


def test_nothing_is_started_for_a_parent_that_is_gone(tmp_path):
    mark = tmp_path / "mark"
    program = [sys.executable, "-c", f"open({str(mark)!r}, 'w')"]
    other = os.getppid()
    for parent, status in ((other, 1), (os.getpid(), 0)):
        made = [sys.executable, "-I", "-S", "-c", launch._PROGRAM, str(parent), "2", *program]
        assert subprocess.run(made, check=False).returncode == status
        assert mark.exists() == (status == 0)


def test_elsewhere_the_program_is_started_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    plain = launch.Launch(["judge"])
    assert (plain.command, plain.pass_fds, plain.error()) == (["judge"], (), None)
    plain.close()


def test_no_descriptor_is_left_open(child):
    def count():
        return len(list(Path("/proc/self/fd").iterdir()))

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system does not list descriptors")
    before = count()
    for command in (child(), ["/no/such/program"]):
        expert = SubprocessExpert(command)
        with contextlib.suppress(TransportError):
            ask(expert)
        asyncio.run(expert.aclose())
    assert wait_until(lambda: count() == before)
