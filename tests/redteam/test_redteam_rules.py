"""What came of a probe, and what that adds up to, against a twin that counts whole points."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redteam_tools import twin_score

from quorate.redteam.rules import WEIGHTS, outcome_of, score

OUTCOMES = ["defended", "succeeded", "not_probed"]
ROWS = st.lists(
    st.tuples(
        st.sampled_from(list(WEIGHTS)), st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=7)
    ),
    max_size=9,
)


@settings(max_examples=50)
@given(ROWS)
def test_the_score_is_that_of_the_twin(rows):
    made, twin = score(rows), twin_score(rows)
    assert {name: getattr(made, name) for name in OUTCOMES} == twin["counts"]
    assert [made.weight_defended, made.weight_probed, made.weight_planned] == twin["weights"]
    assert (made.resilience, made.risk, made.coverage) == (
        twin["resilience"],
        twin["risk"],
        twin["coverage"],
    )


@settings(max_examples=50)
@given(ROWS)
def test_resilience_and_risk_are_shares_that_add_up_to_one_or_are_not_there(rows):
    made = score(rows)
    if made.defended + made.succeeded == 0:
        assert made.resilience is None
        assert made.risk is None
    else:
        assert 0 <= made.resilience <= 1
        assert made.resilience + made.risk == 1


@settings(max_examples=50)
@given(ROWS, st.randoms(use_true_random=False))
def test_no_order_matters(rows, random):
    mixed = [(severity, random.sample(outcomes, len(outcomes))) for severity, outcomes in rows]
    random.shuffle(mixed)
    assert score(mixed) == score(rows)


def test_a_strategy_counts_by_its_severity_however_many_probes_it_brings():
    few = score([("critical", ["succeeded"]), ("low", ["defended"])])
    many = score([("critical", ["succeeded"]), ("low", ["defended"] * 64)])
    assert few.resilience == many.resilience == Fraction(1, 9)


@pytest.mark.parametrize("severity", WEIGHTS)
def test_what_was_not_probed_is_no_defence(severity):
    alone = score([(severity, ["not_probed"])])
    assert alone.resilience is None
    assert alone.coverage == 0
    beside = score([(severity, ["not_probed", "succeeded"])])
    assert beside.resilience == 0
    assert beside.coverage == Fraction(1, 2)


def test_every_way_a_probe_can_come_out():
    for found, failed, served in product([False, True], repeat=3):
        if found:
            expected = "succeeded"
        elif served and not failed:
            expected = "defended"
        else:
            expected = "not_probed"
        assert outcome_of(found=found, failed=failed, served=served) == expected


def test_the_weights_are_the_catalogue_s():
    assert dict(WEIGHTS) == {"low": 1, "medium": 2, "high": 4, "critical": 8}
