"""``quorate council watch``: the council live, until Ctrl-C."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.text import Text

from quorate.cli.council import words
from quorate.cli.council.looking import event, event_line, head_of, lines
from quorate.cli.council.seat import FILE, CouncilId, File, Log, flag_of, looking
from quorate.cli.council.times import duration, moment
from quorate.cli.shown import AsJson, out, put, visible, writing
from quorate.core.errors import UsageError
from quorate.council import AuditEntry, ConsensusProtocol
from quorate.council.events import KIND
from quorate.council.rules.tally import is_expired
from quorate.ledger.appending import system_clock
from quorate.ledger.receipts import timestamp

_LATEST: Final = 5
_SHORTEST: Final = 0.1
_LONGEST: Final = 3600


def watch(
    once: Annotated[bool, typer.Option("--once", help="Show it once, and end.")] = False,
    every: Annotated[str, typer.Option(help="How often to look, such as 500ms or 10s.")] = "1s",
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Follow the council until Ctrl-C (exit 130): redrawn on a terminal, else a line per change."""
    pause = float(duration(every, "--every"))
    if not _SHORTEST <= pause <= _LONGEST:
        raise UsageError(f"--every is {every!r}; give 100ms to 1h")
    flag = "" if log is not None else flag_of(file)
    with looking(file, log, id_) as protocol:
        if as_json:
            _json(protocol, pause, flag, once=once)
        elif out().is_terminal and not once:
            _redraw(protocol, pause, flag)
        else:
            _lines(protocol, pause, flag, once=once)


def _redraw(protocol: ConsensusProtocol, pause: float, flag: str) -> None:
    from rich.live import Live

    with Live(console=out(), auto_refresh=False, screen=False) as live:
        while True:
            live.update(Group(*_state(protocol, flag)), refresh=True)
            time.sleep(pause)


def _lines(protocol: ConsensusProtocol, pause: float, flag: str, *, once: bool) -> None:
    changes = _changes(protocol)
    # What has been is told as it stands; the changes begin after it.
    next(changes)
    with writing():
        for line in _state(protocol, flag):
            out().print(line, soft_wrap=True)
    _flush()
    while not once:
        time.sleep(pause)
        for what in next(changes):
            put(visible(_line(what, system_clock(), flag)) + "\n")
        _flush()


def _json(protocol: ConsensusProtocol, pause: float, flag: str, *, once: bool) -> None:
    """One JSON object on each line: first the council as it stands, then each change."""
    changes = _changes(protocol)
    next(changes)
    now = system_clock()
    state = [words.told(proposal, now, flag) for proposal in protocol.list_proposals()]
    _put({"council": protocol.council_id, "now": timestamp(now), "proposals": state})
    while not once:
        time.sleep(pause)
        for what in next(changes):
            expired = {"event": "expired", "proposal": what}
            _put(event(what) if isinstance(what, AuditEntry) else expired)


def _put(value: dict[str, Any]) -> None:
    put(json.dumps(value) + "\n")
    _flush()


def _flush() -> None:
    with writing():
        sys.stdout.flush()


def _state(protocol: ConsensusProtocol, flag: str) -> list[Text]:
    now = system_clock()
    head = f"{head_of(protocol)}, at {moment(now, now)}"
    return [Text(head, "bold"), *lines(protocol.list_proposals(), now, _LATEST, flag)]


def _changes(protocol: ConsensusProtocol) -> Iterator[list[AuditEntry | str]]:
    """At each step what has happened since the last: events, and ids of which time is up."""
    read, told = 0, set[str]()
    while True:
        # Reads, checks and takes in what is new; a ledger that got shorter is told.
        found = protocol.list_proposals("open")
        changed: list[AuditEntry | str] = []
        for receipt in protocol.ledger.find(trace_id=protocol.council_id, kind=KIND, start=read):
            changed.append(AuditEntry.of(receipt.payload, receipt.seq))
            read = receipt.seq + 1
        now = system_clock()
        late = [p.id for p in found if p.id not in told and is_expired(p, now)]
        told.update(late)
        yield [*changed, *late]


def _line(what: AuditEntry | str, now: int, flag: str) -> str:
    if isinstance(what, AuditEntry):
        return event_line(what, now)
    return f"{moment(now, now)}  {what}  time is up, seal it: quorate council tally {what}{flag}"
