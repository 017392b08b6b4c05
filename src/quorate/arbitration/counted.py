"""Which proposals count, and under which digest: what every fold does before it weighs.

An expert counts with one proposal whose payload the normaliser can read. One that sent
different proposals, or nothing readable, is an absentee of its route weight (of the
greatest it sent): it stays in every denominator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Final

from quorate.arbitration import rules
from quorate.arbitration.forms import as_given
from quorate.arbitration.intake import Intake
from quorate.arbitration.normal import Normaliser
from quorate.arbitration.proposal import Absence, Proposal
from quorate.core.exact import as_text

_NAMED: Final = 2


@dataclass(frozen=True)
class Counted:
    """What is left to be weighed.

    Attributes:
        proposals: one per expert, sorted by expert.
        normal: digest of each of their payloads -> digest of its normal form.
        absences: those given and those made of void proposals, sorted.
        void: the proposals that do not count, in the order of the trace.
    """

    proposals: tuple[Proposal, ...]
    normal: Mapping[str, str]
    absences: tuple[Absence, ...]
    void: tuple[Proposal, ...]

    @cached_property
    def away(self) -> dict[str, Fraction]:
        """Route weight of every absentee."""
        return {absence.expert_id: absence.exact_weight for absence in self.absences}

    def ballots(self) -> list[rules.Ballot]:
        """The proposals as a weighted fold takes them."""
        return [
            rules.Ballot(
                p.expert_id,
                self.normal[p.digest],
                p.exact_weight,
                p.exact_confidence,
            )
            for p in self.proposals
        ]

    def without(self, faults: Mapping[str, str]) -> Counted:
        """Void the proposals of some experts more.

        Args:
            faults: what each did wrong, by expert id.
        """
        if not faults:
            return self
        gone = [p for p in self.proposals if p.expert_id in faults]
        made = [_void(p, faults[p.expert_id]) for p in gone]
        return Counted(
            tuple(p for p in self.proposals if p.expert_id not in faults),
            self.normal,
            _sorted([*self.absences, *made]),
            _traced([*self.void, *gone]),
        )

    def void_trace(self) -> list[dict[str, Any]]:
        """The void proposals, as a trace holds them."""
        return [
            {
                "expert_id": proposal.expert_id,
                "digest": proposal.digest,
                "confidence": as_text(proposal.exact_confidence),
                "route_weight": as_text(proposal.exact_weight),
            }
            for proposal in self.void
        ]


def count(intake: Intake, normaliser: Normaliser) -> Counted:
    """Sort out which proposals count.

    Raises:
        UsageError: a sealed table of normal forms lacks a payload.
    """
    sent: dict[str, list[Proposal]] = {}
    for proposal in intake.proposals:
        sent.setdefault(proposal.expert_id, []).append(proposal)
    kept: list[Proposal] = []
    void: list[Proposal] = []
    absences = list(intake.absences)
    normal: dict[str, str | None] = {}
    for own in sent.values():
        if len(own) > 1:
            absences.append(_equivocation(own))
            void += own
            continue
        (proposal,) = own
        if proposal.digest not in normal:
            normal[proposal.digest] = normaliser.digest_of(proposal.payload, proposal.digest)
        if normal[proposal.digest] is None:
            told = (
                f"its answer, digest {proposal.digest}, has no normal form "
                f"under {normaliser.name!r}"
            )
            absences.append(_void(proposal, told))
            void.append(proposal)
        else:
            kept.append(proposal)
    read = {found: form for found, form in normal.items() if form is not None}
    return Counted(tuple(kept), read, _sorted(absences), _traced(void))


def _sorted(absences: list[Absence]) -> tuple[Absence, ...]:
    return tuple(sorted(absences, key=lambda absence: absence.identity))


def _traced(void: list[Proposal]) -> tuple[Proposal, ...]:
    return tuple(
        sorted(void, key=lambda p: (p.expert_id, p.digest, p.exact_confidence, p.exact_weight))
    )


def _void(proposal: Proposal, detail: str) -> Absence:
    return Absence(proposal.expert_id, as_given(proposal.exact_weight), "void", detail)


def _equivocation(sent: list[Proposal]) -> Absence:
    digests = sorted({proposal.digest for proposal in sent})
    told = " and ".join(digests[:_NAMED])
    if len(digests) > _NAMED:
        told += f" and {len(digests) - _NAMED} more"
    weight = max(proposal.exact_weight for proposal in sent)
    detail = f"equivocation: {len(sent)} different proposals, digest {told}"
    return Absence(sent[0].expert_id, as_given(weight), "void", detail)
