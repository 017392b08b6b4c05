"""Fold the raw logits of n gates into one, and say which tokens have a quorum behind it.

Theory of operation. Copies of one gate give bit-equal rows, so three paths are tried, the
cheapest first. (1) All rows that are there are bit-equal and finite: that is the fused
row, and all its replicas chose alike. (2) On a token, n - f of the rows are bit-equal: every
robust rule gives that row back, so it is taken as it is, sign of zero included, and
whoever differs from it is *named*. (3) Anything else goes through the rule. What a replica
chose is always found by the model's own scoring of that replica's logits; rows equal to the
fused one need not be scored again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch

from quorate.fusion import fuse

VOTE: Final = "vote"
MEAN: Final = "mean"

Choose = Callable[[torch.Tensor], torch.Tensor]
"""Raw logits [T, E] -> the experts that the model's own scoring chooses, sorted, [T, k]."""

_INTEGERS: Final = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows are fused.

    Attributes:
        name: ``vote``, or a rule of :mod:`quorate.fusion`.
        faults: f, rows per token that may be anything.
        quorum: replicas that have to choose as the fused row does.
        copies: whether honest rows are bit-equal, the weights being so.
    """

    name: str
    faults: int
    quorum: int
    copies: bool


@dataclass(frozen=True, slots=True)
class Fused:
    """What came of one gate's rows; T tokens, n replicas, k chosen experts.

    Attributes:
        logits: [T, E], in the rows' dtype; of no meaning where there is no quorum.
        quorum: bool [T].
        choice: sorted experts chosen by the fused logits, [T, k]; ``None`` until asked for
            where all replicas agreed.
        choices: per replica, its own sorted experts [T, k]; ``None``: as the fused.
        agrees: bool [n, T]; ``None`` where all present replicas agree on all tokens.
        void: bool [n, T], rows that are absent or not finite; ``None`` as above.
        named: bool [n, T], rows that differ from n - f bit-equal ones; ``None`` as above.
        squares: per replica, sum of squared differences to the fused logits over its finite
            rows of tokens with a quorum (float64), and the number of those logits.
    """

    logits: torch.Tensor
    quorum: torch.Tensor
    choice: torch.Tensor | None
    choices: tuple[torch.Tensor | None, ...]
    agrees: torch.Tensor | None
    void: torch.Tensor | None
    named: torch.Tensor | None
    squares: tuple[tuple[float, int], ...]


def fuse_rows(rows: Sequence[torch.Tensor | None], rules: Rules, choose: Choose) -> Fused:
    """Fuse the rows of n replicas, each [T, E] or ``None`` where the replica is absent.

    At least one row is there. ``choose`` is asked for the fused logits and for each
    replica's that differ from them.
    """
    there = [row for row in rows if row is not None]
    first, absent = there[0], len(rows) - len(there)
    bits = _bits(first)
    same = all(torch.equal(_bits(row), bits) for row in there[1:])
    if same and absent <= rules.faults and bool(torch.isfinite(first).all()):
        return _unanimous(rows, first)
    return _divided(rows, rules, choose)


def _bits(values: torch.Tensor) -> torch.Tensor:
    """The same memory as integers: equal exactly where the bits are (0.0 is not -0.0)."""
    return values.view(_INTEGERS[values.element_size()])


def _unanimous(rows: Sequence[torch.Tensor | None], first: torch.Tensor) -> Fused:
    return Fused(
        logits=first,
        quorum=torch.ones(len(first), dtype=torch.bool, device=first.device),
        choice=None,
        choices=(None,) * len(rows),
        agrees=None,
        void=None,
        named=None,
        squares=tuple((0.0, 0 if row is None else row.numel()) for row in rows),
    )


def _divided(rows: Sequence[torch.Tensor | None], rules: Rules, choose: Choose) -> Fused:
    like = next(row for row in rows if row is not None)
    nan = torch.full_like(like, float("nan"))
    stacked = torch.stack([nan if row is None else row for row in rows])
    void = ~torch.isfinite(stacked).all(dim=-1)
    bearable = void.sum(dim=0) <= rules.faults
    logits, settled = _by_copies(stacked, rules)
    open_ = ~settled & bearable
    if bool(open_.any()):
        logits = logits.clone()
        logits[open_] = _by_rule(stacked, open_, void, rules, choose)
    choice = choose(logits)
    choices = tuple(
        _own(row, each, logits, choice, choose) for row, each in zip(stacked, void, strict=True)
    )
    alike = [
        torch.ones_like(each) if own is None else (own == choice).all(dim=-1)
        for own, each in zip(choices, void, strict=True)
    ]
    agrees = torch.stack(alike) & ~void
    there = torch.tensor([row is not None for row in rows], device=like.device)
    differs = (_bits(stacked) != _bits(logits)).any(dim=-1)
    quorum = bearable & (agrees.sum(dim=0) >= rules.quorum)
    return Fused(
        logits=logits,
        quorum=quorum,
        choice=choice,
        choices=choices,
        agrees=agrees,
        void=void,
        named=differs & settled & there[:, None],
        squares=tuple(
            _squares(row, ~each & quorum, logits) for row, each in zip(stacked, void, strict=True)
        ),
    )


def _by_copies(stacked: torch.Tensor, rules: Rules) -> tuple[torch.Tensor, torch.Tensor]:
    """The row that n - f replicas share bit for bit, and on which tokens there is one.

    Of any n - f replicas one is among the first f + 1.
    """
    n, tokens = stacked.shape[:2]
    logits = torch.zeros_like(stacked[0])
    settled = torch.zeros(tokens, dtype=torch.bool, device=stacked.device)
    if not rules.copies or rules.name == MEAN:
        return logits, settled
    bits = _bits(stacked)
    for i in range(rules.faults + 1):
        alike = (bits == bits[i]).all(dim=-1).sum(dim=0) >= n - rules.faults
        alike &= torch.isfinite(stacked[i]).all(dim=-1)
        logits = torch.where(alike[:, None], stacked[i], logits)
        settled |= alike
        if bool(settled.all()):
            break
    return logits, settled


def _by_rule(
    stacked: torch.Tensor, open_: torch.Tensor, void: torch.Tensor, rules: Rules, choose: Choose
) -> torch.Tensor:
    if rules.name == VOTE:
        return _by_vote(stacked, void, choose)[open_]
    values: Any = fuse(stacked[:, open_], rules.name, rules.faults).values
    return values


def _by_vote(stacked: torch.Tensor, void: torch.Tensor, choose: Choose) -> torch.Tensor:
    """Coordinate-wise median of the logits of those who chose what the most chose, [T, E].

    Among sets that as many chose, that of the lowest replica: no quorum has two.
    """
    clean = torch.where(void[..., None], 0.0, stacked)
    sets = torch.stack([choose(row) for row in clean])
    votes = [((sets == own).all(dim=-1) & ~void).sum(dim=0) for own in sets]
    counts = torch.where(void, -1, torch.stack(votes))
    leader = counts.argmax(dim=0)
    led = sets.gather(0, leader[None, :, None].expand(1, *sets.shape[1:]))[0]
    return median_of_some(clean, (sets == led).all(dim=-1) & ~void)


def median_of_some(rows: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Coordinate-wise median over the chosen rows; of two unlike middles, half of each.

    Args:
        rows: finite, [n, T, E].
        chosen: bool [n, T], at least one per token.

    Returns:
        [T, E], in the rows' dtype, within the chosen rows' range.
    """
    # By their bits: -0.0 and 0.0 are equal to a sort of floats, so that it would be left to
    # it which of the two stands in the middle.
    kept = torch.where(chosen[..., None], rows, float("inf"))
    ordered = _turned(_turned(_bits(kept)).sort(dim=0).values).view(rows.dtype)
    count = chosen.sum(dim=0)

    def at(place: torch.Tensor) -> torch.Tensor:
        index = place[None, :, None].expand(1, *rows.shape[1:])
        return ordered.gather(0, index)[0]

    low, high = at((count - 1).clamp(min=0) // 2), at(count // 2)
    middle = torch.where(low == high, low, low * 0.5 + high * 0.5)
    middle = torch.where(middle < low, low, middle)
    return torch.where(middle > high, high, middle)


def _turned(bits: torch.Tensor) -> torch.Tensor:
    """Bits of floats as integers in the same order, -0.0 before 0.0; and back again."""
    return torch.where(bits < 0, bits ^ torch.iinfo(bits.dtype).max, bits)


def _own(
    row: torch.Tensor,
    void: torch.Tensor,
    logits: torch.Tensor,
    choice: torch.Tensor,
    choose: Choose,
) -> torch.Tensor | None:
    """What one replica chose by itself; ``None`` where all its rows are the fused ones."""
    clean = torch.where(void[:, None], logits, row)
    same = (_bits(clean) == _bits(logits)).all(dim=-1)
    if bool(same.all()):
        return None
    return torch.where(same[:, None], choice, choose(clean))


def _squares(row: torch.Tensor, counted: torch.Tensor, logits: torch.Tensor) -> tuple[float, int]:
    difference = (row[counted].double() - logits[counted].double()).square().sum()
    return float(difference), int(counted.sum()) * row.shape[-1]
