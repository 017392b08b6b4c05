"""The gate: exact route weights, budgets, capacity, and who is left out and why."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.arbitration import Arbiter, Proposal
from quorate.arbitration.sealed import body_of, replay
from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import NoQuorum, UsageError, UsageTypeError, VerificationError
from quorate.core.exact import from_text
from quorate.hub import rules_gate
from quorate.hub.experts import Expert
from quorate.hub.gate import Gate, NoExperts
from quorate.hub.registry import Registry
from quorate.hub.routers import AffinityRouter, Scores
from quorate.hub.signature import TaskSignature

PLAIN = TaskSignature()
MILLIONTH = Fraction(1, 10**6)


def expert(id_, **rest):
    return Expert(id_, lambda task: task, confidence=1, **rest)


def registry_of(*ids, **rest):
    return Registry([expert(id_, **rest) for id_ in ids])


def plan(gate, scores, registry=None, loads=None, **signature):
    registry = registry_of(*scores) if registry is None else registry
    return gate.plan(scores, registry, signature=TaskSignature(**signature), loads=loads)


def naive_shares(scores, weights, temperature):
    """The softmax with 50 digits, straight from its definition."""
    with localcontext() as context:
        context.prec = 50

        def decimal(value):
            return Decimal(value.numerator) / Decimal(value.denominator)

        masses = {
            name: decimal(weights[name]) * (decimal(scores[name] / temperature)).exp()
            for name in scores
        }
        whole = sum(masses.values())
        return {name: Fraction(mass / whole) for name, mass in masses.items()}


def naive_taken(gate, scores, experts, loads, priority):
    """Who is asked, one rule after the other, with 50 digits."""
    left = {}
    for name, score in scores.items():
        if experts[name].weight == 0:
            continue
        load = loads.get(name, 0)
        if gate.capacity is not None and load >= gate.capacity:
            continue
        used = Fraction(load, gate.capacity) if gate.capacity is not None else Fraction(load)
        left[name] = score - gate.load_penalty * used * Fraction(10 - priority, 10)
    if not left:
        return left
    weights = {name: experts[name].weight for name in left}
    shares = naive_shares(left, weights, gate.temperature)
    taken = []
    # By significant digits: shares too small to be given still have an order.
    for name in sorted(left, key=lambda name: (-float(f"{float(shares[name]):.9e}"), name)):
        there = [*taken, name]
        if gate.top_k is not None and len(there) > gate.top_k:
            continue
        if gate.max_latency is not None and experts[name].timeout > gate.max_latency:
            continue
        if gate.max_tokens is not None and sum(experts[e].tokens for e in there) > gate.max_tokens:
            continue
        if gate.max_cost is not None and sum(experts[e].cost for e in there) > gate.max_cost:
            continue
        taken.append(name)
    return {name: left[name] for name in taken}


NAMES = ("a", "b", "c", "d", "e")
SCORES = st.dictionaries(
    st.sampled_from(NAMES), st.fractions(-3, 3, max_denominator=50), min_size=1
)
EXPERTS = st.fixed_dictionaries(
    {
        name: st.builds(
            expert,
            st.just(name),
            weight=st.sampled_from([0, 1, 1, 2, 0.5]),
            timeout=st.sampled_from([1.0, 5.0, 30.0]),
            tokens=st.integers(0, 20),
            cost=st.fractions(0, 3, max_denominator=7),
        )
        for name in NAMES
    }
)
GATES = st.builds(
    Gate,
    temperature=st.sampled_from([Fraction(1, 10), 0.5, 1, 7]),
    top_k=st.none() | st.integers(1, 5),
    capacity=st.none() | st.integers(1, 4),
    load_penalty=st.sampled_from([0, 0.25, 1]),
    max_tokens=st.none() | st.integers(1, 40),
    max_latency=st.sampled_from([None, 5, 30]),
    max_cost=st.none() | st.fractions(0, 6, max_denominator=7),
)
LOADS = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4))


@given(SCORES, EXPERTS, GATES, LOADS, st.integers(0, 9))
def test_a_plan_is_what_the_naive_twin_says(scores, experts, gate, loads, priority):
    registry = Registry(experts.values())
    signature = TaskSignature(priority=priority)
    expected = naive_taken(gate, scores, experts, loads, priority)
    if not expected:
        with pytest.raises(NoExperts) as caught:
            gate.plan(scores, registry, signature=signature, loads=loads)
        assert caught.value.excluded.keys() == scores.keys()
        return
    made = gate.plan(scores, registry, signature=signature, loads=loads)
    shares = naive_shares(
        expected, {name: experts[name].weight for name in expected}, gate.temperature
    )
    for name, share in shares.items():
        assert abs(made.weights.get(name, 0) - share) < MILLIONTH
    assert made.weights.keys() <= expected.keys()
    assert all(shares[name] < MILLIONTH for name in expected.keys() - made.weights.keys())
    assert sum(made.weights.values()) == 1
    assert all(weight > 0 and weight % MILLIONTH == 0 for weight in made.weights.values())
    assert made.excluded.keys() == scores.keys() - made.weights.keys()
    assert made.scores == scores


@settings(max_examples=40)
@given(SCORES, EXPERTS, GATES, LOADS, st.randoms(use_true_random=False))
def test_the_order_of_arguments_never_matters(scores, experts, gate, loads, random):
    def shuffled(mapping):
        items = list(mapping.items())
        random.shuffle(items)
        return dict(items)

    def outcome(scores, experts, loads):
        try:
            made = gate.plan(scores, Registry(experts.values()), signature=PLAIN, loads=loads)
        except NoExperts as error:
            return error.excluded
        return canonical(made.to_dict()), list(made.weights), list(made.excluded)

    assert outcome(shuffled(scores), shuffled(experts), shuffled(loads)) == outcome(
        scores, experts, loads
    )


@settings(max_examples=40)
@given(
    SCORES,
    EXPERTS,
    st.builds(Gate, temperature=st.sampled_from([0.1, 1, 5]), top_k=st.none() | st.integers(1, 4)),
    st.data(),
)
def test_a_better_score_never_means_less_weight(scores, experts, gate, data):
    name = data.draw(st.sampled_from(sorted(scores)))
    better = {**scores, name: scores[name] + data.draw(st.fractions(0, 2, max_denominator=9))}

    def weight(scores):
        try:
            made = gate.plan(scores, Registry(experts.values()), signature=PLAIN)
        except NoExperts:
            return Fraction(0)
        return made.weights.get(name, Fraction(0))

    # One millionth may go to another by its remainder.
    assert weight(better) >= weight(scores) - MILLIONTH


@settings(max_examples=40)
@given(SCORES, EXPERTS, GATES, LOADS, st.data())
def test_a_better_score_never_takes_one_out_of_the_plan(scores, experts, gate, loads, data):
    name = data.draw(st.sampled_from(sorted(scores)))
    better = {**scores, name: scores[name] + data.draw(st.fractions(0, 2, max_denominator=9))}
    registry = Registry(experts.values())
    try:
        before = gate.plan(scores, registry, signature=PLAIN, loads=loads)
    except NoExperts:
        return
    if name in before.weights:
        assert name in gate.plan(better, registry, signature=PLAIN, loads=loads).weights


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.text("abc", min_size=1, max_size=3), st.floats(-50, 50), min_size=1, max_size=40
    )
)
def test_shares_sum_to_one_by_largest_remainder(masses):
    weights = rules_gate.route_weights(masses)
    assert sum(weights.values()) == 1
    assert list(weights) == sorted(masses)
    shares = naive_shares(
        {name: Fraction(mass) for name, mass in masses.items()}, dict.fromkeys(masses, 1), 1
    )
    assert all(abs(weights[name] - share) < MILLIONTH for name, share in shares.items())


def test_what_is_left_over_goes_to_the_greatest_remainders_then_to_the_smallest_ids():
    third = rules_gate.route_weights(dict.fromkeys("cab", 0.0))
    assert third == {
        "a": Fraction(333334, 10**6),
        "b": Fraction(333333, 10**6),
        "c": Fraction(333333, 10**6),
    }
    sevenths = rules_gate.route_weights(dict.fromkeys("gfedcba", 2.5))
    assert [name for name, weight in sevenths.items() if weight == Fraction(142858, 10**6)] == ["a"]
    uneven = rules_gate.route_weights({"a": math.log(1), "b": math.log(2)})
    assert uneven == {"a": Fraction(333333, 10**6), "b": Fraction(666667, 10**6)}


def test_a_last_bit_changes_nothing():
    masses = {"a": 0.1, "b": 0.7, "c": -1.3}
    nudged = {name: math.nextafter(mass, 9) for name, mass in masses.items()}
    assert rules_gate.route_weights(masses) == rules_gate.route_weights(nudged)
    third = Fraction(1, 3)
    assert rules_gate.log_mass(third, third, third) == round(1 - math.log(3), 9)


def test_the_declared_weight_is_the_prior():
    registry = Registry([expert("a", weight=3), expert("b", weight=1)])
    made = plan(Gate(), {"a": Fraction(0), "b": Fraction(0)}, registry)
    assert made.weights == {"a": Fraction(3, 4), "b": Fraction(1, 4)}
    even = plan(Gate(temperature=1000), {"a": Fraction(0), "b": Fraction(1)}, registry)
    assert abs(even.weights["a"] - Fraction(3, 4)) < Fraction(1, 1000)
    none = Registry([expert("a", weight=0), expert("b")])
    made = plan(Gate(), {"a": Fraction(9), "b": Fraction(0)}, none)
    assert made.weights == {"b": 1}
    assert made.excluded == {"a": "its declared weight is 0"}


def test_top_k_with_ties_by_id():
    scores = dict.fromkeys("dbca", Fraction(1))
    made = plan(Gate(top_k=2), scores)
    assert made.weights == {"a": Fraction(1, 2), "b": Fraction(1, 2)}
    assert made.excluded == dict.fromkeys("cd", "2 with greater mass are asked already")


def test_capacity_at_the_bound_and_one_below():
    scores = dict.fromkeys("ab", Fraction(0))
    made = plan(Gate(capacity=3), scores, loads={"a": 3, "b": 2})
    assert made.weights == {"b": 1}
    assert made.excluded == {"a": "it has 3 tasks in flight, at most 3"}
    one = plan(Gate(capacity=1, top_k=1), dict.fromkeys("abc", Fraction(0)), loads={"a": 1})
    assert one.excluded == {
        "a": "it has 1 task in flight, at most 1",
        "c": "1 with greater mass is asked already",
    }
    with pytest.raises(NoExperts, match="who could was left out"):
        plan(Gate(capacity=1), {"a": Fraction(0)}, loads={"a": 1})
    with pytest.raises(NoExperts, match="a: it has 3 tasks") as caught:
        plan(Gate(capacity=3), scores, loads={"a": 3, "b": 7})
    assert isinstance(caught.value, NoQuorum)


def test_an_urgent_task_feels_less_of_the_load():
    scores = {"busy": Fraction(1), "free": Fraction(0)}
    gate = Gate(load_penalty=1, capacity=10)
    loads = {"busy": 9}
    weights = [plan(gate, scores, loads=loads, priority=p).weights["busy"] for p in range(10)]
    assert weights == sorted(weights)
    assert weights[0] < weights[9]
    # 9/10 full at priority 9: a tenth of the penalty of 1.
    alone = plan(Gate(), {"busy": Fraction(91, 100), "free": Fraction(0)})
    assert weights[9] == alone.weights["busy"]
    per_task = plan(Gate(load_penalty=0.5), scores, loads={"busy": 4}, priority=0)
    assert (
        per_task.weights["busy"]
        == plan(Gate(), {"busy": Fraction(-1), "free": Fraction(0)}).weights["busy"]
    )


def test_budgets_are_spent_by_weight_and_who_does_not_fit_is_named():
    registry = Registry(
        [
            expert("a", tokens=60, cost=1),
            expert("b", tokens=50, cost=1),
            expert("c", tokens=40, cost=1),
            expert("d", timeout=9),
        ]
    )
    scores = {name: Fraction(-place) for place, name in enumerate("abcd")}
    made = plan(Gate(max_tokens=100), scores, registry)
    assert made.weights.keys() == {"a", "c", "d"}
    assert made.excluded == {
        "b": "with it 110 tokens are expected, more than the 100 allowed",
    }
    made = plan(Gate(max_tokens=99, max_latency=9, max_cost=0.5), scores, registry)
    assert made.weights == {"d": 1}
    assert made.excluded == dict.fromkeys("abc", "it may take 30 s, more than the 9 s allowed")
    made = plan(Gate(max_cost=1.5), scores, registry)
    assert made.weights.keys() == {"a", "d"}
    assert made.excluded["b"] == "with it a cost of 2 is expected, at most 1.5 is allowed"
    with pytest.raises(NoExperts, match=r"more than the 8\.9 s allowed"):
        plan(Gate(max_latency=8.9), {"d": Fraction(0)}, registry)


def test_who_does_not_fit_makes_room_within_the_top_k():
    registry = Registry([expert("a", cost=5), expert("b"), expert("c")])
    made = plan(Gate(top_k=2, max_cost=1), dict.fromkeys("abc", Fraction(0)), registry)
    assert made.weights.keys() == {"b", "c"}


def test_a_share_of_nothing_is_left_out():
    made = plan(Gate(temperature=0.001), {"a": Fraction(1), "b": Fraction(0)})
    assert made.weights == {"a": 1}
    assert made.excluded == {"b": "its share is less than a millionth"}


def test_nobody_able_names_what_nobody_has():
    registry = Registry([expert("a", capabilities=["law"]), expert("b", capabilities=["tax"])])
    gate = Gate()
    with pytest.raises(UsageError, match="no expert has the capability 'art', 'music'; register"):
        plan(gate, {}, registry, capabilities=("law", "music", "art"))
    with pytest.raises(UsageError, match="no expert has all of 'law', 'tax'"):
        plan(gate, {}, registry, capabilities=("law", "tax"))
    with pytest.raises(UsageError, match="no expert is registered"):
        plan(gate, {}, registry_of())
    with pytest.raises(UsageError, match="there are no scores"):
        plan(gate, {}, registry)


def test_the_sealed_form():
    registry = Registry([expert("a", weight=1), expert("b", weight=3), expert("c", weight=0)])
    scores = Scores(dict.fromkeys("bac", Fraction(1, 3)), "affinity", {"a": "no vector"})
    made = Gate(temperature=0.5, top_k=5, max_cost=Fraction(7, 3)).plan(
        scores, registry, signature=TaskSignature(("x",), (0.5,), 7), loads={"a": 2, "z": 1}
    )
    form = parse(canonical(made.to_dict()))
    assert form == {
        "router": "affinity",
        "signature": {"capabilities": ["x"], "embedding": [0.5], "priority": 7, "tags": []},
        "scores": {"a": "1/3", "b": "1/3", "c": "1/3"},
        "weights": {"a": "1/4", "b": "3/4"},
        "gate": {
            "temperature": "1/2",
            "top_k": 5,
            "capacity": None,
            "load_penalty": "0",
            "max_tokens": None,
            "max_latency": None,
            "max_cost": "7/3",
            "loads": {"a": 2},
            "excluded": {"c": "its declared weight is 0"},
            "notes": {"a": "no vector"},
        },
    }
    assert sum(from_text(weight) for weight in form["weights"].values()) == 1
    assert made.describe() == (
        "Asked, by their scores (affinity): b (75.0%), a (25.0%). "
        "Left out: c: its declared weight is 0."
    )


def test_a_large_panel():
    ids = [f"e{n:04}" for n in range(limits.MAX_REPLICAS + 1)]
    made = plan(Gate(), dict.fromkeys(ids, Fraction(0)))
    assert len(made.weights) == limits.MAX_REPLICAS
    assert list(made.excluded) == [ids[-1]]
    assert sum(made.weights.values()) == 1


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"temperature": 0}, UsageError),
        ({"temperature": 0.0009}, UsageError),
        ({"temperature": 1000.1}, UsageError),
        ({"temperature": math.nan}, UsageError),
        ({"temperature": None}, UsageTypeError),
        ({"temperature": "1"}, UsageTypeError),
        ({"top_k": 0}, UsageError),
        ({"top_k": limits.MAX_REPLICAS + 1}, UsageError),
        ({"top_k": True}, UsageTypeError),
        ({"top_k": 1.0}, UsageTypeError),
        ({"capacity": 0}, UsageError),
        ({"load_penalty": -1}, UsageError),
        ({"load_penalty": None}, UsageTypeError),
        ({"max_tokens": 1.5}, UsageTypeError),
        ({"max_latency": -1}, UsageError),
        ({"max_cost": "2"}, UsageTypeError),
    ],
)
def test_what_is_no_gate(values, error):
    with pytest.raises(error, match=next(iter(values))):
        Gate(**values)


@pytest.mark.parametrize(
    ("scores", "loads", "told"),
    [
        ({"a": 10**6 + 1}, {}, "score of a"),
        ({"a": math.inf}, {}, "score of a"),
        ({"a": "1"}, {}, "score of a"),
        ({"a": 0}, {"a": -1}, "load of a"),
        ({"a": 0}, {"a": True}, "load of a"),
        ({"a": 0}, {"a": 1.0}, "load of a"),
        ({"b": 0}, {}, "no expert 'b'"),
    ],
)
def test_what_cannot_be_planned(scores, loads, told):
    with pytest.raises(UsageError, match=told):
        Gate().plan(scores, registry_of("a"), signature=PLAIN, loads=loads)


def test_scores_at_the_bound():
    made = plan(Gate(temperature=0.001), {"a": 10**6, "b": -(10**6)})
    assert made.weights == {"a": 1}


def test_a_plan_is_sealed_with_the_verdict_and_replayed():
    registry = Registry([expert("a", vector=(1, 0)), expert("b", vector=(0, 1)), expert("c")])
    signature = TaskSignature(embedding=(0.3, 0.1), tags=("t",))
    made = Gate(temperature=0.5, load_penalty=0.1).plan(
        AffinityRouter().score(signature, registry), registry, signature=signature, loads={"c": 2}
    )
    proposals = [Proposal(name, "yes", 1, weight) for name, weight in made.weights.items()]
    arbiter = Arbiter(quorum=0.9)
    body = body_of(arbiter.arbitrate(proposals), arbiter, proposals, plan=made.to_dict())
    again = parse(canonical(body))
    replay("decision", again)
    again["plan"]["weights"]["a"] = "1/2"
    with pytest.raises(VerificationError):
        replay("decision", again)
