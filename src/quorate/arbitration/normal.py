"""What counts as the same answer: how an arbiter compares payloads.

Theory of operation. A normaliser maps a payload to its normal form, and answers go
together where the digests of their normal forms are equal. The built-in ones
(:mod:`~quorate.arbitration.rules.normalise`) are named, and computed again at replay.
The caller's own function cannot be: the digests it led to are sealed, and replay takes
them from there. So replay shows that the verdict follows from that table, and not that
the table is right; verification counts such verdicts.

A payload that cannot be read is its expert's fault and nobody else's: it becomes an
absence. That holds for whatever the caller's own function raises, and where it gives
``None``, for otherwise one
expert could stop the fold with an answer of a shape that function did not expect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast

from quorate.arbitration.forms import hex_digest, shown
from quorate.arbitration.proposal import plain_copy
from quorate.core.canonical import JSONValue, digest
from quorate.core.errors import UsageError, UsageTypeError

EXACT: Final = "exact"
CUSTOM: Final = "custom"

Normalize = str | Callable[[JSONValue], JSONValue] | None
"""How answers are compared: a name, the caller's own function, or ``None`` for ``"exact"``."""


@dataclass(frozen=True, slots=True)
class Normaliser:
    """One way of comparing answers.

    Attributes:
        name: ``"exact"``, the name of a built-in normaliser, or ``"custom"``.
        function: the caller's own, where the name is ``"custom"``.
        sealed: what it gave, payload digest -> normal digest or ``None``, where the
            function is not at hand.
    """

    name: str
    function: Callable[[JSONValue], JSONValue] | None = None
    sealed: Mapping[str, str | None] | None = field(default=None, hash=False)

    @classmethod
    def of(cls, normalize: Normalize) -> Normaliser:
        """Read an arbiter's ``normalize`` option.

        Raises:
            UsageTypeError: neither ``None``, a name nor a callable.
            UsageError: no normaliser has that name.
        """
        if normalize is None:
            return cls(EXACT)
        if isinstance(normalize, str):
            from quorate.arbitration.rules.normalise import NORMALISERS  # noqa: PLC0415

            names = sorted({EXACT, *NORMALISERS})
            if normalize not in names:
                raise UsageError(
                    f"normalize is {shown(normalize)}; there is: {', '.join(names)}, "
                    "or a function of your own"
                )
            return cls(str.__str__(normalize))
        if not callable(normalize):
            raise UsageTypeError(
                f"normalize is a {type(normalize).__name__}; give a name or a function"
            )
        return cls(CUSTOM, normalize)

    def digest_of(self, payload: JSONValue, found: str) -> str | None:
        """Digest of the normal form of ``payload``; ``None`` where it has none.

        Args:
            payload: JSON.
            found: its own digest.

        Raises:
            UsageError: the sealed table does not have it.
        """
        if self.name == EXACT:
            return found
        if self.sealed is not None:
            if found not in self.sealed:
                raise UsageError(f"the table of normal forms lacks the payload {found}")
            return self.sealed[found]
        if self.function is not None:
            return _own(self.function, payload)
        return _read(self.name, payload, found)

    def table(self, payloads: Iterable[tuple[JSONValue, str]]) -> dict[str, str | None]:
        """What is sealed of a caller's own function: its result for every payload, by digest."""
        made: dict[str, str | None] = {}
        for payload, found in payloads:
            if found not in made:
                made[found] = self.digest_of(payload, found)
        return dict(sorted(made.items()))


_MOST_READ: Final = 4096
# The built-in ones are pure, so what one fold has read need not be read again: a ranking may
# name one long answer at every expert, and each arrival folds all answers before it.
_READ: dict[tuple[str, str], str | None] = {}
_UNREAD: Final = object()


def _read(name: str, payload: JSONValue, found: str) -> str | None:
    known = _READ.get((name, found), _UNREAD)
    if known is not _UNREAD:
        return cast("str | None", known)
    normal = _built_in(name, payload)
    if len(_READ) >= _MOST_READ:
        _READ.clear()
    _READ[name, found] = normal
    return normal


def _built_in(name: str, payload: JSONValue) -> str | None:
    from quorate.arbitration.rules.normalise import (  # noqa: PLC0415
        NotNormalError,
        normal_digest,
    )

    try:
        return normal_digest(name, payload)
    except NotNormalError:
        return None


def _own(function: Callable[[JSONValue], JSONValue], payload: JSONValue) -> str | None:
    try:
        normal = function(plain_copy(payload))
        # A function that forgot its return would make all answers the same.
        return None if normal is None else digest(normal)
    except Exception:  # noqa: BLE001 - it is the caller's, and the payload is a stranger's
        return None


def read_table(value: object) -> dict[str, str | None]:
    """Read a sealed table back.

    Raises:
        UsageTypeError: not an object.
        UsageError: a key or value is no digest.
    """
    if not isinstance(value, dict):
        raise UsageTypeError(f"normal is a {type(value).__name__}; it should be an object")
    return {
        hex_digest(found, "a key of normal"): (
            None if normal is None else hex_digest(normal, "a value of normal")
        )
        for found, normal in value.items()
    }
