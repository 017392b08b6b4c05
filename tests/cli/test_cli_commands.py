"""The commands that make and run a panel, and what all commands have in common."""

import json
import re
import stat
from pathlib import Path

import pytest
from conftest import ENVIRONMENT
from typer.main import get_command

import quorate as package
from quorate.cli import init as init_module
from quorate.cli.app import app
from quorate.ledger import Ledger, read_signer
from quorate.routing import BFTRouter

STARTER = {
    ".gitignore",
    "experts.py",
    "keys/ledger.key",
    "keys/ledger.pub",
    "policy.toml",
    "quorate.toml",
    "tasks.jsonl",
}


def files_in(folder):
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def told(output):
    """The one JSON document on standard output."""
    return json.loads(output)


# -- init


def test_init_writes_a_panel_with_a_private_key(quorate, tmp_path):
    folder = tmp_path / "new" / "deeper"
    code, out, err = quorate("init", folder)
    assert (code, err) == (0, "")
    assert files_in(folder) == STARTER
    assert stat.S_IMODE((folder / "keys/ledger.key").stat().st_mode) == 0o600
    for command in re.findall(r"^  (quorate \w+)", out, re.MULTILINE):
        assert command in {"quorate run", "quorate explain", "quorate verify"}
    # The refusal is what is worth a look.
    assert "  quorate explain 4\n" in out
    assert "@" not in (folder / "quorate.toml").read_text()
    assert "@ORIGIN@" not in (folder / "policy.toml").read_text()


