"""What a council file declares of executors and hooks, and the schema that is shipped for it."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from cli_council_acts import declare
from cli_council_tools import opened

from quorate.cli.council import tables
from quorate.cli.council.file import CouncilFile, CouncilFileError, CouncilTable
from quorate.council import bounds
from quorate.council.notify import EVENTS

SCHEMA = json.loads(Path(tables.__file__).with_name(CouncilTable.SCHEMA_FILE).read_text("utf-8"))

EVERYTHING = """
[executors.quarantine]
kind = "command"
command = ["./fence.sh", "--quick"]
cwd = "ops"
env = {MODE = "fast"}
pass_env = ["OPS_TOKEN"]
timeout = 2.5
failed_exits = [3, 4]

[executors.terminate]
kind = "webhook"
url = "https://ops.example/kill"
bearer_env = "OPS_TOKEN"

[executors.release]
kind = "mcp"
tool = "release"
url = "http://ops.example/mcp"
bearer_env = "OPS_TOKEN"
insecure_http = true

[executors.escalate]
kind = "mcp"
tool = "page"
command = ["./server"]
pass_env = ["OPS_TOKEN"]

[executors.restrict]
kind = "python"
call = "acts.py:fence"

[[hooks]]
name = "pager"
kind = "webhook"
url_env = "PAGER_URL"
bearer_env = "PAGER_TOKEN"
on = ["proposed", "expired"]
insecure_http = false
from_entry = 12

