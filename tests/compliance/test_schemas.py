"""What each schema refuses, in its own words: passed evidence has to say what passes."""

from copy import deepcopy

import pytest
from evidence_tools import DATA, DIGEST, HEX, METRIC, PERSON, SERIES, data_for, drill
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.compliance import schemas
from quorate.compliance.schema_types import meets
from quorate.core.errors import UsageError
from quorate.core.exact import exact

LATER = "2026-11-30T00:00:00Z"


def put(data, path, value):
    """A copy of the data with one value changed; a path such as ``hazards.0.id``."""
    whole = deepcopy(data)
    *steps, last = [int(each) if each.isdigit() else each for each in path.split(".")]
    inner = whole
    for step in steps:
        inner = inner[step]
    inner[last] = value
    return whole


WRONG = [
    ("document", "date", "2026-11-02", "of 2026-11-02, after the release on 2026-11-01"),
    ("document", "owner", "me", "owner is 'me': "),
    ("document", "sections", {"purpose": " "}, "sections.purpose is ' ': "),
    ("instructions", "languages", [], "languages is []: "),
    ("register", "reviews", [], "reviews is []: "),
    ("register", "reviews.0.date", "2026-10-02", "reviews are not in order of their dates"),
    ("register", "interval_days", 0, "interval_days is 0: "),
    ("hazards", "hazards", [], "hazards is []: "),
    ("hazards", "hazards.0.category", "money", "hazards[0].category is 'money': "),
    ("hazards", "hazards.0.analysis", "", "hazards[0].analysis is '': "),
    ("hazards", "hazards.0.residual.acceptable", False, "residual.acceptable is false: "),
    ("measures", "measures.0.hazards", [], "measures[0].hazards is []: "),
    ("measures", "measures.0.why_not_eliminated", None, "C1 says not why the risk was not elim"),
    ("measures", "measures.0.tests", [], "C1 is in place, but names no test of it"),
    ("measures", "measures.0.status", "planned", "no measure is in place against H1"),
    ("test-run", "tests", [], "tests is []: "),
    ("test-run", "tests.0.metrics.0.value", 0.89, "accuracy is 0.89, not at least 0.9"),
    ("test-run", "tests.0.metrics.0.value", "0.95", "metrics[0].value"),
    ("test-run", "tests.0.metrics.0.value", True, "metrics[0].value"),
    ("test-run", "tests.0.finished", "2026-11-01T00:00:00Z", "finished 2026-11-01T00:00:00Z is b"),
    ("test-run", "tests.0.thresholds.time", LATER, "started 2026-11-02T00:00:00Z is before thr"),
    ("test-run", "tests.0.thresholds.seq", 8, "T1: the thresholds were not fixed before the res"),
    ("datasets", "datasets.0.digest", "x", "datasets[0].digest is 'x': "),
    ("datasets", "datasets.0.personal_data", True, "holds personal data, but not what it was"),
    ("datasets", "datasets.0.statistics.missing_rate", 1.5, "missing_rate is 1.5: "),
    ("datasets", "datasets.0.records", 0, "datasets[0].records is 0: "),
    ("bias", "examinations.0.groups", ["all"], "examinations[0].groups is ['all']: "),
    ("attestation", "by", "somebody", "by is 'somebody': "),
    ("pointers", "items", {}, "items is {}: "),
    ("changes", "changes.0.hash", "ab", "changes[0].hash is 'ab': "),
    ("standards", "standards.0.cited", True, "standards[0].cited is true: "),
    ("plan", "collects", [], "collects is []: "),
    ("registration", "date", "2026-11-02", "registered on 2026-11-02, after the release"),
    ("incidents", "incidents.0.reported", "2026-05-16T00:00:01Z", "I1 was reported after more th"),
    ("incidents", "incidents.0.reported", "2026-04-30T00:00:00Z", "before anybody was aware"),
    ("incidents", "incidents.0.kind", "death", "I1 was reported after more than 10 days"),
    ("incidents", "incidents.0.kind", "widespread", "I1 was reported after more than 2 days"),
    ("contact", "people.0.contact", None, "nobody named has a contact"),
    ("log-range", "entries", 9, "the range has 10 entries, 9 were found"),
    ("log-range", "range.last", 8, "the range has 9 entries, 10 were found"),
    ("log-range", "range.first", 10, "last 9 is before first 10"),
    ("log-range", "silence_seconds", 3601, "silent for 3601 seconds, more than the 3600 declared"),
    ("event-kinds", "covers", {"risk": ["incident"]}, "risk is covered by incident, which is not"),
    ("event-kinds", "covers", {"risk": []}, "covers.risk is []: "),
    ("retention", "required_days", 183, "required_days is 183: "),
    ("retention", "newest", "2025-01-01T00:00:00Z", "less than 184 days after the oldest"),
    ("decisions", "with_dissent", 8, "with_dissent is 8 of 9 decisions"),
    ("decisions", "refused", 2, "committed and refused do not add up to decisions"),
    ("drill", "after", 1, "1 were dispatched after the halt"),
    ("drill", "before", 0, "before is 0: "),
    ("drill", "effective", False, "effective is false: "),
    ("drill", "ended", "2026-11-19T10:00:00Z", "ended 2026-11-19T10:00:00Z is before acted"),
    ("drills", "override", drill("halt"), "under override stands a drill of kind halt"),
    ("drills", "override.decision", None, "an override names the decision's entry and its own"),
    ("drills", "override.override", 4, "the override stands before the decision"),
    ("metric-series", "series.0.points.0.value", 0.8, "accuracy is 0.8 for 2.1.0, not at least"),
    ("metric-series", "series.0.points", [], "series[0].points is []: "),
    ("redundancy", "faults", 3, "7 members bear 2 faults at most"),
    ("redundancy", "quorum", 4, "a quorum of 4 is too small; the least is 5"),
    ("redundancy", "quorum", None, "give the quorum as a number or as a share, one of the two"),
    ("redundancy", "share", "2/3", "give the quorum as a number or as a share, one of the two"),
    ("redundancy", "share", "4/6", "in lowest terms"),
    ("redundancy", "effective_faults", 1, "effective_faults is 1, the domains allow 0"),
    ("redundancy", "limit", "", "limit is '': "),
    ("redteam-run", "resilience", 0.7, "resilience is 0.7, not at least 0.8"),
    ("redteam-run", "strategies", [], "strategies is []: "),
    ("redteam-run", "strategies.0.probes", 0, "strategies[0].probes is 0: "),
    ("redteam-run", "strategies.0.successes", 11, "RT-CRESCENDO: 11 successes of 10 probes"),
    ("redteam-run", "strategies.0.successes", 10, "is 0.9, from the strategies follows 0"),
    ("fault-injection", "injections.0.handled", 19, "an expert crashes: 19 of 20 were handled"),
    ("attack-matrix", "cells.model_flaws", {}, "model_flaws says nothing of prevent, detect"),
    ("attack-matrix", "cells.model_flaws.detect", {}, "give test, or not_applicable"),
    (
        "attack-matrix",
        "cells.model_flaws.detect",
        {"test": "T9", "not_applicable": "not trained"},
        "give test, or not_applicable and why none applies, one of the two",
    ),
    ("oversight", "hooks", [], "hooks is []: "),
    ("oversight", "measures.0.location", "cloud", "measures[0].location is 'cloud': "),
    ("automation-bias", "accepted", 51, "51 accepted of 50 reviewed"),
    ("two-persons", "decisions", {"4": ["a", "a"]}, "decision 4 was not signed by two different"),
    ("monitoring", "every_seconds", 0, "every_seconds is 0: "),
    ("tool-attestation", "tools", [], "tools is []: "),
    ("anchor", "root", "x", "root is 'x': "),
    ("scores", "scores", {"govern": 0.4}, "govern is 0.4, not at least 0.5"),
    ("payment", "settled", False, "settled is false: "),
    ("payment", "amount", "0.01", "amount: it is '0.01'; a rational is"),
    ("fuzzing", "fixed", 0, "1 were found, 0 of them fixed"),
    ("audit", "open_findings", 1, "open_findings is 1: "),
    ("audit", "independent", False, "independent is false: "),
    ("payment", "amount", "0", "the amount is 0: nothing was paid"),
    ("scores", "required", 0, "required is 0: "),
    ("contact", "answer_within_minutes", 2**53 - 1, "answer_within_minutes is 9007199254740991: "),
    ("monitoring", "every_seconds", 1e9, "every_seconds is 1000000000.0: "),
    ("two-persons", "decisions", {"4": ["key1", "KEY1"]}, "not signed by two different"),
    ("two-persons", "decisions", {"4": ["key1", "key1\u200b"]}, "not signed by two different"),
    ("two-persons", "decisions", {"4": ["a", " a"]}, "decisions.4[1]: it has spaces around it"),
    ("incidents", "since", "2026-11-21T00:00:00Z", "until 2026-11-20T00:00:00Z is before since"),
    ("bias", "examinations.0.groups", ["women", "Women"], "the group 'Women' stands twice"),
    ("datasets", "datasets.0.statistics.missing_rate", 1, "missing_rate is 1: "),
    ("datasets", "datasets.0.statistics.label_error", 1.0, "label_error is 1.0: "),
    ("datasets", "datasets.0.statistics.groups.0.count", 0, "no group has a single record"),
    ("test-run", "tests.0.results.time", "2026-10-01T00:00:00Z", "is before thresholds"),
    ("test-run", "tests.0.metrics.0.samples", 0, "samples is 0: "),
    ("test-run", "tests.0.metrics.0.threshold", 0, "accuracy has to be at least 0, which"),
    ("metric-series", "series.0.threshold", 0, "accuracy has to be at least 0, which"),
    ("metric-series", "declared", {"recall": 0.9}, "recall is declared, but no series measures"),
    ("metric-series", "declared", {"accuracy": 0.99}, "declared as 0.99, but last measured as"),
    ("log-range", "kinds", {"decision": 0}, "kinds counts 0 entries, the range has 10"),
    ("log-range", "bound_seconds", 1e9, "bound_seconds is 1000000000.0: "),
    ("event-kinds", "kinds", {"decision": 0}, "no kind has a single entry"),
    ("retention", "oldest", "2026-11-20T00:00:00Z", "less than 184 days after the oldest"),
    ("drill", "refused", 0, "nothing was refused after the halt"),
    ("drill", "resumed", False, "resumed is not true"),
    ("drill", "resumed", None, "resumed is not true"),
    ("drill", "decision", 4, "a halt names no decision and no override"),
    ("redundancy", "faults", 0, "faults is 0: "),
    ("redteam-run", "required", 0, "required is 0: "),
    ("redteam-run", "resilience", 1, "resilience is 1, from the strategies follows 0.9"),
    ("hazards", "hazards.0.id", " ", "hazards[0].id is ' ': "),
    ("hazards", "hazards.0.id", "\u3164", "it names nothing; write it in letters or digits"),
    ("hazards", "hazards.0.title", "-", "it says nothing; write it in letters or digits"),
    ("hazards", "hazards.0.title", "\u200b", "it says nothing; write it in letters or digits"),
    ("hazards", "hazards.0.title", "\u2800", "it says nothing; write it in letters or digits"),
    ("hazards", "hazards.0.title", "\u3164", "it says nothing; write it in letters or digits"),
    ("hazards", "hazards.0.title", "\u2060", "it says nothing; write it in letters or digits"),
    ("hazards", "hazards.0.title", "N/A", "it is a filler; say what it is"),
    ("hazards", "hazards.0.title", " TODO\u200b", "it is a filler; say what it is"),
    ("hazards", "hazards.0.title", "tbd", "it is a filler; say what it is"),
    ("hazards", "hazards.0.title", "x", "it is a filler; say what it is"),
    (
        "attack-matrix",
        "cells.adversarial_examples.detect",
        {"not_applicable": "not trained"},
        "adversarial_examples: no test at all",
    ),
]


