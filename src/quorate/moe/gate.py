"""A router made of n routers: the model's own class, its raw logits fused by a quorum.

Theory of operation. The gate's class is made at run time as a subclass of the router's
own, so whatever looks for that class (recorders of router logits, for one) finds it. Its
``forward`` runs the router's own ``forward``; only the one ``F.linear`` in it is answered
otherwise, under a ``TorchFunctionMode`` that this thread alone sees: n times the same call
with the same casts, each with its own weights, then fused. Scores, top-k, correction
biases and group limits are thus the model's own code on the fused logits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from quorate.core.errors import OperationalError, UsageError
from quorate.moe.counters import BatchCounts, Counters
from quorate.moe.digests import replica_digest, tensor_digest
from quorate.moe.finding import Router
from quorate.moe.fusing import Fused, Rules, fuse_rows
from quorate.moe.policy import FALLBACK, REFUSE, Policy, TokensWithoutQuorum

if TYPE_CHECKING:
    from quorate.moe.recording import Recorder

_PARTS = ("weight", "bias")
_PLAIN = (bool, int, float, str)

Answer = Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]
"""Stands for ``F.linear(input, weight, bias)``."""


@dataclass
class GateState:
    """What one gate knows beside its tensors.

    Attributes:
        router: the router it stands for, and how its logits are made.
        name: where it is in the model.
        rules: how rows are fused.
        policy: what becomes of tokens without a quorum.
        replicas: n.
        scrub_every: forward passes between two checks of the weights; ``None`` for never.
        recorder: counts batches, and seals them where there is a ledger.
        counters: what it has seen.
        expected: per replica, digests of its tensors: part -> 64 hex digits.
        shared: digests of the router's other tensors and its plain attributes, which all
            replicas share.
        unused: digests of the router's own weights, which are given back on restoring.
    """

    router: Router
    name: str
    rules: Rules
    policy: Policy
    replicas: int
    scrub_every: int | None
    recorder: Recorder
    counters: Counters
    expected: list[dict[str, str]] = field(default_factory=list)
    shared: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    passes: int = 0


class BFTGate(torch.nn.Module):
    """Stands in a router's place; made by :func:`quorate.moe.harden`.

    It serves. Its forward pass works with gradients on and in training mode, but the fused
    logits have no gradient: ``backward`` through them raises ``UsageError``. Train the
    replicas apart, or :func:`quorate.moe.restore` the model first.
    """

    _bft: GateState

    def __new__(cls, state: GateState | None = None, *_: object) -> Self:
        """Make an instance of a subclass of the router's class."""
        router: Any = None if state is None else type(state.router.module)
        kind = cls if router is None else _subclass(cls, router)
        made: Self = object.__new__(kind)
        return made

    def __init__(self, state: GateState, tensors: list[dict[str, torch.Tensor]]) -> None:
        """Take over the router's attributes, parameters and hooks, and n sets of weights.

        Args:
            state: what the gate should know.
            tensors: per replica its ``weight`` and, where the router has one, ``bias``.
        """
        # The router's own dicts of hooks are shared, not copied: a hook put on either, such
        # as a recorder's at the first call, is there on both, also after restoring.
        self.__dict__.update(state.router.module.__dict__)
        for own in ("_parameters", "_buffers", "_non_persistent_buffers_set"):
            self.__dict__[own] = self.__dict__[own].copy()
        self.__dict__["_bft"] = state
        for replica, parts in enumerate(tensors):
            for part, values in parts.items():
                self.register_buffer(_buffer(replica, part), values, persistent=False)
        self._rebase()

    # -- the forward pass

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Route as the model's own router does, on the fused logits.

        Raises:
            TokensWithoutQuorum: under the policy ``refuse``.
            OperationalError: the tensors that all replicas share have changed in memory.
        """
        state = self._bft
        self._scrub_when_due()
        self._exclude_misshapen()
        with state.recorder.batch():
            # Another thread may exclude one meanwhile; this batch is without those of now.
            absent = sorted(state.counters.excluded)
            fused, out = self._route(absent, args, kwargs)
            counts = BatchCounts.of(fused, absent)
            state.counters.add(counts, fused.squares)
            chosen = fused.choice
            if chosen is None and state.recorder.seals:
                chosen = _sorted(out[2])
            state.recorder.add(state.router, fused, chosen, counts)
            return self._decided(fused, out, counts)

    def _route(
        self, absent: Sequence[int], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Fused, Any]:
        kept: list[Fused] = []

        def answer(
            values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
        ) -> torch.Tensor:
            with torch.no_grad():
                rows = self._rows(absent, values, weight, bias)
                shape = (*values.shape[:-1], weight.shape[0])
                kept.append(self._fuse(rows, shape, values, args, kwargs))
                logits = kept[0].logits.reshape(shape)
            if torch.is_grad_enabled() and values.requires_grad:
                logits = _NoGradient.apply(logits, values)
            return logits

        out = self._own_forward(answer, args, kwargs)
        state = self._bft
        if out[2].shape[-1] != state.router.top_k:
            raise OperationalError(
                f"{state.name} chose {out[2].shape[-1]} experts for each token; when it was "
                f"hardened it chose {state.router.top_k}: an attribute of it has changed"
            )
        return kept[0], out

    def _own_forward(
        self,
        answer: Answer,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        module = self._bft.router.module
        with Answering(self._bft.router.shape, answer) as mode:
            out = type(module).forward(self, *args, **kwargs)
        if mode.pending:
            raise OperationalError(
                f"{self._bft.name}: {type(module).__name__} made no linear call with weights of "
                f"shape {self._bft.router.shape}; restore(model), this router is unknown"
            )
        return out

    def _rows(
        self,
        absent: Sequence[int],
        values: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
    ) -> list[torch.Tensor | None]:
        """Raw logits [T, E] of each replica, by the call that the router itself makes."""
        rows: list[torch.Tensor | None] = []
        for replica in range(self._bft.replicas):
            if replica in absent:
                rows.append(None)
                continue
            own = self._tensor(replica, "weight").to(weight.dtype)
            beside = None if bias is None else self._tensor(replica, "bias").to(bias.dtype)
            logits = functional.linear(values, own, beside)
            rows.append(logits.reshape(-1, logits.shape[-1]))
        return rows

    def _fuse(
        self,
        rows: list[torch.Tensor | None],
        shape: tuple[int, ...],
        values: torch.Tensor,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Fused:
        def choose(logits: torch.Tensor) -> torch.Tensor:
            out = self._own_forward(lambda *_: logits.reshape(shape), args, kwargs)
            return _sorted(out[2])

        if all(row is None for row in rows):
            # Nobody is left: as if one had sent something that is no number.
            gone = torch.full(shape, float("nan"), dtype=values.dtype, device=values.device)
            rows = [gone.reshape(-1, shape[-1]), *rows[1:]]
        return fuse_rows(rows, self._bft.rules, choose)

    def _decided(self, fused: Fused, out: Any, counts: BatchCounts) -> Any:
        """Apply the policy to tokens without a quorum."""
        state = self._bft
        if not counts.without_quorum:
            return out
        if state.policy.name == REFUSE:
            layers = state.recorder.counts()
            raise TokensWithoutQuorum(
                state.name, layers, quorum=state.rules.quorum, replicas=state.replicas
            )
        logits, scores, indices, *more = out
        lacking = ~fused.quorum.reshape(*indices.shape[:-1], 1)
        if state.policy.name == FALLBACK:
            # Only the named expert sees the token: in its first place with weight 1, in
            # the others with weight 0.
            weights = torch.zeros_like(scores)
            weights[..., 0] = 1
            scores = torch.where(lacking, weights, scores)
            indices = torch.where(lacking, state.policy.expert, indices)
        else:
            scores = torch.where(lacking, 0, scores)
        return (logits, scores, indices.contiguous(), *more)

    # -- the weights

    @property
    def rules(self) -> Rules:
        """How rows are fused here."""
        return self._bft.rules

    def extra_repr(self) -> str:
        """What ``print(model)`` tells of it, after what the router's own class tells."""
        state, rules = self._bft, self._bft.rules
        own = super().extra_repr()
        told = (
            f"replicas={state.replicas}, faults={rules.faults}, quorum={rules.quorum}, "
            f"rule={rules.name!r}, on_no_quorum={state.policy.name!r}"
        )
        return f"{own}, {told}" if own else told

    def released(self) -> torch.nn.Module:
        """The router that this gate stands for, with what happened to the gate meanwhile."""
        module = self._bft.router.module
        for name, value in self.__dict__.items():
            if name in {"_parameters", "_buffers"}:
                own = module.__dict__[name]
                own.update({key: value[key] for key in own if key in value})
            elif name not in {"_bft", "_non_persistent_buffers_set"}:
                module.__dict__[name] = value
        return module

    @property
    def counters(self) -> Counters:
        """What this gate has seen."""
        return self._bft.counters

    def _tensor(self, replica: int, part: str) -> torch.Tensor:
        values = self._buffers[_buffer(replica, part)]
        if values is None:
            raise UsageError(f"replica {replica} of {self._bft.name} has no {part}")
        return values

    def replica_tensors(self, replica: int) -> dict[str, torch.Tensor]:
        """The tensors that one replica computes with, by part (``weight``, ``bias``)."""
        return {
            part: self._tensor(replica, part)
            for part in _PARTS
            if self._buffers.get(_buffer(replica, part)) is not None
        }

    def weight_digests(self) -> list[str | None]:
        """Per replica, one digest of the tensors it should compute with; ``None`` without any."""
        return [replica_digest(parts) if parts else None for parts in self._bft.expected]

    def _rebase(self) -> None:
        """Take the tensors as they are for what they should be."""
        state = self._bft
        state.expected = [self._measured(replica) for replica in range(state.replicas)]
        state.shared = self._shared()
        state.unused = self._digests_of_unused(self)

    def _measured(self, replica: int) -> dict[str, str]:
        return {p: tensor_digest(v) for p, v in self.replica_tensors(replica).items()}

    def _shared(self) -> dict[str, str]:
        """Digests of what the router scores with beside the replicas' tensors."""
        router = self._bft.router
        unused = {router.weight_name, router.bias_name}
        own = dict(self.named_parameters()) | dict(self.named_buffers())
        tensors = {
            name: tensor_digest(values)
            for name, values in own.items()
            if name not in unused and not name.startswith(_PREFIX)
        }
        # Numbers such as top_k score as well; ``training`` and what begins with _ are PyTorch's.
        numbers = {
            name: f"{type(value).__name__} {value!r}"
            for name, value in self.__dict__.items()
            if type(value) in _PLAIN and name != "training" and not name.startswith("_")
        }
        return {**numbers, **tensors}

    def _digests_of_unused(self, module: torch.nn.Module) -> dict[str, str]:
        """Digests of a router's own weights, which are not computed with while it is hardened."""
        router = self._bft.router
        own = dict(module.named_parameters())
        names = [name for name in (router.weight_name, router.bias_name) if name in own]
        return {name: tensor_digest(own[name]) for name in names if name is not None}

    def changed_unused(self) -> list[str]:
        """Names of the router's own weights that are not as they were when it was hardened."""
        now = self._digests_of_unused(self._bft.router.module)
        return [name for name, each in now.items() if self._bft.unused.get(name) != each]

    def _exclude_misshapen(self) -> None:
        """Exclude replicas whose tensors are gone or of another shape: they cannot compute."""
        state = self._bft
        shapes = {"weight": state.router.shape, "bias": state.router.shape[:1]}
        for replica, expected in enumerate(state.expected):
            for part in expected:
                values = self._buffers.get(_buffer(replica, part))
                if values is None or tuple(values.shape) != shapes[part]:
                    state.counters.excluded.setdefault(replica, f"its {part} changed in memory")

    def _scrub_when_due(self) -> None:
        state = self._bft
        state.passes += 1
        if state.scrub_every is not None and state.passes % state.scrub_every == 0:
            self.scrub()

    def scrub(self) -> list[int]:
        """Take the digests of all weights again; exclude the replicas whose weights changed.

        Returns:
            The replicas excluded by this call.

        Raises:
            OperationalError: tensors that all replicas share have changed: no quorum can
                bear that. It is raised at every call until the model is restored.
        """
        state, found = self._bft, []
        for replica, expected in enumerate(state.expected):
            if replica in state.counters.excluded:
                continue
            now = self._measured(replica)
            changed = [part for part in expected if now.get(part) != expected[part]]
            if changed:
                state.counters.excluded[replica] = f"its {' and '.join(changed)} changed in memory"
                found.append(replica)
        shared = self._shared()
        changed = [name for name, each in state.shared.items() if shared.get(name) != each]
        if changed:
            state.passes = -1  # the next pass is again one that scrubs
            raise OperationalError(
                f"{state.name}: {', '.join(changed)} changed in memory, and all replicas score "
                "with it; load the model anew"
            )
        return found

    # -- what PyTorch asks of a module

    def _apply(self, fn: Any, recurse: bool = True) -> Any:  # noqa: FBT001, FBT002 - PyTorch's own signature
        """Move or cast: checked before, since a cast hides what changed."""
        self.scrub()
        altered = self.changed_unused()
        before = [values.dtype for values in self._buffers.values() if values is not None]
        moved = super()._apply(fn, recurse)
        after = [values.dtype for values in self._buffers.values() if values is not None]
        if before != after:
            self._rebase()
            self._bft.unused.update(dict.fromkeys(altered, ""))  # no digest: it stays changed
        return moved

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """With tensors and counters of its own."""
        made: Self = object.__new__(type(self))
        memo[id(self)] = made
        made.__dict__.update(deepcopy(self.__dict__, memo))
        return made

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Refuse: its class is made at run time, and a file cannot say whose gates these are."""
        raise UsageError(
            f"{self._bft.name} is hardened, which cannot be pickled; restore(model), save it, "
            "then harden again"
        )

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: the replicas would keep the weights they had."""
        del args, kwargs
        raise UsageError(
            f"{self._bft.name} is hardened; restore(model), load the weights, then harden again"
        )


