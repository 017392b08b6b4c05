"""One task decided, under every protocol and every policy; each body replays."""

import asyncio
from fractions import Fraction

import pytest

from quorate.arbitration import (
    Arbiter,
    Decision,
    FirstToQuorumArbiter,
    RankedRunoffArbiter,
    SynthesisArbiter,
    Tally,
    WeightedQuorumArbiter,
)
from quorate.arbitration.sealed import replay
from quorate.core import limits
from quorate.core.canonical import canonical, digest, parse
from quorate.core.errors import UsageError, VerificationError
from quorate.hub import Answer, Expert
from quorate.hub.deciding import decide
from quorate.hub.policy import Policy

TASK = {"q": "?"}


def says(id_, payload, confidence=0.9, **options):
    """An expert that always gives that answer."""
    return Expert(id_, lambda _: Answer(payload, confidence), **options)


def crashes(id_, **options):
    def fail(task):
        raise ValueError("no")

    return Expert(id_, fail, **options)


def never(id_, seen=None, **options):
    """An expert that answers only after a minute, and notes that it was cancelled."""

    async def wait(task):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if seen is not None:
                seen.append(id_)
            raise
        return Answer("late", 1)

    return Expert(id_, wait, **options)


def run(*args, **options):
    verdict = asyncio.run(decide(*args, **options))
    check_replays(verdict)
    return verdict


def check_replays(verdict):
    """What was decided is what replay computes from the sealed bytes, and nothing else is."""
    body = parse(canonical(verdict.body))
    replay(verdict.kind, body)
    spoilt = parse(canonical(verdict.body))
    spoilt["verdict"]["support_exact"] = "1/97"
    with pytest.raises(VerificationError):
        replay(verdict.kind, spoilt)


def ratifies(question):
    return Answer(True if "ratify" in question else "d", 1)


def two_against_one():
    return [says("a", "yes"), says("b", "yes"), says("c", "no")]


def split():
    return [says("a", "yes"), says("b", "no"), crashes("c")]


def test_a_quorum_commits():
    verdict = run(two_against_one(), TASK, Arbiter(quorum=0.66))
    assert verdict.kind == "decision"
    assert isinstance(verdict.outcome, Decision)
    assert verdict.outcome.consensus == "yes"
    assert verdict.outcome.dissenting == ("c",)
    assert [p.expert_id for p in verdict.proposals] == ["a", "b", "c"]
    assert {s.name for s in verdict.trace.spans} >= {"a", "b", "c"}
    assert "parent" not in verdict.body


def test_a_refusal_is_returned_and_not_raised():
    verdict = run(split(), TASK, Arbiter(quorum=0.66))
    assert verdict.kind == "refusal"
    assert isinstance(verdict.outcome, Tally)
    assert [a.expert_id for a in verdict.outcome.absent] == ["c"]


def test_task_and_panel_stand_in_the_body_of_the_verdict_that_stands():
    task = {"id": "t", "input_digest": digest(TASK)}
    policy = Policy("widen", reserve=(says("d", "yes", weight=4),))
    verdict = run(split(), TASK, Arbiter(), policy=policy, task=task, panel="0" * 64)
    assert verdict.body["task"] == task
    assert verdict.body["panel"] == "0" * 64
    assert {"task", "panel"}.isdisjoint(verdict.body["parent"])


def test_weights_come_from_the_plan_and_are_sealed():
    weights = {"a": Fraction(1, 10), "b": Fraction(1, 10), "c": Fraction(8, 10)}
    verdict = run(two_against_one(), TASK, Arbiter(quorum=0.66), weights=weights)
    assert verdict.outcome.consensus == "no"
    assert verdict.body["roster"] == {"a": "1/10", "b": "1/10", "c": "4/5"}


# -- first to quorum


@pytest.mark.parametrize("policy", [Policy(), Policy("fallback", fallback="a")])
def test_first_to_quorum_stops_asking_when_the_verdict_is_certain(policy):
    seen = []
    experts = [
        says("a", "yes", 1), says("b", "yes", 1), says("c", "yes", 1), never("d", seen),
    ]  # fmt: skip
    verdict = run(experts, TASK, FirstToQuorumArbiter(0.66), policy=policy)
    assert verdict.outcome.consensus == "yes"
    assert seen == ["d"]
    assert verdict.outcome.absent == ()
    assert [p.expert_id for p in verdict.proposals.pending] == ["d"]
    assert verdict.body["pending"] == [{"expert_id": "d", "route_weight": "1"}]


