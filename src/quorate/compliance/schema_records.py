"""Schemas of evidence from logs and from those who oversee: ranges, drills, monitoring."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from quorate.compliance.schema_types import (
    Count,
    Data,
    Hex64,
    Id,
    Instant,
    Part,
    Person,
    Seq,
    Sha256,
    Text,
    distinct,
    ordered,
)
from quorate.compliance.times import DAY, microseconds
from quorate.compliance.wording import folded, speaks

SIX_MONTHS_DAYS: Final = 184
"""The longest six months in a row have 184 days."""

LONGEST_SILENCE_SECONDS: Final = 31 * 86_400
"""A log in which a month may pass without an entry records no events."""

LEAST_GRACE_DAYS: Final = 7
"""For so long monitoring counts as running, however often it looks."""


class Range(Part):
    """A range of entries of one log, both ends included."""

    origin: Id
    first: Seq
    last: Seq
    since: Instant
    until: Instant

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"last {self.last} is before first {self.first}")
        ordered({"since": self.since, "until": self.until})
        return self


class LogRange(Data):
    """A gapless range of a log that was verified.

    Attributes:
        range: of entries.
        entries: how many were found and verified; all of the range.
        silence_seconds: longest time between two of them.
        bound_seconds: the longest that is declared as normal, a month at most; ``None`` where
            none is.
        from_start: whether the range begins with the log's first entry.
        checkpoint: root of the tree over the log, hex, where one was compared.
        signatures: how many trusted keys signed each entry, at least.
    """

    NAME: ClassVar = "log-range"

    range: Range
    entries: Annotated[int, Field(ge=1)]
    silence_seconds: Annotated[int | float, Field(ge=0)]
    bound_seconds: Annotated[int | float, Field(gt=0, le=LONGEST_SILENCE_SECONDS)] | None = None
    from_start: bool
    checkpoint: Hex64 | None = None
    signatures: Annotated[int, Field(ge=1)] = 1
    kinds: dict[Id, Count] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _gapless(self) -> Self:
        expected = self.range.last - self.range.first + 1
        if self.entries != expected:
            raise ValueError(f"the range has {expected} entries, {self.entries} were found")
        if self.kinds and sum(self.kinds.values()) != expected:
            raise ValueError(
                f"kinds counts {sum(self.kinds.values())} entries, the range has {expected}"
            )
        if self.bound_seconds is not None and self.silence_seconds > self.bound_seconds:
            raise ValueError(
                f"the log is silent for {self.silence_seconds} seconds, more than the "
                f"{self.bound_seconds} declared"
            )
        return self

    def seen_at(self) -> int | None:
        """The last entry."""
        return microseconds(self.range.until)


class EventKinds(Data):
    """Which events a log recorded in a range, and what each is for.

    Attributes:
        kinds: kind of entry -> how many there are.
        covers: event that the law asks for -> the kinds of entries that record it, each of
            which occurs or is at least recorded when it happens.
        links: ids of plans or views that use them.
    """

    NAME: ClassVar = "event-kinds"

    range: Range
    kinds: Annotated[dict[Id, Count], Field(min_length=1)]
    covers: Annotated[dict[Id, Annotated[list[Id], Field(min_length=1)]], Field(min_length=1)]
    links: list[Text] = Field(default_factory=list)

    def seen_at(self) -> int | None:
        """The last entry."""
        return microseconds(self.range.until)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not any(self.kinds.values()):
            raise ValueError("no kind has a single entry")
        for event, kinds in self.covers.items():
            if strange := [kind for kind in kinds if kind not in self.kinds]:
                raise ValueError(f"{event} is covered by {strange[0]}, which is not in kinds")
        return self


class Deletion(Part):
    """One deletion of records: which entry ordered it, and how old they were."""

    seq: Seq
    time: Instant
    age_days: Annotated[int | float, Field(ge=0)]
    order: Text


class Retention(Data):
    """How long records are kept, and that nothing was deleted earlier.

    Attributes:
        oldest, newest: moments of the oldest and the newest record kept.
        required_days: shortest time for which they are kept.
        deletions: that took place; an erasure ordered by law names the order.
        checkpoint: what bears out how old they are, and on whose word.
    """

    NAME: ClassVar = "retention"
    WRITTEN: ClassVar = True

    range: Range
    oldest: Instant
    newest: Instant
    required_days: Annotated[int, Field(ge=SIX_MONTHS_DAYS)]
    deletions: list[Deletion]
    checkpoint: Text | None = None

    @model_validator(mode="after")
    def _kept(self) -> Self:
        kept = microseconds(self.newest) - microseconds(self.oldest)
        if kept < self.required_days * DAY:
            raise ValueError(
                f"the newest record is of {self.newest}, less than {self.required_days} days "
                f"after the oldest of {self.oldest}"
            )
        for each in self.deletions:
            named = each.order.startswith("law:") and speaks(each.order.removeprefix("law:"))
            if each.age_days < self.required_days and not named:
                raise ValueError(
                    f"entry {each.seq} deleted records of {each.age_days} days, before "
                    f"{self.required_days}; a deletion ordered by law says 'law: ...' as its order"
                )
        return self

    def seen_at(self) -> int | None:
        """The newest record."""
        return microseconds(self.newest)


class Decisions(Data):
    """Decisions of a range, each of which can be interpreted.

    Attributes:
        decisions: how many there are; each carries support, dissent and a reason.
        committed, refused: of them.
        replayed: how many verdicts were computed again and came out the same.
    """

    NAME: ClassVar = "decisions"

    range: Range
    decisions: Annotated[int, Field(ge=1)]
    committed: Count
    refused: Count
    with_support: Count
    with_dissent: Count
    with_reason: Count
    replayed: Count = 0

    def seen_at(self) -> int | None:
        """The last entry."""
        return microseconds(self.range.until)

    @model_validator(mode="after")
    def _all(self) -> Self:
        if self.committed + self.refused != self.decisions:
            raise ValueError("committed and refused do not add up to decisions")
        for name in ("with_support", "with_dissent", "with_reason"):
            if getattr(self, name) != self.decisions:
                raise ValueError(f"{name} is {getattr(self, name)} of {self.decisions} decisions")
        return self


class Drill(Data):
    """A drill that was run and worked: work was under way, a person acted, and it held.

    Attributes:
        kind: ``halt`` stops all; ``override`` replaces one decision.
        started, acted, ended: moments.
        by: who acted; ``reason`` is theirs.
        before: how much was dispatched before they acted, at least one.
        after: how much was dispatched after a halt: nothing.
        resumed: whether work could go on once allowed.
        decision, override: entries of the decision and of what replaced it.
        effective: the effect that was looked for was found.
    """

    NAME: ClassVar = "drill"

    kind: Literal["halt", "override"]
    started: Instant
    acted: Instant
    ended: Instant
    by: Text
    reason: Text
    before: Annotated[int, Field(ge=1)]
    after: Count
    refused: Count = 0
    resumed: bool | None = None
    decision: Seq | None = None
    override: Seq | None = None
    effective: Literal[True]

    @model_validator(mode="after")
    def _worked(self) -> Self:
        ordered({"started": self.started, "acted": self.acted, "ended": self.ended})
        if self.kind == "halt":
            self._halted()
        if self.kind == "override":
            if self.decision is None or self.override is None:
                raise ValueError("an override names the decision's entry and its own")
            if self.override <= self.decision:
                raise ValueError("the override stands before the decision in the log")
        return self

    def _halted(self) -> None:
        if self.after:
            raise ValueError(f"{self.after} were dispatched after the halt")
        if not self.refused:
            raise ValueError("nothing was refused after the halt: nobody tried to go on")
        if self.resumed is not True:
            raise ValueError("work could not go on once it was allowed: resumed is not true")
        if self.decision is not None or self.override is not None:
            raise ValueError("a halt names no decision and no override")

    def seen_at(self) -> int | None:
        """The end of the drill."""
        return microseconds(self.ended)


class Drills(Data):
    """Both drills together: overriding one decision, and stopping all."""

    NAME: ClassVar = "drills"

    halt: Drill
    override: Drill

    @model_validator(mode="after")
    def _each(self) -> Self:
        for name in ("halt", "override"):
            if getattr(self, name).kind != name:
                raise ValueError(f"under {name} stands a drill of kind {getattr(self, name).kind}")
        return self

    def seen_at(self) -> int | None:
        """The end of the older drill."""
        return min(microseconds(self.halt.ended), microseconds(self.override.ended))


class Overseer(Person):
    """A person who oversees, and what they were trained in."""

    training: Text | None = None


class OversightMeasure(Part):
    """One measure of oversight: built in, or left to the deployer."""

    id: Id
    location: Literal["built_in", "deployer"]
    description: Text


class Oversight(Data):
    """Who oversees, by what means, and how anomalies reach them."""

    NAME: ClassVar = "oversight"
    WRITTEN: ClassVar = True

    overseers: Annotated[list[Overseer], Field(min_length=1)]
    hooks: Annotated[list[Text], Field(min_length=1)]
    measures: Annotated[list[OversightMeasure], Field(min_length=1)]
    anomalies: Text | None = None
    hazards: list[Id] = Field(default_factory=list)
    commensurate: Text | None = None


class AutomationBias(Data):
    """How people are kept from trusting outputs too much, and how often they still accept.

    Attributes:
        notice: what they are told, and where.
        reviewed, accepted: outputs that people reviewed, and accepted unchanged.
    """

    NAME: ClassVar = "automation-bias"
    WRITTEN: ClassVar = True

    notice: Text
    reviewed: Annotated[int, Field(ge=1)]
    accepted: Count

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.accepted > self.reviewed:
            raise ValueError(f"{self.accepted} accepted of {self.reviewed} reviewed")
        return self


class TwoPersons(Data):
    """Identifications, each verified by two persons apart.

    Attributes:
        decisions: entry of each decision -> ids of the two keys that signed it.
    """

    NAME: ClassVar = "two-persons"

    decisions: Annotated[dict[Id, list[Id]], Field(min_length=1)]

    @model_validator(mode="after")
    def _two(self) -> Self:
        for seq, keys in self.decisions.items():
            if len(set(map(folded, keys))) < 2:  # noqa: PLR2004 - two persons, says the law
                raise ValueError(f"decision {seq} was not signed by two different persons")
        return self


class Monitoring(Data):
    """Monitoring that runs: what is watched, how often, and when it last was."""

    NAME: ClassVar = "monitoring"

    watches: Annotated[list[Text], Field(min_length=1)]
    every_seconds: Annotated[int | float, Field(gt=0, le=366 * 86_400)]
    last: Instant
    alerts_to: Person
    events: Annotated[int, Field(ge=1)] | None = None
    plan: Text | None = None

    def seen_at(self) -> int | None:
        """When it last looked."""
        return microseconds(self.last)

    def good_until(self) -> int | None:
        """Three of its intervals after it last looked, and a week at least."""
        grace = max(int(3 * self.every_seconds * 1_000_000), LEAST_GRACE_DAYS * DAY)
        return microseconds(self.last) + grace


_LONGEST_DAYS: Final = {"serious": 15, "widespread": 2, "death": 10}


class Incident(Part):
    """One serious incident: when it was known, when it was reported, to whom."""

    id: Id
    kind: Literal["serious", "widespread", "death"]
    aware: Instant
    reported: Instant
    authority: Text
    evidence: Sha256 | None = None
    seq: Seq | None = None

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        taken = microseconds(self.reported) - microseconds(self.aware)
        most = _LONGEST_DAYS[self.kind]
        if taken < 0:
            raise ValueError(f"{self.id} was reported before anybody was aware of it")
        if taken > most * DAY:
            raise ValueError(f"{self.id} was reported after more than {most} days")
        return self


class Incidents(Data):
    """All serious incidents of a time, none of them reported late; there may be none."""

    NAME: ClassVar = "incidents"
    WRITTEN: ClassVar = True

    since: Instant
    until: Instant
    incidents: list[Incident]
    procedure: Text
    by: Person

    @model_validator(mode="after")
    def _once(self) -> Self:
        distinct([incident.id for incident in self.incidents], "incident")
        ordered({"since": self.since, "until": self.until})
        return self

    def seen_at(self) -> int | None:
        """The end of the time that it covers."""
        return microseconds(self.until)


A_WEEK_MINUTES: Final = 7 * 24 * 60
"""Longest wait for a person who can decide."""


class Contact(Data):
    """People who can be reached to decide, and how fast they answer."""

    NAME: ClassVar = "contact"
    WRITTEN: ClassVar = True

    people: Annotated[list[Person], Field(min_length=1)]
    channel: Text
    answer_within_minutes: Annotated[int, Field(ge=1, le=A_WEEK_MINUTES)]

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not any(person.contact for person in self.people):
            raise ValueError("nobody named has a contact")
        return self


RECORDS: Final = (
    LogRange, EventKinds, Retention, Decisions, Drill, Drills, Oversight, AutomationBias,
    TwoPersons, Monitoring, Incidents, Contact,
)  # fmt: skip
