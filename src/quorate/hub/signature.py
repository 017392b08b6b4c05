"""What is known of a task before anybody is asked: what routing goes by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from quorate.arbitration.forms import members, shown, text
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import exact

LEAST_PRIORITY: Final = 0
MOST_PRIORITY: Final = 9
DEFAULT_PRIORITY: Final = 5


@dataclass(frozen=True, slots=True)
class TaskSignature:
    """What a task asks for.

    Attributes:
        capabilities: what an expert must be able to do to be asked at all; sorted.
        embedding: a direction in the space of the experts' vectors, or ``None``.
        priority: 0 (can wait) to 9 (urgent); see :class:`quorate.hub.gate.Gate`.
        tags: what kind of task it is; nothing is asked of an expert by them, but a router
            that learns sees them; sorted.
    """

    capabilities: tuple[str, ...] = ()
    embedding: tuple[float, ...] | None = None
    priority: int = DEFAULT_PRIORITY
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check all, and bring it to one form.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        for name, most in (("capabilities", limits.MAX_CAPABILITIES), ("tags", limits.MAX_TAGS)):
            object.__setattr__(self, name, _names(getattr(self, name), name, most))
        if self.embedding is not None:
            object.__setattr__(self, "embedding", _embedding(self.embedding))
        if isinstance(self.priority, bool) or not isinstance(self.priority, int):
            raise UsageTypeError(f"priority is {shown(self.priority)}; give a whole number")
        if not LEAST_PRIORITY <= self.priority <= MOST_PRIORITY:
            raise UsageError(
                f"priority is {self.priority}; it is from {LEAST_PRIORITY} to {MOST_PRIORITY}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` gives an equal signature back."""
        return {
            "capabilities": list(self.capabilities),
            "embedding": None if self.embedding is None else [_plain(x) for x in self.embedding],
            "priority": self.priority,
            "tags": list(self.tags),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskSignature:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: a key is missing or unknown, or a value cannot be used.
        """
        return cls(**members(data, "the signature", cls.__slots__))


def _plain(value: float) -> int | float:
    """The same JSON number, in the form that the fast encoder writes as RFC 8785 does."""
    safe = value.is_integer() and abs(value) <= limits.MAX_SAFE_INTEGER
    return int(value) if safe else value


def _listed(values: Any, name: str, most: int) -> list[Any]:
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise UsageTypeError(f"{name} is {shown(values)}; give a list")
    found: list[Any] = []
    for value in values:
        if len(found) == most:
            raise UsageError(f"{name} has more than {most} items, the most allowed")
        found.append(value)
    return found


def _names(values: Any, name: str, most: int) -> tuple[str, ...]:
    listed = [text(value, f"an item of {name}") for value in _listed(values, name, most)]
    return tuple(sorted(set(listed)))


def _embedding(values: Any) -> tuple[float, ...]:
    # An array's own items are NumPy's numbers; as a list they are Python's.
    tolist = getattr(values, "tolist", None)
    listed = _listed(
        tolist() if callable(tolist) else values, "embedding", limits.MAX_VECTOR_LENGTH
    )
    numbers = [float(exact(value, "a number in embedding")) for value in listed]
    if not numbers:
        raise UsageError("embedding is empty; leave it out, or give its numbers")
    if not math.fsum(number * number for number in numbers) < math.inf:
        raise UsageError("embedding has no length that can be measured; give smaller numbers")
    return tuple(numbers)