def test_first_to_quorum_stops_asking_when_nothing_can_be_committed_any_more():
    seen = []
    experts = [says("a", "yes", 1), says("b", "no", 1), never("c", seen)]
    verdict = run(experts, TASK, FirstToQuorumArbiter(0.7))
    assert verdict.kind == "refusal"
    assert seen == ["c"]
    assert verdict.outcome.absent == ()


def test_a_policy_that_goes_on_hears_everybody_before_it_does():
    experts = [says("a", "yes", 1), says("b", "no", 1), says("c", "no", 1)]
    reserve = (says("d", "no", 1), says("e", "no", 1))
    policy = Policy("widen", reserve=reserve)
    verdict = run(experts, TASK, FirstToQuorumArbiter(0.7), policy=policy)
    assert verdict.outcome.consensus == "no"
    assert "pending" not in verdict.body["parent"]


def test_the_wider_round_of_first_to_quorum_stops_early_too():
    seen = []
    experts = [says("a", "yes", 1), says("b", "no", 1)]
    reserve = (says("d", "no", 1, weight=4), never("e", seen))
    policy = Policy("widen", reserve=reserve)
    verdict = run(experts, TASK, FirstToQuorumArbiter(0.66), policy=policy)
    assert verdict.outcome.consensus == "no"
    assert seen == ["e"]


def test_the_wider_round_counts_what_was_said_before_it():
    async def late(task):
        await asyncio.sleep(0.05)
        return Answer("yes", 1)

    # Among the reserve alone, the first answer of the two would settle it.
    reserve = (says("d", "yes", 1), Expert("e", late, weight=0.3))
    experts = [says("a", "yes", 1), says("b", "no", 1)]
    policy = Policy("widen", reserve=reserve)
    verdict = run(experts, TASK, FirstToQuorumArbiter(0.66), policy=policy)
    assert verdict.outcome.engaged == ("a", "b", "d", "e")
    assert verdict.outcome.consensus == "yes"


# -- synthesis


class Panel:
    """Experts that merge and ratify, and remember what they were asked."""

    def __init__(self, merged="merged", yes=("a", "b", "c"), word=lambda question: True):
        self.merged, self.yes, self.word = merged, yes, word
        self.asked = {}
        self.experts = [self.expert(name, f"answer {name}") for name in "abc"]
        self.synthesizer = Expert("s", self.merge)

    def expert(self, name, payload):
        def answer(question):
            if "ratify" not in question:
                return Answer(payload, 0.5, 1)
            self.asked[name] = question
            if name not in self.yes:
                raise ValueError("no word")
            return Answer(self.word(question), 1, 2)

        return Expert(name, answer)

    def merge(self, question):
        self.asked["s"] = question
        return Answer(self.merged, 1, 10)

    def run(self, arbiter=None, **options):
        arbiter = arbiter or SynthesisArbiter(0.66, synthesizer="s")
        return run(self.experts, TASK, arbiter, synthesizer=self.synthesizer, **options)


def test_a_merge_that_the_proposers_ratify_is_committed():
    panel = Panel()
    verdict = panel.run()
    assert verdict.outcome.consensus == "merged"
    assert verdict.outcome.cost == 3 + 10 + 6
    assert verdict.body["merge"]["ratified"] == ["a", "b", "c"]
    assert panel.asked["a"] == {"task": TASK, "ratify": "merged", "digest": digest("merged")}


def test_the_synthesizer_sees_every_proposal_and_no_name():
    panel = Panel()
    panel.run()
    seen = panel.asked["s"]
    assert seen["task"] == TASK
    told = [
        {"payload": f"answer {n}", "route_weight": "1", "confidence": "1/2", "vote": "1/2"}
        for n in "abc"
    ]
    assert sorted(seen["proposals"], key=str) == sorted(told, key=str)
    digests = [digest(one["payload"]) for one in seen["proposals"]]
    assert digests == sorted(digests)


def test_the_digest_itself_ratifies():
    assert Panel(word=lambda q: q["digest"]).run().kind == "decision"


