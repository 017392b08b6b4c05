"""What an expert declares, and how an answer stands in JSON."""

import asyncio
import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import MisbehaviourError, TransportError, UsageError, UsageTypeError
from quorate.core.exact import exact
from quorate.hub import Session
from quorate.hub.experts import (
    Adapter,
    Answer,
    BareAnswer,
    Expert,
    answer_from_json,
    answer_to_json,
)
from quorate.hub.experts.adapter import seconds_left
from quorate.hub.experts.answer import reply_from_json


class Echo:
    """An adapter."""

    kind = "echo"
    confidence_source = "it always says one half"

    def __init__(self, returns=None):
        self.returns = returns
        self.closed = 0

    async def __call__(self, task):
        if isinstance(self.returns, BaseException):
            raise self.returns
        return Answer(task, 0.5) if self.returns is None else self.returns

    async def aclose(self):
        self.closed += 1


def declare(**keys):
    return Expert("e", len, **keys)


def test_what_is_declared_is_kept():
    expert = declare(
        capabilities=["b", "a"],
        vector=np.array([3, 0.1], dtype=np.float64),
        cost=0.1,
        tokens=7,
        failure_domain={"weights": "w", "host": "h"},
        max_tokens=9,
    )
    assert expert.capabilities == ("a", "b")
    assert expert.vector == (3.0, 0.1)
    assert expert.cost == Fraction(1, 10)
    assert (expert.tokens, expert.max_tokens) == (7, 9)
    assert list(expert.failure_domain.items()) == [("host", "h"), ("weights", "w")]
    with pytest.raises(TypeError):
        expert.failure_domain["host"] = "other"
    plain = declare()
    assert (plain.capabilities, plain.vector, plain.cost, plain.tokens) == ((), None, 0, 0)
    assert (plain.failure_domain, plain.max_tokens, plain.kind) == (None, None, "python")


@pytest.mark.parametrize(
    ("keys", "error", "told"),
    [
        ({"capabilities": "code"}, UsageTypeError, "capabilities of e are 'code'; give a list"),
        ({"capabilities": 3}, UsageTypeError, "capabilities of e"),
        ({"capabilities": ["a", "a"]}, UsageError, "'a' of e stands twice"),
        ({"capabilities": [3]}, UsageTypeError, "a capability of e"),
        ({"capabilities": [""]}, UsageError, "a capability of e has 0 characters"),
        ({"vector": []}, UsageError, "vector of e is empty"),
        ({"vector": "12"}, UsageTypeError, "vector of e are '12'"),
        ({"vector": [1, math.nan]}, UsageError, "must be finite"),
        ({"vector": [True]}, UsageTypeError, "of type bool"),
        ({"vector": [0, 0.0]}, UsageError, "no length that can be measured"),
        ({"vector": [1e200]}, UsageError, "no length that can be measured"),
        ({"vector": np.ones((2, 2))}, UsageTypeError, "of type list"),
        ({"cost": -1}, UsageError, "the cost of e is -1"),
        ({"cost": "1"}, UsageTypeError, "cost of e"),
        ({"tokens": 1.0}, UsageTypeError, "tokens of e is 1.0; give a whole number"),
        ({"tokens": True}, UsageTypeError, "tokens of e is True"),
        ({"max_tokens": -1}, UsageError, "max_tokens of e is -1"),
        ({"failure_domain": {}}, UsageError, "has 0 attributes"),
        ({"failure_domain": ["host"]}, UsageTypeError, "give a table"),
        ({"failure_domain": {"host": 1}}, UsageTypeError, "'host' in the failure_domain of e"),
        ({"failure_domain": {"": "h"}}, UsageError, "an attribute in the failure_domain of e"),
        ({"weight": -1}, UsageError, "the weight of e is -1"),
    ],
)
def test_what_cannot_be_declared_is_refused_by_name(keys, error, told):
    with pytest.raises(error) as caught:
        declare(**keys)
    assert told in str(caught.value)
    assert type(caught.value) is error


