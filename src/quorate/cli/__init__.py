"""The command line. ``quorate --help`` says what there is.

Exit codes: 0 done, 2 usage, 3 refused under ``--strict``, 4 verification failed,
5 store, file or network, 130 interrupted.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    from quorate.cli.app import run  # the package stays importable without typer

    sys.exit(run(sys.argv[1:]))
