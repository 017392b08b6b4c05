"""An executor as its operator declared it; what is sealed before it begins names that.

Who carries out an action is the operator's to say, on the machine that does it: addresses
and programs differ from machine to machine, and an electorate does not vote on them. So that
nobody changes them unseen, the intent holds the executor's kind and the digest of its whole
declaration. The digest covers what is declared, not the program or the service behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from quorate.core import limits
from quorate.core.canonical import digest
from quorate.council.executors.order import Executor, Order, Report
from quorate.council.rules.values import check_id

DECLARATION: Final = "quorate/council-executor/v1"
"""What the digest of a declaration is of, in ``form``."""


def declaration_digest(action: str, declaration: Mapping[str, Any]) -> str:
    """Digest of a declaration: 64 hex digits over its RFC 8785 JSON.

    Args:
        action: normal name of the action that it is for.
        declaration: all that was declared, as JSON; its ``kind`` included.

    Raises:
        UsageError: it is no JSON.
    """
    return digest({"form": DECLARATION, "action": action, "executor": dict(declaration)})


class DeclaredExecutor:
    """An executor that is sealed under its kind and the digest of its declaration.

    Attributes:
        name: the executor's own, ``#`` and the digest, such as ``command:fence.sh#3f…``.
        digest: of the declaration, 64 hex digits.
        timeout: the executor's own.
    """

    def __init__(self, executor: Executor, action: str, declaration: Mapping[str, Any]) -> None:
        """Give ``executor`` its sealed name.

        Raises:
            UsageError: the declaration is no JSON.
        """
        self._executor = executor
        self.digest = declaration_digest(action, declaration)
        # Of a long name the beginning is kept, for the digest says the rest.
        room = limits.MAX_ID_LENGTH - len(self.digest) - 1
        self.name = check_id(f"{executor.name[:room]}#{self.digest}", "the executor's name")
        self.timeout = executor.timeout

    def check(self) -> None:
        """See that it could begin now; see :class:`Executor`."""
        self._executor.check()

    def carry_out(self, order: Order) -> Report:
        """Do what the order says, once; see :class:`Executor`."""
        return self._executor.carry_out(order)
