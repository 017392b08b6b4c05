"""The whole pass: router, gate, session, arbiter, policy, ledger, outcomes, and shadow mode."""

import asyncio
import threading
from fractions import Fraction

import pytest

from quorate.arbitration import Arbiter, FirstToQuorumArbiter, SynthesisArbiter, UnderQuorum
from quorate.core.canonical import digest
from quorate.core.errors import OperationalError, StoreError, UsageError, UsageTypeError
from quorate.hub import Answer, Expert
from quorate.hub.gate import Gate, NoExperts
from quorate.hub.hub import Hub
from quorate.hub.policy import Policy
from quorate.hub.registry import Registry
from quorate.hub.signature import TaskSignature
from quorate.ledger import Ledger


def says(id_, payload, confidence=0.9, asked=None, **options):
    def answer(task):
        if asked is not None:
            asked.append((id_, task))
        return Answer(payload, confidence)

    return Expert(id_, answer, **options)


def echo(id_, **options):
    async def answer(task):
        await asyncio.sleep(0)
        return Answer(task, 0.9)

    return Expert(id_, answer, **options)


def crashes(id_, **options):
    def fail(task):
        raise ValueError("no idea")

    return Expert(id_, fail, **options)


@pytest.fixture
def ledger():
    with Ledger.open("memory:") as opened:
        yield opened
        # Everything that any test here sealed is computed again.
        opened.verify(replay=True)


@pytest.fixture
def make(ledger):
    hubs = []

    def make(experts, *args, **options):
        options.setdefault("ledger", ledger)
        hubs.append(Hub(experts, *args, **options))
        return hubs[-1]

    yield make
    for hub in hubs:
        hub.close()


def split():
    return [says("a", "yes"), says("b", "no"), crashes("c")]


def agreed():
    return [says("a", "yes"), says("b", "yes"), says("c", "no")]


def test_a_dispatch_decides_and_seals(make, ledger):
    done = make(agreed()).dispatch({"q": 1}, trace="story-1", id="t1")
    assert done.consensus == done.acted == "yes"
    assert done.decision.consensus == "yes"
    assert done.committed
    assert done.support == pytest.approx(2 / 3)
    assert done.backing == pytest.approx(2 / 3)
    assert done.dissenting == ("c",)
    assert done.absent == ()
    assert done.describe() == done.decision.describe()
    assert done.shadow is None
    assert {s.name for s in done.trace.spans} >= {"a", "b", "c"}
    sealed = ledger.get(done.receipt.seq)
    assert sealed.kind == "decision"
    assert sealed.trace_id == "story-1"
    assert sealed.payload["task"] == {"id": "t1", "input_digest": digest({"q": 1})}
    assert sealed.payload["plan"] == done.plan
    assert sealed.payload["roster"] == done.plan["weights"]
    assert sum(map(Fraction, done.plan["weights"].values())) == 1


def test_a_refusal_is_raised_with_its_sealed_receipt(make, ledger):
    with pytest.raises(UnderQuorum) as caught:
        make(split()).dispatch("q", id="t1")
    done = caught.value.dispatch
    assert done.receipt.kind == "refusal"
    assert ledger.get(done.receipt.seq).payload["verdict"] == caught.value.tally.to_dict()
    assert not done.committed
    assert done.dissenting == ("b",)
    assert [a.expert_id for a in done.absent] == ["c"]
    assert done.support == caught.value.tally.support
    for name in ("consensus", "decision", "acted"):
        with pytest.raises(UnderQuorum):
            getattr(done, name)


def test_without_a_ledger_nothing_is_sealed(make):
    hub = make(agreed(), ledger=None)
    assert hub.dispatch("q").receipt is None
    assert hub.standing is None
    with pytest.raises(UsageError, match="no ledger"):
        hub.outcome("t", 1)


def test_experts_see_the_task_alone_or_with_its_context(make):
    asked = []
    hub = make([says("a", 1, asked=asked)])
    hub.dispatch({"q": 1})
    hub.dispatch({"q": 1}, {"user": "eve"})
    assert asked == [("a", {"q": 1}), ("a", {"task": {"q": 1}, "context": {"user": "eve"}})]


