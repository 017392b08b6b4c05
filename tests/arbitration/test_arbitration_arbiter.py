"""The arbiter's door: protocols, options, what may be handed in, aliasing, the source."""

from collections import UserList
from decimal import Decimal
from fractions import Fraction

import pytest

from quorate.arbitration import Absence, Arbiter, Proposal, UnderQuorum, WeightedQuorumArbiter
from quorate.core import limits
from quorate.core.errors import NoQuorum, UsageError, UsageTypeError, VerificationError

AGREED = [Proposal("a", {"n": [1]}, 0.9, 0.5), Proposal("b", {"n": [1]}, 0.8, 0.5)]

SOURCE_SNIPPET = """
arbiter = Arbiter(protocol="weighted-quorum", quorum=0.66)
decision = arbiter.arbitrate(session.collect())

if decision.support >= 0.9:
    commit(decision.consensus)                # strong agreement
else:
    escalate(decision, to="peer-consult")     # weak: ask for a human or peer pass
"""


class Collected(UserList):
    absent = (Absence("late", 0.25, "timeout", "no answer within 2 s"),)


@pytest.mark.parametrize(("answers", "expected"), [("xxx", "commit"), ("xxy", "escalate")])
def test_the_snippet_of_the_source_runs(answers, expected):
    class Session:
        def collect(self):
            sure = 0.9 if expected == "commit" else 0.95
            weights = (0.4, 0.35, 0.25)
            return [
                Proposal(e, a, sure, w) for e, a, w in zip("pqr", answers, weights, strict=True)
            ]

    did = []
    names = {
        "Arbiter": Arbiter,
        "session": Session(),
        "commit": lambda consensus: did.append(("commit", consensus)),
        "escalate": lambda decision, to: did.append(("escalate", decision.consensus)),
    }
    exec(SOURCE_SNIPPET, names)  # noqa: S102 - a constant of this file
    assert did == [(expected, "x")]


def test_absences_are_read_from_what_collect_returns():
    decision = Arbiter().arbitrate(Collected(AGREED))
    assert decision.support_exact == "17/22"  # 0.85 / (0.85 + 0.25)
    assert [a.expert_id for a in decision.absent] == ["late"]
    both = Arbiter().arbitrate(Collected(AGREED), Collected.absent)
    assert both == decision


def test_any_iterable_will_do():
    expected = Arbiter().arbitrate(AGREED)
    assert Arbiter().arbitrate(iter(AGREED)) == expected
    assert Arbiter().arbitrate(dict.fromkeys(AGREED, 0), absent=iter(())) == expected
    assert WeightedQuorumArbiter().arbitrate(tuple(AGREED)) == expected


@pytest.mark.parametrize("bad", [None, 7, AGREED[0], "ab", [None], [{"expert_id": "a"}]])
def test_what_is_no_list_of_proposals_is_refused(bad):
    with pytest.raises(UsageTypeError):
        Arbiter().arbitrate(bad)
    with pytest.raises(UsageTypeError):
        Arbiter().arbitrate(AGREED, bad)
    assert issubclass(UsageTypeError, TypeError)


def test_proposals_and_absences_of_one_expert_exclude_each_other():
    with pytest.raises(UsageError, match="'a' is both"):
        Arbiter().arbitrate(AGREED, [Absence("a", 0.5, "timeout")])
    gone = [Absence("x", 1, "timeout"), Absence("x", 1, "crashed")]
    with pytest.raises(UsageError, match="'x' is absent in two"):
        Arbiter().arbitrate(AGREED, gone)


def test_the_roster_is_held_at_its_bound_and_one_past_it():
    most = limits.MAX_REPLICAS
    full = [Proposal(str(k), "x", 1, 1) for k in range(most)]
    assert Arbiter().arbitrate(full).support == 1
    with pytest.raises(UsageError, match="1024"):
        Arbiter().arbitrate([*full, Proposal("more", "x", 1, 1)])
    with pytest.raises(UsageError, match="1025"):
        Arbiter().arbitrate(full, [Absence("more", 1, "timeout")])
    with pytest.raises(UsageError, match="1024"):
        Arbiter().arbitrate(iter(lambda: full[0], None))


