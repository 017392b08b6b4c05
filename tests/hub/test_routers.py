"""Routers: who is eligible, what the scores are, and that the learned policy learns."""

import math
import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError
from quorate.hub import learned
from quorate.hub.experts import Expert
from quorate.hub.gate import Gate
from quorate.hub.learned import LearnedRouter
from quorate.hub.registry import Registry
from quorate.hub.routers import (
    ROUTERS,
    AffinityRouter,
    EveryoneRouter,
    Lesson,
    RoundRobinRouter,
    Scores,
    cosine,
    make_router,
)
from quorate.hub.signature import TaskSignature


def expert(id_, **rest):
    return Expert(id_, lambda task: task, confidence=1, **rest)


class Rates(dict):
    success_rate = dict.__getitem__


VECTORS = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3).filter(
    lambda v: math.hypot(*v) > 1e-6
)


def naive_cosine(one, other):
    """From its definition, in rationals up to the roots."""
    dot = sum(Fraction(a) * Fraction(b) for a, b in zip(one, other, strict=True))
    squares = [sum(Fraction(x) ** 2 for x in v) for v in (one, other)]
    return float(dot) / math.sqrt(squares[0]) / math.sqrt(squares[1])


@settings(max_examples=40)
@given(VECTORS, VECTORS)
def test_the_cosine_is_what_the_naive_twin_says(one, other):
    found = cosine(tuple(one), tuple(other))
    assert abs(found - Fraction(naive_cosine(one, other))) <= Fraction(2, 10**6)
    assert -1 <= found <= 1
    assert found == cosine(tuple(other), tuple(one))
    assert found.denominator == 1 or 10**6 % found.denominator == 0


@pytest.mark.parametrize("size", [1e-160, 1e-300, 1e150, 5e-324])
def test_the_cosine_of_extreme_vectors(size):
    assert cosine((size, 0.0), (1.0, 0.0)) == 1
    assert cosine((0.0, size), (1.0, 0.0)) == 0
    assert cosine((-size, 0.0), (size, 0.0)) == -1


def test_affinity_is_cosine_plus_a_share_of_the_success_rate():
    registry = Registry(
        [expert("a", vector=(1, 0)), expert("b", vector=(1, 1)), expert("c"), expert("d")]
    )
    rates = Rates(a=Fraction(1, 2), b=Fraction(1), c=Fraction(0), d=Fraction(1, 3))
    scores = AffinityRouter().score(TaskSignature(embedding=(2, 0)), registry, rates)
    assert scores == {
        "a": 1 + Fraction(15, 200),
        "b": Fraction(707107, 10**6) + Fraction(15, 100),
        "c": 0,
        "d": Fraction(1, 20),
    }
    assert scores.router == "affinity"
    assert scores.notes == dict.fromkeys("cd", "affinity 0: the expert has no vector")


def test_without_an_embedding_the_affinity_is_zero_and_says_so():
    registry = Registry([expert("a", vector=(1, 0))])
    scores = AffinityRouter().score(TaskSignature(), registry)
    assert scores == {"a": Fraction(15, 200)}
    assert scores.notes == {"a": "affinity 0: the task has no embedding"}
    zero = AffinityRouter().score(TaskSignature(embedding=(0, 0)), registry)
    assert zero.notes == {"a": "affinity 0: the task's embedding is zero"}
    registry.standing = Rates(a=Fraction(1))
    assert AffinityRouter().score(TaskSignature(), registry) == {"a": Fraction(15, 100)}
    with pytest.raises(UsageError, match="embedding has 3 numbers, the vector of 'a' has 2"):
        AffinityRouter().score(TaskSignature(embedding=(1, 2, 3)), registry)


@pytest.mark.parametrize("name", ROUTERS)
def test_only_the_able_are_scored(name):
    registry = Registry(
        [expert("a", capabilities=["x", "y"]), expert("b", capabilities=["x"]), expert("c")]
    )
    take = {"take": 9} if name == "round-robin" else {}
    router = make_router(name, **take)
    assert router.score(TaskSignature(("x", "y")), registry).keys() == {"a"}
    assert router.score(TaskSignature(("x",)), registry).keys() == {"a", "b"}
    assert router.score(TaskSignature(), registry).keys() == {"a", "b", "c"}
    assert router.score(TaskSignature(("z",)), registry) == {}
    assert router.score(TaskSignature(), registry).router == name


