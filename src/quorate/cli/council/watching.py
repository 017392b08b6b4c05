"""``quorate council watch``: the council live, until Ctrl-C."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Annotated, Any, Final

import typer
from rich.console import Group
from rich.text import Text

from quorate.cli.council import words
from quorate.cli.council.file import CouncilFile
from quorate.cli.council.looking import event, event_line, head_of, lines, state_of
from quorate.cli.council.seat import FILE, CouncilId, File, Log, Look, seated_by, time_of
from quorate.cli.council.times import duration, moment
from quorate.cli.shown import AsJson, note, out, put, visible, writing
from quorate.cli.where import Keys
from quorate.core.errors import OperationalError, UsageError
from quorate.council import AuditEntry, ConsensusProtocol
from quorate.council.events import KIND
from quorate.council.notify import (
    DELIVERED,
    RETRIED,
    CommandHook,
    Notice,
    Notifier,
    WebhookHook,
)
from quorate.council.rules.tally import is_expired
from quorate.ledger import read_signer
from quorate.ledger.appending import system_clock
from quorate.ledger.receipts import timestamp

_LATEST: Final = 5
_SHORTEST: Final = Fraction(1, 10)
_LONGEST: Final = Fraction(3600)
_UNAVAILABLE: Final = 5


class _Keeper:
    """Settles what is overdue and tells the hooks; only looks where it was given no council."""

    def __init__(
        self,
        protocol: ConsensusProtocol | None = None,
        hooks: Sequence[WebhookHook | CommandHook] = (),
        starts: Mapping[str, int] | None = None,
    ) -> None:
        self._protocol = protocol
        self._notifier = (
            None
            if protocol is None or not hooks
            else Notifier(protocol, hooks, start={} if starts is None else starts)
        )

    @property
    def settles(self) -> bool:
        """Whether what is overdue is settled."""
        return self._protocol is not None

    def keep(self) -> list[Notice]:
        """Do what is due now; give what came of the notices that were."""
        if self._notifier is not None:
            return self._notifier.deliver(system_clock())
        if self._protocol is not None:
            self._protocol.settle()
        return []


def watch(
    once: Annotated[
        bool, typer.Option("--once", help="Do and show it once, and end; exit 5 if a hook fails.")
    ] = False,
    every: Annotated[str, typer.Option(help="How often to look, such as 500ms or 10s.")] = "1s",
    look: Annotated[
        bool, typer.Option("--look", help="Only look: settle nothing, and tell no hook.")
    ] = False,
    key: Keys = None,
    file: File = FILE,
    log: Log = None,
    id_: CouncilId = None,
    as_json: AsJson = False,
) -> None:
    """Follow the council until Ctrl-C (exit 130): redrawn on a terminal, else a line per change.

    With the ledger's key at hand, decisions that time has made are sealed, and the hooks of
    the file are told; without it, with --look or with --ledger, it only looks.
    """
    pause = float(duration(every, "--every", _SHORTEST, _LONGEST))
    where = Look.of(file, log, id_, key)
    with _seated(where, look=look) as (protocol, keeper):
        time_of(protocol)
        if as_json:
            failed = _json(protocol, keeper, pause, where, once=once)
        elif out().is_terminal and not once:
            failed = _redraw(protocol, keeper, pause, where)
        else:
            failed = _lines(protocol, keeper, pause, where, once=once)
    if failed:
        raise typer.Exit(_UNAVAILABLE)


@contextmanager
def _seated(where: Look, *, look: bool) -> Iterator[tuple[ConsensusProtocol, _Keeper]]:
    """A seat that can settle and tell, if the ledger's key is at hand and it is asked for."""
    if not look and where.log is None and where.id_ is None:
        declared = CouncilFile(where.file)
        try:
            read_signer(declared.signer_path)
        except (UsageError, OperationalError) as error:
            note(
                f"only looking, for the ledger's key is not at hand: {error}; nothing is settled, "
                "and no hook is told (--look says that this is meant)"
            )
        else:
            with seated_by(declared) as protocol:
                yield protocol, _Keeper(protocol, declared.hooks, declared.starts)
            return
    with where.seat() as protocol:
        yield protocol, _Keeper()


def _redraw(protocol: ConsensusProtocol, keeper: _Keeper, pause: float, where: Look) -> bool:
    from rich.live import Live

    told: deque[Text] = deque(maxlen=_LATEST)
    console = out()
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            found = keeper.keep()
            told.extend(Text(visible(_notice_line(notice, system_clock()))) for notice in found)
            shown = _fitting(_state(protocol, where), told, console.width, console.height)
            live.update(Group(*shown), refresh=True)
            time.sleep(pause)


