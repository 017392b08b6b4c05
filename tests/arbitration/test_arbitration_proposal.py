"""Proposals and absences: whose fault a defect is, copies, equality, round trips."""

import copy
import pickle
import threading
from decimal import Decimal
from enum import Enum
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.arbitration import Absence, Proposal, proposal
from quorate.arbitration.proposal import REASONS
from quorate.core import limits
from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError


class Evil:
    def __repr__(self):
        raise RuntimeError("gotcha")


EXPERTS_FAULTS = [
    ({"payload": float("nan")}, r"\$: nan"),
    ({"payload": {"a": [1, float("inf")]}}, r"\$\.a\[1\]"),
    ({"payload": {1: "x"}}, "not a string"),
    ({"payload": b"bytes"}, "base64"),
    ({"payload": "\ud800"}, "surrogate"),
    ({"payload": 2**53}, "beyond"),
    ({"payload": Evil()}, "Evil"),
    ({"confidence": 50}, "50"),
    ({"confidence": 1.0000000000000002}, "between 0 and 1"),
    ({"confidence": -0.1}, "-0.1"),
    ({"confidence": float("nan")}, "nan"),
    ({"confidence": float("inf")}, "inf"),
    ({"confidence": Decimal("NaN")}, "NaN"),
    ({"confidence": "0.9"}, "'0.9'"),
    ({"confidence": True}, "True"),
    ({"confidence": None}, "None"),
    ({"confidence": Evil()}, "of type Evil"),
    ({"confidence": Fraction(1, 1009)}, "denominator"),
    ({"cost": -1}, "-1"),
    ({"cost": float("inf")}, "inf"),
    ({"cost": float("nan")}, "nan"),
    ({"cost": 2**53}, "between"),
    ({"cost": "free"}, "'free'"),
    ({"digest": "0" * 64}, "digest"),
    ({"digest": 7}, "digest"),
    ({"ranking": "abc"}, "best first"),
    ({"ranking": [float("nan")]}, r"\$\[0\]"),
]


@pytest.mark.parametrize(("fault", "words"), EXPERTS_FAULTS)
def test_a_fault_of_the_expert_names_it(fault, words):
    good = {"expert_id": "liar-7", "payload": "x", "confidence": 0.5, "route_weight": 1}
    with pytest.raises(MisbehaviourError, match=words) as caught:
        Proposal(**{**good, **fault})
    assert caught.value.culprit == "liar-7"
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"expert_id": ""}, UsageError),
        ({"expert_id": "x" * 257}, UsageError),
        ({"expert_id": "\ud800"}, UsageError),
        ({"expert_id": 7}, UsageTypeError),
        ({"expert_id": None}, UsageTypeError),
        ({"route_weight": -0.1}, UsageError),
        ({"route_weight": float("nan")}, UsageError),
        ({"route_weight": float("inf")}, UsageError),
        ({"route_weight": 2**53}, UsageError),
        ({"route_weight": "1"}, UsageTypeError),
        ({"route_weight": True}, UsageTypeError),
        ({"route_weight": None}, UsageTypeError),
    ],
)
def test_a_fault_of_the_caller_is_a_usage_error(fault, kind):
    good = {"expert_id": "a", "payload": "x", "confidence": 0.5, "route_weight": 1}
    with pytest.raises(kind):
        Proposal(**{**good, **fault})
    absent = {"expert_id": "a", "route_weight": 1, "reason": "crashed", **fault}
    with pytest.raises(kind):
        Absence(**absent)


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_sizes_are_held_at_the_bound_and_one_past_it():
    most = limits.MAX_PAYLOAD_BYTES
    Proposal("a", "x" * (most - 2), 1, 1)
    with pytest.raises(MisbehaviourError, match="bytes"):
        Proposal("a", "x" * (most - 1), 1, 1)
    with pytest.raises(MisbehaviourError, match="bytes"):
        Proposal("a", 1, 1, 1, ranking=["x" * most])
    Proposal("a", nested(limits.MAX_PAYLOAD_DEPTH), 1, 1)
    with pytest.raises(MisbehaviourError, match="deeper"):
        Proposal("a", nested(limits.MAX_PAYLOAD_DEPTH + 1), 1, 1)
    Proposal("x" * limits.MAX_ID_LENGTH, 1, 1, 2**53 - 1, 2**53 - 1)
    Proposal("a", 1, Fraction(1, 1000), 1)
    Proposal("a", 1, 5e-324, 5e-324, 5e-324)
    Absence("a", 1, "crashed", "x" * limits.MAX_DETAIL_LENGTH)
    with pytest.raises(UsageError):
        Absence("a", 1, "crashed", "x" * (limits.MAX_DETAIL_LENGTH + 1))