def test_all_and_round_robin_score_alike():
    registry = Registry([expert(name) for name in "abcd"])
    assert EveryoneRouter().score(TaskSignature(), registry) == dict.fromkeys("abcd", 0)
    router = RoundRobinRouter()
    turns = [next(iter(router.score(TaskSignature(), registry))) for _ in range(6)]
    assert turns == ["a", "b", "c", "d", "a", "b"]
    registry.remove("c")
    assert next(iter(router.score(TaskSignature(), registry))) == "d"


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 7), st.integers(0, 7))
def test_turns_survive_a_restart(size, take, before, after):
    registry = Registry([expert(name) for name in "abcdef"[:size]])

    def turns(router, count):
        return [tuple(router.score(TaskSignature(), registry)) for _ in range(count)]

    whole = turns(RoundRobinRouter(take), before + after)
    first = RoundRobinRouter(take)
    for asked in turns(first, before):
        first.planned(asked)
    second = RoundRobinRouter(take)
    second.restore(parse(canonical(first.to_dict())))
    assert turns(second, after) == whole[before:]


def test_plans_sealed_late_do_not_set_the_turn_back():
    registry = Registry([expert(name) for name in "abc"])
    router = RoundRobinRouter()
    router.score(TaskSignature(), registry)
    router.score(TaskSignature(), registry)
    router.planned(("a",))
    assert router.score(TaskSignature(), registry) == {"c": 0}


KINDS = {"easy": TaskSignature(tags=("sums",)), "hard": TaskSignature(tags=("proofs",))}


def accuracy(router, registry, tasks, right, gate=None, learn=True):
    """Ask whom the plan names first, tell the router how it went, and count the second half."""
    gate = gate or Gate(top_k=1)
    hits = []
    for signature, kind in tasks:
        scores = router.score(signature, registry)
        plan = gate.plan(scores, registry, signature=signature)
        asked = {name: right(name, kind) for name in plan.weights}
        best = max(sorted(plan.weights), key=plan.weights.__getitem__)
        hits.append(asked[best])
        router.planned(tuple(plan.weights))
        if learn:
            router.learn(Lesson(signature, tuple(scores), asked))
    return statistics.mean(hits[len(hits) // 2 :])


def test_the_learned_router_finds_who_is_right_on_which_kind_of_task():
    registry = Registry([expert("adder"), expert("prover")])
    order = random.Random(1).choices(["easy", "hard"], k=200)
    tasks = [(KINDS[kind], kind) for kind in order]

    def right(name, kind):
        return (name == "prover") == (kind == "hard")

    assert accuracy(RoundRobinRouter(), registry, tasks, right) < 0.65
    assert accuracy(LearnedRouter(), registry, tasks, right) == 1
    assert accuracy(LearnedRouter(), registry, tasks, right, learn=False) < 0.65


def test_it_learns_by_embeddings_capabilities_and_in_noise():
    draw = random.Random(7)
    centres = [[draw.gauss(0, 1) for _ in range(16)] for _ in range(4)]
    names = ["w", "x", "y", "z"]
    registry = Registry([expert(name, capabilities=["any"]) for name in names])
    tasks = []
    for _ in range(1200):
        kind = draw.randrange(4)
        point = [value + draw.gauss(0, 0.5) for value in centres[kind]]
        tasks.append((TaskSignature(("any",), point), kind))

    def right(name, kind):
        return draw.random() < (0.95 if names.index(name) == kind else 0.3)

    turns = accuracy(RoundRobinRouter(), registry, tasks, right)
    policy = accuracy(LearnedRouter(), registry, tasks, right)
    assert turns < 0.55
    assert policy > 0.8
    panel = accuracy(LearnedRouter(), registry, tasks, right, gate=Gate(top_k=3))
    assert panel > 0.8


def naive_step(weights, features, eligible, right, rate):
    """The policy gradient, straight from its formula."""
    logits = {e: sum(weights[e].get(f, 0) * v for f, v in features.items()) for e in eligible}
    whole = sum(math.exp(logit) for logit in logits.values())
    policy = {e: math.exp(logits[e]) / whole for e in eligible}
    for k in eligible:
        gradient = sum(
            (0.5 if was else -0.5) * ((1 if k == e else 0) - policy[k]) for e, was in right.items()
        )
        for f, v in features.items():
            weights[k][f] = weights[k].get(f, 0) + rate / len(right) * gradient * v


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from("xyz"), max_size=2),
            st.none() | VECTORS,
            st.dictionaries(st.sampled_from("abc"), st.booleans(), min_size=1),
        ),
        max_size=8,
    ),
    st.sampled_from([1, 0.25]),
)
def test_a_step_is_what_the_naive_twin_says(lessons, rate):
    router = LearnedRouter(rate)
    registry = Registry([expert(name) for name in "abc"])
    weights = {name: {} for name in "abc"}
    for tags, point, right in lessons:
        signature = TaskSignature(embedding=point, tags=sorted(tags))
        router.learn(Lesson(signature, ("a", "b", "c"), right))
        raw = {"1": 1.0, **dict.fromkeys(tags, 1.0)}
        if point is not None:
            raw |= {n: x / math.hypot(*point) for n, x in enumerate(point)}
        length = math.hypot(*raw.values())
        features = {f: v / length for f, v in raw.items()}
        naive_step(weights, features, "abc", right, rate)
        scores = router.score(signature, registry)
        for name, score in scores.items():
            logit = sum(weights[name].get(f, 0) * v for f, v in features.items())
            assert abs(float(score) - logit) < 2e-6


