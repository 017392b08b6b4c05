"""Collectors: functions that look at a verified record and say what it shows.

A collector is registered under the fields it makes evidence for: obligations, and fields of
profiles. It is given a :class:`~.reading.Record`, and returns :class:`Found`, or :class:`Lack`
where there is nothing to show; it believes nothing that the record did not compute::

    @collector("art_73.par_2", title="Serious incidents are reported in time")
    def incidents(record: Record) -> Found | Lack:
        ...
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from quorate.arbitration.forms import text
from quorate.core.errors import UsageError
from quorate.hub.oversight.rules import Reference

if TYPE_CHECKING:
    from quorate.compliance.collect.reading import Record


MOST_DAYS: Final = 365
"""For so long what a ledger shows counts, unless its collector says otherwise."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a collector found.

    Attributes:
        data: as the schemas of its fields want it; of a failure, besides a ``reason``.
        entries: that it was made from; the evidence is dated as the newest of them is.
        failed: why it is not as it should be; ``None`` where it is.
        expires: RFC 3339; from then on it is stale. ``None``: ``MOST_DAYS`` after ``moment``.
        moment: microseconds since 1970, when what it shows happened, so that what is added to
            the log does not make it younger; ``None`` for that of the newest of ``entries``.
    """

    data: Mapping[str, Any]
    entries: Sequence[Reference] = ()
    failed: str | None = None
    expires: str | None = None
    moment: int | None = None


@dataclass(frozen=True, slots=True)
class Lack:
    """There is nothing to show: why, and what would show it.

    Attributes:
        reason: in words.
        untold: that the caller could have told what is lacking, so that it denies nothing that
            was found with it.
    """

    reason: str
    untold: bool = False


Look = Callable[["Record"], Found | Lack]


@dataclass(frozen=True, slots=True)
class Collector:
    """One collector.

    Attributes:
        name: of the function; the source of its evidence is ``quorate.collect.NAME``.
        fields: that it makes evidence for.
        title: what it looks for.
        look: the function.
        helps: whether it only says what is in the ledger for the evidence that people bring.
    """

    name: str
    fields: tuple[str, ...]
    title: str
    look: Look = field(repr=False)
    helps: bool = False


_LOCK: Final = threading.Lock()
_KNOWN: Final[dict[str, Collector]] = {}


def collector(*fields: str, title: str, helps: bool = False) -> Callable[[Look], Look]:
    """Register a function as the collector of those fields.

    Args:
        fields: one or more; several collectors may make evidence for one field.
        title: what it looks for, in a few words.
        helps: that the ledger alone never shows it; people bring the evidence.

    Raises:
        UsageError: no field, or another collector has the function's name.
    """
    names = tuple(text(name, "a field") for name in fields)
    if not names:
        raise UsageError("a collector is registered under one field or more")

    def register(look: Look) -> Look:
        name = look.__name__
        with _LOCK:
            known = _KNOWN.get(name)
            if known is not None and known.look.__module__ != look.__module__:
                raise UsageError(
                    f"a collector {name!r} is registered already, by {known.look.__module__}; "
                    "name the function otherwise"
                )
            _KNOWN[name] = Collector(name, names, text(title, "title"), look, helps)
        return look

    return register


def collectors(names: Iterable[str] | None = None) -> tuple[Collector, ...]:
    """The registered collectors, in the order of their names; those named, if any are.

    Raises:
        UsageError: there is none of that name.
    """
    # Registered as they are imported.
    from quorate.compliance.collect import (  # noqa: F401, PLC0415 - for what importing does
        attacks,
        deciding,
        events,
        measuring,
        oversight,
        redundancy,
    )

    with _LOCK:
        known = dict(sorted(_KNOWN.items()))
    if names is None:
        return tuple(known.values())
    wanted = list(names)
    for name in wanted:
        if name not in known:
            raise UsageError(f"there is no collector {name!r}; there are {', '.join(known)}")
    return tuple(known[name] for name in sorted(set(wanted)))
