"""Evaluate evidence against a profile, as the law stood on a day.

The verdict of each item and each check is computed by :mod:`~.rules`; this module gathers the
facts: it reads the data by their schemas, compares scopes and times, and verifies receipts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from quorate.compliance import law, schemas
from quorate.compliance.advice import advice
from quorate.compliance.catalogue import (
    BOTH,
    DEPLOYER,
    PROVIDER,
    Catalogue,
    Obligation,
    load_catalogue,
)
from quorate.compliance.collected import is_shipped
from quorate.compliance.crosschecks import COMPARED, Read, depends, disagreement
from quorate.compliance.evidence import (
    Evidence,
    EvidenceSet,
    InvalidItem,
    read_receipt,
)
from quorate.compliance.profiles import Check, Profile, load_profile
from quorate.compliance.report import (
    CheckResult,
    ComplianceReport,
    ItemResult,
    LawText,
    article_results,
    summary,
)
from quorate.compliance.rules import (
    FAILED,
    NOT_APPLICABLE,
    SHOWN,
    STALE,
    UNSIGNED,
    WEIGHTS,
    ItemFacts,
    check_verdict,
    item_verdict,
    retired,
)
from quorate.compliance.sealing import Seals
from quorate.compliance.system import UNDECLARED, System
from quorate.compliance.times import DAY, day_of, end_of, microseconds, read_day
from quorate.compliance.wording import folded, near, shown
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.text import printable, shortened
from quorate.ledger import Policy, Receipt

NOT: Final = "not "
"""Before a condition that must not hold."""

Given = EvidenceSet | Mapping[str, Any] | Sequence[Any] | str | Path
"""What is accepted as evidence: a set, its JSON, a mapping of fields, a list, or a file."""


def evaluate(
    evidence: Given,
    profile: str | Path | Profile = "core",
    as_of: date | str = "",
    *,
    system: System | Mapping[str, Any] | None = None,
    policy: Policy | None = None,
    receipts: Iterable[Receipt | Mapping[str, Any]] = (),
) -> ComplianceReport:
    """Say which checks of ``profile`` the evidence shows on the day ``as_of``.

    An item shows something only if it is a valid item, passed, its data fit the schema, it
    speaks of this system and version and of no later time, it is not stale, and a receipt
    given with it, verified under ``policy``, seals exactly this item.

    Args:
        evidence: see :data:`Given`; what is no item is reported, and shows nothing.
        profile: ``core``, ``full``, ``experts``, or the path of one's own.
        as_of: the day, in UTC; it has to be given.
        system: that is evaluated; where it is not given, the one that the set names.
        policy: keys that may seal evidence; without one, nothing counts as sealed.
        receipts: beside those of the set.

    Raises:
        OperationalError: a file cannot be read.
        UsageTypeError: a policy, profile or day of another type.
        UsageError: no set of evidence, no such profile or day, no system, or one that
            declares a condition that the catalogue does not know.
    """
    if as_of == "":
        raise UsageError("as_of is missing; name the day to evaluate, such as as_of='2026-11-21'")
    if policy is not None and not isinstance(policy, Policy):
        raise UsageTypeError(f"policy is {shown(policy)}; give a Policy, as Policy.read(path) does")
    day = read_day(as_of, "as_of")
    text = law.text_at(day)
    asked = load_profile(profile)
    given = EvidenceSet.read(evidence)
    subject = given.system if system is None else System.read(system)
    _check_conditions(subject)
    seals = Seals(policy, (*given.receipts, *map(read_receipt, receipts)), end_of(day))
    catalogue = load_catalogue().at(day)
    asking = _Asking(catalogue, subject, day, given, seals, _compared(catalogue))
    checks = asked.at(catalogue)
    results = tuple(asking.check(check) for check in checks)
    # A profile names groups of its own, and no article of the law otherwise than the law does.
    titles = {**asked.groups, **catalogue.articles}
    return ComplianceReport(
        catalogue_version=catalogue.version,
        law_text=LawText(
            id=text.id,
            title=text.title,
            since=text.since,
            acts=tuple(act.title for act in text.acts),
        ),
        as_of=day,
        system=subject,
        profile=asked.name,
        profile_digest=asked.digest,
        results=results,
        articles=article_results(results, titles),
        undeclared=asking.undeclared(checks),
        unknown_fields=_unknown(given, asked),
        **summary(results),
    )


@dataclass(frozen=True)
class _Asking:
    """One evaluation: all that its checks are held against."""

    catalogue: Catalogue
    system: System
    day: date
    given: EvidenceSet
    seals: Seals
    compared: Mapping[str, str]

    @cached_property
    def by_field(self) -> dict[str, tuple[list[InvalidItem], list[Evidence]]]:
        """What was given for each field: what is no item, and the items."""
        found: dict[str, tuple[list[InvalidItem], list[Evidence]]] = {}
        for broken in self.given.invalid:
            found.setdefault(broken.field, ([], []))[0].append(broken)
        for item in self.given.items:
            found.setdefault(item.field, ([], []))[1].append(item)
        return found

    def undeclared(self, checks: Iterable[Check]) -> tuple[str, ...]:
        """Conditions on which checks depend and that the system does not declare."""
        asked = (
            condition.removeprefix(NOT)
            for check in checks
            for obligation in self.obligations(check)
            if self.binds(obligation)
            for condition in obligation.when
        )
        return tuple(sorted({each for each in asked if each not in self.system.conditions}))

    def obligations(self, check: Check) -> list[Obligation]:
        return [self.catalogue[each] for each in check.obligations if each in self.catalogue]

    def binds(self, obligation: Obligation) -> bool:
        if self.system.role == BOTH:
            return obligation.role in (PROVIDER, DEPLOYER)
        return self.system.role == obligation.role

    def excluded(self, obligation: Obligation) -> str | None:
        """Why an obligation does not apply to this system; ``None`` where it does."""
        if not self.binds(obligation):
            return (
                f"{obligation.id} binds the {obligation.role}; "
                f"the role declared is {self.system.role}"
            )
        for condition in obligation.when:
            name = condition.removeprefix(NOT)
            asked = name == condition
            if self.system.conditions.get(name) is (not asked):
                only = "only where" if asked else "only unless"
                return (
                    f"{obligation.id} applies {only} {self.catalogue.conditions[name]}; "
                    f"declared is {name} = {str(not asked).lower()}"
                )
        return None

    def check(self, check: Check) -> CheckResult:
        """The result of one check."""
        obligations = self.obligations(check)
        excluded = [(each, self.excluded(each)) for each in obligations]
        applying = [each for each, reason in excluded if reason is None]
        if obligations and not applying:
            reasons = tuple(reason for _, reason in excluded if reason is not None)
            return self.result(check, obligations, NOT_APPLICABLE, reasons, ())
        by_field = self.items(check.field, check.schema, check.needs, check.max_age_days)
        others = [each for each in applying if each.id != check.field]
        found = {
            each.id: self.items(
                each.id, each.schema, each.needs, each.max_age_days or check.max_age_days
            )
            for each in others
        }
        states = {id_: [item.state for item in items] for id_, items in found.items()}
        state = check_verdict(
            [item.state for item in by_field],
            [states[each.id] for each in others if each.machine],
            [states[each.id] for each in others if not each.machine],
        )
        items = (*by_field, *(item for items in found.values() for item in items))
        reasons = () if state == SHOWN else _reasons(check, items, others, found)
        return self.result(check, obligations, state, reasons, items)

    def result(
        self,
        check: Check,
        obligations: list[Obligation],
        state: str,
        reasons: tuple[str, ...],
        items: tuple[ItemResult, ...],
    ) -> CheckResult:
        days = {
            category: min(each.applies_from(category, self.day) for each in obligations)
            for category in law.CATEGORIES
            if obligations
        }
        return CheckResult.model_validate(
            {
                "id": check.id,
                "obligations": tuple(each.id for each in obligations),
                "article": check.article,
                "title": check.title,
                "field": check.field,
                "severity": check.severity,
                "weight": WEIGHTS[check.severity],
                "state": state,
                "judge": self.judge(check, obligations, items),
                "applies_from": days,
                "in_force": {category: first <= self.day for category, first in days.items()},
                "reasons": reasons,
                "advice": advice(check, state, items),
                "items": items,
            }
        )

    def judge(
        self, check: Check, obligations: Iterable[Obligation], items: Iterable[ItemResult]
    ) -> bool:
        """Whether a person has to judge: what somebody wrote is in it, texts or numbers.

        Of what shows it only that was written by nobody which a collector of ours found.
        """
        if schemas.schema(check.schema).WRITTEN or any(not each.machine for each in obligations):
            return True
        shown_ = [item for item in items if item.state == SHOWN]
        if any(item.source is None or not is_shipped(item.source) for item in shown_):
            return True
        others = (self.catalogue[item.field].schema for item in shown_ if item.field != check.field)
        return any(schemas.schema(name).WRITTEN for name in others)

    def items(
        self, field: str, schema: str, needs: tuple[str, ...], max_age_days: int
    ) -> tuple[ItemResult, ...]:
        """All evidence for one field, each with what it shows."""
        broken, items = self.by_field.get(field, ((), ()))
        kind = schemas.schema(schema)
        found = [self.item(each, kind, needs, max_age_days) for each in items]
        return (*map(_broken, broken), *_retired(items, found))

    def item(
        self, item: Evidence, kind: type[schemas.Data], needs: tuple[str, ...], max_age_days: int
    ) -> ItemResult:
        facts = self.facts(item, kind, needs, max_age_days)
        state, reasons = item_verdict(facts)
        return ItemResult(
            field=item.field,
            source=item.source,
            time=item.time,
            state=state,  # type: ignore[arg-type] # one of WORST_FIRST
            reason=printable("; ".join(reasons)),
            receipt=None if item.receipt is None else item.receipt.seq,
            origin=None if item.receipt is None else item.receipt.origin,
            entries=item.entries,
        )

    def facts(
        self, item: Evidence, kind: type[schemas.Data], needs: tuple[str, ...], max_age_days: int
    ) -> ItemFacts:
        data, misfit = schemas.misfit(item.data, kind, needs)
        if misfit is None and data is not None:
            misfit = self.misfit(item, data)
        failed = None
        if item.status != "passed":
            why = item.data.get("reason")
            said = f": {shortened(why) if isinstance(why, str) else shown(why)}" if why else ""
            failed = f"{item.source} found it failed at {item.time}{said}"
        return ItemFacts(
            misfit=misfit,
            failed=failed,
            elsewhere=self.elsewhere(item) if failed is None else self.far(item),
            stale=self.stale(item, data, max_age_days),
            unsealed=self.seals.against(item),
        )

    def misfit(self, item: Evidence, data: schemas.Data) -> str | None:
        """Why data that fit their schema are no evidence for all that."""
        if reason := unfit(item, data):
            return reason
        return disagreement(data, self.counting) if depends(item, data) else None

    @cached_property
    def counting(self) -> tuple[Read, ...]:
        """The items that others are held against: passed, sealed and of this system."""
        return tuple(self._counting())

    def _counting(self) -> Iterator[Read]:
        for item in self.given.items:
            name = self.compared.get(item.field)
            if name is None or item.status != "passed" or self.elsewhere(item):
                continue
            data, _ = schemas.misfit(item.data, schemas.schema(name))
            if data is not None and self.seals.against(item) is None:
                yield Read(item, data)

    def elsewhere(self, item: Evidence) -> str | None:
        if self.system == UNDECLARED:
            return "nobody said which system is evaluated; name it and its version"
        scope = item.scope
        if (scope.system, scope.version) != (self.system.name, self.system.version):
            return (
                f"it is of {scope.system} {scope.version}, "
                f"not of {self.system.name} {self.system.version}"
            )
        return self.ahead(item)

    def far(self, item: Evidence) -> str | None:
        """Like :meth:`elsewhere`, for a failure: a name that reads the same is the same."""
        scope = item.scope
        alike = (folded(scope.system), folded(scope.version)) == (
            folded(self.system.name), folded(self.system.version),
        )  # fmt: skip
        if not alike or self.system == UNDECLARED:
            return self.elsewhere(item)
        return self.ahead(item)

    def ahead(self, item: Evidence) -> str | None:
        if microseconds(item.time) > end_of(self.day):
            return f"it was established at {item.time}, after {self.day.isoformat()}"
        return None

    def stale(self, item: Evidence, data: schemas.Data | None, max_age_days: int) -> str | None:
        now, most = end_of(self.day), max_age_days * DAY
        before = f"more than {max_age_days} days before {self.day.isoformat()}"
        if item.expires is not None and microseconds(item.expires) <= now:
            return f"it expired at {item.expires}"
        if now - microseconds(item.time) > most:
            return f"it is of {item.time}, {before}"
        seen = None if data is None else data.seen_at()
        if seen is not None and now - seen > most:
            return f"what it tells of was last seen on {day_of(seen)}, {before}"
        due = None if data is None else data.good_until()
        if due is not None and due <= now:
            return f"its next review fell due on {day_of(due)}"
        return None


def unfit(item: Evidence, data: schemas.Data) -> str | None:
    """Why data that fit their schema do not fit their item; ``None`` where they do."""
    if data.DIGEST and item.digest is None:
        return "it names no digest of its document; give sha256: and 64 hex digits"
    if reason := data.kept(microseconds(item.time)):
        return reason
    return data.of_other(item.scope.system, item.scope.version)


_MOST_NAMED: Final = 4


def _retired(items: Iterable[Evidence], results: list[ItemResult]) -> Iterator[ItemResult]:
    """The results, each failure that its own source took back later made a stale one."""
    pairs = list(zip(items, results, strict=True))
    shown_ = [(one.source, microseconds(one.time)) for one, res in pairs if res.state == SHOWN]
    for one, result in pairs:
        if result.state == FAILED and retired(one.source, microseconds(one.time), shown_):
            reason = printable(f"{one.source} found later that it passed; before, {result.reason}")
            yield result.model_copy(update={"state": STALE, "reason": reason})
        elif result.state == FAILED and any(source == one.source for source, _ in shown_):
            reason = printable(
                f"{result.reason}; what {one.source} found passed is not of a later time: only a "
                "later finding takes a failure back"
            )
            yield result.model_copy(update={"reason": reason})
        else:
            yield result


def _broken(each: InvalidItem) -> ItemResult:
    state, reasons = item_verdict(ItemFacts(malformed=each.reason))
    return ItemResult(
        field=each.field,
        source=None,
        time=None,
        state=state,  # type: ignore[arg-type] # one of WORST_FIRST
        reason=printable("; ".join(reasons)),
        receipt=None,
        origin=None,
        entries=(),
    )


def _reasons(
    check: Check,
    items: Iterable[ItemResult],
    others: Iterable[Obligation],
    found: Mapping[str, tuple[ItemResult, ...]],
) -> tuple[str, ...]:
    """Why a check is not shown: each item that does not show it, or that there is none."""
    shown_ = {item.field for item in items if item.state == SHOWN}
    reasons = [
        f"{item.field}: {item.reason}"
        for item in items
        # What is sealed already and was collected anew lacks nothing.
        if item.state != SHOWN and not (item.state == UNSIGNED and item.field in shown_)
    ]
    if any(item.field == check.field for item in items):
        return tuple(reasons)
    machine = [each.id for each in others if each.machine]
    lacking = [id_ for id_ in machine if not found[id_]]
    if not machine:
        reasons.append(f"there is no evidence for {check.field}")
    elif lacking:
        named = ", ".join(lacking[:_MOST_NAMED])
        more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
        reasons.append(f"there is no evidence for {check.field}, nor for {named}{more}")
    return tuple(reasons)


def _compared(catalogue: Catalogue) -> dict[str, str]:
    """Fields whose items others are held against -> their schemas."""
    found = {name: kind.NAME for name, kind in schemas.FIELD_SCHEMAS.items()}
    found |= {each.id: each.schema for each in catalogue.obligations}
    return {name: schema for name, schema in found.items() if schema in COMPARED}


def _check_conditions(system: System) -> None:
    """Refuse a condition that nothing depends on: it would be declared in vain."""
    known = load_catalogue().conditions
    for name in system.conditions:
        if name not in known:
            raise UsageError(
                f"the system declares {shown(name)}, which is no condition of the catalogue"
                f"{near(name, known) or '; they are ' + ', '.join(known)}"
            )


_MOST_HINTS: Final = 5


def _unknown(given: EvidenceSet, profile: Profile) -> tuple[str, ...]:
    """Fields of evidence that no check and no obligation asks for; hints for the first few.

    A hint compares a name with all that are known, which takes its time; the evidence may be
    a stranger's.
    """
    catalogue = load_catalogue()
    known = {*profile.fields, *schemas.FIELD_SCHEMAS, *catalogue}
    fields = dict.fromkeys([item.field for item in given.items] + [e.field for e in given.invalid])
    strange = [name for name in fields if name not in known]
    hints = [near(name, known) for name in strange[:_MOST_HINTS]]
    hints += [""] * (len(strange) - len(hints))
    told = [f"{printable(name)}{hint}" for name, hint in zip(strange, hints, strict=True)]
    if profile.every:
        unasked = [name for name in fields if name in known and name not in catalogue]
        told += [f"{name}; {_instead(name, profile)}" for name in unasked]
    return tuple(told)


def _instead(field: str, profile: Profile) -> str:
    """What a profile of all obligations asks for in place of a field of the core checks."""
    core = {check.field: check.obligations for check in load_profile("core").checks}
    asked = core.get(field)
    if not asked:
        return f"the profile {profile.name} asks for obligations, and for none by that field"
    more = f" and {len(asked) - _MOST_NAMED} more" if len(asked) > _MOST_NAMED else ""
    return f"the profile {profile.name} asks for {', '.join(asked[:_MOST_NAMED])}{more} instead"
