"""Lying replicas of a gate: what each attack makes them say.

Attacks on weights change the liars' gates and let them compute; attacks on outputs write
the logits that liars send. All liars of a row act together, under one plan. The numeric
attacks are those of :mod:`quorate.fusion.attacks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from quorate.fusion import attacks as numeric
from quorate.moe.lab.layers import CHOSEN, EXPERTS, seeded, top_k
from quorate.moe.lab.report import POISONED
from quorate.moe.lab.subject import Subject

_TOP_EXPONENT_BIT: Final = 1 << 30
_EXPONENT_BITS: Final = range(23, 31)
_RANDOM_FLIPS: Final = 8
_SEED: Final = 2
_LOUD: Final = 10.0
"""Logits by which a liar puts an expert above all others; or, as a factor, outshouts them."""
_LITTLE: Final = 1.5
_SILENT: Final = -1e4
_SEARCHED: Final = 128
"""Tokens on which the worst bit is looked for."""


@dataclass(frozen=True)
class Scene:
    """What liars know and hold.

    Attributes:
        subject: the model, its tokens, and which of them are targeted.
        gates: the liars' own gates, as they were trained.
        honest: logits of the honest replicas ``[h, T, E]``; the liars' own where all lie.
    """

    subject: Subject
    gates: Sequence[nn.Linear]
    honest: Tensor


@dataclass(frozen=True)
class Attack:
    """One way to lie.

    Attributes:
        name: as it is asked for.
        about: one line on what liars do.
        harms_plain: whether a gate that stands alone is harmed by it.
        at_source: it befalls the gate before it is copied: all copies have it.
        lies: from the scene to the liars' logits ``[b, T, E]``.
    """

    name: str
    about: str
    lies: Callable[[Scene], Tensor]
    harms_plain: bool = True
    at_source: bool = False


def _tampered(change: Callable[[nn.Linear, Subject], None]) -> Callable[[Scene], Tensor]:
    def lies(scene: Scene) -> Tensor:
        told = []
        for gate in scene.gates:
            other = deepcopy(gate)
            with torch.no_grad():
                change(other, scene.subject)
            told.append(scene.subject.logits(other))
        return torch.stack(told)

    return lies


def _flip(weight: Tensor, place: int, bit: int) -> None:
    bits = weight.view(torch.int32).flatten()
    bits[place] ^= bit


def _worst_bit(gate: nn.Linear, subject: Subject) -> None:
    """Flip the top exponent bit of the weight where that misroutes most tokens."""
    hidden = subject.tokens.hidden[:_SEARCHED]
    logits = subject.logits(gate)[:_SEARCHED]
    before = torch.sort(top_k(logits)[0], dim=-1)[0]
    flipped = (gate.weight.view(torch.int32) ^ _TOP_EXPONENT_BIT).view(torch.float32)
    changes = flipped - gate.weight
    moved = torch.zeros_like(gate.weight)
    for expert in range(EXPERTS):
        # One row of tokens for each weight that the expert's logit is made with.
        told = logits.repeat(hidden.shape[-1], 1, 1)
        told[:, :, expert] += (changes[expert] * hidden).T
        after = torch.topk(told, CHOSEN, dim=-1)[1].sort(dim=-1)[0]
        moved[expert] = (before != after).any(-1).float().mean(-1)
    _flip(gate.weight, int(moved.argmax()), _TOP_EXPONENT_BIT)


def _random_bits(gate: nn.Linear, _: Subject) -> None:
    generator = seeded(_SEED)
    for place in torch.randperm(gate.weight.numel(), generator=generator)[:_RANDOM_FLIPS]:
        bit = int(torch.randint(len(_EXPONENT_BITS), (1,), generator=generator))
        _flip(gate.weight, int(place), 1 << _EXPONENT_BITS[bit])


def _replaced(gate: nn.Linear, _: Subject) -> None:
    generator = seeded(_SEED)
    spread = float(gate.weight.std())
    gate.weight.normal_(0.0, spread, generator=generator)
    gate.bias.normal_(0.0, spread, generator=generator)


def _silenced(gate: nn.Linear, subject: Subject) -> None:
    chosen = top_k(subject.logits(gate))[0]
    gate.bias[torch.bincount(chosen.flatten(), minlength=EXPERTS).argmax()] = _SILENT


def _own(scene: Scene) -> Tensor:
    return torch.stack([scene.subject.logits(gate) for gate in scene.gates])


def _astray(scene: Scene) -> Tensor:
    """Send targeted tokens to the expert that the honest like least for them; else be honest."""
    told, targeted = _own(scene), scene.subject.tokens.targeted
    least = int(scene.honest[:, targeted].mean((0, 1)).argmin())
    told[:, targeted, least] = told[:, targeted].amax(-1) + _LOUD
    return told


def _not_numbers(scene: Scene) -> Tensor:
    return torch.full_like(_own(scene), torch.nan)


def _poisoned(scene: Scene) -> Tensor:
    told = scene.subject.logits(scene.subject.poisoned)
    return told.expand(len(scene.gates), *told.shape)


def _numeric(attack: Callable[..., Tensor], **parameters: float) -> Callable[[Scene], Tensor]:
    return lambda scene: attack(scene.honest, len(scene.gates), **parameters)


ATTACKS: Final[tuple[Attack, ...]] = (
    Attack(
        "flipped_bit",
        "one exponent bit of one gate weight, the one that misroutes most tokens",
        _tampered(_worst_bit),
    ),
    Attack(
        "flipped_bits",
        f"{_RANDOM_FLIPS} exponent bits of gate weights, drawn at random",
        _tampered(_random_bits),
    ),
    Attack("replaced_gate", "all weights of the gate drawn at random", _tampered(_replaced)),
    Attack("silenced_expert", "the busiest expert is never chosen", _tampered(_silenced)),
    Attack("targeted_misrouting", "targeted tokens go to the expert liked least", _astray),
    Attack("nan", "every logit is not a number", _not_numbers),
    Attack("sign_flip", "the honest logits, negated", _numeric(numeric.sign_flip)),
    Attack(
        "inner_product",
        f"the honest mean times -{_LOUD:g} (inner-product manipulation)",
        _numeric(numeric.inner_product_manipulation, scale=_LOUD),
    ),
    Attack(
        "a_little_is_enough",
        f"the honest mean, less {_LITTLE:g} standard deviations of the honest",
        _numeric(numeric.a_little_is_enough, z=_LITTLE),
        harms_plain=False,
    ),
    Attack("mimic", "all liars repeat one honest gate", _numeric(numeric.mimic), harms_plain=False),
    Attack(
        POISONED,
        "a gate trained on wrong labels of the targeted tokens",
        _poisoned,
        at_source=True,
    ),
)
"""Every attack, in the order of the tables."""