def test_the_bounds_are_the_last_allowed():
    most = limits.MAX_CAPABILITIES
    assert len(declare(capabilities=map(str, range(most))).capabilities) == most
    with pytest.raises(UsageError, match=f"more than {most}"):
        declare(capabilities=map(str, range(most + 1)))
    most = limits.MAX_VECTOR_LENGTH
    assert len(declare(vector=[1] * most).vector) == most
    with pytest.raises(UsageError, match=f"more than {most}"):
        declare(vector=[1] * (most + 1))
    most = limits.MAX_DOMAIN_ATTRIBUTES
    domain = {str(number): "x" for number in range(most)}
    assert len(declare(failure_domain=domain).failure_domain) == most
    with pytest.raises(UsageError, match=f"has {most + 1} attributes"):
        declare(failure_domain={**domain, "one": "more"})
    most = limits.MAX_SAFE_INTEGER
    assert declare(tokens=most).tokens == most
    with pytest.raises(UsageError, match="tokens of e"):
        declare(tokens=most + 1)


def test_budgets_hold_at_the_bound_and_not_one_past_it():
    expert = declare(max_cost=2, max_tokens=5)
    assert expert.within_budget(Fraction(2), 5)
    assert not expert.within_budget(Fraction(2), 6)
    assert not expert.within_budget(Fraction(21, 10), 5)
    assert declare().within_budget(Fraction(10**9), 10**9)


def test_a_declared_confidence_takes_a_payload_or_a_bare_answer():
    expert = declare(confidence=0.75)
    bare = expert.read(BareAnswer("x", 3, ranking=["x", "y"], tokens=4))
    assert bare == Answer("x", Fraction(3, 4), 3, ranking=["x", "y"], tokens=4)
    assert expert.read("x") == Answer("x", Fraction(3, 4))
    assert expert.confidence_source == "the panel declares it: 0.75"
    with pytest.raises(UsageError, match="leave one of the two out"):
        expert.read(Answer("x", 0.5))


def test_without_one_an_answer_must_bring_it():
    expert = declare()
    assert expert.read(Answer("x", 0.5)).confidence == 0.5
    with pytest.raises(UsageError, match="it gave no confidence"):
        expert.read(BareAnswer("x"))
    with pytest.raises(UsageError, match="it returned str"):
        expert.read("x")


@pytest.mark.parametrize("base", [Answer, BareAnswer])
@pytest.mark.parametrize("confidence", [None, 0.5])
def test_a_subclass_of_an_answer_is_none(base, confidence):
    class Sly(base):
        @property
        def __class__(self):
            raise RuntimeError("no look at me")

    with pytest.raises(UsageError):
        declare(confidence=confidence).read(Sly("x", 1))


@pytest.mark.parametrize("tokens", [1.5, True, "3", -1, 2**53, None, object()])
def test_tokens_that_are_no_count_make_an_answer_void(tokens):
    got = Session([Expert("e", lambda _: Answer(1, 1, tokens=tokens))], None).collect()
    assert [(a.reason, "tokens" in a.detail) for a in got.absent] == [("void", True)]


def test_an_adapter_is_seen_as_one():
    adapter = Echo()
    assert isinstance(adapter, Adapter)
    expert = Expert("e", adapter, timeout=5)
    assert (expert.kind, expert.confidence_source) == ("echo", "it always says one half")
    got = Session([expert], [1]).collect()
    assert (got[0].payload, got[0].confidence) == ([1], 0.5)
    asyncio.run(expert.aclose())
    assert adapter.closed == 1
    asyncio.run(declare().aclose())


def test_misbehaviour_of_an_adapter_is_void_and_what_else_it_raises_a_crash():
    experts = [
        Expert("a", Echo(MisbehaviourError("its server", "no answer"))),
        Expert("b", Echo(TransportError("gone"))),
        Expert("c", Echo(SystemExit(3))),
        Expert("d", Echo("bare")),
        Expert("e", Echo("bare"), confidence=1),
    ]
    got = Session(experts, None).collect()
    assert [p.expert_id for p in got] == ["e"]
    assert [(a.expert_id, a.reason) for a in got.absent] == [
        ("a", "void"),
        ("b", "crashed"),
        ("c", "crashed"),
        ("d", "void"),
    ]
    assert got.absent[0].detail == "its server: no answer"
    assert got.absent[1].detail == "TransportError: gone"


