"""Find the routers of a model, whatever its family, and say why others were passed over.

A router is a module that is named like one, and whose ``forward``, tried on a few made-up
tokens, makes one linear call with a weight [experts, hidden] of its own and returns
(logits [..., E], scores [..., k], chosen experts [..., k]), as those of Transformers 5 do.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from quorate.core.errors import UsageTypeError

_CLASS: Final = re.compile(r"(Router|Gate)$")
_ATTRIBUTES: Final = frozenset({"gate", "router"})
_PROBES: Final = ((4,), (1, 4))
"""Leading shapes of the made-up tokens: some routers take them flat, some in batches."""

_HANDED_IN: Final = "bias"
"""In the name of what some blocks hand in: a correction for each expert."""

_LEAST_OUT: Final = 3
_MATRIX: Final = 2


@dataclass(frozen=True)
class Router:
    """A router that can be hardened.

    Attributes:
        name: where it is in the model.
        module: the module itself.
        weight_name: its parameter [experts, hidden], such as ``weight``.
        bias_name: its parameter [experts], or ``None``.
        shape: (experts, hidden).
        top_k: experts that a token is sent to.
    """

    name: str
    module: torch.nn.Module
    weight_name: str
    bias_name: str | None
    shape: tuple[int, int]
    top_k: int

    @property
    def experts(self) -> int:
        """Number of experts."""
        return self.shape[0]

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors that its logits are made with, by part."""
        own = dict(self.module.named_parameters())
        parts = {"weight": own[self.weight_name]}
        if self.bias_name is not None:
            parts["bias"] = own[self.bias_name]
        return parts


@dataclass(frozen=True, slots=True)
class Skipped:
    """A module that is named like a router but was left alone.

    Attributes:
        name: where it is in the model.
        kind: its class.
        reason: why.
    """

    name: str
    kind: str
    reason: str


def check_model(model: object) -> None:
    """Refuse what is no model.

    Raises:
        UsageTypeError: it is none.
    """
    if not isinstance(model, torch.nn.Module):
        raise UsageTypeError(
            f"model is {model!r} ({type(model).__name__}); give the loaded model, a torch.nn.Module"
        )


def find_routers(model: torch.nn.Module) -> tuple[list[Router], list[Skipped]]:
    """All routers of a model in order, and what looked like one."""
    found: list[Router] = []
    skipped: list[Skipped] = []
    for name, module in _candidates(model):
        result = _examine(name, module)
        if isinstance(result, Router):
            found.append(result)
        else:
            skipped.append(Skipped(name, type(module).__name__, result))
    return found, skipped


