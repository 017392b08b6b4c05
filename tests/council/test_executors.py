"""Executors: what was voted is handed over once, and what came of it is sealed as it is known."""

import contextlib
import json
import os
import signal
import stat
import sys
import threading
import time
from pathlib import Path

import pytest
from council_executions import ODD, approved, ran
from council_tools import KEY, council, passed, verify_all

from quorate.core.errors import OperationalError, UsageError
from quorate.council import Execution, bounds
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
from quorate.council.rules.values import token_digest
from quorate.ledger import Policy, Receipt


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
    assert (order.digest, order.token) == (proposal.digest, order.token)
    assert token_digest(order.token) == proposal.token
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
    assert token_digest(seen["order"]["token"]) == c.get_proposal("p1").token
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


def deep(levels):
    """Lists in lists."""
    found = []
    for _ in range(levels - 1):
        found = [found]
    return found


def refuses(_):
    raise NotExecutedError("the host is unknown")


def leaves(_):
    sys.exit(0)


def breaks(_):
    raise ValueError("half way")


@pytest.mark.parametrize(
    ("function", "execution", "detail"),
    [
        (lambda _: Report("executed", {"pid": 7}), "executed", {"pid": 7}),
        (lambda _: Report("unknown", "?"), "unknown", "?"),
        (refuses, "failed", {"why": "the host is unknown"}),
        (breaks, "unknown", {"why": "ValueError: half way"}),
        (leaves, "unknown", "SystemExit"),
        (lambda _: False, "unknown", "it returned a bool, which is neither"),
        (lambda _: Report("executed", {1, 2}), "executed", "is no JSON"),
        (lambda _: Report("executed", "x" * 70_000), "executed", "bytes; at most"),
        (lambda _: Report("executed", deep(63)), "executed", deep(63)),
        (lambda _: Report("executed", deep(64)), "executed", "deep"),
        (lambda _: Report("executed", deep(100_000)), "executed", "deep"),
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
    assert c.resolve("p3", "executed", reason="it is free", by="a").execution == "executed"


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
        (leaves, "unknown", "SystemExit: 0"),
        (breaks, "unknown", "ValueError: half way"),
        (refuses, "failed", "the host is unknown"),
    ],
)
def test_an_executor_of_ones_own_that_breaks_the_rules(ledger, act, execution, why):
    result = ran(approved(ledger), Own(act))
    assert (result.execution, result.detail) == (execution, {"why": why})


def test_interrupted_it_is_unknown_and_can_be_resolved_at_once(ledger):
    def interrupts(_):
        raise KeyboardInterrupt

    c = approved(ledger)
    with pytest.raises(KeyboardInterrupt):
        ran(c, Own(interrupts))
    proposal = c.get_proposal("p1")
    assert (proposal.execution, proposal.outcome["detail"]) == (
        Execution.UNKNOWN, {"why": "it was interrupted"},
    )  # fmt: skip
    assert ran(c, print).begun is False
    assert c.resolve("p1", "failed", reason="it did nothing", by="a").execution == "failed"


def test_resolved_by_hand_while_it_ran_the_result_is_kept_beside_it(ledger):
    c = approved(ledger)

    def slow(_):
        with pytest.raises(UsageError, match="its result is due in 60 s"):
            c.resolve("p1", "failed", reason="it took too long", by="a")
        ledger.clock.wait(60)
        c.resolve("p1", "failed", reason="it took too long", by="a")

    assert ran(c, slow).execution is Execution.UNKNOWN
    told = c.get_proposal("p1").outcome
    assert (told["outcome"], told["before"]["outcome"]) == ("executed", "failed")
    assert c.summary()["unresolved"] == ["p1"]


# --- programs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "execution", "detail"),
    [
        ("print('ok')", "executed", "ok\n"),
        ("import sys; sys.exit(3)", "unknown", "did not say what came of it"),
        ("import sys; print('no host', file=sys.stderr); sys.exit(1)", "unknown", "no host"),
        ("import os; os.system('kill -9 $$'); raise SystemExit(137)", "unknown", "'exit': 137"),
        ("raise SystemExit(4)", "failed", "'exit': 4"),
        ("print('[' * 5000); raise SystemExit(4)", "failed", "'exit': 4"),
        ('print(\'{"outcome": "failed"}\'); exit(1)', "failed", "'exit': 1"),
        ('print(\'{"outcome": "executed"}\'); exit(4)', "unknown", "it says executed"),
        ('print(\'log\\n{"outcome": "failed"}\')', "unknown", "beside something else"),
        ('print(\'{"outcome": "failed"}\\nlog\'); exit(4)', "unknown", "beside something else"),
        ('print(\'{"outcome": "failed", "outcome": "executed"}\')', "unknown", "alone"),
        ('print(\'{"outcome": "unknown", "detail": 1e999}\')', "unknown", "alone"),
        ("print({'outcome': 'failed'})", "unknown", "alone"),
        ("import sys; sys.stdout.buffer.write('{\"OUTCOME\": 1}'.encode('utf-16'))", "unknown", ""),
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
        ('print(\'{"outcome": "failed"}\' + " " * 70_000 + "!")', "unknown", "more than is read"),
        ("print('x' * 70_000)", "unknown", "more than is read"),
        ("print('x' * 70_000); raise SystemExit(4)", "unknown", "more than is read"),
    ],
)  # fmt: skip
def test_what_a_program_says(ledger, code, execution, detail):
    executor = python(code, failed_exits=[4, 5])
    result = ran(approved(ledger, evidence="e" * 200_000), executor)
    assert result.execution == execution
    shown = str(result.detail) + str(result.detail.get("output"))
    assert detail in shown


def test_exit_statuses_that_cannot_say_that_nothing_was_done():
    for wrong in ([0], [126], [-9], [True], ["1"], [1.0]):
        with pytest.raises(UsageError, match="a whole number from 1 to 125"):
            CommandExecutor(["true"], failed_exits=wrong)
    with pytest.raises(UsageError, match="give a list"):
        CommandExecutor(["true"], failed_exits=3)


def test_a_program_that_writes_without_end_is_cut_and_not_held_up(ledger):
    code = (
        "import sys\n"
        "for _ in range(200): sys.stdout.write('\\x00' * 65536); sys.stderr.write('e' * 65536)\n"
        "sys.stderr.write('the end')"
    )
    result = ran(approved(ledger), python(code))
    assert result.execution is Execution.UNKNOWN
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
