"""What to do next about a check that is not shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from quorate.compliance import schemas
from quorate.compliance.evidence import COLLECTED, UNVERIFIED
from quorate.compliance.profiles import Check
from quorate.compliance.report import ItemResult
from quorate.compliance.rules import FAILED, MISSING, NOT_APPLICABLE, SHOWN, STALE, UNSIGNED

_ADVICE: Final = {
    "missing": "Bring an item for {field}: {form}.",
    "unsigned": "Seal the items for {field} in a ledger (quorate comply seal), give their "
    "receipts, and name the keys that may sign them.",
    "stale": "Establish {field} again, and seal the new item.",
    "out_of_scope": "Bring an item for {field} of this system and version: {form}.",
    "invalid": "Mend the items for {field}: {form}.",
    "failed": "Mend what failed, establish {field} again, and seal the new item, of a later "
    "time than the failed one, in its place.",
    "collected": "It was collected from the ledger: seal it with 'quorate comply report' and "
    "--seal, or 'quorate comply collect --seal'.",
    "broken": "No item mends this: get a copy of the ledger that is whole, and check it with "
    "'quorate verify'.",
    "drills": "Hold both drills, 'quorate drill halt' and 'quorate drill override', with --panel, "
    "so that the system's own experts are at work; then seal what they show with --seal.",
}


def advice(check: Check, state: str, items: Iterable[ItemResult] = ()) -> str:
    """What to do next about a check in that state; empty where there is nothing.

    Args:
        check: that is asked about.
        state: of the check.
        items: its evidence; what a collector made is not brought by hand.
    """
    if state in (SHOWN, NOT_APPLICABLE):
        return ""
    collected = [
        item for item in items if item.state == state and (item.source or "").startswith(COLLECTED)
    ]
    if state == FAILED and any(UNVERIFIED in item.reason for item in collected):
        return _ADVICE["broken"]
    if state == UNSIGNED and any(item.receipt is None for item in collected):
        return _ADVICE["collected"]
    needs = f" with {', '.join(check.needs)}" if check.needs else ""
    digest = ", and the document's digest" if schemas.schema(check.schema).DIGEST else ""
    form = f"data of the schema {check.schema}{needs}{digest}"
    drills = check.schema == "drills" and state in (MISSING, STALE)
    usual = _ADVICE["drills" if drills else state].format(field=check.field, form=form)
    return f"{check.advice} {usual}" if check.advice else usual
