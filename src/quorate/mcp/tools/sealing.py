"""Telling where something stands in the ledger."""

from __future__ import annotations

from typing import Any

from quorate.core.canonical import CanonicalError, canonical
from quorate.core.errors import UsageError
from quorate.core.exact import Number, from_text
from quorate.ledger import Receipt
from quorate.mcp.models import Sealed


def sealed_as(receipt: Receipt | None) -> Sealed | None:
    """Where a receipt stands; ``None`` for none."""
    if receipt is None:
        return None
    return Sealed(
        origin=receipt.origin,
        seq=receipt.seq,
        hash=receipt.entry_hash,
        resource=f"quorate://receipt/{receipt.seq}",
    )


def number(value: float | str, name: str) -> Number:
    """A number as it was written: ``"2/3"``, or a JSON number."""
    return from_text(value, name) if isinstance(value, str) else value


def plain_json(value: Any, name: str) -> Any:
    """See that ``value`` is bounded JSON.

    Raises:
        UsageError: it is too deep, or holds what has no canonical form; says where.
    """
    try:
        canonical(value)
    except CanonicalError as error:
        raise UsageError(f"{name} is no JSON that can be taken: {error}") from error
    return value
