"""Runs experts: the hub, panels declared in a file, sessions, and streams of tasks.

>>> from quorate.hub import Answer, Expert, Hub
>>> hub = Hub([Expert(name, lambda task: Answer(task["x"] > 0, 0.9)) for name in "abc"])
>>> hub.dispatch({"x": 3}).consensus
True

Each name is imported from its own module when it is first used: an expert in a process of
its own needs ``Answer``, and not all else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.hub.deciding import Verdict, decide
    from quorate.hub.dispatch import Dispatch
    from quorate.hub.escalation import Consultation, escalate
    from quorate.hub.experts import Answer, Expert
    from quorate.hub.gate import Gate, NoExperts, Plan
    from quorate.hub.hub import Hub
    from quorate.hub.oversight import HaltedError, Oversight
    from quorate.hub.panel import Panel
    from quorate.hub.policy import Policy
    from quorate.hub.registry import Registry
    from quorate.hub.run import Run, RunSummary
    from quorate.hub.session import Proposals, Session
    from quorate.hub.shadow import Shadow
    from quorate.hub.signature import TaskSignature

_HOMES = {
    "Answer": "experts",
    "Consultation": "escalation",
    "Dispatch": "dispatch",
    "Expert": "experts",
    "Gate": "gate",
    "HaltedError": "oversight",
    "Hub": "hub",
    "NoExperts": "gate",
    "Oversight": "oversight",
    "Panel": "panel",
    "Plan": "gate",
    "Policy": "policy",
    "Proposals": "session",
    "Registry": "registry",
    "Run": "run",
    "RunSummary": "run",
    "Session": "session",
    "Shadow": "shadow",
    "TaskSignature": "signature",
    "Verdict": "deciding",
    "decide": "deciding",
    "escalate": "escalation",
}

__all__ = [
    "Answer",
    "Consultation",
    "Dispatch",
    "Expert",
    "Gate",
    "HaltedError",
    "Hub",
    "NoExperts",
    "Oversight",
    "Panel",
    "Plan",
    "Policy",
    "Proposals",
    "Registry",
    "Run",
    "RunSummary",
    "Session",
    "Shadow",
    "TaskSignature",
    "Verdict",
    "decide",
    "escalate",
]


def __getattr__(name: str) -> object:
    from importlib import import_module  # noqa: PLC0415 - only when a name is used

    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'quorate.hub' has no attribute {name!r}")
    value = getattr(import_module(f"quorate.hub.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
