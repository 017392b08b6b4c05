"""Evidence collected from ledgers: what is shown, what is lacking, and what no tampering shows."""

import itertools
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from collect_tools import (
    DATA,
    DAY,
    SCOPE,
    SYSTEM,
    Place,
    declaration,
    failed,
    lacking,
    shown,
)  # fmt: skip
from hypothesis import example, given
from hypothesis import strategies as st

from quorate.arbitration import Arbiter
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
from quorate.compliance.collect.redundancy import faults_borne
from quorate.compliance.collect.registry import _KNOWN
from quorate.compliance.committing import commit_threshold, record_measurement
from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import Ed25519Signer
from quorate.hub.outcomes import seal_outcome
from quorate.ledger import Ledger, Policy
from quorate.redteam import builtin, scan, seal_report

FIELDS = {
    "art_12.par_1", "art_12.par_2.a", "art_12.par_2.b", "art_12.par_2.c", "art_13.par_1",
    "art_14.par_4.c", "art_14.par_4.d", "art_14.par_4.e", "art_15.par_4.s2", "eventLogging",
    "logTraceability", "overrideControl", "transparencyDesign",
}  # fmt: skip


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("decided"))
    made.decide("one", "two", "split")
    return made


@pytest.fixture(scope="module")
def drilled(decided, tmp_path_factory):
    made = decided.copy(tmp_path_factory.mktemp("drilled"))
    made.drill("halt")
    made.drill("override")
    return made


@pytest.fixture
def place(decided, tmp_path_factory):
    """Three tasks decided, and nothing else."""
    return decided.copy(tmp_path_factory.mktemp("place"))


@pytest.fixture
def whole(drilled, tmp_path_factory):
    """The same, and both drills."""
    return drilled.copy(tmp_path_factory.mktemp("whole"))


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
    assert set(lacking(found).values()) == {"no entry was sealed in that period"}


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


def whole_reason(found):
    """The one reason for which everything failed."""
    assert shown(found) == {}
    (reason,) = set(failed(found).values())
    assert found.broken == reason
    return reason


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


def test_silence_at_its_bound_is_none(tmp_path):
    place = Place(tmp_path)
    with place.open() as ledger:
        ledger.append("note", {})
        place.clock.now += 10_000_000 - 1000
        ledger.append("note", {})
    assert "art_12.par_1" in shown(place.survey(silence_seconds=10))
    assert "art_12.par_1" in failed(place.survey(silence_seconds=9.999999))


def test_a_period_is_looked_at_alone(place):
    since = place.clock.moment
    place.clock.now += DAY
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
    found = place.survey()
    assert shown(found).keys() == {"art_12.par_1"}
    assert "records risk" in lacking(found)["risk_events"]
    assert "records monitoring" in lacking(found)["monitoring_events"]
    assert "records operation" in lacking(found)["operation_events"]


def test_six_months_are_shown_when_they_have_passed(place):
    start = place.clock.now
    for days, there in ((183, False), (185, True)):
        place.clock.now = start + days * DAY
        found = place.survey()
        assert ("art_19.par_1" in shown(found)) is there
        assert ("art_26.par_6" in shown(found)) is there
        if not there:
            assert "the oldest record is 183 days old" in lacking(found)["retention"]


# -- drills


def test_a_drill_of_another_system_or_version_is_none(place):
    place.drill("halt", {"system": "triage", "version": "2.0.0"})
    place.drill("override", {"system": "other", "version": "2.1.0"})
    found = place.survey()
    assert "no halt drill of triage 2.1.0" in lacking(found)["halt_drill"]
    assert "(1 of other systems or versions)" in lacking(found)["override_drill"]
    assert "both_drills" in lacking(found)


def test_one_drill_is_not_both(place):
    place.drill("halt")
    found = place.survey()
    assert "art_14.par_4.e" in shown(found)
    assert "overrideControl" not in shown(found)


def test_a_drill_goes_stale(whole):
    item = shown(whole.survey())["art_14.par_4.e"]
    assert item.expires > whole.clock.moment.isoformat()
    whole.clock.now += 364 * DAY
    assert "art_14.par_4.e" in shown(whole.survey())
    whole.clock.now += 2 * DAY
    assert "366 days old" in lacking(whole.survey())["halt_drill"]


