"""Bounds of the server. Beyond each a request is refused, never cut.

Those that the operator may choose are defaults of :mod:`quorate.mcp.settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quorate.core import limits

BODY_BYTES: Final = 4 << 20
"""Largest body of one request, unless told otherwise."""

MOST_BODY_BYTES: Final = 64 << 20
"""Largest body that an operator can allow."""

BODY_SECONDS: Final = 10.0
"""How long a client may take to send a body, unless told otherwise."""

CALL_SECONDS: Final = 60.0
"""How long one call may take, unless told otherwise."""

CALLS: Final = 512
"""Most requests answered side by side, unless told otherwise."""

MOST_CALLS: Final = 4096
"""Most requests side by side that an operator can allow."""

WORKERS: Final = 32
"""Most calls that compute at the same time; others wait for their turn."""

SHARE: Final = 2
"""One token has at most one in so many of the places: of calls, of streams and of workers."""

SESSIONS: Final = 1024
"""Most sessions open at once."""

CLIENT_SESSIONS: Final = 64
"""Most sessions that one token may have open at once."""

SESSION_SECONDS: Final = 600.0
"""How long a session may lie idle before it is forgotten."""

CONNECTIONS: Final = 1024
"""Most connections open at once, and never more than half of the files that may be open."""

HEADER_SECONDS: Final = 10.0
"""How long a connection may take from its opening, or from the first byte of a further request,
until the head of the request is whole; and before that, to agree on TLS, or to take leave."""

WRITE_SECONDS: Final = 30.0
"""How long an answer may wait for its client to read on."""

KEEP_SECONDS: Final = 75
"""How long a connection may lie idle: longer than clients keep theirs, so that no request meets
one that is just being closed."""

STOP_SECONDS: Final = 10
"""How long calls in progress may go on after the server was told to stop."""

DEPTH: Final = limits.MAX_DEPTH
"""Deepest nesting of a call's arguments."""

NODES: Final = 50_000
"""Most values and members in a call's arguments."""

CODE_CHARACTERS: Final = 128 << 10
"""Most characters of answers that are read as programs, in one call."""

MAX_TOKENS: Final = 1000
"""Most tokens in one file."""

MAX_TOKEN_FILE_BYTES: Final = 1 << 20
"""Largest file of tokens, in bytes as read."""

MAX_TOKEN_DAYS: Final = 366
"""Longest life of a token, in days."""

MAX_TARGETS: Final = 64
"""Most callables registered as targets of a scan."""


def too_many(value: object, most: int) -> bool:
    """Whether arrays and objects hold more than ``most`` values in all; never recurses."""
    left, found = [value], 0
    while left and found <= most:
        item = left.pop()
        if isinstance(item, Mapping):
            item = tuple(item.values())
        if isinstance(item, list | tuple):
            found += len(item)
            left += item
    return found > most


def too_deep(value: object, most: int) -> bool:
    """Whether arrays and objects are nested deeper than ``most``; never recurses."""
    level = [value]
    for _ in range(most):
        below: list[object] = []
        for item in level:
            if isinstance(item, Mapping):
                below += item.values()
            elif isinstance(item, list | tuple):
                below += item
        if not below:
            return False
        level = below
    return any(isinstance(item, Mapping | list | tuple) for item in level)
