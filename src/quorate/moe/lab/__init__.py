"""The laboratory behind ``quorate bench moe``: small MoEs, really trained, under attack.

:func:`run_lab` trains them, mounts every attack on a number of gate replicas from none to
all, and gives a :class:`Report`. Both need PyTorch and scikit-learn, and are imported when
they are first used; :mod:`quorate.moe.lab.report` needs neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quorate.moe.lab.report import Report, Series
    from quorate.moe.lab.running import run_lab

__all__ = ["Report", "Series", "run_lab"]

_HOMES = {"Report": "report", "Series": "report", "run_lab": "running"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'quorate.moe.lab' has no attribute {name!r}")
    return getattr(import_module(f"quorate.moe.lab.{_HOMES[name]}"), name)
