"""What counts as the same answer: named normalisers, a caller's own, and what none can read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosters import same_again

from quorate.arbitration import (
    Arbiter,
    Decision,
    FirstToQuorumArbiter,
    Proposal,
    WeightedQuorumArbiter,
    gather,
)
from quorate.arbitration.normal import Normaliser
from quorate.arbitration.rules.normalise import NORMALISERS
from quorate.core.canonical import digest
from quorate.core.errors import UsageError, UsageTypeError

SPELT = [
    Proposal("a", "Paris", 0.9, 1),
    Proposal("b", " PARIS ", 1, 1),
    Proposal("c", "paris", 0.8, 1),
    Proposal("d", "Rome", 1, 1),
]


def test_answers_group_by_normal_form_and_a_real_payload_is_committed():
    assert Arbiter(quorum=0.5).fold(gather(SPELT)).reason
    decision = Arbiter(quorum=0.7, normalize="text").arbitrate(SPELT)
    # The highest vote's own words, not the normal form.
    assert (decision.consensus, decision.digest) == (" PARIS ", digest(" PARIS "))
    (group, _) = decision.trace["groups"]
    assert group["members"] == ["a", "b", "c"]
    assert group["digest"] == digest("paris")
    assert group["answer"] == '" PARIS "'
    assert "Answers were compared by their normal form, text." in decision.describe()
    same_again(decision)


@pytest.mark.parametrize("name", sorted(NORMALISERS))
def test_every_named_normaliser_is_taken(name):
    arbiter = Arbiter(normalize=name)
    expected = {"quorum": "33/50"} if name == "exact" else {"quorum": "33/50", "normalize": name}
    assert arbiter.parameters == expected
    assert arbiter.normalize == name
    same_again(arbiter.fold(gather(SPELT)))


def test_exact_is_the_default():
    assert WeightedQuorumArbiter() == WeightedQuorumArbiter(normalize="exact")
    assert WeightedQuorumArbiter() != WeightedQuorumArbiter(normalize="text")
    for bad in ("Text", "", "custom"):
        with pytest.raises(UsageError, match="normalize is"):
            Arbiter(normalize=bad)
    with pytest.raises(UsageTypeError, match="normalize is a int"):
        Arbiter(normalize=7)


def test_what_cannot_be_read_is_its_experts_fault():
    sent = [*SPELT[:3], Proposal("odd", {"city": "Paris"}, 1, 2)]
    outcome = Arbiter(quorum=0.5, normalize="text").arbitrate(sent)
    (gone,) = outcome.absent
    assert (gone.expert_id, gone.reason, gone.exact_weight) == ("odd", "void", 2)
    assert "has no normal form under 'text'" in gone.detail
    assert outcome.backing_exact == "3/5"
    assert outcome.engaged == ("a", "b", "c")
    assert outcome.trace["void"][0]["digest"] == digest({"city": "Paris"})
    same_again(outcome)


def test_two_spellings_from_one_expert_are_equivocation():
    outcome = Arbiter(quorum=0.1, normalize="text").fold(
        gather([Proposal("a", "x", 1, 1), Proposal("a", "X", 1, 1), Proposal("b", "x", 1, 1)])
    )
    assert [(gone.expert_id, gone.detail[:12]) for gone in outcome.absent] == [
        ("a", "equivocation")
    ]


def by_city(payload):
    return payload["city"].strip().lower()


def test_a_callers_own_function():
    sent = [
        Proposal("a", {"city": "Oslo "}, 1, 1),
        Proposal("b", {"city": "oslo", "why": 1}, 0.9, 1),
        Proposal("c", ["no", "object"], 1, 1),
        Proposal("d", {"city": 7}, 1, 1),
    ]
    decision = Arbiter(quorum=0.45, normalize=by_city).arbitrate(sent)
    assert decision.consensus == {"city": "Oslo "}
    assert [gone.expert_id for gone in decision.absent] == ["c", "d"]
    assert decision.trace["normalize"] == "custom"
    assert Arbiter(normalize=by_city).parameters["normalize"] == "custom"
    same_again(decision)


@pytest.mark.parametrize("own", [lambda _: {1}, lambda _: float("nan"), lambda p: p.clear()])
def test_a_function_that_gives_no_json_or_changes_its_payload(own):
    sent = [Proposal("a", ["x"], 1, 1), Proposal("b", ["y"], 1, 1)]
    outcome = Arbiter(normalize=own).fold(gather(sent))
    assert [p.payload for p in sent] == [["x"], ["y"]]
    assert isinstance(outcome, Decision) or all(gone.reason == "void" for gone in outcome.absent)


def test_a_sealed_table_stands_for_the_function():
    table = {digest("x"): digest("n"), digest("y"): None}
    read = Normaliser("custom", None, table)
    assert read.digest_of("x", digest("x")) == digest("n")
    assert read.digest_of("y", digest("y")) is None
    with pytest.raises(UsageError, match="lacks the payload"):
        read.digest_of("z", digest("z"))


@given(st.lists(st.sampled_from(["Yes", "yes ", "NO", "no", "n0"]), min_size=1, max_size=6))
def test_normalising_beforehand_comes_to_the_same(answers):
    folded = [a.strip().lower() for a in answers]
    one = [Proposal(f"e{i}", a, 1, 1) for i, a in enumerate(answers)]
    other = [Proposal(f"e{i}", a, 1, 1) for i, a in enumerate(folded)]
    for kind in (WeightedQuorumArbiter, FirstToQuorumArbiter):
        a = kind(0.5, normalize="text").fold(gather(one))
        b = kind(0.5).fold(gather(other))
        assert (type(a), a.support_exact) == (type(b), b.support_exact)
        assert [g["members"] for g in a.trace["groups"]] == [
            g["members"] for g in b.trace["groups"]
        ]
