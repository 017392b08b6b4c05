"""The evidence of a card: where it lies in it, and beside it.

A2A cards have no metadata of their own, in 1.0 or in 0.3. Extensions are the place that both
leave for more, so evidence lies in the ``params`` of one extension::

    "capabilities": {"extensions": [{
      "uri": "urn:quorate:a2a:evidence:1",
      "params": {"metadata": {"riskAssessment": {...}, "hitlContact": [{...}, {...}]},
                 "receipts": [{...}]}
    }]}

What applies to the agent (its role, category, conditions) is not taken from the card: with
it, a card could talk itself out of every check. Who checks it says so.
"""

from __future__ import annotations

from typing import Any, Final

from quorate.cards.lint import EVIDENCE_URI
from quorate.cards.problems import Problem, error
from quorate.cards.views import extensions
from quorate.compliance import EvidenceSet, System
from quorate.compliance.system import UNDECLARED
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.text import shortened

_PARAMS: Final = ("metadata", "receipts")


def evidence_of(card: dict[str, Any]) -> tuple[EvidenceSet, list[Problem]]:
    """The evidence that lies in a card, and what is wrong with where it lies."""
    problems: list[Problem] = []
    found = EvidenceSet()
    for path, extension in extensions(card):
        if extension.get("uri") != EVIDENCE_URI:
            continue
        params, at = extension.get("params"), (*path, "params")
        if not isinstance(params, dict) or "metadata" not in params:
            told = 'holds no evidence; give {"metadata": {field: item}, "receipts": [...]}'
            problems.append(error(at, "evidence", told))
            continue
        problems += [
            error((*at, name), "evidence", "is no member here; there are metadata, receipts")
            for name in params
            if name not in _PARAMS
        ]
        try:
            found = EvidenceSet.read({name: params[name] for name in _PARAMS if name in params})
        except UsageError as unfit:
            problems.append(error(at, "evidence", shortened(str(unfit))))
    problems += [
        error(
            ("capabilities", "extensions"),
            "evidence",
            shortened(f"the evidence for {each.field} is none: {each.reason}"),
        )
        for each in found.invalid
    ]
    return found, problems


def with_evidence(card: dict[str, Any], evidence: EvidenceSet) -> dict[str, Any]:
    """A copy of a card in which that evidence lies, in place of any that lay there.

    Its signatures are left out: they are over the card as it was.

    Raises:
        UsageError: an item or a receipt of the set is none, or capabilities or extensions of
            the card are not what they should be.
    """
    told = evidence.to_dict()
    metadata: dict[str, list[Any]] = {}
    for item in told["items"]:
        metadata.setdefault(item["field"], []).append(item)
    capabilities = card.get("capabilities", {})
    listed = capabilities.get("extensions", []) if isinstance(capabilities, dict) else None
    if not isinstance(listed, list):
        raise UsageError("the card's capabilities are no object, or its extensions no list")
    there = [one for one in listed if _of_evidence(one)]
    others = [one for one in listed if not _of_evidence(one)]
    params = {"metadata": metadata, "receipts": told["receipts"]}
    extension = {**(there[0] if there else {"uri": EVIDENCE_URI}), "params": params}
    made = {name: value for name, value in card.items() if name != "signatures"}
    return {**made, "capabilities": {**capabilities, "extensions": [*others, extension]}}


def _of_evidence(extension: Any) -> bool:
    return isinstance(extension, dict) and extension.get("uri") == EVIDENCE_URI


def together(first: EvidenceSet, second: EvidenceSet) -> EvidenceSet:
    """Both sets as one; the system is that of the second.

    Raises:
        UsageError: together they are more than one set can hold.
    """
    return EvidenceSet(
        second.system,
        (*first.items, *second.items),
        (*first.receipts, *second.receipts),
        (*first.invalid, *second.invalid),
    )


def system_of(card: dict[str, Any], declared: System) -> System:
    """The system that a card speaks of: its name and version, and what is declared of it."""
    name, version = card.get("name"), card.get("version")
    for each in (name, version):
        if not isinstance(each, str) or not 1 <= len(each) <= limits.MAX_ID_LENGTH:
            return UNDECLARED
    return declared.model_copy(update={"name": name, "version": version})
