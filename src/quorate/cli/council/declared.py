"""Executors and hooks made as a council file declares them.

Made without being started: what is wrong with a declaration is told where it stands, and a
function is imported only when it is about to be called.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from quorate.cli.council.tables import (
    CommandHookTable,
    CommandTable,
    ExecutorTable,
    HookTable,
    MCPTable,
    PythonTable,
    WebhookHookTable,
    WebhookTable,
)
from quorate.core.errors import UsageError
from quorate.council.executors import (
    CommandExecutor,
    DeclaredExecutor,
    Executor,
    MCPExecutor,
    Order,
    PythonExecutor,
    WebhookExecutor,
)
from quorate.council.notify import CommandHook, WebhookHook
from quorate.hub.beside import beside, resolve


@contextmanager
def executing(table: ExecutorTable, action: str, folder: Path) -> Iterator[DeclaredExecutor]:
    """Have a declared executor at hand, its function imported.

    Raises:
        UsageError: there is no such function, or it cannot be imported.
    """
    if not isinstance(table, PythonTable):
        yield executor_of(table, action, folder)
        return
    where, _, name = table.call.rpartition(":")
    module = where
    if where.endswith(".py"):
        file = folder / where
        if not file.is_file():
            raise UsageError(f"there is no file {file} that has a function {name!r}")
        folder, module = file.parent, file.stem
        if not module.isidentifier():
            raise UsageError(f"{file} cannot be imported by that name; give it one such as acts.py")
    with beside(folder).importable({module}):
        made = _python(table, resolve(f"{module}:{name}"))
        yield DeclaredExecutor(made, action, table.declaration())


def executor_of(table: ExecutorTable, action: str, folder: Path) -> DeclaredExecutor:
    """A declared executor, without its function where that is what it calls.

    Raises:
        UsageError: what is declared does not go together.
    """
    return DeclaredExecutor(_executor(table, folder), action, table.declaration())


def _executor(table: ExecutorTable, folder: Path) -> Executor:
    timeout = float(table.timeout)
    if isinstance(table, CommandTable):
        return CommandExecutor(
            table.command,
            timeout=timeout,
            cwd=_cwd(table, folder),
            env=table.env,
            pass_env=table.pass_env,
            failed_exits=table.failed_exits,
        )
    if isinstance(table, WebhookTable):
        return WebhookExecutor(
            table.url,
            timeout=timeout,
            url_env=table.url_env,
            bearer_env=table.bearer_env,
            insecure_http=table.insecure_http,
        )
    if isinstance(table, MCPTable):
        given = {name for name in ("cwd", "env", "pass_env") if name in table.model_fields_set}
        if table.command is None and given:
            raise UsageError(f"{min(given)} is of no use without command")
        return MCPExecutor(
            table.tool,
            url=table.url,
            command=table.command,
            timeout=timeout,
            bearer_env=table.bearer_env,
            cwd=_cwd(table, folder),
            env=table.env,
            pass_env=table.pass_env,
            insecure_http=table.insecure_http,
        )
    assert isinstance(table, PythonTable)  # noqa: S101 - the last of the kinds
    return _python(table, _not_imported)


def _python(table: PythonTable, function: Any) -> PythonExecutor:
    # A second name of the same function is the same function: what is declared counts.
    return PythonExecutor(function, timeout=float(table.timeout), name=f"python:{table.call}")


def _not_imported(order: Order) -> None:
    raise AssertionError(f"the order {order.token} came before the function was imported")


def hook_of(table: HookTable, folder: Path) -> WebhookHook | CommandHook:
    """A declared hook.

    Raises:
        UsageError: what is declared does not go together.
    """
    timeout = float(table.timeout)
    if isinstance(table, WebhookHookTable):
        return WebhookHook(
            table.name,
            table.url,
            events=table.on,
            timeout=timeout,
            url_env=table.url_env,
            bearer_env=table.bearer_env,
            insecure_http=table.insecure_http,
        )
    assert isinstance(table, CommandHookTable)  # noqa: S101 - the other kind
    return CommandHook(
        table.name,
        table.command,
        events=table.on,
        timeout=timeout,
        cwd=_cwd(table, folder),
        env=table.env,
        pass_env=table.pass_env,
    )


def _cwd(table: CommandTable | CommandHookTable | MCPTable, folder: Path) -> Path:
    return folder if table.cwd is None else folder / table.cwd
