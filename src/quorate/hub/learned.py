"""A router that learns from known outcomes which expert is right on which kind of task.

Theory of operation. A softmax policy: with f the features of a task and t_e the weights
of expert e, the score of e is the logit t_e . f, and the policy is the softmax over the
eligible. The gate at temperature 1 gives exactly its shares.

**Features.** A constant, the capabilities and tags as one-hot (each in one of 4096 places
by its SHA-256, the same everywhere), and the embedding at length 1; all of it at length 1.

**Learning** is REINFORCE (Williams 1992) with the baseline 1/2. When the outcome of a task
becomes known, each expert that answered has the advantage a = +1/2 (right) or -1/2 (wrong).
With P the policy over the eligible, and m answers::

    t_k += rate/m * sum over answers e of  a_e * ([k = e] - P_k) * f

for every eligible k: who was right goes up on tasks like this one and the others down, who
was wrong goes down and the others up. So an expert that was never asked gets its turn when
those asked were wrong.

It learns from outcomes alone, never from agreement: an expert would otherwise be routed to
for agreeing with the majority that it is part of.

The same lessons in the same order give the same weights on one build, and scores are
rounded to a millionth. What is sealed is the plan that came of them.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar, Final

import numpy as np

from quorate.arbitration.forms import members, text
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact
from quorate.hub.registry import Rates, Registry
from quorate.hub.routers import Lesson, Scores, check_state, rounded, unit
from quorate.hub.signature import TaskSignature

PLACES: Final = 4096
_BASELINE: Final = 0.5
_RATES: Final = (0, 100)

_Vector = np.ndarray[tuple[int], np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class _Features:
    """Features of one task: the places that are set, all to one value, and the embedding."""

    places: tuple[int, ...]
    value: float
    direction: _Vector | None


@dataclass(slots=True)
class _Weights:
    """Weights of one expert, as the features are laid out."""

    places: dict[int, float] = field(default_factory=dict)
    direction: _Vector | None = None


class LearnedRouter:
    """Learns from outcomes; see the module. Safe to use from many threads."""

    name: ClassVar[str] = "learned-softmax"

    def __init__(self, learning_rate: Number = 1) -> None:
        """Begin with every expert alike.

        Args:
            learning_rate: how far one lesson moves the weights, above 0, at most 100.

        Raises:
            UsageError: it is out of its range.
        """
        self._rate = exact(learning_rate, "learning_rate")
        low, high = _RATES
        if not low < self._rate <= high:
            raise UsageError(
                f"learning_rate is {learning_rate}; it is above {low} and at most {high}"
            )
        self._lock = threading.Lock()
        self._weights: dict[str, _Weights] = {}
        self._length: int | None = None
        self._lessons = 0

    def score(
        self,
        signature: TaskSignature,
        registry: Registry,
        standing: Rates | None = None,  # noqa: ARG002 - it learns from outcomes itself
    ) -> Scores:
        """The logit of each eligible expert.

        Raises:
            UsageError: the embedding has another length than those it learned from.
        """
        ids = [expert.id for expert in registry.able(signature.capabilities)]
        with self._lock:
            self._check_length(signature)
            features = _features(signature)
            scores = {name: rounded(self._logit(name, features)) for name in ids}
            lessons = self._lessons
        notes = {} if lessons else dict.fromkeys(ids, "no outcome is known yet")
        return Scores(scores, self.name, notes)

    def planned(self, asked: tuple[str, ...]) -> None:
        """Take no note."""

    def learn(self, lesson: Lesson) -> None:
        """Take one step from an outcome.

        Raises:
            UsageError: the embedding has another length than those before.
        """
        eligible = sorted({*lesson.eligible, *lesson.right})
        if not lesson.right:
            return
        with self._lock:
            self._check_length(lesson.signature)
            if lesson.signature.embedding is not None:
                self._length = len(lesson.signature.embedding)
            features = _features(lesson.signature)
            policy = _softmax([self._logit(name, features) for name in eligible])
            advantage = {e: (1 if right else 0) - _BASELINE for e, right in lesson.right.items()}
            whole = math.fsum(advantage.values())
            step = float(self._rate) / len(advantage)
            for name, share in zip(eligible, policy, strict=True):
                self._move(name, features, step * (advantage.get(name, 0.0) - share * whole))
            self._lessons += 1

    def _check_length(self, signature: TaskSignature) -> None:
        embedding = signature.embedding
        if embedding is not None and self._length not in (None, len(embedding)):
            raise UsageError(
                f"the task's embedding has {len(embedding)} numbers, those learned from "
                f"have {self._length}; they should come from one model"
            )

    def _logit(self, name: str, features: _Features) -> float:
        weights = self._weights.get(name)
        if weights is None:
            return 0.0
        total = [features.value * weights.places.get(place, 0.0) for place in features.places]
        if features.direction is not None and weights.direction is not None:
            total += (features.direction * weights.direction).tolist()
        return math.fsum(total)

    def _move(self, name: str, features: _Features, by: float) -> None:
        weights = self._weights.setdefault(name, _Weights())
        for place in features.places:
            weights.places[place] = weights.places.get(place, 0.0) + by * features.value
        if features.direction is not None:
            before = 0.0 if weights.direction is None else weights.direction
            weights.direction = np.asarray(before + by * features.direction)

    def to_dict(self) -> dict[str, Any]:
        """All that it learned, as JSON."""
        with self._lock:
            return {
                "router": self.name,
                "learning_rate": as_text(self._rate),
                "lessons": self._lessons,
                "embedding_length": self._length,
                "weights": {
                    name: {
                        "places": {str(p): w for p, w in sorted(weights.places.items())},
                        "direction": (
                            None if weights.direction is None else weights.direction.tolist()
                        ),
                    }
                    for name, weights in sorted(self._weights.items())
                },
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_dict` wrote.

        Raises:
            UsageError: it was written by another strategy, at another rate, or is damaged.
        """
        names = ("learning_rate", "lessons", "embedding_length", "weights")
        form = check_state(state, self.name, *names)
        if form["learning_rate"] != as_text(self._rate):
            raise UsageError(
                f"the state was learned at the rate {form['learning_rate']}, not {self._rate}"
            )
        length = form["embedding_length"]
        if length is not None and _count(length, "embedding_length") > limits.MAX_VECTOR_LENGTH:
            raise UsageError(f"embedding_length is {length}, more than any embedding has")
        if not isinstance(form["weights"], dict):
            raise UsageTypeError("weights should be an object")
        weights = {text(n, "an id"): _read_weights(w, length) for n, w in form["weights"].items()}
        with self._lock:
            self._lessons = _count(form["lessons"], "lessons")
            self._length = length
            self._weights = weights


