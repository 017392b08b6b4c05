"""Small text files that people write and hand over: keys, policies, panels, notes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from quorate.core.errors import OperationalError, UsageError


def read_text(path: str | Path, what: str, most: int) -> str:
    """Read a text file of at most ``most`` bytes; ``what`` names it in errors.

    Raises:
        OperationalError: it cannot be read, or is no regular file: a device or a pipe need
            not end, nor even begin.
        UsageError: it is larger, or not UTF-8 text.
    """
    try:
        data = read_start(path, most + 1)
    except OSError as error:
        raise OperationalError(f"the {what} {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"the {what} {str(path)!r} is no file name: {error}") from error
    if len(data) > most:
        raise UsageError(f"the {what} {path} is larger than {most} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"the {what} {path} is no UTF-8 text at byte {error.start}") from error


def read_start(path: str | Path, most: int) -> bytes:
    """The first ``most`` bytes of a regular file, fewer if it is shorter.

    Raises:
        OSError: it cannot be read, or is a folder, a device or a pipe.
        ValueError: ``path`` can name no file.
    """
    # Without waiting: opening a pipe would last until somebody writes to it.
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "it is no regular file", str(path))
        return file.read(most)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
