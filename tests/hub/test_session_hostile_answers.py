"""Whatever an expert answers with, it is one absence at most, and the others are heard."""

import asyncio
import tracemalloc
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.hub import Answer, Expert, Session
from quorate.hub.reading import _least_bytes as least_bytes


class EvilShowing:
    """An object that fails at being looked at."""

    def __repr__(self):
        raise RuntimeError("no look at me")

    __str__ = __repr__


class Leaving(Answer):
    """An answer whose attribute ends the process when looked at."""

    raised = SystemExit

    def __getattribute__(self, name):
        if name == "payload":
            raise type(self).raised
        return super().__getattribute__(name)


class Plain(Answer):
    pass


class UnshowableError(UsageError):
    def __str__(self):
        raise KeyboardInterrupt


class LeavingCost(Fraction):
    @property
    def numerator(self):
        raise self.raised

    denominator = numerator


@pytest.mark.parametrize(
    "raised", [SystemExit, KeyboardInterrupt, ZeroDivisionError, UnshowableError]
)
def test_whatever_looking_at_an_answer_raises_makes_it_void(raised):
    Leaving.raised = LeavingCost.raised = raised
    got = Session(
        [
            Expert("sub", lambda _: Leaving(1, 1)),
            Expert("plain", lambda _: Plain(1, 1)),
            Expert("cost", lambda _: Answer(1, 1, LeavingCost(1, 2))),
            Expert("ok", lambda _: Answer(1, 1)),
        ],
        None,
    ).collect()
    assert [p.expert_id for p in got] == ["ok"]
    assert [(a.expert_id, a.reason) for a in got.absent] == [
        (name, "void") for name in ("cost", "plain", "sub")
    ]
    assert "Plain, a subclass; return quorate.hub.Answer itself" in got.absent[1].detail


def test_what_asking_for_the_class_raises_makes_it_void():
    class Masked:
        @property
        def __class__(self):
            raise SystemExit

    got = Session(
        [
            Expert("a", lambda _: Answer(Masked(), 1)),
            Expert("b", lambda _: Answer(1, Masked())),
            Expert("c", lambda _: Answer(1, 1, Masked())),
        ],
        None,
    ).collect()
    assert [a.reason for a in got.absent] == ["void", "void", "void"]


@pytest.mark.parametrize("tokens", [-1, 2**53, 1.5, True, None, EvilShowing()])
def test_tokens_that_are_no_count_are_void(tokens):
    got = Session([Expert("e", lambda _: Answer(1, 1, tokens=tokens))], None).collect()
    assert got.absent[0].reason == "void"


def test_a_ranking_reaches_the_proposal():
    got = Session([Expert("e", lambda _: Answer("a", 1, ranking=["a", "b"]))], None).collect()
    assert got[0].ranking == ("a", "b")
    got = Session([Expert("e", lambda _: Answer("a", 1, ranking={"a"}))], None).collect()
    assert got.absent[0].reason == "void"


