"""Evaluation: only what is typed, in scope, in time and sealed shows anything."""

import re

import pytest
from evidence_tools import (
    DATA,
    POLICY,
    SYSTEM,
    TODAY,
    core_items,
    data_for,
    drill,
    evidence,
    form_of,
    item,
    sealed,
)

from quorate.compliance import (
    ComplianceReport,
    EvidenceSet,
    System,
    evaluate,
    load_catalogue,
    load_profile,
)
from quorate.compliance.times import DAY
from quorate.core.errors import UsageError

CORE = load_profile("core")
LOGGING = "EUAIACT-ART12-001"


def report(given, profile="core", as_of=TODAY, **named):
    named.setdefault("policy", POLICY)
    return evaluate(given, profile, as_of, **named)


def logging_with(**changes):
    """All core items, that of logging changed before it is sealed."""
    others = [each for each in core_items() if each.field != "eventLogging"]
    return report(evidence(item("eventLogging", **changes), *others))


def test_all_core_items_show_all():
    found = report(evidence(*core_items()))
    assert (found.score, found.weight_shown, found.weight_total) == ("1", 67, 67)
    assert {each.state for each in found.results} == {"shown"}
    assert found.blocking == ()
    assert all(each.advice == "" and each.reasons == () for each in found.results)


def test_nothing_shows_nothing():
    found = report({})
    assert (found.score, found.weight_shown, found.weight_total) == ("0", 0, 67)
    assert len(found.missing) == 19
    assert len(found.blocking) == 10


def test_every_obligation_can_be_shown():
    found = report(evidence(*map(item, load_catalogue().at(TODAY))), "full")
    assert found.score == "1"
    assert found.unknown_fields == ()
    # What is addressed to the Commission no operator can show, and none is asked to.
    assert found.not_applicable == ("art_15.par_2",)
    assert found.result("art_15.par_2").reasons == (
        "art_15.par_2 binds the Commission; the role declared is both",
    )


def test_evidence_of_the_core_checks_is_told_of_under_the_full_profile():
    found = report(evidence(item("eventLogging"), item("hitlContact")), "full")
    assert found.weight_shown == 0
    assert found.unknown_fields == (
        (
            "eventLogging; the profile full asks for art_12.par_1, art_12.par_2.a, "
            "art_12.par_2.b, art_12.par_2.c instead"
        ),
        "hitlContact; the profile full asks for obligations, and for none by that field",
    )
    assert report(evidence(item("eventLogging"))).unknown_fields == ()


def test_every_expert_can_be_shown():
    found = report(evidence(*map(item, load_profile("experts").fields)), "experts")
    assert found.score == "1"
    assert all(each.applies_from == {} == each.in_force for each in found.results)


ATTACKS = [
    ({"status": "failed", "data": {"reason": "entry 4 is gone [chain]"}}, "failed",
     "test found it failed at 2026-11-20T09:00:00Z: entry 4 is gone [chain]"),
    ({"data": {"entries": 3}}, "invalid",
     "its data do not fit the schema log-range: range is missing; "),
    ({"data": DATA["log-range"] | {"entries": 9}}, "invalid",
     "its data do not fit the schema log-range: the range has 10 entries, 9 were found"),
    ({"data": DATA["log-range"] | {"kinds": {}}}, "invalid", "its data lack kinds"),
    ({"scope": {"system": "other", "version": "2.1.0"}}, "out_of_scope",
     "it is of other 2.1.0, not of triage 2.1.0"),
    ({"scope": {"system": "triage", "version": "2.0.0"}}, "out_of_scope",
     "it is of triage 2.0.0, not of triage 2.1.0"),
    ({"expires": "2026-11-21T23:59:59.999999Z"}, "stale",
     "it expired at 2026-11-21T23:59:59.999999Z"),
    ({"time": "2025-11-20T00:00:00Z",
      "data": DATA["log-range"] | {"range": DATA["log-range"]["range"] | {
          "since": "2025-11-19T00:00:00Z", "until": "2025-11-20T00:00:00Z"}}}, "stale",
     "it is of 2025-11-20T00:00:00Z, more than 365 days before 2026-11-21"),
    ({"time": "2026-11-22T00:00:00Z"}, "unsigned",
     ("entry 0 of example.org/evidence was sealed at 2026-11-20T10:00:00.000000Z, before the "
     "item's time 2026-11-22T00:00:00Z; it was established at 2026-11-22T00:00:00Z, after "
     "2026-11-21")),
]  # fmt: skip


