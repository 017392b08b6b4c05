"""``quorate comply seal`` refuses what could show nothing: a ledger keeps what it gets."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from comply_tools import POLICY, ago, entries, forge, save, tamper, written
from evidence_tools import data_for, form_of

from quorate.compliance import Evidence, EvidenceSet, System, load_profile
from quorate.compliance.offered import objection
from quorate.compliance.times import microseconds

SYSTEM = System(name="triage", version="2.1.0")
NOW = microseconds("2026-11-21T12:00:00Z")
SCOPE = {"system": "triage", "version": "2.1.0"}


def spoilt(field, change):
    """The data of a field, changed in place."""
    data = json.loads(json.dumps(data_for(*form_of(field))))
    change(data)
    return data


SPOILT = [
    ("riskAssessment", {"data": {"hazards": []}}, "hazards is []: it takes 1 member or more"),
    (
        "riskAssessment",
        {"data": spoilt("riskAssessment", lambda d: d["hazards"][0].update(category="money"))},
        "hazards[0].category is 'money'",
    ),
    (
        "biasExamination",
        {"data": spoilt("biasExamination", lambda d: d["examinations"][0].update(value="lots"))},
        "is 'lots'",
    ),
    (
        "accuracyMetrics",
        {
            "data": spoilt(
                "accuracyMetrics", lambda d: d["series"][0]["points"][0].update(value=0.5)
            )
        },
        "not at least",
    ),
    (
        "cybersecurityControls",
        {
            "data": spoilt(
                "cybersecurityControls", lambda d: d["cells"]["model_flaws"].update(detect={})
            )
        },
        "not_applicable and why none applies",
    ),
    ("technicalDocumentation", {"digest": None}, "it names no digest"),
    ("riskAssessment", {"scope": SCOPE | {"version": "1"}}, "its scope is triage 1"),
    ("riskAssessment", {"time": "2030-01-01T00:00:00Z"}, "its time is 2030-01-01T00:00:00Z"),
    ("riskAssessment", {"time": ago(days=3), "expires": ago(days=2)}, "it expired at"),
    ("riskAsessment", {"data": {}}, "did you mean 'riskAssessment'"),
    ("art_12.par_9", {"data": {}}, "did you mean 'art_12.par_"),
]


@pytest.mark.parametrize(("field", "changes", "words"), SPOILT)
def test_what_could_show_nothing_is_refused_and_nothing_is_sealed(comply, field, changes, words):
    known = field if "data" not in changes else "riskAssessment"
    bad = written(known) | {"field": field} | changes
    save("bad.json", written("dataQuality"), bad)
    before = entries()
    code, out, err = comply("seal", "bad.json", "quorate.toml")
    told = " ".join(err.split())
    assert code == 2
    assert words in told
    assert "1 item cannot be sealed; nothing was" in told
    assert "quorate comply catalogue" in told
    assert "✓" not in out
    assert entries() == before
    assert not Path("bad.sealed.json").exists()


def test_good_evidence_stays_when_a_typo_is_offered_in_its_place(comply, told):
    save("good.json", written("riskAssessment"))
    assert comply("seal", "good.json", "quorate.toml")[0] == 0
    save("bad.json", written("riskAssessment", data={"hazards": []}))
    assert comply("seal", "bad.json", "quorate.toml")[0] == 2
    _, members = told("report", *POLICY)
    states = {each["id"]: each["state"] for each in members["report"]["results"]}
    assert states["EUAIACT-ART9-002"] == "shown"


def test_a_failure_is_sealed_whatever_its_data_are(comply):
    save("bad.json", written("riskAssessment", status="failed", data={"reason": "two open"}))
    assert comply("seal", "bad.json", "quorate.toml")[0] == 0


def test_a_field_of_ones_own_profile_is_known_with_it(comply):
    Path("own.toml").write_text(
        'format = "quorate/profile/1"\nname = "own"\ntitle = "t"\n[[checks]]\nid = "A"\n'
        'title = "A contact"\narticle = "own"\nfield = "ourContact"\nschema = "contact"\n'
        'severity = "major"\n[groups]\nown = "Own"\n'
    )
    save("own.json", written("hitlContact") | {"field": "ourContact"})
    code, _, err = comply("seal", "own.json", "quorate.toml")
    assert code == 2
    assert "--profile" in err
    assert comply("seal", "own.json", "quorate.toml", "--profile", "own.toml")[0] == 0


def test_without_a_system_nothing_is_sealed(comply):
    save("one.json", written("riskAssessment"))
    Path("system.toml").unlink()
    code, _, err = comply("seal", "one.json", "quorate.toml")
    assert code == 2
    assert "name its file with --system" in " ".join(err.split())


def test_every_bound_in_time_is_held_to_the_microsecond():
    def why(**changes):
        members = written("riskAssessment", time="2026-11-21T12:00:00Z") | changes
        return objection(Evidence.read(members), system=SYSTEM, now=NOW)

    assert why() is None
    assert "its time is" in why(time="2026-11-21T12:00:00.000001Z")
    past = {"time": "2026-11-21T11:00:00Z"}
    assert why(**past, expires="2026-11-21T12:00:00.000001Z") is None
    assert "it expired" in why(**past, expires="2026-11-21T12:00:00Z")


# -- what is sealed already


def result(members, name):
    (found,) = [each for each in members["report"]["results"] if each["id"] == name]
    return found


def test_what_is_sealed_and_unchanged_is_not_asked_for_again(comply, told):
    assert comply("report", "quorate.toml", "--seal", *POLICY)[0] == 0
    size = entries()
    code, members = told("report", *POLICY)
    assert (code, members["not_sealed"], members["sealed"]) == (0, 0, 0)
    assert members["collected"] > 0
    _, out, err = comply("report", *POLICY)
    assert "add --seal" not in err + out
    assert "sealed already, with the same content" in err
    assert "not sealed in any ledger" not in out
    code, members = told("report", "quorate.toml", "--seal", *POLICY)
    assert (code, members["sealed"], entries()) == (0, 0, size)
    code, members = told("collect", "quorate.toml", "--seal", *POLICY)
    assert all(each["receipt"] for each in members["evidence"]["items"])
    assert entries() == size
    assert "add --seal" not in comply("collect", *POLICY)[2]


def test_what_changed_since_is_collected_and_sealed_again(comply, told):
    comply("report", "quorate.toml", "--seal", *POLICY)
    threshold = ("threshold", "recall", "quorate.toml", "--at-least", "0.95", "--by", "J. Doe")
    assert comply(*threshold)[0] == 0
    _, members = told("report", *POLICY)
    assert 0 < members["not_sealed"] < members["collected"]
    # What is shown by sealed evidence is not told as lacking a seal beside it.
    for each in members["report"]["results"]:
        assert each["state"] != "shown" or each["reasons"] == []
    _, members = told("report", "quorate.toml", "--seal", *POLICY)
    assert members["sealed"] > 0 == members["not_sealed"]


def test_the_next_step_is_one_that_can_be_taken(told):
    _, members = told("report", *POLICY)
    collected = result(members, "EUAIACT-ART12-001")
    assert collected["state"] == "unsigned"
    assert "--seal" in collected["advice"]
    assert "quorate comply seal " not in collected["advice"]
    assert any("it is not sealed in any ledger" in each for each in collected["reasons"])
    drills = result(members, "EUAIACT-ART14-002")
    assert drills["state"] == "missing"
    assert "quorate drill halt" in drills["advice"]
    assert "quorate drill override" in drills["advice"]


def test_a_broken_ledger_is_not_mended_by_an_item(told, comply):
    forge()
    _, members = told("report", "quorate.toml", "--seal", *POLICY)
    assert "nothing was sealed" in members["notices"][0]
    told_ = result(members, "EUAIACT-ART12-001")["advice"]
    assert "quorate verify" in told_
    assert "seal the new item" not in told_
    assert "nothing was sealed" not in comply("report", *POLICY)[1]


def test_on_a_day_to_come_what_was_sealed_is_stale(told, comply):
    comply("report", "quorate.toml", "--seal", *POLICY)
    later = (datetime.now(UTC) + timedelta(days=400)).date().isoformat()
    _, members = told("report", *POLICY, "--as-of", later)
    assert result(members, "EUAIACT-ART12-001")["state"] == "stale"
    assert members["report"]["unsigned"] == []
    size = entries()
    code, _, err = comply("report", "quorate.toml", "--seal", *POLICY, "--as-of", later)
    assert code == 2
    assert "--seal is for today" in err
    assert entries() == size


def test_a_page_that_cannot_be_saved_is_told_before_anything_is_sealed(comply):
    size = entries()
    for name in ("--markdown", "--html"):
        code, _, err = comply("report", "quorate.toml", "--seal", *POLICY, name, "none/r")
        assert code == 5
        assert "there is no folder none" in err or "quorate[reports]" in err
    assert entries() == size


def test_evidence_is_sealed_piece_by_piece(comply, told):
    first = written("riskAssessment")
    save("people.json", first)
    assert comply("seal", "people.json", "quorate.toml")[0] == 0
    size = entries()
    code, _, err = comply("seal", "people.json", "quorate.toml")
    assert (code, entries()) == (2, size)
    assert "people.sealed.json is there already" in err
    assert "--output (-o)" in err
    assert "--force" in err
    save("people.json", first, written("dataQuality"))
    code, out, _ = comply("seal", "people.json", "quorate.toml", "--force")
    assert (code, entries()) == (0, size + 1)
    assert "sealed 1 item in" in out
    assert "sealed already, the same, and not sealed again: riskAssessment" in out
    made = EvidenceSet.read("people.sealed.json")
    assert [one.receipt.seq for one in made.items] == [size - 1, size]
    assert {one.seq for one in made.receipts} == {size - 1, size}
    code, members = told("seal", "people.json", "quorate.toml", "-o", "again.json")
    assert (code, members["sealed"], members["sealed_before"]) == (0, 0, 2)
    assert entries() == size + 1


def test_an_entry_that_was_changed_seals_nothing_already(comply):
    """An item is written into the body of an entry that never sealed it."""
    known, wanted = (written("riskAssessment", source=name) for name in ("J. Roe", "J. Doe"))
    save("known.json", known)
    save("next.json", written("dataQuality"))
    for name in ("known.json", "next.json"):
        assert comply("seal", name, "quorate.toml")[0] == 0
    size = entries()
    change = "UPDATE entries SET body = replace(body, ?, ?) WHERE seq = ?"
    tamper(change, "J. Roe", "J. Doe", size - 2)
    save("wanted.json", wanted | {"time": known["time"]})
    code, _, err = comply("seal", "wanted.json", "quorate.toml")
    assert (code, entries()) == (4, size)
    assert f"entry {size - 2}" in err
    assert not Path("wanted.sealed.json").exists()


def test_what_others_were_sealed_after_is_sealed_again(comply, told):
    """The last of a field and source counts, so what came before it has to be the last again."""
    old, new = written("riskAssessment"), written("riskAssessment", time=ago(minutes=1))
    for number, one in enumerate((old, new, old)):
        save(f"e{number}.json", one)
        code, members = told("seal", f"e{number}.json", "quorate.toml")
        assert (code, members["sealed"]) == (0, 1)


def test_a_later_time_is_asked_for_where_a_failure_stands(comply, told):
    failed = written("riskAssessment", status="failed", data={"reason": "two open"})
    save("failed.json", failed)
    save("passed.json", written("riskAssessment", time=failed["time"]))
    for name in ("failed.json", "passed.json"):
        assert comply("seal", name, "quorate.toml")[0] == 0
    found = result(told("report", *POLICY)[1], "EUAIACT-ART9-002")
    assert found["state"] == "failed"
    assert any("not of a later time" in each for each in found["reasons"])
    save("later.json", written("riskAssessment", time=ago(minutes=1)))
    assert comply("seal", "later.json", "quorate.toml")[0] == 0
    assert result(told("report", *POLICY)[1], "EUAIACT-ART9-002")["state"] == "shown"


def test_a_file_that_is_no_json_is_named(comply):
    Path("bad.json").write_text("{")
    code, _, err = comply("seal", "bad.json", "quorate.toml")
    assert code == 2
    assert "the evidence file bad.json: $: not JSON" in err


# -- what an item looks like


def test_the_catalogue_tells_every_expert_s_field(told, comply):
    for check in load_profile("experts").checks:
        for name in (check.field, check.id):
            code, members = told("catalogue", name)
            assert code == 0
            assert members["schema"] == check.schema
            assert members["evidence"]["data"]
    assert "no obligation of the law" in comply("catalogue", "hitlContact")[1]
    assert "did you mean 'hitlContact'" in comply("catalogue", "hitlContac")[2]


def test_init_writes_the_items_of_the_profile_that_is_named(told):
    code, members = told("init", "experts", "--profile", "experts")
    assert code == 0
    fields = set(load_profile("experts").fields)
    assert set(members["fields"]) == set(
        json.loads(Path("experts/evidence.json").read_text())["metadata"]
    )
    assert set(members["fields"]) <= fields
    assert fields - set(members["fields"]) == {"redTeamReport"}


def test_samples_name_the_types_that_are_taken(told):
    def sample(name):
        return told("catalogue", name)[1]["evidence"]["data"]

    point = sample("accuracyMetrics")["series"][0]
    assert (point["threshold"], point["points"][0]["value"]) == ("<number>", "<number>")
    assert point["points"][0]["samples"] == "<whole number>"
    assert len(sample("biasExamination")["examinations"][0]["groups"]) == 2
    cells = sample("cybersecurityControls")["cells"]
    assert set(cells) >= {"data_poisoning", "model_flaws"}
    assert cells["model_flaws"]["resolve"] == {"test": "<text>"}
    assert sample("nistRmfScore")["scores"]["govern"] == "<number>"
    assert sample("blockchainAnchor")["root"] == "<64 hex digits>"
    assert sample("mcpAttestation")["tools"][0]["digest"].startswith("<sha256:")
