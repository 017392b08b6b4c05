"""The ledger of rounds: opened with a roster, voted in by members, concluded once.

Theory of operation. Each session numbers its rounds from 1. A round is open until it is
concluded or abandoned; concluding closes it, seals it in the record if there is one, and
only then gives the verdict out, so nothing can be dispatched on a round that is not
sealed. If the sealing fails the round stays closed, no verdict is given out, and
:meth:`BFTLedger.conclude` may be called again.

Memory is bounded. The latest ``keep_rounds`` concluded rounds are kept. At most
``max_open`` rounds are open. A session's counter is kept as long as any of its rounds
is, and beyond that for the ``keep_sessions`` sessions used last; a session forgotten
starts again at round 1, as it does in a new process.

Any number of threads may use one ledger.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from quorate.core import limits
from quorate.core.calls import TIMEOUT
from quorate.core.canonical import digest
from quorate.core.errors import MisbehaviourError, UsageError, UsageTypeError
from quorate.routing.answers import Proposal, check_id, proposals_of, read_answer
from quorate.routing.decision import Absentee
from quorate.routing.rules import Ballot, Round, Verdict, cast_all, verdict
from quorate.routing.sealed import KIND, body_of


class Record(Protocol):
    """Where concluded rounds are sealed; a ``quorate.Ledger`` is one."""

    def append(
        self,
        kind: str,
        body: dict[str, Any],
        *,
        trace_id: str | None = None,
        parent: Any = None,
        key: str | None = None,
    ) -> Any:
        """Seal ``body`` durably and give the receipt, or raise."""


@dataclass(frozen=True, slots=True)
class Concluded:
    """A round that is over.

    Attributes:
        round: as it stood when it was closed.
        verdict: what it came to.
        said: digest -> proposal, for those voted for that could not win.
        absent: members without a vote, sorted by id.
        receipt: of the sealed entry, or ``None`` if the ledger has no record.
    """

    round: Round
    verdict: Verdict
    said: dict[str, Proposal]
    absent: tuple[Absentee, ...]
    receipt: Any = None


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two different votes of one member in one round: a record of them, as they are unsigned.

    Attributes:
        session_id: the session.
        number: the round.
        input_digest: what was voted on.
        replica: who voted twice.
        proposals: both, in the order of their digests; ``{"key"}`` or ``{"void"}`` each.
    """

    session_id: str
    number: int
    input_digest: str
    replica: str
    proposals: tuple[Proposal, Proposal]


@dataclass(slots=True)
class _Session:
    last: int = 0
    kept: int = 0


@dataclass(slots=True)
class _Entry:
    state: Round
    session: _Session
    said: dict[str, Proposal] = field(default_factory=dict)
    sealing: bool = False
    concluded: Concluded | None = None


