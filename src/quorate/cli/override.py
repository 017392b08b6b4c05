"""``quorate override``: a person's word in place of a decision."""

from __future__ import annotations

from typing import Annotated

import typer

from quorate.cli.halt import By, Reason, SignerFile, writing_to
from quorate.cli.shown import AsJson, print_json, say
from quorate.core.canonical import parse
from quorate.core.errors import UsageError


def override(
    target: Annotated[
        str, typer.Argument(metavar="LEDGER|PANEL", help="A ledger, or the panel file naming it.")
    ],
    seq: Annotated[int, typer.Argument(help="Number of the decision's entry, from 0.", min=0)],
    by: By,
    reason: Reason,
    answer: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="What stands in its place, such as '\"no\"'; without it, the decision is "
            "disregarded.",
            show_default=False,
        ),
    ] = None,
    signer: SignerFile = None,
    as_json: AsJson = False,
) -> None:
    """Override a decision, or disregard it; the decision stays on record as it was.

    From now on the hub gives out this answer for that task, or refuses it where none is given;
    'quorate run' writes a line that says so. What was acted upon before is not undone.
    """
    from quorate.hub.oversight import Oversight

    given = () if answer is None else (_read(answer),)
    with writing_to(target, signer) as (log, url):
        size, oversight = len(log), Oversight(log)
        sealed = oversight.override(seq, by, reason, *given)
        standing = oversight.standing(seq)
    if as_json:
        told = None if standing is None else standing.to_dict()
        print_json({"decision": seq, "seq": sealed.seq, "standing": told, "ledger": url})
        return
    earlier = "" if sealed.seq >= size else " (it was sealed before, nothing was added)"
    say(f"override of decision {seq} sealed in entry {sealed.seq}, {sealed.timestamp}{earlier}")
    if standing is not None:
        say(f"  {standing.describe()}")
    say(f"  its story: quorate explain {seq} --ledger {url}")


def _read(answer: str) -> object:
    try:
        return parse(answer)
    except UsageError as error:
        raise UsageError(
            f"--answer is not JSON: {error}; a text has quotes of its own, as in --answer '\"no\"'"
        ) from error
