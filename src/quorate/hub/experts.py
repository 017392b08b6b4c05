"""What an expert is, and what it answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from quorate.arbitration.forms import text
from quorate.core import limits
from quorate.core.calls import Callee
from quorate.core.errors import UsageError
from quorate.core.exact import Number, exact


@dataclass(frozen=True, slots=True)
class Answer:
    """What an expert returns.

    Attributes:
        payload: the answer itself, any JSON value.
        confidence: how sure the expert says it is, 0 to 1.
        cost: what the answer cost, 0 or more, in the panel's own unit (tokens, seconds, cents).
    """

    payload: Any
    confidence: Number
    cost: Number = 0


class Expert:
    """A callable with a place in the roster.

    Attributes:
        id: name in the roster.
        weight: route weight, an exact rational, 0 or more.
        timeout: seconds it gets for one task.
        max_cost: an answer that cost more is not counted; ``None`` for no ceiling.
        confidence: where given, the callable returns the bare payload, and this is the
            confidence it counts with; otherwise it returns an :class:`Answer`.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - what panel files call it
        function: Callable[[Any], Any],
        *,
        weight: Number = 1,
        timeout: float = 30.0,
        max_cost: Number | None = None,
        confidence: Number | None = None,
    ) -> None:
        """Declare an expert; ``function`` takes the task's input, sync or async.

        Raises:
            UsageError: a value is out of its range.
        """
        self.id = id = text(id, "the expert id")  # noqa: A001 - as above
        self.callee = Callee(f"expert {id}", function)
        self.weight = exact(weight, f"weight of {id}")
        self.timeout = float(exact(timeout, f"timeout of {id}"))
        self.max_cost = None if max_cost is None else exact(max_cost, f"max_cost of {id}")
        self.confidence = None if confidence is None else exact(confidence, f"confidence of {id}")
        if not 0 <= self.weight <= limits.MAX_SAFE_INTEGER:
            raise UsageError(
                f"the weight of {id} is {weight}; it is from 0 to {limits.MAX_SAFE_INTEGER}"
            )
        if not 0 < self.timeout <= limits.MAX_TIMEOUT_SECONDS:
            raise UsageError(
                f"the timeout of {id} is {timeout}; "
                f"it is more than 0 and at most {limits.MAX_TIMEOUT_SECONDS} seconds"
            )
        if self.max_cost is not None and self.max_cost < 0:
            raise UsageError(f"the max_cost of {id} is {max_cost}; it cannot be negative")
        if self.confidence is not None and not 0 <= self.confidence <= 1:
            raise UsageError(f"the confidence of {id} is {confidence}; it is from 0 to 1")

    def read(self, returned: Any) -> Answer:
        """Read what the callable returned as an answer.

        Only the type is asked what it is, for a foreign object may answer with an exception.

        Raises:
            UsageError: no confidence is declared, and it is no :class:`Answer`, or of a
                subclass, whose attributes may be code.
        """
        kind = type(returned)
        if self.confidence is not None:
            if issubclass(kind, Answer):
                raise UsageError(
                    "it returned an Answer, but the panel declares its confidence; "
                    "leave one of the two out"
                )
            return Answer(returned, self.confidence)
        if kind is Answer:
            answer: Answer = returned
            return answer
        if issubclass(kind, Answer):
            raise UsageError(
                f"it returned {kind.__name__}, a subclass; return quorate.hub.Answer itself"
            )
        raise UsageError(
            f"it returned {kind.__name__}; return quorate.hub.Answer(payload, "
            "confidence), or declare its confidence in the panel"
        )

    def within_budget(self, cost: Fraction) -> bool:
        """Say whether an answer of that cost may be counted."""
        return self.max_cost is None or cost <= self.max_cost
