"""Which council is meant, how it is opened, and what was meant by a name that is mistyped."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.council.file import CouncilFile
from quorate.cli.council.times import length
from quorate.cli.shown import note
from quorate.cli.where import is_url, refuse_empty
from quorate.core.errors import QuorateError, StoreError, UsageError, VerificationError
from quorate.core.identity import Ed25519Signer, Signer, Verifier
from quorate.council import ConsensusProtocol, Proposal
from quorate.council.events import KIND
from quorate.council.rules.values import actions_of, find_action, normal_name
from quorate.council.telling import quoted
from quorate.hub.panel_checks import near
from quorate.ledger import Ledger, Policy, read_signer, read_verifier
from quorate.ledger.appending import system_clock
from quorate.ledger.keyfiles import public_path
from quorate.ledger.log import parse_url

FILE: Final = Path("council.toml")
_MICROSECONDS: Final = 1_000_000
_NOTICEABLE: Final = 5
_USUAL: Final = "council"

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


Digest = Annotated[
    str | None,
    typer.Option(
        help="Its digest as you read it, or the first 8 digits or more: refused if it is another.",
        show_default=False,
    ),
]


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
    _check_last(declared.ledger_url, signer)
    with Ledger.open(declared.ledger_url, signer=signer, origin=declared.origin) as ledger:
        protocol = _reopened(ledger, declared.id, file)
        compare(declared, protocol)
        yield protocol


def _check_last(url: str, signer: Signer) -> None:
    """See that the last entry is signed by the key that it names, where that is this one.

    Raises:
        StoreError: there is no ledger; opening it with a signer would begin one.
        VerificationError: somebody without the key wrote it.
    """
    with Ledger.open(url) as ledger:
        size = len(ledger)
        if not size:
            return
        last = ledger.get(size - 1)
        if signer.key_id in {signature.key_id for signature in last.signatures}:
            last.verify(Policy.of([signer.verifier]))


@dataclass(frozen=True, slots=True)
class Look:
    """Where one looks, and by whose keys the record is checked.

    Attributes:
        file: the council file, if no ledger is named.
        log: URL or file of the ledger, or ``None``.
        id_: which council of that ledger.
        trust: keys that the record has to be signed by; none if none is at hand.
    """

    file: Path
    log: str | None
    id_: str | None
    trust: tuple[Verifier, ...]

    @classmethod
    def of(cls, file: Path, log: str | None, id_: str | None, keys: list[str] | None) -> Look:
        """Find the keys: those that are named, else the one beside the ledger's private key.

        Raises:
            UsageError: a key cannot be read, or an id is given without a ledger.
        """
        if log is None and id_ is not None:
            raise UsageError("--id goes with --ledger; a council file says its own id")
        if keys:
            return cls(file, log, id_, tuple(read_verifier(text) for text in keys))
        return cls(file, log, id_, () if log is not None else tuple(own_key(file)))

    @property
    def flag(self) -> str:
        """What goes with each command that comes next."""
        return "" if self.log is not None else flag_of(self.file)

    @property
    def unchecked(self) -> str | None:
        """What goes with the command that checks the signatures; ``None`` if they are."""
        if self.trust:
            return None
        if self.log is None:
            return self.flag
        which = "" if self.id_ is None else f" --id {shlex.quote(self.id_)}"
        return f" --ledger {shlex.quote(self.log)}{which}"

    @property
    def signatures(self) -> str:
        """Whether they are checked, in words."""
        return "checked" if self.trust else "not checked"

    @contextmanager
    def seat(self) -> Iterator[ConsensusProtocol]:
        """Take the seat; see :func:`looking`."""
        with looking(self.file, self.log, self.id_, self.trust) as protocol:
            yield protocol


@contextmanager
def looking(
    file: Path, log: str | None, id_: str | None, verify_with: Iterable[Verifier] | None = None
) -> Iterator[ConsensusProtocol]:
    """Take a seat from which one only looks; it needs no private key.

    Args:
        file: the council file, if no ledger is named.
        log: URL or file of the ledger, or ``None``.
        id_: which council of that ledger.
        verify_with: keys that every entry has to be signed by; ``None`` for the one beside
            the ledger's private key. Without any, it is said that nothing was checked.

    Raises:
        UsageError, StoreError, VerificationError: as :func:`seated`.
    """
    verify_with = Look.of(file, log, id_, None).trust if verify_with is None else verify_with
    if not verify_with:
        note(
            "signatures not checked: no public key of the ledger is at hand, and whoever can "
            "write its file could have written this; give it with --key PUB"
        )
    if log is None:
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
        refuse_wiped(ledger, log, "")
        yield _found(ledger, id_)


def _found(ledger: Ledger, id_: str | None) -> ConsensusProtocol:
    """The council of a ledger that is named.

    Raises:
        UsageError: it is not there; names those that are.
    """
    known = _councils(ledger)
    named = ", ".join(map(quoted, known))
    if id_ is None and len(known) > 1:
        note(f"this ledger holds the councils {named}; choose one with --id")
    wanted = _USUAL if id_ is None else id_
    if wanted in known:
        return ConsensusProtocol.reopen(ledger, council_id=wanted)
    if not known:
        raise UsageError("no council was ever opened in this ledger")
    raise UsageError(
        f"there is no council {wanted!r} in this ledger; it holds {named}: choose with --id"
        f"{near(wanted, known)}"
    )


def _councils(ledger: Ledger) -> list[str]:
    return sorted({receipt.trace_id or "" for receipt in ledger.find(kind=KIND)} - {""})


def refuse_wiped(ledger: Ledger, where: object, flag: str) -> None:
    """Refuse a ledger without entries: what was sealed in it is gone, if anything was.

    Raises:
        VerificationError: it has none.
    """
    if not len(ledger):
        raise VerificationError(
            f"{where} holds no entries: its record was wiped, or nothing was ever sealed in it; "
            "if you have a checkpoint or a copy, restore it; only if this council is new, remove "
            f"the file and run: quorate council open{flag}",
            index=0,
            rule="truncation",
        )


def own_key(file: Path) -> list[Verifier]:
    """The public key of the file's ledger, beside its private key or of it; none without both.

    Raises:
        UsageError: the file that is there is no key.
    """
    private = CouncilFile(file).signer_path
    public = public_path(private)
    if public.is_file():
        return [read_verifier(public)]
    return [read_signer(private).verifier] if private.is_file() else []


def _refuse_missing(path: Path, file: Path) -> None:
    if not path.exists():
        raise StoreError(
            f"there is no ledger {path}; if this council is new, open it with: quorate council "
            f"open{flag_of(file)}; if not, its record is gone: restore it"
        )


def _reopened(ledger: Ledger, id_: str, file: Path) -> ConsensusProtocol:
    refuse_wiped(ledger, "the ledger", flag_of(file))
    try:
        return ConsensusProtocol.reopen(ledger, council_id=id_)
    except UsageError as error:
        known = _councils(ledger)
        if id_ in known:
            raise
        others = f" (it holds {', '.join(map(quoted, known))})" if known else ""
        raise UsageError(
            f"the council {id_!r} is not opened in this ledger yet{others}; run: quorate council "
            f"open{flag_of(file)}"
        ) from error


def time_of(protocol: ConsensusProtocol) -> int:
    """The time by which the council would act now, in microseconds since 1970.

    Where that is not this machine's, it is said.
    """
    now = protocol.now()
    ahead = now - system_clock()
    if ahead > _NOTICEABLE * _MICROSECONDS:
        note(
            f"the record is {length(ahead)} ahead of this machine's clock, and time in a record "
            "never goes back: what is shown goes by the record"
        )
    return now


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
            ("actions", dict(actions_of(declared.actions)), dict(protocol.actions)),
        )
        if says != sealed
    ]
    if differ:
        note(
            f"{declared.path} names other {' and '.join(differ)} than the council was given; what "
            "is sealed counts"
        )


def the_action(protocol: ConsensusProtocol, spelled: str) -> str:
    """The normal name of a known action.

    Raises:
        UsageError: it is not known; names the nearest.
    """
    known = protocol.actions
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
    """The key that signs what a voter says; ``None`` where none is registered for it.

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
            f"{voter!r} has a registered key, so what it says is signed; give its private key "
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
