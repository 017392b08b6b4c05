"""Whatever is typed, there is an exit code and never a traceback."""

import contextlib
import io
import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from quorate.cli.app import run

WORDS = [
    "init", "run", "explain", "verify", "ledger", "keys", "ls", "show", "checkpoint", "new",
    "--json", "--help", "--version", "--ledger", "--key", "--policy", "--replay", "--strict",
    "--checkpoint", "--signer", "--kind", "--trace", "--start", "--limit", "-n", "-o", "--out",
    "--output", "--hmac", "--origin", "--",
    "0", "1", "8", "9", "-1", "1e3", "9223372036854775808", "99999999999999999999",
    "ledger.db", "sqlite:///ledger.db", "sqlite:///", "memory:", "postgresql://x", "receipt.json",
    "policy.toml", "quorate.toml", "keys/ledger.key", "keys/ledger.pub", "tasks.jsonl",
    "decisions.jsonl", "none.db", ".", "..", "/", "/dev/null", "/dev/full", "", "-", "[bold]x[/]",
    "keys", "a/b/c", "x" * 300, "ed25519:AAAA", "\udcff",
]  # fmt: skip
ARGUMENTS = st.lists(
    st.one_of(
        st.sampled_from(WORDS),
        st.text(st.characters(exclude_characters="\0", exclude_categories=()), max_size=8),
    ),
    max_size=7,
)
COMMANDS = st.sampled_from(
    [
        ["run"], ["explain"], ["verify"], ["ledger", "ls"], ["ledger", "show"],
        ["ledger", "checkpoint"], ["keys", "new"], ["keys", "show"], ["init"], [],
    ]
)  # fmt: skip


def leads_away(argument):
    return argument not in WORDS and ("/" in argument or ".." in argument)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@example(command=["keys", "new"], arguments=["."])
@example(command=["init"], arguments=["n" * 300])
@example(command=["ledger", "ls"], arguments=["--kind", "\udcff"])
@given(command=COMMANDS, arguments=ARGUMENTS)
def test_any_arguments_end_in_an_exit_code(here, command, arguments):
    # Some commands write where they are told to, which must not be just anywhere.
    arguments = [a for a in arguments if not leads_away(a)]
    if "init" in [*command, *arguments]:
        arguments = [a for a in arguments if a not in {"/", "..", "/dev/null", "/dev/full"}]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*command, *arguments])
    assert code in {0, 2, 3, 4, 5}
    assert "Traceback" not in out.getvalue() + err.getvalue()
    if code in {0, 3} or not arguments or "--json" not in arguments:
        return
    if out.getvalue():
        assert json.loads(out.getvalue())["exit_code"] == code


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(data=st.binary(max_size=80) | st.text(max_size=40).map(str.encode))
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("receipt.json", ["verify", "receipt.json", "--policy", "policy.toml"]),
        ("policy.toml", ["verify", "ledger.db", "--policy", "policy.toml"]),
        ("quorate.toml", ["ledger", "ls"]),
        ("some.pub", ["verify", "ledger.db", "--key", "some.pub"]),
        ("pin.txt", ["verify", "ledger.db", "--policy", "policy.toml", "--checkpoint", "pin.txt"]),
    ],
)
def test_any_file_ends_in_an_exit_code(here, name, arguments, data):
    (here / name).write_bytes(data)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    assert code in {2, 4, 5}
    assert err.getvalue().startswith("error: ")
