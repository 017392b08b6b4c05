"""What :func:`quorate.moe.harden` did, and what the result rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from quorate.core.text import counted
from quorate.moe.finding import Skipped
from quorate.moe.fusing import MEAN
from quorate.moe.policy import Policy
from quorate.moe.recording import GatingBatch, Recorder

COPIES: Final = (
    "copies of one gate protect against faults in a replica (memory, file, computation), not "
    "against a poisoned training: what one copy learned, all learned"
)
APART: Final = (
    "gates trained apart protect against f of them being faulty or poisoned, as far as their "
    "data and training fail independently; where honest gates disagree, tokens find no quorum"
)
ONE_PROCESS: Final = (
    "all replicas, their fusion and the experts run in one process: whoever controls it "
    "controls the model"
)
MEAN_WARNING: Final = (
    "WARNING: a mean protects against nothing: one faulty replica moves it as far as it likes. "
    'Take rule="median".'
)


@dataclass(frozen=True)
class GateReport:
    """One router that was replaced.

    Attributes:
        name: where it is in the model.
        kind: the router's class.
        experts: number of experts.
        top_k: experts that a token is sent to.
        copies: whether the weights of n - f replicas or more are bit-equal.
    """

    name: str
    kind: str
    experts: int
    top_k: int
    copies: bool


@dataclass(frozen=True)
class HardenReport:
    """What :func:`quorate.moe.harden` did, and what the result rests on.

    Attributes:
        replicas: n.
        faults: f, how many of them may be anything.
        quorum: how many have to choose the same experts for a token.
        rule: how logits are fused.
        policy: what becomes of tokens without a quorum.
        gates: the routers replaced, in order.
        skipped: what looked like a router but was left alone, and why.
        excluded: replica -> why its weights were not taken.
        source: where the weights came from.
        assumption: what the fault bound assumes of the weights.
        independence: as :func:`quorate.core.independence.report` gives it.
    """

    replicas: int
    faults: int
    quorum: int
    rule: str
    policy: Policy
    gates: tuple[GateReport, ...]
    skipped: tuple[Skipped, ...]
    excluded: Mapping[int, str]
    source: str
    assumption: str
    independence: Mapping[str, Any] = field(repr=False)
    _recorder: Recorder = field(repr=False)

    @property
    def last_batch(self) -> GatingBatch | None:
        """The batch sealed last; ``None`` before the first, or without a ledger."""
        return self._recorder.last

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why this protects against nothing, where it does not; else empty."""
        # Mixing in front does not help: what a liar sends is mixed by where it lies itself.
        told = [MEAN_WARNING] if self.rule.rpartition("+")[2] == MEAN else []
        if self.faults == 0:
            asked = "faults=0" if self.replicas > 3 else f"replicas={self.replicas}"  # noqa: PLR2004 - four bear one
            told.append(
                f"WARNING: {asked} bears no faulty replica: nothing is promised where one is "
                "faulty. It takes at least 4 replicas to bear one."
            )
        return tuple(told)

    def describe(self) -> str:
        """Say in a few lines what was done and what it is worth."""
        kinds = ", ".join(sorted({gate.kind for gate in self.gates}))
        bears = f"up to {self.faults} may be faulty" if self.faults else "none may be faulty"
        lines = [
            *self.warnings,
            (
                f"{counted(len(self.gates), 'gate')} ({kinds}) of "
                f"{counted(self.replicas, 'replica')} each ({self.source}): for each token "
                f"{self.quorum} must choose the same experts, {bears}."
            ),
            f"Fused by {self.rule}; tokens without a quorum: {self.policy.name}.",
        ]
        if not self.warnings:
            lines.append(f"Assumed: {self.assumption}.")
        lines += [f"Also: {ONE_PROCESS}.", f"Failure domains: {self._domains()}."]
        lines += [f"Excluded: replica {i}, {why}." for i, why in sorted(self.excluded.items())]
        lines += [f"Left alone: {s.name} ({s.kind}), {s.reason}." for s in self.skipped]
        return "\n".join(lines)

    def _domains(self) -> str:
        """Which group of replicas fails together, without a second quorum to mix up with ours."""
        worst, faults = self.independence["worst"], self.independence["faults"]
        found = self.independence["attributes"][worst]
        sizes = ", ".join(
            f"{value}: {counted(size, 'replica')}" for value, size in found["groups"].items()
        )
        silent = f", undeclared: {found['undeclared']}" if found["undeclared"] else ""
        bears = f"{faults or 'no'} faulty {worst}"
        return f"by {worst} ({sizes}{silent}), of which it bears {bears}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "replicas": self.replicas,
            "faults": self.faults,
            "quorum": self.quorum,
            "rule": self.rule,
            "policy": self.policy.to_dict(),
            "gates": [dict(vars(gate)) for gate in self.gates],
            "skipped": [{"name": s.name, "kind": s.kind, "reason": s.reason} for s in self.skipped],
            "excluded": {str(i): why for i, why in sorted(self.excluded.items())},
            "source": self.source,
            "assumption": self.assumption,
            "warnings": list(self.warnings),
            "independence": dict(self.independence),
        }
