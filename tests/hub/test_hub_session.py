"""One task put to a roster: every expert comes out as one proposal or one absence."""

import asyncio
import math
import threading
import time
from fractions import Fraction

import pytest

from quorate.arbitration import Arbiter, UnderQuorum
from quorate.arbitration.sealed import body_of
from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical
from quorate.core.errors import UsageError
from quorate.hub import Answer, Expert, Session


class EvilShowing:
    """An object that fails at being looked at."""

    def __repr__(self):
        raise RuntimeError("no look at me")

    __str__ = __repr__


def crash(task):
    raise ValueError("no\nidea \ud800")


def test_sync_and_async_experts_answer_side_by_side():
    met = threading.Barrier(2, timeout=60)

    def one(task):
        met.wait()
        return Answer({"n": task["n"] + 1}, 0.5, 3)

    def two(task):
        met.wait()
        return Answer([task["n"]], Fraction(1, 3))

    async def three(task):
        await asyncio.sleep(0)
        return "bare"

    class Four:
        async def __call__(self, task):
            return "called"

    got = Session(
        [
            Expert("z", one, weight=0.1),
            Expert("y", two),
            Expert("x", three, confidence=0.9),
            Expert("w", Four(), confidence=1),
        ],
        {"n": 1},
    ).collect()
    assert [(p.expert_id, p.payload, p.exact_confidence, p.exact_weight) for p in got] == [
        ("w", "called", 1, 1),
        ("x", "bare", Fraction(9, 10), 1),
        ("y", [1], Fraction(1, 3), 1),
        ("z", {"n": 2}, Fraction(1, 2), Fraction(1, 10)),
    ]
    assert got[3].exact_cost == 3
    assert got.absent == ()


def test_an_expert_that_crashes_is_absent_with_its_reason():
    def leave(task):
        raise SystemExit(3)

    async def cancel_itself(task):
        raise asyncio.CancelledError

    got = Session(
        [
            Expert("crash", crash),
            Expert("leave", leave),
            Expert("cancel", cancel_itself),
            Expert("ok", lambda _: Answer(1, 1)),
        ],
        None,
    ).collect()
    assert [p.expert_id for p in got] == ["ok"]
    assert [(a.expert_id, a.reason) for a in got.absent] == [
        ("cancel", "crashed"),
        ("crash", "crashed"),
        ("leave", "crashed"),
    ]
    assert got.absent[1].detail == "ValueError: no idea \\ud800"


def test_an_expert_without_an_answer_by_its_deadline_is_absent():
    cancelled = threading.Event()
    release = threading.Event()

    async def slow(task):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def stuck(task):
        release.wait(60)
        return Answer("too late", 1)

    started = time.monotonic()
    got = Session(
        [
            Expert("slow", slow, timeout=0.05),
            Expert("stuck", stuck, timeout=0.05),
            Expert("quick", lambda _: Answer("in time", 1)),
        ],
        None,
    ).collect()
    release.set()
    assert time.monotonic() - started < 30
    assert [(a.expert_id, a.reason) for a in got.absent] == [
        ("slow", "timeout"),
        ("stuck", "timeout"),
    ]
    assert cancelled.is_set()
    assert "0.05 s" in got.absent[0].detail
    assert [p.payload for p in got] == ["in time"]


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (Answer(math.nan, 0.5), "nan"),
        (Answer({"a": [math.inf]}, 0.5), "$.a[0]"),
        (Answer(b"bytes", 0.5), "bytes"),
        (Answer({1: 2}, 0.5), "the key 1"),
        (Answer({EvilShowing(): 2}, 0.5), "RuntimeError"),
        (Answer(EvilShowing(), 0.5), "EvilShowing is not JSON"),
        (Answer("\ud800", 0.5), "surrogate"),
        (Answer(2**53, 0.5), "2^53"),
        (Answer("x" * (limits.MAX_PAYLOAD_BYTES + 1), 0.5), "bytes"),
        (Answer("x", 50), "confidence is 50"),
        (Answer("x", -0.1), "confidence"),
        (Answer("x", math.nan), "confidence"),
        (Answer("x", True), "confidence"),
        (Answer("x", "0.5"), "confidence"),
        (Answer("x", None), "confidence"),
        (Answer("x", EvilShowing()), ""),
        (Answer("x", 0.5, -1), "cost"),
        (Answer("x", 0.5, math.inf), "cost"),
        ("no Answer", "str"),
        (None, "NoneType"),
        (("x", 0.5), "tuple"),
    ],
)
def test_what_cannot_be_counted_is_void_and_says_why(returned, told):
    experts = [Expert("bad", lambda _: returned), Expert("good", lambda _: Answer(1, 1))]
    got = Session(experts, None).collect()
    assert [p.expert_id for p in got] == ["good"]
    assert [(a.expert_id, a.reason) for a in got.absent] == [("bad", "void")]
    assert told in got.absent[0].detail
    assert got.absent[0].detail
    assert len(got.absent[0].detail) <= limits.MAX_DETAIL_LENGTH


def test_too_deep_a_payload_is_void():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    loop = []
    loop.append(loop)
    for payload in (deep, loop):
        got = Session([Expert("bad", lambda _, p=payload: Answer(p, 1))], None).collect()
        assert [a.reason for a in got.absent] == ["void"]


def test_a_declared_confidence_and_an_answer_exclude_each_other():
    got = Session([Expert("both", lambda _: Answer(1, 1), confidence=1)], None).collect()
    assert got.absent[0].reason == "void"
    assert "leave one of the two out" in got.absent[0].detail


