"""The last entry of a log, and whether it may be built upon.

What is signed speaks, by the chain, for all before it. So one and the same thing is asked of
the last entry when a ledger is opened and when another process has written to it since: that
it verifies, that it follows something, and that exactly the ledger's own keys signed it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from quorate.core.errors import UsageError, VerificationError
from quorate.ledger.entries import first_prev
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import Receipt, decode_signatures
from quorate.ledger.rows import read_row
from quorate.ledger.sqlite import Row

FOLLOWS_NOTHING: Final = "0" * 64
"""``prev`` of an entry that had to be written on top of one that does not verify."""


class OtherKeysError(UsageError):
    """The last entry is signed by other keys than those that the ledger was opened with.

    Attributes:
        receipt: the entry, where a key that is known signed it; ``None`` where only others did,
            so that nobody here can tell whether it is sound.
    """

    def __init__(self, signed: Iterable[str], own: Iterable[str], receipt: Receipt | None) -> None:
        """Name the keys that ``signed``, and those it was opened with, by their ids."""
        super().__init__(
            f"this ledger was last signed by key {' and '.join(signed)}, "
            f"not by {' and '.join(own)}; open it with the key or keys it was begun with"
        )
        self.receipt = receipt


def read_tip(row: Row, origin: str, policy: Policy, own: Collection[str]) -> Receipt:
    """Read the last row as an entry that may be built upon.

    Args:
        row: as stored.
        origin: name of the log.
        policy: the keys that are known.
        own: ids of the keys that sign what is appended.

    Raises:
        OtherKeysError: other keys than ``own`` signed it, or not all of those.
        VerificationError: it is damaged, or follows nothing.
    """
    try:
        receipt = read_row(row, origin, policy)
    except VerificationError as error:
        if error.rule != "signature":
            raise
        signed = [s.key_id for s in decode_signatures(row.signatures.decode("ascii"))]
        # A signature of a known key that does not hold is damage, and no question of keys.
        if any(policy.verifier(key_id) is not None for key_id in signed):
            raise
        raise OtherKeysError(signed, own, None) from error
    _check_link(receipt.entry.prev, receipt.seq, origin)
    signed = [s.key_id for s in receipt.signatures]
    if set(signed) != set(own):
        raise OtherKeysError(signed, own, receipt)
    return receipt


def _check_link(prev: str, seq: int, origin: str) -> None:
    if seq == 0 and prev != first_prev(origin):
        raise VerificationError("it does not follow the origin", index=seq, rule="chain")
    if seq and prev == FOLLOWS_NOTHING:
        raise VerificationError(
            "it was written on top of an entry that did not verify, and follows nothing: this "
            "ledger is stopped for good; keep it as it is, and begin another",
            index=seq,
            rule="chain",
        )
