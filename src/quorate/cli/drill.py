"""``quorate drill``: see that halting and overriding work, and seal what was seen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from quorate.cli.comply.options import SYSTEM
from quorate.cli.halt import HERE, SignerFile, Target, is_panel, resuming, writing_to
from quorate.cli.shown import AsJson, note, print_json, progress, say, tell
from quorate.core.canonical import parse
from quorate.core.errors import UsageError

if TYPE_CHECKING:
    from quorate.compliance.drill_work import Workforce
    from quorate.compliance.drills import DrillResult

_FAILED: Final = 4

app = typer.Typer(
    help="Drill human oversight: halt work, or override decisions, and seal what was seen. A "
    "script stands in for the experts, and the record says so; with --panel it is the panel's own.",
    no_args_is_help=True,
)

SystemName = Annotated[
    str | None,
    typer.Option(
        "--system",
        metavar="NAME|FILE",
        help="Name of the system that is drilled, or the file (.toml) that declares it; else "
        "./system.toml.",
        show_default=False,
    ),
]
Version = Annotated[
    str | None,
    typer.Option("--version", help="Its version; else as declared.", show_default=False),
]
By = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        envvar="QUORATE_BY",
        help="Who you are; sealed as you give it. Asked for at a terminal.",
        show_default=False,
    ),
]
Why = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="TEXT",
        help="Why; it is sealed. Else what the drill is for.",
        show_default=False,
    ),
]
OwnPanel = Annotated[
    bool,
    typer.Option(
        "--panel",
        help="Ask the panel file's own experts, some ten times: it may cost. Else scripted "
        "experts are asked, and the record says so.",
    ),
]
TaskInput = Annotated[
    str | None,
    typer.Option(
        "--task",
        metavar="JSON",
        help="With --panel: the input to ask about; one on which the experts agree.",
        show_default=False,
    ),
]


@app.command("halt")
def halt(
    target: Target = HERE,
    *,
    by: By = None,
    system: SystemName = None,
    version: Version = None,
    reason: Why = None,
    own: OwnPanel = False,
    task: TaskInput = None,
    signer: SignerFile = None,
    as_json: AsJson = False,
) -> None:
    """Halt work that is under way, see that nothing is dispatched after it, and lift the halt.

    The work is a script's unless --panel is given. Exits 4 if it did not hold. While it lasts,
    nothing else is dispatched from that ledger: a 'quorate run' over it ends with exit 3. Ctrl-C
    lifts the drill's own halt.
    """
    from quorate.compliance.drills import HALT_WHY, halt_drill

    scope = _scope(system, version)
    why = HALT_WHY if reason is None else reason
    run = partial(halt_drill, scope=scope, by=_who(by), reason=why)
    _drill(run, target, signer, own=own, task=task, as_json=as_json)


@app.command("override")
def override(
    target: Target = HERE,
    *,
    by: By = None,
    system: SystemName = None,
    version: Version = None,
    reason: Why = None,
    own: OwnPanel = False,
    task: TaskInput = None,
    signer: SignerFile = None,
    as_json: AsJson = False,
) -> None:
    """Override one decision, disregard another, and see that this is what comes back.

    The decisions are a script's unless --panel is given. Exits 4 if it did not hold.
    """
    from quorate.compliance.drills import OVERRIDE_WHY, override_drill

    scope = _scope(system, version)
    why = OVERRIDE_WHY if reason is None else reason
    run = partial(override_drill, scope=scope, by=_who(by), reason=why)
    _drill(run, target, signer, own=own, task=task, as_json=as_json)


def _drill(
    run: Callable[..., DrillResult],
    target: str,
    signer: Path | None,
    *,
    own: bool,
    task: str | None,
    as_json: bool,
) -> None:
    with (
        _workforce(target, own, task) as work,
        writing_to(target, signer) as (log, url),
        progress("drilling") as shown,
        _told_of_its_halt(target, signer),
    ):
        shown(0, None)
        result = run(log, work=work)
    if as_json:
        print_json({**result.to_dict(), "ledger": url})
    else:
        say(result.drill.describe())
        say(f"sealed in entry {result.receipt.seq} of {url}")
    if not own:
        note(
            f"a script stood in for the experts, under the panel {result.drill.panel}: this shows "
            "the ledger's own halt and override, and --panel --task JSON that the panel's experts "
            "obey them; a verifier's policy that pins panels has to name the script's panel too"
        )
    elif not result.drill.seen.get("under_way", 1):
        note(
            "the experts were done before the halt, so nothing was stopped: this shows that "
            "nothing more is begun; to see work stopped, give a --task that takes them a while"
        )
    if not result.passed:
        raise typer.Exit(_FAILED)


@contextmanager
def _told_of_its_halt(target: str, signer: Path | None) -> Iterator[None]:
    """Where a drill ends early, say what became of the halt that it sealed."""
    from quorate.compliance.drills import DrillInterrupted, HaltLeftError

    try:
        yield
    except DrillInterrupted as cut:
        if cut.halt is None:
            tell("the drill halted nothing yet")
        elif cut.in_force:
            tell(_lifting(target, signer, cut.halt))
        else:
            tell(f"the drill's own halt, entry {cut.halt}, is lifted")
        raise
    except HaltLeftError as error:
        tell(_lifting(target, signer, error.halt))
        raise


def _lifting(target: str, signer: Path | None, halt: int) -> str:
    command = resuming(target, signer, halt)
    return f"the drill's halt, entry {halt}, is still in force; this lifts it: {command}"


def _who(by: str | None) -> str:
    if by is not None:
        return by
    if not sys.stdin.isatty():
        raise UsageError("say who drills: --by NAME, or QUORATE_BY in the environment")
    return str(typer.prompt("Who drills? Your name, to be sealed", err=True))


def _scope(system: str | None, version: str | None) -> dict[str, str]:
    """Which system is drilled: as named, else as its file declares it.

    Raises:
        UsageError: nobody says which, or a name goes without its version.
    """
    if system is not None and version is not None and not system.endswith(".toml"):
        return {"system": system, "version": version}
    from quorate.cli.comply.declared import read_system

    path = Path(system) if system is not None and system.endswith(".toml") else SYSTEM
    if path == SYSTEM and not path.is_file():
        raise UsageError(
            f"say what is drilled: --system NAME --version VERSION, or declare it in {SYSTEM}, "
            "which 'quorate comply init' writes"
        )
    declared = read_system(path)
    if system not in (None, str(path), declared.name):
        raise UsageError(
            f"--system is {system!r}, and {path} declares {declared.name!r}: give its --version too"
        )
    return {"system": declared.name, "version": version or declared.version}


@contextmanager
def _workforce(target: str, own: bool, task: str | None) -> Iterator[Workforce | None]:
    """Who is at work; ``None`` for the script."""
    if not own:
        if task is not None:
            raise UsageError("--task is for --panel: scripted experts have a task of their own")
        yield None
        return
    if not is_panel(target):
        raise UsageError(f"--panel asks a panel's own experts; {target} is no panel file (.toml)")
    if task is None:
        raise UsageError(
            "--panel takes --task JSON: an input that the experts understand and agree on"
        )
    try:
        given = parse(task)
    except UsageError as error:
        raise UsageError(f"--task is not JSON: {error}") from error
    from quorate.compliance.drill_work import of_panel
    from quorate.hub.panel import Panel

    # Experts may print, as their modules may that are run to be imported.
    with redirect_stdout(sys.stderr):
        panel = Panel.load(target)
        with panel.importing():
            yield of_panel(panel, given)
