"""``quorate halt`` and ``quorate resume``: the stop button, and letting go of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from quorate.cli.shown import AsJson, note, print_json, say, tell
from quorate.cli.where import PANEL, is_url, ledger_url, refuse_empty
from quorate.core.errors import OperationalError, UsageError, VerificationError
from quorate.core.text import counted, printable
from quorate.ledger import Ledger, Receipt, read_signer

if TYPE_CHECKING:
    from quorate.hub.oversight import Halt, Oversight

Target = Annotated[
    str,
    typer.Argument(
        metavar="[LEDGER|PANEL]",
        help="A panel file (.toml), which names its ledger and key; or a ledger (URL or file).",
    ),
]
SignerFile = Annotated[
    Path | None,
    typer.Option(
        "--signer",
        help="Private key of the ledger; a panel file names its own.",
        show_default=False,
    ),
]
By = Annotated[
    str,
    typer.Option(
        "--by", metavar="NAME", envvar="QUORATE_BY", help="Who you are; sealed as you give it."
    ),
]
WhichHalt = Annotated[
    int | None,
    typer.Option(
        "--halt",
        metavar="SEQ",
        min=0,
        help="Entry of the halt to lift; to be named where more than one is in force.",
        show_default=False,
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is sealed.")]
HaltBy = Annotated[
    str | None,
    typer.Option(
        "--by",
        metavar="NAME",
        envvar="QUORATE_BY",
        help="Who you are; sealed as you give it. Needed to halt.",
        show_default=False,
    ),
]
HaltReason = Annotated[
    str | None,
    typer.Option(
        "--reason", metavar="TEXT", help="Why; it is sealed. Needed to halt.", show_default=False
    ),
]
Show = Annotated[
    bool,
    typer.Option("--show", help="Only look: say who halts, all halts in force. Halts nothing."),
]

HERE = str(PANEL)
NOT_STOPPED: Final = (
    "what a council executes",
    "routers",
    "hubs over another ledger or none",
)
"""What goes on though this ledger is halted."""


DO_NOT_COUNT_ON_IT: Final = (
    "it was NOT halted: no halt is sealed. Do not count on work stopping by itself: end the "
    "processes that work over this ledger."
)


def is_panel(target: str) -> bool:
    """Whether it is meant as a panel file, rather than as a ledger."""
    return not is_url(target) and target.endswith(".toml")


@contextmanager
def writing_to(target: str, signer: Path | None) -> Iterator[tuple[Ledger, str]]:
    """Open the ledger that is meant for writing; give it and its URL.

    A panel that was never run has no ledger yet: it is begun, for who halts it means it.

    Raises:
        UsageError: a ledger without its key, or a panel beside another key.
        OperationalError, StoreError: the panel, key or ledger cannot be read.
    """
    if is_panel(target):
        if signer is not None:
            raise UsageError(f"leave --signer out: {target} names the key of its ledger")
        from quorate.hub.panel import Panel

        _refuse_none(target)
        panel = Panel.declared(target)
        key = read_signer(panel.signer_path)
        with Ledger.open(panel.ledger_url, signer=key, origin=panel.table.ledger.origin) as log:
            yield log, panel.ledger_url
        return
    url = ledger_url(target)
    if signer is None:
        raise UsageError(
            f"name the private key of {target} with --signer, or give the panel file, which "
            "names both"
        )
    refuse_empty(url)
    # Opening it with a signer would begin a ledger where there is none.
    Ledger.open(url).close()
    with Ledger.open(url, signer=read_signer(signer)) as log:
        yield log, url


def _refuse_none(panel: str) -> None:
    """Say how a ledger is named, where there is no panel file in this folder.

    Raises:
        OperationalError: the panel file that is looked for by default is not there.
    """
    if panel == HERE and not PANEL.exists():
        raise OperationalError(
            f"there is no {panel} in this folder; name a ledger and its private key, as LEDGER "
            "--signer KEY, such as ledger.db --signer keys/ledger.key, or a panel file; "
            "'quorate init' writes one in a new folder"
        )


def resuming(target: str, signer: Path | None, halt: int | None) -> str:
    """The command that lifts that halt, or the only one."""
    key = "" if signer is None else f" --signer {shlex.quote(str(signer))}"
    which = "" if halt is None else f" --halt {halt}"
    return f"quorate resume {shlex.quote(target)}{key}{which} --by NAME --reason TEXT"


def halt(
    target: Target = HERE,
    *,
    by: HaltBy = None,
    reason: HaltReason = None,
    signer: SignerFile = None,
    show: Show = False,
    as_json: AsJson = False,
) -> None:
    """Stop: from now on 'quorate run' and hubs over this ledger ask nobody, until 'resume'.

    Whichever process they are of. What experts are at is cancelled where it can be; running
    commands end with exit 3. Councils and routers are not stopped by it. With --show nothing is
    halted: it says whether it is, and by whom.
    """
    if show:
        if reason is not None:
            raise UsageError("--show only looks, and seals no reason: leave one of them out")
        _show(target, signer, as_json=as_json)
        return
    by, reason = _checked(by, reason)
    sealed, url, before, damage = _halted(target, signer, by, reason)
    if as_json:
        more = {"not_stopped": list(NOT_STOPPED), "damaged": damage}
        print_json({"halted": True, **_told(sealed, url), **more})
        return
    if before is not None:
        say(f"it was halted before, by {printable(before.by)} in entry {before.seq}")
    say(
        f"halted in entry {sealed.seq}, {sealed.timestamp}: from here on 'quorate run' and hubs "
        "over this ledger ask nobody"
    )
    say(f"  ledger: {url}")
    say(f"  not stopped by it: {', '.join(NOT_STOPPED)}")
    if damage is None:
        which = None if before is None else sealed.seq
        say(f"  to go on: {resuming(target, signer, which)}")
    else:
        say(
            "  no resume lifts it, for the log is damaged: keep it as it is, look at it with "
            "'quorate verify', and begin another ledger"
        )


def _halted(
    target: str, signer: Path | None, by: str, reason: str
) -> tuple[Receipt, str, Halt | None, str | None]:
    """Halt; the receipt, the ledger, the halt before it, and how the log is damaged, if it is."""
    from quorate.hub.oversight import Oversight

    sealed = None
    try:
        with writing_to(target, signer) as (log, url):
            oversight = Oversight(log)
            # Sealed before anything is read: a log that is damaged is halted too.
            sealed = oversight.halt(by, reason)
            before, damage = _before(oversight, sealed.seq)
    except VerificationError:
        if sealed is None:
            tell(
                f"{DO_NOT_COUNT_ON_IT} Then keep the ledger as it is, for 'quorate verify' to look "
                "at, and begin another"
            )
        raise
    except (OperationalError, UsageError):
        if sealed is None:
            tell(f"{DO_NOT_COUNT_ON_IT} Or mend what is wrong below, and halt again")
        raise
    return sealed, url, before, damage


def _before(oversight: Oversight, seq: int) -> tuple[Halt | None, str | None]:
    try:
        return oversight.halted_before(seq), None
    except VerificationError as error:
        note(f"the halt is sealed, but the log before it is damaged: {error}")
        return None, str(error)


def _checked(by: str | None, reason: str | None) -> tuple[str, str]:
    """Who acts and why, told by the names of the options.

    Raises:
        UsageError: one of them is missing, or says nothing.
    """
    from quorate.hub.oversight.rules import who, why

    if by is None:
        raise UsageError("say who you are: --by NAME, or QUORATE_BY in the environment")
    if reason is None:
        raise UsageError("say why: --reason TEXT, for whoever reads the record later")
    if not by:
        raise UsageError("--by is empty; give a person's name, on one line")
    if not reason:
        raise UsageError("--reason is empty; say why, for whoever reads the record later")
    try:
        by = who(by)
    except UsageError as error:
        raise UsageError(f"--by: {error}") from error
    try:
        return by, why(reason)
    except UsageError as error:
        raise UsageError(f"--reason: {error}") from error


def _show(target: str, signer: Path | None, *, as_json: bool) -> None:
    """Say which halts are in force; nothing is written."""
    from quorate.hub.oversight import Oversight

    keys = () if signer is None else (read_signer(signer).verifier,)
    if is_panel(target):
        if signer is not None:
            raise UsageError(f"leave --signer out: {target} names the key of its ledger")
        from quorate.hub.panel import Panel

        _refuse_none(target)
        url = Panel.declared(target).ledger_url
    else:
        url = ledger_url(target)
    refuse_empty(url)
    with Ledger.open(url, verify_with=keys) as log:
        found = Oversight(log).in_force
    if as_json:
        print_json({"halted": bool(found), "in_force": [*map(_row, found)], "ledger": url})
        return
    count = f"{counted(len(found), 'halt')} in force" if found else "not halted"
    say(f"{count}: {url}")
    for one in found:
        say(f"  entry {one.seq}, {one.time}, by {printable(one.by)}: {printable(one.reason)}")
    for one in found:
        say(f"  to lift it: {resuming(target, signer, one.seq)}")


def _row(one: Halt) -> dict[str, object]:
    return {"seq": one.seq, "time": one.time, "by": one.by, "reason": one.reason}


def resume(
    by: By,
    reason: Reason,
    target: Target = HERE,
    halt: WhichHalt = None,
    signer: SignerFile = None,
    as_json: AsJson = False,
) -> None:
    """Lift one halt; when none is left in force, give the command that was halted again."""
    by, reason = _checked(by, reason)
    sealed, url, before, left = _resumed(target, signer, by, reason, halt)
    seq = sealed.payload["halt"]
    # One that was sealed since it was looked up is lifted only where it was named.
    lifted = before.get(seq)
    if as_json:
        told = {"seq": seq, "by": None if lifted is None else lifted.by}
        still = {"halted": bool(left), "in_force": [*map(_row, left)]}
        print_json({**still, "lifted": told, **_told(sealed, url)})
        return
    whose = "" if lifted is None else f" by {printable(lifted.by)}"
    say(f"resumed in entry {sealed.seq}, {sealed.timestamp}: the halt{whose} is lifted")
    for one in left:
        say(f"  still halted by {printable(one.by)} in entry {one.seq}: {printable(one.reason)}")
    if not left:
        say("  what was halted goes on when its command is given again; nothing is decided twice")


def _resumed(
    target: str, signer: Path | None, by: str, reason: str, halt: int | None
) -> tuple[Receipt, str, dict[int, Halt], tuple[Halt, ...]]:
    """Lift a halt; the receipt, the ledger, and the halts in force before and after it.

    Raises:
        UsageError: none is in force, or several are and none is named.
    """
    from quorate.hub.oversight import Oversight
    from quorate.hub.oversight.rules import listed

    try:
        with writing_to(target, signer) as (log, url):
            oversight = Oversight(log)
            before = {one.seq: one for one in oversight.in_force}
            if halt is None and len(before) > 1:
                raise UsageError(
                    f"{len(before)} halts are in force: {listed(tuple(before.values()))}; a resume "
                    "lifts one: name it with --halt SEQ"
                )
            sealed = oversight.resume(by, reason, halt=halt)
            return sealed, url, before, oversight.in_force
    except VerificationError:
        tell(
            "the ledger does not verify, so nobody can tell what is halted: nothing goes on over "
            "it. Keep it as it is, look at it with 'quorate verify', and begin another"
        )
        raise


def _told(sealed: Receipt, url: str) -> dict[str, object]:
    body = sealed.payload
    return {
        "seq": sealed.seq,
        "hash": sealed.entry_hash,
        "time": sealed.timestamp,
        "by": body["by"],
        "reason": body["reason"],
        "ledger": url,
    }
