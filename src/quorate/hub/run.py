"""The main job: a panel decides a stream of tasks, every decision and refusal sealed.

Theory of operation. Tasks are read one by one and decided side by side, at most
``concurrency`` at a time. What is done at the head of the line is sealed as one group
with one disk flush, in task order, and only then are its decision lines written. So a
line in the output is always backed by the ledger, and a process that is killed at any
moment leaves one of three things for each task: nothing (it is decided again), a sealed
decision without its line (the line is written from the ledger), or both. The task id is
the idempotency key: nothing is sealed twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from quorate.arbitration.sealed import DECISION, REFUSAL
from quorate.core import limits
from quorate.core.canonical import digest
from quorate.core.errors import OperationalError, UsageError
from quorate.core.independence import Independence
from quorate.hub import history, outcomes, panel_record
from quorate.hub.deciding import Verdict, decide
from quorate.hub.failing import Absences
from quorate.hub.lines import Task, decision_line, read_tasks
from quorate.hub.oversight import Guard
from quorate.hub.panel import Panel
from quorate.hub.policy import Policy
from quorate.hub.sink import DASH, Out, Traces, open_out
from quorate.hub.source import Source, open_tasks
from quorate.hub.trace import Recorder
from quorate.ledger import Ledger, Receipt
from quorate.ledger.keyfiles import public_path

_WAITING_PER_RUNNING: Final = 4
_STOP_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 5.0


@dataclass(slots=True)
class RunSummary:
    """What a run came to.

    Attributes:
        committed: tasks with a committed answer, earlier ones included.
        refused: tasks that were refused, earlier ones included.
        shadow_refused: of the refused, those of a panel in shadow mode: they block nothing.
        not_by_quorum: of the committed, those that something other than a quorum decided, and
            nobody overrode.
        shadow_not_by_quorum: of these, those of a panel in shadow mode.
        overridden: of the committed, those in whose place a person's answer stands.
        withheld: of the committed, those that people disregarded or contest.
        shadow_overridden: of both, those of a panel in shadow mode.
        outdated: lines that were in the output before people overrode their decisions.
        earlier: of all these, decided before this process began.
        other_panel: of the earlier ones, decided by another panel than this one.
        size: entries in the ledger at the end.
        unclosed: experts that could not be closed at the end, and why, one line each.
        absences: who was absent how often, over all tasks.
    """

    committed: int = 0
    refused: int = 0
    shadow_refused: int = 0
    not_by_quorum: int = 0
    shadow_not_by_quorum: int = 0
    overridden: int = 0
    withheld: int = 0
    shadow_overridden: int = 0
    outdated: int = 0
    earlier: int = 0
    other_panel: int = 0
    size: int = 0
    unclosed: list[str] = field(default_factory=list)
    absences: Absences = field(default_factory=Absences, compare=False)

    @property
    def total(self) -> int:
        """Tasks decided, one way or the other."""
        return self.committed + self.refused

    @property
    def undecided(self) -> int:
        """Tasks for which no quorum's word stands, shadow mode aside."""
        otherwise = self.not_by_quorum - self.shadow_not_by_quorum
        otherwise += self.overridden + self.withheld - self.shadow_overridden
        return otherwise + self.refused - self.shadow_refused

    def to_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {
            "tasks": self.total,
            "committed": self.committed,
            "refused": self.refused,
            "shadow_refused": self.shadow_refused,
            "not_by_quorum": self.not_by_quorum,
            "shadow_not_by_quorum": self.shadow_not_by_quorum,
            "overridden": self.overridden,
            "withheld": self.withheld,
            "outdated": self.outdated,
            "earlier": self.earlier,
            "other_panel": self.other_panel,
            "entries": self.size,
            "failing": [expert.to_dict() for expert in self.absences.failing()],
        }


@dataclass(slots=True)
class _Waiting:
    """A task in the window: its receipt if it was sealed earlier, or its verdict to come."""

    task: Task
    receipt: Receipt | None = None
    verdict: asyncio.Task[Verdict] | None = None

    @property
    def done(self) -> bool:
        return self.verdict is None or self.verdict.done()


