"""One child process that answers JSON lines; :mod:`quorate.hub.experts.children` tells how."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from quorate.arbitration.forms import shown
from quorate.core import limits
from quorate.core.canonical import CanonicalError, parse
from quorate.core.errors import MisbehaviourError, TransportError
from quorate.hub.experts.checks import shown_number
from quorate.hub.experts.launch import Launch
from quorate.hub.experts.secret import hidden

SOURCE: Final = "its process"
"""Who is blamed in errors; whose process it is, the absence says."""

_CHUNK: Final = 1 << 16
_EXIT_GRACE_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.005
_REAP_SECONDS: Final = 5.0


class Child:
    """One child process, asked by one call at a time."""

    def __init__(self, command: Sequence[str], cwd: Path | None, env: Mapping[str, str]) -> None:
        """Start it.

        Raises:
            TransportError: it cannot be started.
        """
        self._name = command[0]
        self._env = env
        self._launch = Launch(command)
        try:
            self.process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - the panel's author chose it, and no shell reads it
                self._launch.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env=env,
                bufsize=0,
                start_new_session=True,
                pass_fds=self._launch.pass_fds,
            )
        except OSError as error:
            self._launch.close()
            raise TransportError(
                f"{SOURCE} cannot be started: {error.strerror}: {error.filename or command[0]}"
            ) from error
        self._launch.started()
        self._owner = os.getpid()
        self._pipes = _Pipes(self.process)
        self._asked = 0

    async def ask(self, task: bytes) -> dict[str, Any]:
        """Put a task's input (canonical JSON) to it; its answer without the id.

        Whatever is raised, the child must not be asked again.

        Raises:
            MisbehaviourError: what it wrote is no answer to this request.
            TransportError: it ended or wrote too much.
        """
        self._asked += 1
        self._pipes.tail.clear()
        line = await self._exchange(b'{"id":%d,"input":%b}\n' % (self._asked, task))
        try:
            reply = parse(line)
        except CanonicalError as error:
            raise _misbehaved(f"wrote {_glimpse(line)}, which is no JSON: {error}") from error
        if not isinstance(reply, dict):
            raise _misbehaved(f"wrote {_glimpse(line)}; an answer is a JSON object")
        id_ = reply.pop("id", None)
        # True == 1 in Python.
        if type(id_) is not int or id_ != self._asked:
            raise _misbehaved(
                f"answered the request {shown_number(id_)}, but was asked {self._asked}"
            )
        return reply

    def has_exited(self) -> bool:
        """Whether it has ended, in this process's sight."""
        return os.getpid() == self._owner and _has_exited(self.process)

    def is_fit(self) -> bool:
        """Whether it can be asked: it runs on; takes in what it wrote unasked."""
        if os.getpid() != self._owner:
            return False
        return self._pipes.take_output()

    async def end(self) -> None:
        """Let it end by itself, which the end of its input tells it to; then kill it."""
        self._close(self.process.stdin)
        try:
            await self._exited()
        finally:
            self.kill()

    def kill(self, *, wait: bool = False) -> None:
        """Kill it with its whole session, now; ``wait``: until it is gone."""
        if os.getpid() == self._owner and self.process.returncode is None:
            # Nobody has reaped it yet, so its number is still its own.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self._reap(wait=wait)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            self._close(pipe)
        self._launch.close()

    def _reap(self, *, wait: bool) -> None:
        if self.process.poll() is not None:
            return
        if wait:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_REAP_SECONDS)
            return
        # It dies within moments, but not before this returns. Where no thread can be
        # started, the standard library reaps it when the next process is.
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self.process.wait, name="quorate-reap", daemon=True).start()

    @staticmethod
    def _close(pipe: IO[bytes] | None) -> None:
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()

    async def _exchange(self, request: bytes) -> bytes:
        """Write a request and read a line."""
        pipes = self._pipes
        if pipes.read:
            raise _misbehaved(f"answered before it was asked: {_glimpse(bytes(pipes.read))}")
        left, line = await pipes.exchange(request)
        if line is None:
            raise await self._failure()
        if len(line) > limits.MAX_ANSWER_BYTES:
            raise _too_long()
        if left:
            raise _misbehaved("answered before it had read the request")
        return line

    async def _failure(self) -> TransportError:
        """Say how it failed: it wrote too much, or ended."""
        if len(self._pipes.read) > limits.MAX_ANSWER_BYTES:
            return _too_long()
        exited = await self._exited()
        error = self._launch.error()
        if error is not None:
            self.kill(wait=exited)
            return TransportError(f"{SOURCE} cannot be started: {os.strerror(error)}: {self._name}")
        # What it said last may still stand in the pipe.
        self._pipes.take_errors()
        self.kill(wait=exited)
        what = _status(self.process.returncode) if exited else "closed its output"
        told = self._pipes.tail.decode("utf-8", "replace")
        tail = " ".join(hidden(told, [os.environ, self._env]).split())
        # The end tells most: there stands a traceback's error.
        said = f"; it last said: {_last(tail)}" if tail else ""
        return TransportError(f"{SOURCE} {what} without an answer{said}")

    async def _exited(self) -> bool:
        """Wait a moment for it to exit by itself; it stays to be reaped."""
        deadline = time.monotonic() + _EXIT_GRACE_SECONDS
        while not _has_exited(self.process):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True


