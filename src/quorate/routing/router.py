"""The router: ask every replica, let a quorum decide, and dispatch to one expert or none."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from quorate.core import limits
from quorate.core.calls import Call, Callee, Outcome, call_all, call_one, run_blocking
from quorate.core.errors import UsageError, UsageTypeError
from quorate.routing.answers import callees, check_id, proposals_of
from quorate.routing.decision import Absentee, NoConsensusError, RoutingDecision
from quorate.routing.inputs import Snapshot, snapshot
from quorate.routing.ledger import BFTLedger, Concluded, Record
from quorate.routing.rules import Ballot, Key


class BFTRouter:
    """Routes an input to the expert that a quorum of replicas names.

    What it promises: every dispatch has a strict majority of the honest replicas behind
    it, and where all honest replicas agree, no other expert is dispatched. It holds while
    at most ``faults`` replicas lie and the others fail independently.
    """

    def __init__(
        self,
        experts: Mapping[Key, Callable[[Any], Any]] | Iterable[Key],
        replicas: Mapping[str, Callable[[Any], Any]] | Sequence[Callable[[Any], Any]],
        *,
        faults: int | None = None,
        timeout: float | None = 30.0,
        ledger: BFTLedger | Record | None = None,
    ) -> None:
        """Fix the roster, the quorum and the experts.

        Args:
            experts: key -> callable, sync or async; or keys alone, to decide only. Keys
                are str or int.
            replicas: id -> callable, sync or async, that takes the input and returns an
                expert's key; or a sequence of them, whose ids are ``replica-0`` and on.
            faults: how many replicas may lie; the greatest bearable number if ``None``.
            timeout: seconds until a replica without an answer is absent; ``None`` waits
                for ever. The expert has no deadline here: bound it yourself, or cancel.
            ledger: keeps the rounds; given a ``quorate.Ledger``, every round is sealed in
                it before anything is dispatched. A ledger of its own if ``None``.

        Raises:
            UsageError: an argument that cannot be used; the message says which and why.
        """
        named = dict(experts) if isinstance(experts, Mapping) else None
        proposals = proposals_of(experts)
        self._experts = None if named is None else callees(named, "expert")
        self._replicas = _replicas(replicas)
        self._ballot = Ballot(tuple(self._replicas), proposals, faults)
        self._timeout = _seconds(timeout)
        self._ledger = ledger if isinstance(ledger, BFTLedger) else BFTLedger(ledger)

    @property
    def ledger(self) -> BFTLedger:
        """The rounds of this router, and the equivocations found in them."""
        return self._ledger

    def decide(self, x: Any, session_id: str) -> RoutingDecision:
        """Let the replicas vote, and dispatch nothing; blocks. See :meth:`adecide`."""
        return run_blocking(self.adecide(x, session_id))

    def route(self, x: Any, session_id: str, *, strict: bool = False) -> RoutingDecision:
        """Let the replicas vote, and dispatch to the agreed expert; blocks. See :meth:`aroute`."""
        return run_blocking(self.aroute(x, session_id, strict=strict))

    async def adecide(self, x: Any, session_id: str) -> RoutingDecision:
        """Let the replicas vote in a new round of the session, and dispatch nothing.

        Args:
            x: JSON values, bytes, or one NumPy array; every replica gets its own copy, of
                an array a read-only view.
            session_id: any id; rounds are numbered within it.

        Raises:
            UsageError: an input without a digest, or a session id that is none.
            StoreError: or whatever else the record raised; nothing was decided.
        """
        return _decision(await self._agree(snapshot(x), session_id))

    async def aroute(self, x: Any, session_id: str, *, strict: bool = False) -> RoutingDecision:
        """Let the replicas vote, seal the round, and dispatch to the agreed expert.

        The expert gets the input as it was when the round was opened. One that raises is
        reported in ``error``: the routing stands.

        Args:
            x: as for :meth:`adecide`.
            session_id: as for :meth:`adecide`.
            strict: whether to raise where there is no consensus.

        Raises:
            NoConsensusError: ``strict`` and no consensus; holds the decision.
            UsageError: as for :meth:`adecide`; or the router has no callables for experts.
            StoreError: or whatever else the record raised; nothing was dispatched.
        """
        if self._experts is None:
            raise UsageError(
                "this router knows its experts by key only and can dispatch to none; "
                "use decide(), or give experts as a mapping of key to callable"
            )
        taken = snapshot(x)
        concluded = await self._agree(taken, session_id)
        agreed = concluded.round.decided
        if agreed is None:
            decision = _decision(concluded)
            if strict:
                raise NoConsensusError(decision)
            return decision
        callee = self._experts[self._ballot.experts[agreed]]
        outcome = await call_one(Call(callee, taken.for_expert()))
        return _decision(concluded, outcome)

    async def _agree(self, taken: Snapshot, session_id: str) -> Concluded:
        check_id(session_id, "session_id")
        ledger, timeout = self._ledger, self._timeout
        calls = [Call(callee, taken.for_replica(), timeout) for callee in self._replicas.values()]
        number = ledger.open_round(session_id, taken.digest, self._ballot)
        try:
            outcomes = await call_all(calls)
            answers, absences = [], []
            for replica, outcome in zip(self._replicas, outcomes, strict=True):
                if outcome.reason is None:
                    answers.append((replica, outcome.value))
                else:
                    absences.append(Absentee(replica, outcome.reason, outcome.detail))
            if ledger.record is None:
                return ledger.settle(session_id, number, answers, absences)
            # Sealing waits for the disk, and the loop must not.
            return await asyncio.to_thread(ledger.settle, session_id, number, answers, absences)
        except BaseException:
            ledger.abandon(session_id, number)
            raise


def _replicas(given: object) -> dict[str, Callee]:
    if isinstance(given, Mapping):
        named = {check_id(replica, "a replica's id"): call for replica, call in given.items()}
    elif isinstance(given, Sequence) and not isinstance(given, str | bytes):
        named = {f"replica-{index}": call for index, call in enumerate(given)}
    else:
        raise UsageTypeError(
            f"replicas is a {type(given).__name__}; give a list of callables, or a mapping "
            "of id to callable"
        )
    if len(named) > limits.MAX_REPLICAS:
        raise UsageError(f"{len(named)} replicas; at most {limits.MAX_REPLICAS} are supported")
    return callees(named, "replica")


def _seconds(timeout: object) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise UsageTypeError(f"timeout is {timeout!r}; give seconds, or None for no deadline")
    if not (math.isfinite(timeout) and timeout > 0):
        raise UsageError(f"timeout is {timeout!r}; give more than 0 seconds, or None")
    return float(timeout)


def _decision(concluded: Concluded, outcome: Outcome | None = None) -> RoutingDecision:
    state, found = concluded.round, concluded.verdict
    experts, agreed = state.ballot.experts, state.decided
    proposals = {
        replica: experts[vote] if vote in experts else _spoken(concluded.said[vote])
        for replica, vote in sorted(state.votes.items())
    }
    return RoutingDecision(
        session_id=state.session_id,
        round=state.number,
        consensus=found.consensus,
        dispatched=outcome is not None and outcome.reason is None,
        expert_key=None if agreed is None else experts[agreed],
        result=None if outcome is None else outcome.value,
        agreed_hash=agreed,
        input_digest=state.input_digest,
        quorum=state.quorum.size,
        faults=state.quorum.faults,
        total_replicas=state.quorum.n,
        votes=found.votes,
        proposals=proposals,
        void=found.void,
        absent=concluded.absent,
        dissenting=found.dissenting,
        equivocating=found.equivocating,
        error=None if outcome is None or outcome.reason is None else outcome.detail,
        receipt=concluded.receipt,
    )


def _spoken(proposal: dict[str, Any]) -> Any:
    return proposal["key"] if "key" in proposal else proposal["void"]
