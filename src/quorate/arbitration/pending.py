"""An expert that was asked and has not answered yet.

It is no absentee: what it would say is open, and only first-to-quorum may decide while
it is. Its route weight is known, and is part of the roster's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from quorate.arbitration.forms import members, text
from quorate.arbitration.proposal import read_weight
from quorate.core.exact import Number, as_text, from_text


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Pending:
    """An expert of the roster whose answer is still to come, or was no longer waited for.

    Attributes:
        expert_id: 1 to ``limits.MAX_ID_LENGTH`` characters.
        route_weight: the plan's trust in it, 0 to 2^53 - 1.
        exact_weight: the same as a rational.
    """

    expert_id: str
    route_weight: Number
    exact_weight: Fraction = field(init=False, repr=False)

    def __init__(self, expert_id: str, route_weight: Number) -> None:
        """Check; see the class for the ranges.

        Raises:
            UsageTypeError: an argument is of the wrong type.
            UsageError: an argument is out of range.
        """
        name = text(expert_id, "expert_id")
        object.__setattr__(self, "expert_id", name)
        object.__setattr__(self, "route_weight", route_weight)
        object.__setattr__(self, "exact_weight", read_weight(route_weight, name))

    @property
    def identity(self) -> tuple[str, Fraction]:
        """All that tells two of them apart; sorts them by expert."""
        return (self.expert_id, self.exact_weight)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pending):
            return NotImplemented
        return self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def to_dict(self) -> dict[str, str]:
        """As JSON, the weight exact as ``"p/q"``."""
        return {"expert_id": self.expert_id, "route_weight": as_text(self.exact_weight)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pending:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: keys or weight are not as :meth:`to_dict` writes them.
        """
        form = members(data, "the pending expert", ("expert_id", "route_weight"))
        return cls(form["expert_id"], from_text(form["route_weight"], "route_weight"))