@pytest.mark.parametrize(("change", "state", "reason"), ATTACKS, ids=[a[1] for a in ATTACKS])
def test_what_speaks_against_an_item(change, state, reason):
    found = logging_with(**change)
    result = found.result(LOGGING)
    assert result.state == state
    assert result.items[0].state == state
    assert result.items[0].reason.startswith(reason), result.items[0].reason
    assert getattr(found, state) == (LOGGING,)
    assert found.blocking == (LOGGING,)
    assert found.weight_shown == 62
    assert result.advice


JUNK = ["false", "no", "yes", 0, 1, True, None, {"status": "failed"}, {"status": "passed"}]


@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_what_is_no_item_passes_nothing(value):
    whole = evidence(*core_items()).to_dict()
    fields = {each["field"]: each for each in whole["items"]} | {"eventLogging": value}
    found = report(fields | {"system": whole["system"], "receipts": whole["receipts"]})
    result = found.result(LOGGING)
    assert result.state == "invalid"
    assert result.items[0].source is None
    assert re.search("is no evidence$|no valid evidence: source is missing", result.reasons[0])
    assert found.invalid == found.blocking == (LOGGING,)


def test_changing_one_item_changes_exactly_its_lines():
    before = report(evidence(*core_items()))
    for check in CORE.checks:
        items = [
            item(each.field, status="failed") if each.field == check.field else each
            for each in core_items()
        ]
        after = report(evidence(*items))
        changed = [b.id for b, a in zip(before.results, after.results, strict=True) if b != a]
        assert changed == [check.id]
        articles = [
            b.article for b, a in zip(before.articles, after.articles, strict=True) if b != a
        ]
        assert articles == [check.article]
        assert after.weight_shown == 67 - check.weight
        same = {"results", "articles", "failed", "score", "score_value", "weight_shown"}
        differing = {
            name
            for name in ComplianceReport.model_fields
            if getattr(before, name) != getattr(after, name)
        }
        more = {"blocking"} if check.severity == "blocker" else set()
        judged = [each.result(check.id).judge for each in (before, after)]
        more |= {"on_texts"} if judged[0] else set()
        more |= {"to_judge"} if judged[0] != judged[1] else set()
        assert differing == same | more


def logged(day):
    """A range of a log that ended as that day began."""
    moment = f"{day}T00:00:00Z"
    span = DATA["log-range"]["range"] | {"since": moment, "until": moment}
    return DATA["log-range"] | {"range": span}


def test_expiry_and_age_at_their_bounds():
    def state(time, data):
        return logging_with(time=time, data=data).result(LOGGING).state

    assert logging_with(expires="2026-11-22T00:00:00Z").result(LOGGING).state == "shown"
    assert state("2025-11-22T00:00:00Z", logged("2025-11-22")) == "shown"
    assert state("2025-11-21T23:59:59Z", logged("2025-11-21")) == "stale"
    # An expiry of its own shortens the time for which it counts, and never lengthens it.
    older = {"time": "2025-01-01T00:00:00Z", "expires": "9999-12-31T00:00:00Z"}
    assert logging_with(**older, data=logged("2025-01-01")).result(LOGGING).state == "stale"


def test_a_register_is_stale_when_its_review_is_due():
    items = [item("riskManagementSystem")]
    # The last review was on 2026-10-01, the interval is 120 days.
    assert report(evidence(*items), as_of="2027-01-28").missing[0] == "EUAIACT-ART9-002"
    found = report(evidence(*items), as_of="2027-01-29").result("EUAIACT-ART9-001")
    assert found.state == "stale"
    assert found.items[0].reason == "its next review fell due on 2027-01-29"


def test_a_document_without_a_digest_is_no_evidence():
    found = report(evidence(item("technicalDocumentation", digest=None)))
    assert found.result("EUAIACT-ART11-001").items[0].reason == (
        "it names no digest of its document; give sha256: and 64 hex digits"
    )


def test_a_document_on_another_version_is_no_evidence():
    data = data_for(*form_of("technicalDocumentation")) | {"system_version": "2.0.0"}
    found = report(evidence(item("technicalDocumentation", data=data)))
    assert found.result("EUAIACT-ART11-001").items[0].reason == (
        "the document describes version 2.0.0, the item speaks of 2.1.0"
    )


