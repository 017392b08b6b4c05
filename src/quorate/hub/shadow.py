"""Shadow mode: what is acted upon, beside what the panel would have done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.arbitration import Proposal, Tally
from quorate.core.canonical import JSONValue
from quorate.core.errors import UsageError
from quorate.hub.deciding import Verdict
from quorate.hub.experts import Expert


@dataclass(frozen=True, slots=True)
class Shadow:
    """What is acted upon in shadow mode, beside what the panel would have done.

    Attributes:
        incumbent: id of the expert whose answer is acted upon.
        answered: whether it answered.
        acted: its answer; ``None`` where it did not answer.
        refused: the panel would have let nothing be acted upon.
        differs: the panel committed another answer than ``acted``.
        detail: why the incumbent did not answer, or why the panel came to no verdict or
            the verdict was not sealed; empty where all went well.
    """

    incumbent: str
    answered: bool
    acted: JSONValue
    refused: bool
    differs: bool
    detail: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shadow:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it has other keys.
        """
        if not isinstance(data, Mapping) or data.keys() != set(cls.__slots__):
            raise UsageError(f"a shadow has the keys {', '.join(cls.__slots__)}")
        return cls(**data)


def word_of(incumbent: Expert, verdict: Verdict) -> Proposal | str | None:
    """What the incumbent said to the panel; ``None`` where the panel did not hear it out."""
    for proposal in verdict.proposals:
        if proposal.expert_id == incumbent.id:
            return proposal
    for absence in verdict.proposals.absent:
        if absence.expert_id == incumbent.id:
            return f"{absence.reason}: {absence.detail}"
    return None


def beside(
    incumbent: Expert, answer: Proposal | str, verdict: Verdict | None, detail: str = ""
) -> Shadow:
    """What is acted upon, and how the panel would have had it."""
    answered = isinstance(answer, Proposal)
    refused = verdict is None or isinstance(verdict.outcome, Tally)
    differs = False
    if isinstance(answer, Proposal) and verdict is not None and not refused:
        differs = answer.digest != verdict.body["verdict"]["digest"]
    told = detail if isinstance(answer, Proposal) else "; ".join(t for t in (answer, detail) if t)
    acted = answer.payload if isinstance(answer, Proposal) else None
    return Shadow(incumbent.id, answered, acted, refused, differs, told)
