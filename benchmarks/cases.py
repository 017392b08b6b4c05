"""The same made-up cases for every measurement: bodies, an input, proposals."""

from __future__ import annotations

from typing import Any

from quorate.core.canonical import digest

_EXPERTS = ("forest", "kernel", "linear")


def body(number: int) -> dict[str, Any]:
    """A sealed decision in small: about 500 bytes of canonical JSON."""
    return {
        "rule": "weighted-quorum/1",
        "parameters": {"quorum": "33/50"},
        "roster": dict.fromkeys(_EXPERTS, "1"),
        "task": {"id": f"case-{number:06d}"},
        "proposals": [
            {
                "expert_id": expert,
                "payload": "benign",
                "confidence": "19/20",
                "route_weight": "1",
                "cost": number,
            }
            for expert in _EXPERTS
        ],
        "verdict": {
            "committed": True,
            "support": 0.5 + (number % 997 + 1) / 2500,
            "digest": digest("benign"),
        },
    }


def bodies(count: int) -> list[dict[str, Any]]:
    """``count`` different bodies."""
    return [body(number) for number in range(count)]


def routing_input() -> dict[str, Any]:
    """What a router is asked about: about 500 bytes of JSON."""
    return {
        "task": "Which expert should answer this question about the lease?",
        "language": "en",
        "tokens": list(range(1000, 1040)),
        "features": [round(0.0371 * step, 4) + 0.0001 for step in range(1, 25)],
        "meta": {"tenant": "t-0017", "priority": 3, "tags": ["lease", "law", "housing"]},
    }