# --- several items ----------------------------------------------------------------------------


def test_one_failed_item_fails_whatever_else_there_is():
    found = report(evidence(item("eventLogging"), item("eventLogging", status="failed")))
    assert found.result(LOGGING).state == "failed"
    unsealed = EvidenceSet(SYSTEM, (item("eventLogging", status="failed"),))
    assert report(unsealed).result(LOGGING).state == "failed"


def test_a_failure_of_another_version_does_not_fail():
    other = item("eventLogging", status="failed", scope={"system": "triage", "version": "1"})
    assert report(evidence(item("eventLogging"), other)).result(LOGGING).state == "shown"


def test_a_failure_does_not_expire_and_its_own_source_takes_it_back():
    failed = item(
        "eventLogging", status="failed", time="2020-01-01T00:00:00Z",
        expires="2020-01-01T00:00:01Z",
    )  # fmt: skip
    assert report(evidence(failed)).result(LOGGING).state == "failed"
    other = item("eventLogging", source="somebody else")
    assert report(evidence(failed, other)).result(LOGGING).state == "failed"
    found = report(evidence(failed, item("eventLogging"))).result(LOGGING)
    assert [each.state for each in found.items] == ["stale", "shown"]
    assert found.state == "shown"
    assert found.items[0].reason.startswith("test found later that it passed; before, test found")
    # At the same moment, or by an item that shows nothing, nothing is taken back.
    same = item("eventLogging", status="failed")
    kept = report(evidence(same, item("eventLogging"))).result(LOGGING)
    assert kept.state == "failed"
    assert "not of a later time" in kept.reasons[0]
    assert "of a later time" in kept.advice
    bound, receipts = sealed([failed])
    unsealed = EvidenceSet(SYSTEM, (*bound, item("eventLogging")), tuple(receipts))
    assert report(unsealed).result(LOGGING).state == "failed"


@pytest.mark.parametrize("name", ["Triage", "tri\u200bage", "\uff54riage"])
def test_a_failure_of_a_name_that_reads_the_same_fails(name):
    scope = {"system": name, "version": "2.1.0"}
    failed = item("eventLogging", status="failed", scope=scope)
    assert report(evidence(item("eventLogging"), failed)).result(LOGGING).state == "failed"
    assert report(evidence(item("eventLogging", scope=scope))).result(LOGGING).state == (
        "out_of_scope"
    )


def test_an_older_item_beside_a_good_one_changes_nothing():
    old = item("eventLogging", time="2024-11-20T00:00:00Z", data=logged("2024-11-20"))
    found = report(evidence(old, item("eventLogging"))).result(LOGGING)
    assert found.state == "shown"
    assert [each.state for each in found.items] == ["stale", "shown"]


def test_a_check_is_shown_by_its_obligations():
    halt, override = item("art_14.par_4.e"), item("art_14.par_4.d")
    check = "EUAIACT-ART14-002"
    assert report(evidence(halt, override)).result(check).state == "shown"
    half = report(evidence(halt)).result(check)
    assert half.state == "missing"
    assert half.reasons == ("there is no evidence for overrideControl, nor for art_14.par_4.d",)
    swapped = item("art_14.par_4.d", data=drill("halt"))
    wrong = report(evidence(halt, swapped)).result(check)
    assert wrong.state == "invalid"
    assert "its data lack kind=override, decision, override" in wrong.reasons[0]


def test_many_obligations_without_evidence_are_not_all_named():
    found = report({}).result("EUAIACT-ART11-001")
    lacking = sum(load_catalogue()[each].machine for each in found.obligations)
    (reason,) = found.reasons
    assert reason == (
        "there is no evidence for technicalDocumentation, nor for art_11.par_1, "
        f"annex_iv.point_1.a, annex_iv.point_1.b, annex_iv.point_1.c and {lacking - 4} more"
    )


def test_what_a_person_judges_shows_no_check_of_many_but_can_fail_it():
    machine = [item(f"art_15.par_{each}") for each in ("1", "5.s1", "5.s3")]
    check = "EUAIACT-ART15-003"
    shown = report(evidence(*machine)).result(check)
    assert (shown.state, shown.judge) == ("shown", True)
    failed = item("art_15.par_5.s2", status="failed")
    assert report(evidence(*machine, failed)).result(check).state == "failed"
    only = report(evidence(item("art_15.par_5.s2"))).result(check)
    assert only.state == "missing"


