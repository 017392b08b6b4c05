"""Evidence: what is an item, what is none, and what its file holds."""

import json
import math

import pytest
from evidence_tools import DIGEST, POLICY, SYSTEM, TIME, core_items, evidence, item, sealed
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.compliance import Evidence, EvidenceSet, System
from quorate.compliance.bounds import MAX_ITEM_BYTES, MAX_ITEMS
from quorate.compliance.evidence import VALID_ITEM
from quorate.compliance.system import UNDECLARED
from quorate.core.canonical import canonical
from quorate.core.errors import OperationalError, UsageError

GOOD = item("eventLogging").to_dict()

NO_ITEMS = [
    True, False, None, "true", "false", "yes", "no", "passed", 0, 1, 1.0, math.nan, "", {},
    {"status": "failed"}, {"status": "passed"}, {"passed": True}, b"passed", [[]],
    pytest.param(object(), id="object"),
]  # fmt: skip


@pytest.mark.parametrize("value", NO_ITEMS, ids=repr)
def test_what_is_no_item_is_told_what_one_looks_like(value):
    with pytest.raises(UsageError) as caught:
        Evidence.read(value, "eventLogging")
    assert str(caught.value).endswith(VALID_ITEM)
    read = EvidenceSet.read({"eventLogging": value})
    assert read.items == ()
    assert [each.field for each in read.invalid] == ["eventLogging"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": "ok"}, "status is 'ok': input should be 'passed' or 'failed'"),
        ({"status": True}, "status is true: "),
        ({"source": " "}, "source is ' ': "),
        ({"time": "yesterday"}, "'yesterday' is no moment in UTC"),
        ({"time": "2026-11-20"}, "'2026-11-20' is no moment in UTC"),
        ({"time": "2026-11-20T09:00:00+01:00"}, "is no moment in UTC"),
        ({"time": "2026-02-30T09:00:00Z"}, "is no moment: "),
        ({"time": 1_800_000_000}, "time is 1800000000: "),
        ({"expires": TIME}, f"it expires at {TIME}, not after its time {TIME}"),
        ({"scope": {"system": "triage"}}, "scope.version is missing"),
        ({"scope": "triage 2.1.0"}, "scope is 'triage 2.1.0': "),
        ({"digest": DIGEST.upper()}, "digest is "),
        ({"digest": "ab" * 32}, "digest is "),
        ({"data": []}, "data is []: "),
        ({"data": {"x": math.inf}}, "is not a JSON number"),
        ({"data": {"x": 2**60}}, "an integer beyond"),
        ({"data": {"x": "\ud800"}}, "a lone surrogate"),
        ({"entries": [{"seq": -1, "hash": "ab" * 32}]}, "entries[0].seq is -1: "),
        ({"entries": [{"seq": True, "hash": "ab" * 32}]}, "entries[0].seq is true: "),
        ({"receipt": {"seq": 1}}, "receipt.origin is missing"),
        ({"verified": True}, "verified is unknown"),
        ({"field": "other"}, "it stands under 'eventLogging' but its field is 'other'"),
        ({"data": {"x": "y" * MAX_ITEM_BYTES}}, f"at most {MAX_ITEM_BYTES} are read"),
    ],
)
def test_one_wrong_member_is_told(change, message):
    with pytest.raises(UsageError) as caught:
        Evidence.read(GOOD | change, "eventLogging")
    assert message in str(caught.value)


def test_an_item_reads_back_as_it_was_written():
    bound, receipts = sealed([item("eventLogging", expires="2027-01-01T00:00:00.5Z")])
    assert Evidence.read(json.loads(canonical(bound[0].to_dict()))) == bound[0]
    assert "receipt" not in bound[0].body()
    assert canonical(bound[0].body()) == receipts[0].body_bytes
    assert bound[0].receipt.hash == receipts[0].entry_hash


def test_an_item_needs_no_field_where_it_stands_under_one():
    members = {name: value for name, value in GOOD.items() if name != "field"}
    assert Evidence.read(members, "eventLogging") == Evidence.read(GOOD)
    with pytest.raises(UsageError, match="field is missing"):
        Evidence.read(members)


