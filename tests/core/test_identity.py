"""Keys: published vectors, kinds kept apart, and one spelling of a public key."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.core.errors import UsageError
from quorate.core.identity import (
    SMALL_ORDER,
    Ed25519Signer,
    Ed25519Verifier,
    HmacSigner,
    check_ed25519,
    signed_bytes,
    verify_note,
)

SECRET = bytes(range(32))
ED = Ed25519Signer(SECRET)
MAC = HmacSigner(SECRET)
GOOD = ED.verifier.note_public
BOTH = pytest.mark.parametrize("signer", [ED, MAC], ids=["ed25519", "hmac"])

# RFC 8032, section 7.1: secret key, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
            "cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
            "0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
]


@pytest.mark.parametrize(("secret", "public", "message", "signature"), RFC8032)
def test_the_rfcs_keys_and_signatures(secret, public, message, signature):
    signer = Ed25519Signer(bytes.fromhex(secret))
    raw = base64.urlsafe_b64decode(signer.verifier.to_text().removeprefix("ed25519:") + "==")
    assert raw[:32].hex() == public
    # Notes are signed bare; with the RFC's key in the place of the note key its vectors hold.
    assert verify_note(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))
    assert not verify_note(bytes.fromhex(public), b"other", bytes.fromhex(signature))


def test_a_signature_is_bare_ed25519_over_kind_and_message():
    raw = base64.urlsafe_b64decode(ED.verifier.to_text().removeprefix("ed25519:") + "==")[:32]
    Ed25519PublicKey.from_public_bytes(raw).verify(
        ED.sign("receipt", b"message"), b"quorate/receipt/v1\nmessage"
    )


def test_an_hmac_is_the_plain_one_over_kind_and_message():
    expected = hmac.new(SECRET, b"quorate/receipt/v1\nmessage", hashlib.sha256).digest()
    assert MAC.sign("receipt", b"message") == expected


def test_key_ids_are_derived_as_documented():
    raw = base64.urlsafe_b64decode(ED.verifier.to_text().removeprefix("ed25519:") + "==")
    named = b"quorate/key-id/v1\ned25519\n" + raw
    assert ED.key_id == ED.verifier.key_id == hashlib.sha256(named).hexdigest()[:32]
    named = b"quorate/key-id/v1\nhmac-sha256\n" + hashlib.sha256(SECRET).digest()
    assert MAC.key_id == MAC.verifier.key_id == hashlib.sha256(named).hexdigest()[:32]
    assert ED.key_id != MAC.key_id


def test_the_bytes_of_two_kinds_never_meet():
    assert signed_bytes("vote", b"x") == b"quorate/vote/v1\nx"
    with pytest.raises(UnicodeEncodeError):
        signed_bytes("vöte", b"x")


@BOTH
@settings(max_examples=50)
@given(
    kinds=st.lists(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=2, max_size=2, unique=True
    ),
    message=st.binary(max_size=40),
)
def test_a_signature_of_one_kind_never_verifies_as_another(signer, kinds, message):
    signature = signer.sign(kinds[0], message)
    assert signer.verifier.verify(kinds[0], message, signature)
    assert not signer.verifier.verify(kinds[1], message, signature)
    assert not signer.verifier.verify(kinds[1], signed_bytes(kinds[0], message), signature)


@BOTH
def test_any_changed_bit_of_signature_or_message_shows(signer):
    message = b"entry"
    signature = signer.sign("receipt", message)
    for place in range(len(signature) * 8):
        flipped = bytearray(signature)
        flipped[place // 8] ^= 1 << place % 8
        assert not signer.verifier.verify("receipt", message, bytes(flipped))
    for place in range(len(message) * 8):
        flipped = bytearray(message)
        flipped[place // 8] ^= 1 << place % 8
        assert not signer.verifier.verify("receipt", bytes(flipped), signature)


@BOTH
@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 63, 64, 65, 128])
def test_signatures_of_any_length_are_refused_quietly(signer, length):
    assert not signer.verifier.verify("receipt", b"x", b"\x00" * length)
    assert not verify_note(signer.verifier.note_public, b"x", b"\x00" * length)


@BOTH
def test_another_key_does_not_verify(signer):
    other = type(signer).generate()
    assert other.key_id != signer.key_id
    assert not other.verifier.verify("receipt", b"x", signer.sign("receipt", b"x"))
    assert not verify_note(other.verifier.note_public, b"x", signer.sign_note(b"x"))


@BOTH
def test_the_note_key_is_a_key_of_its_own(signer):
    text = signed_bytes("receipt", b"message")
    note = signer.sign_note(text)
    assert verify_note(signer.verifier.note_public, text, note)
    assert not signer.verifier.verify("receipt", b"message", note)
    assert (
        signer.verifier.note_public
        != base64.urlsafe_b64decode(ED.verifier.to_text().removeprefix("ed25519:") + "==")[:32]
    )
    if signer is ED:
        receipt = signer.sign("receipt", b"message")
        assert not verify_note(signer.verifier.note_public, text, receipt)


def test_the_note_key_is_derived_as_documented():
    # HKDF-SHA256 (RFC 5869) written out: extract with a zero salt, one block of expand.
    extracted = hmac.digest(bytes(32), SECRET, "sha256")
    for signer in (ED, MAC):
        info = f"quorate/note-key/v1/{signer.algorithm}".encode()
        derived = hmac.digest(extracted, info + b"\x01", "sha256")
        raw = base64.urlsafe_b64decode(Ed25519Signer(derived).verifier.to_text()[8:] + "==")[:32]
        assert raw == signer.verifier.note_public
    # Or one note line of two keys from one secret would count as two signatures.
    assert ED.verifier.note_public != MAC.note_public


@given(st.binary(min_size=32, max_size=32))
def test_a_public_keys_text_round_trips(secret):
    verifier = Ed25519Signer(secret).verifier
    text = verifier.to_text()
    again = Ed25519Verifier.from_text(text + "\n")
    assert (again.key_id, again.note_public, again.to_text()) == (
        verifier.key_id, verifier.note_public, text,
    )  # fmt: skip
    assert again.verify("receipt", b"x", Ed25519Signer(secret).sign("receipt", b"x"))


def respelled():
    text = ED.verifier.to_text()
    body = text.removeprefix("ed25519:")
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(body[-1])
    slack = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]
    dashed = Ed25519Verifier(b"\xfb" * 32, b"\xef" * 32).to_text()
    assert "-" in dashed
    yield from {
        "padding": text + "==",
        "unused bits": text[:-1] + slack,
        "standard alphabet": dashed.replace("-", "+").replace("_", "/"),
        "upper-case prefix": "ED25519:" + body,
        "no prefix": body,
        "empty": "",
        "only prefix": "ed25519:",
        "short": text[:-4],
        "long": text + "AAAA",
        "one half": "ed25519:" + base64.urlsafe_b64encode(bytes(32)).decode().rstrip("="),
        "inner blank": text[:20] + " " + text[20:],
        "inner newline": text[:20] + "\n" + text[20:],
        "not ascii": text[:-1] + "é",
        "not base64": text[:-1] + "!",
        "hmac": "hmac-sha256:" + base64.b64encode(SECRET).decode(),
    }.items()


@pytest.mark.parametrize(("name", "text"), list(respelled()))
def test_no_other_spelling_of_a_public_key_is_read(name, text):
    with pytest.raises(UsageError, match="public key"):
        Ed25519Verifier.from_text(text)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_of_other_lengths_are_refused(length):
    for kind in (Ed25519Signer, HmacSigner):
        with pytest.raises(UsageError, match="32 bytes"):
            kind(bytes(length))
    with pytest.raises(UsageError, match="the public key has"):
        Ed25519Verifier(bytes(length), GOOD)
    with pytest.raises(UsageError, match="the note public key has"):
        Ed25519Verifier(GOOD, bytes(length))


SMALL = [
    (y | sign << 255).to_bytes(32, "little") for y in sorted(SMALL_ORDER) for sign in (0, 1)
]  # fmt: skip


def test_under_a_point_of_small_order_anybody_signs():
    """The attack: R the neutral point and S nought is a signature over whatever one likes."""
    forged = bytes([1, *bytes(63)])
    Ed25519PublicKey.from_public_bytes(bytes([1, *bytes(31)])).verify(forged, b"anything")
    assert len(SMALL) == 10


@pytest.mark.parametrize("raw", SMALL)
def test_points_of_small_order_are_no_keys(raw):
    for halves, name in (((raw, GOOD), "the public key"), ((GOOD, raw), "the note public key")):
        with pytest.raises(UsageError, match=f"{name} is a point of small order"):
            Ed25519Verifier(*halves)
        text = "ed25519:" + base64.urlsafe_b64encode(b"".join(halves)).decode().rstrip("=")
        with pytest.raises(UsageError, match="small order"):
            Ed25519Verifier.from_text(text)


@pytest.mark.parametrize("y", range(2**255 - 19, 2**255))
def test_keys_in_another_spelling_are_refused(y):
    for sign in (0, 1):
        with pytest.raises(UsageError, match="not in its one spelling"):
            check_ed25519((y | sign << 255).to_bytes(32, "little"), "key")


@given(st.binary(min_size=32, max_size=32))
def test_keys_that_are_made_are_all_taken(secret):
    check_ed25519(Ed25519Signer(secret).verifier.note_public, "key")


@BOTH
def test_a_key_shown_by_accident_shows_no_secret(signer):
    shown = f"{signer!r} {signer} {signer.verifier!r}"
    assert signer.key_id in shown
    for secret in (SECRET.hex(), repr(SECRET), base64.b64encode(SECRET).decode()):
        assert secret not in shown


def test_generated_keys_differ():
    assert len({Ed25519Signer.generate().key_id for _ in range(20)}) == 20
    assert len({HmacSigner.generate().key_id for _ in range(20)}) == 20
