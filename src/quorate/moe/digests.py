"""Digests of tensors: what a replica's weights are, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch

from quorate.core.canonical import canonical, digest


def tensor_digest(values: torch.Tensor) -> str:
    """SHA-256 over dtype, shape and the raw bytes of a tensor, as 64 hex digits."""
    about = {"dtype": dtype_name(values.dtype), "shape": list(values.shape)}
    taken = hashlib.sha256(canonical(about) + b"\n")
    raw = values.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
    taken.update(raw.numpy())
    return taken.hexdigest()


def dtype_name(dtype: Any) -> str:
    """``float32`` for ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


def replica_digest(tensors: Mapping[str, str]) -> str:
    """One digest of a replica's tensors (name -> digest) at one gate or at all of them."""
    return digest(dict(tensors))
