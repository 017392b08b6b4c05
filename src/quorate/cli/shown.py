"""What commands print: JSON on stdout if asked for, else words; errors on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import printable

_SLOW_SECONDS: Final = 1.0

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def out() -> Console:
    """Console on stdout; wide enough not to break lines where it is no terminal."""
    return Console(emoji=False, highlight=False, soft_wrap=not sys.stdout.isatty())


def err() -> Console:
    """Console on stderr."""
    return Console(stderr=True, emoji=False, highlight=False, soft_wrap=not sys.stderr.isatty())


class OutputError(OperationalError):
    """Standard output cannot be written, so errors have to be told elsewhere."""


@contextmanager
def writing() -> Iterator[None]:
    """Say of errors in here that standard output could not be written.

    Raises:
        OutputError: the disk that it goes to is full, or the like.
        BrokenPipeError: whoever read it has gone, which is nobody's fault.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def print_json(value: Any) -> None:
    """Print one JSON document on stdout."""
    narrow = (sys.stdout.encoding or "").lower() not in {"utf-8", "utf8"}
    text = json.dumps(value, ensure_ascii=narrow, indent=2, default=_refuse)
    # JSON itself escapes the control characters of ASCII, but not those beyond, nor bidi marks.
    if text.isascii() or text.replace("\n", "").isprintable():
        put(text + "\n")
    else:
        put(json.dumps(value, ensure_ascii=True, indent=2) + "\n")


def put(text: str) -> None:
    """Write text on stdout, as it is.

    Raises:
        OutputError: it cannot be written.
    """
    with writing():
        sys.stdout.write(text)


def _refuse(value: object) -> str:
    raise TypeError(f"{type(value).__name__} is not JSON")


def visible(text: str) -> str:
    """Escape control characters line by line: what is shown may come from liars."""
    return "\n".join(map(printable, text.split("\n")))


def say(text: str) -> None:
    """Print plain text on stdout, markup characters and all."""
    put(visible(text) + "\n")


def tell(text: str) -> None:
    """Print plain text on stderr."""
    err().print(visible(text), markup=False, soft_wrap=True)


def remark(sign: str, text: str) -> None:
    """Print text on stderr behind a sign in rich's markup, such as ``[yellow]note:[/]``."""
    err().print(f"{sign} {escape(visible(text))}", soft_wrap=True)


def note(text: str) -> None:
    """Print on stderr what a careful reader should know."""
    remark("[yellow]note:[/]", text)


def write_new(path: Path, text: str) -> None:
    """Save text in a file that is not there yet.

    Raises:
        UsageError: it is there.
        OperationalError: it cannot be written.
    """
    try:
        # Made by this very call: neither another's file nor a link that leads to none is written.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{path} is there already; name another file, nothing is replaced"
        ) from error
    except OSError as error:
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error


class Progress:
    """What to call with how much is done, and of how much (``None`` if that is not known)."""

    def __init__(self, what: str, show: Callable[[str, int, int | None], None] | None) -> None:
        """Show it as ``what``; ``show`` is ``None`` where nothing is to be shown."""
        self._what = what
        self._show = show

    def __call__(self, done: int, total: int | None) -> None:
        """Show it now."""
        if self._show is not None:
            self._show(self._what, done, total)

    def slow(self, what: str) -> Callable[[int, int | None], None]:
        """For something that comes first, and is shown only where it takes over a second."""
        other = Progress(what, self._show)
        began = time.monotonic()

        def shown(done: int, total: int | None) -> None:
            if time.monotonic() - began > _SLOW_SECONDS:
                other(done, total)

        return shown


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Show a progress bar on stderr where that is a terminal; yield what to call with counts."""
    console = err()
    if not console.is_terminal:
        yield Progress(what, None)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        shown = bar.add_task(what, total=None)
        yield Progress(
            what,
            lambda text, done, total: bar.update(
                shown, description=text, completed=done, total=total
            ),
        )
