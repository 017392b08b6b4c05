"""What happened when, in one pass through the hub: spans, and the trace that holds them.

A trace is a record for people and dashboards. Nothing in it takes part in a verdict.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, Final, cast

from quorate.arbitration.forms import items, members, shown, text
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact, from_text
from quorate.core.text import shortened
from quorate.hub.waterfall import svg, waterfall

STATUSES: Final = (
    "answered",
    "crashed",
    "timeout",
    "void",
    "over_budget",
    "cancelled",
    "still_running",
    "done",
)
"""What became of a span; ``done``: a phase that ended well; ``still_running``: it was given
up, and could not be stopped."""

_KEYS: Final = ("name", "kind", "started", "ended", "status", "cost", "tokens", "detail")
_MICRO: Final = 6
_FREE: Final = Fraction(0)
_new: Final = object.__new__
_set: Final = object.__setattr__


@dataclass(frozen=True, slots=True)
class Span:
    """One thing that took time.

    Attributes:
        name: such as an expert's id, 1 to ``limits.MAX_ID_LENGTH`` characters.
        kind: ``"expert"``, ``"phase"``, or another short name.
        started, ended: seconds after the trace began, 0 to ``limits.MAX_TRACE_SECONDS``,
            kept to the microsecond.
        status: one of :data:`STATUSES`.
        cost: 0 to 2^53 - 1, exact, in the panel's own unit.
        tokens: 0 to 2^53 - 1.
        detail: for people, at most ``limits.MAX_DETAIL_LENGTH`` characters.
    """

    name: str
    kind: str
    started: float
    ended: float
    status: str
    cost: Number = 0
    tokens: int = 0
    detail: str = ""

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        name = text(self.name, "the name of a span")
        kind = text(self.kind, "the kind of a span")
        detail = text(self.detail, "the detail of a span", limits.MAX_DETAIL_LENGTH, least=0)
        if self.status not in STATUSES:
            raise UsageError(
                f"the status of {self.name!r} is {shown(self.status)}; "
                f"it should be one of {', '.join(STATUSES)}"
            )
        started = _seconds(self.started, f"the start of {self.name!r}")
        ended = _seconds(self.ended, f"the end of {self.name!r}")
        if ended < started:
            raise UsageError(f"{self.name!r} ends at {ended} s, before its start at {started} s")
        cost = exact(self.cost, f"the cost of {self.name!r}")
        for what, number in (("cost", cost), ("tokens", _count(self.tokens))):
            if not 0 <= number <= limits.MAX_SAFE_INTEGER:
                raise UsageError(
                    f"{what} of {self.name!r}: {number}; 0 to {limits.MAX_SAFE_INTEGER} are allowed"
                )
        kept = {"name": name, "kind": kind, "detail": detail, "started": started, "ended": ended}
        for attribute, value in {**kept, "cost": cost}.items():
            object.__setattr__(self, attribute, value)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.started

    def to_dict(self) -> dict[str, Any]:
        """As JSON; the cost exact as ``"p/q"``."""
        return {
            "name": self.name,
            "kind": self.kind,
            "started": self.started,
            "ended": self.ended,
            "status": self.status,
            "cost": as_text(Fraction(self.cost)),
            "tokens": self.tokens,
            "detail": self.detail,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Span:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: keys or values are not as :meth:`to_dict` writes them.
        """
        form = dict(members(data, "the span", _KEYS))
        form["cost"] = from_text(form["cost"], "the cost of a span")
        return cls(**form)


def checked_span(
    name: str,
    kind: str,
    started: float,
    ended: float,
    status: str,
    cost: Fraction,
    tokens: int,
    detail: str,
) -> Span:
    """A span of values that were each checked where they come from, its times excepted.

    Raises:
        UsageError: a time is out of its range.
    """
    if not 0.0 <= started <= ended <= limits.MAX_TRACE_SECONDS:
        return Span(name, kind, started, ended, status, cost, tokens, detail)
    span = _new(Span)
    _set(span, "name", name)
    _set(span, "kind", kind)
    _set(span, "started", round(started, _MICRO))
    _set(span, "ended", round(ended, _MICRO))
    _set(span, "status", status)
    _set(span, "cost", cost)
    _set(span, "tokens", tokens)
    _set(span, "detail", detail)
    return span