class BFTLedger:
    """Keeps rounds, takes votes, and seals what was concluded."""

    def __init__(
        self,
        record: Record | None = None,
        *,
        keep_rounds: int = limits.KEEP_ROUNDS,
        keep_sessions: int = limits.KEEP_SESSIONS,
        max_open: int = limits.MAX_OPEN_ROUNDS,
    ) -> None:
        """Start without rounds.

        Args:
            record: a ``quorate.Ledger``, or another thing with its ``append``.
            keep_rounds: concluded rounds kept, at least 1.
            keep_sessions: counters kept of sessions without a kept round, at least 1.
            max_open: most rounds open at once, at least 1.

        Raises:
            UsageError: a limit below 1, or a record that cannot seal.
        """
        bounds = {"keep_rounds": keep_rounds, "keep_sessions": keep_sessions, "max_open": max_open}
        for name, value in bounds.items():
            if type(value) is not int or value < 1:
                raise UsageError(f"{name} is {value!r}; give a whole number of at least 1")
        if record is not None and not _can_seal(record):
            raise UsageTypeError(
                f"{record!r} cannot seal rounds; give a quorate.Ledger, such as "
                "Ledger.open('memory:')"
            )
        self._record = record
        self._keep_rounds, self._keep_sessions, self._max_open = bounds.values()
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, int], _Entry] = {}
        # In the order in which they were used, the longest unused first.
        self._sessions: dict[str, _Session] = {}
        self._done: deque[_Entry] = deque()

    @property
    def record(self) -> Record | None:
        """Where concluded rounds are sealed, if anywhere."""
        return self._record

    def open(
        self,
        session_id: str,
        roster: Sequence[str],
        input_digest: str,
        experts: Iterable[str | int],
        faults: int | None = None,
    ) -> int:
        """Open the next round of a session.

        Args:
            session_id: any id.
            roster: ids of the members, 1 to ``limits.MAX_REPLICAS``.
            input_digest: 64 lower-case hex digits that name what is voted on.
            experts: the keys that may win.
            faults: how many members may lie; the greatest bearable number if ``None``.

        Returns:
            The number of the round, from 1.

        Raises:
            UsageError: an id, key or digest that is none, a roster or a number of faults
                that is refused, or too many open rounds.
        """
        if isinstance(roster, str):
            raise UsageTypeError(f"the roster is {roster!r}; give a list of ids")
        ids = [check_id(replica, "a replica's id") for replica in roster]
        if type(input_digest) is not str or len(input_digest) != 64:  # noqa: PLR2004 - SHA-256
            raise UsageError(f"the input digest is {input_digest!r}; give 64 hex digits")
        if set(input_digest) - set("0123456789abcdef"):
            raise UsageError(f"the input digest is {input_digest!r}; give lower-case hex digits")
        ballot = Ballot(ids, proposals_of(experts), faults)
        return self.open_round(check_id(session_id, "session_id"), input_digest, ballot)

    def open_round(self, session_id: str, input_digest: str, ballot: Ballot) -> int:
        """Open the next round with a ballot made before; see :meth:`open`.

        Raises:
            UsageError: too many open rounds.
        """
        with self._lock:
            if len(self._entries) - len(self._done) >= self._max_open:
                raise UsageError(
                    f"{self._max_open} rounds are open; conclude or abandon some before the next"
                )
            session = self._sessions.pop(session_id, None) or _Session()
            self._sessions[session_id] = session
            session.last += 1
            session.kept += 1
            state = Round(session_id, session.last, input_digest, ballot)
            self._entries[session_id, session.last] = _Entry(state, session)
            self._forget_sessions()
            return session.last

    def vote(self, session_id: str, number: int, replica: str, key: object) -> Round:
        """Take one vote; what is not a known expert's key is a void vote.

        Returns:
            The round after the vote; ``.decided`` says whether that decided it.

        Raises:
            MisbehaviourError: ``replica`` is no member; names it, and nothing changed.
            UsageError: no such round, or it is closed and the member had no vote in it.
                A second, different vote in a closed round is kept as equivocation.
        """
        return self.vote_all(session_id, number, [(replica, key)])

    def vote_all(
        self, session_id: str, number: int, answers: Iterable[tuple[str, object]]
    ) -> Round:
        """Take many votes at once, all or none; see :meth:`vote`.

        Args:
            session_id: the session.
            number: the round.
            answers: pairs of a member's id and the key it votes for.
        """
        # One look-up, and a round's ballot never changes: no lock is needed.
        ballot = self._entry(session_id, number).state.ballot
        # Read outside the lock: what an answer does when it is looked at is not ours.
        casts, said = _read(ballot, answers)
        with self._lock:
            entry = self._entry(session_id, number)
            _take(entry, cast_all(entry.state, casts), said)
            return entry.state

    def conclude(
        self, session_id: str, number: int, absences: Iterable[Absentee] = ()
    ) -> Concluded:
        """Close a round, seal it, and only then give its verdict out.

        Args:
            session_id: the session.
            number: the round.
            absences: why members have no vote; a member that neither voted nor is named
                here is absent by ``"timeout"``.

        Raises:
            UsageError: no such round, it is concluded already or just now being so, or an
                absence of a member that voted, or two of one member.
            MisbehaviourError: an absence of a stranger.
            StoreError: or whatever else the record raised: nothing was given out, the
                round is closed, and this may be called again.
        """
        return self.settle(session_id, number, (), absences)

    def settle(
        self,
        session_id: str,
        number: int,
        answers: Iterable[tuple[str, object]],
        absences: Iterable[Absentee] = (),
    ) -> Concluded:
        """Take the last votes and conclude: :meth:`vote_all` and :meth:`conclude` in one step.

        Args:
            session_id: the session.
            number: the round.
            answers: pairs of a member's id and the key it votes for.
            absences: why members have no vote.
        """
        absences = list(absences)
        # One look-up, and a round's ballot never changes: no lock is needed.
        ballot = self._entry(session_id, number).state.ballot
        casts, said = _read(ballot, answers)
        with self._lock:
            entry = self._entry(session_id, number)
            if entry.sealing or entry.concluded is not None:
                raise UsageError(f"round {number} of session {session_id!r} is concluded already")
            state = cast_all(entry.state, casts, closing=True)
            absent = _absent(state, absences)
            _take(entry, state, said)
            entry.sealing = True
        receipt = None
        found = verdict(state)
        try:
            if self._record is not None:
                body = body_of(state, found, entry.said, absent)
                receipt = self._record.append(KIND, body, trace_id=session_id)
            concluded = Concluded(state, found, entry.said, absent, receipt)
            with self._lock:
                self._keep(entry, concluded)
        finally:
            entry.sealing = False
        return concluded

    def abandon(self, session_id: str, number: int) -> None:
        """Drop a round that will not be concluded; its number is not used again.

        Does nothing to a round that is concluded, being concluded, or not there.
        """
        with self._lock:
            entry = self._entries.get((session_id, number))
            if entry is not None and entry.concluded is None and not entry.sealing:
                self._drop(entry)

    def round(self, session_id: str, number: int) -> Round:
        """A round that is open or still kept, as it stands.

        Raises:
            UsageError: no such round.
        """
        with self._lock:
            return self._entry(session_id, number).state

    def rounds(self, session_id: str) -> tuple[Round, ...]:
        """All rounds of a session that are open or still kept, by number."""
        with self._lock:
            states = [e.state for (session, _), e in self._entries.items() if session == session_id]
        return tuple(sorted(states, key=lambda state: state.number))

    def concluded(self, session_id: str, number: int) -> Concluded | None:
        """What a kept round came to; ``None`` while it is open.

        Raises:
            UsageError: no such round.
        """
        with self._lock:
            return self._entry(session_id, number).concluded

    def equivocations(self, session_id: str | None = None) -> tuple[Equivocation, ...]:
        """Every equivocation in the rounds that are open or kept, of one session or of all.

        Sorted by session, round and replica.
        """
        with self._lock:
            found = [
                _equivocation(entry, replica, pair)
                for (session, _), entry in self._entries.items()
                if session_id in (None, session)
                for replica, pair in entry.state.equivocations.items()
            ]
        return tuple(sorted(found, key=lambda each: (each.session_id, each.number, each.replica)))

    def _entry(self, session_id: str, number: int) -> _Entry:
        try:
            return self._entries[session_id, number]
        except KeyError:
            raise UsageError(
                f"no round {number!r} of session {session_id!r} is open or kept; "
                f"the last {self._keep_rounds} concluded ones are"
            ) from None

    def _keep(self, entry: _Entry, concluded: Concluded) -> None:
        entry.concluded = concluded
        session_id = entry.state.session_id
        self._sessions[session_id] = self._sessions.pop(session_id)
        self._done.append(entry)
        if len(self._done) > self._keep_rounds:
            self._drop(self._done.popleft())

    def _drop(self, entry: _Entry) -> None:
        del self._entries[entry.state.session_id, entry.state.number]
        entry.session.kept -= 1

    def _forget_sessions(self) -> None:
        """Forget the session longest unused of which no round is kept, if there are too many."""
        if len(self._sessions) <= self._keep_sessions:
            return
        for _ in range(len(self._sessions)):
            session_id, session = next(iter(self._sessions.items()))
            del self._sessions[session_id]
            if session.kept == 0:
                return
            # Still in use, whatever its age: it goes to the end of the line.
            self._sessions[session_id] = session


