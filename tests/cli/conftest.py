"""The command line, in this process and in its own, over the starter panel."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_forking import Forking

from quorate.cli.app import run

# Buffered streams, as users have them.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
COMMAND = [sys.executable, "-c", "from quorate.cli import main; main()"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder in which the starter panel has run; look, do not touch."""
    folder = tmp_path_factory.mktemp("starter") / "made"
    assert run(["init", str(folder)]) == 0
    arguments = [folder / "quorate.toml", folder / "tasks.jsonl", "-o", folder / "decisions.jsonl"]
    assert run(["run", *map(str, arguments)]) == 0
    return folder


@pytest.fixture
def here(finished, tmp_path, monkeypatch):
    """A copy of that folder, which is the working folder."""
    copy = Path(shutil.copytree(finished, tmp_path / "here"))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def quorate(capfd):
    """Run a command here; gives exit code, standard output and standard error."""

    def call(*arguments):
        capfd.readouterr()
        code = run([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return call


@pytest.fixture(scope="session")
def forking():
    server = Forking(ENVIRONMENT)
    yield server
    server.close()


@pytest.fixture
def fork(forking):
    """Start a command in a process forked off a prepared one, with pipes."""
    started = []

    def call(*arguments, **options):
        started.append(forking.start(*arguments, **options))
        return started[-1]

    yield call
    for running in started:
        running.close()


@pytest.fixture
def forked(fork):
    """Run a command in a process forked off a prepared one."""

    def call(*arguments, given="", **options):
        running = fork(*arguments, **options)
        out, err = (told.decode() for told in running.communicate(given.encode()))
        assert "Traceback" not in err, err
        assert "Fatal" not in err, err
        return subprocess.CompletedProcess(arguments, running.returncode, out, err)

    return call


@pytest.fixture
def process():
    """Run a command in a process of its own, started as a shell starts it."""

    def call(*arguments, **options):
        given = {"capture_output": True, "text": True, "timeout": 60, "env": ENVIRONMENT}
        options = given | options
        done = subprocess.run([*COMMAND, *map(str, arguments)], check=False, **options)
        assert "Traceback" not in (done.stderr or ""), done.stderr
        assert "Fatal" not in (done.stderr or ""), done.stderr
        return done

    return call


@pytest.fixture
def start():
    """Start a command in a process of its own, as a shell does, with pipes."""
    started = []

    def call(*arguments, **options):
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        running = subprocess.Popen(
            [*COMMAND, *map(str, arguments)], **({"env": ENVIRONMENT} | pipes | options)
        )
        started.append(running)
        return running

    yield call
    for running in started:
        running.kill()
        running.communicate()
