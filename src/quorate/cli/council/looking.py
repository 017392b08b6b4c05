"""``quorate council list``, ``show``, ``history``, ``blocs`` and ``render``: nothing is sealed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from quorate.cli.council import words
from quorate.cli.council.seat import (
    FILE,
    CouncilId,
    File,
    Id,
    Log,
    flag_of,
    looking,
    own_key,
    the_proposal,
    the_voter,
)
from quorate.cli.council.times import moment, relative
from quorate.cli.shown import AsJson, out, print_json, say, writing
from quorate.cli.where import Keys
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.text import counted, printable
from quorate.council import AuditEntry, ConsensusProtocol, Proposal, ProposalStatus, Vote
from quorate.hub.panel_checks import near
from quorate.ledger import read_verifier
from quorate.ledger.appending import system_clock
from quorate.ledger.files import read_text
from quorate.ledger.receipts import timestamp

_LATEST: Final = 10
_STYLES: Final = {"next:": "bold cyan", "needs": "yellow", "time:": ""}


def list_(
    status: Annotated[
        str | None,
        typer.Option(
            help="Only open, decided, executed, expired or cancelled.", show_default=False
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="All that are done too, not the latest ten.")
    ] = False,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """List what is open, what it needs, how long is left, and what was done last."""
    known = [one.value for one in ProposalStatus]
    if status is not None and status not in known:
        hint = near(status.lower(), known)
        raise UsageError(f"the status is {status!r}; give one of {', '.join(known)}{hint}")
    with looking(file, log, id_) as protocol:
        found = protocol.list_proposals(status)
        name, now = protocol.council_id, system_clock()
        flag = "" if log is not None else flag_of(file)
        if as_json:
            shown = [words.told(proposal, now, flag) for proposal in found]
            print_json({"council": name, "now": timestamp(now), "proposals": shown})
            return
        head = f"{head_of(protocol)}, at {moment(now, now)}"
    with writing():
        for line in (Text(head, "bold"), *lines(found, now, None if every else _LATEST, flag)):
            out().print(line, soft_wrap=True)


def head_of(protocol: ConsensusProtocol) -> str:
    """The council in one line."""
    voters = counted(protocol.voter_count, "voter")
    return (
        f"{printable(protocol.council_id)}: {voters}, up to {protocol.max_byzantine_faults} may "
        f"lie, critical takes {counted(protocol.bft_quorum, 'approval')}"
    )


def lines(found: list[Proposal], now: int, most: int | None, flag: str = "") -> list[Text]:
    """Proposals as styled lines: all that ask for something, then the latest of the rest."""
    asking = [p for p in found if words.next_step(p, now) is not None]
    quiet = [p for p in found if words.next_step(p, now) is None]
    told = []
    for proposal in asking:
        is_open = proposal.status is ProposalStatus.OPEN
        head, *rest = (
            words.open_lines(proposal, now, flag)
            if is_open
            else [words.done_line(proposal), *words.last_lines(proposal, now, flag)]
        )
        told.append(Text(head, "bold red" if proposal.is_critical else "bold"))
        told += [Text(f"    {line}", _STYLES.get(line.split(" ")[0], "")) for line in rest]
    if not asking:
        told.append(Text("nothing is open, and nothing waits to be executed", "green"))
    latest = quiet if most is None else quiet[-most:]
    told += [Text(words.done_line(proposal), "dim") for proposal in latest]
    if len(latest) < len(quiet):
        told.append(Text(f"{len(quiet) - len(latest)} earlier, see --all", "dim"))
    return told


def show(
    proposal_id: Id,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Show one proposal whole: evidence, votes with their reasons, and what comes next."""
    with looking(file, log, id_) as protocol:
        proposal, now = the_proposal(protocol, proposal_id), system_clock()
        flag = "" if log is not None else flag_of(file)
        sealed = proposal.result is not None and proposal.state.value != "cancelled"
        decided = protocol.certificate(proposal.id) if sealed else None
    if as_json:
        print_json(
            {
                **words.told(proposal, now, flag),
                "evidence": proposal.evidence,
                "digest": proposal.digest,
                "votes": [_vote(vote) for vote in proposal.votes.values()],
                "cancel_calls": sorted(proposal.cancellations),
                "outcome": None if proposal.outcome is None else dict(proposal.outcome),
                "certificate_seq": None if decided is None else decided.seq,
            }
        )
        return
    is_open = proposal.status is ProposalStatus.OPEN
    for line in words.open_lines(proposal, now, flag) if is_open else [words.done_line(proposal)]:
        say(line)
    if not is_open:
        say(words.last_lines(proposal, now, flag)[-1])
    if decided is not None and proposal.result is not None:
        say(f"decided: {proposal.result.describe()} Sealed as entry {decided.seq}.")
    say(f"digest: {proposal.digest}")
    say(f"evidence: {json.dumps(proposal.evidence, ensure_ascii=False, indent=2)}")
    say("votes:" if proposal.votes else "votes: none")
    for vote in proposal.votes.values():
        why = "" if vote.reason is None else f": {printable(vote.reason)}"
        signed = "signed" if vote.signature else "unsigned"
        say(f"  {_at(vote.at, now)}  {printable(vote.voter_id)} {vote.value} ({signed}){why}")
    for call in proposal.cancellations.values():
        say(f"  {_at(call.at, now)}  {printable(call.voter_id)} calls it off")


