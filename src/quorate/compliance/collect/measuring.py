"""Articles 9(8) and 15(1): results against thresholds that were sealed before them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

from quorate.arbitration.forms import as_number
from quorate.compliance.collect.reading import Passed, Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.compliance.committing import Measurement, Threshold
from quorate.core.exact import as_text
from quorate.core.text import counted
from quorate.hub.oversight.rules import Reference
from quorate.ledger.receipts import timestamp

ACCURACY: Final = "ledger.accuracy"
"""Metric of a threshold that the record itself is held to: the share of the answers committed,
of those whose right answer is known, that are right."""

_Row = tuple[Passed, Measurement, Passed, Threshold]


@collector("art_9.par_8", title="Tests are run against thresholds that were sealed before")
def thresholds_before_results(record: Record) -> Found | Lack:
    """Every measurement of this version names an earlier threshold, and keeps it."""
    rows = list(_rows(record))
    if not rows:
        return Lack(
            f"no measurement of {record.scope.system} {record.scope.version} is in the ledger; "
            "seal thresholds with 'quorate comply threshold', and results after them with "
            "'quorate comply measure'"
        )
    data = {"tool": "quorate", "tests": [_trial(*row) for row in rows]}
    entries = _entries(rows)
    for at, made, fixed_at, _ in rows:
        known = _known_before(record, made, fixed_at)
        if known is not None:
            told = (
                f"the threshold of entry {fixed_at.seq} was sealed after results on the same data "
                f"(entry {known.seq}): it was not fixed before them"
            )
            return Found({"seq": at.seq}, (*entries, known.reference), failed=told)
    for at, made, fixed_at, fixed in rows:
        if not made.met:
            told = (
                f"entry {at.seq} measured {made.metric} as {as_text(made.value)}, and the "
                f"threshold of entry {fixed_at.seq} is {fixed.describe()}"
            )
            return Found({"seq": at.seq}, entries, failed=told)
    return Found(data, entries)


@collector("art_15.par_1", title="Accuracy over the life of the system, against its thresholds")
def accuracy_series(record: Record) -> Found | Lack:
    """What was measured, and what the record itself shows where outcomes are known."""
    series: dict[tuple[int, str], dict[str, Any]] = {}
    rows = list(_rows(record))
    entries = list(_entries(rows))
    for at, made, fixed_at, fixed in rows:
        one = series.setdefault((fixed_at.seq, made.metric), _series(fixed))
        one["points"].append(_point(record, at.time, made.value, made.samples))
        if not made.met:
            told = f"entry {at.seq}: {made.metric} is {as_text(made.value)}, not {fixed.describe()}"
            return Found({"seq": at.seq}, entries, failed=told)
    own = [
        (at, fixed)
        for at, fixed in record.thresholds
        if fixed.metric == ACCURACY and record.is_of(fixed.scope)
    ]
    known = [one for one in record.verdicts if one.right is not None]
    for at, fixed in own:
        later = [one for one in known if one.entry.seq > at.seq]
        if not later:
            continue
        right = Fraction(sum(one.right is True for one in later), len(later))
        entries += [at.reference, later[0].entry.reference, later[-1].entry.reference]
        if not fixed.met_by(right):
            told = (
                f"of {counted(len(later), 'answer')} committed since entry {at.seq} whose right "
                f"one is known, {as_text(right)} were right, and the threshold is "
                f"{fixed.describe()}"
            )
            return Found({"seq": at.seq}, _once(entries), failed=told)
        series[at.seq, ACCURACY] = _series(fixed)
        point = _point(record, later[-1].entry.time, right, len(later))
        series[at.seq, ACCURACY]["points"].append(point)
    if not series:
        return Lack(
            f"no measurement is in the ledger, and no threshold for {ACCURACY}; of "
            f"{counted(len(record.verdicts), 'verdict')} {len(known)} have a known outcome "
            "('quorate outcome' seals them)"
        )
    return Found({"series": list(series.values())}, _once(entries))


def _rows(record: Record) -> Iterator[_Row]:
    """Measurements of this very system and version, each with its threshold."""
    fixed = {at.seq: (at, threshold) for at, threshold in record.thresholds}
    for at, made in record.measurements:
        if record.is_of(made.scope):
            # Replay has held each to the threshold that it names.
            yield (at, made, *fixed[made.threshold.seq])


def _known_before(record: Record, made: Measurement, fixed_at: Passed) -> Passed | None:
    """A result of that metric on the same data that was sealed before the threshold was."""
    for at, other in record.measurements:
        same = (other.metric, other.dataset, other.scope) == (
            made.metric, made.dataset, made.scope,
        )  # fmt: skip
        if same and at.seq < fixed_at.seq:
            return at
    return None


def _trial(at: Passed, made: Measurement, fixed_at: Passed, fixed: Threshold) -> dict[str, Any]:
    # The log vouches for when a result was sealed, and for nothing earlier.
    sealed = timestamp(at.time)
    return {
        "id": f"entry {at.seq}",
        "started": sealed,
        "finished": sealed,
        "metrics": [
            {
                "name": made.metric,
                "value": as_number(made.value),
                "threshold": as_number(fixed.value),
                "direction": fixed.comparison,
                "samples": made.samples,
            }
        ],
        "thresholds": _committed(fixed_at),
        "results": _committed(at),
        "measures": [],
    }


def _committed(at: Passed) -> dict[str, Any]:
    return {"seq": at.seq, "hash": at.hash, "time": timestamp(at.time)}


def _series(fixed: Threshold) -> dict[str, Any]:
    return {
        "metric": fixed.metric,
        "threshold": as_number(fixed.value),
        "direction": fixed.comparison,
        "points": [],
    }


def _point(record: Record, moment: int, value: Fraction, samples: int) -> dict[str, Any]:
    return {
        "version": record.scope.version,
        "time": timestamp(moment),
        "value": as_number(value),
        "samples": samples,
    }


def _entries(rows: list[_Row]) -> tuple[Reference, ...]:
    return _once([one.reference for at, _, fixed_at, _ in rows for one in (fixed_at, at)])


def _once(entries: list[Reference]) -> tuple[Reference, ...]:
    return tuple(dict.fromkeys(sorted(entries, key=lambda one: one.seq)))
