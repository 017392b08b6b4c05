"""Routers: how well each expert suits a task.

A router scores the experts that have every capability the task asks for, and nobody else;
the gate (:mod:`quorate.hub.gate`) makes a plan of the scores. Every strategy has a name:

``affinity``
    cosine of the task's embedding and the expert's vector, plus 0.15 times the expert's
    success rate. Where either has no embedding the cosine is 0, and a note says so.
``learned-softmax``
    a policy that learns from known outcomes which expert is right on which kind of task;
    see :mod:`quorate.hub.learned`.
``round-robin``
    those whose turn it is, in alphabetical order; each gets the same score.
``all``
    everybody, with the same score.

What a router knows comes from the sealed record alone: it is told of each sealed plan and
each known outcome in the order of the log, by :class:`quorate.hub.standing.Standing`. So
a restart, or another process, comes to know the same.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Final, Protocol

import numpy as np

from quorate.arbitration.forms import members, shown, text
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.hub.experts import Expert
from quorate.hub.registry import UNKNOWN_RATE, Rates, Registry, nearest
from quorate.hub.signature import TaskSignature

SUCCESS_SHARE: Final = Fraction(15, 100)
"""What a success rate of 1 adds to the affinity."""

SCORE_UNITS: Final = 10**6
"""Scores that come from doubles are rounded to a millionth."""


class Scores(dict[str, Fraction]):
    """Score of each eligible expert, by id; greater is better.

    Attributes:
        router: name of the strategy that scored.
        notes: what it has to say of single experts, by id.
    """

    def __init__(
        self, scores: Mapping[str, Fraction], router: str, notes: Mapping[str, str] | None = None
    ) -> None:
        """Hold them in order of id."""
        super().__init__(sorted(scores.items()))
        self.router = router
        self.notes = dict(sorted((notes or {}).items()))


@dataclass(frozen=True, slots=True)
class Lesson:
    """What became known of one task that was decided before.

    Attributes:
        signature: what the task asked for.
        eligible: ids that were scored for it.
        right: id of each expert that answered, and whether it was right.
    """

    signature: TaskSignature
    eligible: tuple[str, ...]
    right: Mapping[str, bool]


class Router(Protocol):
    """What every strategy offers."""

    name: ClassVar[str]

    def score(
        self, signature: TaskSignature, registry: Registry, standing: Rates | None = None
    ) -> Scores:
        """Score the experts that have every capability asked for; empty if none has."""

    def planned(self, asked: tuple[str, ...]) -> None:
        """Take note of a plan that was sealed: the ids of those asked, sorted."""

    def learn(self, lesson: Lesson) -> None:
        """Take note of an outcome that became known."""

    def to_dict(self) -> dict[str, Any]:
        """All that it learned from the record, as JSON."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_dict` wrote.

        Raises:
            UsageError: it was written by another strategy or with other parameters.
        """


class _Stateless:
    """A strategy that learns nothing."""

    name: ClassVar[str]

    def planned(self, asked: tuple[str, ...]) -> None:
        """Take no note."""

    def learn(self, lesson: Lesson) -> None:
        """Take no note."""

    def to_dict(self) -> dict[str, Any]:
        """Its name alone."""
        return {"router": self.name}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Check that the state is its own.

        Raises:
            UsageError: it is not.
        """
        check_state(state, self.name)


class AffinityRouter(_Stateless):
    """Cosine of embedding and vector, plus 0.15 times the success rate."""

    name: ClassVar[str] = "affinity"

    def score(
        self, signature: TaskSignature, registry: Registry, standing: Rates | None = None
    ) -> Scores:
        """Score as the module says; without a ``standing`` the registry's is asked.

        Raises:
            UsageError: an expert's vector has another length than the embedding.
        """
        scores, notes = {}, {}
        rates = standing or registry.standing
        for expert in registry.able(signature.capabilities):
            near, why = _affinity(signature, expert)
            rate = UNKNOWN_RATE if rates is None else rates.success_rate(expert.id)
            scores[expert.id] = near + SUCCESS_SHARE * rate
            if why is not None:
                notes[expert.id] = why
        return Scores(scores, self.name, notes)


def _affinity(signature: TaskSignature, expert: Expert) -> tuple[Fraction, str | None]:
    if signature.embedding is None:
        return Fraction(0), "affinity 0: the task has no embedding"
    if expert.vector is None:
        return Fraction(0), "affinity 0: the expert has no vector"
    if len(signature.embedding) != len(expert.vector):
        raise UsageError(
            f"the task's embedding has {len(signature.embedding)} numbers, the vector of "
            f"{expert.id!r} has {len(expert.vector)}; they should come from one model"
        )
    if not any(signature.embedding):
        return Fraction(0), "affinity 0: the task's embedding is zero"
    return cosine(signature.embedding, expert.vector), None


def cosine(one: tuple[float, ...], other: tuple[float, ...]) -> Fraction:
    """Cosine of two vectors of one length that are not zero, rounded to a millionth.

    Sums are rounded once, so that it is the same on every machine.
    """
    a, b = unit(one), unit(other)
    near = math.fsum((a * b).tolist())
    return rounded(min(1.0, max(-1.0, near)))


