"""The schema that is shipped, and what is sealed of a panel."""

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from panel_texts import EVERYTHING, GOOD

from quorate.core.canonical import digest
from quorate.core.errors import VerificationError
from quorate.hub import Panel, panel_record
from quorate.hub.panel import PanelTable
from quorate.ledger.replay import ReplayContext


@pytest.fixture
def write(panel_folder):
    def write(*replaced, text=GOOD):
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new, 1)
        panel_folder.path.write_text(text)
        return panel_folder.path

    return write


# -- the schema that is shipped


def test_the_shipped_schema_is_that_of_the_tables():
    shipped = Path(panel_record.__file__).with_name(Panel.SCHEMA_FILE)
    assert json.loads(shipped.read_text("utf-8")) == PanelTable.model_json_schema()


def fits(value, schema, root):  # noqa: C901, PLR0911 - one return per keyword
    """Naive JSON Schema: just the keywords that the shipped one uses."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema and not any(fits(value, one, root) for one in schema["anyOf"]):
        return False
    if "oneOf" in schema:
        return sum(fits(value, one, root) for one in schema["oneOf"]) == 1
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        return False
    if isinstance(value, dict) and "properties" not in schema:
        inner = schema.get("additionalProperties", {})
        names = schema.get("propertyNames", schema.get("patternProperties", {}))
        return inner is True or names is True or all(map(len, value))
    if isinstance(value, dict):
        return (
            set(schema.get("required", ())) <= set(value) <= set(schema["properties"])
            and schema["additionalProperties"] is False
            and all(fits(value[key], schema["properties"][key], root) for key in value)
        )
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            fits(item, schema.get("items", {}), root) for item in value
        )
    if isinstance(value, bool):
        return value == schema.get("const", value)
    if isinstance(value, int | float):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        return low <= value <= high and value > schema.get("exclusiveMinimum", value - 1)
    if value not in schema.get("enum", [value]):
        return False
    return value == schema.get("const", value) and bool(re.search(schema.get("pattern", ""), value))


def test_the_starter_panel_fits_the_schema_and_mistakes_do_not():
    schema = PanelTable.model_json_schema()
    starter = tomllib.loads(files("quorate.cli").joinpath("starter/quorate.toml").read_text())
    assert fits(starter, schema, schema)
    assert fits(tomllib.loads(GOOD), schema, schema)
    assert fits(tomllib.loads(EVERYTHING), schema, schema)
    for old, new in (
        ('kind = "a2a"', 'kind = "A2A"'),
        ('id = "web"', 'id = "web"\nulr = "x"'),
        ('"AGENT_TOKEN"', '"sk-123"'),
        ('"samples:5"', '"sampled"'),
        ('mode = "shadow"', 'mode = "shdow"'),
        ("weight = 2", "weight = 0"),
        ('"https://agent.example"', '"agent.example"'),
    ):
        assert old in EVERYTHING
        assert not fits(tomllib.loads(EVERYTHING.replace(old, new)), schema, schema), new
    for old, new in (
        ("weight = 0.1", "weigth = 0.1"),
        ("weight = 0.1", "weight = -1"),
        ("confidence = 0.9", "confidence = 50"),
        ("quorum = 0.66", "quorum = 0"),
        ("quorum = 0.66", "quorum = 1.5"),
        ("timeout = 2.5", "timeout = 0"),
        ('"experts:no"', '"experts"'),
        ('id = "b"\n', ""),
    ):
        assert not fits(tomllib.loads(GOOD.replace(old, new)), schema, schema), new


# -- the sealed declaration


def test_a_declaration_is_replayed_and_remembered(write):
    body = panel_record.declaration(Panel.load(write()))
    context = ReplayContext()
    panel_record.replay("panel", body, context)
    assert body["roster"] == {"a": "1/10", "b": "1"}
    assert body["experts"]["a"] == {
        "kind": "python",
        "call": "experts:yes",
        "timeout": "5/2",
        "max_cost": "7",
        "confidence": "9/10",
    }
    assert context.panel(digest(body)) == {
        "roster": {"a": "1/10", "b": "1"},
        "protocol": "weighted-quorum",
        "parameters": {"quorum": "33/50"},
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"rule": "panel/2"},
        {"roster": {}},
        {"roster": ["a"]},
        {"roster": {"a": "-1"}},
        {"roster": {"a": "2/4"}},
        {"roster": {"a": 1}},
        {"extra": 1},
    ],
)
def test_what_is_no_declaration_fails_replay(write, changed):
    body = panel_record.declaration(Panel.load(write())) | changed
    context = ReplayContext()
    with pytest.raises(VerificationError) as caught:
        panel_record.replay("panel", body, context)
    assert caught.value.rule == "panel"
    assert context.panel(digest(body)) is None


@pytest.mark.parametrize("body", [None, [], "panel", {}])
def test_other_json_fails_replay(body):
    with pytest.raises(VerificationError):
        panel_record.replay("panel", body, ReplayContext())


# -- what is declared beside roster and protocol


@pytest.fixture
def everything(panel_folder):
    panel_folder.path.write_text(EVERYTHING)
    return panel_record.declaration(Panel.declared(panel_folder.path))


def replayed(body):
    context = ReplayContext()
    panel_record.replay("panel", body, context)
    return context.panel(digest(body))


def test_what_a_panel_declares_besides_is_sealed_exactly(everything):
    told = replayed(everything)
    assert told["mode"] == "shadow"
    assert told["on_under_quorum"] == "escalate"
    assert told["escalation"] == {
        "to": "peer-consult", "experts": {"elder": "3"}, "weight": "2", "quorum": "3/5",
    }  # fmt: skip
    assert told["parameters"] == {"quorum": "3/4", "normalize": "text"}
    assert set(told["roster"]) == {"worker", "program", "web", "model", "agent", "tool"}
    experts = everything["experts"]
    assert experts["worker"]["failure_domain"] == {"host": "h1", "vendor": "acme"}
    assert (experts["worker"]["cost"], experts["worker"]["process"]) == ("1/2", True)
    assert experts["model"]["temperature"] == "7/10"
    assert "cost" not in experts["tool"]


def test_no_text_that_is_meant_for_the_expert_alone_is_sealed(everything):
    experts = everything["experts"]
    assert experts["web"]["headers"] == ["X-Team"]
    assert experts["program"]["env"] == ["MODE"]
    assert experts["model"]["system_digest"] == digest("Judge.")
    assert "Judge." not in json.dumps(everything)


def without(body, name):
    return {key: value for key, value in body.items() if key != name}


ALTERED = {
    "another way": lambda b: b | {"on_under_quorum": "dice"},
    "a way that is none": lambda b: b | {"on_under_quorum": "raise"},
    "no way for the escalation": lambda b: without(b, "on_under_quorum"),
    "no escalation for the way": lambda b: without(b, "escalation"),
    "a fallback besides": lambda b: b | {"fallback": "web"},
    "a reserve besides": lambda b: b | {"reserve": {"elder": "1"}},
    "a fallback that is no member": lambda b: (
        without(b, "escalation") | {"on_under_quorum": "fallback", "fallback": "elder"}
    ),
    "another mode": lambda b: b | {"mode": "enforce"},
    "an unknown key": lambda b: b | {"modus": "shadow"},
    "nobody consulted": lambda b: b | {"escalation": b["escalation"] | {"experts": {}}},
    "a negative weight": lambda b: b | {"escalation": b["escalation"] | {"weight": "-1"}},
    "no weight": lambda b: b | {"escalation": without(b["escalation"], "weight")},
    "an escalation that is none": lambda b: b | {"escalation": "peer-consult"},
    "an expert without a place": lambda b: b | {"experts": b["experts"] | {"ghost": {}}},
    "a member that is no expert": lambda b: b | {"experts": without(b["experts"], "web")},
    "parameters without quorum": lambda b: b | {"parameters": {"normalize": "text"}},
    "a reserve that is none": lambda b: b | {"reserve": ["elder"]},
    "an empty reserve": lambda b: (
        without(b, "escalation") | {"on_under_quorum": "widen", "reserve": {}}
    ),
    "a reserve of the roster": lambda b: (
        without(b, "escalation") | {"on_under_quorum": "widen", "reserve": b["roster"]}
    ),
}


@pytest.mark.parametrize("how", ALTERED)
def test_a_declaration_that_does_not_hold_together_fails_replay(everything, how):
    replayed(everything)
    with pytest.raises(VerificationError) as caught:
        replayed(ALTERED[how](everything))
    assert caught.value.rule == "panel"
