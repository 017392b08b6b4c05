"""``quorate demo``: seven models judge real patients, some of them lying.

:func:`run_demo` computes a report, all JSON; :func:`render` and :func:`save_picture` show
one. Only the first needs scikit-learn.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from quorate.cli.demo.picture import check_picture, render, save_picture
from quorate.cli.shown import progress
from quorate.core.errors import OperationalError

__all__ = ["check_picture", "render", "run_demo", "save_picture"]


def run_demo(folder: Path | None = None) -> dict[str, Any]:
    """Train, decide, seal, verify, tamper; see :func:`quorate.cli.demo.story.tell`.

    Progress is shown on stderr where that is a terminal.

    Args:
        folder: where to keep the ledger, its keys and the checkpoint; it is made if it is
            not there. ``None`` keeps nothing.

    Raises:
        UsageError: a ledger, keys or a checkpoint are in ``folder`` already.
        OperationalError: scikit-learn is not installed, or the folder cannot be used.
        StoreError: the ledger cannot be written; nothing is left of it.
        VerificationError: the ledger just written does not verify.
    """
    started = time.perf_counter()
    with progress("loading scikit-learn"):
        try:
            import sklearn  # noqa: F401 - asked for first, so that nothing is begun without it
        except ModuleNotFoundError as error:
            if error.name != "sklearn":
                raise
            raise OperationalError(
                "the demo needs scikit-learn, which is not installed; "
                'run: pip install "quorate[demo]"'
            ) from error
        from quorate.cli.demo.story import tell
    loading = time.perf_counter() - started
    report = tell(folder)
    report["seconds"] = {
        "loading": loading,
        **report["seconds"],
        "total": time.perf_counter() - started,
    }
    return report
