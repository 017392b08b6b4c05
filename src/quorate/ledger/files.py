"""Small text files that people write and hand over: keys, policies, panels, notes."""

from __future__ import annotations

from pathlib import Path

from quorate.core.errors import OperationalError, UsageError


def read_text(path: str | Path, what: str, most: int) -> str:
    """Read a text file of at most ``most`` bytes; ``what`` names it in errors.

    Raises:
        OperationalError: it cannot be read.
        UsageError: it is larger, or not UTF-8 text.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(most + 1)
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