def _vote(vote: Vote) -> dict[str, Any]:
    told = vote.to_dict()
    return {**told, "at": timestamp(told["at"])}


def _at(at: int, now: int) -> str:
    return f"{moment(at, now)} ({relative(at, now)})"


def history(
    voter: Annotated[
        str | None, typer.Argument(metavar="[VOTER]", help="Only the votes of this voter.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--verify", help="Verify the whole ledger, and replay every event.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="With --verify: a note kept elsewhere, which shows whether the end was cut off.",
            show_default=False,
        ),
    ] = None,
    key: Keys = None,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Show every event in order, or the votes of one voter."""
    if not check and (checkpoint is not None or key):
        raise UsageError("--checkpoint and --key go with --verify")
    pinned = None
    if checkpoint is not None:
        pinned = read_text(checkpoint, "checkpoint", limits.MAX_PANEL_BYTES)
    trust = [read_verifier(text) for text in key] if key else []
    if check and not trust and log is None:
        trust = own_key(file)
    with looking(file, log, id_, trust) as protocol:
        if check:
            protocol.verify_audit_chain(pinned)
        found, told = _events(protocol) if voter is None else _votes(protocol, voter)
    if as_json:
        print_json({"verified": check, **found})
        return
    for line in told or ["no votes"]:
        say(line)
    if check:
        say("verified: hash chain, signatures and every event")


def _events(protocol: ConsensusProtocol) -> tuple[dict[str, Any], list[str]]:
    """Every event, as JSON and in lines."""
    entries, now = protocol.audit_log, system_clock()
    events = [event(entry) for entry in entries]
    told = [event_line(entry, now) for entry in entries]
    return {"council": protocol.council_id, "events": events}, told


def _votes(protocol: ConsensusProtocol, voter: str) -> tuple[dict[str, Any], list[str]]:
    """The votes that stand of one voter, as JSON and in lines."""
    votes, now = protocol.get_voter_history(voter), system_clock()
    if not votes:
        # Who has voted may be no voter any more; who is neither was mistyped.
        the_voter(protocol.voter_ids, voter)
    cast = [{"proposal": of, **_vote(vote)} for of, vote in votes]
    told = [f"{_at(vote.at, now)}  {of} {vote.value}" for of, vote in votes]
    return {"council": protocol.council_id, "voter": voter, "votes": cast}, told


def event(entry: AuditEntry) -> dict[str, Any]:
    """An event as JSON."""
    return {
        "number": entry.number,
        "seq": entry.seq,
        "at": timestamp(entry.at),
        "event": entry.event,
        "proposal": entry.proposal_id,
        "details": dict(entry.details),
        "hash": entry.entry_hash,
    }


def event_line(entry: AuditEntry, now: int) -> str:
    """An event in one line."""
    said = entry.details
    what = {
        "proposed": lambda: (
            " ".join(str(said[name]) for name in ("action", "target") if said[name] is not None)
            + f", by {said['proposer']}"
        ),
        "voted": lambda: f"{said['voter']} {said['value']}",
        "cancel": lambda: f"{said['voter']} calls it off",
        "decided": lambda: str(said["verdict"]["decision"]).replace("_", " "),
        "intent": lambda: f"execution begins: {said['executor']}",
        "result": lambda: f"execution: {said['outcome']}",
        "resolved": lambda: f"{said['outcome']}, says {said['by']}",
    }.get(entry.event, str)()
    about = entry.proposal_id or "council"
    return f"{moment(entry.at, now)}  {about}  {entry.event}  {printable(what)}".rstrip()


def blocs(
    threshold: Annotated[
        float, typer.Option(help="Least rate of agreement, above 0 and at most 1.")
    ] = 0.9,
    min_shared: Annotated[
        int, typer.Option(min=1, max=limits.MAX_SAFE_INTEGER, help="Fewest votes in common.")
    ] = 3,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Show who votes like whom; agreement alone proves no collusion."""
    with looking(file, log, id_) as protocol:
        matrix = protocol.voter_agreement_matrix()
        found = protocol.detect_voting_blocs(threshold, min_shared)
    if as_json:
        told = [
            {"voters": list(b.voters), "shared": b.shared, "agreement": b.agreement} for b in found
        ]
        print_json({"agreement": matrix, "blocs": told})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("agrees", overflow="fold")
    for voter in matrix:
        table.add_column(escape(printable(voter)), justify="right", overflow="fold")
    for voter, rates in matrix.items():
        cells = ["-" if rate is None else f"{rate:.0%}" for rate in rates.values()]
        table.add_row(escape(printable(voter)), *cells)
    with writing():
        out().print(table, soft_wrap=False)
    for bloc in found:
        names = ", ".join(map(printable, bloc.voters))
        shared = counted(bloc.shared, "shared vote")
        say(f"bloc: {names} agree in {bloc.agreement:.0%} of {shared} at least")
    if not found:
        say(f"no bloc with {counted(min_shared, 'shared vote')} and an agreement of {threshold:g}")
    say("honest voters who see the same facts agree too: this is a hint, never a proof")


def render(
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Tell of the whole council in words; with --json, in numbers."""
    with looking(file, log, id_) as protocol:
        if as_json:
            print_json(protocol.summary())
        else:
            say(protocol.render())
