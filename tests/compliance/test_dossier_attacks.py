"""Forged dossiers: each forgery, the manifest mended after it, and the rule that finds it."""

import hashlib
import json
import os
import shutil
from dataclasses import replace

import pytest
from evidence_tools import KEY, ORIGIN, POLICY, SEALED, STRANGER, SYSTEM, TODAY, item
from report_tools import edited, found, made, mended, reported, several_states

from quorate.compliance import EvidenceSet, evaluate
from quorate.compliance.dossier import bounds, verify_dossier, write_dossier
from quorate.core.canonical import canonical, parse
from quorate.core.errors import OperationalError, UsageError
from quorate.ledger import Ledger, Policy

pytest.importorskip("jinja2", reason="needs quorate[reports]")

OTHER = Policy.of([STRANGER.verifier])


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    base = tmp_path_factory.mktemp("honest")
    evidence, bundles = several_states()
    return write_dossier(base / "d", reported(evidence), evidence, bundles, POLICY)


@pytest.fixture
def folder(honest, tmp_path):
    return shutil.copytree(honest, tmp_path / "d")


def test_the_honest_one_verifies_after_the_manifest_is_mended(folder):
    assert verify_dossier(mended(folder), POLICY).verified


def test_every_file_is_held_to_its_digest(folder):
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    names = {str(path.relative_to(folder)) for path in files}
    for path in files:
        raw = path.read_bytes()
        path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    assert {(name, "digest") for name in names} <= set(found(folder))
    for path in files:
        path.unlink()
    assert {(name, "missing") for name in names} <= set(found(folder))


@pytest.mark.parametrize("name", ["note.txt", "bundles/999999.json", "bundles/x", "documents/a"])
def test_a_file_too_many(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("{}")
    assert (name, "extra") in found(folder)


def test_a_folder_too_many(folder):
    (folder / "more").mkdir()
    assert found(folder) == [("more", "extra")]
    (folder / "more").rmdir()
    (folder / "bundles" / "deeper").mkdir()
    assert found(folder) == [("bundles/deeper", "extra")]


def test_links_and_pipes_are_not_followed(folder, tmp_path):
    outside = tmp_path / "report.md"
    shutil.move(folder / "report.md", outside)
    (folder / "report.md").symlink_to(outside)
    assert ("report.md", "path") in found(folder)
    assert "report.md: it is a symbolic link" in verify_dossier(folder, POLICY).describe()
    (folder / "report.md").unlink()
    os.mkfifo(folder / "report.md")
    assert ("report.md", "path") in found(folder)
    (folder / "report.md").unlink()
    shutil.move(outside, folder / "report.md")
    shutil.move(folder / "bundles", tmp_path / "bundles")
    (folder / "bundles").symlink_to(tmp_path / "bundles")
    assert ("bundles", "path") in found(folder)


@pytest.mark.parametrize("name", ["../d.txt", "/etc/passwd", "bundles/../report.md", "a/b/c.json",
                                  "manifest.json", "documents/.hidden", "report.exe"])  # fmt: skip
def test_names_outside_of_a_dossier_are_refused(folder, name):
    members = parse((folder / "manifest.json").read_text())
    members["files"][name] = {"sha256": "0" * 64, "bytes": 1}
    (folder / "manifest.json").write_bytes(canonical(members))
    assert (name, "path") in found(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: b"",
        lambda raw: b"[]",
        lambda raw: b"\xff" + raw,
        lambda raw: raw + b"\n",
        lambda raw: raw.replace(b"dossier/1", b"dossier/2"),
        lambda raw: raw.replace(b'{"as_of"', b'{"as_of":"2020-01-01","as_of"'),
        lambda raw: canonical({"format": "quorate/dossier/1"}),
        lambda raw: b"[" * 100_000,
    ],
)
def test_a_manifest_that_is_none(folder, change):
    path = folder / "manifest.json"
    path.write_bytes(change(path.read_bytes()))
    assert ("manifest.json", "manifest") in found(folder)


def test_a_manifest_that_says_another_system(folder):
    members = parse((folder / "manifest.json").read_text())
    members["system"]["version"] = "9"
    (folder / "manifest.json").write_bytes(canonical(members))
    assert found(folder) == [("manifest.json", "manifest")]


