"""Checkpoints: read by a little parser of our own, and nothing malformed gets through."""

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ledger_tools import COSIGNER, KEY, MAC, ORIGIN, POLICY, STRANGER, ledger_of

from quorate.core import limits
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import Policy, checkpoint
from quorate.ledger.checkpoint import Checkpoint, key_hash, sign, verifier_key, verify

ROOT = bytes(range(32))
NOTE = sign(Checkpoint(ORIGIN, 7, ROOT), (KEY,))
TEXT, _, SIGNATURES = NOTE.partition("\n\n")
TEXT += "\n"


def read_note(note, keys):
    """C2SP signed-note and tlog-checkpoint, from their texts; ``keys`` are verifier keys."""
    text, block = note[: note.rindex("\n\n") + 1], note[note.rindex("\n\n") + 2 :]
    known = {}
    for key in keys:
        name, digest, encoded = key.split("+", 2)
        raw = base64.b64decode(encoded)
        assert hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == digest
        assert raw[0] == 1
        known[name, bytes.fromhex(digest)] = Ed25519PublicKey.from_public_bytes(raw[1:])
    signed = 0
    for line in block.splitlines():
        dash, name, encoded = line.split(" ")
        assert dash == "\u2014"
        blob = base64.b64decode(encoded, validate=True)
        if (name, blob[:4]) in known:
            known[name, blob[:4]].verify(blob[4:], text.encode())
            signed += 1
    origin, size, root = text.splitlines()[:3]
    return origin, int(size), base64.b64decode(root, validate=True), signed


@pytest.mark.parametrize("signers", [(KEY,), (MAC,), (KEY, COSIGNER, MAC)])
@pytest.mark.parametrize("size", [0, 1, 5])
def test_another_reader_of_the_format_agrees(signers, size):
    with ledger_of(size, signer=signers) as ledger:
        note = ledger.checkpoint()
        keys = [verifier_key(ORIGIN, s.verifier.note_public) for s in signers]
        origin, found, root, signed = read_note(note, keys)
        assert (origin, found, signed) == (ORIGIN, size, len(signers))
        assert root.hex() == ledger.verify(note).root
        assert note.endswith("\n")


def note_of(text, *signers):
    lines = []
    for signer in signers:
        stamp = key_hash(ORIGIN, signer.verifier.note_public)
        blob = base64.b64encode(stamp + signer.sign_note(text.encode())).decode()
        lines.append(f"— {ORIGIN} {blob}\n")
    return text + "\n" + "".join(lines)


def refused(note, policy=POLICY):
    with pytest.raises(VerificationError) as caught:
        verify(note, policy)
    assert caught.value.rule == "checkpoint"
    assert caught.value.index is None
    return str(caught.value)


def test_a_good_note():
    assert note_of(TEXT, KEY) == NOTE
    assert verify(NOTE, POLICY) == Checkpoint(ORIGIN, 7, ROOT)
    assert verify(NOTE, Policy((KEY.verifier,))) == Checkpoint(ORIGIN, 7, ROOT)


def test_unknown_signatures_are_ignored_and_trusted_ones_must_hold():
    both = Policy((KEY.verifier, COSIGNER.verifier), 2)
    assert verify(note_of(TEXT, STRANGER, KEY), POLICY).size == 7
    assert verify(note_of(TEXT, COSIGNER, STRANGER, KEY), both).size == 7
    assert "signed by 1 trusted keys, 2 needed" in refused(note_of(TEXT, KEY, STRANGER), both)
    # The same key twice is one key.
    assert "signed by 1 trusted" in refused(note_of(TEXT, KEY, KEY), both)
    assert "signed by 0 trusted" in refused(note_of(TEXT, STRANGER))
    other = f"{ORIGIN}\n8\n{base64.b64encode(ROOT).decode()}\n"
    assert "is not over it" in refused(other + "\n" + SIGNATURES)
    # A broken one beside a good one is still broken.
    assert "is not over it" in refused(NOTE + note_of(other, KEY).rpartition("\n\n")[2])


def test_a_receipts_signature_is_no_notes():
    stamp = key_hash(ORIGIN, KEY.verifier.note_public)
    blob = base64.b64encode(stamp + KEY.sign("receipt", TEXT.encode())).decode()
    refused(f"{TEXT}\n— {ORIGIN} {blob}\n")


