"""Who is at work in a drill: the panel's own experts, or a script that is named so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

from quorate.arbitration import Arbiter
from quorate.arbitration.arbiter import Rule
from quorate.compliance.drill_record import PANEL, SCRIPT, SCRIPTED
from quorate.core.calls import Callee
from quorate.core.canonical import JSONValue
from quorate.core.errors import UsageError
from quorate.core.exact import as_text
from quorate.hub import panel_record
from quorate.hub.experts import Answer, Expert
from quorate.hub.panel import Panel
from quorate.hub.policy import Policy

WAIT_SECONDS: Final = 60.0
"""How long a script's expert hangs, and how long experts are waited for."""

HANGS: Final = "hang"
_AGREED: Final = "as agreed"


@dataclass(slots=True)
class Workforce:
    """Who is at work in a drill.

    Attributes:
        kind: ``"scripted"`` or ``"panel"``.
        experts: the roster.
        arbiter: who folds.
        policy: what follows a refusal.
        declared: the panel's declaration, to be sealed before its verdicts.
        task: what they are given; scripted ones are told in it to hang.
        every: all that may come to be asked.
        calls: how often any of them was called so far.
    """

    kind: str
    experts: Sequence[Expert]
    arbiter: Rule | Arbiter
    policy: Policy
    declared: Mapping[str, Any]
    task: JSONValue
    every: Sequence[Expert]
    panel: Panel | None = None
    calls: int = field(default=0)

    def __post_init__(self) -> None:
        """Count the calls of each from here on."""
        for expert in self.every:
            expert.callee = self._counted(expert.callee)

    def _counted(self, callee: Callee) -> Callee:
        """The same, each call of it counted as it begins."""
        function: Callable[[Any], Any] = callee.function

        async def asynchronous(task: Any) -> Any:
            self.calls += 1
            return await function(task)

        def plain(task: Any) -> Any:
            self.calls += 1
            return function(task)

        return Callee(callee.name, asynchronous if callee.is_async else plain)


def scripted() -> Workforce:
    """Experts that agree on everything, and hang where a task says so; they are named scripted."""
    experts = [Expert(name, _agrees, timeout=WAIT_SECONDS) for name in SCRIPT]
    arbiter = Arbiter(quorum=Fraction(3, 4))
    declared = {
        "rule": panel_record.RULE,
        "protocol": arbiter.protocol,
        "parameters": arbiter.parameters,
        "roster": {expert.id: as_text(expert.weight) for expert in experts},
        "experts": {
            expert.id: {"kind": SCRIPTED, "timeout": as_text(Fraction(WAIT_SECONDS))}
            for expert in experts
        },
    }
    return Workforce(SCRIPTED, experts, arbiter, Policy(), declared, {"drill": "agree"}, experts)


async def _agrees(task: Any) -> Answer:
    if task == {"drill": HANGS}:
        await asyncio.sleep(WAIT_SECONDS)
    return Answer(_AGREED, 1)


def of_panel(panel: Panel, task: JSONValue) -> Workforce:
    """A panel's own experts, who are really asked ``task``, some ten times: it may cost.

    Raises:
        UsageError: the panel was only declared, without its experts, or one of them has the
            name of a script's.
    """
    if not panel.experts:
        raise UsageError("the panel has no experts to ask; read it with Panel.load")
    taken = sorted({expert.id for expert in panel.experts}.intersection(SCRIPT))
    if taken:
        raise UsageError(
            f"the expert {taken[0]!r} has the name of a drill's script; give it another"
        )
    return Workforce(
        PANEL,
        panel.experts,
        panel.arbiter,
        panel.policy,
        panel_record.declaration(panel),
        task,
        list(panel.every.values()),
        panel,
    )
