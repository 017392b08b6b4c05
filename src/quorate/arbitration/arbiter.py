"""The arbiter: proposals in, one decision out, by a protocol that is declared.

Theory of operation. The arbiter takes in (:mod:`~quorate.arbitration.intake`), sorts out
what counts (:mod:`~quorate.arbitration.counted`), folds
(:mod:`~quorate.arbitration.rules`) and words the outcome. It holds no state between
calls, and the same proposals give the same decision, byte for byte, in any order.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, Protocol

from quorate.arbitration.arbiters import (
    DEFAULT_QUORUM,
    FirstToQuorumArbiter,
    QuorumArbiter,
    RankedRunoffArbiter,
    SynthesisArbiter,
    WeightedQuorumArbiter,
)
from quorate.arbitration.decision import Decision, Tally
from quorate.arbitration.forms import shown
from quorate.arbitration.intake import Intake
from quorate.arbitration.normal import Normalize
from quorate.arbitration.proposal import Absence, Proposal
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number

__all__ = ["DEFAULT_QUORUM", "PROTOCOLS", "Arbiter", "Rule", "WeightedQuorumArbiter"]


class Rule(Protocol):
    """What every protocol's arbiter offers, and what sealing needs of it."""

    @property
    def protocol(self) -> str:
        """Its name, such as ``"weighted-quorum"``."""

    @property
    def rule(self) -> str:
        """The name and version of its rule, such as ``"weighted-quorum/1"``."""

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the rule was given, as JSON, numbers exact."""

    def arbitrate(self, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Decision:
        """Fold proposals into one decision, or raise ``UnderQuorum``."""

    def fold(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""


PROTOCOLS: Final[Mapping[str, type[QuorumArbiter]]] = MappingProxyType(
    {
        kind.protocol: kind
        for kind in (
            WeightedQuorumArbiter,
            RankedRunoffArbiter,
            FirstToQuorumArbiter,
            SynthesisArbiter,
        )
    }
)
"""Every protocol that one can choose, by name."""


class Arbiter:
    """One of the protocols, chosen by name.

    ``Arbiter(protocol="weighted-quorum", quorum=0.66)`` behaves as
    ``WeightedQuorumArbiter(quorum=0.66)``. The protocol is declared, never inferred.
    """

    __slots__ = ("_inner",)

    def __init__(
        self,
        protocol: str = WeightedQuorumArbiter.protocol,
        quorum: Number = DEFAULT_QUORUM,
        **options: Any,
    ) -> None:
        """Choose a protocol, its threshold, and its further options.

        Args:
            protocol: a key of :data:`PROTOCOLS`.
            quorum: the threshold, in (0, 1].
            options: what the protocol's own arbiter takes besides, such as ``normalize``.

        Raises:
            UsageTypeError: ``protocol`` is not a string, ``quorum`` no number, or an option
                of the wrong type.
            UsageError: an unknown protocol or option, ``quorum`` outside (0, 1], or an
                option out of range.
        """
        if not isinstance(protocol, str):
            raise UsageTypeError(f"protocol is a {type(protocol).__name__}; give its name")
        known = ", ".join(sorted(PROTOCOLS))
        if protocol not in PROTOCOLS:
            raise UsageError(f"protocol is {shown(protocol)}; there is: {known}")
        kind = PROTOCOLS[protocol]
        own = [name for name in inspect.signature(kind).parameters if name != "quorum"]
        strange = sorted(options.keys() - set(own))
        if strange:
            raise UsageError(
                f"{protocol} has no option {', '.join(strange)}; "
                f"it has: {', '.join(['quorum', *own])}"
            )
        self._inner: QuorumArbiter = kind(quorum, **options)

    @property
    def inner(self) -> QuorumArbiter:
        """The protocol's own arbiter."""
        return self._inner

    @property
    def protocol(self) -> str:
        """The protocol's name."""
        return self._inner.protocol

    @property
    def rule(self) -> str:
        """Name and version of its rule, such as ``"weighted-quorum/1"``."""
        return self._inner.rule

    @property
    def quorum(self) -> float | Fraction:
        """The threshold."""
        return self._inner.quorum

    @property
    def exact_quorum(self) -> Fraction:
        """The threshold as a rational in (0, 1]."""
        return self._inner.exact_quorum

    @property
    def normalize(self) -> Normalize:
        """How answers are compared, as it was given."""
        return self._inner.normalize

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the rule was given, as JSON, numbers exact."""
        return self._inner.parameters

    def arbitrate(self, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Decision:
        """Fold proposals into one decision; see :meth:`QuorumArbiter.arbitrate`."""
        return self._inner.arbitrate(proposals, absent)

    def fold(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""
        return self._inner.fold(intake)

    def __repr__(self) -> str:
        """As it would be written, the options that differ from their default among it."""
        parameters = {k: v for k, v in self.parameters.items() if k != "quorum"}
        told = "".join(f", {name}={value!r}" for name, value in parameters.items())
        return f"Arbiter(protocol={self.protocol!r}, quorum={self.quorum!r}{told})"
