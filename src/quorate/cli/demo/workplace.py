"""Where a demo works: a temporary folder, kept only where one is named."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quorate.core.errors import OperationalError


@contextmanager
def workplace(folder: Path | None) -> Iterator[Path]:
    """A temporary folder; at the end what is in it moves into ``folder``, if one is named.

    Raises:
        OperationalError: the folder cannot be made or written.
    """
    where = "a temporary folder" if folder is None else f"the folder {folder}"
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".quorate-demo-", dir=folder) as name:
            place = Path(name)
            yield place
            if folder is not None:
                for made in sorted(place.iterdir()):
                    made.rename(folder / made.name)
    except OSError as error:
        raise OperationalError(
            f"{where} cannot be used: {error.strerror or error}; name another with --keep"
        ) from error
