"""Profiles: the golden ones, and what a user's own file is told."""

from dataclasses import replace

import pytest

from quorate.compliance import Check, ProfileError, load_catalogue, load_profile
from quorate.compliance.profiles import SHIPPED, read_profile
from quorate.compliance.schemas import FIELD_NEEDS, FIELD_SCHEMAS
from quorate.core.errors import OperationalError, UsageError

CORE = [
    ("EUAIACT-ART9-001", "riskManagementSystem", "blocker"),
    ("EUAIACT-ART9-002", "riskAssessment", "blocker"),
    ("EUAIACT-ART9-003", "riskMitigationMeasures", "major"),
    ("EUAIACT-ART9-004", "riskTesting", "major"),
    ("EUAIACT-ART10-001", "dataGovernance", "blocker"),
    ("EUAIACT-ART10-002", "biasExamination", "blocker"),
    ("EUAIACT-ART10-003", "dataQuality", "major"),
    ("EUAIACT-ART11-001", "technicalDocumentation", "blocker"),
    ("EUAIACT-ART11-002", "conformityEvidence", "major"),
    ("EUAIACT-ART12-001", "eventLogging", "blocker"),
    ("EUAIACT-ART12-002", "logTraceability", "major"),
    ("EUAIACT-ART13-001", "transparencyDesign", "blocker"),
    ("EUAIACT-ART13-002", "instructionsForUse", "major"),
    ("EUAIACT-ART14-001", "humanOversight", "blocker"),
    ("EUAIACT-ART14-002", "overrideControl", "blocker"),
    ("EUAIACT-ART14-003", "automationBiasMitigation", "minor"),
    ("EUAIACT-ART15-001", "accuracyMetrics", "major"),
    ("EUAIACT-ART15-002", "robustnessTesting", "major"),
    ("EUAIACT-ART15-003", "cybersecurityControls", "blocker"),
]
PARAGRAPHS = {
    "EUAIACT-ART9-001": "9.par_1 9.par_2",
    "EUAIACT-ART9-002": "9.par_2.a",
    "EUAIACT-ART9-003": "9.par_2.d 9.par_5 9.par_5.a 9.par_5.b 9.par_5.c",
    "EUAIACT-ART9-004": "9.par_6 9.par_7 9.par_8",
    "EUAIACT-ART10-001": "10.par_1 " + " ".join(f"10.par_2.{letter}" for letter in "abcdefgh"),
    "EUAIACT-ART10-002": "10.par_2.f 10.par_2.g",
    "EUAIACT-ART10-003": "10.par_3",
    "EUAIACT-ART11-002": "11.par_1",
    "EUAIACT-ART12-001": "12.par_1 12.par_2.a 12.par_2.b 12.par_2.c",
    "EUAIACT-ART12-002": "12.par_2.a 12.par_2.b 12.par_2.c",
    "EUAIACT-ART13-001": "13.par_1",
    "EUAIACT-ART14-001": "14.par_1 14.par_2 14.par_3.a 14.par_3.b",
    "EUAIACT-ART14-002": "14.par_4.d 14.par_4.e",
    "EUAIACT-ART14-003": "14.par_4.b",
    "EUAIACT-ART15-001": "15.par_1 15.par_2 15.par_3",
    "EUAIACT-ART15-002": "15.par_1 15.par_4.s1 15.par_4.s2 15.par_4.s3",
    "EUAIACT-ART15-003": "15.par_1 15.par_5.s1 15.par_5.s2 15.par_5.s3",
}
EXPERTS = [
    "riskAssessment", "nistRmfScore", "ictRiskFramework", "neurorightsPolicy", "x402Receipt",
    "mcpAttestation", "blockchainAnchor", "hitlContact", "redTeamReport", "blueTeamStatus",
    "continuousMonitoring", "fuzzingReport", "autonomousAudit", "webExtractionPolicy",
]  # fmt: skip

GOOD = """format = "quorate/profile/1"
name = "bank"
title = "What our bank asks"
max_age_days = 200

[[checks]]
id = "BANK-1"
title = "Events are logged"
article = "12"
obligations = ["art_12.par_1"]
field = "eventLogging"
severity = "blocker"

[[checks]]
id = "BANK-2"
title = "A contact is named"
article = "bank"
field = "bankContact"
schema = "contact"
severity = "minor"
max_age_days = 30
advice = "Name the duty officer."
"""


