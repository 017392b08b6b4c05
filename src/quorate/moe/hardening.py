"""Put a quorum of gates in place of each router of a model, and take it out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from quorate.core import independence
from quorate.core.errors import UsageError
from quorate.core.identity import Verifier
from quorate.core.quorum import Quorum
from quorate.fusion import check_rule
from quorate.ledger import Ledger
from quorate.moe.counters import Counters
from quorate.moe.digests import replica_digest
from quorate.moe.finding import Router, Skipped, find_routers
from quorate.moe.fusing import MEAN, VOTE, Rules
from quorate.moe.gate import BFTGate, GateState
from quorate.moe.policy import FALLBACK, REFUSE, SHARED_ONLY, Policy
from quorate.moe.recording import GatingBatch, Recorder, attach
from quorate.moe.replicas import (
    ReplicaSet,
    check_present,
    check_replicas,
    copies,
    given,
    load_replicas,
    tensor_names,
)

SCRUB_EVERY: Final = 256
"""Forward passes of a gate between two checks of its weights, unless told otherwise."""

INLINE_DECISIONS: Final = 1024
"""Most decisions (tokens times gates) of a batch whose leaves stand in its sealed body."""

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

_HANDLE: Final = "_quorate_moe"


@dataclass(frozen=True)
class GateReport:
    """One router that was replaced.

    Attributes:
        name: where it is in the model.
        kind: the router's class.
        experts: number of experts.
        top_k: experts that a token is sent to.
        copies: whether the replicas' weights are bit-equal.
    """

    name: str
    kind: str
    experts: int
    top_k: int
    copies: bool


@dataclass(frozen=True)
class HardenReport:
    """What :func:`harden` did, and what the result rests on.

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

    def describe(self) -> str:
        """Say in a few lines what was done and what it is worth."""
        kinds = ", ".join(sorted({gate.kind for gate in self.gates}))
        protection = "" if self.rule != MEAN else " (a mean protects against nothing)"
        lines = [
            (
                f"{len(self.gates)} gates ({kinds}) of {self.replicas} replicas each "
                f"({self.source}): {self.quorum} must choose the same experts, up to "
                f"{self.faults} may be faulty."
            ),
            f"Fused by {self.rule}{protection}; tokens without a quorum: {self.policy.name}.",
            f"Assumed: {self.assumption}.",
            f"Also: {ONE_PROCESS}.",
            f"Failure domains: {independence.describe(self.independence)}.",
        ]
        lines += [f"Excluded: replica {i}, {why}." for i, why in sorted(self.excluded.items())]
        lines += [f"Left alone: {s.name} ({s.kind}), {s.reason}." for s in self.skipped]
        return "\n".join(lines)

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
            "independence": dict(self.independence),
        }


def harden(  # noqa: PLR0913 - each is one decision of the operator's, all but the first by name
    model: torch.nn.Module,
    *,
    replicas: int | None = None,
    rule: str = "median",
    faults: int | None = None,
    on_no_quorum: str = REFUSE,
    fallback_expert: int | None = None,
    weights: str | Path | Sequence[Mapping[str, Any]] | None = None,
    verifier: Verifier | None = None,
    domains: Sequence[Mapping[str, str]] | None = None,
    scrub_every: int | None = SCRUB_EVERY,
    ledger: Ledger | None = None,
    inline_decisions: int = INLINE_DECISIONS,
    on_sealed: Callable[[GatingBatch], object] | None = None,
) -> HardenReport:
    """Replace every router of a model by a quorum of gates, in place.

    Args:
        model: a model of Transformers 5 or any module that holds routers of that shape
            (see :mod:`quorate.moe.finding`).
        replicas: n; 4 unless ``weights`` says how many there are.
        rule: ``vote``, or a rule of :mod:`quorate.fusion` such as ``median``.
        faults: f; the greatest that n bears if ``None``.
        on_no_quorum: ``refuse``, ``fallback`` or ``shared-only``.
        fallback_expert: the expert that the fallback sends tokens to, 0-based.
        weights: ``None`` for copies of the model's own gates; a folder that
            :func:`save_replicas` wrote; or one state dict per replica, for gates trained apart.
        verifier: key that must have signed the folder's manifest.
        domains: per replica, what could fail together, such as ``{"vendor": "x"}``; the digest
            of its weights and the process are added.
        scrub_every: forward passes of a gate between two checks of all weights against their
            digests; ``None`` for never.
        ledger: seals one entry of kind ``gating`` for each batch.
        inline_decisions: a batch of at most so many tokens times gates is sealed with all its
            leaves, and can be computed again from the entry alone.
        on_sealed: called with each sealed batch, on the thread of the forward pass.

    Returns:
        What was swapped, the fault bound, and what it assumes.

    Raises:
        UsageError: an argument does not fit the model; nothing was changed.
        VerificationError: the folder's manifest does not hold, or more replicas of it are unfit
            than may be faulty; nothing was changed.
        OperationalError: the folder cannot be read.
    """
    if _HANDLE in model.__dict__ or any(isinstance(m, BFTGate) for m in model.modules()):
        raise UsageError("the model is hardened already; restore(model) first")
    _check_numbers(scrub_every, inline_decisions)
    routers, skipped = find_routers(model)
    if not routers:
        told = "; ".join(f"{s.name} ({s.kind}): {s.reason}" for s in skipped)
        raise UsageError(f"no router was found in {type(model).__name__}; looked at: {told or '-'}")
    found = _replica_set(routers, replicas, weights, verifier)
    n = len(found.tensors)
    quorum = Quorum(n, faults)
    if rule != VOTE:
        check_rule(rule, n, quorum.faults)
    policy = Policy(on_no_quorum, fallback_expert)
    _check_policy(model, routers, policy)
    _check_domains(domains, n)
    check_present(found, quorum.faults)
    recorder = _recorder(ledger, inline_decisions, on_sealed)
    gates = [
        _gate(router, found, rule, quorum, policy, scrub_every, recorder) for router in routers
    ]
    named = {
        "fusion": rule, "replicas": n, "faults": quorum.faults, "quorum": quorum.size,
        "policy": policy.to_dict(),
    }  # fmt: skip
    recorder.head = named
    recorder.weights = lambda: _digests(gates)
    for router, gate in zip(routers, gates, strict=True):
        _swap(model, router.module, gate)
    model.__dict__[_HANDLE] = attach(model, recorder)
    return _report(routers, gates, skipped, found, quorum, policy, domains, recorder)


