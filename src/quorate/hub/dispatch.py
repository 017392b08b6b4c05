"""What the hub gives back for one task, and how it is read back from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.arbitration import Absence, Decision, Tally, UnderQuorum
from quorate.arbitration.sealed import DECISION, REFUSAL
from quorate.core.canonical import JSONValue
from quorate.core.errors import OperationalError, UsageError
from quorate.hub.oversight.record import OverriddenError
from quorate.hub.oversight.rules import Standing
from quorate.hub.shadow import Shadow
from quorate.hub.trace import Trace
from quorate.ledger import Receipt


@dataclass(frozen=True, slots=True, eq=False)
class Dispatch:
    """One task's whole pass through the hub.

    Attributes:
        id: of the task; the idempotency key.
        outcome: the decision, or the tally of the refusal; ``None`` in shadow mode where
            nobody could be asked.
        receipt: of the sealed verdict; ``None`` where the hub has no ledger.
        plan: who was asked and why, as sealed; ``None`` where nobody was.
        trace: what was done when; ``None`` where the verdict was sealed earlier.
        shadow: in shadow mode, what is acted upon.
        earlier: the verdict was there already; nobody was asked.
        overridden: what people put in place of the decision; ``None`` where nobody did.
    """

    id: str
    outcome: Decision | Tally | None
    receipt: Receipt | None = None
    plan: Mapping[str, Any] | None = None
    trace: Trace | None = None
    shadow: Shadow | None = None
    earlier: bool = False
    overridden: Standing | None = None

    @property
    def committed(self) -> bool:
        """Whether a quorum, or what a policy declares, committed an answer."""
        return isinstance(self.outcome, Decision)

    @property
    def decision(self) -> Decision:
        """The decision.

        Raises:
            UnderQuorum: there is none; holds this dispatch.
        """
        if isinstance(self.outcome, Decision):
            return self.outcome
        raise self.refusal()

    @property
    def consensus(self) -> JSONValue:
        """The payload committed; a person's answer where the decision was overridden.

        What the experts committed stays at ``decision.consensus``.

        Raises:
            UnderQuorum: there is none; holds this dispatch.
            OverriddenError: people disregarded it, or contest it.
        """
        if self.overridden is None:
            return self.decision.consensus
        if not self.overridden.answered:
            raise OverriddenError(self.overridden)
        return self.overridden.answer

    @property
    def acted(self) -> JSONValue:
        """What is to be acted upon: the incumbent's answer in shadow mode, else the consensus.

        What a person put in place of a decision comes before either.

        Raises:
            UnderQuorum: outside shadow mode, nothing was committed.
            OverriddenError: people disregarded the decision, or contest it.
            OperationalError: in shadow mode, the incumbent did not answer.
        """
        if self.shadow is None or self.overridden is not None:
            return self.consensus
        if not self.shadow.answered:
            raise OperationalError(
                f"the incumbent {self.shadow.incumbent!r} did not answer, so there is nothing to "
                f"act upon: {self.shadow.detail}"
            )
        return self.shadow.acted

    @property
    def support(self) -> float:
        """The leader's share of the votes, nearest double; 0 where nobody was asked."""
        return 0.0 if self.outcome is None else self.outcome.support

    @property
    def backing(self) -> float:
        """The leader's share of the roster's route weight, likewise."""
        return 0.0 if self.outcome is None else self.outcome.backing

    @property
    def dissenting(self) -> tuple[str, ...]:
        """Ids of those that proposed another answer than the leader's, sorted."""
        if self.outcome is None:
            return ()
        if isinstance(self.outcome, Decision):
            return self.outcome.dissenting
        groups = self.outcome.trace["groups"]
        return tuple(sorted(name for group in groups[1:] for name in group["members"]))

    @property
    def absent(self) -> tuple[Absence, ...]:
        """Who had no proposal, and why, sorted."""
        return () if self.outcome is None else self.outcome.absent

    def describe(self) -> str:
        """Say in a paragraph what came of it."""
        told = "" if self.outcome is None else self.outcome.describe()
        if self.overridden is not None:
            told = f"{told} {self.overridden.describe()}"
        if self.shadow is None:
            return told
        did = "answered" if self.shadow.answered else "did not answer"
        would = "agrees"
        if self.shadow.refused:
            would = "would have refused"
        elif self.shadow.differs:
            would = "would have answered otherwise"
        return f"Shadow: {self.shadow.incumbent} {did}, the panel {would}. {told}".rstrip()

    def refusal(self) -> DispatchRefusedError:
        """The error of a refusal.

        Raises:
            UsageError: this is no refusal.
        """
        if isinstance(self.outcome, Tally):
            return DispatchRefusedError(self.outcome, self)
        raise UsageError("the dispatch was not refused: it has a decision, or nobody was asked")


class DispatchRefusedError(UnderQuorum):
    """The hub let nothing be acted upon. An ``UnderQuorum`` that holds the whole dispatch.

    Attributes:
        dispatch: with the sealed receipt of the refusal, the plan and the trace.
    """

    def __init__(self, tally: Tally, dispatch: Dispatch) -> None:
        """Hold the tally and the dispatch."""
        super().__init__(tally)
        self.dispatch = dispatch


def from_receipt(id_: str, receipt: Receipt, input_digest: str) -> Dispatch:
    """The dispatch whose verdict was sealed earlier under that id.

    Raises:
        UsageError: what is sealed there is no verdict, or one on another input.
    """
    body = receipt.payload
    task = body.get("task") if isinstance(body, dict) else None
    if receipt.kind not in (DECISION, REFUSAL) or not isinstance(task, dict):
        raise UsageError(
            f"entry {receipt.seq} of the ledger has the key of the task {id_!r} and is no verdict "
            "on a task; give the task another id"
        )
    if task != {"id": id_, "input_digest": input_digest}:
        raise UsageError(
            f"the task {id_!r} was decided before on another input (entry {receipt.seq}); "
            "a decided task never changes, use a new id"
        )
    read = Decision.from_dict if receipt.kind == DECISION else Tally.from_dict
    plan = body.get("plan") or (body.get("parent") or {}).get("plan")
    return Dispatch(id_, read(body["verdict"]), receipt, plan, earlier=True)
