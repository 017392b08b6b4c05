"""Bounds of an agent card. Beyond them it is refused, never cut."""

from __future__ import annotations

from typing import Final

MAX_CARD_BYTES: Final = 1 << 20
"""Largest agent card, in bytes as read."""

MAX_EVIDENCE_BYTES: Final = 16 << 20
"""Largest evidence file, in bytes as read."""

MAX_TRUST_BYTES: Final = 256 << 10
"""Largest trust store, in bytes as read."""

MAX_CARD_DEPTH: Final = 32
"""Deepest nesting of arrays and objects in a card: sealed, it lies deeper still."""

MAX_SKILLS: Final = 256
"""Most skills of one card."""

MAX_INTERFACES: Final = 64
"""Most interfaces of one card."""

MAX_EXTENSIONS: Final = 64
"""Most protocol extensions of one card."""

MAX_SIGNATURES: Final = 16
"""Most signatures of one card."""

MAX_MEMBERS: Final = 256
"""Most items of any other list, and most members of any object, that a card's form fixes."""

MAX_TEXT_LENGTH: Final = 16 << 10
"""Longest text that a card's form fixes, in characters."""

MAX_NAME_LENGTH: Final = 256
"""Longest name of a member that the writer of a card chooses, in characters."""

MAX_HINT_LENGTH: Final = 64
"""Longest name for which one that was meant is looked for: that takes time by its square."""

MAX_HINT_NAMES: Final = 64
"""Most names among which one that was meant is looked for."""

MAX_PROBLEMS: Final = 200
"""Most problems told of one card; what is left out is counted."""

MAX_TRUSTED_KEYS: Final = 256
"""Most keys in one trust store."""

MAX_KEY_NAMES: Final = 256
"""Most agents, and most hosts, that one trusted key may be held to."""

MAX_CANDIDATE_TOOLS: Final = 256
"""Most tools that a candidate can name."""

MAX_HOST_LENGTH: Final = 253
"""Longest name of a host, in characters: that of the DNS (RFC 1035, 2.3.4, without the root)."""

MAX_REDIRECTS: Final = 3
"""Most redirects followed to one card."""

MAX_FETCH_SECONDS: Final = 30.0
"""Longest time until a fetched card has come whole, unless told otherwise."""

MAX_ADDRESSES: Final = 16
"""Most addresses of one host that are looked at."""
