"""``quorate comply`` over a panel that has run: collect, seal, report, and what is refused."""

import json
import re
import sqlite3
import sys
from pathlib import Path

import pytest
from comply_tools import POLICY, ago, entries, forge, save, today, written
from evidence_tools import data_for, form_of

from quorate.cli.app import run
from quorate.compliance import DISCLAIMER, ComplianceReport, Evidence, EvidenceSet, load_profile
from quorate.compliance.collect import collectors
from quorate.ledger import Ledger

# -- report


def test_what_is_collected_is_told_as_not_sealed(comply, told):
    before = entries()
    code, out, err = comply("report", *POLICY)
    assert code == 0
    assert re.search(r"○ not sealed +EUAIACT-ART12-001 ", out)
    assert " ".join(out.split()).count(DISCLAIMER) == 1
    assert "What the ledger does not show yet" in out
    assert "collected and not sealed; add --seal" in err
    assert entries() == before
    code, members = told("report", *POLICY)
    report = ComplianceReport.from_dict(members["report"])
    assert code == 0
    assert report.score == "0"
    assert report.unsigned
    assert members["collected"] > 0 == members["sealed"]
    assert members["broken"] is None
    assert {"collector", "fields", "reason"} == members["lacking"][0].keys()


def test_sealed_it_counts_and_stays_so_for_those_who_only_read(comply, told):
    before = entries()
    code, members = told("report", "quorate.toml", "--seal", *POLICY)
    report = ComplianceReport.from_dict(members["report"])
    assert code == 0
    assert entries() == before + members["sealed"]
    assert members["sealed"] == members["collected"] > 0
    assert "EUAIACT-ART12-001" not in report.blocking
    assert report.weight_shown > 0
    assert not report.unsigned
    _, again = told("report", "ledger.db", *POLICY)
    assert ComplianceReport.from_dict(again["report"]).weight_shown == report.weight_shown


def test_the_last_of_a_field_and_source_stands_for_the_earlier(told, comply):
    earlier = written("riskAssessment", status="failed", time=ago(minutes=9))
    save("one.json", earlier, written("dataQuality"))
    assert comply("seal", "one.json", "quorate.toml")[0] == 0
    _, members = told("report", *POLICY)
    assert "EUAIACT-ART9-002" in members["report"]["failed"]
    save("two.json", written("riskAssessment"))
    assert comply("seal", "two.json", "quorate.toml")[0] == 0
    _, members = told("report", *POLICY)
    report = ComplianceReport.from_dict(members["report"])
    assert report.result("EUAIACT-ART9-002").state == "shown"
    assert len(report.result("EUAIACT-ART9-002").items) == 1
    assert "says riskAssessment passed, which risk team had found failed" in members["notices"][0]
    # Of another source, a failure stands.
    save("three.json", written("riskAssessment", status="failed", source="audit"))
    comply("seal", "three.json", "quorate.toml")
    _, members = told("report", *POLICY)
    assert "EUAIACT-ART9-002" in members["report"]["failed"]


def scope_system(scope):
    return {"name": scope["system"], "version": scope["version"]}


def test_another_version_is_told_only_where_this_one_has_nothing(told, comply):
    old = {"system": "triage", "version": "2.0.0"}
    other = {"system": "x", "version": "1"}
    save("own.json", written("dataQuality"))
    for scope, fields in ((old, ("riskAssessment", "dataQuality")), (other, ("biasExamination",))):
        name = f"{scope['system']}.json"
        save(name, *(written(each, scope=scope) for each in fields), system=scope_system(scope))
        assert comply("seal", name, "quorate.toml")[0] == 0
    assert comply("seal", "own.json", "quorate.toml")[0] == 0
    _, members = told("report", *POLICY)
    report = ComplianceReport.from_dict(members["report"])
    assert report.result("EUAIACT-ART9-002").state == "out_of_scope"
    assert report.result("EUAIACT-ART10-003").state == "shown"
    assert report.result("EUAIACT-ART10-002").state == "missing"


def test_a_ledger_that_does_not_verify_fails_and_says_why(comply, told):
    forge()
    code, out, _ = comply("report", *POLICY)
    assert code == 4
    assert out.startswith("!! the ledger does not verify: entry 3: ")
    assert re.search(r"✗ failed +EUAIACT-ART12-001 ", out)
    why = "why: art_12.par_1: quorate.collect.gapless_logging found it failed"
    assert why in " ".join(out.split())
    code, members = told("report", *POLICY)
    assert code == 4
    assert "entry 3" in members["broken"]
    failed = members["report"]["failed"]
    collected = {field for one in collectors() for field in one.fields}
    assert set(failed) >= {
        check.id
        for check in load_profile("core").checks
        if collected & {check.field, *check.obligations}
    }
    before = entries()
    code, members = told("report", "quorate.toml", "--seal", *POLICY)
    assert (code, members["sealed"]) == (4, 0)
    assert entries() == before


