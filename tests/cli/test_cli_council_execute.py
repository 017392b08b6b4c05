"""``quorate council execute``: the declared executor is run once, and what came of it is sealed."""

import json
import signal
import time
from pathlib import Path

import pytest
from cli_council_acts import approved, declare, events, program, server
from cli_council_tools import ballot, opened, told

from quorate.cli.council.file import CouncilFile
from quorate.core.canonical import digest
from quorate.council.rules.values import token_digest
from quorate.ledger import Ledger, Policy, Receipt, read_verifier

FENCE = (
    '[executors.quarantine]\nkind = "command"\ncommand = ["./fence.sh", "--now"]\ntimeout = 60\n'
)


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


def test_a_program_gets_the_order_and_its_result_is_sealed(council, tmp_path):
    program("fence.sh", "cat > order.json", 'echo "$1" > seen')
    declare(FENCE)
    id_ = approved(council, target="a b; $(touch pwned)")
    code, out, _ = council("execute", id_)
    assert (code, "executed, by command:fence.sh#" in out) == (0, True)
    order = json.loads((tmp_path / "order.json").read_text())
    assert (order["form"], order["target"]) == ("quorate/council-order/v1", "a b; $(touch pwned)")
    certificate = Receipt.from_dict(order["certificate"])
    certificate.verify(Policy.of([read_verifier(tmp_path / "keys" / "council.pub")]))
    assert certificate.payload["digest"] == order["digest"]
    assert (tmp_path / "seen").read_text() == "--now\n"
    assert not (tmp_path / "pwned").exists()
    (intent,), (result,) = events(council, "intent"), events(council, "result")
    assert result["token"] == order["token"]
    assert intent["token_digest"] == token_digest(order["token"])
    assert result["outcome"] == "executed"
    shown = told(council("show", id_, "--json"))
    assert (shown["executor"], shown["outcome"]["outcome"]) == (intent["executor"], "executed")
    assert council("history", "--verify")[0] == 0


def test_what_is_sealed_names_exactly_the_declaration(council):
    declare(FENCE)
    written = {
        "kind": "command", "command": ["./fence.sh", "--now"], "timeout": "60",
    }  # fmt: skip
    form = "quorate/council-executor/v1"
    expected = digest({"form": form, "action": "quarantine", "executor": written})
    assert CouncilFile(Path("council.toml")).executors["quarantine"].digest == expected
    program("fence.sh", "true")
    council("execute", approved(council))
    (intent,) = events(council, "intent")
    assert intent["executor"] == f"command:fence.sh#{expected}"
    # Another argument, or the same for another action, is another declaration.
    file = Path("council.toml")
    for old, new in (('"--now"', '"--later"'), ("timeout = 60", "timeout = 61")):
        file.write_text(file.read_text().replace(old, new))
        (again,) = CouncilFile(file).executors.values()
        assert again.digest != expected
    file.write_text(file.read_text().replace("executors.quarantine", "executors.restrict"))
    assert CouncilFile(file).executors["restrict"].digest != again.digest


def test_of_two_terminals_that_execute_at_once_one_runs_the_program(council, fork, tmp_path):
    program("fence.sh", "echo ran >> runs", "sleep 0.3")
    declare(FENCE)
    id_ = approved(council)
    council("tally", id_)
    racing = [fork("council", "execute", id_, "--json") for _ in range(3)]
    done = [(json.loads(p.communicate(timeout=60)[0]), p.returncode) for p in racing]
    assert sorted(code for _, code in done) == [0, 2, 2]
    assert sorted(found["begun"] for found, _ in done) == [False, False, True]
    assert (tmp_path / "runs").read_text() == "ran\n"
    assert len(events(council, "intent")) == 1
    code, out, _ = council("execute", id_)
    assert (code, "not executed: p1  quarantine agent-7: approved" in out) == (2, True)
    assert council("execute", id_, "--strict")[0] == 3
    assert (tmp_path / "runs").read_text() == "ran\n"


@pytest.mark.parametrize(
    ("lines", "execution", "words"),
    [
        (["exit 3"], "failed", "failed, nothing was done"),
        (["touch done", "exit 4"], "unknown", "it may or may not have been done"),
        (["echo log", 'echo \'{"outcome": "failed"}\''], "unknown", "may or may not"),
        (['echo \'{"outcome": "failed"}\''], "failed", "failed, nothing was done"),
        (["kill -9 $$"], "unknown", "it may or may not have been done"),
        (['echo \'{"outcome": "executed"}\'', "exit 1"], "unknown", "resolve p1"),
    ],
)
def test_what_was_not_done_for_certain_is_no_success(council, lines, execution, words):
    program("fence.sh", *lines)
    declare(FENCE + "failed_exits = [3]\n")
    id_ = approved(council)
    code, out, _ = council("execute", id_)
    assert (code, words in out) == (5, True)
    found = council("execute", id_, "--json")
    assert (found[0], json.loads(found[1])["execution"]) == (2, execution)
    assert len(events(council, "intent")) == 1


