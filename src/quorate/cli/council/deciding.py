"""``quorate council tally`` and ``close``: what the votes come to."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from quorate.cli.council import words
from quorate.cli.council.seat import FILE, File, Id, flag_of, seated, the_proposal, time_of
from quorate.cli.shown import AsJson, print_json, say
from quorate.council import ConsensusProtocol, Decision, TallyResult

REFUSED: Final = 3
"""Exit code of what is refused under ``--strict``."""

Strict = Annotated[
    bool, typer.Option("--strict", help="Exit 3 unless it is approved, and sealed so.")
]


def tally(id_: Id, strict: Strict = False, file: File = FILE, as_json: AsJson = False) -> None:
    """Count the votes, and seal the decision if it is certain or time is up."""
    with seated(file) as protocol:
        the_proposal(protocol, id_)
        _show(protocol, protocol.tally(id_), flag=flag_of(file), strict=strict, as_json=as_json)


def close(id_: Id, strict: Strict = False, file: File = FILE, as_json: AsJson = False) -> None:
    """Seal a decision that is certain already; an open question is never cut short (exit 2)."""
    with seated(file) as protocol:
        the_proposal(protocol, id_)
        _show(protocol, protocol.close(id_), flag=flag_of(file), strict=strict, as_json=as_json)


def _show(
    protocol: ConsensusProtocol, result: TallyResult, *, flag: str, strict: bool, as_json: bool
) -> None:
    proposal, now = protocol.get_proposal(result.proposal_id), time_of(protocol)
    if as_json:
        print_json(words.told(proposal, now, flag))
    else:
        say(result.describe())
        last = words.last_lines(proposal, now, flag)[-1:]
        if result.decision is Decision.PENDING:
            say("nothing is sealed yet")
            last = words.open_lines(proposal, now, flag)[1:]
        for line in last:
            say(line)
    if strict and not result.approved:
        raise typer.Exit(REFUSED)
