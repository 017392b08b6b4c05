"""Schemas of evidence from tests: metrics, redundancy, attacks, faults, audits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from fractions import Fraction
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from quorate.compliance.schema_types import (
    Count,
    Data,
    Direction,
    Hex64,
    Id,
    Instant,
    Metric,
    Number,
    Part,
    Person,
    Rational,
    Seq,
    Sha256,
    Share,
    Text,
    Texts,
    bounding,
    distinct,
    meets,
    ordered,
)
from quorate.compliance.times import microseconds
from quorate.core.exact import from_text
from quorate.core.quorum import quorum_size, tolerated_faults
from quorate.redteam.rules import WEIGHTS


class Committed(Part):
    """The entry that fixed the thresholds."""

    seq: Seq
    hash: Hex64
    time: Instant


class Trial(Part):
    """One run of a test against thresholds.

    Attributes:
        id: of the test.
        started, finished: moments.
        metrics: all within their thresholds.
        thresholds: the entry that fixed them before the test.
        results: the entry that holds the results.
        measures: ids of the measures that it tried.
    """

    id: Id
    started: Instant
    finished: Instant
    metrics: Annotated[list[Metric], Field(min_length=1)]
    thresholds: Committed | None = None
    results: Committed | None = None
    measures: list[Id] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fixed_before(self) -> Self:
        ordered({"started": self.started, "finished": self.finished})
        if self.thresholds is not None:
            ordered({"thresholds": self.thresholds.time, "started": self.started})
            if self.results is not None:
                ordered({"thresholds": self.thresholds.time, "results": self.results.time})
                if self.thresholds.seq >= self.results.seq:
                    raise ValueError(f"{self.id}: the thresholds were not fixed before the results")
        return self


class TrialRun(Data):
    """Tests that were run, each within its thresholds; when they were fixed, where told."""

    NAME: ClassVar = "test-run"
    WRITTEN: ClassVar = True

    tests: Annotated[list[Trial], Field(min_length=1)]
    tool: Text
    real_world: Text | None = None

    @model_validator(mode="after")
    def _once(self) -> Self:
        distinct([each.id for each in self.tests], "test")
        return self

    def seen_at(self) -> int | None:
        """The end of the newest test of the metric that was tested least of late."""
        return _oldest_of_newest(
            ((metric.name, metric.group), microseconds(each.finished))
            for each in self.tests
            for metric in each.metrics
        )


def _oldest_of_newest(seen: Iterable[tuple[Hashable, int]]) -> int:
    newest: dict[Hashable, int] = {}
    for what, moment in seen:
        newest[what] = max(moment, newest.get(what, moment))
    return min(newest.values())


class Point(Part):
    """One value of a series: for which version, when, from how many cases."""

    version: Text
    time: Instant
    value: Number
    samples: Annotated[int, Field(ge=1)]


class Series(Part):
    """One metric over versions and time, against its threshold."""

    metric: Text
    threshold: Number
    direction: Direction
    points: Annotated[list[Point], Field(min_length=1)]

    @model_validator(mode="after")
    def _kept(self) -> Self:
        bounding(self.metric, self.threshold, self.direction)
        ordered({f"point {i}": point.time for i, point in enumerate(self.points)})
        for each in self.points:
            if not meets(each.value, self.threshold, self.direction):
                wanted = self.direction.replace("_", " ")
                raise ValueError(
                    f"{self.metric} is {each.value} for {each.version}, not {wanted} "
                    f"{self.threshold}"
                )
        return self


class MetricSeries(Data):
    """Metrics over versions and time; where the instructions declare them, under which names."""

    NAME: ClassVar = "metric-series"
    WRITTEN: ClassVar = True

    series: Annotated[list[Series], Field(min_length=1)]
    declared: dict[Id, Number] = Field(default_factory=dict)
    instructions: Sha256 | None = None

    @model_validator(mode="after")
    def _declared_is_measured(self) -> Self:
        newest = self._newest()
        for name, level in self.declared.items():
            if name not in newest:
                raise ValueError(f"{name} is declared, but no series measures it")
            series, point = newest[name]
            if not meets(point.value, level, series.direction):
                raise ValueError(
                    f"{name} is declared as {level}, but last measured as {point.value}"
                )
        return self

    def _newest(self) -> dict[str, tuple[Series, Point]]:
        """The newest point of each metric, and its series."""
        found: dict[str, tuple[Series, Point]] = {}
        for series in self.series:
            last = series.points[-1]
            known = found.get(series.metric)
            if known is None or microseconds(known[1].time) <= microseconds(last.time):
                found[series.metric] = series, last
        return found

    def seen_at(self) -> int | None:
        """The newest point of the metric that was measured least of late."""
        return min(microseconds(point.time) for _, point in self._newest().values())

    def of_other(self, system: str, version: str) -> str | None:
        """What counts is what was measured last: of this very version."""
        for name, (_, point) in self._newest().items():
            if point.version != version:
                return (
                    f"{name} was last measured for version {point.version}, the item speaks of "
                    f"{version}"
                )
        return super().of_other(system, version)


class Domain(Part):
    """One way in which replicas may fail together.

    Attributes:
        attribute: such as ``host`` or ``model_family``.
        groups: how many different ones there are.
        largest: members of the largest.
        faults: faults that are borne if each group fails as one.
    """

    attribute: Id
    groups: Annotated[int, Field(ge=1)]
    largest: Annotated[int, Field(ge=1)]
    faults: Count


class Redundancy(Data):
    """How many lie or fail before the whole does, and what happens then.

    Attributes:
        n: replicas or experts on the roster.
        faults: that are borne if they fail one by one.
        quorum: how many have to agree; ``None`` where a share of the weight has to.
        share: that share, exact; ``None`` where a number has to.
        domains: what is declared of failing together; empty where nothing is.
        effective_faults: that are borne with the domains taken into account.
        limit: in words, what the bound does not cover.
        no_quorum: what happens without one.
    """

    NAME: ClassVar = "redundancy"

    n: Annotated[int, Field(ge=1)]
    faults: Annotated[int, Field(ge=1)]
    quorum: Annotated[int, Field(ge=1)] | None = None
    share: Rational | None = None
    domains: list[Domain]
    effective_faults: Count
    limit: Text
    no_quorum: Text

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.faults > tolerated_faults(self.n):
            raise ValueError(f"{self.n} members bear {tolerated_faults(self.n)} faults at most")
        if (self.quorum is None) == (self.share is None):
            raise ValueError("give the quorum as a number or as a share, one of the two")
        if self.quorum is not None and self.quorum < quorum_size(self.n, self.faults):
            least = quorum_size(self.n, self.faults)
            raise ValueError(f"a quorum of {self.quorum} is too small; the least is {least}")
        if self.share is not None and not 0 < from_text(self.share) <= 1:
            raise ValueError(f"share is {self.share}; it is above 0 and at most 1")
        least = min((domain.faults for domain in self.domains), default=self.faults)
        if self.effective_faults > min(self.faults, least):
            raise ValueError(
                f"effective_faults is {self.effective_faults}, the domains allow "
                f"{min(self.faults, least)}"
            )
        return self


_ROUNDING: Final = 1e-9


class Strategy(Part):
    """One strategy of attack: how often it was tried, and how often it got through."""

    id: Id
    category: Text
    severity: Literal["low", "medium", "high", "critical"]
    probes: Annotated[int, Field(ge=1)]
    successes: Count

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.successes > self.probes:
            raise ValueError(f"{self.id}: {self.successes} successes of {self.probes} probes")
        return self


class RedTeamRun(Data):
    """A run of attacks; what got through is told, and the resilience reached what was asked.

    The resilience is the share defended, each strategy counted by its severity as in
    :mod:`quorate.redteam.rules`.

    Attributes:
        target: what was attacked: the system of the item's scope.
        strategies: that were tried.
        resilience: 1 where everything was defended.
        required: the least that was asked for, fixed before.
        classes: attack classes of Article 15(5) that were tried.
    """

    NAME: ClassVar = "redteam-run"

    target: Text
    tool: Text
    seed: Text
    strategies: Annotated[list[Strategy], Field(min_length=1)]
    resilience: Share
    required: Annotated[Share, Field(gt=0)]
    classes: list[Id] = Field(default_factory=list)

    def of_other(self, system: str, version: str) -> str | None:
        """A run against something else shows nothing of the system."""
        if self.target == system:
            return super().of_other(system, version)
        return f"{self.target} was attacked, the item speaks of {system}"

    @model_validator(mode="after")
    def _resilient(self) -> Self:
        if not meets(self.resilience, self.required, "at_least"):
            raise ValueError(f"resilience is {self.resilience}, not at least {self.required}")
        distinct([each.id for each in self.strategies], "strategy")
        weighed = [(WEIGHTS[each.severity], each) for each in self.strategies]
        defended = sum(
            (Fraction(w * (each.probes - each.successes), each.probes) for w, each in weighed),
            Fraction(0),
        )
        follows = float(defended / sum(weight for weight, _ in weighed))
        # The report writes the nearest double; another sum of doubles may end a digit off.
        if abs(follows - self.resilience) > _ROUNDING:
            raise ValueError(
                f"resilience is {self.resilience}, from the strategies follows {follows:.6g}"
            )
        return self


class Injection(Part):
    """One kind of fault that was injected, how often, and how often all went well."""

    fault: Text
    count: Annotated[int, Field(ge=1)]
    handled: Count

    @model_validator(mode="after")
    def _handled(self) -> Self:
        if self.handled != self.count:
            raise ValueError(f"{self.fault}: {self.handled} of {self.count} were handled")
        return self


class FaultInjection(Data):
    """Faults that were injected on purpose, all of them handled."""

    NAME: ClassVar = "fault-injection"

    injections: Annotated[list[Injection], Field(min_length=1)]
    tool: Text


ATTACK_CLASSES: Final = (
    "data_poisoning", "model_poisoning", "adversarial_examples", "confidentiality_attacks",
    "model_flaws",
)  # fmt: skip
VERBS: Final = ("prevent", "detect", "respond", "resolve", "control")

Verb = Literal["prevent", "detect", "respond", "resolve", "control"]
AttackClass = Literal[
    "data_poisoning", "model_poisoning", "adversarial_examples", "confidentiality_attacks",
    "model_flaws",
]  # fmt: skip


class Cell(Part):
    """A test, by id, or why there is nothing to test."""

    test: Text | None = None
    not_applicable: Text | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.test is None) == (self.not_applicable is None):
            raise ValueError("give test, or not_applicable and why none applies, one of the two")
        return self


class AttackMatrix(Data):
    """Five classes of attack by five verbs, each with a test or the reason for none."""

    NAME: ClassVar = "attack-matrix"
    WRITTEN: ClassVar = True

    cells: dict[AttackClass, dict[Verb, Cell]]

    @model_validator(mode="after")
    def _full(self) -> Self:
        for each in ATTACK_CLASSES:
            row = self.cells.get(each, {})
            if lacking := [verb for verb in VERBS if verb not in row]:
                raise ValueError(f"{each} says nothing of {', '.join(lacking)}")
        if not any(cell.test for row in self.cells.values() for cell in row.values()):
            raise ValueError("nothing at all is tested")
        # What takes input can be attacked by it, whatever else does not apply.
        if not any(cell.test for cell in self.cells["adversarial_examples"].values()):
            raise ValueError("adversarial_examples: no test at all, and every system takes input")
        return self


class Tool(Part):
    """One tool, known by the digest of its description."""

    name: Id
    digest: Sha256


class ToolAttestation(Data):
    """The tools of a server, as they were pinned and found again."""

    NAME: ClassVar = "tool-attestation"

    server: Text
    tools: Annotated[list[Tool], Field(min_length=1)]
    checked: Instant

    def seen_at(self) -> int | None:
        """When they were found again."""
        return microseconds(self.checked)


class Anchor(Data):
    """A root of a log, written where its operator cannot change it."""

    NAME: ClassVar = "anchor"

    network: Text
    reference: Text
    root: Hex64
    size: Annotated[int, Field(ge=1)]
    anchored: Instant

    def seen_at(self) -> int | None:
        """When it was written there."""
        return microseconds(self.anchored)


class Scores(Data):
    """Scores by the functions of a framework, each from 0 to 1, with the least asked for."""

    NAME: ClassVar = "scores"
    WRITTEN: ClassVar = True

    framework: Text
    scores: Annotated[dict[Id, Share], Field(min_length=1)]
    required: Annotated[Share, Field(gt=0)]
    assessor: Person

    @model_validator(mode="after")
    def _reached(self) -> Self:
        for name, value in self.scores.items():
            if not meets(value, self.required, "at_least"):
                raise ValueError(f"{name} is {value}, not at least {self.required}")
        return self


class Payment(Data):
    """A payment that was verified and settled."""

    NAME: ClassVar = "payment"

    scheme: Text
    network: Text
    transaction: Text
    amount: Rational
    asset: Text
    settled: Literal[True]

    @model_validator(mode="after")
    def _paid(self) -> Self:
        if from_text(self.amount) <= 0:
            raise ValueError(f"the amount is {self.amount}: nothing was paid")
        return self


class Fuzzing(Data):
    """A campaign of fuzzing or mutation that left nothing open."""

    NAME: ClassVar = "fuzzing"

    targets: Annotated[list[Text], Field(min_length=1)]
    runs: Annotated[int, Field(ge=1)]
    seed: Text
    found: Count
    fixed: Count

    @model_validator(mode="after")
    def _fixed(self) -> Self:
        if self.found != self.fixed:
            raise ValueError(f"{self.found} were found, {self.fixed} of them fixed")
        return self


class Audit(Data):
    """An audit: what was audited, by whom, against what, and what it found."""

    NAME: ClassVar = "audit"
    WRITTEN: ClassVar = True

    auditor: Text
    independent: Literal[True]
    criteria: Text
    entries_checked: Annotated[int, Field(ge=1)]
    findings: Texts
    open_findings: Annotated[int, Field(ge=0, le=0)]


TESTS: Final = (
    TrialRun, MetricSeries, Redundancy, RedTeamRun, FaultInjection, AttackMatrix, ToolAttestation,
    Anchor, Scores, Payment, Fuzzing, Audit,
)  # fmt: skip
