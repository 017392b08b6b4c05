"""The fold against a naive twin, its total order, and its exactness."""

import itertools
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.arbitration import Absence, Arbiter, Decision, Proposal, UnderQuorum
from quorate.arbitration.rules import Ballot, settle, weighted_quorum
from quorate.core.canonical import canonical, digest
from quorate.core.errors import UsageError


def rational(x):
    return Fraction(repr(x)) if isinstance(x, float) else Fraction(x)


def twin(sent, away, quorum):
    """Weighted quorum straight from its formulas; slow on purpose.

    ``sent`` holds (expert, answer, confidence, weight); ``away`` maps expert to weight.
    """
    away = {name: rational(w) for name, w in away.items()}
    said = {}
    for name, answer, c, w in sent:
        said.setdefault(name, set()).add((answer, rational(c), rational(w)))
    ballots = []
    for name, different in said.items():
        if len(different) > 1:
            away[name] = max(w for _, _, w in different)
        else:
            ((answer, c, w),) = different
            ballots.append((name, answer, c * w, w))
    votes = sum((v for _, _, v, _ in ballots), Fraction(0)) + sum(away.values())
    weight = sum((w for _, _, _, w in ballots), Fraction(0)) + sum(away.values())
    if not ballots or votes == 0:
        return SimpleNamespace(wins=False, answer=None, support=Fraction(0))
    best = None
    for answer in {b[1] for b in ballots}:
        mine = [b for b in ballots if b[1] == answer]
        total = sum(v for _, _, v, _ in mine)
        top = max(v for _, _, v, _ in mine)
        holder = min(name for name, _, v, _ in mine if v == top)
        wins = best is None or (
            total > best.total
            or (total == best.total and top > best.top)
            or (total == best.total and top == best.top and holder < best.holder)
        )
        if wins:
            heavy = sum(w for _, _, _, w in mine)
            best = SimpleNamespace(answer=answer, total=total, top=top, holder=holder, heavy=heavy)
    best.support = best.total / votes
    best.backing = best.heavy / weight
    best.wins = best.support >= rational(quorum) and best.backing >= rational(quorum)
    return best


weights = st.sampled_from([0, 0.0, 0.1, 0.2, 0.3, 0.6, 1, Fraction(1, 3), Decimal("0.25")])
sureness = st.sampled_from([0, 0.1, 0.3, 0.5, 0.55, 1.0, 1, Fraction(2, 3)])
ids = st.sampled_from(["a", "b", "B", "é", "\U0001f600", "\uffee", "z", "aa"])
quorums = st.sampled_from([0.5, 0.66, Fraction(2, 3), 0.6, 1, 0.3, Decimal("0.1"), 1e-9])


@given(
    st.lists(st.tuples(ids, st.sampled_from("xyz"), sureness, weights), max_size=7),
    st.dictionaries(ids, weights, max_size=2),
    quorums,
    st.randoms(use_true_random=False),
)
@example([("b", "x", 1, 1), ("a", "y", 1, 1)], {}, 0.5, None)
@example([("a", "x", 0, 1)], {}, 0.5, None)
def test_twin_and_any_order(sent, away, quorum, random):
    sent = [s for s in sent if s[0] not in away]
    proposals = [Proposal(e, a, c, w) for e, a, c, w in sent]
    absent = [Absence(e, w, "timeout") for e, w in away.items()]
    arbiter = Arbiter(quorum=quorum)
    expected = twin(sent, away, quorum)
    outcome = settled(arbiter, proposals, absent)
    assert (type(outcome) is Decision) == expected.wins
    assert outcome.support_exact == str(expected.support)
    assert outcome.support == float(expected.support)
    if expected.answer is not None:
        assert outcome.backing_exact == str(expected.backing)
        assert outcome.trace["groups"][0]["digest"] == digest(expected.answer)
        assert outcome.trace["groups"][0]["top"] == expected.holder
    if expected.wins:
        assert outcome.consensus == expected.answer
    first = canonical(outcome.to_dict())
    shuffled = [*proposals, *proposals[:2]]
    if random is not None:
        random.shuffle(shuffled)
    assert canonical(settled(arbiter, shuffled, absent[::-1] + absent).to_dict()) == first


def settled(arbiter, proposals, absent=()):
    try:
        return arbiter.arbitrate(proposals, absent)
    except UnderQuorum as refusal:
        return refusal.tally


def test_every_permutation_gives_the_same_bytes():
    sent = [
        Proposal("a", "x", 0.5, 0.2),
        Proposal("b", "y", 0.5, 0.2),
        Proposal("c", "x", 1, 0.1),
        Proposal("d", "y", 1, 0.1),
        Proposal("e", "x", 1, 0.3),
        Proposal("e", "z", 1, 0.4),
    ]
    found = {
        canonical(settled(Arbiter(quorum=0.2), order).to_dict())
        for order in itertools.permutations(sent)
    }
    assert len(found) == 1


def test_a_full_tie_goes_to_the_smaller_id():
    for order in itertools.permutations([("b", "x"), ("a", "y"), ("c", "z")]):
        decision = Arbiter(quorum=0.3).arbitrate([Proposal(e, a, 1, 1) for e, a in order])
        assert decision.consensus == "y"


def test_the_higher_single_vote_breaks_a_tie_of_sums():
    sent = [
        Proposal("a", "x", 1, 2),
        Proposal("b", "x", 1, 2),
        Proposal("z", "y", 1, 3),
        Proposal("y", "y", 1, 1),
    ]
    assert Arbiter(quorum=0.5).arbitrate(sent).consensus == "y"