@pytest.mark.parametrize("word", [1, 1.0, "true", "merged", False, None, [True], "0" * 64])
def test_any_other_word_declines(word):
    verdict = Panel(word=lambda _: word).run()
    assert verdict.kind == "refusal"
    assert verdict.outcome.reason == "not_ratified"
    assert verdict.body["merge"]["declined"] == ["a", "b", "c"]


def test_who_does_not_answer_has_not_ratified():
    verdict = Panel(yes=("a",)).run()
    assert verdict.outcome.reason == "not_ratified"
    assert verdict.body["merge"]["ratified"] == ["a"]
    assert verdict.body["merge"]["declined"] == []
    assert Panel(yes=("a", "b")).run().kind == "decision"


def test_a_synthesizer_without_an_answer_leaves_a_refusal():
    panel = Panel()
    panel.synthesizer = crashes("s")
    verdict = panel.run()
    assert verdict.outcome.reason == "no_merge"
    assert "merge" not in verdict.body


def test_where_nobody_proposes_nobody_merges():
    panel = Panel()
    panel.experts = [crashes("a"), crashes("b")]
    verdict = panel.run()
    assert verdict.kind == "refusal"
    assert "s" not in panel.asked


def test_a_merge_without_ratification_must_be_declared_and_says_so():
    panel = Panel()
    verdict = panel.run(SynthesisArbiter(0.66, synthesizer="s", ratify=False))
    assert verdict.outcome.consensus == "merged"
    assert verdict.outcome.by_quorum is False
    assert set(panel.asked) == {"s"}


def test_an_expert_of_the_roster_can_be_the_synthesizer():
    panel = Panel()

    def both(question):
        if "proposals" in question:
            return panel.merge(question)
        return Answer(True if "ratify" in question else "answer s", 1)

    experts = [*panel.experts, Expert("s", both)]
    verdict = run(experts, TASK, SynthesisArbiter(0.66, synthesizer="s"))
    assert verdict.outcome.consensus == "merged"
    assert verdict.body["merge"]["ratified"] == ["a", "b", "c", "s"]


def test_a_synthesizer_that_is_not_there_is_refused_before_anybody_is_asked():
    asked = []
    expert = Expert("a", lambda task: asked.append(task) or Answer(1, 1))
    for options in ({}, {"synthesizer": says("other", 1)}):
        with pytest.raises(UsageError, match="synthesizer is 's'"):
            run([expert], TASK, SynthesisArbiter(synthesizer="s"), **options)
    assert not asked


def test_functions_of_the_arbiter_itself_merge_and_ratify():
    asked = []

    def merge(proposals):
        return [one["expert_id"] for one in proposals]

    def ratify(name, payload):
        asked.append((name, payload))
        return name != "c"

    verdict = run(two_against_one(), TASK, SynthesisArbiter(0.66, merge=merge, ratify=ratify))
    assert verdict.outcome.consensus == ["a", "b", "c"]
    assert verdict.body["merge"]["declined"] == ["c"]
    assert sorted(name for name, _ in asked) == ["a", "b", "c"]
    assert all(payload == ["a", "b", "c"] for _, payload in asked)


def test_costs_that_share_no_small_denominator_do_not_break_a_merge():
    panel = Panel()
    parts = iter([Fraction(1, 7), Fraction(1, 11), Fraction(1, 13), Fraction(1, 17)])
    panel.merge = lambda q: Answer("merged", 1, next(parts))
    panel.synthesizer = Expert("s", panel.merge)
    panel.experts = [
        Expert(n, lambda q: Answer(True if "ratify" in q else "x", 1, next(parts, 0)))
        for n in "abc"
    ]
    parts = iter([0, 0, 0, Fraction(1, 7), Fraction(1, 11), Fraction(1, 13), Fraction(1, 17)])
    assert panel.run().kind == "decision"


# -- after a refusal


def test_widening_folds_all_proposals_together_and_keeps_the_refusal():
    policy = Policy(
        "widen", reserve=(says("d", "yes", weight=4), crashes("e", weight=Fraction(1, 2)))
    )
    verdict = run(split(), TASK, Arbiter(quorum=0.6), policy=policy)
    assert verdict.outcome.consensus == "yes"
    assert verdict.outcome.engaged == ("a", "b", "d")
    assert [a.expert_id for a in verdict.outcome.absent] == ["c", "e"]
    weak = verdict.body["parent"]
    assert weak["verdict"]["status"] == "refused"
    assert verdict.outcome.parent == digest(weak["verdict"])


