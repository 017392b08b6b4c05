"""Drills of human oversight: halt and override a system that is really at work (Article 14(4)).

A halt drill decides a few tasks, has more under way, halts, and then tries to go on: what
was under way has to be stopped, every further task refused, and no expert called. It lifts
its own halt again, and no other, and shows that work goes on. Where a person halts before it
does, it breaks off; where one does afterwards, that halt stays, and the drill fails. One that
is interrupted lifts its own halt first; one that is killed cannot.

An override drill has two tasks decided, puts a person's answer in place of one and disregards
the other, and asks the hub for both again. Either seals what it saw, passed or not, as
:mod:`.drill_record` says.

At work are the panel's own experts, or scripted ones that are named so: four functions that
agree. With these, the drill shows the mechanism of the ledger's own halt, and says so; that
the panel's own experts obey it is shown by asking them.

The verdicts that a drill seals name a panel that is sealed before them. Where a verifier's
policy pins panels, that of the script is none of them: drill with the panel's own experts
there, or name the script's panel in the policy too.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from quorate.compliance import drill_work
from quorate.compliance.committing import read_scope
from quorate.compliance.drill_record import (
    HALT,
    KIND,
    OVER,
    OVERRIDE,
    SCRIPTED,
    VERDICTS,
    Drill,
    HaltEntries,
    OverrideEntries,
    drilled,
)
from quorate.compliance.drill_work import HANGS, Workforce, scripted
from quorate.compliance.evidence import Scope
from quorate.core.calls import run_blocking
from quorate.core.canonical import JSONValue, digest
from quorate.core.errors import NoQuorum, OperationalError, QuorateError, UsageError
from quorate.hub import panel_record
from quorate.hub.deciding import decide
from quorate.hub.hub import Hub
from quorate.hub.outcomes import verdict_key
from quorate.hub.oversight import POLL_SECONDS, Guard, HaltedError, Oversight, Reference
from quorate.hub.oversight.rules import who, why
from quorate.ledger import Ledger, Receipt

_BEFORE: Final = 3
_UNDER_WAY: Final = 2
_AFTER: Final = 3
_SETTLED_SECONDS: Final = 0.5
_STEP_SECONDS: Final = 0.01
_PUT: Final = "a drill: put in its place by a person"

HALT_WHY: Final = "to see that a halt stops the work"
OVERRIDE_WHY: Final = "to see that what a person puts in place of a decision stands"


class DrillInterrupted(KeyboardInterrupt):
    """Ctrl-C in a halt drill, once its own halt was lifted, or could not be.

    Attributes:
        halt: entry of the halt that the drill sealed; ``None`` where it sealed none.
        in_force: whether that halt still is.
    """

    def __init__(self, halt: int | None, *, in_force: bool) -> None:
        """Say which halt, and what became of it."""
        super().__init__("interrupted")
        self.halt = halt
        self.in_force = in_force


class HaltLeftError(OperationalError):
    """A drill broke off, and could not lift the halt that it had sealed.

    Attributes:
        halt: its entry; work goes on once it is resumed.
    """

    def __init__(self, halt: int, why: QuorateError) -> None:
        """Say which halt, and what the drill broke off at."""
        super().__init__(
            f"the drill broke off, and its halt, entry {halt}, is still in force: {why}"
        )
        self.halt = halt


@dataclass(frozen=True, slots=True)
class DrillResult:
    """A drill that was run and sealed.

    Attributes:
        drill: what was seen.
        receipt: of its entry.
    """

    drill: Drill
    receipt: Receipt

    @property
    def passed(self) -> bool:
        """Whether it passed."""
        return self.drill.passed

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"seq": self.receipt.seq, "hash": self.receipt.entry_hash, **self.drill.to_dict()}


def halt_drill(
    ledger: Ledger,
    *,
    scope: Scope | Mapping[str, Any],
    by: str,
    reason: str = HALT_WHY,
    work: Workforce | None = None,
) -> DrillResult:
    """Halt a system at work, see that nothing goes on, lift the halt, and seal what was seen.

    While it lasts, nothing else is dispatched from this ledger either.

    Args:
        ledger: open for writing.
        scope: the system and version: ``{"system": name, "version": version}``.
        by: who drills.
        reason: why.
        work: who is at work; scripted experts by default.

    Raises:
        UsageError: an argument cannot be used, or the system is halted already.
        HaltedError: somebody halted it before the drill did; the drill broke off, and lifted
            nothing.
        OperationalError: the work could not even be begun.
        StoreError: something could not be written.
        HaltLeftError: it broke off and could not lift its own halt.
        DrillInterrupted: Ctrl-C; it says whether the drill's own halt is lifted.
    """
    drilling = _Drilling(ledger, scope, by, reason, work)
    try:
        return run_blocking(drilling.halt())
    except KeyboardInterrupt as cut:
        in_force = drilling.give_up()
        raise DrillInterrupted(drilling.halt_sealed, in_force=in_force) from cut
    except QuorateError as error:
        in_force = drilling.give_up()
        if drilling.halt_sealed is None or not in_force:
            raise
        raise HaltLeftError(drilling.halt_sealed, error) from error


def override_drill(
    ledger: Ledger,
    *,
    scope: Scope | Mapping[str, Any],
    by: str,
    reason: str = OVERRIDE_WHY,
    work: Workforce | None = None,
) -> DrillResult:
    """Override one decision and disregard another, see what comes back, and seal that.

    Args and errors are those of :func:`halt_drill`.
    """
    return run_blocking(_Drilling(ledger, scope, by, reason, work).override())


def described(body: object) -> str:
    """The story of a sealed drill.

    Raises:
        UsageError: it is none.
    """
    return Drill.from_dict(body).describe()


class _Drilling:
    """One drill on its way. All of it happens in one event loop, but for giving it up.

    Attributes:
        halt_sealed: entry of the halt that it sealed; ``None`` before.
    """

    def __init__(
        self,
        ledger: Ledger,
        scope: Scope | Mapping[str, Any],
        by: str,
        reason: str,
        work: Workforce | None,
    ) -> None:
        self.ledger = ledger
        self.scope = read_scope(scope)
        self.by = who(by)
        self.reason = why(reason)
        # It is sealed so as well, and that is to be found out before anything is begun.
        why(drilled(self.reason))
        self.work = scripted() if work is None else work
        self.guard = Guard(ledger)
        self.oversight = Oversight(ledger)
        self.panel = digest(dict(self.work.declared))
        self._run = f"drill/{uuid.uuid4().hex[:12]}"
        self._number = 0
        # Whoever interrupts it is another thread than the loop's.
        self._lock = threading.Lock()
        self._cut = self._over = False
        self.halt_sealed: int | None = None
        self._resume: Receipt | None = None
        halt = self.oversight.halted
        if halt is not None:
            raise UsageError(
                f"it is halted already, by {halt.by} in entry {halt.seq} ({halt.reason}), so there "
                "is no work to halt; resume first, or drill another time"
            )

    async def halt(self) -> DrillResult:
        """The halt drill."""
        try:
            return await self._halt()
        finally:
            await self._close()

    async def override(self) -> DrillResult:
        """The override drill."""
        try:
            return await self._override()
        finally:
            await self._close()

    async def _halt(self) -> DrillResult:
        self._declare()
        first = [await self._decided(self.work.task) for _ in range(_BEFORE)]
        under_way = await self._under_way()
        try:
            return await self._stopped(first, under_way)
        finally:
            # Where the drill broke off, what it began is not left behind.
            for one in under_way:
                one.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _stopped(
        self, first: list[Receipt], under_way: list[asyncio.Task[Receipt]]
    ) -> DrillResult:
        """Halt what is under way, see what comes of it, and seal that."""
        calls_before = self.work.calls
        working = [one for one in under_way if not one.done()]
        # Those that were through before the halt was sealed have entries before it.
        early = [one.result() for one in under_way if one.done()]
        before = sorted((*first, *early), key=lambda one: one.seq)
        # Above nobody's halt: lifting this one then lets work go on only where it did before.
        halt = self._seal_halt()
        resume: Receipt | None = None
        try:
            attempts = [await _came(self._decided(self.work.task)) for _ in range(_AFTER)]
            stopped = [await _came(one) for one in working]
            # Whatever was still on its way to an expert has had its turn by then.
            await asyncio.sleep(2 * POLL_SECONDS)
            calls_after = self.work.calls - calls_before
        finally:
            resume = self._lift(halt.seq)
        verdicts = self._verdicts(halt, resume)
        went_on = None if resume is None else await _came(self._decided(self.work.task))
        after = [went_on] if isinstance(went_on, Receipt) else []
        seen = {
            "before": len(before),
            "under_way": len(working),
            "stopped": sum(isinstance(one, HaltedError) for one in stopped),
            "attempted": len(attempts),
            "refused": sum(isinstance(one, HaltedError) for one in attempts),
            "calls_before": calls_before,
            "calls_after": calls_after,
            "verdicts_after": verdicts,
            "resumed": len(after),
        }
        entries = HaltEntries(
            tuple(map(_reference, before)),
            _reference(halt),
            None if resume is None else _reference(resume),
            tuple(map(_reference, after)),
        )
        last = (halt, *([] if resume is None else [resume]), *after)[-1]
        return self._sealed(HALT, (before[0], halt, last), entries, seen)

    async def _under_way(self) -> list[asyncio.Task[Receipt]]:
        """Begin tasks, and return once experts are at them."""
        scripted_work = self.work.kind == SCRIPTED
        task = {"drill": HANGS} if scripted_work else self.work.task
        calls = seen = self.work.calls
        begun = [asyncio.ensure_future(self._decided(task)) for _ in range(_UNDER_WAY)]
        wanted = calls + _UNDER_WAY * len(self.work.experts)
        clock = asyncio.get_running_loop().time
        deadline = still = clock() + drill_work.WAIT_SECONDS
        while self.work.calls < wanted and not all(one.done() for one in begun):
            if self.work.calls > seen:
                # A panel's experts may wait for each other; who has been sent to is at it by then.
                seen, still = self.work.calls, clock() + _SETTLED_SECONDS
            if not scripted_work and clock() > still:
                break
            if clock() > deadline:
                for one in begun:
                    one.cancel()
                raise OperationalError(
                    f"no expert was at work after {drill_work.WAIT_SECONDS:g} seconds, so nothing "
                    "was halted"
                )
            await asyncio.sleep(_STEP_SECONDS)
        return begun

    def _seal_halt(self) -> Receipt:
        with self._lock:
            if self._cut:
                raise asyncio.CancelledError
            # Under the lock, so that whoever gives up sees it as soon as it is sealed.
            halt = self.oversight.halt(self.by, drilled(self.reason), unless_halted=True)
            self.halt_sealed = halt.seq
            return halt

    def _lift(self, halt: int) -> Receipt | None:
        """Lift the drill's own halt, once; ``None`` where somebody else lifted it."""
        with self._lock:
            if not self._over:
                with suppress(UsageError):
                    self._resume = self.oversight.resume(self.by, OVER, halt=halt)
                self._over = True
            return self._resume

    def give_up(self) -> bool:
        """Seal nothing any more, and lift the one that was sealed; whether it is still in force."""
        # Whoever interrupts it twice does not want to wait for that.
        with suppress(QuorateError, KeyboardInterrupt):
            with self._lock:
                self._cut = True
            if self.halt_sealed is not None:
                self._lift(self.halt_sealed)
        return self.halt_sealed is not None and not self._over

    def _verdicts(self, halt: Receipt, resume: Receipt | None) -> int:
        """Verdicts of the log between the halt and its lifting, whoever sealed them."""
        last = len(self.ledger) if resume is None else resume.seq
        kinds = (self.ledger.get(seq).kind for seq in range(halt.seq + 1, last))
        return sum(kind in VERDICTS for kind in kinds)

    async def _override(self) -> DrillResult:
        self._declare()
        names, receipts = [], []
        for _ in range(2):
            names.append(self._name())
            receipts.append(await self._decided(self.work.task, names[-1]))
        for receipt in receipts:
            if receipt.kind != "decision":
                raise OperationalError(
                    f"the experts came to no decision (entry {receipt.seq}), so there is nothing "
                    "to override; give them a task that they agree on"
                )
        put: JSONValue = {"drill": _PUT, "nonce": uuid.uuid4().hex}
        reason = drilled(self.reason)
        override = self.oversight.override(receipts[0].seq, self.by, reason, put)
        disregard = self.oversight.override(receipts[1].seq, self.by, reason)
        returned = await self._again(names[0])
        withheld = await self._again(names[1])
        seen = {
            "committed": receipts[0].payload["verdict"]["digest"],
            "put": digest(put),
            "returned": None if isinstance(returned, NoQuorum) else digest(returned),
            "withheld": isinstance(withheld, NoQuorum),
        }
        made = (receipts[0], override, receipts[1], disregard)
        entries = OverrideEntries(*map(_reference, made))
        return self._sealed(OVERRIDE, (receipts[0], disregard, disregard), entries, seen)

    async def _again(self, name: str) -> Any:
        """What the hub gives out for a task that is decided, or its refusal."""
        hub = Hub(self.work.experts, self.work.arbiter, ledger=self.ledger)
        return await _came(_acted(hub, self.work.task, name))

    def _declare(self) -> None:
        declared = dict(self.work.declared)
        self.ledger.append(panel_record.KIND, declared, key=f"panel:{self.panel}")

    def _name(self) -> str:
        self._number += 1
        return f"{self._run}/{self._number}"

    async def _decided(self, task: JSONValue, name: str | None = None) -> Receipt:
        """Have one task decided as ``quorate run`` does, and sealed.

        Raises:
            HaltedError: it is halted.
        """
        id_, work = self._name() if name is None else name, self.work
        verdict = await self.guard.run(
            decide(
                work.experts,
                task,
                work.arbiter,
                policy=work.policy,
                independence=None if work.panel is None else work.panel.independence,
                synthesizer=None if work.panel is None else work.panel.synthesizer,
                task={"id": id_, "input_digest": digest(task)},
                panel=self.panel,
                guard=self.guard,
            )
        )
        return self.guard.seal([(verdict.kind, verdict.body, id_, verdict_key(id_))])[0]

    def _sealed(
        self,
        kind: str,
        moments: tuple[Receipt, Receipt, Receipt],
        entries: HaltEntries | OverrideEntries,
        seen: Mapping[str, Any],
    ) -> DrillResult:
        started, acted, ended = (one.timestamp for one in moments)
        drill = Drill(
            kind=kind,
            scope=self.scope,
            by=self.by,
            reason=self.reason,
            work=self.work.kind,
            experts=tuple(sorted(expert.id for expert in self.work.experts)),
            panel=self.panel,
            started=started,
            acted=acted,
            ended=ended,
            entries=entries,
            seen=seen,
        )
        with self._lock:
            if self._cut:
                raise asyncio.CancelledError
            return DrillResult(drill, self.ledger.append(KIND, drill.to_dict()))

    async def _close(self) -> None:
        if self.work.panel is not None:
            await self.work.panel.aclose()


async def _acted(hub: Hub, task: JSONValue, name: str) -> Any:
    return (await hub.adispatch(task, id=name)).acted


async def _came(work: Awaitable[Any]) -> Any:
    """What came of it: its result, or its refusal."""
    try:
        return await work
    except NoQuorum as refused:
        return refused


def _reference(receipt: Receipt) -> Reference:
    return Reference(receipt.seq, receipt.entry_hash)
