"""``quorate halt`` and ``quorate resume``: the stop button, and letting go of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from quorate.cli.shown import AsJson, note, print_json, say
from quorate.cli.where import PANEL, is_url, ledger_url, refuse_empty
from quorate.core.errors import UsageError, VerificationError
from quorate.core.text import printable
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

HERE = str(PANEL)
NOT_STOPPED: Final = (
    "what a council executes",
    "routers",
    "hubs over another ledger or none",
)
"""What goes on though this ledger is halted."""


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


def halt(
    by: By,
    reason: Reason,
    target: Target = HERE,
    signer: SignerFile = None,
    as_json: AsJson = False,
) -> None:
    """Stop: from now on 'quorate run' and hubs over this ledger ask nobody, until 'resume'.

    Whichever process they are of. What experts are at is cancelled where it can be; running
    commands end with exit 3. Councils and routers are not stopped by it.
    """
    from quorate.hub.oversight import Oversight

    with writing_to(target, signer) as (log, url):
        oversight = Oversight(log)
        # Sealed before anything is read: a log that is damaged is halted too.
        sealed = oversight.halt(by, reason)
        before = _before(oversight, sealed.seq)
    if as_json:
        print_json({"halted": True, **_told(sealed, url), "not_stopped": list(NOT_STOPPED)})
        return
    if before is not None:
        say(f"it was halted before, by {printable(before.by)} in entry {before.seq}")
    say(
        f"halted in entry {sealed.seq}, {sealed.timestamp}: from here on 'quorate run' and hubs "
        "over this ledger ask nobody"
    )
    say(f"  ledger: {url}")
    say(f"  not stopped by it: {', '.join(NOT_STOPPED)}")
    which = "" if before is None else f" --halt {sealed.seq}"
    say(f"  to go on: quorate resume {target}{which} --by NAME --reason TEXT")


def _before(oversight: Oversight, seq: int) -> Halt | None:
    try:
        return oversight.halted_before(seq)
    except VerificationError as error:
        note(f"the halt is sealed, but the log before it is damaged: {error}; look at it first")
        return None


def resume(
    by: By,
    reason: Reason,
    target: Target = HERE,
    halt: WhichHalt = None,
    signer: SignerFile = None,
    as_json: AsJson = False,
) -> None:
    """Lift one halt; when none is left in force, give the command that was halted again."""
    from quorate.hub.oversight import Oversight

    with writing_to(target, signer) as (log, url):
        oversight = Oversight(log)
        before = {one.seq: one for one in oversight.in_force}
        sealed = oversight.resume(by, reason, halt=halt)
        left = oversight.in_force
    seq = sealed.payload["halt"]
    # One that was sealed since it was looked up is lifted only where it was named.
    lifted = before.get(seq)
    if as_json:
        told = {"seq": seq, "by": None if lifted is None else lifted.by}
        still = [{"seq": one.seq, "by": one.by, "reason": one.reason} for one in left]
        print_json({"halted": bool(left), "in_force": still, "lifted": told, **_told(sealed, url)})
        return
    whose = "" if lifted is None else f" by {printable(lifted.by)}"
    say(f"resumed in entry {sealed.seq}, {sealed.timestamp}: the halt{whose} is lifted")
    for one in left:
        say(f"  still halted by {printable(one.by)} in entry {one.seq}: {printable(one.reason)}")
    if not left:
        say("  what was halted goes on when its command is given again; nothing is decided twice")


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
