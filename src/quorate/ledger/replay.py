"""Compute sealed verdicts again: a signed wrong verdict does not verify.

Which rule replays which kind of entry is declared by the packages that seal them, as
entry points of the group ``quorate.replay`` (kind = "module:function"); other packages
may add kinds of their own. A replay function takes ``(kind, body, context)`` and raises
:class:`~quorate.core.errors.VerificationError` if the body's verdict is not what the
rules give. A body that names a ``rule`` but whose kind has no function fails: what cannot
be computed again is not called verified.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from quorate.core.errors import VerificationError

GROUP = "quorate.replay"


class ReplayContext:
    """What earlier entries of the same log declared, for later ones to be held to.

    Attributes:
        unbound: verdicts so far that name no panel sealed before them.
    """

    def __init__(self) -> None:
        """Begin with nothing declared."""
        self._panels: dict[str, dict[str, Any]] = {}
        self.unbound = 0

    def declare_panel(self, digest: str, declaration: dict[str, Any]) -> None:
        """Remember that the panel with that digest was sealed."""
        self._panels[digest] = declaration

    def note_unbound(self) -> None:
        """Count a verdict that names no panel: only its own word stands for its roster."""
        self.unbound += 1

    def panel(self, digest: str) -> dict[str, Any] | None:
        """The panel sealed earlier under that digest, or ``None``."""
        return self._panels.get(digest)


ReplayFunction = Callable[[str, Any, ReplayContext], None]


@cache
def _functions() -> dict[str, ReplayFunction]:
    return {point.name: point.load() for point in entry_points(group=GROUP)}


def replay(kind: str, body: Any, context: ReplayContext, seq: int) -> bool:
    """Compute the verdict of one entry again.

    Returns:
        Whether the entry was a verdict or declaration that could be replayed; ``False``
        for entries that claim none.

    Raises:
        VerificationError: rule ``replay`` (or ``panel``): the rules give something else.
    """
    function = _functions().get(kind)
    if function is None:
        if isinstance(body, dict) and "rule" in body:
            raise VerificationError(
                f"no installed rule replays the kind {kind!r}; install what sealed it",
                index=seq,
                rule="replay",
            )
        return False
    try:
        function(kind, body, context)
    except VerificationError as error:
        raise VerificationError(_bare(error), index=seq, rule=error.rule) from error
    # A sealed body may be anything, and replay functions may be other packages': whatever
    # they stumble over, the entry is not what it claims to be.
    except Exception as error:
        message = f"it cannot be computed again: {type(error).__name__}: {error}"
        raise VerificationError(message, index=seq, rule="replay") from error
    return True


def _bare(error: VerificationError) -> str:
    return str(error).removesuffix(f" [{error.rule}]")
