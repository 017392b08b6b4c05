"""The sealed form of a verdict, and its replay.

Theory of operation. The sealed body holds all that the verdict was computed from. To
replay is to read the inputs out of the body, build the whole body again from them, and
compare canonical bytes: what differs anywhere, be it a share, an order, a key too many
or a digest, is refused by its path. So a signed wrong verdict does not verify. A weaker
verdict that this one grew out of lies in its body whole, and is computed again with it.

Replay cannot know what the verdict does not follow from: which task it was, which panel
where no record of panels is at hand, how a router came to its scores, how a correlation
was counted, and whether a caller's own normaliser was right. Those are bound by the
entry's hash alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from quorate.arbitration.arbiter import Rule
from quorate.arbitration.arbiters import QuorumArbiter
from quorate.arbitration.decision import COMMITTED, REFUSED, Decision, Tally, UnderQuorum
from quorate.arbitration.forms import hex_digest, members, shown, text
from quorate.arbitration.held import check_panel
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.lineage import check_lineage
from quorate.arbitration.merge import Merge
from quorate.arbitration.normal import CUSTOM
from quorate.arbitration.proposal import Absence, Proposal
from quorate.arbitration.rebuilding import (
    OPTIONAL,
    OUTER,
    REQUIRED,
    assemble,
    build,
    check_inner,
    differ,
    rebuild,
    refuse,
)
from quorate.core.canonical import canonical, digest
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError, VerificationError

DECISION: Final = "decision"
REFUSAL: Final = "refusal"


class PanelRecord(Protocol):
    """Gives back panel declarations that were sealed earlier."""

    def panel(self, digest: str, /) -> Mapping[str, Any] | None:
        """The declaration: ``roster`` (id -> "p/q"), ``protocol``, ``parameters``, policy."""

    def note_unbound(self) -> None:
        """Count a verdict that names no panel."""

    def note_task(self, id_: str, input_digest: str, verdict: str, answer: str | None, /) -> None:
        """Remember that a task was decided, on which input, by what verdict, and the answer.

        The answer is the digest of what was committed, ``None`` where nothing was.

        Raises if it was decided before, or its outcome is that of another input.
        """

    def note_own_normaliser(self) -> None:
        """Count a verdict whose answers were compared by a function of the caller's own."""

    def note_correlation(self) -> None:
        """Count a verdict that says how errors were seen to go together."""


def kind_of(outcome: Decision | Tally | UnderQuorum) -> str:
    """The kind of entry an outcome is sealed as: ``"decision"`` or ``"refusal"``."""
    return DECISION if isinstance(outcome, Decision) else REFUSAL


