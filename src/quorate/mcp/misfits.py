"""Arguments that do not fit, in words of what a client may send: JSON, and names of members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from quorate.core.text import printable, shortened
from quorate.mcp import models

_MOST_LISTED: Final = 1000
_MOST_TOLD: Final = 8
_BRANCHES: Final = frozenset({"float", "int", "str", "bool"})
_WANTED: Final = {
    "dict_type": "an object",
    "list_type": "a list",
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
}
_OBJECTS: Final = {
    each.__name__: each
    for each in (
        models.ProposalGiven,
        models.AbsenceGiven,
        models.VoteGiven,
        models.TargetGiven,
    )
}


def misfits(error: ValidationError) -> str:
    """Which arguments do not fit, each with its place and what it should be."""
    if error.error_count() > _MOST_LISTED:
        return f"the arguments have {error.error_count()} mistakes; see the tool's schema"
    wanted: dict[str, list[str]] = {}
    told: list[str] = []
    for one in error.errors(include_url=False):
        where = one["loc"]
        # Of alternatives, each is told of at a place of its own.
        place = _place(where[:-1] if where and where[-1] in _BRANCHES else where)
        form = _form(one)
        if form is None:
            told.append(_words(place, one))
        else:
            wanted.setdefault(place, []).append(form)
    told += [f"{place}: give {' or '.join(forms)}" for place, forms in wanted.items()]
    more = len(told) - _MOST_TOLD
    listed = "; ".join(told[:_MOST_TOLD])
    return shortened(printable(listed + (f"; and {more} more" if more > 0 else "")))


def shape(model: type[Any]) -> str:
    """An object's members: those that it must have, then those that it may."""
    fields = model.model_fields.items()
    must = ", ".join(name for name, field in fields if field.is_required())
    may = ", ".join(name for name, field in fields if not field.is_required())
    return f"an object with {must}" + (f" (and, if you like, {may})" if may else "")


def _place(loc: Iterable[str | int]) -> str:
    steps = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return steps.lstrip(".") or "the arguments"


def _form(one: Mapping[str, Any]) -> str | None:
    """What is wanted, where a mistake is that it is something else."""
    named = _OBJECTS.get((one.get("ctx") or {}).get("class_name", ""))
    return _WANTED.get(one["type"]) if named is None else shape(named)


def _words(place: str, one: Mapping[str, Any]) -> str:
    if one["type"] == "missing":
        return f"{place} is missing"
    if one["type"] == "extra_forbidden":
        return f"{place} is unknown; see the tool's schema"
    message = one["msg"].removeprefix("Value error, ")
    return f"{place}: {message[:1].lower()}{message[1:]}"
