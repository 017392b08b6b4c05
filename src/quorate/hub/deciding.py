"""One task decided: experts asked, their answers folded, and what was declared after a refusal.

Theory of operation. The panel is asked, its proposals are folded by the arbiter, and the
outcome becomes a body that can be sealed. Three protocols need more than one fold of what
came in: ``first-to-quorum`` looks at each arrival and ends the asking when the verdict is
settled; ``synthesis`` has the proposals merged, and the merge ratified, before the fold;
and a policy other than ``raise`` goes on after a refusal. It then folds again, over what
was there and what came new, into a verdict whose parent is the refused one, and the body
holds that one whole. Nothing that was refused is forgotten because something followed.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from quorate.arbitration import (
    Arbiter,
    Decision,
    FallbackArbiter,
    FirstToQuorumArbiter,
    SynthesisArbiter,
    Tally,
)
from quorate.arbitration.arbiter import Rule
from quorate.arbitration.intake import Intake, gather
from quorate.arbitration.sealed import decided, kind_of
from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError
from quorate.core.exact import Number
from quorate.hub.asking import Means, Settled
from quorate.hub.escalation import Consultation, escalate
from quorate.hub.experts import Expert
from quorate.hub.oversight.guard import Guard
from quorate.hub.policy import ESCALATE, FALLBACK, WIDEN, Policy
from quorate.hub.session import Proposals
from quorate.hub.synthesis import merged, named_synthesizer
from quorate.hub.trace import Recorder, Trace

if TYPE_CHECKING:
    from quorate.core.independence import Independence

_NO_POLICY = Policy()
_TASK_AND_PANEL_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one task.

    Attributes:
        kind: ``"decision"`` or ``"refusal"``: what the body is sealed as.
        outcome: the decision, or the tally of the refusal.
        body: ready to be sealed; replay computes all of it again.
        proposals: all that the outcome was folded from.
        trace: who was asked when, and what it took.
        consultation: what was consulted after a refusal, if anybody was.
    """

    kind: str
    outcome: Decision | Tally
    body: dict[str, Any]
    proposals: Proposals
    trace: Trace
    consultation: Consultation | None = None


async def decide(  # noqa: PLR0913 - one argument for each thing that is declared of a task
    experts: Sequence[Expert],
    task_input: Any,
    arbiter: Rule | Arbiter,
    *,
    policy: Policy = _NO_POLICY,
    weights: Mapping[str, Fraction] | None = None,
    plan: Mapping[str, Any] | None = None,
    independence: Independence | None = None,
    synthesizer: Expert | None = None,
    task: Mapping[str, str] | None = None,
    panel: str | None = None,
    trace: Recorder | None = None,
    deadline: float | None = None,
    max_cost: Number | None = None,
    max_tokens: int | None = None,
    guard: Guard | None = None,
) -> Verdict:
    """Put one task to ``experts`` and fold what they answer.

    A refusal is returned, not raised. If this coroutine is cancelled, whoever is being
    asked is cancelled with it.

    Args:
        experts: the roster, each once.
        task_input: any JSON value; each expert gets its own copy.
        arbiter: declares the protocol and its quorum.
        policy: what follows a refusal.
        weights: route weight by id, in place of the experts' own; of the reserve too.
        plan: the gate's plan, to be sealed.
        independence: what the experts declare of how they fail together.
        synthesizer: who merges, where the protocol is ``synthesis`` and it is not in
            the roster.
        task: ``{"id", "input_digest"}``, to be sealed.
        panel: digest of the panel sealed earlier, likewise.
        trace: records what is done; one of its own is begun where none is given.
        deadline: seconds for all of it; ``None`` for each expert's own deadline.
        max_cost: for all answers together, in the panel's unit.
        max_tokens: likewise.
        guard: asked each time before experts are; ``guard.run(decide(…, guard=guard))`` is
            stopped by a halt as well.

    Raises:
        HaltedError: somebody halted.
        UsageError: the roster, task, weights or bounds cannot be used, or the policy names
            an expert that is not there.
    """
    if panel is not None and task is None:
        raise UsageError("a panel is named, and no task; a verdict under a panel names its task")
    deciding = _Deciding(
        tuple(experts),
        # Others are asked about it too, as a part of another question.
        parse(canonical({"task": task_input}))["task"],
        getattr(arbiter, "inner", arbiter),
        policy,
        dict(weights or {}),
        Means(
            Recorder(uuid.uuid4().hex) if trace is None else trace,
            deadline=deadline,
            max_cost=max_cost,
            max_tokens=max_tokens,
            guard=guard,
        ),
        independence,
        synthesizer,
    )
    deciding.check()
    final = first = await deciding.first(plan)
    body = first.body
    if isinstance(first.outcome, Tally) and policy.goes_on:
        later = await deciding.after_refusal(first)
        wider = later.body
        # It holds the refused one too. What cannot be sealed must not be acted upon.
        if len(canonical(wider)) <= limits.MAX_BODY_BYTES - _TASK_AND_PANEL_BYTES:
            final, body = later, wider
    # The parent inside holds neither: they are said once, of the verdict that stands.
    if task is not None:
        body["task"] = dict(task)
    if panel is not None:
        body["panel"] = panel
    return Verdict(
        kind_of(final.outcome),
        final.outcome,
        body,
        final.proposals,
        deciding.means.recorder.trace(),
        final.consultation,
    )