@pytest.mark.parametrize(("name", "path", "value", "message"), WRONG)
def test_what_does_not_pass_is_refused(name, path, value, message):
    good = data_for(name, ())
    kind = schemas.schema(name)
    assert schemas.misfit(good, kind)[1] is None
    read, reason = schemas.misfit(put(good, path, value), kind)
    assert read is None
    assert reason.startswith(f"its data do not fit the schema {name}: ")
    assert message in reason


def test_nothing_at_all_is_tested():
    cells = {
        each: {verb: {"not_applicable": "not trained"} for verb in row}
        for each, row in DATA["attack-matrix"]["cells"].items()
    }
    reason = schemas.misfit({"cells": cells}, schemas.schema("attack-matrix"))[1]
    assert reason.endswith("nothing at all is tested")


@pytest.mark.parametrize("name", schemas.SCHEMAS)
def test_every_schema_refuses_what_it_does_not_know(name):
    reason = schemas.misfit(data_for(name, ()) | {"junk": 1}, schemas.schema(name))[1]
    assert "junk is unknown" in reason


@pytest.mark.parametrize(
    ("name", "path"),
    [("hazards", "hazards"), ("measures", "measures"), ("datasets", "datasets"),
     ("incidents", "incidents")],
)  # fmt: skip
def test_no_id_stands_twice(name, path):
    data = data_for(name, ())
    reason = schemas.misfit(put(data, path, data[path] * 2), schemas.schema(name))[1]
    assert "stands twice" in reason