def test_a_tail_that_was_cut_off_is_seen_against_a_checkpoint(comply, told):
    assert run(["ledger", "checkpoint", "--signer", "keys/ledger.key", "-o", "cp.note"]) == 0
    assert told("report", *POLICY, "--checkpoint", "cp.note")[1]["broken"] is None
    with sqlite3.connect("ledger.db") as database:
        database.execute("DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)")
    assert told("report", *POLICY)[1]["broken"] is None
    code, members = told("report", *POLICY, "--checkpoint", "cp.note")
    assert code == 4
    assert "truncat" in members["broken"]
    assert told("collect", *POLICY, "--checkpoint", "cp.note")[0] == 4


def test_strict_is_for_blockers(comply):
    code, out, _ = comply("report", "--strict", *POLICY)
    assert code == 3
    assert "Blocking: " in out
    Path("own.toml").write_text(
        'format = "quorate/profile/1"\nname = "own"\ntitle = "t"\n[[checks]]\nid = "A"\n'
        'title = "Logged"\narticle = "12"\nobligations = ["art_12.par_1"]\nfield = "eventLogging"\n'
        'severity = "major"\n'
    )
    assert comply("report", "--strict", "--profile", "own.toml", *POLICY)[0] == 0


def test_a_past_day_takes_only_what_was_sealed_by_then(comply, told):
    comply("report", "quorate.toml", "--seal", *POLICY)
    code, members = told("report", "--as-of", "2026-07-26", *POLICY)
    assert code == 0
    assert members["report"]["law_text"]["id"] == "original"
    assert members["report"]["score"] == "0"
    assert members["collected"] == 0
    assert "The day is past" in members["notices"][0]
    code, _, err = comply("report", "quorate.toml", "--as-of", "2026-07-26", "--seal", *POLICY)
    assert code == 2
    assert "--seal is for today" in err


def test_pages_are_saved_and_nothing_is_replaced(comply):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    code, out, _ = comply("report", *POLICY, "--html", "r.html", "--markdown", "r.md")
    assert code == 0
    assert "saved r.html" in out
    assert Path("r.html").read_text("utf-8").startswith("<!DOCTYPE html>")
    assert Path("r.md").read_text("utf-8").startswith('# Evidence for the EU AI Act: "triage", ')
    before = Path("r.md").read_bytes()
    size = entries()
    code, _, err = comply("report", "quorate.toml", "--seal", *POLICY, "--markdown", "r.md")
    assert code == 2
    assert entries() == size
    assert "is there already" in err
    assert Path("r.md").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["report"], 2, "name whom you trust"),
        (["report", *POLICY, "--system", "none.toml"], 2, "comply init"),
        (["report", *POLICY, "--profile", "cor"], 2, "did you mean 'core'"),
        (["report", *POLICY, "--as-of", "21.11.2026"], 2, "write a day as 2026-11-21"),
        (["report", *POLICY, "--as-of", "2020-01-01"], 2, "no such law before"),
        (["report", "none.db", *POLICY], 5, "none.db"),
        (["report", "none.toml", *POLICY], 5, "none.toml"),
        (["report", *POLICY, "--signer", "keys/ledger.key"], 2, "--signer is for --seal"),
        (["report", "ledger.db", *POLICY, "--seal"], 2, "name the private key"),
        (["report", *POLICY, "--evidence", "none.json"], 5, "cannot be read"),
        (["report", *POLICY, "--silence", "-1"], 2, "silence"),
        (["evaluate", "tasks.jsonl"], 2, "the evidence file"),
        (["evaluate", "none.json"], 5, "none.json"),
        (["catalogue", "art_12.par_9"], 2, "did you mean 'art_12.par_"),
        (["catalogue", "eventLoging"], 2, "did you mean 'eventLogging'"),
        (["catalogue", "EUAIACT-ART9-01"], 2, "did you mean 'EUAIACT-ART9-001'"),
        (["catalogue", "art_4a.par_1.a", "--as-of", "2026-01-01"], 2, "since 2026-07-27"),
        (["profiles", "ful"], 2, "did you mean 'full'"),
        (["init"], 2, "is there already"),
        (["threshold", "recall", "quorate.toml", "--by", "x"], 2, "--at-least or --at-most"),
        (["threshold", "r", "quorate.toml", "--by", "x", "--at-least", "much"], 2, "19/20"),
        (["measure", "0", "1", "quorate.toml", "--samples", "3", "--dataset", "no"], 2, "no file"),
        (
            ["measure", "0", "1", "quorate.toml", "--samples", "3", "--dataset", "tasks.jsonl"],
            2,
            "not 'threshold'",
        ),
        (["seal", "evidence.json", "quorate.toml"], 2, "nothing to seal"),
        (["dossier", "-o", "keys", *POLICY, "quorate.toml", "--seal"], 2, "is not empty"),
        (["dossier", "-o", "d", *POLICY, "ledger.db"], 2, "or a signed checkpoint"),
        (["verify", "none"], 5, "no folder"),
        (["verify", "keys"], 4, ""),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(comply, arguments, code, words, here):
    if arguments[0] == "dossier":
        pytest.importorskip("jinja2", reason="needs quorate[reports]")
        comply("report", "quorate.toml", "--seal", *POLICY)
    files = {path for path in here.rglob("*") if not path.name.startswith("ledger.db")}
    size = entries()
    for extra in ((), ("--json",)):
        found, out, err = comply(*arguments, *extra)
        assert found == code, (out, err)
        assert "Traceback" not in err
        assert words in " ".join((out + err).split())
        if extra:
            json.loads(out)
    assert {path for path in here.rglob("*") if not path.name.startswith("ledger.db")} == files
    assert entries() == size