@lru_cache(maxsize=4096)
def _place(feature: str) -> int:
    """Where a feature stands, the same on every machine; place 0 is the constant's."""
    return 1 + int.from_bytes(hashlib.sha256(feature.encode()).digest()[:8], "big") % (PLACES - 1)


def _features(signature: TaskSignature) -> _Features:
    named = [f"capability:{name}" for name in signature.capabilities]
    named += [f"tag:{name}" for name in signature.tags]
    places = (0, *sorted({_place(name) for name in named}))
    given = signature.embedding is not None and any(signature.embedding)
    value = 1 / math.sqrt(len(places) + given)
    direction = unit(signature.embedding) * value if given and signature.embedding else None
    return _Features(places, value, direction)


def _softmax(logits: list[float]) -> list[float]:
    most = max(logits)
    masses = [math.exp(logit - most) for logit in logits]
    whole = math.fsum(masses)
    return [mass / whole for mass in masses]


def _count(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UsageError(f"{name} should be a whole number, 0 or more")
    return value


def _numbers(values: Iterable[Any]) -> list[float]:
    return [float(exact(value, "a weight")) for value in values]


def _read_weights(data: Any, length: int | None) -> _Weights:
    form = members(data, "the weights of one expert", ("places", "direction"))
    places, direction = form["places"], form["direction"]
    if not isinstance(places, dict) or not set(places) <= {str(place) for place in range(PLACES)}:
        raise UsageError(f"places should be an object with keys from 0 to {PLACES - 1}")
    if direction is not None and (not isinstance(direction, list) or len(direction) != length):
        raise UsageError("direction should be a list as long as the embeddings")
    values = dict(zip(map(int, places), _numbers(places.values()), strict=True))
    return _Weights(values, None if direction is None else np.asarray(_numbers(direction)))
