"""The day of the evaluation: which text, which obligations, and what already applies."""

from datetime import date

import pytest

from quorate.compliance import ComplianceReport, evaluate, load_catalogue

ORIGINAL = (date(2026, 8, 2), date(2027, 8, 2))
AMENDED = (date(2027, 12, 2), date(2028, 8, 2))


@pytest.mark.parametrize(
    ("day", "text", "days", "in_force"),
    [
        ("2026-07-26", "original", ORIGINAL, (False, False)),
        ("2026-07-27", "2026-07-27", AMENDED, (False, False)),
        ("2026-08-02", "2026-07-27", AMENDED, (False, False)),
        ("2026-11-21", "2026-07-27", AMENDED, (False, False)),
        ("2027-12-01", "2026-07-27", AMENDED, (False, False)),
        ("2027-12-02", "2026-07-27", AMENDED, (True, False)),
        ("2028-08-01", "2026-07-27", AMENDED, (True, False)),
        ("2028-08-02", "2026-07-27", AMENDED, (True, True)),
    ],
)
def test_the_core_checks_on_a_day(day, text, days, in_force):
    found = evaluate({}, "core", day)
    assert found.law_text.id == text
    assert found.as_of == date.fromisoformat(day)
    assert len(found.results) == 19
    for result in found.results:
        assert tuple(result.applies_from[each] for each in ("annex_iii", "annex_i")) == days
        assert tuple(result.in_force[each] for each in ("annex_iii", "annex_i")) == in_force


@pytest.mark.parametrize(
    ("day", "registration", "special"),
    [
        ("2026-07-26", False, None),
        ("2026-11-21", True, True),
        ("2027-12-02", True, True),
        ("2028-08-02", True, True),
    ],
)
def test_what_has_days_of_its_own(day, registration, special):
    found = evaluate({}, "full", day)
    for id_ in ("art_49.par_1", "art_72.par_1", "art_73.par_2"):
        assert set(found.result(id_).in_force.values()) == {registration}
    ids = {each.id for each in found.results}
    assert ids == set(load_catalogue().at(day))
    assert ("art_4a.par_1.a" in ids) == bool(special)
    assert ("art_10.par_5.a" in ids) == (special is None)
    if special:
        assert set(found.result("art_4a.par_1.a").in_force.values()) == {True}


def test_the_amended_text_names_both_acts():
    assert evaluate({}, "core", "2026-11-21").law_text.acts == (
        "Regulation (EU) 2024/1689 (AI Act)",
        "Regulation (EU) 2026/1744 (Digital Omnibus on AI)",
    )
    assert len(evaluate({}, "core", "2026-07-26").law_text.acts) == 1


@pytest.mark.parametrize("profile", ["core", "full", "experts"])
@pytest.mark.parametrize("day", ["2026-07-26", "2026-11-21", "2027-12-02", "2028-08-02"])
def test_a_report_reads_back_on_every_day(profile, day):
    found = evaluate({"eventLogging": "yes"}, profile, day)
    assert ComplianceReport.from_dict(found.to_dict()) == found