def test_no_dossier_at_all(tmp_path):
    (tmp_path / "d").mkdir()
    assert found(tmp_path / "d") == [("manifest.json", "missing")]
    with pytest.raises(OperationalError, match="no folder"):
        verify_dossier(tmp_path / "e", POLICY)


# -- with the manifest mended


@pytest.mark.parametrize("name", ["report.html", "report.md", "annex-iv.html", "annex-iv.md"])
def test_a_page_that_says_otherwise(folder, name):
    path = folder / name
    text = path.read_text("utf-8")
    assert "failed" in text
    path.write_text(text.replace("failed", "shown"), "utf-8")
    assert found(mended(folder)) == [(name, "page")]


def test_a_report_that_says_otherwise(folder):
    def better(members):
        for result in members["results"]:
            if result["id"] == "EUAIACT-ART14-002":
                result["reasons"] = ["all is well"]

    edited(folder / "report.json", better)
    assert found(mended(folder)) == [("report.json", "report")]


def test_a_report_that_does_not_add_up(folder):
    path = folder / "report.json"
    path.write_text(path.read_text().replace('"state": "failed"', '"state": "shown"'))
    files = parse((folder / "manifest.json").read_text())
    raw = path.read_bytes()
    files["files"]["report.json"] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    (folder / "manifest.json").write_bytes(canonical(files))
    assert found(folder) == [("report.json", "report")]


def test_a_report_on_another_day_or_system(folder):
    edited(folder / "report.json", lambda members: members.update(as_of="2027-12-03"))
    assert found(mended(folder)) == [("report.json", "report")]
    edited(folder / "report.json", lambda members: members["system"].update(version="3"))
    assert ("evidence.json", "evidence") in found(mended(folder))


def test_evidence_that_was_edited_is_never_shown(folder):
    def better(members):
        for each in members["items"]:
            if each["status"] == "failed":
                each.update(status="passed", data=item("overrideControl").data)

    edited(folder / "evidence.json", better)
    assert found(mended(folder)) == [("report.json", "report")]
    # Whoever makes the report anew over it gets one that says what is wrong.
    given = EvidenceSet.read(folder / "evidence.json")
    report = evaluate(given, "core", TODAY, policy=POLICY)
    assert report.result("EUAIACT-ART14-002").state == "unsigned"
    assert "seals another item" in report.result("EUAIACT-ART14-002").items[0].reason


def test_evidence_left_out_changes_the_report(folder):
    edited(
        folder / "evidence.json",
        lambda members: members.update(
            items=[each for each in members["items"] if each["status"] == "passed"]
        ),
    )
    assert ("report.json", "report") in found(mended(folder))


def test_receipts_smuggled_into_the_evidence(folder):
    with Ledger.open("memory:", signer=STRANGER, origin=ORIGIN) as log:
        smuggled = log.append("evidence", item("humanOversight").body()).to_dict()
    edited(folder / "evidence.json", lambda members: members["receipts"].append(smuggled))
    assert found(mended(folder)) == [("evidence.json", "digest")]


def test_evidence_in_another_spelling(folder):
    path = folder / "evidence.json"
    path.write_text(json.dumps(parse(path.read_text("utf-8"))), "utf-8")
    assert found(mended(folder)) == [("evidence.json", "digest")]


def test_a_bundle_that_a_stranger_signed(folder):
    evidence = several_states()[0]
    bound = evidence.items[0]
    with Ledger.open("memory:", signer=STRANGER, origin=ORIGIN, clock=lambda: SEALED) as log:
        for number in range(bound.receipt.seq):
            log.append("note", {"n": number})
        log.append("evidence", bound.body())
        forged = log.bundle(bound.receipt.seq)
    name = f"bundles/{bound.receipt.seq:06d}.json"
    (folder / name).write_text(forged.to_text(), "utf-8")
    assert (name, "bundle") in found(mended(folder))