def body_of(  # noqa: PLR0913 - one argument for each part of a body
    outcome: Decision | Tally | UnderQuorum,
    arbiter: Rule,
    proposals: Iterable[Proposal] | Intake,
    absences: Iterable[Absence] = (),
    *,
    task: Mapping[str, str] | None = None,
    panel: str | None = None,
    plan: Mapping[str, Any] | None = None,
    parent: Mapping[str, Any] | None = None,
    consultation: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Build the body to seal: the inputs, the rule, and the outcome they gave.

    Args:
        outcome: what ``arbiter`` made of exactly these proposals and absences.
        arbiter: the one that decided.
        proposals: as given to it, with what they carry; or the intake that it folded.
        absences: as given to it; none beside an intake.
        task: ``{"id": ..., "input_digest": ...}`` of the task decided, if it had one.
        panel: digest of the panel declaration sealed earlier, 64 hex digits.
        plan: ``{"router", "signature", "scores", "weights", "gate"}``, scores and weights
            as id -> ``"p/q"``: who was asked, and why; its weights are the roster's.
        parent: whole body of the weaker verdict that this one grew out of.
        consultation: ``{"expert_id", "route_weight", "body"}``: whose verdict joined as one
            more proposal, and its whole body.

    Raises:
        UsageError: the outcome does not follow from what was given, or an argument has
            not this form.
        UsageTypeError: an argument is of the wrong type.
        VerificationError: the parent or the consultation is not sound.
    """
    if isinstance(outcome, UnderQuorum):
        outcome = outcome.tally
    if not isinstance(outcome, Decision | Tally):
        raise UsageTypeError(
            f"outcome is a {type(outcome).__name__}; give a Decision or UnderQuorum"
        )
    inner = getattr(arbiter, "inner", arbiter)
    if not isinstance(inner, QuorumArbiter):
        raise UsageTypeError(
            f"arbiter is a {type(arbiter).__name__}; give one of quorate.arbitration's"
        )
    intake = _taken_in(outcome, proposals, absences, parent, consultation)
    check_inner({name: getattr(intake, name) for name in _inside(intake)}, 0)
    check_lineage(intake)
    body = build(inner, intake, plan)
    if canonical(body["verdict"]) != canonical(outcome.to_dict()):
        raise UsageError("the outcome does not follow from this arbiter, proposals and absences")
    return body | _outer(task, panel)


def decided(
    arbiter: Rule, intake: Intake, *, plan: Mapping[str, Any] | None = None
) -> tuple[Decision | Tally, dict[str, Any]]:
    """Fold what was taken in, once, and build the body of what comes of it.

    Args:
        arbiter: declares the protocol and its quorum.
        intake: all that the verdict is computed from.
        plan: as for :func:`body_of`.

    Returns:
        The outcome, and its body without task and panel.

    Raises:
        UsageError: the intake cannot be folded, or the plan is none, or another's.
        UsageTypeError: an argument is of the wrong type.
        VerificationError: the parent or the consultation is not sound.
    """
    outcome = arbiter.fold(intake)
    inner = getattr(arbiter, "inner", arbiter)
    # A function of the caller's own may answer otherwise when it is asked again, and a rule
    # of the caller's own is none that can be sealed: both are for the careful way.
    if not isinstance(inner, QuorumArbiter) or inner.normaliser.name == CUSTOM:
        return outcome, body_of(outcome, arbiter, intake, plan=plan)
    intake = _bare(intake)
    check_inner({name: getattr(intake, name) for name in _inside(intake)}, 0)
    check_lineage(intake)
    return outcome, assemble(inner, intake, outcome, plan)


def _taken_in(
    outcome: Decision | Tally,
    proposals: Iterable[Proposal] | Intake,
    absences: Iterable[Absence],
    parent: Mapping[str, Any] | None,
    consultation: Mapping[str, Any] | None,
) -> Intake:
    if isinstance(proposals, Intake):
        intake = proposals
        if tuple(absences):
            raise UsageError("an intake holds its absences already; give none beside it")
    else:
        intake = gather(proposals, absences)
        merge = outcome.trace.get("merge")
        if merge is not None:
            # What was merged is no proposal; the outcome holds it.
            held = {name: value for name, value in merge.items() if name != "answer"}
            intake = replace(intake, merge=Merge.from_dict(held))
        intake = replace(intake, failed=outcome.trace.get("failed", {}))
    if parent is not None:
        intake = replace(intake, parent=parent)
    if consultation is not None:
        intake = replace(intake, consultation=consultation)
    return _bare(intake)


def _bare(intake: Intake) -> Intake:
    """The same, its parent without task and panel: they are said of the verdict that stands."""
    if intake.parent is None or not isinstance(intake.parent, Mapping):
        return intake
    bare = {name: value for name, value in intake.parent.items() if name not in OUTER}
    return replace(intake, parent=bare)


def _inside(intake: Intake) -> list[str]:
    return [name for name in ("parent", "consultation") if getattr(intake, name) is not None]


def _outer(task: Mapping[str, str] | None, panel: str | None) -> dict[str, Any]:
    outer: dict[str, Any] = {}
    if task is not None:
        form = members(task, "task", ("id", "input_digest"))
        outer["task"] = {
            "id": text(form["id"], "task.id"),
            "input_digest": hex_digest(form["input_digest"], "task.input_digest"),
        }
    if panel is not None:
        outer["panel"] = hex_digest(panel, "panel")
    return outer


def replay(kind: str, body: Mapping[str, Any], context: PanelRecord | None = None) -> None:
    """Compute a sealed verdict again; return if, and only if, it is the one sealed.

    Args:
        kind: ``"decision"`` or ``"refusal"``.
        body: as :func:`body_of` built it, read back from the record.
        context: panels sealed earlier; without it a panel's digest is not followed.

    Raises:
        VerificationError: with rule ``"replay"``, any difference, named by its path, or a
            task that an earlier entry decided; with rule ``"panel"``, the panel is unknown
            or declares another roster, rule or policy.
    """
    try:
        again = _again(body)
        sealed = canonical(body)
    except (UsageError, MisbehaviourError, VerificationError) as error:
        raise VerificationError(
            f"the sealed {shown(kind)} is not sound: {error}", rule="replay"
        ) from error
    if sealed != canonical(again):
        differ(body, again)
    status = COMMITTED if kind == DECISION else REFUSED
    if kind not in (DECISION, REFUSAL) or again["verdict"]["status"] != status:
        refuse(f"sealed as {shown(kind)}, but computed again it is {again['verdict']['status']}")
    if context is None:
        return
    if "task" in body:
        task, verdict = body["task"], body["verdict"]
        context.note_task(task["id"], task["input_digest"], digest(verdict), verdict.get("digest"))
    if _has_own_normaliser(body):
        context.note_own_normaliser()
    if (body.get("independence") or {}).get("correlation") is not None:
        context.note_correlation()
    if "panel" in body:
        check_panel(body, context.panel(body["panel"]))
    else:
        context.note_unbound()


def _again(body: object) -> dict[str, Any]:
    """Read the inputs out of a sealed body, and build the whole body from them."""
    form = members(body, "the body", REQUIRED, (*OPTIONAL, *OUTER))
    for name in OUTER:
        if name in form and form[name] is None:
            raise UsageError(f"{name} is null; where there is none, the key is left out")
    inner = {name: value for name, value in form.items() if name not in OUTER}
    return rebuild(inner) | _outer(form.get("task"), form.get("panel"))


def _has_own_normaliser(body: Mapping[str, Any]) -> bool:
    """Whether it, or a verdict inside it, rests on a table of normal forms."""
    if "normal" in body:
        return True
    inside = [body.get("parent"), (body.get("consultation") or {}).get("body")]
    return any(one is not None and _has_own_normaliser(one) for one in inside)
