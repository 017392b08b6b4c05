"""The law as dated data: which text, and from when it applies."""

from datetime import date, datetime

import pytest

from quorate.compliance import law
from quorate.core.errors import UsageError, UsageTypeError


@pytest.mark.parametrize(
    ("day", "text"),
    [
        ("2024-08-01", "original"),
        ("2026-07-26", "original"),
        ("2026-07-27", "2026-07-27"),
        ("2026-11-21", "2026-07-27"),
        ("2028-08-02", "2026-07-27"),
    ],
)
def test_the_text_of_a_day(day, text):
    assert law.text_at(day).id == text


@pytest.mark.parametrize(
    ("day", "annex_iii", "annex_i"),
    [
        ("2026-07-26", date(2026, 8, 2), date(2027, 8, 2)),
        ("2026-11-21", date(2027, 12, 2), date(2028, 8, 2)),
        ("2027-12-02", date(2027, 12, 2), date(2028, 8, 2)),
        ("2028-08-02", date(2027, 12, 2), date(2028, 8, 2)),
    ],
)
def test_high_risk_applies_from_the_day_its_text_names(day, annex_iii, annex_i):
    assert law.applies_from("annex_iii", day) == annex_iii
    assert law.applies_from("annex_i", day) == annex_i
    # Registration, monitoring on the market and incident reports kept their day.
    assert law.applies_from("annex_i", day, law.GENERAL) == date(2026, 8, 2)


def test_acts_and_their_days():
    assert [(act.id, act.in_force) for act in law.acts()] == [
        ("2024/1689", date(2024, 8, 1)),
        ("2026/1744", date(2026, 7, 27)),
    ]
    amending = law.acts()[1]
    assert (amending.adopted, amending.published) == (date(2026, 7, 8), date(2026, 7, 24))
    assert law.texts()[1].acts == law.acts()


def test_provisions_with_days_of_their_own():
    days = {each.id: each.applies_from for each in law.provisions()}
    assert days["art_50"] == date(2026, 8, 2)
    assert days["art_50.par_2.legacy"] == date(2026, 12, 2)
    assert days["art_5.par_1.ba_bb"] == date(2026, 12, 2)
    assert days["art_72.par_3.guidance"] == date(2027, 9, 2)
    for article in ("art_49", "art_72", "art_73"):
        assert days[article] == law.applies_from("annex_iii", "2026-11-21", law.GENERAL)


def test_texts_stand_in_order_and_say_all_schedules():
    days = [text.since for text in law.texts()]
    assert days == sorted(set(days))
    for text in law.texts():
        assert set(text.applies) == set(law.SCHEDULES)
        assert all(set(each) == set(law.CATEGORIES) for each in text.applies.values())


@pytest.mark.parametrize(
    ("day", "error", "message"),
    [
        ("2024-07-31", UsageError, "there is no such law before 2024-08-01"),
        ("2026-02-30", UsageError, "which is no day"),
        ("21.11.2026", UsageError, "write a day as 2026-11-21"),
        ("20261121", UsageError, "write a day as 2026-11-21"),
        (20261121, UsageTypeError, "give a date"),
        (datetime(2026, 11, 21, 9), UsageTypeError, "give a date"),  # noqa: DTZ001 - is refused
        (None, UsageTypeError, "give a date"),
    ],
)
def test_what_is_no_day_of_the_law(day, error, message):
    with pytest.raises(error, match=message):
        law.text_at(day)


def test_unknown_names_are_refused_with_a_hint():
    with pytest.raises(UsageError, match="did you mean 'annex_iii'"):
        law.applies_from("annexiii", "2026-11-21")
    with pytest.raises(UsageError, match="did you mean 'high_risk'"):
        law.applies_from("annex_i", "2026-11-21", "highrisk")