def test_the_core_checks_are_the_well_known_nineteen():
    core = load_profile("core")
    assert [(each.id, each.field, each.severity) for each in core.checks] == CORE
    assert sum(each.weight for each in core.checks) == 67
    severities = [each.severity for each in core.checks]
    assert [severities.count(each) for each in ("blocker", "major", "minor")] == [10, 8, 1]


def test_the_core_checks_stand_for_the_well_known_paragraphs():
    found = {each.id: each.obligations for each in load_profile("core").checks}
    for check, paragraphs in PARAGRAPHS.items():
        assert found[check] == tuple(f"art_{each}" for each in paragraphs.split()), check
    catalogue = load_catalogue()
    annex = [id_ for id_ in catalogue if id_.startswith("annex_iv")]
    assert found["EUAIACT-ART11-001"] == ("art_11.par_1", *annex)
    instructions = [id_ for id_ in catalogue if id_.startswith(("art_13.par_2", "art_13.par_3"))]
    assert found["EUAIACT-ART13-002"] == tuple(instructions)


def test_the_fourteen_experts():
    experts = load_profile("experts")
    assert [each.field for each in experts.checks] == EXPERTS
    assert {each.severity for each in experts.checks} == {"major"}
    assert not any(each.obligations for each in experts.checks)
    assert set(experts.groups) == {each.article for each in experts.checks}


def test_every_field_has_a_schema_and_no_other_has():
    fields = {*load_profile("core").fields, *load_profile("experts").fields}
    assert fields == set(FIELD_SCHEMAS) == set(FIELD_NEEDS)


def test_the_full_profile_is_the_catalogue():
    full = load_profile("full")
    for day in ("2026-07-26", "2026-11-21"):
        catalogue = load_catalogue().at(day)
        checks = full.at(catalogue)
        assert [each.id for each in checks] == list(catalogue)
        assert [each.title for each in checks] == [each.text for each in catalogue.values()]


def test_a_profile_of_ones_own(tmp_path):
    path = tmp_path / "bank.toml"
    path.write_text(GOOD)
    profile = load_profile(path)
    assert load_profile(str(path)) == profile
    assert load_profile(profile) is profile
    assert profile.checks == (
        Check("BANK-1", "Events are logged", "12", ("art_12.par_1",), "eventLogging", "blocker",
              "log-range", ("kinds", "bound_seconds"), 200, ""),
        Check("BANK-2", "A contact is named", "bank", (), "bankContact", "minor", "contact", (),
              30, "Name the duty officer."),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("quorate/profile/1", "quorate/profile/9", "p.toml:1: format is 'quorate/profile/9': "),
        ("max_age_days = 200", "max_age_days = 0", "p.toml:4: max_age_days is 0: "),
        ("max_age_days = 200", "max_age = 200", "p.toml:4: max_age is unknown"),
        ('id = "BANK-2"', 'id = "BANK-1"', "p.toml:15: 'BANK-1' is the id of another check too"),
        ('id = "BANK-1"\n', "", "p.toml:6: checks[0].id is missing"),
        (
            "art_12.par_1",
            "art_12.par1",
            "p.toml:10: BANK-1: no obligation 'art_12.par1'; did you mean 'art_12.par_1'?",
        ),
        (
            '"eventLogging"',
            '"eventLoging"',
            (
                "p.toml:11: BANK-1: the field 'eventLoging' is not known; did you mean "
                "'eventLogging'?; give its schema too"
            ),
        ),
        (
            'schema = "contact"',
            'schema = "contract"',
            "p.toml:19: BANK-2: there is no schema 'contract'; did you mean 'contact'?",
        ),
        (
            'schema = "contact"',
            'schema = "contact"\nneeds = ["persons"]',
            "p.toml:20: BANK-2: the schema contact has no member 'persons'",
        ),
        ('"minor"', '"trivial"', "p.toml:20: checks[1].severity is 'trivial': "),
        ("[[checks]]", "[checks]", "p.toml: not TOML: "),
        ('name = "bank"', 'name = "core"', "p.toml:2: the profile 'core' is not the one shipped"),
        ('name = "bank"', 'name = "Co\u200bre"', "p.toml:2: the profile 'Co"),
        ('id = "BANK-2"', 'id = "BANK-1\u200b"', "is the id of another check too"),
        (
            'article = "12"\nobligations = ["art_12.par_1"]',
            'article = "14"',
            "p.toml:9: BANK-1: '14' is an article of the law; name obligations of it",
        ),
        (
            'article = "12"',
            'article = "14"',
            "p.toml:9: BANK-1: the article is '14', its obligations are of 12",
        ),
        (
            'field = "eventLogging"',
            'field = "eventLogging"\nschema = "attestation"',
            "BANK-1: eventLogging is known, and its schema is log-range, not 'attestation'",
        ),
        (
            'field = "bankContact"',
            'field = "eventLogging "',
            "p.toml:18: checks[1].field: it has spaces around it",
        ),
        ('name = "bank"', 'name = "bank"\nobligations = "all"', "give either [[checks]] or "),
    ],
)
def test_a_mistake_is_told_with_its_line(old, new, problem):
    with pytest.raises(ProfileError) as caught:
        read_profile(GOOD.replace(old, new, 1) if old in GOOD else GOOD, "p.toml")
    assert any(each.startswith(problem) or problem in each for each in caught.value.problems), (
        caught.value.problems
    )


