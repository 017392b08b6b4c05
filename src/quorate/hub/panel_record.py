"""What is sealed of a panel before it decides, so that nobody can say later it was otherwise.

The body of a ``panel`` entry declares the roster with its weights, the protocol and its
parameters. Decisions name it by digest; replay holds them to it.
"""

from __future__ import annotations

from typing import Any, Final

from quorate.core.canonical import digest
from quorate.core.errors import UsageError, VerificationError
from quorate.core.exact import as_text, from_text
from quorate.hub.panel import Panel
from quorate.ledger.replay import ReplayContext

KIND: Final = "panel"
RULE: Final = "panel/1"
_MEMBERS: Final = frozenset({"rule", "protocol", "parameters", "roster", "experts"})


def declaration(panel: Panel) -> dict[str, Any]:
    """Body of the ``panel`` entry: everything about it that bears on verdicts."""
    return {
        "rule": RULE,
        "protocol": panel.table.arbiter.protocol,
        "parameters": {"quorum": as_text(panel.table.arbiter.quorum)},
        "roster": {expert.id: as_text(expert.weight) for expert in panel.experts},
        "experts": {
            expert.id: {
                "kind": expert.kind,
                "call": expert.call,
                "timeout": as_text(expert.timeout),
                "max_cost": None if expert.max_cost is None else as_text(expert.max_cost),
                "confidence": None if expert.confidence is None else as_text(expert.confidence),
            }
            for expert in panel.table.experts
        },
    }


def replay(kind: str, body: Any, context: ReplayContext) -> None:
    """Check a sealed declaration and remember it for the decisions that name it.

    Raises:
        VerificationError: rule ``panel``: it is not one.
    """
    if kind != KIND or not isinstance(body, dict) or body.keys() != _MEMBERS:
        raise VerificationError("it is no declaration of a panel", rule="panel")
    if body["rule"] != RULE:
        raise VerificationError(f"the rule {body['rule']!r} is not {RULE!r}", rule="panel")
    roster, experts, parameters = body["roster"], body["experts"], body["parameters"]
    if not isinstance(roster, dict) or not roster:
        raise VerificationError("the panel has no roster", rule="panel")
    if not isinstance(experts, dict) or experts.keys() != roster.keys():
        raise VerificationError("the panel's experts are not those of its roster", rule="panel")
    if not isinstance(body["protocol"], str) or not isinstance(parameters, dict):
        raise VerificationError("the panel declares no protocol and parameters", rule="panel")
    if not all(isinstance(value, str) for value in parameters.values()):
        raise VerificationError("the panel's parameters are not written as texts", rule="panel")
    try:
        for id_, weight in roster.items():
            if from_text(weight, f"weight of {id_}") < 0:
                raise VerificationError(f"the weight of {id_} is negative", rule="panel")
    except UsageError as error:
        raise VerificationError(str(error), rule="panel") from error
    context.declare_panel(
        digest(body),
        {name: body[name] for name in ("roster", "protocol", "parameters")},
    )