def test_a_wider_round_may_be_refused_too():
    verdict = run(split(), TASK, Arbiter(), policy=Policy("widen", reserve=(says("d", "other"),)))
    assert verdict.kind == "refusal"
    assert len(verdict.body["proposals"]) == 3


def test_nobody_of_the_reserve_is_asked_where_a_quorum_is_there():
    asked = []
    late = Expert("d", lambda task: asked.append(task) or Answer(1, 1))
    run(two_against_one(), TASK, Arbiter(), policy=Policy("widen", reserve=(late,)))
    assert not asked


def test_the_fallback_is_one_of_the_roster_and_its_decision_says_so():
    verdict = run(split(), TASK, Arbiter(), policy=Policy("fallback", fallback="b"))
    assert verdict.outcome.consensus == "no"
    assert verdict.outcome.by_quorum is False
    assert verdict.body["rule"] == "fallback/1"
    assert verdict.body["parameters"]["expert"] == "b"


def test_a_fallback_that_was_not_asked_is_asked():
    trusted = says("trusted", "as I say")
    verdict = run(split(), TASK, Arbiter(), policy=Policy("fallback", fallback=trusted))
    assert verdict.outcome.consensus == "as I say"
    assert "trusted" in verdict.body["roster"]
    assert "trusted" not in verdict.body["parent"]["roster"]


def test_a_fallback_without_an_answer_leaves_a_refusal():
    verdict = run(split(), TASK, Arbiter(), policy=Policy("fallback", fallback="c"))
    assert verdict.kind == "refusal"
    assert verdict.outcome.reason == "no_fallback"


def test_escalation_folds_the_consultation_in():
    policy = Policy("escalate", consult=(says("p", "no"), says("q", "no")), consult_weight=4)
    verdict = run(split(), TASK, Arbiter(quorum=0.6), policy=policy)
    assert verdict.outcome.consensus == "no"
    assert "peer-consult" in verdict.outcome.engaged
    assert verdict.body["consultation"]["expert_id"] == "peer-consult"
    assert verdict.body["consultation"]["body"]["roster"] == {"p": "1", "q": "1"}
    assert verdict.consultation.verdict.consensus == "no"


def test_a_consultation_without_a_quorum_leaves_a_refusal():
    policy = Policy("escalate", consult=(says("p", "no"), says("q", "yes")), consult_weight=4)
    verdict = run(split(), TASK, Arbiter(quorum=0.6), policy=policy)
    assert verdict.kind == "refusal"
    assert [a.expert_id for a in verdict.outcome.absent] == ["c", "peer-consult"]


@pytest.mark.parametrize(
    "arbiter", [WeightedQuorumArbiter, RankedRunoffArbiter, FirstToQuorumArbiter]
)
@pytest.mark.parametrize(
    "policy",
    [
        Policy("widen", reserve=(says("d", "yes", 1, weight=9),)),
        Policy("escalate", consult=(says("d", "yes", 1),), consult_weight=9),
        Policy("fallback", fallback="a"),
    ],
)
def test_every_policy_follows_every_protocol(arbiter, policy):
    verdict = run(split(), TASK, arbiter(0.7), policy=policy)
    assert verdict.outcome.consensus == "yes"
    assert verdict.outcome.parent


@pytest.mark.parametrize(
    "policy",
    [
        Policy(
            "widen",
            reserve=(Expert("d", lambda q: Answer(True if "ratify" in q else "d", 1), weight=9),),
        ),
        Policy("escalate", consult=(says("d", "merged", 1),), consult_weight=9),
        Policy("fallback", fallback="a"),
    ],
)
def test_every_policy_follows_a_synthesis_that_was_not_ratified(policy):
    verdict = Panel(yes=()).run(policy=policy)
    assert verdict.outcome.parent
    fallen_back = policy.on_under_quorum == "fallback"
    assert verdict.outcome.consensus == ("answer a" if fallen_back else "merged")


def test_a_consultation_that_says_otherwise_does_not_ratify_a_merge():
    policy = Policy("escalate", consult=(says("d", "something else", 1),), consult_weight=9)
    verdict = Panel(yes=()).run(policy=policy)
    assert verdict.kind == "refusal"
    assert verdict.body["merge"]["declined"] == ["peer-consult"]


