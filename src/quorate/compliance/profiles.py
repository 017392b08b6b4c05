"""Profiles: which checks are asked for, by which fields, how severe each is.

A profile is TOML. Those shipped are ``core`` (the 19 core checks), ``full`` (every obligation
of the catalogue) and ``experts`` (the 14 safety experts of an agent card). One's own is read
by its path::

    format = "quorate/profile/1"
    name = "bank"
    title = "What our bank asks of suppliers"
    max_age_days = 365            # evidence counts no longer than that

    [[checks]]
    id = "BANK-001"
    title = "Events are logged without a gap"
    article = "12"
    obligations = ["art_12.par_1"]
    field = "eventLogging"        # whose evidence shows it
    severity = "blocker"          # blocker, major or minor
    max_age_days = 30             # optional
    schema = "log-range"          # optional where the field is known
    needs = ["checkpoint"]        # likewise; what a known field needs anyway stays
    advice = "Run the nightly collection."

``obligations = "all"`` at the top, instead of checks, makes one check of every obligation.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from quorate.compliance import bounds, schemas
from quorate.compliance.catalogue import Catalogue, Obligation, UnknownObligation, load_catalogue
from quorate.compliance.evidence import Text
from quorate.compliance.report import SHIPPED_PROFILES
from quorate.compliance.rules import WEIGHTS
from quorate.compliance.system import Name
from quorate.compliance.wording import detail_words, folded, near, shown
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.text import printable
from quorate.hub.toml_lines import locate
from quorate.ledger.files import read_text

FORMAT: Final = "quorate/profile/1"
SHIPPED: Final = SHIPPED_PROFILES

Severity = Literal["blocker", "major", "minor"]
Days = Annotated[int, Field(ge=1, le=bounds.MAX_AGE_DAYS)]


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a profile.

    Attributes:
        id: of the check.
        title: in words.
        article: under which it is counted.
        obligations: that it stands for; empty where it is of no law.
        field: whose evidence shows it.
        severity: blocker, major or minor.
        schema: name of the schema of that evidence.
        needs: what it needs beyond the schema.
        max_age_days: how long evidence counts, and what it tells of.
        advice: what to do where it is not shown; empty for the usual words.
    """

    id: str
    title: str
    article: str
    obligations: tuple[str, ...]
    field: str
    severity: str
    schema: str
    needs: tuple[str, ...]
    max_age_days: int
    advice: str

    @property
    def weight(self) -> int:
        """Blocker 5, major 2, minor 1."""
        return WEIGHTS[self.severity]


_MEMBERS: Final = tuple(each.name for each in fields(Check))


