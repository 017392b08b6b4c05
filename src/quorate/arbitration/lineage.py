"""What a verdict that grew out of a weaker one may have changed: added, and nothing lost.

Whatever the weaker verdict was folded from is found again in the later one, as it was,
unless the expert answered anew; so no answer is dropped between the two. A consultation
joins as one more expert, whose word follows from the consultation's own verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from quorate.arbitration.forms import members, shown, text
from quorate.arbitration.intake import Intake
from quorate.arbitration.proposal import Proposal
from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.core.exact import as_text, exact, from_text

CONSULTATION: Final = "consultation"


def check_lineage(intake: Intake) -> None:
    """Hold an intake to the verdicts it grew out of; those have been computed again.

    Raises:
        UsageError: a part has not its form, or there is a consultation without a parent.
        VerificationError: something of the parent is lost, or the consultation's word is
            not what its verdict says.
    """
    if intake.parent is None:
        if intake.consultation is not None:
            raise UsageError("a consultation is about a weaker verdict, and there is no parent")
        return
    _check_parent(intake, intake.parent)
    if intake.consultation is not None:
        _check_consultation(intake, intake.parent, intake.consultation)


def _check_parent(intake: Intake, parent: Mapping[str, Any]) -> None:
    roster = {name: as_text(weight) for name, weight in intake.roster().items()}
    for name, weight in parent["roster"].items():
        if roster.get(name) != weight:
            _refuse(f"{shown(name)} of the parent's roster is not in it with its weight {weight}")
    anew = {proposal.expert_id for proposal in intake.proposals}
    here = {canonical(proposal.to_dict()) for proposal in intake.proposals}
    here |= {canonical(absence.to_dict()) for absence in intake.absences}
    for one in parent["absences"]:
        if canonical(one) not in here and one["expert_id"] not in anew:
            _refuse(f"the absence of {shown(one['expert_id'])} in the parent is not found again")
    for one in parent["proposals"]:
        if canonical(one) not in here and one["expert_id"] not in anew:
            _refuse(f"the proposal of {shown(one['expert_id'])} in the parent is not found again")


def _check_consultation(
    intake: Intake, parent: Mapping[str, Any], consultation: Mapping[str, Any]
) -> None:
    told = members(dict(consultation), CONSULTATION, ("expert_id", "route_weight", "body"))
    name = text(told["expert_id"], "consultation.expert_id")
    weight = from_text(told["route_weight"], "consultation.route_weight")
    verdict = told["body"]["verdict"]
    if name in parent["roster"]:
        _refuse(f"{shown(name)} answers for a consultation, and is of the parent's roster")
    if told["body"]["roster"].keys() & (parent["roster"].keys() | {name}):
        _refuse("somebody of the parent's roster was consulted, or the consultation itself")
    said = [one for one in intake.proposals if one.expert_id == name]
    away = [one for one in intake.absences if one.expert_id == name]
    if verdict["status"] == "refused":
        if said or len(away) != 1 or away[0].reason != "void" or away[0].exact_weight != weight:
            _refuse(f"the consultation was refused, and {shown(name)} is not absent for it")
        return
    # The nearest double: an exact sum may have a denominator that no proposal may have.
    cost = exact(min(verdict["cost"], limits.MAX_SAFE_INTEGER))
    if len(said) != 1 or away:
        _refuse(f"the consultation was decided, and {shown(name)} has not one proposal for it")
    (voice,) = said
    asked = Proposal(name, voice.payload, 1, weight, cost)
    if voice.digest != verdict["digest"] or voice != asked:
        _refuse(f"the proposal of {shown(name)} is not what the consultation decided")


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
