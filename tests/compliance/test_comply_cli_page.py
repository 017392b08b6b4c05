"""The page about compliance: its session works, its blocks run, its tables say what is so."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from quorate.cli.app import run
from quorate.cli.comply.commands import app
from quorate.compliance.collect import collectors, registry
from quorate.compliance.rendering.words import STATES
from quorate.compliance.rules import WEIGHTS

PAGE = Path(__file__).parents[2] / "docs" / "compliance.md"
TEXT = PAGE.read_text("utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def rows(heading):
    _, _, rest = TEXT.partition(f"\n## {heading}\n")
    section, _, _ = rest.partition("\n## ")
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert set(lines[1]) == {"|", "-"}
    return [[cell.strip() for cell in line[1:-1].split(" | ")] for line in lines[2:]]


def test_the_session_of_the_page_can_be_copied(tmp_path, monkeypatch, capfd):
    pytest.importorskip("jinja2", reason="needs quorate[reports]")
    monkeypatch.chdir(tmp_path)
    lines = [line[2:] for line in blocks("console")[0].splitlines()]
    assert len(lines) == 12
    shown = {}
    for line in lines:
        word, *arguments = shlex.split(line)
        assert word == "quorate"
        code = run(arguments)
        out, err = capfd.readouterr()
        assert code == 0, (line, err)
        shown[" ".join(arguments[:2])] = out
    assert "✓ shown          EUAIACT-ART12-001" in shown["comply report"]
    assert "✓ shown          EUAIACT-ART14-002" in shown["comply report"]
    assert shown["comply verify"].startswith("verified dossier")
    assert (tmp_path / "report.html").is_file()


def test_the_blocks_of_the_page_run(capsys, monkeypatch):
    collectors()  # those of the package register once, and are to stay
    monkeypatch.setattr(registry, "_KNOWN", dict(registry._KNOWN))
    for block in blocks("python"):
        exec(compile(block, "a block of a page", "exec"), {"__name__": "page"})  # noqa: S102 - what is tested
    told = capsys.readouterr().out
    assert "EUAIACT-ART9-001" in told
    assert "no conformity assessment" in told
    assert "incidents" in [each.name for each in collectors()]


def test_the_states_are_told_in_their_order():
    assert [row[0].strip("| ") for row in rows("What counts as evidence")] == [
        state.word for state in STATES.values()
    ]
    for row, state in zip(rows("What counts as evidence"), STATES.values(), strict=True):
        assert row[1].strip("| ").startswith(state.meaning), state.name


def test_every_collector_is_told():
    told = {}
    for name, fields, title in rows("What is collected"):
        told[name.strip("|` ")] = (tuple(re.findall(r"`([^`]+)`", fields)), title.strip("| "))
    assert told == {each.name: (each.fields, each.title) for each in collectors()}


def test_every_command_is_told():
    told = {re.findall(r"`(\w+)", row[0])[0] for row in rows("Commands")}
    assert told == set(get_command(app).commands)


def test_the_weights_are_so():
    (said,) = re.findall(r"blockers weigh (\d), majors (\d), minors (\d)", TEXT)
    assert tuple(map(int, said)) == tuple(WEIGHTS[name] for name in ("blocker", "major", "minor"))


def test_links_within_the_page_lead_somewhere():
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    for path in re.findall(r"\]\(([^#)][^)]*)\)", TEXT):
        assert (PAGE.parent / path).exists(), path