def test_init_tells_programs_what_it_wrote(quorate, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = quorate("init", "--json")
    assert code == 0
    assert set(told(out)["files"]) == STARTER
    assert told(out)["origin"] in (tmp_path / "policy.toml").read_text()


@pytest.mark.parametrize("name", sorted(STARTER))
def test_init_replaces_nothing_and_then_writes_nothing(quorate, tmp_path, name):
    there = tmp_path / name
    there.parent.mkdir(exist_ok=True)
    there.write_text("mine")
    code, out, err = quorate("init", tmp_path)
    assert (code, out) == (2, "")
    assert f"{there} is there already" in err
    assert there.read_text() == "mine"
    assert files_in(tmp_path) == {name}


def test_init_does_not_follow_a_dangling_link(quorate, tmp_path):
    (tmp_path / "panel").mkdir()
    (tmp_path / "panel/policy.toml").symlink_to(tmp_path / "elsewhere")
    assert quorate("init", tmp_path / "panel")[0] == 2
    assert files_in(tmp_path) == set()


def test_init_that_fails_half_way_leaves_nothing(quorate, tmp_path, monkeypatch):
    real = init_module.Path.open

    def failing(self, *args, **kwargs):
        if self.name == "tasks.jsonl" and args[:1] == ("x",):
            raise OSError(28, "No space left on device")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(init_module.Path, "open", failing)
    code, _, err = quorate("init", tmp_path / "new")
    assert code == 5
    assert "No space left on device" in err
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("name", ["a_file/x", "n" * 300])
def test_init_where_no_folder_can_be_is_the_environments_fault(quorate, tmp_path, name):
    (tmp_path / "a_file").write_text("")
    code, _, err = quorate("init", tmp_path / name)
    assert code == 5
    assert err.startswith("error: ")


# -- the starter panel, as it is written


def test_the_starter_panel_runs_verifies_replays_and_explains(here, quorate):
    lines = [json.loads(line) for line in (here / "decisions.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [f"m{n}" for n in range(1, 9)]
    assert {line["status"] for line in lines} == {"committed", "refused"}
    code, out, err = quorate("verify", "ledger.db", "--policy", "policy.toml", "--replay")
    assert (code, err) == (0, "")
    assert "verified 9 entries" in out
    assert "replayed 9 of them" in out
    assert "the tail is not proven" in out
    for seq in range(9):
        code, out, err = quorate("explain", seq, "--policy", "policy.toml")
        assert (code, err) == (0, "")
        assert f"Entry {seq}, " in out
        assert "Its signature checks out" in out


def test_run_tells_what_it_did(here, quorate):
    code, out, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl")
    assert (code, out) == (0, "")
    assert "8 tasks (8 of them decided earlier): 6 committed, 2 refused" in err
    code, out, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl", "--json")
    summary = told(out)
    assert (code, err) == (0, "")
    assert summary.pop("seconds") >= 0
    assert summary == {
        "tasks": 8, "committed": 6, "refused": 2, "shadow_refused": 0, "earlier": 8,
        "other_panel": 0, "entries": 9, "out": "new.jsonl", "not_by_quorum": 0,
        "shadow_not_by_quorum": 0, "overridden": 0, "withheld": 0, "outdated": 0, "failing": [],
    }  # fmt: skip


def test_run_on_standard_output_prints_decisions_and_nothing_else(here, quorate):
    for more in ([], ["--json"]):
        code, out, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "-", *more)
        assert code == 0
        assert out == (here / "decisions.jsonl").read_text()
        assert "8 tasks" in err


def test_run_strict_exits_3_when_anything_was_refused(here, quorate):
    arguments = ["run", "quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl"]
    assert quorate(*arguments)[0] == 0
    assert quorate(*arguments, "--strict")[0] == 3
    (here / "tasks.jsonl").write_text((here / "tasks.jsonl").read_text().splitlines()[0] + "\n")
    (here / "decisions.jsonl").unlink()
    assert quorate(*arguments, "--strict")[0] == 0


def test_run_notes_that_another_panel_decided_earlier(here, quorate):
    panel = here / "quorate.toml"
    panel.write_text(panel.read_text().replace("quorum = 0.66", "quorum = 0.5"))
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl")
    assert code == 0
    assert "note: 8 were decided earlier by another panel" in err
    assert "note: a quorum of 0.5 commits answers that a half may oppose" in err


def test_run_with_a_broken_tasks_file_decides_nothing(here, quorate):
    (here / "tasks.jsonl").write_text('{"id": "n1", "input": 1}\n{"id": "n2"}\n')
    code, out, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")
    assert (code, out) == (2, "")
    assert err == "error: tasks.jsonl:2: input is missing\n"
    assert not (here / "new.jsonl").exists()
    assert told(quorate("ledger", "ls", "--json")[1])["entries"][-1]["seq"] == 8


def test_run_with_a_typo_in_the_panel_names_line_and_key(here, quorate):
    panel = here / "quorate.toml"
    panel.write_text(panel.read_text().replace("timeout = 5.0", "timeuot = 5.0"))
    arguments = ("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")
    code, out, err = quorate(*arguments)
    assert (code, out) == (2, "")
    assert err == (
        "error: quorate.toml:26: experts[0].timeuot: unknown key; did you mean 'timeout'?\n"
    )
    code, out, err = quorate(*arguments, "--json")
    assert (code, err) == (2, "")
    assert told(out)["exit_code"] == 2
    assert told(out)["error"]["type"] == "PanelError"


def test_run_where_the_ledger_cannot_be_leaves_nothing(here, quorate):
    panel = here / "quorate.toml"
    panel.write_text(panel.read_text().replace("sqlite:///", "sqlite:///no/such/"))
    before = files_in(here)
    code, out, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")
    assert (code, out) == (5, "")
    assert "check that its folder exists" in err
    assert {f for f in files_in(here) if "__pycache__" not in f} == {
        f for f in before if "__pycache__" not in f
    }


def test_run_without_its_panel_or_key_is_the_environments_fault(here, quorate):
    assert quorate("run", "none.toml", "tasks.jsonl", "-o", "new.jsonl")[0] == 5
    (here / "keys/ledger.key").unlink()
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")
    assert (code, "the key keys/ledger.key cannot be read" in err) == (5, True)
    assert not (here / "new.jsonl").exists()


def test_run_with_another_key_is_refused(here, quorate):
    (here / "keys/ledger.key").unlink()
    (here / "keys/ledger.pub").unlink()
    assert quorate("keys", "new", "keys/ledger.key")[0] == 0
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")
    assert code == 2
    assert "open it with the key or keys it was begun with" in err


def test_run_with_a_key_that_others_can_read_is_refused(here, quorate):
    (here / "keys/ledger.key").chmod(0o644)
    code, _, err = quorate("run", "quorate.toml", "tasks.jsonl", "-o", "new.jsonl")
    assert code == 2
    assert "chmod 600" in err


# -- explain


def test_explain_tells_each_kind_of_entry(here, quorate):
    panel = quorate("explain", 0)[1]
    assert "A panel that decisions after it can name: 5 experts" in panel
    assert "a whole declaration of a panel" in panel
    assert "computed again" not in panel
    assert 'Committed "ham"' in quorate("explain", 1)[1]
    refusal = quorate("explain", 4)[1]
    assert "Entry 4, refusal" in refusal
    assert "computed again from what is sealed and comes out the same" in refusal
    code, out, _ = quorate("explain", 4, "--json", "--key", "keys/ledger.pub")
    assert code == 0
    assert {k: told(out)[k] for k in ("seq", "kind")} == {"seq": 4, "kind": "refusal"}
    assert told(out)["story"] in refusal
    assert told(out)["body"]["task"]["id"] == "m4"
    assert told(out)["signature_checked"] is True


def test_explain_tells_a_routing_round(here, quorate):
    signer = read_signer(here / "keys/ledger.key")
    with Ledger.open("sqlite:///ledger.db", signer=signer) as ledger:
        ledger.append("note", {"free": "text"})
        replicas = {"a": "x", "b": "x", "c": "x", "d": "y"}
        router = BFTRouter(
            {"x": lambda task: task, "y": lambda task: task},
            {name: lambda _, key=key: key for name, key in replicas.items()},
            ledger=ledger,
        )
        router.route({"task": 1}, "session")
    code, out, err = quorate("explain", 10)
    assert (code, err) == (0, "")
    assert "3 of 4 replicas chose expert 'x'; 3 were needed. Dissenting: d ('y')." in out
    code, _, err = quorate("explain", 9)
    assert code == 2
    assert "quorate ledger show 9" in err


def test_explain_an_entry_that_is_not_there(here, quorate):
    code, _, err = quorate("explain", 99)
    assert code == 2
    assert err == "error: there is no entry 99; there are 9 entries, 0 to 8\n"


# -- the whole


def test_version_and_help(quorate):
    assert quorate("--version") == (0, f"quorate {package.__version__}\n", "")
    code, out, _ = quorate("--help")
    assert code == 0
    for command in (
        "init", "demo", "run", "explain", "trace", "outcome", "tune", "verify", "ledger", "keys",
    ):  # fmt: skip
        assert command in out
    assert re.search(r"Exit codes: 0 done", out)


@pytest.mark.parametrize(
    "command", ["init", "demo", "run", "explain", "trace", "outcome", "tune", "verify",
                "ledger ls", "ledger show", "ledger checkpoint", "keys new", "keys show"],
)  # fmt: skip
def test_every_command_has_help_and_json(quorate, command):
    code, out, _ = quorate(*command.split(), "--help")
    assert code == 0
    assert "--json" in out


@pytest.mark.parametrize(
    ("arguments", "told_"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["ledger", "lss"], "No such command 'lss'"),
        (["run", "--strcit", "p", "t", "-o", "x"], "No such option"),
        (["run", "p", "t"], "name an output with -o"),
        (["explain"], "Missing argument"),
        (["explain", "one"], "valid integer"),
        (["explain", "-1"], "No such option"),
        (["ledger", "ls", "--limit", "0"], "greater than or equal to"),
        (["ledger", "ls", "--start", "-3"], "greater than or equal to"),
        (["ledger", "ls", "-n", "99999999999999999999"], "less than or equal to"),
        (["ledger", "ls", "--start", "99999999999999999999"], "less than or equal to"),
    ],
)
def test_a_typo_exits_2_with_a_hint(quorate, arguments, told_):
    code, out, err = quorate(*arguments)
    assert (code, out) == (2, "")
    assert told_ in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "told_"),
    [
        (["rnu", "--json"], "No such command 'rnu'"),
        (["run", "--strcit", "p", "t", "-o", "x", "--json"], "No such option"),
        (["run", "p", "t", "--json"], "name an output with -o"),
        (["explain", "--json", "one"], "valid integer"),
        (["ledger", "ls", "-n", "0", "--json"], "greater than or equal to"),
        (["ledger", "--json"], "No such option"),
    ],
)
def test_a_typo_is_told_to_programs_in_json(quorate, arguments, told_):
    code, out, err = quorate(*arguments)
    assert (code, err) == (2, "")
    assert told(out)["exit_code"] == 2
    assert told(out)["error"]["type"] == "UsageError"
    assert told_ in told(out)["error"]["message"]


