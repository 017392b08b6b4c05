"""Sealing of evidence in the ledger that it was collected from."""

from __future__ import annotations

from collections.abc import Iterable

from quorate.compliance.collect.surveying import Survey
from quorate.compliance.collected import check_collected, looks_collected
from quorate.compliance.drill_record import Drill
from quorate.compliance.evidence import KIND, Evidence
from quorate.compliance.sealed import COLLECTED
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.text import printable
from quorate.ledger import Ledger


def seal_evidence(
    ledger: Ledger, items: Iterable[Evidence], *, collected: Survey | None = None
) -> list[Evidence]:
    """Seal items, all or none; give them back with the entries that seal them.

    Each is sealed anew, also where it was sealed before.

    Args:
        ledger: open for writing; items that were collected are sealed in their own.
        items: at most ``limits.MAX_BATCH``.
        collected: the survey that collected items came from. An item whose source is a
            collector's is sealed only if it is one of these, word for word, so that nobody
            writes one by hand.

    Raises:
        UsageError: an item has a collector's source and does not come from ``collected``, or
            was collected from entries that this ledger does not hold or that do not show it, or
            its source reads as a collector's; or the ledger is open for reading. Nothing was
            sealed.
        StoreError: they could not be written; none was.
    """
    given = list(items)
    if collected is not None and not isinstance(collected, Survey):
        raise UsageTypeError(f"collected is a {type(collected).__name__}; give what survey() gave")
    for item in given:
        if not isinstance(item, Evidence):
            raise UsageTypeError(f"{type(item).__name__} is no Evidence; read it first")
        if item.source.startswith(COLLECTED):
            _check_came(item, collected)
            _check_own(ledger, item)
        elif looks_collected(item.source):
            raise UsageError(
                f"the item on {item.field} has the source {printable(item.source)!r}, which reads "
                "as a collector's and is none; name who established it"
            )
    receipts = ledger.append_many(KIND, [item.body() for item in given])
    return [item.sealed_by(at) for item, at in zip(given, receipts, strict=True)]


def _check_came(item: Evidence, collected: Survey | None) -> None:
    came = () if collected is None else collected.items
    # Word for word: to Python 1 and True are equal.
    if canonical(item.body()) in {canonical(one.body()) for one in came if one.field == item.field}:
        return
    raise UsageError(
        f"the item on {item.field} has the source {item.source}, which is a collector's, and was "
        "not collected just now; have it collected and sealed in one go, 'quorate comply collect "
        "--seal', or name another source"
    )


def _check_own(ledger: Ledger, item: Evidence) -> None:
    size = len(ledger)
    for entry in item.entries:
        if entry.seq >= size or ledger.get(entry.seq).entry_hash != entry.hash:
            raise UsageError(
                f"the item on {item.field} was collected from entry {entry.seq} of another "
                f"ledger than {ledger.origin}; seal it in that one"
            )
    try:
        check_collected(
            item,
            lambda entry: ledger.get(entry.seq).kind,
            lambda entry: Drill.from_dict(ledger.get(entry.seq).payload),
        )
    except UsageError as error:
        raise UsageError(f"the item on {item.field} cannot be sealed: {error}") from error
