"""What whoever is handed an order checks before doing it, trusting nobody in between.

An order proves nothing by itself. Whoever has the ledger's key can make up a council of the
same name, with voters of its own, and a decision of that council: the receipt of it verifies.
So an endpoint **pins** two digests beforehand, which ``quorate council list --json`` prints:
the council's genesis, which no other council has, and its electorate, whose keys sign the
votes. After a change of the electorate the second is another, and is pinned again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from quorate.core.canonical import canonical, digest, parse
from quorate.core.errors import QuorateError, UsageError, UsageTypeError, VerificationError
from quorate.council import sealed
from quorate.council.changes import read_electorate
from quorate.council.events import KIND, check_shape, check_time
from quorate.council.executors.order import ORDER, Order
from quorate.council.rules.config import ConsensusConfig, expires_at
from quorate.council.rules.electorate import Electorate
from quorate.council.rules.values import Decision, check_id, token_digest
from quorate.ledger import Policy, Receipt
from quorate.ledger.receipts import timestamp

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MEMBERS: Final = frozenset({
    "form", "council", "proposal", "digest", "action", "critical", "target", "evidence", "token",
    "certificate", "intent", "deadline",
})  # fmt: skip


def check_order(
    order: Order | bytes | str | Mapping[str, Any],
    policy: Policy,
    electorate: Electorate | str,
    *,
    genesis: str,
) -> Order:
    """Check an order against what its reader trusts; give it back, to be done once.

    It is what was voted, by voters of that electorate under the rules, their signatures
    included; and the intent to do it was sealed for this very token. Of a voter without a key
    the holder of the ledger's key can make up the vote: with too few keys, this proves no
    more than that. That an order is done once is the reader's to see to: keep the tokens that
    were done, and refuse them, and refuse a second token for one ``digest``.

    Args:
        order: as it came; of bytes or text, its JSON.
        policy: the keys that the ledger is signed by.
        electorate: the one that is trusted, or its digest: 64 hex digits.
        genesis: digest of the council's opening event: 64 hex digits.

    Raises:
        UsageError: policy, electorate or genesis cannot be used.
        VerificationError: the order does not check out; ``rule`` says in what: ``order``,
            ``certificate``, ``electorate``, ``genesis`` or ``intent``, or what of a receipt.
    """
    if not isinstance(policy, Policy):
        raise UsageTypeError(f"the policy is a {type(policy).__name__}; give a quorate.Policy")
    trusted = electorate.digest if isinstance(electorate, Electorate) else electorate
    _check_digest(trusted, "the electorate")
    _check_digest(genesis, "the genesis")
    read = order if isinstance(order, Order) else _read(order)
    decided = _body(read.certificate, policy, "certificate", read)
    _check_decided(read, decided)
    subject = decided["subject"]
    if subject["genesis"] != genesis:
        _refuse(
            "genesis", f"it is of the council that began with {subject['genesis']}, not {genesis}"
        )
    if (found := read_electorate(decided["electorate"]).digest) != trusted:
        _refuse(
            "electorate",
            f"the electorate {found} voted, and {trusted} is trusted; if the council changed its "
            "electorate, pin the new one",
        )
    _check_intent(read, _body(read.intent, policy, "intent", read), decided)
    return read


def _read(given: bytes | str | Mapping[str, Any]) -> Order:
    """Read an order from its JSON.

    Raises:
        VerificationError: it is none.
    """
    # What came may be anything: a bad shape shows as one of these while it is read.
    try:
        found = parse(given) if isinstance(given, bytes | str) else dict(given)
        if not isinstance(found, dict) or found.get("form") != ORDER:
            _refuse("order", f"it is no order of the form {ORDER!r}")
        if set(found) != _MEMBERS:
            odd = sorted(set(found) ^ _MEMBERS)
            _refuse("order", f"it has missing or unknown members: {odd}")
        return Order(
            council_id=check_id(found["council"], "its council"),
            proposal_id=check_id(found["proposal"], "its proposal"),
            digest=found["digest"],
            action=found["action"],
            critical=found["critical"],
            target=found["target"],
            evidence_json=canonical(found["evidence"]),
            token=check_id(found["token"], "its token"),
            certificate=Receipt.from_dict(found["certificate"]),
            intent=Receipt.from_dict(found["intent"]),
            deadline=check_time(found["deadline"], "its deadline"),
        )
    except VerificationError:
        raise
    except (QuorateError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise VerificationError(f"it cannot be read as an order: {error}", rule="order") from error


def _body(receipt: Receipt, policy: Policy, what: str, order: Order) -> dict[str, Any]:
    """The event that a receipt is of, its signatures and its form checked."""
    receipt.verify(policy)
    where = (receipt.kind, receipt.trace_id, receipt.origin)
    if where != (KIND, order.council_id, order.certificate.origin):
        _refuse(what, f"its {what} is an entry of {where}, and of no event of this council")
    sealed.replay(KIND, receipt.payload)
    body: dict[str, Any] = check_shape(receipt.payload)
    expected = {"certificate": "decided", "intent": "intent"}[what]
    given = tuple(body.get(name) for name in ("event", "council", "proposal", "digest"))
    if given != (expected, order.council_id, order.proposal_id, order.digest):
        _refuse(what, f"its {what} is the event {given}, and not of what it orders")
    return body


def _check_decided(order: Order, decided: Mapping[str, Any]) -> None:
    subject = decided["subject"]
    ordered = {
        "action": order.action,
        "critical": order.critical,
        "target": order.target,
        "evidence_digest": digest(order.evidence),
    }
    for name, value in ordered.items():
        if type(value) is not type(subject[name]) or value != subject[name]:
            _refuse("certificate", f"its {name} is {value!r}; {subject[name]!r} was voted")
    if decided["verdict"]["decision"] != Decision.APPROVED:
        _refuse("certificate", f"what it orders was {decided['verdict']['decision']}")


def _check_intent(order: Order, intent: Mapping[str, Any], decided: Mapping[str, Any]) -> None:
    if order.intent.seq <= order.certificate.seq:
        _refuse("intent", "its intent was sealed before the decision")
    within = ConsensusConfig.from_dict(decided["config"]).execute_within_seconds
    lapses_at = expires_at(decided["at"], within)
    if lapses_at is not None and intent["at"] >= lapses_at:
        _refuse("intent", f"its intent is of {timestamp(intent['at'])}, when the approval was over")
    if intent["token_digest"] != token_digest(order.token):
        _refuse("intent", "its token is not the one of which the intent was sealed")


def _check_digest(value: object, name: str) -> None:
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise UsageError(
            f"{name} is {value!r}; give 64 hex digits, as quorate council list --json prints them"
        )


def _refuse(rule: str, message: str) -> NoReturn:
    raise VerificationError(message, rule=rule)
