"""``quorate council watch``: live on a terminal, in lines for everybody else."""

import json
import os
import signal
import sqlite3
import threading
import time

import pytest
from cli_council_tools import opened


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


def reading(stream):
    """Lines of a stream as they come, read beside the test."""
    lines = []

    def read():
        lines.extend(iter(stream.readline, b""))

    threading.Thread(target=read, daemon=True).start()
    return lines


def until(true, what):
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail(f"waited in vain until {what}")


def interruptible():
    # A shell may have started the tests with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_watch_tells_each_change_in_a_line_until_it_is_interrupted(council, fork):
    watching = fork("council", "watch", "--look", "--every", "100ms")
    lines = reading(watching.stdout)
    until(lambda: any(b"nothing is open" in line for line in lines), "the state is told")
    council("propose", "quarantine", "--target", "x", "--as", "anna", "--expires", "1ms")
    until(lambda: any(b"p1  proposed  quarantine x, by anna" in x for x in lines), "it is told")
    until(lambda: any(b"time is up, seal it" in line for line in lines), "its time is up")
    assert sum(b"time is up" in line for line in lines) == 1
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=60) == 130


def test_watch_gives_programs_one_object_on_each_line(council, fork):
    watching = fork("council", "watch", "--look", "--every", "100ms", "--json")
    lines = reading(watching.stdout)
    until(lambda: lines, "the state is told")
    council("propose", "quarantine", "--target", "x", "--as", "anna", "--expires", "1ms")
    until(lambda: len(lines) == 3, "both changes are told")
    state, proposed, expired = map(json.loads, lines)
    assert state["proposals"] == []
    assert (proposed["event"], proposed["proposal"]) == ("proposed", "p1")
    assert expired.pop("at").endswith("Z")
    assert expired == {"event": "expired", "proposal": "p1"}
    watching.send_signal(signal.SIGINT)
    assert watching.wait(timeout=60) == 130


def test_watch_notices_that_the_record_got_shorter(council, fork, tmp_path):
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    watching = fork("council", "watch", "--every", "100ms")
    lines = reading(watching.stdout)
    until(lambda: lines, "the state is told")
    with sqlite3.connect(tmp_path / "council.db") as store:
        store.execute("DELETE FROM entries WHERE seq = 1")
    assert watching.wait(timeout=60) == 4


@pytest.mark.skipif(os.name != "posix", reason="a terminal of POSIX")
def test_watch_redraws_in_colour_on_a_terminal_only(council, start):
    import pty

    council("propose", "terminate", "--target", "x", "--as", "anna")
    assert "\x1b" not in council("watch", "--once")[1]
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"}
    watching = start(
        "council", "watch", "--every", "100ms", stdout=theirs, env=environment,
        preexec_fn=interruptible,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    while seen.count(b"up to 1 may") < 3:
        seen += os.read(ours, 4096)
    assert b"\x1b[1;31mp1  terminate x (critical)" in seen
    watching.send_signal(signal.SIGINT)
    # Whoever writes to a terminal that nobody reads may wait.
    threading.Thread(target=reading_all, args=(ours,), daemon=True).start()
    assert watching.wait(timeout=60) == 130


def reading_all(descriptor):
    try:
        while os.read(descriptor, 4096):
            pass
    except OSError:
        os.close(descriptor)
