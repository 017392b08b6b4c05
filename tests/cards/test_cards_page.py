"""The page about cards says what is true: its code runs, its tables are whole."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from evidence_tools import item

from quorate.cards import EXPERTS, TrustStore, bounds
from quorate.cards import signatures as states
from quorate.cards.signed_form import WHOLE
from quorate.cli.app import run
from quorate.compliance import load_profile
from quorate.compliance.offered import form_of
from quorate.compliance.schemas import misfit

PAGE = Path(__file__).parents[2] / "docs" / "cards.md"
TEXT = PAGE.read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks("python"))
def test_every_snippet_runs(block, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def sessions():
    """The commands that the page shows, block by block."""
    found = re.findall(r"(?:^    quorate .*\n)+", TEXT, re.MULTILINE)
    return [[shlex.split(line, comments=True)[1:] for line in each.splitlines()] for each in found]


def test_the_sessions_of_the_page_can_be_typed(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    first, second = sessions()
    assert (len(first), len(second)) == (4, 7)
    for arguments in [*first, *second]:
        if arguments[:2] == ["comply", "seal"]:
            fill_in(tmp_path / "evidence.json", "hitlContact")
        code = run(arguments)
        out, err = capfd.readouterr()
        assert code == 0, (arguments, err)
    assert "8. Human-in-the-Loop Gate (hitlContact): covered" in out
    assert "signatures: verified" in out
    # Piece by piece, as the page says.
    fill_in(tmp_path / "evidence.json", "riskAssessment")
    assert run([*second[3], "--force"]) == 0
    for arguments in second[4:]:
        assert run(arguments) == 0
    assert "experts: 2 of 14 covered" in capfd.readouterr().out


def fill_in(path, field):
    """Fill in one item of those that were written to be filled in."""
    members = json.loads(path.read_text("utf-8"))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sample = item(field).body()
    members["metadata"][field] |= {name: sample[name] for name in ("status", "data", "digest")}
    members["metadata"][field] |= {"source": "J. Doe", "time": now}
    path.write_text(json.dumps(members), "utf-8")


def test_the_trust_store_is_one():
    (block,) = blocks("toml")
    assert TrustStore.from_dict(tomllib.loads(block)).keys[0].kid == "example-2026"


def test_the_extension_is_where_evidence_is_looked_for():
    from quorate.cards.evidence import evidence_of

    (block,) = blocks("json")
    found, problems = evidence_of(json.loads(block))
    assert problems == []
    assert [each.field for each in found.items] == ["hitlContact"]
    shape, needs = form_of("hitlContact", load_profile("experts"))
    assert misfit(found.items[0].data, shape, needs)[1] is None


def test_the_tables_are_whole():
    for expert in EXPERTS:
        assert f"| {expert.number} | {expert.name} | `{expert.field}` |" in TEXT
    for state in states.STATES:
        assert f"| `{state}` |" in TEXT


def test_the_bounds_told_are_the_bounds():
    told = (
        "A card has at most 1 MiB, 32 levels, 256 skills, 64 interfaces and 16 signatures;",
        "has at most 256 characters.",
        "At most 3 redirects",
        "At most 1 MiB and 30 seconds",
    )
    for words in told:
        assert words in TEXT
    assert (bounds.MAX_CARD_BYTES, bounds.MAX_CARD_DEPTH) == (1 << 20, 32)
    assert (bounds.MAX_SKILLS, bounds.MAX_INTERFACES, bounds.MAX_SIGNATURES) == (256, 64, 16)
    assert bounds.MAX_NAME_LENGTH == 256
    assert f"`{WHOLE}`" in TEXT
    assert (bounds.MAX_REDIRECTS, bounds.MAX_FETCH_SECONDS) == (3, 30)
