"""What counts as the same answer: named normalisers, a caller's own, and what none can read."""

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import same_again

from quorate.arbitration import (
    Arbiter,
    Decision,
    FirstToQuorumArbiter,
    Proposal,
    RankedRunoffArbiter,
    UnderQuorum,
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
    # The words of the highest vote, for no two agree on a spelling; not the normal form.
    assert (decision.consensus, decision.digest) == (" PARIS ", digest(" PARIS "))
    (group, _) = decision.trace["groups"]
    assert group["members"] == ["a", "b", "c"]
    assert group["digest"] == digest("paris")
    assert group["answer"] == '" PARIS "'
    assert "Answers were compared by their normal form, text." in decision.describe()
    same_again(decision)


KINDS = (WeightedQuorumArbiter, FirstToQuorumArbiter, RankedRunoffArbiter)
HONEST = "x = 1"
LIAR = "x = 1  # whatever a reader of files may mind"


@pytest.mark.parametrize("kind", KINDS)
def test_who_is_surest_does_not_choose_the_bytes_of_a_majority(kind):
    sent = [Proposal("liar", LIAR, 1, 1)] + [Proposal(f"h{i}", HONEST, 0.6, 1) for i in range(3)]
    for order in permutations(sent):
        decision = kind(0.6, normalize="python").arbitrate(order)
        assert (decision.consensus, decision.digest) == (HONEST, digest(HONEST))
        group = decision.trace["groups"][0]
        # Who had the highest vote is said as before, beside what is committed.
        assert (group["top"], group["top_vote"], group["answer"]) == ("liar", "1", f'"{HONEST}"')
        assert f'Committed "{HONEST}" (digest' in decision.describe()
    same_again(decision)


def test_a_cookie_in_a_comment_is_no_answer():
    bad = "# coding: utf-7\nx = 1"
    sent = [Proposal("liar", bad, 1, 1)] + [Proposal(f"h{i}", HONEST, 0.9, 1) for i in range(3)]
    decision = Arbiter(quorum=0.6, normalize="python").arbitrate(sent)
    assert decision.consensus == HONEST
    assert [gone.expert_id for gone in decision.absent] == ["liar"]


def test_a_ballot_that_ends_with_the_winner_speaks_for_the_spelling_it_ranks():
    sent = [
        Proposal("a", "X", 1, 1),
        Proposal("b", "y", 0.9, 1, ranking=["y", "x"]),
        Proposal("c", "x ", 0.9, 1),
        Proposal("d", "z", 0.8, 1, ranking=["z", "x"]),
        Proposal("e", "w", 0.9, 1, ranking=["w", "x "]),
    ]
    decision = RankedRunoffArbiter(0.5, normalize="text").arbitrate(sent)
    # Those of b and d outweigh a's; e's ended with its own first option.
    assert (decision.consensus, decision.digest) == ("x", digest("x"))
    group = decision.trace["groups"][0]
    assert (group["members"], group["top"], group["answer"]) == (["a", "b", "c", "d"], "a", '"x"')
    same_again(decision)


SPELLINGS = st.sampled_from(["x", "X", " x", "y", "Y"])
CONFIDENCES = st.sampled_from([0, 0.5, 1])


def plain(word):
    return word.strip().lower()


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40)
@given(rows=st.lists(st.tuples(SPELLINGS, CONFIDENCES, st.sampled_from([1, 2])), max_size=6))
def test_the_spelling_committed_twin(kind, rows):
    """By hand: all but the best go, by sum, by single vote, by id."""
    votes = {f"e{i}": Fraction(c) * w for i, (_, c, w) in enumerate(rows)}
    sent = [Proposal(f"e{i}", *row) for i, row in enumerate(rows)]
    # One spelling of each answer, the least there is: a runoff's ties go by it.
    least = {plain(p): min(q for q, _, _ in rows if plain(q) == plain(p)) for p, _, _ in rows}
    bare = [Proposal(f"e{i}", least[plain(p)], c, w) for i, (p, c, w) in enumerate(rows)]
    outcome = kind(0.5, normalize="text").fold(gather(sent))
    other = kind(0.5).fold(gather(bare))
    assert type(outcome) is type(other)
    assert outcome.support_exact == other.support_exact
    if not isinstance(outcome, Decision):
        return
    left = [p for p in sent if plain(p.payload) == plain(other.consensus)]
    sums = {p.payload: Fraction(0) for p in left}
    for p in left:
        sums[p.payload] += votes[p.expert_id]
    left = [p for p in left if sums[p.payload] == max(sums.values())]
    highest = max(votes[p.expert_id] for p in left)
    left = [p for p in left if votes[p.expert_id] == highest]
    assert outcome.consensus == min(left, key=lambda p: p.expert_id).payload


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_is_read_once_however_many_send_and_rank_it(kind, monkeypatch):
    read = []

    def counting(_, payload):
        read.append(payload)
        return digest(payload)

    monkeypatch.setattr("quorate.arbitration.normal._READ", {})
    monkeypatch.setattr("quorate.arbitration.normal._built_in", counting)
    ranking = {"ranking": ["once", "Once"]} if kind is RankedRunoffArbiter else {}
    sent = [Proposal(f"e{i}", "once", 1, 1, **ranking) for i in range(5)]
    for _ in range(3):
        kind(0.5, normalize="text").arbitrate(sent)
    assert sorted(read) == sorted({"once", *ranking.get("ranking", ())})


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


@settings(max_examples=40)
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


def test_a_function_that_forgot_its_return_makes_nothing_the_same():
    with pytest.raises(UnderQuorum) as refused:
        Arbiter(quorum=0.5, normalize=lambda _: None).arbitrate(
            [Proposal("a", "X", 1, 1), Proposal("b", "y", 1, 1)]
        )
    assert {absence.reason for absence in refused.value.tally.absent} == {"void"}
