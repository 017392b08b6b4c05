"""What the schemas of evidence are made of: the base, people, measured numbers."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, ClassVar, Literal, Self

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
from quorate.compliance.times import Day, Instant, microseconds
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.exact import exact, from_text

__all__ = [
    "Count", "Data", "Day", "Direction", "Hex64", "Id", "Instant", "Metric", "Number", "Part",
    "Person", "Rational", "Seq", "Sha256", "Share", "Text", "Texts", "distinct", "meets",
]  # fmt: skip

Id = Annotated[str, StringConstraints(min_length=1, max_length=limits.MAX_ID_LENGTH)]
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
    """

    NAME: ClassVar[str]
    DIGEST: ClassVar[bool] = False

    def good_until(self) -> int | None:
        """When, by its own words, a review falls due: microseconds since 1970, or ``None``."""
        return None


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
    samples: Count | None = None

    @model_validator(mode="after")
    def _met(self) -> Self:
        if not meets(self.value, self.threshold, self.direction):
            wanted = self.direction.replace("_", " ")
            raise ValueError(f"{self.name} is {self.value}, not {wanted} {self.threshold}")
        return self


def meets(value: float, threshold: float, direction: Direction) -> bool:
    """Whether a measured value keeps its bound, exactly as both are written."""
    found, bound = _exact(value), _exact(threshold)
    return found >= bound if direction == "at_least" else found <= bound


def _exact(value: float) -> Fraction:
    return exact(value)


def distinct(ids: list[str], what: str) -> None:
    """Refuse an id that stands twice.

    Raises:
        ValueError: naming the first that does.
    """
    seen: set[str] = set()
    for each in ids:
        if each in seen:
            raise ValueError(f"the {what} {each!r} stands twice")
        seen.add(each)


def ordered(moments: Mapping[str, str]) -> None:
    """Refuse moments that are not in the order in which they are named.

    Raises:
        ValueError: naming the pair.
    """
    before: tuple[str, str] | None = None
    for name, moment in moments.items():
        if before is not None and microseconds(moment) < microseconds(before[1]):
            raise ValueError(f"{name} {moment} is before {before[0]} {before[1]}")
        before = (name, moment)


MOST = bounds.MAX_LIST
