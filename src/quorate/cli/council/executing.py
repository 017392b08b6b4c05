"""``quorate council execute``, ``resolve`` and ``check``: what was approved is done, once."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from quorate.cli.council import words
from quorate.cli.council.deciding import REFUSED
from quorate.cli.council.file import CouncilFile
from quorate.cli.council.seat import (
    FILE,
    Digest,
    File,
    Id,
    KeyFile,
    flag_of,
    seated,
    seated_by,
    the_key,
    the_proposal,
    the_voter,
    time_of,
)
from quorate.cli.shown import AsJson, note, print_json, progress, say
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import Ed25519Signer
from quorate.core.text import printable
from quorate.council import (
    ConsensusProtocol,
    Execution,
    Proposal,
    ProposalAction,
    sign_execution,
    sign_resolution,
)
from quorate.council.drafts import meant
from quorate.council.executors import Executors
from quorate.council.rules.proposal import State
from quorate.council.rules.values import actions_of
from quorate.hub.panel_checks import near

_USAGE: Final = 2
_UNAVAILABLE: Final = 5
_OUTCOMES: Final = ("executed", "failed")


@dataclass(frozen=True, slots=True)
class _Done:
    """What one call of ``execute`` did.

    Attributes:
        marked: it marked the proposal as executed, and ran nothing.
        begun: it began the execution.
        executor: what it ran, as it is sealed.
    """

    marked: bool = False
    begun: bool = False
    executor: str | None = None


def execute(
    id_: Id,
    by_hand: Annotated[
        bool,
        typer.Option("--by-hand", help="Run no executor: mark it as executed, and do it yourself."),
    ] = False,
    voter: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="VOTER",
            envvar="QUORATE_VOTER",
            help="In whose name it is begun; sealed.",
            show_default=False,
        ),
    ] = None,
    key: KeyFile = None,
    digest: Digest = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Exit 3, not 2, if it is not approved or was begun before."),
    ] = False,
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Carry out an approved proposal by its declared executor, at most once ever.

    Intent and result are sealed. Exit 0 to the one call that did it, 5 if it has failed or
    nobody can tell, 2 (3 under --strict) to every other call and for what is not approved. A
    decision that is certain is sealed first. An electorate that was voted for takes effect.
    Where no executor is declared, it is only marked as executed: do it yourself.
    """
    declared = CouncilFile(file)
    with seated_by(declared) as protocol:
        the_proposal(protocol, id_)
        name = _Name.of(protocol, voter, key, digest)
        protocol.tally(id_)
        done = _execute(declared, protocol, id_, name, by_hand=by_hand)
        proposal, now = protocol.get_proposal(id_), time_of(protocol)
    flag = flag_of(file)
    if as_json:
        detail = None if proposal.outcome is None else proposal.outcome.get("detail")
        print_json(
            {
                "marked": done.marked,
                "begun": done.begun,
                "executor": done.executor,
                "detail": detail,
                **words.told(proposal, now, flag),
            }
        )
    else:
        _say(proposal, done, now, flag)
    if not done.marked and not done.begun:
        raise typer.Exit(REFUSED if strict else _USAGE)
    if proposal.execution is not Execution.EXECUTED:
        raise typer.Exit(_UNAVAILABLE)


@dataclass(frozen=True, slots=True)
class _Name:
    """In whose name an execution begins, and of which proposal.

    Attributes:
        voter: who, or ``None``.
        signer: its key, if one is registered for it.
        digest: of the proposal as it was read, or ``None``.
    """

    voter: str | None
    signer: Ed25519Signer | None
    digest: str | None

    @classmethod
    def of(
        cls, protocol: ConsensusProtocol, voter: str | None, key: Path | None, digest: str | None
    ) -> _Name:
        """Find the voter and its key.

        Raises:
            UsageError: there is no such voter, or the key is not its own.
        """
        if voter is None:
            return cls(None, None, digest)
        electorate = protocol.electorate
        the_voter(electorate.voters, voter)
        return cls(voter, the_key(key, voter, electorate.keys), digest)


def _execute(
    declared: CouncilFile, protocol: ConsensusProtocol, id_: str, name: _Name, *, by_hand: bool
) -> _Done:
    proposal = protocol.get_proposal(id_)
    meant(proposal, name.digest)
    action = proposal.subject.action
    if proposal.state is not State.APPROVED:
        return _Done()
    if by_hand or action == ProposalAction.CHANGE_ELECTORATE or not declared.executors:
        signature = (
            None
            if name.signer is None or name.voter is None
            else sign_execution(name.signer, proposal, name.voter)
        )
        return _Done(
            marked=protocol.execute(id_, by=name.voter, signature=signature, digest=name.digest)
        )
    if action not in declared.executors:
        raise UsageError(
            f"{declared.path} declares no executor for {action!r}, and it does for "
            f"{', '.join(sorted(declared.executors))}; nothing was begun: declare "
            f"[executors.{action}], or do it yourself and mark it with --by-hand"
        )
    # What a function prints is no part of the answer.
    with (
        redirect_stdout(sys.stderr),
        declared.executing(action) as executor,
        progress(f"carrying out {id_}"),
    ):
        executors = Executors(protocol)
        executors.register(action, executor)
        try:
            result = executors.run(id_, by=name.voter, signer=name.signer, digest=name.digest)
        except KeyboardInterrupt:
            if protocol.get_proposal(id_).execution in {Execution.INTENT, Execution.UNKNOWN}:
                note(f"the execution of {id_} began, and its result is not known")
                now, flag = protocol.now(), flag_of(declared.path)
                note(words.last_lines(protocol.get_proposal(id_), now, flag)[-1])
            raise
    return _Done(begun=result.begun, executor=executor.name if result.begun else None)


