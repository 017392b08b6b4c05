"""Whose record a ledger is, and how old what it shows is: nothing borrowed, nothing re-dated."""

from datetime import timedelta

import pytest
from collect_tools import DATA, DAY, NEXT_SCOPE, SCOPE, Place, failed, lacking, shown

from quorate.compliance.committing import commit_threshold, record_measurement

NEXT = {"name": "triage", "version": "2.2.0"}


# -- whose record it is


def test_a_ledger_that_declares_nothing_shows_nothing(tmp_path):
    place = Place(tmp_path)
    place.decide("one", "two")
    found = place.survey()
    assert found.items == ()
    (told,) = set(lacking(found).values())
    assert "declare the system: quorate comply declare system.toml LEDGER --since 0" in told
    assert "the record of triage 2.1.0" in told


@pytest.mark.parametrize(
    "other",
    [
        {"name": "payroll", "version": "7"},
        {"name": "triage", "version": "2.1"},
        {"name": "Triage", "version": "2.1.0"},
    ],
)
def test_the_record_of_one_system_shows_no_other(place, other):
    found = place.survey(system=other)
    assert found.items == ()
    assert "no entry declares" in lacking(found)["interpretable_decisions"]


def test_a_new_version_begins_anew(place):
    place.declare(NEXT, since=None)
    found = place.survey(system=NEXT)
    assert shown(found).keys() == {"art_12.par_1"}
    assert "no decision and no refusal" in lacking(found)["interpretable_decisions"]
    place.decide("of the next")
    found = shown(place.survey(system=NEXT_SCOPE))
    assert found["art_13.par_1"].data["decisions"] == 1
    # Its panel was sealed before it was declared, and is named by what it decides.
    assert found["art_15.par_4.s2"].data["n"] == 4
    assert found["art_12.par_1"].data["from_start"] is False
    before = shown(place.survey())
    assert before["art_13.par_1"].data["decisions"] == 3
    assert before["art_12.par_1"].data["range"]["last"] == 4


def test_a_record_that_was_interrupted_is_counted_whole(place):
    place.declare(NEXT, since=None)
    place.decide("of the next")
    place.declare(since=None)
    place.decide("again", "and again")
    found = shown(place.survey())
    assert found["art_13.par_1"].data["decisions"] == 5
    data = found["art_12.par_1"].data
    assert (data["range"]["first"], data["entries"]) == (7, 3)
    states = {result.id: result.state for result in place.report("full").results}
    assert states["art_12.par_1"] == states["art_13.par_1"] == "shown"
    # Declaring another does not end a silence unseen.
    place.clock.now += 3 * DAY
    place.declare(NEXT, since=None)
    place.declare(since=None)
    assert "nothing was recorded for 2592" in failed(place.survey())["art_12.par_1"]


def test_a_failure_that_names_the_system_counts_wherever_it_stands(tmp_path):
    place = Place(tmp_path)
    with place.open() as ledger:
        fixed = commit_threshold(ledger, "recall", "at_least", "1", scope=SCOPE, by="risk team")
        record_measurement(ledger, fixed.seq, "0.5", samples=10, dataset=DATA)
    place.declare(since=None)
    assert "art_9.par_8" in failed(place.survey())


# -- how old it is


def test_what_is_added_makes_nothing_younger(place):
    first = shown(place.survey())
    place.clock.now += 360 * DAY
    with place.open() as ledger:
        for _ in range(3):
            ledger.append("note", {})
    later = shown(place.survey())
    aged = ("art_13.par_1", "art_12.par_2.b", "art_12.par_2.c", "art_15.par_4.s2")
    for name in aged:
        assert later[name].expires == first[name].expires
    place.clock.now += 6 * DAY
    found = place.survey()
    old = {*aged, "eventLogging", "logTraceability", "transparencyDesign"}
    assert not shown(found).keys() & old
    assert "is 366 days old" in lacking(found)["interpretable_decisions"]
    assert "count for 365 days" in lacking(found)["redundancy"]


def test_evidence_is_dated_by_its_newest_entry_and_not_by_when_it_is_asked_for(place):
    found = place.survey()
    place.clock.now += 20 * 3600 * 1_000_000
    assert place.survey().items == found.items
    with place.open() as ledger:
        for item in found.items:
            newest = max(ledger.get(one.seq).timestamp for one in item.entries)
            assert item.time == newest


def test_a_period_of_long_ago_shows_nothing_of_today(place):
    end = place.clock.moment
    place.clock.now += 366 * DAY
    place.decide("late")
    found = place.survey(period=(end - timedelta(days=1), end))
    assert shown(found) == {}
