"""The hub: a task comes in, the right experts are asked, and what they decide is sealed.

One pass, :meth:`Hub.adispatch`: the router scores who is able, the gate plans who is asked
and with what weight, the session asks them, the arbiter folds, the policy goes on after a
refusal, and the ledger seals the verdict with its plan. Any number of tasks may be on
their way at once, from one event loop or several; how many each expert has in hand is
told to the gate.

**Shadow mode** changes nothing about what a system does: one expert, the incumbent, is
asked as before, and what it says is acted upon. Beside it the panel decides, and its
verdict is sealed with whether it would have refused or answered otherwise.

**Widening** asks those of the policy's reserve, or, where it names none, everybody able
whom the plan left out for ``top_k``. The weights of those asked first stand; whoever comes
later gets a weight on the same scale.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from hashlib import sha256
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from quorate.arbitration import Arbiter, Proposal, Tally
from quorate.arbitration.arbiter import Rule
from quorate.arbitration.forms import shown, text
from quorate.core.calls import run_blocking
from quorate.core.canonical import JSONValue, canonical, digest
from quorate.core.errors import NoQuorum, OperationalError, UsageError, UsageTypeError
from quorate.hub.asking import Means
from quorate.hub.deciding import Verdict, decide
from quorate.hub.dispatch import Dispatch, from_receipt
from quorate.hub.experts import Expert
from quorate.hub.gate import Gate, Plan
from quorate.hub.learning import Learning
from quorate.hub.outcomes import seal_outcome, verdict_key
from quorate.hub.oversight import Guard, OverriddenError
from quorate.hub.planning import Planner
from quorate.hub.policy import FALLBACK, RAISE, WIDEN, Policy
from quorate.hub.registry import Registry
from quorate.hub.routers import Router, make_router
from quorate.hub.sealing import Item, Sealer
from quorate.hub.shadow import Shadow, beside, word_of
from quorate.hub.signature import TaskSignature
from quorate.hub.standing import Standing
from quorate.hub.trace import Recorder
from quorate.ledger import Ledger, Receipt

if TYPE_CHECKING:
    from quorate.core.independence import Independence

ENFORCE: Final = "enforce"
SHADOW: Final = "shadow"

_log = logging.getLogger("quorate.hub")


class Hub:
    """Runs experts: dispatches tasks, seals verdicts, learns from outcomes.

    Safe to use from many threads and event loops.

    Attributes:
        registry: who there is to ask; experts can be added and removed at any time.
        arbiter: declares the protocol and its quorum.
        ledger: where verdicts are sealed, or ``None``.
        router: scores who is able.
        gate: plans who is asked.
        policy: what follows a refusal.
        mode: ``"enforce"`` or ``"shadow"``.
    """

    def __init__(  # noqa: PLR0913 - one argument for each part of the hub
        self,
        experts: Registry | Iterable[Expert],
        arbiter: Arbiter | Rule | None = None,
        *,
        ledger: Ledger | None = None,
        router: str | Router = "affinity",
        gate: Gate | None = None,
        policy: Policy | None = None,
        mode: str = ENFORCE,
        incumbent: Expert | str | None = None,
        independence: Independence | None = None,
        synthesizer: Expert | None = None,
        standing: Standing | None = None,
    ) -> None:
        """Set a hub up; nobody is asked yet.

        Args:
            experts: a registry, or experts to put into one.
            arbiter: weighted quorum at 0.66 unless told otherwise.
            ledger: open for writing; without one nothing is sealed or learnt.
            router: name of a strategy, or one.
            gate: by default everybody able is asked.
            policy: by default a refusal stands.
            mode: ``"shadow"`` needs an incumbent.
            incumbent: the expert, or the id of one in the registry, that is acted upon in
                shadow mode.
            independence: what is known of how the experts fail together; by default what
                they declare.
            synthesizer: who merges, where the protocol is ``synthesis`` and it is not in
                the registry.
            standing: success rates; by default made from the ledger.

        Raises:
            UsageTypeError: an argument is of the wrong type.
            UsageError: the mode is unknown or lacks its incumbent, or an expert that is
                named is not there.
        """
        if ledger is not None and not isinstance(ledger, Ledger):
            raise UsageTypeError(f"ledger is {shown(ledger)}; give what Ledger.open(url) gives")
        if arbiter is not None and not hasattr(arbiter, "fold"):
            raise UsageTypeError(f"arbiter is {shown(arbiter)}; give Arbiter(protocol=…, quorum=…)")
        self.registry = experts if isinstance(experts, Registry) else Registry(experts)
        self.arbiter: Arbiter | Rule = Arbiter() if arbiter is None else arbiter
        self.ledger = ledger
        self.router: Router = make_router(router) if isinstance(router, str) else router
        self.gate = Gate() if gate is None else gate
        self.policy = Policy() if policy is None else policy
        self.mode = mode
        self._independence = independence
        self._synthesizer = synthesizer
        if standing is None and ledger is not None:
            standing = Standing(ledger, router=self.router)
        self._learning = None if standing is None else Learning(standing)
        told = None if self._learning is None else self._learning.tell
        self._guard = Guard(ledger)
        self._sealer = None if ledger is None else Sealer(ledger, told, self._guard.seal)
        self._planner = Planner()
        if self.registry.standing is None:
            self.registry.standing = self._learning
        self._lock = threading.Lock()
        self._loads: Counter[str] = Counter()
        self._incumbent = self._named(incumbent, "incumbent")
        self._named(self.policy.fallback, "fallback")
        if mode not in (ENFORCE, SHADOW):
            raise UsageError(f"mode is {shown(mode)}; it should be {ENFORCE!r} or {SHADOW!r}")
        if (mode == SHADOW) == (self._incumbent is None):
            raise UsageError(
                'mode="shadow" needs incumbent=…, the expert that is acted upon, '
                "and an incumbent is for shadow mode only"
            )

    # -- dispatching

    def dispatch(
        self,
        task: Any,
        context: Any = None,
        trace: str | None = None,
        *,
        signature: TaskSignature | None = None,
        id: str | None = None,  # noqa: A002 - what task lines call it
        deadline: float | None = None,
    ) -> Dispatch:
        """Decide one task, and wait; see :meth:`adispatch`."""
        return run_blocking(
            self.adispatch(task, context, trace, signature=signature, id=id, deadline=deadline)
        )

    async def adispatch(
        self,
        task: Any,
        context: Any = None,
        trace: str | None = None,
        *,
        signature: TaskSignature | None = None,
        id: str | None = None,  # noqa: A002 - what task lines call it
        deadline: float | None = None,
    ) -> Dispatch:
        """Decide one task.

        Args:
            task: any JSON value. Without a context it is exactly what experts see.
            context: any JSON value; with one, experts see ``{"task": …, "context": …}``.
            trace: id of the larger story, for the ledger's entry; opaque, for it outlives
                an erased body.
            signature: what the task asks for; nothing in particular by default.
            id: of the task. A task that was decided before is not decided again: its
                sealed verdict comes back. Random by default.
            deadline: seconds for all of it; ``None`` for each expert's own deadline.

        Raises:
            UnderQuorum: nothing was committed; its ``dispatch`` holds the sealed refusal.
                Never in shadow mode.
            HaltedError: a person halted the system; see :mod:`quorate.hub.oversight`.
            OverriddenError: it was decided before, and people disregarded that or contest it.
            NoExperts: nobody can be asked at this moment. Never in shadow mode.
            UsageError: an argument cannot be used, nobody has the capabilities, or the id
                was decided before on another input.
            StoreError: the verdict could not be sealed, so it must not be acted upon. In
                shadow mode it is logged, and told in ``shadow.detail``.
                Where it cannot be read whether somebody halted, nobody is asked, in
                shadow mode either.
        """
        if signature is not None and not isinstance(signature, TaskSignature):
            raise UsageTypeError(f"signature is {shown(signature)}; give a TaskSignature(…)")
        question = task if context is None else {"task": task, "context": context}
        one = _Task(
            id_=uuid.uuid4().hex if id is None else text(id, "the task id"),
            question=question,
            input_digest=sha256(canonical(question)).hexdigest(),
            signature=TaskSignature() if signature is None else signature,
            trace_id=trace,
            deadline=deadline,
        )
        if id is not None:
            self._guard.check()
            earlier = await self._earlier(one)
            if earlier is not None:
                return self._given(earlier)
        if self.mode == SHADOW:
            return await self._guard.run(self._shadow(one))
        plan = self._plan(one)
        form = plan.to_dict()
        verdict = await self._guard.run(self._decide(one, plan, form))
        return self._given(await self._sealed(one, verdict, form))

    def _plan(self, one: _Task) -> Plan:
        with self._lock:
            loads = dict(self._loads)
        parts = (self.router, self.gate, self.registry, self._learning)
        return self._planner.plan(*parts, one.signature, loads)

    async def _decide(self, one: _Task, plan: Plan, form: dict[str, Any]) -> Verdict:
        experts = [self.registry.get(name) for name in plan.weights]
        policy, weights = self._policy_for(plan, experts)
        roster = [*experts, *policy.reserve]
        with self._loaded(plan.weights):
            return await decide(
                experts,
                one.question,
                self.arbiter,
                policy=policy,
                weights=weights,
                plan=form,
                independence=self._independence or _declared(roster),
                synthesizer=self._merger(),
                task=one.sealed,
                trace=_recorder(one),
                deadline=one.deadline,
                guard=self._guard,
            )

    def _policy_for(self, plan: Plan, experts: list[Expert]) -> tuple[Policy, dict[str, Fraction]]:
        """The policy for this plan, and the weights of all that it may come to ask."""
        policy, weights = self.policy, dict(plan.weights)
        if policy.on_under_quorum not in (FALLBACK, WIDEN):
            return policy, weights
        declared = sum((expert.weight for expert in experts), Fraction(0))
        if policy.on_under_quorum == FALLBACK:
            trusted = self._named(policy.fallback, "fallback")
            policy = dataclasses.replace(policy, fallback=trusted)
            if trusted is not None:
                weights.setdefault(trusted.id, trusted.weight / declared)
        if policy.on_under_quorum != WIDEN:
            return policy, weights
        if policy.reserve:
            late = tuple(expert for expert in policy.reserve if expert.id not in weights)
            weights |= {expert.id: expert.weight / declared for expert in late}
        else:
            wide = dataclasses.replace(self.gate, top_k=None).plan(
                plan.scores, self.registry, signature=plan.signature, loads=plan.gate["loads"]
            )
            asked = sum((wide.weights.get(name, Fraction(0)) for name in weights), Fraction(0))
            more = {name: w / asked for name, w in wide.weights.items() if name not in weights}
            late = tuple(self.registry.get(name) for name in more)
            weights |= more
        # Where everybody was asked already, a refusal stands.
        way = WIDEN if late else RAISE
        return dataclasses.replace(policy, on_under_quorum=way, reserve=late), weights

    def _merger(self) -> Expert | None:
        if self._synthesizer is not None:
            return self._synthesizer
        name = getattr(getattr(self.arbiter, "inner", self.arbiter), "synthesizer", None)
        here = name is not None and name in self.registry
        return self.registry.get(name) if here and isinstance(name, str) else None

    @contextmanager
    def _loaded(self, names: Iterable[str]) -> Iterator[None]:
        """Count the task as in flight with each of those asked."""
        asked = tuple(names)
        with self._lock:
            self._loads.update(asked)
        try:
            yield
        finally:
            with self._lock:
                self._loads.subtract(asked)
                for name in asked:
                    if not self._loads[name]:
                        del self._loads[name]

    # -- outcomes

    def outcome(self, id: str, answer: JSONValue) -> Receipt:  # noqa: A002 - as in dispatch
        """Seal the right answer to a task; success rates and the router learn from it.

        Args:
            id: of the task, decided already or not.
            answer: any JSON value.

        Raises:
            UsageError: the hub has no ledger, or another answer is sealed for that task.
            StoreError: it could not be written.
        """
        if self.ledger is None:
            raise UsageError("the hub has no ledger to seal an outcome in; give it one")
        receipt = seal_outcome(self.ledger, id, answer)
        if self._learning is not None:
            self._learning.now()
        return receipt

    async def aoutcome(self, id: str, answer: JSONValue) -> Receipt:  # noqa: A002 - as above
        """As :meth:`outcome`, without holding up the event loop."""
        return await asyncio.to_thread(self.outcome, id, answer)

    @property
    def standing(self) -> Standing | None:
        """How the experts have done so far; ``None`` without a ledger."""
        return None if self._learning is None else self._learning.standing

    # -- ending

    def close(self) -> None:
        """Let go of what experts hold, and wait until nothing is learnt; see :meth:`aclose`."""
        run_blocking(self.aclose())

    async def aclose(self) -> None:
        """Let go of what experts hold, such as processes and connections.

        The ledger stays open; whoever opened it closes it, after this.
        """
        named = (self._incumbent, self._synthesizer, self.policy.fallback)
        others = [expert for expert in named if isinstance(expert, Expert)]
        everyone = [*self.registry, *others, *self.policy.reserve, *self.policy.consult]
        for expert in {id(expert): expert for expert in everyone}.values():
            await expert.aclose()
        if self._learning is not None:
            await asyncio.to_thread(self._learning.settle)

    def __enter__(self) -> Self:
        """Use as a context manager, which closes it at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    async def __aenter__(self) -> Self:
        """Use as an async context manager, which closes it at the end."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        await self.aclose()

    # -- sealing

    async def _earlier(self, one: _Task) -> Dispatch | None:
        if self.ledger is None:
            return None
        receipt = await asyncio.to_thread(self._guard.by_key, one.key)
        if receipt is None:
            return None
        found = from_receipt(one.id_, receipt, one.input_digest)
        found = dataclasses.replace(found, overridden=self._guard.standing(receipt.seq))
        if self.mode != SHADOW:
            return found
        record = await asyncio.to_thread(self.ledger.by_key, one.shadow_key)
        if record is None:
            raise UsageError(
                f"the task {one.id_!r} was decided before, not in shadow mode (entry "
                f"{receipt.seq}); give it a new id"
            )
        return dataclasses.replace(found, shadow=Shadow.from_dict(record.payload["shadow"]))

    async def _sealed(
        self, one: _Task, verdict: Verdict, form: dict[str, Any], shadow: Shadow | None = None
    ) -> Dispatch:
        """Seal a verdict; what was sealed meanwhile under that id stands in its place."""
        if self._sealer is None:
            return Dispatch(one.id_, verdict.outcome, None, form, verdict.trace, shadow)
        items: list[Item] = [(verdict.kind, verdict.body, one.trace_id, one.key)]
        if shadow is not None:
            record = {
                "task": one.sealed,
                "verdict": digest(verdict.body["verdict"]),
                "shadow": shadow.to_dict(),
            }
            items.append((SHADOW, record, one.trace_id, one.shadow_key))
        try:
            receipts = await self._sealer.seal(items)
        except UsageError:
            # The same task, decided twice at once: the ledger holds the first verdict.
            earlier = await self._earlier(one)
            if earlier is None:
                raise
            return earlier
        return Dispatch(one.id_, verdict.outcome, receipts[0], form, verdict.trace, shadow)

    def _given(self, dispatch: Dispatch) -> Dispatch:
        if dispatch.shadow is None and isinstance(dispatch.outcome, Tally):
            raise dispatch.refusal()
        overridden = dispatch.overridden
        if overridden is not None and not overridden.answered:
            raise OverriddenError(overridden)
        return dispatch

    # -- shadow mode

    async def _shadow(self, one: _Task) -> Dispatch:
        """Ask the incumbent as ever, and the panel beside it; what the panel does stops nothing."""
        incumbent = self._incumbent
        if incumbent is None:
            raise UsageError("shadow mode has no incumbent")
        try:
            plan = self._plan(one)
            form = plan.to_dict()
        except NoQuorum as error:
            answer = await self._ask_alone(incumbent, one)
            return Dispatch(one.id_, None, shadow=beside(incumbent, answer, None, str(error)))
        # One that is of the plan is asked once.
        asking = None
        if incumbent.id not in plan.weights:
            asking = asyncio.ensure_future(self._ask_alone(incumbent, one))
        try:
            verdict = await self._decide(one, plan, form)
            heard = None if asking else word_of(incumbent, verdict)
            answer = heard or await (asking or self._ask_alone(incumbent, one))
        finally:
            if asking is not None:
                asking.cancel()
        shadow = beside(incumbent, answer, verdict)
        try:
            return await self._sealed(one, verdict, form, shadow)
        except OperationalError as error:
            # A disk that fails may hide a halt: the incumbent's answer is held back as well.
            self._guard.check()
            _log.exception("the verdict on task %r was not sealed, in shadow mode", one.id_)
            shadow = dataclasses.replace(shadow, detail=f"not sealed: {error}")
            outcome, trace = verdict.outcome, verdict.trace
            return Dispatch(one.id_, outcome, None, form, trace, shadow)

    async def _ask_alone(self, incumbent: Expert, one: _Task) -> Proposal | str:
        """The incumbent's answer, or why it has none."""
        means = Means(_recorder(one), deadline=one.deadline, guard=self._guard)
        got = await means.ask([incumbent], one.question)
        return got[0] if got else f"{got.absent[0].reason}: {got.absent[0].detail}"

    def _named(self, named: Expert | str | None, what: str) -> Expert | None:
        if named is None or isinstance(named, Expert):
            return named
        if not isinstance(named, str):
            raise UsageTypeError(f"{what} is a {type(named).__name__}; give an expert or its id")
        return self.registry.get(named)


@dataclass(frozen=True, slots=True)
class _Task:
    """One task on its way through the hub."""

    id_: str
    question: JSONValue
    input_digest: str
    signature: TaskSignature
    trace_id: str | None
    deadline: float | None

    @property
    def key(self) -> str:
        return verdict_key(self.id_)

    @property
    def shadow_key(self) -> str:
        return f"shadow:{self.id_}"

    @property
    def sealed(self) -> dict[str, str]:
        return {"id": self.id_, "input_digest": self.input_digest}


def _recorder(one: _Task) -> Recorder:
    return Recorder(one.id_, datetime.now(UTC).isoformat())


def _declared(experts: Iterable[Expert]) -> Independence | None:
    """What the experts declare of how they fail together; ``None`` where none does."""
    domains = {e.id: e.failure_domain for e in experts if e.failure_domain is not None}
    if not domains:
        return None
    # Only here: where nobody declares any, it need not be loaded.
    from quorate.core.independence import Independence  # noqa: PLC0415

    return Independence(domains)
