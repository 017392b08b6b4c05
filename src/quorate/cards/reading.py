"""Reading a card: which version of A2A it is of, and all that is wrong with it at once."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NoReturn

from quorate.cards import bounds
from quorate.cards.beside import check_beside
from quorate.cards.form import BOTH, V0_3, V1_0, check_form
from quorate.cards.lint import lint
from quorate.cards.locating import Located, deeper, locate
from quorate.cards.problems import ERROR, WARNING, Path, Problem, error
from quorate.cards.shapes import BESIDE_1_0
from quorate.core.canonical import CanonicalError, canonical, digest, parse
from quorate.core.errors import UsageTypeError

_OLD_MEMBERS: Final = sorted(BESIDE_1_0["AgentCard"])
_STEP: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]")
MAX_PATH_LENGTH: Final = 1000


@dataclass(frozen=True)
class Card:
    """An agent card as it was read.

    Attributes:
        content: the card itself, a JSON object; ``None`` where it could not be read so far.
        version: the version of A2A whose form it has: ``"1.0"``, ``"0.3"``, or ``"1.0+0.3"``
            where the members of 0.3 stand beside those of 1.0; ``None`` where it is unknown.
        because: what the version was told by.
        problems: errors and warnings, in the order of the card.
        left_out: how many more there are.
        located: where its values stand in the text it was read from, if it was one.
    """

    content: dict[str, Any] | None
    version: str | None
    because: str
    problems: tuple[Problem, ...]
    left_out: int = 0
    located: Located | None = None

    @property
    def valid(self) -> bool:
        """Whether nothing is wrong with it; doubts (warnings) are allowed."""
        return not self.errors and not self.left_out

    @property
    def errors(self) -> tuple[Problem, ...]:
        """Problems for which it is not valid."""
        return tuple(problem for problem in self.problems if problem.level == ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Problems that leave it valid."""
        return tuple(problem for problem in self.problems if problem.level == WARNING)

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of its canonical bytes, 64 hex digits; ``None`` where it has none."""
        return None if self.content is None else digest(self.content)


def read_card(given: str | bytes | Mapping[str, Any]) -> Card:
    """Read an agent card, as text of JSON or as an object that was read already.

    Whatever the text holds, this raises nothing: what is wrong stands in ``problems``.

    Raises:
        UsageTypeError: ``given`` is neither text nor an object.
    """
    if isinstance(given, str | bytes):
        return _read_text(given)
    if not isinstance(given, Mapping):
        raise UsageTypeError(
            f"the card is of type {type(given).__name__}; give its JSON text, or the object"
        )
    try:
        text = canonical(dict(given))
    except CanonicalError as unfit:
        return _unread(_unfit(unfit))
    if len(text) > bounds.MAX_CARD_BYTES:
        return _unread(_too_large())
    return _read_value(parse(text), None)


class _UnreadError(Exception):
    """The text cannot be read as far as a card; holds why."""

    def __init__(self, *problems: Problem, located: Located | None = None) -> None:
        super().__init__(*problems)
        self.problems = problems
        self.located = located


def _read_text(given: str | bytes) -> Card:
    try:
        value, located = _parsed(_decoded(given))
    except _UnreadError as unread:
        return _unread(*unread.problems, located=unread.located)
    return _read_value(value, located)


def _decoded(given: str | bytes) -> str:
    try:
        data = given.encode() if isinstance(given, str) else given
    except UnicodeEncodeError as unfit:
        told = f"holds a lone surrogate at character {unfit.start}"
        raise _UnreadError(error((), "json", told)) from unfit
    if len(data) > bounds.MAX_CARD_BYTES:
        raise _UnreadError(_too_large())
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as unfit:
        told = f"is no UTF-8 text at byte {unfit.start}"
        raise _UnreadError(error((), "json", told)) from unfit


def _parsed(text: str) -> tuple[Any, Located]:
    # Before anything is made of it: where each value stands takes memory by its depth.
    if deeper(text, bounds.MAX_CARD_DEPTH):
        raise _UnreadError(_too_deep())
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as unfit:
        place = f"line {unfit.lineno}, column {unfit.colno}"
        told = f"is not JSON: {unfit.msg} at {place}"
        raise _UnreadError(error((), "json", told)) from unfit
    except ValueError as unfit:
        # Such as NaN, or a number of thousands of digits.
        told = f"is not JSON that can be read: {unfit}"
        raise _UnreadError(error((), "json", told)) from unfit
    located = locate(text)
    if located.twice:
        told = "stands twice in its object; readers differ in which they take, give it once"
        twice = dict.fromkeys(located.twice)
        problems = [error(path, "duplicate-key", told) for path in twice]
        raise _UnreadError(*problems, located=located)
    try:
        # Through its canonical form: whole numbers become such, however they were written.
        return parse(canonical(value)), located
    except CanonicalError as unfit:
        raise _UnreadError(_unfit(unfit), located=located) from unfit


def _unfit(unfit: CanonicalError) -> Problem:
    message = str(unfit).removeprefix(f"{unfit.path}: ")
    return Problem(unfit.path[:MAX_PATH_LENGTH], "json", message)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _too_deep() -> Problem:
    most = bounds.MAX_CARD_DEPTH
    return error((), "size", f"is nested deeper than {most}, the most that is read")


def _too_large() -> Problem:
    most = bounds.MAX_CARD_BYTES
    return error((), "size", f"is larger than {most} bytes, the most that is read")


def _unread(*problems: Problem, located: Located | None = None) -> Card:
    kept = problems[: bounds.MAX_PROBLEMS]
    return Card(None, None, "it could not be read", kept, len(problems) - len(kept), located)


def _read_value(value: Any, located: Located | None) -> Card:
    if not isinstance(value, dict):
        what = "a list" if isinstance(value, list) else "no object"
        return _unread(
            error((), "type", f"is {what}; an agent card is a JSON object"), located=located
        )
    if _depth(value) > bounds.MAX_CARD_DEPTH:
        return _unread(_too_deep(), located=located)
    version, because, doubt = detect(value)
    formed = check_form(value, version)
    problems = [*doubt, *formed.problems]
    if version == BOTH:
        problems += check_beside(value, formed.beside)
    if not any(problem.rule == "size" for problem in formed.problems):
        problems += lint(value, version)
    kept = tuple(dict.fromkeys(problems))
    # Errors come first into what is told, should there be too many.
    if len(kept) > bounds.MAX_PROBLEMS:
        kept = tuple(sorted(kept, key=lambda problem: problem.level != ERROR))
    most = bounds.MAX_PROBLEMS
    shown = kept[:most]
    return Card(value, version, because, shown, len(kept) - len(shown), located)


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        inner = [item for item in level if isinstance(item, dict | list)]
        deepest += bool(inner)
        level = [
            below for item in inner for below in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest


def detect(card: Mapping[str, Any]) -> tuple[str, str, list[Problem]]:
    """Tell the version of A2A whose form a card has.

    Returns:
        The version, what it was told by, and what contradicts it.
    """
    stated = card.get("protocolVersion")
    old = [name for name in _OLD_MEMBERS if name in card]
    if "supportedInterfaces" in card:
        if not old:
            return V1_0, "it has supportedInterfaces", []
        return BOTH, f"it has supportedInterfaces, and {' and '.join(old)} of 0.3 beside", []
    if isinstance(stated, str) and not re.fullmatch(r"0\.3(\.\d{1,9})?", stated):
        told = (
            f"is {stated[:40]!r}; a card with a protocolVersion of its own is of 0.3, such as "
            '"0.3.0"; one of 1.0 gives it in supportedInterfaces[]'
        )
        problem = error(("protocolVersion",), "version", told)
        version = V1_0 if stated.startswith("1") else V0_3
        return version, f"it has protocolVersion {stated[:40]!r}", [problem]
    if stated is not None:
        return V0_3, f"its protocolVersion is {str(stated)[:40]!r}", []
    if old:
        return V0_3, f"it has {' and '.join(old)}, and no supportedInterfaces", []
    return V1_0, "it has neither supportedInterfaces nor url", []


def path_of(text: str) -> Path:
    """The path that :func:`~quorate.cards.problems.where` wrote, as far as it can be read."""
    steps: list[str | int] = []
    for match in _STEP.finditer(text):
        if match[2] is not None:
            steps.append(int(match[2]))
        else:
            steps.append(match[1] if match[1] is not None else match[3].replace("\\'", "'"))
    return tuple(steps)