def test_a_task_is_decided_once(make, ledger):
    asked = []
    hub = make([says("a", "yes", asked=asked), says("b", "yes")])
    first = hub.dispatch("q", id="t")
    again = hub.dispatch("q", id="t")
    assert len(asked) == 1
    assert again.earlier
    assert not first.earlier
    assert again.decision == first.decision
    assert again.plan == first.plan
    assert again.receipt.seq == first.receipt.seq
    with pytest.raises(UsageError, match="decided before on another input"):
        hub.dispatch("other", id="t")
    assert len(ledger) == 1


def test_a_refused_task_stays_refused(make):
    hub = make(split())
    with pytest.raises(UnderQuorum) as first:
        hub.dispatch("q", id="t")
    with pytest.raises(UnderQuorum) as again:
        hub.dispatch("q", id="t")
    assert again.value.dispatch.receipt.seq == first.value.dispatch.receipt.seq
    assert again.value.tally == first.value.tally


def test_the_same_task_decided_twice_at_once_has_one_verdict(make, ledger):
    turn = iter(range(100))

    async def fickle(task):
        await asyncio.sleep(0.01)
        return Answer(next(turn), 1)

    hub = make([Expert("a", fickle)])

    async def both():
        return await asyncio.gather(*(hub.adispatch("q", id="t") for _ in range(5)))

    given = asyncio.run(both())
    assert len({d.consensus for d in given}) == 1
    assert {d.receipt.seq for d in given} == {0}
    assert len(ledger) == 1


def test_a_key_that_stands_for_something_else_is_refused(make, ledger):
    ledger.append("note", {"x": 1}, key="task:t")
    with pytest.raises(UsageError, match="is no verdict"):
        make(agreed()).dispatch("q", id="t")


def test_only_who_is_able_is_asked(make):
    asked = []
    experts = [
        says("a", 1, asked=asked, capabilities=("law", "tax")),
        says("b", 1, asked=asked, capabilities=("law",)),
        says("c", 2, asked=asked),
    ]
    hub = make(experts)
    done = hub.dispatch("q", signature=TaskSignature(capabilities=("law",)))
    assert sorted(name for name, _ in asked) == ["a", "b"]
    assert set(done.plan["weights"]) == {"a", "b"}
    with pytest.raises(UsageError, match="'medicine'"):
        hub.dispatch("q", signature=TaskSignature(capabilities=("medicine",)))


def test_experts_can_come_and_go(make):
    hub = make(Registry([says("a", "yes")]))
    hub.registry.add(says("b", "no", weight=9))
    assert hub.dispatch("q").consensus == "no"
    hub.registry.remove("b")
    assert hub.dispatch("q").consensus == "yes"


def test_tasks_in_flight_are_told_to_the_gate(make):
    entered, leave = threading.Semaphore(0), threading.Event()

    def hold(task):
        entered.release()
        leave.wait(10)
        return Answer(1, 1)

    hub = make([Expert("a", hold)], gate=Gate(capacity=2))
    held = [threading.Thread(target=hub.dispatch, args=("q",)) for _ in range(2)]
    for thread in held:
        thread.start()
    assert all(entered.acquire(timeout=10) for _ in held)
    with pytest.raises(NoExperts, match="2 tasks in flight"):
        hub.dispatch("q")
    leave.set()
    for thread in held:
        thread.join()
    assert hub.dispatch("q").consensus == 1


def test_a_task_that_is_cancelled_leaves_nothing_in_flight(make):
    stopped = []
    asked = asyncio.Event()

    async def hold(task):
        asked.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append(1)

    hub = make([Expert("a", hold)])

    async def main():
        asking = asyncio.ensure_future(hub.adispatch("q"))
        await asyncio.wait_for(asked.wait(), 60)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(main())
    assert stopped == [1]
    assert not hub._loads


def test_a_deadline_holds_for_the_dispatch(make):
    async def hold(task):
        await asyncio.sleep(60)

    with pytest.raises(UnderQuorum) as caught:
        make([Expert("a", hold)]).dispatch("q", deadline=0.02)
    assert [a.reason for a in caught.value.dispatch.absent] == ["timeout"]


def test_declared_failure_domains_are_reported(make):
    experts = [says(n, 1, failure_domain={"host": "one"}) for n in "abcd"]
    report = make(experts).dispatch("q").decision.independence
    assert report["declared"] is True
    assert report["attributes"]["host"]["faults"] == 0
    assert make(agreed()).dispatch("q").decision.independence is None


