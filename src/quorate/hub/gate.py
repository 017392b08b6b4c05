"""The gate: from scores to a plan, which says who is asked and with what route weight.

Theory of operation. In this order:

1.  Left out: who has declared weight 0, and who is at capacity.
2.  The **load penalty** is taken off the score of who is busy. With u the tasks an expert
    has in flight (divided by the capacity, where one is declared) and p the priority::

        penalty = load_penalty * u * (10 - p) / 10

    A task of priority 9 feels a tenth of it, one of priority 0 all of it: urgent tasks go
    to the best expert even if it is busy, the others make room.
3.  Scores become masses: a softmax at the temperature, times the **declared weight** of
    each expert (:mod:`quorate.hub.rules_gate`).
4.  Experts are taken in order of mass, ties by id. Who does not fit into what is left of
    the **budgets** is left out, and the next one is tried, until ``top_k`` are taken.
    Tokens and costs expected add up; experts answer side by side, so the latency of a
    plan is its longest timeout.
5.  Masses of those taken become route weights in millionths, whose sum is exactly 1. Who
    would get less than half a millionth may get none, and is left out.

Everybody left out is named in the plan, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from quorate.arbitration.forms import shown
from quorate.core import limits
from quorate.core.errors import NoQuorum, UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact
from quorate.core.text import counted
from quorate.hub import rules_gate
from quorate.hub.experts import Expert
from quorate.hub.registry import Registry
from quorate.hub.routers import Scores
from quorate.hub.signature import MOST_PRIORITY, TaskSignature

_TEMPERATURES: Final = (Fraction(1, 1000), Fraction(1000))
_MOST_SCORE: Final = 10**6


class NoExperts(NoQuorum):
    """Nobody can be asked at this moment, within these bounds. Nobody's fault.

    Attributes:
        excluded: id of each expert that has the capabilities, and why it was left out.
    """

    def __init__(self, excluded: Mapping[str, str]) -> None:
        """Say why each was left out."""
        told = "; ".join(f"{name}: {why}" for name, why in sorted(excluded.items())[:12])
        all_ = f"all {len(excluded)} that could were" if len(excluded) > 1 else "who could was"
        super().__init__(
            f"nobody can be asked, {all_} left out ({told}); "
            "widen the gate's bounds, or wait until one is free"
        )
        self.excluded = dict(excluded)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked, and with what route weight.

    Attributes:
        router: name of the strategy that scored.
        signature: what the task asked for.
        scores: score of every eligible expert, sorted by id.
        weights: route weight of everyone asked, multiples of 10^-6 that sum to 1, sorted
            by id.
        excluded: eligible experts that are not asked, and why.
        notes: what the router had to say of single experts.
        gate: the gate's parameters, as JSON.
    """

    router: str
    signature: TaskSignature
    scores: Mapping[str, Fraction]
    weights: Mapping[str, Fraction]
    excluded: Mapping[str, str]
    notes: Mapping[str, str]
    gate: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """As sealed with the verdict: JSON, numbers exact as ``"p/q"``."""
        return {
            "router": self.router,
            "signature": self.signature.to_dict(),
            "scores": {name: as_text(score) for name, score in self.scores.items()},
            "weights": {name: as_text(weight) for name, weight in self.weights.items()},
            "gate": {
                **self.gate,
                "excluded": dict(self.excluded),
                "notes": dict(self.notes),
            },
        }

    def describe(self) -> str:
        """Say in one paragraph who is asked, and who is not, and why."""
        by_weight = sorted(self.weights, key=lambda name: (-self.weights[name], name))
        asked = ", ".join(f"{name} ({float(self.weights[name]):.1%})" for name in by_weight)
        left = "; ".join(f"{name}: {why}" for name, why in self.excluded.items())
        rest = f" Left out: {left}." if left else ""
        return f"Asked, by their scores ({self.router}): {asked}.{rest}"


