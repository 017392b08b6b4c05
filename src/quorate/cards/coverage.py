"""Which of the 14 safety experts a card covers: by evidence that counts, not by a ticked box."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from quorate.arbitration.forms import items, members, shown, text
from quorate.cards import bounds
from quorate.compliance import CheckResult, ComplianceReport
from quorate.compliance.rules import MISSING, SHOWN, WORST_FIRST
from quorate.core.errors import UsageError

PROFILE: Final = "experts"
"""The profile under which the fields of the experts are evaluated."""


class SafetyExpert(NamedTuple):
    """One of the 14.

    Attributes:
        number: from 1.
        name: for people.
        domain: compliance, governance, monetization, security or verification.
        regulation: that it is about, if it is about one.
        field: whose evidence covers it.
    """

    number: int
    name: str
    domain: str
    regulation: str | None
    field: str


EXPERTS: Final = (
    SafetyExpert(1, "EU AI Act Compliance", "compliance", "eu_ai_act", "riskAssessment"),
    SafetyExpert(2, "NIST RMF Risk Scoring", "compliance", None, "nistRmfScore"),
    SafetyExpert(3, "DORA / NIS2 Incident Taxonomy", "compliance", "dora", "ictRiskFramework"),
    SafetyExpert(4, "Neurorights (GDPR Art 9)", "governance", None, "neurorightsPolicy"),
    SafetyExpert(5, "x402 Payment Validation", "monetization", None, "x402Receipt"),
    SafetyExpert(6, "MCP Tool Attestation", "security", None, "mcpAttestation"),
    SafetyExpert(7, "Blockchain Verification", "verification", None, "blockchainAnchor"),
    SafetyExpert(8, "Human-in-the-Loop Gate", "governance", None, "hitlContact"),
    SafetyExpert(9, "Red Team Automation", "security", None, "redTeamReport"),
    SafetyExpert(10, "Blue Team Defense", "security", None, "blueTeamStatus"),
    SafetyExpert(11, "Continuous Monitoring", "security", None, "continuousMonitoring"),
    SafetyExpert(12, "Fuzzing / Mutation", "security", None, "fuzzingReport"),
    SafetyExpert(13, "Autonomous Auditor", "verification", None, "autonomousAudit"),
    SafetyExpert(14, "Web Crawler / Extractor", "verification", None, "webExtractionPolicy"),
)


@dataclass(frozen=True, slots=True)
class ExpertCoverage:
    """Whether one expert is covered.

    Attributes:
        expert: which.
        state: ``"shown"``, or what is wrong with its evidence, as a compliance report says it.
        reasons: why it is not shown.
        advice: what to do next; empty where there is nothing.
    """

    expert: SafetyExpert
    state: str
    reasons: tuple[str, ...] = ()
    advice: str = ""

    @property
    def covered(self) -> bool:
        """Whether evidence shows it."""
        return self.state == SHOWN

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` reads it back."""
        return {
            **self.expert._asdict(),
            "covered": self.covered,
            "state": self.state,
            "reasons": list(self.reasons),
            "advice": self.advice,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ExpertCoverage:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: it is none; or it says more than its state.
        """
        names = (*SafetyExpert._fields, "covered", "state", "reasons", "advice")
        form = members(data, "the expert", names)
        expert = SafetyExpert(**{name: form[name] for name in SafetyExpert._fields})
        if expert not in EXPERTS or type(expert.number) is not int:
            raise UsageError(f"{shown(expert.name)} is none of the 14 experts")
        if form["state"] not in WORST_FIRST or not isinstance(form["advice"], str):
            raise UsageError(f"the state of {expert.name} is {shown(form['state'])}")
        found = cls(
            expert, form["state"], items(form["reasons"], "reasons", _reason), form["advice"]
        )
        if form["covered"] is not found.covered:
            raise UsageError(f"{expert.name} cannot be covered with the state {found.state}")
        return found


def _reason(value: Any) -> str:
    return text(value, "a reason", bounds.MAX_CARD_BYTES, least=0)


def coverage(report: ComplianceReport) -> tuple[ExpertCoverage, ...]:
    """What a report under the profile of the experts says of each of them, in order."""
    by_field: dict[str, CheckResult] = {result.field: result for result in report.results}
    return tuple(_covered(expert, by_field.get(expert.field)) for expert in EXPERTS)


def _covered(expert: SafetyExpert, result: CheckResult | None) -> ExpertCoverage:
    # What the profile does not ask for, or leaves out as not applicable, nothing shows.
    if result is None or result.state not in WORST_FIRST:
        reasons = () if result is None else result.reasons
        return ExpertCoverage(expert, MISSING, reasons)
    return ExpertCoverage(expert, result.state, result.reasons, result.advice)
