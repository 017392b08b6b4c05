"""Functions in worker processes: stopped when they hang, one absence when they die."""

import asyncio
import signal
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import pytest
from child_processes import is_gone, is_running, state, wait_until

from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import MisbehaviourError, TransportError, UsageError, UsageTypeError
from quorate.hub import Session
from quorate.hub.experts import Adapter, Answer, BareAnswer, Expert
from quorate.hub.experts.workers import WorkerExpert

CODE = """
import math, os, sys, time
from decimal import Decimal
from fractions import Fraction
from quorate.hub.experts import Answer, BareAnswer

print("printed at import")

class Sly(Answer):
    pass

class Evil(Exception):
    def __str__(self):
        raise SystemExit(5)

class Odd(dict):
    pass

RETURNS = {
    "third": Answer("x", Fraction(1, 3), Decimal("0.10"), ranking=["x", "y"], tokens=3),
    "float": Answer({"a": [1.5, 1e22, -0.0, True, None, "é"]}, 0.1),
    "whole": Answer(1, 1, 2**70),
    "bare": BareAnswer([1], 0.5, tokens=2),
    "payload": {"just": "this"},
    "answer-like": {"payload": 1, "confidence": 1},
    "nan": Answer(1, math.nan),
    "nan payload": Answer(math.nan, 1),
    "text": Answer(1, "0.5"),
    "set": {"a": {1}},
    "set in answer": Answer({"a": {1}}, 1),
    "tuple": (1, (2, 3)),
    "sly": Sly(1, 1),
    "odd": Odd(a=1),
    "tokens": Answer(1, 1, tokens=-1),
    "surrogate": "\\ud800",
    "large": "x" * (5 << 20),
    "deep": [],
}
for _ in range(70):
    RETURNS["deep"] = [RETURNS["deep"]]

def act(task):
    if task in RETURNS:
        return RETURNS[task]
    if task == "print":
        print('{"id":1,"payload":"forged","confidence":1}', flush=True)
        os.write(1, b'{"id":1}\\n')
        print("to stderr", file=sys.stderr)
        return sys.stdin.read()
    if task == "spin":
        while True:
            pass
    if task == "raise":
        raise ValueError("no\\nidea \\ud800")
    if task == "leave":
        sys.exit(3)
    if task == "evil":
        raise Evil
    if task == "die":
        os._exit(4)
    if task == "segfault":
        import ctypes, faulthandler
        ctypes.string_at(0)
    if task == "fork":
        if not os.fork():
            return "the child's"
        os.wait()
        return "the parent's"
    if task == "beside":
        import helper
        return helper.WORD
    if task == "pid":
        return os.getpid()
    return task

async def later(task):
    return task

COUNT = 0

def count(task):
    global COUNT
    COUNT += 1
    return COUNT

not_callable = 3
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("panel")
    (made / "acts.py").write_text(CODE)
    (made / "helper.py").write_text("WORD = 'found beside'\n")
    (made / "broken.py").write_text("1 / 0\n")
    # Found before the standard library's, for the call names it.
    (made / "statistics.py").write_text("def mean(task):\n    return 'ours'\n")
    return made


@pytest.fixture(scope="module")
def worker(folder):
    """One worker for all tests that leave it alive."""
    expert = WorkerExpert("acts:act", path=folder)
    yield expert
    asyncio.run(expert.aclose())


def ask(expert, *tasks):
    """Ask one after the other; answers, and errors as text."""

    async def calls():
        found = []
        for task in tasks:
            try:
                found.append(await expert(task))
            except (MisbehaviourError, TransportError) as error:
                found.append(f"{type(error).__name__}: {error}")
        return found

    return asyncio.run(calls())


def test_answers_come_back_exactly(worker):
    assert isinstance(worker, Adapter)
    third, double, whole, bare = ask(worker, "third", "float", "whole", "bare")
    assert third == Answer("x", Fraction(1, 3), Fraction(1, 10), ranking=["x", "y"], tokens=3)
    assert type(double.confidence) is float
    assert double.confidence == 0.1
    same = {"a": [1.5, 1e22, -0.0, True, None, "é"]}
    assert canonical(double.payload) == canonical(same)
    assert whole == Answer(1, 1, Fraction(2**70))
    assert bare == BareAnswer([1], 0.5, tokens=2)


def test_it_counts_as_it_would_in_this_process(folder, worker):
    def here(task):
        return Answer("x", Fraction(1, 3), Decimal("0.10"), ranking=["x", "y"], tokens=3)

    got = Session([Expert("e", worker)], "third").collect()
    want = Session([Expert("e", here)], "third").collect()
    assert tuple(got) == tuple(want)


def test_what_is_no_answer_goes_by_whether_a_confidence_is_declared(worker):
    for task in ("payload", "answer-like"):
        got = Session([Expert("a", worker), Expert("b", worker, confidence=1)], task).collect()
        assert [(a.expert_id, a.reason) for a in got.absent] == [("a", "void")]
        assert "it returned dict; return quorate.hub.Answer" in got.absent[0].detail
    assert got[0].payload == {"payload": 1, "confidence": 1}
    assert ask(worker, "tuple") == [[1, [2, 3]]]


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("nan", "confidence is nan; it must be finite"),
        ("nan payload", "$.payload: nan is not a JSON number"),
        ("text", "its confidence is of type str"),
        ("set", "what it returned is no JSON: $.a: a set has no order"),
        ("set in answer", "what it returned is no JSON: $.payload.a: a set has no order"),
        ("sly", "it returned Sly, a subclass"),
        ("odd", "Odd is a kind of dict"),
        ("tokens", "the count of its tokens is -1"),
        ("surrogate", "a lone surrogate"),
        ("large", f"its answer has more than {limits.MAX_ANSWER_BYTES} bytes"),
        ("deep", "nested deeper than"),
    ],
)
def test_what_cannot_be_written_down_is_void_and_the_worker_lives(worker, task, told):
    void, pid = ask(worker, task, "pid")
    assert void.startswith("MisbehaviourError: its function: ")
    assert told in void
    assert worker._children.pids() == [pid]


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ("raise", "ValueError: no idea \\ud800"),
        ("leave", "SystemExit: 3"),
        ("evil", "an exception that cannot be shown"),
    ],
)
def test_what_it_raises_is_a_crash_and_the_worker_lives(worker, task, told):
    crash, pid = ask(worker, task, "pid")
    assert crash == f"TransportError: its function failed: {told}"
    assert worker._children.pids() == [pid]


def test_what_it_prints_disturbs_nothing(worker):
    assert ask(worker, "print", "print") == ["", ""]


def test_modules_beside_the_panel_are_found_first(folder, worker):
    assert ask(worker, "beside") == ["found beside"]
    other = WorkerExpert("statistics:mean", path=folder)
    try:
        assert ask(other, 1) == ["ours"]
    finally:
        asyncio.run(other.aclose())


def test_a_worker_imports_once_and_lives_on(folder):
    expert = WorkerExpert("acts:count", path=folder)
    assert ask(expert, None, None, None) == [1, 2, 3]
    (pid,) = expert._children.pids()
    asyncio.run(expert.aclose())
    assert is_gone(pid)


def test_an_endless_loop_is_killed_at_the_deadline(folder):
    expert = WorkerExpert("acts:act", path=folder)
    (pid,) = ask(expert, "pid")
    got = Session([Expert("e", expert, timeout=0.2, confidence=1)], "spin").collect()
    assert [a.reason for a in got.absent] == ["timeout"]
    assert "cancelled" in got.absent[0].detail
    assert is_gone(pid)
    (other,) = ask(expert, "pid")
    assert other != pid
    asyncio.run(expert.aclose())


@pytest.mark.parametrize(
    ("task", "told"),
    [("die", "ended with exit status 4"), ("segfault", "was killed by SIGSEGV")],
)
def test_a_dying_process_is_one_absence(folder, task, told):
    expert = WorkerExpert("acts:act", path=folder)
    got = Session([Expert("e", expert, confidence=1)], task).collect()
    assert [a.reason for a in got.absent] == ["crashed"]
    assert told in got.absent[0].detail
    assert expert._children.pids() == []
    assert ask(expert, 5) == [5]
    asyncio.run(expert.aclose())


def test_a_fork_that_comes_back_does_not_answer_too(worker):
    assert ask(worker, "fork", "fork", 5) == ["the parent's", "the parent's", 5]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("missing:act", "'missing' cannot be imported: ModuleNotFoundError"),
        ("broken:act", "'broken' cannot be imported: ZeroDivisionError"),
        ("acts:acts", "'acts' has no 'acts'; did you mean 'act'?"),
        ("acts:not_callable", "which cannot be called"),
        ("acts:later", "acts:later is async; worker processes are for plain functions"),
    ],
)
def test_a_function_that_is_not_there_is_a_crash_that_says_so(folder, call, told):
    expert = WorkerExpert(call, path=folder)
    first, second = ask(expert, 1, 2)
    assert first == second
    assert first.startswith("TransportError: its function failed: ")
    assert told in first
    asyncio.run(expert.aclose())


PARENT = """
import asyncio, os, sys
from quorate.hub.experts.workers import WorkerExpert
expert = WorkerExpert("acts:act", path=sys.argv[1])