def test_json_changes_no_exit_code(here, quorate):
    arguments = ("run", "quorate.toml", "tasks.jsonl", "-o", "decisions.jsonl", "--strict")
    assert quorate(*arguments)[0] == quorate(*arguments, "--json")[0] == 3
    assert quorate("explain", "--json", "--help")[0] == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_standard_output_is_named_on_standard_error(here, process, forked):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        to_full = {"stdout": full, "capture_output": False, "stderr": -1}
        unbuffered = to_full | {"env": {**ENVIRONMENT, "PYTHONUNBUFFERED": "1"}}
        listed, failing = ("ledger", "ls", "--json"), ("explain", "99", "--json")
        runs = [
            (arguments, forked, {"stdout": full.fileno()})
            for arguments in (
                ("ledger", "ls"), listed, failing, ("ledger", "checkpoint"), ("explain", "1"),
                ("--version",),
            )
        ]  # fmt: skip
        runs += [(listed, process, to_full)]
        runs += [(arguments, process, unbuffered) for arguments in (listed, failing)]
        for arguments, run, options in runs:
            done = run(*arguments, **options)
            assert done.returncode == 5, arguments
            full_words, *others = done.stderr.splitlines()
            assert full_words == "error: standard output cannot be written: No space left on device"
            # What was to be told there is told here.
            assert bool(others) == ("99" in arguments)


