"""Executors: what was voted is handed over once, and what came of it is sealed as it is known."""

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from council_executions import ODD, approved, ran
from council_tools import KEY, Clock, council, passed, verify_all

from quorate.core.errors import OperationalError, UsageError
from quorate.council import ConsensusProtocol, Execution, bounds
from quorate.council.executors import (
    CommandExecutor,
    Executors,
    NotExecutedError,
    Order,
    PythonExecutor,
    Report,
    process,
)
from quorate.council.executors.process import Program
from quorate.ledger import Ledger, Policy, Receipt

HERE = str(Path(__file__).parent)


def python(code, **options):
    return CommandExecutor([sys.executable, "-c", code], **options)


def gone(pid):
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
        return state == "Z"
    return True


def wait_for(truth, seconds=20):
    end = time.monotonic() + seconds
    while not truth():
        assert time.monotonic() < end
        time.sleep(0.01)


# --- what is handed over ------------------------------------------------------------


def test_a_callable_gets_exactly_what_was_voted(ledger):
    seen = []
    c = approved(ledger, target=ODD, evidence={"rss": [1, 2.5]})
    result = ran(c, seen.append, "QUARANTINE ")
    assert (result.begun, result.execution, result.detail) == (True, Execution.EXECUTED, None)
    (order,) = seen
    proposal = c.get_proposal("p1")
    assert isinstance(order, Order)
    assert (order.action, order.target, order.critical) == ("quarantine", ODD, False)
    assert order.evidence == {"rss": [1, 2.5]}
    assert (order.digest, order.token) == (proposal.digest, proposal.token)
    assert order.deadline > time.time_ns() // 1000
    read = Receipt.from_dict(json.loads(order.to_json())["certificate"])
    read.verify(Policy.of([KEY.verifier]))
    assert read.payload["digest"] == order.digest
    assert read.payload["verdict"]["decision"] == "approved"
    assert c.verify_audit_chain()
    verify_all(ledger)


def test_a_command_gets_the_order_on_its_input_and_nothing_of_our_environment(
    ledger, tmp_path, monkeypatch
):
    monkeypatch.setenv("COUNCIL_SECRET", "s3cret")
    code = (
        "import json, os, sys; o = json.load(sys.stdin); o.pop('certificate');"
        "json.dump({'order': o, 'argv': sys.argv, 'env': dict(os.environ)}, open('seen', 'w'))"
    )
    c = approved(ledger, target=ODD)
    result = ran(c, python(code, cwd=tmp_path, env={"OWN": "1"}))
    assert result.execution is Execution.EXECUTED
    seen = json.loads((tmp_path / "seen").read_text())
    assert seen["order"]["target"] == ODD
    assert seen["order"]["form"] == "quorate/council-order/v1"
    assert seen["order"]["token"] == c.get_proposal("p1").token
    assert seen["argv"] == ["-c"]
    assert seen["env"]["OWN"] == "1"
    assert "COUNCIL_SECRET" not in seen["env"]
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


def test_it_is_run_once_and_told_what_is_known(ledger):
    calls = []
    c = approved(ledger)
    executors = Executors(c)
    executors.register("quarantine", calls.append)
    assert executors.run("p1").begun
    again = executors.run("p1")
    assert (again.begun, again.execution) == (False, Execution.EXECUTED)
    assert Executors(council(ledger=ledger)).run("p1").execution is Execution.EXECUTED
    assert len(calls) == 1


def test_what_is_not_approved_or_has_no_executor_is_not_begun(told):
    executors = Executors(told)
    with pytest.raises(UsageError, match=r"no executor is registered for 'terminate' \(.*none"):
        executors.run("p1")
    executors.register("quarantine", print)
    executors.register("restrict", print)
    with pytest.raises(UsageError, match="it is open"):
        executors.run("p2")
    with pytest.raises(UsageError, match="was not approved"):
        executors.run("p3")
    with pytest.raises(UsageError, match="no proposal 'p9'"):
        executors.run("p9")
    assert told.get_proposal("p1").execution is Execution.NONE


