"""``quorate verify``: check a ledger or a receipt against keys that you name."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Annotated, Final

import typer

from quorate.cli.shown import AsJson, print_json, progress, say
from quorate.cli.where import Keys, PolicyFile, is_url, ledger_url, refuse_empty, trusted
from quorate.core import limits
from quorate.core.canonical import parse
from quorate.core.errors import OperationalError, UsageError
from quorate.core.text import printable
from quorate.ledger import Bundle, Ledger, Policy, Receipt, VerifyReport
from quorate.ledger.files import read_start, read_text
from quorate.ledger.log import parse_url

_RECEIPT_BYTES: Final = 4 * limits.MAX_BODY_BYTES
_HEAD_BYTES: Final = 4096


def verify(
    target: Annotated[
        str, typer.Argument(help="A ledger (URL or file), or a receipt or bundle (JSON file).")
    ],
    key: Keys = None,
    policy: PolicyFile = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Checkpoint kept elsewhere; without one, a cut tail goes unseen."),
    ] = None,
    replay: Annotated[
        bool, typer.Option("--replay", help="Compute every sealed verdict again.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify every entry, or one receipt or bundle. Offline, with public keys only.

    Exits 4 and names the first bad entry and the rule it breaks if it does not check out.
    """
    trust = trusted(key, policy)
    if trust is None:
        raise UsageError(
            "name whom you trust: --key ledger.pub (the operator's public key, got from the "
            "operator, not from the ledger), or --policy policy.toml"
        )
    if _is_receipt(target):
        _verify_receipt(Path(target), trust, checkpoint, replay=replay, as_json=as_json)
        return
    note = None
    if checkpoint is not None:
        note = read_text(checkpoint, "checkpoint", limits.MAX_NOTE_BYTES)
    report = _verify_ledger(target, trust, note, replay=replay)
    if as_json:
        print_json(report.to_dict())
    else:
        say(report.describe())


def _is_receipt(target: str) -> bool:
    """Whether it is a receipt, rather than a ledger, going by what is in the file."""
    if is_url(target):
        return False
    try:
        start = read_start(target, _HEAD_BYTES)
    except FileNotFoundError as error:
        raise OperationalError(f"there is no ledger and no receipt at {target}") from error
    except OSError as error:
        raise OperationalError(f"{target} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{target!r} is no file name: {error}") from error
    if start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        return True
    # Databases begin with "SQLite format 3" and a NUL. One that is damaged there is still no
    # text, and SQLite says what is wrong with it.
    if not start or b"\0" in start:
        return False
    raise UsageError(
        f"{target} is neither a ledger (an SQLite database) nor a receipt (a JSON object, as "
        "'quorate ledger show SEQ --json' prints it)"
    )


def _verify_ledger(target: str, trust: Policy, note: str | None, *, replay: bool) -> VerifyReport:
    url = ledger_url(target)
    if parse_url(url) is None:
        raise UsageError("a ledger in memory: is gone with its process; there is none to verify")
    refuse_empty(url)
    with progress("verifying") as shown, Ledger.open(url) as log:
        return log.verify(
            note,
            replay,
            policy=trust,
            progress=shown,
        )


def _verify_receipt(
    path: Path, trust: Policy, checkpoint: Path | None, *, replay: bool, as_json: bool
) -> None:
    if checkpoint is not None or replay:
        raise UsageError("--checkpoint and --replay are for a whole ledger, not for one receipt")
    members = parse(read_text(path, "receipt", _RECEIPT_BYTES).removeprefix("\ufeff"))
    if isinstance(members, dict) and "bundle" in members:
        _verify_bundle(Bundle.from_dict(members), trust, as_json=as_json)
        return
    receipt = Receipt.from_dict(members)
    receipt.verify(trust)
    if as_json:
        print_json({"verified": True, "origin": receipt.origin, "seq": receipt.seq})
    else:
        say(
            f"{_sealed(receipt)}\n"
            "(that the ledger holds it there is shown by verifying the ledger, or a bundle)"
        )


def _verify_bundle(bundle: Bundle, trust: Policy, *, as_json: bool) -> None:
    pinned = bundle.verify(trust)
    receipt = bundle.receipt
    if as_json:
        print_json(
            {
                "verified": True,
                "origin": receipt.origin,
                "seq": receipt.seq,
                "size": pinned.size,
                "root": pinned.root.hex(),
            }
        )
    else:
        say(
            f"{_sealed(receipt)}\n"
            f"the ledger holds it there: proven against a checkpoint of {pinned.size} entries, "
            f"root {pinned.root.hex()}"
        )


def _sealed(receipt: Receipt) -> str:
    return (
        f"verified receipt {receipt.seq} of {receipt.origin}: {printable(receipt.kind)}, sealed "
        f"{receipt.timestamp} by {receipt.signer}"
    )
