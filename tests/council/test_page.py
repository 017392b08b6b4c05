"""The page about the council: its blocks run, its session works, its tables say what is so."""

import re
import shlex
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest

from quorate.cli.app import run
from quorate.cli.council.commands import app
from quorate.cli.council.file import CouncilFile, CouncilTable, RulesTable, VoterTable
from quorate.core.identity import Ed25519Signer
from quorate.council.rules.values import WELL_KNOWN

PAGE = Path(__file__).parents[2] / "docs" / "council.md"
TEXT = PAGE.read_text("utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_blocks_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {}
    python = blocks("python")
    assert len(python) == 4
    for block in python:
        exec(compile(block, "a block of a page", "exec"), names)  # noqa: S102 - what is tested
    names["ledger"].close()
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "approved 3 of 3"
    assert "terminating agent-7" in told
    assert "executed None" in told
    assert (
        "['opened', 'proposed', 'voted', 'voted', 'voted', 'decided', 'intent', 'result']" in told
    )
    assert told[-1] == "rejected expired"


def test_the_session_of_the_page_can_be_copied(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    lines = [line[2:] for line in blocks("console")[0].splitlines()]
    assert len(lines) == 10
    shown = ""
    for line in lines:
        word, *arguments = shlex.split(line)
        assert word == "quorate"
        code = run(arguments)
        out, err = capfd.readouterr()
        assert code == 0, (line, err)
        shown = out if arguments[1] == "list" else shown
    (example,) = blocks("text")

    def without_times(text):
        text = re.sub(r"\d\d:\d\d:\d\d \S+", "T", text)
        text = re.sub(r"--digest [0-9a-f]{12}\b", "--digest D", text)
        text = re.sub(r"\bnow$", "N ago", text, flags=re.MULTILINE)
        return re.sub(r"\d+ (s|min)\b", "N", text).splitlines()

    assert without_times(shown) == without_times(example)


def test_the_example_of_the_file_is_a_council(tmp_path):
    (text,) = blocks("toml")
    key = Ed25519Signer.generate().verifier.to_text()
    path = tmp_path / "council.toml"
    path.write_text(text.replace("ed25519:...", key))
    declared = CouncilFile(path)
    assert declared.electorate.keys == {"anna": key}
    assert declared.config.supermajority_threshold == Fraction(2, 3)
    assert declared.actions == {"reboot": False}
    # All keys there are, but for the log's own name.
    found = tomllib.loads(text)
    assert set(found) == set(CouncilTable.model_fields)
    assert set(found["rules"]) == set(RulesTable.model_fields)
    assert set(found["voters"][0]) == set(VoterTable.model_fields)


def test_the_table_of_rules_names_all_actions_by_their_kind():
    head = next(line for line in TEXT.splitlines() if line.startswith("| | routine:"))
    routine, critical = re.findall(r": ([a-z_, ]+) \|", head)
    for words, is_critical in ((routine, False), (critical, True)):
        known = {name for name, kind in WELL_KNOWN.items() if kind is is_critical}
        assert set(words.split(", ")) == known


def test_the_table_of_commands_names_all_of_them():
    told = TEXT[TEXT.index("## Commands") : TEXT.index("## In Python")]
    rows = " ".join(line.split("|")[1] for line in told.splitlines() if line.startswith("| `"))
    named = set(re.findall(r"`([a-z]+)", rows))
    assert {command.name for command in app.registered_commands} <= named
