"""The last plan, kept as long as nothing that it rests on has changed.

Most tasks that come one after another ask for the same of the same experts. What a plan
rests on is looked at each time, every value of it: the router and the gate, the experts as
they are at this moment, the success rates, the signature, and, where the gate goes by
them, the loads. Only routers whose scores follow from that alone are asked once for all;
whose turn it is, and what was learnt, are asked each time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from quorate.hub.gate import Gate, Plan
from quorate.hub.learning import Learning
from quorate.hub.registry import Registry
from quorate.hub.routers import AffinityRouter, EveryoneRouter, Router
from quorate.hub.signature import TaskSignature

_STEADY: Final[frozenset[type]] = frozenset({AffinityRouter, EveryoneRouter})
"""By exact type: a subclass may go by anything."""


class _Kept(NamedTuple):
    """A plan, and what it rests on."""

    router: Router
    gate: Gate
    signature: TaskSignature
    rates: Mapping[str, Fraction] | None
    experts: list[tuple[Any, ...]]
    loads: Mapping[str, int]
    plan: Plan


class Planner:
    """Has tasks scored and planned. Safe to use from many threads."""

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._kept: _Kept | None = None

    def plan(
        self,
        router: Router,
        gate: Gate,
        registry: Registry,
        learning: Learning | None,
        signature: TaskSignature,
        loads: Mapping[str, int],
    ) -> Plan:
        """What the gate makes of the router's scores.

        Raises:
            UsageError: as :meth:`Gate.plan` and the router.
            NoExperts: as :meth:`Gate.plan`.
        """
        source = registry.standing if learning is None else learning
        # Of rates that another keeps nobody knows when they change.
        known = source is None or type(source) is Learning
        if type(router) not in _STEADY or type(gate) is not Gate or not known:
            scores = router.score(signature, registry, learning)
            return gate.plan(scores, registry, signature=signature, loads=loads)
        # Taken before the router looks: should they change meanwhile, the next finds others.
        rates = source.rates if type(source) is Learning else None
        if type(router) is EveryoneRouter:
            rates = None
        there = list(registry)
        experts = [
            (e.id, e.weight, e.capabilities, e.vector, e.tokens, e.cost, e.timeout) for e in there
        ]
        free = not gate.load_penalty and gate.capacity is None
        kept = self._kept
        if (
            kept is not None
            and kept.router is router
            and (kept.gate is gate or kept.gate == gate)
            and kept.rates is rates
            and (kept.signature is signature or kept.signature == signature)
            and kept.experts == experts
            and (free or kept.loads == loads)
        ):
            busy = {name: n for name in kept.plan.scores if (n := loads.get(name, 0))}
            return dataclasses.replace(kept.plan, gate={**kept.plan.gate, "loads": busy})
        # Those that were looked at, should others come or go meanwhile.
        same = Registry(there, standing=registry.standing)
        scores = router.score(signature, same, learning)
        plan = gate.plan(scores, same, signature=signature, loads=loads)
        self._kept = _Kept(router, gate, signature, rates, experts, dict(loads), plan)
        return plan