def test_the_payload_is_a_private_copy():
    answer = {"deep": [1, {"x": (2, 3)}]}
    ranking = [["a"], "b"]
    proposal = Proposal("a", answer, 0.5, 1, ranking=ranking)
    answer["deep"][1]["x"] = "changed"
    ranking[0].append("changed")
    assert proposal.payload == {"deep": [1, {"x": [2, 3]}]}
    assert proposal.ranking == (["a"], "b")
    assert proposal.digest == digest({"deep": [1, {"x": [2, 3]}]})
    proposal.to_dict()["payload"]["deep"].clear()
    assert proposal.payload == {"deep": [1, {"x": [2, 3]}]}


def test_a_payload_that_changes_while_it_is_read_is_read_as_of_one_moment(monkeypatch):
    """Whatever is encoded is what is kept, though its giver changes it in between."""
    payload = {"a": [1], "b": {"c": [2, 3]}}

    def changing(value):
        encoded = canonical(value)
        payload["a"].append(len(payload["a"]))
        payload["b"]["c"] = "other"
        payload["z"] = 1
        return encoded

    monkeypatch.setattr(proposal, "canonical", changing)
    made = Proposal("a", payload, 1, 1, ranking=[payload, 1])
    assert made.digest == digest(made.payload)
    assert made.payload == {"a": [1], "b": {"c": [2, 3]}}
    assert Proposal.from_dict(made.to_dict()) == made


def test_a_thread_that_keeps_changing_its_payload_does_no_harm():
    payload = {"a": 0, "more": [0]}
    stop = threading.Event()

    def change():
        while not stop.is_set():
            payload["a"] += 1
            payload[str(payload["a"] % 7)] = [1]
            payload["more"].append(1)
            payload.pop(str(payload["a"] % 5), None)
            del payload["more"][3:]

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(500):
            made = Proposal("a", payload, 1, 1)
            assert made.digest == digest(made.payload)
    finally:
        stop.set()
        thread.join()


def test_a_payload_that_contains_itself_is_refused():
    payload = []
    payload.append(payload)
    with pytest.raises(MisbehaviourError, match="deeper"):
        Proposal("a", payload, 1, 1)


def test_a_digest_given_is_checked_and_may_be_right():
    assert Proposal("a", 1, 1, 1, 0, digest(1)).digest == digest(1.0)


def test_equality_is_of_exact_values_and_json():
    one = Proposal("a", 1, 0.5, 0.1, 0.1)
    assert one == Proposal("a", 1.0, Fraction(1, 2), Decimal("0.1"), Fraction(1, 10))
    assert hash(one) == hash(Proposal("a", 1, Decimal("0.5"), 0.1, 0.1))
    assert one != Proposal("a", True, 0.5, 0.1, 0.1)
    assert one != Proposal("a", 1, 0.5, 0.1, 0.1, ranking=[])
    assert one != Proposal("a", 1, 0.5, 0.1, 0.2)
    assert one != "a"
    assert Absence("a", 0.5, "void") == Absence("a", Fraction(1, 2), "void")
    assert Absence("a", 0.5, "void") != Absence("a", 0.5, "void", "why")
    assert Absence("a", 0.5, "void") != "a"
    assert len({Absence("a", 0.5, "void"), Absence("a", Fraction(1, 2), "void")}) == 1


def test_vote_is_the_nearest_double_of_the_exact_product():
    assert Proposal("a", 1, 0.1, 0.7).vote == 0.07
    assert 0.1 * 0.7 != 0.07
    assert Proposal("a", 1, 0, 0.7).vote == 0


def test_ids_that_are_enums_count_as_their_text():
    class Expert(str, Enum):  # noqa: UP042 - its str() is not its text
        ANN = "ann"

    assert Proposal(Expert.ANN, 1, 1, 1).expert_id == "ann"
    assert type(Absence(Expert.ANN, 1, "void").expert_id) is str


