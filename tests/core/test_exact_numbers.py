"""Exact numbers against the plain definition: a float is the decimal that it prints as."""

import math
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import as_text, common_scale, exact, from_text

MOST = 10**400 - 1


@settings(max_examples=50)
@given(st.floats(allow_nan=False, allow_infinity=False))
@example(0.1)
@example(5e-324)
@example(-1.7976931348623157e308)
@example(-0.0)
def test_a_float_is_its_shortest_decimal(x):
    assert exact(x) == Fraction(repr(x))
    assert float(exact(x)) == x


def test_a_tenth_is_a_tenth():
    assert exact(0.1) == Fraction(1, 10) != Fraction(0.1)
    assert exact(0.1) + exact(0.2) == exact(0.3)


@settings(max_examples=50)
@given(st.integers(-MOST, MOST), st.integers(1, MOST))
def test_ints_and_fractions_are_themselves(p, q):
    assert exact(p) == p
    assert exact(Fraction(p, q)) == Fraction(p, q)


@settings(max_examples=50)
@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**60), max_value=10**60))
def test_a_decimal_is_itself(value):
    assert exact(value) == Fraction(value)


def test_numpy_doubles_are_floats_and_other_scalars_are_refused():
    assert exact(np.float64(0.1)) == Fraction(1, 10)
    for scalar in (np.float32(0.1), np.int64(1), np.bool_(True), np.array([0.1])):
        with pytest.raises(UsageTypeError):
            exact(scalar)


@pytest.mark.parametrize("bad", [True, False, "0.1", None, b"1", 1j, [1], object()])
def test_other_types_are_refused(bad):
    with pytest.raises(UsageTypeError, match="weight is"):
        exact(bad, "weight")


@pytest.mark.parametrize(
    "bad",
    [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")],
)
def test_what_is_not_finite_is_refused(bad):
    with pytest.raises(UsageError, match=r"weight is .*finite"):
        exact(bad, "weight")


@pytest.mark.parametrize(
    "value",
    [
        MOST,
        -MOST,
        Fraction(1, MOST),
        Fraction(MOST, MOST - 1),
        Decimal("1E+399"),
        Decimal("1E-399"),
    ],
)
def test_numbers_at_the_bound(value):
    assert exact(value) == Fraction(value)


@pytest.mark.parametrize(
    "value",
    [MOST + 1, -MOST - 1, Fraction(1, MOST + 1), Decimal("1E+400"), Decimal("1E-400")],
)
def test_numbers_one_past_the_bound(value):
    with pytest.raises(UsageError, match="more than 400 digits"):
        exact(value)


@pytest.mark.parametrize(
    "value", [Decimal("7" * 250), Decimal("7" * 400), Decimal("0." + "7" * 399)]
)
def test_a_long_decimal_within_the_bound_is_accepted(value):
    assert exact(value) == Fraction(value)


@pytest.mark.parametrize("value", [Decimal("1E+999999"), Decimal("-1E-999999"), Decimal("7" * 401)])
def test_a_huge_decimal_is_refused_before_it_is_built(value):
    with pytest.raises(UsageError, match="more than 400 digits"):
        exact(value)


def test_an_int_enum_is_refused():
    class Level(IntEnum):
        TWO = 2

    with pytest.raises(UsageTypeError, match="of type Level"):
        exact(Level.TWO)


@settings(max_examples=50)
@given(st.fractions())
@example(Fraction(MOST, MOST - 1))
@example(Fraction(-MOST, MOST - 1))
def test_text_round_trip(value):
    assert from_text(as_text(value)) == value


@pytest.mark.parametrize(
    "bad",
    ["", " 1", "1 ", "+1", "2/4", "1/1", "1/0", "0/5", "-0", "1/-2", "01", "1/02", "0.5", "1e3",
     "1_0", "½", "٣", "nan", "1/2/3", "1 /2", "--1", "1e999999999999", "1\n"],
)  # fmt: skip
def test_no_other_spelling_is_read(bad):
    with pytest.raises(UsageError, match="share"):
        from_text(bad, "share")


@pytest.mark.parametrize("bad", [1, 0.5, None, b"1/2", True, Fraction(1, 2)])
def test_only_text_is_read(bad):
    with pytest.raises(UsageTypeError, match="share is"):
        from_text(bad, "share")


@pytest.mark.parametrize(
    "bad", [str(MOST + 1), f"1/{MOST + 1}", f"-{MOST}/{MOST - 1}0", "1" * 5000]
)
def test_text_past_the_bound_is_refused(bad):
    with pytest.raises(UsageError, match="more than 400 digits"):
        from_text(bad)


@settings(max_examples=50)
@given(st.text(alphabet="0123456789-+/._e ", max_size=12))
def test_text_is_read_only_if_it_is_what_would_be_written(text):
    try:
        value = from_text(text)
    except UsageError:
        return
    assert as_text(value) == text


@settings(max_examples=50)
@given(st.lists(st.fractions(), max_size=6))
def test_common_scale_keeps_every_value(values):
    scaled, scale = common_scale(values)
    assert scale >= 1
    assert [Fraction(number, scale) for number in scaled] == values
    assert all(isinstance(number, int) for number in scaled)


class Lying(Decimal):
    def as_integer_ratio(self):
        return 5, 10


class Halved(Fraction):
    numerator = property(lambda self: 2)
    denominator = property(lambda self: 4)


class Loud(int):
    def __repr__(self):
        raise SystemExit


class Pretender:
    __class__ = float


@pytest.mark.parametrize("kind", [Lying, Halved, Loud, Pretender])
def test_what_only_looks_like_a_number_is_refused(kind):
    value = kind() if kind is Pretender else kind(1)
    with pytest.raises(UsageTypeError, match=f"of type {kind.__name__}"):
        exact(value, "weight")


def test_a_doubles_subclass_counts_as_what_it_holds():
    class Shown(float):
        def __repr__(self):
            return "0.9"

    assert exact(Shown(0.25)) == Fraction(1, 4)
