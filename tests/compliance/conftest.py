"""A folder in which a panel has run, and the commands of ``quorate comply`` to be run in it."""

import json
import shutil
from pathlib import Path

import pytest

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
