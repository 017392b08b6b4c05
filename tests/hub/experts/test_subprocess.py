"""Children that answer JSON lines, and all that they can do instead."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import pytest
from child_processes import is_gone, is_running, state, wait_until

from quorate.core import limits
from quorate.core.errors import MisbehaviourError, TransportError, UsageError, UsageTypeError
from quorate.hub import Session
from quorate.hub.experts import Adapter, Answer, BareAnswer, Expert
from quorate.hub.experts.children import _Slots
from quorate.hub.experts.subprocess import SubprocessExpert

PIDS = """
for request in requests:
    answer(request, payload=os.getpid(), confidence=1)
"""
HANG = """
for request in requests:
    with open(request["input"], "w") as file:
        file.write(f"{os.getpid()}\\n")
    time.sleep(600)
"""


async def closing(expert, *tasks):
    """Ask one after the other, then close."""
    try:
        return [await expert(task) for task in tasks]
    finally:
        await expert.aclose()


def ask(expert, task=None):
    return asyncio.run(closing(expert, task))[0]


def pids(expert):
    return expert._children.pids()


def test_a_child_is_asked_again_and_again(child):
    expert = SubprocessExpert(child(PIDS))
    assert isinstance(expert, Adapter)
    first, second = asyncio.run(closing(expert, 1, 2))
    assert first.payload == second.payload
    assert is_gone(first.payload)
    assert pids(expert) == []


def test_all_that_an_answer_may_say(child):
    code = """
    for request in requests:
        answer(request, payload={"x": [1]}, confidence="1/3", cost=0.1, tokens=5, ranking=[1, 2])
    """
    assert ask(SubprocessExpert(child(code))) == Answer(
        {"x": [1]}, Fraction(1, 3), 0.1, ranking=[1, 2], tokens=5
    )
    bare = SubprocessExpert(child("for request in requests: answer(request, payload=None)"))
    assert ask(bare) == BareAnswer(None)


def test_in_a_session_each_child_is_one_proposal_or_absence(child):
    experts = [
        Expert("echo", SubprocessExpert(child()), weight=2),
        Expert("bare", SubprocessExpert(child("for r in requests: answer(r, payload=7)"))),
        Expert("sure", SubprocessExpert(child("for r in requests: answer(r, payload=7)")),
               confidence=0.9),
        Expert("noise", SubprocessExpert(child('print("hello", flush=True); time.sleep(600)'))),
        Expert("dies", SubprocessExpert(child("sys.exit(3)"))),
        Expert("hangs", SubprocessExpert(child("time.sleep(600)")), timeout=0.3),
        Expert("says no", SubprocessExpert(child('for r in requests: answer(r, error="no idea")'))),
        Expert("missing", SubprocessExpert(["/no/such/program"])),
    ]  # fmt: skip
    got = Session(experts, {"n": 1}).collect()
    try:
        assert [(p.expert_id, p.payload, p.exact_confidence) for p in got] == [
            ("echo", {"n": 1}, Fraction(1, 2)),
            ("sure", 7, Fraction(9, 10)),
        ]
        assert {a.expert_id: a.reason for a in got.absent} == {
            "bare": "void",
            "dies": "crashed",
            "hangs": "timeout",
            "missing": "crashed",
            "noise": "void",
            "says no": "crashed",
        }
        told = {a.expert_id: a.detail for a in got.absent}
        assert "ended with exit status 3 without an answer" in told["dies"]
        assert told["says no"] == "TransportError: its process says that it failed: no idea"
        assert "cannot be started: No such file or directory" in told["missing"]
        assert "it wrote 'hello', which is no JSON" in told["noise"]
        # The same children are asked in another loop than before.
        again = Session(experts[:1], 5).collect()
        assert [p.payload for p in again] == [5]
    finally:
        for expert in experts:
            asyncio.run(expert.aclose())


def test_calls_may_come_from_one_event_loop_after_another(child):
    expert = SubprocessExpert(child(PIDS))
    seen = {asyncio.run(expert(None)).payload for _ in range(3)}
    seen |= {p.payload for p in Session([Expert("e", expert)], None).collect()}
    assert len(seen) == 1
    asyncio.run(expert.aclose())
    assert is_gone(seen.pop())


def test_loops_side_by_side_take_turns_with_one_child(child):
    expert = SubprocessExpert(child(PIDS))
    answers = []

    async def several():
        found = await asyncio.gather(*(expert(n) for n in range(10)))
        answers.extend(a.payload for a in found)

    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 40
    assert len(set(answers)) == 1
    assert expert._children._slots._free == 1
    asyncio.run(expert.aclose())


def test_no_more_children_run_than_are_allowed(child, tmp_path):
    code = """
    mark = sys.argv[1]
    for request in requests:
        open(f"{mark}{os.getpid()}", "x").close()
        time.sleep(0.02)
        names = os.listdir(os.path.dirname(mark))
        os.remove(f"{mark}{os.getpid()}")
        answer(request, payload=[os.getpid(), len(names)], confidence=1)
    """
    (tmp_path / "marks").mkdir()
    command = [*child(code), f"{tmp_path}/marks/m"]
    expert = SubprocessExpert(command, processes=3)

    async def several():
        found = await asyncio.gather(*(expert(n) for n in range(12)))
        await expert.aclose()
        return [a.payload for a in found]

    found = asyncio.run(several())
    assert len({pid for pid, _ in found}) == 3
    assert max(busy for _, busy in found) <= 3
    assert pids(expert) == []


def test_waiting_for_a_free_child_counts_against_the_deadline(child, tmp_path):
    adapter = SubprocessExpert(child(HANG))
    experts = [Expert("a", adapter, timeout=3), Expert("b", adapter, timeout=0.3)]
    got = Session(experts, str(tmp_path / "pid")).collect()
    assert [(a.expert_id, a.reason) for a in got.absent] == [("a", "timeout"), ("b", "timeout")]
    assert adapter._children._slots._free == 1
    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_call_that_is_cancelled_kills_the_whole_session_of_the_child(child, tmp_path):
    code = """
    import subprocess
    for request in requests:
        other = subprocess.Popen(["sleep", "600"])
        with open(request["input"] + ".new", "w") as file:
            file.write(f"{os.getpid()} {other.pid}\\n")
        os.rename(request["input"] + ".new", request["input"])
        time.sleep(600)
    """
    path = tmp_path / "pids"
    expert = SubprocessExpert(child(code))

    async def cancel():
        call = asyncio.create_task(expert(str(path)))
        while not path.exists():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.005)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(cancel())
    leader, other = map(int, path.read_text().split())
    assert is_gone(leader)
    assert wait_until(lambda: not is_running(other) or "Z" in state(other))
    assert pids(expert) == []
    assert expert._children._slots._free == 1


def test_after_a_kill_the_next_call_starts_another(child):
    code = """
    for request in requests:
        if request["input"] == "hang":
            time.sleep(600)
        answer(request, payload=os.getpid(), confidence=1)
    """
    expert = SubprocessExpert(child(code))

    async def calls():
        first = await expert("a")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(expert("hang"), 0.1)
        second = await expert("b")
        await expert.aclose()
        return first.payload, second.payload

    first, second = asyncio.run(calls())
    assert first != second
    assert is_gone(first)
    assert is_gone(second)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ('print("hello", flush=True)', "it wrote 'hello', which is no JSON"),
        ('print("[1]", flush=True)', "it wrote '[1]'; an answer is a JSON object"),
        ("print(flush=True)", "it wrote '', which is no JSON"),
        ('print("{}", flush=True)', "answered the request None, but was asked 1"),
        ('print(\'{"id":2,"payload":1}\', flush=True)', "request 2, but was asked 1"),
        ('print(\'{"id":true,"payload":1}\', flush=True)', "request True, but was asked 1"),
        ('print(\'{"id":1.0,"payload":1}\', flush=True)', "request 1.0, but was asked 1"),
        ('print(\'{"id":1,"id":1}\', flush=True)', "stands twice"),
        ('print(\'{"id":1,"payload":NaN}\', flush=True)', "NaN is not JSON"),
        ("print('{\"id\":1}', flush=True)", "the answer lacks payload"),
        ('print(\'{"id":1,"payload":1,"void":1}\', flush=True)', "unknown keys: 'void'"),
        ('print(\'{"id":1,"error":1}\', flush=True)', "lacks payload"),
        ('os.write(1, b"\\xff\\n")', "no JSON: $: not UTF-8"),
    ],
)
def test_what_is_no_answer_is_misbehaviour(child, code, told):
    expert = SubprocessExpert(child(f"next(requests)\n{code}\ntime.sleep(600)"))

    async def call():
        with pytest.raises(MisbehaviourError) as caught:
            await expert(None)
        alive = pids(expert)
        await expert.aclose()
        return str(caught.value), alive

    said, alive = asyncio.run(call())
    assert said.startswith("its process: ")
    assert told in said
    # It said a wrong thing of the right form, or it can be trusted no more.
    assert bool(alive) == ("lacks payload" in told or "unknown keys" in told)


def test_a_line_nobody_asked_for_never_counts_as_an_answer(child):
    code = """
    for request in requests:
        answer(request, payload="asked", confidence=1)
        answer({"id": request["id"] + 1}, payload="unasked", confidence=1)
    """
    expert = SubprocessExpert(child(code))

    async def calls():
        first = await expert(1)
        (pid,) = pids(expert)
        # Until it has written the other line too; it reads nothing else.
        await asyncio.sleep(0.1)
        seconds = [p async for p in outcomes()]
        return first, pid, seconds

    async def outcomes():
        try:
            yield await expert(2)
        except MisbehaviourError as error:
            yield error
        await expert.aclose()

    first, pid, (second,) = asyncio.run(calls())
    assert first.payload == "asked"
    assert isinstance(second, MisbehaviourError)
    assert "answered before it was asked" in str(second)
    assert is_gone(pid)


def padded(size, end="\\n"):
    """A child whose answer has that many bytes before the line feed."""
    return f"""
    for request in requests:
        line = json.dumps({{"id": request["id"], "payload": 1, "confidence": 1}})
        sys.stdout.write(line[:-1] + " " * ({size} - len(line)) + line[-1] + "{end}")
        sys.stdout.flush()
        time.sleep(600 if {size} > {limits.MAX_ANSWER_BYTES} else 0)
    """


def test_a_line_is_read_up_to_the_bound_and_not_one_byte_past_it(child):
    assert ask(SubprocessExpert(child(padded(limits.MAX_ANSWER_BYTES)))).payload == 1
    told = f"wrote a line of more than {limits.MAX_ANSWER_BYTES} bytes, and was killed"
    for end in ("\\n", ""):
        expert = SubprocessExpert(child(padded(limits.MAX_ANSWER_BYTES + 1, end)))
        with pytest.raises(TransportError, match=told):
            asyncio.run(expert(None))
        assert pids(expert) == []


def test_a_line_without_an_end_is_broken_off(child):
    code = """
    print(os.getpid(), file=sys.stderr, flush=True)
    while True:
        os.write(1, b"x" * 65536)
    """
    expert = SubprocessExpert(child(code))
    with pytest.raises(TransportError, match="and was killed"):
        asyncio.run(expert(None))
    assert pids(expert) == []


def test_standard_error_is_read_away_and_its_end_told(child):
    code = """
    for request in requests:
        for number in range(3000):
            print(f"line {number} {'x' * 80}", file=sys.stderr)
        sys.stderr.flush()
        if request["input"] == "die":
            print("the last\\n word", file=sys.stderr)
            os._exit(7)
        answer(request, payload=1, confidence=1)
    """
    expert = SubprocessExpert(child(code))

    async def calls():
        assert (await expert("live")).payload == 1
        ((_, held),) = expert._children._idle
        assert len(held._pipes.tail) == limits.MAX_ERROR_TAIL_BYTES
        with pytest.raises(TransportError) as caught:
            await expert("die")
        return str(caught.value)

    said = asyncio.run(calls())
    assert said.startswith("its process ended with exit status 7 without an answer; ")
    assert said.endswith("the last word")
    assert len(said) < limits.MAX_DETAIL_LENGTH


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("next(requests); os._exit(0)", "ended with exit status 0"),
        ("next(requests); os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("next(requests); os.close(1); time.sleep(600)", "closed its output"),
        ("next(requests); os.close(1); os.close(0); time.sleep(600)", "closed its output"),
        ("os.close(0); os._exit(1)", "ended with exit status 1"),
        ('next(requests); print("half", end="", flush=True); os._exit(2)', "exit status 2"),
    ],
)
def test_a_child_that_ends_is_a_crash_that_says_how(child, code, told):
    expert = SubprocessExpert(child(code))

    async def call():
        with pytest.raises(TransportError, match=told):
            await expert("x" * 300_000)

    asyncio.run(call())
    assert pids(expert) == []


def test_a_child_that_ended_between_two_calls_is_replaced(child):
    code = """
    for request in requests:
        answer(request, payload=os.getpid(), confidence=1)
        if request["input"] == 1:
            break
    """
    expert = SubprocessExpert(child(code))

    async def calls():
        first = (await expert(1)).payload
        while state(first) != "Z":  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.005)
        second = (await expert(2)).payload
        await expert.aclose()
        return first, second

    first, second = asyncio.run(calls())
    assert first != second
    assert is_gone(first)


def test_a_child_that_closed_its_output_between_two_calls_is_replaced(child):
    code = """
    for request in requests:
        answer(request, payload=os.getpid(), confidence=1)
        if request["input"]:
            os.close(1)
            open(request["input"], "x").close()
    """
    expert = SubprocessExpert(child(code))

    async def calls(path):
        first = (await expert(str(path))).payload
        while not path.exists():  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.005)
        second = (await expert("")).payload
        await expert.aclose()
        return first, second

    first, second = asyncio.run(calls(Path(child()[-1]).with_suffix(".closed")))
    assert first != second
    assert is_gone(first)


@pytest.mark.parametrize("turns", [0, 1])
def test_a_place_given_to_a_call_that_is_cancelled_meanwhile_is_passed_on(turns):
    async def calls():
        slots = _Slots(1)
        await slots.acquire()
        waiting = asyncio.create_task(slots.acquire())
        await asyncio.sleep(0)
        slots.release()
        # Before, or after, the event loop has given it the place.
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.wait_for(slots.acquire(), 20)

    asyncio.run(calls())


def test_who_is_cancelled_in_line_leaves_it():
    async def calls():
        slots = _Slots(1)
        await slots.acquire()
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(slots.acquire(), 0.001)
        assert not slots._line

    asyncio.run(calls())


def test_no_idle_child_that_ended_stays_unreaped(child):
    expert = SubprocessExpert(child(PIDS), processes=2)

    async def calls():
        found = await asyncio.gather(expert(1), expert(2))
        # The one that is asked last is asked next.
        first = expert._children._idle[0][1].process.pid
        os.kill(first, signal.SIGKILL)
        while state(first) != "Z":  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.005)
        third = (await expert(3)).payload
        left = pids(expert)
        await expert.aclose()
        return {a.payload for a in found}, first, third, left

    both, first, third, left = asyncio.run(calls())
    assert is_gone(first)
    assert both == {first, third}
    assert left == [third]


def test_long_requests_go_through_while_the_child_answers_slowly(child):
    expert = SubprocessExpert(child())
    long = "é" * (limits.MAX_PAYLOAD_BYTES // 2 - 10)
    assert ask(expert, long).payload == long


def test_an_answer_before_the_request_was_read_is_misbehaviour(child):
    code = """
    os.read(0, 10)
    print('{"id":1,"payload":1,"confidence":1}', flush=True)
    time.sleep(600)
    """
    with pytest.raises(MisbehaviourError, match="before it had read the request"):
        asyncio.run(SubprocessExpert(child(code))("x" * 1_000_000))


def test_closing_lets_a_child_end_by_itself(child, tmp_path):
    code = """
    for request in requests:
        answer(request, payload=1, confidence=1)
        path = request["input"]
    open(path, "w").write("ended")
    """
    assert ask(SubprocessExpert(child(code)), str(tmp_path / "end")).payload == 1
    assert (tmp_path / "end").read_text() == "ended"


def test_closing_kills_a_child_that_does_not_and_leaves_a_busy_one_its_answer(child):
    code = """
    for request in requests:
        time.sleep(request["input"])
        answer(request, payload=os.getpid(), confidence=1)
    time.sleep(600)
    """
    expert = SubprocessExpert(child(code), processes=2)

    async def calls():
        busy = asyncio.create_task(expert(0.3))
        idle = (await expert(0)).payload
        await expert.aclose()
        assert is_gone(idle)
        answered = (await busy).payload
        assert is_gone(answered)
        # It may be used again.
        again = (await expert(0)).payload
        await expert.aclose()
        await expert.aclose()
        return idle, answered, again

    assert len(set(asyncio.run(calls()))) == 3
    assert pids(expert) == []


def test_who_is_forgotten_without_closing_leaves_no_child(child):
    expert = SubprocessExpert(child(PIDS))
    pid = asyncio.run(expert(None)).payload
    assert is_running(pid)
    del expert
    gc.collect()
    assert not is_running(pid)


PARENT = """
import asyncio, sys
from quorate.hub.experts.children import _Slots
from quorate.hub.experts.subprocess import SubprocessExpert
expert = SubprocessExpert(sys.argv[1:])
print(asyncio.run(expert(None)).payload, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_children_end_with_their_parent_even_if_it_is_killed(child, how):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *child(PIDS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        if how is not None:
            parent.send_signal(how)
        parent.stdin.close()
    assert wait_until(lambda: state(pid) == "Z")


def test_folder_and_variables(child, tmp_path):
    code = """
    for request in requests:
        found = [os.getcwd(), os.environ["QUORATE_TEST"], "PATH" in os.environ]
        answer(request, payload=found, confidence=1)
    """
    expert = SubprocessExpert(child(code), cwd=tmp_path, env={"QUORATE_TEST": "x=y"})
    assert ask(expert).payload == [str(tmp_path.resolve()), "x=y", True]


def test_it_does_not_show_its_arguments():
    assert repr(SubprocessExpert(["prog", "secret"])) == "SubprocessExpert('prog', …)"


@pytest.mark.parametrize(
    ("command", "keys", "error", "told"),
    [
        ("python child.py", {}, UsageTypeError, "give a list of words"),
        (3, {}, UsageTypeError, "give a list of words"),
        ([], {}, UsageError, "the command has 0 words"),
        ([""], {}, UsageError, "a word of the command has 0 characters"),
        (["a", 3], {}, UsageTypeError, "a word of the command is a int"),
        (["a\0"], {}, UsageError, "NUL"),
        (["a"], {"processes": 0}, UsageError, "processes is 0"),
        (["a"], {"processes": True}, UsageTypeError, "processes is True"),
        (
            ["a"],
            {"processes": limits.MAX_CHILD_PROCESSES + 1},
            UsageError,
            "processes is 65; 1 to 64",
        ),
        (["a"], {"env": ["A=b"]}, UsageTypeError, "give a table"),
        (["a"], {"env": {"A": 1}}, UsageTypeError, "'A' in env is a int"),
        (["a"], {"env": {"A=": "1"}}, UsageError, "no variable has '='"),
        (["a"] * (limits.MAX_COMMAND_ARGUMENTS + 1), {}, UsageError, "words; 1 to"),
    ],
)
def test_what_cannot_be_started_is_refused(command, keys, error, told):
    with pytest.raises(error) as caught:
        SubprocessExpert(command, **keys)
    assert told in str(caught.value)


def test_the_bounds_are_the_last_allowed():
    SubprocessExpert(["a"] * limits.MAX_COMMAND_ARGUMENTS, processes=limits.MAX_CHILD_PROCESSES)
    SubprocessExpert(["a", ""])


def test_a_forked_process_leaves_its_parents_children_alone(child):
    expert = SubprocessExpert(child(PIDS))
    pid = asyncio.run(expert(None)).payload
    read, write = os.pipe()
    fork = os.fork()
    if not fork:
        try:
            os.write(write, b"%d " % asyncio.run(closing(expert, None))[0].payload)
        finally:
            os._exit(0)
    os.waitpid(fork, 0)
    other = int(os.read(read, 100))
    os.close(read)
    os.close(write)
    assert other != pid
    assert asyncio.run(closing(expert, None))[0].payload == pid
