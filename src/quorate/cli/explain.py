"""``quorate explain``: one decision's story in words."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from quorate.cli.shown import AsJson, print_json, say
from quorate.cli.where import Keys, PolicyFile, Where, open_reading, trusted
from quorate.core.errors import UsageError
from quorate.ledger import Receipt


def explain(
    seq: Annotated[int, typer.Argument(help="Number of the entry, from 0.", min=0)],
    ledger: Where = None,
    key: Keys = None,
    policy: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell why an entry came out as it did, after computing its verdict again."""
    trust = trusted(key, policy)
    with open_reading(ledger) as log:
        receipt = log.get(seq)
    if trust is not None:
        receipt.verify(trust)
    story = _story(receipt)
    if as_json:
        print_json({"seq": seq, "kind": receipt.kind, "story": story, "body": receipt.payload})
        return
    task = receipt.payload.get("task") if isinstance(receipt.payload, dict) else None
    about = f", on task {task['id']!r}" if task else ""
    say(f"Entry {seq}, {receipt.kind}, sealed {receipt.timestamp} by key {receipt.signer}{about}.")
    say("")
    say(story)
    say("")
    checked = "Its signature checks out" if trust else "Its signature was not checked (give --key)"
    say(f"{checked}; the verdict was computed again from what is sealed and comes out the same.")


def _story(receipt: Receipt) -> str:
    from quorate.arbitration import Decision, Tally
    from quorate.arbitration import sealed as arbitration
    from quorate.routing import sealed as routing

    body: Any = receipt.payload
    if receipt.kind in (arbitration.DECISION, arbitration.REFUSAL):
        arbitration.replay(receipt.kind, body)
        verdict = Decision if receipt.kind == arbitration.DECISION else Tally
        return verdict.from_dict(body["verdict"]).describe()
    if receipt.kind == "routing":
        routing.replay(receipt.kind, body)
        return routing.describe(body)
    if receipt.kind == "panel":
        experts = ", ".join(f"{id_} ({weight})" for id_, weight in sorted(body["roster"].items()))
        return (
            f"The panel that the decisions after it name: {len(body['roster'])} experts with "
            f"their route weights, {experts}; protocol {body['protocol']}, quorum "
            f"{body['parameters']['quorum']}. Sealed before it decided anything."
        )
    raise UsageError(
        f"entry {receipt.seq} is of the kind {receipt.kind!r}, which is no verdict; "
        f"look at it with: quorate ledger show {receipt.seq}"
    )