@dataclass(frozen=True, slots=True)
class Gate:
    """Turns scores into a plan; see the module for the formula.

    Attributes:
        temperature: of the softmax, 0.001 to 1000; low gives the best expert nearly all.
        top_k: most experts asked; ``None`` for all.
        capacity: most tasks one expert may have in flight; ``None`` for no bound.
        load_penalty: taken off the score per task in flight, or at full capacity; 0 or more.
        max_tokens: most tokens expected of all experts asked together.
        max_latency: longest timeout of an expert asked, in seconds.
        max_cost: greatest cost expected of all experts asked together.
    """

    temperature: Number = 1
    top_k: int | None = None
    capacity: int | None = None
    load_penalty: Number = 0
    max_tokens: int | None = None
    max_latency: Number | None = None
    max_cost: Number | None = None

    def __post_init__(self) -> None:
        """Check every parameter, and read numbers as exact rationals.

        Raises:
            UsageTypeError: one is of the wrong type.
            UsageError: one is out of its range.
        """
        for name, most in (
            ("top_k", limits.MAX_REPLICAS),
            ("capacity", limits.MAX_SAFE_INTEGER),
            ("max_tokens", limits.MAX_SAFE_INTEGER),
        ):
            _check_count(getattr(self, name), name, most)
        for name in ("temperature", "load_penalty", "max_latency", "max_cost"):
            value = getattr(self, name)
            if value is not None or name in ("temperature", "load_penalty"):
                object.__setattr__(self, name, _from_zero(value, name))
        low, high = _TEMPERATURES
        if not low <= self.temperature <= high:
            raise UsageError(
                f"temperature is {float(self.temperature):g}; it is from "
                f"{float(low):g} to {float(high):g}"
            )

    @property
    def parameters(self) -> dict[str, Any]:
        """All parameters, as JSON: counts as numbers, rationals as ``"p/q"``."""
        found: dict[str, Any] = {}
        for name in self.__slots__:
            value = getattr(self, name)
            found[name] = as_text(value) if isinstance(value, Fraction) else value
        return found

    def plan(
        self,
        scores: Mapping[str, Fraction],
        registry: Registry,
        *,
        signature: TaskSignature,
        loads: Mapping[str, int] | None = None,
    ) -> Plan:
        """Decide who is asked, with what route weight.

        Args:
            scores: of the eligible experts, by id, as a router gives them.
            registry: where they are registered.
            signature: what the task asks for.
            loads: tasks each expert has in flight; who is not named has none.

        Raises:
            UsageError: a score or a load cannot be used, or names no expert; or nobody
                has the capabilities, of which the message names those that nobody has.
            NoExperts: who has them is at capacity or beyond the budgets.
        """
        if not scores:
            raise _nobody_able(signature, registry)
        experts = {name: registry.get(name) for name in sorted(scores)}
        read = {name: _score(scores[name], name) for name in experts}
        busy = {name: _load(loads or {}, name) for name in experts}
        excluded: dict[str, str] = {}
        masses: dict[str, float] = {}
        for name, expert in experts.items():
            why = self._not_free(expert, busy[name])
            if why is not None:
                excluded[name] = why
                continue
            score = read[name] - self._penalty(busy[name], signature.priority)
            masses[name] = rules_gate.log_mass(score, expert.weight, _fraction(self.temperature))
        taken = self._taken(masses, experts, excluded)
        if not taken:
            raise NoExperts(excluded)
        weights = rules_gate.route_weights({name: masses[name] for name in taken})
        for name in [name for name, weight in weights.items() if not weight]:
            excluded[name] = "its share is less than a millionth"
            del weights[name]
        return Plan(
            router=scores.router if isinstance(scores, Scores) else "given",
            signature=signature,
            scores=read,
            weights=weights,
            excluded=dict(sorted(excluded.items())),
            notes=dict(scores.notes) if isinstance(scores, Scores) else {},
            gate={**self.parameters, "loads": {name: n for name, n in busy.items() if n}},
        )

    def _not_free(self, expert: Expert, load: int) -> str | None:
        if not expert.weight:
            return "its declared weight is 0"
        if self.capacity is not None and load >= self.capacity:
            return f"it has {counted(load, 'task')} in flight, at most {self.capacity}"
        return None

    def _penalty(self, load: int, priority: int) -> Fraction:
        busy = Fraction(load, self.capacity or 1)
        return _fraction(self.load_penalty) * busy * Fraction(MOST_PRIORITY + 1 - priority, 10)

    def _taken(
        self, masses: Mapping[str, float], experts: Mapping[str, Expert], excluded: dict[str, str]
    ) -> list[str]:
        """Take experts by mass as long as they fit; add the others to ``excluded``."""
        taken: list[str] = []
        most = limits.MAX_REPLICAS if self.top_k is None else self.top_k
        tokens, cost = 0, Fraction(0)
        for name in rules_gate.in_order(masses):
            expert = experts[name]
            if len(taken) == most:
                are = "is" if most == 1 else "are"
                excluded[name] = f"{most} with greater mass {are} asked already"
                continue
            why = self._over(expert, tokens + expert.tokens, cost + expert.cost)
            if why is not None:
                excluded[name] = why
                continue
            taken.append(name)
            tokens, cost = tokens + expert.tokens, cost + expert.cost
        return taken

    def _over(self, expert: Expert, tokens: int, cost: Fraction) -> str | None:
        """Why the plan would be over budget with this expert, or ``None``."""
        if self.max_latency is not None and exact(expert.timeout) > self.max_latency:
            least, most = expert.timeout, float(self.max_latency)
            return f"it may take {least:g} s, more than the {most:g} s allowed"
        if self.max_tokens is not None and tokens > self.max_tokens:
            return f"with it {tokens} tokens are expected, more than the {self.max_tokens} allowed"
        if self.max_cost is not None and cost > self.max_cost:
            most = float(self.max_cost)
            return f"with it a cost of {float(cost):g} is expected, at most {most:g} is allowed"
        return None


