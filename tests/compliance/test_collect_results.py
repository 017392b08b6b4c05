"""Thresholds, results and attacks, collected: nothing lax, picked, fitted, partial or old shows."""

from fractions import Fraction

import pytest
from collect_tools import DATA, DAY, NEXT_SCOPE, SCOPE, Place, failed, lacking, shown

from quorate.compliance.committing import Threshold, commit_threshold, record_measurement
from quorate.compliance.evidence import Scope
from quorate.core.errors import UsageError
from quorate.hub.outcomes import seal_outcome
from quorate.redteam import builtin, register_target, scan, seal_report, unregister_target

# -- thresholds and results


def fixed(place, value="19/20", **more):
    given = {"metric": "recall", "comparison": "at_least", "scope": SCOPE, "by": "risk team"}
    given |= more
    if given["comparison"] == "at_least" and Fraction(value) <= 0:
        # None is sealed so any more; another program with the key may.
        given["scope"] = Scope.model_validate(given["scope"])
        lax = Threshold(value=Fraction(value), **given)
        with place.open() as ledger:
            return ledger.append("threshold", lax.to_dict())
    with place.open() as ledger:
        return commit_threshold(
            ledger, given.pop("metric"), given.pop("comparison"), value, **given
        )


def measured(place, threshold, value, dataset=DATA):
    with place.open() as ledger:
        return record_measurement(ledger, threshold.seq, value, samples=100, dataset=dataset)


def outcomes(place, **answers):
    with place.open() as ledger:
        for task, answer in answers.items():
            seal_outcome(ledger, task, answer)


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
    assert "measured recall as 0.94" in found["art_9.par_8"]


def test_a_threshold_that_was_sealed_after_results_on_the_same_data(place):
    measured(place, fixed(place, "1/2"), "0.6")
    later = fixed(place, "3/5")
    result = measured(place, later, "0.6")
    told = failed(place.survey())["art_9.par_8"]
    assert f"threshold of entry {later.seq} was sealed after results on the same data" in told
    assert result.seq > later.seq


def test_a_threshold_fitted_to_results_of_another_version_was_not_fixed_before(place):
    strict = fixed(place, "99/100", scope=NEXT_SCOPE)
    measured(place, strict, "0.6")
    measured(place, fixed(place, "3/5"), "0.6")
    found = failed(place.survey())
    assert found.keys() == {"art_9.par_8", "art_15.par_1"}
    assert "was sealed after results on the same data" in found["art_9.par_8"]


def test_nor_was_one_whose_metric_or_system_is_spelled_otherwise(place):
    other = fixed(place, "0", metric=" ReCALL", scope={"system": "Triage", "version": "2.1.0"})
    measured(place, other, "0.6")
    measured(place, fixed(place, "3/5"), "0.6")
    assert "was sealed after results" in failed(place.survey())["art_9.par_8"]


def test_the_very_threshold_of_the_version_before_was_fixed_before_its_results(place):
    measured(place, fixed(place, "3/5", scope=NEXT_SCOPE), "0.6")
    measured(place, fixed(place, "3/5"), "0.7")
    assert "art_9.par_8" in shown(place.survey())


def test_one_picked_from_several_of_the_version_before_was_not(place):
    several = [fixed(place, value, scope=NEXT_SCOPE) for value in ("1/2", "3/5", "9/10")]
    for threshold in several:
        measured(place, threshold, "0.6")
    measured(place, fixed(place, "3/5"), "0.6")
    assert "was sealed after results" in failed(place.survey())["art_9.par_8"]


def test_a_strict_threshold_that_nobody_measured_against_is_not_forgotten(place):
    strict, lax = fixed(place, "99/100"), fixed(place, "0")
    measured(place, lax, "0.1")
    found = failed(place.survey())
    assert found.keys() == {"art_9.par_8", "art_15.par_1"}
    assert f"a laxer threshold than that of entry {strict.seq}" in found["art_9.par_8"]


