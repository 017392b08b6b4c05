"""What an expert that is reached through other means than a plain call looks like."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, runtime_checkable

_deadline: Final[contextvars.ContextVar[float | None]] = contextvars.ContextVar(
    "quorate_deadline", default=None
)


@runtime_checkable
class Adapter(Protocol):
    """Asks something outside this process, as an async callable.

    It may be called from different event loops over time, and from several at once. A call
    that is cancelled leaves nothing running behind. A
    :class:`~quorate.core.errors.MisbehaviourError` from a call says that what came back is
    no answer (the absence is ``void``); anything else it raises, such as a
    ``TransportError``, is a crash.

    Attributes:
        kind: what panel files call it, such as ``"subprocess"``.
        confidence_source: one sentence for people: how the confidence is obtained.
    """

    kind: str
    confidence_source: str

    async def __call__(self, task: Any) -> Any:
        """Put one task's input (a JSON value); an ``Answer``, a ``BareAnswer`` or a payload."""

    async def aclose(self) -> None:
        """Let go of processes and connections; it may be called twice, and used again after."""


@contextmanager
def due_in(seconds: float) -> Iterator[None]:
    """Let the calls made inside know when their answer is due."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def seconds_left() -> float | None:
    """Seconds until the answer of this call is due, at most; ``None`` where nobody said.

    The call is cancelled then, or sooner. This is for not waiting in vain.
    """
    deadline = _deadline.get()
    return None if deadline is None else deadline - time.monotonic()