[[hooks]]
name = "log"
kind = "command"
command = ["./log.sh"]
timeout = 3
cwd = "logs"
env = {LEVEL = "all"}
pass_env = ["LOG_TOKEN"]
"""


@pytest.fixture
def council(tmp_path, monkeypatch, quorate):
    yield from opened(tmp_path, monkeypatch, quorate)


def test_everything_that_can_be_declared_is_read(council):
    declare(EVERYTHING)
    found = CouncilFile(Path("council.toml"))
    assert {action: made.name.partition("#")[0] for action, made in found.executors.items()} == {
        "quarantine": "command:fence.sh", "terminate": "webhook:ops.example",
        "release": "mcp:release", "escalate": "mcp:page", "restrict": "python:acts.py:fence",
    }  # fmt: skip
    assert found.executors["quarantine"].timeout == 2.5
    assert [(hook.name, hook.events) for hook in found.hooks] == [
        ("pager", frozenset({"proposed", "expired"})), ("log", frozenset(EVENTS)),
    ]  # fmt: skip
    assert found.starts == {"pager": 12, "log": 0}
    # It is the operator's own: nothing of it is compared with what is sealed.
    assert council("list")[2] == ""


def test_the_tables_name_every_event_and_every_key_of_the_file_is_used():
    (name,) = (n for n in SCHEMA["$defs"] if n == "WebhookHookTable")
    assert SCHEMA["$defs"][name]["properties"]["on"]["items"]["enum"] == list(EVENTS)
    declared = tomllib.loads(EVERYTHING)
    used = {key for table in (*declared["executors"].values(), *declared["hooks"]) for key in table}
    known = [table for kinds in tables.KINDS.values() for table in kinds.values()]
    assert used == {key for table in known for key in table.model_fields}


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('kind = "command"\ncommand = ["./fence', 'kind = "comand"\ncommand = ["./fence',
         "{at}: executors.quarantine.kind: is 'comand': should be one of command, webhook, "),
        ('kind = "command"\ncommand = ["./log', 'kind = "python"\ncommand = ["./log',
         "{at}: hooks[1].kind: is 'python': should be one of webhook, command"),
        ('kind = "python"\n', "", "executors.restrict.kind: is missing"),
        ("[3, 4]", "[3, 0]", "{at}: executors.quarantine.failed_exits[1]: is 0"),
        ("[3, 4]", "[126]", "{at}: executors.quarantine.failed_exits[0]: is 126"),
        ('cwd = "ops"', 'cwdd = "ops"',
         "{at}: executors.quarantine.cwdd: unknown key; did you mean 'cwd'?"),
        ("[executors.terminate]", "[executors.terminat]",
         "{at}: executors.terminat: the action 'terminat' is unknown here"),
        ("[executors.terminate]", "[executors.change_electorate]", "the council itself changes"),
        ("[executors.terminate]", '[executors."Quarantine"]', "which has an executor already"),
        ("[executors.", "[executor.", "executor: unknown key; did you mean 'executors'?"),
        ("timeout = 2.5", "timeout = 0", "{at}: executors.quarantine.timeout: is 0"),
        ("timeout = 2.5", "timeout = 86401", "{at}: executors.quarantine.timeout: is 86401"),
        ("timeout = 2.5", 'timeout = "2"', "a number; write it without quotes"),
        ("timeout = 3", "timeout = 301", "{at}: hooks[1].timeout: is 301"),
        ("from_entry = 12", "from_entry = -1", "{at}: hooks[0].from_entry: is -1"),
        ('"expired"]', '"expird"]', "{at}: hooks[0].on[1]: is 'expird': should be one of proposed"),
        ('on = ["proposed", "expired"]', "on = []", "{at}: hooks[0].on: is []"),
        ('name = "log"', 'name = "pager"', "{at}: hooks[1].name: 'pager' is the name of another"),
        ('["./fence.sh", "--quick"]', '"./fence.sh"', "executors.quarantine.command: "),
        ('["./fence.sh", "--quick"]', '[""]', "{at}: executors.quarantine.command: is no program"),
        ('"https://ops.example/kill"', '"http://ops.example/kill"', "over plain http"),
        ('"https://ops.example/kill"', '"ops.example"', "{at}: executors.terminate.url: is no "),
        ('url = "http://ops.example/mcp"\n', "", "has a url or a command, one of the two"),
        ('url = "https://ops.example/kill"\n', "", "executors.terminate: it has a url, or a"),
        ('url_env = "PAGER_URL"\n', 'url_env = "https://x/"\n',
         "{at}: hooks[0].url_env: is no name of an environment variable, in capitals"),
        ('command = ["./server"]\n', "", "pass_env is of no use without command"),
        ('"acts.py:fence"', '"acts.fence"',
         "{at}: executors.restrict.call: is no function; give module:function or FILE.py:function"),
        ('pass_env = ["OPS_TOKEN"]\ntimeout', 'pass_env = ["MODE"]\ntimeout', "set by env and p"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(council, before, after, words):
    assert before in EVERYTHING
    above = Path("council.toml").read_text() + "\n" + EVERYTHING[: EVERYTHING.index(before)]
    declare(EVERYTHING.replace(before, after, 1))
    code, out, err = council("check")
    assert (code, out) == (2, "")
    line = above.count("\n") + 1
    assert words.replace("{at}", f"council.toml:{line}") in err


def test_one_hook_in_single_brackets_is_told(council):
    declare('[hooks]\nname = "ear"\nkind = "command"\ncommand = ["true"]\n')
    code, _, err = council("check")
    assert (code, "hooks: is one table; write [[hooks]], in double brackets" in err) == (2, True)


@pytest.mark.parametrize("secret", ["sk-live-51H", "hunter2"])
def test_what_may_be_a_secret_is_neither_taken_nor_repeated(council, secret):
    """Errors end up in logs."""
    kept = Path("council.toml").read_text()
    for old, new in (
        ('{MODE = "fast"}', f'{{API_KEY = "{secret}"}}'),
        ('"--quick"]', f'"--token", "{secret}"]'),
        ('"https://ops.example/kill"', f'"https://ann:{secret}@ops.example/"'),
        ('"https://ops.example/kill"', f'"https://ops.example/?token={secret}"'),
        ('bearer_env = "PAGER_TOKEN"', f'bearer_env = "{secret}"'),
        ('url_env = "PAGER_URL"', f'url_env = "https://x.example/{secret}"'),
        ('pass_env = ["OPS_TOKEN"]', f'pass_env = ["{secret}"]'),
    ):
        assert old in EVERYTHING
        Path("council.toml").write_text(kept + EVERYTHING.replace(old, new, 1))
        code, _, err = council("check")
        assert (code, secret in err) == (2, False), err


def test_more_hooks_than_there_may_be_are_refused(council):
    one = '[[hooks]]\nname = "{}"\nkind = "command"\ncommand = ["true"]\n'
    declare(*(one.format(number) for number in range(bounds.MAX_HOOKS)))
    assert len(CouncilFile(Path("council.toml")).hooks) == bounds.MAX_HOOKS
    declare(one.format("one more"))
    with pytest.raises(CouncilFileError, match="hooks: is "):
        CouncilFile(Path("council.toml"))


# -- the schema that is shipped


def test_the_shipped_schema_is_that_of_the_tables():
    assert CouncilTable.model_json_schema() == SCHEMA


KINDS = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float),
    "boolean": bool, "null": type(None),
}  # fmt: skip
KNOWN = {
    "$ref", "anyOf", "oneOf", "type", "const", "enum", "pattern", "minLength", "maxLength",
    "minimum", "maximum", "exclusiveMinimum", "minItems", "maxItems", "items", "properties",
    "required", "additionalProperties", "patternProperties", "discriminator", "default",
    "description", "title", "$defs",
}  # fmt: skip


def fits(value, schema):
    """A naive JSON Schema: just the keywords that the shipped one uses."""
    assert set(schema) <= KNOWN
    if "$ref" in schema:
        return fits(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    kind = schema.get("type")
    of_kind = kind is None or (
        isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
    )
    return of_kind and all(check(value, schema) for check in (_unions, _scalars, _arrays, _objects))


def _unions(value, schema):
    if "anyOf" in schema and not any(fits(value, one) for one in schema["anyOf"]):
        return False
    return "oneOf" not in schema or sum(fits(value, one) for one in schema["oneOf"]) == 1


def _scalars(value, schema):
    if isinstance(value, str):
        pattern, least = schema.get("pattern", ""), schema.get("minLength", 0)
        if not least <= len(value) <= schema.get("maxLength", len(value)):
            return False
        if re.search(pattern, value) is None:
            return False
    if isinstance(value, int | float) and not (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and value > schema.get("exclusiveMinimum", value - 1)
    ):
        return False
    return value in schema.get("enum", [value]) and value == schema.get("const", value)


def _arrays(value, schema):
    if not isinstance(value, list):
        return True
    bounded = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value))
    return bounded and all(fits(item, schema.get("items", {})) for item in value)


def _objects(value, schema):
    if not isinstance(value, dict):
        return True
    own = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for key, item in value.items():
        of_key = [own[key]] if key in own else [s for p, s in patterns.items() if re.search(p, key)]
        other = schema.get("additionalProperties", not patterns)
        if not of_key and other is not True:
            of_key = [other] if other else [False]
        if any(one is False or not fits(item, one) for one in of_key):
            return False
    return set(schema.get("required", ())) <= set(value)


BASE = """
[ledger]
url = "sqlite:///council.db"
signer = "keys/council.key"

