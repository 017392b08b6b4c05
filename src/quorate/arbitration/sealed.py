"""The sealed form of a verdict, and its replay.

Theory of operation. The sealed body holds all that the verdict was computed from. To
replay is to read the inputs out of the body, build the whole body again from them, and
compare canonical bytes: what differs anywhere, be it a share, an order, a key too many
or a digest, is refused by its path. So a signed wrong verdict does not verify.

Replay cannot know what the verdict does not follow from: which task it was, and which
panel where no record of panels is at hand. Those are bound by the entry's hash alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, Protocol

from quorate.arbitration.arbiter import Rule, WeightedQuorumArbiter
from quorate.arbitration.decision import Decision, Tally, UnderQuorum
from quorate.arbitration.forms import hex_digest, items, members, shown, text
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.proposal import Absence, Proposal
from quorate.core.canonical import canonical
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError, VerificationError
from quorate.core.exact import as_text, from_text

DECISION: Final = "decision"
REFUSAL: Final = "refusal"

_REQUIRED: Final = ("rule", "parameters", "roster", "proposals", "absences", "verdict")
_OPTIONAL: Final = ("task", "panel")


class PanelRecord(Protocol):
    """Gives back panel declarations that were sealed earlier."""

    def panel(self, digest: str, /) -> Mapping[str, Any] | None:
        """The declaration: ``roster`` (id -> "p/q"), ``protocol`` and ``parameters``."""

    def note_unbound(self) -> None:
        """Count a verdict that names no panel."""

    def note_task(self, id_: str, /) -> None:
        """Remember that a task was decided, or raise if it was decided before."""


def kind_of(outcome: Decision | Tally | UnderQuorum) -> str:
    """The kind of entry an outcome is sealed as: ``"decision"`` or ``"refusal"``."""
    return DECISION if isinstance(outcome, Decision) else REFUSAL


def body_of(
    outcome: Decision | Tally | UnderQuorum,
    arbiter: Rule,
    proposals: Iterable[Proposal],
    absences: Iterable[Absence] = (),
    *,
    task: Mapping[str, str] | None = None,
    panel: str | None = None,
) -> dict[str, Any]:
    """Build the body to seal: the inputs, the rule, and the outcome they gave.

    Args:
        outcome: what ``arbiter`` made of exactly these proposals and absences.
        arbiter: the one that decided.
        proposals: as given to it; absences they carry as ``.absent`` are read too.
        absences: as given to it.
        task: ``{"id": ..., "input_digest": ...}`` of the task decided, if it had one.
        panel: digest of the panel declaration sealed earlier, 64 hex digits.

    Raises:
        UsageError: the outcome does not follow from what was given, or ``task`` or
            ``panel`` has not this form.
        UsageTypeError: an argument is of the wrong type.
    """
    if isinstance(outcome, UnderQuorum):
        outcome = outcome.tally
    if not isinstance(outcome, Decision | Tally):
        raise UsageTypeError(
            f"outcome is a {type(outcome).__name__}; give a Decision or UnderQuorum"
        )
    body = _build(arbiter, gather(proposals, absences), task, panel)
    if canonical(body["verdict"]) != canonical(outcome.to_dict()):
        raise UsageError("the outcome does not follow from this arbiter, proposals and absences")
    return body


def _build(
    arbiter: Rule, intake: Intake, task: Mapping[str, str] | None, panel: str | None
) -> dict[str, Any]:
    body: dict[str, Any] = {
        "rule": arbiter.rule,
        "parameters": arbiter.parameters,
        "roster": {name: as_text(weight) for name, weight in sorted(intake.roster().items())},
        "proposals": [proposal.to_dict() for proposal in intake.proposals],
        "absences": [absence.to_dict() for absence in intake.absences],
        "verdict": arbiter.fold(intake).to_dict(),
    }
    if task is not None:
        form = members(task, "task", ("id", "input_digest"))
        body["task"] = {
            "id": text(form["id"], "task.id"),
            "input_digest": hex_digest(form["input_digest"], "task.input_digest"),
        }
    if panel is not None:
        body["panel"] = hex_digest(panel, "panel")
    return body


def replay(kind: str, body: Mapping[str, Any], context: PanelRecord | None = None) -> None:
    """Compute a sealed verdict again; return if, and only if, it is the one sealed.

    Args:
        kind: ``"decision"`` or ``"refusal"``.
        body: as :func:`body_of` built it, read back from the record.
        context: panels sealed earlier; without it a panel's digest is not followed.

    Raises:
        VerificationError: with rule ``"replay"``, any difference, named by its path, or a
            task that an earlier entry decided; with rule ``"panel"``, the panel is unknown
            or declares another roster or rule.
    """
    try:
        again = _again(body)
        sealed = canonical(body)
    except (UsageError, MisbehaviourError, VerificationError) as error:
        raise VerificationError(
            f"the sealed {shown(kind)} is not sound: {error}", rule="replay"
        ) from error
    if sealed != canonical(again):
        _differ(body, again)
    status = "committed" if kind == DECISION else "refused"
    if kind not in (DECISION, REFUSAL) or again["verdict"]["status"] != status:
        _refuse(f"sealed as {shown(kind)}, but computed again it is {again['verdict']['status']}")
    if context is None:
        return
    if "task" in body:
        context.note_task(body["task"]["id"])
    if "panel" in body:
        _check_panel(body, context.panel(body["panel"]))
    else:
        context.note_unbound()


def _again(body: object) -> dict[str, Any]:
    """Read the inputs out of a sealed body, and build the whole body from them."""
    form = members(body, "the body", _REQUIRED, _OPTIONAL)
    if form["rule"] != WeightedQuorumArbiter.rule:
        raise UsageError(
            f"rule is {shown(form['rule'])}; this version replays {WeightedQuorumArbiter.rule}"
        )
    parameters = members(form["parameters"], "parameters", ("quorum",))
    arbiter = WeightedQuorumArbiter(from_text(parameters["quorum"], "parameters.quorum"))
    proposals = items(form["proposals"], "proposals", Proposal.from_dict)
    absences = items(form["absences"], "absences", Absence.from_dict)
    for name in _OPTIONAL:
        if name in form and form[name] is None:
            raise UsageError(f"{name} is null; where there is none, the key is left out")
    return _build(arbiter, gather(proposals, absences), form.get("task"), form.get("panel"))


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="replay")


def _differ(sealed: object, again: object, path: str = "$") -> NoReturn:
    """Name the first place where two values that differ do differ."""
    if isinstance(sealed, dict) and isinstance(again, dict) and sealed.keys() == again.keys():
        for key in sorted(sealed):
            if canonical(sealed[key]) != canonical(again[key]):
                _differ(sealed[key], again[key], f"{path}.{key}")
    if isinstance(sealed, list) and isinstance(again, list) and len(sealed) == len(again):
        for index, (one, other) in enumerate(zip(sealed, again, strict=True)):
            if canonical(one) != canonical(other):
                _differ(one, other, f"{path}[{index}]")
    _refuse(f"{path} is sealed as {_form(sealed)}, but computed again it is {_form(again)}")


def _form(value: object) -> str:
    if isinstance(value, dict):
        return f"an object with {len(value)} keys"
    return f"a list of {len(value)}" if isinstance(value, list | tuple) else shown(value)


def _check_panel(body: Mapping[str, Any], declared: Mapping[str, Any] | None) -> None:
    """Hold a verdict to the panel that was declared before it."""
    if declared is None:
        raise VerificationError(
            f"no panel {body['panel']} was sealed before this verdict", rule="panel"
        )
    expected = {
        "roster": body["roster"],
        "protocol": str(body["rule"]).partition("/")[0],
        "parameters": body["parameters"],
    }
    for name, value in expected.items():
        if name not in declared or canonical(declared[name]) != canonical(value):
            raise VerificationError(
                f"the {name} is not the one that panel {body['panel']} declared", rule="panel"
            )
