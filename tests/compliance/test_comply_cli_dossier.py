"""``quorate comply dossier`` and ``verify``: handed over, checked elsewhere, sealed as a whole."""

import json
import re
import shutil
from pathlib import Path

import pytest
from comply_tools import POLICY, forge, save, written

from quorate.cli.app import run
from quorate.compliance import ComplianceReport, EvidenceSet
from quorate.compliance.dossier import verify_dossier
from quorate.ledger import Bundle, Policy

pytest.importorskip("jinja2", reason="needs quorate[reports]")


@pytest.fixture
def dossier(comply):
    code, out, err = comply("dossier", "quorate.toml", "-o", "dos", "--seal", *POLICY)
    assert code == 0, err
    assert "quorate comply verify dos" in out
    return Path("dos")


def test_a_dossier_of_the_ledger_verifies_anywhere(dossier, comply, told, tmp_path, monkeypatch):
    code, out, _ = comply("verify", dossier, *POLICY)
    assert code == 0
    assert out.startswith("verified dossier")
    elsewhere = tmp_path / "auditor"
    elsewhere.mkdir()
    shutil.move(dossier, elsewhere / "d")
    shutil.copy("policy.toml", elsewhere)
    shutil.rmtree("keys")
    Path("ledger.db").unlink()
    monkeypatch.chdir(elsewhere)
    code, members = told("verify", "d", *POLICY)
    assert (code, members["verified"], members["own_policy"]) == (0, True, False)
    code, out, _ = comply("verify", "d")
    assert code == 0
    assert "not who made it" in out
    with (elsewhere / "d/report.md").open("a") as file:
        file.write("x")
    code, members = told("verify", "d", *POLICY)
    assert code == 4
    assert [(each["path"], each["rule"]) for each in members["problems"]] == [
        ("report.md", "digest")
    ]
    code, out, _ = comply("verify", "d", *POLICY)
    assert code == 4
    assert "report.md" in out


def test_a_dossier_names_all_entries_that_its_evidence_was_made_from(dossier):
    evidence = EvidenceSet.read(dossier / "evidence.json")
    named = {each.seq for item in evidence.items for each in (item.receipt, *item.entries)}
    trust = Policy.read("policy.toml")
    for seq in named:
        bundle = Bundle.parse((dossier / f"bundles/{seq:06d}.json").read_text())
        bundle.verify(trust)
        assert bundle.seq == seq
    assert run(["verify", str(dossier / f"bundles/{min(named):06d}.json"), *POLICY]) == 0


def test_both_pages_tell_the_same_of_what_was_not_declared(dossier):
    report = ComplianceReport.from_dict(json.loads((dossier / "report.json").read_text()))
    assert report.undeclared
    pages = {}
    for name in ("report.html", "annex-iv.html"):
        text = re.sub("<[^>]+>", "", (dossier / name).read_text())
        _, _, rest = text.partition("Not declared, so taken to hold")
        before = "What the ledger does not show" if name == "report.html" else "Nor declared"
        told, found, _ = rest.partition(before)
        assert found
        pages[name] = set(re.findall(r"[a-z]+(?:_[a-z]+)+", told))
    assert set(pages["report.html"]) == set(report.undeclared) == set(pages["annex-iv.html"])
    assert "Nor declared, for obligations" in (dossier / "annex-iv.md").read_text()
    order = [
        (dossier / "annex-iv.html").read_text().find(f"Other evidence: Article {n}")
        for n in (9, 12, 15)
    ]
    assert order == sorted(order)


def test_without_seal_what_was_collected_now_is_left_out(comply):
    save("e.json", written("riskAssessment"))
    code, _, err = comply("dossier", "quorate.toml", "-o", "dos", "--evidence", "e.json", *POLICY)
    assert code == 0
    assert "collected now and not sealed, so not in it; add --seal" in err
    found = verify_dossier("dos", Policy.read("policy.toml"))
    assert found.verified
    assert (found.items, found.bundles) == (1, 1)
    assert found.report.unsigned == ("EUAIACT-ART9-002",)


def test_a_dossier_against_a_checkpoint_takes_no_key(comply):
    comply("report", "quorate.toml", "--seal", *POLICY)
    assert run(["ledger", "checkpoint", "--signer", "keys/ledger.key", "-o", "cp.note"]) == 0
    code, _, err = comply("dossier", "ledger.db", "--checkpoint", "cp.note", "-o", "d", *POLICY)
    assert code == 0, err
    assert Path("d/checkpoint.note").read_text() == Path("cp.note").read_text()
    assert comply("verify", "d", *POLICY)[0] == 0


def test_a_broken_ledger_makes_no_dossier(comply):
    comply("report", "quorate.toml", "--seal", *POLICY)
    forge()
    code, _, err = comply("dossier", "quorate.toml", "-o", "dos", *POLICY)
    assert code == 4
    assert "no dossier is written: the ledger does not verify" in err
    assert not Path("dos").exists()
