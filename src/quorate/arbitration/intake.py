"""What every protocol does first: check what came in, and bring it into one order.

Digests are recomputed here, at the fold, because a payload could have been changed in
place after its proposal was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import sha256
from itertools import chain, islice
from typing import Any, TypeVar

from quorate.arbitration import wording
from quorate.arbitration.merge import Merge
from quorate.arbitration.pending import Pending
from quorate.arbitration.proposal import Absence, Proposal
from quorate.core import limits
from quorate.core.canonical import CanonicalError, canonical, digest
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.independence import Independence

T = TypeVar("T", Proposal, Absence, Pending)


@dataclass(frozen=True, slots=True)
class Intake:
    """Everything that a verdict is computed from, as it is folded and sealed.

    Attributes:
        proposals: distinct ones, sorted; two of one expert are equivocation.
        absences: distinct ones, sorted, one per expert, none of which proposed.
        answers: digest of each payload -> the beginning of its canonical JSON.
        pending: experts whose answer is open, sorted; only first-to-quorum decides over them.
        independence: what the experts declared of how they may fail together, if they did.
        merge: the merged answer of a synthesis, if there is one.
        failed: why no word came of a synthesis, by id: of the synthesizer where there is no
            merge, of proposers that were asked to ratify where there is.
        parent: the whole sealed body of the weaker verdict that this one grows out of, if
            there is one; its task and panel are of no account.
        consultation: ``{"expert_id", "route_weight", "body"}``: whose verdict was folded in
            as one more proposal, and the body that it was sealed in, if there is one.
    """

    proposals: tuple[Proposal, ...]
    absences: tuple[Absence, ...]
    answers: dict[str, str]
    pending: tuple[Pending, ...] = ()
    independence: Independence | None = None
    merge: Merge | None = None
    parent: Mapping[str, Any] | None = None
    consultation: Mapping[str, Any] | None = None
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def parent_digest(self) -> str | None:
        """Digest of the weaker verdict, if there is one.

        Raises:
            UsageError: the parent is no sealed body.
        """
        verdict = self._parent_verdict()
        return None if verdict is None else digest(verdict)

    @property
    def parent_status(self) -> str | None:
        """``"committed"`` or ``"refused"``, of the weaker verdict; ``None`` without one."""
        verdict = self._parent_verdict()
        return None if verdict is None else str(verdict.get("status"))

    def _parent_verdict(self) -> Mapping[str, Any] | None:
        if self.parent is None:
            return None
        verdict = self.parent.get("verdict") if isinstance(self.parent, Mapping) else None
        if not isinstance(verdict, dict):
            raise UsageError("the parent is no sealed body; give the body of the weaker verdict")
        return verdict

    def roster(self) -> dict[str, Fraction]:
        """Exact route weight of every expert, the pending too; of an equivocator, its greatest."""
        weights = {absence.expert_id: absence.exact_weight for absence in self.absences}
        weights |= {one.expert_id: one.exact_weight for one in self.pending}
        for proposal in self.proposals:
            known = weights.get(proposal.expert_id, proposal.exact_weight)
            weights[proposal.expert_id] = max(known, proposal.exact_weight)
        return weights


def gather(
    proposals: Iterable[Proposal],
    absent: Iterable[Absence] = (),
    pending: Iterable[Pending] = (),
) -> Intake:
    """Check and order what came in.

    Args:
        proposals: any iterable; its attributes ``absent``, ``pending`` and
            ``independence``, those that it has, are read too.
        absent: more absences; the same one named twice counts once.
        pending: more experts whose answer is open, likewise.

    Raises:
        UsageTypeError: not iterables of proposals, absences and pending experts.
        UsageError: more than ``limits.MAX_REPLICAS``, an expert in two of the three, or
            absent in two different ways, or pending with two weights.
        VerificationError: a payload no longer has the digest its proposal was made with.
    """
    carried = {name: getattr(proposals, name, ()) for name in ("absent", "pending")}
    independence = _declared(proposals)
    came = _ordered(proposals, Proposal, "proposals")
    away = _ordered(
        chain(_each(carried["absent"], "proposals.absent"), _each(absent, "absent")),
        Absence,
        "absent",
    )
    waiting = _ordered(
        chain(_each(carried["pending"], "proposals.pending"), _each(pending, "pending")),
        Pending,
        "pending",
    )
    _check_roster(came, away, waiting)
    return Intake(came, away, _answers(came), waiting, independence)


def _declared(proposals: object) -> Independence | None:
    independence: object = getattr(proposals, "independence", None)
    if independence is not None and not isinstance(independence, Independence):
        raise UsageTypeError(
            f"proposals.independence is a {type(independence).__name__}; "
            "give an Independence or None"
        )
    return independence


def _check_roster(
    came: tuple[Proposal, ...], away: tuple[Absence, ...], waiting: tuple[Pending, ...]
) -> None:
    """See to it that every expert is here in one way, and that they are not too many."""
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
    here = absentees | {proposal.expert_id for proposal in came}
    for one in waiting:
        if one.expert_id in here:
            raise UsageError(
                f"{one.expert_id!r} is pending, and also proposing, absent or pending with "
                "another weight; it is one"
            )
        here.add(one.expert_id)
    if len(here) > limits.MAX_REPLICAS:
        raise UsageError(
            f"the roster has {len(here)} experts; at most {limits.MAX_REPLICAS} can be"
        )


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