def test_a_measure_that_informs_names_its_section():
    data = put(DATA["measures"], "measures.0.kind", "inform")
    kind = schemas.schema("measures")
    assert schemas.misfit(data, kind)[1] is None
    assert "names no section" in schemas.misfit(put(data, "measures.0.section", None), kind)[1]


def test_records_deleted_early_name_the_law_that_ordered_it():
    deletion = {"seq": 4, "time": "2026-05-01T00:00:00Z", "age_days": 10, "order": "ticket 4"}
    kind = schemas.schema("retention")
    reason = schemas.misfit(DATA["retention"] | {"deletions": [deletion]}, kind)[1]
    assert "entry 4 deleted records of 10 days, before 184" in reason
    nothing = deletion | {"order": "law: -"}
    assert schemas.misfit(DATA["retention"] | {"deletions": [nothing]}, kind)[1] is not None
    lawful = deletion | {"order": "law: GDPR Article 17, request 4"}
    assert schemas.misfit(DATA["retention"] | {"deletions": [lawful]}, kind)[1] is None
    old = deletion | {"age_days": 184}
    assert schemas.misfit(DATA["retention"] | {"deletions": [old]}, kind)[1] is None


def test_points_out_of_order():
    points = [SERIES["points"][0] | {"time": LATER}, SERIES["points"][0]]
    data = {"series": [SERIES | {"points": points}]}
    reason = schemas.misfit(data, schemas.schema("metric-series"))[1]
    assert "point 1 2026-11-02T00:00:00Z is before point 0" in reason