def _say(proposal: Proposal, done: _Done, now: int, flag: str) -> None:
    head, last = words.heading(proposal), words.last_lines(proposal, now, flag)[-1]
    if done.marked and proposal.subject.action == ProposalAction.CHANGE_ELECTORATE:
        say(f"{head}: takes effect, by this call and no other")
        for line in words.change_lines(proposal):
            say(f"  {line}")
        say("next: let the council file name the same voters, weights and keys")
    elif done.marked:
        say(f"{head}: marked as executed, by this call and no other")
        say("no executor was run: this only says that you do it, so do it now, and do it once")
    elif done.begun:
        say(f"{head}: {words.OUTCOMES[proposal.execution]}, by {printable(str(done.executor))}")
        say(words.outcome_line(proposal))
        say(last)
    else:
        became = (
            f"{head} is not decided" if proposal.result is None else words.done_line(proposal, now)
        )
        say(f"not executed: {became}")
        say(last)


def resolve(
    id_: Id,
    outcome: Annotated[
        str, typer.Argument(metavar="executed|failed", help="What became of it, as you found out.")
    ],
    reason: Annotated[str, typer.Option(help="How you found out; it is sealed.")],
    voter: Annotated[
        str,
        typer.Option("--as", metavar="VOTER", envvar="QUORATE_VOTER", help="Which voter says so."),
    ],
    key: KeyFile = None,
    file: File = FILE,
    as_json: AsJson = False,
) -> None:
    """Seal by hand what became of an execution of which no result is known.

    Only once its result is overdue; signed where a key is registered for the voter.
    """
    if outcome not in _OUTCOMES:
        hint = near(outcome.lower(), _OUTCOMES)
        raise UsageError(f"the outcome is {outcome!r}; give {' or '.join(_OUTCOMES)}{hint}")
    with seated(file) as protocol:
        proposal = the_proposal(protocol, id_)
        name = _Name.of(protocol, voter, key, None)
        signature = (
            None
            if name.signer is None
            else sign_resolution(name.signer, proposal, voter, outcome, reason)
        )
        proposal = protocol.resolve(id_, outcome, reason=reason, by=voter, signature=signature)
        now = time_of(protocol)
    if as_json:
        print_json(words.told(proposal, now, flag_of(file)))
    else:
        say(words.done_line(proposal, now))


def check(file: File = FILE, as_json: AsJson = False) -> None:
    """Check what the file declares: whether executors and hooks could begin (exit 5 if not).

    Functions are imported; nothing is run, sent or sealed.
    """
    declared = CouncilFile(file)
    found = [
        *(_checked_action(declared, action) for action in sorted(actions_of(declared.actions))),
        *(_checked("hook", hook.name, hook.check) for hook in declared.hooks),
    ]
    if as_json:
        print_json({"file": str(file), "declared": found})
    else:
        for one in found:
            problem = "" if one["problem"] is None else f": {one['problem']}"
            name = "" if one.get("name") is None else f"{one['name']}  "
            say(f"{one['what']} {printable(one['of'])}  {name}{one['state']}{problem}")
    if any(one["state"] == "not ready" for one in found):
        raise typer.Exit(_UNAVAILABLE)


def _checked_action(declared: CouncilFile, action: str) -> dict[str, Any]:
    """What would carry out an action, and whether it could begin."""
    if action == ProposalAction.CHANGE_ELECTORATE:
        return _told("action", action, "by the council itself")
    if action not in declared.executors:
        return _told("action", action, "refused but by hand" if declared.executors else "by hand")
    executor = declared.executors[action]

    def begin() -> None:
        with redirect_stdout(sys.stderr), declared.executing(action) as made:
            made.check()

    checked = _checked("action", action, begin)
    return {**checked, "name": executor.name, "digest": executor.digest}


def _checked(what: str, of: str, begin: Any) -> dict[str, Any]:
    try:
        begin()
    except (UsageError, OperationalError) as error:
        return _told(what, of, "not ready", str(error))
    return _told(what, of, "ready")


def _told(what: str, of: str, state: str, problem: str | None = None) -> dict[str, Any]:
    return {"what": what, "of": of, "state": state, "problem": problem}