def test_an_adapter_can_ask_how_long_it_has():
    class Clock(Echo):
        async def __call__(self, task):
            return Answer(seconds_left(), 1)

    got = Session([Expert("e", Clock(), timeout=50)], None).collect()
    assert 0 < got[0].payload <= 50
    assert seconds_left() is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
UNIT = (
    st.floats(0, 1)
    | st.decimals(0, 1, places=9)
    | st.fractions(0, 1, max_denominator=999)
    | st.integers(0, 1)
)
COSTS = st.floats(0, 2**53) | st.decimals(0, 10**20, places=3) | st.integers(0, 10**30)


@settings(max_examples=40)
@given(JSON, UNIT, COSTS, st.none() | st.lists(JSON), st.integers(0, 2**53 - 1), st.booleans())
def test_an_answer_through_json_is_the_same_exactly(payload, sure, cost, ranking, tokens, bare):
    answer = BareAnswer(payload, cost, ranking=ranking, tokens=tokens)
    if not bare:
        answer = answer.at(sure)
    back = answer_from_json(parse(canonical(answer_to_json(answer))))
    assert type(back) is type(answer)
    assert canonical(back.payload) == canonical(payload)
    assert canonical(back.ranking) == canonical(ranking)
    assert exact(back.cost) == exact(cost)
    assert back.tokens == tokens
    if not bare:
        assert exact(back.confidence) == exact(sure)
        assert type(back.confidence) in {float, int, Fraction}


def test_numbers_no_json_number_can_hold_are_written_as_text():
    form = answer_to_json(Answer(1, Fraction(1, 3), Decimal("0.10"), tokens=1))
    assert form == {"payload": 1, "confidence": "1/3", "cost": "1/10", "tokens": 1}
    assert answer_to_json(Answer(1, np.float64(0.1)))["confidence"] == 0.1
    assert type(answer_to_json(Answer(1, np.float64(0.1)))["confidence"]) is float


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "the answer is a list; it should be an object"),
        ({"confidence": 1}, "lacks payload"),
        ({"payload": 1, "confidense": 1}, "unknown keys: 'confidense'"),
        ({"payload": 1, "confidence": None}, "the confidence is None"),
        ({"payload": 1, "confidence": True}, "the confidence is True"),
        ({"payload": 1, "confidence": "0.5"}, 'a rational is written "p/q"'),
        ({"payload": 1, "confidence": "2/4"}, 'in lowest terms that is "1/2"'),
        ({"payload": 1, "confidence": "1/0"}, 'a rational is written "p/q"'),
        ({"payload": 1, "confidence": "9" * 1000}, "digits"),
        ({"payload": 1, "cost": []}, "the cost is of type list"),
        ({"payload": 1, "tokens": 1.0}, "the count of its tokens is 1.0"),
        ({"payload": 1, "tokens": -1}, "the count of its tokens is -1"),
        ({"payload": 1, "ranking": "abc"}, "the ranking is 'abc'"),
        ({"payload": 1, "ranking": {}}, "the ranking is of type dict"),
    ],
)
def test_what_is_no_answer_is_misbehaviour(data, told):
    with pytest.raises(MisbehaviourError) as caught:
        answer_from_json(data, "its server")
    assert str(caught.value).startswith("its server: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, True, "1", None, Decimal("1e999")])
def test_a_number_that_cannot_be_written_is_refused(value):
    with pytest.raises(UsageError):
        answer_to_json(Answer(1, value))


def test_an_error_is_told_from_an_answer():
    with pytest.raises(TransportError, match="its server says that it failed: no idea"):
        reply_from_json({"error": "no idea"}, "its server")
    for data in ({"error": 3}, {"error": "x", "payload": 1}):
        with pytest.raises(MisbehaviourError):
            reply_from_json(data, "its server")
