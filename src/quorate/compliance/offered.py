"""Whether an item could count at all: asked before it is sealed, for a ledger keeps it."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.compliance import schemas
from quorate.compliance.catalogue import load_catalogue
from quorate.compliance.evaluation import unfit
from quorate.compliance.evidence import Evidence
from quorate.compliance.profiles import Profile, load_profile
from quorate.compliance.system import UNDECLARED, System
from quorate.compliance.times import day_of, microseconds
from quorate.compliance.wording import near, shown
from quorate.core.errors import UsageError
from quorate.ledger.receipts import timestamp


def form_of(field: str, profile: Profile) -> tuple[type[schemas.Data], tuple[str, ...]]:
    """The schema of a field's data, and what they need beyond it.

    Args:
        field: of a profile, or an obligation.
        profile: that may ask for more, or for fields of its own.

    Raises:
        UsageError: nothing asks for it; the message says what may have been meant.
    """
    for check in profile.checks:
        if check.field == field:
            return schemas.schema(check.schema), check.needs
    if field in schemas.FIELD_SCHEMAS:
        return schemas.FIELD_SCHEMAS[field], schemas.FIELD_NEEDS[field]
    catalogue = load_catalogue()
    if field in catalogue:
        return schemas.schema(catalogue[field].schema), catalogue[field].needs
    known = (*profile.fields, *schemas.FIELD_SCHEMAS, *catalogue)
    raise UsageError(
        f"nothing asks for {shown(field)}{near(field, known)}; a field of one's own profile is "
        "known with --profile FILE"
    )


def objection(
    item: Evidence, *, system: System, now: int, profile: str | Profile = "core"
) -> str | None:
    """Why an item would show nothing if it were sealed now; ``None`` where it could.

    Not asked is what depends on others: whether another item contradicts it, and how old a
    profile lets it grow. A failure counts whatever its data are.

    Args:
        item: that is to be sealed.
        system: that it has to speak of.
        now: microseconds since 1970.
        profile: that may know fields of its own.

    Raises:
        UsageError: there is no such profile.
    """
    asked = load_profile(profile)
    try:
        kind, needs = form_of(item.field, asked)
    except UsageError as error:
        return str(error)
    return "; ".join([*_misfits(item, kind, needs, now), *_elsewhere(item, system, now)]) or None


def _misfits(
    item: Evidence, kind: type[schemas.Data], needs: tuple[str, ...], now: int
) -> Iterator[str]:
    if item.status != "passed":
        return
    data, reason = schemas.misfit(item.data, kind, needs)
    if reason is None and data is not None:
        reason = unfit(item, data)
    if reason is not None:
        yield reason
    due = None if data is None else data.good_until()
    if due is not None and due <= now:
        yield f"its next review fell due on {day_of(due)}"
    if item.expires is not None and microseconds(item.expires) <= now:
        yield f"it expired at {item.expires}"


def _elsewhere(item: Evidence, system: System, now: int) -> Iterator[str]:
    scope = item.scope
    if system == UNDECLARED:
        yield "nobody said which system it is for; name its file with --system"
    elif (scope.system, scope.version) != (system.name, system.version):
        yield (
            f"its scope is {scope.system} {scope.version}, and the system declared is "
            f"{system.name} {system.version}; mend the one, or name the other's file with --system"
        )
    if microseconds(item.time) > now:
        yield f"its time is {item.time}, and now is {timestamp(now)}"
