"""A weak verdict put to others, people among them, and their verdict folded back in."""

import asyncio
from fractions import Fraction

import pytest

from quorate.arbitration import Absence, Arbiter, Decision, Proposal, UnderQuorum
from quorate.arbitration.sealed import replay
from quorate.core import limits
from quorate.core.canonical import canonical, digest, parse
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError, VerificationError
from quorate.hub import Answer, Expert
from quorate.hub.escalation import escalate

ARBITER = Arbiter(quorum=0.66)
WEAK = [
    Proposal("a", "yes", 0.9, 2),
    Proposal("b", "no", 0.9, 1),
    Proposal("c", {"deep": ["no"]}, 0.5, 1),
]
AWAY = [Absence("d", 1, "crashed")]


def weak():
    with pytest.raises(UnderQuorum) as caught:
        ARBITER.arbitrate(WEAK, AWAY)
    return caught.value


def consult(**options):
    given = {"people": ("eve", "joe"), "weight": 5, "task": "which?", **options}
    return escalate(weak(), arbiter=ARBITER, proposals=WEAK, absent=AWAY, **given)


def check_replays(consultation):
    kind = "decision" if isinstance(consultation.outcome, Decision) else "refusal"
    replay(kind, parse(canonical(consultation.body)))


def says(id_, payload, seen=None, **options):
    def answer(question):
        if seen is not None:
            seen.append(question)
        return Answer(payload, 0.9)

    return Expert(id_, answer, **options)


def test_people_answer_and_their_verdict_is_one_more_proposal():
    consultation = consult()
    assert consultation.waiting_for == ("eve", "joe")
    consultation.answer("eve", "yes")
    consultation.answer("joe", "yes", 0.8, cost=3)
    assert consultation.waiting_for == ()
    decision = consultation.resolve()
    assert decision.consensus == "yes"
    assert decision.engaged == ("a", "b", "c", "peer-consult")
    assert decision.parent == digest(weak().tally.to_dict())
    assert decision.cost == 3
    voice = next(p for p in consultation.proposals if p.expert_id == "peer-consult")
    assert (voice.payload, voice.exact_weight, voice.exact_confidence) == ("yes", 5, 1)
    assert consultation.verdict.engaged == ("eve", "joe")
    check_replays(consultation)


def test_the_body_holds_the_weak_verdict_and_the_consultation_whole():
    consultation = consult()
    consultation.answer("eve", "yes")
    consultation.answer("joe", "yes")
    consultation.resolve()
    body = consultation.body
    assert body["parent"]["verdict"] == weak().tally.to_dict()
    assert body["consultation"]["body"]["verdict"]["status"] == "committed"
    for path in (
        ("parent", "verdict", "support_exact"),
        ("consultation", "body", "verdict", "support_exact"),
        ("consultation", "route_weight"),
        ("consultation", "expert_id"),
    ):
        spoilt = parse(canonical(body))
        place = spoilt
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = "1/3"
        with pytest.raises(VerificationError):
            replay("decision", spoilt)


def test_without_a_quorum_among_those_consulted_the_consultation_is_absent():
    consultation = consult()
    consultation.answer("eve", "yes")
    with pytest.raises(UnderQuorum) as caught:
        consultation.resolve()
    tally = caught.value.tally
    assert [(a.expert_id, a.reason) for a in tally.absent] == [
        ("d", "crashed"),
        ("peer-consult", "void"),
    ]
    assert tally.absent[1].exact_weight == 5
    assert [(a.expert_id, a.reason) for a in consultation.consulted.absent] == [("joe", "timeout")]
    check_replays(consultation)


def test_those_consulted_see_candidates_dissent_and_reason_but_no_names():
    seen = []
    consultation = consult(people=(), experts=(says("p", "yes", seen), says("q", "yes")))
    asyncio.run(consultation.run())
    assert seen == [consultation.question]
    question = consultation.question
    assert question["task"] == "which?"
    assert [c["payload"] for c in question["candidates"]] == ["yes", "no", {"deep": ["no"]}]
    assert question["candidates"][0] == {
        "digest": digest("yes"),
        "answer": '"yes"',
        "payload": "yes",
        "support": str(Fraction(18, 10) / Fraction(42, 10)),
    }
    assert [d["digest"] for d in question["dissent"]] == [digest("no"), digest({"deep": ["no"]})]
    assert question["absent"] == 1
    assert question["reason"] == weak().tally.message
    assert not {"a", "b", "c", "d"} & set(str(question).replace("'", '"').split('"'))


def test_experts_and_people_are_consulted_together():
    consultation = consult(experts=(says("p", "no", weight=3),), weight=9)
    with pytest.raises(UsageError, match=r"await run\(\) first"):
        consultation.resolve()
    asyncio.run(consultation.run())
    consultation.answer("eve", "yes")
    consultation.answer("joe", "no")
    assert consultation.resolve().consensus == "no"
    assert consultation.verdict.dissenting == ("eve",)
    check_replays(consultation)