def test_a_signature_in_another_logs_name_does_not_count():
    stamp = key_hash("elsewhere", KEY.verifier.note_public)
    blob = base64.b64encode(stamp + KEY.sign_note(TEXT.encode())).decode()
    assert "signed by 0" in refused(f"{TEXT}\n— elsewhere {blob}\n")
    assert "it is of the log" in refused(sign(Checkpoint("elsewhere", 7, ROOT), (KEY,)))


ENCODED = base64.b64encode(ROOT).decode()
MALFORMED = {
    "empty": "",
    "no signature": TEXT,
    "no signature lines": TEXT + "\n",
    "no gap": TEXT + SIGNATURES,
    "no last newline": NOTE[:-1],
    "blank": "\n\n\n",
    "carriage returns": NOTE.replace("\n", "\r\n"),
    "two lines": note_of(f"{ORIGIN}\n7\n", KEY),
    "hyphen": NOTE.replace("—", "-"),
    "two blanks": NOTE.replace("— ", "—  "),
    "not base64": TEXT + f"\n— {ORIGIN} ***\n",
    "short signature": TEXT + f"\n— {ORIGIN} AAAA\n",
    "not ascii base64": TEXT + f"\n— {ORIGIN} é\n",
    "stray line": NOTE + "hello\n",
    "surrogate in the text": f"\ud800\n7\n{ENCODED}\n\n{SIGNATURES}",
    "surrogate in a name": f"\ud800\n7\n{ENCODED}\n\n" + SIGNATURES.replace(ORIGIN, "\ud800"),
    "surrogate in an extension": f"{TEXT}\ud800\n\n{SIGNATURES}",
    **{
        f"size {size!r}": note_of(f"{ORIGIN}\n{size}\n{ENCODED}\n", KEY)
        for size in ("", "-1", "+7", "07", "7.0", "x", " 7", "7 ", "\u0667", "1e3", "9" * 17, "0x7")
    },
    **{
        f"root {root!r}": note_of(f"{ORIGIN}\n7\n{root}\n", KEY)
        for root in (
            "", "AAAA", ENCODED[:-1], ENCODED + "=", " " + ENCODED, "é", ENCODED[:-2] + "9=",
            base64.b64encode(bytes(33)).decode(), base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_such_note_is_refused_even_if_signed(name):
    refused(MALFORMED[name], Policy((KEY.verifier,)))


def test_extension_lines_are_signed_too():
    note = note_of(TEXT + "more\nlines\n", KEY)
    assert verify(note, POLICY).size == 7
    refused(note.replace("more", "less"))


def test_every_flipped_character_of_a_note():
    for place, character in enumerate(NOTE):
        for mask in (1, 2, 32):
            bad = NOTE[:place] + chr(ord(character) ^ mask) + NOTE[place + 1 :]
            try:
                found = verify(bad, Policy((KEY.verifier,)))
            except VerificationError:
                continue
            pytest.fail(f"{place} {mask} gives {found}")


def test_a_note_at_the_bound_and_one_past():
    room = limits.MAX_NOTE_BYTES - len(NOTE.encode()) - 1
    assert verify(note_of(TEXT + "x" * room + "\n", KEY), POLICY).size == 7
    assert "longer than" in refused(note_of(TEXT + "x" * (room + 3) + "\n", KEY))


@settings(max_examples=80)
@given(st.data())
def test_no_mangled_note_ends_in_another_error(data):
    note = NOTE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(note)))
        end = data.draw(st.integers(start, min(len(note), start + 20)))
        piece = data.draw(
            st.text(st.characters(), max_size=5)
            | st.sampled_from(["\n", "\n\n", " ", "— ", "=", "\ud800", ORIGIN, SIGNATURES, TEXT])
        )
        note = note[:start] + piece + note[end:]
    try:
        found = verify(note, POLICY)
    except VerificationError as error:
        assert error.rule == "checkpoint"  # noqa: PT017 - or it is read, see below
    else:
        assert found == Checkpoint(ORIGIN, 7, ROOT)


@given(st.text(st.characters(), max_size=200))
@example("\ud800")
def test_no_text_ends_in_another_error(note):
    refused(note)


def test_a_key_for_other_tools_needs_a_usable_name():
    with pytest.raises(UsageError, match="origin"):
        verifier_key("a b", KEY.verifier.note_public)
    assert checkpoint.verifier_key("a", b"\x00" * 32).startswith("a+")
