"""Why nothing was committed: one word for each way a fold can end without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Final

NO_PROPOSALS: Final = "no_proposals"
ZERO_TOTAL: Final = "zero_total"
SUPPORT: Final = "support"
BACKING: Final = "backing"
SUPPORT_AND_BACKING: Final = "support_and_backing"
PENDING: Final = "pending"
NO_MERGE: Final = "no_merge"
NOT_RATIFIED: Final = "not_ratified"
NO_FALLBACK: Final = "no_fallback"
REASONS: Final = (
    NO_PROPOSALS,
    ZERO_TOTAL,
    SUPPORT,
    BACKING,
    SUPPORT_AND_BACKING,
    PENDING,
    NO_MERGE,
    NOT_RATIFIED,
    NO_FALLBACK,
)
"""Nothing to fold, no weight at all, what fell short, what is still open, or what was missing."""

REASON_OF: Final[Mapping[str, str]] = MappingProxyType(
    {
        PENDING: "first-to-quorum",
        NO_MERGE: "synthesis",
        NOT_RATIFIED: "synthesis",
        NO_FALLBACK: "fallback",
    }
)
"""The protocol of each reason that only one protocol has."""


def reaches(part: Fraction | int, whole: Fraction | int, quorum: Fraction) -> bool:
    """Whether ``part`` of ``whole`` is at least ``quorum``, exactly; 0 of 0 reaches it."""
    return part * quorum.denominator >= quorum.numerator * whole


def shortfall(*, some: bool, total: Fraction | int, supported: bool, backed: bool) -> str | None:
    """Name what was missing, or ``None`` where nothing was.

    Args:
        some: whether there is a leader at all.
        total: all votes and the weight of the absent.
        supported: whether the leader's votes reach the quorum.
        backed: whether its route weight does.
    """
    if not some:
        return NO_PROPOSALS
    if total == 0:
        return ZERO_TOTAL
    if supported and backed:
        return None
    if supported:
        return BACKING
    return SUPPORT if backed else SUPPORT_AND_BACKING
