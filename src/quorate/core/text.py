"""Words for people: foreign text made fit for a record and for a screen, and how many of what."""

from __future__ import annotations

from quorate.core import limits


def shortened(text: str) -> str:
    """Cut to ``limits.MAX_DETAIL_LENGTH`` characters, lone surrogates escaped: fit to be sealed."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    most = limits.MAX_DETAIL_LENGTH
    return clean if len(clean) <= most else clean[: most - 1] + "…"


def counted(number: int, what: str, many: str | None = None) -> str:
    """So many of something; ``many`` where the plural is not made with an s alone."""
    return f"{number} {what}" if number == 1 else f"{number} {many or what + 's'}"


def printable(text: str) -> str:
    """Escape what is not printable, line feeds too.

    Control characters and marks of text direction could otherwise rewrite what stands on a
    reader's screen.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