# -- policies


def test_widening_asks_those_left_out_on_the_same_scale(make):
    experts = [says("a", "yes", weight=4), says("b", "no", weight=3), says("c", "yes", weight=2)]
    hub = make(experts, Arbiter(quorum=0.6), gate=Gate(top_k=2), policy=Policy("widen"))
    done = hub.dispatch("q")
    assert done.consensus == "yes"
    body = done.receipt.payload
    assert set(body["parent"]["roster"]) == {"a", "b"}
    assert body["parent"]["plan"] == done.plan
    weights = {name: Fraction(w) for name, w in body["roster"].items()}
    assert {n: weights[n] for n in "ab"} == {n: Fraction(done.plan["weights"][n]) for n in "ab"}
    assert float(weights["c"] / weights["a"]) == pytest.approx(2 / 4, abs=1e-5)


def test_widening_asks_the_reserve_that_is_named(make):
    reserve = (says("x", "yes", weight=3),)
    hub = make(split(), Arbiter(quorum=0.6), policy=Policy("widen", reserve=reserve))
    done = hub.dispatch("q")
    assert done.consensus == "yes"
    assert done.receipt.payload["roster"]["x"] == "1"


def test_where_everybody_was_asked_already_a_refusal_stands(make):
    with pytest.raises(UnderQuorum) as caught:
        make(split(), policy=Policy("widen")).dispatch("q")
    assert "parent" not in caught.value.dispatch.receipt.payload


def test_a_fallback_of_the_registry_decides_though_it_was_not_asked(make):
    experts = [*split(), says("trusted", "as I say", weight=Fraction(1, 100))]
    policy = Policy("fallback", fallback="trusted")
    done = make(experts, gate=Gate(top_k=3), policy=policy).dispatch("q")
    assert done.consensus == "as I say"
    assert done.decision.by_quorum is False
    assert "trusted" not in done.plan["weights"]


def test_escalation(make):
    policy = Policy("escalate", consult=(says("p", "no"), says("q", "no")), consult_weight=1)
    done = make(split(), policy=policy).dispatch("q")
    assert done.consensus == "no"
    assert done.plan == done.receipt.payload["parent"]["plan"]


def test_first_to_quorum(make):
    async def hold(task):
        await asyncio.sleep(60)

    experts = [*(says(n, 1, 1) for n in "abc"), Expert("d", hold)]
    assert make(experts, FirstToQuorumArbiter(0.66)).dispatch("q").absent == ()


def test_synthesis_by_one_of_the_registry_or_another(make):
    def word(task):
        if "proposals" in task:
            return Answer("merged", 1)
        return Answer(True if "ratify" in task else "mine", 1)

    experts = [Expert(n, word, capabilities=("x",)) for n in "ab"]
    arbiter = SynthesisArbiter(synthesizer="s")
    hub = make([*experts, Expert("s", word)], arbiter)
    signature = TaskSignature(capabilities=("x",))
    done = hub.dispatch({}, signature=signature)
    assert done.consensus == "merged"
    assert set(done.plan["weights"]) == {"a", "b"}
    hub = make(experts, arbiter, synthesizer=Expert("s", word))
    assert hub.dispatch({}).consensus == "merged"
    with pytest.raises(UsageError, match="synthesizer"):
        make(experts, arbiter).dispatch({})


# -- outcomes


def test_success_rates_follow_outcomes_and_survive_a_restart(make, ledger):
    hub = make(agreed(), Arbiter(quorum=0.6))
    for n in range(4):
        hub.dispatch("q", id=f"t{n}")
        hub.outcome(f"t{n}", "no")
    assert hub.registry.success_rate("c") == Fraction(5, 6)
    assert hub.registry.success_rate("a") == Fraction(1, 6)
    again = make(agreed(), Arbiter(quorum=0.6))
    assert again.registry.success_rate("c") == Fraction(5, 6)
    scores = again.dispatch("q").plan["scores"]
    assert Fraction(scores["c"]) == Fraction(15, 100) * Fraction(5, 6)


def test_agreement_counts_where_no_outcome_is_known(make):
    hub = make(agreed())
    for _ in range(3):
        hub.dispatch("q")
    hub.close()
    assert hub.registry.success_rate("a") > hub.registry.success_rate("c")


