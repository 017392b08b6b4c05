"""Bounds of a council. Beyond them the input is refused, never cut."""

from __future__ import annotations

from typing import Final

MAX_REASON_LENGTH: Final = 2000
"""Longest reason of a vote, a cancellation or a resolution, in characters."""

MAX_EXPIRY_SECONDS: Final = 10 * 366 * 86_400
"""Longest time that a proposal may stay open, if it has an expiry."""

MAX_CLOCK_TOLERANCE_SECONDS: Final = 86_400
"""Farthest that a council lets the time of an event be from that of its ledger entry."""

EXECUTION_SECONDS: Final = 60
"""How long an execution has until it may be resolved by hand, unless it says so itself."""

MAX_EXECUTION_SECONDS: Final = 7 * 86_400
"""Longest time that an execution may ask for."""

MIN_DIGEST_LENGTH: Final = 8
"""Fewest digits of a proposal's digest by which one says which proposal is meant."""

MAX_ACTIONS: Final = 256
"""Most actions that one council registers beside the well-known ones."""

MAX_ACTIVE: Final = 10_000
"""Most proposals that one council may be allowed to have open at once."""

MAX_WEIGHT_DIGITS: Final = 18
"""Most decimal digits in numerator and in denominator of one voter's weight."""

MAX_DETAIL_BYTES: Final = 64 << 10
"""Largest detail of the result of an execution, as canonical JSON."""

MAX_ATTEMPTS: Final = 1000
"""How often a command is tried again because others wrote to the ledger first."""

MAX_PAUSE_SECONDS: Final = 0.02
"""Longest pause between two such attempts; its length is drawn."""

MAX_BLOCS: Final = 1000
"""Most voting blocs reported at once."""

MAX_SAID_CHARACTERS: Final = 4096
"""How much is kept of what an executor or a hook writes on one channel, in characters.

Two channels of it, escaped at their longest, stay within ``MAX_DETAIL_BYTES``.
"""

MAX_OUTPUT_BYTES: Final = 64 << 10
"""How much is read of an executor's output or answer; what comes after it is thrown away."""

MAX_HOOKS: Final = 64
"""Most hooks of one notifier."""

MAX_NOTICE_ATTEMPTS: Final = 100
"""Most times that one notice may be tried."""

FIRST_BACKOFF_SECONDS: Final = 1
"""Wait after the first failed try of a notice; it doubles with each."""

LONGEST_BACKOFF_SECONDS: Final = 3600
"""Longest wait between two tries of a notice."""