def unit(vector: tuple[float, ...]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """A vector that is not zero, at length 1, as float64 [d]."""
    array = np.asarray(vector, dtype=np.float64)
    # First by the greatest, for the squares of very small numbers are zero.
    array = array / np.abs(array).max()
    return np.asarray(array / math.sqrt(math.fsum((array * array).tolist())))


def rounded(value: float) -> Fraction:
    """The nearest millionth."""
    return Fraction(round(value * SCORE_UNITS), SCORE_UNITS)


class RoundRobinRouter:
    """Each in its turn, by id.

    Whose turn is next follows, in one process, from whom it chose last; after a restart,
    from the last plan that was sealed.
    """

    name: ClassVar[str] = "round-robin"

    def __init__(self, take: int = 1) -> None:
        """Choose ``take`` experts for each task.

        Raises:
            UsageError: ``take`` is no number from 1 to ``limits.MAX_REPLICAS``.
        """
        if isinstance(take, bool) or not isinstance(take, int):
            raise UsageTypeError(f"take is {shown(take)}; give a whole number")
        if not 1 <= take <= limits.MAX_REPLICAS:
            raise UsageError(f"take is {take}; it is from 1 to {limits.MAX_REPLICAS}")
        self._take = take
        self._lock = threading.Lock()
        self._sealed: str | None = None
        self._last: str | None = None

    def score(
        self,
        signature: TaskSignature,
        registry: Registry,
        standing: Rates | None = None,  # noqa: ARG002 - turns do not depend on it
    ) -> Scores:
        """Choose those whose turn it is; the turn passes on."""
        ids = [expert.id for expert in registry.able(signature.capabilities)]
        if not ids:
            return Scores({}, self.name)
        with self._lock:
            last = self._sealed if self._last is None else self._last
            start = 0 if last is None else bisect_right(ids, last)
            count = min(self._take, len(ids))
            chosen = [ids[(start + step) % len(ids)] for step in range(count)]
            self._last = chosen[-1]
        return Scores(dict.fromkeys(chosen, Fraction(0)), self.name)

    def planned(self, asked: tuple[str, ...]) -> None:
        """Remember who was last to have a turn."""
        with self._lock:
            if not asked:
                return
            before = asked if self._sealed is None else [a for a in asked if a <= self._sealed]
            # Where the turn went past the end of the alphabet, it ended among the first.
            self._sealed = max(before or asked)

    def learn(self, lesson: Lesson) -> None:
        """Take no note."""

    def to_dict(self) -> dict[str, Any]:
        """Its name, and who was last by the sealed record."""
        with self._lock:
            return {"router": self.name, "last": self._sealed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on after the last turn.

        Raises:
            UsageError: it was written by another strategy.
        """
        last = check_state(state, self.name, "last")["last"]
        with self._lock:
            self._sealed = None if last is None else text(last, "last")


class EveryoneRouter(_Stateless):
    """Everybody who has the capabilities, with the same score."""

    name: ClassVar[str] = "all"

    def score(
        self,
        signature: TaskSignature,
        registry: Registry,
        standing: Rates | None = None,  # noqa: ARG002 - all are alike here
    ) -> Scores:
        """Score 0 for each."""
        able = registry.able(signature.capabilities)
        return Scores({expert.id: Fraction(0) for expert in able}, self.name)


def check_state(state: Mapping[str, Any], name: str, *more: str) -> Mapping[str, Any]:
    """Check that a state is one that the strategy ``name`` wrote, with the keys it has.

    Raises:
        UsageError: it is not.
    """
    form = members(state, "the router's state", ("router", *more))
    if form["router"] != name:
        raise UsageError(f"the state is of the router {shown(form['router'])}, not {name!r}")
    return form


ROUTERS: Final = ("affinity", "learned-softmax", "round-robin", "all")
"""Every strategy there is, by name."""


def make_router(name: str = AffinityRouter.name, **options: Any) -> Router:
    """Make the router of that name.

    Args:
        name: one of :data:`ROUTERS`.
        options: of that strategy: ``take`` of ``round-robin``, ``learning_rate`` of
            ``learned-softmax``.

    Raises:
        UsageError: an unknown name or option, or an option out of its range.
    """
    from quorate.hub.learned import LearnedRouter  # noqa: PLC0415 - it builds on this module

    known: dict[str, tuple[Any, tuple[str, ...]]] = {
        "affinity": (AffinityRouter, ()),
        "learned-softmax": (LearnedRouter, ("learning_rate",)),
        "round-robin": (RoundRobinRouter, ("take",)),
        "all": (EveryoneRouter, ()),
    }
    if not isinstance(name, str) or name not in known:
        hint = nearest(name, ROUTERS) if isinstance(name, str) else "give its name"
        raise UsageError(f"there is no router {shown(name)}; {hint} (of {', '.join(ROUTERS)})")
    kind, allowed = known[name]
    unknown = sorted(set(options) - set(allowed))
    if unknown:
        has = ", ".join(allowed) or "none"
        raise UsageError(f"the router {name} has no option {', '.join(unknown)}; it has: {has}")
    router: Router = kind(**options)
    return router
