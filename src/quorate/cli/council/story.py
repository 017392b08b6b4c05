"""What became of a proposal after the votes, when, and who says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from quorate.council import Proposal
from quorate.council.rules.proposal import State
from quorate.council.telling import quoted

_DIGEST: Final = re.compile(r"#([0-9a-f]{8})[0-9a-f]{56}$")


@dataclass(frozen=True, slots=True)
class Ending:
    """How an execution ended.

    Attributes:
        at: when that was sealed, in microseconds since 1970.
        by: who resolved it by hand, who marked it, or what carried it out.
        by_hand: it was resolved, or marked as executed.
        reason: of who resolved it.
    """

    at: int
    by: str | None
    by_hand: bool
    reason: str | None


def ending_of(proposal: Proposal) -> Ending | None:
    """How its execution ended, as it was sealed; ``None`` where it has not."""
    begun, outcome = proposal.begun, proposal.outcome or {}
    if begun is None or proposal.state is State.EXECUTING:
        return None
    if begun.executor is None:
        return Ending(begun.at, begun.by, by_hand=True, reason=None)
    by = outcome.get("by")
    at = outcome.get("at", begun.at)
    return Ending(at, by or begun.executor, by is not None, outcome.get("reason"))


def short(name: str) -> str:
    """Who did it, in a line: of the digest of an executor only the beginning."""
    return quoted(_DIGEST.sub(r"#\1", name))
