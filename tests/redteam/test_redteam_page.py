"""The page about the red team: its blocks run, its session works, its tables say what is so."""

import re
import shlex
from pathlib import Path

import pytest

from quorate.cli.app import run
from quorate.redteam import bounds, judge_names, strategies
from quorate.redteam.strategies import registry

PAGE = Path(__file__).parents[2] / "docs" / "redteam.md"
TEXT = PAGE.read_text("utf-8")


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_blocks_of_the_page_run(monkeypatch, capsys):
    monkeypatch.setattr(registry, "_strategies", dict(registry._strategies))
    names = {}
    python = blocks("python")
    assert len(python) == 4
    for block in python:
        exec(compile(block, "a block of a page", "exec"), names)  # noqa: S102 - what is tested
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "1.0 0.0 1.0"
    assert told[1] == "True"
    assert "resilience 1.000 (1)" in told[2]


def test_the_session_of_the_page_can_be_copied(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (session,) = blocks("console")
    lines = [line.removeprefix("$ ") for line in session.splitlines()]
    assert len(lines) == 7
    for line in lines:
        word, *arguments = shlex.split(line)
        assert word == "quorate"
        assert run(arguments) == 0, (line, capfd.readouterr().err)


def test_the_sweep_of_the_page_is_the_catalogue():
    rows = re.findall(r"^\| (RT-\S+) \| (.+) \|$", TEXT, re.MULTILINE)
    told = {id_: rest.split(" | ") for id_, rest in rows}
    assert told == {
        one.id: [
            one.facts.category, one.facts.severity, one.facts.asi, one.facts.attack_class,
            one.facts.title,
        ]
        for one in strategies()
    }  # fmt: skip


@pytest.mark.parametrize("name", [name for name in judge_names() if name != "served"])
def test_every_judge_is_on_the_page(name):
    assert re.search(rf"^\| {name} \|", TEXT, re.MULTILINE)


def test_the_bounds_of_the_page_are_so():
    assert f"at most {bounds.MAX_TOOL_ROUNDS} times in a turn" in TEXT
    assert f"{bounds.DEFAULT_TIMEOUT_SECONDS:g} s for one reply" in TEXT
    assert f"at least {bounds.MIN_CANARY_LENGTH} letters and digits" in TEXT
