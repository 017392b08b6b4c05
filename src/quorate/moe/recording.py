"""Count, and with a ledger seal, each batch that passes a hardened model.

A batch begins when the model is called and ends when it returns or raises; each gate on
the way adds what it decided. A gate that is called outside of the model's own ``forward``
is a batch by itself. Batches are told apart by thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import update_wrapper
from threading import local
from typing import TYPE_CHECKING, Any

from quorate.core.errors import UsageError
from quorate.core.text import counted
from quorate.ledger import Ledger, Receipt
from quorate.moe.inclusion import prove_token
from quorate.moe.policy import REFUSE
from quorate.moe.sealed import FAILED, KIND, REFUSED, SERVED, body_of
from quorate.moe.splits import listed
from quorate.moe.tracing import current as current_trace

if TYPE_CHECKING:
    import torch

    from quorate.moe.counters import BatchCounts
    from quorate.moe.finding import Router
    from quorate.moe.fusing import Fused

_SALT_BYTES = 32


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        """In one line: all of it would be pages."""
        body = self.body
        lacking = sum(layer["without_quorum"] for layer in body["layers"])
        return (
            f"GatingBatch(entry {self.receipt.seq}, {body['status']}: "
            f"{counted(body['tokens'], 'token')} through {counted(len(body['layers']), 'gate')}, "
            f"{counted(lacking, 'decision')} without a quorum)"
        )

    def prove(self, token: int) -> dict[str, Any]:
        """A proof of one token, as :func:`quorate.moe.verify_token` checks it.

        Args:
            token: its number in the batch, from 0: sequence * length + position.

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
    splits: list[list[dict[str, Any]]] = field(default_factory=list)
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

    def __deepcopy__(self, memo: dict[int, Any]) -> Recorder:
        """With a ledger there is none: whose entries would a copy's be?"""
        if self._ledger is not None:
            raise UsageError(
                "a model that is hardened with a ledger cannot be copied; restore(model), copy it, "
                "then harden each"
            )
        made: Recorder = object.__new__(type(self))
        memo[id(self)] = made
        made.__setstate__(deepcopy(self.__getstate__(), memo))
        return made

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
        if current is None:
            return {}
        return {
            layer["name"]: {**{name: layer[name] for name in told}, "splits": splits}
            for layer, splits in zip(current.layers, current.splits, strict=True)
        }

    # -- beginning and ending

    def _seal(self, current: _Open, *, served: bool) -> None:
        """Seal a batch that has ended, if a gate routed any token in it."""
        if self._ledger is None or not current.leaves:
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
        trace_id, parent = current_trace()
        receipt = self._ledger.append(KIND, body, trace_id=trace_id, parent=parent)
        self.last = GatingBatch(receipt, body, current.leaves)
        if self._on_sealed is not None:
            self._on_sealed(self.last)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Make what is run inside a batch, which ends with it however that ends.

        One inside another is a batch of its own; the outer one goes on behind it.
        """
        outer, mine = self._current(), _Open()
        served = False
        try:
            self._local.batch = mine
            yield
            served = True
        finally:
            self._local.batch = outer
            self._seal(mine, served=served)

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Be part of the batch on its way, or of one of its own."""
        if self._current() is not None:
            yield
            return
        with self.call():
            yield

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
        current.splits.append(listed(counts.splits))
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


class Watched:
    """Stands for a model's ``forward`` and makes each call of it a batch.

    No pair of hooks: those behind a forward pass are not called where it ends with what is no
    ``Exception``, such as an interrupt, and the batch would stay open. An object, no closure:
    a copy of the model takes a copy along that records for the copied gates.
    """

    def __init__(self, model: torch.nn.Module, recorder: Recorder) -> None:
        """Stand for the ``forward`` that the model has now."""
        # inspect.signature sees the model's own: generate() asks for its arguments.
        update_wrapper(self, model.forward)
        self._model = model
        self._own = model.forward
        self._replaced = "forward" in vars(model)
        self._recorder: Recorder | None = recorder

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model."""
        if self._recorder is None:
            return self._own(*args, **kwargs)
        with self._recorder.call():
            return self._own(*args, **kwargs)

    def remove(self) -> None:
        """Put back what was there before, or where others wrapped this, only pass on."""
        self._recorder = None
        held = vars(self._model)
        if held.get("forward") is not self:
            return
        if self._replaced:
            held["forward"] = self._own
        else:
            del held["forward"]


def attach(model: torch.nn.Module, recorder: Recorder) -> list[Any]:
    """Make each call of ``model`` a batch; gives what has to be removed again."""
    watched = Watched(model, recorder)
    vars(model)["forward"] = watched
    return [watched]
