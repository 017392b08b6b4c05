"""The page about panel files says what the tables say."""

import re
import tomllib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from pydantic_core import PydanticUndefined

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
