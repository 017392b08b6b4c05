"""How shares, names and answers are put into words that cannot mislead.

Answers, ids and details come from experts: what is not printable (control characters,
text direction marks) is shown escaped, so that no answer can rewrite the line it is on.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from quorate.core.text import printable

_MOST_DECIMALS: Final = 6
_MOST_NAMES: Final = 12
_MOST_RATIO: Final = 40
_ANSWER_LENGTH: Final = 80
_DIGEST_LENGTH: Final = 12


def _percent(share: Fraction, decimals: int) -> str:
    scaled = round(share * 100 * 10**decimals)
    whole, part = divmod(scaled, 10**decimals)
    return f"{whole}.{part:0{decimals}d}%"


def percent(share: Fraction, threshold: Fraction | None = None) -> str:
    """Write a share (0 to 1) in per cent, with as many decimals as it takes not to lie.

    A share short of ``threshold`` never reads like it, one short of all never as 100%,
    one above nothing never as 0%; what six decimals cannot tell apart is given exactly.
    """
    others = [other for other in (Fraction(0), Fraction(1), threshold) if other is not None]
    for decimals in range(1, _MOST_DECIMALS + 1):
        written = _percent(share, decimals)
        if all(other == share or _percent(other, decimals) != written for other in others):
            return written
    exact = str(share)
    if len(exact) <= _MOST_RATIO:
        return exact
    near = min(others, key=lambda other: abs(other - share))
    return f"{'just over' if share > near else 'just under'} {quorum_percent(near)}"


def quorum_percent(quorum: Fraction) -> str:
    """Write a threshold in per cent exactly, or as a fraction where per cents cannot."""
    for decimals in range(1, _MOST_DECIMALS + 1):
        if (quorum * 100 * 10**decimals).denominator == 1:
            return _percent(quorum, decimals)
    exact = str(quorum)
    return f"{exact} ({_percent(quorum, 1)})" if len(exact) <= _MOST_RATIO else _percent(quorum, 6)


def names(ids: Sequence[str]) -> str:
    """Join ids for a sentence; beyond twelve, the rest is counted."""
    listed = [printable(name) for name in ids[:_MOST_NAMES]]
    if len(ids) > _MOST_NAMES:
        listed.append(f"{len(ids) - _MOST_NAMES} more")
    if len(listed) == 1:
        return listed[0]
    return ", ".join(listed[:-1]) + " and " + listed[-1]


def preview(encoded: bytes) -> str:
    """The first 80 characters of canonical JSON, for people."""
    # At most four bytes a character; a character cut at the end is dropped.
    start = encoded[: 4 * _ANSWER_LENGTH + 4].decode("utf-8", "ignore")
    return start if len(start) <= _ANSWER_LENGTH else start[: _ANSWER_LENGTH - 1] + "…"


def answer(shown: str, digest: str) -> str:
    """Name an answer by its preview and the beginning of its digest."""
    return f"{printable(shown)} (digest {digest[:_DIGEST_LENGTH]}…)"