@pytest.mark.parametrize(("cost", "counted"), [(10, True), (10.000001, False), (0, True)])
def test_an_answer_that_cost_more_than_it_may_is_not_counted(cost, counted):
    got = Session([Expert("e", lambda _: Answer(1, 1, cost), max_cost=10)], None).collect()
    assert len(got) == counted
    assert [a.reason for a in got.absent] == ([] if counted else ["over_budget"])


def test_every_expert_gets_its_own_copy_of_the_task():
    original = {"list": [1, 2], "deep": {"x": [3]}}
    seen = {}

    def spoil(task):
        seen["spoil"] = task
        task["list"].clear()
        task["deep"]["x"] = "spoilt"
        return Answer("spoilt", 1)

    async def spoil_too(task):
        return spoil(task)

    async def look(task):
        await asyncio.sleep(0.05)
        seen["look"] = task
        return Answer(task["list"], 1)

    experts = [Expert("a", spoil), Expert("b", spoil_too), Expert("c", look)]
    got = Session(experts, original).collect()
    assert seen["look"] == {"list": [1, 2], "deep": {"x": [3]}}
    assert seen["look"] is not seen["spoil"]
    assert original == {"list": [1, 2], "deep": {"x": [3]}}
    assert got[2].payload == [1, 2]


def test_what_the_caller_changes_after_the_session_is_made_is_not_seen():
    task = [1]
    session = Session([Expert("a", lambda t: Answer(t, 1))], task)
    task.append(2)
    assert session.collect()[0].payload == [1]


@pytest.mark.parametrize("size", [0, limits.MAX_REPLICAS + 1])
def test_a_roster_has_bounds(size):
    experts = [Expert(str(n), lambda _: Answer(1, 1)) for n in range(size)]
    with pytest.raises(UsageError, match=f"{size} experts; 1 to {limits.MAX_REPLICAS}"):
        Session(experts, None)


def test_an_expert_stands_once_in_a_roster():
    with pytest.raises(UsageError, match="'twin' stands twice"):
        Session([Expert("twin", crash), Expert("other", crash), Expert("twin", crash)], None)


def test_a_task_that_is_not_json_is_refused_before_anybody_is_asked():
    asked = []
    with pytest.raises(CanonicalError, match="nan"):
        Session([Expert("a", asked.append)], {"x": math.nan})
    assert not asked


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weight": -1}, "weight of e"),
        ({"weight": True}, "weight of e"),
        ({"weight": math.nan}, "weight of e"),
        ({"weight": 2**53}, "weight of e"),
        ({"timeout": 0}, "timeout of e"),
        ({"timeout": -1}, "timeout of e"),
        ({"timeout": limits.MAX_TIMEOUT_SECONDS + 1}, "timeout of e"),
        ({"max_cost": -1}, "max_cost of e"),
        ({"confidence": 50}, "confidence of e"),
        ({"confidence": -0.1}, "confidence of e"),
    ],
)
def test_an_expert_out_of_range_is_refused(options, told):
    with pytest.raises(UsageError, match=told):
        Expert("e", crash, **options)


@pytest.mark.parametrize("id_", ["", "x" * (limits.MAX_ID_LENGTH + 1), 3, None])
def test_an_expert_needs_a_proper_id(id_):
    with pytest.raises(UsageError, match="expert id"):
        Expert(id_, crash)


def test_an_expert_is_a_callable():
    with pytest.raises(UsageError, match="cannot be called"):
        Expert("e", "no function")


def test_cancelling_a_session_cancels_its_async_experts():
    began, ended = [], []

    async def slow(task):
        began.append(task)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append(task)
            raise

    async def scenario():
        session = Session([Expert("a", slow), Expert("b", slow)], "t")
        collecting = asyncio.ensure_future(session.acollect())
        while len(began) < 2:  # noqa: ASYNC110 - they tell nobody else
            await asyncio.sleep(0.005)
        collecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await collecting
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert ended == ["t", "t"]


def test_collect_inside_an_expert_is_refused_not_deadlocked():
    async def nested(task):
        return Answer(Session([Expert("inner", crash)], None).collect(), 1)

    got = Session([Expert("outer", nested, timeout=20)], None).collect()
    assert got.absent[0].reason == "crashed"
    assert "await" in got.absent[0].detail


def test_proposals_carry_their_absences_into_arbitration():
    agreeing = [Expert(name, lambda _: Answer("yes", 1)) for name in "ab"]
    down = [Expert(name, crash) for name in "cd"]
    decision = Arbiter(quorum=0.6).arbitrate(Session([*agreeing, down[0]], None).collect())
    assert decision.consensus == "yes"
    assert decision.support_exact == "2/3"
    assert [a.expert_id for a in decision.absent] == ["c"]
    with pytest.raises(UnderQuorum):
        Arbiter(quorum=0.6).arbitrate(Session([*agreeing, *down], None).collect())


@pytest.mark.parametrize(("more", "counted"), [(0, True), (1, False)])
def test_payloads_of_a_large_roster_share_what_one_entry_holds(more, counted):
    size = 20
    share = limits.MAX_BODY_BYTES // (2 * size)
    assert share < limits.MAX_PAYLOAD_BYTES
    answer = Answer("x" * (share - len('""') + more), 1)
    experts = [Expert(f"e{n}", lambda _: answer) for n in range(size)]
    got = Session(experts, None).collect()
    if not counted:
        assert {a.reason for a in got.absent} == {"void"}
        assert f"larger than {share} bytes" in got.absent[0].detail
        return
    arbiter = Arbiter()
    body = body_of(arbiter.arbitrate(got), arbiter, got)
    assert len(canonical(body)) <= limits.MAX_BODY_BYTES


def test_the_id_of_an_expert_is_whole_unicode():
    with pytest.raises(UsageError, match=r"the expert id is no Unicode text"):
        Expert("\ud800", crash)
