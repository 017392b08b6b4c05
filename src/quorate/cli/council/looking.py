"""``quorate council list``, ``show``, ``history``, ``blocs`` and ``render``: nothing is sealed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
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
    Look,
    the_proposal,
    the_voter,
    time_of,
)
from quorate.cli.council.times import moment, relative
from quorate.cli.shown import AsJson, note, out, print_json, say, writing
from quorate.cli.where import Keys
from quorate.core import limits
from quorate.core.canonical import digest
from quorate.core.errors import UsageError
from quorate.core.text import counted, printable
from quorate.council import AuditEntry, ConsensusProtocol, Proposal, ProposalStatus, Vote
from quorate.council.events import KIND
from quorate.council.insight import Study
from quorate.council.rules.tally import is_expired
from quorate.council.study import has_libraries
from quorate.council.telling import quoted
from quorate.hub.panel_checks import near
from quorate.ledger.appending import system_clock
from quorate.ledger.files import read_text
from quorate.ledger.receipts import timestamp

_LATEST: Final = 10
_MICROSECONDS: Final = 1_000_000
_TAIL: Final = (
    "the end is not proven: give a checkpoint that was kept elsewhere with --checkpoint, or what "
    "was cut off goes unseen"
)
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
    key: Keys = None,
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
    look = Look.of(file, log, id_, key)
    with look.seat() as protocol:
        now = time_of(protocol)
        found = [p for p in protocol.list_proposals() if status in (None, _status(p, now))]
        if as_json:
            print_json({**state_of(protocol, look, now), "proposals": _all_told(found, now, look)})
            return
        head = f"{head_of(protocol)}, at {moment(now, now)}"
    shown = lines(found, now, None if every else _LATEST, look, status)
    with writing():
        for line in (Text(head, "bold"), *shown):
            out().print(line, soft_wrap=True)


def _status(proposal: Proposal, now: int) -> str:
    """Its status, but expired as soon as its time is up, sealed or not."""
    if proposal.status is ProposalStatus.OPEN and is_expired(proposal, now):
        return ProposalStatus.EXPIRED.value
    return proposal.status.value


def state_of(protocol: ConsensusProtocol, look: Look, now: int) -> dict[str, Any]:
    """Which council it is, as JSON, with what whoever trusts it pins."""
    return {
        "council": protocol.council_id,
        "genesis": _genesis(protocol),
        "electorate": protocol.electorate.digest,
        "now": timestamp(now),
        "clock_ahead_seconds": max(now - system_clock(), 0) / _MICROSECONDS,
        "signatures": look.signatures,
    }


def _genesis(protocol: ConsensusProtocol) -> str:
    """Digest of the opening event, which no other council has."""
    events = protocol.ledger.find(trace_id=protocol.council_id, kind=KIND)
    return digest(next(iter(events)).payload)


def _all_told(found: Iterable[Proposal], now: int, look: Look) -> list[dict[str, Any]]:
    return [words.told(proposal, now, look.flag, look.unchecked) for proposal in found]


def head_of(protocol: ConsensusProtocol) -> str:
    """The council in one line."""
    voters = counted(protocol.voter_count, "voter")
    return (
        f"{quoted(protocol.council_id)}: {voters}, up to {protocol.max_byzantine_faults} may "
        f"lie, critical takes {counted(protocol.bft_quorum, 'approval')}"
    )


def lines(
    found: list[Proposal], now: int, most: int | None, look: Look, status: str | None = None
) -> list[Text]:
    """Proposals as styled lines: all that ask for something, then the latest of the rest.

    First comes what waits to be done, then what time is up first.
    """
    asking = [p for p in found if words.next_step(p, now) is not None]
    quiet = [p for p in found if words.next_step(p, now) is None]
    told = []
    for proposal in sorted(asking, key=words.urgency):
        head, *rest = _lines_of(proposal, now, look)
        told.append(Text(head, "bold red" if proposal.is_critical else "bold"))
        told += [Text(f"    {line}", _STYLES.get(line.split(" ")[0], "")) for line in rest]
    if not asking and status is None:
        told.append(Text("nothing is open, and nothing waits to be executed", "green"))
    elif not found:
        told.append(Text(f"no proposal is {status}"))
    latest = quiet if most is None else quiet[-most:]
    told += [Text(words.done_line(proposal, now), "dim") for proposal in latest]
    if len(latest) < len(quiet):
        told.append(Text(f"{len(quiet) - len(latest)} earlier, see --all", "dim"))
    return told


def _lines_of(proposal: Proposal, now: int, look: Look) -> list[str]:
    if proposal.status is ProposalStatus.OPEN:
        return words.open_lines(proposal, now, look.flag)
    last = words.last_lines(proposal, now, look.flag, look.unchecked)
    return [words.done_line(proposal, now), *last]


def show(
    proposal_id: Id,
    key: Keys = None,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Show one proposal whole: evidence, votes with their reasons, and what comes next."""
    look = Look.of(file, log, id_, key)
    with look.seat() as protocol:
        proposal, now = the_proposal(protocol, proposal_id), time_of(protocol)
        sealed = proposal.result is not None and proposal.state.value != "cancelled"
        decided = protocol.certificate(proposal.id) if sealed else None
    executor = None if proposal.begun is None else proposal.begun.executor
    if as_json:
        print_json(
            {
                **words.told(proposal, now, look.flag, look.unchecked),
                "signatures": look.signatures,
                "evidence": proposal.evidence,
                "votes": [_vote(vote) for vote in proposal.votes.values()],
                "cancel_calls": sorted(proposal.cancellations),
                "executor": executor,
                "outcome": words.outcome_of(proposal),
                "certificate_seq": None if decided is None else decided.seq,
            }
        )
        return
    for line in _lines_of(proposal, now, look):
        say(line)
    if proposal.status is not ProposalStatus.OPEN:
        signed = "" if proposal.signature else " (unsigned)"
        say(f"proposed: {_at(proposal.opened_at, now)} by {quoted(proposal.proposer_id)}{signed}")
    if decided is not None and proposal.result is not None:
        when = "" if proposal.decided_at is None else f"{_at(proposal.decided_at, now)}. "
        say(f"decided: {when}{proposal.result.describe()} Sealed as entry {decided.seq}.")
    if executor is not None:
        say(f"executor: {printable(executor)}")
    for line in words.story_lines(proposal, now):
        say(line)
    if proposal.outcome:
        say(words.outcome_line(proposal))
    say(f"digest: {proposal.digest}")
    say(f"evidence: {json.dumps(proposal.evidence, ensure_ascii=False, indent=2)}")
    say("votes:" if proposal.votes else "votes: none")
    for vote in proposal.votes.values():
        why = "" if vote.reason is None else f": {printable(vote.reason)}"
        signed = "signed" if vote.signature else "unsigned"
        say(f"  {_at(vote.at, now)}  {quoted(vote.voter_id)} {vote.value} ({signed}){why}")
    for call in proposal.cancellations.values():
        why = "" if call.reason is None else f": {printable(call.reason)}"
        say(f"  {_at(call.at, now)}  {quoted(call.voter_id)} calls it off{why}")


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
    if not check and checkpoint is not None:
        raise UsageError("--checkpoint goes with --verify")
    pinned = None
    if checkpoint is not None:
        pinned = read_text(checkpoint, "checkpoint", limits.MAX_PANEL_BYTES)
    look = Look.of(file, log, id_, key)
    if check and not look.trust:
        raise UsageError(
            "there is no key to verify with; give the ledger's public key, its text or its file, "
            "with --key PUB"
        )
    with look.seat() as protocol:
        if check:
            protocol.verify_audit_chain(pinned)
        found, told = _events(protocol) if voter is None else _votes(protocol, voter)
    if as_json:
        tail = {"tail": "not proven" if pinned is None else "proven"} if check else {}
        print_json({"verified": check, "signatures": look.signatures, **tail, **found})
        return
    for line in told or ["no votes"]:
        say(line)
    if check:
        say("verified: hash chain, signatures and every event")
        say(_TAIL if pinned is None else "the end is proven: nothing that the note pins is gone")


