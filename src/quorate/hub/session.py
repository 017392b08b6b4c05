"""One task put to a roster of experts, side by side.

Theory of operation. Every expert of the roster comes out as exactly one proposal or one
absence with its reason: ``crashed`` (it raised), ``timeout`` (no answer by its deadline),
``over_budget`` (it cost more than it may, or the session had spent what it may) or
``void`` (what it answered cannot be counted). Where the caller has enough before all have
answered, the rest are *pending*: stopped, and no absentees.

An answer is read, and copied, the moment it arrives. What arrives first decides nothing
but that: proposals and absences stand in order of expert id, whatever came when.

To stop an expert is to cancel its call and to wait a moment for it to clean up: an async
callable stops, an adapter kills what it started elsewhere. A plain function runs in a
thread, which nothing can stop; its span then says ``still_running``.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final, NamedTuple, Self

from quorate.arbitration import Absence, Proposal
from quorate.arbitration.pending import Pending
from quorate.arbitration.proposal import plain_copy
from quorate.core import limits
from quorate.core.calls import STOPPED, TIMEOUT, Call, Calls, Outcome, run_blocking
from quorate.core.canonical import canonical, parse
from quorate.core.errors import OperationalError, UsageError, UsageTypeError
from quorate.core.exact import Number, exact, within
from quorate.core.independence import Independence
from quorate.core.text import shortened
from quorate.hub.budget import Budget
from quorate.hub.experts import Expert
from quorate.hub.reading import Reading, payload_share, read_answer
from quorate.hub.trace import Span, checked_span

_NOTHING: Final = Fraction(0)
_UNREAD: Final = "it ended as the session was stopped, and its answer was not read"


class Proposals(tuple[Proposal, ...]):  # noqa: SLOT001 - a tuple's subclass can have no slots
    """Proposals in order of expert id, and the rest of the same roster beside them.

    Attributes:
        absent: the absences, in order of expert id.
        pending: who was asked and is no longer or not yet heard, likewise.
        independence: what is declared about who may fail together, ``None`` if nothing.
    """

    absent: tuple[Absence, ...]
    pending: tuple[Pending, ...]
    independence: Independence | None

    def __new__(
        cls,
        proposals: Iterable[Proposal],
        absent: Iterable[Absence] = (),
        pending: Iterable[Pending] = (),
        independence: Independence | None = None,
    ) -> Self:
        """Order each by expert id."""
        made = super().__new__(cls, sorted(proposals, key=_id))
        made.absent = tuple(sorted(absent, key=_id))
        made.pending = tuple(sorted(pending, key=_id))
        made.independence = independence
        return made


class _Record(NamedTuple):
    """What became of one expert, as its span will tell it."""

    started: float
    seconds: float
    status: str
    cost: Fraction
    tokens: int
    detail: str


class Session:
    """Puts one task to a roster of experts, once.

    Attributes:
        began: when it began to ask (``time.monotonic``), 0 before; the spans count from it.
    """

    def __init__(
        self,
        experts: Sequence[Expert],
        task: Any,
        *,
        weights: Mapping[str, Number] | None = None,
        deadline: float | None = None,
        max_cost: Number | None = None,
        max_tokens: int | None = None,
    ) -> None:
        """Prepare to ask ``experts`` about ``task``.

        Args:
            experts: the roster, 1 to ``limits.MAX_REPLICAS``, in any order.
            task: any JSON value; each expert gets its own copy.
            weights: the plan's route weight of each expert, by id, in place of its own.
            deadline: seconds for the whole session, more than 0 and at most
                ``limits.MAX_TIMEOUT_SECONDS``; no expert gets more.
            max_cost: as soon as the answers in have cost more, void ones included, who
                still runs is stopped, and absent as ``over_budget``.
            max_tokens: likewise for the tokens they used.

        Raises:
            UsageError: no experts, too many, one twice, a task that is not JSON, weights
                for others than the roster, or a value out of its range.
        """
        self._experts = tuple(sorted(experts, key=lambda expert: expert.id))
        self._weights = _weights(self._experts, weights)
        self._deadline = None if deadline is None else _deadline(deadline)
        unbounded = max_cost is None and max_tokens is None
        self._budget = None if unbounded else Budget(max_cost, max_tokens)
        self._share = payload_share(len(self._experts))
        self._task = canonical(task)
        self.began = 0.0
        self._calls: Calls | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancelled = False
        # One for each expert, in order of id.
        self._results: list[Proposal | Absence | None] = [None] * len(self._experts)
        self._records: list[_Record | None] = [None] * len(self._experts)
        self._pending: list[Pending | None] = [None] * len(self._experts)
        self._frozen = False
        self._over_budget = ""
        self._settled: Callable[[Proposals], bool] | None = None
        self._heard: Callable[[Proposal | Absence], None] | None = None
        self._error: BaseException | None = None

    @property
    def spans(self) -> list[Span]:
        """What became of each expert heard or stopped so far, in order of id."""
        began = self.began
        return [
            checked_span(
                expert.id, "expert", max(0.0, r.started - began),
                max(0.0, r.started + r.seconds - began), r.status, r.cost, r.tokens, r.detail,
            )
            for expert, r in zip(self._experts, self._records, strict=True)
            if r is not None
        ]  # fmt: skip

    @property
    def proposals(self) -> Proposals:
        """What there is so far; who has not been heard is pending."""
        proposals, absent, pending = [], [], []
        for index, result in enumerate(self._results):
            if type(result) is Proposal:
                proposals.append(result)
            elif type(result) is Absence:
                absent.append(result)
            else:
                pending.append(self._pending_of(index))
        return Proposals(proposals, absent, pending)

    def _pending_of(self, index: int) -> Pending:
        found = self._pending[index]
        if found is None:
            found = Pending(self._experts[index].id, self._weights[index])
            self._pending[index] = found
        return found

    def collect(self) -> Proposals:
        """Ask all, wait until each has answered or passed its deadline; see :meth:`acollect`."""
        return run_blocking(self.acollect())

    async def acollect(self, settled: Callable[[Proposals], bool] | None = None) -> Proposals:
        """Ask all side by side, and return proposals with absences.

        If this coroutine is cancelled, all that still runs is stopped first.

        Args:
            settled: called at each arrival with what there is; once it says ``True``, the
                rest is stopped and stays pending, and just what it saw is returned.

        Raises:
            UsageError: the session has been run before.
            UsageTypeError: ``settled`` gave something else than a bool.
            Exception: whatever ``settled`` raised, after all was stopped.
        """
        self._settled = settled
        await self._finish()
        if self._error is not None:
            raise self._error
        return self.proposals

    async def astream(self) -> AsyncIterator[Proposal | Absence]:
        """Ask all side by side, and give each proposal or absence as it comes.

        Closing the iterator stops what still runs: ``contextlib.aclosing`` does so at once
        where a loop is left early.

        Raises:
            UsageError: the session has been run before.
        """
        heard: deque[Proposal | Absence] = deque()
        news = asyncio.Event()

        def take(result: Proposal | Absence) -> None:
            heard.append(result)
            news.set()

        self._heard = take
        ending = asyncio.ensure_future(self._finish())
        ending.add_done_callback(lambda _: news.set())
        try:
            while not ending.done() or heard:
                await news.wait()
                news.clear()
                while heard:
                    yield heard.popleft()
            # Raises what it raised: the session has been run before.
            if not ending.cancelled():
                ending.result()
        finally:
            ending.cancel()
            await asyncio.wait([ending])
        if ending.cancelled():
            raise OperationalError(
                "the session was cancelled by a callable; find the expert that cancels tasks"
            )
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Stop what still runs, or the session before it begins; from any thread.

        What has been heard is kept, and the rest stays pending.
        """
        self._cancelled = True
        loop = self._loop
        if loop is not None:
            # A loop that is gone runs nothing that could be stopped.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._freeze)

    async def _finish(self) -> None:
        calls = self._begin()
        try:
            await calls.wait()
        except asyncio.CancelledError:
            self._freeze()
            await calls.wait()
            raise
        finally:
            calls.drop()

    def _begin(self) -> Calls:
        if self._calls is not None:
            raise UsageError("this session has been run before; make another for another run")
        self._loop = asyncio.get_running_loop()
        self.began = time.monotonic()
        most = self._deadline
        task = parse(self._task)
        calls = [
            Call(e.callee, plain_copy(task), e.timeout if most is None else min(e.timeout, most))
            for e in self._experts
        ]
        self._calls = made = Calls(calls, self._told)
        if self._cancelled:
            self._freeze()
        return made

    def _freeze(self) -> None:
        """Leave it at what was heard."""
        self._frozen = True
        if self._calls is not None:
            self._calls.stop()

    def _told(self, index: int, outcome: Outcome) -> None:
        """Take in one outcome; raises nothing."""
        try:
            if self._frozen:
                self._records[index] = _unheard(outcome)
            else:
                self._take(index, outcome)
        # It goes to whoever waits for the session, and not to the loop.
        except BaseException as error:  # noqa: BLE001
            self._error = error
            self._freeze()

    def _take(self, index: int, outcome: Outcome) -> None:
        reading = self._read(index, outcome)
        result = self._results[index] = reading.result
        self._records[index] = _record(reading, outcome)
        if self._heard is not None:
            self._heard(result)
        # Once all is spent, the rest is being stopped already.
        if self._over_budget:
            return
        if self._budget is not None:
            self._budget.add(reading.cost, reading.tokens)
            self._over_budget = self._budget.exceeded()
            if self._over_budget and self._calls is not None:
                self._calls.stop()
        if self._settled is not None and _is_true(self._settled(self.proposals)):
            self._freeze()

    def _read(self, index: int, outcome: Outcome) -> Reading:
        expert, weight, reason = self._experts[index], self._weights[index], outcome.reason
        if reason is None:
            return read_answer(expert, weight, outcome.value, self._share)
        detail = outcome.detail
        if reason == STOPPED:
            reason, detail = "over_budget", shortened(f"{self._over_budget}; {detail}")
        elif reason == TIMEOUT and self._deadline is not None and self._deadline < expert.timeout:
            detail = shortened(f"{detail} (the session's deadline)")
        return Reading(Absence(expert.id, weight, reason, detail))