def test_what_is_not_approved_runs_nothing(council, tmp_path):
    program("fence.sh", "echo ran >> runs")
    declare(FENCE)
    council("propose", "quarantine", "--target", "x", "--as", "anna")
    code, out, _ = council("execute", "p1", "--strict")
    assert (code, "not executed: p1  quarantine x is not decided" in out) == (3, True)
    council(*ballot("p1", "approve", "anna"))
    for voter in ("ben", "chris", "dana"):
        council(*ballot("p1", "reject", voter))
    code, out, _ = council("execute", "p1", "--strict")
    assert (code, "not executed: p1  quarantine x: rejected" in out) == (3, True)
    assert council("execute", "p1")[0] == 2
    assert events(council, "intent") == []
    assert not (tmp_path / "runs").exists()


def test_what_cannot_begin_begins_nothing(council):
    declare(FENCE, '[executors.restrict]\nkind = "python"\ncall = "acts.py:fence"\n')
    id_ = approved(council)
    code, _, err = council("execute", id_)
    assert (code, "there is no program './fence.sh'" in err) == (5, True)
    other = approved(council, "restrict")
    code, _, err = council("execute", other)
    assert (code, "there is no file acts.py" in err) == (2, True)
    Path("acts.py").write_text("def fenced(order): pass\n")
    code, _, err = council("execute", other)
    assert (code, "did you mean 'fenced'?" in err) == (2, True)
    Path("bad.py").write_text("1/0\n")
    file = Path("council.toml")
    file.write_text(file.read_text().replace("acts.py", "bad.py"))
    code, _, err = council("execute", other)
    assert (code, "'bad' cannot be imported: ZeroDivisionError" in err) == (2, True)
    assert events(council, "intent") == []
    program("fence.sh", "true")
    assert council("execute", id_)[0] == 0


def test_an_action_without_an_executor_is_done_by_hand_and_said_so(council, tmp_path):
    program("fence.sh", "echo ran >> runs")
    declare(FENCE)
    id_ = approved(council, "restrict")
    code, _, err = council("execute", id_)
    assert (code, "declares no executor for 'restrict'" in err) == (2, True)
    assert "declare [executors.restrict], or do it yourself and mark it with --by-hand" in err
    assert told(council("show", id_, "--json"))["execution"] == "none"
    code, out, _ = council("execute", id_, "--by-hand")
    assert (code, "marked as executed, by this call and no other" in out) == (0, True)
    assert "so do it now" in out
    # The executor is left out only where that is asked for.
    marked = told(council("execute", approved(council), "--by-hand", "--json"))
    assert (marked["marked"], marked["begun"], marked["execution"]) == (True, False, "executed")
    assert not (tmp_path / "runs").exists()


def test_a_new_electorate_takes_effect_whatever_is_declared(council):
    declare(FENCE)
    text = Path("council.toml").read_text()
    Path("wider.toml").write_text(text + '\n[[voters]]\nid = "eve"\n')
    change = ("propose", "change_electorate", "--voters-from", "wider.toml", "--as", "anna")
    assert council(*change)[0] == 0
    for voter in ("anna", "ben", "chris"):
        council("vote", "p1", "approve", "--as", voter, "--key", f"keys/voters/{voter}.key")
    assert "takes effect, by this call and no other" in council("execute", "p1")[1]
    assert "council: 5 voters" in council("list")[1]


@pytest.mark.parametrize("call", ["acts:fence", "acts.py:fence", "ops/acts.py:fence"])
def test_a_function_gets_the_order(council, tmp_path, call):
    folder = tmp_path / "ops" if call.startswith("ops") else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "besides.py").write_text("WHERE = 'beside'\n")
    (folder / "acts.py").write_text(
        "import besides\n"
        "from quorate.council.executors import Report\n"
        "async def fence(order):\n"
        "    print('on the screen')\n"
        "    return Report('executed', {'target': order.target, 'where': besides.WHERE})\n"
    )
    declare(f'[executors.quarantine]\nkind = "python"\ncall = "{call}"\n')
    id_ = approved(council)
    code, out, err = council("execute", id_, "--json")
    assert (code, err) == (0, "on the screen\n")
    assert json.loads(out)["detail"] == {"target": "agent-7", "where": "beside"}
    assert events(council, "intent")[0]["executor"].startswith(f"python:{call}#")


