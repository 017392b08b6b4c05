"""A run that is stopped leaves no process behind, loses nothing, and goes on."""

import contextlib
import json
import os
import signal
import time

import pytest

KINDS = {
    "a program": 'kind = "subprocess"\ncommand = ["python3", "-S", "judge.py"]',
    "a function in a process": 'kind = "python"\ncall = "judge:decide"\nprocess = true',
}

# One answer in a process of its own; the second task keeps it until a file is there.
JUDGE = """
import json, os, sys, time

def decide(task):
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")
    while task and not os.path.exists("free"):
        time.sleep(0.05)
    return task

if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        answer = {"id": asked["id"], "payload": decide(asked["input"])}
        print(json.dumps(answer), flush=True)
"""


def alive(pid):
    """Whether that process runs; one that has ended and is not yet waited for does not."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def until(true, what):
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail(f"waited in vain until {what}")


@pytest.fixture(params=KINDS)
def folder(request, tmp_path, quorate):
    quorate("keys", "new", tmp_path / "ledger.key")
    (tmp_path / "judge.py").write_text(JUDGE)
    (tmp_path / "quorate.toml").write_text(
        '[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "ledger.key"\n'
        '[arbiter]\nprotocol = "weighted-quorum"\n[run]\nconcurrency = 1\n'
        f'[[experts]]\nid = "judge"\nconfidence = 1\ntimeout = 4000\n{KINDS[request.param]}\n'
    )
    tasks = [json.dumps({"id": f"t{n}", "input": n}) for n in range(3)]
    (tmp_path / "tasks.jsonl").write_text("\n".join(tasks))
    return tmp_path


ARGUMENTS = ("run", "quorate.toml", "tasks.jsonl", "-o", "out.jsonl")


# A shell starts what it does not wait for so that it ignores interrupts.
@pytest.mark.parametrize(
    ("sign", "interrupts"),
    [
        (signal.SIGINT, "heed"),
        (signal.SIGTERM, "heed"),
        (signal.SIGTERM, "ignore"),
        (signal.SIGKILL, "heed"),
    ],
)
def test_a_run_that_is_stopped_leaves_no_process_and_goes_on(
    folder, fork, forked, sign, interrupts
):
    running = fork(*ARGUMENTS, cwd=folder, interrupts=interrupts)
    pids = folder / "pids"
    until(lambda: pids.exists() and len(pids.read_text().split()) > 1, "the second task is asked")
    asked = {int(pid) for pid in pids.read_text().split()}
    assert running.pid not in asked
    running.send_signal(sign)
    _, err = running.communicate(timeout=30)
    if sign != signal.SIGKILL:
        assert running.returncode == 130
        assert b"what was decided is sealed; give the same command again" in err
        assert b"Traceback" not in err
        assert not any(map(alive, asked))
    # Nobody can stop a program when the run is killed; it sees the end of its input afterwards.
    (folder / "free").touch()
    until(lambda: not any(map(alive, asked)), "no process of the run is left")
    done = forked(*ARGUMENTS, cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]
    assert [(line["id"], line["status"], line["seq"]) for line in lines] == [
        (f"t{n}", "committed", n + 1) for n in range(3)
    ]
    asked = {int(pid) for pid in pids.read_text().split()}
    until(lambda: not any(map(alive, asked)), "no process of the second run is left")
    assert os.getpid() not in asked