def test_no_arguments_show_the_help(quorate):
    code, out, err = quorate()
    assert code == 2
    assert "Usage" in out + err


def leaves(command, name=()):
    """All commands that do something, each with its words."""
    if not hasattr(command, "commands"):
        return [(name, command)]
    return [
        leaf
        for word, inner in sorted(command.commands.items())
        for leaf in leaves(inner, (*name, word))
    ]


def test_every_command_and_option_says_what_it_does_and_has_json():
    """Only what speaks a protocol on standard output has no --json of its own."""
    bare, mute = set(), []
    for words, command in leaves(get_command(app)):
        options = {spelling for each in command.params for spelling in each.opts}
        if "--json" not in options:
            bare.add(" ".join(words))
        if not command.help:
            mute.append(words)
        mute += [(words, each.name) for each in command.params if not getattr(each, "help", None)]
    assert bare == {"mcp"}
    assert mute == []


@pytest.mark.parametrize("command", ["council", "ledger"])
def test_all_commands_are_put_together_once_in_a_process(quorate, monkeypatch, command):
    """It takes longer than most commands do."""
    first = quorate(command, "--help")
    monkeypatch.setattr("typer.main.get_command_from_info", None)
    assert quorate(command, "--help") == first


def test_foreign_text_cannot_rewrite_the_screen(here, quorate):
    evil = "\x1b[2J\x1b[1mverified\x9b2J\u202e\nsigner: [bold]"
    signer = read_signer(here / "keys/ledger.key")
    with Ledger.open("sqlite:///ledger.db", signer=signer) as ledger:
        seq = ledger.append("note", {"text": evil}, trace_id=evil).seq
    for arguments in (
        ("ledger", "ls"),
        ("ledger", "ls", "--json"),
        ("ledger", "show", seq),
        ("ledger", "show", seq, "--json"),
        ("verify", evil, "--key", evil),
    ):
        _, out, err = quorate(*arguments)
        for sign in ("\x1b[2J", "\x9b", "\u202e"):
            assert sign not in out + err, arguments
        assert "\nsigner: [" not in out
    assert told(quorate("ledger", "show", seq, "--json")[1])["body"]["text"] == evil
    _, out, _ = quorate("ledger", "ls")
    assert "[bold]" in out
