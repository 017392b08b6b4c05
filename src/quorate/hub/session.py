"""One task put to a roster of experts, side by side.

Every expert of the roster comes out as exactly one proposal or one absence with its
reason: ``crashed`` (it raised), ``timeout`` (no answer by its deadline), ``over_budget``
(the answer cost more than it may) or ``void`` (what it answered cannot be counted).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

from quorate.arbitration import Absence, Proposal
from quorate.core import limits
from quorate.core.calls import Call, Outcome, call_all, run_blocking
from quorate.core.canonical import canonical, parse
from quorate.core.errors import MisbehaviourError, UsageError
from quorate.core.text import shortened
from quorate.hub.experts import Expert


class Proposals(tuple[Proposal, ...]):  # noqa: SLOT001 - a tuple's subclass can have no slots
    """Proposals in order of expert id, and the absences of the same roster beside them.

    Attributes:
        absent: the absences, in order of expert id.
    """

    absent: tuple[Absence, ...]

    def __new__(cls, proposals: Iterable[Proposal], absent: Iterable[Absence] = ()) -> Self:
        """Order both by expert id."""
        made = super().__new__(cls, sorted(proposals, key=lambda p: p.expert_id))
        made.absent = tuple(sorted(absent, key=lambda a: a.expert_id))
        return made


class Session:
    """Puts one task to a roster of experts."""

    def __init__(self, experts: Sequence[Expert], task: Any) -> None:
        """Prepare to ask ``experts`` about ``task`` (any JSON value; each gets its own copy).

        Raises:
            UsageError: no experts, too many, one twice, or a task that is not JSON.
        """
        ids = [expert.id for expert in experts]
        if not 1 <= len(ids) <= limits.MAX_REPLICAS:
            raise UsageError(f"{len(ids)} experts; 1 to {limits.MAX_REPLICAS} are allowed")
        for position, id_ in enumerate(ids):
            if id_ in ids[:position]:
                raise UsageError(f"the expert {id_!r} stands twice in the roster")
        self._experts = tuple(experts)
        self._task = canonical(task)

    def collect(self) -> Proposals:
        """Ask all, wait until each has answered or passed its deadline; see :meth:`acollect`."""
        return run_blocking(self.acollect())

    async def acollect(self) -> Proposals:
        """Ask all side by side, and return proposals with absences.

        If this coroutine is cancelled, async experts are cancelled with it; sync ones run on
        in threads that cannot be stopped.
        """
        calls = [Call(e.callee, parse(self._task), e.timeout) for e in self._experts]
        outcomes = await call_all(calls)
        most = limits.MAX_BODY_BYTES // (2 * len(self._experts))
        results = [_result(e, o, most) for e, o in zip(self._experts, outcomes, strict=True)]
        return Proposals(
            (r for r in results if isinstance(r, Proposal)),
            (r for r in results if isinstance(r, Absence)),
        )


def _result(expert: Expert, outcome: Outcome, most: int) -> Proposal | Absence:
    """Read an outcome; a payload of over ``most`` bytes could make the verdict unsealable."""
    if outcome.reason is not None:
        return Absence(expert.id, expert.weight, outcome.reason, outcome.detail)
    # Looking at a foreign object may run foreign code, which may raise SystemExit too.
    try:
        answer = expert.read(outcome.value)
        proposal = Proposal(
            expert.id, answer.payload, answer.confidence, expert.weight, answer.cost
        )
        if most < limits.MAX_PAYLOAD_BYTES and len(canonical(proposal.payload)) > most:
            size = f"the payload is larger than {most} bytes, the share of one in this roster"
            return Absence(expert.id, expert.weight, "void", size)
        affordable = expert.within_budget(proposal.exact_cost)
    except BaseException as error:  # noqa: BLE001
        return Absence(expert.id, expert.weight, "void", _why_void(error))
    if not affordable:
        return Absence(
            expert.id,
            expert.weight,
            "over_budget",
            f"it cost {float(proposal.exact_cost):g}, at most {float(expert.max_cost or 0):g}",
        )
    return proposal


def _why_void(error: BaseException) -> str:
    """Say why an answer is void; the error itself may be foreign, and fail at being shown."""
    try:
        if isinstance(error, MisbehaviourError | UsageError):
            return shortened(str(error))
        return shortened(f"what it answered cannot be read: {type(error).__name__}")
    except BaseException:  # noqa: BLE001
        return "what it answered cannot be read"
