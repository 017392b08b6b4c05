"""No input makes the reader crash, and what it calls valid, the official SDK reads too."""

import copy
import json
import string

import pytest
from card_tools import FULL_0_3, FULL_1_0, small, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.cards.checking import check_card
from quorate.cards.locating import locate
from quorate.cards.reading import path_of, read_card
from quorate.cards.sarif import RULES, to_sarif
from quorate.cards.trust import TrustStore
from quorate.cards.verdict import CardVerdict
from quorate.core.errors import UsageError

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["https://u:p@x/", "JSONRPC", "\u202e", "http://[", "0x7f.1", "1.0", ""]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    sorted({*FULL_1_0, *FULL_0_3, "type", "flows", "in", "schemes", "list", "params"})
)


def _places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from _places(value[key], (*path, key))
    elif isinstance(value, list):
        for place in range(len(value)):
            yield from _places(value[place], (*path, place))


@st.composite
def mutated(draw):
    """A card with a few of its values replaced, taken out, or joined by others."""
    card = copy.deepcopy(draw(st.sampled_from([FULL_1_0, FULL_0_3, small()])))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from([place for place in _places(card) if place]))
        inside = card
        for step in path[:-1]:
            inside = inside[step]
        how = draw(st.integers(0, 2))
        if how == 0 and len(path) > 1:
            del inside[path[-1]]
        elif how == 1 and isinstance(inside, dict):
            inside[draw(NAMES)] = draw(JSON)
        else:
            inside[path[-1]] = draw(JSON)
    return card


def _holds_together(read, located):
    for problem in read.problems:
        assert problem.rule in RULES
        assert problem.message
        if located is not None:
            located.region(path_of(problem.path))


@given(st.one_of(st.binary(max_size=80), st.text(string.printable + "\ud800\u202e", max_size=80)))
def test_no_text_crashes_the_reader(text):
    read = read_card(text)
    _holds_together(read, read.located)


@given(JSON)
@settings(max_examples=50)
def test_no_json_crashes_the_reader(value):
    read = read_card(json.dumps(value))
    _holds_together(read, read.located)


@given(mutated())
@settings(max_examples=100)
def test_no_mutated_card_crashes_the_reader(card):
    read = read_card(json.dumps(card))
    _holds_together(read, read.located)


@given(mutated(), st.lists(st.dictionaries(st.text(max_size=9), SCALARS), max_size=3))
@settings(max_examples=40)
def test_no_mutated_card_crashes_the_check(card, signatures):
    card["signatures"] = signatures
    verdict = check_card(json.dumps(card), as_of="2026-11-21")
    assert not verdict.passed
    assert verdict.describe()
    json.dumps(to_sarif(verdict, "card.json", read_card(json.dumps(card)).located))


@given(mutated())
@settings(max_examples=100)
def test_what_is_valid_the_sdk_reads(card):
    """Not the other way: what the SDK passes over, such as a missing scheme, we tell."""
    json_format = pytest.importorskip("google.protobuf.json_format", reason="a2a-sdk is not there")
    pytest.importorskip("a2a.types", reason="a2a-sdk is not installed; make test-adapters")
    from a2a.compat.v0_3 import types as old
    from a2a.types import AgentCard
    from a2a.utils.proto_utils import validate_proto_required_fields

    read = read_card(json.dumps(card))
    if not read.valid:
        return
    if read.version == "0.3":
        old.AgentCard.model_validate(read.content)
    elif read.version == "1.0":
        message = json_format.ParseDict(read.content, AgentCard())
        validate_proto_required_fields(message)


@given(JSON)
@settings(max_examples=50)
def test_every_value_is_located_where_it_stands(value):
    text = json.dumps(value, indent=1)
    located = locate(text)
    assert located.twice == []
    found = {path: json.loads(text[slice(*span)]) for path, span in located.spans.items()}
    assert set(found) == set(_places(value))
    assert json.dumps(found[()]) == json.dumps(value)


@given(st.lists(st.text(max_size=2), min_size=1, max_size=6))
@settings(max_examples=50)
def test_keys_that_stand_twice_are_found(keys):
    text = "{" + ", ".join(f"{json.dumps(key)}: 1" for key in keys) + "}"
    twice = {key for key in keys if keys.count(key) > 1}
    assert {path[-1] for path in locate(text).twice} == twice


@given(JSON)
@settings(max_examples=50)
def test_no_trust_store_crashes_its_reader(value):
    for read in (TrustStore.from_dict, TrustStore.from_jwks):
        for form in (value, {"keys": value}, {"keys": [value]}):
            with pytest.raises(UsageError):
                read(form)


def test_a_hostile_megabyte_is_read_in_a_moment():
    names = {f"n{n}": {} for n in range(256)}
    schemes = {f"scheme-{n}": {"mtlsSecurityScheme": {}} for n in range(256)}
    card = small(
        securitySchemes=schemes, securityRequirements=[{"schemes": names} for _ in range(200)]
    )
    read = read_card(text_of(card))
    assert not read.valid
    assert read.left_out


@given(JSON, JSON)
@settings(max_examples=30)
def test_no_evidence_crashes_the_check(metadata, receipts):
    params = {"metadata": metadata, "receipts": receipts}
    extension = {"uri": "urn:quorate:a2a:evidence:1", "params": params}
    card = small(capabilities={"extensions": [extension]})
    verdict = check_card(json.dumps(card), as_of="2026-11-21")
    assert not verdict.passed
    assert CardVerdict.from_dict(json.loads(json.dumps(verdict.to_dict()))) == verdict


TOLD = check_card(small(signatures=[{"protected": "a", "signature": "b"}]), as_of="2026-11-21")


@given(st.data(), JSON)
@settings(max_examples=60)
def test_no_verdict_crashes_its_reader(data, value):
    told = copy.deepcopy(TOLD.to_dict())
    own = [place for place in _places(told) if place and place[0] != "ai_act"]
    path = data.draw(st.sampled_from(own))
    inside = told
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    try:
        again = CardVerdict.from_dict(told)
    except UsageError:
        return
    assert again.to_dict() == told
