"""Evidence that says nothing, of another time, or of something else, scores nothing."""

from copy import deepcopy

import pytest
from evidence_tools import (
    DATA,
    POLICY,
    SYSTEM,
    TIME,
    TODAY,
    core_items,
    data_for,
    evidence,
    form_of,
    item,
    sealed,
)

from quorate.compliance import Evidence, EvidenceSet, System, evaluate, load_profile
from quorate.compliance.schema_tests import ATTACK_CLASSES, VERBS
from quorate.compliance.schemas import SCHEMAS, misfit
from quorate.compliance.wording import folded
from quorate.core.errors import UsageError

NOBODY = {"name": "-", "role": "-", "contact": "-"}
ACCEPTED = {"level": "critical", "acceptable": True, "accepted_by": NOBODY, "date": "2099-01-01"}
PAST, AHEAD = "1999-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
PRACTICES = (
    "choices", "origin", "preparation", "assumptions", "suitability", "bias_examination",
    "bias_measures", "gaps",
)  # fmt: skip
EMPTY_SET = {"name": " ", "purpose": "testing", "digest": "sha256:" + "0" * 64, "records": 1}
INSTANT = {"origin": " ", "first": 0, "last": 0, "since": PAST, "until": PAST}
DRILL = {
    "started": PAST, "acted": PAST, "ended": PAST, "by": "-", "reason": "-", "before": 1,
    "effective": True,
}  # fmt: skip

VACUOUS = {
    "riskManagementSystem": {
        "title": "-", "version": "-", "owner": NOBODY, "interval_days": 3660,
        "reviews": [{"date": "9999-12-30", "by": "-", "trigger": "-", "outcome": "-"}],
    },
    "riskAssessment": {
        "hazards": [
            {
                "id": " ", "title": "-", "category": "health", "source": "-", "analysis": "-",
                "residual": ACCEPTED,
            }
        ],
        "overall": ACCEPTED,
    },
    "riskMitigationMeasures": {
        "measures": [
            {
                "id": " ", "hazards": [" "], "kind": "inform", "description": "-",
                "status": "in_place", "tests": ["-"], "why_not_eliminated": "-", "section": "-",
            }
        ]
    },
    "riskTesting": {
        "tests": [
            {
                "id": " ", "started": PAST, "finished": AHEAD,
                "metrics": [
                    {
                        "name": "-", "value": 0, "threshold": 0, "direction": "at_least",
                        "samples": 0,
                    }
                ],
                "thresholds": {"seq": 0, "hash": "0" * 64, "time": PAST},
            }
        ],
        "tool": "-",
    },
    "dataGovernance": {"datasets": [EMPTY_SET | {"governance": dict.fromkeys(PRACTICES, "-")}]},
    "biasExamination": {
        "examinations": [
            {
                "dataset": " ", "metric": "-", "groups": ["-", "-"], "value": 1e9, "finding": "-",
                "measures": ["-"],
            }
        ]
    },
    "dataQuality": {
        "datasets": [
            EMPTY_SET
            | {
                "statistics": {
                    "missing_rate": 1, "label_error": 1, "groups": [{"group": "-", "count": 0}],
                }
            }
        ]
    },
    "technicalDocumentation": {
        "title": "-", "version": "-", "date": "2099-01-01", "owner": NOBODY,
        "system_version": "2.1.0",
        "sections": {f"annex_iv_{point}": "-" for point in range(1, 10)},
    },
    "conformityEvidence": {
        "items": {f"art_{n}": "-" for n in (9, 10, 12, 13, 14, 15)}, "owner": NOBODY,
    },
    "eventLogging": {
        "range": INSTANT, "entries": 1, "silence_seconds": 1e9, "from_start": False,
        "kinds": {" ": 0},
    },
    "logTraceability": {
        "range": INSTANT, "kinds": {" ": 0},
        "covers": {"risk": [" "], "modification": [" "], "monitoring": [" "]},
    },
    "transparencyDesign": {
        "range": INSTANT, "decisions": 1, "committed": 0, "refused": 1, "with_support": 1,
        "with_dissent": 1, "with_reason": 1,
    },
    "instructionsForUse": {
        "title": "-", "version": "-", "date": "2099-01-01", "owner": NOBODY,
        "system_version": "2.1.0", "languages": [" "],
        "sections": dict.fromkeys(
            ("provider", "purpose", "performance", "risks", "oversight", "resources", "logs"), "-"
        ),
    },
    "humanOversight": {
        "overseers": [NOBODY], "hooks": ["-"],
        "measures": [{"id": " ", "location": "deployer", "description": "-"}],
    },
    "overrideControl": {
        "halt": DRILL | {"kind": "halt", "after": 0, "refused": 0, "resumed": False},
        "override": DRILL | {"kind": "override", "after": 9, "decision": 0, "override": 1},
    },
    "automationBiasMitigation": {"notice": "-", "reviewed": 1, "accepted": 1},
    "accuracyMetrics": {
        "series": [
            {
                "metric": "-", "threshold": 0, "direction": "at_least",
                "points": [{"version": "0", "time": PAST, "value": 0, "samples": 1}],
            }
        ],
        "declared": {" ": 1},
    },
    "robustnessTesting": {
        "injections": [{"fault": "-", "count": 1, "handled": 1}], "tool": "-",
    },
    "cybersecurityControls": {
        "cells": {
            each: {verb: {"not_applicable": "-"} for verb in VERBS} for each in ATTACK_CLASSES
        }
    },
}  # fmt: skip
"""What once showed all 19 checks: every text empty, every number the weakest allowed."""