MET = (
    "a", "a.b", "z", "l[2]", "l[2].k", "l[1].m", "f", "u=true", "l[].k", "l[any].m", "k=halt",
    "l[any].s=two", "t.l",
)  # fmt: skip
UNMET = (
    "a.c", "x", "x.y", "l[3]", "l[2].m", "e[1]", "f=true", "n", "e", "l[].m", "l[any].n",
    "e[].k", "a[].b", "k=override", "l[any].k=2",
)  # fmt: skip


@pytest.mark.parametrize("need", [*MET, *UNMET])
def test_needs(need):
    data = {
        "a": {"b": "x"}, "z": 0, "f": False, "u": True, "n": None, "e": [], "k": "halt",
        "l": [{"k": 1}, {"k": 2, "m": "y", "s": "two"}], "t": {"l": [0]},
    }  # fmt: skip
    assert (schemas.unmet(data, [need]) == ()) is (need in MET)


def test_unknown_names_are_refused_with_a_hint():
    with pytest.raises(UsageError, match="no schema 'hazard'; did you mean 'hazards'"):
        schemas.schema("hazard")
    with pytest.raises(UsageError, match="has no member 'hazard'; did you mean 'hazards'"):
        schemas.check_need(schemas.schema("hazards"), "hazard[].id")


@pytest.mark.parametrize("need", ["", ".", "a..b", "a[x]", "a[0]", "a[", "a]", "a b", "a=", "ä"])
def test_what_is_no_need(need):
    with pytest.raises(UsageError, match="is none; write a path"):
        schemas.check_need(schemas.schema("hazards"), need)


NUMBERS = st.integers(-1000, 1000) | st.floats(-1e6, 1e6)


@given(NUMBERS, NUMBERS)
def test_bounds_are_kept_exactly(value, bound):
    assert meets(value, bound, "at_least") == (exact(value) >= exact(bound))
    assert meets(value, bound, "at_most") == (exact(value) <= exact(bound))


def test_the_value_at_the_bound_meets_it():
    for direction in ("at_least", "at_most"):
        metric = METRIC | {"value": 0.9, "direction": direction}
        data = put(DATA["test-run"], "tests.0.metrics", [metric])
        assert schemas.misfit(data, schemas.schema("test-run"))[1] is None


def test_people_and_digests_are_what_they_seem():
    assert PERSON["contact"]
    assert DIGEST.startswith("sha256:")
    assert len(HEX) == 64


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(value, before=""):
    """All paths of a JSON value, as :func:`put` takes them."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for name, each in inside:
        if "." in str(name):
            continue
        yield f"{before}{name}"
        if isinstance(each, dict | list):
            yield from paths(each, f"{before}{name}.")


@given(st.data())
def test_junk_in_any_place_is_refused_in_words_or_fits(data):
    name = data.draw(st.sampled_from(sorted(schemas.SCHEMAS)))
    good = data_for(name, ())
    path = data.draw(st.sampled_from(sorted(paths(good))))
    kind = schemas.schema(name)
    read, reason = schemas.misfit(put(good, path, data.draw(JUNK)), kind)
    assert (read is None) == (reason is not None)
    if read is None:
        assert reason.startswith(f"its data do not fit the schema {name}: ")
        assert reason.isprintable()
    else:
        assert read.good_until() is None or isinstance(read.good_until(), int)


@settings(max_examples=25)
@given(st.dictionaries(st.text(max_size=8), JUNK, max_size=4))
def test_junk_alone_is_refused_in_words(junk):
    for kind in schemas.SCHEMAS.values():
        read, reason = schemas.misfit(junk, kind)
        assert read is None
        assert reason
