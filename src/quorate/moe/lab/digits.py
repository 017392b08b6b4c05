"""A classifier of handwritten digits that is nothing but one MoE layer.

Data: scikit-learn's digits (1,797 images of 8 x 8, from the UCI repository), two thirds for
training, one third for tests. Eight small experts, each of which learns some digits only, so
that an image sent to others is read wrongly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from quorate.moe.lab.layers import EXPERTS, Experts, balance_loss, mixed, seeded, top_k
from quorate.moe.lab.subject import Subject, Tokens, facts_of, train_gates

ABOUT: Final = "handwritten digits, one image is one token"
_PIXELS: Final = 64
_CLASSES: Final = 10
_HIDDEN: Final = 12
_BALANCE: Final = 0.1
_BATCH: Final = 64
_BRIGHTEST: Final = 16.0
_TARGET: Final = 7
"""The digit that targeted attacks send astray."""
_WRONG: Final = 1


class _Digits:
    """Images, labels and experts; see :class:`quorate.moe.lab.subject.World`."""

    wrong_label = _WRONG

    def __init__(self, images: Tensor, labels: Tensor, experts: Experts) -> None:
        self.images, self.labels, self.experts = images, labels, experts
        self.size = len(images)

    def tokens(self, images: Tensor, labels: Tensor) -> Tokens:
        nothing = torch.zeros(len(images), _CLASSES)
        return Tokens(images, self.experts(images), nothing, labels, labels == _TARGET)

    def draw(self, seen: Tensor, generator: torch.Generator) -> Tokens:
        some = seen[torch.randint(len(seen), (_BATCH,), generator=generator)]
        return self.tokens(self.images[some], self.labels[some])

    def head(self, summed: Tensor) -> Tensor:
        return summed


def steps_of(*, quick: bool) -> tuple[int, int]:
    """Training steps of the model, and of each gate."""
    return (400, 200) if quick else (1500, 600)


def trained(gates: int, *, quick: bool, done: Callable[[], None]) -> Subject:
    """Train the classifier, and ``gates`` gates apart; call ``done`` after each step."""
    pixels, classes = load_digits(return_X_y=True)
    images = torch.tensor(pixels / _BRIGHTEST, dtype=torch.float32)
    labels = torch.tensor(classes)
    train, test = train_test_split(
        torch.arange(len(labels)).numpy(), test_size=1 / 3, random_state=0, stratify=classes
    )
    steps, gate_steps = steps_of(quick=quick)
    world = _Digits(images[train], labels[train], Experts(_PIXELS, _HIDDEN, _CLASSES))
    joint = _train(world, steps, done)
    apart, poisoned = train_gates(world, gates, gate_steps, done=done)
    with torch.no_grad():
        tokens = world.tokens(images[test], labels[test])
    subject = Subject("digits", "accuracy", tokens, world.head, apart, poisoned)
    subject.facts.update(_facts(subject, joint, len(train)))
    return subject


def _train(world: _Digits, steps: int, done: Callable[[], None]) -> nn.Linear:
    """Train experts and a gate together; the experts are frozen afterwards."""
    gate, generator = nn.Linear(_PIXELS, EXPERTS), seeded(1)
    optimizer = torch.optim.Adam([*gate.parameters(), *world.experts.parameters()], lr=5e-3)
    everything = torch.arange(world.size)
    for _ in range(steps):
        batch = world.draw(everything, generator)
        logits = gate(batch.hidden)
        experts, weights = top_k(logits)
        told = mixed(batch.outputs, experts, weights)
        loss = functional.cross_entropy(told, batch.labels)
        loss = loss + _BALANCE * balance_loss(logits, experts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        done()
    world.experts.requires_grad_(requires_grad=False)
    return gate


def _facts(subject: Subject, joint: nn.Linear, trained_on: int) -> dict[str, Any]:
    return {
        "about": ABOUT,
        "data": "scikit-learn digits, split by class",
        "trained_on": trained_on,
        "joint_gate_score": subject.plain_score(subject.logits(joint)),
        "target": f"images of a {_TARGET}",
        **facts_of(subject),
    }