@pytest.mark.parametrize(("more", "counted"), [(0, True), (1, False)])
def test_payload_and_ranking_share_what_one_entry_holds(more, counted):
    size = 12
    share = limits.MAX_BODY_BYTES // (2 * size)
    payload = "x" * (share // 2 - len('""'))
    # Two digests of its one place may stand in the verdict.
    place = 2 * 64 + 6
    ranking = ["y" * (share - share // 2 - place - len('[""]') + more)]
    experts = [Expert(f"e{n}", lambda _: Answer(payload, 1, ranking=ranking)) for n in range(size)]
    got = Session(experts, None).collect()
    assert len(got) == (size if counted else 0)


@pytest.mark.parametrize(("size", "ranked"), [(12, False), (8, True)])
def test_a_share_is_of_the_bytes_as_written(size, ranked):
    # Each of these characters takes two bytes in JSON.
    share = limits.MAX_BODY_BYTES // (2 * size)
    text = "\n" * (share // (4 if ranked else 2))
    answer = Answer(text, 1, ranking=[text] if ranked else None)
    experts = [Expert(f"e{n}", lambda _: answer) for n in range(size)]
    got = Session(experts, None).collect()
    assert {a.reason for a in got.absent} == {"void"}
    assert len(got) == 0


def alone_void(function, **options):
    """The detail of the one that answers ``function``, who is void; the other is heard."""
    experts = [Expert("bad", function, **options), Expert("good", lambda _: Answer(1, 1))]
    got = Session(experts, None).collect()
    assert [p.expert_id for p in got] == ["good"]
    assert [(a.expert_id, a.reason) for a in got.absent] == [("bad", "void")]
    return got.absent[0].detail


def endless():
    while True:
        yield "x" * 1000


async def endless_async(_task=None):
    while True:
        yield "x" * 1000


def test_an_endless_generator_is_void_and_not_run():
    assert "generator" in alone_void(lambda _: endless())
    assert "generator" in alone_void(lambda _: endless(), confidence=1)
    assert "generator" in alone_void(endless_async)
    assert "generator" in alone_void(lambda _: Answer([endless()], 1))


@pytest.mark.parametrize("place", ["payload", "key", "inside", "ranking", "many"])
def test_a_huge_answer_is_refused_without_a_second_copy(place):
    size = 64 << 20
    large = "x" * size if place != "many" else [None] * (size // 8)
    answer = {
        "payload": Answer(large, 1),
        "key": Answer({str(large): 1} if place == "key" else 1, 1),
        "inside": Answer([{"a": [large]}], 1),
        "ranking": Answer(1, 1, ranking=[1, large]),
        "many": Answer({"a": large}, 1),
    }[place]
    tracemalloc.start()
    try:
        told = alone_void(lambda _: answer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "larger than 1048576 bytes" in told
    assert peak < size / 8


def test_a_small_answer_that_stands_for_an_endless_one_is_refused_at_once():
    nested = ["x"]
    for _ in range(40):
        nested = [nested] * 10
    assert "larger than" in alone_void(lambda _: Answer(nested, 1))
    members = {"x": 1}
    for _ in range(40):
        members = {str(n): members for n in range(10)}
    assert "larger than" in alone_void(lambda _: Answer(members, 1))


def test_one_payload_may_be_as_large_as_allowed():
    exactly = "x" * (limits.MAX_PAYLOAD_BYTES - len('""'))
    listed = [0] * (limits.MAX_PAYLOAD_BYTES // 2 - 1)
    for payload in (exactly, listed):
        assert len(canonical(payload)) > limits.MAX_PAYLOAD_BYTES - 2
        got = Session([Expert("e", lambda _, p=payload: Answer(p, 1))], None).collect()
        assert len(got) == 1, got.absent


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(0, 1)
        | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=5), inner, max_size=5),
        max_leaves=30,
    ),
    st.integers(0, 60),
)  # fmt: skip
def test_the_quick_look_at_a_size_never_overstates_it(value, most):
    exactly = len(canonical(value))
    found = least_bytes(value, limits.MAX_PAYLOAD_BYTES)
    assert 1 <= found <= exactly
    # Cut short it says the same of what is within the bound.
    assert (least_bytes(value, most) <= most) == (found <= most)


def test_an_answer_changed_after_it_was_given_stays_as_it_was():
    given_out = {"label": "yes", "more": [1]}

    async def sly(_task):
        asyncio.get_running_loop().call_later(0.02, given_out.update, {"label": "no"})
        asyncio.get_running_loop().call_later(0.02, given_out["more"].append, 2)
        return Answer(given_out, 1)

    async def slow(_task):
        await asyncio.sleep(0.08)
        return Answer("slow", 1)

    got = Session([Expert("sly", sly), Expert("slow", slow)], None).collect()
    assert given_out == {"label": "no", "more": [1, 2]}
    assert [p.payload for p in got] == ["slow", {"label": "yes", "more": [1]}]


def test_an_expert_that_floods_the_loop_is_one_absence():
    """It begins a thousand tasks of its own, and cancels its own at the end."""

    async def flood(_task):
        for _ in range(1000):
            asyncio.get_running_loop().create_task(asyncio.sleep(0))
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    got = Session([Expert("flood", flood), Expert("ok", lambda _: Answer(1, 1))], None).collect()
    assert [(a.expert_id, a.reason) for a in got.absent] == [("flood", "crashed")]
    assert len(got) == 1