def test_frozen_copies_and_pickles():
    proposal = Proposal("a", [1], 0.5, 0.1, ranking=["x"])
    with pytest.raises(AttributeError):
        proposal.confidence = 1
    absence = Absence("a", 0.5, "void")
    with pytest.raises(AttributeError):
        absence.reason = "timeout"
    for thing in (proposal, absence):
        assert pickle.loads(pickle.dumps(thing)) == thing  # noqa: S301 - our own bytes
        assert copy.deepcopy(thing) == copy.copy(thing) == thing


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-1e3, 1e3)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
numbers = st.floats(0, 1) | st.decimals(0, 1, places=4) | st.fractions(0, 1, max_denominator=1000)


@given(json_values, numbers, numbers, numbers, st.none() | st.lists(json_values, max_size=2))
def test_round_trip_through_json(payload, confidence, weight, cost, ranking):
    proposal = Proposal("a", payload, confidence, weight, cost, ranking=ranking)
    again = Proposal.from_dict(proposal.to_dict())
    assert again == proposal
    assert again.to_dict() == proposal.to_dict()
    assert again.vote == proposal.vote


@pytest.mark.parametrize("reason", REASONS)
def test_absences_round_trip(reason):
    absence = Absence("a", 0.1, reason, "why")
    assert Absence.from_dict(absence.to_dict()) == absence
    assert absence.to_dict()["route_weight"] == "1/10"


def test_unknown_reasons_and_keys_are_refused():
    with pytest.raises(UsageError, match="crashed, timeout"):
        Absence("a", 1, "lazy")
    with pytest.raises(UsageTypeError):
        Absence("a", 1, None)
    good = Proposal("a", 1, 1, 1).to_dict()
    with pytest.raises(UsageError, match="unknown keys: 'extra'"):
        Proposal.from_dict({**good, "extra": 1})
    with pytest.raises(UsageError, match="lacks cost"):
        Proposal.from_dict({k: v for k, v in good.items() if k != "cost"})
    with pytest.raises(UsageError, match="lowest terms"):
        Proposal.from_dict({**good, "confidence": "2/2"})
    with pytest.raises(UsageError, match="null"):
        Proposal.from_dict({**good, "ranking": None})
    with pytest.raises(UsageTypeError):
        Absence.from_dict([])


def aliased(times, value, deep):
    """A list that stands many times in another, and that one in a third, and so on."""
    for _ in range(deep):
        value = [value] * times
    return value


@pytest.mark.parametrize(
    "payload",
    [
        aliased(10, "x", 40),
        aliased(2, [], 50),
        {"a": aliased(10, {"b": 1}, 30)},
        ["x" * 10_000] * 1000,
        [{"k" * 1000: 1}] * 10_000,
    ],
    # Written out, each would be too long for a test's name too.
    ids=["lists", "empty", "objects", "texts", "keys"],
)
def test_what_stands_in_itself_many_times_is_refused_by_its_size(payload, monkeypatch):
    monkeypatch.setattr(limits, "MAX_PAYLOAD_BYTES", 1 << 14)
    for sent in ({"payload": payload}, {"payload": 1, "ranking": [payload]}):
        with pytest.raises(MisbehaviourError, match="is larger than 16384 bytes"):
            Proposal("a", confidence=0.5, route_weight=1, **sent)


def test_a_list_that_holds_itself_is_refused():
    endless = []
    endless += [endless, endless]
    with pytest.raises(MisbehaviourError, match="nested deeper than"):
        Proposal("a", endless, 0.5, 1)


def test_the_most_items_that_a_payload_can_have():
    most = (limits.MAX_PAYLOAD_BYTES - 1) // 2
    assert len(Proposal("a", [1] * most, 0.5, 1).payload) == most
    with pytest.raises(MisbehaviourError, match="has 1048577 bytes"):
        Proposal("a", [1] * (most + 1), 0.5, 1)


def test_the_size_is_that_of_payload_and_ranking():
    assert Proposal("a", {"é": [1.5, None]}, 0.5, 1).size == len(canonical({"é": [1.5, None]}))
    ranking = ["yes", 2]
    assert Proposal("a", "yes", 0.5, 1, ranking=ranking).size == 5 + len(canonical(ranking))
