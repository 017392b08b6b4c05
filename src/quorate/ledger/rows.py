"""From stored rows to receipts, each checked on its own."""

from __future__ import annotations

from quorate.core.errors import UsageError, VerificationError
from quorate.ledger.entries import Entry
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import Receipt, decode_signatures
from quorate.ledger.sqlite import Row


def read_row(row: Row, origin: str, policy: Policy | None) -> Receipt:
    """Read a row as a receipt, checking form, look-up columns and commitment.

    Args:
        row: as stored.
        origin: name of the log.
        policy: whose signatures to check too; ``None`` to check none.

    Raises:
        VerificationError: the row is damaged; names it and the rule.
    """
    try:
        entry = Entry.decode(row.entry)
        signatures = decode_signatures(row.signatures.decode("ascii"))
    except (UsageError, UnicodeDecodeError) as error:
        raise VerificationError(str(error), index=row.seq, rule="entry") from error
    if entry.seq != row.seq:
        raise VerificationError(f"it says it is number {entry.seq}", index=row.seq, rule="entry")
    check_look_up(row, entry)
    receipt = Receipt(origin, entry, row.entry, row.body, row.salt, signatures)
    if policy is None:
        receipt.check_commitment()
    else:
        receipt.verify(policy)
    return receipt


def read_link(number: int, raw: bytes, seq: int, prev: str | None) -> Entry:
    """Read the entry ``seq``, which follows the one with the hash ``prev``.

    Args:
        number: of the row.
        raw: bytes of its entry.
        seq: number of the entry that is to be there.
        prev: hash of the entry before, hex, or what stands there in the first; ``None`` where
            that is not known.

    Raises:
        VerificationError: rule ``sequence``, ``entry`` or ``chain``: it is missing, is none, or
            does not follow.
    """
    if number != seq:
        raise VerificationError(f"found number {number} instead", index=seq, rule="sequence")
    try:
        entry = Entry.decode(raw)
    except UsageError as error:
        raise VerificationError(str(error), index=seq, rule="entry") from error
    if entry.seq != seq:
        raise VerificationError(f"it says it is number {entry.seq}", index=seq, rule="entry")
    if prev is not None and entry.prev != prev:
        before = "the origin" if seq == 0 else "the entry before"
        raise VerificationError(f"it does not follow {before}", index=seq, rule="chain")
    return entry


def check_look_up(row: Row, entry: Entry) -> None:
    """Check that the indexed columns of a row repeat its entry.

    Raises:
        VerificationError: rule ``look-up``: one does not.
    """
    for name, stored, sealed in (
        ("kind", row.kind, entry.kind),
        ("trace_id", row.trace_id, entry.trace_id),
        ("key", row.key, entry.key),
    ):
        if stored != (None if sealed is None else sealed.encode()):
            raise VerificationError(
                f"the look-up column {name} says something else than the entry",
                index=row.seq,
                rule="look-up",
            )
