"""Files that the commands of ``quorate comply`` write: never over another's, unless told."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.shown import write_new
from quorate.core.errors import OperationalError, UsageError
from quorate.ledger.files import read_start

Force = Annotated[
    bool,
    typer.Option("--force", help="Replace files of that name which such a command wrote before."),
]

PAGE: Final = "<title>Evidence for the EU AI Act: "
MARKDOWN: Final = "# Evidence for the EU AI Act: "
EVIDENCE: Final = '"format": "quorate/evidence/1"'
"""What the first part of such a file has in it; ``--force`` replaces nothing else."""

_FIRST_BYTES: Final = 2048


def refuse_there(path: Path | None, mark: str, *, force: bool = False, option: str = "") -> None:
    """Refuse a file that is there or cannot be written, before the work rather than after it.

    Args:
        path: to be written; ``None`` where none is.
        mark: what files of its kind have in their first part.
        force: to replace one that does, and nothing else.
        option: that names another file, where the caller gave none.

    Raises:
        UsageError: it is there, and ``force`` is not given or does not reach so far.
        OperationalError: its folder is not there, or is closed.
    """
    if path is None:
        return
    if path.is_symlink() or (path.exists() and not force):
        more = "" if force else ", or replace it with --force"
        with_ = f" with {option}" if option else ""
        raise UsageError(f"{path} is there already; name another file{with_}{more}")
    if path.exists() and not _marked(path, mark):
        raise UsageError(
            f"{path} is there already, and no such command wrote it ({mark!r} is not in its first "
            "part); --force replaces nothing else: name another file"
        )
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OperationalError(f"{path} cannot be written: there is no folder {path.parent}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OperationalError(f"{path} cannot be written: the folder {path.parent} is closed")


def save(path: Path, text: str, mark: str, *, force: bool = False) -> None:
    """Save text in a new file; with ``force`` in place of one that has ``mark`` in it.

    Raises:
        UsageError: as :func:`refuse_there`.
        OperationalError: it cannot be written.
    """
    refuse_there(path, mark, force=force)
    if not path.exists():
        write_new(path, text)
        return
    made = None
    try:
        # Whole, or as it was: the old one stays until the new one is there.
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", dir=path.absolute().parent, prefix=f".{path.name}.", delete=False
        ) as file:
            made = Path(file.name)
            file.write(text)
        made.chmod(path.stat().st_mode & 0o777)
        made.replace(path)
    except OSError as error:
        if made is not None:
            made.unlink(missing_ok=True)
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error


def _marked(path: Path, mark: str) -> bool:
    try:
        return path.is_file() and mark.encode() in read_start(path, _FIRST_BYTES)
    except OSError as error:
        raise OperationalError(f"{path} cannot be read: {error.strerror}") from error
