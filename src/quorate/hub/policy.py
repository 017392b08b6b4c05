"""What is done after a refusal, as it was declared before anybody was asked."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from quorate.arbitration.forms import shown, text
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, exact
from quorate.hub.experts import Expert

RAISE: Final = "raise"
WIDEN: Final = "widen"
ESCALATE: Final = "escalate"
FALLBACK: Final = "fallback"
WAYS: Final = (RAISE, WIDEN, ESCALATE, FALLBACK)
"""The ways to go on after a refusal; ``raise`` is to go no further."""

PEER_CONSULT: Final = "peer-consult"
"""The id under which a consultation answers, unless another is declared."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What follows a refusal. Nothing does unless it is declared.

    Attributes:
        on_under_quorum: ``"raise"``: the refusal stands. ``"widen"``: the reserve is asked
            too, and all proposals are folded together. ``"escalate"``: others are
            consulted, and their verdict is folded in as one more proposal.
            ``"fallback"``: one named expert decides, and the decision says so.
        fallback: that expert, or its id if it is of the roster or the reserve.
        reserve: experts asked only after a refusal.
        consult: experts consulted after a refusal.
        consult_to: the id that the consultation's verdict is folded in under.
        consult_weight: its route weight, 0 to 2^53 - 1, fixed here and not by its outcome.
        consult_quorum: the threshold among those consulted, in (0, 1].
    """

    on_under_quorum: str = RAISE
    fallback: Expert | str | None = None
    reserve: tuple[Expert, ...] = ()
    consult: tuple[Expert, ...] = ()
    consult_to: str = PEER_CONSULT
    consult_weight: Number = 1
    consult_quorum: Number = Fraction(66, 100)

    def __post_init__(self) -> None:
        """Check that the policy can be carried out.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of range, or the way needs what is not declared.
        """
        if self.on_under_quorum not in WAYS:
            raise UsageError(
                f"on_under_quorum is {shown(self.on_under_quorum)}; "
                f"it should be one of {', '.join(WAYS)}"
            )
        if self.on_under_quorum == FALLBACK and self.fallback is None:
            raise UsageError('on_under_quorum is "fallback", and no fallback expert is named')
        if self.fallback is not None and not isinstance(self.fallback, Expert):
            text(self.fallback, "the fallback expert")
        for name in ("reserve", "consult"):
            object.__setattr__(self, name, _experts(getattr(self, name), name))
        if self.on_under_quorum == ESCALATE and not self.consult:
            raise UsageError('on_under_quorum is "escalate", and nobody is named to be consulted')
        text(self.consult_to, "consult_to")
        weight = exact(self.consult_weight, "consult_weight")
        if not 0 <= weight <= limits.MAX_SAFE_INTEGER:
            raise UsageError(
                f"consult_weight is {self.consult_weight}; "
                f"it is from 0 to {limits.MAX_SAFE_INTEGER}"
            )
        if not 0 < exact(self.consult_quorum, "consult_quorum") <= 1:
            raise UsageError(
                f"consult_quorum is {self.consult_quorum}; it should be above 0 and at most 1"
            )

    @property
    def goes_on(self) -> bool:
        """Whether anything at all follows a refusal."""
        return self.on_under_quorum != RAISE


def _experts(value: object, name: str) -> tuple[Expert, ...]:
    if not isinstance(value, list | tuple):
        raise UsageTypeError(f"{name} is a {type(value).__name__}; give a tuple of experts")
    for item in value:
        if not isinstance(item, Expert):
            raise UsageTypeError(f"{name} holds a {type(item).__name__}; give experts")
    ids = [expert.id for expert in value]
    if len(set(ids)) != len(ids):
        twice = next(id_ for id_ in ids if ids.count(id_) > 1)
        raise UsageError(f"the expert {twice!r} stands twice in {name}")
    return tuple(value)
