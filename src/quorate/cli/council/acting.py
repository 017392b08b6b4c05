"""``quorate council propose``, ``vote`` and ``cancel``: what voters do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from quorate.cli.council import words
from quorate.cli.council.file import CouncilFile
from quorate.cli.council.seat import (
    FILE,
    Digest,
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
    time_of,
)
from quorate.cli.council.times import duration
from quorate.cli.shown import AsJson, print_json, say
from quorate.core import limits
from quorate.core.canonical import parse
from quorate.core.errors import UsageError
from quorate.council import (
    ConsensusProtocol,
    ProposalAction,
    ProposalStatus,
    VoteValue,
    electorate_evidence,
    sign_cancellation,
    sign_proposal,
    sign_vote,
)
from quorate.council.telling import quoted
from quorate.hub.panel_checks import near
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
    drop_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VOTER",
            help="With --voters-from: a voter that stays and loses its key; repeat it for more.",
            show_default=False,
        ),
    ] = None,
    once: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name of yours for this proposal: repeated under it, it is not proposed twice.",
            show_default=False,
        ),
    ] = None,
    key: KeyFile = None,
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Put an action to the vote; signed where a key is registered for the proposer."""
    seconds = None if expires is None else duration(expires, "--expires")
    kept = _evidence(evidence)
    with seated(file) as protocol:
        before = {proposal.id for proposal in protocol.list_proposals()}
        name = the_action(protocol, action)
        the_voter(protocol.voter_ids, voter)
        signer = the_key(key, voter, protocol.electorate.keys)
        if (voters_from is not None) != (name == ProposalAction.CHANGE_ELECTORATE):
            raise UsageError(
                "change_electorate, and nothing else, takes --voters-from FILE: a council file "
                "with the new voters"
            )
        if drop_key and voters_from is None:
            raise UsageError("--drop-key goes with --voters-from FILE")
        if voters_from is not None:
            if target is not None or evidence is not None:
                raise UsageError("--voters-from stands in for --target and --evidence; leave them")
            new = CouncilFile(voters_from).electorate
            kept = electorate_evidence(
                new.voters, dict(new.weights), keys=dict(new.keys), drop_keys=drop_key or ()
            )
        put = (voter, name, target, kept, seconds)
        signature = None if signer is None else sign_proposal(signer, protocol.request(*put))
        id_ = protocol.propose(*put, key=once, signature=signature)
        what = "proposed before, under this name" if id_ in before else "proposed"
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
    digest: Digest = None,
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
        protocol.vote(id_, voter, value, reason, signature=signature, digest=digest)
        _show(protocol, id_, f"{quoted(voter)} says {value}", flag=flag_of(file), as_json=as_json)


def cancel(
    id_: Id,
    voter: Voter,
    key: KeyFile = None,
    reason: Reason = None,
    digest: Digest = None,
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Call a proposal off: its proposer before any vote, else as many as pass a critical one.

    What is approved can be called off by as many until it is begun.
    """
    with seated(file) as protocol:
        proposal = the_proposal(protocol, id_)
        the_voter(proposal.electorate.voters, voter)
        signer = the_key(key, voter, proposal.electorate.keys)
        signature = (
            None if signer is None else sign_cancellation(signer, proposal, reason, voter_id=voter)
        )
        done = protocol.cancel(id_, voter, reason, signature=signature, digest=digest)
        calls = len(protocol.get_proposal(id_).cancellations)
        needed = proposal.electorate.quorum.size
        what = (
            "cancelled"
            if done
            else f"{calls} of the {needed} voters that it takes call it off; it goes on until then"
        )
        _show(protocol, id_, what, flag=flag_of(file), as_json=as_json)


def _show(protocol: ConsensusProtocol, id_: str, what: str, *, flag: str, as_json: bool) -> None:
    proposal, now = protocol.get_proposal(id_), time_of(protocol)
    if as_json:
        print_json(words.told(proposal, now, flag))
        return
    say(f"{words.heading(proposal)}: {what}")
    is_open = proposal.status is ProposalStatus.OPEN
    told = words.open_lines(proposal, now, flag)[1:] if is_open else ()
    for line in told or words.last_lines(proposal, now, flag):
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
