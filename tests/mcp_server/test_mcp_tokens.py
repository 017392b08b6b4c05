"""Tokens: only their hashes are kept, and only what the file now says counts."""

import hashlib
import os
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.core.errors import OperationalError, UsageError
from quorate.mcp import SCOPES, TokenFile
from quorate.mcp.tokens import new_token, read_tokens, write_tokens

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def made(tmp_path):
    path = tmp_path / "tokens.toml"
    texts, tokens = {}, []
    for name, scopes, voters in (("a", ["read"], []), ("b", ["vote"], ["anna", 'o"b\\\n']))[:2]:
        texts[name], token = new_token(name, scopes, voters, 2, now=NOW)
        tokens.append(token)
    write_tokens(path, tokens)
    return path, texts, tokens


def test_a_token_is_found_by_its_text_alone_and_the_file_does_not_hold_it(made):
    path, texts, tokens = made
    file = TokenFile(path)
    assert [file.find(texts[name], NOW) for name in "ab"] == tokens
    assert file.tokens == tuple(tokens)
    kept = path.read_text()
    assert not any(text in kept for text in texts.values())
    assert path.stat().st_mode & 0o777 == 0o600
    for wrong in (
        "",
        texts["a"][:-1],
        texts["a"] + "x",
        tokens[0].sha256,
        texts["a"].upper(),
        "é\udc80",
    ):
        assert file.find(wrong, NOW) is None


def test_a_token_is_refused_from_the_moment_it_expires(made):
    path, texts, _ = made
    file = TokenFile(path)
    end = NOW + timedelta(days=2)
    assert file.find(texts["a"], end - timedelta(microseconds=1)) is not None
    assert file.find(texts["a"], end) is None


def test_what_is_taken_out_of_the_file_stops_working_at_once(made):
    path, texts, tokens = made
    file = TokenFile(path)
    write_tokens(path, tokens[1:])
    assert file.find(texts["a"], NOW) is None
    assert file.find(texts["b"], NOW) == tokens[1]


@pytest.mark.parametrize("harm", ["removed", "broken", "writable"])
def test_while_the_file_cannot_be_trusted_no_token_works(made, harm):
    path, texts, tokens = made
    file = TokenFile(path)
    if harm == "removed":
        path.unlink()
    elif harm == "broken":
        path.write_text("[[tokens]]\n")
    else:
        path.chmod(0o622)
    assert file.find(texts["a"], NOW) is None
    write_tokens(path, tokens)
    assert file.find(texts["a"], NOW) == tokens[0]


GOOD = {
    "name": '"a"',
    "sha256": f'"{hashlib.sha256(b"t").hexdigest()}"',
    "scopes": '["read"]',
    "expires": "2027-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": '""'}, "1 to 256"),
        ({"name": '"a\\u0007"'}, "printable"),
        ({"sha256": '"ab"'}, "64 lower-case hex"),
        ({"sha256": f'"{"A" * 64}"'}, "64 lower-case hex"),
        ({"scopes": "[]"}, "has no scope"),
        ({"scopes": '["root"]'}, "scope 'root'"),
        ({"scopes": '"read"'}, "list of texts"),
        ({"scopes": '["vote"]'}, "or neither"),
        ({"voters": '["anna"]'}, "or neither"),
        ({"expires": "2027-01-01T00:00:00"}, "expires at no moment"),
        ({"expires": "2027-01-01"}, "expires at no moment"),
        ({"expires": "1"}, "expires at no moment"),
        ({"token": '"t"'}, "no 'token'"),
        ({"expires": None}, "a token has"),
    ],
)
def test_what_is_no_token_is_refused(tmp_path, changed, words):
    members = {k: v for k, v in {**GOOD, **changed}.items() if v is not None}
    path = tmp_path / "tokens.toml"
    path.write_text("[[tokens]]\n" + "".join(f"{k} = {v}\n" for k, v in members.items()))
    path.chmod(0o600)
    with pytest.raises(UsageError, match=words):
        TokenFile(path)


def test_a_file_that_is_none_is_refused(tmp_path):
    path = tmp_path / "tokens.toml"
    with pytest.raises(OperationalError):
        TokenFile(path)
    one = "[[tokens]]\n" + "".join(f"{k} = {v}\n" for k, v in GOOD.items())
    for text, words in ((one * 2, "twice"), ("x = 1", "nothing else"), ("[", "token file")):
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(UsageError, match=words):
            TokenFile(path)
    if os.name == "posix":
        path.write_text(one)
        path.chmod(0o620)
        with pytest.raises(UsageError, match="chmod 600"):
            TokenFile(path)


@given(st.integers())
def test_days_out_of_range_are_refused(days):
    if 1 <= days <= 366:
        assert new_token("a", ["read"], [], days, now=NOW)[1].expires == NOW + timedelta(days=days)
    else:
        with pytest.raises(UsageError, match="days"):
            new_token("a", ["read"], [], days, now=NOW)


names = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20)


@given(
    st.dictionaries(
        names.filter(str.isprintable),
        st.sets(st.sampled_from(sorted(SCOPES)), min_size=1),
        max_size=5,
    )
)
def test_what_is_written_is_read_back(tmp_path_factory, wanted):
    path = tmp_path_factory.mktemp("tokens") / "tokens.toml"
    made = [
        new_token(name, scopes, [name] if "vote" in scopes else [], 1, now=NOW)[1]
        for name, scopes in wanted.items()
    ]
    write_tokens(path, made)
    assert read_tokens(path) == tuple(made)