def _is_true(settled: object) -> bool:
    if not isinstance(settled, bool):
        raise UsageTypeError(
            f"settled gave {type(settled).__name__}; it is a plain function that gives True "
            "or False"
        )
    return settled


def _id(member: Proposal | Absence | Pending) -> str:
    return member.expert_id


def _record(reading: Reading, outcome: Outcome) -> _Record:
    result = reading.result
    status, detail = "answered", ""
    if isinstance(result, Absence):
        status = "still_running" if outcome.running else result.reason
        detail = result.detail
    return _Record(outcome.started, outcome.seconds, status, reading.cost, reading.tokens, detail)


def _unheard(outcome: Outcome) -> _Record:
    """What became of an expert that was not waited for."""
    status, detail = "cancelled", outcome.detail
    if outcome.running:
        status = "still_running"
    elif outcome.reason is None:
        detail = _UNREAD
    elif outcome.reason != STOPPED:
        status = outcome.reason
    return _Record(outcome.started, outcome.seconds, status, _NOTHING, 0, detail)


def _weights(experts: Sequence[Expert], given: Mapping[str, Number] | None) -> tuple[Fraction, ...]:
    if not 1 <= len(experts) <= limits.MAX_REPLICAS:
        raise UsageError(f"{len(experts)} experts; 1 to {limits.MAX_REPLICAS} are allowed")
    ids = [expert.id for expert in experts]
    for one, next_ in pairwise(ids):
        if one == next_:
            raise UsageError(f"the expert {one!r} stands twice in the roster")
    if given is None:
        return tuple(expert.weight for expert in experts)
    if given.keys() != set(ids):
        missing, unknown = sorted(set(ids) - given.keys()), sorted(given.keys() - set(ids), key=str)
        wrong = f"lack {missing[0]!r}" if missing else f"name {unknown[0]!r}, who is not asked"
        raise UsageError(f"the weights {wrong}; give one for each expert of the roster")
    found = tuple(exact(given[id_], f"the weight of {id_}") for id_ in ids)
    for id_, weight in zip(ids, found, strict=True):
        if not within(weight, limits.MAX_SAFE_INTEGER):
            raise UsageError(
                f"the weight of {id_} is {weight}; it is from 0 to {limits.MAX_SAFE_INTEGER}"
            )
    return found


def _deadline(given: float) -> float:
    seconds = float(exact(given, "the session's deadline"))
    if not 0 < seconds <= limits.MAX_TIMEOUT_SECONDS:
        raise UsageError(
            f"the session's deadline is {given}; it is more than 0 and at most "
            f"{limits.MAX_TIMEOUT_SECONDS} seconds"
        )
    return seconds