def test_people_may_have_weights():
    consultation = consult(people={"eve": 3, "joe": 1})
    consultation.answer("eve", "yes")
    assert consultation.resolve().consensus == "yes"
    assert consultation.body["consultation"]["body"]["roster"] == {"eve": "3", "joe": "1"}


def test_an_expert_that_crashes_is_absent_from_the_consultation():
    def fail(question):
        raise ValueError("no")

    consultation = consult(people=(), experts=(Expert("p", fail), says("q", "yes", weight=4)))
    got = asyncio.run(consultation.run())
    assert [a.reason for a in got.absent] == ["crashed"]
    assert consultation.resolve().consensus == "yes"


def test_who_was_not_asked_has_no_answer():
    consultation = consult(experts=(says("p", "no"),))
    for name in ("mallory", "a", "p", "peer-consult"):
        with pytest.raises(UsageError, match="asked are: eve, joe"):
            consultation.answer(name, "no")
    with pytest.raises(UsageTypeError):
        consultation.answer(7, "no")


def test_the_same_answer_twice_is_refused_and_counts_once():
    consultation = consult()
    consultation.answer("eve", "yes")
    with pytest.raises(UsageError, match="counts once"):
        consultation.answer("eve", "yes")
    consultation.answer("joe", "yes")
    assert consultation.resolve().consensus == "yes"


@pytest.mark.parametrize("second", [("no", 1), ("yes", 0.5)])
def test_two_different_answers_of_one_person_are_equivocation_and_recorded(second):
    consultation = consult(people=("eve", "joe", "zoe"))
    consultation.answer("eve", "yes")
    for _ in range(3):
        with pytest.raises(MisbehaviourError, match="neither counts") as caught:
            consultation.answer("eve", *second)
    assert caught.value.culprit == "eve"
    assert len(caught.value.evidence) == 2
    with pytest.raises(MisbehaviourError):
        consultation.answer("eve", "a third")
    consultation.answer("joe", "yes")
    consultation.answer("zoe", "yes")
    decision = consultation.resolve()
    assert decision.consensus == "yes"
    assert [(a.expert_id, a.reason) for a in consultation.verdict.absent] == [("eve", "void")]
    assert len(consultation.body["consultation"]["body"]["proposals"]) == 4
    check_replays(consultation)


def test_an_answer_that_cannot_be_counted_may_be_given_again():
    consultation = consult()
    for payload, confidence in ((float("nan"), 1), ("yes", 2)):
        with pytest.raises(MisbehaviourError):
            consultation.answer("eve", payload, confidence)
    consultation.answer("eve", "yes")
    consultation.answer("joe", "yes")
    assert consultation.resolve().consensus == "yes"


def test_a_consultation_ends_once():
    consultation = consult(experts=(says("p", "yes"),))
    for name in ("outcome", "verdict", "body", "intake", "proposals", "consulted"):
        with pytest.raises(UsageError, match="not resolved"):
            getattr(consultation, name)
    asyncio.run(consultation.run())
    with pytest.raises(UsageError, match="asked once"):
        asyncio.run(consultation.run())
    consultation.answer("eve", "yes")
    consultation.answer("joe", "yes")
    first = consultation.resolve()
    assert consultation.resolve() is first
    with pytest.raises(UsageError, match="is resolved"):
        consultation.answer("eve", "no")
    with pytest.raises(UsageError, match="is resolved"):
        asyncio.run(consultation.run())


def test_a_run_that_was_cancelled_can_be_made_again():
    async def wait(question):
        await asyncio.sleep(60)

    async def main(consultation):
        asking = asyncio.ensure_future(consultation.run())
        await asyncio.sleep(0.02)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return await consultation.run(deadline=0.02)

    consultation = consult(people=(), experts=(Expert("p", wait),))
    got = asyncio.run(main(consultation))
    assert [a.reason for a in got.absent] == ["timeout"]


def test_experts_are_not_asked_twice_at_once():
    asked = []

    async def main():
        consultation = consult(people=(), experts=(says("p", "yes", asked),))
        return await asyncio.gather(consultation.run(), consultation.run(), return_exceptions=True)

    got = asyncio.run(main())
    assert len(asked) == 1
    assert [isinstance(one, UsageError) for one in got] == [False, True]


def test_of_a_runoff_the_option_itself_is_shown_and_not_what_its_voter_ranked_first():
    arbiter = Arbiter("ranked-runoff", 0.9, options=["x", "y", "z", "w"])
    proposals = [Proposal("a", "y", 1, 0, ranking=["y", "w", "x"])]
    with pytest.raises(UnderQuorum) as caught:
        arbiter.arbitrate(proposals)
    consultation = escalate(caught.value, arbiter=arbiter, proposals=proposals, people=("eve",))
    first = consultation.question["candidates"][0]
    assert first["payload"] == "w"
    assert first["digest"] == digest(first["payload"])


