"""Reports: they read back, add up, and say what is next."""

import pytest
from evidence_tools import POLICY, TODAY, core_items, evidence, item

from quorate.compliance import ComplianceReport, evaluate
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
        "Bring an item for riskTesting: data of the schema test-run with tests[].thresholds."
    )
    told = REPORT.describe()
    assert "evidence shows 17 of 19 checks that apply (94% by weight)" in told
    assert "The others: 1 failed, 1 missing." in told
    with pytest.raises(UsageError, match="has no check 'x'"):
        REPORT.result("x")


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
