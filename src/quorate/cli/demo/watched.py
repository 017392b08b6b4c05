"""A real process whose memory grows, for monitors to watch: started here, and ended here.

It takes :data:`STEP` bytes at a time and stops at :data:`MOST`, whatever happens to it. It is
in a process group of its own, so that Ctrl-C reaches the demo alone, which ends it. It does
not outlive a demo that is killed: running, it ends when the pipe to it closes; stopped, the
system hangs it up as part of an orphaned group.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from quorate.core.errors import OperationalError

STEP: Final = 1 << 20
"""Bytes that it takes at a time."""

MOST: Final = 64 << 20
"""Most bytes that it takes altogether."""

PAUSE_SECONDS: Final = 0.05
"""How long it waits between two steps."""

_SOON_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01
_PROC: Final = Path("/proc")
_STATES: Final = {"T": "stopped", "t": "stopped", "Z": "gone", "X": "gone"}

# The pipe is readable once it is closed. Written bytes are resident, reserved ones need not be.
_GROWING: Final = """
import select, sys
held = []
while not select.select([sys.stdin], [], [], {pause})[0]:
    if len(held) < {steps}:
        held.append(bytearray(b"x") * {step})
"""


class Watched:
    """The process, and what may be done to it. Signals go to exactly this child, by its id."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        """Take a child that was just started."""
        self._child = child
        self.pid = child.pid

    @property
    def source(self) -> str:
        """Where readings come from: never from the process itself."""
        return f"/proc/{self.pid}" if _PROC.joinpath("self", "statm").exists() else "ps"

    def resident(self) -> int:
        """Bytes of memory that it holds; 0 once it is gone."""
        return _look(self.pid)[1]

    def state(self) -> str:
        """``running``, ``stopped`` or ``gone``."""
        if self._child.poll() is not None:
            return "gone"
        return _STATES.get(_look(self.pid)[0], "running")

    def stop(self) -> str:
        """Stop it (SIGSTOP); give its state once it has stopped, or after some seconds."""
        self._child.send_signal(signal.SIGSTOP)
        return self._becomes("stopped")

    def kill(self) -> str:
        """End it (SIGKILL, which a stopped process does not have to run for); give its state."""
        self._child.kill()
        return self._becomes("gone")

    @property
    def exit_status(self) -> int | None:
        """Its exit status, minus the signal that ended it; ``None`` while it is there."""
        return self._child.poll()

    def _becomes(self, state: str) -> str:
        until = time.monotonic() + _SOON_SECONDS
        while (now := self.state()) != state and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        return now


@contextmanager
def watched() -> Iterator[Watched]:
    """Start the process; on the way out it is ended, whatever state it is in.

    Raises:
        OperationalError: it cannot be started, or this system cannot stop processes.
    """
    if not hasattr(signal, "SIGSTOP"):
        raise OperationalError(
            "this system has no signal that stops a process; run the demo on Linux or macOS"
        )
    code = _GROWING.format(pause=PAUSE_SECONDS, step=STEP, steps=MOST // STEP)
    with _terminating():
        try:
            child = subprocess.Popen(  # noqa: S603 - this Python, and our own few lines
                [sys.executable, "-I", "-S", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=0,
            )
        except OSError as error:
            raise OperationalError(
                f"a process to watch cannot be started: {error.strerror}"
            ) from error
        try:
            yield Watched(child)
        finally:
            child.kill()
            child.wait()
            if child.stdin is not None:
                child.stdin.close()


def _look(pid: int) -> tuple[str, int]:
    """State letter and resident bytes, from the system."""
    try:
        if _PROC.joinpath("self", "statm").exists():
            state = _PROC.joinpath(str(pid), "stat").read_text("ascii", "replace")
            pages = _PROC.joinpath(str(pid), "statm").read_text("ascii").split()[1]
            return state.rpartition(")")[2].split()[0], int(pages) * os.sysconf("SC_PAGE_SIZE")
        told = subprocess.run(  # noqa: S603 - a number of our own
            ["/bin/ps", "-o", "state=,rss=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SOON_SECONDS,
        ).stdout.split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperationalError(
            f"the memory of process {pid} cannot be read from /proc or ps: {error}"
        ) from error
    return (told[0][0], int(told[1]) * 1024) if len(told) > 1 else ("X", 0)


@contextmanager
def _terminating() -> Iterator[None]:
    """Let SIGTERM end the demo as Ctrl-C does, so that the process is ended first."""
    before = None
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