def lessons_of(seed, count):
    draw = random.Random(seed)
    return [
        Lesson(
            TaskSignature(embedding=[draw.random() for _ in range(3)], tags=[draw.choice("xyz")]),
            ("a", "b", "c"),
            {draw.choice("abc"): draw.random() < 0.5},
        )
        for _ in range(count)
    ]


def test_what_was_learned_survives_and_goes_on_the_same():
    whole, first, second = LearnedRouter(), LearnedRouter(), LearnedRouter()
    lessons = lessons_of(3, 60)
    for lesson in lessons:
        whole.learn(lesson)
    for lesson in lessons[:25]:
        first.learn(lesson)
    second.restore(parse(canonical(first.to_dict())))
    for lesson in lessons[25:]:
        second.learn(lesson)
    assert second.to_dict() == whole.to_dict()
    assert whole.to_dict()["lessons"] == 60


def test_before_the_first_lesson_all_are_alike():
    registry = Registry([expert(name) for name in "ab"])
    scores = LearnedRouter().score(TaskSignature(tags=("x",)), registry)
    assert scores == {"a": 0, "b": 0}
    assert scores.notes == dict.fromkeys("ab", "no outcome is known yet")
    router = LearnedRouter()
    router.learn(Lesson(TaskSignature(), ("a", "b"), {}))
    assert router.to_dict() == LearnedRouter().to_dict()


def test_places_are_the_same_everywhere():
    assert learned._place("tag:sums") == 2804
    assert all(0 < learned._place(f"tag:{n}") < learned.PLACES for n in range(999))


def test_an_embedding_of_another_model_is_refused():
    router = LearnedRouter()
    router.learn(Lesson(TaskSignature(embedding=(1, 0)), ("a",), {"a": True}))
    for use in (
        lambda: router.learn(Lesson(TaskSignature(embedding=(1, 0, 0)), ("a",), {"a": True})),
        lambda: router.score(TaskSignature(embedding=(1, 0, 0)), Registry([expert("a")])),
    ):
        with pytest.raises(UsageError, match="has 3 numbers, those learned from have 2"):
            use()


@pytest.mark.parametrize(
    "change",
    [
        {"router": "affinity"},
        {"learning_rate": "1/2"},
        {"lessons": -1},
        {"lessons": True},
        {"embedding_length": "3"},
        {"embedding_length": 10**9},
        {"weights": []},
        {"weights": {"a": {"places": {"4096": 1.0}, "direction": None}}},
        {"weights": {"a": {"places": {"01": 1.0}, "direction": None}}},
        {"weights": {"a": {"places": {"1": "x"}, "direction": None}}},
        {"weights": {"a": {"places": {"1": math.inf}, "direction": None}}},
        {"weights": {"a": {"places": {}, "direction": [1.0]}}},
        {"weights": {"a": {"places": {}}}},
        {"more": 1},
    ],
)
def test_a_state_that_is_not_its_own_is_refused(change):
    router = LearnedRouter()
    router.learn(lessons_of(1, 1)[0])
    state = router.to_dict()
    fresh = LearnedRouter()
    before = fresh.to_dict()
    with pytest.raises(UsageError):
        fresh.restore({**state, **change})
    assert fresh.to_dict() == before


@pytest.mark.parametrize("name", ROUTERS)
def test_a_state_is_restored_only_by_the_same_strategy(name):
    state = make_router(name).to_dict()
    make_router(name).restore(parse(canonical(state)))
    for other in set(ROUTERS) - {name}:
        with pytest.raises(UsageError):
            make_router(other).restore(state)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("affinty",), r"no router 'affinty'; did you mean 'affinity'\? \(of affinity, learned"),
        ((3,), "give its name"),
        (("affinity", {"take": 1}), "affinity has no option take; it has: none"),
        (("round-robin", {"take": 0}), "take is 0"),
        (("round-robin", {"take": True}), "whole number"),
        (("learned-softmax", {"learning_rate": 0}), "above 0"),
        (("learned-softmax", {"learning_rate": 101}), "at most 100"),
    ],
)
def test_what_is_no_router(arguments, told):
    name, options = arguments[0], dict(*arguments[1:])
    with pytest.raises(UsageError, match=told):
        make_router(name, **options)


def test_scores_are_held_in_order():
    scores = Scores({"b": Fraction(1), "a": Fraction(2)}, "given", {"b": "x", "a": "y"})
    assert list(scores) == ["a", "b"]
    assert list(scores.notes) == ["a", "b"]
