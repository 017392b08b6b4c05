"""Public keys of voters: which of them are fit to be one, and when two are the same.

The text of a public key holds two Ed25519 points, one for ballots and one for notes. Only the
first speaks for a voter. It has to be what RFC 8032, 5.1.3 decodes, in its one spelling, and
of no small order: under a key of small order one signature holds for every ballot.
"""

from __future__ import annotations

import base64
from typing import Final

from quorate.core.errors import UsageError

_P: Final = 2**255 - 19
_D: Final = -121665 * pow(121666, -1, _P) % _P
_Y8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_BYTES: Final = 32

SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})
"""The y of all points whose order divides 8."""


def ballot_point(text: str) -> bytes:
    """The 32 bytes of the key that checks ballots, out of a public key's text."""
    body = text.removeprefix("ed25519:")
    return base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))[:_BYTES]


def check_point(text: str, voter: str) -> None:
    """Refuse a key that is no point, spelled otherwise than it should be, or of small order.

    Raises:
        UsageError: says which.
    """
    said = int.from_bytes(ballot_point(text), "little")
    y = said & ((1 << 255) - 1)
    if y >= _P:
        raise UsageError(f"the key of {voter!r} is not in its one spelling; make another")
    if y in SMALL_ORDER:
        raise UsageError(
            f"the key of {voter!r} is a point of small order, under which one signature holds "
            "for any ballot; make one with 'quorate keys new'"
        )
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    if pow(square, (_P - 1) // 2, _P) != 1:
        raise UsageError(f"the key of {voter!r} is no point of the curve; make another")
