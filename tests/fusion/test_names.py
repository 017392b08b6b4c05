"""What the errors say about a rule or a number, and what counts as either."""

import numpy as np
import pytest

from quorate.core.errors import UsageError, UsageTypeError
from quorate.fusion import (
    RULES,
    attacks,
    bucketing,
    centered_clipping,
    check_rule,
    coordinate_wise_median,
    fuse,
    krum,
    mean_around_median,
    minimum_diameter_averaging,
    multi_krum,
    nearest_neighbour_mixing,
    robust_route,
    trimmed_mean,
)
from quorate.fusion.arrays import whole
from quorate.fusion.bounds import bound
from quorate.fusion.names import FUNCTIONS, find_rule

ROWS = np.random.default_rng(1).normal(size=(7, 5, 3))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("medain", "median"),
        ("Median", "median"),
        ("+median", "median"),
        ("multikrum", "multi_krum"),
        ("geometric-median", "geometric_median"),
        ("nnm+krun", "nnm+krum"),
        ("bucketting+median", "bucketing+median"),
        ("nnm+nnm+median", "nnm+median"),
        ("coordinatewise_median", "coordinate_wise_median"),
    ],
)
def test_a_typo_is_told_what_may_be_meant(written, meant):
    with pytest.raises(UsageError) as caught:
        fuse(ROWS, written)
    assert f"rule is '{written}'; did you mean '{meant}'? There is median, " in str(caught.value)


def test_the_rule_that_protects_nothing_comes_last_and_says_so():
    with pytest.raises(UsageError) as caught:
        find_rule("dice")
    said = str(caught.value)
    assert "did you mean" not in said
    assert said.endswith("bucketing+RULE and mean, which protects against nothing")
    places = [said.index(f" {name}") for name in RULES if name != "mean"]
    assert places == sorted(places)


def test_a_vote_is_offered_only_where_it_is_taken():
    with pytest.raises(UsageError, match=r"did you mean 'vote'\? There is .*, vote, nnm\+RULE"):
        check_rule("vot", 4, also=("vote",))
    with pytest.raises(UsageError, match="a vote chooses experts and fuses nothing"):
        fuse(ROWS, "vote")
    with pytest.raises(UsageError) as caught:
        fuse(ROWS, "vot")
    assert "vote" not in str(caught.value)


@pytest.mark.parametrize("name", ["nnm", "nnm+", "nearest_neighbour_mixing", "bucketing"])
def test_a_step_alone_is_no_rule_and_its_use_is_told(name):
    step = "bucketing" if name == "bucketing" else "nnm"
    with pytest.raises(UsageError, match=rf"in front of a rule: write {step}\+RULE"):
        fuse(ROWS, name)


def test_a_functions_name_is_its_rules_too():
    for function, rule in FUNCTIONS.items():
        assert find_rule(function) is RULES[rule]
        assert bound(function, 7) == bound(rule, 7)
    both = find_rule("nearest_neighbour_mixing+coordinate_wise_median")
    assert both.name == "nnm+median"
    fused = fuse(ROWS, "coordinate_wise_median")
    assert fused.rule == "median"
    assert fused.values.tolist() == coordinate_wise_median(ROWS).tolist()


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int64, np.uint64])
def test_whole_numbers_of_numpy_are_whole_numbers(kind):
    one = kind(1)
    assert type(whole(one, "f")) is int
    assert type(fuse(ROWS, "krum", one).faults) is int
    assert check_rule("median", kind(7), one) == 1
    assert robust_route(ROWS, one).tolist() == robust_route(ROWS, 1).tolist()
    for rule in (trimmed_mean, mean_around_median, minimum_diameter_averaging, krum, multi_krum):
        assert rule(ROWS, one).tolist() == rule(ROWS, 1).tolist()
    mixed = nearest_neighbour_mixing(ROWS, one)
    assert mixed.tolist() == nearest_neighbour_mixing(ROWS, 1).tolist()
    assert bucketing(ROWS, kind(2), faults=one, order=np.arange(7)).shape == (4, 5, 3)
    assert centered_clipping(ROWS, radius=np.float32(1), steps=kind(2)).shape == (5, 3)
    for attack in (attacks.sign_flip, attacks.mimic, attacks.a_little_is_enough):
        assert attack(ROWS, kind(2)).tolist() == attack(ROWS, 2).tolist()


@pytest.mark.parametrize("value", [True, np.True_, 1.0, np.float64(1), "1", None, np.ones(2, int)])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(UsageTypeError, match=r"f is .*; give a whole number"):
        whole(value, "f")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: robust_route(np.zeros(3)), r"scores has shape \(3,\)"),
        (lambda: robust_route(np.zeros((4, 2), bool)), "scores holds bool"),
        (lambda: robust_route([np.zeros((4, 2)), "a"]), "scores cannot be read"),
        (lambda: robust_route(ROWS, -1), "f is -1"),
        (lambda: robust_route(ROWS, 1.0), "f is 1.0"),
        (lambda: robust_route(ROWS, 1, "medain"), "method is 'medain'; did you mean 'median'"),
        (lambda: robust_route(ROWS, 1, None), "method is None"),
        (lambda: trimmed_mean(ROWS, 1.5), "f is 1.5"),
        (lambda: krum(ROWS, -1), "f is -1"),
        (lambda: multi_krum(ROWS, True), "f is True"),
        (lambda: nearest_neighbour_mixing(ROWS, "1"), "f is '1'"),
        (lambda: coordinate_wise_median(ROWS, faults=1.5), "faults is 1.5"),
        (lambda: attacks.nan(np.zeros(3), 1), "honest has shape"),
        (lambda: attacks.nan(ROWS, 1.5), "f is 1.5"),
        (lambda: centered_clipping(ROWS, centre="a"), "centre"),
        (lambda: centered_clipping(ROWS, centre=np.zeros((5, 3), bool)), "centre holds bool"),
        (lambda: bucketing(ROWS, faults=1, order=7), "order is 7; give the numbers 0 to 6"),
        (lambda: bucketing(ROWS, faults=1, order=[0.5, 1, 2, 3, 4, 5, 6]), "order is"),
    ],
)
def test_an_error_names_the_argument_of_the_function_that_was_called(call, words):
    with pytest.raises(UsageError, match=f"^{words}"):
        call()


def test_a_mask_is_not_lost_on_the_way():
    masked = np.ma.masked_array([1.0, 2.0], [True, False])
    for vectors in (masked[None], [masked, masked], [[1.0, 2.0], masked], [[masked], [masked]]):
        with pytest.raises(UsageTypeError, match="vectors is a masked array, or holds one"):
            fuse(vectors)
