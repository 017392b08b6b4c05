"""Formats of a report's JSON, of which all that were ever sealed are read.

In the first two, two of the five classes of attack that Article 15(5) names had other names
than evidence has for them. What was sealed so is read and written back so, and judged by the
judges of today.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_FORMATS: Final = {
    # (with the former names of classes, naming the version of the target)
    (True, False): "quorate/redteam-report/1",
    (True, True): "quorate/redteam-report/2",
    (False, False): "quorate/redteam-report/3",
    (False, True): "quorate/redteam-report/4",
}
FORMATS: Final = tuple(_FORMATS.values())
"""All formats of a report."""

_FORMER: Final = MappingProxyType(
    {"adversarial_examples": "model_evasion", "confidentiality_attacks": "confidentiality"}
)
_SINCE: Final = MappingProxyType({former: name for name, former in _FORMER.items()})


def format_of(*, former: bool, versioned: bool) -> str:
    """The format of a report.

    Args:
        former: it has the former names of classes.
        versioned: it names the version of its target; one that does not speaks of none.
    """
    return _FORMATS[former, versioned]


def is_former(name: str) -> bool:
    """Whether a format has the former names of classes."""
    return name in (_FORMATS[True, False], _FORMATS[True, True])


def classes_formerly(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Scores by class under the former names."""
    return {_FORMER.get(name, name): made for name, made in scores.items()}


def strategy_formerly(strategy: dict[str, Any]) -> Any:
    """A strategy's result with the former name of its class."""
    return _renamed(strategy, _FORMER)


def read_formerly(strategy: object) -> object:
    """A strategy's result as the first two formats have it, with the names of today.

    What is no result is given back as it is, for its reader to refuse.
    """
    return _renamed(strategy, _SINCE)


def _renamed(one: Any, names: Mapping[str, str]) -> Any:
    facts = one.get("strategy") if isinstance(one, dict) else None
    named = facts.get("attack_class") if isinstance(facts, dict) else None
    if not isinstance(facts, dict) or not isinstance(named, str) or named not in names:
        return one
    return {**one, "strategy": {**facts, "attack_class": names[named]}}