def test_what_cannot_be_registered(told):
    executors = Executors(told)
    executors.register("terminate", print)
    for action, executor, message in (
        ("terminate", print, "already"),
        ("".join(chr(ord(c) + 0xFEE0) for c in "TERMINATE"), print, "already"),
        ("vanish", print, "unknown here"),
        ("change_electorate", print, "the council itself"),
        ("restrict", "rm -rf", "the executor is a str"),
    ):
        with pytest.raises(UsageError, match=message):
            executors.register(action, executor)
    with pytest.raises(UsageError, match="the council is a str"):
        Executors("council")
    for wrong in ("rm -rf /", [], [""], ["a\0"], [7]):
        with pytest.raises(UsageError, match="the command"):
            CommandExecutor(wrong)
    for timeout in (0, -1, float("nan"), float("inf"), True, "5"):
        with pytest.raises(UsageError, match="the timeout is"):
            CommandExecutor(["true"], timeout=timeout)


# --- Python --------------------------------------------------------------------------


def refuses(_):
    raise NotExecutedError("the host is unknown")


def breaks(_):
    raise ValueError("half way")


@pytest.mark.parametrize(
    ("function", "execution", "detail"),
    [
        (lambda _: Report("executed", {"pid": 7}), "executed", {"pid": 7}),
        (lambda _: Report("unknown", "?"), "unknown", "?"),
        (refuses, "failed", {"why": "the host is unknown"}),
        (breaks, "unknown", {"why": "ValueError: half way"}),
        (lambda _: False, "unknown", "it returned a bool, which is neither"),
        (lambda _: Report("executed", {1, 2}), "executed", "is no JSON"),
        (lambda _: Report("executed", "x" * 70_000), "executed", "has 70002 bytes; at most"),
        (lambda _: Report("done"), "unknown", "the outcome is 'done'"),
    ],
)  # fmt: skip
def test_what_a_callable_says(ledger, function, execution, detail):
    result = ran(approved(ledger), function)
    assert result.execution == execution
    assert result.detail == detail or detail in str(result.detail)


def test_an_async_callable_and_one_that_does_not_come_back(ledger):
    async def kind(order):
        if order.target == "no":
            raise NotExecutedError("no")
        return Report("executed", order.target)

    c = approved(ledger)
    assert ran(c, kind).detail == "agent-7"
    c.propose("b", "restrict", "no")
    passed(c, "p2", "abcd")
    executors = Executors(c)
    executors.register("restrict", kind)
    assert executors.run("p2").execution is Execution.FAILED
    c.propose("b", "release", "x")
    passed(c, "p3", "abcd")
    let = threading.Event()
    executors.register("release", PythonExecutor(lambda _: let.wait(20), timeout=0.2))
    try:
        late = executors.run("p3")
    finally:
        let.set()
    assert late.execution is Execution.UNKNOWN
    assert c.resolve("p3", "executed", reason="it is free", by="ann").execution == "executed"


class Own:
    """An executor of one's own."""

    name = "own"
    timeout = 1.0

    def __init__(self, act):
        self.act = act

    def check(self):
        pass

    def carry_out(self, order):
        return self.act(order)


@pytest.mark.parametrize(
    ("act", "execution", "why"),
    [
        (lambda _: "fine", "unknown", "the executor gave a str, which is no Report"),
        (breaks, "unknown", "ValueError: half way"),
        (refuses, "failed", "the host is unknown"),
    ],
)
def test_an_executor_of_ones_own_that_breaks_the_rules(ledger, act, execution, why):
    result = ran(approved(ledger), Own(act))
    assert (result.execution, result.detail) == (execution, {"why": why})