def test_without_jinja_the_extra_is_named_before_anything_is_sealed(comply, monkeypatch):
    from quorate.compliance.rendering import html

    html.environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    size = entries()
    for arguments in (("report", "--html", "r.html"), ("dossier", "-o", "d")):
        code, _, err = comply(*arguments, "quorate.toml", "--seal", *POLICY)
        assert code == 5
        assert "quorate[reports]" in err
    assert entries() == size
    assert not Path("r.html").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('naem = "x"', "did you mean 'name'"),
        ('role = "prvider"', "input should be 'provider', 'deployer' or 'both'"),
        ("[conditions]\ntrain_models = true", "did you mean 'trains_models'"),
        ("[conditions]\ntrains_models = 1", "conditions.trains_models is 1"),
        ("[", "not TOML"),
    ],
)
def test_a_system_file_is_mended_by_line(comply, line, words):
    Path("s.toml").write_text(f'name = "a"\nversion = "1"\n{line}\n')
    code, _, err = comply("report", *POLICY, "--system", "s.toml")
    assert code == 2
    assert words in " ".join(err.split())
    if words != "not TOML":
        assert f"s.toml:{2 + len(line.splitlines())}: " in err


# -- init, collect, seal, evaluate


def test_what_init_writes_shows_nothing_until_it_is_filled_in(told, comply):
    assert 'name = "triage"' in Path("system.toml").read_text()
    fields = set(json.loads(Path("evidence.json").read_text())["metadata"])
    collected = {field for one in collectors() if not one.helps for field in one.fields}
    assert "automationBiasMitigation" in fields
    assert fields == set(load_profile("core").fields) - collected
    code, members = told("evaluate", "evidence.json", *POLICY)
    report = ComplianceReport.from_dict(members["report"])
    assert code == 0
    assert report.system.name == "triage"
    assert report.score == "0"
    assert len(report.invalid) == len(fields)
    skeletons = json.loads(Path("evidence.json").read_text())["metadata"]
    for field in fields:
        lacking = data_for(*form_of(field))
        assert set(skeletons[field]["data"]) <= set(lacking)


def test_filled_in_piece_by_piece_it_is_sealed_piece_by_piece(told, comply):
    members = json.loads(Path("evidence.json").read_text())
    members["metadata"]["riskAssessment"] = written("riskAssessment")
    Path("evidence.json").write_text(json.dumps(members))
    code, out, err = comply("seal", "evidence.json", "quorate.toml")
    assert code == 0
    assert "sealed 1 item" in out
    assert "not filled in yet, and left out: riskManagementSystem" in err
    sealed = EvidenceSet.read("evidence.sealed.json")
    assert [item.field for item in sealed.items] == ["riskAssessment"]
    code, members = told("evaluate", "evidence.sealed.json", *POLICY)
    assert ComplianceReport.from_dict(members["report"]).result("EUAIACT-ART9-002").state == "shown"
    code, members = told("evaluate", "evidence.sealed.json")
    assert members["report"]["unsigned"] == ["EUAIACT-ART9-002"]


def test_one_bad_item_and_none_is_sealed(comply):
    save("e.json", written("riskAssessment"), written("dataQuality", status="yes"))
    before = entries()
    code, _, err = comply("seal", "e.json", "quorate.toml")
    assert code == 2
    assert "1 item cannot be sealed; nothing was" in err
    assert entries() == before
    assert not Path("e.sealed.json").exists()