def test_a_bundle_whose_proof_leads_elsewhere(folder):
    path = folder / "bundles/000003.json"
    members = json.loads(path.read_text("utf-8"))
    lines = members["proof"].split("\n")
    lines[2] = "A" * 43 + "="
    members["proof"] = "\n".join(lines)
    path.write_text(json.dumps(members), "utf-8")
    assert found(mended(folder)) == [("bundles/000003.json", "bundle")]


def test_a_bundle_under_another_number(folder):
    shutil.copy(folder / "bundles/000003.json", folder / "bundles/000004.json")
    assert ("bundles/000004.json", "bundle") in found(mended(folder))


def test_bundles_that_are_missing(folder):
    (folder / "bundles/000003.json").unlink()
    assert ("evidence.json", "receipt") in found(mended(folder))


def test_bundles_of_entries_that_are_missing(folder):
    (folder / "bundles/000001.json").unlink()
    problems = found(mended(folder))
    assert ("evidence.json", "entry") in problems
    assert ("evidence.json", "receipt") not in problems


def test_an_entry_of_another_hash(folder):
    def other(members):
        members["items"][0]["entries"][0]["hash"] = "0" * 64

    edited(folder / "evidence.json", other)
    assert ("evidence.json", "entry") in found(mended(folder))


def test_a_bundle_that_nothing_names(tmp_path):
    evidence, bundles = made([item("riskAssessment"), item("eventLogging")], before=0)
    one = replace(evidence, items=evidence.items[:1])
    folder = write_dossier(tmp_path / "d", reported(one), one, bundles, POLICY)
    (folder / "bundles/000001.json").write_text(bundles[1].to_text(), "utf-8")
    assert ("bundles/000001.json", "extra") in found(mended(folder))


def test_another_checkpoint_of_the_same_log(folder):
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN) as log:
        log.append("note", {})
        (folder / "checkpoint.note").write_text(log.checkpoint(), "utf-8")
    assert ("checkpoint.note", "bundle") in found(mended(folder))


def test_bundles_against_two_checkpoints(tmp_path):
    with Ledger.open("memory:", signer=KEY, origin=ORIGIN, clock=lambda: SEALED) as log:
        items = item("eventLogging"), item("riskAssessment")
        bound = [each.sealed_by(log.append("evidence", each.body())) for each in items]
        early = log.bundles([0, 1])
        log.append("note", {})
        late = log.bundles([0, 1])
    evidence = EvidenceSet(SYSTEM, tuple(bound), tuple(each.receipt for each in early))
    with pytest.raises(UsageError, match="several checkpoints"):
        write_dossier(tmp_path / "e", reported(evidence), evidence, [early[0], late[1]], POLICY)
    folder = write_dossier(tmp_path / "d", reported(evidence), evidence, early, POLICY)
    (folder / "bundles/000001.json").write_text(late[1].to_text(), "utf-8")
    assert ("checkpoint.note", "bundle") in found(mended(folder))


def test_all_of_it_by_a_stranger(tmp_path):
    with Ledger.open("memory:", signer=STRANGER, origin=ORIGIN, clock=lambda: SEALED) as log:
        each = item("eventLogging")
        bound = each.sealed_by(log.append("evidence", each.body()))
        bundles = log.bundles([0])
    evidence = EvidenceSet(SYSTEM, (bound,))
    report = evaluate(evidence, "core", TODAY, policy=OTHER, receipts=[b.receipt for b in bundles])
    folder = write_dossier(tmp_path / "d", report, evidence, bundles, OTHER)
    # It hangs together, which is all that its own policy can show.
    own = verify_dossier(folder)
    assert own.verified
    assert own.own_policy
    assert ("bundles/000000.json", "bundle") in found(folder, POLICY)


def test_a_policy_that_is_none(folder):
    (folder / "policy.toml").write_text("keys = 3\n")
    assert found(mended(folder), None) == [("policy.toml", "policy")]


def test_a_policy_that_the_bundles_do_not_meet(folder):
    text = (folder / "policy.toml").read_text()
    text = text.replace(KEY.verifier.to_text(), STRANGER.verifier.to_text())
    (folder / "policy.toml").write_text(text)
    assert ("policy.toml", "policy") in found(mended(folder))


