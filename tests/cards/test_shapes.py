"""The forms of cards say what the official SDK's types say."""

from typing import Any

import pytest

from quorate.cards.shapes import (
    ANY_NAME,
    CHOICES_1_0,
    FLAG,
    FORMS_0_3,
    FORMS_1_0,
    FREE,
    LIST,
    MAP,
    ONE,
    TEXT,
    TYPES_0_3,
    Field,
)

pytest.importorskip("a2a.types", reason="a2a-sdk is not installed; make test-adapters")


def _kind(field: Any) -> str:
    if field.message_type is None:
        return {field.TYPE_STRING: TEXT, field.TYPE_BOOL: FLAG}[field.type]
    whole = field.message_type.full_name
    return FREE if whole == "google.protobuf.Struct" else field.message_type.name


def _forms_of_sdk() -> tuple[dict[str, dict[str, Field]], set[str]]:
    from a2a.types import AgentCard
    from google.api.field_behavior_pb2 import FieldBehavior, field_behavior

    forms: dict[str, dict[str, Field]] = {}
    choices = set()

    def walk(message: Any) -> None:
        if message.name in forms:
            return
        form = forms[message.name] = {}
        if any(len(one.fields) > 1 for one in message.oneofs):
            choices.add(message.name)
        for field in message.fields:
            inner, many = field, ONE
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                inner, many = field.message_type.fields_by_name["value"], MAP
            elif field.is_repeated:
                many = LIST
            required = (
                FieldBehavior.Value("REQUIRED") in field.GetOptions().Extensions[field_behavior]
            )
            presence = field.has_presence and field.message_type is None
            form[field.json_name] = Field(_kind(inner), many, required, presence)
            if inner.message_type is not None and _kind(inner) != FREE:
                walk(inner.message_type)

    walk(AgentCard.DESCRIPTOR)
    return forms, choices


def test_the_forms_of_1_0_are_those_of_the_sdk():
    forms, choices = _forms_of_sdk()
    assert forms == FORMS_1_0
    assert choices == CHOICES_1_0


_NAMES = {
    "APIKeySecurityScheme": "apiKey",
    "HTTPAuthSecurityScheme": "http",
    "OAuth2SecurityScheme": "oauth2",
    "OpenIdConnectSecurityScheme": "openIdConnect",
    "MutualTLSSecurityScheme": "mutualTLS",
}


def _read_schema(schema: dict[str, Any]) -> tuple[str, str]:
    if "anyOf" in schema:
        (schema,) = [one for one in schema["anyOf"] if one.get("type") != "null"]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return TEXT if name == "In" else name, ONE
    if schema["type"] == "array":
        kind, many = _read_schema(schema["items"])
        return ("SecurityNeeds" if many == MAP else kind), LIST
    if schema["type"] == "object":
        if schema["additionalProperties"] is True:
            return FREE, ONE
        return _read_schema(schema["additionalProperties"])[0], MAP
    return {"string": TEXT, "boolean": FLAG}[schema["type"]], ONE


def test_the_forms_of_0_3_are_those_of_the_sdk():
    from a2a.compat.v0_3.types import AgentCard, SecurityScheme

    schema = AgentCard.model_json_schema(by_alias=True)
    found = {}
    for name, one in {"AgentCard": schema, **schema["$defs"]}.items():
        if name in {"SecurityScheme", "In"}:
            continue
        # The SDK fills in the type; the specification asks for it.
        required = {*one.get("required", ()), *({"type"} if name in _NAMES else ())}
        found[_NAMES.get(name, name)] = {
            member: Field(*_read_schema(inner), required=member in required)
            for member, inner in one["properties"].items()
        }
    needs = {"SecurityNeeds": {ANY_NAME: Field(TEXT, LIST)}}
    assert {**found, **needs} == FORMS_0_3
    (union,) = [field.annotation for field in SecurityScheme.model_fields.values()]
    kinds = {one.model_fields["type"].default for one in union.__args__}
    assert kinds == set(TYPES_0_3)
