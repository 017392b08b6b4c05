"""What is wrong with a card as SARIF 2.1.0, which editors and code hosts show in place."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import quorate
from quorate.cards.locating import Located
from quorate.cards.problems import ERROR, Problem
from quorate.cards.reading import path_of
from quorate.cards.signatures import UNCHECKED, UNSIGNED
from quorate.cards.verdict import CardVerdict

SCHEMA: Final = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)

RULES: Final[dict[str, str]] = {
    "beside": "Members of 0.3 beside those of 1.0 say the same.",
    "characters": "Texts read as they are written.",
    "choice": "Of alternatives exactly one is given.",
    "duplicate-key": "A key stands once in its object.",
    "evidence": "Evidence lies where it is looked for, and is evidence.",
    "expert": "Each of the 14 safety experts is covered by evidence.",
    "https": "Addresses are encrypted.",
    "id": "Ids hold no spaces.",
    "interfaces": "Interfaces are listed whole, and once.",
    "json": "The card is JSON that every reader reads alike.",
    "media-type": "Modes are media types.",
    "null": "What is absent is left out.",
    "obligation": "Each obligation that applies is shown by evidence.",
    "required": "What A2A requires is there, and not empty.",
    "secret": "No secret stands in a card.",
    "security": "Who may use the agent is said.",
    "security-scheme": "Security schemes are of known kinds, and those named exist.",
    "signature": "A trusted key signed the card.",
    "size": "The card is within bounds.",
    "transport": "Interfaces speak a known protocol.",
    "type": "Members are of the kind that A2A says.",
    "unique": "Ids and tags stand once.",
    "unknown": "There are no members that A2A does not know.",
    "uri": "Extensions are named by an absolute URI.",
    "url": "Addresses are absolute.",
    "url-credentials": "No credentials stand in an address.",
    "url-local": "Addresses can be reached from elsewhere.",
    "version": "Versions of A2A are known ones.",
}
"""What each rule asks for."""


def to_sarif(verdict: CardVerdict, where: str, located: Located | None = None) -> dict[str, Any]:
    """A verdict as a SARIF log of one run.

    Args:
        verdict: on the card.
        where: the file or URL that it was read from.
        located: where its values stand in the text, so that results have lines and columns.
    """
    results = [_of_problem(each, where, located) for each in verdict.problems]
    results += _of_signatures(verdict, where, located)
    results += [
        _result("expert", "warning", f"{each.expert.name} ({each.expert.field}) is not covered: "
                f"{each.state}. {each.advice}".strip(), where, located, "$")
        for each in verdict.coverage
        if not each.covered
    ]  # fmt: skip
    results += [
        _result("obligation", "warning", f"{each.id} ({each.title}) is {each.state}. "
                f"{each.advice}".strip(), where, located, "$")
        for each in verdict.ai_act.results
        if each.state not in {"shown", "not_applicable"}
    ]  # fmt: skip
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "quorate card check",
                        "version": quorate.__version__,
                        "rules": [
                            {"id": name, "shortDescription": {"text": text}}
                            for name, text in RULES.items()
                        ],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": results,
                "properties": {"passed": verdict.passed, "valid": verdict.valid},
            }
        ],
    }


def _of_problem(problem: Problem, where: str, located: Located | None) -> dict[str, Any]:
    level = "error" if problem.level == ERROR else "warning"
    message = f"{problem.path}: {problem.message}"
    return _result(problem.rule, level, message, where, located, problem.path)


def _of_signatures(
    verdict: CardVerdict, where: str, located: Located | None
) -> list[dict[str, Any]]:
    report = verdict.signatures
    if report.verified:
        return []
    level = "warning" if report.state in {UNSIGNED, UNCHECKED} else "error"
    found = [_result("signature", level, report.describe().split("\n")[0], where, located, "$")]
    found += [
        _result("signature", level, f"{one.state}: {one.reason}", where, located, path)
        for one in report.results
        if one.state != "verified"
        for path in [f"$.signatures[{one.index}]"]
    ]
    return found


def _result(
    rule: str, level: str, message: str, where: str, located: Located | None, path: str
) -> dict[str, Any]:
    place: dict[str, Any] = {
        "artifactLocation": {"uri": where if "://" in where else quote(where)},
    }
    if located is not None:
        region = located.region(path_of(path))
        place["region"] = {
            "startLine": region.line,
            "startColumn": region.column,
            "endLine": region.end_line,
            "endColumn": region.end_column,
        }
    return {
        "ruleId": rule,
        "ruleIndex": list(RULES).index(rule),
        "level": level,
        "message": {"text": message},
        "locations": [
            {"physicalLocation": place, "logicalLocations": [{"fullyQualifiedName": path}]}
        ],
    }
