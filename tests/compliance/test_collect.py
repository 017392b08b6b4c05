"""Evidence collected from ledgers: what is shown, what is lacking, and what no tampering shows."""

from datetime import UTC, datetime, timedelta

import pytest
from collect_tools import DAY, SCOPE, SYSTEM, Place, failed, lacking, shown, whole_reason

from quorate.compliance import Evidence
from quorate.compliance.collect import (
    Found,
    Lack,
    collect,
    collector,
    collectors,
    seal_evidence,
    survey,
)  # fmt: skip
from quorate.compliance.collect.registry import _KNOWN
from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, Policy

FIELDS = {
    "art_12.par_1", "art_12.par_2.a", "art_12.par_2.b", "art_12.par_2.c", "art_13.par_1",
    "art_14.par_4.c", "art_14.par_4.d", "art_14.par_4.e", "art_15.par_4.s2", "eventLogging",
    "logTraceability", "transparencyDesign",
}  # fmt: skip


def test_what_a_ledger_with_drills_shows(whole):
    found = whole.survey()
    assert shown(found).keys() == FIELDS
    assert not failed(found)
    assert found.broken is None
    data = shown(found)["art_13.par_1"].data
    # Those of the drills' script are none of the system's.
    assert (data["decisions"], data["committed"], data["refused"]) == (3, 2, 1)
    assert shown(found)["art_12.par_1"].data["from_start"] is True
    for item in found.items:
        assert item.entries
        assert item.source.startswith("quorate.collect.")


def test_each_field_is_shown_once_sealed_and_by_nothing_unsealed(whole):
    report = whole.report("full")
    states = {result.id: result.state for result in report.results}
    assert {name for name, state in states.items() if state == "shown"} == {
        name for name in FIELDS if name.startswith("art_")
    }
    with whole.open() as ledger:
        ledger.verify(policy=whole.policy, replay=True)


def test_collecting_is_pure(whole):
    assert whole.survey() == whole.survey()


def test_an_empty_ledger_and_an_empty_period_show_nothing(tmp_path, place):
    empty = Place(tmp_path, "empty.db")
    empty.open().close()
    found = empty.survey()
    assert found.items == ()
    assert set(lacking(found).values()) == {"the ledger is empty"}
    before = datetime(2001, 1, 1, tzinfo=UTC)
    found = place.survey(period=(before, before))
    lacks = lacking(found)
    assert "after what it claims" in lacks.pop("declaration")
    assert set(lacks.values()) == {"no entry of its record was sealed in that period"}


# -- a ledger that does not verify


def test_an_entry_cut_out_turns_every_item_red_and_says_which(whole, tmp_path):
    copy = whole.copy(tmp_path)
    copy.tamper("DELETE FROM entries WHERE seq = 2")
    found = copy.survey()
    assert shown(found) == {}
    assert failed(found).keys() == {name for one in collectors() for name in one.fields}
    assert set(failed(found).values()) == {
        "the ledger does not verify: entry 2: found number 3 instead [sequence]"
    }


def test_an_entry_altered_does_too(whole, tmp_path):
    copy = whole.copy(tmp_path)
    copy.tamper("UPDATE entries SET body = replace(body, 'yes', 'yep') WHERE seq = 1")
    assert "entry 1: " in whole_reason(copy.survey())
    assert "[commitment]" in whole_reason(copy.survey())


def test_the_end_cut_off_is_seen_by_a_checkpoint_kept_elsewhere(whole, tmp_path):
    with whole.open() as ledger:
        note = ledger.checkpoint()
        last = len(ledger) - 1
    copy = whole.copy(tmp_path)
    copy.tamper("DELETE FROM entries WHERE seq = ?", last)
    assert failed(copy.survey()) == {}
    assert "[truncation]" in whole_reason(copy.survey(checkpoint=note))
    data = shown(whole.survey(checkpoint=note))["art_12.par_1"].data
    assert data["checkpoint"] is not None


def test_keys_that_are_not_trusted_and_a_log_of_another_name_show_nothing(whole):
    stranger = Policy.of([Ed25519Signer.generate().verifier])
    assert "[signature]" in whole_reason(whole.survey(policy=stranger))
    other = Policy.of([whole.signer.verifier], origin="example.org/another")
    assert "[origin]" in whole_reason(whole.survey(policy=other))


def test_a_verdict_that_was_signed_and_is_wrong_shows_nothing(whole):
    with whole.open() as ledger:
        body = ledger.get(1).payload
        body["verdict"]["support"] = 0.5
        body["task"]["id"] = "other"
        ledger.append("decision", body)
    assert "[replay]" in whole_reason(whole.survey())


def test_a_clock_that_was_wrong_shows_nothing(whole):
    early = whole.clock.moment - timedelta(days=1)
    assert "a clock was wrong" in whole_reason(whole.survey(now=early))


