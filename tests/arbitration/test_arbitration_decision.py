"""What decisions and refusals say, and how they travel."""

import copy
import json
import pickle
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.arbitration import Absence, Arbiter, Decision, Proposal, Tally, UnderQuorum, wording
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError

SENT = [
    Proposal("ann", "yes", 0.9, 0.4, 2),
    Proposal("bob", "yes", 0.8, 0.4, 3),
    Proposal("cyd", "no", 0.9, 0.2, 1),
]
AWAY = [Absence("dee", 0.1, "over_budget", "spent 9 of 5")]


def decided():
    return Arbiter(quorum=0.6).arbitrate(SENT, AWAY)


def refused(sent=SENT, away=AWAY, quorum=0.9):
    with pytest.raises(UnderQuorum) as caught:
        Arbiter(quorum=quorum).arbitrate(sent, away)
    return caught.value


def test_a_decision_says_why():
    assert decided().describe() == (
        'Committed "yes" (digest 6c76a9331e7f…): ann and bob agreed, with 70.8% of the votes '
        "(route weight times claimed confidence) and 72.7% of the roster's route weight; "
        'weighted-quorum asks for 60.0% of both. Dissent: cyd for "no" (digest 04a064526772…) '
        "with 18.8%. Absent, and counted against the quorum: dee (over budget: spent 9 of 5; "
        "9.1% of the weight). The experts' independence is undeclared: those that share a model, "
        "host or vendor err together, and are counted here as if they did not."
    )


def test_a_unanimous_decision_says_so():
    said = Arbiter().arbitrate(SENT[:2]).describe()
    assert "with 100.0% of the votes" in said
    assert "Nobody dissented. Nobody was absent." in said


def test_a_refusal_says_why():
    error = refused()
    assert str(error) == (
        "the top answer held 70.8% of the votes and 72.7% of the roster's route weight, "
        "both < 90.0%"
    )
    assert error.describe().startswith("Refused, nothing is committed (weighted-quorum): the top")
    assert "In front: ann and bob for" in error.describe()
    assert "the votes of 1 proposal sum to zero" in str(refused([Proposal("a", 1, 0, 1)], []))
    assert str(refused([], [])) == "no proposal to fold (empty roster); the quorum is 90.0%"
    assert "the whole roster of 1 absent" in str(refused([]))
    assert "independence is undeclared" in refused([], []).describe()


def test_each_shortfall_has_its_message():
    liar = [Proposal("a", 1, 1, 0.55), Proposal("b", 2, 0.5, 0.45)]
    assert "but 55.0% of the roster's route weight < 66.0%" in str(refused(liar, [], 0.66))
    shy = [Proposal("a", 1, 0.1, 9), Proposal("b", 2, 1, 0.8)]
    assert str(refused(shy, [], 0.66)) == "the top answer held 52.9% of the votes < 66.0%"


@pytest.mark.parametrize("short", [1, 10**-3, 10**-6, 10**-9, 10**-12, 1e-15])
def test_no_message_says_66_is_less_than_66(short):
    short = Fraction(str(short)) / 100
    share = Fraction(66, 100) - short
    sent = [Proposal("a", 1, 1, share), Proposal("b", 2, 1, 1 - share)]
    message = str(refused(sent, [], 0.66))
    assert "66.0% of" not in message
    assert message.endswith("< 66.0%")


def test_decimals_are_added_before_the_exact_share_is_shown():
    threshold = Fraction(66, 100)
    assert wording.percent(Fraction("0.65999"), threshold) == "65.999%"
    assert wording.percent(Fraction("0.659999999"), threshold) == "659999999/1000000000"
    assert wording.percent(Fraction("0.66001"), threshold) == "66.001%"
    assert wording.percent(threshold, threshold) == "66.0%"


def test_thirds_are_shown_exactly():
    assert "both < 2/3 (66.7%)" in str(
        refused([Proposal("a", 1, 1, 3), Proposal("b", 2, 1, 2)], [], Fraction(2, 3))
    )


@given(st.fractions(0, 1), st.fractions(0, 1))
def test_percents_never_read_like_what_they_are_not(share, threshold):
    shown = wording.percent(share, threshold)
    for other in {Fraction(0), Fraction(1), threshold} - {share}:
        assert shown not in (wording.percent(other), wording.quorum_percent(other))
    tiny = Fraction(1, 10**60)
    assert wording.percent(tiny) == "just over 0.0%"
    assert wording.percent(1 - tiny) == "just under 100.0%"


