"""Count, and with a ledger seal, each batch that passes a hardened model.

A batch begins when the model is called and ends when it returns or raises; each gate on
the way adds what it decided. A gate that is called outside of the model's own ``forward``
is a batch by itself. Batches are told apart by thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import local
from typing import TYPE_CHECKING, Any

from quorate.core.errors import UsageError
from quorate.ledger import Ledger, Receipt
from quorate.moe.inclusion import prove_token
from quorate.moe.policy import REFUSE
from quorate.moe.sealed import FAILED, KIND, REFUSED, SERVED, body_of

if TYPE_CHECKING:
    import torch

    from quorate.moe.counters import BatchCounts
    from quorate.moe.finding import Router
    from quorate.moe.fusing import Fused

_SALT_BYTES = 32


@dataclass(frozen=True)
class GatingBatch:
    """One sealed batch, with what it takes to prove its tokens.

    The ledger keeps the root and, of small batches, the leaves. To prove tokens of larger
    batches later, keep this object or the proofs.

    Attributes:
        receipt: of the ledger's entry.
        body: what was sealed.
        leaves: one per token.
    """

    receipt: Receipt
    body: dict[str, Any]
    leaves: list[dict[str, Any]]

    def prove(self, token: int) -> dict[str, Any]:
        """A proof of one token (0-based), as :func:`quorate.moe.verify_token` checks it.

        Raises:
            UsageError: there is no such token.
        """
        if isinstance(token, bool) or not isinstance(token, int):
            raise UsageError(f"token is {token!r}; give its number, from 0")
        return prove_token(bytes.fromhex(self.body["salt"]), self.leaves, token)


@dataclass
class _Open:
    """A batch on its way."""

    layers: list[dict[str, Any]] = field(default_factory=list)
    leaves: list[dict[str, Any]] = field(default_factory=list)


class Recorder:
    """Collects what gates decide, batch by batch, and seals it where there is a ledger.

    Attributes:
        last: the batch sealed last, of any thread; ``None`` before the first.
        head: what each sealed body begins with.
        weights: gives the digest of each replica's weights.
    """

    def __init__(
        self,
        ledger: Ledger | None,
        *,
        inline: int,
        on_sealed: Callable[[GatingBatch], object] | None = None,
    ) -> None:
        """Seal into ``ledger``; call ``on_sealed`` with each batch, on its thread."""
        self.last: GatingBatch | None = None
        self.head: dict[str, Any] = {}
        self.weights: Callable[[], list[str | None]] = list
        self._ledger = ledger
        self._inline = inline
        self._on_sealed = on_sealed
        self._local = local()

    def __getstate__(self) -> dict[str, Any]:
        """All but the batches on their way."""
        return {name: value for name, value in vars(self).items() if name != "_local"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """With no batch on its way."""
        vars(self).update(state)
        self._local = local()

    @property
    def seals(self) -> bool:
        """Whether there is a ledger."""
        return self._ledger is not None

    def _current(self) -> _Open | None:
        current: _Open | None = getattr(self._local, "batch", None)
        return current

    def counts(self) -> dict[str, dict[str, Any]]:
        """Counts of the batch on its way, by gate."""
        current = self._current()
        told = ("tokens", "without_quorum", "dissent", "dropped", "absent")
        layers = [] if current is None else current.layers
        return {layer["name"]: {name: layer[name] for name in told} for layer in layers}

    # -- beginning and ending

    def begin(self) -> None:
        """Begin a batch on this thread; one that was never ended is sealed as failed."""
        if self._current() is not None:
            self.end(served=False)
        self._local.batch = _Open()

    def end(self, *, served: bool) -> None:
        """Seal the batch of this thread, if a gate took part in it."""
        current, self._local.batch = self._current(), None
        if self._ledger is None or current is None or not current.layers:
            return
        refuses = self.head["policy"]["on_no_quorum"] == REFUSE
        refused = refuses and bool(current.layers[-1]["without_quorum"])
        body = body_of(
            {**self.head, "weights": self.weights()},
            current.layers,
            current.leaves,
            salt=os.urandom(_SALT_BYTES),
            status=REFUSED if refused else SERVED if served else FAILED,
            inline=self._inline,
        )
        receipt = self._ledger.append(KIND, body)
        self.last = GatingBatch(receipt, body, current.leaves)
        if self._on_sealed is not None:
            self._on_sealed(self.last)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Be part of the batch on its way, or of one of its own."""
        if self._current() is not None:
            yield
            return
        self.begin()
        served = False
        try:
            yield
            served = True
        finally:
            self.end(served=served)

    # -- what gates say

    def add(
        self, router: Router, fused: Fused, chosen: torch.Tensor | None, counts: BatchCounts
    ) -> None:
        """Take down what one gate decided for each token.

        ``chosen`` is sorted, [T, k]; it is not looked at without a ledger.
        """
        current = self._current()
        if current is None:
            return
        number = len(current.layers)
        about = {"name": router.name, "experts": router.experts, "top_k": router.top_k}
        current.layers.append({**about, **counts.to_dict()})
        if not self.seals or chosen is None:
            return
        while len(current.leaves) < counts.tokens:
            current.leaves.append({"token": len(current.leaves), "layers": []})
        others = _others(fused, counts)
        for token, (experts, agreed) in enumerate(
            zip(chosen.tolist(), fused.quorum.tolist(), strict=True)
        ):
            current.leaves[token]["layers"].append(
                {
                    "layer": number,
                    "experts": experts,
                    "quorum": agreed,
                    "others": others.get(token, {}),
                }
            )


def _others(fused: Fused, counts: BatchCounts) -> Mapping[int, dict[str, list[int] | None]]:
    """Token -> replica -> what it chose instead of what was chosen; only where it did."""
    found: dict[int, dict[str, list[int] | None]] = {}
    if fused.agrees is None or fused.void is None:
        return found
    for replica, own in enumerate(fused.choices):
        if replica in counts.absent:
            continue
        void = fused.void[replica].tolist()
        for token in (~fused.agrees[replica]).nonzero()[:, 0].tolist():
            choice = None if void[token] or own is None else own[token].tolist()
            found.setdefault(token, {})[str(replica)] = choice
    return found


def attach(model: torch.nn.Module, recorder: Recorder) -> list[Any]:
    """Begin and end a batch with each call of ``model``; gives the hooks, to be removed."""

    def begin(_module: object, _args: object) -> None:
        recorder.begin()

    def end(_module: object, _args: object, output: object) -> None:
        # Called also where the forward pass raised, with None in place of its output.
        recorder.end(served=output is not None)

    return [
        model.register_forward_pre_hook(begin),
        model.register_forward_hook(end, always_call=True),
    ]
