"""What a verdict that grew out of a weaker one may have changed: added, and nothing lost.

Whatever the weaker verdict was folded from is found again in the later one, as it was, and
its experts have said nothing else: only who was pending may have answered since. So no
answer is dropped between the two, or changed. A consultation joins as one more expert, and
alone; its word follows from the consultation's own verdict, and that is a first one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

from quorate.arbitration.forms import members, shown, text
from quorate.arbitration.intake import Intake
from quorate.arbitration.merge import Merge
from quorate.arbitration.proposal import Absence, Proposal
from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.core.exact import as_text, exact, from_text

CONSULTATION: Final = "consultation"
_NEVER_CONSULTED: Final = ("parent", "merge", "plan", "pending", "independence")
"""What the body of a consultation has not: those consulted answer once, all of them.

Nor is there a consultation in it: that would need a parent.
"""


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
    if intake.consultation is not None:
        _check_consultation(intake, intake.parent, intake.consultation)
    _check_parent(intake, intake.parent)


def _check_parent(intake: Intake, parent: Mapping[str, Any]) -> None:
    roster = {name: as_text(weight) for name, weight in intake.roster().items()}
    for name, weight in parent["roster"].items():
        if roster.get(name) != weight:
            _refuse(f"{shown(name)} of the parent's roster is not in it with its weight {weight}")
    declared = None if intake.independence is None else intake.independence.to_dict()
    if canonical(declared) != canonical(parent.get("independence")):
        _refuse("what is declared of failing together is not what the parent has")
    _check_found_again(intake.absences, parent["absences"], "absence")
    _check_found_again(intake.proposals, parent["proposals"], "proposal")
    waiting = {one["expert_id"] for one in parent.get("pending", ())}
    # Beside a consultation nobody is asked, so whoever was pending still is.
    later = set() if intake.consultation is not None else waiting
    heard = parent["roster"].keys() - later
    _check_nothing_new(intake.absences, parent["absences"], "absence", heard)
    _check_nothing_new(intake.proposals, parent["proposals"], "proposal", heard)


def _check_found_again(
    ours: Iterable[Proposal | Absence], parents: Iterable[Mapping[str, Any]], what: str
) -> None:
    here = {canonical(one.to_dict()) for one in ours}
    for one in parents:
        if canonical(one) not in here:
            _refuse(f"the {what} of {shown(one['expert_id'])} in the parent is not found again")


def _check_nothing_new(
    ours: Iterable[Proposal | Absence],
    parents: Iterable[Mapping[str, Any]],
    what: str,
    heard: set[str],
) -> None:
    there = {canonical(one) for one in parents}
    for one in ours:
        if one.expert_id in heard and canonical(one.to_dict()) not in there:
            _refuse(
                f"{shown(one.expert_id)} was asked in the parent, and its {what} is not the one "
                "there; nobody is asked twice"
            )


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
    for part in _NEVER_CONSULTED:
        if part in told["body"]:
            _refuse(f"the consultation's body has a {part}; those consulted answer once, and all")
    beside = sorted(intake.roster().keys() - parent["roster"].keys() - {name})
    if beside:
        _refuse(f"{shown(beside[0])} joined beside the consultation; it joins alone")
    said = [one for one in intake.proposals if one.expert_id == name]
    away = [one for one in intake.absences if one.expert_id == name]
    if verdict["status"] == "refused":
        if said or len(away) != 1 or away[0].reason != "void" or away[0].exact_weight != weight:
            _refuse(f"the consultation was refused, and {shown(name)} is not absent for it")
        _check_merge(intake, parent, None)
        return
    # The nearest double: an exact sum may have a denominator that no proposal may have.
    cost = exact(min(verdict["cost"], limits.MAX_SAFE_INTEGER))
    if len(said) != 1 or away:
        _refuse(f"the consultation was decided, and {shown(name)} has not one proposal for it")
    (voice,) = said
    asked = Proposal(name, voice.payload, 1, weight, cost)
    if voice.digest != verdict["digest"] or voice != asked:
        _refuse(f"the proposal of {shown(name)} is not what the consultation decided")
    _check_merge(intake, parent, voice)


def _check_merge(intake: Intake, parent: Mapping[str, Any], voice: Proposal | None) -> None:
    """Nothing is merged again after a consultation: its word is all that is added."""
    merge = Merge.from_dict(parent["merge"]) if "merge" in parent else None
    if merge is not None and voice is not None and parent["parameters"].get("ratify"):
        agrees = voice.digest == merge.digest
        merge = Merge(
            merge.synthesizer,
            merge.payload,
            merge.sources,
            merge.exact_cost,
            (*merge.ratified, *([voice.expert_id] if agrees else [])),
            (*merge.declined, *([] if agrees else [voice.expert_id])),
        )
    if canonical(dict(intake.failed)) != canonical(parent.get("failed", {})):
        _refuse("who gave no word on the merge, and why, is not what the parent has")
    if merge != intake.merge:
        _refuse("the merge is not the parent's, with the consultation's word on it alone")


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")
