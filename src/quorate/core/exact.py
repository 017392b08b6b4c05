"""Exact numbers: what takes part in a verdict is a rational, never a rounded float.

A float stands for its shortest round-trip decimal: ``0.1`` is one tenth, as its
author wrote it, and not 3602879701896397/36028797018963968.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import cast

from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError

Number = int | float | Decimal | Fraction
"""What is accepted where a number takes part in a verdict."""

_BOUND = 10**limits.MAX_NUMBER_DIGITS
_SMALL = limits.MAX_SAFE_INTEGER
_EXACT = frozenset({int, Decimal, Fraction})
_RATIONAL = re.compile(r"-?[0-9]+(?:/0*[1-9][0-9]*)?")


@lru_cache(maxsize=4096)
def _from_float(value: float) -> Fraction:
    # The base's own repr: a subclass, such as numpy.float64, writes itself otherwise.
    return Fraction(float.__repr__(value))


@lru_cache(maxsize=4096)
def _from_int(value: int) -> Fraction:
    return Fraction(value)


def exact(value: Number, name: str = "number") -> Fraction:
    """Read ``value`` as the rational it was written as.

    Args:
        value: int, finite float, finite Decimal or Fraction.
        name: what to call the value in an error.

    Raises:
        UsageTypeError: a bool, a string or another type.
        UsageError: NaN, an infinity, or more than ``limits.MAX_NUMBER_DIGITS`` digits.
    """
    kind = type(value)
    if kind is int and -_SMALL <= value <= _SMALL:
        return _from_int(value)
    if issubclass(kind, float):
        if not math.isfinite(value):
            raise UsageError(f"{name} is {float.__repr__(value)}; it must be finite")
        # A subclass may say what it likes when it is looked up.
        return _from_float(float.__float__(cast("float", value)))
    # By exact type: a subclass may say one thing when compared and another when written down.
    if kind not in _EXACT:
        raise UsageTypeError(
            f"{name} is of type {kind.__name__}; give an int, a float, a Decimal or a Fraction"
        )
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise UsageError(f"{name} is {value}; it must be finite")
        # Checked before the conversion, which would build 10**exponent.
        _, digits, exponent = value.as_tuple()
        if max(len(digits) + int(exponent), -int(exponent)) > limits.MAX_NUMBER_DIGITS:
            raise UsageError(f"{name} needs more than {limits.MAX_NUMBER_DIGITS} digits")
    fraction = Fraction(value)
    if abs(fraction.numerator) >= _BOUND or fraction.denominator >= _BOUND:
        raise UsageError(f"{name} needs more than {limits.MAX_NUMBER_DIGITS} digits")
    return fraction


def as_text(value: Fraction) -> str:
    """Write a rational as ``"p/q"`` in lowest terms, ``"p"`` where q is 1."""
    return str(value)


def from_text(text: object, name: str = "number") -> Fraction:
    """Read back what :func:`as_text` wrote; any other spelling is refused.

    Raises:
        UsageTypeError: not a string.
        UsageError: not a rational in lowest terms as :func:`as_text` writes it.
    """
    if not isinstance(text, str):
        raise UsageTypeError(f'{name} is {text!r}; a rational is written as a string "p/q"')
    if len(text) > 2 * limits.MAX_NUMBER_DIGITS + 2:
        raise UsageError(f"{name} needs more than {limits.MAX_NUMBER_DIGITS} digits")
    if type(text) is str and (known := _from_rational(text)) is not None:
        return known
    # Fraction would read exponents too, and build a power of ten of any size for them.
    if not _RATIONAL.fullmatch(text):
        raise UsageError(f'{name} is {text!r}; a rational is written "p/q"')
    fraction = Fraction(text)
    if str(fraction) != text:
        raise UsageError(f'{name} is {text!r}; in lowest terms that is "{fraction}"')
    return exact(fraction, name)


@lru_cache(maxsize=4096)
def _from_rational(text: str) -> Fraction | None:
    """The rational that a text of bounded length writes; ``None`` where it is to be refused."""
    if not _RATIONAL.fullmatch(text):
        return None
    fraction = Fraction(text)
    n, d = fraction.numerator, fraction.denominator
    return fraction if str(fraction) == text and abs(n) < _BOUND and d < _BOUND else None


def within(number: Fraction, most: int) -> bool:
    """Whether ``0 <= number <= most``, asked of the integers it is made of."""
    return 0 <= number.numerator <= most * number.denominator


def common_scale(values: Iterable[Fraction]) -> tuple[list[int], int]:
    """Bring rationals to one denominator, so that sums and comparisons are of integers.

    Returns:
        The scaled integers in order, and the denominator they all share (>= 1).
    """
    fractions: Sequence[Fraction] = list(values)
    scale = math.lcm(*(fraction.denominator for fraction in fractions))
    return [fraction.numerator * (scale // fraction.denominator) for fraction in fractions], scale
