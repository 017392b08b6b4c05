"""Sealing of evidence in the ledger that it was collected from."""

from __future__ import annotations

from collections.abc import Iterable

from quorate.compliance.evidence import KIND, Evidence
from quorate.compliance.sealed import COLLECTED
from quorate.core.errors import UsageError, UsageTypeError
from quorate.ledger import Ledger


def seal_evidence(ledger: Ledger, items: Iterable[Evidence]) -> list[Evidence]:
    """Seal items, all or none; give them back with the entries that seal them.

    Each is sealed anew, also where it was sealed before.

    Args:
        ledger: open for writing; items that were collected are sealed in their own.
        items: at most ``limits.MAX_BATCH``.

    Raises:
        UsageError: an item was collected from entries that this ledger does not hold; or the
            ledger is open for reading. Nothing was sealed.
        StoreError: they could not be written; none was.
    """
    given = list(items)
    for item in given:
        if not isinstance(item, Evidence):
            raise UsageTypeError(f"{type(item).__name__} is no Evidence; read it first")
        if item.source.startswith(COLLECTED):
            _check_own(ledger, item)
    receipts = ledger.append_many(KIND, [item.body() for item in given])
    return [item.sealed_by(at) for item, at in zip(given, receipts, strict=True)]


def _check_own(ledger: Ledger, item: Evidence) -> None:
    size = len(ledger)
    for entry in item.entries:
        if entry.seq >= size or ledger.get(entry.seq).entry_hash != entry.hash:
            raise UsageError(
                f"the item on {item.field} was collected from entry {entry.seq} of another "
                f"ledger than {ledger.origin}; seal it in that one"
            )
