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
import fcntl
import itertools
import os
import stat
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from quorate.arbitration import Decision, UnderQuorum
from quorate.arbitration.sealed import DECISION, REFUSAL, body_of, kind_of
from quorate.core import limits
from quorate.core.canonical import digest
from quorate.core.errors import OperationalError, UsageError
from quorate.hub import panel_record
from quorate.hub.lines import Task, decision_line, read_tasks
from quorate.hub.panel import Panel
from quorate.hub.session import Session
from quorate.hub.source import Source
from quorate.ledger import Ledger, Receipt

_WAITING_PER_RUNNING: Final = 4
_STOP_SECONDS: Final = 1.0
_DASH: Final = "-"


@dataclass(slots=True)
class RunSummary:
    """What a run came to.

    Attributes:
        committed: tasks with a committed answer, earlier ones included.
        refused: tasks that were refused, earlier ones included.
        earlier: of all these, decided before this process began.
        other_panel: of the earlier ones, decided by another panel than this one.
        size: entries in the ledger at the end.
    """

    committed: int = 0
    refused: int = 0
    earlier: int = 0
    other_panel: int = 0
    size: int = 0

    @property
    def total(self) -> int:
        """Tasks decided, one way or the other."""
        return self.committed + self.refused

    def to_dict(self) -> dict[str, int]:
        """The summary as JSON."""
        return {
            "tasks": self.total,
            "committed": self.committed,
            "refused": self.refused,
            "earlier": self.earlier,
            "other_panel": self.other_panel,
            "entries": self.size,
        }