def test_where_only_people_are_consulted_there_is_nobody_to_run():
    with pytest.raises(UsageError, match="people answer by"):
        asyncio.run(consult().run())


def test_a_weak_decision_can_be_escalated_too():
    proposals = [Proposal("a", "yes", 1, 7), Proposal("b", "no", 1, 3)]
    decision = ARBITER.arbitrate(proposals)
    consultation = escalate(
        decision, "second-look", arbiter=ARBITER, proposals=proposals, people=("eve",), weight=20
    )
    assert "a stronger one is asked for" in consultation.question["reason"]
    consultation.answer("eve", "no")
    later = consultation.resolve()
    assert later.consensus == "no"
    assert later.parent == digest(decision.to_dict())
    assert consultation.body["parent"]["verdict"]["status"] == "committed"
    check_replays(consultation)


def test_a_consultation_folds_by_the_normaliser_of_the_weak_verdict():
    arbiter = Arbiter(quorum=0.66, normalize="text")
    proposals = [Proposal("a", "Yes ", 1, 1), Proposal("b", "no", 1, 1)]
    with pytest.raises(UnderQuorum) as caught:
        arbiter.arbitrate(proposals)
    consultation = escalate(
        caught.value, arbiter=arbiter, proposals=proposals, people=("eve", "joe"), weight=2
    )
    consultation.answer("eve", "YES")
    consultation.answer("joe", "yes")
    assert consultation.resolve().dissenting == ("b",)
    check_replays(consultation)


def test_the_costs_of_a_consultation_may_share_no_small_denominator():
    consultation = consult(people=("eve", "joe", "zoe"))
    for name, part in (("eve", 7), ("joe", 11), ("zoe", 13)):
        consultation.answer(name, "yes", cost=Fraction(1, part))
    consultation.resolve()
    check_replays(consultation)


def test_what_is_sealed_of_the_weak_verdict_can_be_given():
    from quorate.arbitration.sealed import body_of

    sealed = body_of(weak(), ARBITER, WEAK, AWAY, task={"id": "t", "input_digest": "0" * 64})
    consultation = consult(body=sealed)
    consultation.answer("eve", "yes")
    consultation.answer("joe", "yes")
    consultation.resolve()
    assert "task" not in consultation.body["parent"]
    check_replays(consultation)
    with pytest.raises(UsageError, match="not the weak verdict's"):
        consult(body={**sealed, "verdict": {}})


def test_only_so_many_candidates_are_shown_whole():
    count = limits.MAX_CANDIDATES + 1
    proposals = [Proposal(f"e{n:03}", n, 1, 1) for n in range(count)]
    with pytest.raises(UnderQuorum) as caught:
        ARBITER.arbitrate(proposals)
    consultation = escalate(caught.value, arbiter=ARBITER, proposals=proposals, people=("eve",))
    assert len(consultation.question["candidates"]) == limits.MAX_CANDIDATES
    assert len(consultation.question["dissent"]) == count - 1
    with pytest.raises(UnderQuorum) as caught:
        ARBITER.arbitrate(proposals[:-1])
    consultation = escalate(
        caught.value, arbiter=ARBITER, proposals=proposals[:-1], people=("eve",)
    )
    assert len(consultation.question["candidates"]) == limits.MAX_CANDIDATES


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"people": ()}, "0 are consulted; 1 to"),
        ({"people": "eve"}, "people is a text"),
        ({"people": 3}, "people is a int"),
        ({"people": ("eve", "eve")}, "'eve' stands twice"),
        ({"people": {"eve": -1}}, "the weight of eve"),
        ({"people": ("eve",), "experts": (says("eve", 1),)}, "'eve' is consulted twice"),
        ({"people": ("a",)}, "'a' is of the roster"),
        ({"people": ("d",)}, "'d' is of the roster"),
        ({"experts": (says("b", 1),)}, "'b' is of the roster"),
        ({"to": "a"}, "'a' is an expert's id"),
        ({"to": "eve"}, "'eve' is an expert's id"),
        ({"to": ""}, "to has 0 characters"),
        ({"weight": -1}, "weight is -1"),
        ({"weight": 2**53}, "weight is"),
        ({"weight": "5"}, "weight"),
        ({"quorum": 0}, "quorum is 0"),
        ({"people": [f"p{n}" for n in range(limits.MAX_REPLICAS + 1)]}, "1 to 1024"),
    ],
)
def test_what_is_declared_is_checked(options, told):
    with pytest.raises(UsageError, match=told):
        consult(**options)


def test_the_weak_verdict_must_follow_from_the_proposals():
    with pytest.raises(UsageError, match="does not follow"):
        escalate(weak(), arbiter=ARBITER, proposals=WEAK[:2], absent=AWAY, people=("eve",))
    with pytest.raises(UsageTypeError, match="weak is a str"):
        escalate("weak", arbiter=ARBITER, proposals=WEAK, people=("eve",))