def report(given, profile="core", as_of=TODAY, **named):
    named.setdefault("policy", POLICY)
    return evaluate(given, profile, as_of, **named)


def only(field, schema=None, **changes):
    """State and reason of a single item under the profile that asks for its field."""
    if schema is not None:
        changes["data"] = schema
    for profile in ("core", "experts", "full"):
        if field in load_profile(profile).fields:
            found = report(evidence(item(field, **changes)), profile)
            result = next(each for each in found.results if each.field == field)
            return result.items[0].state, result.items[0].reason
    raise AssertionError(field)


@pytest.mark.parametrize("time", ["1999-01-01T00:00:00Z", TIME])
def test_evidence_that_says_nothing_shows_nothing(time):
    assert set(VACUOUS) == set(load_profile("core").fields)
    items = [
        item(field, data=data, source="somebody", time=time, expires="9999-12-31T23:59:59Z")
        for field, data in VACUOUS.items()
    ]
    found = report(evidence(*items))
    assert (found.weight_shown, found.weight_total) == (0, 67)
    assert len(found.invalid) == 19


TEXTS_ALONE = {
    "riskMitigationMeasures", "dataGovernance", "conformityEvidence", "humanOversight",
    "robustnessTesting", "automationBiasMitigation",
}  # fmt: skip
"""Where texts are all that there is to check: their content is for a person to judge."""


@pytest.mark.parametrize("field", sorted(VACUOUS.keys() - TEXTS_ALONE))
def test_words_do_not_mend_what_counts_nothing_or_is_of_another_time(field):
    def worded(value):
        if isinstance(value, dict):
            return {"1" if key == " " else key: worded(each) for key, each in value.items()}
        if isinstance(value, list):
            return [worded(each) for each in value]
        return "words" if value in ("-", " ") else value

    state, _ = only(field, worded(deepcopy(VACUOUS[field])))
    assert state in ("invalid", "stale")


def put(data, path, value):
    whole = deepcopy(data)
    *steps, last = [int(each) if each.isdigit() else each for each in path.split(".")]
    inner = whole
    for step in steps:
        inner = inner[step]
    inner[last] = value
    return whole


