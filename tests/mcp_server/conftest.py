"""Servers to call: over stdio and over HTTP, with a ledger and a council."""

from datetime import UTC, datetime

import pytest
from serve_desk import Served, given, process

from quorate.cli.app import run
from quorate.core.identity import Ed25519Signer
from quorate.ledger.keyfiles import write_key
from quorate.mcp.tokens import new_token, write_tokens

SCOPES = {
    "all": (["read", "decide", "vote", "scan"], ["anna", "bo"]),
    "reader": (["read"], []),
    "cleo": (["read", "vote"], ["cleo"]),
}
TARGET = """\
import time
from pathlib import Path


def parrot(request):
    return request.messages[-1].text


def slow(request):
    Path("slow.mark").touch()
    time.sleep(0.2)
    return "no"
"""


@pytest.fixture(scope="session")
def desk(tmp_path_factory):
    """A folder with a ledger's key, an open council of four (bo signs), tokens and a target."""
    folder = tmp_path_factory.mktemp("desk")
    write_key(folder / "ledger.key", Ed25519Signer.generate())
    write_key(folder / "council.key", Ed25519Signer.generate())
    write_key(folder / "bo.key", Ed25519Signer.generate())
    (folder / "targets.py").write_text(TARGET)
    voters = "".join(f'[[voters]]\nid = "{voter}"\n' for voter in ("anna", "cleo", "dan"))
    (folder / "council.toml").write_text(
        '[ledger]\nurl = "sqlite:///council.db"\nsigner = "council.key"\n\n'
        f'{voters}[[voters]]\nid = "bo"\nkey = "bo.pub"\n'
    )
    assert run(["council", "open", "--council", str(folder / "council.toml")]) == 0
    return folder


@pytest.fixture(scope="session")
def tokens(desk):
    """Name -> token, of the file tokens.toml."""
    made = {
        name: new_token(name, scopes, voters, 90, now=datetime.now(UTC))
        for name, (scopes, voters) in SCOPES.items()
    }
    write_tokens(desk / "tokens.toml", [token for _, token in made.values()])
    return {name: text for name, (text, _) in made.items()}


@pytest.fixture(scope="module")
def served(desk, tokens):
    """A server with everything, over HTTP; its errors are looked at when it has ended."""
    with process(
        [*given(desk), "--tokens", str(desk / "tokens.toml")], desk, desk / "serve.log"
    ) as (started, facts):
        yield Served(started, facts["url"], desk, tokens)
    assert started.returncode == 0
    log = (desk / "serve.log").read_text()
    assert "Traceback" not in log, log
