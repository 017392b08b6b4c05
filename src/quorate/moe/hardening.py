"""Put a quorum of gates in place of each router of a model, and take it out again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch

from quorate.core import independence
from quorate.core.errors import OperationalError, UsageError, UsageTypeError
from quorate.core.identity import Verifier
from quorate.core.quorum import Quorum
from quorate.fusion import check_rule
from quorate.ledger import Ledger
from quorate.moe.counters import Counters
from quorate.moe.digests import replica_digest
from quorate.moe.finding import Router, Skipped, check_model, find_routers
from quorate.moe.fusing import VOTE, Rules
from quorate.moe.gate import BFTGate, GateState
from quorate.moe.policy import FALLBACK, REFUSE, SHARED_ONLY, Policy
from quorate.moe.recording import GatingBatch, Recorder, attach
from quorate.moe.replicas import (
    ReplicaSet,
    check_present,
    check_replicas,
    check_weights,
    copies,
    given,
    load_replicas,
    tensor_names,
)
from quorate.moe.reporting import APART, COPIES, GateReport, HardenReport

SCRUB_EVERY: Final = 256
"""Forward passes of a gate between two checks of its weights, unless told otherwise."""

INLINE_DECISIONS: Final = 1024
"""Most decisions (tokens times gates) of a batch whose leaves stand in its sealed body."""

_HANDLE: Final = "_quorate_moe"


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
        ledger: seals one entry of kind ``gating`` for each batch, with the trace id of
            :func:`quorate.moe.traced` where the call stands in one.
        inline_decisions: a batch of at most so many tokens times gates is sealed with all its
            leaves, and can be computed again from the entry alone.
        on_sealed: called with each sealed batch, on the thread of the forward pass.

    Returns:
        What was swapped, the fault bound, and what it assumes.

    Raises:
        UsageTypeError: an argument is of another type than above; nothing was changed.
        UsageError: an argument does not fit the model; nothing was changed.
        VerificationError: the folder's manifest does not hold, or more replicas of it are unfit
            than may be faulty; nothing was changed.
        OperationalError: the folder cannot be read.
    """
    check_model(model)
    if _HANDLE in model.__dict__ or any(isinstance(m, BFTGate) for m in model.modules()):
        raise UsageError("the model is hardened already; restore(model) first")
    _check_numbers(scrub_every, inline_decisions)
    _check_sealing(ledger, on_sealed)
    routers, skipped = find_routers(model)
    if not routers:
        told = "; ".join(f"{s.name} ({s.kind}): {s.reason}" for s in skipped)
        raise UsageError(
            f"no router was found in {type(model).__name__}; looked at: {told or '-'}. A router is "
            "named gate or router, or its class ends so; it makes its logits by one call of "
            "torch.nn.functional.linear (or an nn.Linear of its own) and returns (logits, scores, "
            "chosen experts)"
        )
    found = _replica_set(routers, replicas, weights, verifier)
    n = len(found.tensors)
    quorum = Quorum(n, faults)
    if rule != VOTE:
        check_rule(rule, n, quorum.faults, also=(VOTE,))
    policy = Policy(on_no_quorum, fallback_expert)
    _check_policy(model, routers, policy)
    _check_domains(domains, n)
    check_present(found, quorum.faults)
    recorder = Recorder(ledger, inline=inline_decisions, on_sealed=on_sealed)
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
    model.__dict__[_HANDLE] = [*attach(model, recorder), *_guarded(model)]
    return _report(routers, gates, skipped, found, quorum, policy, domains, recorder)


def _guarded(model: torch.nn.Module) -> list[Any]:
    """Let no loading begin: the gates themselves are reached when half of it is done."""
    around = [
        module
        for module in model.modules()
        if not isinstance(module, BFTGate) and any(isinstance(m, BFTGate) for m in module.modules())
    ]
    return [module.register_load_state_dict_pre_hook(_refuse_loading) for module in around]