def test_resolved_by_hand_while_it_ran_the_result_is_refused(ledger):
    c = approved(ledger)

    def impatient(_):
        c.resolve("p1", "failed", reason="it took too long", by="ann")

    with pytest.raises(UsageError, match="its execution failed, which is final"):
        ran(c, impatient)
    assert c.get_proposal("p1").execution is Execution.FAILED


# --- programs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "execution", "detail"),
    [
        ("print('ok')", "executed", "ok\n"),
        ("import sys; sys.exit(3)", "failed", "'exit': 3"),
        ("import sys; print('no host', file=sys.stderr); sys.exit(1)", "failed", "no host"),
        ("import os; os.kill(os.getpid(), 15)", "unknown", "killed by signal 15"),
        ('print(\'{"outcome": "unknown", "detail": 5}\')', "unknown", "'detail': 5"),
        ('print(\'{"outcome": "failed"}\')', "failed", "'exit': 0"),
        ('print(\'{"outcome": "done"}\')', "unknown", "the outcome is 'done'"),
        ('print(\'{"outcome": "executed", "x": 1}\')', "unknown", "unknown members"),
        ('print(\'{"outcome": "executed"}\'); exit(1)', "unknown", "it says executed"),
        ('print(\'{"outcome": "unknown"}\'); exit(1)', "unknown", "'exit': 1"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)))", "executed", "\ufffd"),
        ("import os; os.close(0); print('deaf')", "executed", "deaf"),
        ("print('[' * 5000)", "executed", "[["),
        ('print(\'{"outcome": "failed"}\' + " " * 70_000 + "!")', "executed", "'exit': 0"),
    ],
)  # fmt: skip
def test_what_a_program_says(ledger, code, execution, detail):
    result = ran(approved(ledger, evidence="e" * 200_000), python(code))
    assert result.execution == execution
    shown = str(result.detail) + str(result.detail.get("output"))
    assert detail in shown


def test_a_program_that_writes_without_end_is_cut_and_not_held_up(ledger):
    code = (
        "import sys\n"
        "for _ in range(200): sys.stdout.write('\\x00' * 65536); sys.stderr.write('e' * 65536)\n"
        "sys.stderr.write('the end')"
    )
    result = ran(approved(ledger), python(code))
    assert result.execution is Execution.EXECUTED
    assert len(result.detail["output"]) == bounds.MAX_SAID_CHARACTERS
    assert result.detail["errors"].endswith("the end")
    assert len(result.detail["errors"]) == bounds.MAX_SAID_CHARACTERS
    assert result.detail["exit"] == 0


def test_a_long_output_is_never_read_as_an_answer():
    lines = "print(' ' * 70000 + '{}')"
    found = Program.of([sys.executable, "-c", lines], None, None).run(b"x", 20)
    assert found.cut
    assert len(found.output) == bounds.MAX_OUTPUT_BYTES


def test_what_a_program_wrote_last_is_read_even_if_it_has_ended(monkeypatch):
    real = process._has_exited

    def late(child, ran):
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        return real(child, ran)

    monkeypatch.setattr(process, "_has_exited", late)
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    found = Program.of([sys.executable, "-c", code], None, None).run(b"x", 20)
    assert (found.code, found.output, found.errors) == (0, b"out\n", b"err\n")


def test_a_program_that_hangs_is_killed_with_its_children(ledger, tmp_path):
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}')\n"
        "time.sleep(600)"
    )
    result = ran(approved(ledger), python(code, cwd=tmp_path, timeout=2))
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    wait_for(lambda: all(gone(pid) for pid in pids))
    assert result.execution is Execution.UNKNOWN
    assert result.detail["exit"] is None
    assert "still running after 2 s" in result.detail["why"]


def test_what_a_program_leaves_running_holds_nobody_up(ledger):
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid)"
    )
    result = ran(approved(ledger), python(code, timeout=60))
    left = int(result.detail["output"])
    assert result.execution is Execution.EXECUTED
    assert not gone(left)
    os.kill(left, signal.SIGKILL)


