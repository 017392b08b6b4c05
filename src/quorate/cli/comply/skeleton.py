"""Evidence to be filled in: the shape that a schema asks for, with words where values belong.

A skeleton is no evidence: none of its placeholders is a value that the schema takes, so one
that is forgotten is found as invalid and shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from quorate.compliance import System
from quorate.compliance.schemas import Data

_DEEPEST: Final = 8
_MOST_MEMBERS: Final = 3

UNFILLED: Final = "<passed or failed>"
"""Stands for the status of an item that nobody filled in yet."""
_PLAIN: Final = {
    "string": "<text>",
    "integer": "<whole number>",
    "number": "<number>",
    "boolean": "<true or false>",
    "null": None,
}

_PATTERNS: Final = {
    "^[0-9a-f]{64}$": "<64 hex digits>",
    "^sha256:[0-9a-f]{64}$": "<sha256: and 64 hex digits>",
}


def item_skeleton(kind: type[Data], needs: Iterable[str], system: System) -> dict[str, Any]:
    """One item of evidence to be filled in.

    Args:
        kind: schema of its data.
        needs: what it needs beyond the schema.
        system: whose name and version stand in its scope.
    """
    return {
        "status": UNFILLED,
        "source": "<who established it>",
        "time": "<when, such as 2026-11-21T09:30:00Z>",
        "expires": None,
        "scope": {"system": system.name, "version": system.version},
        "digest": "<sha256: and 64 hex digits, of the document>" if kind.DIGEST else None,
        "data": data_skeleton(kind, needs),
    }


def data_skeleton(kind: type[Data], needs: Iterable[str] = ()) -> dict[str, Any]:
    """The data of a schema: all that is required, and all that is needed."""
    schema = kind.model_json_schema()
    wanted = [_steps(need) for need in needs]
    made = _shape(schema, schema.get("$defs", {}), wanted, 0)
    assert isinstance(made, dict)  # noqa: S101 - every schema is an object
    return made


def _steps(need: str) -> list[str]:
    return [step.partition("[")[0] for step in need.split(".")]


def _shape(
    schema: Mapping[str, Any], defs: Mapping[str, Any], wanted: list[list[str]], level: int
) -> Any:
    schema = _resolved(schema, defs)
    if level > _DEEPEST:
        return "<…>"
    kind = schema.get("type")
    if kind == "array":
        one = _shape(schema.get("items", {}), defs, wanted, level + 1)
        return [one] * max(1, min(schema.get("minItems", 1), _MOST_MEMBERS))
    if kind == "object":
        inside = _members if "properties" in schema else _table
        return inside(schema, defs, wanted, level)
    return _placeholder(schema)


def _resolved(schema: Mapping[str, Any], defs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow references, and leave out that a member may be null."""
    for _ in range(_DEEPEST):
        if "$ref" in schema:
            schema = defs[schema["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in schema:
            found = [each for each in schema["anyOf"] if each.get("type") != "null"]
            whole = {each.get("type") for each in found} == {"integer", "number"}
            schema = {"type": "number"} if whole else found[0]
    return schema


def _placeholder(schema: Mapping[str, Any]) -> Any:
    if "const" in schema:
        return f"<{schema['const']}>"
    if "enum" in schema:
        return f"<{' or '.join(map(str, schema['enum']))}>"
    if "format" in schema:
        return f"<{schema['format']}>"
    if schema.get("pattern") in _PATTERNS:
        return _PATTERNS[schema["pattern"]]
    return _PLAIN.get(str(schema.get("type")), "<value>")


def _members(
    schema: Mapping[str, Any], defs: Mapping[str, Any], wanted: list[list[str]], level: int
) -> dict[str, Any]:
    asked = {steps[0] for steps in wanted if steps} | set(schema.get("required", ()))
    # Where no member has to be there and one of several has to, the first stands for them.
    asked = asked or set(list(schema["properties"])[:1])
    return {
        name: _shape(each, defs, [s[1:] for s in wanted if s[:1] == [name]], level + 1)
        for name, each in schema["properties"].items()
        if name in asked
    }


def _table(
    schema: Mapping[str, Any], defs: Mapping[str, Any], wanted: list[list[str]], level: int
) -> dict[str, Any]:
    """Members of any name: those that are needed, or one to show how."""
    inner = next(iter(schema.get("patternProperties", {}).values()), None)
    inner = schema.get("additionalProperties", {}) if inner is None else inner
    inner = inner if isinstance(inner, Mapping) else {}
    listed = schema.get("propertyNames", {}).get("enum", ["<name>"])
    names = [steps[0] for steps in wanted if steps] or listed
    return {
        name: _shape(inner, defs, [s[1:] for s in wanted if s[:1] == [name]], level + 1)
        for name in names
    }
