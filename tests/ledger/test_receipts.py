"""Receipts on their own: JSON out and in, and no leaf of it can be changed."""

import copy
import dataclasses

import pytest
from ledger_tools import COSIGNER, KEY, MAC, ORIGIN, STRANGER, ledger_of

from quorate.core.canonical import canonical, parse
from quorate.core.errors import QuorateError, UsageError, VerificationError
from quorate.ledger import Policy, Receipt, verify
from quorate.ledger.receipts import decode_signatures, encode_signatures, timestamp

BOTH = Policy((KEY.verifier, COSIGNER.verifier), 2, ORIGIN)
BODY = {"answer": "benign", "weights": [0.5, 1, None, True], "nested": {"é": ""}}


@pytest.fixture(scope="module")
def receipt():
    with ledger_of(2, signer=(KEY, COSIGNER), clock=lambda: 1767323045000006) as ledger:
        yield ledger.append("decision", BODY, trace_id="t", parent="p", key="k")


def leaves(value, path=()):
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, step))
    else:
        yield path, value


def changes(value):
    if value is None:
        return ["x", 0]
    if isinstance(value, bool):
        return [not value, None]
    if isinstance(value, int | float):
        return [value + 1, -1, str(value), None]
    swapped = value.swapcase() if value.swapcase() != value else value + "0"
    flipped = ("1" if value[:1] == "0" else "0") + value[1:]
    return [swapped, flipped, value + "0", value[:-1] if value else "y", None, 5]


def put(members, path, value):
    changed = copy.deepcopy(members)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


def refused(members, policy=BOTH):
    with pytest.raises((UsageError, VerificationError)):
        Receipt.from_dict(members).verify(policy)


def test_the_names_that_users_know(receipt):
    assert receipt.payload == BODY
    assert (receipt.seq, receipt.kind, receipt.trace_id, receipt.parent) == (
        2,
        "decision",
        "t",
        "p",
    )
    assert receipt.timestamp == "2026-01-02T03:04:05.000006Z"
    assert receipt.previous_hash == receipt.entry.prev
    assert (receipt.signer, receipt.co_signer) == (KEY.key_id, COSIGNER.key_id)
    assert receipt.signature == receipt.signatures[0].value.hex()
    assert receipt.co_signature == receipt.signatures[1].value.hex()
    message = f"{ORIGIN}\n{KEY.key_id},{COSIGNER.key_id}\n{receipt.entry_hash}".encode()
    assert KEY.verifier.verify("receipt", message, bytes.fromhex(receipt.signature))
    assert COSIGNER.verifier.verify("receipt", message, bytes.fromhex(receipt.co_signature))


def test_one_signer_has_no_co_signature():
    with ledger_of(1) as ledger:
        alone = ledger.get(0)
        assert (alone.co_signature, alone.co_signer) == (None, None)
        assert ledger.append("note", 1).previous_hash == alone.entry_hash


def test_json_and_back(receipt):
    text = canonical(receipt.to_dict())
    again = Receipt.from_dict(parse(text))
    assert again == receipt
    assert canonical(again.to_dict()) == text
    assert verify(again, policy=BOTH) is None
    assert verify(again, keys=[KEY.verifier]) is None


def test_no_leaf_can_be_changed(receipt):
    members = receipt.to_dict()
    count = 0
    for path, value in leaves(members):
        for other in changes(value):
            assert other != value or type(other) is not type(value)
            refused(put(members, path, other))
            count += 1
    assert count > 60


def test_no_member_can_be_left_out_or_added(receipt):
    members = receipt.to_dict()
    for path in [(), ("entry",), ("body",), ("body", "nested"), ("signatures", 0)]:
        place = members
        for step in path:
            place = place[step]
        for name in place:
            changed = copy.deepcopy(members)
            inner = changed
            for step in path:
                inner = inner[step]
            del inner[name]
            refused(changed)
        changed = copy.deepcopy(members)
        inner = changed
        for step in path:
            inner = inner[step]
        inner["extra"] = 1
        refused(changed)


