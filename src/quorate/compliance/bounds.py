"""Every size of a compliance report has a bound with a name; beyond it the input is refused."""

from __future__ import annotations

from typing import Final

MAX_ITEMS: Final = 4096
"""Most items of evidence in one set."""

MAX_RECEIPTS: Final = 8192
"""Most receipts beside one set of evidence."""

MAX_EVIDENCE_BYTES: Final = 64 << 20
"""Largest evidence file, in bytes as read."""

MAX_ITEM_BYTES: Final = 1 << 20
"""Largest item of evidence, in bytes of its canonical form."""

MAX_ENTRIES: Final = 10_000
"""Most ledger entries that one item names."""

MAX_CONDITIONS: Final = 256
"""Most conditions that one system declares."""

MAX_TEXT: Final = 4096
"""Longest text in an item of evidence, in characters."""

MAX_LIST: Final = 10_000
"""Most members of one list or table in an item of evidence."""

MAX_PROFILE_BYTES: Final = 1 << 20
"""Largest profile file, in bytes as read."""

MAX_CHECKS: Final = 1024
"""Most checks of one profile."""

MAX_AGE_DAYS: Final = 3660
"""Longest time for which an item without an expiry of its own counts."""