@dataclass(slots=True)
class Run:
    """One run of a panel over a file of tasks.

    Attributes:
        panel: who decides.
        ledger: where it is sealed, opened for writing.
        tasks: file of task lines, or ``-`` for standard input.
        out: file of decision lines, or ``-`` for standard output. If it is there already,
            the run goes on where it ends.
        progress: called with tasks done and tasks in all (``None`` if unknown).
        traces: file to which the trace of each task decided now is appended, as a line.
        reading: called with entries read and entries in all while known outcomes are read.
    """

    panel: Panel
    ledger: Ledger
    tasks: str
    out: str
    progress: Callable[[int, int | None], None] | None = None
    traces: str | None = None
    reading: Callable[[int, int], None] | None = None
    _summary: RunSummary = field(default_factory=RunSummary)
    _total: int | None = None
    _panel_digest: str = ""
    _taken: int = 0
    _shadows: dict[str, bool] = field(default_factory=dict)
    _policy: Policy = field(default_factory=Policy)
    _independence: Independence | None = None
    _traces: Traces = field(default_factory=lambda: Traces(None))
    _guard: Guard = field(default_factory=lambda: Guard(None))

    def execute(self) -> RunSummary:
        """Decide all tasks that have no decision yet, and write the lines that are missing.

        Raises:
            HaltedError: somebody halted, before or meanwhile; what was decided is sealed.
            UsageError: a line of the tasks is broken (nothing is decided if they come from a
                file; of a pipe, what comes before that line is), or ``out`` belongs to
                other tasks or another ledger.
            StoreError: the ledger cannot be written; what was acknowledged stands.
            OperationalError: a file cannot be read or written; or an expert's code ended the
                run before all tasks were decided.
        """
        self._guard = Guard(self.ledger)
        self._guard.check()
        with contextlib.ExitStack() as files:
            source = files.enter_context(open_tasks(self.tasks))
            self._total = self._precheck(source)
            self._traces = Traces(self.traces, self._others())
            files.callback(self._traces.close)
            sink = files.enter_context(open_out(self.out))
            declared = panel_record.declaration(self.panel)
            self._panel_digest = digest(declared)
            self._policy = self.panel.policy
            self._independence = self._known_independence()
            tasks = read_tasks(source, self.tasks)
            torn = self._check_lines_written(tasks, sink)
            if torn is not None:
                tasks = itertools.chain([torn], tasks)
            self.ledger.append(panel_record.KIND, declared, key=f"panel:{self._panel_digest}")
            files.enter_context(self.panel.importing())
            if self.out == DASH:
                # What experts print must not come between decision lines.
                files.enter_context(contextlib.redirect_stdout(sys.stderr))
            self._work_off(tasks, sink)
            sink.finish()
        self._summary.size = len(self.ledger)
        return self._summary

    def _others(self) -> dict[str, str | Path]:
        """The files of a run into which no trace may go."""
        _, _, ledger = self.panel.ledger_url.partition("sqlite:///")
        signer = self.panel.signer_path
        return {
            "the tasks": self.tasks,
            "the panel": self.panel.path,
            "the decisions": self.out,
            **{f"the ledger{end}": f"{ledger}{end}" for end in ("", "-wal", "-shm", "-journal")},
            "the private key": signer,
            "the public key": public_path(signer),
        }

    def _known_independence(self) -> Independence | None:
        """What is declared of failing together, and what outcomes sealed so far say of it."""
        if next(self.ledger.find(kind=outcomes.KIND), None) is None:
            return self.panel.independence
        experts = self.panel.every.values()
        return history.independence(self.ledger, experts, progress=self.reading)

    def _work_off(self, tasks: Iterator[Task], sink: Out) -> None:
        """Decide, and see to it that no task that was read is left out without a word."""
        try:
            _run_async(self._decide_and_close(tasks, sink))
        except (SystemExit, asyncio.CancelledError) as error:
            # Code that an expert left running in our loop can end it so.
            raise self._ended_early(type(error).__name__) from error
        if self._summary.total != self._taken:
            raise self._ended_early("no error")

    def _ended_early(self, how: str) -> OperationalError:
        return OperationalError(
            f"the run ended early, by {how}: {self._summary.total} of {self._taken} tasks read "
            "are decided; see to it that no expert exits the process or cancels what is not its "
            "own, and run again to go on"
        )

    def _precheck(self, source: BinaryIO) -> int | None:
        """Read all tasks once before deciding any, where the source can be read again."""
        if not source.seekable():
            return None
        start = source.tell()
        count = sum(1 for _ in read_tasks(source, self.tasks))
        source.seek(start)
        return count

    def _check_lines_written(self, tasks: Iterator[Task], sink: Out) -> Task | None:
        """Go through the lines that an earlier run wrote; each must be what the ledger says.

        Returns:
            The task whose line was torn, which is still to be written, if there is one.
        """
        for line in sink.lines_written():
            task = next(tasks, None)
            place = f"{self.out}:{sink.count}"
            if task is None:
                raise UsageError(
                    f"{place}: there are fewer tasks in {self.tasks}; name another output"
                )
            receipt = self._sealed(task)
            lines = [] if receipt is None else self._lines(receipt)
            if receipt is None or not any(one.startswith(line) for one in lines):
                raise UsageError(
                    f"{place}: is not the decision on task {task.id!r} that this ledger holds; "
                    "name another output file, or the ledger this one was made with"
                )
            if line not in lines:
                sink.take_off(line)
                return task
            self._taken += 1
            self._summary.outdated += line != lines[-1]
            self._count(receipt, earlier=True)
        return None

    def _sealed(self, task: Task) -> Receipt | None:
        """The decision on that task if it is sealed already.

        Raises:
            UsageError: what is sealed under that id was about another input, or is no decision.
        """
        receipt = self._guard.by_key(_key(task))
        if receipt is not None:
            asked = {"id": task.id, "input_digest": task.input_digest}
            if receipt.kind not in (DECISION, REFUSAL) or not _has_line(receipt):
                raise UsageError(
                    f"{self.tasks}:{task.line}: entry {receipt.seq} of the ledger has the key "
                    f"{_key(task)!r} and is no decision on a task; give the task a new id"
                )
            if receipt.payload["task"] != asked:
                raise UsageError(
                    f"{self.tasks}:{task.line}: the task {task.id!r} was decided before on another "
                    f"input (entry {receipt.seq}); a decided task never changes, use a new id"
                )
        return receipt

    def _count(self, receipt: Receipt, *, earlier: bool) -> None:
        if receipt.kind == DECISION:
            self._summary.committed += 1
            standing = self._guard.standing(receipt.seq)
            if standing is not None:
                self._summary.overridden += standing.answered
                self._summary.withheld += not standing.answered
                self._summary.shadow_overridden += self._is_shadow(receipt)
            elif not receipt.payload["verdict"].get("by_quorum", True):
                self._summary.not_by_quorum += 1
                self._summary.shadow_not_by_quorum += self._is_shadow(receipt)
        else:
            self._summary.refused += 1
            self._summary.shadow_refused += self._is_shadow(receipt)
        self._summary.absences.add(receipt.payload)
        if earlier:
            self._summary.earlier += 1
            self._summary.other_panel += receipt.payload.get("panel") != self._panel_digest
        if self.progress is not None:
            self.progress(self._summary.total, self._total)

    def _lines(self, receipt: Receipt) -> list[bytes]:
        """The line it had before people overrode it, those it had since, and last that of now."""
        shadow, standing = self._is_shadow(receipt), self._guard.standing(receipt.seq)
        stood = (None,) if standing is None else (None, *standing.earlier, standing)
        return [decision_line(receipt, shadow=shadow, standing=one) for one in stood]

    def _is_shadow(self, receipt: Receipt) -> bool:
        """Whether the panel that decided it is one that blocks nothing."""
        named = receipt.payload.get("panel")
        if not isinstance(named, str):
            return False
        if named not in self._shadows:
            sealed = self.ledger.by_key(f"panel:{named}")
            self._shadows[named] = sealed is not None and panel_record.is_shadow(sealed.payload)
        return self._shadows[named]

    async def _decide_and_close(self, tasks: Iterator[Task], sink: Out) -> None:
        try:
            await self._decide(tasks, sink)
        finally:
            try:
                self._summary.unclosed = await asyncio.wait_for(self.panel.aclose(), _CLOSE_SECONDS)
            except TimeoutError:
                self._summary.unclosed = [f"not all experts closed within {_CLOSE_SECONDS:g} s"]

    async def _decide(self, tasks: Iterator[Task], sink: Out) -> None:
        """Keep the window full, and seal what is done at its head, in task order."""
        source = Source(tasks, blocking=self._total is None)
        running = asyncio.Semaphore(self.panel.table.run.concurrency)
        most = self.panel.table.run.concurrency * _WAITING_PER_RUNNING
        window: deque[_Waiting] = deque()
        try:
            while True:
                while len(window) < most and (task := source.take()) is not None:
                    self._taken += 1
                    window.append(self._begin(task, running))
                group = _done_at_head(window)
                if group:
                    await self._seal(group, sink)
                    continue
                pending = source.pending(wanted=len(window) < most)
                if window and window[0].verdict is not None:
                    pending.add(window[0].verdict)
                if not pending:
                    source.raise_error()
                    return
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun = [waiting.verdict for waiting in window if waiting.verdict is not None]
            for verdict in begun:
                verdict.cancel()
            if begun:
                # What they ask has to be let go of before it is closed.
                ended, _ = await asyncio.wait(begun, timeout=_STOP_SECONDS)
                for verdict in ended:
                    # Looked at, or the loop complains; the first of them is raised already.
                    _ = verdict.cancelled() or verdict.exception()

    def _begin(self, task: Task, running: asyncio.Semaphore) -> _Waiting:
        receipt = self._sealed(task)
        if receipt is not None:
            return _Waiting(task, receipt)
        return _Waiting(task, verdict=asyncio.ensure_future(self._verdict(task, running)))

    async def _verdict(self, task: Task, running: asyncio.Semaphore) -> Verdict:
        """Put one task to the panel."""
        async with running:
            return await self._guard.run(
                decide(
                    self.panel.experts,
                    task.input,
                    self.panel.arbiter,
                    policy=self._policy,
                    independence=self._independence,
                    synthesizer=self.panel.synthesizer,
                    task={"id": task.id, "input_digest": task.input_digest},
                    panel=self._panel_digest,
                    trace=Recorder(task.id, datetime.now(UTC).isoformat(timespec="milliseconds")),
                    guard=self._guard,
                )
            )

    async def _seal(self, group: list[_Waiting], sink: Out) -> None:
        # All are looked at, or the loop complains of those behind the first that failed.
        errors = [w.verdict.exception() for w in group if w.verdict is not None]
        for error in errors:
            if error is not None:
                raise error
        fresh = [(w.task, w.verdict.result()) for w in group if w.verdict is not None]
        # With nothing to seal too: while it is halted, no earlier decision is given out either.
        items = [(task, verdict.kind, verdict.body) for task, verdict in fresh]
        sealed = iter(await asyncio.to_thread(self._append, items))
        receipts = [(w.receipt, True) if w.receipt is not None else next(sealed) for w in group]
        sink.write(b"".join(self._lines(receipt)[-1] for receipt, _ in receipts))
        if self.traces is not None:
            traces = (verdict.trace.to_dict() for _, verdict in fresh)
            self._traces.write(b"".join(orjson.dumps(trace) + b"\n" for trace in traces))
        for receipt, earlier in receipts:
            self._count(receipt, earlier=earlier)

    def _append(self, fresh: list[tuple[Task, str, dict[str, Any]]]) -> list[tuple[Receipt, bool]]:
        """Seal verdicts, unless halted; what another run sealed meanwhile, maybe otherwise, stands.

        Returns:
            The receipt for each, and whether it is the other's.
        """
        others: dict[str, Receipt] = {}
        while True:
            items = [(k, b, t.id, _key(t)) for t, k, b in fresh if t.id not in others]
            try:
                own = iter(self._guard.seal(items))
            except UsageError:
                missing = [task for task, _, _ in fresh if task.id not in others]
                found = {task.id: self._sealed(task) for task in missing}
                adopted = {id_: receipt for id_, receipt in found.items() if receipt is not None}
                # So each turn has fewer to seal than the one before.
                if not adopted:
                    raise
                others |= adopted
            else:
                return [
                    (others[task.id], True) if task.id in others else (next(own), False)
                    for task, _, _ in fresh
                ]


