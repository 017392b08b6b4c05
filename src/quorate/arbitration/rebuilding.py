"""A verdict's sealed body, built from its inputs, and built again from a sealed one.

Both ways go through :func:`build`, so what replay compares with is made exactly as what
was sealed. A weaker verdict inside a body, and a consultation's, are rebuilt likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, NoReturn

from quorate.arbitration.arbiters import (
    FallbackArbiter,
    FirstToQuorumArbiter,
    QuorumArbiter,
    RankedRunoffArbiter,
    SynthesisArbiter,
    WeightedQuorumArbiter,
)
from quorate.arbitration.decision import Decision, Tally
from quorate.arbitration.forms import items, members, shown, text
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.lineage import CONSULTATION, check_lineage
from quorate.arbitration.merge import Merge
from quorate.arbitration.normal import CUSTOM, read_table
from quorate.arbitration.pending import Pending
from quorate.arbitration.proposal import Absence, Proposal, plain_copy
from quorate.arbitration.tracing import read_failed
from quorate.core import limits
from quorate.core.canonical import JSONValue, canonical
from quorate.core.errors import UsageError, UsageTypeError, VerificationError
from quorate.core.exact import as_text, from_text
from quorate.core.independence import Independence

REQUIRED: Final = ("rule", "parameters", "roster", "proposals", "absences", "verdict")
OPTIONAL: Final = (
    "pending",
    "independence",
    "merge",
    "failed",
    "normal",
    "plan",
    "parent",
    "consultation",
)
"""What a body holds, beside its task and panel; the second only where there is any."""
OUTER: Final = ("task", "panel")
"""Said once, of the verdict that stands; a body inside another has neither."""

_PLAN: Final = ("router", "signature", "scores", "weights", "gate")


def build(
    arbiter: QuorumArbiter, intake: Intake, plan: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Build the body of a verdict, without task and panel.

    Raises:
        UsageError: the intake cannot be folded, or the plan is none, or another's.
    """
    table = arbiter.normal_table(intake)
    if table is not None:
        # From here on as at replay: the caller's function is asked once for each payload.
        arbiter = arbiter.with_table(table)
    return assemble(arbiter, intake, arbiter.fold(intake), plan, table)