def _fitting(state: Sequence[Text], told: Iterable[Text], width: int, height: int) -> list[Text]:
    """As many lines as a screen holds; the last says how many it does not."""
    shown = [*state, *told]
    rows = [max(1, -(-line.cell_len // max(width, 1))) for line in shown]
    # The last row is where the cursor stands.
    room = max(height - 1, 2)
    if sum(rows) <= room:
        return shown
    kept, used = 0, 1
    while used + rows[kept] <= room:
        used += rows[kept]
        kept += 1
    left = len(shown) - kept
    return [*shown[:kept], Text(f"{left} more lines: enlarge the window, or see list", "bold")]


def _lines(
    protocol: ConsensusProtocol, keeper: _Keeper, pause: float, where: Look, *, once: bool
) -> bool:
    changes = _changes(protocol, settles=keeper.settles)
    notices = keeper.keep()
    # What has been is told as it stands; the changes begin after it.
    next(changes)
    with writing():
        for line in _state(protocol, where):
            out().print(line, soft_wrap=True)
    _put_notices(notices)
    while not once:
        time.sleep(pause)
        notices = keeper.keep()
        for what in next(changes):
            put(visible(_line(what, protocol.now(), where.flag)) + "\n")
        _put_notices(notices)
    return _any_failed(notices)


def _put_notices(notices: Iterable[Notice]) -> None:
    for notice in notices:
        put(visible(_notice_line(notice, system_clock())) + "\n")
    _flush()


def _json(
    protocol: ConsensusProtocol, keeper: _Keeper, pause: float, where: Look, *, once: bool
) -> bool:
    """One JSON object on each line: first the council as it stands, then each change."""
    changes = _changes(protocol, settles=keeper.settles)
    notices = keeper.keep()
    next(changes)
    now = protocol.now()
    state = [
        words.told(proposal, now, where.flag, where.unchecked)
        for proposal in protocol.list_proposals()
    ]
    _put({**state_of(protocol, where, now), "proposals": state})
    _put_all(notices)
    while not once:
        time.sleep(pause)
        notices = keeper.keep()
        for what in next(changes):
            at = timestamp(protocol.now())
            expired = {"event": "expired", "proposal": what, "at": at}
            _put(event(what) if isinstance(what, AuditEntry) else expired)
        _put_all(notices)
    return _any_failed(notices)


def _put_all(notices: Iterable[Notice]) -> None:
    for notice in notices:
        details = {
            "id": notice.id,
            "hook": notice.hook,
            "event": notice.event,
            "outcome": notice.outcome,
            "attempts": notice.attempts,
            "detail": notice.detail,
        }
        about = {"proposal": notice.proposal_id, "seq": notice.entry}
        _put({"event": "notice", **about, "details": details})


def _any_failed(notices: Iterable[Notice]) -> bool:
    return any(notice.outcome != DELIVERED for notice in notices)


def _put(value: dict[str, Any]) -> None:
    put(json.dumps(value) + "\n")
    _flush()


def _flush() -> None:
    with writing():
        sys.stdout.flush()


def _state(protocol: ConsensusProtocol, where: Look) -> list[Text]:
    now = protocol.now()
    head = f"{head_of(protocol)}, at {moment(now, now)}"
    return [Text(head, "bold"), *lines(protocol.list_proposals(), now, _LATEST, where)]


def _changes(protocol: ConsensusProtocol, *, settles: bool) -> Iterator[list[AuditEntry | str]]:
    """At each step what has happened since the last: events, and ids of which time is up.

    Of those nothing is said where they are settled at the next step.
    """
    read, told = 0, set[str]()
    while True:
        # Reads, checks and takes in what is new; a ledger that got shorter is told.
        found = protocol.list_proposals("open")
        changed: list[AuditEntry | str] = []
        for receipt in protocol.ledger.find(trace_id=protocol.council_id, kind=KIND, start=read):
            changed.append(AuditEntry.of(receipt.payload, receipt.seq))
            read = receipt.seq + 1
        now = protocol.now()
        overdue = [] if settles else found
        late = [p.id for p in overdue if p.id not in told and is_expired(p, now)]
        told.update(late)
        yield [*changed, *late]


def _line(what: AuditEntry | str, now: int, flag: str) -> str:
    if isinstance(what, AuditEntry):
        return event_line(what, now)
    return f"{moment(now, now)}  {what}  time is up, seal it: quorate council tally {what}{flag}"


def _notice_line(notice: Notice, now: int) -> str:
    again = f" (try {notice.attempts}, again later)" if notice.outcome == RETRIED else ""
    why = f": {notice.detail}" if notice.detail else ""
    return (
        f"{moment(now, now)}  {notice.proposal_id}  notice  {notice.hook}: {notice.event} "
        f"{notice.outcome}{again}{why}"
    )
