"""A session has weights, a deadline and ceilings of its own."""

import asyncio
import math
import time
from fractions import Fraction

import pytest

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.hub import Answer, Expert, Session


def crash(task):
    raise ValueError


class LeavingCost(Fraction):
    """A number that raises when looked at."""

    @property
    def numerator(self):
        raise ZeroDivisionError

    denominator = numerator


def hangs(stopped):
    async def hang(_task):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(True)
            raise

    return hang


def test_the_plan_s_weights_stand_in_place_of_the_experts_own():
    experts = [Expert("a", lambda _: Answer(1, 1), weight=5), Expert("b", crash, weight=7)]
    got = Session(experts, None, weights={"a": Fraction(1, 3), "b": 0.25}).collect()
    assert got[0].exact_weight == Fraction(1, 3)
    assert got.absent[0].exact_weight == Fraction(1, 4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"weights": {}}, "lack 'a'"),
        ({"weights": {"a": 1, "z": 1}}, "name 'z', who is not asked"),
        ({"weights": {"a": -1}}, "weight of a is -1"),
        ({"weights": {"a": 2**53}}, "weight of a"),
        ({"weights": {"a": True}}, "weight of a"),
        ({"deadline": 0}, "deadline is 0"),
        ({"deadline": math.nan}, "deadline"),
        ({"deadline": limits.MAX_TIMEOUT_SECONDS + 1}, "deadline"),
        ({"max_cost": -1}, "max_cost is -1"),
        ({"max_cost": 2**53}, "max_cost"),
        ({"max_cost": "3"}, "max_cost"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2**53}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
    ],
)
def test_a_session_out_of_range_is_refused(options, told):
    with pytest.raises(UsageError, match=told):
        Session([Expert("a", crash)], None, **options)


def test_values_at_their_bounds_are_taken():
    Session(
        [Expert("a", crash)],
        None,
        weights={"a": limits.MAX_SAFE_INTEGER},
        deadline=limits.MAX_TIMEOUT_SECONDS,
        max_cost=limits.MAX_SAFE_INTEGER,
        max_tokens=limits.MAX_SAFE_INTEGER,
    )


def test_no_expert_gets_more_time_than_the_session():
    stopped = []
    started = time.monotonic()
    got = Session(
        [Expert("long", hangs(stopped)), Expert("short", hangs(stopped), timeout=0.05)],
        None,
        deadline=0.1,
    ).collect()
    assert time.monotonic() - started < 30
    assert [(a.expert_id, a.reason, a.detail) for a in got.absent] == [
        ("long", "timeout", "no answer within 0.1 s; cancelled (the session's deadline)"),
        ("short", "timeout", "no answer within 0.05 s; cancelled"),
    ]
    assert stopped == [True, True]


@pytest.mark.parametrize(
    ("ceiling", "told"),
    [
        ({"max_cost": 10}, "the answers in have cost 10.01, at most 10"),
        ({"max_tokens": 6}, "the answers in have used 7 tokens, at most 6"),
    ],
)
def test_once_the_answers_in_cost_too_much_the_rest_is_stopped(ceiling, told):
    stopped = []

    async def dear(_task):
        await asyncio.sleep(0.05)
        return Answer(1, 1, 5.01, tokens=4)

    async def cheap(_task):
        return Answer(1, 1, 5, tokens=3)

    experts = [
        Expert("cheap", cheap),
        Expert("dear", dear),
        Expert("slow", hangs(stopped), weight=3),
    ]
    session = Session(experts, None, **ceiling)
    got = session.collect()
    # The answer that goes beyond the ceiling has been paid for, and counts.
    assert [p.expert_id for p in got] == ["cheap", "dear"]
    assert got.pending == ()
    (absence,) = got.absent
    assert (absence.expert_id, absence.reason, absence.exact_weight) == ("slow", "over_budget", 3)
    assert absence.detail == f"{told}; stopped; cancelled"
    assert stopped == [True]
    assert [span.status for span in session.spans] == ["answered", "answered", "over_budget"]


def test_once_all_is_spent_settled_is_asked_no_more():
    seen = []

    def settled(there):
        seen.append(len(there))
        return False

    experts = [Expert("dear", lambda _: Answer(1, 1, 5)), Expert("slow", hangs([]))]
    got = asyncio.run(Session(experts, None, max_cost=1).acollect(settled))
    assert seen == [1]
    assert (len(got), len(got.absent)) == (1, 1)


@pytest.mark.parametrize("ceiling", [{"max_cost": 10}, {"max_tokens": 10}])
def test_what_reaches_a_ceiling_is_not_beyond_it(ceiling):
    async def free(_task):
        await asyncio.sleep(0.1)
        return Answer(1, 1)

    experts = [Expert(name, lambda _: Answer(1, 1, 5, tokens=5)) for name in "ab"]
    assert len(Session([*experts, Expert("free", free)], None, **ceiling).collect()) == 3


@pytest.mark.parametrize(
    "spent",
    [Answer({1}, 1, 50), Answer(1, 2, 50), Answer(1, 1, 50), Answer(1, 1, tokens=50)],
    ids=["void payload", "void confidence", "over its own cost", "over its own tokens"],
)
def test_what_is_not_counted_is_spent_all_the_same(spent):
    stopped = []
    experts = [
        Expert("bad", lambda _: spent, max_cost=40, max_tokens=40),
        Expert("slow", hangs(stopped)),
    ]
    got = Session(experts, None, max_cost=45, max_tokens=45).collect()
    assert {a.expert_id: a.reason for a in got.absent}["slow"] == "over_budget"
    assert len(got) == 0
    assert stopped == [True]


@pytest.mark.parametrize(
    "cost", [-50, math.nan, "50", 2**60, Fraction(50 * 1009, 1009 * 1013), True, LeavingCost(50)]
)
def test_a_void_answer_s_worthless_cost_spends_nothing(cost):
    experts = [
        Expert("bad", lambda _: Answer({1}, 1, cost)),
        Expert("good", lambda _: time.sleep(0.05) or Answer(1, 1, 10)),
    ]
    session = Session(experts, None, max_cost=10)
    assert [p.expert_id for p in session.collect()] == ["good"]
    assert [span.cost for span in session.spans] == [0, 10]


def test_an_answer_over_its_own_tokens_says_so():
    got = Session([Expert("e", lambda _: Answer(1, 1, tokens=8), max_tokens=7)], None).collect()
    assert (got.absent[0].reason, got.absent[0].detail) == (
        "over_budget",
        "it used 8 tokens, at most 7",
    )
