"""Telling others what happens in a council: hooks that are posted to, or run.

Theory of operation. A :class:`Notifier` reads the ledger from where it last was. Every event
that a hook asks for is due to that hook until an entry of kind ``notice`` says that it was
delivered, or given up. These entries stand under the council's trace id, and are no events
of the council: they change nothing in it. After a restart they are read again, so what is
sealed is not repeated, and nothing else is lost. What was delivered and not yet sealed is
delivered again, under the same id: every notice comes at least once, and who keeps the ids
it has seen takes it once.

No lock of the council is held while a hook is spoken to: one that fails or hangs keeps
nobody from voting. A notice says what was proposed, decided or executed, and holds no
evidence, reason, signature or token.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from quorate.core.canonical import canonical, digest
from quorate.core.errors import OperationalError, QuorateError, UsageError, UsageTypeError
from quorate.core.text import shortened
from quorate.council import bounds
from quorate.council.events import KIND, check_time
from quorate.council.executors.order import NotExecutedError, check_timeout, said
from quorate.council.executors.process import Program
from quorate.council.executors.web import Webhook
from quorate.council.protocol import ConsensusProtocol
from quorate.council.rules.proposal import Proposal, State
from quorate.council.rules.values import check_id
from quorate.ledger.receipts import Receipt

NOTICE_KIND: Final = "notice"
"""Kind of the ledger entries that say what became of a notice."""

FORM: Final = "quorate/notice/v1"
"""What a notice, and the entry on it, say they are, in ``form``."""

EVENTS: Final = ("proposed", "decided", "expired", "executed")
"""What a hook may ask for.

A decision that time made, and that is no approval, is ``expired``; a cancellation is
``decided``. ``executed`` tells of every result of an execution, whose ``outcome`` says which.
"""

LONGEST_SECONDS: Final = 300
"""Longest timeout of a hook."""

DELIVERED: Final = "delivered"
FAILED: Final = "failed"
RETRIED: Final = "retried"

_TELLS: Final[Mapping[str, str]] = {
    "proposed": "proposed",
    "decided": "decided",
    "cancel": "decided",
    "executed": "executed",
    "result": "executed",
    "resolved": "executed",
}
_MICROSECONDS: Final = 1_000_000


class Hook(Protocol):
    """Somebody to be told.

    Attributes:
        name: unique among the hooks of a council, for good: by it a notice is known.
        events: those it asks for, of ``EVENTS``.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - told above

    @property
    def events(self) -> frozenset[str]: ...  # noqa: D102 - told above

    def deliver(self, message: bytes, id_: str) -> None:
        """Deliver one notice.

        Raises:
            QuorateError: it was not taken; says why, without secrets.
        """


