"""The process behind a ``WorkerExpert``: calls one function, again and again.

It speaks the protocol of :mod:`quorate.hub.experts.children`, over descriptors that it
takes away first: what the function prints goes to standard error. Its answers are::

    {"id": 1, "answer": {...}}     the function returned an Answer
    {"id": 1, "bare": ...}         it returned something else, which is JSON
    {"id": 1, "error": "why"}      it raised
    {"id": 1, "void": "why"}       what it returned cannot be written down

Theory of operation. The function runs in the main thread. Another thread reads the
requests, so the end of input is seen even while the function hangs: then nobody waits
for its answer, and the process kills its own session.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, Final

from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError
from quorate.core.text import shortened
from quorate.hub.beside import beside, resolve
from quorate.hub.experts.answer import Answer, BareAnswer, answer_to_json

_INPUT: Final = b',"input":'
_EXIT_GRACE_SECONDS: Final = 0.4
_OUT, _ERR = 1, 2


def main() -> None:
    """Serve until the end of input; the arguments are the call and its folder."""
    call, folder = sys.argv[1:]
    requests, answers = _take_pipes()
    inbox: SimpleQueue[bytes | None] = SimpleQueue()
    threading.Thread(target=_listen, args=(requests, inbox), daemon=True).start()
    with beside(Path(folder)).importable({call.partition(":")[0]}):
        try:
            function = _function(call)
        except UsageError as error:
            _serve(inbox, answers, None, str(error))
        else:
            _serve(inbox, answers, function, "")


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Move the pipes to descriptors that nothing else knows, nor any process started here."""
    requests, answers = os.dup(0), os.dup(_OUT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(_ERR, _OUT)
    return os.fdopen(requests, "rb"), os.fdopen(answers, "wb", buffering=0)


def _listen(requests: BinaryIO, inbox: SimpleQueue[bytes | None]) -> None:
    for line in requests:
        inbox.put(line)
    inbox.put(None)
    # An idle main thread ends the process meanwhile.
    threading.Event().wait(_EXIT_GRACE_SECONDS)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _function(call: str) -> Callable[[Any], Any]:
    function = resolve(call)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004 - for objects with an async __call__
    ):
        raise UsageError(f"{call} is async; worker processes are for plain functions")
    return function


def _serve(
    inbox: SimpleQueue[bytes | None],
    answers: BinaryIO,
    function: Callable[[Any], Any] | None,
    broken: str,
) -> None:
    own = os.getpid()
    while (line := inbox.get()) is not None:
        # Canonical, as the pool writes it: the id comes first, and the input is the rest.
        cut = line.index(_INPUT)
        id_ = parse(line[:cut] + b"}")["id"]
        task = parse(line[cut + len(_INPUT) : -len(b"}\n")])
        reply = {"error": broken} if function is None else _answered(function, task)
        # The function forked, and its child came back here too.
        if os.getpid() != own:
            os._exit(0)
        _write(answers, _written(reply, id_))


def _answered(function: Callable[[Any], Any], task: Any) -> dict[str, Any]:
    try:
        returned = function(task)
    # Whatever foreign code raises is its crash; exits too, which would end this process.
    except BaseException as error:  # noqa: BLE001
        return {"error": _line(error)}
    try:
        return _reply(returned)
    except UsageError as error:
        return {"void": shortened(str(error))}
    # Looking at a foreign object may run foreign code.
    except BaseException as error:  # noqa: BLE001
        return {"void": f"what it returned cannot be read: {_line(error)}"}


def _reply(returned: Any) -> dict[str, Any]:
    kind = type(returned)
    if kind is Answer or kind is BareAnswer:
        return {"answer": answer_to_json(returned)}
    if issubclass(kind, Answer | BareAnswer):
        raise UsageError(
            f"it returned {kind.__name__}, a subclass; return quorate.hub.Answer itself"
        )
    return {"bare": returned}


def _written(reply: dict[str, Any], id_: int) -> bytes:
    """The line to write; something shorter in place of what cannot be written."""
    try:
        line = canonical({"id": id_, **reply})
        if len(line) > limits.MAX_ANSWER_BYTES:
            reply = {"void": f"its answer has more than {limits.MAX_ANSWER_BYTES} bytes"}
            line = canonical({"id": id_, **reply})
    except UsageError as error:
        # Paths as the function's author counts them: from what it returned.
        why = str(error).replace("$.answer", "$", 1).replace("$.bare", "$", 1)
        line = canonical({"id": id_, "void": shortened(f"what it returned is no JSON: {why}")})
    except BaseException as error:  # noqa: BLE001 - as above
        line = canonical({"id": id_, "void": f"what it returned cannot be written: {_line(error)}"})
    return line + b"\n"


def _write(answers: BinaryIO, line: bytes) -> None:
    left = memoryview(line)
    while left:
        left = left[answers.write(left) :]


def _line(error: BaseException) -> str:
    """One line about an exception, which may itself fail at being shown."""
    try:
        name, text = str(type(error).__name__), " ".join(str(error).split())
    except BaseException:  # noqa: BLE001
        return "an exception that cannot be shown"
    return shortened(f"{name}: {text}" if text else name)


if __name__ == "__main__":
    main()
