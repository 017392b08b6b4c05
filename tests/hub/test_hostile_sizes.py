"""Whatever experts answer with, their verdict is small enough to be sealed."""

from decimal import Decimal
from fractions import Fraction

import pytest

from quorate.arbitration import Absence, Arbiter, Decision, Proposal, UnderQuorum, gather
from quorate.arbitration.sealed import decided, replay
from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import MisbehaviourError
from quorate.hub import Hub
from quorate.hub.experts import Answer, Expert
from quorate.hub.reading import payload_share, read_answer
from quorate.ledger import Ledger

_TASK_AND_PANEL_BYTES = 4096
WHOLE = 10 ** (limits.MAX_ANSWER_DIGITS - 1)
"""The least number of so many digits."""


def longest(i):
    """A confidence as long as any that is taken, no two of them alike."""
    return Fraction(
        WHOLE + 2 * i * 5 + 1 + WHOLE * 7, 10 ** (limits.MAX_ANSWER_PLACES - 1) // 2 ** (i % 7)
    )


@pytest.mark.parametrize(
    "number",
    [5e-324, 2.2250738585072014e-308, 1.2345678901234567e-300, 0.1, 1, Fraction(1, 3), longest(3)],
)
def test_numbers_as_long_as_doubles_are_taken(number):
    assert Proposal("a", "x", number, 1).exact_confidence > 0
    assert Proposal("a", "x", 1, 1, number).exact_cost > 0


@pytest.mark.parametrize(
    "number",
    [
        Decimal("0." + "7" * 398 + "1"),
        Fraction(10**limits.MAX_ANSWER_DIGITS + 1, 10 ** (limits.MAX_ANSWER_DIGITS + 1)),
        Fraction(1, 10**limits.MAX_ANSWER_PLACES),
    ],
)
def test_longer_ones_are_the_expert_s_fault(number):
    for confidence, cost in ((number, 0), (1, number)):
        with pytest.raises(MisbehaviourError, match="has more than 40 digits, or a denominator"):
            Proposal("a", "x", confidence, 1, cost)
    # One less is at the bound.
    edge = Fraction(10**limits.MAX_ANSWER_DIGITS - 1, 10**limits.MAX_ANSWER_DIGITS)
    least = Fraction(1, 10 ** (limits.MAX_ANSWER_PLACES - 1))
    assert Proposal("a", "x", edge, 1, least).exact_confidence == edge
    # What the caller declares is bounded as before.
    assert Proposal("a", "x", 1, Decimal("0." + "7" * 398 + "1")).exact_weight > 0


def asked(i, payload, confidence, ranking):
    return Expert(f"e{i:02}", lambda _: Answer(payload, confidence, ranking=ranking))


@pytest.mark.parametrize("digits", [398, 30])
def test_liars_within_the_bound_stop_no_run(digits):
    honest = [asked(i, "x", 1, None) for i in range(41)]
    liars = [
        asked(
            41 + i,
            f"{i}-0",
            Decimal("0." + "7" * digits + str(1 + 2 * (i % 5))),
            [f"{i}-{j}" for j in range(51)],
        )
        for i in range(20)
    ]
    with Ledger.open("memory:") as ledger:
        hub = Hub([*honest, *liars], Arbiter("ranked-runoff", 0.66), ledger=ledger)
        verdict = hub.dispatch("q", id="t1")
        assert verdict.outcome.consensus == "x"
        assert len(ledger) >= 1
        hub.close()


class Reverse:
    """A caller's own way of comparing; its results are sealed beside the payloads."""

    def __call__(self, payload):
        return payload[::-1]


@pytest.mark.parametrize("different", [True, False])
@pytest.mark.parametrize(
    ("protocol", "normalize"),
    [
        ("weighted-quorum", None),
        ("first-to-quorum", None),
        ("ranked-runoff", None),
        ("ranked-runoff", Reverse()),
    ],
)
def test_what_the_largest_roster_may_answer_fits_one_entry(protocol, normalize, different):
    share = payload_share(limits.MAX_REPLICAS)
    # A runoff between a thousand options takes minutes; what is told of one is bounded.
    count = 128 if different and protocol == "ranked-runoff" else limits.MAX_REPLICAS
    members = []
    for i in range(count):
        expert = Expert(f"expert-{i:04}", len)
        confidence = Fraction(1, 997 - i % 500) if i % 3 == 0 else longest(i)
        cost = longest(i + 1)
        ranking = None
        name = f"{i:04}" if different else f"{i % 2:04}"
        payload = name
        if protocol == "ranked-runoff":
            # As many places as are read, each of which may bring its normal form with it.
            places = min(limits.MAX_RANKING, share // 160)
            ranking = [payload, *(f"{i:04}-{k}" for k in range(places - 1))]
        room = share - 134 * len(ranking or ()) - len(canonical([payload, ranking])) - 8
        if room > 0:
            payload = payload + "p" * (room // (1 if ranking is None else 2))
        if ranking is not None:
            ranking[0] = payload
        result = read_answer(
            expert, Fraction(1), Answer(payload, confidence, cost, ranking=ranking), share
        ).result
        if i % 97 == 0:
            result = Absence(expert.id, 1, "crashed", "\N{SNOWMAN}" * limits.MAX_DETAIL_LENGTH)
        members.append(result)
    proposals = [each for each in members if isinstance(each, Proposal)]
    assert len(proposals) > count * 0.97
    absences = [each for each in members if isinstance(each, Absence)]
    arbiter = Arbiter(protocol, 0.01, normalize=normalize).inner
    _, body = decided(arbiter, gather(proposals, absences))
    assert len(canonical(body)) + _TASK_AND_PANEL_BYTES <= limits.MAX_BODY_BYTES


def test_places_of_a_ranking_have_their_share():
    share = payload_share(limits.MAX_REPLICAS)
    expert = Expert("a", len)

    def read(places):
        ranking = [str(k) for k in range(places)]
        return read_answer(expert, Fraction(1), Answer("0", 1, ranking=ranking), share).result

    assert isinstance(read(50), Proposal)
    gone = read(limits.MAX_RANKING)
    assert gone.reason == "void"
    assert "the share of one in this roster" in gone.detail


def test_a_runoff_of_many_small_answers_is_sealed_and_verified():
    proposals = [Proposal(f"e{i}", f"o{i}", longest(i), 1) for i in range(300)]
    arbiter = Arbiter("ranked-runoff", 0.5).inner
    outcome, body = decided(arbiter, gather(proposals))
    assert not isinstance(outcome, Decision)
    assert body["verdict"]["trace"]["rounds"][0]["tally"] is None
    assert body["verdict"]["trace"]["rounds"][-1]["tally"]
    replay("refusal", body)
    with pytest.raises(UnderQuorum):
        arbiter.arbitrate(proposals)