class Answering(TorchFunctionMode):
    """Answers the first ``F.linear`` with a weight of one shape; all else runs as it is.

    Attributes:
        pending: whether that call is still to come.
    """

    def __init__(self, shape: tuple[int, int], answer: Answer) -> None:
        """Wait for a weight of that shape."""
        super().__init__()
        self.pending = True
        self._shape = shape
        self._answer = answer

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """See the class."""
        del types
        named = dict(kwargs or {})
        if self.pending and func is functional.linear:
            values = args[0] if args else named["input"]
            weight = args[1] if len(args) > 1 else named["weight"]
            if tuple(weight.shape) == self._shape:
                self.pending = False
                bias = args[2] if len(args) > 2 else named.get("bias")  # noqa: PLR2004 - F.linear(input, weight, bias)
                return self._answer(values, weight, bias)
        return func(*args, **named)


class _NoGradient(torch.autograd.Function):
    """Passes logits on, and refuses to be differentiated."""

    @staticmethod
    def forward(context: Any, logits: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        del context, values
        return logits.clone()

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        del context, gradients
        raise UsageError(
            "the fused logits of a BFTGate have no gradient: it serves, it does not train; "
            "restore(model) before training"
        )


_PREFIX = "_bft_replica_"


def _buffer(replica: int, part: str) -> str:
    return f"{_PREFIX}{replica}_{part}"


def _sorted(indices: torch.Tensor) -> torch.Tensor:
    """Chosen experts of each token in ascending order, [T, k]: a set, to be compared."""
    chosen: torch.Tensor = indices.reshape(-1, indices.shape[-1]).sort(dim=-1).values
    return chosen


_SUBCLASSES: dict[tuple[Any, Any], Any] = {}


def _subclass(base: Any, router: Any) -> Any:
    """The one subclass of a gate's class and a router's."""
    if (base, router) not in _SUBCLASSES:
        # A compiler would trace the interception away. Not as a decorator of the method: what
        # this loads takes seconds, and is needed only by those who harden.
        forward: Any = torch.compiler.disable(base.forward)
        own = {"__doc__": base.__doc__, "forward": forward}
        _SUBCLASSES[base, router] = type(f"BFT{router.__name__}", (base, router), own)
    return _SUBCLASSES[base, router]
