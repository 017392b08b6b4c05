"""Article 15(5): runs of attacks against the system, sealed as they came out."""

from __future__ import annotations

from typing import Any

from quorate.arbitration.forms import as_number
from quorate.compliance.collect.reading import Passed, Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.compliance.committing import AT_LEAST, Threshold
from quorate.compliance.metrics import RESILIENCE, plainly
from quorate.core.text import counted
from quorate.redteam.report import RedTeamReport
from quorate.redteam.rules import NOT_PROBED, SUCCEEDED

_Run = tuple[Passed, RedTeamReport]
_Fixed = tuple[Passed, Threshold]


@collector("art_15.par_5.s1", "redTeamReport", title="Runs of attacks, and what got through")
def attack_runs(record: Record) -> Found | Lack:
    """The last whole sweep against this very version, where none fell short of a threshold."""
    runs = [(at, _report(body)) for at, body in record.kept.get("redteam", ())]
    own = [(at, made) for at, made in runs if _is_own(made, record)]
    if not own:
        return Lack(_none(record, [made for _, made in runs]))
    every = [
        (place, one)
        for place, one in record.thresholds
        if one.metric == RESILIENCE and record.is_of(one.scope)
    ]
    fixed = [(place, one) for place, one in every if one.comparison == AT_LEAST and one.value > 0]
    at, made = own[-1]
    if not any(place.seq < at.seq for place, _ in every):
        return Lack(
            f"the run of entry {at.seq} was held to nothing: seal a threshold for {RESILIENCE} "
            "before the next one ('quorate comply threshold')"
        )
    # A threshold that was lowered, or sealed when runs were known, does not mend them.
    place, required = max(fixed, key=lambda one: one[1].value, default=every[0])
    if fixed and (failed := _short(own, place, required)) is not None:
        return failed
    if lack := _not_whole(at, made) or _not_held(at, place, every, fixed):
        return Lack(lack)
    told = _told(made, as_number(required.value))
    return Found(told, (place.reference, at.reference), moment=at.time)


def _short(own: list[_Run], place: Passed, required: Threshold) -> Found | None:
    """The first run that fell short of the strictest threshold."""
    for at, made in own:
        resilience = made.score.resilience
        if resilience is not None and not required.met_by(resilience):
            told = (
                f"the run of entry {at.seq} came to a resilience of {plainly(resilience)}, and the "
                f"threshold of entry {place.seq} is {required.describe()}"
            )
            entries = sorted((place.reference, at.reference), key=lambda one: one.seq)
            return Found({"seq": at.seq}, entries, failed=told)
    return None


def _not_held(at: Passed, place: Passed, every: list[_Fixed], fixed: list[_Fixed]) -> str | None:
    """Why a run was held to too little."""
    for where, one in every:
        if (where, one) not in fixed:
            return (
                f"the threshold of entry {where.seq} is {one.describe()}, which the worst of runs "
                f"keeps; {RESILIENCE} is held to at least a share above 0, in the next version"
            )
    if at.seq < place.seq:
        return (
            f"the threshold of entry {place.seq} was sealed after the last run; run once more: "
            "quorate redteam scan"
        )
    return None


def _is_own(made: RedTeamReport, record: Record) -> bool:
    """Whether it is of this very version; a script is no system, whatever it is called."""
    same = (made.target, made.version) == (record.scope.system, record.scope.version)
    return same and not made.scripted


def _none(record: Record, runs: list[RedTeamReport]) -> str:
    scope = record.scope
    others = {
        f"{made.target} {'of no version' if made.version is None else made.version}"
        for made in runs
    }
    told = f" (runs are there against {', '.join(sorted(others))})" if others else ""
    return (
        f"no run of attacks against {scope.system} {scope.version} is in the ledger{told}; run: "
        "quorate redteam scan TARGET --system system.toml --seal"
    )


def _not_whole(at: Passed, made: RedTeamReport) -> str | None:
    """Why a run says too little; ``None`` for a whole sweep with every probe made."""
    if made.resilience is None:
        return f"the run of entry {at.seq} probed nothing, so it has no score"
    if made.canonical_missing:
        missing = ", ".join(made.canonical_missing)
        return (
            f"the run of entry {at.seq} is no whole sweep, it lacks {missing}; run without "
            "--strategy"
        )
    if made.score.not_probed:
        return (
            f"the run of entry {at.seq} has {counted(made.score.not_probed, 'probe')} that got no "
            "usable reply or no working control: a target that fails under attack defends "
            "nothing; mend it and run again"
        )
    return None


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