_abandoned: Final[list[asyncio.Runner]] = []


def _run_async(main: Coroutine[Any, Any, None]) -> None:
    """Do as ``asyncio.run``, which would wait for ever for an expert that ignores cancelling."""
    runner = asyncio.Runner()
    try:
        runner.run(main)
    finally:
        if _stop(runner):
            runner.close()
        else:
            # Closing waits too. Kept, for what is collected while it runs complains.
            _abandoned.append(runner)


def _stop(runner: asyncio.Runner) -> bool:
    """Stop what else runs in the loop; say whether all of it ended soon."""
    deadline = time.monotonic() + _STOP_SECONDS
    while time.monotonic() < deadline:
        # A task that exits stops the loop, and is one fewer; and this one can be cancelled too.
        with contextlib.suppress(SystemExit, asyncio.CancelledError):
            return runner.run(_all_stopped())
    return False


async def _all_stopped() -> bool:
    """Cancel whatever else runs in this loop; say whether all of it ended soon."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if not others:
        return True
    _, running = await asyncio.wait(others, timeout=_STOP_SECONDS)
    return not running


def _done_at_head(window: deque[_Waiting]) -> list[_Waiting]:
    """Take off the window what is done at its head."""
    group: list[_Waiting] = []
    while window and window[0].done and len(group) < limits.MAX_BATCH:
        group.append(window.popleft())
    return group


def _key(task: Task) -> str:
    return f"task:{task.id}"


def _has_line(receipt: Receipt) -> bool:
    """Whether a decision line can be made of it; whoever has the key can seal anything."""
    try:
        decision_line(receipt)
    except (KeyError, IndexError, TypeError):
        return False
    return True
