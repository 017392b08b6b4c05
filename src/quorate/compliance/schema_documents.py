"""Schemas of evidence that people write: documents, registers, hazards, data sets, plans."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from quorate.compliance.schema_types import (
    Count,
    Data,
    Day,
    Hex64,
    Id,
    Number,
    Part,
    Person,
    Seq,
    Sha256,
    Share,
    Text,
    Texts,
    distinct,
)
from quorate.compliance.times import DAY, end_of, read_day

Severity = Literal["low", "medium", "high", "critical"]


class Document(Data):
    """A document, known by its digest, and where in it each thing stands.

    Attributes:
        title: of the document; ``version`` and ``date`` are its own.
        owner: who answers for it.
        system_version: of the system that it describes.
        released: day on which that version was or will be placed on the market; the document
            has to be there by then.
        sections: what it covers -> where in it, or in what words.
        links: ids of other evidence, documents or entries that it points to.
    """

    NAME: ClassVar = "document"
    DIGEST: ClassVar = True
    WRITTEN: ClassVar = True

    title: Text
    version: Text
    date: Day
    owner: Person
    system_version: Text | None = None
    released: Day | None = None
    sections: Texts = Field(default_factory=dict)
    links: list[Text] = Field(default_factory=list)

    def of_other(self, system: str, version: str) -> str | None:
        """It may say which version it describes."""
        if self.system_version in (None, version):
            return super().of_other(system, version)
        return f"the document describes version {self.system_version}, the item speaks of {version}"

    @model_validator(mode="after")
    def _before_release(self) -> Self:
        if self.released is not None and read_day(self.date) > read_day(self.released):
            raise ValueError(
                f"the document is of {self.date}, after the release on {self.released}"
            )
        return self


class Instructions(Document):
    """Instructions for use: a document in digital form, in named languages.

    Attributes:
        languages: in which deployers get it, such as ``["de", "en"]``.
        metrics: levels that it declares, name -> value.
    """

    NAME: ClassVar = "instructions"

    languages: Annotated[list[Id], Field(min_length=1)]
    metrics: dict[Id, Number] = Field(default_factory=dict)


class Declaration(Document):
    """A copy of the EU declaration: a signed document; Annex V lists what is in it."""

    NAME: ClassVar = "declaration"

    signed_by: Person


class Review(Part):
    """One dated review: by whom, what gave rise to it, what came of it."""

    date: Day
    by: Text
    trigger: Text
    outcome: Text


class Register(Data):
    """A living register or system of management: who keeps it, and how often it is reviewed.

    Attributes:
        interval_days: longest time between two reviews; after it the register is stale.
        reviews: in order of time.
    """

    NAME: ClassVar = "register"
    DIGEST: ClassVar = True
    WRITTEN: ClassVar = True

    title: Text
    version: Text
    owner: Person
    interval_days: Annotated[int, Field(ge=1, le=3660)]
    reviews: Annotated[list[Review], Field(min_length=1)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        days = [read_day(review.date) for review in self.reviews]
        if days != sorted(days):
            raise ValueError("the reviews are not in order of their dates")
        return self

    def good_until(self) -> int | None:
        """The day on which the next review falls due."""
        return end_of(read_day(self.reviews[-1].date)) + self.interval_days * DAY


class Residual(Part):
    """What is left of a risk, and who accepted that."""

    level: Severity
    acceptable: Literal[True]
    accepted_by: Person
    date: Day


class Hazard(Part):
    """One known or foreseeable risk.

    Attributes:
        category: what it threatens.
        source: from where it is known; ``analysis`` says how it comes about.
        severity, likelihood: where they were estimated.
        misuse: whether it lies in foreseeable misuse rather than in intended use.
        redteam: report or entry that tried it.
        monitoring: records of post-market monitoring that it was found in or checked against.
        measures: ids of the measures against it.
        residual: what is left.
    """

    id: Id
    title: Text
    category: Literal["health", "safety", "rights"]
    source: Text
    analysis: Text
    severity: Severity | None = None
    likelihood: Literal["rare", "unlikely", "possible", "likely", "certain"] | None = None
    misuse: bool = False
    redteam: Text | None = None
    monitoring: list[Text] = Field(default_factory=list)
    measures: list[Id] = Field(default_factory=list)
    residual: Residual | None = None


class Hazards(Data):
    """The risks that were identified, and the overall judgement of what is left of them."""

    NAME: ClassVar = "hazards"
    DIGEST: ClassVar = False
    WRITTEN: ClassVar = True

    hazards: Annotated[list[Hazard], Field(min_length=1)]
    overall: Residual | None = None

    @model_validator(mode="after")
    def _once(self) -> Self:
        distinct([hazard.id for hazard in self.hazards], "hazard")
        return self


class Measure(Part):
    """One measure against risks.

    Attributes:
        hazards: ids of those that it is against.
        kind: the order of the law: take the risk away by design, else mitigate and control
            it, else inform and train.
        why_not_eliminated: has to be given for the two weaker kinds.
        section: of the instructions for use, has to be given where it informs.
        status: only a measure in place counts as one.
        tests: ids of the tests that tried it.
    """

    id: Id
    hazards: Annotated[list[Id], Field(min_length=1)]
    kind: Literal["eliminate", "mitigate", "inform"]
    description: Text
    status: Literal["planned", "in_place"]
    tests: list[Text] = Field(default_factory=list)
    why_not_eliminated: Text | None = None
    section: Text | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.kind != "eliminate" and self.why_not_eliminated is None:
            raise ValueError(f"{self.id} says not why the risk was not eliminated by design")
        if self.kind == "inform" and self.section is None:
            raise ValueError(f"{self.id} informs, but names no section of the instructions")
        if self.status == "in_place" and not self.tests:
            raise ValueError(f"{self.id} is in place, but names no test of it")
        return self


class Measures(Data):
    """The measures against risks; each hazard named has at least one in place."""

    NAME: ClassVar = "measures"
    WRITTEN: ClassVar = True

    measures: Annotated[list[Measure], Field(min_length=1)]

    @model_validator(mode="after")
    def _covered(self) -> Self:
        distinct([measure.id for measure in self.measures], "measure")
        named = {hazard for each in self.measures for hazard in each.hazards}
        held = {h for each in self.measures if each.status == "in_place" for h in each.hazards}
        if open_ := sorted(named - held):
            raise ValueError(f"no measure is in place against {', '.join(open_)}")
        return self


class GroupCount(Part):
    """How many records of one group there are, and the share that was aimed at."""

    group: Text
    count: Count
    target: Share | None = None


class Statistics(Part):
    """Computed statistics of one data set; shares are from 0 to 1, and 1 is no data at all."""

    missing_rate: Annotated[Share, Field(lt=1)]
    label_error: Annotated[Share, Field(lt=1)]
    groups: Annotated[list[GroupCount], Field(min_length=1)]

    @model_validator(mode="after")
    def _counted(self) -> Self:
        distinct([each.group for each in self.groups], "group")
        if not any(each.count for each in self.groups):
            raise ValueError("no group has a single record")
        return self


class Setting(Part):
    """The setting that a data set is to fit."""

    geographic: Text
    contextual: Text
    behavioural: Text
    functional: Text


class Governance(Part):
    """How one data set came about: one text for each practice that Article 10(2) names."""

    choices: Text | None = None
    origin: Text | None = None
    preparation: Text | None = None
    assumptions: Text | None = None
    suitability: Text | None = None
    bias_examination: Text | None = None
    bias_measures: Text | None = None
    gaps: Text | None = None


class Dataset(Part):
    """One data set, known by the digest of its content."""

    name: Id
    purpose: Literal["training", "validation", "testing"]
    digest: Sha256
    records: Annotated[int, Field(ge=1)]
    governance: Governance = Governance()
    personal_data: bool | None = None
    original_purpose: Text | None = None
    statistics: Statistics | None = None
    setting: Setting | None = None

    @model_validator(mode="after")
    def _purpose_told(self) -> Self:
        if self.personal_data and self.original_purpose is None:
            raise ValueError(f"{self.name} holds personal data, but not what it was collected for")
        return self


class Datasets(Data):
    """The data sets of training, validation and testing."""

    NAME: ClassVar = "datasets"
    WRITTEN: ClassVar = True

    datasets: Annotated[list[Dataset], Field(min_length=1)]

    @model_validator(mode="after")
    def _once(self) -> Self:
        distinct([dataset.name for dataset in self.datasets], "data set")
        return self


class BiasExamination(Part):
    """One examination of one data set for bias: by which metric, between which groups."""

    dataset: Id
    metric: Text
    groups: Annotated[list[Text], Field(min_length=2)]
    value: Number
    finding: Text
    measures: list[Text] = Field(default_factory=list)

    @model_validator(mode="after")
    def _between(self) -> Self:
        distinct(self.groups, "group")
        return self


class Bias(Data):
    """Examinations for bias, and what was done about what they found."""

    NAME: ClassVar = "bias"
    WRITTEN: ClassVar = True

    examinations: Annotated[list[BiasExamination], Field(min_length=1)]


class Attestation(Data):
    """What a named person states, and on what grounds; a machine checks only that they did."""

    NAME: ClassVar = "attestation"
    WRITTEN: ClassVar = True

    statement: Text
    by: Person
    date: Day
    basis: Text
    references: list[Text] = Field(default_factory=list)
    applies: bool | None = None


class Pointers(Data):
    """Where each of several required things is to be found."""

    NAME: ClassVar = "pointers"
    WRITTEN: ClassVar = True

    items: Annotated[dict[Id, Text], Field(min_length=1)]
    owner: Person


class Change(Part):
    """One change of the system, and the ledger entry that records it."""

    version: Text
    date: Day
    what: Text
    seq: Seq
    hash: Hex64


class Changes(Data):
    """The changes of the system over its life, each bound to an entry of a ledger."""

    NAME: ClassVar = "changes"
    WRITTEN: ClassVar = True

    changes: Annotated[list[Change], Field(min_length=1)]


class Standard(Part):
    """A standard applied in full or in part; whether the Official Journal cites it."""

    reference: Text
    title: Text
    part: Literal["full", "part"]
    cited: Literal[False]


class Standards(Data):
    """Standards applied, and the other solutions that meet what they do not.

    No harmonised standard is cited in the Official Journal yet, so none may claim to be.
    """

    NAME: ClassVar = "standards"
    WRITTEN: ClassVar = True

    standards: list[Standard] = Field(default_factory=list)
    solutions: Annotated[list[Text], Field(min_length=1)]


class Plan(Data):
    """A plan: what is collected or done, how often, by whom."""

    NAME: ClassVar = "plan"
    DIGEST: ClassVar = True
    WRITTEN: ClassVar = True

    title: Text
    version: Text
    date: Day
    owner: Person
    cadence: Text
    collects: Annotated[list[Text], Field(min_length=1)]
    interactions: Text | None = None
    links: list[Text] = Field(default_factory=list)


class Registration(Data):
    """An entry in a database of an authority."""

    NAME: ClassVar = "registration"
    WRITTEN: ClassVar = True

    database: Text
    id: Text
    date: Day
    section: Text
    released: Day | None = None

    @model_validator(mode="after")
    def _before_release(self) -> Self:
        if self.released is not None and read_day(self.date) > read_day(self.released):
            raise ValueError(f"registered on {self.date}, after the release on {self.released}")
        return self


DOCUMENTS: Final = (
    Document, Instructions, Declaration, Register, Hazards, Measures, Datasets, Bias,
    Attestation, Pointers, Changes, Standards, Plan, Registration,
)  # fmt: skip