class WebhookHook:
    """Posts each notice as JSON; any status of 2xx takes it.

    Needs ``pip install "quorate[http]"``. Of the environment it sends only the token named.
    """

    def __init__(
        self,
        name: str,
        url: str | None = None,
        *,
        events: Iterable[str] = EVENTS,
        timeout: float = 10.0,
        url_env: str | None = None,
        bearer_env: str | None = None,
        insecure_http: bool = False,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            name: 1 to 256 characters; stands in the ledger, where the url does not.
            url: https, or http on this machine; or
            events: of ``EVENTS``.
            timeout: seconds, above 0 and up to 300.
            url_env: environment variable that holds the address, where that is a secret.
            bearer_env: environment variable that holds a bearer token, read for each notice.
            insecure_http: send over plain http to another machine.

        Raises:
            UsageError: a value cannot be used.
        """
        self.name = check_id(name, "the hook's name")
        self.events = _checked_events(events)
        self._webhook = Webhook(
            url, url_env=url_env, bearer_env=bearer_env, insecure_http=insecure_http
        )
        self._timeout = check_timeout(timeout, LONGEST_SECONDS)

    def check(self) -> None:
        """See that a notice could be posted.

        Raises:
            OperationalError: httpx2 is not installed, or the token's variable is not set.
        """
        self._webhook.check()

    def deliver(self, message: bytes, id_: str) -> None:
        """Post one notice.

        Raises:
            OperationalError: no 2xx came back, or as :meth:`check`.
        """
        self.check()
        answered = self._webhook.post(message, id_, self._timeout)
        if not answered.accepted:
            why = answered.failure or f"it answered {answered.status}: {said(answered.body)}"
            raise OperationalError(why)


class CommandHook:
    """Runs a program for each notice, which it finds as JSON on its standard input.

    Exit status 0 takes it. No shell reads the command, and nothing is put into it.
    """

    def __init__(
        self,
        name: str,
        command: Iterable[str],
        *,
        events: Iterable[str] = EVENTS,
        timeout: float = 10.0,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        pass_env: Iterable[str] = (),
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            name: 1 to 256 characters; stands in the ledger.
            command: program and arguments.
            events: of ``EVENTS``.
            timeout: seconds, above 0 and up to 300; then it is killed with its session.
            cwd: folder it runs in; ``None``: that of this process.
            env: variables set for it besides PATH, HOME and the like.
            pass_env: names of variables of this process that it gets too, for its secrets;
                of all others it gets none. See :class:`CommandExecutor`.

        Raises:
            UsageError: a value cannot be used.
        """
        self.name = check_id(name, "the hook's name")
        self.events = _checked_events(events)
        self._program = Program.of(command, cwd, env, pass_env)
        self._timeout = check_timeout(timeout, LONGEST_SECONDS)

    def check(self) -> None:
        """See that the program is there, and the variables that it is to be passed.

        Raises:
            OperationalError: one is not.
        """
        self._program.check()

    def deliver(self, message: bytes, id_: str) -> None:  # noqa: ARG002 - the message names it
        """Run the program with one notice.

        Raises:
            OperationalError: it cannot be started, or did not end with exit status 0.
        """
        self._program.check_passed()
        try:
            ran = self._program.run(message, self._timeout)
        except NotExecutedError as error:
            raise OperationalError(str(error)) from error
        if ran.code != 0:
            why = ran.why or f"exit status {ran.code}"
            told = self._program.told(bytes(ran.errors), last=True)
            raise OperationalError(f"{why}; it last said: {told}")


@dataclass(frozen=True, slots=True)
class Notice:
    """What came of one try to deliver a notice.

    Attributes:
        id: the same at every try; the receiver tells repetitions by it.
        hook: its name.
        event: of ``EVENTS``.
        proposal_id: which.
        entry: ledger seq of what it tells of.
        outcome: ``delivered`` and ``failed`` are sealed and final; ``retried``: will be.
        attempts: how many tries there were, since this notifier was made.
        detail: why it was not taken, in a line.
    """

    id: str
    hook: str
    event: str
    proposal_id: str
    entry: int
    outcome: str
    attempts: int
    detail: str = ""


@dataclass(slots=True)
class _Due:
    """A notice that is to be delivered at ``at``."""

    hook: Hook
    id: str
    message: dict[str, Any]
    at: int = 0
    attempts: int = 0


class Notifier:
    """Delivers what hooks ask for. Any number of threads may use one."""

    def __init__(
        self,
        council: ConsensusProtocol,
        hooks: Iterable[Hook],
        *,
        attempts: int = 8,
        start: int | Mapping[str, int] = 0,
    ) -> None:
        """Prepare; nothing is read or delivered yet.

        Args:
            council: over a ledger opened with its key, for what is final is sealed.
            hooks: at most ``bounds.MAX_HOOKS``, each with a name of its own.
            attempts: tries before a notice is given up, 1 to ``bounds.MAX_NOTICE_ATTEMPTS``.
                With 8, the last is two minutes after the first.
            start: ledger entry from which on events are told, to all hooks or by the hook's
                name; what is before it is not. 0 for those left out.

        Raises:
            UsageTypeError: a value is of the wrong type.
            UsageError: a value is out of its range, or two hooks have one name.
        """
        if not isinstance(council, ConsensusProtocol):
            raise UsageError(f"the council is a {type(council).__name__}; give a ConsensusProtocol")
        self._council = council
        self._hooks = list(hooks)
        names = {hook.name for hook in self._hooks}
        if len(names) != len(self._hooks) or len(names) > bounds.MAX_HOOKS:
            raise UsageError(
                f"{len(self._hooks)} hooks with {len(names)} names; give at most "
                f"{bounds.MAX_HOOKS}, each with a name of its own"
            )
        if type(attempts) is not int:
            raise UsageTypeError(f"attempts is {attempts!r}; give a whole number")
        if not 1 <= attempts <= bounds.MAX_NOTICE_ATTEMPTS:
            raise UsageError(f"attempts is {attempts}; give 1 to {bounds.MAX_NOTICE_ATTEMPTS}")
        self._attempts = attempts
        own = (
            start
            if isinstance(start, Mapping)
            else dict.fromkeys(names, check_time(start, "start"))
        )
        if not own.keys() <= names:
            raise UsageError(f"start names {sorted(own.keys() - names)}, which are no hooks")
        self._starts = {name: check_time(own.get(name, 0), "start") for name in names}
        self._read_to = min(self._starts.values(), default=0)
        self._due: dict[tuple[str, int], _Due] = {}
        self._lock = threading.Lock()

    def deliver(self, now: int) -> list[Notice]:
        """Deliver what is due; first seal the decisions that time has made.

        A hook that has failed is left alone for the rest of the call, so that the others wait
        for it once, and no longer than its timeout.

        Args:
            now: microseconds since 1970; what failed before is due by it.

        Returns:
            What came of every try.

        Raises:
            UsageError: ``now`` is no time, or the ledger was opened for reading.
            VerificationError: the ledger does not check out.
            StoreError: it cannot be read or written; what was delivered and is not sealed
                will be delivered again.
        """
        at = check_time(now, "now")
        with self._lock:
            # Refused by a ledger opened for reading: what could not be sealed is not sent.
            self._council.ledger.append_all([])
            self._council.settle()
            self._read()
            found = []
            down: set[str] = set()
            for key, due in list(self._due.items()):
                if due.at > at or due.hook.name in down:
                    continue
                notice = self._try(due, at)
                if notice.outcome != DELIVERED:
                    down.add(due.hook.name)
                if notice.outcome != RETRIED:
                    del self._due[key]
                found.append(notice)
            return found

    def next_due(self) -> int | None:
        """When the next notice of those read is due, in microseconds; 0 for now, None for none."""
        with self._lock:
            return min((due.at for due in self._due.values()), default=None)

    def _read(self) -> None:
        """Take in what was sealed since: events make notices due, notices end them."""
        council = self._council
        for receipt in council.ledger.find(trace_id=council.council_id, start=self._read_to):
            if receipt.kind == KIND:
                for due in self._told_by(receipt):
                    self._due[due.hook.name, receipt.seq] = due
            elif receipt.kind == NOTICE_KIND:
                self._ended_by(receipt.payload)
            self._read_to = receipt.seq + 1

    def _ended_by(self, body: object) -> None:
        # Others may seal entries of that kind as well.
        if not isinstance(body, dict) or body.get("form") != FORM:
            return
        hook, entry = body.get("hook"), body.get("entry")
        if isinstance(hook, str) and isinstance(entry, int):
            self._due.pop((hook, entry), None)

    def _told_by(self, receipt: Receipt) -> Iterator[_Due]:
        event = receipt.payload.get("event")
        if event not in _TELLS:
            return
        # It reads the council as far as the ledger goes, so this event has been checked.
        proposal = self._council.get_proposal(receipt.payload["proposal"])
        message = _message(receipt, proposal)
        if message is None:
            return
        for hook in self._hooks:
            if message["event"] in hook.events and receipt.seq >= self._starts[hook.name]:
                id_ = digest({"form": FORM, "hook": hook.name, "entry": receipt.entry_hash})
                yield _Due(hook, id_, {**message, "id": id_})

    def _try(self, due: _Due, at: int) -> Notice:
        due.attempts += 1
        outcome = FAILED if due.attempts >= self._attempts else RETRIED
        detail = ""
        try:
            due.hook.deliver(canonical(due.message), due.id)
            outcome = DELIVERED
        except QuorateError as error:
            detail = shortened(str(error))
        # Foreign code: however a hook fails, and be it by sys.exit, the others are told.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            detail = shortened(f"{type(error).__name__}: {error}")
        due.at = at + _backoff(due.attempts)
        notice = Notice(
            id=due.id,
            hook=due.hook.name,
            event=due.message["event"],
            proposal_id=due.message["proposal"],
            entry=due.message["entry"],
            outcome=outcome,
            attempts=due.attempts,
            detail=detail,
        )
        if outcome != RETRIED:
            self._seal(notice, at)
        return notice

    def _seal(self, notice: Notice, at: int) -> None:
        ledger, council_id = self._council.ledger, self._council.council_id
        body = {
            "form": FORM,
            "id": notice.id,
            "council": council_id,
            "hook": notice.hook,
            "event": notice.event,
            "proposal": notice.proposal_id,
            "entry": notice.entry,
            "outcome": notice.outcome,
            "attempts": notice.attempts,
            "at": at,
            "detail": notice.detail,
        }
        key = f"{FORM}/{notice.id}"
        try:
            ledger.append(NOTICE_KIND, body, trace_id=council_id, key=key)
        except UsageError:
            # Another notifier has delivered the same meanwhile; one word on it is enough.
            if ledger.by_key(key) is None:
                raise


def _message(receipt: Receipt, proposal: Proposal) -> dict[str, Any] | None:
    """What is told of an event; ``None`` for a call to cancel that did not."""
    body, subject = receipt.payload, proposal.subject
    event = _TELLS[body["event"]]
    own: dict[str, Any] = {}
    if event == "proposed":
        own = {"expires_at": subject.expires_at}
    elif event == "executed":
        own = {"outcome": body.get("outcome", "executed"), "by_hand": body["event"] == "resolved"}
    else:
        if body["event"] == "cancel" and not body["cancelled"]:
            return None
        # Final, whatever came after it.
        result = proposal.result
        own = {
            "decision": proposal.decision.value,
            "by": None if result is None else result.by,
        }
        if proposal.state is State.EXPIRED:
            event = "expired"
    return {
        "form": FORM,
        "council": subject.council_id,
        "event": event,
        "proposal": subject.id,
        "entry": receipt.seq,
        "at": body["at"],
        "action": subject.action,
        "critical": subject.critical,
        "target": subject.target,
        "proposer": subject.proposer_id,
        "digest": subject.digest,
        **own,
    }


def _backoff(attempts: int) -> int:
    """Microseconds to wait after so many failed tries."""
    doubled = bounds.FIRST_BACKOFF_SECONDS << min(attempts - 1, 32)
    return min(doubled, bounds.LONGEST_BACKOFF_SECONDS) * _MICROSECONDS


def _checked_events(events: Iterable[str]) -> frozenset[str]:
    found = frozenset([events] if isinstance(events, str) else events)
    if not found or not found <= set(EVENTS):
        odd = sorted(map(str, found - set(EVENTS)))
        raise UsageError(f"the hook asks for {odd or 'nothing'}; ask for {', '.join(EVENTS)}")
    return found
