"""The commands, put together; and how errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated, Any, Final

import typer
from typer.main import get_command

import quorate
from quorate.cli import (
    bench,
    card,
    comply,
    council,
    demo_command,
    drill,
    explain,
    halt,
    init,
    keys,
    ledger,
    outcome,
    override,
    redteam,
    serve,
    trace,
    tune,
    verify,
)
from quorate.cli import run as run_command
from quorate.cli.shown import OutputError, print_json, put, remark, tell, writing
from quorate.core.errors import (
    NoQuorum,
    OperationalError,
    QuorateError,
    UsageError,
    VerificationError,
)

USAGE: Final = 2
REFUSED: Final = 3
UNVERIFIED: Final = 4
UNAVAILABLE: Final = 5
INTERRUPTED: Final = 130

_MISTYPED: Final[type[Exception]] = typer.BadParameter.__mro__[1]
"""Typer's (once click's) UsageError, whichever module this version of it keeps that in."""

app = typer.Typer(
    name="quorate",
    help="Decisions that need a quorum, each one sealed in a receipt that anyone can verify.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Exit codes: 0 done, 2 usage, 3 refused under --strict, 4 verification failed, "
    "5 store, file or network, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        put(f"quorate {quorate.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Decisions that need a quorum, each one sealed in a receipt that anyone can verify."""


_DECIDE, _OVERSEE, _RECORD = "Decide", "Oversee", "Record"
_GOVERN, _ATTACK, _SERVE = "Govern", "Attack", "Serve"

app.command("init", rich_help_panel=_DECIDE)(init.init)
app.command("demo", rich_help_panel=_DECIDE)(demo_command.demo)
app.command("run", rich_help_panel=_DECIDE)(run_command.run)
app.command("explain", rich_help_panel=_DECIDE)(explain.explain)
app.command("trace", rich_help_panel=_DECIDE)(trace.trace)
app.command("outcome", rich_help_panel=_DECIDE)(outcome.outcome)
app.command("tune", rich_help_panel=_DECIDE)(tune.tune)
app.add_typer(council.app, name="council", rich_help_panel=_OVERSEE)
app.command("halt", rich_help_panel=_OVERSEE)(halt.halt)
app.command("resume", rich_help_panel=_OVERSEE)(halt.resume)
app.command("override", rich_help_panel=_OVERSEE)(override.override)
app.add_typer(drill.app, name="drill", rich_help_panel=_OVERSEE)
app.command("verify", rich_help_panel=_RECORD)(verify.verify)
app.add_typer(ledger.app, name="ledger", rich_help_panel=_RECORD)
app.add_typer(keys.app, name="keys", rich_help_panel=_RECORD)
app.add_typer(comply.app, name="comply", rich_help_panel=_GOVERN)
app.add_typer(card.app, name="card", rich_help_panel=_GOVERN)
app.add_typer(redteam.app, name="redteam", rich_help_panel=_ATTACK)
app.add_typer(bench.app, name="bench", rich_help_panel=_ATTACK)
app.add_typer(serve.app, name="serve", rich_help_panel=_SERVE)
app.command("mcp", rich_help_panel=_SERVE)(serve.mcp)


@cache
def _commands() -> Callable[..., Any]:
    # Calling the app itself would put all commands together again for each one that is run.
    return get_command(app)


def exit_code(error: QuorateError) -> int:
    """The exit code that tells whose fault an error was."""
    if isinstance(error, VerificationError):
        return UNVERIFIED
    if isinstance(error, OperationalError):
        return UNAVAILABLE
    if isinstance(error, NoQuorum):
        return REFUSED
    return USAGE


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; nothing ends in a traceback but our own bugs."""
    as_json = "--json" in arguments
    try:
        code = _dispatch(list(arguments), as_json=as_json)
        with writing():
            sys.stdout.flush()
    except QuorateError as error:
        code = _report(error, exit_code(error), as_json=as_json)
    except BrokenPipeError:
        # Whoever read the output has gone, as head does: nothing to complain about.
        code = UNAVAILABLE
    except OSError as error:
        where = "the output" if error.filename is None else error.filename
        told = OperationalError(f"{where}: {error.strerror or error}")
        code = _report(told, UNAVAILABLE, as_json=as_json)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        tell("interrupted")
    return code if _flushed() else UNAVAILABLE


def _dispatch(arguments: list[str], *, as_json: bool) -> int:
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the argument {argument!r} is not UTF-8 text") from error
    try:
        # People get usage errors in a box; for programs they have to be caught.
        code = _commands()(arguments, prog_name="quorate", standalone_mode=not as_json)
    except _MISTYPED as error:
        raise UsageError(_words(error)) from error
    except SystemExit as done:
        # 1 is what typer ends with where the reader of the output has gone.
        return UNAVAILABLE if done.code == 1 else done.code if isinstance(done.code, int) else 0
    return code if isinstance(code, int) else 0


def _words(error: Exception) -> str:
    words = getattr(error, "format_message", error.__str__)()
    return str(words).strip() or "the command is not complete"


def _flushed() -> bool:
    """Write out what is left; where that fails, drop it, so that exiting does not fail over it."""
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        with suppress(OSError):
            os.dup2(null, sys.stdout.fileno())
        os.close(null)
        return False
    return True


def _report(error: QuorateError, code: int, *, as_json: bool) -> int:
    """Tell of an error; return the exit code, another one if it cannot be told in JSON."""
    if as_json and not isinstance(error, OutputError):
        try:
            print_json({"error": _told(error), "exit_code": code})
            with writing():
                sys.stdout.flush()
        except BrokenPipeError:
            return UNAVAILABLE
        except OutputError as unwritten:
            code = _report(unwritten, UNAVAILABLE, as_json=False)
        else:
            return code
    with suppress(OSError):
        remark("[bold red]error:[/]", str(error))
    return code


def _told(error: QuorateError) -> dict[str, object]:
    told: dict[str, object] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, VerificationError):
        told |= {"index": error.index, "rule": error.rule}
    return told