@pytest.mark.parametrize("wrap", ["flat", "metadata", "format", "list"])
def test_a_set_is_read_in_every_form(wrap):
    given_set = evidence(*core_items())
    whole = given_set.to_dict()
    by_field = {each["field"]: each for each in whole["items"]}
    beside = {"system": whole["system"], "receipts": whole["receipts"]}
    forms = {
        "flat": by_field | beside,
        "metadata": {"metadata": by_field, "name": "a card", **beside},
        "format": whole,
        "list": whole["items"],
    }
    read = EvidenceSet.read(forms[wrap])
    assert read.items == given_set.items
    assert read.invalid == ()
    if wrap != "list":
        assert read == given_set


def test_a_set_is_read_from_its_file(tmp_path):
    given_set = evidence(*core_items())
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(given_set.to_dict()))
    assert EvidenceSet.read(path) == given_set
    assert EvidenceSet.read(str(path)) == given_set
    for receipt in given_set.receipts:
        receipt.verify(POLICY)


def test_several_items_of_one_field():
    read = EvidenceSet.read({"eventLogging": [GOOD, GOOD | {"status": "failed"}, "yes"]})
    assert [each.status for each in read.items] == ["passed", "failed"]
    assert len(read.invalid) == 1
    assert EvidenceSet.read({"eventLogging": []}).invalid[0].field == "eventLogging"


def test_an_unreadable_receipt_is_kept_as_its_reason():
    read = EvidenceSet.read({"eventLogging": GOOD, "receipts": [{"x": 1}]})
    assert isinstance(read.receipts[0], str)
    with pytest.raises(UsageError, match="a receipt is an object with exactly"):
        read.to_dict()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"format": "quorate/evidence/2", "items": []}, "'quorate/evidence/1' is known"),
        ({"format": "quorate/evidence/1", "items": [], "extra": 1}, "unknown 'extra'"),
        ({"format": "quorate/evidence/1"}, "items is null"),
        ({"metadata": True}, "metadata is true; it maps fields"),
        ({"receipts": "all"}, "receipts is 'all'; it is a list"),
        ({"system": "triage"}, "the system: it is 'triage'"),
        ({"system": {"name": "triage"}}, "the system: version is missing"),
        (
            {"system": {"name": "t", "version": "1", "conditions": {"x": "no"}}},
            "conditions.x is 'no'",
        ),
        (12, "12 is no evidence; give a file"),
        ([GOOD] * (MAX_ITEMS + 1), f"more than {MAX_ITEMS} items"),
        ({7: GOOD}, "the field 7 is no text"),
    ],
)
def test_what_is_no_set_at_all(value, message):
    with pytest.raises(UsageError) as caught:
        EvidenceSet.read(value)
    assert message in str(caught.value)


def test_the_most_items_are_read():
    assert len(EvidenceSet.read([GOOD] * MAX_ITEMS).items) == MAX_ITEMS


def test_a_file_that_is_none(tmp_path):
    with pytest.raises(OperationalError, match="cannot be read"):
        EvidenceSet.read(tmp_path / "none.json")
    (tmp_path / "e.json").write_text('{"a": 1, "a": 2}')
    with pytest.raises(UsageError, match="stands twice"):
        EvidenceSet.read(tmp_path / "e.json")


def test_a_system_reads_back():
    assert System.read(SYSTEM.to_dict()) == SYSTEM
    assert EvidenceSet.read({}).system is UNDECLARED


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys((*GOOD, "more"), JSON)))
def test_no_junk_is_an_item_and_none_crashes(junk):
    read = EvidenceSet.read({"eventLogging": junk})
    assert len(read.items) + len(read.invalid) == 1


@settings(max_examples=40)
@given(st.sampled_from([*GOOD]), JSON)
def test_one_junk_member_never_crashes(name, junk):
    read = EvidenceSet.read({"eventLogging": GOOD | {name: junk}})
    assert len(read.items) + len(read.invalid) == 1