def test_a_ledger_that_is_changed_while_it_is_read_shows_nothing(whole, monkeypatch):
    real = Ledger.__iter__
    with whole.open() as ledger:
        swapped = ledger.get(2)
        monkeypatch.setattr(
            Ledger,
            "__iter__",
            lambda self: (swapped if r.seq == 1 else r for r in real(self)),
        )
        found = survey(ledger, policy=whole.policy, system=SYSTEM, now=whole.clock.moment)
    assert "changed while it was read" in whole_reason(found)


# -- logging and retention


def test_silence_is_held_to_what_is_declared(whole):
    assert "art_12.par_1" in shown(whole.survey(silence_seconds=60))
    whole.clock.now += 3600 * 1_000_000
    whole.decide("late")
    found = failed(whole.survey(silence_seconds=60))
    assert found.keys() == {"art_12.par_1", "eventLogging"}
    assert "nothing was recorded for 3600" in found["art_12.par_1"]
    whole.clock.now += 7200 * 1_000_000
    assert (
        "nothing was recorded since entry"
        in failed(whole.survey(silence_seconds=5000))["art_12.par_1"]
    )


def test_without_a_bound_no_silence_is_too_long_so_none_is_shown(tmp_path):
    place = Place(tmp_path)
    place.decide("one")
    place.declare(silence_seconds=None)
    place.clock.now += 150 * DAY
    place.decide("two")
    found = place.survey()
    for name in ("gapless_logging", "event_logging"):
        assert "nobody declared how long a silence is normal" in lacking(found)[name]
    place.declare(silence_seconds=60)
    assert "nothing was recorded for 1.296e+07" in failed(place.survey())["eventLogging"]


def test_a_bound_that_the_caller_gives_makes_the_declared_one_no_laxer(place):
    place.clock.now += 2 * DAY
    for more in ({}, {"silence_seconds": 1e9}, {"silence_seconds": 60}):
        assert "art_12.par_1" in failed(place.survey(**more))


def test_a_bound_declared_later_holds_from_then_on(place):
    place.declare(silence_seconds=3 * 86_400)
    place.clock.now += 2 * DAY
    place.decide("late")
    data = shown(place.survey(silence_seconds=1e9))["art_12.par_1"].data
    assert data["bound_seconds"] == 3 * 86_400
    assert data["silence_seconds"] == pytest.approx(2 * 86_400, abs=1)
    assert "art_12.par_1" in failed(place.survey(silence_seconds=60))
    # A stricter one counts from its own entry on as well.
    place.declare(silence_seconds=60)
    assert "art_12.par_1" in shown(place.survey())
    place.clock.now += 61_000_000
    assert "since entry" in failed(place.survey())["art_12.par_1"]


def test_a_period_hides_no_silence(place):
    place.clock.now += 150 * DAY
    place.decide("late")
    late = place.clock.moment
    place.decide("later")
    end = place.clock.moment
    told = failed(place.survey(period=(late, end)))["art_12.par_1"]
    assert "nothing was recorded for 1.296e+07" in told


def test_a_period_hides_no_silence_at_the_end(place):
    early = place.clock.moment
    place.decide("early")
    end = place.clock.moment
    place.clock.now += DAY - 2_000_000
    assert "art_12.par_1" in shown(place.survey(period=(early, end)))
    place.clock.now += DAY
    told = failed(place.survey(period=(early, end)))["art_12.par_1"]
    assert "nothing was recorded since entry" in told


def test_silence_at_its_bound_is_none(tmp_path):
    place = Place(tmp_path)
    with place.open() as ledger:
        ledger.append("note", {})
        place.clock.now += 10_000_000 - 1000
        ledger.append("note", {})
    place.declare()
    assert "art_12.par_1" in shown(place.survey(silence_seconds=10))
    assert "art_12.par_1" in failed(place.survey(silence_seconds=9.999999))


def test_a_period_is_looked_at_alone(place):
    since = place.clock.moment
    place.clock.now += DAY - 1_000_000
    place.decide("later")
    found = shown(place.survey(period=(since, place.clock.moment)))
    assert found["art_12.par_1"].data["from_start"] is False
    assert found["art_13.par_1"].data["decisions"] == 1
    # Who decides was declared before the period.
    assert found["art_12.par_2.a"].data["covers"]["modification"] == ["panel"]


def test_events_that_are_not_recorded_are_lacking(tmp_path):
    place = Place(tmp_path)
    with place.open() as ledger:
        ledger.append("note", {"nothing": "in particular"})
    place.declare()
    found = place.survey()
    assert shown(found).keys() == {"art_12.par_1"}
    assert "shows risk" in lacking(found)["risk_events"]
    assert "shows monitoring" in lacking(found)["monitoring_events"]
    assert "shows operation" in lacking(found)["operation_events"]


def test_six_months_are_shown_when_they_have_passed_and_a_note_bears_it_out(place):
    start = place.clock.now
    with place.open() as ledger:
        note = ledger.checkpoint()
    for days, there in ((183, False), (185, True)):
        place.clock.now = start + days * DAY
        place.decide(f"after {days} days")
        found = place.survey(checkpoint=note)
        assert ("art_19.par_1" in shown(found)) is there
        assert ("art_26.par_6" in shown(found)) is there
        if not there:
            assert "the oldest record is 183 days old" in lacking(found)["retention"]