def _later(span: Span, seconds: float) -> Span:
    return checked_span(
        span.name, span.kind, span.started + seconds, span.ended + seconds, span.status,
        cast("Fraction", span.cost), span.tokens, span.detail,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trace:
    """The spans of one pass.

    Attributes:
        id: 1 to ``limits.MAX_ID_LENGTH`` characters.
        started_at: when it began, as ISO 8601 text with an offset; ``None`` if not told.
        spans: at most ``limits.MAX_SPANS``, in the order in which they are to be shown.
    """

    id: str
    started_at: str | None
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        text(self.id, "the id of a trace")
        if self.started_at is not None:
            _check_moment(text(self.started_at, "the started_at of a trace"))
        spans = tuple(self.spans)
        if len(spans) > limits.MAX_SPANS:
            raise UsageError(f"{len(spans)} spans; at most {limits.MAX_SPANS} are allowed")
        for span in spans:
            if not isinstance(span, Span):
                raise UsageTypeError(f"a span is a {type(span).__name__}; give Span objects")
        object.__setattr__(self, "spans", spans)

    @property
    def seconds(self) -> float:
        """From the beginning to the end of the last span."""
        return max((span.ended for span in self.spans), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "started_at": self.started_at,
            "spans": [span.to_dict() for span in self.spans],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trace:
        """Read back what :meth:`to_dict` wrote.

        Raises:
            UsageError: keys or values are not as :meth:`to_dict` writes them.
        """
        form = members(data, "the trace", ("id", "started_at", "spans"))
        found = form["spans"]
        # Before they are read: what is refused should cost nothing.
        if isinstance(found, list) and len(found) > limits.MAX_SPANS:
            raise UsageError(f"{len(found)} spans; at most {limits.MAX_SPANS} are allowed")
        return cls(form["id"], form["started_at"], items(found, "the spans", Span.from_dict))

    def waterfall(self, width: int = 80) -> str:
        """Draw it for a terminal of ``width`` columns; see :func:`quorate.hub.waterfall.waterfall`.

        Raises:
            UsageError: too narrow, or too wide.
        """
        return waterfall(self, width)

    def svg(self) -> str:
        """Draw it as a static SVG picture; see :func:`quorate.hub.waterfall.svg`."""
        return svg(self)


class Recorder:
    """Gathers the spans of one pass while it goes on.

    Attributes:
        began: when (``time.monotonic`` unless told otherwise); what spans are counted from.
    """

    def __init__(
        self,
        id: str,  # noqa: A002 - as the trace has it
        started_at: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin now; ``clock`` gives seconds and never goes back."""
        self._trace = Trace(id, started_at, ())
        self._clock = clock
        self._spans: list[Span | None] = []
        self.began = clock()

    @contextmanager
    def phase(self, name: str, kind: str = "phase") -> Iterator[None]:
        """Record what happens within as a span that stands before the spans added meanwhile.

        Its status is ``done``; ``cancelled`` or ``crashed`` where that is how it ended.

        Raises:
            UsageError: there are ``limits.MAX_SPANS`` spans already.
        """
        place = len(self._spans)
        self._check_room(1)
        self._spans.append(None)
        started, status, detail = self._clock(), "done", ""
        try:
            yield
        except Exception as error:
            status, detail = "crashed", shortened(type(error).__name__)
            raise
        except BaseException:
            status = "cancelled"
            raise
        finally:
            self._spans[place] = self._span(name, kind, started, status, detail)

    def add(self, spans: Iterable[Span], began: float) -> None:
        """Add spans counted from ``began`` (by the same clock), such as a session's.

        Raises:
            UsageError: they would be more than ``limits.MAX_SPANS``.
        """
        offset = max(0.0, began - self.began)
        given = list(spans)
        self._check_room(len(given))
        self._spans += [_later(span, offset) for span in given]

    def trace(self) -> Trace:
        """What has ended so far."""
        # Its id and its beginning were checked when it was begun, and each span when it came.
        trace = _new(Trace)
        _set(trace, "id", self._trace.id)
        _set(trace, "started_at", self._trace.started_at)
        _set(trace, "spans", tuple([s for s in self._spans if s is not None]))
        return trace

    def _check_room(self, more: int) -> None:
        number = len(self._spans) + more
        if number > limits.MAX_SPANS:
            raise UsageError(f"{number} spans; at most {limits.MAX_SPANS} are allowed")

    def _span(self, name: str, kind: str, started: float, status: str, detail: str) -> Span:
        ended = self._clock() - self.began
        return Span(name, kind, started - self.began, ended, status, _FREE, detail=detail)


def _seconds(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageTypeError(f"{name} is {shown(value)}; give seconds")
    if not (math.isfinite(value) and 0 <= value <= limits.MAX_TRACE_SECONDS):
        raise UsageError(
            f"{name} is {shown(value)}; it is from 0 to {limits.MAX_TRACE_SECONDS} seconds"
        )
    return round(float(value), _MICRO)


def _count(value: object) -> int:
    if type(value) is not int:
        raise UsageTypeError(f"the tokens of a span are {shown(value)}; give a whole number")
    return value


def _check_moment(value: str) -> None:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        raise UsageError(
            f"the started_at of a trace is {shown(value)}; write it as 2026-01-31T12:00:00Z"
        ) from error
    if moment.tzinfo is None:
        raise UsageError(
            f"the started_at of a trace is {shown(value)}; an offset or Z must be there"
        )
