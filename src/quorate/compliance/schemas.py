"""The typed forms that evidence takes: one schema for each field and each obligation.

An obligation can ask for more than its schema does: it *needs* members that the schema leaves
open. A need is a path: ``sections.purpose``; ``hazards[].severity``, in every hazard;
``hazards[any].redteam``, in one at least, ``reviews[2]``, in two; ``kind=halt`` and
``misuse=true``, of that value. What is null or empty does not meet it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from quorate.compliance.schema_documents import DOCUMENTS
from quorate.compliance.schema_records import RECORDS
from quorate.compliance.schema_tests import TESTS
from quorate.compliance.schema_types import Data
from quorate.compliance.wording import near, shown, told
from quorate.core.errors import UsageError

__all__ = [
    "FIELD_NEEDS", "FIELD_SCHEMAS", "SCHEMAS", "Data", "check_need", "misfit", "schema", "unmet",
]  # fmt: skip

SCHEMAS: Final[Mapping[str, type[Data]]] = {
    each.NAME: each for each in (*DOCUMENTS, *RECORDS, *TESTS)
}
"""Name -> schema."""

_STEP: Final = re.compile(r"[A-Za-z0-9_-]+(?:\[(?:any|[1-9][0-9]{0,3})?\])?(?:=[A-Za-z0-9_-]+)?")

_GOVERNANCE: Final = (
    "choices", "origin", "preparation", "assumptions", "suitability", "bias_examination",
    "bias_measures", "gaps",
)  # fmt: skip

_FIELDS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "riskManagementSystem": ("register", ()),
    "riskAssessment": ("hazards", ()),
    "riskMitigationMeasures": ("measures", ()),
    "riskTesting": ("test-run", ("tests[].thresholds", "tests[].results")),
    "dataGovernance": (
        "datasets",
        tuple(f"datasets[].governance.{practice}" for practice in _GOVERNANCE),
    ),
    "biasExamination": ("bias", ("examinations[].measures",)),
    "dataQuality": ("datasets", ("datasets[].statistics",)),
    "technicalDocumentation": (
        "document",
        ("system_version", *(f"sections.annex_iv_{point}" for point in range(1, 10))),
    ),
    "conformityEvidence": ("pointers", tuple(f"items.art_{n}" for n in (9, 10, 12, 13, 14, 15))),
    "eventLogging": ("log-range", ("kinds", "bound_seconds")),
    "logTraceability": (
        "event-kinds",
        ("covers.risk", "covers.modification", "covers.monitoring"),
    ),
    "transparencyDesign": ("decisions", ()),
    "instructionsForUse": (
        "instructions",
        (
            "system_version", "sections.provider", "sections.purpose", "sections.performance",
            "sections.risks", "sections.oversight", "sections.resources", "sections.logs",
        ),
    ),
    "humanOversight": ("oversight", ()),
    "overrideControl": ("drills", ()),
    "automationBiasMitigation": ("automation-bias", ()),
    "accuracyMetrics": ("metric-series", ("declared",)),
    "robustnessTesting": ("fault-injection", ()),
    "cybersecurityControls": ("attack-matrix", ()),
    "nistRmfScore": (
        "scores",
        ("scores.govern", "scores.map", "scores.measure", "scores.manage"),
    ),
    "ictRiskFramework": ("document", ("sections.incident_classes", "sections.reporting")),
    "neurorightsPolicy": ("document", ("sections.mental_data", "sections.consent")),
    "x402Receipt": ("payment", ()),
    "mcpAttestation": ("tool-attestation", ()),
    "blockchainAnchor": ("anchor", ()),
    "hitlContact": ("contact", ()),
    "redTeamReport": ("redteam-run", ()),
    "blueTeamStatus": ("monitoring", ("plan",)),
    "continuousMonitoring": ("monitoring", ()),
    "fuzzingReport": ("fuzzing", ()),
    "autonomousAudit": ("audit", ()),
    "webExtractionPolicy": ("document", ("sections.sources", "sections.untrusted_content")),
}  # fmt: skip

FIELD_SCHEMAS: Final[Mapping[str, type[Data]]] = {
    name: SCHEMAS[kind] for name, (kind, _) in _FIELDS.items()
}
"""Field -> schema of the data of its items: the 19 core checks and the 14 safety experts."""

FIELD_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    name: needs for name, (_, needs) in _FIELDS.items()
}
"""Field -> what its items need beyond their schema."""


def schema(name: str) -> type[Data]:
    """The schema of that name.

    Raises:
        UsageError: there is none.
    """
    found = SCHEMAS.get(name)
    if found is None:
        raise UsageError(f"there is no schema {name!r}{near(name, SCHEMAS)}")
    return found


def misfit(
    data: Mapping[str, Any], kind: type[Data], needs: Iterable[str] = ()
) -> tuple[Data | None, str | None]:
    """Read data by a schema: what was read, or ``None``, and why it does not fit.

    Nothing is raised: data that do not fit are somebody's evidence, not the caller's mistake.
    """
    try:
        read = kind.model_validate(dict(data))
    except ValidationError as error:
        return None, f"its data do not fit the schema {kind.NAME}: {told(error)}"
    lacking = unmet(read.model_dump(mode="json"), needs)
    if lacking:
        return read, f"its data lack {', '.join(lacking)}"
    return read, None


def unmet(data: Mapping[str, Any], needs: Iterable[str]) -> tuple[str, ...]:
    """Those of ``needs`` that ``data`` does not meet."""
    return tuple(need for need in needs if not _met(data, need.split(".")))


def _met(value: Any, steps: list[str]) -> bool:
    if not steps:
        return not (value is None or (hasattr(value, "__len__") and not value))
    step, rest = steps[0], steps[1:]
    step, _, wanted = step.partition("=")
    name, _, mode = step.partition("[")
    found = value.get(name) if isinstance(value, Mapping) else None
    if wanted:
        return found is True if wanted == "true" else bool(found == wanted)
    if not mode:
        return found is not None and _met(found, rest)
    if not isinstance(found, list) or not found:
        return False
    met = [_met(each, rest) for each in found]
    least = mode.removesuffix("]").replace("any", "1")
    return met.count(True) >= int(least) if least else all(met)


def check_need(kind: type[Data], need: str) -> None:
    """Refuse a need that is none, or whose first member no data of that schema could have.

    Raises:
        UsageError: another form, or the schema has no such member.
    """
    if not all(_STEP.fullmatch(step) for step in need.split(".")):
        raise UsageError(
            f"the need {shown(need)} is none; write a path such as sections.purpose, "
            "hazards[].severity, hazards[any].redteam, reviews[2] or kind=halt"
        )
    first = need.partition(".")[0].partition("[")[0].partition("=")[0]
    if first not in kind.model_fields:
        hint = near(first, kind.model_fields)
        raise UsageError(f"the schema {kind.NAME} has no member {shown(first)}{hint}")