def test_the_last_drill_counts(whole):
    with whole.open() as ledger:
        body = next(ledger.find(kind="drill")).payload
        body["seen"]["stopped"] = 1
        body["passed"] = False
        body["failures"] = ["of 2 under way 1 were stopped"]
        ledger.append("drill", body)
    found = failed(whole.survey())
    assert found.keys() == {"art_14.par_4.e", "overrideControl"}
    assert "of 2 under way 1 were stopped" in found["art_14.par_4.e"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"calls_after": 3}, "passed is True"),
        ({"before": 4}, "passed is True"),
        ({"refused": 2}, "passed is True"),
        ({"verdicts_after": 1}, "passed is True"),
    ],
)
def test_a_drill_whose_verdict_does_not_follow_from_its_counts(whole, change, told):
    with whole.open() as ledger:
        body = next(ledger.find(kind="drill")).payload
        body["seen"] |= change
        ledger.append("drill", body)
    assert told in whole_reason(whole.survey())


def test_a_drill_whose_counts_do_not_follow_from_its_entries(whole):
    with whole.open() as ledger:
        body = next(ledger.find(kind="drill")).payload
        # It names one verdict fewer, and counts one fewer: but the log has what it has.
        body["entries"]["halt"], body["entries"]["resume"] = (
            body["entries"]["resume"],
            body["entries"]["halt"],
        )
        ledger.append("drill", body)
    assert "not the order in which it went" in whole_reason(whole.survey())


def test_a_drill_during_which_something_was_decided_after_the_halt(place):
    """The counts are those of the drill; the verdict between its entries is the log's."""
    place.drill("halt")
    with place.open() as ledger:
        oversight = list(ledger.find(kind="oversight"))
        body = next(ledger.find(kind="drill")).payload
        ledger.append("oversight", {**oversight[0].payload})
        halt = ledger.get(len(ledger) - 1)
    place.decide("sneaked")
    with place.open() as ledger:
        ledger.append("oversight", {**oversight[1].payload, "halt": halt.seq})
        resume = ledger.get(len(ledger) - 1)
    place.decide("after")
    with place.open() as ledger:
        after = ledger.get(len(ledger) - 1)
        for name, receipt in (("halt", halt), ("resume", resume)):
            body["entries"][name] = {"seq": receipt.seq, "hash": receipt.entry_hash}
        body["entries"]["after"] = [{"seq": after.seq, "hash": after.entry_hash}]
        ledger.append("drill", body)
    assert "the log has 1" in whole_reason(place.survey())


def test_a_drill_from_another_ledger_pasted(whole, tmp_path):
    other = Place(tmp_path, "other.db")
    other.decide("one", "two", "split")
    with whole.open() as source, other.open() as ledger:
        for receipt in list(source)[4:]:
            ledger.append(receipt.kind, receipt.payload)
    assert "that entry of this log has" in whole_reason(other.survey())


def test_a_drill_that_tells_other_times_than_its_entries_have(whole):
    with whole.open() as ledger:
        body = next(ledger.find(kind="drill")).payload
        body["started"] = "2020-01-01T00:00:00.000000Z"
        ledger.append("drill", body)
    assert "gives other times" in failed(whole.survey())["art_14.par_4.e"]


# -- thresholds and results


def fixed(place, value="19/20", **more):
    given = {"metric": "recall", "comparison": "at_least", "scope": SCOPE, "by": "risk team"}
    given |= more
    with place.open() as ledger:
        return commit_threshold(
            ledger, given.pop("metric"), given.pop("comparison"), value, **given
        )


def measured(place, threshold, value, dataset=DATA):
    with place.open() as ledger:
        return record_measurement(ledger, threshold.seq, value, samples=100, dataset=dataset)


