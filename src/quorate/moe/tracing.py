"""Say which request a batch belongs to, so that its sealed entry can be found by it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from quorate.core.errors import UsageTypeError
from quorate.ledger.entries import check_reference

_CURRENT: Final[ContextVar[tuple[str | None, str | None]]] = ContextVar(
    "quorate_moe_trace", default=(None, None)
)


@contextmanager
def traced(trace_id: str, parent: str | None = None) -> Iterator[None]:
    """Seal every batch that is run inside with this trace id.

    It holds for this thread and this asyncio task, and for what ``asyncio.to_thread`` starts
    from it; a bare thread or an executor begins without one.

    Args:
        trace_id: id of the request. It outlives an erased body: keep it opaque.
        parent: id of what the batch follows from.

    Raises:
        UsageTypeError: an id is no text.
        UsageError: an id is empty or too long.
    """
    if trace_id is None:
        raise UsageTypeError("trace_id is None; give the request's id, a text")
    token = _CURRENT.set((check_reference(trace_id, "trace_id"), check_reference(parent, "parent")))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current() -> tuple[str | None, str | None]:
    """The trace id and the parent that hold here; ``None`` where there is none."""
    return _CURRENT.get()