# --- system, conditions, roles ----------------------------------------------------------------


def test_evidence_without_a_system_is_of_no_scope():
    bound, receipts = sealed([item("eventLogging")])
    plain = {"eventLogging": bound[0].to_dict(), "receipts": [r.to_dict() for r in receipts]}
    result = report(plain).result(LOGGING)
    assert result.state == "out_of_scope"
    assert result.items[0].reason == (
        "nobody said which system is evaluated; name it and its version"
    )
    assert report(plain, system=SYSTEM).result(LOGGING).state == "shown"
    assert report(plain, system=SYSTEM.to_dict()).result(LOGGING).state == "shown"


def test_the_system_named_takes_the_place_of_the_sets():
    other = System(name="triage", version="3")
    assert report(evidence(item("eventLogging")), system=other).result(LOGGING).state == (
        "out_of_scope"
    )


def test_conditions_declared_false_take_obligations_away():
    def state(**conditions):
        system = System(name="triage", version="2.1.0", role="both", conditions=conditions)
        return report({}, "full", system=system)

    bare = state()
    assert bare.result("art_12.par_3.a").state == "missing"
    assert "biometrics_1a" in bare.undeclared
    declared = state(biometrics_1a=False)
    result = declared.result("art_12.par_3.a")
    assert result.state == "not_applicable"
    assert result.reasons == (
        (
            "art_12.par_3.a applies only where it identifies people at a distance by their "
            "biometrics (Annex III, point 1(a)); declared is biometrics_1a = false"
        ),
    )
    assert "biometrics_1a" not in declared.undeclared
    assert declared.weight_total == bare.weight_total - 5 * 5
    assert state(biometrics_1a=True).result("art_12.par_3.a").state == "missing"
    # Only test sets, or all sets: one of the two applies.
    trained = state(trains_models=True)
    assert trained.result("art_10.par_6").state == "not_applicable"
    assert trained.result("art_10.par_1").state == "missing"
    untrained = state(trains_models=False)
    assert untrained.result("art_10.par_6").state == "missing"
    assert untrained.result("art_10.par_1").state == "not_applicable"


def test_an_unknown_condition_is_refused():
    system = System(name="triage", version="2.1.0", conditions={"train_models": False})
    with pytest.raises(UsageError, match="no condition of the catalogue; did you mean 'trains_"):
        report({}, system=system)


def test_roles_take_obligations_away():
    def states(role):
        found = report({}, "full", system=System(name="t", version="1", role=role))
        return found.result("art_9.par_1").state, found.result("art_26.par_6").state

    assert states("provider") == ("missing", "not_applicable")
    assert states("deployer") == ("not_applicable", "missing")
    assert states("both") == ("missing", "missing")
    nothing = report({}, system=System(name="t", version="1", role="deployer"))
    assert (nothing.score, nothing.score_value, nothing.weight_total) == (None, None, 0)
    assert {each.worst for each in nothing.articles} == {"not_applicable"}
    assert nothing.blocking == nothing.to_judge == ()


def test_a_field_nobody_asks_for_is_told():
    found = report({"eventLoging": True, "eventLogging": True})
    assert found.unknown_fields == ("eventLoging; did you mean 'eventLogging'?",)


def test_a_profile_of_ones_own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'format = "quorate/profile/1"\nname = "own"\ntitle = "Own"\nmax_age_days = 3\n'
        '[[checks]]\nid = "O-1"\ntitle = "Contact"\narticle = "own"\nfield = "ownContact"\n'
        'schema = "contact"\nseverity = "minor"\nadvice = "Ask the duty officer."\n'
    )
    given = evidence(item("ownContact", data=DATA["contact"]))
    assert report(given, path).score == "1"
    late = report(given, path, as_of="2026-11-24")
    assert late.result("O-1").state == "stale"
    assert late.result("O-1").advice.startswith("Ask the duty officer. Establish ownContact again")
    assert [each.article for each in late.articles] == ["own"]


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"policy": "policy.toml"}, "policy is 'policy.toml'; give a Policy"),
        ({"profile": None}, "profile is None; give its name"),
        ({"as_of": None}, "as_of is None; give a date"),
        ({"system": "triage"}, "the system: it is 'triage'"),
    ],
)
def test_arguments_of_another_type_are_refused(named, message):
    with pytest.raises(UsageError, match=message):
        report({}, **named)