@pytest.mark.parametrize("bad", [0, -0.1, 1.1, 66, float("nan"), Fraction(0), Decimal("1.01")])
def test_a_quorum_out_of_range_is_refused(bad):
    with pytest.raises(UsageError, match="quorum"):
        Arbiter(quorum=bad)


@pytest.mark.parametrize("bad", [True, "0.66", None])
def test_a_quorum_of_another_type_is_refused(bad):
    with pytest.raises(UsageTypeError, match="quorum"):
        Arbiter(quorum=bad)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (0.66, 0.66),
        (Decimal("0.66"), 0.66),
        (Fraction(33, 50), 0.66),
        (1, 1.0),
        (Fraction(2, 3), Fraction(2, 3)),
    ],
)
def test_the_quorum_is_shown_as_given(given, shown):
    assert Arbiter(quorum=given).quorum == shown
    assert Arbiter(quorum=given).arbitrate(AGREED).quorum == shown
    assert WeightedQuorumArbiter(given) == WeightedQuorumArbiter(shown)


def test_protocols_are_declared_and_known():
    known = "first-to-quorum, ranked-runoff, synthesis, weighted-quorum"
    for unknown in ("fallback", "borda"):
        with pytest.raises(UsageError, match=f"'{unknown}'; there is: {known}"):
            Arbiter(protocol=unknown)
    with pytest.raises(UsageTypeError):
        Arbiter(protocol=None)
    with pytest.raises(UsageError, match="no option early; it has: quorum, normalize"):
        Arbiter(early="fast")
    assert repr(Arbiter()) == "Arbiter(protocol='weighted-quorum', quorum=0.66)"
    assert Arbiter().rule == WeightedQuorumArbiter.rule == "weighted-quorum/1"
    with pytest.raises(AttributeError):
        WeightedQuorumArbiter().quorum = 0.1


def test_the_consensus_aliases_nothing():
    decision = Arbiter().arbitrate(AGREED)
    decision.consensus["n"].append("changed")
    decision.trace["groups"].clear()
    again = Arbiter().arbitrate(AGREED)
    assert again.consensus == {"n": [1]}
    again.to_dict()["consensus"]["n"].clear()
    again.to_dict()["trace"]["groups"].clear()
    assert again == Arbiter().arbitrate(AGREED)


def test_a_payload_changed_in_place_is_found():
    sly = Proposal("sly", {"pay": 1}, 1, 1)
    sly.payload["pay"] = 1_000_000
    with pytest.raises(VerificationError, match="'sly' was changed"):
        Arbiter().arbitrate([sly])
    sly.payload["pay"] = float("nan")
    with pytest.raises(VerificationError, match="'sly' was changed"):
        Arbiter().arbitrate([sly])
    sly.payload["pay"] = 1
    assert Arbiter().arbitrate([sly]).consensus == {"pay": 1}


def test_one_and_true_are_different_answers():
    decision = Arbiter(quorum=0.6).arbitrate([Proposal("a", 1, 1, 2), Proposal("b", True, 1, 1)])
    assert decision.dissenting == ("b",)
    merged = Arbiter().arbitrate([Proposal("a", 1, 1, 2), Proposal("b", 1.0, 1, 1)])
    assert merged.support == 1


def test_costs_are_summed_exactly():
    sent = [Proposal(str(k), "x", 1, 1, cost=0.1) for k in range(3)]
    decision = Arbiter().arbitrate(sent)
    assert (decision.cost, decision.cost_exact) == (0.3, "3/10")
    assert 0.1 + 0.1 + 0.1 != 0.3
    many = [Proposal(str(k), "x", 1, 1, cost=2**53 - 1) for k in range(3)]
    assert Arbiter().arbitrate(many).cost == float(3 * (2**53 - 1))


def test_a_refusal_is_no_quorum():
    with pytest.raises(NoQuorum):
        Arbiter().arbitrate([])
    with pytest.raises(UnderQuorum):
        Arbiter().arbitrate(())
