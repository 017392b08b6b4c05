"""Whether a card has the form of its version: members, their kinds, what is required."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.arbitration.forms import shown
from quorate.cards import bounds
from quorate.cards.advice import advice, kind_of
from quorate.cards.hints import near
from quorate.cards.problems import Path, Problem, error, warning
from quorate.cards.shapes import (
    ANY_NAME,
    BESIDE_1_0,
    CHOICES_1_0,
    FLAG,
    FORMS_0_3,
    FORMS_1_0,
    FREE,
    LIST,
    MAP,
    TEXT,
    TYPES_0_3,
    Field,
    Form,
)

V1_0: Final = "1.0"
V0_3: Final = "0.3"
BOTH: Final = "1.0+0.3"
"""A card of 1.0 in which the members of 0.3 stand too, as servers of both write it."""

_CARD: Final = "AgentCard"
_SCHEME: Final = "SecurityScheme"
_MOST: Final = {
    "skills": bounds.MAX_SKILLS,
    "supportedInterfaces": bounds.MAX_INTERFACES,
    "additionalInterfaces": bounds.MAX_INTERFACES,
    "extensions": bounds.MAX_EXTENSIONS,
    "signatures": bounds.MAX_SIGNATURES,
}
# Where other versions and other people put things, and where they belong.
_ELSEWHERE_1_0: Final = {
    "url": "in 1.0 the address stands in supportedInterfaces[].url",
    "preferredTransport": "in 1.0 the first of supportedInterfaces is the preferred one",
    "protocolVersion": "in 1.0 it stands in supportedInterfaces[].protocolVersion",
    "additionalInterfaces": "in 1.0 all interfaces stand in supportedInterfaces",
    "supportsAuthenticatedExtendedCard": "in 1.0 it is capabilities.extendedAgentCard",
    "security": "in 1.0 it is securityRequirements",
    "stateTransitionHistory": "1.0 has no such capability; leave it out",
    "transport": "in 1.0 it is protocolBinding",
    "metadata": (
        "cards have no metadata of their own; evidence stands under capabilities.extensions[] "
        'with the uri "urn:quorate:a2a:evidence:1", in params.metadata'
    ),
}
_ELSEWHERE_0_3: Final = {
    "supportedInterfaces": "0.3 has url and additionalInterfaces; supportedInterfaces is of 1.0",
    "securityRequirements": "in 0.3 it is security",
    "protocolBinding": "in 0.3 it is transport",
    "extendedAgentCard": "in 0.3 it is supportsAuthenticatedExtendedCard, beside capabilities",
    "location": "in 0.3 it is in",
    "metadata": _ELSEWHERE_1_0["metadata"],
}


@dataclass(slots=True)
class Formed:
    """What came of looking at a card's form.

    Attributes:
        problems: in the order of the card.
        beside: of a card of both versions, the members of 0.3 by path.
    """

    problems: list[Problem] = field(default_factory=list)
    beside: dict[Path, Any] = field(default_factory=dict)


def check_form(card: dict[str, Any], version: str) -> Formed:
    """Look at the form of a card; ``version`` is ``V1_0``, ``V0_3`` or ``BOTH``."""
    found = Formed()
    _Walk(version, found).object_of(_CARD, card, ())
    return found


def check_member(form: str, member: str, value: Any, path: Path) -> list[Problem]:
    """Look at one member of 0.3 by itself, as the form of that name has it there.

    Args:
        form: the form that the member is of, such as ``"AgentSkill"``.
        member: its name.
        value: what it is.
        path: where it stands.
    """
    found = Formed()
    _Walk(V0_3, found).member_of(form, member, value, path)
    return found.problems


class _Walk:
    def __init__(self, version: str, found: Formed) -> None:
        self._old = version == V0_3
        self._both = version == BOTH
        self._forms = FORMS_0_3 if self._old else FORMS_1_0
        self._elsewhere = _ELSEWHERE_0_3 if self._old else _ELSEWHERE_1_0
        self._found = found

    def _error(self, path: Path, rule: str, message: str) -> None:
        self._found.problems.append(error(path, rule, message))

    def object_of(self, name: str, value: dict[str, Any], path: Path) -> None:
        """Look at an object that should have the form ``name``."""
        if self._old and name == _SCHEME:
            name = self._scheme_type(value, path)
            if not name:
                return
        form = self._forms[name]
        if not self._sized(value, path):
            return
        for member, item in value.items():
            self._member(name, form, member, item, (*path, member))
        for member, each in form.items():
            if each.required and member not in value:
                self._error(
                    (*path, member), "required", f"is missing; give {advice(name, member, each)}"
                )
        if not self._old and name in CHOICES_1_0:
            self._choice(form, value, path)

    def member_of(self, name: str, member: str, value: Any, path: Path) -> None:
        """Look at a member of an object that should have the form ``name``."""
        self._member(name, self._forms[name], member, value, path)

    def _sized(self, value: dict[str, Any], path: Path) -> bool:
        """Whether an object has so few members, and so short names, that it is looked at."""
        if len(value) > bounds.MAX_MEMBERS:
            most = bounds.MAX_MEMBERS
            self._error(path, "size", f"has {len(value)} members; at most {most} are read")
            return False
        longest = max(map(len, value), default=0)
        if longest > bounds.MAX_NAME_LENGTH:
            most = bounds.MAX_NAME_LENGTH
            told = f"has a member whose name has {longest} characters; at most {most} are read"
            self._error(path, "size", told)
            return False
        return True

    def _scheme_type(self, value: dict[str, Any], path: Path) -> str:
        kind = value.get("type")
        if isinstance(kind, str) and kind in TYPES_0_3:
            return kind
        given = f"is {shown(kind)}" if "type" in value else "is missing"
        known = ", ".join(f'"{each}"' for each in TYPES_0_3)
        hint = near(kind, TYPES_0_3) if isinstance(kind, str) else ""
        self._error(
            (*path, "type"),
            "security-scheme",
            f"{given}; give one of {known}{hint}",
        )
        return ""

    def _choice(self, form: Form, value: dict[str, Any], path: Path) -> None:
        given = [member for member in form if member in value]
        if len(given) == 1:
            return
        what = "nothing of" if not given else f"{' and '.join(given)}, {len(given)} of"
        self._error(path, "choice", f"has {what} {', '.join(form)}; give exactly one of these")

    def _member(self, name: str, form: Form, member: str, item: Any, path: Path) -> None:
        each = form.get(member) or form.get(ANY_NAME)
        if each is None:
            if self._both and member in BESIDE_1_0.get(name, ()):
                self._found.beside[path] = item
            else:
                self._unknown(form, member, path)
            return
        if item is None and not each.required:
            self._found.problems.append(
                warning(path, "null", "is null, which readers take as absent; leave it out")
            )
        elif each.many == LIST:
            self._list(name, member, each, item, path)
        elif each.many == MAP:
            self._map(name, member, each, item, path)
        else:
            self._one(name, member, each, item, path)

    def _unknown(self, form: Form, member: str, path: Path) -> None:
        # Looking for what may have been meant takes time, and too many are not told of anyway.
        if len(self._found.problems) > bounds.MAX_PROBLEMS:
            self._error(path, "unknown", "is no member here")
            return
        camel = re.sub(r"_+([a-z0-9])", lambda m: m[1].upper(), member)
        if camel != member and camel in form:
            hint = f"; members are written in camelCase: {camel}"
        elif member in self._elsewhere and not self._is_spelling(member, form):
            hint = f"; {self._elsewhere[member]}"
        else:
            hint = near(member, form)
        known = ", ".join(sorted(form)) or "none"
        self._error(path, "unknown", f"is no member here{hint or f'; there are {known}'}")

    @staticmethod
    def _is_spelling(member: str, form: Form) -> bool:
        return any(member.casefold() == known.casefold() for known in form)

    def _list(self, name: str, member: str, each: Field, item: Any, path: Path) -> None:
        if not isinstance(item, list):
            self._wrong(name, member, each, item, path)
            return
        most = _MOST.get(member, bounds.MAX_MEMBERS)
        if len(item) > most:
            self._error(path, "size", f"has {len(item)} items; at most {most} are read")
            return
        if each.required and not item:
            told = f"is empty; give {advice(name, member, each)}"
            make = warning if self._old else error
            self._found.problems.append(make(path, "required", told))
        single = Field(each.kind, required=True)
        for place, one in enumerate(item):
            self._one(name, "", single, one, (*path, place))

    def _map(self, name: str, member: str, each: Field, item: Any, path: Path) -> None:
        if not isinstance(item, dict):
            self._wrong(name, member, each, item, path)
            return
        if not self._sized(item, path):
            return
        if each.required and not item:
            told = f"is empty; give {advice(name, member, each)}"
            make = warning if self._old else error
            self._found.problems.append(make(path, "required", told))
        for key, one in item.items():
            self._one(name, "", Field(each.kind), one, (*path, key))

    def _one(self, name: str, member: str, each: Field, item: Any, path: Path) -> None:
        if each.kind == TEXT and isinstance(item, str):
            self._text(name, member, each, item, path)
        elif each.kind == FLAG and isinstance(item, bool):
            return
        elif each.kind not in {TEXT, FLAG} and isinstance(item, dict):
            if each.kind != FREE:
                self.object_of(each.kind, item, path)
        else:
            self._wrong(name, member, each, item, path)

    def _wrong(self, name: str, member: str, each: Field, item: Any, path: Path) -> None:
        self._error(path, "type", f"is {kind_of(item)}; give {advice(name, member, each)}")

    def _text(self, name: str, member: str, each: Field, item: str, path: Path) -> None:
        if len(item) > bounds.MAX_TEXT_LENGTH:
            most = bounds.MAX_TEXT_LENGTH
            self._error(path, "size", f"has {len(item)} characters; at most {most} are read")
        elif not item.strip() and each.required:
            what = "blank" if item else "empty"
            self._error(path, "required", f"is {what}; give {advice(name, member, each)}")


def objects(value: Any, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The objects of a list, with their paths; of anything else, none."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            if isinstance(item, dict):
                yield (*path, place), item
