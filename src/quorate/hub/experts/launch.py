"""How a child process is started so that it does not outlive this one for long.

A child sees the end of its input when this process is gone; but one that is busy, or that
hangs, does not look. On Linux the kernel can be asked to kill a process with its parent.
The child has to ask it itself, so a launcher is started first, which asks, and becomes the
child's own program: the same process, with the same number and pipes.

What counts as the parent is the thread that started the child: were it started from one
that ends while this process goes on, the child would be killed at work. So it is done only
from the main thread, which ends last. Elsewhere, and on other systems, a child that does
not look at its input may outlive this process. It is asked for the child alone: what the
child starts is not killed with it, nor is a program with privileges of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import IO, Final

_PROGRAM: Final = """\
import os, signal, sys
parent, failed, *command = sys.argv[1:]
try:
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
except (ImportError, OSError, AttributeError):
    pass
# It may have been gone before it could be asked for.
if os.getppid() != int(parent):
    os._exit(1)
# The interpreter ignores these; the program is not to.
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
os.set_inheritable(int(failed), False)
try:
    os.execvp(command[0], command)
except OSError as error:
    os.write(int(failed), str(error.errno).encode())
    os._exit(127)
"""
_ERRNO_BYTES: Final = 16


class Launch:
    """One start of a program.

    Attributes:
        command: what is to be started.
        pass_fds: descriptors to leave open in the child.
    """

    def __init__(self, command: Sequence[str]) -> None:
        """Prepare; :meth:`started` is to follow, whether it was started or not."""
        self.command = list(command)
        self.pass_fds: tuple[int, ...] = ()
        self._failed: IO[bytes] | None = None
        if _can_be_tied():
            read, write = os.pipe()
            os.set_blocking(read, False)
            self._failed = os.fdopen(read, "rb", buffering=0)
            self.pass_fds = (write,)
            own = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(os.getpid()), str(write)]
            self.command = [*own, *command]

    def started(self) -> None:
        """Let go of what was only for the child."""
        for descriptor in self.pass_fds:
            os.close(descriptor)
        self.pass_fds = ()

    def error(self) -> int | None:
        """Why the program could not be executed, as an ``errno``; ``None`` if nothing is known."""
        if self._failed is None or self._failed.closed:
            return None
        with contextlib.suppress(OSError):
            # Nothing at all where it was executed, and has ended since.
            return int(self._failed.read(_ERRNO_BYTES) or 0) or None
        return None

    def close(self) -> None:
        """Let go of the rest; it may be called twice."""
        self.started()
        if self._failed is not None:
            self._failed.close()


def _can_be_tied() -> bool:
    """Whether a child started now and here can be killed with this process, and only so."""
    return (
        sys.platform == "linux"
        and bool(sys.executable)
        and threading.current_thread() is threading.main_thread()
        and threading.get_native_id() == os.getpid()
    )
