"""The JSON Schemas as shipped, beside the models that they are written from."""

import json
from functools import cache
from importlib import resources

import pytest
from evidence_tools import POLICY, TODAY, core_items, evidence, item

from quorate.compliance import EvidenceSet, evaluate, load_catalogue
from quorate.compliance.json_schema import FILES, main, written
from quorate.compliance.schemas import FIELD_SCHEMAS

DATA = resources.files("quorate.compliance") / "data"


@pytest.fixture(name="validator", scope="module")
def _validator():
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

    @cache
    def validator(name):
        schema = json.loads((DATA / name).read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        return jsonschema.Draft202012Validator(schema)

    return validator


@pytest.mark.parametrize("name", FILES)
def test_what_is_shipped_is_what_the_models_say(name):
    text = (DATA / name).read_text("utf-8")
    assert text == written(FILES[name]()), f"write it again: python -m {main.__module__}"


@pytest.mark.parametrize("profile", ["core", "full", "experts"])
def test_reports_keep_their_schema(validator, profile):
    check = validator("report.schema.json")
    for given in (evidence(*core_items()), {}, {"eventLogging": "yes"}):
        found = evaluate(given, profile, TODAY, policy=POLICY).to_dict()
        check.validate(found)
        assert not check.is_valid(found | {"verdict": "fine"})


def test_evidence_keeps_its_schema(validator):
    check = validator("evidence.schema.json")
    fields = [*FIELD_SCHEMAS, *load_catalogue()]
    whole = evidence(*map(item, fields)).to_dict()
    check.validate(json.loads(json.dumps(whole)))
    EvidenceSet.read(whole)


@pytest.mark.parametrize(
    "change",
    [
        {"status": "ok"},
        {"time": "2026-11-20"},
        {"digest": "ab"},
        {"data": {}},
        {"data": {"title": "another schema"}},
        {"extra": 1},
        {"scope": {"system": "triage"}},
        {"receipt": {"seq": 1}},
    ],
    ids=str,
)
def test_what_the_models_refuse_the_schema_refuses(validator, change):
    check = validator("evidence.schema.json")
    whole = evidence(item("eventLogging")).to_dict()
    assert check.is_valid(whole)
    whole["items"][0] |= change
    assert not check.is_valid(whole)


def test_a_failed_item_needs_no_data_of_a_schema(validator):
    whole = evidence(item("eventLogging", status="failed", data={"reason": "chain"})).to_dict()
    assert validator("evidence.schema.json").is_valid(whole)