@pytest.mark.parametrize(
    ("policy", "told"),
    [
        (Policy("widen"), "the reserve is empty"),
        (Policy("widen", reserve=(says("a", 1),)), "'a' is of the roster and of the reserve"),
        (Policy("escalate", consult=(says("a", 1),)), "'a' is of the roster and of those"),
        (Policy("escalate", consult=(says("p", 1),), consult_to="b"), "'b' is of the roster"),
        (Policy("fallback", fallback="x"), "the fallback is 'x'"),
    ],
)
def test_what_could_not_be_carried_out_is_refused_before_anybody_is_asked(policy, told):
    asked = []
    experts = [Expert(n, lambda task: asked.append(task) or Answer(1, 1)) for n in "ab"]
    with pytest.raises(UsageError, match=told):
        run(experts, TASK, Arbiter(), policy=policy)
    assert not asked


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"on_under_quorum": "retry"}, "'retry'"),
        ({"on_under_quorum": "fallback"}, "no fallback"),
        ({"on_under_quorum": "escalate"}, "nobody"),
        ({"reserve": "ab"}, "reserve is a str"),
        ({"reserve": ("a",)}, "reserve holds a str"),
        ({"reserve": (says("a", 1), says("a", 1))}, "'a' stands twice"),
        ({"consult_weight": -1}, "consult_weight is -1"),
        ({"consult_weight": 2**53}, "consult_weight"),
        ({"consult_quorum": 0}, "consult_quorum is 0"),
        ({"consult_quorum": 1.01}, "consult_quorum is 1.01"),
        ({"consult_to": ""}, "consult_to"),
        ({"fallback": ""}, "fallback expert"),
    ],
)
def test_a_policy_is_checked(options, told):
    with pytest.raises(UsageError, match=told):
        Policy(**options)


# -- means


def test_one_deadline_holds_for_all_that_is_asked():
    seen = []
    policy = Policy("widen", reserve=(never("d", seen), says("e", "yes", weight=9)))
    verdict = run([never("a", seen)], TASK, Arbiter(), policy=policy, deadline=0.05)
    assert verdict.kind == "refusal"
    assert [a.reason for a in verdict.outcome.absent] == ["timeout", "timeout", "timeout"]
    assert seen == ["a"]
    assert "before it was asked" in verdict.outcome.absent[1].detail


def test_one_ceiling_of_cost_holds_for_all_that_is_asked():
    def costs(id_, cost):
        return Expert(id_, lambda _: Answer(id_, 1, cost))

    policy = Policy("widen", reserve=(costs("c", 3), never("d")))
    verdict = run([costs("a", 3), costs("b", 3)], TASK, Arbiter(), policy=policy, max_cost=7)
    reasons = {a.expert_id: a.reason for a in verdict.outcome.absent}
    assert reasons == {"d": "over_budget"}
    assert run([costs("a", 3)], TASK, Arbiter(), max_cost=3).kind == "decision"


@pytest.mark.parametrize("options", [{"deadline": 0}, {"max_cost": -1}, {"max_tokens": -1}])
def test_means_are_checked(options):
    with pytest.raises(UsageError):
        run([says("a", 1)], TASK, Arbiter(), **options)


def test_cancelling_stops_whoever_is_being_asked():
    seen = []
    asked = asyncio.Event()

    async def hangs(task):
        asked.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("a")
            raise

    async def main():
        asking = asyncio.ensure_future(decide([Expert("a", hangs)], TASK, Arbiter()))
        await asyncio.wait_for(asked.wait(), 60)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    asyncio.run(main())
    assert seen == ["a"]


def test_a_later_verdict_too_large_to_be_sealed_leaves_the_refusal(monkeypatch):
    monkeypatch.setattr(limits, "MAX_BODY_BYTES", 16_000)
    policy = Policy("widen", reserve=(says("d", "y" * 6000, weight=9),))
    verdict = run(split(), TASK, Arbiter(), policy=policy)
    assert verdict.kind == "refusal"
    assert "parent" not in verdict.body
    monkeypatch.setattr(limits, "MAX_BODY_BYTES", 64_000)
    assert run(split(), TASK, Arbiter(), policy=policy).kind == "decision"
