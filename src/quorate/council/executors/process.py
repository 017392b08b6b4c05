"""A program that carries out orders: the order on its standard input, no shell, a deadline.

Theory of operation. The program leads a session of its own. When its time is up, or this
process is interrupted, it is killed with all processes of that session; one that has left
the session by itself is not reached. Once the program has ended, nobody waits for what it
has left running. If this process is killed, the program goes on without it, and nobody hears
of its result. Its output is read up to a bound, and what comes after that is read away,
so that a talkative program neither stops nor fills the memory.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError, UsageTypeError
from quorate.core.text import shortened
from quorate.council.bounds import MAX_OUTPUT_BYTES
from quorate.council.executors.order import (
    LEAST_SECRET,
    NotExecutedError,
    Order,
    Report,
    check_timeout,
    holds,
    read_said,
    said,
)
from quorate.council.rules.values import Execution, check_id

# Of this process's environment nothing else is handed on: it may hold secrets.
_INHERITED: Final = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
MOST_EXIT: Final = 125
"""Highest exit status that is a program's own; shells use those above for themselves."""

_CHUNK: Final = 1 << 16
_POLL_SECONDS: Final = 0.02
_REAP_SECONDS: Final = 5.0
_KEPT_BACK: Final = "it holds what a variable of pass_env holds; it is not kept"


