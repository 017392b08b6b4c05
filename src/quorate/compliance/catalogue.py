"""The catalogue of obligations: Articles 9 to 15, 4a and Annex IV, and their neighbours.

Versioned, dated data from ``data/``: each obligation in one line of our own words, the schema
of its evidence, whether a machine can check its content, whom it binds, under which
conditions, since when and until when it stands in the law.

>>> load_catalogue().at("2026-11-21")["art_12.par_1"].schema
'log-range'
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from importlib import resources
from typing import Any, Final

from quorate.compliance import law, schemas
from quorate.compliance.times import read_day
from quorate.compliance.wording import near
from quorate.core.errors import UsageError

PROVIDER: Final = "provider"
DEPLOYER: Final = "deployer"
BOTH: Final = "both"
COMMISSION: Final = "Commission"


@dataclass(frozen=True, slots=True)
class Obligation:
    """One obligation.

    Attributes:
        id: such as ``art_12.par_2.b`` or ``annex_iv.point_2.g``.
        article: under which it is counted, such as ``12`` or ``Annex IV``.
        text: what it asks, in one line of our own words.
        schema: name of the schema of its evidence.
        needs: what its evidence needs beyond the schema (:mod:`~.schemas`).
        machine: whether a machine can check the content; if not, it checks presence, form,
            date and signature, and a person judges.
        severity: blocker, major or minor.
        role: whom it binds, ``provider`` or ``deployer``; what binds the ``Commission`` stands
            there for completeness, and no operator of a system is asked for it.
        when: conditions that all have to hold for it to apply; ``not x`` where x must not.
        schedule: with which group of provisions it begins to apply.
        since: first day of the text in which it stands so.
        until: last day, or ``None`` while it stands.
        act: that brought or last changed it.
        max_age_days: how long its evidence counts, where that is not left to the profile.
    """

    id: str
    article: str
    text: str
    schema: str
    needs: tuple[str, ...]
    machine: bool
    severity: str
    role: str
    when: tuple[str, ...]
    schedule: str
    since: date
    until: date | None
    act: str
    max_age_days: int | None

    def stands(self, day: date) -> bool:
        """Whether the law of that day knows it."""
        return self.since <= day and (self.until is None or day <= self.until)

    def applies_from(self, category: str, as_of: date) -> date:
        """From when it applies to a category, by the text of a day."""
        return law.applies_from(category, as_of, self.schedule)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "id": self.id,
            "article": self.article,
            "text": self.text,
            "schema": self.schema,
            "needs": list(self.needs),
            "machine": self.machine,
            "severity": self.severity,
            "role": self.role,
            "when": list(self.when),
            "schedule": self.schedule,
            "since": self.since.isoformat(),
            "until": None if self.until is None else self.until.isoformat(),
            "act": self.act,
            "max_age_days": self.max_age_days,
        }


@dataclass(frozen=True, slots=True)
class Catalogue(Mapping[str, Obligation]):
    """Obligations by id.

    Attributes:
        version: of the data.
        checked: day on which they were last compared with the law.
        obligations: in the order of the law; those that an act reworded stand there once for
            each wording, unless the catalogue is narrowed to a day.
        articles: article -> title, in our own words.
        conditions: name -> what it means when it holds.
        as_of: the day to which it was narrowed; ``None`` for all texts together.
    """

    version: str
    checked: date
    obligations: tuple[Obligation, ...]
    articles: Mapping[str, str]
    conditions: Mapping[str, str]
    as_of: date | None = None
    _newest: Mapping[str, Obligation] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Know each id, with the newest of its texts."""
        object.__setattr__(self, "_newest", {each.id: each for each in self.obligations})

    def at(self, as_of: date | str) -> Catalogue:
        """Only what the law of that day knows.

        Raises:
            UsageError: no such day, or one before the law.
        """
        day = read_day(as_of, "as_of")
        law.text_at(day)
        standing = tuple(each for each in self.obligations if each.stands(day))
        return replace(self, obligations=standing, as_of=day)

    def __getitem__(self, id_: str) -> Obligation:
        """The obligation of that id; the newest, where several texts word it.

        Raises:
            UnknownObligation: there is none; the message says what may have been meant.
        """
        found = self._newest.get(id_)
        if found is None:
            when = "" if self.as_of is None else f" on {self.as_of.isoformat()}"
            raise UnknownObligation(id_, f"no obligation {id_!r}{when}{self._hint(id_)}")
        return found

    def __contains__(self, id_: object) -> bool:
        """Whether there is an obligation of that id."""
        return isinstance(id_, str) and id_ in self._newest

    def __iter__(self) -> Iterator[str]:
        """Ids, in the order of the law."""
        return iter(self._newest)

    def __len__(self) -> int:
        """How many ids there are."""
        return len(self._newest)

    def _hint(self, id_: object) -> str:
        if self.as_of is not None and isinstance(id_, str):
            for each in load_catalogue().obligations:
                if each.id == id_:
                    return _elsewhen(each, self.as_of)
        return near(str(id_), self)


class UnknownObligation(UsageError, KeyError):  # noqa: N818 - says what it is about
    """There is no such obligation. Also a ``KeyError``.

    Attributes:
        id: that was asked for.
    """

    def __init__(self, id_: object, message: str) -> None:
        """Keep the ``id_``."""
        super().__init__(message)
        self.id = id_

    def __str__(self) -> str:
        """The message, without the quotes of a KeyError."""
        return str(self.args[0])


def _elsewhen(each: Obligation, day: date) -> str:
    if each.until is not None and day > each.until:
        return f"; it stood in the law until {each.until.isoformat()}"
    return f"; it stands in the law since {each.since.isoformat()}"


@cache
def load_catalogue() -> Catalogue:
    """The catalogue as shipped, all texts of the law together."""
    data = resources.files("quorate.compliance") / "data"
    head = tomllib.loads((data / "catalogue.toml").read_text("utf-8"))
    found: list[Obligation] = []
    articles: dict[str, str] = {}
    for name in head["files"]:
        source = data / "obligations" / f"{name}.toml"
        members = tomllib.loads(source.read_text("utf-8"))
        articles[members["article"]] = members["title"]
        found += [_obligation(each, members) for each in members["obligations"]]
    return Catalogue(head["version"], head["checked"], tuple(found), articles, head["conditions"])


def _obligation(members: Mapping[str, Any], file: Mapping[str, Any]) -> Obligation:
    """Read one table; what it leaves out, its file says for all."""
    first = law.texts()[0]
    schemas.schema(members["schema"])
    return Obligation(
        id=members["id"],
        article=file["article"],
        text=members["text"],
        schema=members["schema"],
        needs=tuple(members.get("needs", ())),
        machine=members.get("machine", True),
        severity=members["severity"],
        role=members.get("role", file.get("role", PROVIDER)),
        when=tuple(members.get("when", file.get("when", ()))),
        schedule=members.get("schedule", file.get("schedule", law.HIGH_RISK)),
        since=members.get("since", file.get("since", first.since)),
        until=members.get("until", file.get("until")),
        act=members.get("act", file.get("act", first.acts[0].id)),
        max_age_days=members.get("max_age_days", file.get("max_age_days")),
    )
