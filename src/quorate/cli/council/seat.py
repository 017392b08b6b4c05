"""Which council is meant, how it is opened, and what was meant by a name that is mistyped."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.council.file import CouncilFile
from quorate.cli.shown import note
from quorate.cli.where import is_url, refuse_empty
from quorate.core.errors import QuorateError, StoreError, UsageError
from quorate.core.identity import Ed25519Signer, Verifier
from quorate.council import ConsensusProtocol, Proposal
from quorate.council.events import KIND
from quorate.council.rules.values import actions_of, find_action, normal_name
from quorate.hub.panel_checks import near
from quorate.ledger import Ledger, read_signer, read_verifier
from quorate.ledger.keyfiles import public_path
from quorate.ledger.log import parse_url

FILE: Final = Path("council.toml")

File = Annotated[
    Path,
    typer.Option(
        "--council", "-c", envvar="QUORATE_COUNCIL", help="Council file.", show_default=True
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        help="URL or file of the ledger, to look without a council file.",
        show_default=False,
    ),
]
CouncilId = Annotated[
    str | None,
    typer.Option("--id", help="Which council of that ledger, with --ledger.", show_default=False),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key",
        envvar="QUORATE_VOTER_KEY",
        help="Private key file of that voter, if one is registered for it.",
        show_default=False,
    ),
]
Reason = Annotated[str | None, typer.Option(help="Why, in your words; it is sealed.")]


@contextmanager
def seated(file: Path) -> Iterator[ConsensusProtocol]:
    """Take a seat that can act, in the council that a file names.

    Raises:
        UsageError: the file or the ledger's key cannot be used, or the council is not opened.
        StoreError: there is no ledger.
        VerificationError: what is sealed does not check out.
    """
    with seated_by(CouncilFile(file)) as protocol:
        yield protocol


@contextmanager
def seated_by(declared: CouncilFile) -> Iterator[ConsensusProtocol]:
    """Take a seat that can act, in the council of a file that was read; see :func:`seated`."""
    file = declared.path
    _refuse_missing(declared.ledger_path, file)
    signer = read_signer(declared.signer_path)
    # Opening it with a signer would begin a ledger where there is none.
    Ledger.open(declared.ledger_url).close()
    with Ledger.open(declared.ledger_url, signer=signer, origin=declared.origin) as ledger:
        protocol = _reopened(ledger, declared.id, file)
        compare(declared, protocol)
        yield protocol


@contextmanager
def looking(
    file: Path, log: str | None, id_: str | None, verify_with: Iterable[Verifier] = ()
) -> Iterator[ConsensusProtocol]:
    """Take a seat from which one only looks; it needs no private key.

    Raises:
        UsageError, StoreError, VerificationError: as :func:`seated`.
    """
    if log is None:
        if id_ is not None:
            raise UsageError("--id goes with --ledger; a council file says its own id")
        declared = CouncilFile(file)
        _refuse_missing(declared.ledger_path, file)
        refuse_empty(declared.ledger_url)
        with Ledger.open(declared.ledger_url, verify_with=verify_with) as ledger:
            protocol = _reopened(ledger, declared.id, file)
            compare(declared, protocol)
            yield protocol
        return
    url = log if is_url(log) else f"sqlite:///{log}"
    refuse_empty(url)
    if parse_url(url) is None:
        raise UsageError("memory: is gone with its process; name a ledger's file")
    with Ledger.open(url, verify_with=verify_with) as ledger:
        yield ConsensusProtocol.reopen(ledger, council_id=id_)


def own_key(file: Path) -> list[Verifier]:
    """The public key beside the private key of the file's ledger; none if it is not there."""
    public = public_path(CouncilFile(file).signer_path)
    return [read_verifier(public)] if public.is_file() else []


def _refuse_missing(path: Path, file: Path) -> None:
    if not path.exists():
        raise StoreError(
            f"there is no ledger {path}; if this council is new, open it with: quorate council "
            f"open{flag_of(file)}; if not, its record is gone: restore it"
        )


def _reopened(ledger: Ledger, id_: str, file: Path) -> ConsensusProtocol:
    if next(iter(ledger.find(trace_id=id_, kind=KIND)), None) is None:
        raise UsageError(
            f"the council {id_!r} is not opened in this ledger yet; run: quorate council "
            f"open{flag_of(file)}"
        )
    return ConsensusProtocol.reopen(ledger, council_id=id_)


def flag_of(file: Path) -> str:
    """What a command has to be given besides, to mean this council file."""
    return "" if file == FILE else f" --council {shlex.quote(str(file))}"


