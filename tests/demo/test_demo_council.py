"""The demo of the council: what happens to a real process, and that none is left behind."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from quorate.cli.app import run as run_command
from quorate.cli.demo import council as story_module
from quorate.cli.demo import watched as watched_module
from quorate.cli.demo.council import CHECKPOINT, LEDGER, PUBLIC, Story, opening, run_council_demo
from quorate.cli.demo.monitors import INSIDER, MIB, Monitor, panel
from quorate.cli.demo.watched import MOST, Watched, watched
from quorate.core.errors import OperationalError, UsageError
from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger, read_verifier

# A shell may have made what it starts ignore SIGINT.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from quorate.cli import main
main()
"""
COMMAND = [sys.executable, "-c", PROGRAM, "demo", "council"]

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGSTOP"), reason="this system has no signal that stops a process"
)


def alive(pid):
    """Whether that process is there; one that has ended and is not yet waited for is not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


def until(true, what):
    for _ in range(1000):
        if true():
            return
        time.sleep(0.02)
    pytest.fail(f"waited in vain until {what}")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("council") / "kept"


@pytest.fixture(scope="module")
def report(folder):
    heard = []
    found = run_council_demo(heard.append, folder)
    assert found["story"] == heard
    return found


def deeds(report):
    return {told["action"]: told for told in report["proposals"]}


def test_the_council_stops_the_process_and_then_ends_it(report):
    assert report["sound"] is True
    quarantine, terminate = deeds(report)["quarantine"], deeds(report)["terminate"]
    stopped, ended = quarantine["execution"], terminate["execution"]
    assert (stopped["signal"], stopped["before"], stopped["after"]) == (
        "SIGSTOP", "running", "stopped",
    )  # fmt: skip
    assert (ended["signal"], ended["before"], ended["after"]) == ("SIGKILL", "stopped", "gone")
    assert stopped["pid"] == ended["pid"] == report["process"]["pid"]
    assert report["process"]["exit_status"] == -signal.SIGKILL
    assert not alive(report["process"]["pid"])
    assert 0 < stopped["bytes"] < MOST + 40 * MIB


def test_the_bought_monitor_gets_nothing(report):
    release = deeds(report)["release"]
    assert (release["proposer"], release["decision"]) == (INSIDER, "rejected")
    assert release["execution"] is release["sealed"]["intent"] is None
    assert all(deeds(report)[a]["votes"][INSIDER] == "reject" for a in ("quarantine", "terminate"))
    forged, forced = report["attempts"]
    assert "its signature is not over this ballot" in forged["refused"]
    assert "it was not approved, which is final" in forced["refused"]
    assert any("stopped as before" in line for line in report["story"])


def test_a_termination_has_a_quorum_of_all_voters(report):
    assert (report["voters"], report["may_lie"], report["quorum"]) == (5, 1, 4)
    votes = list(deeds(report)["terminate"]["votes"].values())
    assert votes.count("approve") == 4


def test_each_deed_stands_between_its_intent_and_its_result_after_the_decision(report, folder):
    key = read_verifier(folder / PUBLIC)
    with Ledger.open(f"sqlite:///{folder / LEDGER}", verify_with=[key]) as ledger:
        council = ConsensusProtocol.reopen(ledger)
        assert council.verify_audit_chain((folder / CHECKPOINT).read_text())
        for told in deeds(report).values():
            events = [e.event for e in council.audit_log if e.proposal_id == told["id"]]
            done = ["intent", "result"] if told["execution"] else []
            assert events[events.index("decided") :] == ["decided", *done]
            sealed = [seq for seq in told["sealed"].values() if seq is not None]
            assert [ledger.get(seq).payload["event"] for seq in sealed] == ["decided", *done]
            if done:
                detail = ledger.get(sealed[-1]).payload["detail"]
                assert {**detail, "outcome": "executed"} == told["execution"]
        assert set(council.electorate.keys) == {monitor.id for monitor in panel()}


def test_the_whole_ledger_was_verified_and_replayed_and_is_kept(report, folder, capfd):
    assert report["ledger"]["complete"] is True
    assert report["ledger"]["replayed"] == report["ledger"]["size"] == 23
    # SQLite's own two files come and go with whoever reads.
    kept = {path.name for path in folder.iterdir()} - {f"{LEDGER}-wal", f"{LEDGER}-shm"}
    assert kept == {CHECKPOINT, "keys", LEDGER}
    (command,) = report["kept"]["commands"]
    assert run_command(command.split()[1:]) == 0
    with pytest.raises(UsageError, match="there already"):
        run_council_demo(print, folder)


def test_the_report_is_json_and_the_story_fits_the_facts(report):
    json.dumps(report)
    told = "\n".join(report["story"])
    for words in ("p1 is approved: 3 of 5", "p2 is rejected: 1 of 5", "p3 is approved: 4 of 5"):
        assert words in told
    order = [told.index(word) for word in ("p1 is approved", "SIGSTOP to", "p2 is rejected",
                                           "p3 is approved", "SIGKILL to")]  # fmt: skip
    assert order == sorted(order)
    assert all(monitor.id in opening() for monitor in panel())


# -- without a decision nothing is done


def test_where_nobody_is_alarmed_nothing_is_done_and_nothing_is_left(monkeypatch, tmp_path):
    pids, signals = [], []
    real = story_module.watched

    @contextlib.contextmanager
    def seen():
        with real() as process:
            pids.append(process.pid)
            yield process

    monkeypatch.setattr(story_module, "watched", seen)
    monkeypatch.setattr(story_module, "_PATIENCE_SECONDS", 0.3)
    monkeypatch.setattr(Watched, "stop", lambda self: signals.append("stop"))
    with pytest.raises(OperationalError, match="did not grow as it should"):
        run_council_demo(print, tmp_path / "kept")
    assert signals == []
    assert not alive(pids[0])
    assert list((tmp_path / "kept").iterdir()) == []


@pytest.mark.parametrize("bought", [2, 3])
def test_more_bought_monitors_than_may_lie_keep_it_running_but_cannot_forge(monkeypatch, bought):
    """With the votes that a refused quarantine has, nothing may be done to the process."""
    with Ledger.open("memory:", signer=Monitor("x", len, "").signer) as ledger, watched() as one:
        story = Story(ledger, one, print)
        proposal = story._propose(story.honest[0], "terminate", "why")
        for place, monitor in enumerate(story.monitors):
            story._vote(proposal, monitor, "reject" if place < bought else "approve", "so")
        story._decided(proposal)
        with pytest.raises(UsageError, match="not approved"):
            story._execute(proposal, "SIGKILL", one.kill, "gone")
        assert one.state() == "running"


def test_an_attempt_that_goes_through_is_shouted(monkeypatch, capsys):
    real = ConsensusProtocol.begin_execution
    monkeypatch.setattr(
        ConsensusProtocol,
        "begin_execution",
        lambda self, proposal, executor: (
            None if "insider" in executor else real(self, proposal, executor)
        ),
    )
    assert run_command(["demo", "council"]) == 4
    told = capsys.readouterr().out
    assert "THAT WAS NOT REFUSED" in told
    assert "SOMETHING WENT WRONG" in told
    assert "could not keep the process running" not in told


# -- the process


def test_its_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(watched_module, "PAUSE_SECONDS", 0.001)
    with watched() as process:
        at_first = process.resident()
        until(lambda: process.resident() > MOST, "it holds all that it may")
        time.sleep(0.3)
        assert process.resident() < at_first + MOST + 40 * MIB
        assert process.state() == "running"
    assert not alive(process.pid)


@pytest.mark.skipif(not Path("/bin/ps").exists(), reason="there is no ps here")
def test_it_is_read_by_ps_where_there_is_no_proc(monkeypatch, tmp_path):
    with watched() as process:
        until(lambda: process.resident() > 8 * MIB, "it grows")
        assert process.stop() == "stopped"
        by_proc = process.resident()
        monkeypatch.setattr(watched_module, "_PROC", tmp_path)
        assert (process.source, process.state()) == ("ps", "stopped")
        assert process.resident() == pytest.approx(by_proc, rel=0.05)
        assert process.kill() == "gone"
        assert process.resident() == 0


def test_rules_of_the_monitors():
    size, slope, trend, forecast, insider = panel()
    steady = [(n / 10, 50 * MIB) for n in range(40)]
    growing = [(n / 10, n * 2 * MIB) for n in range(20)]
    slow = [(n / 10, n * MIB // 100) for n in range(20)]
    back_and_forth = [(n / 10, (n % 2) * 90 * MIB) for n in range(40)]
    for monitor in (size, slope, trend, forecast, insider):
        for readings, alarmed in (
            (steady, ()), (growing, (size, slope, trend, forecast)), (slow, (trend,)),
            (growing[:1], ()), (back_and_forth[:-1], ()),
        ):  # fmt: skip
            monitor.readings = readings
            assert (monitor.suspicion() is not None) is (monitor in alarmed), monitor.id
    assert insider.suspicion() is None


# -- stopped from outside


@pytest.mark.parametrize(
    ("sign", "moment", "code"),
    [
        (signal.SIGINT, "starts", 130),
        (signal.SIGINT, "SIGSTOP to", 130),
        (signal.SIGTERM, "SIGSTOP to", 130),
        (signal.SIGKILL, "starts", -signal.SIGKILL),
        (signal.SIGKILL, "SIGSTOP to", -signal.SIGKILL),
    ],
)
def test_a_demo_that_is_stopped_leaves_no_process_behind(tmp_path, sign, moment, code):
    with subprocess.Popen(
        COMMAND,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(tmp_path)},
        # As in a terminal of its own, whose session ends with it.
        start_new_session=True,
    ) as demo:
        pid = None
        for line in demo.stdout:
            if found := re.search(r"process (\d+) starts", line):
                pid = int(found[1])
                assert alive(pid)
            if moment in line:
                break
        demo.send_signal(sign)
        assert "Traceback" not in demo.communicate(timeout=60)[1]
    assert demo.returncode == code
    until(lambda: not alive(pid), "the watched process is gone")
    assert sign is signal.SIGKILL or list(tmp_path.iterdir()) == []


# -- the command


def test_as_json(capsys):
    assert run_command(["demo", "council", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sound"] is True
    assert told["kept"] is None


def test_no_picture_is_drawn_of_it(capsys, tmp_path):
    assert run_command(["demo", "council", "--svg", str(tmp_path / "x.svg")]) == 2
    assert "--svg draws the demo of the panel" in capsys.readouterr().err


def test_the_demo_alone_is_that_of_the_panel(monkeypatch, capsys):
    def panel_demo(folder):
        raise OperationalError("the panel's demo began")

    monkeypatch.setattr("quorate.cli.demo.run_demo", panel_demo)
    assert run_command(["demo"]) == 5
    assert "the panel's demo began" in capsys.readouterr().err
    assert run_command(["demo", "counsel"]) == 2
