"""Sealed verdicts of every protocol: what replays, and what any change to one leaf does."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rosters import intake_of, same_again, through_json, waiting
from test_arbitration_sealed import at, leaves, others

from quorate.arbitration import (
    Absence,
    Arbiter,
    Decision,
    FallbackArbiter,
    FirstToQuorumArbiter,
    Merge,
    Pending,
    Proposal,
    RankedRunoffArbiter,
    SynthesisArbiter,
    Tally,
    UnderQuorum,
    WeightedQuorumArbiter,
    gather,
)
from quorate.arbitration.sealed import body_of, kind_of, replay
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.independence import Independence

ROWS = [("ann", "x", 0.9, 2), ("bob", "X ", 0.8, 1), ("cyd", "y", 0.5, 1), ("dee", None, 1, 1)]
INDEPENDENCE = Independence({"ann": {"host": "h1"}, "bob": {"host": "h1"}}, 0.25, 12)
PLAN = {
    "router": "declared/1",
    "signature": {"capabilities": []},
    "scores": {"ann": "1", "bob": "1/2", "cyd": "-1/3", "dee": "0", "out": "1/9"},
    "weights": {"ann": "2", "bob": "1", "cyd": "1", "dee": "1"},
    "gate": {"top_k": 4},
}
SOURCES = [digest("x"), digest("X "), digest("y")]
MERGED = Merge("syn", {"m": 1}, SOURCES, 2, ["ann", "bob"], ["cyd"])


class Sent(list):
    """Proposals as a session gives them back."""

    absent = (Absence("dee", 1, "timeout"),)
    pending = ()
    independence = None


def seal(arbiter, intake, **more):
    outcome = arbiter.fold(intake)
    body = through_json(body_of(outcome, arbiter, intake, **more))
    same_again(outcome)
    return kind_of(outcome), body


def by_case(payload):
    return None if payload == "y" else payload.strip().lower()


def ranked():
    sent = [
        Proposal("ann", "x", 0.9, 2, ranking=["x", "y"]),
        Proposal("bob", "z", 0.8, 1, ranking=["z", "y"]),
        Proposal("cyd", "y", 0.5, 1, ranking=["y", "z", "x"]),
        Proposal("eve", "x", 0.5, 1, ranking=["y", "x"]),
    ]
    return gather(sent, [Absence("dee", 0.1, "crashed", "boom")])


WEAK = seal(WeightedQuorumArbiter(0.9), intake_of(ROWS), plan=PLAN)[1]
INNER_SENT = [Proposal("p1", "x", 1, 1, 0.1), Proposal("p2", "x", 1, 1, 0.2)]
INNER = seal(WeightedQuorumArbiter(0.6), gather(INNER_SENT))[1]
VOICE = Proposal("peer-consult", "x", 1, 2, 0.3)
CONSULTED = {"expert_id": "peer-consult", "route_weight": "2", "body": INNER}
INNER_REFUSED = seal(
    WeightedQuorumArbiter(0.6), gather([Proposal("p1", "x", 1, 1)], [Absence("p2", 3, "timeout")])
)[1]


def escalated(*, said=VOICE, told=CONSULTED, parent=WEAK):
    proposals, away = ([said], []) if isinstance(said, Proposal) else ([], [said])
    intake = intake_of(ROWS)
    again = gather([*intake.proposals, *proposals], [*intake.absences, *away])
    return replace(again, parent=parent, consultation=told)


CASES = {
    "weighted": seal(
        WeightedQuorumArbiter(0.5, normalize="text"),
        intake_of(ROWS, independence=INDEPENDENCE),
        plan=PLAN,
    ),
    "own function": seal(WeightedQuorumArbiter(0.5, normalize=by_case), intake_of(ROWS)),
    "runoff": seal(RankedRunoffArbiter(0.4), ranked()),
    "runoff, declared": seal(
        RankedRunoffArbiter(0.9, options=["x", "y", "z"], normalize="text"), ranked()
    ),
    "early": seal(FirstToQuorumArbiter(0.5), intake_of(ROWS[:2] * 1, [("eve", 0, 0, 0.1)])),
    "early, fast": seal(
        FirstToQuorumArbiter(0.5, early="fast", normalize="text"),
        intake_of(ROWS[:3], [("eve", 0, 0, 0.5)]),
    ),
    "early, open": seal(FirstToQuorumArbiter(), intake_of(ROWS[:1], [("eve", 0, 0, 5)])),
    "synthesis": seal(SynthesisArbiter(0.6, synthesizer="syn"), intake_of(ROWS, merge=MERGED)),
    "synthesis, not ratified": seal(
        SynthesisArbiter(0.7, synthesizer="syn"), intake_of(ROWS, merge=MERGED)
    ),
    "synthesis, unasked": seal(
        SynthesisArbiter(0.6, synthesizer="syn", ratify=False),
        intake_of(ROWS, merge=Merge("syn", 1, SOURCES)),
    ),
    "synthesis, no merge": seal(SynthesisArbiter(0.6), intake_of(ROWS)),
    "fallback": seal(FallbackArbiter("bob", 0.9), intake_of(ROWS, parent=WEAK)),
    "no fallback": seal(FallbackArbiter("dee", 0.9), intake_of(ROWS, parent=WEAK)),
    "widened": seal(
        WeightedQuorumArbiter(0.5), intake_of([*ROWS, ("eve", "x", 1, 3)], parent=WEAK)
    ),
    "escalated": seal(WeightedQuorumArbiter(0.5), escalated()),
    "escalated in vain": seal(
        WeightedQuorumArbiter(0.9),
        escalated(
            said=Absence("peer-consult", 2, "void", "no quorum among them"),
            told={**CONSULTED, "body": INNER_REFUSED},
        ),
    ),
}

# What no verdict follows from; bound by the entry's hash alone.
UNKNOWABLE = {
    "weighted": {
        "$.plan.router",
        "$.plan.signature.capabilities",
        "$.plan.scores.ann",
        "$.plan.scores.bob",
        "$.plan.scores.cyd",
        "$.plan.scores.dee",
        "$.plan.scores.out",
        "$.plan.gate.top_k",
    },
    "runoff": {
        # A void proposal's ranking: whatever stands there, it does not begin with its payload.
        "$.proposals[3].ranking[0]",
        "$.proposals[3].ranking[1]",
        # Later places whose ballots stay with their first, or that name what is nobody's first.
        "$.proposals[0].ranking[1]",
        "$.proposals[1].ranking[1]",
        "$.proposals[2].ranking[2]",
    },
}


def caught(kind, forged):
    try:
        replay(kind, forged)
    except VerificationError as error:
        return error.rule == "replay"
    return False


@pytest.mark.parametrize("name", CASES)
def test_what_was_sealed_replays(name):
    kind, body = CASES[name]
    replay(kind, body)
    assert body["verdict"]["trace"]["rule"] == body["rule"]
    read = Decision if kind == "decision" else Tally
    assert canonical(read.from_dict(body["verdict"]).to_dict()) == canonical(body["verdict"])


def test_both_kinds_are_among_the_cases():
    assert {kind for kind, _ in CASES.values()} == {"decision", "refusal"}
    assert len({body["rule"] for _, body in CASES.values()}) == 5


@pytest.mark.parametrize("name", CASES)
def test_every_leaf_changed_alone_fails(name):
    kind, body = CASES[name]
    survived = set()
    inside = name in ("no fallback", "widened", "escalated", "escalated in vain")
    for path in leaves(body):
        if path.startswith("$.parent.") and inside:
            continue  # as under fallback
        holder, last = at(body, path)
        for other in others(holder[last])[:2]:
            if canonical(other) == canonical(holder[last]):
                continue
            place, key = at(body, path)
            kept, place[key] = place[key], other
            try:
                if not caught(kind, body):
                    survived.add(path)
            finally:
                place[key] = kept
    plan = {path.replace("$.", "$.parent.") for path in UNKNOWABLE["weighted"]}
    assert survived == (plan if name == "fallback" else UNKNOWABLE.get(name, set()))


@pytest.mark.parametrize("name", CASES)
def test_every_key_removed_and_every_key_added_fails(name):
    kind, body = CASES[name]
    for key in body:
        forged = {k: v for k, v in body.items() if k != key}
        # Without a record of panels nothing says that others were planned or consulted.
        if key not in ("plan", "consultation"):
            assert caught(kind, forged), key
    for key in ("pending", "independence", "merge", "normal", "plan", "parent", "consultation"):
        if key not in body:
            for value in (None, [], {}, 1):
                assert caught(kind, {**body, key: value}), key
    assert caught(kind, {**body, "extra": 1})


def test_a_caller_s_own_table_is_all_that_replay_needs():
    _, body = CASES["own function"]
    table = body["normal"]
    assert table == {
        digest("x"): digest("x"),
        digest("X "): digest("x"),
        digest("y"): None,
    }
    assert body["parameters"] == {"quorum": "1/2", "normalize": "custom"}
    for change in ({digest("new"): None}, {digest("x"): "x"}, {"x": None}):
        assert caught("decision", {**body, "normal": {**table, **change}})
    counted = []
    context = SimpleNamespace(
        note_own_normaliser=lambda: counted.append(1),
        note_unbound=lambda: None,
        note_correlation=lambda: None,
    )
    replay("decision", body, context)
    replay("decision", CASES["weighted"][1], context)
    assert counted == [1]


def test_a_function_that_wavers_is_refused_when_sealed():
    calls = []

    def wavers(payload):
        calls.append(payload)
        return len(calls) if payload == "x" and len(calls) > 4 else payload

    arbiter = WeightedQuorumArbiter(0.1, normalize=wavers)
    sent = [Proposal("a", "x", 1, 1), Proposal("b", "y", 1, 2), Proposal("c", "z", 1, 1)]
    outcome = arbiter.arbitrate(sent)
    calls += [0, 0]
    with pytest.raises(UsageError, match="does not follow"):
        body_of(outcome, arbiter, sent)


def test_proposals_carry_what_is_sealed_with_them():
    sent = Sent(intake_of(ROWS).proposals)
    sent.independence = INDEPENDENCE
    sent.pending = (Pending("eve", 0.1),)
    arbiter = Arbiter(protocol="first-to-quorum", quorum=0.3)
    body = body_of(arbiter.arbitrate(sent), arbiter, sent)
    assert body["pending"] == [{"expert_id": "eve", "route_weight": "1/10"}]
    assert body["independence"] == INDEPENDENCE.to_dict()
    assert body["roster"]["eve"] == "1/10"
    replay("decision", through_json(body))
    sent.independence = {"domains": {}}
    with pytest.raises(UsageTypeError, match="give an Independence"):
        arbiter.arbitrate(sent)


def test_independence_is_told():
    decision = Decision.from_dict(CASES["weighted"][1]["verdict"])
    assert (
        "What experts share fails together. They declared it, and counted by host, the worst of "
        "it, they are h1 (2); 2 did not say, and count to the largest: none of these may fail, "
        "and that takes 3 experts to agree. They are worth 2.3 effective voters, by how their "
        "errors went together (correlation 0.25, 12 known outcomes)."
    ) in decision.describe()
    assert "undeclared" not in decision.describe()
    undeclared = intake_of(ROWS, independence=Independence({}))
    assert "independence is undeclared" in WeightedQuorumArbiter().fold(undeclared).describe()
    for change in ({"faults": "x"}, {"worst": "moon"}, {"extra": 1}, {"effective_voters": "x"}):
        form = decision.to_dict()
        form["independence"] |= change
        with pytest.raises(UsageError):
            Decision.from_dict(form)


def test_a_plan_binds_the_roster():
    arbiter, intake = WeightedQuorumArbiter(0.5), intake_of(ROWS)
    outcome = arbiter.fold(intake)
    for change, match in (
        ({"weights": {**PLAN["weights"], "ann": "3"}}, "'ann' has not the weight 3"),
        ({"weights": {**PLAN["weights"], "eve": "1"}}, "'eve' has not the weight 1"),
        ({"weights": {"ann": "2"}}, "'bob' is in the roster, and not in the plan"),
        ({"scores": {"ann": "1"}}, "'bob' has a weight in the plan, and no score"),
        ({"scores": {"ann": 1}}, "score"),
        ({"scores": []}, "no object"),
        ({"router": ""}, "router"),
        ({"more": 1}, "unknown keys"),
    ):
        with pytest.raises(UsageError, match=match):
            body_of(outcome, arbiter, intake, plan={**PLAN, **change})


# --- what grew out of a weaker verdict ------------------------------------------------


def test_task_and_panel_are_said_once():
    weak = {**WEAK, "task": {"id": "t", "input_digest": "0" * 64}, "panel": "0" * 64}
    kind, body = seal(FallbackArbiter("bob", 0.9), intake_of(ROWS, parent=weak))
    assert body["parent"] == WEAK
    assert body["verdict"]["parent"] == digest(WEAK["verdict"])
    assert caught(kind, {**body, "parent": weak})
    arbiter = FallbackArbiter("bob", 0.9)
    given = intake_of(ROWS)
    outcome = arbiter.fold(replace(given, parent=WEAK))
    again = body_of(outcome, arbiter, given.proposals, given.absences, parent=weak)
    assert through_json(again) == body


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (ROWS[1:], "'ann' of the parent's roster"),
        ([("ann", "x", 0.9, 3), *ROWS[1:]], "'ann' of the parent's roster"),
        ([("ann", None, 0, 2), *ROWS[1:]], "the proposal of 'ann' in the parent is not found"),
        ([*ROWS[:3], ("eve", "x", 1, 1)], "'dee' of the parent's roster"),
    ],
)
def test_nothing_of_a_parent_is_lost(rows, match):
    arbiter = WeightedQuorumArbiter(0.5)
    intake = intake_of(rows, parent=WEAK)
    with pytest.raises(VerificationError, match=match):
        body_of(arbiter.fold(intake), arbiter, intake)


def test_an_absence_of_a_parent_is_kept_as_it_was():
    arbiter = WeightedQuorumArbiter(0.5)
    sent = intake_of(ROWS[:3]).proposals
    intake = replace(gather(sent, [Absence("dee", 1, "crashed")]), parent=WEAK)
    with pytest.raises(VerificationError, match="the absence of 'dee'"):
        body_of(arbiter.fold(intake), arbiter, intake)
    anew = intake_of([*ROWS[:3], ("dee", "x", 1, 1)], parent=WEAK)
    with pytest.raises(VerificationError, match="the absence of 'dee'"):
        body_of(arbiter.fold(anew), arbiter, anew)


def test_a_forged_parent_fails_wherever_it_is_forged():
    kind, body = copy.deepcopy(CASES["fallback"])
    body["parent"]["verdict"]["support"] = 0.5
    with pytest.raises(VerificationError, match=r"\$\.parent\.verdict\.support is sealed as 0.5"):
        replay(kind, body)
    committed = seal(WeightedQuorumArbiter(0.4), intake_of(ROWS))[1]
    assert committed["verdict"]["status"] == "committed"
    with pytest.raises(UsageError, match="only after a refusal"):
        seal(FallbackArbiter("bob", 0.4), intake_of(ROWS, parent=committed))
    # A decision found too weak may be escalated all the same.
    replay(*seal(WeightedQuorumArbiter(0.4), escalated(parent=committed)))


@pytest.mark.parametrize(
    "change",
    [
        {"said": Proposal("peer-consult", "y", 1, 2, 0.3)},
        {"said": Proposal("peer-consult", "x", 0.9, 2, 0.3)},
        {"said": Proposal("peer-consult", "x", 1, 3, 0.3)},
        {"said": Proposal("peer-consult", "x", 1, 2, 0.4)},
        {"said": Proposal("peer-consult", "x", 1, 2, 0.3, ranking=["x"])},
        {"said": Proposal("another", "x", 1, 2, 0.3)},
        {"said": Absence("peer-consult", 2, "void")},
        {"told": {**CONSULTED, "expert_id": "ann"}},
        {"told": {**CONSULTED, "body": INNER_REFUSED}},
        {"told": {**CONSULTED, "body": WEAK}},
    ],
)
def test_a_consultation_says_what_its_verdict_says(change):
    arbiter, intake = WeightedQuorumArbiter(0.5), escalated(**change)
    with pytest.raises(VerificationError):
        body_of(arbiter.fold(intake), arbiter, intake)


def test_a_consultation_is_of_others_and_under_a_name_of_its_own():
    arbiter = WeightedQuorumArbiter(0.5)
    sent = [*intake_of(ROWS[:3]).proposals, Proposal("dee", "x", 1, 1, 0.3)]
    told = {**CONSULTED, "expert_id": "dee", "route_weight": "1"}
    voiced = replace(gather(sent), parent=WEAK, consultation=told)
    with pytest.raises(VerificationError, match="'dee' answers for a consultation, and is of"):
        body_of(arbiter.fold(voiced), arbiter, voiced)
    for heard in ("ann", "peer-consult"):
        again = gather([Proposal(heard, "x", 1, 1, 0.1), Proposal("p2", "x", 1, 1, 0.2)])
        told = {**CONSULTED, "body": seal(WeightedQuorumArbiter(0.6), again)[1]}
        intake = escalated(told=told)
        with pytest.raises(VerificationError, match="of the parent's roster was consulted"):
            body_of(arbiter.fold(intake), arbiter, intake)


def test_a_consultation_needs_a_parent():
    arbiter, intake = WeightedQuorumArbiter(0.5), replace(escalated(), parent=None)
    with pytest.raises(UsageError, match="there is no parent"):
        body_of(arbiter.fold(intake), arbiter, intake)


def test_verdicts_lie_in_one_another_to_a_bound():
    body, arbiter = WEAK, WeightedQuorumArbiter(0.9)
    for _ in range(limits.MAX_VERDICT_NESTING):
        _, body = seal(arbiter, intake_of(ROWS, parent=body))
        replay("refusal", body)
    with pytest.raises(UsageError, match="deeper than 3"):
        seal(arbiter, intake_of(ROWS, parent=body))
    forged = {**body, "parent": body, "verdict": {**body["verdict"]}}
    assert caught("refusal", forged)


def test_the_deepest_payload_fits_into_the_deepest_verdict():
    value = []
    for _ in range(limits.MAX_PAYLOAD_DEPTH - 1):
        value = [value]
    merge = Merge("synthesizer", value, SOURCES, 0, [])
    arbiter = SynthesisArbiter(0.9)
    body = None
    for _ in range(limits.MAX_VERDICT_NESTING + 1):
        _, body = seal(arbiter, intake_of(ROWS, merge=merge, parent=body))
    assert through_json({"body": body})


def test_what_is_no_arbiter_seals_nothing():
    outcome = WeightedQuorumArbiter(0.5).fold(intake_of(ROWS))
    odd = SimpleNamespace(rule="x/1")
    with pytest.raises(UsageTypeError, match="arbiter is a SimpleNamespace"):
        body_of(outcome, odd, intake_of(ROWS))
    with pytest.raises(UsageError, match="give none beside it"):
        body_of(outcome, WeightedQuorumArbiter(), intake_of(ROWS), [Absence("z", 1, "void")])
    with pytest.raises(UnderQuorum):
        WeightedQuorumArbiter(1).arbitrate([], [Absence("z", 1, "void")])
    assert waiting([]) == []
