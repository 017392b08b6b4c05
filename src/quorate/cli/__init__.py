"""The command line. ``quorate --help`` says what there is.

Exit codes: 0 done, 2 usage, 3 refused under ``--strict``, 4 verification failed,
5 store, file or network, 130 interrupted.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    try:
        _ready_streams()
        from quorate.cli.app import run  # the package stays importable without typer

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def _ready_streams() -> None:
    """Stand /dev/null in for streams that the caller closed; let any text be written."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free descriptor is the missing one.
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's encoding lacks is written as an escape, not as a crash.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # real streams