async def main():
    print(await expert("pid"), flush=True)
    call = asyncio.create_task(expert("spin"))
    await asyncio.sleep(0.1)
    print("spinning", flush=True)
    await call

asyncio.run(main())
"""


def test_a_spinning_worker_does_not_outlive_its_parent_that_is_killed(folder):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE)
    with parent:
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == b"spinning\n"
        assert is_running(pid)
        parent.send_signal(signal.SIGKILL)
    assert wait_until(lambda: state(pid) == "Z")


def test_the_folder_of_this_process_is_not_searched(folder, tmp_path, monkeypatch):
    (tmp_path / "fractions.py").write_text("raise SystemExit('shadowed')\n")
    monkeypatch.chdir(tmp_path)
    expert = WorkerExpert("acts:act", path=folder)
    assert ask(expert, 5) == [5]
    asyncio.run(expert.aclose())


@pytest.mark.parametrize(
    ("call", "keys", "error", "told"),
    [
        ("acts", {}, UsageError, "call is 'acts'; give module:function"),
        ("acts:act()", {}, UsageError, "give module:function"),
        ("-c:act", {}, UsageError, "give module:function"),
        (3, {}, UsageTypeError, "call is a int"),
        ("acts:act", {"path": "/no/such/folder"}, UsageError, "which is no folder"),
        ("acts:act", {"processes": 0}, UsageError, "processes is 0"),
    ],
)
def test_what_cannot_be_declared_is_refused(folder, call, keys, error, told):
    with pytest.raises(error) as caught:
        WorkerExpert(call, **{"path": folder, **keys})
    assert told in str(caught.value)


def test_it_says_what_it_is(worker):
    assert repr(worker) == "WorkerExpert('acts:act', …)"
    expert = Expert("e", worker)
    assert expert.kind == "python"
    assert expert.confidence_source == "the function gives it with each answer"


def test_workers_side_by_side(folder):
    expert = WorkerExpert("acts:act", path=folder, processes=2)

    async def calls():
        spinning = asyncio.create_task(expert("spin"))
        answered = await expert(1)
        spinning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spinning
        await expert.aclose()
        return answered

    assert asyncio.run(calls()) == 1
    assert expert._children.pids() == []
