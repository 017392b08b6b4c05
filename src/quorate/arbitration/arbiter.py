"""The arbiter: proposals in, one decision out, by a protocol that is declared.

Theory of operation. The arbiter takes in (:mod:`~quorate.arbitration.intake`), folds
(:mod:`~quorate.arbitration.rules`) and words the outcome. It holds no state between
calls, and the same proposals give the same decision, byte for byte, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Protocol

from quorate.arbitration import rules
from quorate.arbitration.decision import Decision, Tally, UnderQuorum
from quorate.arbitration.forms import as_given, as_number
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.proposal import Absence, Proposal, plain_copy
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, common_scale, exact

DEFAULT_QUORUM = 0.66


class Rule(Protocol):
    """What every protocol's arbiter offers, and what sealing needs of it."""

    @property
    def protocol(self) -> str:
        """Its name, such as ``"weighted-quorum"``."""

    @property
    def rule(self) -> str:
        """The name and version of its rule, such as ``"weighted-quorum/1"``."""

    @property
    def parameters(self) -> dict[str, str]:
        """All that the rule was given, as JSON, numbers exact."""

    def arbitrate(self, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Decision:
        """Fold proposals into one decision, or raise ``UnderQuorum``."""

    def fold(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""


@dataclass(frozen=True, slots=True, init=False)
class WeightedQuorumArbiter:
    """Commits the heaviest answer if votes and route weight both reach the quorum.

    Attributes:
        quorum: the threshold: the double that writes it exactly, else a Fraction.
        exact_quorum: the same as a rational in (0, 1].
    """

    quorum: float | Fraction
    exact_quorum: Fraction = field(repr=False)

    protocol: ClassVar[str] = "weighted-quorum"
    rule: ClassVar[str] = rules.RULE

    def __init__(self, quorum: Number = DEFAULT_QUORUM) -> None:
        """Take the threshold, in (0, 1]: 0.66 means exactly 66/100.

        Raises:
            UsageTypeError: not a number.
            UsageError: not in (0, 1].
        """
        threshold = exact(quorum, "quorum")
        if not 0 < threshold <= 1:
            raise UsageError(f"quorum is {quorum}; it should be above 0 and at most 1")
        object.__setattr__(self, "quorum", as_given(threshold))
        object.__setattr__(self, "exact_quorum", threshold)

    @property
    def parameters(self) -> dict[str, str]:
        """The threshold as ``{"quorum": "p/q"}``."""
        return {"quorum": as_text(self.exact_quorum)}

    def arbitrate(self, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Decision:
        """Fold proposals into one decision.

        Args:
            proposals: any iterable, in any order. Absences that it carries as ``.absent``
                are read too.
            absent: experts of the roster that have no proposal.

        Raises:
            UnderQuorum: no answer reached the quorum; holds the whole tally.
            UsageError: the caller's fault: wrong types, too many, an expert both
                proposing and absent, or absent in two ways.
            VerificationError: a payload was changed after its proposal was made.
        """
        outcome = self.fold(gather(proposals, absent))
        if isinstance(outcome, Tally):
            raise UnderQuorum(outcome)
        return outcome

    def fold(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""
        ballots = [
            rules.Ballot(p.expert_id, p.digest, p.exact_weight, p.exact_confidence, p.identity[4:])
            for p in intake.proposals
        ]
        away = {absence.expert_id: absence.exact_weight for absence in intake.absences}
        fold = rules.weighted_quorum(ballots, away, self.exact_quorum)
        shared = self._shared(intake, fold)
        if fold.reason is not None:
            leader = fold.groups[0].digest if fold.groups else None
            return Tally(**shared, reason=fold.reason, leader=leader)
        winner = fold.groups[0]
        payload = next(p.payload for p in intake.proposals if p.expert_id == winner.top)
        return Decision(
            **shared,
            consensus=plain_copy(payload),
            digest=winner.digest,
            dissenting=tuple(sorted(name for g in fold.groups[1:] for name in g.members)),
        )

    def _shared(self, intake: Intake, fold: rules.Fold) -> dict[str, Any]:
        costs, scale = common_scale(proposal.exact_cost for proposal in intake.proposals)
        cost = Fraction(sum(costs), scale)
        absences = [*intake.absences, *(_equivocation(void) for void in fold.void)]
        return {
            "protocol": self.protocol,
            "quorum": self.quorum,
            "quorum_exact": as_text(self.exact_quorum),
            "support": float(fold.support),
            "support_exact": as_text(fold.support),
            "backing": float(fold.backing),
            "backing_exact": as_text(fold.backing),
            "engaged": tuple(sorted(name for g in fold.groups for name in g.members)),
            "absent": tuple(sorted(absences, key=lambda absence: absence.identity)),
            "cost": as_number(cost),
            "cost_exact": as_text(cost),
            "trace": _trace(fold, intake.answers),
        }


def _equivocation(void: rules.Void) -> Absence:
    digests = sorted({ballot.digest for ballot in void.ballots})
    told = " and ".join(digests[:2])
    if len(digests) > 2:  # noqa: PLR2004 - two are named
        told += f" and {len(digests) - 2} more"
    detail = f"equivocation: {len(void.ballots)} different proposals, digest {told}"
    return Absence(void.expert_id, as_given(void.weight), "void", detail)


def _trace(fold: rules.Fold, answers: Mapping[str, str]) -> dict[str, Any]:
    """How the verdict came about, as JSON; rationals as ``"p/q"``."""
    groups = [
        {
            "digest": group.digest,
            "answer": answers[group.digest],
            "votes": as_text(group.votes),
            "weight": as_text(group.weight),
            "top_vote": as_text(group.top_vote),
            "top": group.top,
            "members": list(group.members),
        }
        for group in fold.groups
    ]
    void = [
        {
            "expert_id": ballot.expert_id,
            "digest": ballot.digest,
            "confidence": as_text(ballot.confidence),
            "route_weight": as_text(ballot.weight),
        }
        for item in fold.void
        for ballot in item.ballots
    ]
    return {
        "rule": rules.RULE,
        "groups": groups,
        "void": void,
        "total_votes": as_text(fold.total_votes),
        "absent_weight": as_text(fold.absent_weight),
        "roster_weight": as_text(fold.roster_weight),
    }


PROTOCOLS: dict[str, type[WeightedQuorumArbiter]] = {
    WeightedQuorumArbiter.protocol: WeightedQuorumArbiter,
}
"""Every protocol there is, by name."""


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
        **options: object,
    ) -> None:
        """Choose a protocol, its threshold, and its further options (it has none yet).

        Raises:
            UsageTypeError: ``protocol`` is not a string, ``quorum`` no number.
            UsageError: an unknown protocol or option, or ``quorum`` outside (0, 1].
        """
        if not isinstance(protocol, str):
            raise UsageTypeError(f"protocol is a {type(protocol).__name__}; give its name")
        known = ", ".join(sorted(PROTOCOLS))
        if protocol not in PROTOCOLS:
            raise UsageError(f"protocol is {protocol!r}; there is: {known}")
        if options:
            raise UsageError(
                f"{protocol} has no option {', '.join(sorted(options))}; it has: quorum"
            )
        self._inner: WeightedQuorumArbiter = PROTOCOLS[protocol](quorum)

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
    def parameters(self) -> dict[str, str]:
        """All that the rule was given, as JSON, numbers exact."""
        return self._inner.parameters

    def arbitrate(self, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Decision:
        """Fold proposals into one decision; see :meth:`WeightedQuorumArbiter.arbitrate`."""
        return self._inner.arbitrate(proposals, absent)

    def fold(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""
        return self._inner.fold(intake)

    def __repr__(self) -> str:
        """As it would be written."""
        return f"Arbiter(protocol={self.protocol!r}, quorum={self.quorum!r})"
