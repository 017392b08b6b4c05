"""Sealed verdicts: what replay catches, leaf by leaf, and what it cannot know."""

import copy
from fractions import Fraction
from types import SimpleNamespace

import pytest

from quorate.arbitration import Absence, Arbiter, Proposal, UnderQuorum, WeightedQuorumArbiter
from quorate.arbitration.sealed import body_of, kind_of, replay
from quorate.core.canonical import canonical, digest, parse
from quorate.core.errors import UsageError, UsageTypeError, VerificationError

TASK = {"id": "task-1", "input_digest": digest("what?")}
PANEL = digest("panel")

SENT = [
    Proposal("ann", {"n": 1, "s": ["x", None, True]}, 0.9, 0.4, 2),
    Proposal("bob", {"n": 1, "s": ["x", None, True]}, 0.8, Fraction(1, 3), 0.1),
    Proposal("cyd", "no", 0.9, 0.1),
    Proposal("two", "this", 0.5, 0.01, 4, ranking=["this", "that"]),
    Proposal("two", "that", 0.6, 0.02, 5),
]
AWAY = [Absence("dee", 0.05, "timeout", "no answer within 2 s")]

# What no verdict can be computed from. Which task it was and which panel (where no
# record of panels is at hand) are bound by the entry's hash alone. A ranking has no part
# in weighted-quorum beyond telling two proposals of one expert apart.
UNKNOWABLE = {
    "$.task.id",
    "$.task.input_digest",
    "$.panel",
    "$.proposals[3].ranking[0]",
    "$.proposals[3].ranking[1]",
}


def sealed(quorum):
    arbiter = Arbiter(quorum=quorum)
    try:
        outcome = arbiter.arbitrate(SENT, AWAY)
    except UnderQuorum as refusal:
        outcome = refusal
    body = body_of(outcome, arbiter, SENT, AWAY, task=TASK, panel=PANEL)
    return kind_of(outcome), parse(canonical(body))


BOTH = [sealed(0.6), sealed(0.95)]