def _check_numbers(scrub_every: object, inline_decisions: object) -> None:
    for name, value, least in (
        ("scrub_every", scrub_every, 1), ("inline_decisions", inline_decisions, 0),
    ):  # fmt: skip
        if name == "scrub_every" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name} is {value!r}; give a whole number of at least {least}")


def _replica_set(
    routers: list[Router],
    replicas: int | None,
    weights: str | Path | Sequence[Mapping[str, Any]] | None,
    verifier: Verifier | None,
) -> ReplicaSet:
    if verifier is not None and not isinstance(weights, str | Path):
        raise UsageError("a verifier was given, but weights is no folder with a signed manifest")
    if weights is None:
        return copies(routers, check_replicas(4 if replicas is None else replicas))
    if isinstance(weights, str | Path):
        found = load_replicas(routers, weights, verifier)
    else:
        check_replicas(len(weights))
        found = given(routers, weights)
    if replicas is not None and replicas != len(found.tensors):
        raise UsageError(f"replicas is {replicas}, but weights holds {len(found.tensors)}")
    return found


def _check_policy(model: torch.nn.Module, routers: list[Router], policy: Policy) -> None:
    for router in routers:
        if policy.name == FALLBACK and (policy.expert or 0) >= router.experts:
            raise UsageError(
                f"fallback_expert is {policy.expert}, but {router.name} has experts 0 to "
                f"{router.experts - 1}"
            )
        if policy.name == SHARED_ONLY and not _has_shared(model, router.name):
            raise UsageError(
                f"on_no_quorum is {SHARED_ONLY!r}, but the block of {router.name} has no shared "
                "expert: its tokens would pass it with nothing done to them"
            )


def _has_shared(model: torch.nn.Module, name: str) -> bool:
    """Whether the block around a router, or the layer around that, has a shared expert."""
    block = name.rpartition(".")[0]
    for place in (block, block.rpartition(".")[0]):
        if place and any(
            child.startswith("shared") and any(True for _ in module.parameters())
            for child, module in model.get_submodule(place).named_children()
            if not child.endswith("gate")
        ):
            return True
    return False


def _check_domains(domains: Sequence[Mapping[str, str]] | None, n: int) -> None:
    if domains is not None and len(domains) != n:
        raise UsageError(f"domains tells of {len(domains)} replicas; there are {n}")


def _recorder(
    ledger: Ledger | None, inline: int, on_sealed: Callable[[GatingBatch], object] | None
) -> Recorder:
    if ledger is None and on_sealed is not None:
        raise UsageError("on_sealed was given, but no ledger that would seal anything")
    return Recorder(ledger, inline=inline, on_sealed=on_sealed)


