"""Bundles: a receipt that shows by itself, offline, that the log holds it."""

import base64
import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_tools import KEY, ORIGIN, POLICY, STRANGER, ledger_of

from quorate.core.errors import QuorateError, UsageError, VerificationError
from quorate.ledger import Bundle, Ledger, Policy


def sizes_and_places():
    return [(size, seq) for size in (1, 2, 3, 7, 8, 13) for seq in range(size)]


def root_of(proof, leaf):
    """A second reader of tlog-proof: follows the path by halving the tree from the top."""
    head, _, note = proof.partition("\n\n")
    _, index, *hashes = head.split("\n")
    index, path = int(index.removeprefix("index ")), [base64.b64decode(h) for h in hashes]
    size = int(note.split("\n")[1])

    def climb(at, count, left):
        if count == 1:
            assert not left
            return leaf
        half = 1 << (count - 1).bit_length() - 1
        if at < half:
            low, high = climb(at, half, left[:-1]), left[-1]
        else:
            low, high = left[-1], climb(at - half, count - half, left[:-1])
        return hashlib.sha256(b"\x01" + low + high).digest()

    return climb(index, size, path), base64.b64decode(note.split("\n")[2])


@pytest.mark.parametrize(("size", "seq"), sizes_and_places())
def test_a_bundle_verifies_and_a_second_reader_agrees(size, seq):
    with ledger_of(size) as ledger:
        bundle = Bundle.parse(ledger.bundle(seq).to_text())
        assert bundle == ledger.bundle(seq)
    assert bundle.verify(POLICY).size == size
    found, pinned = root_of(bundle.proof(), bytes.fromhex(bundle.receipt.entry_hash))
    assert found == pinned
    assert bundle.receipt.payload == {"n": seq}


def test_many_at_once_are_the_same_as_one_by_one():
    with ledger_of(11) as ledger:
        note = ledger.checkpoint()
        every = ledger.bundles(range(11), note)
        assert every == [ledger.bundle(seq, note) for seq in range(11)]


def test_an_earlier_checkpoint_serves_what_it_pins_and_nothing_later():
    with ledger_of(5) as ledger:
        note = ledger.checkpoint()
        ledger.append("note", {"n": 5})
        assert ledger.bundle(4, note).verify(POLICY).size == 5
        with pytest.raises(UsageError, match="pins 5 entries, and entry 5 came after"):
            ledger.bundle(5, note)


def test_a_checkpoint_of_another_log_serves_nothing():
    with ledger_of(5) as ledger, ledger_of(5) as twin, ledger_of(3) as short:
        for other in (twin, short):
            note = other.checkpoint()
            if other is short:
                note = twin.checkpoint()
                with pytest.raises(VerificationError, match="another log") as caught:
                    short.bundle(1, note)
            else:
                with pytest.raises(VerificationError, match="another log") as caught:
                    ledger.bundle(1, note)
            assert caught.value.rule == "fork"


def test_a_receipt_moved_into_another_bundle_is_seen():
    with ledger_of(6) as ledger, ledger_of(6) as twin:
        one, other = ledger.bundle(2), twin.bundle(2)
    swapped = Bundle(one.receipt, other.path, other.note)
    with pytest.raises(VerificationError, match="does not lead to the root") as caught:
        swapped.verify(POLICY)
    assert (caught.value.rule, caught.value.index) == ("inclusion", 2)


def test_what_only_a_stranger_signed_is_not_shown():
    with ledger_of(4, signer=STRANGER) as ledger:
        bundle = ledger.bundle(1)
    with pytest.raises(VerificationError):
        bundle.verify(POLICY)
    bundle.verify(Policy((STRANGER.verifier,), 1, ORIGIN))


def test_without_a_key_a_checkpoint_has_to_be_given(tmp_path):
    url = f"sqlite:///{tmp_path}/log.db"
    with ledger_of(3, url=url) as ledger:
        note = ledger.checkpoint()
    with Ledger.open(url) as reading:
        with pytest.raises(UsageError, match="takes its key"):
            reading.bundle(1)
        assert reading.bundle(1, note).verify(Policy((KEY.verifier,), 1, ORIGIN)).size == 3


@pytest.fixture(scope="module")
def text():
    with ledger_of(5) as ledger:
        return ledger.bundle(3).to_text()


@settings(max_examples=100)
@given(data=st.data())
def test_no_changed_byte_of_a_bundle_verifies(text, data):
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != text[at]))
    changed = text[:at] + other + text[at + 1 :]
    try:
        found = Bundle.parse(changed)
        found.verify(POLICY)
    except QuorateError:
        return
    # White space between JSON's parts, and another escape of the same text, say the same.
    assert found == Bundle.parse(text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"proof": "no"}, "begins with"),
        ({"proof": 7}, "a proof is a text"),
        ({"bundle": "quorate/bundle/v2"}, "'quorate/bundle/v1' is known"),
        ({"more": 1}, "exactly"),
    ],
)
def test_what_is_no_bundle_is_told(change, message):
    with ledger_of(3) as ledger:
        members = json.loads(ledger.bundle(1).to_text())
    with pytest.raises(UsageError, match=message):
        Bundle.from_dict(members | change)


def test_a_proof_of_another_index_is_refused_at_once():
    with ledger_of(3) as ledger:
        members = json.loads(ledger.bundle(1).to_text())
    members["proof"] = members["proof"].replace("index 1", "index 2")
    with pytest.raises(UsageError, match="index 2, the receipt of entry 1"):
        Bundle.from_dict(members)
    extra = members | {"proof": members["proof"].replace("index 2", "extra AAAA\nindex 1")}
    Bundle.from_dict(extra).verify(POLICY)