def _candidates(model: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    for name, module in model.named_modules():
        if name and (
            _CLASS.search(type(module).__name__) or name.rpartition(".")[2] in _ATTRIBUTES
        ):
            yield name, module


def _examine(name: str, module: torch.nn.Module) -> Router | str:
    """Try a module out; what it is as a router, or why it is none."""
    matrices = {key: p for key, p in module.named_parameters() if p.ndim == _MATRIX}
    unfit = _unfit(module, list(matrices.values()))
    return unfit or _try_out(name, module, matrices)


def _unfit(module: torch.nn.Module, matrices: list[torch.Tensor]) -> str | None:
    """What rules a module out before it is tried."""
    unasked = ", ".join(
        key for key, must in _more_arguments(module).items() if must and _HANDED_IN not in key
    )
    reasons = {
        "a plain Linear: scoring and top-k are outside of it, in the block's own code": (
            type(module) is torch.nn.Linear
        ),
        "its forward was replaced (a hook that moves weights?); it cannot be looked into": (
            "forward" in module.__dict__
        ),
        "it has no weight [experts, hidden]": not matrices,
        "its weights are on no device yet; load them first": any(p.is_meta for p in matrices),
        "its weights are not floating-point numbers (quantised?)": (
            not all(p.is_floating_point() for p in matrices)
        ),
        f"its forward also asks for {unasked}": bool(unasked),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _more_arguments(module: torch.nn.Module) -> dict[str, bool]:
    """What its forward takes beside the tokens: name -> whether it must be given."""
    asked = list(inspect.signature(module.forward).parameters.values())
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {p.name: p.default is p.empty for p in asked[1:] if p.kind not in several}


def _try_out(
    name: str, module: torch.nn.Module, matrices: Mapping[str, torch.Tensor]
) -> Router | str:
    reason = "its forward makes no linear call"
    for shape in _PROBES:
        for weight_name, weight in matrices.items():
            tokens = _tokens((*shape, weight.shape[1]), weight)
            biases = {
                key: weight.new_zeros(weight.shape[0])
                for key in _more_arguments(module)
                if _HANDED_IN in key
            }
            calls = _Watching(tuple(weight.shape))
            try:
                with torch.no_grad(), _serving(module), calls:
                    out = type(module).forward(module, tokens, **biases)
            except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
                reason = f"its forward cannot be tried out: {type(error).__name__}: {error}"
                continue
            read = _read(name, module, weight_name, calls, out)
            if isinstance(read, Router):
                return read
            reason = read
    return reason.splitlines()[0]


@contextmanager
def _serving(module: torch.nn.Module) -> Iterator[None]:
    """As in service for a while: training may add noise, which would draw random numbers."""
    modes = [(each, each.training) for each in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for each, training in modes:
            each.training = training


def _tokens(shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Made-up tokens, always the same, without a touch of any random state."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(count * 0.37).reshape(shape).to(like.device, like.dtype)


def _read(
    name: str, module: torch.nn.Module, weight_name: str, calls: _Watching, out: Any
) -> Router | str:
    weight = dict(module.named_parameters())[weight_name]
    if not calls.seen:
        return (
            f"its forward makes no linear call with its {weight_name} {tuple(weight.shape)}: "
            "write functional.linear(x, weight) or use an nn.Linear, where it now has "
            "x @ weight.T, say"
        )
    if len(calls.seen) != 1:
        return f"its forward makes {len(calls.seen)} linear calls of shape {tuple(weight.shape)}"
    used, bias = calls.seen[0]
    if not torch.equal(used, weight.to(used.dtype)):
        return f"it does not compute with its {weight_name} as it is"
    bias_name = None if bias is None else _named(module, bias)
    if bias is not None and bias_name is None:
        return "the bias of its linear call is no parameter of its own"
    shape = (int(weight.shape[0]), int(weight.shape[1]))
    return _unlike(out, shape[0]) or Router(
        name, module, weight_name, bias_name, shape, int(out[2].shape[-1])
    )


def _unlike(out: Any, experts: int) -> str | None:
    """What is wrong with what a router returned."""
    if not isinstance(out, tuple) or len(out) < _LEAST_OUT:
        return "it does not return (logits, scores, chosen experts)"
    logits, scores, indices = out[:_LEAST_OUT]
    if not isinstance(logits, torch.Tensor) or logits.shape[-1] != experts:
        return "what it returns first are not logits, one for each row of its weight"
    if not isinstance(indices, torch.Tensor) or indices.is_floating_point():
        return "what it returns third are not numbers of experts"
    if not isinstance(scores, torch.Tensor) or scores.shape != indices.shape:
        return "it returns scores of all experts, not of those chosen"
    return None


def _named(module: torch.nn.Module, bias: torch.Tensor) -> str | None:
    own: dict[str, torch.Tensor] = dict(module.named_parameters())
    for key, values in own.items():
        if values.shape == bias.shape and torch.equal(values.to(bias.dtype), bias):
            return key
    return None


class _Watching(TorchFunctionMode):
    """Keeps weight and bias of each linear call whose weight has one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.seen: list[tuple[torch.Tensor, torch.Tensor | None]] = []
        self._shape = shape

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        del types
        named = dict(kwargs or {})
        if func is functional.linear:
            weight = args[1] if len(args) > 1 else named["weight"]
            bias = args[2] if len(args) > 2 else named.get("bias")  # noqa: PLR2004 - F.linear(input, weight, bias)
            if tuple(weight.shape) == self._shape:
                self.seen.append((weight, bias))
        return func(*args, **named)
