"""A verdict held to the panel that was declared before it.

The first fold is over the declared roster, by the declared protocol and parameters. What
may follow a refusal is declared too, and is one step: the reserve joins, a consultation
joins, or the fallback expert decides. A step that is not declared, or that follows no
refusal, does not verify. That none was taken always does: a refusal commits nothing.

What is said of failing together counts the failure domains that the panel declared. The
correlation beside them was measured on outcomes that verdicts do not name, and is only
their word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from quorate.arbitration import rules
from quorate.arbitration.arbiters import (
    FallbackArbiter,
    FirstToQuorumArbiter,
    RankedRunoffArbiter,
    SynthesisArbiter,
    WeightedQuorumArbiter,
)
from quorate.arbitration.lineage import CONSULTATION
from quorate.core.canonical import canonical
from quorate.core.errors import VerificationError

_RULES = {
    kind.rule: kind.protocol
    for kind in (
        WeightedQuorumArbiter,
        RankedRunoffArbiter,
        FirstToQuorumArbiter,
        SynthesisArbiter,
    )
}


def check_panel(body: Mapping[str, Any], declared: Mapping[str, Any] | None) -> None:
    """Hold a verdict, computed again already, to the panel it names.

    Raises:
        VerificationError: rule ``"panel"``: the panel is unknown, or declared another
            roster, protocol, parameters or policy.
    """
    if declared is None:
        raise VerificationError(
            f"no panel {body['panel']} was sealed before this verdict", rule="panel"
        )
    panel = body["panel"]
    parent = body.get("parent")
    if "task" not in body:
        _refuse("it names no task; who decides under a panel says what, so that it is once", panel)
    if body["verdict"].get("reason") == rules.PENDING:
        _refuse("it was refused while answers to come could still decide it", panel)
    # A parent's are the same, which was checked when the verdict was computed again.
    _domains(body, declared, panel)
    if parent is None:
        _first(body, declared, panel)
    else:
        _step(body, parent, declared, panel)


def _step(
    body: Mapping[str, Any], parent: Mapping[str, Any], declared: Mapping[str, Any], panel: str
) -> None:
    """What followed a refusal: one step, and the declared one."""
    if "parent" in parent:
        _refuse("more than one step after a refusal was taken", panel)
    _first(parent, declared, panel)
    if parent["verdict"]["status"] != "refused":
        _refuse("a decision was followed by another verdict; a step follows a refusal", panel)
    if "pending" in parent:
        _refuse("a step was taken before the whole roster was heard", panel)
    way = declared.get("on_under_quorum", "raise")
    if body["rule"] == FallbackArbiter.rule:
        _fallback(body, parent, declared, way, panel)
        return
    _same(body, declared, panel)
    if CONSULTATION in body:
        _consulted(body, parent, declared, way, panel)
        return
    if way != "widen":
        _refuse(f"a wider roster was asked, and on_under_quorum is {way!r}", panel)
    reserve = declared.get("reserve")
    if not isinstance(reserve, dict):
        _refuse("it declares no reserve", panel)
    _roster(body, {**declared["roster"], **reserve}, panel)


def _first(body: Mapping[str, Any], declared: Mapping[str, Any], panel: str) -> None:
    """The first fold: the declared roster, by the declared rule."""
    _same(body, declared, panel)
    _roster(body, declared.get("roster"), panel)


def _same(body: Mapping[str, Any], declared: Mapping[str, Any], panel: str) -> None:
    expected = {"protocol": _RULES.get(body["rule"]), "parameters": body["parameters"]}
    for name, value in expected.items():
        if name not in declared or canonical(declared[name]) != canonical(value):
            _refuse(f"the {name} is not the one that it declared", panel)


def _roster(body: Mapping[str, Any], expected: object, panel: str) -> None:
    if canonical(body["roster"]) != canonical(expected):
        _refuse("the roster is not the one that it declared", panel)


def _domains(body: Mapping[str, Any], declared: Mapping[str, Any], panel: str) -> None:
    """Nobody is said to fail alone, or together, otherwise than was declared."""
    sealed = body.get("independence")
    said = {} if sealed is None else sealed["domains"]
    if canonical(said) != canonical(declared.get("domains", {})):
        _refuse("the failure domains are not those that it declared", panel)


def _fallback(
    body: Mapping[str, Any],
    parent: Mapping[str, Any],
    declared: Mapping[str, Any],
    way: object,
    panel: str,
) -> None:
    if way != "fallback":
        _refuse(f"a fallback expert decided, and on_under_quorum is {way!r}", panel)
    given = dict(body["parameters"])
    if given.pop("expert") != declared.get("fallback"):
        _refuse("the fallback expert is not the one that it declared", panel)
    shared = {
        name: value
        for name, value in declared["parameters"].items()
        if name in ("quorum", "normalize")
    }
    if canonical(given) != canonical(shared):
        _refuse("the parameters of the fallback are not those that it declared", panel)
    # It follows from what was refused, and not from a second round of answers; so its roster
    # is the refusal's, which was held to the panel.
    for name in ("proposals", "absences", "pending"):
        if canonical(body.get(name, [])) != canonical(parent.get(name, [])):
            _refuse(f"the {name} are not those of the refusal that the fallback followed", panel)


def _consulted(
    body: Mapping[str, Any],
    parent: Mapping[str, Any],
    declared: Mapping[str, Any],
    way: object,
    panel: str,
) -> None:
    escalation = declared.get("escalation")
    if way != "escalate" or not isinstance(escalation, dict):
        _refuse(f"others were consulted, and on_under_quorum is {way!r}", panel)
    told = body[CONSULTATION]
    inner = told["body"]
    found = {
        "to": told["expert_id"],
        "weight": told["route_weight"],
        "quorum": inner["parameters"]["quorum"],
        "experts": inner["roster"],
    }
    for name, value in found.items():
        if name not in escalation or canonical(escalation[name]) != canonical(value):
            _refuse(f"the {name} of the consultation is not what it declared", panel)
    shared = {
        name: value
        for name, value in declared["parameters"].items()
        if name in ("quorum", "normalize")
    }
    expected = {**shared, "quorum": escalation["quorum"]}
    if inner["rule"] != WeightedQuorumArbiter.rule or canonical(inner["parameters"]) != canonical(
        expected
    ):
        _refuse("those consulted decided by another rule than the panel's", panel)
    _roster(body, {**parent["roster"], told["expert_id"]: told["route_weight"]}, panel)


def _refuse(message: str, panel: str) -> NoReturn:
    raise VerificationError(f"{message} [panel {panel}]", rule="panel")