def test_a_policy_with_words_of_its_own(folder):
    path = folder / "policy.toml"
    path.write_text("# trust me\n" + path.read_text())
    assert found(mended(folder)) == [("policy.toml", "digest")]


def test_a_policy_that_asks_less_than_the_auditors(folder):
    both = Policy((KEY.verifier, STRANGER.verifier), 2, ORIGIN)
    assert {rule for _, rule in found(folder, both)} == {"bundle"}


def test_a_document_that_was_exchanged(tmp_path):
    document = tmp_path / "doc.txt"
    document.write_text("the true one")
    digest = f"sha256:{hashlib.sha256(b'the true one').hexdigest()}"
    evidence, bundles = made([item("technicalDocumentation", digest=digest)])
    folder = write_dossier(
        tmp_path / "d", reported(evidence), evidence, bundles, POLICY, documents=[document]
    )
    (folder / "documents/doc.txt").write_text("another one")
    assert ("documents/doc.txt", "document") in found(mended(folder))


def test_a_profile_that_asks_less(tmp_path):
    text = (
        'format = "quorate/profile/1"\nname = "bank"\ntitle = "t"\n[[checks]]\nid = "B1"\n'
        'title = "Logged"\narticle = "12"\nobligations = ["art_12.par_1"]\n'
        'field = "eventLogging"\nseverity = "blocker"\n'
        '[[checks]]\nid = "B2"\ntitle = "Stopped"\narticle = "14"\n'
        'obligations = ["art_14.par_4.e"]\nfield = "overrideControl"\nseverity = "blocker"\n'
    )
    profile = tmp_path / "own.toml"
    profile.write_text(text)
    evidence, bundles = made([item("eventLogging")])
    folder = write_dossier(
        tmp_path / "d", reported(evidence, profile), evidence, bundles, POLICY, profile=profile
    )
    assert verify_dossier(folder, POLICY).verified
    (folder / "profile.toml").write_text(text.replace('severity = "blocker"', 'severity = "minor"'))
    assert found(mended(folder)) == [("report.json", "report")]
    (folder / "profile.toml").write_text("name = 3")
    assert found(mended(folder)) == [("profile.toml", "profile")]
    (folder / "profile.toml").unlink()
    assert found(mended(folder)) == [("profile.toml", "missing")]


def test_another_version_is_named_where_something_differs(folder):
    members = parse((folder / "manifest.json").read_text())
    members["tool"]["version"] = "99.0.0"
    (folder / "manifest.json").write_bytes(canonical(members))
    assert verify_dossier(folder, POLICY).version == "99.0.0"
    (folder / "manifest.json").write_bytes(canonical(members) + b"\n")
    assert found(folder) == [("manifest.json", "manifest")]
    page = folder / "report.md"
    page.write_text(page.read_text("utf-8") + "more\n", "utf-8")
    raw = page.read_bytes()
    members["files"]["report.md"] = {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)}
    (folder / "manifest.json").write_bytes(canonical(members))
    report = verify_dossier(folder, POLICY)
    assert not report.verified
    assert "written by quorate 99.0.0" in report.describe()


@pytest.mark.parametrize(
    ("bound", "value"), [("MAX_FILES", 3), ("MAX_FILE_BYTES", 100), ("MAX_TOTAL_BYTES", 2000)]
)
def test_a_dossier_larger_than_any(folder, monkeypatch, bound, value):
    monkeypatch.setattr(bounds, bound, value)
    assert found(folder)[-1][1] == "path"


@pytest.mark.parametrize(
    "name", ["report.json", "evidence.json", "policy.toml", "bundles/000003.json"]
)
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b"null", b"[" * 100_000])
def test_rubbish_in_any_file_is_told_and_never_a_crash(folder, name, content):
    (folder / name).write_bytes(content)
    members = parse((folder / "manifest.json").read_text())
    members["files"][name] = {
        "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content),
    }  # fmt: skip
    (folder / "manifest.json").write_bytes(canonical(members))
    for policy in (POLICY, None):
        report = verify_dossier(folder, policy)
        assert name == "policy.toml" or not report.verified
        assert not report.verified