def test_a_result_that_keeps_a_threshold_sealed_before_it(place):
    measured(place, fixed(place), "0.97")
    found = shown(place.survey())
    (trial,) = found["art_9.par_8"].data["tests"]
    assert trial["thresholds"]["seq"] < trial["results"]["seq"]
    assert trial["metrics"][0]["value"] == 0.97
    assert found["art_15.par_1"].data["series"][0]["points"][0]["value"] == 0.97
    states = {result.id: result.state for result in place.report("full").results}
    assert states["art_9.par_8"] == states["art_15.par_1"] == "shown"


def test_a_result_that_does_not_fails_and_no_later_one_mends_it(place):
    threshold = fixed(place)
    measured(place, threshold, "0.94")
    measured(place, threshold, "0.99")
    found = failed(place.survey())
    assert found.keys() == {"art_9.par_8", "art_15.par_1"}
    assert "measured recall as 47/50" in found["art_9.par_8"]


def test_a_threshold_that_was_sealed_after_results_on_the_same_data(place):
    measured(place, fixed(place, "1/2"), "0.6")
    later = fixed(place, "3/5")
    result = measured(place, later, "0.6")
    told = failed(place.survey())["art_9.par_8"]
    assert f"threshold of entry {later.seq} was sealed after results on the same data" in told
    assert result.seq > later.seq


def test_other_data_are_other_results(place):
    measured(place, fixed(place, "1/2"), "0.6")
    measured(place, fixed(place, "3/5"), "0.6", "sha256:" + "b" * 64)
    assert "art_9.par_8" in shown(place.survey())


def test_results_of_another_version_are_none(place):
    measured(place, fixed(place, scope={"system": "triage", "version": "2.0.0"}), "0.97")
    assert "no measurement of triage 2.1.0" in lacking(place.survey())["thresholds_before_results"]


def test_accuracy_is_counted_in_the_record_where_outcomes_are_known(place):
    threshold = fixed(place, "2/3", metric="ledger.accuracy")
    place.decide("three", "four", "five")
    with place.open() as ledger:
        for task, answer in (("one", "no"), ("three", "yes"), ("four", "yes"), ("five", "no")):
            seal_outcome(ledger, task, answer)
    point = shown(place.survey())["art_15.par_1"].data["series"][0]["points"][0]
    # What was decided before the threshold was sealed is not counted against it.
    assert (point["samples"], point["value"]) == (3, pytest.approx(2 / 3))
    assert threshold.kind == "threshold"
    place.decide("six")
    with place.open() as ledger:
        seal_outcome(ledger, "six", "no")
    assert "1/2 were right" in failed(place.survey())["art_15.par_1"]


def test_without_a_threshold_accuracy_is_not_claimed(place):
    with place.open() as ledger:
        seal_outcome(ledger, "one", "yes")
    assert "of 3 verdicts 1 have a known outcome" in lacking(place.survey())["accuracy_series"]


# -- attacks


def attacked(place, target="triage", script="scripted-hardened"):
    report = scan(builtin()[script], ["RT-CRESCENDO"], seed=7, name=target)
    with place.open() as ledger:
        return seal_report(ledger, report)


def test_a_run_of_attacks_is_held_to_a_threshold_before_it(place):
    attacked(place)
    assert "was held to nothing" in lacking(place.survey())["attack_runs"]
    fixed(place, "1", metric="redteam.resilience")
    assert "was held to nothing" in lacking(place.survey())["attack_runs"]
    attacked(place)
    data = shown(place.survey())["art_15.par_5.s1"].data
    assert (data["resilience"], data["required"]) == (1, 1)
    states = {result.id: result.state for result in place.report("full").results}
    assert states["art_15.par_5.s1"] == "shown"
    attacked(place, script="scripted-naive")
    assert "came to a resilience of 0" in failed(place.survey())["art_15.par_5.s1"]


def test_attacks_on_something_else_are_none_on_the_system(place):
    fixed(place, "0", metric="redteam.resilience")
    attacked(place, "another")
    assert "runs are there against another" in lacking(place.survey())["attack_runs"]


# -- redundancy


def panel(names="abcd", quorum=Fraction(3, 4), **more):
    return declaration(Arbiter(quorum=quorum), names, **more)


