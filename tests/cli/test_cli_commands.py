"""Every command, for people and for programs."""

import io
import json
import os
import re
import shutil
import stat
from pathlib import Path

import pytest
from conftest import ENVIRONMENT

import quorate as package
from quorate.cli import init as init_module
from quorate.cli.app import app
from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, Receipt, read_signer, read_verifier, verify
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
        "other_panel": 0, "entries": 9, "out": "new.jsonl",
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
    assert "open it with the key it was begun with" in err


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


# -- ledger


def test_ledger_ls_lists_and_filters(here, quorate):
    code, out, err = quorate("ledger", "ls")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["seq", *map(str, range(9))]

    def listed(*more):
        code, out, _ = quorate("ledger", "ls", "--json", *more)
        assert code == 0
        return [e["seq"] for e in told(out)["entries"]], told(out)["more"]

    assert listed() == ([0, 1, 2, 3, 4, 5, 6, 7, 8], False)
    assert listed("--kind", "refusal") == ([4, 5], False)
    assert listed("--trace", "m3") == ([3], False)
    assert listed("--start", 3, "--limit", 2) == ([3, 4], True)
    assert listed("-n", 9) == ([0, 1, 2, 3, 4, 5, 6, 7, 8], False)
    assert listed("--kind", "none") == ([], False)
    assert "go on with --start 2" in quorate("ledger", "ls", "-n", 2)[1]
    assert quorate("ledger", "ls", "--kind", "none")[1] == "no entries like that\n"


def test_ledger_by_file_and_by_url_are_the_same(here, quorate):
    by_panel = quorate("ledger", "ls")
    for name in (
        "ledger.db",
        f"{here}/ledger.db",
        "sqlite:///ledger.db",
        f"sqlite:///{here}/ledger.db",
    ):
        assert quorate("ledger", "ls", "--ledger", name) == by_panel


def test_ledger_show_prints_the_entry(here, quorate):
    code, out, err = quorate("ledger", "show", 2)
    assert (code, err) == (0, "")
    assert re.search(r"^kind: +decision$", out, re.MULTILINE)
    assert "(signature not checked" in out
    assert "not checked" not in quorate("ledger", "show", 2, "--key", "keys/ledger.pub")[1]


def test_a_shown_receipt_verifies_alone(here, quorate):
    code, out, _ = quorate("ledger", "show", 2, "--json")
    assert code == 0
    (here / "receipt.json").write_text(out)
    Receipt.from_dict(told(out))
    code, said, err = quorate("verify", "receipt.json", "--key", "keys/ledger.pub")
    assert (code, err) == (0, "")
    assert "verified receipt 2" in said
    code, said, _ = quorate("verify", "receipt.json", "--policy", "policy.toml", "--json")
    assert (code, told(said)["verified"], told(said)["seq"]) == (0, True, 2)


def test_checkpoint_pins_the_ledger(here, quorate):
    code, note, err = quorate("ledger", "checkpoint")
    assert (code, err) == (0, "")
    code, out, _ = quorate("ledger", "checkpoint", "-o", "pin.txt")
    assert (code, out.startswith("wrote pin.txt, which pins 9 entries")) == (0, True)
    assert (here / "pin.txt").read_text() == note
    code, out, _ = quorate("ledger", "checkpoint", "--json")
    assert told(out)["checkpoint"] == note
    code, out, _ = quorate(
        "verify", "ledger.db", "--policy", "policy.toml", "--checkpoint", "pin.txt"
    )
    assert (code, "complete: the checkpoint pins exactly these entries" in out) == (0, True)
    code, _, err = quorate("ledger", "checkpoint", "-o", "pin.txt")
    assert (code, "pin.txt is there already" in err) == (2, True)
    assert quorate("ledger", "checkpoint", "-o", "no/such/folder/pin.txt")[0] == 5
    assert quorate("ledger", "checkpoint", "--ledger", "ledger.db")[0] == 2
    assert (
        quorate("ledger", "checkpoint", "--ledger", "none.db", "--signer", "keys/ledger.key")[0]
        == 5
    )
    assert not (here / "none.db").exists()