def test_the_day_has_to_be_named():
    with pytest.raises(UsageError, match="as_of is missing"):
        evaluate({}, "core")


def test_the_same_evidence_in_any_order_gives_the_same_verdicts():
    items = core_items()
    first, second = report(evidence(*items)), report(evidence(*reversed(items)))
    assert first.score == second.score
    assert [e.state for e in first.results] == [e.state for e in second.results]


def test_limits_of_age_are_days_of_the_profile():
    check = CORE.checks[0]
    assert (check.max_age_days, DAY) == (365, 86_400_000_000)


def test_every_field_has_data_that_fit():
    for field in CORE.fields:
        assert data_for(*form_of(field))


# --- items beside each other ------------------------------------------------------------------

ACCURACY, MEASURES = "EUAIACT-ART15-001", "EUAIACT-ART9-003"


def told(metrics, **changes):
    return item("instructionsForUse", data=data_for_instructions(metrics), **changes)


def data_for_instructions(metrics):
    return data_for(*form_of("instructionsForUse")) | {"metrics": metrics}


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"accuracy": 0.93}, None),
        ({"accuracy": 0.95}, "accuracy is declared as 0.93, in the instructions for use as 0.95"),
        ({"recall": 0.9}, "accuracy is declared, but the instructions for use do not tell it"),
    ],
)
def test_levels_declared_are_those_of_the_instructions(metrics, reason):
    series = item("accuracyMetrics")
    result = report(evidence(series, told(metrics))).result(ACCURACY)
    assert result.items[0].reason == (reason or "")
    assert result.state == ("shown" if reason is None else "invalid")


def test_levels_name_the_instructions_that_are_shown():
    other = told({"accuracy": 0.93}, digest="sha256:" + "0" * 64)
    given = report(evidence(item("accuracyMetrics"), other)).result(ACCURACY)
    assert given.state == "invalid"
    assert "not those that were shown" in given.items[0].reason
    data = {each: v for each, v in DATA["metric-series"].items() if each != "instructions"}
    without = item("accuracyMetrics", data=data)
    result = report(evidence(without, told({"accuracy": 0.93}))).result(ACCURACY)
    assert result.state == "invalid"
    assert "the instructions named are none" in result.items[0].reason


def test_other_instructions_say_nothing_of_it():
    series = item("accuracyMetrics")
    for other in (
        {"scope": {"system": "triage", "version": "1"}},
        {"status": "failed"},
    ):
        given = evidence(series, told({"accuracy": 0.5}, **other))
        assert report(given).result(ACCURACY).state == "shown"
    bound, receipts = sealed([series])
    unsealed = EvidenceSet(SYSTEM, (*bound, told({"accuracy": 0.5})), tuple(receipts))
    assert report(unsealed).result(ACCURACY).state == "shown"


def test_every_risk_has_a_measure_in_place():
    second = DATA["hazards"]["hazards"][0] | {"id": "H2"}
    data = DATA["hazards"] | {"hazards": [*DATA["hazards"]["hazards"], second]}
    risks = item("riskAssessment", data=data)
    result = report(evidence(risks, item("riskMitigationMeasures"))).result(MEASURES)
    assert result.state == "invalid"
    assert result.items[0].reason == ("no measure is in place against H2, which the risks name")
    fewer = report(evidence(item("riskAssessment"), item("riskMitigationMeasures")))
    assert fewer.result(MEASURES).state == "shown"


def test_what_others_wrote_does_not_rewrite_a_screen():
    hostile = item(
        "eventLogging", status="failed", source="x\x1b[2J", data={"reason": "\u202eevil\n" * 400}
    )
    found = report(evidence(hostile))
    result = found.result(LOGGING)
    assert result.state == "failed"
    assert result.items[0].reason.isprintable()
    assert len(result.items[0].reason) < 4000
    named = report({"a\x1b[2J": True}, system=System(name="x\x1b[2J", version="1"))
    assert named.describe().isprintable()
    assert all(each.isprintable() for each in named.unknown_fields)
    assert len(load_catalogue()) > len(named.results)