def _gate(
    router: Router,
    found: ReplicaSet,
    rule: str,
    quorum: Quorum,
    policy: Policy,
    scrub_every: int | None,
    recorder: Recorder,
) -> BFTGate:
    names = tensor_names(router)
    tensors = [
        {} if each is None else {part: each[name] for part, name in names.items()}
        for each in found.tensors
    ]
    counters = Counters(quorum.n)
    counters.excluded.update(found.excluded)
    state = GateState(
        router=router,
        name=router.name,
        rules=Rules(rule, quorum.faults, quorum.size, copies=False),
        policy=policy,
        replicas=quorum.n,
        scrub_every=scrub_every,
        recorder=recorder,
        counters=counters,
    )
    gate = BFTGate(state, tensors)
    present = set(gate.weight_digests()) - {None}
    state.rules = Rules(rule, quorum.faults, quorum.size, copies=len(present) == 1)
    return gate


def _swap(model: torch.nn.Module, old: torch.nn.Module, new: torch.nn.Module) -> None:
    """Put one module in another's place, everywhere it stands, in the same order."""
    for parent in list(model.modules()):
        places = vars(parent)["_modules"]  # setattr would put it last
        places.update({name: new for name, child in places.items() if child is old})


def _digests(gates: Sequence[BFTGate]) -> list[str | None]:
    """Per replica, one digest over its weights at all gates; ``None`` where it has none."""
    per_gate = [gate.weight_digests() for gate in gates]
    found: list[str | None] = []
    for digests in zip(*per_gate, strict=True):
        there = {f"gate-{i}": digest for i, digest in enumerate(digests) if digest is not None}
        found.append(replica_digest(there) if there else None)
    return found


def _report(
    routers: list[Router],
    gates: list[BFTGate],
    skipped: list[Skipped],
    found: ReplicaSet,
    quorum: Quorum,
    policy: Policy,
    domains: Sequence[Mapping[str, str]] | None,
    recorder: Recorder,
) -> HardenReport:
    told = [dict(each) for each in domains] if domains is not None else [{}] * quorum.n
    declared = {
        f"replica-{i}": {
            "process": "this process",
            **({} if digest is None else {"weights": digest}),
            **told[i],
        }
        for i, digest in enumerate(_digests(gates))
    }
    alike = all(gate.rules.copies for gate in gates)
    return HardenReport(
        replicas=quorum.n,
        faults=quorum.faults,
        quorum=quorum.size,
        rule=gates[0].rules.name,
        policy=policy,
        gates=tuple(
            GateReport(r.name, type(r.module).__name__, r.experts, r.top_k, g.rules.copies)
            for r, g in zip(routers, gates, strict=True)
        ),
        skipped=tuple(skipped),
        excluded=dict(found.excluded),
        source=found.source,
        assumption=COPIES if alike else APART,
        independence=independence.report(declared, independence.Independence(declared)),
        _recorder=recorder,
    )


def hardened_gates(model: torch.nn.Module) -> dict[str, BFTGate]:
    """The gates that :func:`harden` put into a model, by name.

    Raises:
        UsageError: the model is not hardened.
    """
    gates = {name: m for name, m in model.named_modules() if isinstance(m, BFTGate)}
    if not gates:
        raise UsageError(f"{type(model).__name__} is not hardened; call harden(model) first")
    return gates


def restore(model: torch.nn.Module) -> None:
    """Undo :func:`harden`: the very modules that were there before are there again.

    What happened to the model meanwhile (moved, cast, hooks added) holds for them too.

    Raises:
        UsageError: the model is not hardened, or it was hardened as a part of another one.
    """
    gates = hardened_gates(model)
    if _HANDLE not in model.__dict__:
        raise UsageError("restore the very module that was hardened, not a part of it")
    for hook in model.__dict__.pop(_HANDLE):
        hook.remove()
    for gate in gates.values():
        _swap(model, gate, gate.released())


def report(model: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """What each gate has seen since it was hardened, by its name.

    Returns:
        Per gate ``batches``, ``tokens``, ``refused`` (tokens without a quorum) and, per
        replica, ``dissent``, ``dropped``, ``named`` and ``deviation``, and who was
        ``excluded`` and why; see :class:`quorate.moe.counters.Counters`.

    Raises:
        UsageError: the model is not hardened.
    """
    return {name: gate.counters.to_dict() for name, gate in hardened_gates(model).items()}


def scrub(model: torch.nn.Module) -> dict[str, list[int]]:
    """Check all weights of all gates now; a replica whose weights changed is excluded there.

    Returns:
        Gate -> the replicas excluded by this call, where there were any.

    Raises:
        UsageError: the model is not hardened.
        OperationalError: tensors that all replicas share have changed.
    """
    found = {name: gate.scrub() for name, gate in hardened_gates(model).items()}
    return {name: replicas for name, replicas in found.items() if replicas}