def test_each_threshold_has_a_result(place):
    measured(place, fixed(place), "0.97")
    other = fixed(place, "1/10", metric="error rate", comparison="at_most")
    found = place.survey()
    for name in ("thresholds_before_results", "accuracy_series"):
        assert (
            f"the threshold of entry {other.seq} (error rate at most 0.1)" in (lacking(found)[name])
        )
    measured(place, other, "0.1")
    assert {"art_9.par_8", "art_15.par_1"} <= shown(place.survey()).keys()
    # Another version's may wait.
    fixed(place, scope=NEXT_SCOPE)
    assert {"art_9.par_8", "art_15.par_1"} <= shown(place.survey()).keys()


def test_results_of_long_ago_show_nothing_of_today(place):
    recall, error = fixed(place), fixed(place, "1/10", metric="error", comparison="at_most")
    measured(place, recall, "0.97")
    measured(place, error, "0.1")
    item = shown(place.survey())["art_9.par_8"]
    place.clock.now += 300 * DAY
    measured(place, recall, "0.97", "sha256:" + "b" * 64)
    # The metric whose last measurement is the oldest says until when; nothing added moves it.
    assert shown(place.survey())["art_9.par_8"].expires[:10] == item.expires[:10]
    place.clock.now += 66 * DAY
    with place.open() as ledger:
        ledger.append("note", {})
    assert "is 366 days old" in lacking(place.survey())["thresholds_before_results"]
    assert "art_15.par_1" not in shown(place.survey())


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
    outcomes(place, one="no", three="yes", four="yes", five="no")
    point = shown(place.survey())["art_15.par_1"].data["series"][0]["points"][0]
    # What was decided before the threshold was sealed is not counted against it.
    assert (point["samples"], point["value"]) == (3, pytest.approx(2 / 3))
    assert threshold.kind == "threshold"
    place.decide("six")
    outcomes(place, six="no")
    assert "1/2 were right" in failed(place.survey())["art_15.par_1"]


def test_an_outcome_that_nobody_knows_is_a_wrong_one(place):
    fixed(place, "2/3", metric="ledger.accuracy")
    place.decide("a", "b", "c")
    outcomes(place, a="yes")
    told = lacking(place.survey())["accuracy_series"]
    assert "known of 1 of 3 committed, too few; were the others wrong, 1/3 would be right" in told
    outcomes(place, b="yes")
    point = shown(place.survey())["art_15.par_1"].data["series"][0]["points"][0]
    assert (point["samples"], point["value"]) == (3, pytest.approx(2 / 3))
    outcomes(place, c="no")
    assert "art_15.par_1" in shown(place.survey())


def test_outcomes_that_were_known_before_the_threshold_count_against_it(place):
    place.decide("a", "b", "c")
    outcomes(place, a="no", b="no", c="no")
    fixed(place, "1/2", metric="ledger.accuracy")
    place.decide("d")
    outcomes(place, d="yes")
    assert "1/4 were right" in failed(place.survey())["art_15.par_1"]


@pytest.mark.parametrize(("comparison", "value"), [("at_most", "1"), ("at_least", "0")])
def test_accuracy_that_the_worst_keep_is_not_shown(place, comparison, value):
    fixed(place, value, metric="ledger.accuracy", comparison=comparison)
    place.decide("a")
    outcomes(place, a="no")
    assert "which the worst keep" in lacking(place.survey())["accuracy_series"]


def test_accuracy_of_another_s_decisions_is_not_the_system_s(tmp_path):
    place = Place(tmp_path)
    place.decide("a")
    place.declare({"name": "another", "version": "1"})
    place.declare(since=None)
    fixed(place, "1", metric="ledger.accuracy")
    outcomes(place, a="yes")
    assert "has no result yet" in lacking(place.survey())["accuracy_series"]


def test_without_a_threshold_accuracy_is_not_claimed(place):
    outcomes(place, one="yes")
    assert "of 3 verdicts 1 have a known outcome" in lacking(place.survey())["accuracy_series"]


# -- attacks


def system(request):
    """Stands for a system of somebody's: it is none of the built-in scripts."""
    return builtin()["scripted-hardened"](request)


def weak(request):
    return builtin()["scripted-naive"](request)


def attacked(place, target=system, strategies=None, name="triage", version="2.1.0"):
    report = scan(target, strategies, seed=7, name=name, version=version)
    with place.open() as ledger:
        return seal_report(ledger, report)


