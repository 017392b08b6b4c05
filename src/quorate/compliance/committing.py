"""Thresholds sealed before results, and results sealed after them: Article 9(8).

Testing is to be done "against prior defined metrics and probabilistic thresholds". An entry
of the kind ``threshold`` fixes one, and an entry of the kind ``measurement`` names it by its
number and hash: what has a hash stood in the log before. Bodies::

    {"rule": "threshold/1", "metric": "recall", "comparison": "at_least", "value": "19/20",
     "confidence": "19/20", "scope": {"system": "triage", "version": "2.1.0"}, "by": "risk team",
     "accuracy": true}

    {"rule": "measurement/1", "metric": "recall", "value": "97/100", "confidence": "19/20",
     "samples": 4000, "dataset": "sha256:…", "threshold": {"seq": 7, "hash": "…"},
     "scope": {"system": "triage", "version": "2.1.0"}, "met": true}

Numbers are exact, ``"p/q"`` in lowest terms. ``confidence`` stands where the threshold is to
hold with that probability; the measured value is then the bound at that confidence, on the
side that is worse, and a measurement at another confidence is refused. ``met`` follows from
the rest, and is computed again by replay. ``accuracy`` stands where a metric whose name is
none of those known (:mod:`~quorate.compliance.metrics`) is declared as one of accuracy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from pydantic import ValidationError

from quorate.arbitration.forms import members, shown, text
from quorate.compliance.evidence import Scope
from quorate.compliance.metrics import of_accuracy, plainly
from quorate.compliance.wording import told
from quorate.core import limits
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.exact import Number, as_text, exact, from_text
from quorate.core.text import counted
from quorate.hub.oversight.rules import Reference, who
from quorate.ledger import Ledger, Receipt

THRESHOLD: Final = "threshold"
MEASUREMENT: Final = "measurement"
THRESHOLD_RULE: Final = "threshold/1"
MEASUREMENT_RULE: Final = "measurement/1"

AT_LEAST: Final = "at_least"
AT_MOST: Final = "at_most"

_SHA256: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Threshold:
    """What a metric has to reach, fixed before it is measured.

    Attributes:
        metric: its name.
        comparison: ``"at_least"`` or ``"at_most"``.
        value: exact.
        scope: the system and version it is for.
        by: who fixed it.
        confidence: with which it is to hold, above 0 and below 1; ``None`` for the plain value.
        accuracy: whether the metric is declared as one of accuracy, whatever its name.
    """

    metric: str
    comparison: str
    value: Fraction
    scope: Scope
    by: str
    confidence: Fraction | None = None
    accuracy: bool = False

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value cannot be used.
        """
        text(self.metric, "metric")
        if not isinstance(self.accuracy, bool):
            raise UsageTypeError(f"accuracy is {shown(self.accuracy)}; it is true or false")
        who(self.by)
        if self.comparison not in (AT_LEAST, AT_MOST):
            raise UsageError(
                f"comparison is {shown(self.comparison)}; give {AT_LEAST!r} or {AT_MOST!r}"
            )
        _check_confidence(self.confidence)

    @property
    def of_accuracy(self) -> bool:
        """Whether it counts for Article 15(1): it is declared so, or its metric is known."""
        return self.accuracy or of_accuracy(self.metric)

    def met_by(self, value: Fraction) -> bool:
        """Whether a measured value keeps it, exactly; equal does."""
        return value >= self.value if self.comparison == AT_LEAST else value <= self.value

    def describe(self) -> str:
        """In words, such as ``recall at least 19/20``."""
        at = "" if self.confidence is None else f", at confidence {plainly(self.confidence)}"
        return f"{self.metric} {self.comparison.replace('_', ' ')} {plainly(self.value)}{at}"

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        body = {
            "rule": THRESHOLD_RULE,
            "metric": self.metric,
            "comparison": self.comparison,
            "value": as_text(self.value),
            "scope": self.scope.model_dump(mode="json"),
            "by": self.by,
        }
        declared = {"accuracy": True} if self.accuracy else {}
        return body | _confidence(self.confidence) | declared

    @classmethod
    def from_dict(cls, body: object) -> Threshold:
        """Read the body of an entry.

        Raises:
            UsageError: another shape.
        """
        names = ("rule", "metric", "comparison", "value", "scope", "by")
        form = members(body, "the threshold", names, ("confidence", "accuracy"))
        if form.get("accuracy", True) is not True:
            raise UsageError(f"accuracy is {shown(form['accuracy'])}; it is true, or not there")
        if form["rule"] != THRESHOLD_RULE:
            raise UsageError(f"rule is {shown(form['rule'])}; this version reads {THRESHOLD_RULE}")
        return cls(
            text(form["metric"], "metric"),
            text(form["comparison"], "comparison"),
            from_text(form["value"], "value"),
            read_scope(form["scope"]),
            who(form["by"]),
            _read_confidence(form),
            "accuracy" in form,
        )


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a metric came to, on which data.

    Attributes:
        metric, scope, confidence: those of the threshold.
        value: exact.
        samples: cases behind it, 1 or more.
        dataset: digest of the data that it was measured on, ``sha256:…``.
        threshold: the entry of the threshold.
        met: whether it keeps it.
    """

    metric: str
    value: Fraction
    samples: int
    dataset: str
    threshold: Reference
    scope: Scope
    met: bool
    confidence: Fraction | None = None

    def __post_init__(self) -> None:
        """Check.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value cannot be used.
        """
        text(self.metric, "metric")
        if isinstance(self.samples, bool) or not isinstance(self.samples, int):
            raise UsageTypeError(f"samples is {shown(self.samples)}; give a whole number")
        if not 1 <= self.samples <= limits.MAX_SAFE_INTEGER:
            raise UsageError(f"samples is {self.samples}; a measurement has 1 or more")
        if not isinstance(self.dataset, str) or not _SHA256.fullmatch(self.dataset):
            raise UsageError(
                f"dataset is {shown(self.dataset)}; give the digest of the data measured on, "
                "sha256: and 64 lower-case hex digits"
            )
        if not isinstance(self.met, bool):
            raise UsageTypeError(f"met is {shown(self.met)}; it is true or false")
        _check_confidence(self.confidence)

    def check(self, threshold: Threshold) -> None:
        """Hold it to its threshold.

        Raises:
            UsageError: it is of another metric, system, version or confidence, or ``met`` does
                not follow.
        """
        for name in ("metric", "scope", "confidence"):
            own, its = getattr(self, name), getattr(threshold, name)
            if own != its:
                raise UsageError(
                    f"{name} is {_told(own)}, and that of the threshold in entry "
                    f"{self.threshold.seq} is {_told(its)}; measure against a threshold of its own"
                )
        if self.met is not threshold.met_by(self.value):
            raise UsageError(
                f"met is {self.met}, but {plainly(self.value)} against {threshold.describe()} "
                "gives the opposite"
            )

    def to_dict(self) -> dict[str, Any]:
        """The body that is sealed."""
        body = {
            "rule": MEASUREMENT_RULE,
            "metric": self.metric,
            "value": as_text(self.value),
            "samples": self.samples,
            "dataset": self.dataset,
            "threshold": self.threshold.to_dict(),
            "scope": self.scope.model_dump(mode="json"),
            "met": self.met,
        }
        return body | _confidence(self.confidence)

    @classmethod
    def from_dict(cls, body: object) -> Measurement:
        """Read the body of an entry.

        Raises:
            UsageError: another shape.
        """
        names = ("rule", "metric", "value", "samples", "dataset", "threshold", "scope", "met")
        form = members(body, "the measurement", names, ("confidence",))
        if form["rule"] != MEASUREMENT_RULE:
            raise UsageError(
                f"rule is {shown(form['rule'])}; this version reads {MEASUREMENT_RULE}"
            )
        return cls(
            text(form["metric"], "metric"),
            from_text(form["value"], "value"),
            form["samples"],
            form["dataset"],
            Reference.from_dict(form["threshold"], "threshold"),
            read_scope(form["scope"]),
            form["met"],
            _read_confidence(form),
        )


def commit_threshold(
    ledger: Ledger,
    metric: str,
    comparison: str,
    value: Number | str,
    *,
    scope: Scope | Mapping[str, Any],
    by: str,
    confidence: Number | str | None = None,
    accuracy: bool = False,
) -> Receipt:
    """Seal a threshold; do so before anything is measured.

    Args:
        ledger: open for writing.
        metric: its name.
        comparison: ``"at_least"`` or ``"at_most"``.
        value: any exact number; a text such as ``"19/20"`` or ``"0.95"`` is read as it stands.
            ``"at_least"`` takes one above 0, for nothing misses another.
        scope: ``{"system": name, "version": version}``.
        by: who fixes it.
        confidence: with which it is to hold, above 0 and below 1.
        accuracy: that the metric is one of accuracy, though its name is none that is known.

    Raises:
        UsageError: an argument cannot be used.
        StoreError: it could not be written.
    """
    least = _number(value, "value")
    if comparison == AT_LEAST and least <= 0:
        raise UsageError(
            f"{metric} is to be at least {plainly(least)}, which whatever is counted is; "
            "give more than 0, or another metric, of what is lost, with at most"
        )
    threshold = Threshold(
        text(metric, "metric"),
        comparison,
        least,
        read_scope(scope),
        by,
        None if confidence is None else _number(confidence, "confidence"),
        accuracy,
    )
    return ledger.append(THRESHOLD, threshold.to_dict())


def record_measurement(
    ledger: Ledger,
    threshold: int,
    value: Number | str,
    *,
    samples: int,
    dataset: str,
) -> Receipt:
    """Seal what was measured, met or not, against the threshold of an earlier entry.

    Args:
        ledger: open for writing, the one that holds the threshold.
        threshold: number of its entry.
        value: as for :func:`commit_threshold`; with a confidence, the bound at it.
        samples: cases behind it.
        dataset: digest of the data, ``sha256:…``.

    Raises:
        UsageError: an argument cannot be used, or that entry is no threshold.
        StoreError: it could not be written.
    """
    found = ledger.get(threshold)
    if found.kind != THRESHOLD:
        raise UsageError(
            f"entry {threshold} is of the kind {found.kind!r}, not {THRESHOLD!r}; "
            "'quorate ledger ls --kind threshold' lists those that are"
        )
    fixed = Threshold.from_dict(found.payload)
    measured = _number(value, "value")
    made = Measurement(
        fixed.metric,
        measured,
        samples,
        dataset,
        Reference(found.seq, found.entry_hash),
        fixed.scope,
        fixed.met_by(measured),
        fixed.confidence,
    )
    return ledger.append(MEASUREMENT, made.to_dict())


def described(kind: str, body: object) -> str:
    """The story of a sealed threshold or measurement.

    Raises:
        UsageError: it is neither.
    """
    if kind == THRESHOLD:
        fixed = Threshold.from_dict(body)
        return (
            f"{fixed.by} fixed for {fixed.scope.system} {fixed.scope.version}: {fixed.describe()}"
            f"{', declared as a metric of accuracy' if fixed.accuracy else ''}."
        )
    made = Measurement.from_dict(body)
    kept = "keeps" if made.met else "does NOT keep"
    return (
        f"{made.metric} of {made.scope.system} {made.scope.version} was measured as "
        f"{plainly(made.value)} on {counted(made.samples, 'case')} of {made.dataset}; that {kept} "
        f"the threshold of entry {made.threshold.seq}."
    )


def read_scope(value: object) -> Scope:
    """Read which system and version it is about.

    Raises:
        UsageError: another shape.
    """
    if isinstance(value, Scope):
        return value
    form = members(value, "scope", ("system", "version"))
    named = {name: text(form[name], name) for name in ("system", "version")}
    try:
        return Scope(**named)
    except ValidationError as error:
        raise UsageError(f"the scope names no system: {told(error)}") from error


def _number(value: Number | str, name: str) -> Fraction:
    if not isinstance(value, str):
        return exact(value, name)
    if len(value) > limits.MAX_NUMBER_DIGITS:
        raise UsageError(f"{name} has more than {limits.MAX_NUMBER_DIGITS} characters")
    try:
        # A fraction would write out an exponent, however large.
        read = Fraction(value) if "/" in value else Decimal(value)
    except (ValueError, ZeroDivisionError, InvalidOperation) as error:
        raise UsageError(f"{name} is {shown(value)}; give a number, 0.95 or 19/20") from error
    return exact(read, name)


def _check_confidence(value: Fraction | None) -> None:
    if value is not None and not 0 < value < 1:
        raise UsageError(f"confidence is {as_text(value)}; it is above 0 and below 1")


def _confidence(value: Fraction | None) -> dict[str, str]:
    return {} if value is None else {"confidence": as_text(value)}


def _read_confidence(form: Mapping[str, Any]) -> Fraction | None:
    return from_text(form["confidence"], "confidence") if "confidence" in form else None


def _told(value: object) -> str:
    if isinstance(value, Scope):
        return f"{value.system} {value.version}"
    return plainly(value) if isinstance(value, Fraction) else shown(value)
