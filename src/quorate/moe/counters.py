"""What one gate has seen so far."""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

from quorate.moe.splits import ABSENT, MOST_KINDS, Pattern, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from quorate.moe.fusing import Fused


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """Counts of one batch at one gate.

    Attributes:
        tokens: in the batch.
        without_quorum: of them, those without a quorum.
        dissent: per replica, tokens with a quorum on which its finite logits choose others.
        dropped: per replica, tokens for which its logits were there but not finite.
        absent: replicas that were excluded, in order.
        named: per replica, tokens on which it stood against n - f bit-equal rows.
        splits: of the tokens without a quorum, how many split in which way.
    """

    tokens: int
    without_quorum: int
    dissent: tuple[int, ...]
    dropped: tuple[int, ...]
    absent: tuple[int, ...]
    named: tuple[int, ...]
    splits: Mapping[Pattern, int]

    @classmethod
    def of(cls, fused: Fused, absent: Sequence[int]) -> BatchCounts:
        """Count what came of one batch."""
        n, tokens = len(fused.choices), len(fused.quorum)
        if fused.agrees is None or fused.void is None or fused.named is None:
            none = (0,) * n
            return cls(tokens, 0, none, none, tuple(absent), none, {})
        dissent = (fused.quorum & ~fused.agrees & ~fused.void).sum(dim=1).tolist()
        dropped = fused.void.sum(dim=1).tolist()
        for replica in absent:
            dropped[replica] = 0
        return cls(
            tokens,
            tokens - int(fused.quorum.sum()),
            tuple(dissent),
            tuple(dropped),
            tuple(absent),
            tuple(fused.named.sum(dim=1).tolist()),
            _splits(fused, absent),
        )

    def to_dict(self) -> dict[str, Any]:
        """What a sealed entry tells of it; the rest is left to the counters and to errors."""
        return {
            "tokens": self.tokens,
            "without_quorum": self.without_quorum,
            "dissent": list(self.dissent),
            "dropped": list(self.dropped),
            "absent": list(self.absent),
        }


def _splits(fused: Fused, absent: Sequence[int]) -> dict[Pattern, int]:
    """How many of the tokens without a quorum split in which way."""
    lacking = ~fused.quorum
    if fused.choice is None or fused.void is None or not bool(lacking.any()):
        return {}
    fallen = fused.choice
    own = [(fallen if each is None else each)[lacking] for each in fused.choices]
    finite = ~fused.void[:, lacking]
    marks = finite.long() - 1  # 0 until it is known whom a replica goes with, else not finite
    marks[list(absent)] = ABSENT
    open_ = finite.clone()
    for i, choice in enumerate(own):
        for j in range(i, len(own)):
            alike = (own[j] == choice).all(dim=-1) & open_[j] & finite[i]
            marks[j][alike] = i
            open_[j] &= ~alike
    kinds, tokens = marks.unique(dim=1, return_counts=True)
    columns = [tuple(column) for column in kinds.T.tolist()]
    return dict(zip(columns, tokens.tolist(), strict=True))


class Counters:
    """Running counts of one gate; safe to add to from several threads.

    Attributes:
        batches: forward passes.
        tokens: tokens in them.
        refused: tokens without a quorum, whatever the policy then did with them.
        dissent: per replica, tokens with a quorum on which its own choice differed.
        dropped: per replica, tokens for which its logits were not finite.
        named: per replica, tokens on which its logits differ from n - f bit-equal ones. Only
            this proves a fault; the others make it a suspect.
        splits: how many tokens without a quorum split in which way; the first
            ``MOST_KINDS`` ways are kept.
        excluded: replica -> why it takes no part any more.
    """

    def __init__(self, replicas: int) -> None:
        """Begin at zero."""
        self.batches = 0
        self.tokens = 0
        self.refused = 0
        self.dissent = [0] * replicas
        self.dropped = [0] * replicas
        self.named = [0] * replicas
        self.splits: dict[Pattern, int] = {}
        self.excluded: dict[int, str] = {}
        self._squares = [0.0] * replicas
        self._terms = [0] * replicas
        self._lock = Lock()

    def add(self, counts: BatchCounts, squares: Sequence[tuple[float, int]]) -> None:
        """Add one batch."""
        with self._lock:
            self.batches += 1
            self.tokens += counts.tokens
            self.refused += counts.without_quorum
            for i in range(len(self.dissent)):
                self.dissent[i] += counts.dissent[i]
                self.dropped[i] += counts.dropped[i]
                self.named[i] += counts.named[i]
                self._squares[i] += squares[i][0]
                self._terms[i] += squares[i][1]
            for pattern, tokens in counts.splits.items():
                # Gates trained apart may split in any number of ways: memory is bounded.
                if pattern in self.splits or len(self.splits) < MOST_KINDS:
                    self.splits[pattern] = self.splits.get(pattern, 0) + tokens

    def __getstate__(self) -> dict[str, Any]:
        """All but the lock, which cannot be copied."""
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With a lock of its own."""
        vars(self).update(state)
        self._lock = Lock()

    @property
    def deviation(self) -> list[float | None]:
        """Per replica, root mean square of (its logit - fused).

        Over tokens with a quorum, in units of a logit; infinite once any of its rows was not
        finite, ``None`` where no row of its counted yet.
        """
        return [
            math.inf if dropped else math.sqrt(square / terms) if terms else None
            for square, terms, dropped in zip(self._squares, self._terms, self.dropped, strict=True)
        ]

    def suspects(self) -> list[int]:
        """Replicas that ever differed from what was decided, were not finite or are excluded."""
        return [
            i
            for i in range(len(self.dissent))
            if self.dissent[i] or self.dropped[i] or self.named[i] or i in self.excluded
        ]

    def to_dict(self) -> dict[str, Any]:
        """As a plain mapping; ``deviation`` may hold an infinity."""
        return {
            "batches": self.batches,
            "tokens": self.tokens,
            "refused": self.refused,
            "dissent": list(self.dissent),
            "dropped": list(self.dropped),
            "named": list(self.named),
            "deviation": self.deviation,
            "splits": listed(self.splits),
            "excluded": dict(self.excluded),
        }