def require(place, value="1", **more):
    return fixed(place, value, metric="redteam.resilience", **more)


def test_a_run_of_attacks_is_held_to_a_threshold_before_it(place):
    attacked(place)
    assert "was held to nothing" in lacking(place.survey())["attack_runs"]
    require(place)
    assert "was held to nothing" in lacking(place.survey())["attack_runs"]
    attacked(place)
    data = shown(place.survey())["art_15.par_5.s1"].data
    assert (data["resilience"], data["required"]) == (1, 1)
    states = {result.id: result.state for result in place.report("full").results}
    assert states["art_15.par_5.s1"] == "shown"


def test_a_run_that_fell_short_fails_and_nothing_later_mends_it(place):
    required = require(place)
    attacked(place, weak)
    told = failed(place.survey())["art_15.par_5.s1"]
    assert f"came to a resilience of 0, and the threshold of entry {required.seq}" in told
    require(place, "1/100")
    attacked(place)
    require(place, "1", comparison="at_most")
    assert failed(place.survey())["art_15.par_5.s1"] == told
    # Of the next version nothing is known yet.
    place.declare({"name": "triage", "version": "2.2.0"}, since=None)
    found = place.survey(system=NEXT_SCOPE)
    assert "runs are there against triage 2.1.0" in lacking(found)["attack_runs"]
    assert "art_15.par_5.s1" not in failed(found)


@pytest.mark.parametrize(("comparison", "value"), [("at_most", "1"), ("at_least", "0")])
def test_a_threshold_that_the_worst_keep_holds_to_nothing(place, comparison, value):
    require(place, value, comparison=comparison)
    attacked(place, weak)
    assert "which the worst of runs keeps" in lacking(place.survey())["attack_runs"]


def test_a_threshold_above_the_last_run_wants_another(place):
    require(place, "1/2")
    attacked(place)
    later = require(place)
    assert (
        f"entry {later.seq} was sealed after the last run"
        in (lacking(place.survey())["attack_runs"])
    )


def test_a_part_of_the_sweep_is_not_the_sweep(place):
    require(place)
    attacked(place, strategies=["RT-CRESCENDO"])
    told = lacking(place.survey())["attack_runs"]
    assert "is no whole sweep, it lacks RT-" in told
    assert "RT-CRESCENDO" not in told


def test_a_target_that_breaks_down_defends_nothing(place):
    calls = iter(range(1000))

    def fragile(request):
        if next(calls) % 4 == 3:
            raise RuntimeError("down")
        return system(request)

    require(place)
    attacked(place, fragile)
    assert "got no usable reply" in lacking(place.survey())["attack_runs"]


def test_a_run_of_long_ago_shows_nothing_of_today(place):
    require(place)
    attacked(place)
    place.clock.now += 366 * DAY
    with place.open() as ledger:
        ledger.append("note", {})
    assert "is 366 days old" in lacking(place.survey())["attack_runs"]


@pytest.mark.parametrize(
    ("name", "version", "told"),
    [
        ("another", "2.1.0", "runs are there against another 2.1.0"),
        ("triage", "2.0.9", "runs are there against triage 2.0.9"),
        ("triage", None, "runs are there against triage of no version"),
    ],
)
def test_attacks_on_something_else_are_none_on_the_system(place, name, version, told):
    require(place)
    attacked(place, name=name, version=version)
    assert told in lacking(place.survey())["attack_runs"]


def test_a_script_is_attacked_under_its_own_name_alone(place):
    for name, version in (("triage", "2.1.0"), ("triage", None), ("scripted-naive", None)):
        with pytest.raises(UsageError, match="the built-in script scripted-hardened"):
            scan(builtin()["scripted-hardened"], seed=7, name=name, version=version)
    with pytest.raises(UsageError, match="no version of a system"):
        scan("scripted-hardened", seed=7, version="2.1.0")
    assert scan(builtin()["scripted-hardened"], ["RT-CRESCENDO"], seed=7).scripted
    register_target("staff-desk", builtin()["scripted-hardened"])
    try:
        with pytest.raises(UsageError, match="the built-in script scripted-hardened"):
            scan("staff-desk", seed=7)
    finally:
        unregister_target("staff-desk")
