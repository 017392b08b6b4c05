"""A Python function run in worker processes, where it can really be stopped.

A plain function in a thread cannot be: one that hangs keeps its thread, and one that ends
the process ends all. In a worker either is one absence.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Final

from quorate.arbitration.forms import shown, text
from quorate.core import limits
from quorate.core.errors import MisbehaviourError, OperationalError, TransportError, UsageError
from quorate.hub.experts.answer import Answer, BareAnswer, answer_from_json
from quorate.hub.experts.children import Children

_CALL: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_MAIN: Final = "quorate.hub.experts.worker_main"
_SOURCE: Final = "its function"


class WorkerExpert:
    """Calls ``module:function`` in worker processes.

    The function is a plain one, takes a task's input and returns an ``Answer``, or the
    bare payload where the panel declares its confidence. The module is found beside the
    panel first. A worker imports it once and lives on; what the function keeps in module
    variables stays in that worker. A call that is cancelled kills the worker with all
    processes it started in its session.

    The answer travels as JSON: payload and ranking must be such, and numbers stay exact.

    Attributes:
        kind: ``"python"``.
        confidence_source: how the confidence is obtained.
    """

    kind = "python"
    confidence_source = "the function gives it with each answer"

    def __init__(self, call: str, *, path: str | Path, processes: int = 1) -> None:
        """Prepare; a worker is started, and the module imported, with the first call.

        Args:
            call: ``module:function``.
            path: folder in which modules are found first.
            processes: most workers at once, 1 to ``limits.MAX_CHILD_PROCESSES``; a call
                that finds all of them busy waits, and its deadline runs.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
            OperationalError: the interpreter does not know its own program.
        """
        self._call = text(call, "call", limits.MAX_DETAIL_LENGTH)
        if not _CALL.fullmatch(self._call):
            raise UsageError(f"call is {shown(call)}; give module:function, such as experts:length")
        folder = Path(path).resolve()
        if not folder.is_dir():
            raise UsageError(f"path is {str(path)!r}, which is no folder")
        if not sys.executable:
            raise OperationalError(
                "this interpreter does not know its own program (sys.executable is empty), so "
                "no worker can be started; run the function in this process"
            )
        # Without -P, modules in the current folder would be found before installed ones.
        command = [sys.executable, "-P", "-m", _MAIN, self._call, str(folder)]
        self._children = Children(command, processes=processes)

    def __repr__(self) -> str:
        return f"WorkerExpert({self._call!r}, …)"

    async def __call__(self, task: Any) -> Any:
        """Call the function with one task's input (a JSON value).

        Returns:
            An answer, or the bare payload.

        Raises:
            MisbehaviourError: what the function returned cannot be written as JSON.
            TransportError: the function raised, cannot be imported, or its process ended.
        """
        reply = await self._children.ask(task)
        if len(reply) == 1:
            ((key, value),) = reply.items()
            if key == "answer":
                answer: Answer | BareAnswer = answer_from_json(value, _SOURCE)
                return answer
            if key == "bare":
                return value
            if key == "error" and isinstance(value, str):
                raise TransportError(f"{_SOURCE} failed: {value}")
            if key == "void" and isinstance(value, str):
                raise MisbehaviourError(_SOURCE, value)
        raise MisbehaviourError(_SOURCE, "its worker sent no such answer as workers send")

    async def aclose(self) -> None:
        """End the workers that nobody is asking; the others end after their answer."""
        await self._children.aclose()
