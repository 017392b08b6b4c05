"""Strategies of attack: the registry, and the canonical sweep."""

from __future__ import annotations

from quorate.redteam.strategies import access, multi_turn, prompts
from quorate.redteam.strategies.registry import (
    ASI,
    ATTACK_CLASSES,
    CANONICAL,
    Facts,
    Strategy,
    find_strategy,
    register_strategy,
    strategies,
    strategy,
)

__all__ = [
    "ASI",
    "ATTACK_CLASSES",
    "CANONICAL",
    "Facts",
    "Strategy",
    "access",
    "find_strategy",
    "multi_turn",
    "prompts",
    "register_strategy",
    "strategies",
    "strategy",
]
