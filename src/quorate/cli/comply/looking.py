"""``quorate comply catalogue`` and ``profiles``: what is asked, by which law, from when."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quorate.cli.comply.options import AsOf, complete_profile, day_of
from quorate.cli.shown import AsJson, print_json, say
from quorate.core.errors import UsageError
from quorate.core.text import counted

if TYPE_CHECKING:
    from quorate.compliance import Catalogue, Check, Obligation


def complete_obligation(incomplete: str) -> list[str]:
    """Obligations, checks and fields that a shell may offer."""
    from quorate.compliance import load_catalogue, load_profile

    checks = [c for name in ("core", "experts") for c in load_profile(name).checks]
    known = [*load_catalogue(), *(c.id for c in checks), *(c.field for c in checks)]
    return [name for name in known if name.startswith(incomplete)]


def catalogue(
    id_: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="An obligation (art_12.par_1), a check (EUAIACT-ART12-001, OPENSCORE-13) or its "
            "field (eventLogging, hitlContact).",
            autocompletion=complete_obligation,
            show_default=False,
        ),
    ] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """List the obligations as the law stands on a day; or tell one, and what evidence it takes."""
    from quorate.compliance import law, load_catalogue

    day = day_of(as_of)
    text, known = law.text_at(day), load_catalogue().at(day)
    if id_ is not None:
        told = _one(id_, known, day)
        if as_json:
            print_json(told)
        else:
            _say_one(told)
        return
    if as_json:
        print_json(
            {
                "version": known.version,
                "checked": known.checked.isoformat(),
                "as_of": day.isoformat(),
                "law_text": text.id,
                "obligations": [_obligation(each, day) for each in known.values()],
            }
        )
        return
    say(f"{text.title}, on {day.isoformat()}; catalogue {known.version}, "
        f"compared with the law on {known.checked.isoformat()}")  # fmt: skip
    article = None
    for each in known.values():
        if each.article != article:
            article = each.article
            say("")
            say(f"{_heading(article)}  {known.articles[article]}")
        judged = "  [people judge]" if not each.machine else ""
        when = f"  (if {', '.join(each.when)})" if each.when else ""
        say(f"  {each.id:24} {each.severity:8} {each.text}{when}{judged}")
    say("")
    say(f"{counted(len(known), 'obligation')}; one in full: quorate comply catalogue ID")


def profiles(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]",
            help="Show the checks of this one.",
            autocompletion=complete_profile,
            show_default=False,
        ),
    ] = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """List the profiles; or the checks of one, with the field of evidence that shows each."""
    from quorate.compliance import load_catalogue, load_profile
    from quorate.compliance.profiles import SHIPPED

    known = load_catalogue().at(day_of(as_of))
    found = [load_profile(each) for each in (SHIPPED if name is None else (name,))]
    told = [
        {
            "name": each.name,
            "title": each.title,
            "weight": sum(check.weight for check in each.at(known)),
            "checks": [_check(check) for check in each.at(known)],
        }
        for each in found
    ]
    if as_json:
        print_json(told)
        return
    for profile in told:
        checks: Any = profile["checks"]
        number = counted(len(checks), "check")
        say(f"{profile['name']}: {profile['title']}; {number}, weight {profile['weight']}")
        for check in checks if name is not None else ():
            say(f"  {check['id']:20} {check['severity']:8} {check['field']}: {check['title']}")


def _one(id_: str, known: Catalogue, day: date) -> dict[str, Any]:
    """An obligation, or a check of core or experts by its id or field, with what evidence it takes.

    Raises:
        UsageError: there is none; the message says what may have been meant.
    """
    from quorate.cli.comply.skeleton import item_skeleton
    from quorate.compliance import System, load_profile
    from quorate.compliance.schemas import schema
    from quorate.compliance.wording import near

    asked = [load_profile(name).checks for name in ("core", "experts")]
    checks = {check.id: check for each in asked for check in each}
    found = checks.get(id_) or next((c for c in checks.values() if c.field == id_), None)
    blank = System(name="<name of the system>", version="<its version>")
    if found is not None:
        kind = schema(found.schema)
        return {
            **_check(found),
            "article": found.article,
            "obligations": [_obligation(known[each], day) for each in found.obligations
                            if each in known],
            "evidence": item_skeleton(kind, found.needs, blank),
        }  # fmt: skip
    if id_ not in known:
        fields = [check.field for check in checks.values()]
        hint = near(id_, (*known, *checks, *fields))
        try:
            known[id_]
        except UsageError as error:
            told = str(error)
            raise UsageError(told if "; " in told else f"{told}{hint}") from error
    obligation = known[id_]
    return {
        **_obligation(obligation, day),
        "conditions": {each: known.conditions[each] for each in obligation.when},
        "checks": [c.id for c in checks.values() if id_ in c.obligations],
        "evidence": item_skeleton(schema(obligation.schema), obligation.needs, blank),
    }


def _obligation(each: Obligation, day: date) -> dict[str, Any]:
    from quorate.compliance import law
    from quorate.compliance.rendering.words import reference

    days = {category: each.applies_from(category, day) for category in law.CATEGORIES}
    return {
        **each.to_dict(),
        "reference": reference(each.id),
        "applies_from": {category: first.isoformat() for category, first in days.items()},
        "in_force": {category: first <= day for category, first in days.items()},
    }


def _check(check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "title": check.title,
        "severity": check.severity,
        "weight": check.weight,
        "field": check.field,
        "schema": check.schema,
        "needs": list(check.needs),
        "max_age_days": check.max_age_days,
    }


def _say_one(told: dict[str, Any]) -> None:
    if "field" in told:
        say(f"{told['id']}: {told['title']}")
        say(f"  severity:   {told['severity']}, weight {told['weight']}")
        say(f"  field:      {told['field']}")
        say("  stands for:" if told["obligations"] else "  stands for: no obligation of the law")
        for each in told["obligations"]:
            say(f"    {each['id']}  {each['reference']}: {each['text']}")
    else:
        say(f"{told['id']}: {told['reference']}")
        say(f"  asks:       {told['text']}")
        say(f"  severity:   {told['severity']}; binds the {told['role']}")
        judged = "a machine checks it" if told["machine"] else "people judge the content"
        say(f"  checking:   {judged}")
        say(f"  applies:    {'; '.join(_days(told))}")
        say(f"  in the law: {_standing(told)}")
        for name, meaning in told["conditions"].items():
            say(f"  only if:    {name}: {meaning}")
        if told["checks"]:
            say(f"  part of:    {', '.join(told['checks'])}")
    needs = f", with {', '.join(told['needs'])}" if told["needs"] else ""
    say(f"  evidence:   data of the schema {told['schema']}{needs}")
    say("")
    say(json.dumps(told["evidence"], ensure_ascii=False, indent=2))


def _days(told: dict[str, Any]) -> Iterable[str]:
    from quorate.compliance.rendering.words import CATEGORIES

    for category, first in told["applies_from"].items():
        now = "applicable" if told["in_force"][category] else "not yet applicable"
        yield f"{CATEGORIES[category]} from {first} ({now})"


def _standing(told: dict[str, Any]) -> str:
    until = "" if told["until"] is None else f" until {told['until']}"
    return f"since {told['since']}{until}, by Regulation (EU) {told['act']}"


def _heading(article: str) -> str:
    from quorate.compliance.rendering.words import article as heading

    return heading(article)
