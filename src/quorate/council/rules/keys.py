"""Public keys of voters: which of them are fit to be one, and when two are the same.

The text of a public key holds two Ed25519 points, one for ballots and one for notes. Only the
first speaks for a voter. It has to be a point of the curve (RFC 8032, 5.1.3); that it is in its
one spelling and of no small order, each key is held to where it is read.
"""

from __future__ import annotations

import base64
from typing import Final

from quorate.core.errors import UsageError

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_BYTES: Final = 32


def ballot_point(text: str) -> bytes:
    """The 32 bytes of the key that checks ballots, out of a public key's text."""
    body = text.removeprefix("ed25519:")
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))[:_BYTES]


def check_point(text: str, voter: str) -> None:
    """Refuse a key that is no point: nobody could sign with it.

    Raises:
        UsageError: it is none.
    """
    y = int.from_bytes(ballot_point(text), "little") & ((1 << 255) - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(square, (_P - 1) // 2, _P) != 1:
        raise UsageError(f"the key of {voter!r} is no point of the curve; make another")