@dataclass(slots=True)
class Ran:
    """What came of one run of a program.

    Attributes:
        code: exit status, negative for the signal that ended it; ``None`` if there is none.
        why: why there is none: its time was up, or somebody else took it.
        output: the first ``bounds.MAX_OUTPUT_BYTES`` it wrote to standard output.
        errors: the last as many that it wrote to standard error.
        cut: it wrote more than that to standard output.
    """

    code: int | None = None
    why: str = ""
    output: bytearray = field(default_factory=bytearray)
    errors: bytearray = field(default_factory=bytearray)
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A program with its arguments, where it runs, and what it finds in its environment.

    Attributes:
        command: program and arguments.
        cwd: folder it runs in; ``None``: that of this process.
        env: variables set for it.
        passed: names of variables handed on from this process's environment; what they hold
            is taken for secret, and is read anew for each run.
    """

    command: tuple[str, ...]
    cwd: Path | None
    env: Mapping[str, str]
    passed: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        command: Iterable[str],
        cwd: str | Path | None,
        env: Mapping[str, str] | None,
        pass_env: Iterable[str] = (),
    ) -> Program:
        """Check them.

        Raises:
            UsageTypeError: the command is one text, or something else is of another type.
            UsageError: no program, too many arguments, or a variable set and passed on.
        """
        words = () if isinstance(command, str) else tuple(command)
        if not words or not all(isinstance(word, str) and "\0" not in word for word in words):
            raise UsageTypeError(
                f"the command is {command!r}; give a list of the program and its arguments, "
                "which no shell reads"
            )
        if not words[0] or len(words) > limits.MAX_COMMAND_ARGUMENTS:
            raise UsageError(
                f"the command has {len(words)} words, the first of them {words[0]!r}; it is a "
                f"program and its arguments, at most {limits.MAX_COMMAND_ARGUMENTS} words"
            )
        own = {} if env is None else dict(env)
        for key, value in own.items():
            if not isinstance(key, str) or not isinstance(value, str) or "\0" in key + value:
                raise UsageTypeError(f"env has {key!r} = …; give texts")
        passed = (pass_env,) if isinstance(pass_env, str) else tuple(pass_env)
        for name in passed:
            if not isinstance(name, str) or not name.isidentifier():
                # What stands there by mistake may be the secret itself.
                raise UsageError(
                    "pass_env has something that is no name of an environment variable; give "
                    "names such as OPS_TOKEN, and not what they hold"
                )
            if name in own:
                raise UsageError(f"{name} is set by env and passed on by pass_env; choose one")
        return cls(words, None if cwd is None else Path(cwd), own, passed)

    def environment(self) -> dict[str, str]:
        """What the program finds: its own variables, those passed on, PATH, HOME and the like."""
        names = (*_INHERITED, *self.passed)
        base = {name: os.environ[name] for name in names if name in os.environ}
        return {**base, **self.env}

    def told(self, output: bytes, *, last: bool = False) -> str:
        """What of its output may be sealed: nothing of one that holds a variable passed on."""
        return _KEPT_BACK if self.betrays(output) else said(output, last=last)

    def betrays(self, output: bytes) -> bool:
        """Whether an output holds what a variable holds that was passed on."""
        text = output.decode("utf-8", "replace")
        values = (os.environ.get(name, "") for name in self.passed)
        return any(holds(text, value) for value in values if len(value) >= LEAST_SECRET)

    def check(self) -> None:
        """See that the program is there, and the variables that it is to be passed.

        Raises:
            OperationalError: one is not, or the program cannot be executed.
        """
        self.check_passed()
        name, folder = self.command[0], self.cwd
        # Whole, for "./fence.sh" in this very folder would be looked for in PATH.
        where = name if folder is None or os.sep not in name else (folder / name).absolute()
        if shutil.which(where, path=self.environment().get("PATH")) is None:
            raise OperationalError(
                f"there is no program {name!r} to be executed; nothing was begun, install it or "
                "give its whole path"
            )
        if folder is not None and not folder.is_dir():
            raise OperationalError(f"there is no folder {str(folder)!r} to run {name!r} in")

    def check_passed(self) -> None:
        """See that the variables are set that it is to be passed.

        Raises:
            OperationalError: one is not.
        """
        unset = [name for name in self.passed if not os.environ.get(name)]
        if unset:
            raise OperationalError(
                f"the environment variable {unset[0]}, which {self.command[0]!r} is to be passed, "
                "is not set; nothing was begun, set it"
            )

    def run(self, given: bytes, timeout: float) -> Ran:
        """Start it, hand it ``given`` on its standard input, and wait for its end.

        Raises:
            NotExecutedError: it cannot be started.
        """
        deadline = time.monotonic() + timeout
        try:
            process = subprocess.Popen(  # noqa: S603 - its owner chose it, and no shell reads it
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.cwd,
                env=self.environment(),
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise NotExecutedError(
                f"{self.command[0]} cannot be started: {error.strerror}"
            ) from error
        ran = Ran(why=f"still running after {timeout:g} s; killed with its session")
        ended = False
        try:
            ended = _attend(process, memoryview(given), ran, deadline)
        finally:
            if not ended:
                _kill(process)
            for pipe in (process.stdin, process.stdout, process.stderr):
                _close(pipe)
        process.wait()
        return ran


class CommandExecutor:
    """Runs a program for each order, which it finds as JSON on its standard input.

    It has done it if it ends with exit status 0, and has done nothing if it ends with one of
    ``failed_exits``. It may say otherwise on its standard output, by
    ``{"outcome": "executed" | "failed" | "unknown", "detail": …}`` and nothing else; where
    that and the exit status contradict each other, the outcome is unknown. So it is after
    every other exit status, for a script may break off when it has done half; where it names
    an outcome beside something else, or writes more than is read; and where it was killed, or
    its time was up.

    Attributes:
        name: ``command:`` and the program.
        timeout: seconds until it is killed.
    """

    def __init__(
        self,
        command: Iterable[str],
        *,
        timeout: float = 60.0,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_env: Iterable[str] = (),
        failed_exits: Iterable[int] = (),
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            command: program and arguments; no shell reads them, and nothing is put into them.
            timeout: seconds, above 0 and up to ``limits.MAX_TIMEOUT_SECONDS``.
            cwd: folder it runs in; ``None``: that of this process.
            env: variables set for it besides PATH, HOME and the like.
            pass_env: names of variables of this process that it gets too, for its secrets;
                of all others it gets none. What it writes is not sealed where it holds what
                one of them holds, in 4 characters or more.
            failed_exits: exit statuses, 1 to 125, by which it says that it did nothing;
                those above are a shell's own.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range.
        """
        self._program = Program.of(command, cwd, env, pass_env)
        self._failed_exits = _checked_exits(failed_exits)
        self.timeout = check_timeout(timeout, limits.MAX_TIMEOUT_SECONDS)
        self.name = check_id(f"command:{Path(self._program.command[0]).name}", "the executor")

    def check(self) -> None:
        """See that the program is there, and the variables that it is to be passed.

        Raises:
            OperationalError: one is not.
        """
        self._program.check()

    def carry_out(self, order: Order) -> Report:
        """Run the program; see the class for what counts.

        Raises:
            NotExecutedError: it cannot be started.
        """
        ran = self._program.run(order.to_json(), self.timeout)
        told: dict[str, Any] = {
            "exit": ran.code,
            "output": self._program.told(bytes(ran.output)),
            "errors": self._program.told(bytes(ran.errors), last=True),
        }
        if ran.code is None:
            told["why"] = ran.why
            return Report(Execution.UNKNOWN, told)
        if ran.code < 0:
            told["why"] = f"killed by signal {-ran.code}"
            return Report(Execution.UNKNOWN, told)
        return self._read(ran.code, ran, told)

    def _read(self, code: int, ran: Ran, told: dict[str, Any]) -> Report:
        """What came of it, by what it wrote and its exit status."""
        betrays = self._program.betrays(bytes(ran.output))
        try:
            stated = read_said(bytes(ran.output), cut=ran.cut)
        except UsageError as error:
            # The message repeats what it wrote.
            why = _KEPT_BACK if betrays else shortened(str(error))
            return Report(Execution.UNKNOWN, {**told, "why": why})
        if stated is None:
            return self._by_exit(code, told)
        if code and stated.outcome is Execution.EXECUTED:
            told["why"] = f"it says executed, and ended with exit status {code}"
            return Report(Execution.UNKNOWN, told)
        detail = {"left_out": _KEPT_BACK} if betrays else stated.detail
        return Report(stated.outcome, {"exit": code, "detail": detail})

    def _by_exit(self, code: int, told: dict[str, Any]) -> Report:
        if not code:
            return Report(Execution.EXECUTED, told)
        if code in self._failed_exits:
            return Report(Execution.FAILED, told)
        told["why"] = (
            f"it ended with exit status {code}, and did not say what came of it; how far it got "
            "is not known"
        )
        return Report(Execution.UNKNOWN, told)


