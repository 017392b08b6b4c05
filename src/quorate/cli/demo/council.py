"""``quorate demo council``: five monitors, one of them bought, judge a process that is real.

Theory of operation. The demo starts a child whose memory grows. Four monitors read it, each
for itself, and vote by what they read; the fifth votes for the attacker. Nothing is done to
the child but by an execution that the council's sealed decision allowed: SIGSTOP for the
quarantine, SIGKILL for the termination. In between the bought monitor tries what it can.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from quorate.cli.demo.monitors import INSIDER, Monitor, mib, panel
from quorate.cli.demo.watched import MOST, PAUSE_SECONDS, STEP, Watched, watched
from quorate.cli.demo.workplace import workplace
from quorate.core.errors import MisbehaviourError, OperationalError, UsageError
from quorate.core.identity import Ed25519Signer
from quorate.core.text import counted
from quorate.council import ConsensusProtocol, Intent, TallyResult, sign_proposal, sign_vote
from quorate.ledger import Ledger, read_verifier, verify, write_key

LEDGER: Final = "ledger.db"
KEYS: Final = "keys"
PUBLIC: Final = "keys/ledger.pub"
CHECKPOINT: Final = "checkpoint.txt"

_READ_SECONDS: Final = 0.15
_HOLD_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 60.0
_LEAST_HELD: Final = 4 * STEP
_SHOWN_READINGS: Final = 5

Heard = Callable[[str], None]
"""Takes the story, line by line, while it happens."""


def run_council_demo(heard: Heard, folder: Path | None = None) -> dict[str, Any]:
    """Play the whole story, which takes some seconds.

    Args:
        heard: is told each line as it happens.
        folder: where to keep the ledger, its keys and the checkpoint; ``None`` keeps nothing.

    Returns:
        The report, all JSON: ``process``, ``monitors``, ``proposals`` (votes, decision, where
        it is sealed and what was executed), ``attempts`` (what the bought monitor tried, and
        the words that refused it), ``ledger`` (what was verified), ``sound`` (whether all
        went as it must), ``story``, ``seconds`` and ``kept``.

    Raises:
        UsageError: a ledger, keys or a checkpoint are in ``folder`` already.
        OperationalError: no process can be started, read or stopped; or the folder cannot be
            used.
        VerificationError: the ledger just written does not verify.
    """
    started = time.perf_counter()
    for name in (LEDGER, KEYS, CHECKPOINT):
        if folder is not None and os.path.lexists(folder / name):
            raise UsageError(
                f"{folder / name} is there already, and a record is never written over; "
                "name another folder"
            )
    with workplace(folder) as place:
        signer = Ed25519Signer.generate()
        write_key(place / KEYS / "ledger.key", signer)
        with (
            Ledger.open(f"sqlite:///{place / LEDGER}", signer=signer) as ledger,
            watched() as process,
        ):
            story = Story(ledger, process, heard)
            story.play()
            report = story.report()
            note = ledger.checkpoint()
        (place / CHECKPOINT).write_text(note, "utf-8")
        record = _verify(place, note)
    story.say(
        f"the ledger: {counted(record['size'], 'entry', 'entries')}, every signature checked, and "
        f"all {record['replayed']} events of the council put through its rules again: it verifies"
    )
    return {
        **report,
        "ledger": record,
        "sound": report["sound"] and record["complete"],
        "seconds": time.perf_counter() - started,
        "kept": None if folder is None else _kept(folder),
    }


def opening() -> str:
    """What a reader has to know before it begins."""
    rules = "".join(f"  {one.id:<9} {one.told}\n" for one in panel() if one.id != INSIDER)
    return (
        "Five monitors watch a process whose memory grows. Four raise the alarm, each by its own\n"
        f"readings and its own rule:\n{rules}"
        f"  {INSIDER:<9} was bought, and votes for whoever let the process loose.\n"
        "Of five voters one may lie. A quarantine takes a majority; a release or a termination\n"
        "takes four approvals of five. Every vote is signed.\n\n"
    )


class Story:
    """One run of it, told while it happens."""

    def __init__(self, ledger: Ledger, process: Watched, heard: Heard) -> None:
        """Open the council; the process runs already."""
        self.process = process
        self.monitors = panel()
        self.council = ConsensusProtocol(
            [monitor.id for monitor in self.monitors],
            ledger=ledger,
            keys={monitor.id: monitor.signer.verifier for monitor in self.monitors},
        )
        self.target = f"process {process.pid}"
        self._heard = heard
        self._began = time.monotonic()
        self.lines: list[str] = []
        self._attempts: list[dict[str, str]] = []
        self._deeds: dict[str, dict[str, Any]] = {}

    @property
    def insider(self) -> Monitor:
        """The one that was bought."""
        return next(monitor for monitor in self.monitors if monitor.id == INSIDER)

    @property
    def honest(self) -> list[Monitor]:
        """The others."""
        return [monitor for monitor in self.monitors if monitor.id != INSIDER]

    def play(self) -> None:
        """Quarantine, a release that fails, termination."""
        self.say(
            f"{self.target} starts; it takes {mib(STEP)} every {PAUSE_SECONDS * 1000:.0f} ms, and "
            f"stops taking more at {MOST // STEP} MiB, whatever becomes of it"
        )
        self._execute(self._quarantine(), "SIGSTOP", self.process.stop, "stopped")
        held = self.process.resident()
        time.sleep(_HOLD_SECONDS)
        self.say(
            f"{_HOLD_SECONDS:.1f} s later it holds {mib(self.process.resident())}, before "
            f"{mib(held)}: it does not run"
        )
        self._release()
        self._execute(self._terminate(), "SIGKILL", self.process.kill, "gone")

    def say(self, text: str) -> None:
        """Tell one line, with the time."""
        line = f"{time.monotonic() - self._began:5.1f} s  {text}"
        self.lines.append(line)
        self._heard(line)

    # -- the three proposals

    def _quarantine(self) -> str:
        """Watch until one is alarmed; then every monitor votes as soon as it is, or is bought."""
        proposal: str | None = None
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            for monitor in self.monitors:
                seconds = time.monotonic() - self._began
                monitor.readings.append((seconds, self.process.resident()))
                why = monitor.suspicion()
                if why is None:
                    continue
                if proposal is None:
                    proposal = self._propose(monitor, "quarantine", why)
                    self._vote(proposal, self.insider, "reject", "it looks healthy to me")
                elif monitor.id in self.council.get_proposal(proposal).votes:
                    continue
                self._vote(proposal, monitor, "approve", why)
                if self._decided(proposal):
                    return proposal
            time.sleep(_READ_SECONDS)
        raise OperationalError(
            f"{self.target} did not grow as it should within {_PATIENCE_SECONDS:.0f} s, so the "
            "monitors saw nothing; this machine is too busy, try again"
        )

    def _release(self) -> None:
        """The insider wants it to run again, by vote, by forgery and by force."""
        proposal = self._propose(self.insider, "release", "a false alarm, it is needed")
        self._vote(proposal, self.insider, "approve", "a false alarm")
        other = self.honest[0].id
        self._attempt(
            f"votes to approve {proposal} in the name of {other}, with its own signature",
            lambda: self.council.vote(
                proposal,
                other,
                "approve",
                signature=self._signed(proposal, self.insider, "approve", None, name=other),
            ),
        )
        for monitor in self.honest:
            self._vote(proposal, monitor, "reject", self._finding(monitor))
            if self._decided(proposal):
                break
        self._attempt(
            f"executes {proposal} all the same",
            lambda: self.council.begin_execution(proposal, "the insider's own"),
        )
        self.say(f"{self.target} is {self.process.state()} as before")

    def _terminate(self) -> str:
        """A critical action: approvals of a quorum of all voters, however few vote."""
        first, *others = self.honest
        proposal = self._propose(first, "terminate", self._finding(first))
        self._vote(proposal, first, "approve", self._finding(first))
        self._vote(proposal, self.insider, "reject", "it only needs more time")
        for monitor in others:
            self._vote(proposal, monitor, "approve", self._finding(monitor))
            if self._decided(proposal):
                return proposal
        raise OperationalError(f"{proposal} is not decided by {len(self.monitors)} votes")

    def _finding(self, monitor: Monitor) -> str:
        """What a monitor reads of the stopped process, itself."""
        seconds = time.monotonic() - self._began
        monitor.readings.append((seconds, self.process.resident()))
        held, grown = monitor.readings[-1][1], monitor.readings[-1][1] - monitor.readings[0][1]
        return f"stopped, it still holds {mib(held)}, {mib(grown)} more than at first"

    # -- what the council is asked

    def _propose(self, monitor: Monitor, action: str, why: str) -> str:
        readings = [
            {"milliseconds": round(1000 * seconds), "bytes": size}
            for seconds, size in monitor.readings[-_SHOWN_READINGS:]
        ]
        evidence = {
            "pid": self.process.pid,
            "source": self.process.source,
            "why": why,
            "readings": readings,
        }
        put = (monitor.id, action, self.target, evidence)
        signature = sign_proposal(monitor.signer, self.council.request(*put))
        proposal = self.council.propose(*put, signature=signature)
        self.say(f"{monitor.id} proposes {proposal}, to {action} {self.target}: {why}")
        return proposal

    def _vote(self, proposal: str, monitor: Monitor, value: str, why: str) -> None:
        self.council.vote(
            proposal,
            monitor.id,
            value,
            why,
            signature=self._signed(proposal, monitor, value, why),
        )
        self.say(f"  {monitor.id} votes to {value} {proposal}: {why}")

    def _signed(
        self,
        proposal: str,
        monitor: Monitor,
        value: str,
        why: str | None,
        *,
        name: str | None = None,
    ) -> str:
        read = self.council.get_proposal(proposal)
        return sign_vote(monitor.signer, read, value, why, voter_id=name)

    def _decided(self, proposal: str) -> bool:
        result = self.council.tally(proposal)
        if result.by is None:
            return False
        seq = self.council.certificate(proposal).seq
        self.say(f"{_said(result)}; sealed as entry {seq}, and final")
        return True

    def _execute(self, proposal: str, sign: str, deed: Callable[[], str], expected: str) -> None:
        """Only between a sealed intent and a sealed result is anything done to the process."""
        before = self.process.state()
        intent = self.council.begin_execution(proposal, f"demo: {sign}")
        if intent is None or not _approved(intent):
            raise OperationalError(f"{proposal} is not to be executed here; nothing was done")
        after = deed()
        held, status = self.process.resident(), self.process.exit_status
        told = {"pid": self.process.pid, "signal": sign, "before": before, "after": after,
                "bytes": held, "exit_status": status}  # fmt: skip
        outcome = "executed" if after == expected else "failed"
        self.council.finish_execution(proposal, intent.token, outcome, told)
        self._deeds[proposal] = {**told, "outcome": outcome}
        rest = f"and holds {mib(held)}" if status is None else f"exit status {status}"
        self.say(f"{sign} to {self.target}, {before} until now: it is {after}, {rest}")

    def _attempt(self, what: str, deed: Callable[[], object]) -> None:
        """Something that must be refused; that it was not is told in the report."""
        try:
            deed()
        except (MisbehaviourError, UsageError) as error:
            self._attempts.append({"what": what, "refused": str(error)})
            self.say(f"{INSIDER} {what}. Refused: {error}")
        else:
            self._attempts.append({"what": what, "refused": ""})
            self.say(f"{INSIDER} {what}. THAT WAS NOT REFUSED")

    # -- the report

    def report(self) -> dict[str, Any]:
        """All of it as JSON, but for what the verifier says."""
        proposals = [self._told(proposal.id) for proposal in self.council.list_proposals()]
        ends = [(told["action"], told["decision"], told["status"]) for told in proposals]
        return {
            "process": {
                "pid": self.process.pid,
                "source": self.process.source,
                "most_bytes": MOST,
                "state": self.process.state(),
                "exit_status": self.process.exit_status,
            },
            "voters": self.council.voter_count,
            "may_lie": self.council.max_byzantine_faults,
            "quorum": self.council.bft_quorum,
            "monitors": [
                {"id": one.id, "rule": one.told, "honest": one.id != INSIDER}
                for one in self.monitors
            ],
            "proposals": proposals,
            "attempts": self._attempts,
            "sound": ends == _ENDS
            and all(deed["outcome"] == "executed" for deed in self._deeds.values())
            and all(attempt["refused"] for attempt in self._attempts)
            and all(told["in_order"] for told in proposals),
            "story": self.lines,
        }

    def _told(self, id_: str) -> dict[str, Any]:
        proposal = self.council.get_proposal(id_)
        log = self.council.audit_log
        seqs = {entry.event: entry.seq for entry in log if entry.proposal_id == id_}
        sealed = [seqs.get(event) for event in ("decided", "intent", "result")]
        done = [seq for seq in sealed if seq is not None]
        return {
            "id": id_,
            "action": proposal.action,
            "proposer": proposal.proposer_id,
            "critical": proposal.is_critical,
            "votes": {voter: vote.value.value for voter, vote in sorted(proposal.votes.items())},
            "decision": proposal.decision.value,
            "status": proposal.status.value,
            "sealed": dict(zip(("decided", "intent", "result"), sealed, strict=True)),
            "in_order": done == sorted(done) and len(done) == (3 if id_ in self._deeds else 1),
            "execution": self._deeds.get(id_),
        }


_ENDS: Final = [
    ("quarantine", "approved", "executed"),
    ("release", "rejected", "decided"),
    ("terminate", "approved", "executed"),
]


def _said(result: TallyResult) -> str:
    return (
        f"{result.proposal_id} is {result.decision.value}: {result.approvals} of {result.voters} "
        f"approve, {result.approvals_needed} needed, {result.rejections} against"
    )


def _approved(intent: Intent) -> bool:
    """Whether the certificate that was handed over says so itself."""
    body = intent.certificate.payload
    return (body["proposal"], body["verdict"]["decision"]) == (intent.proposal.id, "approved")


def _verify(place: Path, note: str) -> dict[str, Any]:
    """Verify the ledger as anyone could who has the public key and the checkpoint."""
    report = verify(
        f"sqlite:///{place / LEDGER}",
        keys=[read_verifier(place / PUBLIC)],
        checkpoint=note,
        replay=True,
    )
    if report is None:
        raise OperationalError("verifying a ledger gave no report")
    return report.to_dict()


def _kept(folder: Path) -> dict[str, Any]:
    url, key, note = f"sqlite:///{folder / LEDGER}", str(folder / PUBLIC), str(folder / CHECKPOINT)
    verifying = ["quorate", "verify", url, "--key", key, "--checkpoint", note, "--replay"]
    return {
        "folder": str(folder),
        "ledger": url,
        "key": key,
        "checkpoint": note,
        "commands": [shlex.join(verifying)],
    }
