"""A Python callable that carries out orders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from quorate.core import limits
from quorate.core.calls import CRASHED, Call, Callee, Outcome, call_all, run_blocking
from quorate.core.errors import UsageError
from quorate.core.text import shortened
from quorate.council.executors.order import (
    Executor,
    NotExecutedError,
    Order,
    Report,
    check_timeout,
)
from quorate.council.rules.values import Execution, check_id

Carrier = Callable[[Order], Any] | Callable[[Order], Awaitable[Any]]
"""Takes an order; returns ``None`` or a :class:`Report`."""


class PythonExecutor:
    """Calls a function, plain or async, with each order.

    It returns ``None`` if it has done it, or a :class:`Report`. It raises
    :class:`NotExecutedError` if it did nothing. If it raises or returns anything else, or is
    not back in time, the outcome is unknown; Python cannot stop a thread, so a plain function
    then goes on.

    Attributes:
        name: ``python:`` and the function.
        timeout: seconds until it has to be back.
    """

    def __init__(
        self, function: Carrier, *, timeout: float = 60.0, name: str | None = None
    ) -> None:
        """Prepare; nothing is called yet.

        Args:
            function: takes an :class:`Order`.
            timeout: seconds, above 0 and up to ``limits.MAX_TIMEOUT_SECONDS``.
            name: what is sealed of it; the function's own if ``None``.

        Raises:
            UsageError: it cannot be called, or a value is out of its range.
        """
        own = getattr(function, "__qualname__", type(function).__qualname__)
        self.name = check_id(f"python:{own}" if name is None else name, "the executor")
        self.timeout = check_timeout(timeout, limits.MAX_TIMEOUT_SECONDS)
        self._callee = Callee(self.name, function)
        self._calls = Callee(self.name, self._call_async if self._callee.is_async else self._call)

    def check(self) -> None:
        """Whether it could begin; it always can."""

    def carry_out(self, order: Order) -> Report:
        """Call the function; see the class for what counts."""
        outcome = run_blocking(self._one(order))
        if outcome.reason is not None:
            why = outcome.detail or ("it raised" if outcome.reason == CRASHED else "no result")
            return Report(Execution.UNKNOWN, {"why": why})
        if outcome.value is None:
            return Report(Execution.EXECUTED)
        if isinstance(outcome.value, Report):
            return outcome.value
        kind = type(outcome.value).__name__
        return Report(
            Execution.UNKNOWN, {"why": f"it returned a {kind}, which is neither None nor a Report"}
        )

    async def _one(self, order: Order) -> Outcome:
        return (await call_all([Call(self._calls, order, self.timeout)]))[0]

    def _call(self, order: Order) -> Any:
        try:
            return self._callee.function(order)
        except NotExecutedError as error:
            return _nothing_done(error)

    async def _call_async(self, order: Order) -> Any:
        try:
            return await self._callee.function(order)
        except NotExecutedError as error:
            return _nothing_done(error)


def _nothing_done(error: NotExecutedError) -> Report:
    return Report(Execution.FAILED, {"why": shortened(str(error))})


def as_executor(executor: Executor | Carrier) -> Executor:
    """Give back an executor, made of a callable if it is none.

    Raises:
        UsageError: neither.
    """
    if isinstance(executor, Executor):
        return executor
    if callable(executor):
        return PythonExecutor(executor)
    raise UsageError(
        f"the executor is a {type(executor).__name__}; give a callable, a CommandExecutor or a "
        "WebhookExecutor"
    )
