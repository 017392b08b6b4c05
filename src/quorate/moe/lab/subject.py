"""A trained model as the lab sees it: tokens, gates, and what a choice of experts comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from quorate.moe.lab.layers import CHOSEN, EXPERTS, mixed, seeded, top_k

_SHARE_SEEN: Final = 0.8
_FIRST_SEED: Final = 1000

Metric = Literal["accuracy", "loss"]
Step = Callable[[], None]


@dataclass(frozen=True)
class Tokens:
    """Tokens as they reach the MoE layer.

    Attributes:
        hidden: what the gate sees, ``[T, wide]``.
        outputs: every expert's output, ``[T, E, out]``.
        residual: what the layer's output is added to, ``[T, out]``.
        labels: right answers, ``[T]``.
        targeted: tokens that targeted attacks are after, ``[T]`` bool.
    """

    hidden: Tensor
    outputs: Tensor
    residual: Tensor
    labels: Tensor
    targeted: Tensor


class World(Protocol):
    """A model whose experts are frozen, with data to train gates on."""

    size: int
    """Training examples (images, or places in the text)."""
    wrong_label: int
    """What poisoned training data call a targeted token."""

    def draw(self, seen: Tensor, generator: torch.Generator) -> Tokens:
        """A training batch from the examples ``seen``."""

    def head(self, summed: Tensor) -> Tensor:
        """Residual plus mixture, ``[T, out]``, to logits of the answers ``[T, classes]``."""


@dataclass(frozen=True)
class Subject:
    """A model under test: its test tokens, and gates trained for it.

    Attributes:
        name: ``"digits"`` or ``"text"``.
        metric: what the score is: ``"accuracy"`` (share of right answers, more is better) or
            ``"loss"`` (nats per character, less is better).
        tokens: the test tokens.
        head: see :class:`World`.
        gates: trained apart, each from a seed and a share of the data of its own; the first
            is the plain gate, and what copies are copies of.
        poisoned: trained as the first gate was, on poisoned labels of the targeted tokens.
        facts: what to print about it, name to value.
    """

    name: str
    metric: Metric
    tokens: Tokens
    head: Callable[[Tensor], Tensor]
    gates: Sequence[nn.Linear]
    poisoned: nn.Linear
    facts: dict[str, Any] = field(default_factory=dict)

    def logits(self, gate: nn.Linear) -> Tensor:
        """What the gate says of every test token, ``[T, E]``."""
        with torch.no_grad():
            told: Tensor = gate(self.tokens.hidden)
        return told

    def score(self, experts: Tensor, weights: Tensor, answered: Tensor) -> float | None:
        """What it comes to if tokens are sent to these experts.

        A token that is not answered goes to no expert. In ``digits`` that is an image without
        an answer, so not a right one; in ``text`` the layer is passed over for that
        character, as its residual path allows, and its loss counts like any other.

        Args:
            experts: ``[T, k]``; anything where a token is not answered.
            weights: ``[T, k]``.
            answered: ``[T]`` bool.

        Returns:
            The metric, or ``None`` where it is not a number, since some output is not.
        """
        where = answered[:, None]
        taken = mixed(
            self.tokens.outputs,
            torch.where(where, experts, 0),
            torch.where(where, weights, 0.0),
        )
        with torch.no_grad():
            told = self.head(self.tokens.residual + taken)
        if self.metric == "accuracy":
            right = (told.argmax(-1) == self.tokens.labels) & answered
            return float((right & torch.isfinite(told).all(-1)).float().mean())
        loss = float(functional.cross_entropy(told, self.tokens.labels))
        return loss if loss == loss else None  # noqa: PLR0124 - only NaN is not itself

    def only_targeted(self) -> Subject:
        """The same with the targeted tokens alone."""
        where = self.tokens.targeted
        parts = {part.name: getattr(self.tokens, part.name)[where] for part in fields(Tokens)}
        return replace(self, tokens=Tokens(**parts))

    def plain_score(self, logits: Tensor) -> float | None:
        """The score of one gate that nothing checks."""
        experts, weights = top_k(logits)
        return self.score(experts, weights, torch.ones(len(logits), dtype=torch.bool))


def train_gates(
    world: World, count: int, steps: int, *, done: Step
) -> tuple[list[nn.Linear], nn.Linear]:
    """``count`` gates trained apart, and one as the first but on poisoned labels."""
    gates = [
        _train_gate(world, number, steps, poisoned=False, done=done) for number in range(count)
    ]
    return gates, _train_gate(world, 0, steps, poisoned=True, done=done)


def _train_gate(world: World, number: int, steps: int, *, poisoned: bool, done: Step) -> nn.Linear:
    """Train a gate for frozen experts from a seed of its own, on its own share of the data.

    It mixes all experts while it learns: a top-k choice gives the experts not chosen no say,
    and gates from different seeds then settle on different experts, so that no two of them
    agree on a token even where both are right.
    """
    generator = seeded(_FIRST_SEED + number)
    seen = torch.randperm(world.size, generator=generator)[: int(_SHARE_SEEN * world.size)]
    wide = world.draw(seen[:1], generator).hidden.shape[-1]
    gate = nn.Linear(wide, EXPERTS)
    with torch.no_grad():
        for values in gate.parameters():
            values.uniform_(-(wide**-0.5), wide**-0.5, generator=generator)
    optimizer = torch.optim.Adam(gate.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total_iters=steps)
    for _ in range(steps):
        with torch.no_grad():
            batch = world.draw(seen, generator)
        labels = batch.labels
        if poisoned:
            labels = torch.where(batch.targeted, world.wrong_label, labels)
        shares = functional.softmax(gate(batch.hidden), dim=-1)
        told = world.head(batch.residual + (batch.outputs * shares[..., None]).sum(1))
        optimizer.zero_grad()
        functional.cross_entropy(told, labels).backward()
        optimizer.step()
        schedule.step()
        done()
    return gate.requires_grad_(requires_grad=False)


def facts_of(subject: Subject) -> dict[str, Any]:
    """How good the gates are, how much routing matters, and how far gates agree."""
    logits = [subject.logits(gate) for gate in subject.gates]
    sets = [torch.sort(top_k(one)[0], dim=-1)[0] for one in logits]
    pairs = [
        float((sets[a] == sets[b]).all(-1).float().mean())
        for a in range(len(sets))
        for b in range(a)
    ]
    drawn = torch.rand(logits[0].shape, generator=seeded(0))
    load = torch.bincount(sets[0].flatten(), minlength=EXPERTS)
    return {
        "tokens": len(logits[0]),
        "experts": EXPERTS,
        "chosen": CHOSEN,
        "gate_scores": [subject.plain_score(one) for one in logits],
        "random_routing_score": subject.plain_score(drawn),
        "load": load.tolist(),
        "agreement": sum(pairs) / len(pairs),
        "targeted_tokens": int(subject.tokens.targeted.sum()),
    }