LATER = "2026-11-20T09:00:01Z"
TO_COME = [
    ("technicalDocumentation", "date", "2026-11-21"),
    ("riskManagementSystem", "reviews.1.date", "2026-11-21"),
    ("riskAssessment", "overall.date", "2099-01-01"),
    ("riskAssessment", "hazards.0.residual.date", "2099-01-01"),
    ("riskTesting", "tests.0.finished", LATER),
    ("eventLogging", "range.until", LATER),
    ("accuracyMetrics", "series.0.points.0.time", LATER),
    ("overrideControl", "halt.ended", LATER),
    ("continuousMonitoring", "last", LATER),
    ("mcpAttestation", "checked", LATER),
    ("blockchainAnchor", "anchored", LATER),
    ("art_73.par_2", "until", LATER),
    ("art_9.par_3", "date", "2026-11-21"),
]


@pytest.mark.parametrize(("field", "path", "value"), TO_COME)
def test_nothing_that_is_to_come_has_been(field, path, value):
    data = put(data_for(*form_of(field)), path, value)
    if field == "technicalDocumentation":
        data["released"] = None
    state, reason = only(field, data)
    assert state == "invalid"
    assert f"is {value}, later than the item's time" in reason


def test_a_release_may_be_to_come():
    data = data_for(*form_of("technicalDocumentation")) | {"released": "2027-01-01"}
    assert only("technicalDocumentation", data) == ("shown", "")


def test_every_moment_of_every_schema_is_seen():
    """The twin: whatever looks like a moment or a day in the samples, but for a release."""

    def looks(value, name=""):
        if isinstance(value, dict):
            return [each for key, inner in value.items() for each in looks(inner, key)]
        if isinstance(value, list):
            return [each for inner in value for each in looks(inner, name)]
        dated = isinstance(value, str) and value[:2] == "20" and value[4:5] == value[7:8] == "-"
        return [value] if dated and name != "released" else []

    for name, kind in SCHEMAS.items():
        read, reason = misfit(data_for(name, ()), kind)
        assert reason is None, (name, reason)
        assert sorted(text for _, text in read.moments()) == sorted(looks(data_for(name, ())))


def aged(field):
    """The data of a field as they were two years ago."""

    def back(value):
        if isinstance(value, dict):
            return {key: back(each) for key, each in value.items()}
        if isinstance(value, list):
            return [back(each) for each in value]
        return value.replace("2026-", "2024-") if isinstance(value, str) else value

    return back(data_for(*form_of(field)))


AGEING = [
    "overrideControl", "eventLogging", "logTraceability", "transparencyDesign", "riskTesting",
    "accuracyMetrics", "continuousMonitoring", "mcpAttestation", "blockchainAnchor",
    "art_19.par_1", "art_73.par_2", "art_14.par_4.d", "art_14.par_4.e",
]  # fmt: skip


@pytest.mark.parametrize("field", AGEING)
def test_an_old_event_written_down_anew_is_an_old_event(field):
    state, reason = only(field, aged(field))
    assert state == "stale"
    assert "what it tells of was last seen on 2024-" in reason


def test_monitoring_that_stopped_is_stale():
    data = DATA["monitoring"] | {"last": "2026-11-10T00:00:00Z"}
    state, reason = only("continuousMonitoring", data)
    assert (state, reason) == ("stale", "its next review fell due on 2026-11-17")
    monthly = data | {"every_seconds": 30 * 86_400}
    assert only("continuousMonitoring", monthly) == ("shown", "")


def test_a_metric_tested_lately_does_not_refresh_another():
    old = aged("riskTesting")["tests"][0] | {"id": "T0"}
    other = old | {"metrics": [old["metrics"][0] | {"name": "recall"}]}
    new = data_for(*form_of("riskTesting"))
    assert only("riskTesting", new | {"tests": [*new["tests"], old]})[0] == "shown"
    assert only("riskTesting", new | {"tests": [*new["tests"], other]})[0] == "stale"


def test_an_expiry_of_its_own_does_not_outlast_the_profile():
    found = report(
        evidence(
            item("humanOversight", time="2020-01-01T00:00:00Z", expires="9999-12-31T00:00:00Z")
        )
    )
    result = found.result("EUAIACT-ART14-001")
    assert result.state == "stale"
    assert "more than 365 days before" in result.items[0].reason