@dataclass(frozen=True, slots=True)
class Profile:
    """The checks that are asked for.

    Attributes:
        name: of the profile.
        title: in words.
        checks: in order.
        groups: article or other heading of checks -> title, where the catalogue has none.
        max_age_days: how long evidence counts where neither it nor its check says.
        every: whether the checks are all the obligations of the catalogue.
    """

    name: str
    title: str
    checks: tuple[Check, ...]
    groups: Mapping[str, str]
    max_age_days: int
    every: bool

    def at(self, catalogue: Catalogue) -> tuple[Check, ...]:
        """The checks of which the law of the catalogue's day knows an obligation."""
        if self.every:
            return _of_all(catalogue, self.max_age_days)
        return tuple(
            check
            for check in self.checks
            if not check.obligations or any(each in catalogue for each in check.obligations)
        )

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of evidence that it asks for, in order, each once."""
        return tuple(dict.fromkeys(check.field for check in self.checks))

    @property
    def digest(self) -> str:
        """SHA-256 of all that the profile says, ``sha256:…``, whatever the form of its file."""
        # Flat, and so without the deep copies of asdict.
        checks = [{name: getattr(each, name) for name in _MEMBERS} for each in self.checks]
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        members = canonical(told | {"checks": checks, "groups": dict(self.groups)})
        return f"sha256:{hashlib.sha256(members).hexdigest()}"


class ProfileError(UsageError):
    """A profile that cannot be used.

    Attributes:
        problems: one text each, beginning with ``file:line:`` where the line is known.
    """

    def __init__(self, problems: list[str]) -> None:
        """Show all ``problems`` at once, so that one round of mending does."""
        self.problems = tuple(problems)
        super().__init__("\n".join(problems))


class _CheckTable(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: Name
    title: Text
    article: Name
    obligations: list[Name] = Field(default_factory=list)
    field: Name
    severity: Severity
    schema_: Name | None = Field(default=None, alias="schema")
    needs: list[Name] | None = None
    max_age_days: Days | None = None
    advice: str = ""


class _ProfileTable(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    format: Literal["quorate/profile/1"]
    name: Name
    title: Text
    max_age_days: Days = 365
    obligations: Literal["all"] | None = None
    groups: dict[Name, Text] = Field(default_factory=dict)
    checks: list[_CheckTable] = Field(default_factory=list, max_length=bounds.MAX_CHECKS)


def load_profile(profile: str | Path | Profile) -> Profile:
    """A profile: one shipped, by name; one's own, by the path of its file.

    Raises:
        OperationalError: the file cannot be read.
        UsageTypeError: neither a name nor a path.
        UsageError: there is no such profile, or one built by hand bears a shipped one's name.
        ProfileError: the file is none; the message says what is wrong, each with its line.
    """
    if isinstance(profile, Profile):
        if folded(profile.name) in SHIPPED and profile != _shipped(folded(profile.name)):
            raise UsageError(f"the profile {profile.name!r} {_NOT_SHIPPED}")
        return profile
    if not isinstance(profile, str | Path):
        raise UsageTypeError(f"profile is {shown(profile)}; give its name or the path of its file")
    if isinstance(profile, str) and profile in SHIPPED:
        return _shipped(profile)
    if isinstance(profile, str) and not profile.endswith(".toml") and "/" not in profile:
        raise UsageError(
            f"there is no profile {profile!r}; shipped are {', '.join(SHIPPED)}, and one's own "
            f"is named by the path of its .toml file{near(profile, SHIPPED)}"
        )
    return read_profile(read_text(profile, "profile", bounds.MAX_PROFILE_BYTES), str(profile))


@cache
def _shipped(name: str) -> Profile:
    source = resources.files("quorate.compliance") / "data" / "profiles" / f"{name}.toml"
    return _read(source.read_text("utf-8"), f"{name}.toml", own=False)


_NOT_SHIPPED: Final = "is not the one shipped under that name; give it a name of its own"


def read_profile(text: str, name: str) -> Profile:
    """Read one's own profile from the text of its file; ``name`` stands for it in messages.

    Raises:
        ProfileError: what is wrong, each with its line.
    """
    return _read(text, name, own=True)


def _read(text: str, name: str, *, own: bool) -> Profile:
    name = printable(name)
    try:
        table = _ProfileTable.model_validate(tomllib.loads(text))
    except ValidationError as error:
        problems = [(each["loc"], detail_words(each)) for each in error.errors()]
        raise ProfileError(_told(name, text, problems)) from error
    # The reader gives up on whole numbers of thousands of digits with a bare ValueError.
    except (ValueError, RecursionError) as error:
        raise ProfileError([f"{name}: not TOML: {error}"]) from error
    found = list(_problems(table, own=own))
    if found:
        raise ProfileError(_told(name, text, found))
    every = table.obligations is not None
    checks = (
        _of_all(load_catalogue(), table.max_age_days)
        if every
        else tuple(_check(each, table) for each in table.checks)
    )
    return Profile(table.name, table.title, checks, table.groups, table.max_age_days, every)


_Problem = tuple[tuple[str | int, ...], str]


def _told(name: str, text: str, problems: list[_Problem]) -> list[str]:
    lines = [(locate(text, where) or 1, message) for where, message in problems]
    return [f"{name}:{line}: {message}" for line, message in sorted(lines)]


def _problems(table: _ProfileTable, *, own: bool) -> Iterator[_Problem]:
    """What single values do not tell: what is unknown, twice there, or missing."""
    if own and folded(table.name) in SHIPPED:
        yield ("name",), f"the profile {table.name!r} {_NOT_SHIPPED}"
    if bool(table.checks) == bool(table.obligations):
        yield (), 'give either [[checks]] or obligations = "all"'
    seen: set[str] = set()
    asked: dict[tuple[str, frozenset[str]], str] = {}
    for number, check in enumerate(table.checks):
        where: tuple[str | int, ...] = ("checks", number)
        if folded(check.id) in seen:
            yield (*where, "id"), f"{check.id!r} is the id of another check too"
        seen.add(folded(check.id))
        what = folded(check.field), frozenset(check.obligations)
        if asked.setdefault(what, check.id) != check.id:
            told = f"{check.id}: asks for the same as {asked[what]}, which would count it twice"
            yield (*where, "field"), told
        for each in check.obligations:
            try:
                load_catalogue()[each]
            except UnknownObligation as error:
                yield (*where, "obligations"), f"{check.id}: {error}"
        yield from _article_problems(check, where)
        yield from _schema_problems(check, where)


def _article_problems(check: _CheckTable, where: tuple[str | int, ...]) -> Iterator[_Problem]:
    """A check counts under the article of its obligations, and without any under none."""
    catalogue = load_catalogue()
    own = {catalogue[each].article for each in check.obligations if each in catalogue}
    known = {folded(each): each for each in catalogue.articles}
    if not check.obligations and folded(check.article) in known:
        yield (
            (*where, "article"),
            f"{check.id}: {check.article!r} is an article of the law; name obligations of it",
        )
    elif own and check.article not in own:
        names = ", ".join(sorted(own))
        yield (
            (*where, "article"),
            f"{check.id}: the article is {check.article!r}, its obligations are of {names}",
        )


def _schema_problems(check: _CheckTable, where: tuple[str | int, ...]) -> Iterator[_Problem]:
    kind, _ = _schema_of(check)
    if kind is None:
        hint = near(check.field, (*schemas.FIELD_SCHEMAS, *load_catalogue()))
        message = f"{check.id}: the field {check.field!r} is not known{hint}; give its schema too"
        yield (*where, "field"), message
        return
    usual = _usual(check.field)
    if usual is not None and kind != usual[0]:
        told = f"{check.id}: {check.field} is known, and its schema is {usual[0]}, not {kind!r}"
        yield (*where, "schema"), f"{told}; give the check a field of its own"
    try:
        model = schemas.schema(kind)
        for need in check.needs or ():
            schemas.check_need(model, need)
    except UsageError as error:
        key = "needs" if kind in schemas.SCHEMAS else "schema"
        yield (*where, key), f"{check.id}: {error}"


def _schema_of(check: _CheckTable) -> tuple[str | None, tuple[str, ...]]:
    """Name of the schema and the needs; a check adds to those of a known field."""
    name, needs = _usual(check.field) or (None, ())
    together = tuple(dict.fromkeys((*needs, *(check.needs or ()))))
    return (name if check.schema_ is None else check.schema_), together


def _usual(field: str) -> tuple[str, tuple[str, ...]] | None:
    """Schema and needs of a field or an obligation that is known."""
    if field in schemas.FIELD_SCHEMAS:
        return schemas.FIELD_SCHEMAS[field].NAME, schemas.FIELD_NEEDS[field]
    if field in load_catalogue():
        return load_catalogue()[field].schema, load_catalogue()[field].needs
    return None


def _check(check: _CheckTable, table: _ProfileTable) -> Check:
    name, needs = _schema_of(check)
    assert name is not None  # noqa: S101 - _problems refuses it
    return Check(
        id=check.id,
        title=check.title,
        article=check.article,
        obligations=tuple(check.obligations),
        field=check.field,
        severity=check.severity,
        schema=name,
        needs=needs,
        max_age_days=check.max_age_days or table.max_age_days,
        advice=check.advice,
    )


def _of_all(catalogue: Catalogue, max_age_days: int) -> tuple[Check, ...]:
    return tuple(_of_obligation(each, max_age_days) for each in catalogue.values())


def _of_obligation(each: Obligation, max_age_days: int) -> Check:
    return Check(
        id=each.id,
        title=each.text,
        article=each.article,
        obligations=(each.id,),
        field=each.id,
        severity=each.severity,
        schema=each.schema,
        needs=each.needs,
        max_age_days=each.max_age_days or max_age_days,
        advice="",
    )
