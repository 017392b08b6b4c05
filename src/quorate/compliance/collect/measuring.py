"""Articles 9(8) and 15(1): results against thresholds that were sealed before them.

A threshold counts by being there, so that none is left out for a laxer one: each that was
sealed for this version has a result, and every result of a metric keeps all that were sealed
for it before. It was not fixed before results if some on the same data were known by then, of
whatever system and version and however the metric is spelled; unless it is the very one, the
strictest, that stood before the first of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from unicodedata import normalize

from quorate.arbitration.forms import as_number
from quorate.compliance.collect.reading import Passed, Record
from quorate.compliance.collect.registry import Found, Lack, collector
from quorate.compliance.committing import AT_LEAST, Measurement, Threshold
from quorate.compliance.metrics import BY_HAND, LEDGER_ACCURACY, plainly
from quorate.core.exact import as_text
from quorate.core.text import counted
from quorate.hub.oversight.rules import Reference
from quorate.ledger.receipts import timestamp

_Fixed = tuple[Passed, Threshold]
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
    judged = _judged(record, rows, list(_of(record)))
    if judged is not None:
        return judged
    data = {"tool": "quorate", "tests": [_trial(*row) for row in rows]}
    return Found(data, _entries(rows), moment=_moment(rows))


@collector("art_15.par_1", title="Accuracy over the life of the system, against its thresholds")
def accuracy_series(record: Record) -> Found | Lack:
    """What was measured, and what the record itself shows where outcomes are known."""
    measured = list(_rows(record))
    rows = [row for row in measured if row[3].of_accuracy]
    judged = _judged(record, rows, [one for one in _of(record) if one[1].of_accuracy])
    if judged is not None:
        return judged
    series: dict[tuple[int, str], dict[str, Any]] = {}
    for at, made, fixed_at, fixed in rows:
        one = series.setdefault((fixed_at.seq, made.metric), _series(fixed))
        one["points"].append(_point(record, at.time, made.value, made.samples))
    entries, moments = list(_entries(rows)), [_moment(rows)] if rows else []
    for at, fixed in _of(record, LEDGER_ACCURACY):
        came = _counted(record, at, fixed)
        if isinstance(came, Lack) or came.failed is not None:
            return came
        series[at.seq, LEDGER_ACCURACY] = dict(came.data)
        entries += came.entries
        moments.append(came.moment or record.now)
    if not series:
        if measured:
            named = ", ".join(sorted({made.metric for _, made, _, _ in measured}))
            return Lack(
                f"what was measured ({named}) is not known as accuracy; seal a threshold of a "
                "metric that is, such as recall, or with --accuracy: quorate comply threshold"
            )
        known = sum(one.known is not None for one in record.verdicts)
        return Lack(
            f"no measurement is in the ledger, and no threshold for {LEDGER_ACCURACY}; of "
            f"{counted(len(record.verdicts), 'verdict')} {known} have a known outcome "
            "('quorate outcome' seals them)"
        )
    return Found({"series": list(series.values())}, _once(entries), moment=min(moments))


def _judged(record: Record, rows: list[_Row], own: list[_Fixed]) -> Found | Lack | None:
    """What is wrong with the results, or which threshold has none; ``None`` if all is well."""
    for row in rows:
        wrong = _wrong(record, row, own)
        if wrong is not None:
            told, more = wrong
            entries = _once([*_entries(rows), *(at.reference for at in more)])
            return Found({"seq": row[0].seq}, entries, failed=told)
    named = {fixed_at.seq for _, _, fixed_at, _ in rows}
    for at, fixed in own:
        if at.seq not in named and fixed.metric not in BY_HAND:
            return Lack(
                f"the threshold of entry {at.seq} ({fixed.describe()}) has no result yet; seal "
                f"one: quorate comply measure {at.seq} VALUE"
            )
    return None


def _wrong(record: Record, row: _Row, own: list[_Fixed]) -> tuple[str, list[Passed]] | None:
    """What is wrong with one result, and the entries that show it besides."""
    at, made, fixed_at, fixed = row
    value = f"entry {at.seq} measured {made.metric} as {plainly(made.value)}"
    if not made.met:
        return f"{value}, and the threshold of entry {fixed_at.seq} is {fixed.describe()}", []
    known = _known_before(record, made, fixed_at, fixed)
    if known is not None:
        told = (
            f"the threshold of entry {fixed_at.seq} was sealed after results on the same data "
            f"(entry {known.seq}): it was not fixed before them"
        )
        return told, [known]
    for other_at, other in own:
        same = _alike(other) == _alike(fixed) and other_at.seq < at.seq
        if same and not other.met_by(made.value):
            told = f"{value}, against a laxer threshold than that of entry {other_at.seq}, "
            return told + other.describe(), [other_at]
    return None


def _counted(record: Record, at: Passed, fixed: Threshold) -> Found | Lack:
    """What the decisions since a threshold come to: an outcome that nobody knows is a wrong one.

    Decisions whose outcome was known before it was sealed count as well: it could be fitted to
    them.
    """
    name = f"the threshold of entry {at.seq} for {LEDGER_ACCURACY}"
    if fixed.comparison != AT_LEAST or fixed.value <= 0:
        return Lack(f"{name} is {fixed.describe()}, which the worst keep; give at least a share")
    counting = [
        one
        for one in record.verdicts
        if one.committed
        and (one.entry.seq > at.seq or (one.known is not None and one.known < at.seq))
    ]
    known = [one for one in counting if one.known is not None]
    if not known:
        return Lack(
            f"{name} has no result yet: of {counted(len(counting), 'answer')} committed since none "
            "has a known outcome ('quorate outcome' seals them)"
        )
    right = sum(one.right is True for one in known)
    entries = _once([at.reference, counting[0].entry.reference, counting[-1].entry.reference])
    if not fixed.met_by(Fraction(right, len(known))):
        told = (
            f"of {counted(len(known), 'answer')} committed since entry {at.seq} or known by then "
            f"whose right one is known, {as_text(Fraction(right, len(known)))} were right, and "
            f"the threshold is {fixed.describe()}"
        )
        return Found({"seq": at.seq}, entries, failed=told)
    least = Fraction(right, len(counting))
    if not fixed.met_by(least):
        return Lack(
            f"{name}: the right answer is known of {len(known)} of {len(counting)} committed, too "
            f"few; were the others wrong, {as_text(least)} would be right ('quorate outcome' "
            "seals what is known)"
        )
    last = counting[-1].entry
    point = _point(record, last.time, least, len(counting))
    return Found({**_series(fixed), "points": [point]}, entries, moment=last.time)


def _of(record: Record, metric: str | None = None) -> Iterator[tuple[Passed, Threshold]]:
    """Thresholds of this very system and version."""
    for at, fixed in record.thresholds:
        if record.is_of(fixed.scope) and metric in (None, fixed.metric):
            yield at, fixed


def _alike(fixed: Threshold | Measurement) -> tuple[Any, ...]:
    """What two of one metric have in common, however that is spelled."""
    name = " ".join(normalize("NFKC", fixed.metric).casefold().split())
    return name, getattr(fixed, "comparison", None), fixed.confidence


def _moment(rows: list[_Row]) -> int:
    """When that metric was last measured which was last measured longest ago."""
    newest: dict[tuple[Any, ...], int] = {}
    for at, made, _, _ in rows:
        newest[_alike(made)] = at.time
    return min(newest.values())


def _rows(record: Record) -> Iterator[_Row]:
    """Measurements of this very system and version, each with its threshold."""
    fixed = {at.seq: (at, threshold) for at, threshold in record.thresholds}
    for at, made in record.measurements:
        if record.is_of(made.scope):
            # Replay has held each to the threshold that it names.
            yield (at, made, *fixed[made.threshold.seq])


def _known_before(
    record: Record, made: Measurement, fixed_at: Passed, fixed: Threshold
) -> Passed | None:
    """A result of that metric on the same data that was sealed before the threshold was."""
    name = _alike(made)[0]
    known = [
        at
        for at, other in record.measurements
        if _alike(other)[0] == name and other.dataset == made.dataset and at.seq < fixed_at.seq
    ]
    if not known:
        return None
    stood = [
        one
        for at, one in record.thresholds
        if at.seq < known[0].seq and _alike(one) == _alike(fixed)
    ]
    strictest = max if fixed.comparison == AT_LEAST else min
    if stood and fixed.value == strictest(one.value for one in stood):
        return None
    return known[0]


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