def _can_seal(record: object) -> bool:
    # A list has an append too, which seals nothing.
    return callable(getattr(record, "append", None)) and not isinstance(record, MutableSequence)


def _read(
    ballot: Ballot, answers: Iterable[tuple[str, object]]
) -> tuple[list[tuple[str, str]], dict[str, Proposal]]:
    """Read answers into casts, and what was said into proposals where it cannot win."""
    casts: list[tuple[str, str]] = []
    said: dict[str, Proposal] = {}
    for replica, answer in answers:
        # By exact type first: True and 1.0 would find the expert 1 too.
        name = ballot.digests.get(answer) if type(answer) in (int, str) else None  # type: ignore[call-overload]
        if name is None:
            proposal = read_answer(answer)
            name = digest(proposal)
            if name not in ballot.experts:
                said[name] = proposal
        casts.append((replica, name))
    return casts, said


def _take(entry: _Entry, state: Round, said: dict[str, Proposal]) -> None:
    entry.state = state
    if said:
        # Only what the round holds: a member's tenth void vote takes no memory.
        held = {*state.votes.values(), *(p for pair in state.equivocations.values() for p in pair)}
        entry.said.update((name, proposal) for name, proposal in said.items() if name in held)


def _equivocation(entry: _Entry, replica: str, pair: tuple[str, str]) -> Equivocation:
    state, experts = entry.state, entry.state.ballot.experts
    first, second = (
        {"key": experts[name]} if name in experts else entry.said[name] for name in pair
    )
    return Equivocation(
        state.session_id, state.number, state.input_digest, replica, (first, second)
    )


def _absent(state: Round, named: Sequence[Absentee]) -> tuple[Absentee, ...]:
    heard = state.votes.keys() | state.equivocations.keys()
    reasons: dict[str, Absentee] = {}
    for absentee in named:
        replica = absentee.replica
        if replica not in state.ballot.members:
            raise MisbehaviourError(replica, "not a member of the round; it cannot be absent")
        if replica in heard or replica in reasons:
            done = "voted" if replica in heard else "is absent already"
            raise UsageError(f"{replica!r} {done} in round {state.number}; it has no other absence")
        reasons[replica] = Absentee.from_dict(absentee.to_dict())
    if len(heard) + len(reasons) == len(state.roster):
        return tuple(reasons[replica] for replica in sorted(reasons))
    silent = "no vote before the round was concluded"
    return tuple(
        reasons.get(replica) or Absentee(replica, TIMEOUT, silent)
        for replica in state.roster
        if replica not in heard
    )