def test_an_outcome_is_sealed_once(make):
    hub = make(agreed())
    hub.dispatch("q", id="t")
    receipt = asyncio.run(hub.aoutcome("t", "yes"))
    assert hub.outcome("t", "yes").seq == receipt.seq
    with pytest.raises(UsageError, match="never changes"):
        hub.outcome("t", "no")


def test_a_router_that_learns_asks_who_was_right(make):
    experts = [says("a", "wrong"), says("b", "wrong"), says("c", "right")]
    hub = make(experts, Arbiter(quorum=0.5), router="learned-softmax", gate=Gate(temperature=1))
    before = Fraction(hub.dispatch("q", id="t").plan["weights"]["c"])
    hub.outcome("t", "right")
    after = Fraction(hub.dispatch("q", id="u").plan["weights"]["c"])
    assert after > before


# -- shadow mode


def shadow(make, experts, incumbent, **options):
    return make(experts, mode="shadow", incumbent=incumbent, **options)


def test_in_shadow_mode_the_incumbent_is_acted_upon_and_nothing_is_refused(make, ledger):
    hub = shadow(make, split(), says("old", "old way"))
    done = hub.dispatch("q", id="t")
    assert done.acted == "old way"
    assert done.shadow.refused
    assert not done.shadow.differs
    assert done.receipt.kind == "refusal"
    beside = ledger.get(done.receipt.seq + 1)
    assert beside.kind == "shadow"
    assert beside.payload["shadow"] == done.shadow.to_dict()
    assert beside.payload["verdict"] == digest(done.receipt.payload["verdict"])
    assert "would have refused" in done.describe()


@pytest.mark.parametrize(("said", "differs"), [("yes", False), ("no", True)])
def test_in_shadow_mode_it_is_sealed_whether_the_panel_differs(make, said, differs):
    done = shadow(make, agreed(), says("old", said)).dispatch("q")
    assert done.acted == said
    assert done.consensus == "yes"
    assert done.shadow.differs is differs
    assert not done.shadow.refused


def test_an_incumbent_of_the_plan_is_asked_once(make):
    asked = []
    experts = [*agreed(), says("old", "yes", asked=asked, weight=Fraction(1, 100))]
    assert shadow(make, experts, "old").dispatch("q").acted == "yes"
    assert len(asked) == 1
    assert shadow(make, experts, "old", gate=Gate(top_k=3)).dispatch("q").acted == "yes"
    assert len(asked) == 2
    failing = shadow(make, [*agreed(), crashes("old")], "old").dispatch("q")
    assert "no idea" in failing.shadow.detail


def test_an_incumbent_that_the_panel_did_not_hear_out_is_asked_again(make):
    asked = []

    async def slow(task):
        asked.append(task)
        await asyncio.sleep(0.02 if len(asked) > 1 else 60)
        return Answer("slow", 1)

    experts = [*(says(n, "quick", 1) for n in "abc"), Expert("old", slow)]
    done = shadow(make, experts, "old", arbiter=FirstToQuorumArbiter(0.66)).dispatch("q")
    assert done.consensus == "quick"
    assert done.acted == "slow"
    assert len(asked) == 2


def test_an_incumbent_that_does_not_answer_leaves_nothing_to_act_upon(make):
    done = shadow(make, agreed(), crashes("old")).dispatch("q")
    assert not done.shadow.answered
    assert "no idea" in done.shadow.detail
    assert done.consensus == "yes"
    with pytest.raises(OperationalError, match="did not answer"):
        _ = done.acted


def test_in_shadow_mode_a_task_decided_before_is_given_back_with_what_was_acted_upon(make):
    asked = []
    hub = shadow(make, split(), says("old", "old way", asked=asked))
    first = hub.dispatch("q", id="t")
    again = hub.dispatch("q", id="t")
    assert len(asked) == 1
    assert again.shadow == first.shadow
    assert again.acted == "old way"
    hub = make(agreed())
    hub.dispatch("q", id="u")
    with pytest.raises(UsageError, match="not in shadow mode"):
        shadow(make, agreed(), says("old", 1)).dispatch("q", id="u")


