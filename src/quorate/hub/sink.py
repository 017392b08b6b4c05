"""Where a run writes to: decision lines whole and in order, and traces beside them."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

import orjson

from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError

DASH: Final = "-"
_TRACE: Final = frozenset({"id", "started_at", "spans"})
_BEGINNING: Final = b'{"id":"'


class Out:
    """Where decision lines go: appended whole, after what an earlier run wrote.

    Attributes:
        count: lines of an earlier run gone through so far.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        """Use :func:`open_out`."""
        self._name = name
        self._descriptor = descriptor
        self._resumes = name != DASH
        self.count = 0

    def lines_written(self) -> Iterator[bytes]:
        """Lines an earlier run wrote, one by one; the last may be torn."""
        if self._resumes:
            with Path(self._name).open("rb") as file:
                # Longer than any line of ours can be: it is seen to be none, piece by piece.
                while line := file.readline(limits.MAX_BODY_BYTES):
                    self.count += 1
                    yield line

    def take_off(self, line: bytes) -> None:
        """Take a torn line off the end; only the last line can be torn."""
        os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - len(line))

    def write(self, lines: bytes) -> None:
        """Append whole lines; if that fails, none of them stays in a file."""
        size = os.fstat(self._descriptor).st_size if self._resumes else 0
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            if self._resumes:
                os.ftruncate(self._descriptor, size)
            raise self._failed(error) from error

    def finish(self) -> None:
        """See to it that the lines survive a power failure."""
        try:
            if self._resumes:
                os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OperationalError:
        return OperationalError(
            f"the output {self._name} cannot be written: {error.strerror}; every decision is in "
            "the ledger, run again to write the lines that are missing"
        )


@contextlib.contextmanager
def open_out(name: str) -> Iterator[Out]:
    """Open the output, which no other run may write meanwhile.

    Raises:
        OperationalError: it cannot be opened, or another run writes it.
        UsageError: it is no regular file.
    """
    if name == DASH:
        # It is missing where the process was started with it closed.
        if sys.stdout is None:
            raise OperationalError("standard output is closed; name a file for the decisions")
        yield Out(name, sys.stdout.fileno())
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, 0o666)
    except OSError as error:
        raise OperationalError(f"the output {name} cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"the output {name} is no regular file; name a file, or - for stdout")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OperationalError(
                f"the output {name} is being written by another run; wait for it to end"
            ) from error
        yield Out(name, descriptor)
    finally:
        os.close(descriptor)


class Traces:
    """Where traces go, one JSON line for each task decided now; they are for people."""

    def __init__(self, name: str | None, others: Mapping[str, str | Path] | None = None) -> None:
        """Write to the file ``name``, after what is there; to nowhere if it is ``None``.

        A last line that was torn is taken off.

        Args:
            name: the file; it need not be there yet.
            others: files that are something else, by what they are, such as ``"the panel"``.

        Raises:
            OperationalError: the file cannot be opened or read.
            UsageError: it is one of ``others``, no regular file, or holds something else
                than traces; nothing in it was changed.
        """
        self._name = name
        self._file: IO[bytes] | None = None
        if name is None:
            return
        for what, other in (others or {}).items():
            if other != DASH and os.path.realpath(other) == os.path.realpath(name):
                raise UsageError(f"the traces {name} would go into {what}; name another file")
        try:
            torn_at = _check_traces(Path(name))
            # Left to close(): it is written to until the run ends.
            self._file = Path(name).open("ab")  # noqa: SIM115
            if torn_at is not None:
                self._file.truncate(torn_at)
        except OSError as error:
            raise self._failed("opened", error) from error

    def write(self, lines: bytes) -> None:
        """Append whole lines.

        Raises:
            OperationalError: they cannot be written.
        """
        if self._file is None or not lines:
            return
        try:
            self._file.write(lines)
            self._file.flush()
        except OSError as error:
            raise self._failed("written", error) from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _failed(self, how: str, error: OSError) -> OperationalError:
        return OperationalError(f"the traces {self._name} cannot be {how}: {error.strerror}")


def _check_traces(path: Path) -> int | None:
    """See to it that a file, if it is there, holds traces alone.

    Returns:
        Where a last line begins that was torn; ``None`` if none was.
    """
    if not path.exists():
        return None
    if not path.is_file():
        raise UsageError(f"the traces {path} are no regular file; name a file")
    kept = 0
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(limits.MAX_BODY_BYTES + 1)
            # The first line is to show whose file it is, so it is never one that was torn.
            torn = number > 1 and not line.endswith(b"\n") and line.startswith(_BEGINNING)
            if not line or torn:
                return kept if torn else None
            if not line.endswith(b"\n") or not _is_trace(line):
                raise UsageError(
                    f"{path}:{number}: is no trace with an end of line, and traces are written "
                    "only behind others; name another file"
                )
            kept += len(line)
    return None


def _is_trace(line: bytes) -> bool:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return isinstance(found, dict) and found.keys() == _TRACE and isinstance(found["spans"], list)
