"""``quorate council propose``, ``vote`` and ``cancel``: what voters do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli.council import words
from quorate.cli.council.file import CouncilFile
from quorate.cli.council.seat import (
    FILE,
    File,
    Id,
    KeyFile,
    Reason,
    complete_action,
    flag_of,
    seated,
    the_action,
    the_key,
    the_proposal,
    the_voter,
)
from quorate.cli.council.times import duration
from quorate.cli.shown import AsJson, print_json, say
from quorate.core import limits
from quorate.core.canonical import parse
from quorate.core.errors import UsageError
from quorate.core.text import printable
from quorate.council import (
    ConsensusProtocol,
    ProposalAction,
    VoteValue,
    sign_cancellation,
    sign_vote,
)
from quorate.hub.panel_checks import near
from quorate.ledger.appending import system_clock
from quorate.ledger.files import read_text

Voter = Annotated[
    str, typer.Option("--as", metavar="VOTER", envvar="QUORATE_VOTER", help="Which voter you are.")
]


def propose(
    action: Annotated[
        str,
        typer.Argument(
            help="What is to be done, such as quarantine or terminate.",
            autocompletion=complete_action,
        ),
    ],
    voter: Voter,
    target: Annotated[str | None, typer.Option(help="What it is done to.")] = None,
    evidence: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|JSON",
            help="A JSON file, or JSON that begins with {, [ or a quote.",
            show_default=False,
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="10m",
            help="How long votes count: 90s, 10m, 1h30m, 2d or never; else as the council says.",
            show_default=False,
        ),
    ] = None,
    voters_from: Annotated[
        Path | None,
        typer.Option(
            help="With change_electorate: the council file that names the new voters.",
            show_default=False,
        ),
    ] = None,
    *,
    key: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="A name of yours for this proposal: repeated under it, it is not proposed twice.",
            show_default=False,
        ),
    ] = None,
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Put an action to the vote."""
    seconds = None if expires is None else duration(expires, "--expires")
    kept = _evidence(evidence)
    if key is not None and Path(key).is_file():
        raise UsageError(
            f"--key is {key!r}, a file; of propose it is any text that tells a repeated proposal "
            "from a new one, for proposals are not signed"
        )
    with seated(file) as protocol:
        before = {proposal.id for proposal in protocol.list_proposals()}
        name = the_action(protocol, action)
        the_voter(protocol.voter_ids, voter)
        if (voters_from is not None) != (name == ProposalAction.CHANGE_ELECTORATE):
            raise UsageError(
                "change_electorate, and nothing else, takes --voters-from FILE: a council file "
                "with the new voters"
            )
        if voters_from is None:
            id_ = protocol.propose(voter, name, target, kept, seconds, key=key)
        else:
            if target is not None or evidence is not None:
                raise UsageError("--voters-from stands in for --target and --evidence; leave them")
            new = CouncilFile(voters_from).electorate
            id_ = protocol.propose_electorate(
                voter,
                new.voters,
                dict(new.weights),
                keys=dict(new.keys),
                expiry_seconds=seconds,
                key=key,
            )
        what = "proposed before, under this key" if id_ in before else "proposed"
        _show(protocol, id_, what, flag=flag_of(file), as_json=as_json)


def vote(
    id_: Id,
    value: Annotated[
        str,
        typer.Argument(
            metavar="approve|reject|abstain",
            help="What you say.",
            autocompletion=lambda: [value.value for value in VoteValue],
        ),
    ],
    voter: Voter,
    key: KeyFile = None,
    reason: Reason = None,
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Vote on an open proposal; the vote is signed where a key is registered for the voter."""
    known = [one.value for one in VoteValue]
    if value not in known:
        hint = near(value.lower(), known)
        raise UsageError(f"the vote is {value!r}; give one of {', '.join(known)}{hint}")
    with seated(file) as protocol:
        proposal = the_proposal(protocol, id_)
        the_voter(proposal.electorate.voters, voter)
        signer = the_key(key, voter, proposal.electorate.keys)
        signature = (
            None if signer is None else sign_vote(signer, proposal, value, reason, voter_id=voter)
        )
        protocol.vote(id_, voter, value, reason, signature=signature)
        _show(
            protocol, id_, f"{printable(voter)} says {value}", flag=flag_of(file), as_json=as_json
        )


def cancel(
    id_: Id,
    voter: Voter,
    key: KeyFile = None,
    reason: Reason = None,
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Call a proposal off: its proposer before any vote, else as many as pass a critical one."""
    with seated(file) as protocol:
        proposal = the_proposal(protocol, id_)
        the_voter(proposal.electorate.voters, voter)
        signer = the_key(key, voter, proposal.electorate.keys)
        signature = (
            None if signer is None else sign_cancellation(signer, proposal, reason, voter_id=voter)
        )
        done = protocol.cancel(id_, voter, reason, signature=signature)
        calls = len(protocol.get_proposal(id_).cancellations)
        needed = proposal.electorate.quorum.size
        what = (
            "cancelled" if done else f"call {calls} to cancel it is kept, {needed} heads it takes"
        )
        _show(protocol, id_, what, flag=flag_of(file), as_json=as_json)


def _show(protocol: ConsensusProtocol, id_: str, what: str, *, flag: str, as_json: bool) -> None:
    proposal, now = protocol.get_proposal(id_), system_clock()
    if as_json:
        print_json(words.told(proposal, now, flag))
        return
    say(f"{words.heading(proposal)}: {what}")
    for line in words.last_lines(proposal, now, flag):
        say(f"  {line}")


def _evidence(given: str | None) -> Any:
    """The evidence that is meant: JSON itself, or a file's.

    Raises:
        UsageError: no JSON.
        OperationalError: the file cannot be read.
    """
    if given is None:
        return None
    itself = given.lstrip()[:1] in {"{", "[", '"'}
    text = given if itself else read_text(given, "evidence", limits.MAX_PAYLOAD_BYTES)
    try:
        return parse(text)
    except UsageError as error:
        where = "--evidence" if itself else given
        raise UsageError(f"{where} is not JSON that can be sealed: {error}") from error