class _Pipes:
    """The three pipes of a child, looked at by whichever event loop is there.

    Attributes:
        read: what it wrote, as far as no line was taken off.
        tail: the last it wrote to standard error, at most ``limits.MAX_ERROR_TAIL_BYTES``.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._in = _non_blocking(process.stdin)
        self._out = _non_blocking(process.stdout)
        self._err = _non_blocking(process.stderr)
        self._left = memoryview(b"")
        self.read = bytearray()
        self.tail = bytearray()

    async def exchange(self, request: bytes) -> tuple[int, bytes | None]:
        """Write a request and wait for a line; what goes to standard error is read away.

        Returns:
            How many bytes of the request are not written, and the line; ``None`` for a line
            where the output ended, or is too long.
        """
        loop = asyncio.get_running_loop()
        line: asyncio.Future[bytes | None] = loop.create_future()
        self._left = memoryview(request)
        try:
            loop.add_reader(self._err, self._drain, loop)
            loop.add_reader(self._out, self._receive, line)
            loop.add_writer(self._in, self._send, loop)
            found = await line
        finally:
            # A loop that was closed under us has forgotten them already.
            with contextlib.suppress(RuntimeError):
                loop.remove_reader(self._out)
                loop.remove_reader(self._err)
                loop.remove_writer(self._in)
        return len(self._left), found

    def take_output(self) -> bool:
        """Read what it wrote; False at the end."""
        return _take_in(self._out, self.read)

    def take_errors(self) -> bool:
        """Read what it wrote to standard error, and keep the last of it; False at the end."""
        more = _take_in(self._err, self.tail)
        del self.tail[: -limits.MAX_ERROR_TAIL_BYTES]
        return more

    def _send(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._left = self._left[os.write(self._in, self._left[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            # It reads no more. Whether it ended is seen at its output.
            loop.remove_writer(self._in)
            return
        if not self._left:
            loop.remove_writer(self._in)

    def _receive(self, line: asyncio.Future[bytes | None]) -> None:
        searched = len(self.read)
        more = self.take_output()
        if line.done():
            return
        found = self._cut(searched)
        if found is not None or not more or len(self.read) > limits.MAX_ANSWER_BYTES:
            line.set_result(found)

    def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self.take_errors():
            loop.remove_reader(self._err)

    def _cut(self, searched: int) -> bytes | None:
        """Take a line off what was read, if there is a whole one."""
        end = self.read.find(b"\n", searched)
        if end < 0:
            return None
        line = bytes(self.read[:end])
        del self.read[: end + 1]
        return line


def _take_in(descriptor: int, into: bytearray) -> bool:
    """Read what is there, as much as a pipe holds; False at the end."""
    try:
        chunk = os.read(descriptor, _CHUNK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    into += chunk
    return bool(chunk)


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has exited, without reaping it: its number stays its own to be killed by."""
    if process.returncode is not None:
        return True
    try:
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, process.pid, flags) is not None
    # Somebody else reaped it.
    except ChildProcessError:
        return True


def _non_blocking(pipe: IO[bytes] | None) -> int:
    assert pipe is not None  # noqa: S101 - all three were asked for
    os.set_blocking(pipe.fileno(), False)
    return pipe.fileno()


def _misbehaved(what: str) -> MisbehaviourError:
    return MisbehaviourError(SOURCE, f"it {what}")


def _too_long() -> TransportError:
    return TransportError(
        f"{SOURCE} wrote a line of more than {limits.MAX_ANSWER_BYTES} bytes, and was killed"
    )


def _glimpse(line: bytes) -> str:
    return shown(line[:200].decode("utf-8", "replace"))


def _last(tail: str) -> str:
    most = limits.MAX_DETAIL_LENGTH // 2
    return tail if len(tail) <= most else f"…{tail[-most:]}"


def _status(code: int) -> str:
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
