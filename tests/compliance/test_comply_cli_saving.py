"""Files that ``quorate comply`` writes: none is replaced unless told, and then only its own."""

import json
from pathlib import Path

import pytest
from comply_tools import POLICY, entries, save, written

PAGES = ("--html", "r.html", "--markdown", "r.md")


def test_the_same_report_can_be_saved_again_with_force(comply):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    assert comply("report", *POLICY, *PAGES)[0] == 0
    code, _, err = comply("report", *POLICY, *PAGES)
    assert code == 2
    assert "or replace it with --force" in " ".join(err.split())
    Path("r.html").write_text(Path("r.html").read_text("utf-8") + "old", "utf-8")
    Path("r.html").chmod(0o640)
    assert comply("report", *POLICY, *PAGES, "--force")[0] == 0
    assert not Path("r.html").read_text("utf-8").endswith("old")
    assert Path("r.html").stat().st_mode & 0o777 == 0o640
    assert not list(Path().glob(".r.*"))


@pytest.mark.parametrize("name", ["ledger.db", "system.toml", "evidence.json", "keys"])
def test_force_replaces_nothing_of_anybody_else(comply, name):
    before = None if Path(name).is_dir() else Path(name).read_bytes()
    size = entries()
    code, _, err = comply(
        "report", "quorate.toml", "--seal", *POLICY, "--markdown", name, "--force"
    )
    assert code == 2
    assert "--force replaces nothing else" in " ".join(err.split())
    assert entries() == size
    assert before is None or Path(name).read_bytes() == before


def test_force_follows_no_link(comply):
    comply("report", *POLICY, "--markdown", "true.md")
    Path("r.md").symlink_to("true.md")
    assert comply("report", *POLICY, "--markdown", "r.md", "--force")[0] == 2
    assert Path("r.md").is_symlink()


def test_evidence_can_be_collected_and_sealed_again_with_force(comply):
    assert comply("collect", *POLICY, "-o", "c.json")[0] == 0
    assert comply("collect", *POLICY, "-o", "c.json")[0] == 2
    assert comply("collect", *POLICY, "-o", "c.json", "--force")[0] == 0
    save("e.json", written("riskAssessment"))
    assert comply("seal", "e.json", "quorate.toml")[0] == 0
    size = entries()
    assert comply("seal", "e.json", "quorate.toml")[0] == 2
    code, _, err = comply("seal", "e.json", "quorate.toml", "-o", "e.json", "--force")
    assert code == 2
    assert "is the evidence itself" in err
    assert entries() == size
    assert comply("seal", "e.json", "quorate.toml", "--force")[0] == 0


def test_what_is_wrong_with_an_item_is_told_in_a_line(comply):
    Path("e.json").write_text(json.dumps({
        "riskAssessment": True, "humanOversight": None, "dataQuality": [],
        "biasExamination": {"status": "passed"},
    }))  # fmt: skip
    code, _, err = comply("seal", "e.json", "quorate.toml")
    assert code == 2
    told = [" ".join(line.split()) for line in err.splitlines()]
    assert "riskAssessment: true is no evidence" in told
    assert "humanOversight: null is no evidence" in told
    assert "dataQuality: [] is no evidence" in told
    assert err.count("quorate comply catalogue") == 1
    assert '"receipt"' not in err


def test_the_next_steps_are_those_of_the_folder(comply, here, tmp_path, monkeypatch):
    _, out, _ = comply("init", "more")
    assert "declare more/system.toml quorate.toml --since 0" in out
    assert "--policy policy.toml" in out
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    _, out, _ = comply("init")
    assert "declare system.toml LEDGER --signer KEY --since 0" in out
    assert "--key ledger.pub" in out
    assert "quorate.toml" not in out
