"""Article 15(5): runs of attacks against the system, sealed as they came out."""

from __future__ import annotations

from typing import Any, Final

from quorate.arbitration.forms import as_number
from quorate.compliance.collect.reading import Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.core.exact import as_text
from quorate.redteam.report import RedTeamReport
from quorate.redteam.rules import NOT_PROBED, SUCCEEDED

RESILIENCE: Final = "redteam.resilience"
"""Metric of the threshold that runs of attacks are held to, sealed before them."""


@collector("art_15.par_5.s1", "redTeamReport", title="Runs of attacks, and what got through")
def attack_runs(record: Record) -> Found | Lack:
    """The last run against a target named as the system is, held to a threshold before it."""
    runs = [(at, _report(body)) for at, body in record.kept.get("redteam", ())]
    # A built-in script is no system, whatever it is called.
    own = [(at, made) for at, made in runs if made.target == record.scope.system]
    own = [(at, made) for at, made in own if not made.scripted]
    if not own:
        others = sorted({made.target for _, made in runs})
        told = f" (runs are there against {', '.join(others)})" if others else ""
        return Lack(
            f"no run of attacks against {record.scope.system} is in the ledger{told}; run: "
            "quorate redteam"
        )
    at, made = own[-1]
    if made.resilience is None:
        return Lack(f"the run of entry {at.seq} probed nothing, so it has no score")
    fixed = [
        (place, one)
        for place, one in record.thresholds
        if one.metric == RESILIENCE and record.is_of(one.scope) and place.seq < at.seq
    ]
    if not fixed:
        return Lack(
            f"the run of entry {at.seq} was held to nothing: seal a threshold for {RESILIENCE} "
            "before the next one ('quorate comply threshold')"
        )
    place, required = fixed[-1]
    resilience = made.score.resilience
    entries = (place.reference, at.reference)
    if resilience is None or not required.met_by(resilience):
        got = "nothing" if resilience is None else as_text(resilience)
        told = (
            f"the run of entry {at.seq} came to a resilience of {got}, and the threshold of entry "
            f"{place.seq} is {required.describe()}"
        )
        return Found({"seq": at.seq}, entries, failed=told)
    return Found(_told(made, as_number(required.value)), entries)


def _report(body: Any) -> RedTeamReport:
    """The report of an entry that replay has judged again."""
    return RedTeamReport.from_dict({name: told for name, told in body.items() if name != "rule"})


def _told(made: RedTeamReport, required: float) -> dict[str, Any]:
    strategies = []
    for one in made.strategies:
        outcomes = [result.outcome for result in one.results]
        probes = sum(outcome != NOT_PROBED for outcome in outcomes)
        if probes:
            strategies.append(
                {
                    "id": one.facts.id,
                    "category": one.facts.category,
                    "severity": one.facts.severity,
                    "probes": probes,
                    "successes": sum(outcome == SUCCEEDED for outcome in outcomes),
                }
            )
    classes = [name for name, score in made.by_attack_class.items() if score.resilience is not None]
    return {
        "target": made.target,
        "tool": "quorate",
        "seed": str(made.seed),
        "strategies": strategies,
        "resilience": made.resilience,
        "required": required,
        "classes": classes,
    }