def _refuse_loading(module: torch.nn.Module, *_: object) -> None:
    raise UsageError(
        f"{type(module).__name__} is hardened; restore(model), load the weights, then harden again"
    )


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
    if verifier is not None and not hasattr(verifier, "verify"):
        raise UsageTypeError(
            f"verifier is {verifier!r} ({type(verifier).__name__}); give a public key, as "
            "quorate.ledger.read_verifier reads it"
        )
    if weights is None:
        return copies(routers, check_replicas(4 if replicas is None else replicas))
    if isinstance(weights, str | Path):
        found = load_replicas(routers, weights, verifier)
    else:
        check_weights(weights)
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
    told = domains is None or (
        isinstance(domains, Sequence)
        and all(isinstance(each, Mapping) for each in domains)
        and all(isinstance(text, str) for each in domains for item in each.items() for text in item)
    )
    if not told:
        raise UsageTypeError(
            f'domains is {domains!r}; give a list with one mapping per replica, {{"vendor": "x"}}'
        )
    if domains is not None and len(domains) != n:
        raise UsageError(f"domains tells of {len(domains)} replicas; there are {n}")


def _check_sealing(ledger: object, on_sealed: object) -> None:
    """Refuse now what would fail at the first request."""
    if ledger is not None and not isinstance(ledger, Ledger):
        raise UsageTypeError(
            f"ledger is {ledger!r} ({type(ledger).__name__}); give an open one: "
            'Ledger.open("sqlite:///gating.db", signer=signer)'
        )
    if ledger is not None:
        ledger.append_all([])  # nothing; says so where it was opened for reading only
    if ledger is None and on_sealed is not None:
        raise UsageError("on_sealed was given, but no ledger that would seal anything")
    if on_sealed is not None and not callable(on_sealed):
        raise UsageTypeError(f"on_sealed is {on_sealed!r}; give a function of one GatingBatch")


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
    # As many as are surely honest hold the same bits: up to f others are not what they are
    # copies of, which is no reason to stop naming them.
    held = Counter(each for each in gate.weight_digests() if each is not None)
    alike = max(held.values(), default=0) >= quorum.n - quorum.faults
    state.rules = Rules(rule, quorum.faults, quorum.size, copies=alike)
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
    check_model(model)
    gates = {name: m for name, m in model.named_modules() if isinstance(m, BFTGate)}
    if not gates:
        raise UsageError(f"{type(model).__name__} is not hardened; call harden(model) first")
    return gates


def restore(model: torch.nn.Module) -> None:
    """Undo :func:`harden`: the very modules that were there before are there again.

    What happened to the model meanwhile (moved, cast, hooks added) holds for them too.

    Raises:
        UsageError: the model is not hardened, or it was hardened as a part of another one.
        OperationalError: a router's own weights, which were not used meanwhile, changed in
            memory. The model is restored all the same.
    """
    gates = hardened_gates(model)
    if _HANDLE not in model.__dict__:
        raise UsageError("restore the very module that was hardened, not a part of it")
    for gate in gates.values():
        _swap(model, gate, gate.released())
    for hook in model.__dict__.pop(_HANDLE):
        hook.remove()
    changed = {name: gate.changed_unused() for name, gate in gates.items()}
    told = [f"{name} ({', '.join(each)})" for name, each in changed.items() if each]
    if told:
        raise OperationalError(
            f"the model is restored, but weights of {', '.join(told)}, which were not used "
            "meanwhile, changed in memory; load the model anew"
        )


def report(model: torch.nn.Module) -> dict[str, dict[str, Any]]:
    """What each gate has seen since it was hardened, by its name.

    Returns:
        Per gate ``batches``, ``tokens``, ``refused`` (tokens without a quorum) and, per
        replica, ``dissent``, ``dropped``, ``named`` and ``deviation``, how the replicas
        ``splits`` on tokens without a quorum, and who was ``excluded`` and why; see
        :class:`quorate.moe.counters.Counters`.

    Raises:
        UsageError: the model is not hardened.
    """
    return {name: gate.counters.to_dict() for name, gate in hardened_gates(model).items()}


def scrub(model: torch.nn.Module) -> dict[str, list[int]]:
    """Check all weights of all gates now; a replica whose weights changed is excluded there.

    It stays out, also when its weights are put right again: :func:`restore` the model and
    :func:`harden` it anew from good weights to have it back.

    Returns:
        Gate -> the replicas excluded by this call, where there were any. Those that were
        excluded before are in :func:`report`, under ``excluded``.

    Raises:
        UsageError: the model is not hardened.
        OperationalError: tensors that all replicas share have changed.
    """
    found = {name: gate.scrub() for name, gate in hardened_gates(model).items()}
    return {name: replicas for name, replicas in found.items() if replicas}
