"""The arithmetic of the gate, pure: from scores to an order and to route weights.

Theory of operation. Expert i has score s_i, load penalty l_i and declared weight d_i.
At temperature T its mass is::

    m_i = d_i * exp((s_i - l_i) / T)

which is a softmax with the declared weights as its prior: twice the declared weight is
twice the mass at every score, and at equal scores the route weights are in proportion to
the declared ones.

Exponentials are the one place where doubles enter. Two builds may differ in the last bit
of one, so nothing hangs on it: experts are put in order by log-masses rounded to 10^-9,
ties by id, and route weights are rounded to 10^-6 by largest remainder, ties by id. What
is sealed is the rounded weights, and everything after starts from those.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

UNITS: Final = 10**6
"""Route weights are multiples of one millionth."""

_ORDER_DIGITS: Final = 9
_MASS_BITS: Final = 60


def log_mass(score: Fraction, weight: Fraction, temperature: Fraction) -> float:
    """The logarithm of m_i, rounded to 10^-9.

    Args:
        score: s_i - l_i.
        weight: d_i, above 0.
        temperature: T, above 0.
    """
    prior = math.log(weight.numerator) - math.log(weight.denominator)
    return round(float(score / temperature) + prior, _ORDER_DIGITS)


def in_order(masses: Mapping[str, float]) -> list[str]:
    """Ids by mass, the greatest first, ties by id."""
    return sorted(masses, key=lambda name: (-masses[name], name))


def route_weights(masses: Mapping[str, float]) -> dict[str, Fraction]:
    """Shares of the whole in millionths that sum to exactly 1, sorted by id.

    Each share is rounded down, and the millionths left over go to the greatest
    remainders, ties to the smaller id. A share may be 0.

    Args:
        masses: logarithms of the masses; at least one.
    """
    most = max(masses.values())
    # Integers from here on, so that no sum depends on an order.
    scaled = {name: int(math.exp(masses[name] - most) * 2**_MASS_BITS) for name in sorted(masses)}
    whole = sum(scaled.values())
    units = {name: mass * UNITS // whole for name, mass in scaled.items()}
    left = UNITS - sum(units.values())
    by_remainder = sorted(scaled, key=lambda name: (-(scaled[name] * UNITS % whole), name))
    for name in by_remainder[:left]:
        units[name] += 1
    return {name: Fraction(count, UNITS) for name, count in units.items()}
