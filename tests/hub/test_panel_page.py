"""The page about panel files says what the tables say, and that about decisions what lines hold."""

import json
import re
import tomllib
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic_core import PydanticUndefined

from quorate.arbitration import (
    Absence,
    FallbackArbiter,
    FirstToQuorumArbiter,
    Proposal,
    WeightedQuorumArbiter,
    gather,
)
from quorate.arbitration.arbiter import PROTOCOLS
from quorate.arbitration.pending import Pending
from quorate.arbitration.proposal import REASONS
from quorate.arbitration.sealed import body_of
from quorate.hub.lines import decision_line
from quorate.hub.oversight.rules import Override, Reference, Standing
from quorate.hub.panel import Panel
from quorate.hub.tables import (
    KINDS,
    ArbiterTable,
    EscalationTable,
    ExpertTable,
    LedgerTable,
    PanelTable,
    RunTable,
)

PAGE = Path(__file__).parents[2] / "docs" / "panel.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
COMMON = {*ExpertTable.model_fields, "kind"}
TABLES = {
    "[ledger]": (LedgerTable, set(LedgerTable.model_fields)),
    "[arbiter]": (ArbiterTable, set(ArbiterTable.model_fields)),
    "[escalation]": (EscalationTable, set(EscalationTable.model_fields)),
    "[run]": (RunTable, set(RunTable.model_fields)),
    "[[experts]]": (KINDS["python"], COMMON),
    **{
        f'kind = "{kind}"': (table, set(table.model_fields) - COMMON)
        for kind, table in KINDS.items()
    },
}
ROW = r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$"
FILLING = {
    "ledger": '[ledger]\nurl = "sqlite:///ledger.db"\nsigner = "ledger.key"\n',
    "arbiter": '[arbiter]\nprotocol = "weighted-quorum"\n',
}
MEMBER = '[[experts]]\nid = "filling"\nkind = "python"\ncall = "experts:filling"\n'


def section(name):
    found = re.search(rf"^##+ `{re.escape(name)}`\n(.*?)(?=^##|\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"no section about {name}"
    return found[1]


def rows(name):
    found = re.findall(ROW, section(name), re.MULTILINE)
    assert len({row[0] for row in found}) == len(found)
    return {key: (kind, default, meaning) for key, kind, default, meaning in found}


def examples(name):
    """The keys that the blocks of a section show in tables of its kind."""
    shown = set()
    for block in re.findall(r"^```toml\n(.*?)^```$", section(name), re.DOTALL | re.MULTILINE):
        found = tomllib.loads(block)
        if name.startswith("[") and name != "[[experts]]":
            shown |= found.get(name.strip("[]"), {}).keys()
            continue
        for expert in found["experts"]:
            if name in ("[[experts]]", f'kind = "{expert["kind"]}"'):
                shown |= expert.keys()
    return shown


def test_every_table_of_the_tables_is_looked_at():
    assert {name.strip("[]") for name in TABLES if name.startswith("[")} == set(
        PanelTable.model_fields
    )


@pytest.mark.parametrize("name", TABLES)
def test_every_key_is_on_the_page_with_its_default_and_an_example(name):
    table, keys = TABLES[name]
    told = rows(name)
    assert told.keys() == keys
    assert keys <= examples(name)
    for key in keys:
        default = table.model_fields[key].default
        cell = told[key][1]
        if default is PydanticUndefined:
            assert cell == "*required*", key
        elif default is None:
            assert cell == "*none*", key
        else:
            said = tomllib.loads(f"x = {cell.strip('`')}", parse_float=Decimal)["x"]
            number = isinstance(default, Fraction)
            assert (Fraction(said) if number else said) == default, key


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block_is_a_panel_or_a_part_of_one(block, tmp_path):
    found = tomllib.loads(block)
    text = block + "".join(made for name, made in FILLING.items() if name not in found)
    if not any(one.get("role", "member") == "member" for one in found.get("experts", [])):
        text += MEMBER
    path = tmp_path / "quorate.toml"
    path.write_text(text, encoding="utf-8")
    Panel.declared(path)


def test_the_schema_that_the_page_names_is_there():
    assert "src/quorate/hub/panel.schema.json" in TEXT
    assert (PAGE.parents[1] / "src/quorate/hub" / Panel.SCHEMA_FILE).is_file()


# -- decision lines

LINES = "decisions.jsonl"
TASK = {"id": "t", "input_digest": "0" * 64}
TYPES = {
    "text": lambda value: isinstance(value, str),
    "any JSON": lambda value: True,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "whole number": lambda value: type(value) is int,
    "list of texts": lambda value: [type(one) for one in value] == [str] * len(value),
    "list of objects": lambda value: all(one.keys() == {"expert_id", "reason"} for one in value),
    "`false`": lambda value: value is False,
    "`true`": lambda value: value is True,
    "object": lambda value: value.keys() == {"by", "seqs", "contested"},
}


def line_of(arbiter, intake, **more):
    body = body_of(arbiter.fold(intake), arbiter, intake, task=TASK)
    line = decision_line(SimpleNamespace(payload=body, seq=3), **more)
    return body, json.loads(line)


def lines_with_little_and_much_to_say():
    """A line of a bare commit, of a refusal, of what was withheld, and one with every key."""
    sent = [Proposal("a", "x", 1, 3, 0.5), Proposal("b", None, 1, 1)]
    _, committed = line_of(WeightedQuorumArbiter(0.5), gather(sent))
    _, refused = line_of(WeightedQuorumArbiter(1), gather(sent))
    intake = gather(sent, [Absence("c", 1, "timeout")], [Pending("d", 1)])
    weak, _ = line_of(FirstToQuorumArbiter(1), intake)
    fallback, again = FallbackArbiter("b", 1), replace(intake, parent=weak)
    _, withheld = line_of(fallback, again, standing=stands(None))
    _, fallen = line_of(fallback, again, shadow=True, standing=stands("y"))
    return committed, refused, withheld, fallen


def stands(answer):
    decision = Reference(3, "0" * 64)
    said = Override("A", "because", decision, answered=answer is not None, answer=answer, seq=4)
    return Standing.of((said,))


def test_the_page_tells_every_key_of_a_decision_line():
    told = rows(LINES)
    always = [key for key, (_, when, _) in told.items() if when == "always"]
    committed, refused, withheld, fallen = lines_with_little_and_much_to_say()
    assert list(committed) == list(refused) == always
    assert list(fallen) == list(told)
    for line in (committed, refused, withheld, fallen):
        for key, value in line.items():
            assert TYPES[told[key][0]](value), (key, value)


def test_the_page_tells_what_stands_in_a_decision_line():
    told = {key: set(re.findall(r"`([^`]+)`", cell)) for key, (_, _, cell) in rows(LINES).items()}
    assert told["status"] == {line["status"] for line in lines_with_little_and_much_to_say()}
    assert told["absent"] == {"expert_id", "reason", *REASONS}
    assert told["protocol"] == {FallbackArbiter.protocol}
    assert all(f"- `{name}` commits" in TEXT or f"- `{name}` has" in TEXT for name in PROTOCOLS)
    (shown,) = re.findall(r"^```json\n(.*?)\n```$", section(LINES), re.DOTALL | re.MULTILINE)
    line = json.loads(shown)
    assert list(line) == [key for key, (_, when, _) in rows(LINES).items() if when == "always"]
    assert all(TYPES[rows(LINES)[key][0]](value) for key, value in line.items())
