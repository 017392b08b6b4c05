"""What one can see of a council without sealing anything."""

from __future__ import annotations

from typing import Any

from quorate.core.errors import UsageError
from quorate.core.exact import Number
from quorate.council import insight, telling
from quorate.council.events import AuditEntry
from quorate.council.insight import Bloc, Study
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.proposal import Proposal, TallyResult, Vote
from quorate.council.rules.tally import is_expired, tally
from quorate.council.rules.values import ProposalStatus, check_id
from quorate.council.seat import Seat
from quorate.ledger import Ledger
from quorate.ledger.receipts import Receipt


class Gallery:
    """A seat from which one only looks. Every look first reads what was sealed since."""

    _seat: Seat

    # -- what it is

    @property
    def council_id(self) -> str:
        """Which council of its ledger it is."""
        return self._seat.book.council_id

    @property
    def ledger(self) -> Ledger:
        """Where it is sealed; one in memory is closed when the council goes."""
        return self._seat.ledger

    @property
    def config(self) -> ConsensusConfig:
        """Thresholds and limits."""
        return self._seat.book.constitution()[1]

    @property
    def electorate(self) -> Electorate:
        """Voters, weights and keys of the next proposal."""
        with self._seat.lock:
            self._seat.refresh()
            return self._seat.book.constitution()[0]

    @property
    def voter_ids(self) -> tuple[str, ...]:
        """Ids of the registered voters, sorted."""
        return self.electorate.voters

    @property
    def voter_count(self) -> int:
        """How many voters are registered."""
        return self.electorate.quorum.n

    @property
    def max_byzantine_faults(self) -> int:
        """How many of them may lie: floor((n - 1) / 3), if they fail independently."""
        return self.electorate.quorum.faults

    @property
    def bft_quorum(self) -> int:
        """Approvals that a critical action takes: (n + f) // 2 + 1, which is 2f + 1 at n = 3f + 1.

        For every other n, 2f + 1 would be unsafe.
        """
        return self.electorate.quorum.size

    # -- looking

    def standing(self, proposal_id: str) -> TallyResult:
        """The tally as it stands now; seals nothing, so a ledger opened for reading will do."""
        with self._seat.lock:
            self._seat.refresh()
            return tally(self._seat.book.proposal(proposal_id), self._seat.now())

    def certificate(self, proposal_id: str) -> Receipt:
        """Receipt of the sealed decision, which holds all that it was computed from.

        Raises:
            UsageError: no such proposal, or no decision of it is sealed.
        """
        with self._seat.lock:
            self._seat.refresh()
            seq = self._seat.book.certificates.get(self._seat.book.proposal(proposal_id).id)
        if seq is None:
            raise UsageError(f"no decision on proposal {proposal_id} is sealed; tally it first")
        return self.ledger.get(seq)

    def get_proposal(self, proposal_id: str) -> Proposal:
        """The proposal as it stands; it cannot be changed, and does not follow later events.

        Raises:
            UsageError: there is none of that id.
        """
        with self._seat.lock:
            self._seat.refresh()
            return self._seat.book.proposal(proposal_id)

    def list_proposals(self, status: ProposalStatus | str | None = None) -> list[Proposal]:
        """All proposals in the order in which they were made, or those of one status.

        Raises:
            UsageError: an unknown status.
        """
        if status is not None and status not in list(ProposalStatus):
            words = ", ".join(ProposalStatus)
            raise UsageError(f"the status is {status!r}; give one of {words}")
        return [p for p in self._proposals() if status is None or p.status == status]

    def get_voter_history(self, voter_id: str) -> list[tuple[str, Vote]]:
        """All votes that stand of a voter: pairs of the proposal's id and the vote, in order.

        Of one who is no voter there are none.

        Raises:
            UsageError: it is no id.
        """
        id_ = check_id(voter_id, "a voter's id")
        found = ((p.id, p.votes.get(id_)) for p in self._proposals())
        return [(id_, vote) for id_, vote in found if vote is not None]

    def voter_agreement_matrix(self) -> dict[str, dict[str, float | None]]:
        """How often two voters said the same where both approved or rejected, 0 to 1.

        ``None`` where they share no vote. Of the voters now registered.
        """
        voters = self.voter_ids
        return insight.matrix(voters, insight.agreements(voters, self._proposals()))

    def detect_voting_blocs(self, threshold: Number = 0.9, min_shared: int = 3) -> list[Bloc]:
        """Groups of voters of whom every two agree at least so often.

        Args:
            threshold: least rate of agreement, above 0 and at most 1.
            min_shared: fewest shared votes of any two, at least 1.

        Raises:
            UsageError: an argument out of range.
        """
        voters = self.voter_ids
        found = insight.agreements(voters, self._proposals())
        return insight.blocs(voters, found, threshold, min_shared)

    def study(
        self, threshold: Number = 0.9, min_shared: int = 3, *, probabilities: bool = True
    ) -> Study:
        """How the voters now registered vote: blocs and how likely they are, who takes part.

        Args:
            threshold: as of :meth:`detect_voting_blocs`.
            min_shared: likewise, and fewest decided votes before one is said always to lose.
            probabilities: say how likely each bloc is; needs ``quorate[insight]``.

        Raises:
            UsageError: an argument out of range.
            OperationalError: a library is not installed that the probabilities need.
        """
        return insight.study(
            self.voter_ids, self._proposals(), threshold, min_shared, probabilities=probabilities
        )

    @property
    def audit_log(self) -> list[AuditEntry]:
        """Every event in order, read from the ledger; :meth:`verify_audit_chain` checks them."""
        self._seat.refresh()
        return [AuditEntry.of(receipt.payload, receipt.seq) for receipt in self._seat.bodies()]

    def verify_audit_chain(self, checkpoint: str | None = None) -> bool:
        """Verify the ledger's hash chain and signatures, and replay every event.

        What this process has seen has to be there still. What was cut off before that shows
        only against a ``checkpoint`` kept elsewhere.

        Returns:
            ``True``; there is no other answer.

        Raises:
            VerificationError: names the first entry that does not check out.
            UsageError: the ledger knows no key to verify with.
        """
        self._seat.verify(checkpoint)
        return True

    def summary(self) -> dict[str, Any]:
        """The council in short, as JSON."""
        with self._seat.lock:
            self._seat.refresh()
            book = self._seat.book
            return telling.summary(book, self._seat.now())

    def render(self) -> str:
        """The council for a person: who votes, what is open, what it needs, how long is left."""
        with self._seat.lock:
            self._seat.refresh()
            book = self._seat.book
            return telling.render(book, self._seat.now())

    def _proposals(self) -> list[Proposal]:
        with self._seat.lock:
            self._seat.refresh()
            return list(self._seat.book.proposals.values())

    def _expired(self) -> list[Proposal]:
        with self._seat.lock:
            self._seat.refresh()
            now, book = self._seat.now(), self._seat.book
            found = [book.proposals[id_] for id_ in book.open]
            return [proposal for proposal in found if is_expired(proposal, now)]
