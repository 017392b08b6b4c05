"""The one thing to say where PyTorch is missing."""

from __future__ import annotations

from quorate.core.errors import OperationalError


def without_torch(name: str) -> OperationalError:
    """The error of a name that needs PyTorch: which extra is enough, and for what."""
    return OperationalError(
        f"{name} works on PyTorch, which is not installed (models of Transformers and replica "
        'files take "quorate[torch,transformers]"); pip install "quorate[torch]"'
    )
