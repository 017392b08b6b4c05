"""Experts made as a panel file declares them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.hub.beside import beside, resolve
from quorate.hub.experts import Expert
from quorate.hub.panel_checks import Problem
from quorate.hub.tables import (
    A2ATable,
    ChatTable,
    ExpertTable,
    HTTPTable,
    MCPTable,
    PanelTable,
    PythonTable,
    SubprocessTable,
)


class _UnusableError(UsageError):
    """A key of an expert is well-formed, and of no use where the panel file stands."""

    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


def make(table: PanelTable, folder: Path) -> tuple[dict[str, Expert], list[Problem]]:
    """Make every expert of a panel file that stands in ``folder``.

    Returns:
        The experts by id, in file order, and what is wrong with those that cannot be made.

    Raises:
        OperationalError: a kind of expert needs a package that is not installed.
    """
    experts: dict[str, Expert] = {}
    # A task that waits for a process uses up its expert's time.
    together = min(table.run.concurrency, limits.MAX_CHILD_PROCESSES)
    problems: list[Problem] = []
    called = {e.call.partition(":")[0] for e in table.experts if isinstance(e, PythonTable)}
    with beside(folder).importable(called):
        for number, declared in enumerate(table.experts):
            try:
                experts[declared.id] = _expert(declared, folder, together)
            except _UnusableError as error:
                problems.append(Problem(("experts", number, error.key), str(error)))
            except UsageError as error:
                key = ("call",) if isinstance(declared, PythonTable) else ()
                problems.append(Problem(("experts", number, *key), str(error)))
    return experts, problems


def _expert(declared: ExpertTable, folder: Path, together: int) -> Expert:
    # Of a chat, a text says how the adapter finds the confidence.
    given = getattr(declared, "confidence", None)
    confidence = None if isinstance(given, str) else given
    return Expert(
        declared.id,
        _function(declared, folder, together),
        weight=declared.weight,
        timeout=float(declared.timeout),
        max_cost=declared.max_cost,
        confidence=confidence,
        capabilities=declared.capabilities,
        cost=declared.cost,
        tokens=declared.tokens,
        failure_domain=declared.failure_domain or None,
        max_tokens=declared.max_tokens,
    )


def _function(  # noqa: PLR0911 - one return for each kind
    declared: ExpertTable, folder: Path, together: int
) -> Callable[[Any], Any]:
    if isinstance(declared, PythonTable):
        if not declared.process:
            return resolve(declared.call)
        from quorate.hub.experts.workers import WorkerExpert  # noqa: PLC0415 - only where used

        return WorkerExpert(declared.call, path=folder, processes=declared.processes or together)
    if isinstance(declared, SubprocessTable):
        from quorate.hub.experts.subprocess import SubprocessExpert  # noqa: PLC0415 - only where used

        return SubprocessExpert(
            declared.command,
            cwd=_found(declared.command[0], _cwd(declared.cwd, folder), declared.env),
            env=declared.env or None,
            processes=declared.processes or together,
        )
    if isinstance(declared, HTTPTable):
        from quorate.hub.experts.http import HTTPExpert  # noqa: PLC0415 - only where used

        return HTTPExpert(
            declared.url,
            bearer_env=declared.bearer_env,
            headers=declared.headers or None,
            retries=declared.retries,
            idempotent=declared.idempotent,
            insecure_http=declared.insecure_http,
        )
    if isinstance(declared, ChatTable):
        return _chat(declared)
    if isinstance(declared, A2ATable):
        from quorate.hub.experts.a2a import A2AExpert  # noqa: PLC0415 - only where used

        return A2AExpert(
            declared.url,
            bearer_env=declared.bearer_env,
            reads=declared.reads,
            insecure_http=declared.insecure_http,
        )
    assert isinstance(declared, MCPTable)  # noqa: S101 - the last of the kinds
    from quorate.hub.experts.mcp import MCPExpert  # noqa: PLC0415 - only where used

    return MCPExpert(
        declared.tool,
        url=declared.url,
        command=declared.command,
        arguments=declared.arguments,
        bearer_env=declared.bearer_env,
        cwd=None if declared.command is None else _cwd(declared.cwd, folder),
        env=declared.env or None,
        reads=declared.reads,
        insecure_http=declared.insecure_http,
    )


def _cwd(declared: str | None, folder: Path) -> Path:
    if declared is None:
        return folder
    if not (folder / declared).is_dir():
        raise _UnusableError("cwd", f"is {declared!r}, which is no folder beside the panel file")
    return folder / declared


def _found(program: str, cwd: Path, env: Mapping[str, str]) -> Path:
    """See to it that a program is where its command would be looked for; give ``cwd`` back.

    A relative folder in PATH counts from ``cwd``, as it does for the process itself.
    """
    folders = [""] if "/" in program else os.get_exec_path({**os.environ, **env})
    places = [cwd / folder / program for folder in folders]
    if not any(place.is_file() and os.access(place, os.X_OK) for place in places):
        where = f"in {cwd}" if "/" in program else "in any folder of PATH"
        raise _UnusableError(
            "command",
            f"names the program {program!r}, and {where} there is none that can be run; install "
            "it, or give the path to it, relative to cwd or whole",
        )
    return cwd


def _chat(declared: ChatTable) -> Callable[[Any], Any]:
    from quorate.hub.experts.chat import ChatExpert  # noqa: PLC0415 - only where used

    names = (
        "api_key_env", "system", "template", "temperature", "max_output_tokens", "price_in",
        "price_out", "seed", "choices", "normalize", "retries",
    )  # fmt: skip
    given = {name: getattr(declared, name) for name in names}
    # What is left out is for the adapter to fill in.
    options = {name: value for name, value in given.items() if value is not None}
    return ChatExpert(
        declared.model,
        base_url=declared.base_url,
        confidence=declared.confidence if isinstance(declared.confidence, str) else "declared",
        structured=declared.structured,
        output_limit=declared.output_limit,
        insecure_http=declared.insecure_http,
        **options,
    )
