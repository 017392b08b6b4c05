"""``quorate drill``: which system it drills, and who it says was at work."""

import json
import sys

import pytest

from quorate.cli.drill import _scope as scope_of
from quorate.core.identity import Ed25519Signer
from quorate.ledger.keyfiles import write_key

SYSTEM = 'name = "triage"\nversion = "2.1.0"\n'
PANEL = """
[ledger]
url = "sqlite:///ledger.db"
signer = "ledger.key"

[arbiter]
protocol = "weighted-quorum"
quorum = 0.66
"""
EXPERT = '[[experts]]\nid = "{}"\nkind = "python"\ncall = "echoing:echo"\nconfidence = 0.9'


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a panel whose experts answer at once, to be worked in."""
    write_key(tmp_path / "ledger.key", Ed25519Signer.generate())
    (tmp_path / "echoing.py").write_text("def echo(task):\n    return task\n")
    experts = [EXPERT.format(name) for name in "abc"]
    (tmp_path / "quorate.toml").write_text("\n\n".join([PANEL, *experts]) + "\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUORATE_BY", raising=False)
    return tmp_path


@pytest.fixture
def drill(capsys):
    def drill(*arguments):
        from quorate.cli.app import run

        code = run(["drill", "override", *arguments])
        return (code, *capsys.readouterr())

    return drill


@pytest.mark.parametrize(
    ("more", "scope"),
    [
        ([], ("triage", "2.1.0")),
        (["--system", "triage"], ("triage", "2.1.0")),
        (["--version", "3"], ("triage", "3")),
        (["--system", "other", "--version", "3"], ("other", "3")),
        (["--system", "other.toml"], ("other", "0.1")),
        (["--system", "other.toml", "--version", "3"], ("other", "3")),
    ],
)
def test_what_is_drilled_is_declared_or_named(place, more, scope):
    (place / "system.toml").write_text(SYSTEM)
    (place / "other.toml").write_text('name = "other"\nversion = "0.1"\n')
    named = dict(zip(more[::2], more[1::2], strict=True))
    found = scope_of(named.get("--system"), named.get("--version"))
    assert found == {"system": scope[0], "version": scope[1]}


@pytest.mark.parametrize(
    ("declared", "more", "told"),
    [
        (None, [], "say what is drilled: --system NAME --version VERSION"),
        (None, ["--system", "triage"], "say what is drilled: --system NAME --version VERSION"),
        (None, ["--system", "no.toml"], "there is no no.toml"),
        (SYSTEM, ["--system", "other"], "system.toml declares 'triage': give its --version too"),
        ("name = 3\n", [], "system.toml:1"),
    ],
)
def test_what_nobody_declared_is_not_drilled(place, drill, declared, more, told):
    if declared is not None:
        (place / "system.toml").write_text(declared)
    code, _, err = drill("--by", "J. Doe", *more)
    assert code == 2
    assert told in err
    assert not (place / "ledger.db").exists()


def test_names_on_the_command_line_need_no_sound_file(place):
    (place / "system.toml").write_text("no toml")
    assert scope_of("s", "1") == {"system": "s", "version": "1"}


def test_who_drills_is_said_or_asked_for(place, drill, monkeypatch):
    (place / "system.toml").write_text(SYSTEM)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    code, _, err = drill()
    assert code == 2
    assert "say who drills: --by NAME, or QUORATE_BY" in err
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "A. Person")
    code, out, _ = drill("--json")
    assert code == 0
    told = json.loads(out)
    assert told["by"] == "A. Person"
    assert told["scope"] == {"system": "triage", "version": "2.1.0"}


def test_a_halt_with_nothing_under_way_is_told_of(place, capsys):
    from quorate.cli.app import run

    (place / "system.toml").write_text(SYSTEM)
    asked = ["drill", "halt", "--by", "J. Doe", "--json", "--panel", "--task", '"x"']
    assert run(asked) == 0
    came = capsys.readouterr()
    stopped = json.loads(came.out)["seen"]["under_way"]
    assert ("nothing was stopped" in came.err) is (stopped == 0)


def test_the_help_says_who_is_at_work(capsys):
    from quorate.cli.app import run

    assert run(["drill", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "A script stands in for the experts" in said
    assert "real work" not in said