def test_where_the_exit_status_is_lost_it_is_unknown(ledger):
    """With SIGCHLD ignored the system reaps children, and keeps no status."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        result = ran(approved(ledger), python("import sys; sys.exit(3)"))
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert result.execution is Execution.UNKNOWN
    assert "its exit status was lost" in result.detail["why"]


def test_a_program_that_is_not_there_begins_nothing(ledger, tmp_path):
    c = approved(ledger)
    for executor in (
        CommandExecutor(["no-such-program"]),
        CommandExecutor(["true"], cwd=tmp_path / "nowhere"),
    ):
        executors = Executors(c)
        executors.register("quarantine", executor)
        with pytest.raises(OperationalError, match="there is no"):
            executors.run("p1")
    assert c.get_proposal("p1").execution is Execution.NONE


def test_a_program_that_cannot_be_executed_has_failed(ledger, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    result = ran(approved(ledger), CommandExecutor([str(script)]))
    assert result.execution is Execution.FAILED
    assert "cannot be started" in result.detail["why"]


# --- several processes ----------------------------------------------------------------

RACER = """
import sys
sys.path.insert(0, sys.argv[1])
from council_tools import KEY
from quorate.council import ConsensusProtocol
from quorate.council.executors import CommandExecutor, Executors
from quorate.ledger import Ledger
code = "import os, sys; sys.stdin.read(); open('done', 'a').write('x')"
with Ledger.open(sys.argv[2], signer=KEY) as ledger:
    council = ConsensusProtocol.reopen(ledger)
    executors = Executors(council)
    executors.register("quarantine", CommandExecutor([sys.executable, "-c", code], cwd=sys.argv[3]))
    print("ready", flush=True)
    sys.stdin.readline()
    for proposal in council.list_proposals():
        result = executors.run(proposal.id)
        print(proposal.id, result.begun, flush=True)
"""


def children(code, count, *arguments):
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, HERE, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]


def test_of_two_processes_that_race_one_executes(tmp_path):
    url = f"sqlite:///{tmp_path / 'council.db'}"
    with Ledger.open(url, signer=KEY) as ledger:
        c = council(ledger=ledger)
        ids = [c.propose("a", "quarantine", f"x{n}") for n in range(5)]
        for id_ in ids:
            passed(c, id_, "abcd")
    racers = children(RACER, 2, url, str(tmp_path))
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [
        line.split()
        for racer in racers
        for line in racer.communicate(timeout=120)[0].split("\n")
        if line
    ]
    assert [racer.returncode for racer in racers] == [0, 0]
    assert sorted(id_ for id_, begun in said if begun == "True") == ids
    assert (tmp_path / "done").read_text() == "x" * len(ids)


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from council_tools import KEY
from quorate.council import ConsensusProtocol
from quorate.council.executors import Executors
from quorate.ledger import Ledger
def carry_out(order):
    open(sys.argv[3], "a").write("x")
    os.kill(os.getpid(), signal.SIGKILL)
executors = Executors(ConsensusProtocol.reopen(Ledger.open(sys.argv[2], signer=KEY)))
executors.register("quarantine", carry_out)
executors.run("p1")
"""


def test_killed_between_intent_and_result_it_is_not_run_again(tmp_path):
    url, done = f"sqlite:///{tmp_path / 'council.db'}", tmp_path / "done"
    with Ledger.open(url, signer=KEY) as ledger:
        approved(ledger)
        (child,) = children(KILLED, 1, url, str(done))
        child.communicate(timeout=60)
        assert child.returncode == -signal.SIGKILL
        c = ConsensusProtocol.reopen(ledger, clock=Clock())
        result = ran(c, lambda _: done.write_text("again"))
        assert (result.begun, result.execution) == (False, Execution.INTENT)
        assert done.read_text() == "x"
        c.resolve("p1", "executed", reason="the file is there", by="ann")
        assert ran(c, print).execution is Execution.EXECUTED
        assert c.verify_audit_chain()