def test_a_checkpoint_tells_the_size_in_the_note(here, quorate, monkeypatch):
    real = Ledger.checkpoint

    def while_others_append(self):
        self.append("note", {"more": 1})
        return real(self)

    monkeypatch.setattr(Ledger, "checkpoint", while_others_append)
    assert "which pins 10 entries" in quorate("ledger", "checkpoint", "-o", "pin.txt")[1]
    assert (here / "pin.txt").read_text().splitlines()[1] == "10"


def test_a_checkpoint_that_cannot_be_written_leaves_no_file(here, quorate, monkeypatch):
    class Full(io.StringIO):
        def flush(self):
            raise OSError(28, "No space left on device")

    real = Path.open

    def on_a_full_disk(self, *args, **kwargs):
        if self.name != "pin.txt":
            return real(self, *args, **kwargs)
        real(self, *args, **kwargs).close()
        return Full()

    monkeypatch.setattr(Path, "open", on_a_full_disk)
    code, out, err = quorate("ledger", "checkpoint", "-o", "pin.txt")
    assert (code, out) == (5, "")
    assert err == "error: pin.txt cannot be written: No space left on device\n"
    assert not (here / "pin.txt").exists()


def test_ledger_that_is_not_there(here, quorate, tmp_path, monkeypatch):
    code, _, err = quorate("ledger", "ls", "--ledger", "none.db")
    assert (code, err) == (5, "error: there is no ledger at none.db\n")
    assert not (here / "none.db").exists()
    monkeypatch.chdir(tmp_path)
    code, _, err = quorate("ledger", "ls")
    assert (code, "there is no quorate.toml in this folder" in err) == (2, True)


def test_ledger_that_is_something_else(here, quorate):
    (here / "text.db").write_text("hello " * 100)
    code, _, err = quorate("ledger", "ls", "--ledger", "text.db")
    assert (code, "it is some other file" in err) == (5, True)
    assert quorate("ledger", "ls", "--ledger", "postgresql://x/y")[0] == 2


# -- keys