@dataclass(slots=True)
class _Waiting:
    """A task in the window: its receipt if it was sealed earlier, or its verdict to come."""

    task: Task
    receipt: Receipt | None = None
    verdict: asyncio.Task[tuple[str, dict[str, Any]]] | None = None

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
    """

    panel: Panel
    ledger: Ledger
    tasks: str
    out: str
    progress: Callable[[int, int | None], None] | None = None
    _summary: RunSummary = field(default_factory=RunSummary)
    _total: int | None = None
    _panel_digest: str = ""
    _taken: int = 0

    def execute(self) -> RunSummary:
        """Decide all tasks that have no decision yet, and write the lines that are missing.

        Raises:
            UsageError: a line of the tasks is broken (nothing is decided if they come from a
                file; of a pipe, what comes before that line is), or ``out`` belongs to
                other tasks or another ledger.
            StoreError: the ledger cannot be written; what was acknowledged stands.
            OperationalError: a file cannot be read or written; or an expert's code ended the
                run before all tasks were decided.
        """
        with contextlib.ExitStack() as files:
            source = files.enter_context(_open_tasks(self.tasks))
            self._total = self._precheck(source)
            sink = files.enter_context(_open_out(self.out))
            declared = panel_record.declaration(self.panel)
            self._panel_digest = digest(declared)
            tasks = read_tasks(source, self.tasks)
            torn = self._check_lines_written(tasks, sink)
            if torn is not None:
                tasks = itertools.chain([torn], tasks)
            self.ledger.append(panel_record.KIND, declared, key=f"panel:{self._panel_digest}")
            files.enter_context(self.panel.importing())
            if self.out == _DASH:
                # What experts print must not come between decision lines.
                files.enter_context(contextlib.redirect_stdout(sys.stderr))
            self._work_off(tasks, sink)
            sink.finish()
        self._summary.size = len(self.ledger)
        return self._summary

    def _work_off(self, tasks: Iterator[Task], sink: _Out) -> None:
        """Decide, and see to it that no task that was read is left out without a word."""
        try:
            _run_async(self._decide(tasks, sink))
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

    def _check_lines_written(self, tasks: Iterator[Task], sink: _Out) -> Task | None:
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
            sealed = b"" if receipt is None else decision_line(receipt)
            if receipt is None or not sealed.startswith(line):
                raise UsageError(
                    f"{place}: is not the decision on task {task.id!r} that this ledger holds; "
                    "name another output file, or the ledger this one was made with"
                )
            if line != sealed:
                sink.take_off(line)
                return task
            self._taken += 1
            self._count(receipt, earlier=True)
        return None

    def _sealed(self, task: Task) -> Receipt | None:
        """The decision on that task if it is sealed already.

        Raises:
            UsageError: what is sealed under that id was about another input, or is no decision.
        """
        receipt = self.ledger.by_key(_key(task))
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
        else:
            self._summary.refused += 1
        if earlier:
            self._summary.earlier += 1
            self._summary.other_panel += receipt.payload.get("panel") != self._panel_digest
        if self.progress is not None:
            self.progress(self._summary.total, self._total)

    async def _decide(self, tasks: Iterator[Task], sink: _Out) -> None:
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
            for waiting in window:
                if waiting.verdict is not None:
                    waiting.verdict.cancel()

    def _begin(self, task: Task, running: asyncio.Semaphore) -> _Waiting:
        receipt = self._sealed(task)
        if receipt is not None:
            return _Waiting(task, receipt)
        return _Waiting(task, verdict=asyncio.ensure_future(self._verdict(task, running)))

    async def _verdict(self, task: Task, running: asyncio.Semaphore) -> tuple[str, dict[str, Any]]:
        """Put one task to the panel: the kind and the body to be sealed."""
        async with running:
            proposals = await Session(self.panel.experts, task.input).acollect()
        outcome: Decision | UnderQuorum
        try:
            outcome = self.panel.arbiter.arbitrate(proposals)
        except UnderQuorum as refusal:
            outcome = refusal
        body = body_of(
            outcome,
            self.panel.arbiter,
            proposals,
            task={"id": task.id, "input_digest": task.input_digest},
            panel=self._panel_digest,
        )
        return kind_of(outcome), body

    async def _seal(self, group: list[_Waiting], sink: _Out) -> None:
        fresh = [(w.task, *w.verdict.result()) for w in group if w.verdict is not None]
        sealed = iter(await asyncio.to_thread(self._append, fresh))
        receipts = [(w.receipt, True) if w.receipt is not None else next(sealed) for w in group]
        sink.write(b"".join(decision_line(receipt) for receipt, _ in receipts))
        for receipt, earlier in receipts:
            self._count(receipt, earlier=earlier)

    def _append(self, fresh: list[tuple[Task, str, dict[str, Any]]]) -> list[tuple[Receipt, bool]]:
        """Seal verdicts; what another run sealed meanwhile, perhaps otherwise, stands.

        Returns:
            The receipt for each, and whether it is the other's.
        """
        others: dict[str, Receipt] = {}
        while True:
            items = [(k, b, t.id, _key(t)) for t, k, b in fresh if t.id not in others]
            try:
                own = iter(self.ledger.append_all(items))
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


@contextlib.contextmanager
def _open_tasks(name: str) -> Iterator[BinaryIO]:
    try:
        if name == _DASH:
            # A reader of its own: the interpreter must not find sys.stdin locked at its end
            # by a thread that still waits in it.
            file = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115 - closed below
        else:
            file = Path(name).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise OperationalError(f"the tasks {name} cannot be read: {error.strerror}") from error
    try:
        yield file
    except BaseException:
        # A thread may still wait for the next line of a pipe, and closing would wait for it.
        if file.seekable():
            file.close()
        raise
    file.close()


class _Out:
    """Where decision lines go: appended whole, after what an earlier run wrote."""

    def __init__(self, name: str, descriptor: int) -> None:
        self._name = name
        self._descriptor = descriptor
        self._resumes = name != _DASH
        self.count = 0

    def lines_written(self) -> Iterator[bytes]:
        """Lines an earlier run wrote, one by one; the last may be torn."""
        if self._resumes:
            with Path(self._name).open("rb") as file:
                # Longer than any line of ours can be: it is seen to be none, piece by piece.
                while line := file.readline(limits.MAX_BODY_BYTES):
                    self.count += 1
                    yield line

    def take_off(self, line: bytes) -> None:
        """Take a torn line off the end; only the last line can be torn."""
        os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - len(line))

    def write(self, lines: bytes) -> None:
        """Append whole lines; if that fails, none of them stays in a file."""
        size = os.fstat(self._descriptor).st_size if self._resumes else 0
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            if self._resumes:
                os.ftruncate(self._descriptor, size)
            raise self._failed(error) from error

    def finish(self) -> None:
        """See to it that the lines survive a power failure."""
        try:
            if self._resumes:
                os.fsync(self._descriptor)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> OperationalError:
        return OperationalError(
            f"the output {self._name} cannot be written: {error.strerror}; every decision is in "
            "the ledger, run again to write the lines that are missing"
        )


@contextlib.contextmanager
def _open_out(name: str) -> Iterator[_Out]:
    if name == _DASH:
        # It is missing where the process was started with it closed.
        if sys.stdout is None:
            raise OperationalError("standard output is closed; name a file for the decisions")
        yield _Out(name, sys.stdout.fileno())
        return
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, 0o666)
    except OSError as error:
        raise OperationalError(f"the output {name} cannot be opened: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UsageError(f"the output {name} is no regular file; name a file, or - for stdout")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OperationalError(
                f"the output {name} is being written by another run; wait for it to end"
            ) from error
        yield _Out(name, descriptor)
    finally:
        os.close(descriptor)
