"""Who there is to ask."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Collection, Iterable, Iterator
from fractions import Fraction
from typing import Final, Protocol

from quorate.arbitration.forms import shown, text
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.hub.experts import Expert

UNKNOWN_RATE: Final = Fraction(1, 2)
"""Success rate of an expert of which nothing is known."""


class Rates(Protocol):
    """What knows how often experts were right; see :class:`quorate.hub.standing.Standing`."""

    def success_rate(self, expert_id: str, /) -> Fraction:
        """Share of its tasks in which that expert succeeded, 0 to 1."""


class Registry:
    """Experts by id, in alphabetical order of it. Safe to use from many threads.

    Attributes:
        standing: where success rates come from; ``None`` where none are kept.
    """

    def __init__(self, experts: Iterable[Expert] = (), *, standing: Rates | None = None) -> None:
        """Register ``experts``.

        Raises:
            UsageTypeError: one of them is no :class:`Expert`.
            UsageError: as :meth:`add`.
        """
        self.standing = standing
        self._lock = threading.RLock()
        self._experts: dict[str, Expert] = {}
        for expert in experts:
            self.add(expert)

    def add(self, expert: Expert) -> None:
        """Register one more expert.

        Raises:
            UsageTypeError: it is no :class:`Expert`.
            UsageError: its id is taken, the registry is full, or its vector has another
                length than the others'.
        """
        if not isinstance(expert, Expert):
            raise UsageTypeError(f"the expert is {shown(expert)}; give a quorate.hub.Expert")
        with self._lock:
            if expert.id in self._experts:
                raise UsageError(
                    f"the expert {expert.id!r} is registered already; remove it first, "
                    "or give this one another id"
                )
            if len(self._experts) == limits.MAX_REGISTERED:
                raise UsageError(f"at most {limits.MAX_REGISTERED} experts can be registered")
            self._check_vector(expert)
            self._experts[expert.id] = expert

    def _check_vector(self, expert: Expert) -> None:
        if expert.vector is None:
            return
        other = next((e for e in self._experts.values() if e.vector is not None), None)
        if other is None or other.vector is None or len(other.vector) == len(expert.vector):
            return
        raise UsageError(
            f"the vector of {expert.id!r} has {len(expert.vector)} numbers, that of "
            f"{other.id!r} has {len(other.vector)}; vectors of one registry share one space"
        )

    def remove(self, expert_id: str) -> Expert:
        """Take an expert out, and give it back. Its standing is kept.

        Raises:
            UsageError: there is none of that id.
        """
        with self._lock:
            expert = self.get(expert_id)
            del self._experts[expert.id]
            return expert

    def get(self, expert_id: str) -> Expert:
        """The expert of that id.

        Raises:
            UsageError: there is none; the message names those whose ids are nearest.
        """
        name = text(expert_id, "the expert id")
        with self._lock:
            expert = self._experts.get(name)
            if expert is None:
                raise UsageError(f"there is no expert {name!r}; {nearest(name, self._experts)}")
            return expert

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all experts, sorted."""
        with self._lock:
            return tuple(sorted(self._experts))

    def able(self, capabilities: Iterable[str]) -> tuple[Expert, ...]:
        """The experts that have every one of ``capabilities``, in order of id."""
        asked = set(capabilities)
        return tuple(expert for expert in self if asked <= set(expert.capabilities))

    def lacking(self, capabilities: Iterable[str]) -> tuple[str, ...]:
        """Those of ``capabilities`` that no expert has, sorted."""
        had = {name for expert in self for name in expert.capabilities}
        return tuple(sorted(set(capabilities) - had))

    def success_rate(self, expert_id: str) -> Fraction:
        """How often that expert succeeded, by the standing; 1/2 where none is kept.

        Raises:
            UsageError: there is no such expert.
        """
        expert = self.get(expert_id)
        return UNKNOWN_RATE if self.standing is None else self.standing.success_rate(expert.id)

    def __contains__(self, expert_id: object) -> bool:
        """Say whether an expert of that id is registered."""
        with self._lock:
            return expert_id in self._experts

    def __iter__(self) -> Iterator[Expert]:
        """The experts as they are at this moment, in order of id."""
        with self._lock:
            return iter([self._experts[name] for name in sorted(self._experts)])

    def __len__(self) -> int:
        """How many experts there are."""
        with self._lock:
            return len(self._experts)


def nearest(name: str, known: Collection[str]) -> str:
    """Words that help who misspelt ``name``: the names nearest to it, or some there are."""
    if not known:
        return "none is registered"
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        return "did you mean " + " or ".join(repr(one) for one in near) + "?"
    some = sorted(known)[:3]
    more = f" and {len(known) - len(some)} more" if len(known) > len(some) else ""
    return "there is " + ", ".join(repr(one) for one in some) + more
