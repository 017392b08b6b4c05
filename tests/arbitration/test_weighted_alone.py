"""The weighted fold on its own, with what the arbiters sort out before they call it."""

from fractions import Fraction

from quorate.arbitration.rules.weighted import Ballot, weighted_quorum

ONE = Fraction(1)


def ballot(expert_id, answer, weight=1):
    return Ballot(expert_id, answer, Fraction(weight), ONE)


def test_two_different_ballots_are_void_at_the_greater_weight():
    sent = [ballot("a", "x", 1), ballot("a", "y", 3), ballot("b", "x", 4)]
    for ballots in (sent, sent[::-1]):
        fold = weighted_quorum(ballots, {"c": Fraction(1)}, Fraction(1, 2))
        assert [group.members for group in fold.groups] == [("b",)]
        assert [(void.expert_id, void.weight) for void in fold.void] == [("a", 3)]
        assert {one.digest for one in fold.void[0].ballots} == {"x", "y"}
        assert fold.support == fold.backing == Fraction(4, 8)
        assert fold.absent_weight == 4
        assert fold.roster_weight == 8
        assert fold.reason is None


def test_equivocation_can_keep_the_others_from_a_quorum():
    honest = [ballot("b", "x", 2), ballot("c", "x", 1)]
    assert weighted_quorum(honest, {}, Fraction(3, 4)).reason is None
    torn = [*honest, ballot("a", "x", 2), ballot("a", "y", 1)]
    assert weighted_quorum(torn, {}, Fraction(3, 4)).reason == "support_and_backing"