def test_in_shadow_mode_nobody_to_ask_stops_nothing(make, ledger):
    done = shadow(make, [says("a", 1, weight=0)], says("old", "old way")).dispatch("q")
    assert done.acted == "old way"
    assert done.outcome is None
    assert done.shadow.refused
    assert "weight is 0" in done.shadow.detail
    assert (done.support, done.backing, done.dissenting, done.absent) == (0, 0, (), ())
    assert len(ledger) == 0


def test_in_shadow_mode_a_broken_ledger_stops_nothing_and_is_told(
    make, ledger, monkeypatch, caplog
):
    def broken(items, **more):
        raise StoreError("the disk is full")

    hub = shadow(make, agreed(), says("old", "old way"))
    monkeypatch.setattr(ledger, "append_all", broken)
    done = hub.dispatch("q")
    assert done.acted == "old way"
    assert done.receipt is None
    assert "the disk is full" in done.shadow.detail
    assert "was not sealed" in caplog.text
    monkeypatch.undo()


def test_outside_shadow_mode_what_is_not_sealed_is_not_given(make, ledger, monkeypatch):
    def broken(items, **more):
        raise StoreError("the disk is full")

    hub = make(agreed())
    monkeypatch.setattr(ledger, "append_all", broken)
    with pytest.raises(StoreError, match="the disk is full"):
        hub.dispatch("q")
    monkeypatch.undo()


def test_one_verdict_that_cannot_be_sealed_stops_no_other(make, ledger):
    async def main():
        sealer = hub._sealer
        good = [sealer.seal([("note", n, None, None)]) for n in range(3)]
        bad = sealer.seal([("note", float("nan"), None, None)])
        return await asyncio.gather(*good, bad, *good[3:], return_exceptions=True)

    hub = make(agreed())
    *good, bad = asyncio.run(main())
    assert isinstance(bad, UsageError)
    assert [receipts[0].payload for receipts in good] == [0, 1, 2]


# -- setting up


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"mode": "dream"}, "'dream'"),
        ({"mode": "shadow"}, "needs incumbent"),
        ({"incumbent": "a"}, "needs incumbent"),
        ({"mode": "shadow", "incumbent": "nobody"}, "no expert 'nobody'"),
        ({"mode": "shadow", "incumbent": 7}, "incumbent is a int"),
        ({"router": "magic"}, "'magic'"),
        ({"policy": Policy("fallback", fallback="nobody")}, "no expert 'nobody'"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options, told):
    with pytest.raises(UsageError, match=told):
        Hub(agreed(), **options)


def test_a_task_is_json_and_an_id_a_text(make):
    hub = make(agreed())
    for task in (float("nan"), {1: 2}, b"x"):
        with pytest.raises(UsageError):
            hub.dispatch(task)
    with pytest.raises(UsageTypeError):
        hub.dispatch("q", id=7)
    with pytest.raises(UsageError):
        hub.dispatch("q", id="")


def test_a_hub_closes_its_experts():
    closed = []

    class Adapter:
        kind = "test"
        confidence_source = "it says so"

        async def __call__(self, task):
            return Answer(1, 1)

        async def aclose(self):
            closed.append(1)

    with Hub([Expert("a", Adapter())]) as hub:
        assert hub.dispatch("q").consensus == 1
    assert closed == [1]

    async def main():
        async with Hub([Expert("a", Adapter())]) as hub:
            await hub.adispatch("q")

    asyncio.run(main())
    assert closed == [1, 1]


def test_dispatches_of_many_threads_and_loops_share_one_hub(make, ledger):
    hub = make([echo("a"), echo("b")])
    given = {}

    def work(n):
        async def some():
            return await asyncio.gather(*(hub.adispatch([n, m]) for m in range(10)))

        given[n] = [d.consensus for d in asyncio.run(some())]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert given == {n: [[n, m] for m in range(10)] for n in range(8)}
    assert len(ledger) == 80


def test_arguments_of_another_type_are_named():
    expert = Expert("a", lambda _: Answer(1, 1))
    with pytest.raises(UsageTypeError, match="give what Ledger\\.open"):
        Hub([expert], ledger="sqlite:///x.db")
    with pytest.raises(UsageTypeError, match="give Arbiter"):
        Hub([expert], "weighted-quorum")
    with pytest.raises(UsageTypeError, match="give a TaskSignature"):
        Hub([expert]).dispatch(1, signature={"capabilities": []})
