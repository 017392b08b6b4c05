"""The council itself: propose, vote, tally, execute; every step sealed before it counts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from quorate.core.canonical import canonical
from quorate.core.errors import UsageError
from quorate.core.exact import Number
from quorate.core.identity import Ed25519Verifier
from quorate.council import drafts
from quorate.council.ballots import read_keys
from quorate.council.book import Book, Change
from quorate.council.events import check_reason, read_value
from quorate.council.gallery import Gallery
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import Electorate, check_blocking, weights_of
from quorate.council.rules.proposal import Proposal, State, TallyResult, Vote
from quorate.council.rules.values import ProposalAction, VoteValue, actions_of, registered
from quorate.council.seat import Seat
from quorate.ledger import Ledger
from quorate.ledger.appending import Clock
from quorate.ledger.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Intent:
    """An execution that this caller, and no other, has begun.

    Attributes:
        proposal: what was approved, and by whom.
        token: names this execution; only who has it reports the result.
        certificate: receipt of the sealed decision, with all the votes behind it.
    """

    proposal: Proposal
    token: str
    certificate: Receipt


class ConsensusProtocol(Gallery):
    """Byzantine-fault-tolerant voting for safety decisions, sealed in a ledger.

    Any number of processes may each have one over the same ledger: they are one council. Any
    number of threads may use one.
    """

    def __init__(
        self,
        voter_ids: Iterable[str],
        weights: Mapping[str, Number] | None = None,
        config: ConsensusConfig | None = None,
        *,
        ledger: Ledger | None = None,
        clock: Clock | None = None,
        keys: Mapping[str, str | Ed25519Verifier] | None = None,
        council_id: str | None = None,
        actions: Mapping[str, bool] | None = None,
    ) -> None:
        """Open a council, or take a seat in the one that is there.

        Args:
            voter_ids: 1 to ``limits.MAX_REPLICAS`` different ids.
            weights: voter -> weight above 0; 1 for those left out.
            config: thresholds and limits; the defaults if ``None``.
            ledger: where it is sealed; one in memory if ``None``.
            clock: gives whole microseconds since 1970; the system's if ``None``.
            keys: voter -> public key; a voter with one has to sign its votes.
            council_id: which council of the ledger; ``"council"`` if ``None``.
            actions: further actions, name -> whether it is critical.

        Raises:
            UsageError: something cannot be used; the f heaviest voters could block every
                critical proposal; or the council was opened with something else.
            VerificationError: what the ledger has of it does not check out; names the entry.
            StoreError: the ledger cannot be read or written.
        """
        own = ConsensusConfig() if config is None else config
        if not isinstance(own, ConsensusConfig):
            raise UsageError(f"config is a {type(config).__name__}; give a ConsensusConfig")
        electorate = Electorate(weights_of(voter_ids, weights), read_keys(keys))
        check_blocking(electorate, own)
        opening = {
            **electorate.to_dict(),
            "config": own.to_dict(),
            "actions": registered(actions_of(actions)),
        }
        self._seat = Seat(ledger, council_id, clock)
        self._seat.command(lambda book, at: drafts.opened(book, at, opening), _nothing)

    @classmethod
    def reopen(
        cls, ledger: Ledger, *, council_id: str | None = None, clock: Clock | None = None
    ) -> Self:
        """Take a seat in a council that is there, with whatever it was opened with.

        A ledger opened for reading will do, for all that seals nothing.

        Raises:
            UsageError: there is no such council in the ledger.
            VerificationError: it does not check out.
        """
        self = cls.__new__(cls)
        self._seat = Seat(ledger, council_id, clock)
        self._seat.refresh()
        if self._seat.book.opening is None:
            raise UsageError(
                f"there is no council {self._seat.book.council_id!r} in this ledger; open one "
                "with ConsensusProtocol(voter_ids, ledger=…)"
            )
        return self

    @property
    def actions(self) -> Mapping[str, bool]:
        """All actions of the council: normal name -> whether it is critical."""
        return self._seat.book.constitution()[2]

    # -- proposing and voting

    def propose(
        self,
        proposer_id: str,
        action: ProposalAction | str,
        target: str | None = None,
        evidence: Any = None,
        expiry_seconds: Number | None = None,
    ) -> str:
        """Create a new proposal.

        Args:
            proposer_id: a registered voter.
            action: well known or registered, in any spelling.
            target: what it is done to. A voter of exactly that id is recused.
            evidence: any JSON value, at most ``limits.MAX_PAYLOAD_BYTES``.
            expiry_seconds: how long votes count, 0 for ever; the council's default if
                ``None``. From the microsecond at which it ends, none does.

        Returns:
            Id of the proposal.

        Raises:
            UsageError: an argument cannot be used, the evidence is no canonical JSON, too
                many proposals are open, or this one could never pass. Nothing was sealed.
            MisbehaviourError: the proposer is no voter.
        """
        self.settle()
        # Its own copy, so that nobody changes the evidence while it is sealed.
        kept = canonical(evidence)
        return self._seat.command(
            lambda book, at: drafts.proposed(
                book, at, proposer_id, action, target, kept, expiry_seconds
            ),
            lambda change, _: _after(change).id,
        )

    def propose_electorate(
        self,
        proposer_id: str,
        voter_ids: Iterable[str],
        weights: Mapping[str, Number] | None = None,
        *,
        keys: Mapping[str, str | Ed25519Verifier] | None = None,
        expiry_seconds: Number | None = None,
    ) -> str:
        """Propose another electorate: a critical proposal, which ``execute`` carries out.

        Open proposals keep the electorate they were opened with.

        Raises:
            UsageError: it is no electorate, or otherwise as :meth:`propose`.
        """
        electorate = Electorate(weights_of(voter_ids, weights), read_keys(keys))
        return self.propose(
            proposer_id,
            ProposalAction.CHANGE_ELECTORATE,
            None,
            electorate.to_dict(),
            expiry_seconds,
        )

    def vote(
        self,
        proposal_id: str,
        voter_id: str,
        value: VoteValue | str,
        reason: str | None = None,
        *,
        signature: str | None = None,
    ) -> Vote:
        """Cast a vote on a proposal. The same vote again changes nothing.

        Args:
            proposal_id: which.
            voter_id: who; must be of the electorate the proposal was opened with.
            value: approve, reject or abstain.
            reason: at most ``bounds.MAX_REASON_LENGTH`` characters.
            signature: by :func:`sign_vote`; needed of a voter with a registered key.

        Returns:
            The vote that stands, sealed.

        Raises:
            UsageError: no such proposal, it is not open, its time is up, or an argument
                cannot be used.
            MisbehaviourError: a stranger, the target itself, or a second and different vote.
            UnsignedBallotError: a voter with a key came without a signature.
            BadSignatureError: the signature is not over this vote on this proposal.
        """
        said, why = read_value(value), check_reason(reason)
        return self._seat.command(
            lambda book, at: drafts.voted(book, at, proposal_id, voter_id, said, why, signature),
            lambda change, _: _after(change).votes[voter_id],
        )

    def cancel(
        self,
        proposal_id: str,
        voter_id: str,
        reason: str | None = None,
        *,
        signature: str | None = None,
    ) -> bool:
        """Call a proposal off: the proposer alone before any vote, else a quorum of voters.

        Enough are as many, and of as much weight, as a critical action takes to approve.

        Args:
            proposal_id: which.
            voter_id: who calls.
            reason: at most ``bounds.MAX_REASON_LENGTH`` characters.
            signature: by :func:`sign_cancellation`; needed of a voter with a key.

        Returns:
            Whether the proposal is cancelled now; else the call is kept, and counts.

        Raises:
            UsageError: no such proposal, it is not open, or the voter called already.
            MisbehaviourError: as :meth:`vote`.
        """
        why = check_reason(reason)
        return self._seat.command(
            lambda book, at: drafts.cancel(book, at, proposal_id, voter_id, why, signature),
            lambda change, _: _after(change).state is State.CANCELLED,
        )

    # -- deciding

    def tally(self, proposal_id: str) -> TallyResult:
        """Tally the votes, and seal the decision if it is certain or time is up.

        Returns:
            The result; of a decided proposal always the one that was sealed.

        Raises:
            UsageError: no such proposal.
        """
        return self._seat.command(lambda book, at: drafts.tallied(book, at, proposal_id), _result)

    def close(self, proposal_id: str) -> TallyResult:
        """Seal a decision that is certain already; nothing else is ever cut short.

        Raises:
            UsageError: votes still to come could change it; wait, or cancel by a quorum.
        """
        return self._seat.command(lambda book, at: drafts.closed(book, at, proposal_id), _result)

    def settle(self) -> list[TallyResult]:
        """Seal the decision on every open proposal whose time is up.

        Returns:
            What they came to, in the order in which they were proposed.
        """
        return [self.tally(proposal.id) for proposal in self._expired()]

    # -- executing

    def execute(self, proposal_id: str) -> bool:
        """Mark an approved proposal as executed.

        An electorate that was voted for takes effect by this.

        Returns:
            ``True`` to exactly one caller among all processes, ever; ``False`` if it is not
            approved (tally it first), or its execution was begun before.

        Raises:
            UsageError: no such proposal, or it changes an electorate that is no longer the
                council's.
        """
        token = os.urandom(16).hex()
        return self._seat.command(
            lambda book, at: drafts.executed(book, at, proposal_id, token),
            lambda _change, _receipt: True,
        )

    def begin_execution(self, proposal_id: str, executor: str) -> Intent | None:
        """Seal that the execution is about to begin; only then do it, then finish it.

        Whoever dies in between leaves it for :meth:`resolve`: it is never begun again.

        Args:
            proposal_id: an approved one.
            executor: what will run it, 1 to 256 characters.

        Returns:
            What the executor needs; ``None`` if somebody else has begun.

        Raises:
            UsageError: no such proposal, it is not approved, or it changes the electorate.
        """
        token = os.urandom(16).hex()

        certificates: list[Receipt] = []

        def draft(book: Book, at: int) -> dict[str, Any]:
            body = drafts.intent(book, at, proposal_id, token, executor)
            book.next(body)
            # Read before it is sealed: what fails here has begun nothing.
            certificates.append(self.ledger.get(book.certificates[proposal_id]))
            return body

        return self._seat.command(
            draft, lambda change, _: Intent(_after(change), token, certificates[-1])
        )

    def finish_execution(
        self, proposal_id: str, token: str, outcome: str, detail: Any = None
    ) -> Proposal:
        """Seal the result of an execution that this caller began.

        Args:
            proposal_id: which.
            token: of the :class:`Intent`.
            outcome: ``executed``, ``failed``, or ``unknown`` if that cannot be told; text or
                :class:`Execution`.
            detail: any JSON value of at most ``bounds.MAX_DETAIL_BYTES``.

        Raises:
            UsageError: another began it, it has a result, or an argument cannot be used.
        """
        return self._seat.command(
            lambda book, at: drafts.result(book, at, proposal_id, token, outcome, detail),
            lambda change, _: _after(change),
        )

    def resolve(self, proposal_id: str, outcome: str, *, reason: str, by: str) -> Proposal:
        """Seal by hand what became of an execution of which no result is known.

        Args:
            proposal_id: one whose execution is ``intent`` or ``unknown``.
            outcome: ``executed`` or ``failed``.
            reason: how that was found out, 1 to ``bounds.MAX_REASON_LENGTH`` characters.
            by: who says so.

        Raises:
            UsageError: nothing is to be resolved, or an argument cannot be used.
        """
        return self._seat.command(
            lambda book, at: drafts.resolved(book, at, proposal_id, outcome, reason, by),
            lambda change, _: _after(change),
        )


def _nothing(_change: Change, _receipt: Receipt) -> None:
    return None


def _after(change: Change) -> Proposal:
    if change.proposal is None:
        raise UsageError("the event is about no proposal")
    return change.proposal


def _result(change: Change, _receipt: Receipt) -> TallyResult:
    result = _after(change).result
    if result is None:
        raise UsageError("the event decides no proposal")
    return result