def test_half_a_year_made_in_a_second_is_by_the_operator_s_clock_alone(place):
    place.clock.now += 200 * DAY
    place.decide("late")
    with place.open() as ledger:
        today = ledger.checkpoint()
    # A note of today was kept by nobody for half a year.
    for more in ({}, {"checkpoint": today}):
        found = place.survey(**more)
        assert "art_19.par_1" not in shown(found)
        assert "the operator's own clock alone" in lacking(found)["retention"]


def test_a_note_of_before_the_record_began_bears_out_nothing_of_it(tmp_path):
    place = Place(tmp_path)
    place.decide("one")
    with place.open() as ledger:
        note = ledger.checkpoint()
    place.declare(since=None)
    place.clock.now += 200 * DAY
    place.decide("two")
    told = lacking(place.survey(checkpoint=note))["retention"]
    assert "the operator's own clock alone" in told


# -- sealing, and collectors of one's own


def test_what_was_collected_is_sealed_in_its_own_ledger(whole, tmp_path):
    other = Place(tmp_path, "other.db")
    found = whole.survey()
    with other.open() as ledger:
        with pytest.raises(UsageError, match=r"was collected from entry \d+ of another ledger"):
            seal_evidence(ledger, found.items, collected=found)
        assert len(ledger) == 0
    with whole.open() as ledger:
        sealed = seal_evidence(ledger, found.items, collected=found)
        for item in sealed:
            assert ledger.get(item.receipt.seq).payload == item.body()


def test_nobody_writes_what_a_collector_finds(whole):
    """Not from hand, not one that was changed, and not one of another survey."""
    found = whole.survey()
    item = next(one for one in found.items if one.field == "art_13.par_1")
    changed = item.model_copy(update={"data": {**item.data, "decisions": 4, "committed": 3}})
    to_python_the_same = item.model_copy(update={"data": {**item.data, "refused": True}})
    whole.decide("one more")
    refused = [
        ([item], None),
        ([changed], found),
        ([to_python_the_same], found),
        ([item], whole.survey()),
    ]
    with whole.open() as ledger:
        size = len(ledger)
        for items, collected in refused:
            with pytest.raises(UsageError, match="was not collected just now"):
                seal_evidence(ledger, items, collected=collected)
        with pytest.raises(UsageError, match="give what survey"):
            seal_evidence(ledger, [item], collected=[item])
        assert len(ledger) == size
        own = item.model_copy(update={"source": "our own review"})
        assert len(seal_evidence(ledger, [own])) == 1


def test_evidence_pasted_into_another_ledger_does_not_verify(whole, tmp_path):
    other = Place(tmp_path, "other.db")
    with other.open() as ledger:
        ledger.append("evidence", whole.survey().items[0].body())
        with pytest.raises(VerificationError, match="it names entry"):
            ledger.verify(replay=True)


def test_a_collector_of_ones_own(place):
    @collector("art_73.par_2", title="Incidents are reported in time")
    def incidents_of_a_test(record):
        return Found({"count": len(record.verdicts)}, record.ends)

    try:
        found = place.survey(only=["incidents_of_a_test"])
        assert [item.field for item in found.items] == ["art_73.par_2"]
        assert found.items[0].source == "quorate.collect.incidents_of_a_test"
    finally:
        del _KNOWN["incidents_of_a_test"]


def test_a_collector_that_gives_something_else_is_told(place):
    @collector("art_73.par_2", title="Nothing")
    def gives_a_bool(record):
        return True

    try:
        with pytest.raises(UsageError, match="gave a bool; it gives Found or Lack"):
            place.survey(only=["gives_a_bool"])
    finally:
        del _KNOWN["gives_a_bool"]


def test_a_name_that_is_taken_is_refused():
    def halt_drill(record):
        return Lack("nothing")

    with pytest.raises(UsageError, match="registered already"):
        collector("art_1", title="Another")(halt_drill)
    with pytest.raises(UsageError, match="one field or more"):
        collector(title="None")
    with pytest.raises(UsageError, match="there is no collector 'no_such'"):
        collectors(["no_such"])


def test_collect_gives_the_items_of_a_survey(whole):
    with whole.open() as ledger:
        items = collect(ledger, policy=whole.policy, system=SCOPE, now=whole.clock.moment)
    assert all(isinstance(item, Evidence) for item in items)
    assert {item.field for item in items} == FIELDS


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"policy": None}, "name the keys that you trust"),
        ({"now": datetime(2026, 1, 1)}, "without a time zone"),  # noqa: DTZ001 - that is the point
        ({"now": "2026-01-01"}, "give a datetime"),
        ({"silence_seconds": 0}, "it is above 0"),
        ({"silence_seconds": float("inf")}, "it is above 0"),
        ({"silence_seconds": float("nan")}, "it is above 0"),
        ({"system": {"name": "x"}}, "the system"),
    ],
)
def test_arguments_that_cannot_be_used(place, more, told):
    with pytest.raises(UsageError, match=told):
        place.survey(**more)
