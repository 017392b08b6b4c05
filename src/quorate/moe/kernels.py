"""One launch for a softmax gate of up to eight replicas: fuse, choose, weigh, count.

For blocks of one's own that route by top-k of raw logits and weigh by a softmax over the
chosen. (:class:`~quorate.moe.BFTGate` does not use it: there the model's own code chooses.)
On a CUDA device where Triton is importable it is one kernel, a program for each token; the
rows are sorted by a bitonic network, and of the sorted finite ones the middle is taken.
Anywhere else it is a few operations of PyTorch with the same results: logits, choices and
counts bit for bit, weights up to rounding.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from quorate.core.errors import UsageError, UsageTypeError
from quorate.core.quorum import quorum_size, tolerated_faults
from quorate.moe.needs import without_torch

try:
    import torch
except ModuleNotFoundError as error:
    raise without_torch("quorate.moe.kernels") from error

from quorate.moe.fusing import median_of_some

MAX_REPLICAS: Final = 8
"""Most replicas that one program sorts."""

MAX_EXPERTS: Final = 1024
"""Most experts of one gate in the kernel."""

_DTYPES: Final = (torch.float32, torch.bfloat16, torch.float16)
_NDIM: Final = 3


@dataclass(frozen=True, slots=True)
class SoftmaxGating:
    """What came of one gate's logits; T tokens, n replicas.

    Attributes:
        logits: coordinate-wise median of each token's finite rows, [T, E], in the rows' dtype;
            0 where more than f rows are not finite.
        experts: int64 [T, k], greatest logit first, ties to the lowest index; -1 where no quorum.
        weights: float32 [T, k], softmax over the chosen; 0 where no quorum.
        consensus: bool [T]: a quorum of replicas has that top-k set, and at most f rows are not
            finite.
        support: int64 [T], replicas whose finite row has that top-k set; 0 where more than f
            rows are not finite.
    """

    logits: torch.Tensor
    experts: torch.Tensor
    weights: torch.Tensor
    consensus: torch.Tensor
    support: torch.Tensor


def softmax_gate(logits: torch.Tensor, k: int = 1, faults: int | None = None) -> SoftmaxGating:
    """Route tokens by the median of n replicas' logits, with a quorum for each token.

    Args:
        logits: [n, T, E], float32, bfloat16 or float16; n from 1 to 8.
        k: experts for each token, 1 to E.
        faults: f; the greatest that n bears if ``None``.

    Raises:
        UsageTypeError: ``logits`` is no tensor of such numbers, ``k`` no whole number.
        UsageError: a shape or number is out of range.
    """
    n, f = _checked(logits, k, faults)
    if n and _kernel_serves(logits):
        return _launch(_kernel(), logits.contiguous(), k, f)
    return softmax_gate_torch(logits, k, f)


def _checked(logits: Any, k: Any, faults: int | None) -> tuple[int, int]:
    if not isinstance(logits, torch.Tensor) or logits.dtype not in _DTYPES:
        raise UsageTypeError("logits should be a tensor of float32, bfloat16 or float16")
    if logits.ndim != _NDIM or 0 in logits.shape:
        raise UsageError(f"logits has the shape {list(logits.shape)}; give [n, T, E], none of it 0")
    n, _, experts = logits.shape
    if n > MAX_REPLICAS:
        raise UsageError(f"logits are of {n} replicas; at most {MAX_REPLICAS} are supported")
    if isinstance(k, bool) or not isinstance(k, int):
        raise UsageTypeError(f"k is {k!r}; give a whole number")
    if not 1 <= k <= experts:
        raise UsageError(f"k is {k}; of {experts} experts it can be 1 to {experts}")
    f = tolerated_faults(n) if faults is None else faults
    quorum_size(n, f)
    return n, f


def _kernel_serves(logits: torch.Tensor) -> bool:
    there = logits.is_cuda or os.environ.get("TRITON_INTERPRET") == "1"
    return there and logits.shape[-1] <= MAX_EXPERTS and find_spec("triton") is not None


def softmax_gate_torch(logits: torch.Tensor, k: int, faults: int) -> SoftmaxGating:
    """The same by operations of PyTorch; arguments as checked by :func:`softmax_gate`."""
    n = logits.shape[0]
    finite = torch.isfinite(logits).all(dim=-1)
    borne = n - finite.sum(dim=0) <= faults
    clean = torch.where((finite & borne)[..., None], logits, 0.0)
    # Where too many are not finite nothing is chosen; all zeros give a median of zero.
    fused = median_of_some(clean, finite | ~borne)
    experts = _top(fused, k)
    sets = torch.stack([_top(row, k).sort(dim=-1).values for row in clean])
    alike = (sets == experts.sort(dim=-1).values).all(dim=-1) & finite & borne
    support = alike.sum(dim=0)
    consensus = borne & (support >= quorum_size(n, faults))
    weights = fused.float().gather(-1, experts).softmax(dim=-1)
    return SoftmaxGating(
        logits=fused,
        experts=torch.where(consensus[:, None], experts, -1),
        weights=torch.where(consensus[:, None], weights, 0.0),
        consensus=consensus,
        support=support,
    )


def _top(rows: torch.Tensor, k: int) -> torch.Tensor:
    """Top-k with ties to the lowest index, which ``topk`` does not promise."""
    chosen: torch.Tensor = rows.argsort(dim=-1, descending=True, stable=True)[..., :k]
    return chosen


def _launch(kernel: Any, logits: torch.Tensor, k: int, faults: int) -> SoftmaxGating:
    n, tokens, experts = logits.shape
    fused = torch.empty((tokens, experts), dtype=logits.dtype, device=logits.device)
    chosen = torch.empty((tokens, k), dtype=torch.int64, device=logits.device)
    weights = torch.empty((tokens, k), dtype=torch.float32, device=logits.device)
    consensus = torch.empty(tokens, dtype=torch.bool, device=logits.device)
    support = torch.empty(tokens, dtype=torch.int64, device=logits.device)
    kernel[(tokens,)](
        logits, fused, chosen, weights, consensus, support, tokens,
        N=n, E=experts, K=k, FAULTS=faults, QUORUM=quorum_size(n, faults),
        N_PAD=_power(n), E_PAD=_power(experts), K_PAD=_power(k),
    )  # fmt: skip
    return SoftmaxGating(fused, chosen, weights, consensus, support)


def _power(size: int) -> int:
    return 1 << (size - 1).bit_length()


@cache
def _kernel() -> Callable[..., Any]:
    """Compile the kernel; only where Triton is there."""
    from quorate.moe.kernels_triton import softmax_gate_kernel  # noqa: PLC0415

    found: Callable[..., Any] = softmax_gate_kernel
    return found
