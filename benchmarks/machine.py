"""Facts about the machine and the libraries, without which no figure means anything."""

from __future__ import annotations

import os
import platform
import sqlite3
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cryptography.hazmat.backends.openssl import backend

_LIBRARIES = ("quorate", "cryptography", "numpy", "orjson", "rfc8785")
_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})


def facts(scratch: Path) -> dict[str, Any]:
    """Processor, system, versions, and the file system that ``scratch`` lies on, as JSON."""
    kind = filesystem(scratch)
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "usable_cpus": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite3.sqlite_version,
        "openssl": backend.openssl_version_text(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "filesystem": kind,
        "in_memory": kind in _IN_MEMORY,
    }


def filesystem(path: Path) -> str | None:
    """Kind of file system that ``path`` lies on, such as ``ext4``; ``None`` if unknown."""
    mounts = Path("/proc/self/mounts")
    if not mounts.is_file():
        return None
    where = path.resolve()
    found: tuple[int, str] | None = None
    for line in mounts.read_text("utf-8", "replace").splitlines():
        _, mounted, kind, *_ = line.split(" ")
        point = Path(mounted.replace("\\040", " "))
        # The longest mount point wins, and of two at one place the later.
        if where.is_relative_to(point) and (found is None or len(point.parts) >= found[0]):
            found = (len(point.parts), kind)
    return None if found is None else found[1]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
