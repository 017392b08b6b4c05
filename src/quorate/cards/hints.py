"""What was probably meant, where a name is none of those that are known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice

from quorate.cards import bounds


def near(name: str, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` where a known name is close to ``name``, whatever its case.

    Of long names, and of more than :data:`~quorate.cards.bounds.MAX_HINT_NAMES`, nothing is
    looked for: who writes a card chooses both sides, and comparing them takes time by their
    product.
    """
    if len(name) > bounds.MAX_HINT_LENGTH:
        return ""
    short = (each for each in known if len(each) <= bounds.MAX_HINT_LENGTH)
    folded = {each.casefold(): each for each in islice(short, bounds.MAX_HINT_NAMES)}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f'; did you mean "{folded[found[0]]}"?' if found else ""
