"""A halt drill that is interrupted lifts its own halt, or says how it is lifted."""

import os
import shlex
import signal
import time

import pytest

from quorate.cli.app import run
from quorate.compliance import drills
from quorate.compliance.drills import DrillInterrupted, HaltLeftError, halt_drill
from quorate.core.errors import StoreError
from quorate.hub.oversight import Oversight
from quorate.ledger import Ledger

DRILL = ("drill", "halt", "--by", "J. Doe", "--system", "s", "--version", "1")
SCOPE = {"system": "s", "version": "1"}


def halts(path="ledger.db"):
    with Ledger.open(f"sqlite:///{path}") as log:
        bodies = [receipt.payload for receipt in log.find(kind="oversight")]
        return [body["event"] for body in bodies], [one.seq for one in Oversight(log).in_force]


def test_ctrl_c_lifts_the_halt_of_the_drill(here, fork):
    running = fork(*DRILL, cwd=here)
    for _ in range(1200):
        if halts()[0]:
            break
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    events, in_force = halts()
    assert (events, in_force) == (["halt", "resume"], [])
    # It may have been through by then; where it was not, it says so.
    assert running.returncode in (0, 130)
    if running.returncode:
        assert b"the drill's own halt" in err
        assert b"is lifted" in err


@pytest.fixture
def cut(monkeypatch):
    """Interrupt whoever waits for the drill as soon as its halt is sealed."""
    real = drills.run_blocking

    def run_blocking(work):
        sealed = []
        seal = drills._Drilling._seal_halt

        def then_cut(self):
            sealed.append(seal(self))
            # To the process, as a terminal does: it is the main thread's to take.
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)
            return sealed[0]

        monkeypatch.setattr(drills._Drilling, "_seal_halt", then_cut)
        return real(work)

    monkeypatch.setattr(drills, "run_blocking", run_blocking)
    # Whoever runs the tests in the background may have it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def no_resume(self, by, reason, *, halt=None):
    raise StoreError("the disk is full")


@pytest.mark.usefixtures("cut")
def test_an_interrupt_right_behind_the_halt_lifts_it(here, quorate):
    code, _, err = quorate(*DRILL)
    assert code == 130
    assert halts() == (["halt", "resume"], [])
    assert "is lifted" in err
    assert quorate("ledger", "ls", "--kind", "drill")[1] == "no entries like that\n"


@pytest.mark.usefixtures("cut")
def test_nobody_elses_halt_is_lifted(here, quorate, monkeypatch):
    with Ledger.open("sqlite:///ledger.db", signer=key(here)) as log:
        real = Oversight.resume

        def first_another(self, *given, **more):
            Oversight(log).halt("R. Real", "a patient was hurt")
            return real(self, *given, **more)

        monkeypatch.setattr(Oversight, "resume", first_another)
        assert quorate(*DRILL)[0] == 130
        assert [one.by for one in Oversight(log).in_force] == ["R. Real"]


@pytest.mark.usefixtures("cut")
def test_where_it_cannot_be_lifted_the_command_that_lifts_it_is_told(here, quorate, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(Oversight, "resume", no_resume)
        code, _, err = quorate(*DRILL)
    assert code == 130
    (seq,) = halts()[1]
    (line,) = [line for line in err.splitlines() if "still in force" in line]
    command = line.partition("this lifts it: ")[2]
    assert f"--halt {seq}" in command
    assert run(shlex.split(command.replace("NAME", "A").replace("TEXT", "done"))[1:]) == 0
    assert halts()[1] == []


def test_so_it_is_where_a_drill_breaks_off_by_itself(here, quorate, monkeypatch):
    monkeypatch.setattr(Oversight, "resume", no_resume)
    code, _, err = quorate(*DRILL)
    assert code == 5
    assert "still in force; this lifts it: quorate resume quorate.toml --halt" in err
    assert "the disk is full" in err


@pytest.mark.usefixtures("cut")
def test_what_became_of_the_halt_is_told_in_python_too(here, monkeypatch):
    with Ledger.open("sqlite:///ledger.db", signer=key(here)) as log:
        size = len(log)
        with pytest.raises(DrillInterrupted) as told:
            halt_drill(log, scope=SCOPE, by="J. Doe")
        assert told.value.in_force is False
        assert told.value.halt is not None
        assert told.value.halt >= size
    monkeypatch.undo()
    monkeypatch.chdir(here)
    monkeypatch.setattr(Oversight, "resume", no_resume)
    with (
        Ledger.open("sqlite:///ledger.db", signer=key(here)) as log,
        pytest.raises(HaltLeftError, match="still in force: the disk is full") as left,
    ):
        halt_drill(log, scope=SCOPE, by="J. Doe")
    assert halts()[1] == [left.value.halt]


def test_the_reason_that_is_sealed_says_something(here, quorate):
    assert quorate(*DRILL)[0] == 0
    with Ledger.open("sqlite:///ledger.db") as log:
        (halted, _) = log.find(kind="oversight")
    assert halted.payload["reason"] == f"drill: {drills.HALT_WHY}"


def key(folder):
    from quorate.ledger import read_signer

    return read_signer(next(folder.rglob("*.key")))
