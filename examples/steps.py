"""What every example does: set up a panel in an empty folder, and run commands as typed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

IGNORED = shutil.ignore_patterns("__pycache__", "run.py")


@contextmanager
def panel(source: Path) -> Iterator[Path]:
    """Copy an example's files into a new folder and go there; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="quorate-example-") as made:
        folder = Path(made) / source.name
        shutil.copytree(source, folder, ignore=IGNORED)
        quorate(folder, "keys", "new", "ledger.key", quiet=True)
        yield folder


def quorate(folder: Path, *arguments: str, quiet: bool = False) -> None:
    """Run ``quorate ARGUMENTS`` in the folder, and show the command as one would type it."""
    if not quiet:
        print(f"$ quorate {' '.join(arguments)}", flush=True)
    subprocess.run(
        [sys.executable, "-m", "quorate", *arguments],
        cwd=folder,
        env={**os.environ, "COLUMNS": "100"},
        stdout=subprocess.DEVNULL if quiet else None,
        stderr=subprocess.DEVNULL if quiet else None,
        check=True,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write_lines(path: Path, items: list[dict[str, Any]]) -> None:
    """Write a file of JSON lines."""
    path.write_text("".join(json.dumps(item) + "\n" for item in items), "utf-8")


def count(decisions: list[dict[str, Any]], truth: dict[str, Any]) -> str:
    """Right, wrong and refused, in words."""
    refused = sum(line["status"] == "refused" for line in decisions)
    right = sum(
        line["status"] == "committed" and line["consensus"] == truth[line["id"]]
        for line in decisions
    )
    return f"{right} right, {len(decisions) - right - refused} wrong, {refused} refused"
