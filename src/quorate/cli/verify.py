"""``quorate verify``: check a ledger or a receipt against keys that you name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quorate.cli.shown import AsJson, print_json, progress, say
from quorate.cli.where import Keys, PolicyFile, trusted
from quorate.core import limits
from quorate.core.canonical import parse
from quorate.core.errors import UsageError
from quorate.ledger import Ledger, Policy, Receipt, VerifyReport
from quorate.ledger.files import read_text

_RECEIPT_BYTES = 4 * limits.MAX_BODY_BYTES


def verify(
    target: Annotated[
        str, typer.Argument(help="A ledger (URL or file), or a receipt (JSON file).")
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
    """Verify every entry, or one receipt. Offline, with public keys only.

    Exits 4 and names the first bad entry and the rule it breaks if it does not check out.
    """
    trust = trusted(key, policy)
    if trust is None:
        raise UsageError(
            "name whom you trust: --key ledger.pub (the operator's public key, got from the "
            "operator, not from the ledger), or --policy policy.toml"
        )
    if target.endswith(".json"):
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


def _verify_ledger(target: str, trust: Policy, note: str | None, *, replay: bool) -> VerifyReport:
    schemes = ("sqlite:", "postgresql:", "memory:")
    url = target if target.startswith(schemes) else f"sqlite:///{target}"
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
    receipt = Receipt.from_dict(parse(read_text(path, "receipt", _RECEIPT_BYTES)))
    receipt.verify(trust)
    if as_json:
        print_json({"verified": True, "origin": receipt.origin, "seq": receipt.seq})
    else:
        say(
            f"verified receipt {receipt.seq} of {receipt.origin}: {receipt.kind}, sealed "
            f"{receipt.timestamp} by {receipt.signer}\n"
            "(that the ledger holds it there is shown by verifying the ledger)"
        )