def test_the_weakest_of_two_panels_counts(place):
    seven = panel("abcdefg", Fraction(5, 7))
    place.decide("later", panel=seven)
    data = shown(place.survey())["art_15.par_4.s2"].data
    assert (data["n"], data["faults"], data["share"]) == (4, 1, "3/4")
    assert "of 2 panels that decided this is the weakest" in data["limit"]


def test_a_panel_that_decided_nothing_is_not_counted(place):
    with place.open() as ledger:
        ledger.append("panel", panel("ab"))
    assert shown(place.survey())["art_15.par_4.s2"].data["n"] == 4


def test_a_panel_that_bears_nothing_shows_no_redundancy(place):
    place.decide("later", panel=panel("abc", Fraction(2, 3)))
    assert "bears no faulty expert at all" in lacking(place.survey())["redundancy"]


def test_the_limit_is_told_where_nothing_is_declared(place):
    limit = shown(place.survey())["art_15.par_4.s2"].data["limit"]
    assert "is not declared: 4 experts on one host, say, are lost together" in limit
    assert "not that they are right" in limit


def test_what_is_declared_of_failing_together_is_counted(place):
    one_host = panel("abcdefg", Fraction(5, 7), failure_domain={"host": "rack-1"})
    place.decide("later", panel=one_host)
    data = shown(place.survey())["art_15.par_4.s2"].data
    assert (data["n"], data["faults"], data["effective_faults"]) == (7, 2, 0)
    assert data["domains"] == [{"attribute": "host", "groups": 1, "largest": 7, "faults": 0}]
    assert "counted by host (rack-1: 7) it bears none" in data["limit"]
    states = {result.id: result.state for result in place.report("full").results}
    assert states["art_15.par_4.s2"] == "shown"


def test_verdicts_without_a_panel_show_no_redundancy_and_are_told_of(tmp_path):
    bare = Place(tmp_path)
    bare.drill("halt")
    found = bare.survey()
    # The script's panel is not the system's.
    assert "no verdict of the period names a panel" in lacking(found)["redundancy"]
    assert "art_13.par_1" not in shown(found)
    assert "art_12.par_2.a" not in shown(found)


def naive_faults(weights, quorum):
    """Try every set of liars of every size."""
    whole, best = sum(weights), 0
    for f in range(1, (len(weights) - 1) // 3 + 1):
        worst = max(sum(group) for group in itertools.combinations(weights, f))
        if not (
            3 * worst < whole and worst <= (1 - quorum) * whole and worst < (2 * quorum - 1) * whole
        ):
            break
        best = f
    return best


@example([1] * 6, Fraction(7, 12))
@example([1] * 7, Fraction(6, 7))
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=9),
    st.integers(1, 12).map(lambda n: Fraction(n, 12)),
)
def test_the_faults_that_are_borne_are_those_of_every_set_of_liars(weights, quorum):
    assert faults_borne([Fraction(w) for w in weights], quorum) == naive_faults(weights, quorum)


def test_seven_of_equal_weight_bear_two_at_the_demos_quorum():
    assert faults_borne([Fraction(1)] * 7, Fraction(66, 100)) == 2
    assert faults_borne([Fraction(1)] * 7, Fraction(1, 2)) == 0
    assert faults_borne([Fraction(0)] * 7, Fraction(1, 2)) == 0


# -- sealing, and collectors of one's own


def test_what_was_collected_is_sealed_in_its_own_ledger(whole, tmp_path):
    other = Place(tmp_path, "other.db")
    items = whole.survey().items
    with other.open() as ledger:
        with pytest.raises(UsageError, match=r"was collected from entry \d+ of another ledger"):
            seal_evidence(ledger, items)
        assert len(ledger) == 0
    with whole.open() as ledger:
        sealed = seal_evidence(ledger, items)
        for item in sealed:
            assert ledger.get(item.receipt.seq).payload == item.body()


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
        ({"system": {"name": "x"}}, "the system"),
    ],
)
def test_arguments_that_cannot_be_used(place, more, told):
    with pytest.raises(UsageError, match=told):
        place.survey(**more)
