"""One task's means: what is left of its time, cost and tokens, and how it was spent.

A task may put several questions, one after another: to the panel, to a synthesizer, to
those who ratify, to the reserve. All of them draw on the same means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from quorate.arbitration import Absence
from quorate.arbitration.forms import as_number
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.exact import Number, exact
from quorate.hub.experts import Expert
from quorate.hub.oversight.guard import Guard
from quorate.hub.session import Proposals, Session
from quorate.hub.trace import Recorder

Settled = Callable[[Proposals], bool]
"""Says of what has arrived whether the rest is needed no more."""


class Means:
    """The time, cost and tokens that one task may take, and the record of what was done.

    Attributes:
        recorder: where spans are added.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        deadline: float | None = None,
        max_cost: Number | None = None,
        max_tokens: int | None = None,
        guard: Guard | None = None,
    ) -> None:
        """Start the clock.

        Args:
            recorder: begun when the task was.
            deadline: seconds from now for all that is asked; ``None`` for each expert's own.
            max_cost: for all answers together, in the panel's unit.
            max_tokens: likewise.
            guard: asked each time before experts are.

        Raises:
            UsageError: a bound is negative, or the deadline is not above 0.
        """
        if deadline is not None and not exact(deadline, "deadline") > 0:
            raise UsageError(f"deadline is {deadline}; it should be above 0 seconds")
        if max_cost is not None and exact(max_cost, "max_cost") < 0:
            raise UsageError(f"max_cost is {max_cost}; it cannot be negative")
        if max_tokens is not None and exact(max_tokens, "max_tokens") < 0:
            raise UsageError(f"max_tokens is {max_tokens}; it cannot be negative")
        self.recorder = recorder
        self._guard = guard
        self._began = time.monotonic()
        self._deadline = deadline
        self._max_cost = None if max_cost is None else exact(max_cost)
        self._max_tokens = max_tokens
        self._cost = Fraction(0)
        self._tokens = 0

    async def ask(
        self,
        experts: Sequence[Expert],
        task: Any,
        *,
        weights: Mapping[str, Fraction] | None = None,
        settled: Settled | None = None,
    ) -> Proposals:
        """Put ``task`` to ``experts`` side by side, with what is left.

        Returns:
            One proposal, absence or (where ``settled`` cut it short) pending for each.

        Raises:
            HaltedError: somebody halted; nobody was asked.
        """
        known = weights or {}
        shares = {expert.id: known.get(expert.id, expert.weight) for expert in experts}
        left = self._seconds_left()
        if left is not None and left <= 0:
            told = "the task's deadline had passed before it was asked"
            return Proposals((), [Absence(id_, w, "timeout", told) for id_, w in shares.items()])
        session = Session(
            experts,
            task,
            weights=shares,
            deadline=left,
            max_cost=None if self._max_cost is None else max(Fraction(0), self._cost_left()),
            max_tokens=None if self._max_tokens is None else max(0, self._tokens_left()),
        )
        if self._guard is not None:
            self._guard.check()
        try:
            return await session.acollect(settled)
        finally:
            spans = session.spans
            self.recorder.add(spans, session.began)
            if self._max_cost is not None:
                self._cost += sum(exact(span.cost) for span in spans)
            if self._max_tokens is not None:
                self._tokens += sum(span.tokens for span in spans)

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        return self._deadline - (time.monotonic() - self._began)

    def _cost_left(self) -> Fraction:
        return (self._max_cost or Fraction(0)) - self._cost

    def _tokens_left(self) -> int:
        return (self._max_tokens or 0) - self._tokens


def spendable(cost: Fraction) -> Number:
    """A sum of costs, as one that a record takes.

    It stands exactly where it is a finite decimal or has a small denominator, as each of
    its parts is; else as the nearest double. Beyond 2^53 - 1 it stands at that.
    """
    bounded = min(cost, Fraction(limits.MAX_SAFE_INTEGER))
    odd = bounded.denominator
    if odd <= limits.MAX_ODD_DENOMINATOR or pow(10, limits.MAX_NUMBER_DIGITS, odd) == 0:
        return bounded
    return as_number(bounded)
