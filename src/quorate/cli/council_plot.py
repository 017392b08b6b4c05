"""``quorate council plot``: who agrees with whom, and what came when, as a picture."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.council.seat import FILE, CouncilId, File, Log, looking
from quorate.cli.shown import AsJson, print_json, say
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import counted
from quorate.ledger.appending import system_clock


class What(StrEnum):
    """What can be drawn of a council."""

    AGREEMENT = "agreement"
    TIMELINE = "timeline"


def plot(
    what: Annotated[
        What,
        typer.Argument(
            metavar="agreement|timeline",
            help="agreement: how often every two voters said the same; timeline: what came when.",
        ),
    ],
    picture: Annotated[
        Path, typer.Argument(metavar="FILE.svg|FILE.png", help="Where the picture goes.")
    ],
    min_shared: Annotated[
        int,
        typer.Option(
            min=1,
            max=limits.MAX_SAFE_INTEGER,
            help="With agreement: fewer shared votes than this are hatched.",
        ),
    ] = 3,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Draw who agrees with whom, or when what was proposed, voted, decided and done."""
    from quorate.council.insight import agreements
    from quorate.council.plots import FORMATS, agreement_picture, timeline_picture

    kind = picture.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{picture} says no kind of picture; let its name end in .svg or .png")
    _refuse_taken(picture)
    with looking(file, log, id_) as protocol:
        proposals = protocol.list_proposals()
        if what is What.AGREEMENT:
            voters = protocol.voter_ids
            drawn = agreement_picture(
                voters, agreements(voters, proposals), kind=kind, min_shared=min_shared
            )
        else:
            drawn = timeline_picture(protocol.audit_log, now=system_clock(), kind=kind)
    _write(picture, drawn)
    if as_json:
        print_json({"picture": str(picture), "what": what.value, "proposals": len(proposals)})
    else:
        say(f"{what.value} of {counted(len(proposals), 'proposal')}: {picture}")


def _refuse_taken(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already; name another file, nothing is replaced")


def _write(path: Path, drawn: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(drawn)
    except FileExistsError:
        # Somebody made it in the meantime.
        _refuse_taken(path)
    except OSError as error:
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error
