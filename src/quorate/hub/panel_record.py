"""What is sealed of a panel before it decides, so that nobody can say later it was otherwise.

The body of a ``panel`` entry declares the roster with its weights, the protocol and its
parameters, and what follows a refusal. Decisions name it by digest; replay holds them to
it. What is not declared in the panel file is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, NoReturn

from quorate.core.canonical import canonical, digest
from quorate.core.errors import UsageError, VerificationError
from quorate.core.exact import as_text, from_text
from quorate.core.independence import Independence
from quorate.hub.panel import Panel
from quorate.hub.panel_checks import MEMBER, RESERVE
from quorate.hub.tables import ExpertTable
from quorate.ledger.replay import ReplayContext

KIND: Final = "panel"
RULE: Final = "panel/1"
DOMAINS: Final = "domains"
"""Under which verdicts find what experts declare of failing together; left out if nothing."""

_REQUIRED: Final = frozenset({"rule", "protocol", "parameters", "roster", "experts"})
_OPTIONAL: Final = frozenset({"reserve", "escalation", "on_under_quorum", "fallback", "mode"})
_ALWAYS: Final = ("kind", "timeout", "max_cost", "confidence")
_ELSEWHERE: Final = frozenset({"id", "weight"})
_NAMES_ONLY: Final = frozenset({"headers", "env"})
_DIGESTS: Final = frozenset({"system", "template"})
_ADDRESSES: Final = frozenset({"url", "base_url"})
_WAYS: Final = ("widen", "escalate", "fallback")


def declaration(panel: Panel) -> dict[str, Any]:
    """Body of the ``panel`` entry: everything about it that bears on verdicts."""
    table, arbiter = panel.table, panel.table.arbiter
    body: dict[str, Any] = {
        "rule": RULE,
        "protocol": arbiter.protocol,
        "parameters": panel.arbiter.parameters,
        "roster": _weights(table.experts, MEMBER),
        "experts": {expert.id: _expert(expert) for expert in table.experts},
    }
    if reserve := _weights(table.experts, RESERVE):
        body["reserve"] = reserve
    if table.escalation is not None:
        named = [expert for expert in table.experts if expert.id in table.escalation.experts]
        body["escalation"] = {
            "to": table.escalation.to,
            "experts": _weights(named),
            "weight": as_text(table.escalation.weight),
            "quorum": as_text(panel.consult_quorum),
        }
    if arbiter.on_under_quorum != "raise":
        body["on_under_quorum"] = arbiter.on_under_quorum
    if arbiter.fallback is not None:
        body["fallback"] = arbiter.fallback
    if panel.shadow:
        body["mode"] = arbiter.mode
    return body


def is_shadow(body: object) -> bool:
    """Whether a sealed declaration is of a panel that only shows what it would decide."""
    return isinstance(body, dict) and body.get("mode") == "shadow"


def _weights(experts: list[Any], role: str | None = None) -> dict[str, str]:
    return {e.id: as_text(e.weight) for e in experts if role is None or e.role == role}


def _expert(expert: ExpertTable) -> dict[str, Any]:
    """What is declared of one expert beside its weight; numbers exact."""
    sealed: dict[str, Any] = {}
    for name, field in type(expert).model_fields.items():
        value = getattr(expert, name)
        needed = name in _ALWAYS or field.is_required()
        if name not in _ELSEWHERE and (needed or value != field.default):
            sealed[name] = as_text(value) if isinstance(value, Fraction) else value
    for name in _NAMES_ONLY & sealed.keys():
        # What stands in them may be meant for the expert alone.
        sealed[name] = sorted(sealed[name])
    for name in _ADDRESSES & sealed.keys():
        # What stands behind the path may be a key: told is only whether it changed.
        path, mark, query = _without_query(sealed[name])
        if mark:
            sealed[name] = path
            sealed[f"{name}_query_digest"] = digest(query)
    for name in _DIGESTS & sealed.keys():
        sealed[f"{name}_digest"] = digest(sealed.pop(name))
    return sealed


def _without_query(url: str | None) -> tuple[str, str, str]:
    """An address up to its query or fragment, whichever comes first; and the rest."""
    address = url or ""
    end = min(len(address.partition(mark)[0]) for mark in "?#")
    return address[:end], address[end : end + 1], address[end + 1 :]


def replay(kind: str, body: Any, context: ReplayContext) -> None:
    """Check a sealed declaration and remember it for the decisions that name it.

    Raises:
        VerificationError: rule ``panel``: it is not one.
    """
    if kind != KIND or not isinstance(body, dict) or not body.keys() >= _REQUIRED:
        _refuse("it is no declaration of a panel")
    if body.keys() - _REQUIRED - _OPTIONAL:
        _refuse("it is no declaration of a panel")
    if body["rule"] != RULE:
        _refuse(f"the rule {body['rule']!r} is not {RULE!r}")
    roster, experts, parameters = body["roster"], body["experts"], body["parameters"]
    if not isinstance(roster, dict) or not roster:
        _refuse("the panel has no roster")
    reserve = body.get("reserve", {})
    if not isinstance(experts, dict) or not isinstance(reserve, dict):
        _refuse("the panel's experts are not those of its roster")
    if not isinstance(body["protocol"], str) or not isinstance(parameters, dict):
        _refuse("the panel declares no protocol and parameters")
    if not isinstance(parameters.get("quorum"), str):
        _refuse("the panel's quorum is not written as a text")
    _check_weights(roster)
    _check_weights(reserve)
    _check_policy(body)
    others = _consulted(body) | reserve.keys() | {parameters.get("synthesizer")}
    if experts.keys() - others - roster.keys() or not experts.keys() >= roster.keys():
        _refuse("the panel's experts are not those of its roster")
    told = ("roster", "protocol", "parameters", *sorted(_OPTIONAL))
    declared = {name: body[name] for name in told if name in body}
    if domains := _domains(experts):
        declared[DOMAINS] = domains
    context.declare_panel(digest(body), declared)


def _domains(experts: Mapping[str, Any]) -> dict[str, Any]:
    """What experts declare of failing together with others, whatever their role."""
    found = {}
    for id_, expert in experts.items():
        if not isinstance(expert, dict):
            _refuse(f"what is declared of the expert {id_!r} is no object")
        if expert.get("failure_domain"):
            found[id_] = expert["failure_domain"]
    try:
        Independence(found)
    except UsageError as error:
        raise VerificationError(f"the failure domains: {error}", rule="panel") from error
    return found


def _refuse(message: str) -> NoReturn:
    raise VerificationError(message, rule="panel")


def _check_weights(weights: Mapping[str, Any]) -> None:
    try:
        for id_, weight in weights.items():
            if from_text(weight, f"weight of {id_!r}") < 0:
                _refuse(f"the weight of {id_!r} is negative")
    except UsageError as error:
        raise VerificationError(str(error), rule="panel") from error


def _check_policy(body: Mapping[str, Any]) -> None:
    """A policy is declared whole, or not at all."""
    way = body.get("on_under_quorum")
    if "on_under_quorum" in body and way not in _WAYS:
        _refuse(f"on_under_quorum is {canonical(way).decode()}; it is one of {', '.join(_WAYS)}")
    needs = {"widen": "reserve", "escalate": "escalation", "fallback": "fallback"}
    for of, name in needs.items():
        if (name in body) != (way == of):
            _refuse(f"the panel declares {name} without {of}, or {of} without {name}")
    if "fallback" in body and body["fallback"] not in body["roster"]:
        _refuse("the panel's fallback is not of its roster")
    if "reserve" in body:
        both = sorted(body["roster"].keys() & body["reserve"].keys())
        if both or not body["reserve"]:
            _refuse(f"the panel's reserve is {both[0] + ' of its roster' if both else 'empty'}")
    if body.get("mode", "shadow") != "shadow":
        _refuse("the panel's mode is shadow, or is left out")


def _consulted(body: Mapping[str, Any]) -> set[str]:
    escalation = body.get("escalation")
    if escalation is None:
        return set()
    if not isinstance(escalation, dict) or escalation.keys() != {
        "to",
        "experts",
        "weight",
        "quorum",
    }:
        _refuse("the panel's escalation does not say to whom, of which weight and quorum")
    if not isinstance(escalation["experts"], dict) or not escalation["experts"]:
        _refuse("the panel's escalation names nobody")
    _check_weights(escalation["experts"])
    _check_weights({"the consultation": escalation["weight"], "its quorum": escalation["quorum"]})
    return set(escalation["experts"])
