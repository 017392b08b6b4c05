"""``quorate comply dossier`` and ``verify``: handed over, checked elsewhere, sealed as a whole."""

import shutil
from pathlib import Path

import pytest
from comply_tools import POLICY, forge, save, written

from quorate.cli.app import run
from quorate.compliance import EvidenceSet
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
