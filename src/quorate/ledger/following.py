"""Follow a log as it grows, so that nothing in it can hide.

Looking entries up goes by indexed columns, which nobody signs: whoever can write the file
can change one, and the entry behind it is not found. That is seen when the log is verified,
which is too late for whoever acts on what was found. A follower looks nothing up. It reads
each entry, holds it to the one before, and asks its caller by the *entry* whether it is
wanted. The last one's signature is checked; by the chain it speaks for all before it.
"""

from __future__ import annotations

from collections.abc import Callable

from quorate.core.errors import VerificationError
from quorate.ledger.entries import Entry, entry_hash, first_prev
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import Receipt
from quorate.ledger.rows import read_link, read_row
from quorate.ledger.sqlite import Row, SQLiteStore


class Follower:
    """A place in a log, up to which it was read. See :meth:`quorate.ledger.Ledger.follow`.

    Attributes:
        size: entries read so far.
    """

    def __init__(
        self,
        store: SQLiteStore,
        origin: str,
        policy: Policy | None,
        wanted: Callable[[Entry], bool],
    ) -> None:
        """Begin before the first entry."""
        self.size = 0
        self._store = store
        self._origin = origin
        self._policy = policy
        self._wanted = wanted
        self._prev = first_prev(origin)

    def read(self) -> list[Receipt]:
        """Read on to the end; the wanted receipts among the new entries, each checked.

        Raises:
            VerificationError: an entry is missing or damaged, or does not follow the one
                before; entries read before are gone or are others now; or the last one has
                not the signatures of the ledger's keys. Nothing counts as read then.
        """
        found: list[Receipt] = []
        size, prev = self.size, self._prev
        self._check_place()
        last: Row | None = None
        for row in self._store.rows(size):
            entry = read_link(row.seq, row.entry, size, prev)
            if self._wanted(entry):
                found.append(read_row(row, self._origin, self._policy))
            size, prev, last = size + 1, entry_hash(row.entry).hex(), row
        if last is not None and (not found or found[-1].seq != last.seq):
            read_row(last, self._origin, self._policy)
        self.size, self._prev = size, prev
        return found

    def _check_place(self) -> None:
        """See that what was read before still ends as it did."""
        if self.size == 0:
            return
        row = self._store.at(self.size - 1)
        if row is None:
            raise VerificationError(
                f"{self.size} entries were read before, and the last of them is gone: the rest "
                "was cut off",
                index=self.size - 1,
                rule="truncation",
            )
        if entry_hash(row.entry).hex() != self._prev:
            raise VerificationError(
                "it is not the entry that was here before: the log was rewritten",
                index=self.size - 1,
                rule="fork",
            )
