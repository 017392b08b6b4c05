"""From an approval to what became of it: begun once, told by who began it, or resolved."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from quorate.core.errors import UsageError
from quorate.core.exact import Number, exact
from quorate.council import drafts
from quorate.council.book import Book, Change
from quorate.council.bounds import EXECUTION_SECONDS
from quorate.council.gallery import Gallery
from quorate.council.rules.proposal import Proposal
from quorate.ledger.receipts import Receipt


@dataclass(frozen=True, slots=True)
class Intent:
    """An execution that this caller, and no other, has begun.

    Attributes:
        proposal: what was approved, and by whom.
        token: names this execution; only who has it reports the result. Nobody else knows it
            until then.
        certificate: receipt of the sealed decision, with all the votes behind it.
        receipt: of the sealed intent, which names the token by its SHA-256.
    """

    proposal: Proposal
    token: str
    certificate: Receipt
    receipt: Receipt


class Executing(Gallery):
    """A seat from which what was approved is carried out."""

    def execute(
        self,
        proposal_id: str,
        *,
        by: str | None = None,
        signature: str | None = None,
        digest: str | None = None,
    ) -> bool:
        """Mark an approved proposal as executed.

        An electorate that was voted for takes effect by this.

        Args:
            proposal_id: which.
            by: the voter that marks it; ``None`` says of nobody that it did.
            signature: by :func:`sign_execution`; needed where ``by`` has a key.
            digest: as of :meth:`vote`.

        Returns:
            ``True`` to exactly one caller among all processes, ever; ``False`` if it is not
            approved (tally it first), or its execution was begun before.

        Raises:
            UsageError: no such proposal, its approval has lapsed, it changes an electorate that
                is no longer the council's, or nobody is named where only voters execute.
            MisbehaviourError: as :meth:`vote`.
        """

        def draft(book: Book, at: int) -> dict[str, Any]:
            drafts.meant(book.proposal(proposal_id), digest)
            return drafts.executed(book, at, proposal_id, by, signature)

        return self._seat.command(draft, lambda _change, _receipt: True)

    def begin_execution(
        self,
        proposal_id: str,
        executor: str,
        *,
        timeout: Number = EXECUTION_SECONDS,
        by: str | None = None,
        signature: str | None = None,
        digest: str | None = None,
    ) -> Intent | None:
        """Seal that the execution is about to begin; only then do it, then finish it.

        Whoever dies in between leaves it for :meth:`resolve`: it is never begun again.

        Args:
            proposal_id: an approved one.
            executor: what will run it, 1 to 256 characters.
            timeout: seconds until its result is due; before that nobody resolves it by hand.
                0 to ``bounds.MAX_EXECUTION_SECONDS``.
            by: the voter that begins it; ``None`` says of nobody that it did.
            signature: by :func:`sign_execution`; needed where ``by`` has a key.
            digest: as of :meth:`vote`.

        Returns:
            What the executor needs; ``None`` if somebody else has begun.

        Raises:
            UsageError: no such proposal, it is not approved, its approval has lapsed, it
                changes the electorate, or nobody is named where only voters execute.
            MisbehaviourError: as :meth:`vote`.
        """
        seconds = exact(timeout, "timeout")
        token = os.urandom(16).hex()

        certificates: list[Receipt] = []

        def draft(book: Book, at: int) -> dict[str, Any]:
            drafts.meant(book.proposal(proposal_id), digest)
            body = drafts.intent(
                book,
                at,
                proposal_id,
                token,
                executor,
                seconds=seconds,
                by=by,
                signature=signature,
            )
            book.next(body)
            # Read before it is sealed: what fails here has begun nothing.
            certificates.append(self.ledger.get(book.certificates[proposal_id]))
            return body

        return self._seat.command(
            draft,
            lambda change, receipt: Intent(after(change), token, certificates[-1], receipt),
        )

    def finish_execution(
        self, proposal_id: str, token: str, outcome: str, detail: Any = None
    ) -> Proposal:
        """Seal the result of an execution that this caller began.

        It is taken even where somebody resolved it by hand meanwhile; where it says otherwise,
        it is unknown what happened, and somebody has to resolve it knowing both.

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
            lambda change, _: after(change),
        )

    def resolve(
        self,
        proposal_id: str,
        outcome: str,
        *,
        reason: str,
        by: str,
        signature: str | None = None,
    ) -> Proposal:
        """Seal by hand what became of an execution of which no result is known.

        Args:
            proposal_id: one whose execution is ``intent`` or ``unknown``.
            outcome: ``executed`` or ``failed``.
            reason: how that was found out, 1 to ``bounds.MAX_REASON_LENGTH`` characters.
            by: who says so: a registered voter.
            signature: by :func:`sign_resolution`; needed of a voter with a key.

        Raises:
            UsageError: nothing is to be resolved, its result is not due yet, or an argument
                cannot be used.
            MisbehaviourError: as :meth:`vote`.
        """
        return self._seat.command(
            lambda book, at: drafts.resolved(
                book, at, proposal_id, outcome, reason=reason, by=by, signature=signature
            ),
            lambda change, _: after(change),
        )


def after(change: Change) -> Proposal:
    """The proposal after an event about one."""
    if change.proposal is None:
        raise UsageError("the event is about no proposal")
    return change.proposal