def assemble(
    arbiter: QuorumArbiter,
    intake: Intake,
    outcome: Decision | Tally,
    plan: Mapping[str, Any] | None = None,
    table: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Write out the body of the verdict that ``arbiter`` has just folded from ``intake``.

    Raises:
        UsageError: the plan is none, or another's, or the rule has no use for a part.
        VerificationError: a caller's own normaliser changed its word since the parent.
    """
    _check_parts(arbiter, intake, outcome)
    if table is not None:
        _check_table(table, intake)
    roster = {name: as_text(weight) for name, weight in sorted(intake.roster().items())}
    body: dict[str, Any] = {
        "rule": arbiter.rule,
        "parameters": arbiter.parameters,
        "roster": roster,
        "proposals": [proposal.to_dict() for proposal in intake.proposals],
        "absences": [absence.to_dict() for absence in intake.absences],
        "verdict": outcome.to_dict(),
    }
    body |= _beside(intake)
    if table is not None:
        body["normal"] = dict(table)
    if plan is not None:
        if intake.parent is not None:
            raise UsageError("a plan is for the first fold, and this one grew out of another")
        body["plan"] = _read_plan(plan, roster)
    if intake.parent is not None:
        body["parent"] = plain_copy(dict(intake.parent))
    if intake.consultation is not None:
        body[CONSULTATION] = plain_copy(dict(intake.consultation))
    return body


def _beside(intake: Intake) -> dict[str, Any]:
    """What was folded beside proposals and absences, where there is any."""
    body: dict[str, Any] = {}
    if intake.pending:
        body["pending"] = [one.to_dict() for one in intake.pending]
    if intake.independence is not None:
        body["independence"] = intake.independence.to_dict()
    if intake.merge is not None:
        body["merge"] = intake.merge.to_dict()
    if intake.failed:
        body["failed"] = dict(sorted(intake.failed.items()))
    return body


def rebuild(body: object, depth: int = 0) -> dict[str, Any]:
    """Read the inputs out of a body without task and panel, and build it again from them.

    Args:
        body: as it was sealed.
        depth: of the body within the outermost one.

    Raises:
        UsageError, MisbehaviourError: it cannot be read.
        VerificationError: a verdict inside is not what its own inputs give, or what it
            was made of is not found again.
    """
    if depth > limits.MAX_VERDICT_NESTING:
        raise UsageError(f"verdicts lie in it deeper than {limits.MAX_VERDICT_NESTING}")
    form = members(body, "the body", REQUIRED, OPTIONAL)
    for name in OPTIONAL:
        if name in form and form[name] is None:
            raise UsageError(f"{name} is null; where there is none, the key is left out")
    if "pending" in form and not form["pending"]:
        raise UsageError("pending is empty; where nobody is, the key is left out")
    if "failed" in form and not form["failed"]:
        raise UsageError("failed is empty; where nobody did, the key is left out")
    check_inner(form, depth)
    intake = replace(
        gather(
            items(form["proposals"], "proposals", Proposal.from_dict),
            items(form["absences"], "absences", Absence.from_dict),
            items(form.get("pending", []), "pending", Pending.from_dict),
        ),
        independence=_independence(form),
        merge=Merge.from_dict(form["merge"]) if "merge" in form else None,
        failed=read_failed(form.get("failed", {})),
        parent=form.get("parent"),
        consultation=form.get(CONSULTATION),
    )
    check_lineage(intake)
    return build(_arbiter(form), intake, form.get("plan"))


def check_inner(form: Mapping[str, Any], depth: int) -> None:
    """Compute the verdicts inside a body again, and compare.

    Raises:
        UsageError, MisbehaviourError: one cannot be read.
        VerificationError: one is not what its inputs give.
    """
    if "parent" in form:
        _same(form["parent"], depth + 1, "$.parent")
    if CONSULTATION in form:
        told = members(form[CONSULTATION], CONSULTATION, ("expert_id", "route_weight", "body"))
        _same(told["body"], depth + 2, f"$.{CONSULTATION}.body")


def differ(sealed: object, again: object, path: str = "$") -> NoReturn:
    """Name the first place where two values that differ do differ."""
    if isinstance(sealed, dict) and isinstance(again, dict) and sealed.keys() == again.keys():
        for key in sorted(sealed):
            if canonical(sealed[key]) != canonical(again[key]):
                differ(sealed[key], again[key], f"{path}.{key}")
    if isinstance(sealed, list) and isinstance(again, list) and len(sealed) == len(again):
        for index, (one, other) in enumerate(zip(sealed, again, strict=True)):
            if canonical(one) != canonical(other):
                differ(one, other, f"{path}[{index}]")
    refuse(f"{path} is sealed as {_form(sealed)}, but computed again it is {_form(again)}")


def refuse(message: str) -> NoReturn:
    """Raise what replay raises."""
    raise VerificationError(message, rule="replay")


def _same(inner: object, depth: int, path: str) -> None:
    again = rebuild(inner, depth)
    if canonical(inner) != canonical(again):
        differ(inner, again, path)


def _check_parts(arbiter: QuorumArbiter, intake: Intake, outcome: Decision | Tally) -> None:
    """Refuse what the rule does not look at: it would stand beside the verdict unchecked."""
    if intake.failed and not isinstance(arbiter, SynthesisArbiter):
        raise UsageError(f"{arbiter.protocol} asks for no merge, and one failed; leave it out")
    if intake.merge is not None:
        if not isinstance(arbiter, SynthesisArbiter):
            raise UsageError(
                f"{arbiter.protocol} merges nothing, and there is a merge; leave it out"
            )
        # After a consultation it is the parent's merge, which did not have its word.
        if intake.consultation is None:
            _check_sources(intake.merge, intake, set(outcome.engaged))
    if isinstance(arbiter, FallbackArbiter) and intake.parent is not None:
        strange = sorted(intake.roster().keys() - intake.parent["roster"].keys())
        if strange not in ([], [arbiter.expert]):
            raise UsageError(
                f"{shown(strange[0])} was asked, and the fallback is {arbiter.expert!r}"
            )
        if {one.expert_id for one in intake.pending} & set(strange):
            raise UsageError(f"{arbiter.expert!r} is the fallback, and is pending; await it")


def _check_sources(merge: Merge, intake: Intake, engaged: set[str]) -> None:
    """Every proposal that counts was merged; that each source was proposed, the fold saw."""
    for proposal in intake.proposals:
        if proposal.expert_id in engaged and proposal.digest not in merge.sources:
            raise UsageError(
                f"the proposal of {shown(proposal.expert_id)} counts, and the sources of the "
                f"merge lack it; add {proposal.digest}"
            )


def _check_table(table: Mapping[str, str | None], intake: Intake) -> None:
    """What a caller's own normaliser gave for a payload, it gave in every verdict inside."""
    parent, consulted = intake.parent or {}, (intake.consultation or {}).get("body", {})
    for inner in (parent.get("normal", {}), consulted.get("normal", {})):
        for payload in sorted(inner.keys() & table.keys()):
            if inner[payload] != table[payload]:
                raise VerificationError(
                    f"the normaliser read {payload} in another way in a verdict inside",
                    rule="replay",
                )


def _form(value: object) -> str:
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    return f"a list of {len(value)}" if isinstance(value, list | tuple) else shown(value)


def _independence(form: Mapping[str, Any]) -> Independence | None:
    if "independence" not in form:
        return None
    return Independence.from_dict(form["independence"])


def _read_plan(plan: object, roster: Mapping[str, str]) -> dict[str, Any]:
    """Check a plan's form, and its weights against its scores and the roster's weights."""
    form = members(plan, "the plan", _PLAN)
    text(form["router"], "plan.router")
    for name in ("signature", "scores", "weights", "gate"):
        if not isinstance(form[name], dict):
            raise UsageTypeError(f"plan.{name} is a {type(form[name]).__name__}, and no object")
    for id_, score in form["scores"].items():
        _check_number(score, "score", id_)
    for id_, weight in form["weights"].items():
        _check_number(weight, "weight", id_)
        if roster.get(id_) != weight:
            raise UsageError(f"{shown(id_)} has not the weight {weight} that the plan gave it")
    unscored = sorted(form["weights"].keys() - form["scores"].keys())
    if unscored:
        raise UsageError(f"{shown(unscored[0])} has a weight in the plan, and no score")
    strange = sorted(roster.keys() - form["weights"].keys())
    if strange:
        raise UsageError(f"{shown(strange[0])} is in the roster, and not in the plan")
    canonical(plan)
    copied: dict[str, Any] = plain_copy(dict(form))
    return copied


def _check_number(value: object, what: str, id_: object) -> None:
    try:
        from_text(value)
    except UsageError:
        # Again, and now with its name: putting it into words takes longer than reading it.
        from_text(value, f"the {what} of {shown(id_)}")


def _unread(payload: JSONValue) -> NoReturn:
    """Stands for a caller's own normaliser, whose sealed table is read in its place."""
    raise UsageError(f"no function is at hand to normalise {shown(payload)}")


def _arbiter(form: Mapping[str, Any]) -> QuorumArbiter:
    """Make the arbiter that a body names, from its parameters."""
    if not isinstance(form["rule"], str) or form["rule"] not in _MAKERS:
        known = ", ".join(sorted(_MAKERS))
        raise UsageError(f"rule is {shown(form['rule'])}; this version replays {known}")
    needed, optional, make = _MAKERS[form["rule"]]
    given = members(form["parameters"], "parameters", ("quorum", *needed), ("normalize", *optional))
    quorum = from_text(given["quorum"], "parameters.quorum")
    name = given.get("normalize")
    if "normalize" in given and not isinstance(name, str):
        raise UsageTypeError("parameters.normalize should be a name")
    if (name == CUSTOM) != ("normal" in form):
        raise UsageError("a table of normal forms goes with the custom normaliser, and only so")
    rest = {key: given[key] for key in (*needed, *optional) if key in given}
    arbiter = make(quorum, normalize=_unread if name == CUSTOM else name, **rest)
    if name == CUSTOM:
        return arbiter.with_table(read_table(form["normal"]))
    return arbiter


def _synthesis(quorum: Any, *, normalize: Any, synthesizer: Any, ratify: Any) -> QuorumArbiter:
    if not isinstance(ratify, bool):
        raise UsageTypeError("parameters.ratify should be true or false")
    return SynthesisArbiter(quorum, normalize=normalize, synthesizer=synthesizer, ratify=ratify)


def _fallback(quorum: Any, *, normalize: Any, expert: Any) -> QuorumArbiter:
    return FallbackArbiter(expert, quorum, normalize=normalize)


_Maker = tuple[tuple[str, ...], tuple[str, ...], Callable[..., QuorumArbiter]]
_MAKERS: Final[Mapping[str, _Maker]] = {
    WeightedQuorumArbiter.rule: ((), (), WeightedQuorumArbiter),
    RankedRunoffArbiter.rule: ((), ("options",), RankedRunoffArbiter),
    FirstToQuorumArbiter.rule: (("early",), (), FirstToQuorumArbiter),
    SynthesisArbiter.rule: (("synthesizer", "ratify"), (), _synthesis),
    FallbackArbiter.rule: (("expert",), (), _fallback),
}
"""By rule: the parameters it needs, those it may have, and what makes its arbiter of them."""
