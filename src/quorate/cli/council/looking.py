"""``quorate council list``, ``show``, ``history``, ``blocs`` and ``render``: nothing is sealed."""

from __future__ import annotations

import json
from collections.abc import Iterable
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
from quorate.cli.shown import AsJson, note, out, print_json, say, writing
from quorate.cli.where import Keys
from quorate.core import limits
from quorate.core.errors import UsageError
from quorate.core.text import counted, printable
from quorate.council import AuditEntry, ConsensusProtocol, Proposal, ProposalStatus, Vote
from quorate.council.insight import Study
from quorate.council.study import has_libraries
from quorate.hub.panel_checks import near
from quorate.ledger import read_verifier
from quorate.ledger.appending import system_clock
from quorate.ledger.files import read_text
from quorate.ledger.receipts import timestamp

_LATEST: Final = 10
_NO_PROBABILITIES: Final = (
    "they are found by NetworkX and SciPy, and one of them is not installed; run: pip install "
    '"quorate[insight]"'
)
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
        executor = None if proposal.token is None else _executor(protocol, proposal.id)
    if as_json:
        print_json(
            {
                **words.told(proposal, now, flag),
                "evidence": proposal.evidence,
                "digest": proposal.digest,
                "votes": [_vote(vote) for vote in proposal.votes.values()],
                "cancel_calls": sorted(proposal.cancellations),
                "executor": executor,
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
    if executor is not None:
        say(f"executor: {printable(executor)}")
    if proposal.outcome:
        say(words.outcome_line(proposal))
    say(f"digest: {proposal.digest}")
    say(f"evidence: {json.dumps(proposal.evidence, ensure_ascii=False, indent=2)}")
    say("votes:" if proposal.votes else "votes: none")
    for vote in proposal.votes.values():
        why = "" if vote.reason is None else f": {printable(vote.reason)}"
        signed = "signed" if vote.signature else "unsigned"
        say(f"  {_at(vote.at, now)}  {printable(vote.voter_id)} {vote.value} ({signed}){why}")
    for call in proposal.cancellations.values():
        say(f"  {_at(call.at, now)}  {printable(call.voter_id)} calls it off")


def _executor(protocol: ConsensusProtocol, id_: str) -> str | None:
    """What began the execution, as it was sealed; ``None`` where it was marked by hand."""
    begun = (e for e in protocol.audit_log if e.event == "intent" and e.proposal_id == id_)
    return next((str(entry.details["executor"]) for entry in begun), None)


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
    """Show who votes like whom and how likely that is, who takes part, and who always loses.

    Agreement alone proves no collusion. The probabilities need quorate[insight].
    """
    with looking(file, log, id_) as protocol:
        matrix = protocol.voter_agreement_matrix()
        found = protocol.study(threshold, min_shared, probabilities=has_libraries())
    lacks = None if has_libraries() else _NO_PROBABILITIES
    if as_json:
        print_json({"agreement": matrix, **found.to_dict(), "probabilities_lack": lacks})
        return
    with writing():
        out().print(_agreement(found), soft_wrap=False)
        out().print(_records(found), soft_wrap=False)
    say(found.describe())
    if lacks is not None:
        note(f"no probabilities: {lacks}")


def _agreement(found: Study) -> Table:
    """Rates of agreement, each with the number of shared votes it rests on."""
    names = [record.voter for record in found.records]
    table = _table("agrees (shared)", names)
    for one in names:
        cells = []
        for other in names:
            pair = found.pairs.get((min(one, other), max(one, other)))
            rate = None if pair is None else pair.rate
            alone = "" if one == other else "-"
            told = alone if pair is None or rate is None else f"{float(rate):.0%} ({pair.shared})"
            cells.append(told)
        table.add_row(escape(printable(one)), *cells)
    return table


def _records(found: Study) -> Table:
    """What each voter did."""
    table = _table("voter", ["took part", "approves", "rejects", "abstains", "lost"])
    for record in found.records:
        share = record.participation
        took_part = "-" if share is None else f"{float(share):.0%} ({record.called})"
        table.add_row(
            escape(printable(record.voter)),
            took_part,
            str(record.approvals),
            str(record.rejections),
            str(record.abstentions),
            f"{record.lost} of {record.decided}",
        )
    return table


def _table(first: str, others: Iterable[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(escape(printable(name)), justify="right", overflow="fold")
    return table


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
