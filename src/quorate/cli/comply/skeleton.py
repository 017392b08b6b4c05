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

UNFILLED: Final = "<passed or failed>"
"""Stands for the status of an item that nobody filled in yet."""
_PLAIN: Final = {
    "string": "<text>",
    "integer": "<whole number>",
    "number": "<number>",
    "boolean": "<true or false>",
    "null": None,
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
        "digest": "<sha256:… of the document>" if kind.DIGEST else None,
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
        return [_shape(schema.get("items", {}), defs, wanted, level + 1)]
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
            schema = next(each for each in schema["anyOf"] if each.get("type") != "null")
    return schema


def _placeholder(schema: Mapping[str, Any]) -> Any:
    if "const" in schema:
        return f"<{schema['const']}>"
    if "enum" in schema:
        return f"<{' or '.join(map(str, schema['enum']))}>"
    if "format" in schema:
        return f"<{schema['format']}>"
    return _PLAIN.get(str(schema.get("type")), "<value>")


def _members(
    schema: Mapping[str, Any], defs: Mapping[str, Any], wanted: list[list[str]], level: int
) -> dict[str, Any]:
    asked = {steps[0] for steps in wanted if steps} | set(schema.get("required", ()))
    return {
        name: _shape(each, defs, [s[1:] for s in wanted if s[:1] == [name]], level + 1)
        for name, each in schema["properties"].items()
        if name in asked
    }


def _table(
    schema: Mapping[str, Any], defs: Mapping[str, Any], wanted: list[list[str]], level: int
) -> dict[str, Any]:
    """Members of any name: those that are needed, or one to show how."""
    inner = schema.get("additionalProperties", {})
    inner = inner if isinstance(inner, Mapping) else {}
    names = [steps[0] for steps in wanted if steps] or ["<name>"]
    return {
        name: _shape(inner, defs, [s[1:] for s in wanted if s[:1] == [name]], level + 1)
        for name in names
    }