def _events(protocol: ConsensusProtocol) -> tuple[dict[str, Any], list[str]]:
    """Every event, as JSON and in lines."""
    entries, now = protocol.audit_log, time_of(protocol)
    events = [event(entry) for entry in entries]
    told = [event_line(entry, now) for entry in entries]
    return {"council": protocol.council_id, "events": events}, told


def _votes(protocol: ConsensusProtocol, voter: str) -> tuple[dict[str, Any], list[str]]:
    """The votes that stand of one voter, as JSON and in lines."""
    votes, now = protocol.get_voter_history(voter), time_of(protocol)
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
    what = _what(entry.event, entry.details)
    about = entry.proposal_id or "council"
    return f"{moment(entry.at, now)}  {about}  {entry.event}  {printable(what)}".rstrip()


def _what(event: str, said: Mapping[str, Any]) -> str:
    """What an event says, in a few words."""
    by = "" if said.get("by") is None else f"by {quoted(said['by'])}"
    if event == "proposed":
        target = "" if said["target"] is None else f" {quoted(said['target'])}"
        signed = "" if said["signature"] else " (unsigned)"
        return f"{said['action']}{target}, by {quoted(said['proposer'])}{signed}"
    if event == "intent":
        return f"execution begins: {quoted(said['executor'])}" + (by and f", {by}")
    why = f": {said['reason']}" if said.get("reason") else ""
    return {
        "voted": lambda: f"{quoted(said['voter'])} {said['value']}{why}",
        "cancel": lambda: f"{quoted(said['voter'])} calls it off{why}",
        "decided": lambda: str(said["verdict"]["decision"]).replace("_", " "),
        "executed": lambda: by,
        "result": lambda: f"execution: {said['outcome']}",
        "resolved": lambda: f"{said['outcome']}, says {quoted(said['by'])}{why}",
    }.get(event, str)()


def blocs(
    threshold: Annotated[
        float, typer.Option(help="Least rate of agreement, above 0 and at most 1.")
    ] = 0.9,
    min_shared: Annotated[
        int, typer.Option(min=1, max=limits.MAX_SAFE_INTEGER, help="Fewest votes in common.")
    ] = 3,
    key: Keys = None,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Show who votes like whom and how likely that is, who takes part, and who always loses.

    Agreement alone proves no collusion. The probabilities need quorate[insight].
    """
    look = Look.of(file, log, id_, key)
    with look.seat() as protocol:
        matrix = protocol.voter_agreement_matrix()
        found = protocol.study(threshold, min_shared, probabilities=has_libraries())
    lacks = None if has_libraries() else _NO_PROBABILITIES
    if as_json:
        told = {"agreement": matrix, **found.to_dict(), "probabilities_lack": lacks}
        print_json({**told, "signatures": look.signatures})
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
    key: Keys = None,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Tell of the whole council in words; with --json, in numbers."""
    look = Look.of(file, log, id_, key)
    with look.seat() as protocol:
        if as_json:
            print_json({**protocol.summary(), "signatures": look.signatures})
        else:
            say(protocol.render())
            say(f"signatures: {look.signatures}")