def test_collect_names_the_entries_and_seals_them_in_one_go(comply, told):
    code, out, err = comply("collect", *POLICY, "-o", "c.json")
    assert code == 0
    assert re.search(r"✓ passed +art_12\.par_1 +quorate\.collect\.gapless_logging, made from", out)
    assert "What the ledger does not show yet:" in out
    assert "entries cut off the end cannot be seen without a checkpoint" in out
    assert "add --seal" in err
    found = EvidenceSet.read("c.json")
    assert found.items
    assert all(item.receipt is None for item in found.items)
    with Ledger.open("sqlite:///ledger.db") as log:
        for item in found.items:
            assert item.entries
            assert all(log.get(each.seq).entry_hash == each.hash for each in item.entries)
    size = entries()
    code, _, err = comply("seal", "c.json", "quorate.toml")
    assert code == 2
    assert "which is a collector's, and was not collected just now" in " ".join(err.split())
    assert entries() == size
    code, members = told("collect", "quorate.toml", "--seal", *POLICY)
    assert code == 0
    assert all(each["receipt"] for each in members["evidence"]["items"])
    receipts = {each["seq"] for each in (r["entry"] for r in members["evidence"]["receipts"])}
    assert receipts == {each["receipt"]["seq"] for each in members["evidence"]["items"]}


def test_collect_from_a_broken_ledger_exits_4_with_the_reason(comply, told):
    forge()
    code, out, err = comply("collect", *POLICY)
    assert code == 4
    assert "✓" not in out
    assert "entry 3" in err
    code, members = told("collect", "quorate.toml", "--seal", *POLICY)
    assert code == 4
    assert {each["status"] for each in members["evidence"]["items"]} == {"failed"}
    assert not any(each["receipt"] for each in members["evidence"]["items"])


def test_thresholds_first_then_measurements(told, comply):
    code, members = told(
        "threshold", "recall", "quorate.toml", "--at-least", "0.95", "--by", "J. Doe"
    )
    assert code == 0
    assert members["threshold"]["value"] == "19/20"
    assert members["threshold"]["scope"] == {"system": "triage", "version": "2.1.0"}
    seq = members["seq"]
    given = ("quorate.toml", "--samples", 400, "--dataset", "tasks.jsonl")
    code, members = told("measure", seq, "0.97", *given)
    assert (code, members["measurement"]["met"]) == (0, True)
    assert members["measurement"]["dataset"].startswith("sha256:")
    code, out, _ = comply("measure", seq, "0.949999", *given, "--strict")
    assert code == 3
    assert "does NOT keep" in out
    assert comply("measure", seq, "0.1", *given)[0] == 0


# -- looking


def test_the_catalogue_lists_each_obligation_of_the_day(told, comply):
    code, members = told("catalogue")
    assert code == 0
    assert members["as_of"] == today()
    ids = [each["id"] for each in members["obligations"]]
    _, out, _ = comply("catalogue")
    assert all(re.search(rf"^  {re.escape(id_)} ", out, re.MULTILINE) for id_ in ids)
    _, before = told("catalogue", "--as-of", "2026-07-26")
    assert not any(each["id"].startswith("art_4a") for each in before["obligations"])
    assert before["law_text"] == "original"


@pytest.mark.parametrize("name", ["art_12.par_1", "EUAIACT-ART12-001", "eventLogging"])
def test_one_is_told_with_the_evidence_it_takes(told, comply, name):
    code, members = told("catalogue", name)
    assert code == 0
    assert members["schema"] == "log-range"
    with pytest.raises(ValueError, match="status"):
        Evidence.read(members["evidence"], "eventLogging")
    _, out, _ = comply("catalogue", name)
    assert "schema log-range" in out
    assert "Article 12(1)" in out


def test_every_skeleton_is_whole_once_its_words_are_replaced(told):
    for check in load_profile("core").checks:
        _, members = told("catalogue", check.id)
        data = members["evidence"]["data"]
        assert data.keys() <= data_for(check.schema, check.needs).keys()
        for need in check.needs:
            assert need.split(".")[0].partition("[")[0] in data


def test_the_profiles_are_listed_with_their_weight(told, comply):
    code, members = told("profiles")
    assert code == 0
    assert {each["name"]: each["weight"] for each in members}["core"] == 67
    _, out, _ = comply("profiles", "core")
    assert out.count("EUAIACT-") == 19


def test_ids_are_offered_to_a_shell():
    from quorate.cli.comply.looking import complete_obligation
    from quorate.cli.comply.options import complete_profile

    assert complete_obligation("art_12.par_2") == [
        "art_12.par_2.a", "art_12.par_2.b", "art_12.par_2.c",
    ]  # fmt: skip
    assert "eventLogging" in complete_obligation("ev")
    assert "EUAIACT-ART9-001" in complete_obligation("EUAIACT-ART9")
    assert complete_profile("f") == ["full"]
