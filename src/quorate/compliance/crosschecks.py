"""What items say of each other: numbers declared twice are equal, every risk has a measure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from quorate.compliance.evidence import Evidence
from quorate.compliance.schema_documents import Hazards, Instructions, Measures
from quorate.compliance.schema_tests import MetricSeries
from quorate.compliance.schema_types import Data
from quorate.core.exact import exact

ANSWERS: Final = ("riskMitigationMeasures", "art_9.par_2.d")
"""Fields whose measures have to answer every risk that is shown."""


COMPARED: Final = frozenset({Hazards.NAME, Instructions.NAME})
"""Schemas of the items that others are held against."""


class Read(NamedTuple):
    """An item that is sealed, of this system and not stale, and its data as read."""

    item: Evidence
    data: Data


def depends(item: Evidence, data: Data) -> bool:
    """Whether ``item`` is held against others at all."""
    if isinstance(data, Measures):
        return item.field in ANSWERS
    return isinstance(data, MetricSeries)


def disagreement(data: Data, others: Iterable[Read]) -> str | None:
    """Why the data of an item that depends on others do not agree with them, or ``None``.

    Levels declared beside measurements are those of the instructions, where these are shown,
    named by their digest; and measures leave no identified risk without one in place. The item
    that depends on the other is the one to blame.
    """
    if isinstance(data, MetricSeries):
        return _declared_otherwise(data, others)
    if isinstance(data, Measures):
        return _left_open(data, others)
    return None


def _declared_otherwise(series: MetricSeries, others: Iterable[Read]) -> str | None:
    shown = [other for other in others if isinstance(other.data, Instructions)]
    if not shown or not (series.declared or series.instructions):
        return None
    named = [other for other in shown if other.item.digest == series.instructions]
    if not named:
        return (
            f"levels are declared, but the instructions named are "
            f"{series.instructions or 'none'}, not those that were shown"
        )
    for other in named:
        assert isinstance(other.data, Instructions)  # noqa: S101 - chosen so
        for name, value in series.declared.items():
            told = other.data.metrics.get(name)
            if told is None:
                return f"{name} is declared, but the instructions for use do not tell it"
            if exact(told) != exact(value):
                return f"{name} is declared as {value}, in the instructions for use as {told}"
    return None


def _left_open(measures: Measures, others: Iterable[Read]) -> str | None:
    answered = {
        hazard for each in measures.measures if each.status == "in_place" for hazard in each.hazards
    }
    known = {
        hazard.id
        for other in others
        if isinstance(other.data, Hazards)
        for hazard in other.data.hazards
    }
    if open_ := sorted(known - answered):
        return f"no measure is in place against {', '.join(open_)}, which the risks name"
    return None
