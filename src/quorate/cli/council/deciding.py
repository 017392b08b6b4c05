"""``quorate council tally``, ``close``, ``execute`` and ``resolve``: what the votes come to."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from quorate.cli.council import words
from quorate.cli.council.seat import FILE, File, Id, flag_of, seated, the_proposal
from quorate.cli.shown import AsJson, print_json, say
from quorate.core.errors import UsageError
from quorate.council import ConsensusProtocol, Decision, TallyResult
from quorate.hub.panel_checks import near
from quorate.ledger.appending import system_clock

_REFUSED: Final = 3
_OUTCOMES: Final = ("executed", "failed")

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
    proposal, now = protocol.get_proposal(result.proposal_id), system_clock()
    if as_json:
        print_json(words.told(proposal, now, flag))
    else:
        say(result.describe())
        if result.decision is Decision.PENDING:
            say("nothing is sealed yet")
        for line in words.last_lines(proposal, now, flag)[-1:]:
            say(line)
    if strict and not result.approved:
        raise typer.Exit(_REFUSED)


def execute(id_: Id, file: File = FILE, as_json: AsJson = False) -> None:
    """Mark an approved proposal as executed by hand; exit 3 unless this very call did so.

    A decision that is certain is sealed first. An electorate that was voted for takes effect.
    """
    with seated(file) as protocol:
        the_proposal(protocol, id_)
        protocol.tally(id_)
        done = protocol.execute(id_)
        proposal = protocol.get_proposal(id_)
        now = system_clock()
        if as_json:
            print_json({"marked": done, **words.told(proposal, now, flag_of(file))})
        elif done:
            say(f"{words.heading(proposal)}: marked as executed, by this call and no other")
        else:
            say(
                f"not marked: {words.done_line(proposal)}"
                if proposal.result is not None
                else f"not marked: {words.heading(proposal)} is not decided"
            )
            say(words.last_lines(proposal, now, flag_of(file))[-1])
    if not done:
        raise typer.Exit(_REFUSED)


def resolve(
    id_: Id,
    outcome: Annotated[
        str, typer.Argument(metavar="executed|failed", help="What became of it, as you found out.")
    ],
    reason: Annotated[str, typer.Option(help="How you found out; it is sealed.")],
    by: Annotated[
        str, typer.Option("--as", metavar="NAME", envvar="QUORATE_VOTER", help="Who says so.")
    ],
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Seal by hand what became of an execution of which no result is known."""
    if outcome not in _OUTCOMES:
        hint = near(outcome.lower(), _OUTCOMES)
        raise UsageError(f"the outcome is {outcome!r}; give {' or '.join(_OUTCOMES)}{hint}")
    with seated(file) as protocol:
        the_proposal(protocol, id_)
        proposal = protocol.resolve(id_, outcome, reason=reason, by=by)
    if as_json:
        print_json(words.told(proposal, system_clock(), flag_of(file)))
    else:
        say(words.done_line(proposal))
