"""The council itself: propose, vote, tally, execute; every step sealed before it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from quorate.core.canonical import canonical
from quorate.core.canonical import digest as digest_of
from quorate.core.errors import StoreError, UsageError
from quorate.core.exact import Number
from quorate.core.identity import Ed25519Verifier
from quorate.council import drafts
from quorate.council.ballots import read_keys
from quorate.council.book import Book, Change
from quorate.council.bounds import MAX_ATTEMPTS
from quorate.council.changes import electorate_evidence
from quorate.council.events import KIND, check_reason, read_value
from quorate.council.executing import Executing, after
from quorate.council.rules.config import ConsensusConfig
from quorate.council.rules.electorate import Electorate, check_blocking, weights_of
from quorate.council.rules.proposal import Request, State, TallyResult, Vote
from quorate.council.rules.values import (
    ProposalAction,
    VoteValue,
    actions_of,
    check_id,
    registered,
)
from quorate.council.seat import Seat
from quorate.ledger import Ledger
from quorate.ledger.appending import Clock
from quorate.ledger.receipts import Receipt


class ConsensusProtocol(Executing):
    """Byzantine-fault-tolerant voting for safety decisions, sealed in a ledger.

    Any number of processes may each have one over the same ledger: they are one council. Any
    number of threads may use one.
    """

    def __init__(  # noqa: PLR0913 - the published signature, and one argument for each choice
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
        follow_ledger_time: bool = False,
    ) -> None:
        """Open a council, or take a seat in the one that is there.

        Args:
            voter_ids: 1 to ``limits.MAX_REPLICAS`` different ids.
            weights: voter -> weight above 0; 1 for those left out.
            config: thresholds and limits; the defaults if ``None``.
            ledger: where it is sealed; one in memory if ``None``.
            clock: gives whole microseconds since 1970; the ledger's if ``None``, and the
                system's without a ledger.
            keys: voter -> public key; a voter with one has to sign what it says.
            council_id: which council of the ledger; ``"council"`` if ``None``.
            actions: further actions, name -> whether it is critical.
            follow_ledger_time: write even where the ledger's time is far ahead of the clock,
                by the ledger's time. Proposals end by that time then.

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
        self._seat = Seat(ledger, council_id, clock, follow=follow_ledger_time)
        self._seat.command(lambda book, at: drafts.opened(book, at, opening), _nothing)

    @classmethod
    def reopen(
        cls,
        ledger: Ledger,
        *,
        council_id: str | None = None,
        clock: Clock | None = None,
        follow_ledger_time: bool = False,
    ) -> Self:
        """Take a seat in a council that is there, with whatever it was opened with.

        A ledger opened for reading will do, for all that seals nothing.

        Raises:
            UsageError: there is no such council in the ledger.
            VerificationError: it does not check out.
        """
        self = cls.__new__(cls)
        self._seat = Seat(ledger, council_id, clock, follow=follow_ledger_time)
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

    def now(self) -> int:
        """The time by which the council would act now, in microseconds since 1970.

        This is the clock's, or the last event's where that is later.
        """
        with self._seat.lock:
            self._seat.refresh()
            return self._seat.now()

    # -- proposing and voting

    def request(
        self,
        proposer_id: str,
        action: ProposalAction | str,
        target: str | None = None,
        evidence: Any = None,
        expiry_seconds: Number | None = None,
    ) -> Request:
        """What :meth:`propose` would ask for, to be signed by :func:`sign_proposal`.

        Raises:
            UsageError: an argument cannot be used.
        """
        asked = drafts.Asked(proposer_id, action, target, canonical(evidence), expiry_seconds)
        with self._seat.lock:
            self._seat.refresh()
            book = self._seat.book
            return book.request(drafts.subject(book, self._seat.now(), asked))

    def propose(
        self,
        proposer_id: str,
        action: ProposalAction | str,
        target: str | None = None,
        evidence: Any = None,
        expiry_seconds: Number | None = None,
        *,
        key: str | None = None,
        signature: str | None = None,
    ) -> str:
        """Create a new proposal.

        Args:
            proposer_id: a registered voter.
            action: well known or registered, in any spelling.
            target: what it is done to; to quarantine, terminate, release and restrict needs
                one. A voter of that id is recused.
            evidence: any JSON value, at most ``limits.MAX_PAYLOAD_BYTES``.
            expiry_seconds: how long votes count, 0 for ever; if ``None``, the council's
                ``default_expiry_seconds``, which is for ever unless it was opened with another.
                From the microsecond at which it ends, none does.
            key: the proposer's own name for it, 1 to 256 characters. The same proposal again
                under the same key is no second one, whatever became of the first: so who does
                not know whether a proposal was sealed may repeat it.
            signature: by :func:`sign_proposal`, of :meth:`request` with the same arguments;
                needed of a voter with a registered key.

        Returns:
            Id of the proposal.

        Raises:
            UsageError: an argument cannot be used, the evidence is no canonical JSON, too
                many proposals are open, this one could never pass, or the key stands for
                another. Nothing was sealed.
            MisbehaviourError: the proposer is no voter.
            UnsignedBallotError: a voter with a key came without a signature.
            BadSignatureError: the signature is not over this request.
        """
        self.settle()
        # Its own copy, so that nobody changes the evidence while it is sealed.
        kept = canonical(evidence)

        asked = drafts.Asked(proposer_id, action, target, kept, expiry_seconds)

        def draft(book: Book, at: int) -> dict[str, Any]:
            return drafts.proposed(book, at, asked, signature)

        if key is not None:
            return self._propose_once(proposer_id, key, draft)
        return self._seat.command(draft, lambda change, _: after(change).id)

    def _propose_once(
        self, proposer_id: str, key: str, draft: Callable[[Book, int], dict[str, Any]]
    ) -> str:
        """Seal a proposal under the ledger's key, or find the one that is sealed under it."""
        seat = self._seat
        with seat.lock:
            for _ in range(MAX_ATTEMPTS):
                size = seat.refresh()
                body = draft(seat.book, seat.now())
                name = _key_of(seat.book, proposer_id, key)
                known = self.ledger.by_key(name)
                if known is not None:
                    return _same(seat.book, known, body, key)
                change = seat.book.next(body)
                try:
                    if seat.seal(change, size, key=name) is not None:
                        return after(change).id
                except UsageError:
                    # Sealed by another process meanwhile, under this very key.
                    if self.ledger.by_key(name) is None:
                        raise
        raise StoreError(
            f"others wrote to the ledger first, {MAX_ATTEMPTS} times in a row; try again when it "
            "is less busy"
        )

    def propose_electorate(
        self,
        proposer_id: str,
        voter_ids: Iterable[str],
        weights: Mapping[str, Number] | None = None,
        *,
        keys: Mapping[str, str | Ed25519Verifier] | None = None,
        drop_keys: Iterable[str] = (),
        expiry_seconds: Number | None = None,
        key: str | None = None,
        signature: str | None = None,
    ) -> str:
        """Propose another electorate: a critical proposal, which ``execute`` carries out.

        Open proposals keep the electorate they were opened with. ``voter_ids`` to
        ``drop_keys`` are as of :func:`electorate_evidence`, whose answer is the evidence.

        Raises:
            UsageError: it is no electorate, keys go that ``drop_keys`` does not name, or
                otherwise as :meth:`propose`.
        """
        return self.propose(
            proposer_id,
            ProposalAction.CHANGE_ELECTORATE,
            None,
            electorate_evidence(voter_ids, weights, keys=keys, drop_keys=drop_keys),
            expiry_seconds,
            key=key,
            signature=signature,
        )

    def vote(
        self,
        proposal_id: str,
        voter_id: str,
        value: VoteValue | str,
        reason: str | None = None,
        *,
        signature: str | None = None,
        digest: str | None = None,
    ) -> Vote:
        """Cast a vote on a proposal. The same vote again changes nothing.

        Args:
            proposal_id: which.
            voter_id: who; must be of the electorate the proposal was opened with.
            value: approve, reject or abstain.
            reason: at most ``bounds.MAX_REASON_LENGTH`` characters.
            signature: by :func:`sign_vote`; needed of a voter with a registered key.
            digest: of the proposal as it was read, or its first digits, 8 at least: another
                proposal of that id is refused.

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

        def draft(book: Book, at: int) -> dict[str, Any]:
            drafts.meant(book.proposal(proposal_id), digest)
            return drafts.voted(book, at, proposal_id, voter_id, said, why, signature)

        return self._seat.command(
            draft,
            lambda change, _: after(change).votes[voter_id],
        )

    def cancel(
        self,
        proposal_id: str,
        voter_id: str,
        reason: str | None = None,
        *,
        signature: str | None = None,
        digest: str | None = None,
    ) -> bool:
        """Call a proposal off: the proposer alone before any vote, else a quorum of voters.

        Enough are as many, and of as much weight, as a critical action takes to approve. What
        is approved can be called off by them until its execution is begun.

        Args:
            proposal_id: which.
            voter_id: who calls.
            reason: at most ``bounds.MAX_REASON_LENGTH`` characters.
            signature: by :func:`sign_cancellation`; needed of a voter with a key.
            digest: as of :meth:`vote`.

        Returns:
            Whether the proposal is cancelled now; else the call is kept, and counts.

        Raises:
            UsageError: no such proposal, it is over, or the voter called already.
            MisbehaviourError: as :meth:`vote`.
        """
        why = check_reason(reason)

        def draft(book: Book, at: int) -> dict[str, Any]:
            drafts.meant(book.proposal(proposal_id), digest)
            return drafts.cancel(book, at, proposal_id, voter_id, why, signature)

        return self._seat.command(
            draft,
            lambda change, _: after(change).state is State.CANCELLED,
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


def _key_of(book: Book, proposer_id: str, key: str) -> str:
    """The ledger's key: of this council and proposer alone, for all share the ledger's keys."""
    return digest_of({
        "kind": "quorate/council-proposal-key/v1",
        "genesis": book.genesis,
        "proposer": proposer_id,
        "key": check_id(key, "the key"),
    })  # fmt: skip


def _same(book: Book, known: Receipt, body: Mapping[str, Any], key: str) -> str:
    """Id of the proposal that is sealed under a key.

    Raises:
        UsageError: it is another than the one that is proposed now.
    """
    sealed = known.payload if known.kind == KIND and isinstance(known.payload, dict) else {}
    found = book.proposals.get(str(sealed.get("proposal")))
    if found is None or sealed.get("event") != "proposed" or sealed.get("digest") != found.digest:
        raise UsageError(f"the key {key!r} stands for entry {known.seq}, which proposes nothing")
    subject, ends = found.subject, body["expires_at"]
    asked = None if ends is None else ends - body["at"]
    given = None if subject.expires_at is None else subject.expires_at - subject.opened_at
    differ = [
        name
        for name, before, now in (
            ("action", subject.action, body["action"]),
            ("target", subject.target, body["target"]),
            ("evidence", subject.evidence_digest, digest_of(body["evidence"])),
            ("time to vote", given, asked),
        )
        if before != now
    ]
    if differ:
        raise UsageError(
            f"the key {key!r} stands for proposal {found.id}, which has another "
            f"{' and another '.join(differ)}; give another proposal a key of its own"
        )
    return found.id


def _nothing(_change: Change, _receipt: Receipt) -> None:
    return None


def _result(change: Change, _receipt: Receipt) -> TallyResult:
    result = after(change).result
    if result is None:
        raise UsageError("the event decides no proposal")
    return result
