"""Ledgers made once and copied: to collect from, or in a folder in which a panel has run."""

import json
import shutil
from pathlib import Path

import pytest
from collect_tools import Place

from quorate.cli.app import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which the starter panel has run, and whose system is declared."""
    folder = tmp_path_factory.mktemp("comply") / "made"
    assert run(["init", str(folder)]) == 0
    arguments = [folder / "quorate.toml", folder / "tasks.jsonl", "-o", folder / "decisions.jsonl"]
    assert run(["run", *map(str, arguments)]) == 0
    named = ["--name", "triage", "--version", "2.1.0"]
    assert run(["comply", "init", str(folder), *named]) == 0
    declared = [folder / "system.toml", folder / "quorate.toml", "--since", 0, "--by", "J. Doe"]
    assert run(["comply", "declare", *map(str, declared), "--silence", "86400"]) == 0
    return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A copy of it, as the current folder."""
    copy = Path(shutil.copytree(finished, tmp_path / "here"))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def comply(capfd, here):
    """Run a command here; gives exit code, standard output and standard error."""

    def call(*arguments):
        capfd.readouterr()
        code = run(["comply", *map(str, arguments)])
        return code, *capfd.readouterr()

    return call


@pytest.fixture
def told(comply):
    """Run it with --json; gives exit code and what was printed."""

    def call(*arguments):
        code, out, _ = comply(*arguments, "--json")
        return code, json.loads(out)

    return call


@pytest.fixture(scope="session")
def decided(tmp_path_factory):
    made = Place(tmp_path_factory.mktemp("decided"))
    made.decide("one", "two", "split")
    made.declare()
    return made


@pytest.fixture(scope="session")
def drilled(decided, tmp_path_factory):
    made = decided.copy(tmp_path_factory.mktemp("drilled"))
    made.drill("halt")
    made.drill("override")
    return made


@pytest.fixture
def place(decided, tmp_path_factory):
    """Three tasks decided, and whose record that is."""
    return decided.copy(tmp_path_factory.mktemp("place"))


@pytest.fixture
def whole(drilled, tmp_path_factory):
    """The same, and both drills."""
    return drilled.copy(tmp_path_factory.mktemp("whole"))
