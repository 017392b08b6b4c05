"""What the lab found: rows of numbers, as JSON and back; nothing here needs PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Final

from quorate.core.errors import UsageError

VERSION: Final = 1
NO_ATTACK: Final = "no attack"
POISONED: Final = "poisoned_training"
BIT: Final = "flipped_bit"
PLAIN: Final = "plain gate"
LISTS: Final = (
    "score",
    "targeted",
    "misrouted",
    "void",
    "strict_score",
    "refused",
    "unbacked",
)
"""The measured values of a series; see :class:`quorate.moe.lab.measure.Outcome`."""

Values = list[float | None]


@dataclass(frozen=True)
class Series:
    """One rule under one attack, by the number of liars.

    Attributes:
        subject: the model's name.
        replicas: ``"one"`` gate, ``"copies"`` of it, or gates trained ``"apart"``.
        n: how many gates there are.
        faults: how many liars the rule is run against, f.
        rule: its name, or ``"plain gate"``.
        attack: its name.
        liars: numbers of liars measured, ascending; where the attack befalls the gate
            before it is copied, all copies have it.
        score: and the others, value by value beside ``liars``.
    """

    subject: str
    replicas: str
    n: int
    faults: int
    rule: str
    attack: str
    liars: list[int]
    score: Values
    targeted: Values
    misrouted: Values
    void: Values
    strict_score: Values
    refused: Values
    unbacked: Values

    def at(self, name: str, liars: int) -> float | None:
        """One value, at so many liars.

        Raises:
            UsageError: that many were not measured.
        """
        if liars not in self.liars:
            raise UsageError(f"{liars} liars were not measured; there is {self.liars}")
        value: float | None = getattr(self, name)[self.liars.index(liars)]
        return value


@dataclass(frozen=True)
class Report:
    """All that one run of the lab found.

    Attributes:
        quick: whether models were trained for a moment only, as tests do.
        seed: of the training.
        versions: of what computed it, name to version.
        subjects: model name to its metric and facts.
        attacks: attack name to one line on it and whether it harms a gate that stands alone.
        rules: names, in the order of the tables.
        skipped: rules that n replicas are too few for: rule, n, reason.
        series: the measurements.
    """

    quick: bool
    seed: int
    versions: Mapping[str, str]
    subjects: Mapping[str, Mapping[str, Any]]
    attacks: Mapping[str, Mapping[str, Any]]
    rules: Sequence[str]
    skipped: Sequence[Mapping[str, Any]]
    series: Sequence[Series]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return {
            "report": "quorate bench moe",
            "version": VERSION,
            **parts,
            "series": [asdict(one) for one in self.series],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Report:
        """The report that :meth:`to_dict` gave.

        Raises:
            UsageError: it is none, or of another version.
        """
        if value.get("report") != "quorate bench moe" or value.get("version") != VERSION:
            raise UsageError(f"this is no report of quorate bench moe, version {VERSION}")
        parts = {part.name: value[part.name] for part in fields(cls)}
        return cls(**{**parts, "series": [Series(**one) for one in value["series"]]})

    def metric(self, subject: str) -> str:
        """``"accuracy"`` or ``"loss"``."""
        return str(self.subjects[subject]["metric"])

    def sizes(self, replicas: str = "copies") -> list[int]:
        """Numbers of replicas measured, ascending."""
        return sorted({one.n for one in self.series if one.replicas == replicas})

    def lying(self) -> list[str]:
        """The attacks on replicas, without the one that befalls a gate before it is copied."""
        return [name for name in self.attacks if name != POISONED]

    def rules_of(self, subject: str, n: int) -> list[str]:
        """The rules that n replicas of the model were measured under."""
        return [
            rule
            for rule in self.rules
            if self.one(subject=subject, replicas="copies", n=n, rule=rule) is not None
        ]

    @cached_property
    def _by_rule(self) -> dict[tuple[object, object], list[Series]]:
        found: dict[tuple[object, object], list[Series]] = {}
        for one in self.series:
            found.setdefault((one.subject, one.rule), []).append(one)
        return found

    def where(self, **wanted: object) -> Iterator[Series]:
        """The series whose attributes equal these."""
        whole = "subject" not in wanted or "rule" not in wanted
        some = self.series if whole else self._by_rule.get((wanted["subject"], wanted["rule"]), ())
        for one in some:
            if all(getattr(one, name) == value for name, value in wanted.items()):
                yield one

    def one(self, **wanted: object) -> Series | None:
        """The first such series, or ``None``."""
        return next(self.where(**wanted), None)

    def worst(
        self, name: str, liars: int, *, but: str = "", **wanted: object
    ) -> tuple[float | None, str]:
        """The worst value over all attacks with so many liars, and the attack that gave it.

        A score that is not a number is the worst of all; the attack ``but`` is left out.

        Raises:
            UsageError: nothing like that was measured.
        """
        found = [
            (one.at(name, liars), one.attack)
            for one in self.where(**wanted)
            if liars in one.liars and one.attack != but
        ]
        if not found:
            raise UsageError(f"nothing was measured with {liars} liars and {wanted}")
        return max(found, key=self._badness(name, wanted))

    def _badness(
        self, name: str, wanted: Mapping[str, object]
    ) -> Callable[[tuple[float | None, str]], float]:
        lower_is_worse = (
            name in {"score", "targeted", "strict_score"}
            and self.metric(str(wanted["subject"])) == "accuracy"
        )

        def bad(pair: tuple[float | None, str]) -> float:
            value = pair[0]
            if value is None:
                return float("inf")
            return -value if lower_is_worse else value

        return bad
