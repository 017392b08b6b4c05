"""What the schemas of evidence are made of: the base, people, measured numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from quorate.compliance import bounds
from quorate.compliance.evidence import Hex64, Seq, Sha256, Text
from quorate.compliance.times import Day, Instant, Moment, microseconds, moment
from quorate.compliance.wording import folded, names_something, place
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.exact import exact, from_text

__all__ = [
    "Count", "Data", "Day", "Direction", "Hex64", "Id", "Instant", "Metric", "Number", "Part",
    "Person", "Rational", "Seq", "Sha256", "Share", "Text", "Texts", "distinct", "meets",
]  # fmt: skip

Id = Annotated[
    str,
    StringConstraints(min_length=1, max_length=limits.MAX_ID_LENGTH, pattern=r"[^\s]"),
    AfterValidator(names_something),
]
Count = Annotated[int, Field(ge=0, le=limits.MAX_SAFE_INTEGER)]
Texts = dict[Id, Text]
Direction = Literal["at_least", "at_most"]


def _finite(value: float) -> float:
    try:
        exact(value, "it")
    except UsageError as error:
        raise ValueError(str(error)) from error
    return value


def _rational(text: str) -> str:
    try:
        from_text(text, "it")
    except UsageError as error:
        raise ValueError(str(error)) from error
    return text


Number = Annotated[int | float, AfterValidator(_finite)]
Share = Annotated[int | float, Field(ge=0, le=1)]
Rational = Annotated[str, AfterValidator(_rational)]
"""An exact number as text, ``"p/q"`` in lowest terms."""


class Part(BaseModel):
    """A table within the data of an item."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Data(Part):
    """The data of one item of evidence.

    Attributes:
        NAME: of the schema.
        DIGEST: whether the item has to name the digest of a document.
        WRITTEN: whether it rests on what people wrote, whoever collected it: a machine checks
            that it is there, in form and in time, and a person has to judge whether it is so.
    """

    NAME: ClassVar[str]
    DIGEST: ClassVar[bool] = False
    WRITTEN: ClassVar[bool] = False

    def moments(self) -> Iterator[tuple[str, str]]:
        """Each moment and day at which something was, and its place: none may be to come."""
        for loc, text in _moments(self):
            yield place(loc), text

    def seen_at(self) -> int | None:
        """When what it tells of was last seen, in microseconds since 1970; ``None`` if untold.

        Evidence ages from then on: to write of an old drill today makes it no new one.
        """
        return None

    def kept(self, time: int) -> str | None:
        """Why it does not hold for an item of that moment; ``None`` where it does.

        Args:
            time: of the item, in microseconds since 1970.
        """
        late = ((where, text) for where, text in self.moments() if moment(text) > time)
        found = next(late, None)
        return None if found is None else f"{found[0]} is {found[1]}, later than the item's time"

    def of_other(self, system: str, version: str) -> str | None:  # noqa: ARG002 - for others
        """Why it speaks of another system or version than its item; ``None`` where it does not.

        Args:
            system: of the item's scope.
            version: likewise.
        """
        return None

    def good_until(self) -> int | None:
        """When, by its own words, a review falls due: microseconds since 1970, or ``None``."""
        return None


_Loc = tuple[str | int, ...]

TO_COME: Final = frozenset({"released"})
"""Members whose day may lie ahead: when something is to be placed on the market."""


def _moments(value: Any, loc: _Loc = ()) -> Iterator[tuple[_Loc, str]]:
    if isinstance(value, Part):
        dated = _dated(type(value))
        for name in type(value).model_fields:
            each = getattr(value, name)
            if name in dated and isinstance(each, str):
                yield (*loc, name), each
            else:
                yield from _moments(each, (*loc, name))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _moments(each, (*loc, number))
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _moments(each, (*loc, key))


@cache
def _dated(kind: type[Part]) -> frozenset[str]:
    """Members that say when something was."""
    return frozenset(
        name
        for name, info in kind.model_fields.items()
        if name not in TO_COME
        and (
            Moment in info.metadata or any(Moment in get_args(e) for e in get_args(info.annotation))
        )
    )


class Person(Part):
    """A named person with a role; ``contact`` says how to reach them."""

    name: Text
    role: Text
    contact: Text | None = None


class Metric(Part):
    """One measured number against the bound that was set for it.

    Attributes:
        name: of the metric.
        value: measured.
        threshold: the bound.
        direction: whether the value has to be at least or at most that.
        group: of persons or inputs that it was measured on; ``None`` for all.
        samples: number of cases behind it.
    """

    name: Text
    value: Number
    threshold: Number
    direction: Direction
    group: Text | None = None
    samples: Annotated[int, Field(ge=1, le=limits.MAX_SAFE_INTEGER)] | None = None

    @model_validator(mode="after")
    def _met(self) -> Self:
        bounding(self.name, self.threshold, self.direction)
        if not meets(self.value, self.threshold, self.direction):
            wanted = self.direction.replace("_", " ")
            raise ValueError(f"{self.name} is {self.value}, not {wanted} {self.threshold}")
        return self


def meets(value: float, threshold: float, direction: Direction) -> bool:
    """Whether a measured value keeps its bound, exactly as both are written."""
    found, bound = _exact(value), _exact(threshold)
    return found >= bound if direction == "at_least" else found <= bound


def bounding(name: str, threshold: float, direction: Direction) -> None:
    """Refuse a bound that nothing can miss: whatever is counted or a share is 0 or more.

    Raises:
        ValueError: naming the metric.
    """
    if direction == "at_least" and _exact(threshold) <= 0:
        raise ValueError(f"{name} has to be at least {threshold}, which whatever is counted is")


def _exact(value: float) -> Fraction:
    return exact(value)


def distinct(ids: list[str], what: str) -> None:
    """Refuse an id that stands twice, as people read it.

    Raises:
        ValueError: naming the first that does.
    """
    seen: set[str] = set()
    for each in ids:
        if folded(each) in seen:
            raise ValueError(f"the {what} {each!r} stands twice")
        seen.add(folded(each))


def ordered(moments: Mapping[str, str]) -> None:
    """Refuse moments that are not in the order in which they are named.

    Raises:
        ValueError: naming the pair.
    """
    before: tuple[str, str] | None = None
    for name, text in moments.items():
        if before is not None and microseconds(text) < microseconds(before[1]):
            raise ValueError(f"{name} {text} is before {before[0]} {before[1]}")
        before = (name, text)


MOST = bounds.MAX_LIST
