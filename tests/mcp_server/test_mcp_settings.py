"""What the operator may give: nothing unsafe without its name, nothing out of bounds."""

import pytest

from quorate.core.errors import UsageError
from quorate.ledger import Ledger
from quorate.mcp import HttpSettings, Settings, TokenFile
from quorate.mcp.config import ServeTable
from quorate.mcp.tokens import write_tokens


@pytest.fixture
def file(tmp_path):
    write_tokens(tmp_path / "tokens.toml", [])
    return TokenFile(tmp_path / "tokens.toml")


OPEN = ("0.0.0.0", "::", "192.0.2.1", "example.org", "")  # noqa: S104 - refused
LOOPBACK = ("127.0.0.1", "127.8.9.1", "::1", "localhost")


@pytest.mark.parametrize("host", OPEN)
def test_another_host_takes_tokens_and_encryption(host, file, tmp_path):
    with pytest.raises(UsageError, match="token file"):
        HttpSettings(host=host, insecure_http=True, insecure_no_tokens=True)
    with pytest.raises(UsageError, match="unencrypted"):
        HttpSettings(host=host, tokens=file)
    assert not HttpSettings(host=host, tokens=file, insecure_http=True).is_loopback
    with pytest.raises(UsageError, match="certificate and its key"):
        HttpSettings(host=host, tokens=file, tls_cert=tmp_path)
    assert (
        HttpSettings(host=host, tokens=file, tls_cert=tmp_path, tls_key=tmp_path).scheme == "https"
    )


@pytest.mark.parametrize("host", LOOPBACK)
def test_on_loopback_neither_is_needed_for_what_holds_nothing(host):
    HttpSettings(host=host).check_with(Settings())


def test_without_tokens_nothing_of_the_operators_is_served_unless_that_is_said(file):
    with Ledger.open("memory:") as ledger:
        for settings in (Settings(ledger=ledger), Settings(targets={"a": print})):
            with pytest.raises(UsageError, match="anybody on this machine"):
                HttpSettings().check_with(settings)
            HttpSettings(tokens=file).check_with(settings)
            HttpSettings(insecure_no_tokens=True).check_with(settings)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("port", 0, 65535), ("body_bytes", 1024, 64 << 20), ("calls", 1, 4096)],
)
def test_numbers_are_held_to_their_bounds(name, least, most):
    for good in (least, most):
        assert getattr(HttpSettings(**{name: good}), name) == good
    for bad in (least - 1, most + 1, True, float("nan"), "1"):
        with pytest.raises(UsageError, match=name):
            HttpSettings(**{name: bad})


def test_voters_without_a_council_are_refused():
    with pytest.raises(UsageError, match="no council"):
        Settings(voters=frozenset({"anna"}))


@pytest.mark.parametrize("path", ["mcp", "/é", "/{x}"])
def test_paths_that_are_none_are_refused(path):
    with pytest.raises(UsageError, match="path"):
        HttpSettings(path=path)


def test_a_file_says_what_options_say_relative_to_its_folder(tmp_path):
    path = tmp_path / "serve.toml"
    path.write_text(
        '[serve]\nport = 0\ntokens = "t.toml"\nledger = "l.db"\nsigner = "/abs.key"\ncalls = 3\n'
        '[serve.targets]\na = "t.py:f"\nb = "m:f"\n'
    )
    table = ServeTable.read(path)
    assert (table.port, table.calls, table.host) == (0, 3, None)
    assert (table.tokens, table.ledger) == (str(tmp_path / "t.toml"), str(tmp_path / "l.db"))
    assert table.signer == "/abs.key"
    assert table.targets == {"a": str(tmp_path / "t.py:f"), "b": "m:f"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no table"),
        ("serve = 1", "no table"),
        ("[serve", "not TOML"),
        ("[serve]\nprot = 1", "prot: unknown"),
        ('[serve]\nport = "1"', "port"),
        ("[serve]\ninsecure_http = 1", "insecure_http"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, text, words):
    path = tmp_path / "serve.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        ServeTable.read(path)