[rules]
quorum_fraction = "1/2"
default_expiry = "1h30m"
max_active_proposals = 10

[actions]
reboot = "routine"

[[voters]]
id = "anna"
weight = 1.5

[[voters]]
id = "ben"
"""

SAME = [
    ("", ""),
    ('"1/2"', "0.5"),
    ('"1/2"', '"half"'),
    ('"1/2"', "1.5"),
    ('"1/2"', "true"),
    ('"1h30m"', '"never"'),
    ('"1h30m"', '"1h 30m"'),
    ('"1h30m"', '"0s"'),
    ('"1h30m"', '"1m1ms"'),
    ('"1h30m"', '"1m1h"'),
    ('"1h30m"', "90"),
    ("= 10\n", "= 0\n"),
    ("= 10\n", "= 10000\n"),
    ("= 10\n", "= 10001\n"),
    ('"routine"', '"rarely"'),
    ("weight = 1.5", "weight = 0"),
    ("weight = 1.5", 'weight = "1"'),
    ('id = "anna"', 'id = ""'),
    ('id = "anna"', f'id = "{"a" * 257}"'),
    ('id = "anna"', f'id = "{"a" * 256}"'),
    ("[rules]", "[rule]"),
    ("signer", "singer"),
    ("[[voters]]", "[[voter]]"),
    ("[ledger]\n", ""),
    ('kind = "command"\ncommand = ["./fence', 'kind = "shell"\ncommand = ["./fence'),
    ('kind = "python"\n', ""),
    ('call = "acts.py:fence"', 'call = "acts:fence"'),
    ('call = "acts.py:fence"', 'call = "ops/acts.py:fence"'),
    ('call = "acts.py:fence"', 'call = "acts.fence"'),
    ('call = "acts.py:fence"', 'call = "ops/acts:fence"'),
    ('call = "acts.py:fence"', 'call = "acts.py:fence()"'),
    ('call = "acts.py:fence"', 'url = "https://x.example"'),
    ("timeout = 2.5", "timeout = 0"),
    ("timeout = 2.5", "timeout = 86400"),
    ("timeout = 2.5", "timeout = 86401"),
    ("timeout = 3", "timeout = 300.5"),
    ('pass_env = ["OPS_TOKEN"]', 'pass_env = ["ops-token"]'),
    ('pass_env = ["OPS_TOKEN"]', 'pass_env = "OPS_TOKEN"'),
    ('bearer_env = "PAGER_TOKEN"', 'bearer_env = "a token"'),
    ('"https://ops.example/kill"', '"ops.example"'),
    ('"https://ops.example/kill"', '"https://ann:pw@ops.example/"'),
    ("insecure_http = true", "insecure_http = 1"),
    ('"expired"]', '"later"]'),
    ('on = ["proposed", "expired"]', "on = []"),
    ("from_entry = 12", "from_entry = -1"),
    ("from_entry = 12", "from_entry = 1.5"),
    ('name = "log"\n', ""),
    ('command = ["./log.sh"]', "command = []"),
    ('command = ["./log.sh"]', 'command = "./log.sh"'),
    ('tool = "page"', 'tool = ""'),
]


@pytest.mark.parametrize(("before", "after"), SAME, ids=[after[:40] for _, after in SAME])
def test_the_schema_and_the_reader_say_the_same(tmp_path, before, after):
    text = (BASE + EVERYTHING).replace(before, after, 1)
    assert before in BASE + EVERYTHING
    path = tmp_path / "council.toml"
    path.write_text(text)
    try:
        CouncilFile(path)
    except CouncilFileError:
        taken = False
    else:
        taken = True
    assert fits(tomllib.loads(text), SCHEMA) is taken


def test_the_good_and_the_bad_are_both_many():
    taken = [fits(tomllib.loads((BASE + EVERYTHING).replace(*one, 1)), SCHEMA) for one in SAME]
    assert min(taken.count(True), taken.count(False)) >= 9
