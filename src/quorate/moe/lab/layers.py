"""What the lab's two small models share: experts, top-k choice, mixture, steady training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

CHOSEN: Final = 2
"""Experts that each token is sent to, of 8."""
EXPERTS: Final = 8


class Experts(nn.Module):
    """Two-layer networks side by side, all of one shape.

    All of them are run on every token and the chosen ones are gathered: at this size that
    is cheaper than grouping tokens by expert, and it gives any choice's result at once.
    """

    def __init__(self, wide: int, hidden: int, out: int) -> None:
        """Draw weights from PyTorch's own generator, which the caller has seeded."""
        super().__init__()
        self.first = nn.Parameter(torch.randn(EXPERTS, wide, hidden) * (2 / wide) ** 0.5)
        self.first_bias = nn.Parameter(torch.zeros(EXPERTS, 1, hidden))
        self.second = nn.Parameter(torch.randn(EXPERTS, hidden, out) * (1 / hidden) ** 0.5)
        self.second_bias = nn.Parameter(torch.zeros(EXPERTS, 1, out))

    def forward(self, tokens: Tensor) -> Tensor:
        """``[T, wide]`` to every expert's output, ``[T, E, out]``."""
        shared = tokens.expand(EXPERTS, *tokens.shape)
        hidden = torch.relu(torch.baddbmm(self.first_bias, shared, self.first))
        return torch.baddbmm(self.second_bias, hidden, self.second).transpose(0, 1)


def top_k(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The chosen experts ``[T, k]``, the lowest index where logits tie, and their weights.

    The weights are the softmax over the chosen. What is not finite is passed on, as a gate
    without any check does.
    """
    values, experts = torch.sort(logits, dim=-1, descending=True, stable=True)
    return experts[:, :CHOSEN], functional.softmax(values[:, :CHOSEN], dim=-1)


def mixed(outputs: Tensor, experts: Tensor, weights: Tensor) -> Tensor:
    """Outputs ``[T, E, out]`` of the chosen experts, weighted: ``[T, out]``."""
    wide = outputs.shape[-1]
    taken = outputs.gather(1, experts[..., None].expand(-1, -1, wide))
    return (taken * weights[..., None]).sum(1)


def balance_loss(logits: Tensor, experts: Tensor) -> Tensor:
    """Load-balancing loss of Fedus et al. 2021 (Switch Transformers); 1.0 where balanced."""
    meant = functional.softmax(logits, dim=-1).mean(0)
    taken = functional.one_hot(experts, EXPERTS).float().sum((0, 1)) / experts.numel()
    return EXPERTS * (meant * taken).sum()


@contextmanager
def steady(seed: int) -> Iterator[None]:
    """Run one thread, deterministic algorithms and a generator seeded for this block alone.

    Sums in parallel depend on the number of threads; with one, a second run gives the same
    table on the same machine. All settings are put back.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(mode=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(mode=strict)
            torch.set_num_threads(threads)


def seeded(seed: int) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)
