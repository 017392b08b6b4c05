"""The commands, put together; and how errors become exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

import quorate
from quorate.cli import demo_command, explain, init, keys, ledger, verify
from quorate.cli import run as run_command
from quorate.cli.shown import err, print_json
from quorate.core.errors import NoQuorum, OperationalError, QuorateError, VerificationError

USAGE: Final = 2
REFUSED: Final = 3
UNVERIFIED: Final = 4
UNAVAILABLE: Final = 5
INTERRUPTED: Final = 130

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
        sys.stdout.write(f"quorate {quorate.__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Decisions that need a quorum, each one sealed in a receipt that anyone can verify."""


app.command("init")(init.init)
app.command("demo")(demo_command.demo)
app.command("run")(run_command.run)
app.command("explain")(explain.explain)
app.command("verify")(verify.verify)
app.add_typer(ledger.app, name="ledger")
app.add_typer(keys.app, name="keys")


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
    try:
        app(list(arguments), prog_name="quorate")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except KeyboardInterrupt:
        err().print("interrupted")
        return INTERRUPTED
    except QuorateError as error:
        code = exit_code(error)
        if "--json" in arguments:
            print_json({"error": _told(error), "exit_code": code})
        else:
            console = err()
            console.print("[bold red]error:[/] ", end="")
            console.print(str(error), markup=False)
        return code
    return 0


def _told(error: QuorateError) -> dict[str, object]:
    told: dict[str, object] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, VerificationError):
        told |= {"index": error.index, "rule": error.rule}
    return told