def test_signatures_are_all_and_in_order(receipt):
    members = receipt.to_dict()
    first, second = members["signatures"]
    lax = Policy((KEY.verifier, COSIGNER.verifier), 1, ORIGIN)
    for listed in ([first], [second], [second, first], [first, first], [], [first, second, first]):
        refused({**members, "signatures": listed}, lax)
    smuggled = {
        **first,
        "signature": f"{first['signature']},{second['key_id']}:{second['signature']}",
    }
    refused({**members, "signatures": [smuggled]}, lax)


@pytest.mark.parametrize("bad", [None, 1, "x", [], {}, {"receipt": "quorate/receipt/v1"}, b"x"])
def test_what_is_no_receipt(bad):
    with pytest.raises(UsageError, match="a receipt is"):
        Receipt.from_dict(bad)


@pytest.mark.parametrize(
    "bad", [None, 1, "x", {}, [1], [None], [{}], [{"key_id": 1, "signature": 2}]]
)
def test_what_are_no_signatures(receipt, bad):
    with pytest.raises(UsageError, match="signature"):
        Receipt.from_dict({**receipt.to_dict(), "signatures": bad})


def test_other_keys_and_other_logs(receipt):
    for policy in (Policy((STRANGER.verifier,)), Policy((KEY.verifier, STRANGER.verifier), 2)):
        with pytest.raises(VerificationError) as caught:
            receipt.verify(policy)
        assert (caught.value.index, caught.value.rule) == (2, "signature")
    with pytest.raises(VerificationError) as caught:
        receipt.verify(Policy((KEY.verifier,), 1, "elsewhere"))
    assert caught.value.rule == "origin"
    moved = dataclasses.replace(receipt, origin="elsewhere")
    with pytest.raises(VerificationError) as caught:
        moved.verify(Policy((KEY.verifier,)))
    assert caught.value.rule == "signature"


def test_parts_that_contradict_each_other(receipt):
    for part in (
        {"entry": dataclasses.replace(receipt.entry, seq=5)},
        {"entry_bytes": receipt.entry_bytes + b" "},
        {"body_bytes": b"1"},
        {"salt": bytes(32)},
        {"salt": receipt.salt + receipt.body_bytes[:1], "body_bytes": receipt.body_bytes[1:]},
    ):
        with pytest.raises(QuorateError):
            dataclasses.replace(receipt, **part).verify(BOTH)


def test_a_checkpoint_or_replay_is_not_for_one_receipt(receipt):
    with pytest.raises(UsageError, match="whole ledger"):
        verify(receipt, policy=BOTH, checkpoint="x")
    with pytest.raises(UsageError, match="whole ledger"):
        verify(receipt, policy=BOTH, replay=True)
    with pytest.raises(UsageError, match="trust"):
        verify(receipt)


@pytest.mark.parametrize(
    "text", ["", ",", "x", "ab:cd", f"{KEY.key_id}:", f"{KEY.key_id}:{'A' * 64}",
             f"{KEY.key_id}:{'a' * 63}",
             f" {KEY.key_id}:{'a' * 64}", f"{KEY.key_id}:{'a' * 64},", f"{KEY.key_id}:{'a' * 64}\n",
             f"{KEY.key_id}:{'a' * 258}"],
)  # fmt: skip
def test_signature_texts_of_another_form(text):
    with pytest.raises(UsageError):
        decode_signatures(text)


def test_signatures_at_the_bound_and_one_past():
    parts = [f"{n:032x}:{'ab' * 32}" for n in range(17)]
    assert encode_signatures(decode_signatures(",".join(parts[:16]))) == ",".join(parts[:16])
    with pytest.raises(UsageError, match="more than 16"):
        decode_signatures(",".join(parts))
    with pytest.raises(UsageError, match="twice"):
        decode_signatures(",".join([parts[0], parts[0]]))


def test_an_hmac_receipt_verifies_with_its_secret_only():
    with ledger_of(1, signer=MAC) as ledger:
        ledger.get(0).verify(Policy((MAC,)))
        with pytest.raises(VerificationError):
            ledger.get(0).verify(Policy((type(MAC)(bytes(32)),)))


def test_times_as_text():
    assert timestamp(0) == "1970-01-01T00:00:00.000000Z"
    assert timestamp(253402300799999999) == "9999-12-31T23:59:59.999999Z"
    with pytest.raises(UsageError, match="9999"):
        timestamp(253402300800000000)
