"""Quorum arithmetic against brute force over sets of replicas."""

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.quorum import Quorum, heavy_voters, quorum_size, tolerated_faults

SMALL = [(n, f) for n in range(1, 8) for f in range((n - 1) // 3 + 1)]


def least_shared(n, size):
    """How few members two groups of that size can share, by looking at every pair."""
    groups = [frozenset(group) for group in combinations(range(n), size)]
    return min(len(a & b) for a in groups for b in groups)


@pytest.mark.parametrize(("n", "f"), SMALL)
def test_any_two_quorums_share_more_than_the_liars_and_no_smaller_size_does(n, f):
    size = quorum_size(n, f)
    assert least_shared(n, size) > f
    assert all(least_shared(n, smaller) <= f for smaller in range(size))


@pytest.mark.parametrize(("n", "f"), SMALL)
def test_no_two_values_can_both_be_decided_however_the_liars_vote(n, f):
    size = quorum_size(n, f)
    honest = n - f
    # The honest split in every way; each liar votes for both values.
    assert not any(a + f >= size and honest - a + f >= size for a in range(honest + 1))


def test_every_n_is_live_with_its_liars_silent_and_two_thirds_by_default():
    for n in range(1, limits.MAX_REPLICAS + 1):
        f = tolerated_faults(n)
        assert 3 * f < n <= 3 * f + 3
        assert n - f >= quorum_size(n)
        assert quorum_size(n) == -(-2 * n // 3) or n == 3 * f + 3
        assert 3 * quorum_size(n) >= 2 * n
        for faults in {0, f // 2, f}:
            size = quorum_size(n, faults)
            assert n - faults >= size
            assert 2 * size - n > faults
            assert 2 * (size - 1) - n <= faults


def test_where_the_textbook_figure_is_safe_it_is_the_same():
    for n in range(1, limits.MAX_REPLICAS + 1):
        quorum = Quorum(n)
        assert (quorum.size == quorum.two_f_plus_one) == (n == 3 * quorum.faults + 1)


def test_plain_two_f_plus_one_would_let_six_split():
    assert 2 * tolerated_faults(6) + 1 == 3
    assert least_shared(6, 3) == 0
    assert quorum_size(6) == 4


@pytest.mark.parametrize("bad", [True, False, 4.0, "4", None, Fraction(4), b"4", [4]])
def test_what_is_no_int_is_refused_by_type(bad):
    for call in (tolerated_faults, quorum_size, Quorum):
        with pytest.raises(UsageTypeError, match="n is"):
            call(bad)
    if bad is not None:
        for call in (quorum_size, Quorum):
            with pytest.raises(UsageTypeError, match="faults is"):
                call(4, bad)


@pytest.mark.parametrize("bad", [0, -1, -(10**30), limits.MAX_REPLICAS + 1, 10**30])
def test_a_roster_out_of_bounds_is_refused(bad):
    for call in (tolerated_faults, quorum_size, Quorum):
        with pytest.raises(UsageError, match="n is"):
            call(bad)


def test_the_largest_roster_is_accepted():
    assert Quorum(limits.MAX_REPLICAS).size == 683


@pytest.mark.parametrize(("n", "faults"), [(1, 1), (3, 1), (4, 2), (6, 2), (7, 3), (4, -1)])
def test_more_faults_than_can_be_borne_are_refused(n, faults):
    with pytest.raises(UsageError, match=f"faults is {faults}"):
        quorum_size(n, faults)


def test_too_many_faults_say_how_many_replicas_they_would_take():
    with pytest.raises(UsageError, match="2 liars need at least 7 replicas"):
        Quorum(6, 2)


def test_a_quorum_is_a_value():
    quorum = Quorum(7, 1)
    assert (quorum.n, quorum.faults, quorum.size) == (7, 1, 5)
    assert quorum == Quorum(7, 1) != Quorum(7)
    assert len({Quorum(7, 1), Quorum(7, 1), Quorum(7)}) == 2
    with pytest.raises(AttributeError):
        quorum.size = 1


@pytest.mark.parametrize("n", [1, 3, 4, 6, 7, 64, 65, 1024])
def test_describe_says_the_numbers_it_stands_for(n):
    quorum = Quorum(n)
    text = quorum.describe()
    assert f"{quorum.size} of {n} replicas must agree; up to {quorum.faults} may lie." in text
    assert f"share at least {2 * quorum.size - n} of the {n}" in text
    assert f"With {n - quorum.size} absent it still decides" in text
    assert ("#" in text) == (n <= 64)
    assert ("2f+1 would be" in text) == (quorum.faults > 0 and n != 3 * quorum.faults + 1)
    assert ("It bears no liar" in text) == (quorum.faults == 0)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=3), st.fractions(min_value=0, max_value=10), max_size=6))
def test_heavy_voters_are_those_with_a_third_or_more(weights):
    total = sum(weights.values())
    expected = {} if total == 0 else {v: w / total for v, w in weights.items() if w >= total / 3}
    assert heavy_voters(weights) == expected


def test_exactly_a_third_is_heavy():
    third = {"a": Fraction(1), "b": Fraction(1), "c": Fraction(1)}
    assert heavy_voters(third) == dict.fromkeys("abc", Fraction(1, 3))
    assert heavy_voters({**third, "d": Fraction(1, 10**9)}) == {}