def _fraction(value: Number) -> Fraction:
    return value if isinstance(value, Fraction) else exact(value)


def _check_count(value: object, name: str, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageTypeError(f"{name} is {shown(value)}; give a whole number, or None")
    if not 1 <= value <= most:
        raise UsageError(f"{name} is {value}; it is from 1 to {most}, or None for no bound")


def _from_zero(value: Number, name: str) -> Fraction:
    number = exact(value, name)
    if not 0 <= number <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"{name} is {value}; it is from 0 to {limits.MAX_SAFE_INTEGER}")
    return number


def _score(value: Number, name: str) -> Fraction:
    score = exact(value, f"the score of {name}")
    if abs(score) > _MOST_SCORE:
        raise UsageError(f"the score of {name} is {value}; it is within ±{_MOST_SCORE}")
    return score


def _load(loads: Mapping[str, int], name: str) -> int:
    load = loads.get(name, 0)
    if isinstance(load, bool) or not isinstance(load, int):
        raise UsageTypeError(f"the load of {name} is {shown(load)}; give a whole number")
    if not 0 <= load <= limits.MAX_SAFE_INTEGER:
        raise UsageError(f"the load of {name} is {load}; it is 0 or more")
    return load


def _nobody_able(signature: TaskSignature, registry: Registry) -> UsageError:
    """The error that says which capability nobody has."""
    if not len(registry):
        return UsageError("no expert is registered; add one first")
    lacking = registry.lacking(signature.capabilities)
    if lacking:
        told = ", ".join(repr(name) for name in lacking)
        return UsageError(f"no expert has the capability {told}; register one that has it")
    if not registry.able(signature.capabilities):
        asked = ", ".join(repr(name) for name in signature.capabilities)
        return UsageError(
            f"no expert has all of {asked}, though each is had by some; ask for fewer, "
            "or register one that has them all"
        )
    return UsageError("there are no scores; give those of at least one expert")