def test_keys_are_made_once_and_shown_without_the_secret(quorate, tmp_path):
    path = tmp_path / "my.key"
    code, out, err = quorate("keys", "new", path)
    assert (code, err) == (0, "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    public = read_verifier(tmp_path / "my.pub")
    assert public.key_id in out
    assert public.to_text() in out
    secret = path.read_text()
    code, _, err = quorate("keys", "new", path)
    assert (code, "is there already" in err) == (2, True)
    assert path.read_text() == secret
    shown = [quorate("keys", "show", name, "--json") for name in (path, tmp_path / "my.pub")]
    assert shown[0] == shown[1]
    assert told(shown[0][1]) == {
        "key_id": public.key_id, "algorithm": "ed25519", "public": public.to_text(),
    }  # fmt: skip
    body = secret.splitlines()[1]
    assert body not in shown[0][1]
    assert body not in quorate("keys", "show", path)[1]


def test_the_checkpoint_key_of_a_log_is_shown(quorate, tmp_path):
    quorate("keys", "new", tmp_path / "k.key")
    show = ("keys", "show", tmp_path / "k.pub", "--origin")
    code, out, _ = quorate(*show, "example.org/log", "--json")
    assert code == 0
    assert told(out)["checkpoint_key"].startswith("example.org/log+")
    assert quorate(*show, "a b")[0] == 2


def test_hmac_keys_come_with_a_warning(quorate, tmp_path):
    path = tmp_path / "shared.key"
    code, out, _ = quorate("keys", "new", path, "--hmac")
    assert (code, "can also forge" in out) == (0, True)
    assert path.read_text().split(":")[1].strip() not in quorate("keys", "show", path)[1]
    code, out, _ = quorate("keys", "new", tmp_path / "other.key", "--hmac", "--json")
    assert (code, told(out)["files"]) == (0, [str(tmp_path / "other.key")])


def test_keys_that_cannot_be_read(quorate, tmp_path):
    (tmp_path / "no.key").write_text("hello")
    (tmp_path / "no.key").chmod(0o600)
    assert quorate("keys", "show", tmp_path / "no.key")[0] == 2
    assert quorate("keys", "show", tmp_path / "none.key")[0] == 5
    assert quorate("keys", "new", tmp_path / "no.key" / "x.key")[0] == 5


def test_a_signer_that_is_none_is_named_before_its_mode(here, quorate):
    arguments = ("ledger", "checkpoint", "--ledger", "ledger.db", "--signer")
    code, _, err = quorate(*arguments, "keys/ledger.pub")
    assert (code, "is a public key; signing takes the private key" in err) == (2, True)
    code, _, err = quorate(*arguments, "tasks.jsonl")
    assert code == 2
    assert err == (
        "error: tasks.jsonl holds no key (a PEM private key made by 'quorate keys new')\n"
    )


def test_what_need_not_end_is_not_read(here, quorate):
    """A device or a pipe as a file: no wait, no reading on and on."""
    os.mkfifo("pipe")
    for name in ("pipe", "/dev/zero"):
        for arguments in (
            ("verify", "ledger.db", "--key", name),
            ("verify", "ledger.db", "--policy", name),
            ("verify", "ledger.db", "--policy", "policy.toml", "--checkpoint", name),
            ("verify", name, "--policy", "policy.toml"),
            ("keys", "show", name),
            ("ledger", "checkpoint", "--ledger", "ledger.db", "--signer", name),
            ("run", name, "tasks.jsonl", "-o", "new.jsonl"),
        ):
            code, _, err = quorate(*arguments)
            assert (code, "is no regular file" in err) == (5, True), (arguments, err)


# -- verify


def test_verify_needs_to_know_whom_to_trust(here, quorate):
    code, out, err = quorate("verify", "ledger.db")
    assert (code, out) == (2, "")
    assert "name whom you trust" in err
    code, _, err = quorate(
        "verify", "ledger.db", "--key", "keys/ledger.pub", "--policy", "policy.toml"
    )
    assert (code, "not both" in err) == (2, True)
    assert quorate("verify", "ledger.db", "--key", "keys/ledger.key")[0] == 2
    assert quorate("verify", "ledger.db", "--key", "none.pub")[0] == 5
    assert quorate("verify", "ledger.db", "--policy", "none.toml")[0] == 5
    assert quorate("verify", "ledger.db", "--policy", "quorate.toml")[0] == 2
    assert quorate("verify", "none.db", "--key", "keys/ledger.pub")[0] == 5


def test_verify_accepts_the_key_as_text_and_tells_programs(here, quorate):
    key = (here / "keys/ledger.pub").read_text().strip()
    code, out, err = quorate("verify", "ledger.db", "--key", key, "--json", "--replay")
    assert (code, err) == (0, "")
    report = told(out)
    assert (report["verified"], report["size"], report["replayed"]) == (True, 9, 9)
    assert report["kinds"] == {"decision": 6, "panel": 1, "refusal": 2}


def test_verify_with_a_strangers_key_fails(here, quorate):
    key = Ed25519Signer.generate().verifier.to_text()
    code, _, err = quorate("verify", "ledger.db", "--key", key)
    assert (code, "entry 0: " in err, "[signature]" in err) == (4, True, True)


def test_verify_a_receipt_takes_no_ledgers_options(here, quorate):
    (here / "r.json").write_text(quorate("ledger", "show", 2, "--json")[1])
    assert quorate("verify", "r.json", "--key", "keys/ledger.pub", "--replay")[0] == 2
    assert quorate("verify", "none.json", "--key", "keys/ledger.pub")[0] == 5
    (here / "r.json").write_bytes(b"\xff")
    assert quorate("verify", "r.json", "--key", "keys/ledger.pub")[0] == 2


def test_verify_looks_at_what_is_in_the_file_not_at_its_name(here, quorate):
    key = ("--key", "keys/ledger.pub")
    receipt = quorate("ledger", "show", 2, "--json")[1]
    for name, before in (("receipt.txt", ""), ("r.db", " \r\n\t"), ("bom.json", "\ufeff\n")):
        (here / name).write_text(before + receipt, encoding="utf-8")
        code, out, err = quorate("verify", name, *key)
        assert (code, "verified receipt 2" in out) == (0, True), err
    shutil.copy("ledger.db", "ledger.json")
    for name in ("ledger.json", "sqlite:///ledger.json"):
        code, out, err = quorate("verify", name, *key)
        assert (code, "verified 9 entries" in out) == (0, True), err
    (here / "r.json").write_text(receipt)
    code, _, err = quorate("verify", "sqlite:///r.json", *key)
    assert (code, "it is some other file" in err) == (5, True)
    for text in ("hello", "[]", "   "):
        (here / "text.db").write_text(text)
        code, _, err = quorate("verify", "text.db", *key)
        assert (code, "neither a ledger" in err) == (2, True)
    data = bytearray((here / "ledger.json").read_bytes())
    data[0] ^= 1
    (here / "ledger.json").write_bytes(data)
    assert quorate("verify", "ledger.json", *key)[0] == 5
    assert quorate("verify", "keys", *key)[0] == 5


def test_verify_where_there_is_nothing_to_verify(here, quorate):
    key = ("--key", "keys/ledger.pub")
    code, out, err = quorate("verify", "memory:", *key)
    assert (code, out, "none to verify" in err) == (2, "", True)
    (here / "empty.db").touch()
    for arguments in (
        ("verify", "empty.db", *key),
        ("verify", "sqlite:///empty.db", *key),
        ("ledger", "ls", "--ledger", "empty.db"),
        ("explain", 1, "--ledger", "empty.db"),
    ):
        code, out, err = quorate(*arguments)
        assert (code, out) == (5, "")
        assert err == "error: the file empty.db is empty: it holds no ledger\n"
    code, _, err = quorate("verify", "none.db", *key)
    assert (code, err) == (5, "error: there is no ledger and no receipt at none.db\n")


def test_verify_says_what_the_report_says(here, quorate):
    code, out, _ = quorate("verify", "ledger.db", "--key", "keys/ledger.pub", "--replay")
    report = verify("sqlite:///ledger.db", keys=[read_verifier("keys/ledger.pub")], replay=True)
    assert (code, out) == (0, report.describe() + "\n")


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
def test_a_full_standard_output_is_named_on_standard_error(here, process):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        for arguments in (
            ("ledger", "ls"), ("ledger", "ls", "--json"), ("explain", "99", "--json"),
            ("ledger", "checkpoint"), ("explain", "1"), ("--version",),
        ):  # fmt: skip
            for more in ({}, {"PYTHONUNBUFFERED": "1"}):
                done = process(
                    *arguments, stdout=full, capture_output=False, stderr=-1,
                    env={**ENVIRONMENT, **more},
                )  # fmt: skip
                assert done.returncode == 5, arguments
                full_words, *others = done.stderr.splitlines()
                assert full_words == (
                    "error: standard output cannot be written: No space left on device"
                )
                # What was to be told there is told here.
                assert bool(others) == ("99" in arguments)


def test_no_arguments_show_the_help(quorate):
    code, out, err = quorate()
    assert code == 2
    assert "Usage" in out + err


def test_every_command_is_tested_here():
    assert {c.name for c in app.registered_commands} == {
        "init", "demo", "run", "explain", "verify", "outcome", "trace", "tune",
    }  # fmt: skip
    assert {g.name for g in app.registered_groups} == {"ledger", "keys"}


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
