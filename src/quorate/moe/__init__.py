"""A quorum of gates in place of each router of a PyTorch Mixture-of-Experts model.

Every name is imported from its own module when it is first used. Those that work on a
model need PyTorch and say so where it is missing; those that check what was sealed
(:func:`verify_token`, and the replay of an entry) do not, for an auditor has no model.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from quorate.moe.needs import without_torch

if TYPE_CHECKING:
    from quorate.moe.gate import BFTGate
    from quorate.moe.hardening import harden, report, restore, scrub
    from quorate.moe.inclusion import verify_token
    from quorate.moe.policy import TokensWithoutQuorum
    from quorate.moe.recording import GatingBatch
    from quorate.moe.replicas import save_replicas
    from quorate.moe.reporting import HardenReport
    from quorate.moe.tracing import traced

_LIGHT = {
    "TokensWithoutQuorum": "quorate.moe.policy",
    "traced": "quorate.moe.tracing",
    "verify_token": "quorate.moe.inclusion",
}
_HEAVY = {
    "BFTGate": "quorate.moe.gate",
    "GatingBatch": "quorate.moe.recording",
    "HardenReport": "quorate.moe.reporting",
    "harden": "quorate.moe.hardening",
    "report": "quorate.moe.hardening",
    "restore": "quorate.moe.hardening",
    "save_replicas": "quorate.moe.replicas",
    "scrub": "quorate.moe.hardening",
}

__all__ = [
    "BFTGate",
    "GatingBatch",
    "HardenReport",
    "TokensWithoutQuorum",
    "harden",
    "report",
    "restore",
    "save_replicas",
    "scrub",
    "traced",
    "verify_token",
]


def __getattr__(name: str) -> object:
    home = _LIGHT.get(name) or _HEAVY.get(name)
    if home is None:
        raise AttributeError(f"module 'quorate.moe' has no attribute {name!r}")
    if name in _HEAVY and find_spec("torch") is None:
        raise without_torch(name)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LIGHT, *_HEAVY})