def leaves(value, path="$"):
    if isinstance(value, dict) and value:
        for key in value:
            yield from leaves(value[key], f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path


def steps(path):
    for part in path[1:].replace("[", ".[").split(".")[1:]:
        yield int(part[1:-1]) if part.startswith("[") else part


def at(body, path):
    *way, last = steps(path)
    for step in way:
        body = body[step]
    return body, last


def others(value):
    """Values like ``value`` that are not it: of its own kind, and of others."""
    if isinstance(value, bool):
        return [not value, int(value), None]
    if isinstance(value, int | float):
        return [value + 1, value / 2, str(value), None, -1]
    if isinstance(value, str):
        flipped = ("1" if value[:1] != "1" else "2") + value[1:]
        return [flipped, value + "0", "", None, 0, [value], "1/7", "3/5"]
    return [0, "x", False, {"x": 1}, [1]]


@pytest.mark.parametrize(("kind", "body"), BOTH)
def test_what_was_sealed_replays(kind, body):
    replay(kind, body)


def test_there_is_one_of_each_kind():
    assert [kind for kind, _ in BOTH] == ["decision", "refusal"]


@pytest.mark.parametrize(("kind", "body"), BOTH)
def test_every_leaf_changed_alone_fails(kind, body):
    survived = set()
    for path in leaves(body):
        holder, last = at(body, path)
        for other in others(holder[last]):
            if canonical(other) == canonical(holder[last]):
                continue
            forged = copy.deepcopy(body)
            place, key = at(forged, path)
            place[key] = other
            try:
                replay(kind, forged)
            except VerificationError as error:
                assert error.rule == "replay"  # noqa: PT017 - any other error fails the test
            else:
                survived.add(path)
    assert survived == UNKNOWABLE


@pytest.mark.parametrize(("kind", "body"), BOTH)
def test_every_key_or_item_removed_or_added_fails(kind, body):
    places = {path.rpartition(".")[0] for path in leaves(body)} | {"$"}
    optional = {"$.task", "$.panel"}
    for path in sorted(places | set(leaves(body)) | {f"$.{k}" for k in body}):
        if path == "$":
            forged = {**body, "extra": 1}
        elif path in optional:
            continue
        else:
            forged = copy.deepcopy(body)
            place, key = at(forged, path)
            del place[key]
        if path.startswith("$.proposals[3].ranking["):
            continue
        if path == "$.proposals[3].ranking":
            continue
        with pytest.raises(VerificationError):
            replay(kind, forged)


@pytest.mark.parametrize(("kind", "body"), BOTH)
def test_orders_are_part_of_the_form(kind, body):
    for path in (
        "$.proposals",
        "$.verdict.trace.groups",
        "$.verdict.trace.void",
        "$.verdict.absent",
    ):
        forged = copy.deepcopy(body)
        place, key = at(forged, path)
        place[key].reverse()
        with pytest.raises(VerificationError, match="computed again"):
            replay(kind, forged)
    forged = copy.deepcopy(body)
    forged["proposals"].append(forged["proposals"][0])
    with pytest.raises(VerificationError):
        replay(kind, forged)


def test_a_decision_passed_off_as_a_refusal_and_the_reverse():
    (_, decision), (_, refusal) = BOTH
    with pytest.raises(VerificationError, match="sealed as 'refusal'"):
        replay("refusal", decision)
    with pytest.raises(VerificationError, match="sealed as 'decision'"):
        replay("decision", refusal)
    with pytest.raises(VerificationError, match="'vote'"):
        replay("vote", decision)
    with pytest.raises(VerificationError, match="'vote'"):
        replay("vote", refusal)
    forged = {**refusal, "verdict": decision["verdict"]}
    with pytest.raises(VerificationError, match="verdict"):
        replay("decision", forged)
    lowered = {**refusal, "parameters": {"quorum": "3/5"}}
    with pytest.raises(VerificationError, match="verdict"):
        replay("refusal", lowered)


def test_payload_and_digest_changed_together_still_fail():
    kind, body = BOTH[0]
    forged = copy.deepcopy(body)
    forged["proposals"][2].update(payload="maybe", digest=digest("maybe"))
    with pytest.raises(VerificationError, match=r"\$\.verdict\.trace\.groups"):
        replay(kind, forged)


def test_the_message_names_the_path():
    kind, body = copy.deepcopy(BOTH[0])
    body["verdict"]["trace"]["groups"][1]["members"] = ["eve"]
    with pytest.raises(VerificationError, match=r"groups\[1\]\.members\[0\] is sealed as 'eve'"):
        replay(kind, body)


@pytest.mark.parametrize("junk", [None, [], "x", 7, {}, {"rule": "weighted-quorum/1"}])
def test_junk_is_refused(junk):
    with pytest.raises(VerificationError):
        replay("decision", junk)


def context(**change):
    _, body = BOTH[0]
    declared = {
        "roster": body["roster"],
        "protocol": "weighted-quorum",
        "parameters": {"quorum": "3/5"},
        "experts": ["whatever else a panel says"],
        **change,
    }
    unbound = []
    return SimpleNamespace(
        panel=lambda digest: declared if digest == PANEL else None,
        note_unbound=lambda: unbound.append(1),
        note_task=lambda *told: None,
        unbound=unbound,
    )


def test_a_panel_binds_the_verdict():
    kind, body = BOTH[0]
    replay(kind, body, context())
    changes = [
        {"protocol": "ranked-runoff"},
        {"parameters": {"quorum": "1/2"}},
        {"parameters": {}},
        {"roster": {**body["roster"], "eve": "1"}},
        {"roster": {**body["roster"], "ann": "1"}},
        {"roster": None},
    ]
    for change in changes:
        with pytest.raises(VerificationError) as caught:
            replay(kind, body, context(**change))
        assert caught.value.rule == "panel"
    with pytest.raises(VerificationError, match="no panel"):
        replay(kind, {**body, "panel": digest("another")}, context())
    bare = {k: v for k, v in body.items() if k not in ("panel", "task")}
    free = context(roster={})
    replay(kind, bare, free)
    assert free.unbound


def test_sealing_refuses_what_would_not_replay():
    arbiter = WeightedQuorumArbiter(0.6)
    decision = arbiter.arbitrate(SENT, AWAY)
    assert body_of(decision, arbiter, SENT[::-1], AWAY)["roster"]["two"] == "1/50"
    with pytest.raises(UsageError, match="does not follow"):
        body_of(decision, arbiter, SENT[:2], AWAY)
    with pytest.raises(UsageError, match="does not follow"):
        body_of(decision, WeightedQuorumArbiter(0.5), SENT, AWAY)
    with pytest.raises(UsageTypeError):
        body_of({}, arbiter, SENT, AWAY)
    for task in ({}, {"id": ""}, {"id": "a", "input_digest": "A" * 64}, {**TASK, "more": 1}):
        with pytest.raises(UsageError):
            body_of(decision, arbiter, SENT, AWAY, task=task)
    with pytest.raises(UsageError):
        body_of(decision, arbiter, SENT, AWAY, panel="nope")


def test_the_roster_holds_the_greatest_weight_of_an_equivocator():
    arbiter = Arbiter(quorum=0.5)
    for weights in ((1, 2), (2, 1)):
        sent = [Proposal("two", k, 1, w) for k, w in enumerate(weights)]
        sent.append(Proposal("one", 7, 1, 3))
        body = body_of(arbiter.arbitrate(sent), arbiter, sent)
        assert body["roster"] == {"one": "3", "two": "2"}


def test_the_deepest_payload_can_be_sealed():
    value = []
    for _ in range(55):
        value = [value]
    arbiter = Arbiter()
    sent = [Proposal("a", value, 1, 1)]
    body = body_of(arbiter.arbitrate(sent), arbiter, sent)
    replay("decision", parse(canonical({"body": body}))["body"])