def test_answers_cannot_rewrite_the_line():
    sent = [Proposal("a\x1b[2J", "yes\u202eon", 1, 1)]
    away = [Absence("b\n", 0.1, "crashed", "x\u2028y")]
    said = Arbiter().arbitrate(sent, away).describe()
    assert said.isprintable()
    assert "a\\x1b[2J" in said
    assert "\\u202e" in said


def test_long_rosters_are_counted():
    sent = [Proposal(f"e{k:02}", "x", 1, 1) for k in range(40)]
    sent += [Proposal(f"f{k:02}", k, 1, 0.1) for k in range(20)]
    said = Arbiter().arbitrate(sent, [Absence(f"g{k}", 0.01, "void") for k in range(20)]).describe()
    assert "e11 and 28 more agreed" in said
    assert "and 8 more answers" in said
    long = Arbiter().arbitrate([Proposal("a", "é" * 500, 1, 1)]).describe()
    assert len(long) < 500


def test_round_trips():
    decision = decided()
    for written in (
        decision.to_dict(),
        parse(canonical(decision.to_dict())),
        json.loads(json.dumps(decision.to_dict())),
    ):
        again = Decision.from_dict(written)
        assert again == decision
        assert hash(again) == hash(decision)
        assert again.describe() == decision.describe()
        assert again.quorum == 0.6
    tally = refused().tally
    assert Tally.from_dict(parse(canonical(tally.to_dict()))) == tally
    assert Tally.from_dict(refused([], []).tally.to_dict()).leader is None
    assert decision != tally
    thirds = Arbiter(quorum=Fraction(2, 3)).arbitrate(SENT[:2])
    assert Decision.from_dict(thirds.to_dict()).quorum == Fraction(2, 3)


def test_errors_and_decisions_pickle_and_copy():
    error = refused()
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):  # noqa: S301
        assert type(again) is UnderQuorum
        assert str(again) == str(error)
        assert again.tally == error.tally
    decision = decided()
    assert pickle.loads(pickle.dumps(decision)) == copy.deepcopy(decision) == decision  # noqa: S301
    with pytest.raises(AttributeError):
        decision.consensus = "no"


def test_the_fields_of_a_decision():
    decision = decided()
    assert decision.consensus == "yes"
    assert decision.engaged == ("ann", "bob", "cyd")
    assert decision.dissenting == ("cyd",)
    assert decision.absent == tuple(AWAY)
    assert decision.protocol == "weighted-quorum"
    assert decision.by_quorum is True
    assert decision.parent is None
    assert (decision.cost, decision.support_exact, decision.backing_exact) == (6, "17/24", "8/11")
    assert [g["members"] for g in decision.trace["groups"]] == [["ann", "bob"], ["cyd"]]


@pytest.mark.parametrize(
    "change",
    [
        {"status": "refused"},
        {"support": 0.9},
        {"support": "0.7"},
        {"support": True},
        {"support_exact": "34/48"},
        {"support_exact": "1/0"},
        {"consensus": "no"},
        {"digest": "0" * 64},
        {"by_quorum": 1},
        {"parent": "x"},
        {"engaged": "ann"},
        {"engaged": [1]},
        {"absent": [{}]},
        {"trace": {}},
        {"extra": 1},
        {"quorum": 0.61},
        {"cost": 6.5},
    ],
)
def test_forms_that_do_not_add_up_are_refused(change):
    with pytest.raises(UsageError):
        Decision.from_dict({**decided().to_dict(), **change})


def test_tallies_that_do_not_add_up_are_refused():
    good = refused().tally.to_dict()
    for change in ({"reason": "mood"}, {"leader": None}, {"leader": "x"}, {"status": "committed"}):
        with pytest.raises(UsageError):
            Tally.from_dict({**good, **change})
    hollow = decided().to_dict()
    hollow["trace"]["groups"] = []
    with pytest.raises(UsageError, match="own group"):
        Decision.from_dict(hollow)
    empty_group = decided().to_dict()
    empty_group["trace"]["groups"][0]["members"] = []
    with pytest.raises(UsageError, match="no members"):
        Decision.from_dict(empty_group)


def test_a_policy_that_decided_is_named():
    form = {**decided().to_dict(), "by_quorum": False, "parent": "0" * 64}
    decision = Decision.from_dict(form)
    assert "not decided by a quorum" in decision.describe()
    assert decision != decided()


def test_the_example_of_the_package_is_true():
    import doctest

    import quorate.arbitration

    assert doctest.testmod(quorate.arbitration) == (0, 4)
