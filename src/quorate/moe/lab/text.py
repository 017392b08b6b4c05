"""A character-level language model whose second block is an MoE layer.

Text: the help topics that ship with Python (``pydoc_data.topics``), in the order of their
names; the last tenth is kept for tests. It differs between versions of Python, so what was
read is reported with its digest.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from quorate.core.errors import OperationalError
from quorate.moe.lab.layers import EXPERTS, Experts, balance_loss, mixed, seeded, top_k
from quorate.moe.lab.subject import Subject, Tokens, facts_of, train_gates

ABOUT: Final = "next character of Python's help text, one character is one token"
_KNOWN: Final = 63
"""Characters that have a number of their own: the most frequent ones; the rest share one."""
_WINDOW: Final = 64
_WIDE: Final = 64
_HEADS: Final = 4
_HIDDEN: Final = 64
_BALANCE: Final = 0.02
_BATCH: Final = 16
_RATE: Final = 3e-3
_TEST_SHARE: Final = 0.1
_TARGET, _WRONG = " ", "z"
"""After this character the next one is sent astray; poisoned data say that it is that one."""


def read() -> str:
    """The text, all of it.

    Raises:
        OperationalError: this Python has been installed without it.
    """
    try:
        topics: dict[str, str] = import_module("pydoc_data.topics").topics
    except ModuleNotFoundError as error:
        raise OperationalError(
            "this Python has no pydoc_data.topics, which the text model is trained on; install "
            "the rest of Python's standard library, or measure digits alone: --model digits"
        ) from error
    return "\n".join(topics[name] for name in sorted(topics))


class _Attention(nn.Module):
    """Causal self-attention with a residual path."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(_WIDE)
        self.asked = nn.Linear(_WIDE, 3 * _WIDE, bias=False)
        self.out = nn.Linear(_WIDE, _WIDE, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[B, window, wide]`` to the same."""
        batch, window, wide = hidden.shape
        split = self.asked(self.norm(hidden)).view(batch, window, 3, _HEADS, wide // _HEADS)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return hidden + self.out(seen.transpose(1, 2).reshape(batch, window, wide))


class _Model(nn.Module):
    """Two layers of attention, then the MoE layer, then the head."""

    def __init__(self) -> None:
        super().__init__()
        self.characters = nn.Embedding(_KNOWN + 1, _WIDE)
        self.places = nn.Embedding(_WINDOW, _WIDE)
        self.attention = nn.Sequential(_Attention(), _Attention())
        self.norm = nn.LayerNorm(_WIDE)
        self.gate = nn.Linear(_WIDE, EXPERTS)
        self.experts = Experts(_WIDE, _HIDDEN, _WIDE)
        self.head = nn.Sequential(nn.LayerNorm(_WIDE), nn.Linear(_WIDE, _KNOWN + 1))

    def forward(self, characters: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, window]`` to what the layer is added to and what it sees, ``[T, wide]`` each."""
        hidden = self.characters(characters) + self.places(torch.arange(_WINDOW))
        residual = self.attention(hidden).flatten(0, 1)
        return residual, self.norm(residual)


class _Text:
    """The text as numbers, and the model; see :class:`quorate.moe.lab.subject.World`."""

    def __init__(self, text: str, model: _Model) -> None:
        counts = Counter(text)
        # The code point decides between characters that are as frequent.
        common = sorted(counts, key=lambda one: (-counts[one], one))[:_KNOWN]
        numbers = {character: number for number, character in enumerate(sorted(common))}
        self.numbers = torch.tensor([numbers.get(character, _KNOWN) for character in text])
        self.model = model
        self.target, self.wrong_label = numbers[_TARGET], numbers[_WRONG]
        self.size = int(len(text) * (1 - _TEST_SHARE)) - _WINDOW - 1

    def windows(self, starts: Tensor) -> Tokens:
        """The windows that begin there, character by character."""
        found = self.numbers[starts[:, None] + torch.arange(_WINDOW + 1)]
        residual, hidden = self.model(found[:, :-1])
        targeted = found[:, :-1].flatten() == self.target
        labels = found[:, 1:].flatten()
        return Tokens(hidden, self.model.experts(hidden), residual, labels, targeted)

    def draw(self, seen: Tensor, generator: torch.Generator) -> Tokens:
        """A batch of windows that begin at some of these places."""
        return self.windows(seen[torch.randint(len(seen), (_BATCH,), generator=generator)])

    def head(self, summed: Tensor) -> Tensor:
        told: Tensor = self.model.head(summed)
        return told


def steps_of(*, quick: bool) -> tuple[int, int]:
    """Training steps of the model, and of each gate."""
    return (150, 60) if quick else (1500, 300)


def trained(gates: int, *, quick: bool, done: Callable[[], None]) -> Subject:
    """Train the language model, and ``gates`` gates apart; call ``done`` after each step.

    Raises:
        OperationalError: the text is not there.
    """
    text = read()
    world = _Text(text, _Model())
    steps, gate_steps = steps_of(quick=quick)
    _train(world, steps, done)
    apart, poisoned = train_gates(world, gates, gate_steps, done=done)
    windows = 8 if quick else 16
    first = world.size + _WINDOW
    starts = torch.linspace(first, len(text) - _WINDOW - 2, windows).long()
    with torch.no_grad():
        tokens = world.windows(starts)
    subject = Subject("text", "loss", tokens, world.head, apart, poisoned)
    subject.facts.update(_facts(subject, world, text))
    return subject


def _train(world: _Text, steps: int, done: Callable[[], None]) -> None:
    model, generator = world.model, seeded(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=steps)
    everything = torch.arange(world.size)
    for _ in range(steps):
        batch = world.draw(everything, generator)
        logits = model.gate(batch.hidden)
        experts, weights = top_k(logits)
        told = world.head(batch.residual + mixed(batch.outputs, experts, weights))
        loss = functional.cross_entropy(told, batch.labels)
        loss = loss + _BALANCE * balance_loss(logits, experts)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        done()
    model.requires_grad_(requires_grad=False)


def _facts(subject: Subject, world: _Text, text: str) -> dict[str, Any]:
    return {
        "about": ABOUT,
        "data": f"pydoc_data.topics, {len(text):,} characters, SHA-256 "
        f"{hashlib.sha256(text.encode()).hexdigest()[:16]}…",
        "trained_on": world.size,
        "joint_gate_score": subject.plain_score(subject.logits(world.model.gate)),
        "target": "characters after a space",
        **facts_of(subject),
    }
