"""What all arbiters share: the threshold, the normaliser, and how an outcome is worded."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar, Self

from quorate.arbitration import rules
from quorate.arbitration.counted import Counted
from quorate.arbitration.decision import Decision, Tally, UnderQuorum
from quorate.arbitration.forms import as_given, as_number
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.normal import CUSTOM, EXACT, Normaliser, Normalize
from quorate.arbitration.proposal import Absence, Proposal, plain_copy
from quorate.core.canonical import JSONValue
from quorate.core.errors import UsageError
from quorate.core.exact import Number, as_text, common_scale, exact
from quorate.core.independence import report

DEFAULT_QUORUM = 0.66


@dataclass(frozen=True, slots=True, init=False)
class QuorumArbiter(ABC):
    """The part of an arbiter that its protocol does not change.

    Attributes:
        quorum: the threshold: the double that writes it exactly, else a Fraction.
        exact_quorum: the same as a rational in (0, 1].
        normalize: how answers are compared, as it was given; ``"exact"`` if it was not.
        normaliser: the same, ready for use.
    """

    quorum: float | Fraction
    exact_quorum: Fraction = field(repr=False)
    normalize: Normalize
    normaliser: Normaliser = field(repr=False, compare=False)

    protocol: ClassVar[str]
    rule: ClassVar[str]
    decides_over_pending: ClassVar[bool] = False

    def __init__(self, quorum: Number = DEFAULT_QUORUM, *, normalize: Normalize = None) -> None:
        """Take the threshold, in (0, 1]: 0.66 means exactly 66/100.

        Args:
            quorum: the threshold.
            normalize: how answers are compared: ``None`` or ``"exact"`` for the same JSON,
                the name of a built-in normaliser, or a function payload -> JSON.

        Raises:
            UsageTypeError: not a number, or no way of comparing.
            UsageError: not in (0, 1], or no normaliser has that name.
        """
        threshold = exact(quorum, "quorum")
        if not 0 < threshold <= 1:
            raise UsageError(f"quorum is {quorum}; it should be above 0 and at most 1")
        object.__setattr__(self, "quorum", as_given(threshold))
        object.__setattr__(self, "exact_quorum", threshold)
        object.__setattr__(self, "normalize", EXACT if normalize is None else normalize)
        object.__setattr__(self, "normaliser", Normaliser.of(normalize))

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the rule was given, as JSON, numbers exact."""
        return self._quorum_parameters()

    def arbitrate(self, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Decision:
        """Fold proposals into one decision.

        Args:
            proposals: any iterable, in any order. Absences, pending experts and their
                declared independence, which it may carry as ``.absent``, ``.pending`` and
                ``.independence``, are read too.
            absent: experts of the roster that have no proposal.

        Raises:
            UnderQuorum: no answer reached the quorum; holds the whole tally.
            UsageError: the caller's fault: wrong types, too many, an expert both
                proposing and absent, or absent in two ways.
            VerificationError: a payload was changed after its proposal was made.
        """
        return committed(self.fold(gather(proposals, absent)))

    def fold(self, intake: Intake) -> Decision | Tally:
        """Fold what was taken in; a refusal is returned, not raised."""
        if intake.pending and not self.decides_over_pending:
            raise UsageError(
                f"{len(intake.pending)} experts are pending, and {self.protocol} folds only when "
                "all have answered or are absent; give those that will not answer as absent"
            )
        return self.folded(intake)

    @abstractmethod
    def folded(self, intake: Intake) -> Decision | Tally:
        """The protocol's own fold."""

    def payloads(self, intake: Intake) -> Iterator[tuple[JSONValue, str]]:
        """Every value that the fold may normalise, with its digest."""
        for proposal in intake.proposals:
            yield proposal.payload, proposal.digest

    def normal_table(self, intake: Intake) -> dict[str, str | None] | None:
        """What is sealed of a caller's own normaliser; ``None`` where there is none."""
        if self.normaliser.name != CUSTOM:
            return None
        return self.normaliser.table(self.payloads(intake))

    def with_table(self, table: Mapping[str, str | None]) -> Self:
        """The same arbiter, with a sealed table in the place of the caller's normaliser."""
        other = copy.copy(self)
        object.__setattr__(other, "normaliser", Normaliser(CUSTOM, None, table))
        return other

    def _quorum_parameters(self) -> dict[str, Any]:
        named = {} if self.normaliser.name == EXACT else {"normalize": self.normaliser.name}
        return {"quorum": as_text(self.exact_quorum), **named}

    def _common(self, intake: Intake, counted: Counted) -> dict[str, Any]:
        """The part of an outcome that does not depend on how votes were weighed."""
        costs = [proposal.exact_cost for proposal in intake.proposals]
        if intake.merge is not None:
            costs.append(intake.merge.exact_cost)
        scaled, scale = common_scale(costs)
        cost = Fraction(sum(scaled), scale)
        return {
            "protocol": self.protocol,
            "quorum": self.quorum,
            "quorum_exact": as_text(self.exact_quorum),
            "engaged": tuple(proposal.expert_id for proposal in counted.proposals),
            "absent": counted.absences,
            "cost": as_number(cost),
            "cost_exact": as_text(cost),
            "independence": _independence(intake),
            "parent": intake.parent_digest,
        }

    def _trace(
        self, counted: Counted, groups: list[dict[str, Any]], totals: Mapping[str, Fraction]
    ) -> dict[str, Any]:
        """How the verdict came about, as JSON; rationals as ``"p/q"``."""
        trace: dict[str, Any] = {
            "rule": self.rule,
            "groups": groups,
            "void": counted.void_trace(),
            **{name: as_text(value) for name, value in totals.items()},
        }
        if self.normaliser.name != EXACT:
            trace["normalize"] = self.normaliser.name
        return trace


def committed(outcome: Decision | Tally) -> Decision:
    """The decision, or ``UnderQuorum`` raised."""
    if isinstance(outcome, Tally):
        raise UnderQuorum(outcome)
    return outcome


def shares(support: Fraction, backing: Fraction) -> dict[str, Any]:
    """Support and backing, as an outcome reports them."""
    return {
        "support": float(support),
        "support_exact": as_text(support),
        "backing": float(backing),
        "backing_exact": as_text(backing),
    }


def totals(fold: rules.Fold) -> dict[str, Fraction]:
    """The totals of a weighted fold, as a trace names them."""
    return {
        "total_votes": fold.total_votes,
        "absent_weight": fold.absent_weight,
        "roster_weight": fold.roster_weight,
    }


def group_trace(group: rules.Group, digest: str, answer: str) -> dict[str, Any]:
    """One group, as a trace holds it."""
    return {
        "digest": digest,
        "answer": answer,
        "votes": as_text(group.votes),
        "weight": as_text(group.weight),
        "top_vote": as_text(group.top_vote),
        "top": group.top,
        "members": list(group.members),
    }


def weighted_groups(
    groups: Sequence[rules.Group], intake: Intake, counted: Counted
) -> list[dict[str, Any]]:
    """The groups of a weighted fold; each shows the payload of its highest vote."""
    sent = {proposal.expert_id: proposal.digest for proposal in counted.proposals}
    return [group_trace(group, group.digest, intake.answers[sent[group.top]]) for group in groups]


def proposal_of(counted: Counted, expert_id: str) -> Proposal:
    """The one proposal of an expert that counts."""
    return next(one for one in counted.proposals if one.expert_id == expert_id)


def outside(groups: Iterable[rules.Group]) -> tuple[str, ...]:
    """Ids of all members, sorted."""
    return tuple(sorted(name for group in groups for name in group.members))


def answered(proposal: Proposal) -> dict[str, Any]:
    """A real proposal's payload as what is committed."""
    return {"consensus": plain_copy(proposal.payload), "digest": proposal.digest}


def _independence(intake: Intake) -> dict[str, Any] | None:
    if intake.independence is None:
        return None
    return report(intake.roster(), intake.independence)
