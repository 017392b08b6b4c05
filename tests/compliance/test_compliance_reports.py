"""Reports: they read back, add up, and say what is next."""

import pytest
from evidence_tools import POLICY, TODAY, core_items, evidence, item

from quorate.compliance import ComplianceReport, System, evaluate, load_profile
from quorate.compliance.rules import NOT_APPLICABLE, SHOWN
from quorate.core.errors import UsageError


def found():
    items = [
        item(each.field, status="failed") if each.field == "dataQuality" else each
        for each in core_items()
        if each.field != "riskTesting"
    ]
    return evaluate(evidence(*items), "core", TODAY, policy=POLICY)


REPORT = found()


def test_what_it_says_adds_up():
    assert (REPORT.weight_shown, REPORT.weight_total, REPORT.score) == (63, 67, "63/67")
    assert REPORT.score_value == 63 / 67
    assert REPORT.missing == ("EUAIACT-ART9-004",)
    assert REPORT.failed == ("EUAIACT-ART10-003",)
    assert REPORT.blocking == ()
    by_article = {each.article: each for each in REPORT.articles}
    assert list(by_article) == ["9", "10", "11", "12", "13", "14", "15"]
    assert (by_article["9"].shown, by_article["9"].total, by_article["9"].worst) == (
        3, 4, "missing",
    )  # fmt: skip
    assert (by_article["10"].weight_shown, by_article["10"].weight_total) == (10, 12)
    assert by_article["10"].worst == "failed"
    assert by_article["12"].worst == "shown"
    assert sum(each.weight_total for each in REPORT.articles) == 67


def test_it_says_what_is_next():
    for each in REPORT.results:
        assert bool(each.advice) == (each.state not in (SHOWN, NOT_APPLICABLE))
    assert REPORT.result("EUAIACT-ART9-004").advice == (
        "Bring an item for riskTesting: data of the schema test-run with tests[].thresholds, "
        "tests[].results."
    )
    told = REPORT.describe()
    assert "evidence shows 17 of 19 checks that apply (94% by weight)" in told
    assert "The others: 1 failed, 1 missing." in told
    assert told.startswith(
        'On 2026-11-21, of the system named "triage", version "2.1.0", under the profile core: '
    )
    with pytest.raises(UsageError, match="has no check 'x'"):
        REPORT.result("x")


def test_it_says_how_much_rests_on_texts():
    shown = [each for each in REPORT.results if each.state == SHOWN]
    on_texts = [each.field for each in shown if each.judge]
    assert REPORT.on_texts == tuple(each.id for each in shown if each.judge)
    told = f"{len(on_texts)} of the 17 shown rest on what people wrote, texts or numbers"
    assert told in REPORT.describe()
    # Nothing in it was collected.
    assert len(on_texts) == 17


def collected(field, collector):
    return item(field, source=f"quorate.collect.{collector}")


@pytest.mark.parametrize(
    ("field", "source", "judge"),
    [
        ("overrideControl", "quorate.collect.both_drills", False),
        ("overrideControl", "Ops", True),
        ("overrideControl", "quorate\u2024collect.both_drills", True),
        ("overrideControl", "quorate.collect.drills_of_my_own", True),
        ("accuracyMetrics", "quorate.collect.accuracy_series", True),
        ("riskTesting", "quorate.collect.thresholds_before_results", True),
        ("art_19.par_1", "quorate.collect.retention", True),
    ],
)
def test_only_what_a_shipped_collector_computed_rests_on_nobody_s_word(field, source, judge):
    profile = "full" if field.startswith("art_") else "core"
    given = [item(field, source=source)]
    made = evaluate(evidence(*given), profile, TODAY, policy=POLICY)
    (check,) = [each for each in made.results if each.field == field]
    assert (check.state, check.judge) == ("shown", judge)
    assert made.on_texts == ((check.id,) if judge else ())
    number = int(judge)
    assert f"{number} of the 1 shown rest on what people wrote" in made.describe()


def test_a_check_shown_by_a_text_for_an_obligation_is_for_people_to_judge():
    own = evaluate(
        evidence(collected("robustnessTesting", "redundancy")), "core", TODAY, policy=POLICY
    )
    by_parts = [
        collected(f"art_15.par_{each}", "redundancy") for each in ("1", "4.s1", "4.s2", "4.s3")
    ]
    parts = evaluate(evidence(*by_parts), "core", TODAY, policy=POLICY)
    check = "EUAIACT-ART15-002"
    assert [each.result(check).state for each in (own, parts)] == ["shown", "shown"]
    assert [each.result(check).judge for each in (own, parts)] == [False, True]


def test_a_name_is_no_finding():
    boast = 'COMPLETE: all is well", says the law'
    system = System(name=boast, version="1")
    told = evaluate({}, "core", TODAY, system=system).describe()
    assert told.startswith(
        'On 2026-11-21, of the system named "COMPLETE: all is well\', says the law", version'
    )


def test_ones_own_profile_is_told_by_its_digest(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'format = "quorate/profile/1"\nname = "the 19 core checks"\ntitle = "Own"\n'
        '[[checks]]\nid = "O-1"\ntitle = "Contact"\narticle = "own"\nfield = "ownContact"\n'
        'schema = "contact"\nseverity = "minor"\n'
    )
    found = evaluate({}, path, TODAY)
    assert found.profile_digest == load_profile(path).digest
    own = f'under a profile of one\'s own named "the 19 core checks" ({found.profile_digest[:19]}…)'
    assert own in found.describe()
    assert REPORT.profile_digest == load_profile("core").digest


def test_items_name_their_receipts():
    shown = REPORT.result("EUAIACT-ART12-001").items[0]
    assert (shown.origin, shown.receipt) == ("example.org/evidence", 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "1"}, "score is not what the results add up to"),
        ({"weight_shown": 67}, "weight_shown is not what"),
        ({"failed": []}, "failed is not what"),
        ({"to_judge": []}, "to_judge is not what"),
        ({"on_texts": []}, "on_texts is not what"),
        ({"articles": []}, "articles is not what"),
        ({"disclaimer": "All is well."}, "the disclaimer is not the one"),
        ({"format": "quorate/compliance-report/2"}, "format is "),
        ({"verdict": "fine"}, "verdict is unknown"),
        ({"as_of": 7}, "as_of is 7"),
    ],
)
def test_a_report_that_does_not_add_up_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        ComplianceReport.from_dict(REPORT.to_dict() | change)


def test_a_state_changed_in_a_report_does_not_add_up():
    members = REPORT.to_dict()
    for each in members["results"]:
        if each["state"] == "failed":
            each["state"] = "shown"
    with pytest.raises(UsageError, match="not what the results add up to"):
        ComplianceReport.from_dict(members)


@pytest.mark.parametrize("junk", [None, [], "report", {}, {"format": float("nan")}])
def test_junk_is_no_report(junk):
    with pytest.raises(UsageError, match="no compliance report"):
        ComplianceReport.from_dict(junk)