def _checked_exits(failed_exits: Iterable[int]) -> frozenset[int]:
    if isinstance(failed_exits, int) or not isinstance(failed_exits, Iterable):
        raise UsageTypeError(f"failed_exits is {failed_exits!r}; give a list such as [3, 4]")
    found = tuple(failed_exits)
    for code in found:
        if type(code) is not int or not 1 <= code <= MOST_EXIT:
            raise UsageError(
                f"failed_exits has {code!r}; an exit status that says that nothing was done is "
                f"a whole number from 1 to {MOST_EXIT}"
            )
    return frozenset(found)


def _attend(process: subprocess.Popen[bytes], left: memoryview, ran: Ran, deadline: float) -> bool:
    """Feed and read a process until it ends, or until the deadline; whether it ended."""
    given, output, errors = process.stdin, process.stdout, process.stderr
    assert given is not None  # noqa: S101 - all three were asked for
    assert output is not None  # noqa: S101
    assert errors is not None  # noqa: S101
    with selectors.DefaultSelector() as selector:
        for pipe in (given, output, errors):
            os.set_blocking(pipe.fileno(), False)
            writes = pipe is given
            selector.register(pipe, selectors.EVENT_WRITE if writes else selectors.EVENT_READ)
        while not _has_exited(process, ran):
            wait = min(_POLL_SECONDS, deadline - time.monotonic())
            if wait <= 0:
                return False
            ready = {key.fileobj for key, _ in selector.select(wait)}
            if given in ready:
                left = _write(given, left)
                if not left:
                    selector.unregister(given)
                    _close(given)
            for each in ready & {output, errors}:
                if not _read(each, ran, errors=each is errors):
                    selector.unregister(each)
    # What it wrote last still stands in the pipes: as much as they hold, and no more, for
    # what it has left running may write on.
    for pipe in (output, errors):
        _read(pipe, ran, errors=pipe is errors)
    return True


def _write(pipe: IO[bytes], left: memoryview) -> memoryview:
    """Write what goes in; nothing is left once nobody reads."""
    try:
        return left[os.write(pipe.fileno(), left[:_CHUNK]) :]
    except BlockingIOError:
        return left
    except OSError:
        return left[:0]


def _read(pipe: Any, ran: Ran, *, errors: bool) -> bool:
    """Read what is there; False at the end."""
    try:
        chunk = os.read(pipe.fileno(), _CHUNK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    if errors:
        ran.errors += chunk
        del ran.errors[:-MAX_OUTPUT_BYTES]
    else:
        room = MAX_OUTPUT_BYTES - len(ran.output)
        ran.output += chunk[:room]
        ran.cut = ran.cut or len(chunk) > room
    return bool(chunk)


def _has_exited(process: subprocess.Popen[bytes], ran: Ran) -> bool:
    """Whether it has exited, and how; it is not reaped: its number stays its own."""
    try:
        found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    # Somebody else reaped it, and has its exit status; subprocess would make a 0 of that.
    except ChildProcessError:
        ran.why = "it has ended, and its exit status was lost"
        return True
    if found is None:
        return False
    exited = found.si_code == os.CLD_EXITED
    ran.code, ran.why = (found.si_status if exited else -found.si_status), ""
    return True


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that nobody has reaped, with its whole session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_REAP_SECONDS)


def _close(pipe: IO[bytes] | None) -> None:
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()
