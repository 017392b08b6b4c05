"""What an evaluation found: each check, each article, and what is to be done next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from quorate.compliance.evidence import EntryRef, Sha256
from quorate.compliance.rules import (
    FAILED,
    INVALID,
    MISSING,
    NOT_APPLICABLE,
    OUT_OF_SCOPE,
    SHOWN,
    STALE,
    UNSIGNED,
    WEIGHTS,
    score,
    worst,
)
from quorate.compliance.system import System
from quorate.compliance.wording import told
from quorate.core.canonical import CanonicalError, canonical
from quorate.core.errors import UsageError
from quorate.core.exact import as_text
from quorate.core.text import counted, printable

FORMAT: Final = "quorate/compliance-report/1"

DISCLAIMER: Final = (
    "This is no conformity assessment and no legal advice. It says which evidence was found for "
    "which obligation on the day named, bound to which receipts, and what is missing. Whether "
    "the law is met is for people to judge."
)

SHIPPED_PROFILES: Final = ("core", "full", "experts")
"""Names that only the profiles shipped bear."""

_SENTENCE_END: Final = re.compile(r"(?<=\.) ")
_MOST_TOLD: Final = 10

Severity = Literal["blocker", "major", "minor"]
State = Literal[
    "failed", "invalid", "unsigned", "out_of_scope", "stale", "missing", "shown", "not_applicable"
]
Category = Literal["annex_iii", "annex_i"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class LawText(_Frozen):
    """Which text of the law was in force on the day.

    Attributes:
        id: of the text.
        title: in words.
        since: first day of this text.
        acts: the acts it consolidates, such as ``Regulation (EU) 2024/1689``.
    """

    id: str
    title: str
    since: date
    acts: tuple[str, ...]


class ItemResult(_Frozen):
    """One item of evidence, and what it shows.

    Attributes:
        field: that it is for.
        source: who established it; ``None`` where it is no item.
        time: when, likewise.
        state: ``shown``, or the worst that speaks against it.
        reason: all that speaks against it; empty where it is shown.
        receipt: number of the ledger entry that seals it, where it names one.
        origin: the log of that entry.
        entries: ledger entries that it was made from.
    """

    field: str
    source: str | None
    time: str | None
    state: State
    reason: str
    receipt: int | None
    origin: str | None
    entries: tuple[EntryRef, ...]


class CheckResult(_Frozen):
    """One check.

    Attributes:
        id: of the check, such as ``EUAIACT-ART9-001``.
        obligations: that it stands for and that the law of the day knows.
        article: under which it is counted.
        title: in words.
        field: whose evidence shows it.
        severity: and its ``weight``: blocker 5, major 2, minor 1.
        state: ``shown``, ``not_applicable``, or what is wrong.
        judge: whether a person has to judge the content, whatever the state: it rests, or would
            rest, on a text that somebody wrote.
        applies_from: by category; empty where the check is of no law.
        in_force: whether those days have come; likewise.
        reasons: why it is not shown, or does not apply.
        advice: what to do next; empty where there is nothing.
        items: the evidence that was looked at.
    """

    id: str
    obligations: tuple[str, ...]
    article: str
    title: str
    field: str
    severity: Severity
    weight: int
    state: State
    judge: bool
    applies_from: dict[Category, date]
    in_force: dict[Category, bool]
    reasons: tuple[str, ...]
    advice: str
    items: tuple[ItemResult, ...]


class ArticleResult(_Frozen):
    """The checks of one article together.

    Attributes:
        article: such as ``9`` or ``Annex IV``.
        title: in words.
        shown: checks shown, of ``total`` that apply.
        weight_shown: likewise in weight, of ``weight_total``.
        worst: the worst state among them; ``not_applicable`` where none applies.
    """

    article: str
    title: str
    shown: int
    total: int
    weight_shown: int
    weight_total: int
    worst: State


class ComplianceReport(_Frozen):
    """What the evidence shows under one profile, on one day. It is no conformity assessment.

    Attributes:
        format: of this report.
        catalogue_version: of the obligations used.
        law_text: that was in force on ``as_of``.
        as_of: the day.
        system: that was evaluated.
        profile: name of the profile.
        profile_digest: SHA-256 of all that the profile says, ``sha256:…``: one's own may be
            called anything.
        score: weight shown / weight of the checks that apply, exact, ``"p/q"``; ``None`` where
            none applies.
        score_value: the nearest double.
        weight_shown: numerator before reduction.
        weight_total: denominator before reduction.
        results: of the checks, in the profile's order.
        articles: in the order in which they first occur.
        blocking: ids of blockers that apply and are not shown.
        missing, stale, unsigned, invalid, failed, out_of_scope, not_applicable: ids of the
            checks in that state.
        to_judge: ids of checks whose content a person has to judge.
        on_texts: those of them that are shown: by texts and numbers that people wrote, of which
            a machine saw that they are there, in form and in time, and not whether they are so.
        undeclared: conditions that matter here and that nobody declared; they are taken to hold.
        unknown_fields: fields of evidence that nothing asks for, with what may have been meant.
        disclaimer: that this is no conformity assessment.
    """

    format: Literal["quorate/compliance-report/1"] = FORMAT
    catalogue_version: str
    law_text: LawText
    as_of: date
    system: System
    profile: str
    profile_digest: Sha256
    score: str | None
    score_value: float | None
    weight_shown: int
    weight_total: int
    results: tuple[CheckResult, ...]
    articles: tuple[ArticleResult, ...]
    blocking: tuple[str, ...]
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    unsigned: tuple[str, ...]
    invalid: tuple[str, ...]
    failed: tuple[str, ...]
    out_of_scope: tuple[str, ...]
    not_applicable: tuple[str, ...]
    to_judge: tuple[str, ...]
    on_texts: tuple[str, ...]
    undeclared: tuple[str, ...]
    unknown_fields: tuple[str, ...]
    disclaimer: str = DISCLAIMER

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        """What is derived from the results is computed again, not believed."""
        for name, value in summary(self.results).items():
            if getattr(self, name) != value:
                raise ValueError(f"{name} is not what the results add up to, {value!r}")
        titles = {each.article: each.title for each in self.articles}
        if self.articles != article_results(self.results, titles):
            raise ValueError("articles is not what the results add up to")
        if self.disclaimer != DISCLAIMER:
            raise ValueError("the disclaimer is not the one of this format")
        return self

    def result(self, check: str) -> CheckResult:
        """The result of one check, by id.

        Raises:
            UsageError: the report has no such check.
        """
        found = next((each for each in self.results if each.id == check), None)
        if found is None:
            raise UsageError(f"the report on profile {self.profile!r} has no check {check!r}")
        return found

    def _asked(self) -> str:
        if self.profile in SHIPPED_PROFILES:
            return f"the profile {self.profile}"
        return f"a profile of one's own named {quoted(self.profile)} ({self.profile_digest[:19]}…)"

    def to_dict(self) -> dict[str, Any]:
        """As JSON; :meth:`from_dict` reads it back."""
        return self.model_dump(mode="json")

    @classmethod
    def from_dict(cls, members: Mapping[str, Any]) -> ComplianceReport:
        """Read what :meth:`to_dict` wrote.

        Raises:
            UsageError: another shape, or sums and lists that do not follow from its results.
        """
        try:
            return cls.model_validate_json(canonical(members))
        except ValidationError as error:
            raise UsageError(f"no compliance report: {told(error)}") from error
        except CanonicalError as error:
            raise UsageError(f"no compliance report: {error}") from error

    def describe(self) -> str:
        """The report in one paragraph."""
        return " ".join(self.sentences())

    def sentences(self) -> tuple[str, ...]:
        """What :meth:`describe` says, a sentence each."""
        applicable = [each for each in self.results if each.state != NOT_APPLICABLE]
        shown = sum(each.state == SHOWN for each in applicable)
        percent = "" if self.score_value is None else f" ({self.score_value:.0%} by weight)"
        # Names are anybody's words: quoted, so that none reads as a finding.
        words = [
            (
                f"On {self.as_of.isoformat()}, of the system named {quoted(self.system.name)}, "
                f"version {quoted(self.system.version)}, under {self._asked()}: evidence shows "
                f"{shown} of {counted(len(applicable), 'check')} that apply{percent}."
            )
        ]
        if shown:
            words.append(
                f"{len(self.on_texts)} of the {shown} shown rest on what people wrote, texts or "
                "numbers, and no machine judged whether it is so."
            )
        open_ = (
            ("failed", self.failed),
            ("invalid", self.invalid),
            ("not sealed", self.unsigned),
            ("of another system or time", self.out_of_scope),
            ("stale", self.stale),
            ("missing", self.missing),
        )
        told_ = [f"{len(ids)} {word}" for word, ids in open_ if ids]
        if told_:
            words.append(f"The others: {', '.join(told_)}.")
        if self.blocking:
            words.append(f"Blocking: {_some(self.blocking)}.")
        if self.to_judge:
            words.append(f"A person has to judge {counted(len(self.to_judge), 'check')}.")
        if self.undeclared:
            words.append(f"Not declared, so taken to hold: {_some(self.undeclared)}.")
        words += [f"Law: {self.law_text.title}.", *_SENTENCE_END.split(self.disclaimer)]
        return tuple(map(printable, words))


def quoted(name: str) -> str:
    """A name between quotes, with none of its own."""
    return '"' + printable(name).replace('"', "'") + '"'


def _some(ids: tuple[str, ...]) -> str:
    """The first few; all of them are members of the report."""
    told, more = ", ".join(ids[:_MOST_TOLD]), len(ids) - _MOST_TOLD
    return told if more <= 0 else f"{told} and {more} more"


def summary(results: tuple[CheckResult, ...]) -> dict[str, Any]:
    """All that a report says beyond its results and that follows from them."""

    def ids(state: str) -> tuple[str, ...]:
        return tuple(each.id for each in results if each.state == state)

    shown, total, ratio = score((each.state, WEIGHTS[each.severity]) for each in results)
    open_ = [each for each in results if each.state not in (SHOWN, NOT_APPLICABLE)]
    return {
        "score": None if ratio is None else as_text(ratio),
        "score_value": None if ratio is None else float(Fraction(ratio)),
        "weight_shown": shown,
        "weight_total": total,
        "blocking": tuple(each.id for each in open_ if each.severity == "blocker"),
        "missing": ids(MISSING),
        "stale": ids(STALE),
        "unsigned": ids(UNSIGNED),
        "invalid": ids(INVALID),
        "failed": ids(FAILED),
        "out_of_scope": ids(OUT_OF_SCOPE),
        "not_applicable": ids(NOT_APPLICABLE),
        "to_judge": tuple(
            each.id for each in results if each.judge and each.state != NOT_APPLICABLE
        ),
        "on_texts": tuple(each.id for each in results if each.judge and each.state == SHOWN),
    }


def article_results(
    results: tuple[CheckResult, ...], titles: Mapping[str, str]
) -> tuple[ArticleResult, ...]:
    """The results by article, in the order in which articles first occur."""
    by_article: dict[str, list[CheckResult]] = {}
    for each in results:
        by_article.setdefault(each.article, []).append(each)
    return tuple(
        _article(article, titles.get(article, article), of) for article, of in by_article.items()
    )


def _article(article: str, title: str, results: list[CheckResult]) -> ArticleResult:
    states = [each.state for each in results if each.state != NOT_APPLICABLE]
    shown, total, _ = score((each.state, WEIGHTS[each.severity]) for each in results)
    return ArticleResult(
        article=article,
        title=title,
        shown=states.count(SHOWN),
        total=len(states),
        weight_shown=shown,
        weight_total=total,
        worst=worst(states) if states else NOT_APPLICABLE,  # type: ignore[arg-type] # a state
    )
