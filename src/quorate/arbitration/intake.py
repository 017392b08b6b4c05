"""What every protocol does first: check what came in, and bring it into one order.

Digests are recomputed here, at the fold, because a payload could have been changed in
place after its proposal was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from itertools import chain, islice
from typing import TypeVar

from quorate.arbitration import wording
from quorate.arbitration.proposal import Absence, Proposal
from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical
from quorate.core.errors import UsageError, UsageTypeError, VerificationError

T = TypeVar("T", Proposal, Absence)


@dataclass(frozen=True, slots=True)
class Intake:
    """Proposals and absences as they are folded and sealed.

    Attributes:
        proposals: distinct ones, sorted; two of one expert are equivocation.
        absences: distinct ones, sorted, one per expert, none of which proposed.
        answers: digest of each payload -> the beginning of its canonical JSON.
    """

    proposals: tuple[Proposal, ...]
    absences: tuple[Absence, ...]
    answers: dict[str, str]

    def roster(self) -> dict[str, Fraction]:
        """Exact route weight of every expert; of an equivocator, its greatest."""
        weights = {absence.expert_id: absence.exact_weight for absence in self.absences}
        for proposal in self.proposals:
            known = weights.get(proposal.expert_id, proposal.exact_weight)
            weights[proposal.expert_id] = max(known, proposal.exact_weight)
        return weights


def gather(proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Intake:
    """Check and order what came in.

    Args:
        proposals: any iterable; its ``absent`` attribute, if it has one, is read too.
        absent: more absences; the same one named twice counts once.

    Raises:
        UsageTypeError: not iterables of proposals and of absences.
        UsageError: more than ``limits.MAX_REPLICAS``, an expert both proposing and
            absent, or an expert absent in two different ways.
        VerificationError: a payload no longer has the digest its proposal was made with.
    """
    carried = getattr(proposals, "absent", ())
    came = _ordered(proposals, Proposal, "proposals")
    away = _ordered(
        chain(_each(carried, "proposals.absent"), _each(absent, "absent")), Absence, "absent"
    )
    absentees: set[str] = set()
    for absence in away:
        if absence.expert_id in absentees:
            raise UsageError(
                f"{absence.expert_id!r} is absent in two different ways; give one absence each"
            )
        absentees.add(absence.expert_id)
    for proposal in came:
        if proposal.expert_id in absentees:
            raise UsageError(f"{proposal.expert_id!r} is both proposing and absent; it is one")
    roster = len(absentees | {proposal.expert_id for proposal in came})
    if roster > limits.MAX_REPLICAS:
        raise UsageError(f"the roster has {roster} experts; at most {limits.MAX_REPLICAS} can be")
    return Intake(came, away, _answers(came))


def _each(source: object, name: str) -> Iterator[object]:
    if not isinstance(source, Iterable):
        kind = type(source).__name__
        raise UsageTypeError(f"{name} is a {kind}; give an iterable, such as a list")
    return iter(source)


def _ordered(source: object, kind: type[T], name: str) -> tuple[T, ...]:
    most = limits.MAX_REPLICAS
    found: list[T] = []
    for index, item in enumerate(islice(_each(source, name), most + 1)):
        if index == most:
            raise UsageError(f"{name} has more than {most} items, the most a roster can have")
        if not isinstance(item, kind):
            raise UsageTypeError(
                f"{name}[{index}] is a {type(item).__name__}; give {kind.__name__} objects"
            )
        found.append(item)
    by_identity: list[T] = sorted(found, key=lambda item: item.identity)
    return tuple(
        item
        for index, item in enumerate(by_identity)
        if index == 0 or item.identity != by_identity[index - 1].identity
    )


def _answers(proposals: Iterable[Proposal]) -> dict[str, str]:
    answers: dict[str, str] = {}
    for proposal in proposals:
        try:
            encoded = canonical(proposal.payload)
        except CanonicalError as error:
            raise VerificationError(_changed(proposal, str(error)), rule="digest") from error
        found = sha256(encoded).hexdigest()
        if found != proposal.digest:
            raise VerificationError(_changed(proposal, f"it now has {found}"), rule="digest")
        if found not in answers:
            answers[found] = wording.preview(encoded)
    return answers


def _changed(proposal: Proposal, how: str) -> str:
    return (
        f"the payload of {proposal.expert_id!r} was changed after its proposal was made "
        f"with digest {proposal.digest}: {how}"
    )