@dataclass(frozen=True, slots=True)
class _Fold:
    """One fold: what went in, what came out, and its body without task and panel."""

    proposals: Proposals
    intake: Intake
    outcome: Decision | Tally
    body: dict[str, Any]
    consultation: Consultation | None = None


@dataclass(frozen=True, slots=True)
class _Deciding:
    """One task on its way to a verdict."""

    experts: tuple[Expert, ...]
    task: Any
    arbiter: Rule
    policy: Policy
    weights: dict[str, Fraction]
    means: Means
    independence: Independence | None
    synthesizer: Expert | None

    def check(self) -> None:
        """Refuse, before anybody is asked, what could not be carried out afterwards."""
        ids = {expert.id for expert in self.experts}
        policy = self.policy
        if isinstance(self.arbiter, SynthesisArbiter):
            named_synthesizer(self.arbiter, self.synthesizer, self.experts)
        if policy.on_under_quorum == WIDEN:
            if not policy.reserve:
                raise UsageError('on_under_quorum is "widen", and the reserve is empty')
            _apart(ids, [expert.id for expert in policy.reserve], "the reserve")
        if policy.on_under_quorum == ESCALATE:
            _apart(ids, [expert.id for expert in policy.consult], "those consulted")
            _apart(ids, [policy.consult_to], "the consultation")
        if policy.on_under_quorum == FALLBACK:
            self._fallback()

    async def first(self, plan: Mapping[str, Any] | None) -> _Fold:
        """Ask the roster, and fold."""
        proposals = await self.means.ask(
            self.experts, self.task, weights=self.weights, settled=self._settled(None)
        )
        return await self._folded(proposals, self.experts, plan=plan)

    async def after_refusal(self, first: _Fold) -> _Fold:
        """Do what the policy declares; ``first`` itself where that adds nothing."""
        if self.policy.on_under_quorum == WIDEN:
            more = await self.means.ask(
                self.policy.reserve,
                self.task,
                weights=self.weights,
                settled=self._settled(first.proposals),
            )
            both = _together(first.proposals, more, self.independence)
            everyone = (*self.experts, *self.policy.reserve)
            return await self._folded(both, everyone, parent=first.body)
        if self.policy.on_under_quorum == ESCALATE:
            return await self._escalated(first)
        return await self._fallen_back(first)

    def _settled(self, earlier: Proposals | None) -> Settled | None:
        arbiter = self.arbiter
        if not isinstance(arbiter, FirstToQuorumArbiter):
            return None
        # What would be refused is cut short only where nothing follows: a later fold has
        # use for every proposal. In a wider round nothing does.
        last = earlier is not None or not self.policy.goes_on
        over = ("commit", "refuse") if last else ("commit",)

        def settled(there: Proposals) -> bool:
            if earlier is not None:
                there = _together(earlier, there, self.independence)
            return arbiter.standing(there) in over

        return settled

    async def _folded(
        self,
        proposals: Proposals,
        experts: Sequence[Expert],
        *,
        plan: Mapping[str, Any] | None = None,
        parent: dict[str, Any] | None = None,
    ) -> _Fold:
        proposals.independence = self.independence
        intake = gather(proposals)
        if parent is not None:
            intake = dataclasses.replace(intake, parent=parent)
        if isinstance(self.arbiter, SynthesisArbiter):
            merge, failed = await merged(
                self.arbiter,
                proposals,
                self.task,
                synthesizer=self.synthesizer,
                experts=experts,
                means=self.means,
            )
            intake = dataclasses.replace(intake, merge=merge, failed=failed)
        with self.means.recorder.phase("fold"):
            outcome, body = decided(self.arbiter, intake, plan=plan)
        return _Fold(proposals, intake, outcome, body)

    async def _escalated(self, first: _Fold) -> _Fold:
        policy = self.policy
        consultation = escalate(
            first.outcome,
            policy.consult_to,
            arbiter=self.arbiter,
            proposals=first.intake,
            task=self.task,
            body=first.body,
            experts=policy.consult,
            weight=policy.consult_weight,
            quorum=policy.consult_quorum,
        )
        await consultation.run(means=self.means, weights=self.weights)
        outcome = consultation.fold()
        return _Fold(
            consultation.proposals, consultation.intake, outcome, consultation.body, consultation
        )

    def _fallback(self) -> Expert:
        named = self.policy.fallback
        if isinstance(named, Expert):
            return named
        for expert in (*self.experts, *self.policy.reserve):
            if expert.id == named:
                return expert
        raise UsageError(f"the fallback is {named!r}, which is no expert of the roster or reserve")

    async def _fallen_back(self, first: _Fold) -> _Fold:
        expert = self._fallback()
        proposals = first.proposals
        if expert.id not in first.intake.roster():
            more = await self.means.ask([expert], self.task, weights=self.weights)
            proposals = _together(proposals, more, self.independence)
        inner: Any = self.arbiter
        arbiter = FallbackArbiter(expert.id, inner.exact_quorum, normalize=inner.normalize)
        intake = dataclasses.replace(gather(proposals), parent=first.body)
        return _Fold(proposals, intake, *decided(arbiter, intake))


def _together(one: Proposals, other: Proposals, independence: Independence | None) -> Proposals:
    return Proposals(
        (*one, *other),
        (*one.absent, *other.absent),
        (*one.pending, *other.pending),
        independence,
    )


def _apart(roster: set[str], ids: Sequence[str], who: str) -> None:
    both = sorted(roster.intersection(ids))
    if both:
        raise UsageError(f"{both[0]!r} is of the roster and of {who}; it is asked once")