@pytest.mark.parametrize("target", ["scripted-honest", "another system"])
def test_a_run_of_attacks_is_against_the_system(target):
    state, reason = only("redTeamReport", DATA["redteam-run"] | {"target": target})
    assert state == "invalid"
    assert reason == f"{target} was attacked, the item speaks of triage"


def test_what_was_measured_last_is_of_this_version():
    data = put(DATA["metric-series"], "series.0.points.0.version", "2.0.0")
    state, reason = only("accuracyMetrics", data)
    assert state == "invalid"
    assert reason == ("accuracy was last measured for version 2.0.0, the item speaks of 2.1.0")
    earlier = {"version": "2.0.0", "time": "2026-11-01T00:00:00Z", "value": 0.92, "samples": 9}
    both = [earlier, *DATA["metric-series"]["series"][0]["points"]]
    assert only("accuracyMetrics", put(DATA["metric-series"], "series.0.points", both))[0] == (
        "shown"
    )


@pytest.mark.parametrize("gone", ["bound_seconds", "kinds"])
def test_a_log_without_a_bound_for_its_silences_is_not_gapless(gone):
    data = {key: each for key, each in DATA["log-range"].items() if key != gone}
    assert only("eventLogging", data) == ("invalid", f"its data lack {gone}")


def test_results_go_with_their_thresholds():
    data = put(DATA["test-run"], "tests.0.results", None)
    assert only("riskTesting", data) == ("invalid", "its data lack tests[].results")


# --- items that are not what they seem --------------------------------------------------------


class Boaster(Evidence):
    """Sealed is another body than the one that is read."""

    def body(self):
        return super().body() | {"status": "failed"}


def test_a_subclass_does_not_speak_for_itself():
    failed = item("eventLogging", status="failed")
    (bound,), receipts = sealed([failed])
    members = {each: getattr(item("eventLogging"), each) for each in Evidence.model_fields}
    boast = Boaster(**members).sealed_by(receipts[0])
    assert boast.body() == bound.body()
    found = report(EvidenceSet(SYSTEM, (boast,), tuple(receipts))).result("EUAIACT-ART12-001")
    assert found.state == "unsigned"
    assert type(Evidence.read(boast)) is Evidence


def test_a_status_that_is_neither_counts_as_failed():
    odd = item("eventLogging").model_copy(update={"status": "Passed"})
    (bound,), receipts = sealed([odd])
    found = report(EvidenceSet(SYSTEM, (bound,), tuple(receipts))).result("EUAIACT-ART12-001")
    assert found.state == "failed"
    with pytest.raises(UsageError, match="status is 'Passed'"):
        Evidence.read(odd)


@pytest.mark.parametrize("name", [" ", "\u200b", "\u3164", "-", "triage ", " triage"])
def test_what_is_no_name(name):
    with pytest.raises(UsageError):
        System.read({"name": name, "version": "1"})
    with pytest.raises(UsageError):
        System.read({"name": "triage", "version": name})
    with pytest.raises(UsageError):
        Evidence.read(item("eventLogging").to_dict() | {"field": name})
    scope = {"system": name, "version": "1"}
    with pytest.raises(UsageError):
        Evidence.read(item("eventLogging").to_dict() | {"scope": scope})


def test_names_are_folded_as_people_read_them():
    assert folded(" Tri\u200bAGE  2\u00a0") == folded("triage 2") == "triage 2"
    assert folded("triage") != folded("triages")


def test_many_unknown_fields_are_told_without_a_search_for_each():
    names = [f"eventLogging{number}" for number in range(200)]
    found = report(dict.fromkeys(names, True))
    assert len(found.unknown_fields) == len(names)
    assert found.unknown_fields[0] == "eventLogging0; did you mean 'eventLogging'?"
    assert found.unknown_fields[5:] == tuple(names[5:])


def test_honest_evidence_still_shows_all():
    found = report(evidence(*core_items()))
    assert (found.weight_shown, found.weight_total) == (67, 67)
