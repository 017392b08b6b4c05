"""The error tree, split by whose fault it was.

::

    QuorateError
    ├── UsageError            the caller's (also a ValueError)
    │   └── UsageTypeError    the caller's, of the wrong type (also a TypeError)
    ├── MisbehaviourError     a replica, voter or expert broke the protocol
    ├── NoQuorum              nobody's: too few agreed
    ├── VerificationError     a record does not check out
    └── OperationalError      the environment's
        ├── StoreError        the ledger's disk or database
        │   └── HeadMovedError    others wrote to the log first
        └── TransportError    a call to another process or machine
"""

from __future__ import annotations

from typing import Any


class QuorateError(Exception):
    """Root of every error this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by parts: the default would call the class with the finished message."""
        return _rebuilt, (type(self), self.args), self.__dict__


def _rebuilt(kind: type[QuorateError], args: tuple[Any, ...]) -> QuorateError:
    error = kind.__new__(kind)
    error.args = args
    return error


class UsageError(QuorateError, ValueError):
    """The caller passed something that cannot be used; nothing was done."""


class UsageTypeError(UsageError, TypeError):
    """The caller passed a value of the wrong type; nothing was done."""


class MisbehaviourError(QuorateError):
    """A participant broke the protocol.

    Attributes:
        culprit: id of the replica, voter or expert.
        evidence: what it sent, as far as it can be shown; ``None`` if nothing can.
    """

    def __init__(self, culprit: str, message: str, *, evidence: Any = None) -> None:
        """Name the ``culprit`` and say what it did; ``evidence`` is kept as it came."""
        super().__init__(f"{culprit}: {message}")
        self.culprit = culprit
        self.evidence = evidence


class NoQuorum(QuorateError):  # noqa: N818 - the public name says what happened, not that it is an error
    """Too few agreed. Nobody's fault; the full tally is on the child class."""


class VerificationError(QuorateError):
    """A record does not check out.

    Attributes:
        index: seq of the first bad entry, or ``None`` where no single entry is to blame.
        rule: short name of the rule that was broken, such as ``"chain"`` or ``"signature"``.
    """

    def __init__(self, message: str, *, rule: str, index: int | None = None) -> None:
        """Say what failed, under which ``rule``, at which ``index`` (0-based seq)."""
        where = "" if index is None else f"entry {index}: "
        super().__init__(f"{where}{message} [{rule}]")
        self.index = index
        self.rule = rule


class OperationalError(QuorateError):
    """The environment failed: a disk, a database, a network, a missing package."""


class StoreError(OperationalError):
    """The ledger's store could not be opened, read or written."""


class HeadMovedError(StoreError):
    """The log has grown since it was read, and what was to follow it was not written."""


class TransportError(OperationalError):
    """A call to another process or machine failed."""
