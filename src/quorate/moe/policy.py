"""What becomes of tokens on whose experts no quorum of gates agrees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from quorate.core.errors import NoQuorum, UsageError, UsageTypeError
from quorate.core.text import counted
from quorate.moe.splits import in_words

REFUSE: Final = "refuse"
FALLBACK: Final = "fallback"
SHARED_ONLY: Final = "shared-only"
POLICIES: Final = (REFUSE, FALLBACK, SHARED_ONLY)


@dataclass(frozen=True, slots=True, init=False)
class Policy:
    """What is done with tokens without a quorum.

    Attributes:
        name: ``refuse`` (:class:`TokensWithoutQuorum` is raised), ``fallback`` (one named
            expert gets them, with weight 1) or ``shared-only`` (the routed experts get
            weight 0, so that only the block's shared expert acts).
        expert: the fallback's expert, 0-based; ``None`` for the others.
    """

    name: str
    expert: int | None

    def __init__(self, name: str, expert: int | None = None) -> None:
        """See the class.

        Raises:
            UsageTypeError: ``expert`` is no whole number.
            UsageError: no such policy, or an expert missing, negative or not asked for.
        """
        if name not in POLICIES:
            raise UsageError(f"on_no_quorum is {name!r}; choose one of {', '.join(POLICIES)}")
        if expert is not None and (isinstance(expert, bool) or not isinstance(expert, int)):
            raise UsageTypeError(f"fallback_expert is {expert!r}; give the expert's number")
        if name == FALLBACK and expert is None:
            raise UsageError(
                "on_no_quorum is 'fallback' but fallback_expert names no expert: which one gets "
                "tokens that no quorum agrees on has to be chosen"
            )
        if name != FALLBACK and expert is not None:
            raise UsageError(
                f"fallback_expert is {expert}, but on_no_quorum is {name!r}, which uses none"
            )
        if expert is not None and expert < 0:
            raise UsageError(f"fallback_expert is {expert}; experts are numbered from 0")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "expert", expert)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"on_no_quorum": self.name, "fallback_expert": self.expert}


class TokensWithoutQuorum(NoQuorum):
    """Some tokens of a batch have no quorum of gates behind their experts.

    Attributes:
        layer: name of the gate that refused; those behind it were not run.
        layers: for each gate of the batch so far, in order, its counts: ``tokens``,
            ``without_quorum``, per replica ``dissent`` (on tokens with a quorum) and
            ``dropped`` (on any), and ``splits``: who chose like whom on those without.
        quorum: replicas that had to agree.
        replicas: replicas in all.
    """

    def __init__(
        self, layer: str, layers: Mapping[str, Mapping[str, Any]], *, quorum: int, replicas: int
    ) -> None:
        """Say how many tokens of ``layer`` have none, and who differed."""
        counts = layers[layer]
        lacking, tokens = counts["without_quorum"], counts["tokens"]
        told = [
            (
                f"{layer}: no {quorum} of {replicas} gates agree on the experts of {lacking} of "
                f"{counted(tokens, 'token')}; nothing was returned"
            )
        ]
        if splits := counts.get("splits"):
            told.append(f"Without a quorum: {in_words(splits)}")
        others = [
            f"replica {i} chose otherwise on {d}" for i, d in enumerate(counts["dissent"]) if d
        ]
        if others:
            told.append(f"Of the other {counted(tokens - lacking, 'token')}: {', '.join(others)}")
        super().__init__(". ".join(told))
        self.layer = layer
        self.layers = {name: dict(each) for name, each in layers.items()}
        self.quorum = quorum
        self.replicas = replicas
