"""Five small experts that judge whether a message is spam. Put your own in their place.

An expert is a function, plain or async: it takes a task's input and returns an
Answer(payload, confidence). The payload is any JSON value; answers that are the same
JSON count as the same answer. An async expert must not block: it would hold up all
others. Work that blocks, or computes for long, belongs into a plain function, which is
given a thread of its own.
"""

import re

from quorate.hub import Answer

BAIT = {"free", "winner", "prize", "urgent", "click", "offer", "cash", "guaranteed"}


def words(message):
    """Bait words, and how many."""
    hits = len(BAIT.intersection(re.findall(r"[a-z]+", message["text"].lower())))
    return Answer("spam", min(0.6 + hits / 10, 0.95)) if hits else Answer("ham", 0.7)


def shouting(message):
    """Capitals and exclamation marks."""
    letters = [c for c in message["text"] if c.isalpha()]
    capitals = sum(c.isupper() for c in letters) / max(len(letters), 1)
    loud = capitals > 0.4 or message["text"].count("!") > 1
    return Answer("spam", 0.8) if loud else Answer("ham", 0.75)


def links(message):
    """Web addresses that are not the company's own."""
    foreign = re.findall(r"https?://(?!intranet\.example)", message["text"])
    return Answer("spam", 0.85) if foreign else Answer("ham", 0.6)


async def sender(message):
    """Who sent it; async, as an expert that asks a service would be: it awaits, it never blocks."""
    known = message["from"].endswith("@example.com")
    return Answer("ham", 0.9) if known else Answer("spam", 0.6)


def money(message):
    """Sums of money. Its confidence is declared in quorate.toml, so it returns the bare answer."""
    return "spam" if re.search(r"[$€£]\s?\d", message["text"]) else "ham"
