"""``quorate explain``: one decision's story in words."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from quorate.cli.explained import describe, more, overridden, told_beside
from quorate.cli.shown import AsJson, print_json, say
from quorate.cli.where import Keys, PolicyFile, Where, open_reading, own_key, trusted
from quorate.core.canonical import canonical
from quorate.core.errors import UsageError, VerificationError
from quorate.core.text import counted, printable
from quorate.ledger import Policy, Receipt, read_verifier
from quorate.ledger.replay import ReplayContext, replay

VERDICTS: Final = ("decision", "refusal")
BESIDE: Final = (
    "oversight",
    "threshold",
    "measurement",
    "drill",
    "evidence",
    "system",
    "dossier",
)
_GATING: Final = "gating"
_COMPUTED: Final = "the verdict was computed again from what is sealed and comes out the same"
_CHECKED: Final = {
    "decision": _COMPUTED,
    "refusal": _COMPUTED,
    "routing": _COMPUTED,
    "outcome": "it is a whole outcome; there is no verdict in it to compute",
    "panel": "it is a whole declaration of a panel; there is no verdict in it to compute",
    "oversight": "it is a whole word of a person; there is no verdict in it to compute",
    "threshold": "it is a whole threshold; there is no verdict in it to compute",
    "measurement": "whether it meets its threshold was computed again and comes out the same",
    "drill": "whether it passed was computed again from what was seen and comes out the same",
    "system": "it is a whole declaration of a system; nothing but its word stands for it",
    "dossier": "it is a whole seal of a dossier; 'quorate comply verify' holds the dossier to it",
    "evidence": "it is a whole item of evidence; what it says is shown by the entries it names",
}


def explain(
    seq: Annotated[int, typer.Argument(help="Number of the entry, from 0.", min=0)],
    ledger: Where = None,
    key: Keys = None,
    policy: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Tell why an entry came out as it did, after checking it and computing its verdict again."""
    trust, by = trusted(key, policy), ""
    if trust is None and ledger is None and (own := own_key()) is not None:
        trust, by = Policy.of([read_verifier(own)]), f" by the panel's own key {own}"
    with open_reading(ledger) as log:
        receipt = log.get(seq)
        standing = overridden(log, receipt, trust)
    if trust is not None:
        receipt.verify(trust)
    story = _story(receipt)
    if as_json:
        told = {} if standing is None else {"overridden": standing.to_dict()}
        print_json(
            {
                "seq": seq,
                "kind": receipt.kind,
                "story": story,
                "signature_checked": trust is not None,
                "body": receipt.payload,
                **told,
            }
        )
        return
    # Foreign names must not pass for lines of ours: their line feeds are escaped too.
    say(printable(_head(receipt)))
    say("")
    say(printable(story))
    if standing is not None:
        say("")
        say(printable(standing.describe()))
    if receipt.kind in VERDICTS:
        for line in more(receipt.payload):
            say(line)
    say("")
    signed = f"checks out{by}" if trust is not None else "was not checked (give --key)"
    say(f"Its signature {signed}; {_checked(receipt)}.")


def _checked(receipt: Receipt) -> str:
    """What was computed again."""
    if receipt.kind != _GATING:
        return _CHECKED[receipt.kind]
    if receipt.payload["leaves"] is None:
        return (
            "its figures fit one another; they were not computed again from its tokens, whose "
            "choices are not in the entry"
        )
    return "its figures were computed again from its tokens and come out the same"


def _head(receipt: Receipt) -> str:
    task = receipt.payload.get("task") if isinstance(receipt.payload, dict) else None
    about = f", on task {task['id']!r}" if isinstance(task, dict) and "id" in task else ""
    if receipt.kind == _GATING and receipt.trace_id is not None:
        about = f", of trace {receipt.trace_id!r}"
    return (
        f"Entry {receipt.seq}, {receipt.kind}, sealed {receipt.timestamp} by key "
        f"{receipt.signer}{about}."
    )


def _story(receipt: Receipt) -> str:
    from quorate.arbitration import sealed as arbitration
    from quorate.moe import sealed as moe
    from quorate.routing import sealed as routing

    body: Any = receipt.payload
    if receipt.kind in VERDICTS:
        arbitration.replay(receipt.kind, body)
        return describe(body["verdict"])
    if receipt.kind == "routing":
        routing.replay(receipt.kind, body)
        return routing.describe(body)
    if receipt.kind == moe.KIND:
        moe.replay(receipt.kind, body)
        return moe.describe(body)
    if receipt.kind == "panel":
        replay(receipt.kind, body, ReplayContext(), receipt.seq)
        return _panel(body, receipt.seq)
    if receipt.kind == "outcome":
        replay(receipt.kind, body, ReplayContext(), receipt.seq)
        return f"The right answer to that task is {canonical(body['answer']).decode()}."
    if receipt.kind in BESIDE:
        replay(receipt.kind, body, ReplayContext(), receipt.seq)
        return told_beside(receipt.kind, body)
    raise UsageError(
        f"entry {receipt.seq} is of the kind {receipt.kind!r}, which is no verdict; "
        f"look at it with: quorate ledger show {receipt.seq}"
    )


def _panel(body: dict[str, Any], seq: int) -> str:
    """Tell a declaration that was replayed."""
    parameters = body["parameters"]
    if not isinstance(parameters, dict) or not isinstance(parameters.get("quorum"), str):
        raise VerificationError("the panel declares no quorum", index=seq, rule="panel")
    experts = ", ".join(f"{id_} ({weight})" for id_, weight in sorted(body["roster"].items()))
    others = sorted(parameters.keys() - {"quorum"})
    told = "".join(f", {name} {canonical(parameters[name]).decode()}" for name in others)
    way = f" After a refusal: {body['on_under_quorum']}." if "on_under_quorum" in body else ""
    shadow = " It only shows what it would decide (shadow)." if "mode" in body else ""
    return (
        f"A panel that decisions after it can name: {counted(len(body['roster']), 'expert')} with "
        f"route weights, {experts}; protocol {body['protocol']}, quorum "
        f"{parameters['quorum']}{told}.{way}{shadow}"
    )
