"""From an approval to its execution: the intent sealed first, the result after, nothing twice."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from quorate.core.errors import QuorateError, UsageError
from quorate.core.identity import Ed25519Signer
from quorate.core.text import shortened
from quorate.council.ballots import sign_execution
from quorate.council.executing import Intent
from quorate.council.executors.order import Executor, NotExecutedError, Order, Report, sealable
from quorate.council.executors.python import Carrier, as_executor
from quorate.council.protocol import ConsensusProtocol
from quorate.council.rules.proposal import Proposal
from quorate.council.rules.values import Execution, ProposalAction, check_id, find_action
from quorate.ledger.appending import system_clock

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What is sealed of an execution.

    Attributes:
        proposal_id: which.
        begun: whether this very call began it; ``False`` where it was begun before.
        execution: what is known of it now. ``intent`` or ``unknown`` is for a person to
            resolve: it is never begun again.
        detail: what was sealed with the result, or ``None``.
    """

    proposal_id: str
    begun: bool
    execution: Execution
    detail: Any


class Executors:
    """Who carries out which action of a council.

    Any number of processes may each have some over the same ledger: of all that run one
    proposal, one begins it. Whoever dies before the result is sealed leaves the execution as
    ``intent``, which ``resolve`` ends by hand.
    """

    def __init__(self, council: ConsensusProtocol) -> None:
        """Register nothing yet.

        Raises:
            UsageError: it is no council.
        """
        if not isinstance(council, ConsensusProtocol):
            raise UsageError(f"the council is a {type(council).__name__}; give a ConsensusProtocol")
        self._council = council
        self._executors: dict[str, Executor] = {}

    def register(self, action: str, executor: Executor | Carrier) -> None:
        """Let ``executor`` carry out every proposal of that action.

        Args:
            action: in any spelling; of the council's actions.
            executor: an executor, or a callable that takes an :class:`Order`.

        Raises:
            UsageError: an unknown action, one that the council carries out itself or that
                has an executor; or the executor is none.
        """
        name = find_action(action, self._council.actions)
        if name == ProposalAction.CHANGE_ELECTORATE.value:
            raise UsageError("the council itself changes its electorate; call execute()")
        if name in self._executors:
            raise UsageError(
                f"{name!r} is carried out by {self._executors[name].name!r} already; one "
                "executor carries out an action"
            )
        found = as_executor(executor)
        check_id(found.name, "the executor's name")
        self._executors[name] = found

    def run(
        self,
        proposal_id: str,
        *,
        by: str | None = None,
        signer: Ed25519Signer | None = None,
        digest: str | None = None,
    ) -> Result:
        """Carry out an approved proposal, if nobody has begun to.

        Args:
            proposal_id: which.
            by: the voter in whose name it is begun; ``None`` says of nobody that it did.
            signer: of that voter, if it has a key.
            digest: of the proposal as it was read, or its first digits: another is refused.

        Interrupted by Ctrl-C, it seals that the outcome is unknown, and is interrupted.

        Returns:
            What is sealed of it once this returns.

        Raises:
            UsageError: no such proposal, it is not approved (tally it first), its action has
                no executor, or somebody resolved it by hand while it ran.
            OperationalError: the executor cannot begin; nothing was begun.
            StoreError: the intent could not be sealed, and nothing was begun; or the result
                could not, and the execution stands as ``intent``.
        """
        proposal = self._council.get_proposal(proposal_id)
        if proposal.begun is not None:
            return _result(proposal, begun=False)
        executor = self._executor_of(proposal)
        executor.check()
        intent = self._council.begin_execution(
            proposal_id,
            executor.name,
            timeout=executor.timeout,
            by=by,
            signature=(
                None
                if by is None or signer is None
                else sign_execution(signer, proposal, by, executor.name)
            ),
            digest=digest,
        )
        if intent is None:
            return _result(self._council.get_proposal(proposal_id), begun=False)
        try:
            report = _carry_out(executor, _order(intent, executor.timeout))
        except KeyboardInterrupt:
            # Unknown at once: who interrupted it can find out what it did, and need not wait
            # until its result is overdue. Where even that cannot be sealed, it is an intent.
            with suppress(QuorateError):
                self._council.finish_execution(
                    proposal_id, intent.token, Execution.UNKNOWN, {"why": "it was interrupted"}
                )
            raise
        done = self._council.finish_execution(
            proposal_id, intent.token, report.outcome, sealable(report.detail)
        )
        return _result(done, begun=True)

    def _executor_of(self, proposal: Proposal) -> Executor:
        action = proposal.subject.action
        if action not in self._executors:
            known = ", ".join(sorted(self._executors)) or "none"
            raise UsageError(
                f"no executor is registered for {action!r} (registered: {known}); nothing was "
                f"begun on proposal {proposal.id}, register one"
            )
        return self._executors[action]


def _carry_out(executor: Executor, order: Order) -> Report:
    """Have an order carried out; whatever is raised leaves something to be sealed."""
    report: Any
    try:
        report = executor.carry_out(order)
    except NotExecutedError as error:
        return Report(Execution.FAILED, {"why": shortened(str(error))})
    # Foreign code: how far it got before it raised, or left by sys.exit, nobody knows.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        return Report(Execution.UNKNOWN, {"why": shortened(f"{type(error).__name__}: {error}")})
    if isinstance(report, Report):
        return report
    kind = type(report).__name__
    return Report(Execution.UNKNOWN, {"why": f"the executor gave a {kind}, which is no Report"})


def _order(intent: Intent, timeout: float) -> Order:
    proposal = intent.proposal
    subject = proposal.subject
    return Order(
        council_id=subject.council_id,
        proposal_id=subject.id,
        digest=subject.digest,
        action=subject.action,
        critical=subject.critical,
        target=subject.target,
        evidence_json=proposal.evidence_json,
        token=intent.token,
        certificate=intent.certificate,
        intent=intent.receipt,
        # Whoever else reads it goes by the system's clock.
        deadline=system_clock() + int(timeout * _MICROSECONDS),
    )


def _result(proposal: Proposal, *, begun: bool) -> Result:
    detail = None if proposal.outcome is None else proposal.outcome.get("detail")
    return Result(proposal.id, begun, proposal.execution, detail)
