"""An expert in a process of its own, in any language, that answers JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quorate.hub.experts.answer import Answer, BareAnswer, reply_from_json
from quorate.hub.experts.child import SOURCE
from quorate.hub.experts.children import Children


class SubprocessExpert:
    """Asks a long-lived child process, one JSON line for each request and each answer.

    The child reads ``{"id": 1, "input": …}`` from standard input and writes ``{"id": 1,
    "payload": …, "confidence": 0.9}`` to standard output, or ``{"id": 1, "error":
    "why"}`` where it has no answer; :mod:`quorate.hub.experts.answer` lists the other
    keys. It must flush each line, write nothing else there (standard error is free for
    that; its end is shown, and sealed, when the child fails), and exit at the end of its
    input, which also comes when this process is killed. On Linux a child that was started
    from the main thread, as ``quorate run`` does, is then killed even if it is busy;
    elsewhere a busy one lives on until it looks at its input.

    A call that is cancelled, or that fails in any way but ``error``, kills the child with
    its whole session; the next call starts another.

    Attributes:
        kind: ``"subprocess"``.
        confidence_source: how the confidence is obtained.
    """

    kind = "subprocess"
    confidence_source = "the process gives it with each answer"

    def __init__(
        self,
        command: Iterable[str],
        *,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        processes: int = 1,
    ) -> None:
        """Prepare; a process is started with the first call.

        Args:
            command: program and arguments; no shell reads them. A relative program with a
                slash in it is looked for in ``cwd``.
            cwd: folder it runs in; ``None``: that of this process.
            env: variables set for it besides those of this process; of these it does not
                get what other experts name as ``bearer_env`` or ``api_key_env``.
            processes: most that run at once, 1 to ``limits.MAX_CHILD_PROCESSES``; a call
                that finds all of them busy waits, and its deadline runs.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        self._children = Children(command, cwd=cwd, env=env, processes=processes)

    def __repr__(self) -> str:
        return f"SubprocessExpert({self._children.command[0]!r}, …)"

    async def __call__(self, task: Any) -> Answer | BareAnswer:
        """Put one task's input (a JSON value) to a child.

        Raises:
            MisbehaviourError: what it wrote is no answer to this request.
            TransportError: it cannot be started, ended, wrote too much, or says it failed.
        """
        return reply_from_json(await self._children.ask(task), SOURCE)

    async def aclose(self) -> None:
        """End the children that nobody is asking; the others end after their answer."""
        await self._children.aclose()