def test_secrets_come_from_the_environment_and_go_nowhere(council, monkeypatch, tmp_path):
    monkeypatch.setenv("OPS_TOKEN", "s3cret-value")
    monkeypatch.setenv("OTHER_TOKEN", "not handed on")
    program("fence.sh", "env > env.txt", 'echo "said $OPS_TOKEN"', 'echo "$OPS_TOKEN" >&2')
    declare(FENCE + 'pass_env = ["OPS_TOKEN"]\nenv = {MODE = "fast"}\n')
    id_ = approved(council)
    assert council("execute", id_)[0] == 0
    found = (tmp_path / "env.txt").read_text().splitlines()
    assert {"OPS_TOKEN=s3cret-value", "MODE=fast"} <= set(found)
    assert not any(line.startswith("OTHER_TOKEN") for line in found)
    with Ledger.open("sqlite:///council.db") as ledger:
        assert "s3cret-value" not in "".join(str(receipt.payload) for receipt in ledger)
    assert "holds what a variable of pass_env holds" in council("show", id_)[1]
    monkeypatch.delenv("OPS_TOKEN")
    code, _, err = council("execute", approved(council))
    assert (code, "OPS_TOKEN, which './fence.sh' is to be passed, is not set" in err) == (5, True)
    assert len(events(council, "intent")) == 1


def test_an_address_gets_the_order(council, monkeypatch):
    pytest.importorskip("httpx2", reason='httpx2 is not installed; pip install "quorate[http]"')
    monkeypatch.setenv("OPS_TOKEN", "t0ken")
    with server(body=b'{"outcome": "executed", "detail": {"ticket": 9}}') as (url, seen):
        declare(
            f'[executors.quarantine]\nkind = "webhook"\nurl = "{url}"\nbearer_env = "OPS_TOKEN"\n'
        )
        found = told(council("execute", approved(council), "--json"))
    assert (found["execution"], found["detail"]["detail"]) == ("executed", {"ticket": 9})
    ((headers, order),) = seen
    assert headers["authorization"] == "Bearer t0ken"
    assert headers["idempotency-key"] == order["token"]
    assert found["executor"].startswith("webhook:127.0.0.1")


def test_without_the_library_an_address_begins_nothing(council, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    declare('[executors.quarantine]\nkind = "webhook"\nurl = "http://127.0.0.1:9/"\n')
    code, _, err = council("execute", approved(council))
    assert (code, 'pip install "quorate[http]"' in err) == (5, True)
    assert events(council, "intent") == []


def test_an_interrupted_execution_is_never_begun_again(council, fork, tmp_path):
    program("fence.sh", "echo ran >> runs", "sleep 600")
    declare(FENCE.replace("60", "600"))
    id_ = approved(council)
    council("tally", id_)
    running = fork("council", "execute", id_)
    for _ in range(600):
        if (tmp_path / "runs").exists():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the program was never run")
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert b"the execution of p1 began, and its result is not known" in err
    assert b"resolve p1 executed|failed" in err
    assert told(council("show", id_, "--json"))["execution"] == "unknown"
    assert "it was interrupted" in council("show", id_)[1]
    code, out, _ = council("execute", id_)
    assert (code, "find out, then resolve" in out) == (2, True)
    assert (tmp_path / "runs").read_text() == "ran\n"
    resolve = ("resolve", id_, "failed", "--reason", "it was killed", "--as", "dana")
    assert "execution: failed" in council(*resolve)[1]


def test_check_says_what_could_begin_and_begins_nothing(council, tmp_path):
    out = council("check")[1]
    assert "action quarantine  by hand\n" in out
    program("fence.sh", "echo ran >> runs")
    (tmp_path / "acts.py").write_text("def fence(order):\n    open('called', 'w').close()\n")
    declare(
        FENCE,
        '[executors.restrict]\nkind = "python"\ncall = "acts.py:fence"\n',
        '[[hooks]]\nname = "ear"\nkind = "command"\ncommand = ["sh", "-c", "touch heard"]\n',
    )
    found = told(council("check", "--json"))["declared"]
    assert {(one["of"], one["state"]) for one in found} == {
        ("change_electorate", "by the council itself"), ("escalate", "refused but by hand"),
        ("quarantine", "ready"), ("release", "refused but by hand"), ("restrict", "ready"),
        ("terminate", "refused but by hand"), ("ear", "ready"),
    }  # fmt: skip
    digests = {one["of"]: one.get("digest") for one in found}
    assert digests["quarantine"] == CouncilFile(Path("council.toml")).executors["quarantine"].digest
    assert not {"runs", "called", "heard"} & {path.name for path in tmp_path.iterdir()}
    (tmp_path / "fence.sh").unlink()
    declare('[[hooks]]\nname = "eye"\nkind = "command"\ncommand = ["no-such-program"]\n')
    code, out, _ = council("check")
    assert code == 5
    assert "not ready: there is no program './fence.sh'" in out
    assert "hook eye  not ready: there is no program 'no-such-program'" in out
