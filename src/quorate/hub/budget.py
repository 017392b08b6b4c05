"""Ceilings over all answers of one session."""

from __future__ import annotations

from fractions import Fraction

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.exact import Number, exact
from quorate.hub.experts.answer import read_tokens


class Budget:
    """What the answers in have cost and used, against what they may.

    Attributes:
        max_cost: ceiling of the cost, ``None`` for none.
        max_tokens: ceiling of the tokens, ``None`` for none.
        cost: what has been spent, exact.
        tokens: what has been used.
    """

    __slots__ = ("cost", "max_cost", "max_tokens", "tokens")

    def __init__(self, max_cost: Number | None = None, max_tokens: int | None = None) -> None:
        """Set the ceilings, each 0 to 2^53 - 1.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        self.max_cost = None if max_cost is None else exact(max_cost, "the session's max_cost")
        if self.max_cost is not None and not 0 <= self.max_cost <= limits.MAX_SAFE_INTEGER:
            raise UsageError(
                f"the session's max_cost is {max_cost}; 0 to {limits.MAX_SAFE_INTEGER} are allowed"
            )
        self.max_tokens = (
            None if max_tokens is None else read_tokens(max_tokens, "the session's max_tokens")
        )
        self.cost = Fraction(0)
        self.tokens = 0

    def add(self, cost: Fraction, tokens: int) -> None:
        """Count one answer in."""
        if cost:
            self.cost += cost
        if tokens:
            self.tokens += tokens

    def exceeded(self) -> str:
        """Which ceiling has been exceeded, in words; empty if none."""
        if self.max_cost is not None and self.cost > self.max_cost:
            return (
                f"the answers in have cost {float(self.cost):g}, at most {float(self.max_cost):g}"
            )
        if self.max_tokens is not None and self.tokens > self.max_tokens:
            return f"the answers in have used {self.tokens} tokens, at most {self.max_tokens}"
        return ""
