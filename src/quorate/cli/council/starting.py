"""``quorate council init`` and ``open``: write a council file, and open what it names."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.council.file import CouncilFile
from quorate.cli.council.seat import FILE, File, compare, flag_of, refuse_wiped
from quorate.cli.shown import AsJson, note, print_json, say
from quorate.cli.where import refuse_empty
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import Ed25519Signer
from quorate.core.text import counted
from quorate.council import ConsensusProtocol
from quorate.ledger import Ledger, read_signer, write_key
from quorate.ledger.keyfiles import public_path

_VOTERS: Final = ("anna", "ben", "chris", "dana")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")

_START: Final = """\
# Who decides together, what it takes, and where it is recorded.
# Open it: quorate council open   (from then on only a vote changes voters, never this file)
# Look:    quorate council list

id = "council"

[ledger]
url = "sqlite:///council.db"       # relative to this file
signer = "keys/council.key"        # private: never commit or share it
origin = @ORIGIN@

[rules]                            # sealed when the council is opened, and never changed
quorum_fraction = "1/2"            # routine: so many of the voters approve or reject
majority_threshold = "1/2"         # routine: more than this part of the weight cast approves
supermajority_threshold = "2/3"    # critical: at least this part of all weight approves
default_expiry = "1h"              # or never; a proposal may say its own
allow_vote_change = false
max_active_proposals = 10          # half of them shared out among the voters, one each at least
execute_within = "7d"              # or never: then an approval that nobody carried out lapses
clock_tolerance = "5m"             # between the clocks of all machines that act
only_voters_execute = false        # true: an execution begins in a voter's name, and signed

[actions]                          # beside quarantine, restrict (routine), terminate, escalate,
# reboot = "routine"               # release and change_electorate (critical)

# [executors.quarantine]           # who does it, on this machine; else execute only marks it
# kind = "command"                 # or webhook, mcp, python
# command = ["./quarantine.sh"]

# [[hooks]]                        # who is told, while "quorate council watch" runs
# name = "pager"
# kind = "webhook"                 # or command
# url = "https://pager.example/council"
# on = ["proposed", "expired"]

"""


def init(
    file: Annotated[Path, typer.Argument(help="Council file to write.")] = FILE,
    voter: Annotated[
        list[str] | None,
        typer.Option(help="A voter. May be repeated; else four to rename.", show_default=False),
    ] = None,
    insecure_unsigned: Annotated[
        bool,
        typer.Option(
            "--insecure-unsigned",
            help="Make no keys for voters: whoever can write the ledger can vote for anybody.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a council file to edit, with a key for the ledger and one for each voter."""
    voters = list(voter or _VOTERS)
    for id_ in voters:
        if not _FILE_NAME.fullmatch(id_):
            raise UsageError(
                f"the voter {id_!r} cannot name a key file; give letters, digits, _, . and -, or "
                f"write another id into {file} afterwards"
            )
    seen: dict[str, str] = {}
    for id_ in voters:
        other = seen.setdefault(id_.casefold(), id_)
        if voters.count(id_) > 1 or other != id_:
            raise UsageError(
                f"the voter {id_!r} stands there twice"
                + ("" if other == id_ else f", as {other!r} too")
                + "; give each its own id, which no file system takes for another's"
            )
    keys = file.parent / "keys"
    private = [keys / "council.key"]
    if not insecure_unsigned:
        private += [keys / "voters" / f"{id_}.key" for id_ in voters]
    for path in (file, *private, *map(public_path, private)):
        if path.exists() or path.is_symlink():
            raise UsageError(f"{path} is there already; name another file, nothing is replaced")
    written = _write(file, _text(voters, keyed=not insecure_unsigned), private)
    if as_json:
        print_json({"file": str(file), "voters": voters, "files": [str(path) for path in written]})
        return
    flag = flag_of(file)
    say(f"wrote {file} with {counted(len(voters), 'voter')}, and {counted(len(private), 'key')}")
    if not insecure_unsigned:
        say("give each voter its private key of keys/voters, and keep none of them here")
    say(f"next: edit {file}, then open the council: quorate council open{flag}")


def open_(file: File = FILE, as_json: AsJson = False) -> None:
    """Open the council that the file names; what is sealed then, only a vote changes."""
    declared = CouncilFile(file)
    signer = read_signer(declared.signer_path)
    _refuse_remains(declared)
    with Ledger.open(declared.ledger_url, signer=signer, origin=declared.origin) as ledger:
        before = len(ledger)
        protocol = _opened(declared, ledger)
        fresh = len(ledger) > before
        summary = protocol.summary()
    if as_json:
        print_json({"opened": fresh, **summary})
        return
    name, voters = summary["council"], counted(summary["voter_count"], "voter")
    say(f"{'opened' if fresh else 'open already:'} {name} with {voters} in {declared.ledger_path}")
    say(
        f"up to {summary['max_byzantine_faults']} of them may lie; a critical action takes "
        f"{counted(summary['bft_quorum'], 'approval')}"
    )
    for caution in summary["cautions"]:
        note(caution)
    say(f"next: quorate council propose ACTION --target T --as VOTER{flag_of(file)}")


def _refuse_remains(declared: CouncilFile) -> None:
    """Begin no new record where the remains of one may lie.

    Raises:
        StoreError: the ledger's file is there, and empty.
        VerificationError: it holds no entries.
    """
    if declared.ledger_path.exists():
        refuse_empty(declared.ledger_url)
        with Ledger.open(declared.ledger_url) as ledger:
            refuse_wiped(ledger, declared.ledger_path, flag_of(declared.path))


def _opened(declared: CouncilFile, ledger: Ledger) -> ConsensusProtocol:
    try:
        return ConsensusProtocol(
            declared.electorate.voters,
            dict(declared.electorate.weights),
            declared.config,
            ledger=ledger,
            keys=dict(declared.electorate.keys),
            council_id=declared.id,
            actions=declared.actions,
        )
    except UsageError as error:
        # It is open, with something else: that is told, and what is sealed counts.
        protocol = ConsensusProtocol.reopen(ledger, council_id=declared.id)
        compare(declared, protocol)
        raise UsageError(
            f"the council {declared.id!r} is open already, and {declared.path} differs from it; "
            "put the file right, or change the voters by: quorate council propose "
            "change_electorate --voters-from FILE --as VOTER"
        ) from error


def _text(voters: list[str], *, keyed: bool) -> str:
    origin = json.dumps(f"quorate/{os.urandom(12).hex()}")
    tables = []
    for id_ in voters:
        lines = ["[[voters]]", f"id = {json.dumps(id_)}", "weight = 1"]
        public = public_path(Path("keys/voters") / f"{id_}.key").as_posix()
        lines += [f"key = {json.dumps(public)}"] if keyed else []
        tables.append("\n".join(lines) + "\n")
    return _START.replace("@ORIGIN@", origin) + "\n".join(tables)


def _write(file: Path, text: str, private: list[Path]) -> list[Path]:
    """Write all files, or leave none of them."""
    written: list[Path] = []
    try:
        for path in private:
            written += write_key(path, Ed25519Signer.generate())
        with file.open("x", encoding="utf-8") as opened:
            written.append(file)
            opened.write(text)
    except (OSError, OperationalError) as error:
        for path in written:
            path.unlink(missing_ok=True)
        if isinstance(error, OperationalError):
            raise
        raise OperationalError(f"{file} cannot be written: {error.strerror}") from error
    return sorted(written)
