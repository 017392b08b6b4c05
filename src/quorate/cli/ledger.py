"""``quorate ledger``: list, show, checkpoint."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.markup import escape

from quorate.cli.shown import AsJson, out, print_json, put, say, writing
from quorate.cli.where import Keys, PolicyFile, Where, ledger_url, open_reading, trusted
from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import counted, printable
from quorate.ledger import Ledger, Policy, Receipt, read_signer
from quorate.ledger import checkpoint as checkpoints
from quorate.ledger.files import read_text

_MOST_SHOWN: Final = 100_000

app = typer.Typer(help="Look into a ledger.", no_args_is_help=True)


@app.command("ls")
def ls(
    where: Annotated[
        str | None,
        typer.Argument(
            metavar="[LEDGER]", help="URL or file of the ledger, as --ledger.", show_default=False
        ),
    ] = None,
    ledger: Where = None,
    kind: Annotated[str | None, typer.Option(help="Only entries of this kind.")] = None,
    trace: Annotated[str | None, typer.Option(help="Only entries of this trace id.")] = None,
    start: Annotated[
        int, typer.Option(min=0, max=limits.MAX_SAFE_INTEGER, help="First seq to show.")
    ] = 0,
    most: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=_MOST_SHOWN, help="Most entries to show.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """List entries, oldest first."""
    if where is not None and ledger is not None:
        raise UsageError(f"{where} and --ledger name a ledger; give one of them")
    with open_reading(ledger if where is None else where) as log:
        found = list(islice(log.find(trace_id=trace, kind=kind, start=start), most + 1))
        shown, more = found[:most], len(found) > most
        if as_json:
            print_json({"entries": [_row(receipt) for receipt in shown], "more": more})
            return
        _table(shown)
        if more:
            say(f"… more; go on with --start {shown[-1].seq + 1}, or give --limit")
        elif not shown:
            say("no entries" if len(log) == 0 else "no entries like that")


def _row(receipt: Receipt) -> dict[str, object]:
    return {
        "seq": receipt.seq,
        "time": receipt.timestamp,
        "kind": receipt.kind,
        "trace_id": receipt.trace_id,
        "parent": receipt.parent,
        "entry_hash": receipt.entry_hash,
    }


def _table(receipts: list[Receipt]) -> None:
    if not receipts:
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("seq", justify="right")
    for name in ("time", "kind", "trace id", "hash"):
        table.add_column(name, overflow="fold", no_wrap=name != "trace id")
    for r in receipts:
        trace = escape(printable(r.trace_id or ""))
        table.add_row(str(r.seq), r.timestamp, escape(printable(r.kind)), trace, r.entry_hash[:16])
    with writing():
        out().print(table, soft_wrap=False)


@app.command("show")
def show(
    seq: Annotated[int, typer.Argument(help="Number of the entry, from 0.", min=0)],
    ledger: Where = None,
    key: Keys = None,
    policy: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one entry; with --json, its whole receipt, which 'quorate verify' can check alone."""
    trust = trusted(key, policy)
    with open_reading(ledger) as log:
        receipt = log.get(seq)
        if trust is not None:
            receipt.verify(trust)
    if as_json:
        print_json(receipt.to_dict())
        return
    for name, value in (
        ("seq", receipt.seq),
        ("origin", receipt.origin),
        ("timestamp", receipt.timestamp),
        ("kind", receipt.kind),
        ("trace id", receipt.trace_id),
        ("parent", receipt.parent),
        ("previous hash", receipt.previous_hash),
        ("entry hash", receipt.entry_hash),
        ("signer", receipt.signer),
        ("signature", receipt.signature),
        ("co-signer", receipt.co_signer),
        ("co-signature", receipt.co_signature),
    ):
        if value is not None:
            # Line feeds too: a foreign name must not pass for a line of ours.
            say(f"{name + ':':16}{printable(str(value))}")
    say("payload:")
    say(json.dumps(receipt.payload, ensure_ascii=False, indent=2))
    if trust is None:
        say("(signature not checked: no --key or --policy was given)")


@app.command("checkpoint")
def checkpoint(
    signer: Annotated[
        Path | None,
        typer.Option(help="Private key of the ledger; else the one that ./quorate.toml names."),
    ] = None,
    ledger: Where = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write the note to; never replaced."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Sign a note that pins the ledger as it stands. Keep it somewhere else than the ledger."""
    url = ledger_url(ledger)
    if signer is None:
        if ledger is not None:
            raise UsageError("name the ledger's private key with --signer")
        signer = _declared_signer()
    key = read_signer(signer)
    # Opening it with a signer would begin a ledger where there is none.
    Ledger.open(url).close()
    with Ledger.open(url, signer=key) as log:
        note = log.checkpoint()
    # Others may append at the same time: what is pinned stands in the note.
    size = checkpoints.verify(note, Policy.of([key.verifier])).size
    if output is not None:
        _write_new(output, note)
    if as_json:
        print_json({"checkpoint": note, "origin": log.origin, "file": output and str(output)})
    elif output is None:
        put(note)
    else:
        entries = counted(size, "entry", "entries")
        say(f"wrote {output}, which pins {entries}; keep it somewhere else than the ledger")


@app.command("bundle")
def bundle(
    seq: Annotated[int, typer.Argument(help="Number of the entry, from 0.", min=0)],
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Prove it against this checkpoint; else one is signed now."),
    ] = None,
    signer: Annotated[
        Path | None,
        typer.Option(help="Private key of the ledger; else the one that ./quorate.toml names."),
    ] = None,
    ledger: Where = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write it to; never replaced."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one entry's receipt and the proof that the ledger holds it, as one JSON file.

    Whoever has the public key can check the file alone: 'quorate verify FILE --key PUB'.
    """
    url = ledger_url(ledger)
    if checkpoint is not None:
        if signer is not None:
            raise UsageError("give --checkpoint or --signer: with a checkpoint nothing is signed")
        note = read_text(checkpoint, "checkpoint", limits.MAX_NOTE_BYTES)
        with Ledger.open(url) as log:
            made = log.bundle(seq, note)
    else:
        if signer is None:
            if ledger is not None:
                raise UsageError(
                    "name the ledger's private key with --signer, or a checkpoint with --checkpoint"
                )
            signer = _declared_signer()
        key = read_signer(signer)
        # Opening it with a signer would begin a ledger where there is none.
        Ledger.open(url).close()
        with Ledger.open(url, signer=key) as log:
            made = log.bundle(seq)
    if output is None:
        put(made.to_text())
    else:
        _write_new(output, made.to_text())
        if as_json:
            print_json({"file": str(output), "seq": seq, "origin": made.receipt.origin})
            return
        say(f"wrote {output}: entry {seq} of {made.receipt.origin}, with its proof")


def _write_new(path: Path, note: str) -> None:
    """Write the text whole, or leave no file."""
    try:
        with path.open("x", encoding="utf-8") as file:
            try:
                file.write(note)
                file.flush()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; name another file") from error
    except OSError as error:
        raise OperationalError(f"{path} cannot be written: {error.strerror}") from error


def _declared_signer() -> Path:
    from quorate.cli.where import PANEL
    from quorate.hub.panel import Panel

    return Panel.declared(PANEL).signer_path
