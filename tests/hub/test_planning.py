"""The plan that is kept: it is the one that would be made anew, whatever changes meanwhile."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError
from quorate.hub import Expert, Gate, Registry
from quorate.hub.learning import Learning
from quorate.hub.planning import Planner
from quorate.hub.routers import AffinityRouter, EveryoneRouter, RoundRobinRouter, make_router
from quorate.hub.signature import TaskSignature

GATES = (Gate(), Gate(top_k=2), Gate(load_penalty=0.3), Gate(capacity=2), Gate(temperature=0.1))
SIGNATURES = (
    TaskSignature(),
    TaskSignature(capabilities=("sums",)),
    TaskSignature(embedding=(1, 0)),
    TaskSignature(priority=9),
)


class Rates:
    """Stands in for what is counted from a ledger."""

    def __init__(self):
        self.known = {}

    @property
    def ids(self):
        return tuple(self.known)

    def success_rate(self, expert_id):
        return self.known[expert_id]


def expert(name, **declared):
    return Expert(name, str, **{"vector": (1, 1), "capabilities": ("sums",), **declared})


def both(planner, router, gate, registry, learning, signature, loads):
    """A plan by the planner and one made anew, each in words or as its error."""
    made = []
    for plan in (
        lambda: planner.plan(router, gate, registry, learning, signature, loads),
        lambda: gate.plan(
            router.score(signature, registry, learning), registry, signature=signature, loads=loads
        ),
    ):
        try:
            made.append(plan().to_dict())
        except (UsageError, ValueError, RuntimeError) as error:
            made.append(repr(error))
        except Exception as error:  # noqa: BLE001 - NoExperts is none of these
            made.append(repr(error))
    return made


STEPS = st.one_of(
    st.tuples(st.just("ask"), st.integers(0, 3), st.lists(st.integers(0, 2), max_size=4)),
    st.tuples(st.just("gate"), st.integers(0, 4), st.none()),
    st.tuples(st.just("router"), st.sampled_from(["all", "affinity"]), st.none()),
    st.tuples(st.just("come"), st.integers(0, 3), st.sampled_from([1, 2, Fraction(1, 3), 0])),
    st.tuples(st.just("go"), st.integers(0, 3), st.none()),
    st.tuples(st.just("weight"), st.integers(0, 3), st.sampled_from([1, 5])),
    st.tuples(st.just("learn"), st.integers(0, 3), st.sampled_from([1, 2, 3])),
)


@settings(max_examples=30, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=30))
def test_it_is_the_plan_that_would_be_made_anew(steps):
    rates = Rates()
    learning = Learning(rates)
    registry = Registry([expert("e0"), expert("e1", weight=2, vector=(0, 1))])
    planner, router, gate = Planner(), make_router("all"), GATES[0]
    for what, one, other in steps:
        name = f"e{one}"
        if what == "gate":
            gate = GATES[one]
        elif what == "router":
            router = make_router(one)
        elif what == "come" and name not in registry:
            registry.add(expert(name, weight=other))
        elif what == "go" and name in registry:
            registry.remove(name)
        elif what == "weight" and name in registry:
            registry.get(name).weight = Fraction(other)
        elif what == "learn":
            rates.known[name] = Fraction(other, 4)
            learning._look()
        loads = {f"e{i}": n for i, n in enumerate(other)} if what == "ask" else {}
        signature = SIGNATURES[one] if what == "ask" else SIGNATURES[0]
        for _ in range(2):
            found, anew = both(planner, router, gate, registry, learning, signature, loads)
            assert found == anew


def asked(router, *, learning=None, standing=None, gate=GATES[0], changed=lambda _: None):
    """How often a router is asked for three plans that rest on the same."""
    registry = Registry([expert("a"), expert("b")], standing=standing)
    planner, scored = Planner(), []
    plain = type(router).score

    def score(self, *rest):
        scored.append(rest)
        return plain(self, *rest)

    kind = type(router)
    kind.score, kept = score, kind.__dict__.get("score")
    try:
        for _ in range(3):
            planner.plan(router, gate, registry, learning, SIGNATURES[0], {})
            changed(registry)
    finally:
        kind.score = kept
    return len(scored)


@pytest.mark.parametrize("router", [EveryoneRouter(), AffinityRouter()])
def test_what_rests_on_the_same_is_planned_once(router):
    assert asked(router, learning=Learning(Rates())) == 1
    assert asked(router) == 1


def test_turns_are_taken_each_time():
    assert asked(RoundRobinRouter()) == 3


def test_rates_kept_by_another_are_asked_each_time():
    class Others:
        def success_rate(self, _):
            return Fraction(1, 2)

    assert asked(AffinityRouter(), standing=Others()) == 3


def test_a_strategy_of_ones_own_is_asked_each_time():
    class Own(EveryoneRouter):
        def score(self, *rest):
            return EveryoneRouter.score(self, *rest)

    assert asked(Own()) == 3


def test_who_comes_and_goes_is_planned_for():
    def changed(registry):
        registry.add(expert(f"more-{len(registry)}"))

    assert asked(EveryoneRouter(), changed=changed) == 3
