"""Which experts of a run failed again and again: their absences, counted as verdicts come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

MUCH: Final = Fraction(1, 3)
"""Share of its tasks from which on an expert that was absent is named."""

_WORDS: Final = {"timeout": "timed out", "over_budget": "over budget"}


@dataclass(slots=True)
class Failing:
    """One expert.

    Attributes:
        expert_id: who.
        asked: tasks it was asked about.
        absent: how often it was absent, by reason.
        detail: of its first absence.
    """

    expert_id: str
    asked: int = 0
    absent: Counter[str] = field(default_factory=Counter)
    detail: str = ""

    @property
    def much(self) -> bool:
        """Whether it was absent in a third or more of its tasks."""
        count = self.absent.total()
        return bool(count) and count >= MUCH * self.asked

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "expert_id": self.expert_id,
            "asked": self.asked,
            "absent": dict(sorted(self.absent.items())),
            "detail": self.detail,
        }

    def __str__(self) -> str:
        """One line for people."""
        reasons = sorted(self.absent.items(), key=lambda each: (-each[1], each[0]))
        told = ", ".join(f"{_WORDS.get(reason, reason)} on {n}" for reason, n in reasons)
        comma = "," if len(reasons) > 1 else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"expert {self.expert_id}: {told}{comma} of {self.asked}{detail}"


class Absences:
    """Absences of every expert, over all verdicts of a run."""

    def __init__(self) -> None:
        """Begin with none."""
        self._experts: dict[str, Failing] = {}

    def add(self, body: Mapping[str, Any]) -> None:
        """Count one verdict's body, and that of the consultation in it."""
        verdict = body["verdict"]
        away = [(one["expert_id"], one) for one in verdict["absent"]]
        for id_ in {*verdict["engaged"], *(id_ for id_, _ in away), *_pending(body)}:
            self._experts.setdefault(id_, Failing(id_)).asked += 1
        for id_, one in away:
            expert = self._experts[id_]
            if not expert.absent:
                expert.detail = one.get("detail", "")
            expert.absent[one["reason"]] += 1
        consultation = body.get("consultation")
        if consultation is not None:
            self.add(consultation["body"])

    def failing(self) -> list[Failing]:
        """Those that were absent in a third or more of their tasks, by id."""
        return sorted(
            (one for one in self._experts.values() if one.much), key=lambda one: one.expert_id
        )


def _pending(body: Mapping[str, Any]) -> Iterator[str]:
    for one in body.get("pending", ()):
        yield one["expert_id"]
