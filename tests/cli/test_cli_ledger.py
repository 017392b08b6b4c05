"""The commands about ledgers and keys, and verifying."""

import io
import json
import os
import re
import shutil
import stat
from pathlib import Path

from quorate.core.identity import Ed25519Signer
from quorate.ledger import Ledger, Receipt, read_verifier, verify


def told(output):
    """The one JSON document on standard output."""
    return json.loads(output)


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


def test_a_bundle_verifies_alone(here, quorate):
    code, text, err = quorate("ledger", "bundle", 3)
    assert (code, err) == (0, "")
    assert quorate("ledger", "bundle", 3, "--json")[0] == 0
    code, out, _ = quorate("ledger", "bundle", 3, "-o", "three.json", "--json")
    assert (code, told(out)["file"]) == (0, "three.json")
    shutil.move("three.json", here.parent / "three.json")
    file = here.parent / "three.json"
    code, out, _ = quorate("verify", file, "--policy", "policy.toml")
    assert (code, "proven against a checkpoint of 9 entries" in out) == (0, True)
    code, out, _ = quorate("verify", file, "--policy", "policy.toml", "--json")
    assert (code, told(out)["size"], told(out)["seq"]) == (0, 9, 3)
    assert told(text)["receipt"] == told(file.read_text())["receipt"]
    assert quorate("verify", file, "--policy", "policy.toml", "--replay")[0] == 2
    file.write_text(text.replace("index 3", "index 4"))
    assert quorate("verify", file, "--policy", "policy.toml")[0] == 2
    lines = told(text)["proof"].splitlines()
    lines[2], lines[3] = lines[3], lines[2]
    file.write_text(json.dumps(told(text) | {"proof": "\n".join(lines) + "\n"}))
    code, _, err = quorate("verify", file, "--policy", "policy.toml")
    assert (code, "does not lead to the root" in err) == (4, True)


def test_a_bundle_against_a_checkpoint_takes_no_key(here, quorate):
    quorate("ledger", "checkpoint", "-o", "pin.txt")
    made = quorate("ledger", "bundle", 8, "--ledger", "ledger.db", "--checkpoint", "pin.txt")
    assert made[0] == 0
    for wrong, why in (
        (("9",), "entry 9"),
        (("8", "--ledger", "ledger.db"), "--signer"),
        (("8", "--checkpoint", "pin.txt", "--signer", "keys/ledger.key"), "nothing is signed"),
    ):
        code, _, err = quorate("ledger", "bundle", *wrong)
        assert (code, why in err) == (2, True), err


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