def compare(declared: CouncilFile, protocol: ConsensusProtocol) -> None:
    """Say where the file differs from what is sealed; what is sealed counts."""
    differ = [
        name
        for name, says, sealed in (
            (
                "voters",
                declared.electorate.to_dict()["voters"],
                protocol.electorate.to_dict()["voters"],
            ),
            ("keys", dict(declared.electorate.keys), dict(protocol.electorate.keys)),
            ("rules", declared.config, protocol.config),
            ("actions", dict(actions_of(declared.actions)), dict(known_actions(protocol))),
        )
        if says != sealed
    ]
    if differ:
        note(
            f"{declared.path} names other {' and '.join(differ)} than the council was given; what "
            "is sealed counts"
        )


def known_actions(protocol: ConsensusProtocol) -> Mapping[str, bool]:
    """All actions of a council: normal name -> whether it is critical."""
    opened = next(iter(protocol.ledger.find(trace_id=protocol.council_id, kind=KIND)))
    return actions_of(opened.payload["actions"])


def the_action(protocol: ConsensusProtocol, spelled: str) -> str:
    """The normal name of a known action.

    Raises:
        UsageError: it is not known; names the nearest.
    """
    known = known_actions(protocol)
    try:
        return find_action(spelled, known)
    except UsageError as error:
        raise UsageError(f"{error}{near(normal_name(spelled), known)}") from error


def the_proposal(protocol: ConsensusProtocol, id_: str) -> Proposal:
    """The proposal of that id.

    Raises:
        UsageError: there is none; names the nearest, or those that are open.
    """
    found = {proposal.id: proposal for proposal in protocol.list_proposals()}
    if id_ in found:
        return found[id_]
    if not found:
        raise UsageError(
            f"there is no proposal {id_!r}, for nothing was proposed yet; propose with: quorate "
            "council propose ACTION --target T --as VOTER"
        )
    # People leave out the p, or write it large.
    hint = f"; did you mean 'p{id_}'?" if f"p{id_}" in found else near(id_.lower(), found)
    raise UsageError(f"there is no proposal {id_!r}; quorate council list shows all{hint}")


def the_voter(voters: Iterable[str], id_: str) -> str:
    """That voter's id.

    Raises:
        UsageError: it is no voter; names the nearest, and all.
    """
    known = list(voters)
    if id_ in known:
        return id_
    raise UsageError(
        f"{id_!r} is no voter here; the voters are {', '.join(sorted(known))}{near(id_, known)}"
    )


def the_key(path: Path | None, voter: str, keys: Mapping[str, str]) -> Ed25519Signer | None:
    """The key that signs a voter's ballot; ``None`` where none is registered for it.

    Raises:
        UsageError: a key is missing, too much, or another's.
        OperationalError: the file cannot be read.
    """
    registered = keys.get(voter)
    if registered is None:
        if path is not None:
            raise UsageError(
                f"no key is registered for {voter!r} to check a signature by; leave --key out"
            )
        return None
    if path is None:
        raise UsageError(
            f"{voter!r} has a registered key, so its ballots are signed; give its private key "
            "with --key FILE"
        )
    signer = read_signer(path)
    if not isinstance(signer, Ed25519Signer):
        raise UsageError(f"{path} is a shared secret; ballots are signed by an Ed25519 key")
    own = signer.verifier.to_text()
    if own != registered:
        other = next((name for name, key in keys.items() if key == own), None)
        whose = "nobody's here" if other is None else f"that of {other!r}"
        raise UsageError(
            f"{path} is not the key registered for {voter!r}, it is {whose}; give the private "
            f"key of {registered}"
        )
    return signer


def complete_id(context: typer.Context, incomplete: str) -> list[str]:
    """Ids that a shell may offer; none where the council cannot be read."""
    return [found for found in _offered(context, "proposals") if found.startswith(incomplete)]


def complete_action(context: typer.Context, incomplete: str) -> list[str]:
    """Actions that a shell may offer."""
    return [found for found in _offered(context, "actions") if found.startswith(incomplete)]


def _offered(context: typer.Context, what: str) -> list[str]:
    file = Path(context.params.get("file") or FILE)
    try:
        declared = CouncilFile(file)
        if what == "actions":
            return sorted(actions_of(declared.actions))
        with Ledger.open(declared.ledger_url) as ledger:
            seat = ConsensusProtocol.reopen(ledger, council_id=declared.id)
            return [proposal.id for proposal in seat.list_proposals()]
    # A shell waits for this between two keys: whatever is wrong, a command will tell it.
    except (QuorateError, OSError):
        return []


Id = Annotated[
    str, typer.Argument(metavar="ID", help="The proposal, such as p1.", autocompletion=complete_id)
]