def test_the_same_evidence_is_not_counted_twice():
    second = GOOD.replace("BANK-1", "BANK-3").replace("BANK-2", "BANK-4")
    text = GOOD + second[second.index("[[checks]]") :]
    with pytest.raises(ProfileError) as caught:
        read_profile(text, "p.toml")
    assert "BANK-3: asks for the same as BANK-1" in str(caught.value)
    assert "BANK-4: asks for the same as BANK-2" in str(caught.value)


def test_needs_of_a_known_field_can_be_added_to_and_not_taken_away():
    def needs(line):
        text = GOOD.replace('field = "eventLogging"', f'field = "eventLogging"\n{line}')
        return read_profile(text, "p.toml").checks[0].needs

    assert needs("needs = []") == FIELD_NEEDS["eventLogging"]
    assert needs('needs = ["checkpoint"]') == (*FIELD_NEEDS["eventLogging"], "checkpoint")
    assert needs('schema = "log-range"\nneeds = []') == FIELD_NEEDS["eventLogging"]


def test_a_profile_built_by_hand_does_not_bear_a_shipped_name():
    core = load_profile("core")
    assert load_profile(core) is core
    fewer = replace(core, checks=core.checks[:1])
    with pytest.raises(UsageError, match="'core' is not the one shipped under that name"):
        load_profile(fewer)
    with pytest.raises(UsageError, match="is not the one shipped under that name"):
        load_profile(replace(fewer, name="Core "))
    assert load_profile(replace(fewer, name="own")).checks == core.checks[:1]


def test_the_digest_is_of_all_that_a_profile_says():
    profile = read_profile(GOOD, "p.toml")
    spaced = read_profile(GOOD.replace("\n\n", "\n\n\n") + "# a remark\n", "q.toml")
    assert spaced.digest == profile.digest
    for old, new in (("blocker", "major"), ("200", "201"), ("art_12.par_1", "art_12.par_2.a")):
        assert read_profile(GOOD.replace(old, new), "p.toml").digest != profile.digest
    assert len({load_profile(name).digest for name in SHIPPED}) == len(SHIPPED)


def test_all_mistakes_are_told_at_once():
    text = GOOD.replace("art_12.par_1", "nonsense").replace('"contact"', '"contract"')
    with pytest.raises(ProfileError) as caught:
        read_profile(text, "p.toml")
    assert len(caught.value.problems) == 2


def test_an_empty_profile_is_none():
    head = GOOD.split("[[checks]]", maxsplit=1)[0]
    with pytest.raises(ProfileError, match="give either"):
        read_profile(head, "p.toml")


def test_an_unknown_profile_is_told_with_a_hint():
    with pytest.raises(UsageError, match=f"shipped are {', '.join(SHIPPED)}.*mean 'core'"):
        load_profile("cor")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(OperationalError, match="cannot be read"):
        load_profile(tmp_path / "none.toml")


def test_numbers_without_end_are_no_toml():
    with pytest.raises(ProfileError, match="not TOML"):
        read_profile("max_age_days = " + "9" * 5000, "p.toml")