def test_ids_are_ordered_by_code_point_not_utf16():
    sent = [Proposal("\U0001f600", "astral", 1, 1), Proposal("\uffee", "bmp", 1, 1)]
    assert Arbiter(quorum=0.5).arbitrate(sent).consensus == "bmp"


def test_tenths_are_tenths():
    sent = [Proposal("a", "x", 1, 0.1), Proposal("b", "x", 1, 0.2), Proposal("c", "y", 1, 0.3)]
    assert 0.1 + 0.2 != 0.3
    decision = Arbiter(quorum=0.5).arbitrate(sent)
    # An exact tie of sums: the higher single vote wins, though in doubles x is ahead.
    assert (decision.consensus, decision.support_exact) == ("y", "1/2")


@pytest.mark.parametrize(
    ("yes", "no", "quorum", "commits"),
    [
        (66, 34, 0.66, True),
        (65.9999999999, 34.0000000001, 0.66, False),
        (0.66, 0.34, 0.66, True),
        (2, 1, Fraction(2, 3), True),
        (2, 1, 0.6666666666666666, True),
        (2, 1, 0.6666666666666667, False),
        (2, 1, 0.67, False),
        (1, 0, 1, True),
        (1, 5e-324, 1, False),
        (0.7, 0.3, Decimal("0.7"), True),
        (0.57, 0.43, 0.57, True),
        (0.29, 0.71, 0.71, True),
    ],
)
def test_thresholds_are_met_exactly(yes, no, quorum, commits):
    sent = [Proposal("a", "yes", 1, yes), Proposal("b", "no", 1, no)]
    assert (type(settled(Arbiter(quorum=quorum), sent)) is Decision) == commits


def test_liars_with_55_percent_do_not_outvote_the_less_sure():
    sent = [
        Proposal("liar", "bad", 1.0, 0.55),
        *(Proposal(f"h{i}", "good", 0.5, 0.225) for i in range(2)),
    ]
    refusal = settled(Arbiter(quorum=0.66), sent)
    assert refusal.support == pytest.approx(0.71, abs=0.001)
    assert refusal.backing_exact == "11/20"
    assert refusal.reason == "backing"


def test_absentees_count_at_full_weight():
    sent = [Proposal("a", "x", 1, 2)]
    assert Arbiter(quorum=0.66).arbitrate(sent, [Absence("b", 1, "timeout")]).support_exact == "2/3"
    refusal = settled(Arbiter(quorum=0.67), sent, [Absence("b", 1, "timeout")])
    assert refusal.reason == "support_and_backing"


@pytest.mark.parametrize(
    ("sent", "away", "reason"),
    [
        ([], [], "no_proposals"),
        ([], [Absence("a", 1, "crashed")], "no_proposals"),
        ([Proposal("a", 1, 1, 1), Proposal("a", 2, 1, 1)], [], "no_proposals"),
        ([Proposal("a", 1, 0, 1)], [], "zero_total"),
        ([Proposal("a", 1, 1, 0)], [], "zero_total"),
        ([Proposal("a", 1, 0, 1)], [Absence("b", 1, "void")], "support_and_backing"),
        ([Proposal("a", 1, 0.1, 9), Proposal("b", 2, 1, 0.8)], [], "support"),
    ],
)
def test_reasons_of_refusals(sent, away, reason):
    assert settled(Arbiter(), sent, away).reason == reason


def test_equivocation_voids_both_at_the_greater_weight():
    sent = [Proposal("a", "x", 1, 1), Proposal("a", "y", 1, 2), Proposal("b", "x", 1, 4)]
    decision = Arbiter(quorum=0.66).arbitrate(sent)
    assert decision.support_exact == decision.backing_exact == "2/3"
    assert decision.engaged == ("b",)
    (gone,) = decision.absent
    assert (gone.expert_id, gone.reason, gone.exact_weight) == ("a", "void", 2)
    assert "equivocation" in gone.detail
    assert digest("x") in gone.detail
    assert digest("y") in gone.detail


def test_differing_only_in_confidence_is_equivocation_too():
    sent = [Proposal("a", "x", 0.9, 1), Proposal("a", "x", 1, 1), Proposal("b", "y", 1, 9)]
    assert settled(Arbiter(), sent).absent[0].expert_id == "a"
    many = [*sent, *(Proposal("a", i, 1, 1) for i in range(4))]
    assert "6 different proposals" in settled(Arbiter(), many).absent[0].detail


def test_settle_keeps_order_of_ids():
    ballots = [Ballot(e, "d", Fraction(1), Fraction(1)) for e in "cabb"]
    kept, void = settle(ballots)
    assert [b.expert_id for b in kept] == ["a", "b", "c"]
    assert void == ()


def test_the_common_denominator_is_bounded():
    odd = [10**399 + 2 * k + 1 for k in range(12)]
    ballots = [Ballot(str(k), "d", Fraction(1, q), Fraction(1)) for k, q in enumerate(odd)]
    with pytest.raises(UsageError, match="denominator"):
        weighted_quorum(ballots, {}, Fraction(1, 2))


def test_a_thousand_hostile_confidences_stay_within_bounds():
    sent = [Proposal(f"{q:04}", "x", Fraction(1, q), 0.1) for q in range(1, 1001)]
    sent += [Proposal(f"t{k}", "x", 10.0**-k, 0.1) for k in range(1, 24)]
    decision = settled(Arbiter(quorum=1e-300), sent, [Absence("gone", 5e-324, "timeout")])
    assert type(decision) is Decision
    assert Decision.from_dict(decision.to_dict()) == decision
