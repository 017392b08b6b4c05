"""`quorate serve token`, and what `quorate serve` and `quorate mcp` say before they serve."""

import importlib.util
import json
import os
from datetime import UTC, datetime

import pytest

import quorate.mcp as server
from quorate.cli.app import run
from quorate.core.identity import Ed25519Signer
from quorate.ledger.keyfiles import write_key
from quorate.mcp.tokens import TokenFile


@pytest.fixture
def quorate(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        capfd.readouterr()
        code = run(list(arguments))
        return code, *capfd.readouterr()

    return call


def test_a_token_is_made_listed_and_revoked(quorate, tmp_path):
    code, text, told = quorate("serve", "token", "new", "laptop", "--scope", "read", "--days", "2")
    assert code == 0
    assert text.startswith("quorate_")
    assert "\n" not in text.strip()
    assert "laptop" in told
    assert text.strip() not in (tmp_path / "tokens.toml").read_text()
    code, said, _ = quorate("serve", "token", "list", "--json")
    [listed] = json.loads(said)["tokens"]
    assert (code, listed["name"], listed["scopes"], listed["expired"]) == (
        0,
        "laptop",
        ["read"],
        False,
    )
    assert "sha256" not in listed
    assert quorate("serve", "token", "list")[1].startswith("laptop  read  until ")
    assert quorate("serve", "token", "new", "laptop")[0] == 2
    assert quorate("serve", "token", "revoke", "laptop")[0] == 0
    assert quorate("serve", "token", "revoke", "laptop")[0] == 2
    assert json.loads(quorate("serve", "token", "list", "--json")[1]) == {"tokens": []}


def test_a_token_can_go_into_a_file_of_its_own(quorate, tmp_path):
    before = os.umask(0)
    try:
        code, said, told = quorate("serve", "token", "new", "laptop", "--out", "laptop.token")
    finally:
        os.umask(before)
    path = tmp_path / "laptop.token"
    text = path.read_text().strip()
    assert code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert TokenFile(tmp_path / "tokens.toml").find(text, datetime.now(UTC)).name == "laptop"
    assert text not in said + told
    code, said, _ = quorate("serve", "token", "new", "b", "--json", "-o", "b.token")
    assert (code, json.loads(said)["token_file"]) == (0, "b.token")
    assert "token" not in json.loads(said)


@pytest.mark.parametrize("path", ["there.token", "nowhere/x.token"])
def test_a_token_that_cannot_be_written_is_not_made(quorate, tmp_path, path):
    (tmp_path / "there.token").write_text("another")
    code, _, told = quorate("serve", "token", "new", "laptop", "--out", path)
    assert code in (2, 5)
    assert path in told
    assert (tmp_path / "there.token").read_text() == "another"
    assert not (tmp_path / "tokens.toml").exists()


def test_a_token_of_no_use_leaves_no_file(quorate, tmp_path):
    (tmp_path / "tokens.toml").mkdir()
    assert quorate("serve", "token", "new", "a", "--out", "a.token")[0] in (2, 5)
    assert not (tmp_path / "a.token").exists()


@pytest.mark.parametrize(
    ("out", "tokens"),
    [
        ("tokens.toml", "tokens.toml"),
        ("./other/../tokens.toml", "tokens.toml"),
        ("behind.toml", "link.toml"),
    ],
)
def test_the_file_of_tokens_is_no_place_for_a_token(quorate, tmp_path, out, tokens):
    (tmp_path / "other").mkdir()
    (tmp_path / "link.toml").symlink_to("behind.toml")
    code, said, told = quorate("serve", "token", "new", "a", "--out", out, "--tokens", tokens)
    assert (code, said) == (2, "")
    assert "name another for the token" in told
    assert not (tmp_path / out).exists()
    assert not (tmp_path / tokens).exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--scope", "root"], "'root'"),
        (["--scope", "vote"], "or neither"),
        (["--voter", "anna"], "or neither"),
        (["--days", "0"], "1 to 366"),
    ],
)
def test_a_token_that_could_not_be_used_is_not_made(quorate, tmp_path, arguments, words):
    code, _, told = quorate("serve", "token", "new", "a", *arguments)
    assert code == 2
    assert words in told
    assert not (tmp_path / "tokens.toml").exists()


@pytest.mark.parametrize("command", ["mcp", "serve"])
def test_without_the_sdk_it_says_what_to_install(quorate, monkeypatch, command):
    for name in ("serve_http", "serve_stdio", "build_server"):
        monkeypatch.delitem(vars(server), name, raising=False)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "mcp" else found(name, *rest),
    )
    code, _, told = quorate(command)
    assert code == 5
    assert 'pip install "quorate[mcp]"' in told


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--signer", "k"], "name it with --ledger"),
        (["--panel", "p", "--ledger", "l"], "the panel alone"),
        (["--target", "x"], "NAME=module:function"),
        (["--target", "scripted-naive=os:getcwd"], "built-in"),
        (["--voter", "anna"], "no council"),
        (["--config", "none.toml"], "cannot be read"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_is(quorate, arguments, words):
    pytest.importorskip("mcp", reason="mcp is not installed; make test-adapters")
    code, said, told = quorate("mcp", *arguments)
    assert code in (2, 5)
    assert said == ""
    assert words in told


def test_a_voter_that_the_council_does_not_know_is_refused(quorate, tmp_path):
    pytest.importorskip("mcp", reason="mcp is not installed; make test-adapters")
    write_key(tmp_path / "council.key", Ed25519Signer.generate())
    voters = "".join(f'[[voters]]\nid = "{voter}"\n' for voter in "abcd")
    (tmp_path / "council.toml").write_text(
        f'[ledger]\nurl = "sqlite:///council.db"\nsigner = "council.key"\n{voters}'
    )
    assert quorate("council", "open")[0] == 0
    code, _, told = quorate("mcp", "--council", "council.toml", "--voter", "mallory")
    assert code == 2
    assert "no voter of the council" in told
