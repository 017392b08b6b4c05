"""Reads a sealed verdict back into what folds it, to fold it again at another quorum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from quorate.arbitration import Absence, Arbiter, Decision, Pending, Proposal, Tally
from quorate.arbitration.arbiter import Rule
from quorate.arbitration.arbiters import FallbackArbiter, SynthesisArbiter
from quorate.arbitration.forms import items, members, shown, text
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.merge import Merge
from quorate.arbitration.rules.normalise import NotNormalError
from quorate.core import limits
from quorate.core.canonical import JSONValue, digest
from quorate.core.errors import UsageError
from quorate.core.exact import Number, from_text
from quorate.hub.outcomes import CUSTOM

PROTOCOLS: Final = ("weighted-quorum", "ranked-runoff", "first-to-quorum")
"""Protocols that any record can be folded under; the others need what only they ask for."""

_FALLBACK: Final = "fallback"
_SYNTHESIS: Final = "synthesis"


@dataclass(frozen=True, slots=True)
class Link:
    """One verdict of a chain, in which each grew out of the one before.

    Attributes:
        protocol: that it was folded under.
        quorum: that it was folded at.
        committed: whether it is sealed as committed.
        intake: what it was computed from.
    """

    protocol: str
    quorum: Fraction
    committed: bool
    intake: Intake
    _options: Mapping[str, Any]

    def fold(self, quorum: Number, protocol: str | None = None) -> Decision | Tally:
        """Fold it at another quorum, and under another protocol where one is named.

        Raises:
            UsageError: the sealed parameters are not that protocol's.
            VerificationError: a payload has not the digest that it is sealed with.
        """
        return self._arbiter(quorum, protocol).fold(self.intake)

    def _arbiter(self, quorum: Number, protocol: str | None) -> Rule:
        if self.protocol == _FALLBACK:
            return FallbackArbiter(quorum=quorum, **self._options)
        if protocol is not None and protocol != self.protocol:
            kept = {k: v for k, v in self._options.items() if k == "normalize"}
            return Arbiter(protocol, quorum, **kept)
        if self.protocol == _SYNTHESIS:
            return SynthesisArbiter(quorum, **self._options)
        return Arbiter(self.protocol, quorum, **self._options)


def links_of(body: Mapping[str, Any]) -> list[Link]:
    """The chain of verdicts in a sealed body, the first of them first.

    Raises:
        UsageError: it is no sealed verdict.
        MisbehaviourError: a proposal in it is none.
    """
    found: list[Link] = []
    at: Any = body
    while at is not None:
        if len(found) == limits.MAX_DEPTH:
            raise UsageError(f"more than {limits.MAX_DEPTH} verdicts grew out of one another")
        found.append(_link(at))
        at = at.get("parent")
    return found[::-1]


def _link(body: Any) -> Link:
    if not isinstance(body, dict):
        raise UsageError(f"the verdict is {shown(body)}; it should be an object")
    form = members(body, "the verdict", ("rule", "parameters", "proposals", "absences"), body)
    parameters = members(form["parameters"], "parameters", ("quorum",), form["parameters"])
    options = {name: value for name, value in parameters.items() if name != "quorum"}
    if options.get("normalize") == CUSTOM:
        options["normalize"] = _sealed_normaliser(form.get("normal"))
    intake = gather(
        items(form["proposals"], "proposals", Proposal.from_dict),
        items(form["absences"], "absences", Absence.from_dict),
        items(form.get("pending", []), "pending", Pending.from_dict),
    )
    merge = form.get("merge")
    quorum = from_text(parameters["quorum"], "parameters.quorum")
    if not 0 < quorum <= 1:
        raise UsageError(f"parameters.quorum is {quorum}; it should be above 0 and at most 1")
    verdict = members(form.get("verdict"), "verdict", ("status",), form.get("verdict") or ())
    return Link(
        protocol=text(form["rule"], "rule").partition("/")[0],
        quorum=quorum,
        committed=verdict["status"] == "committed",
        intake=Intake(
            intake.proposals,
            intake.absences,
            intake.answers,
            intake.pending,
            merge=None if merge is None else Merge.from_dict(merge),
            parent=form.get("parent"),
        ),
        _options=options,
    )


def _sealed_normaliser(sealed: Any) -> Any:
    """A caller's own normaliser, by the results that it left in the body."""
    if not isinstance(sealed, dict):
        raise UsageError("normal is missing; a normaliser of the caller's own leaves it")

    def normal(payload: JSONValue) -> JSONValue:
        found = sealed.get(digest(payload))
        if found is None:
            raise NotNormalError("the normaliser could not read it")
        return str(found)

    return normal
