"""Who signed: keys, key ids, and signatures over bytes that carry their kind in front.

What is signed always begins with ``quorate/<kind>/v1`` and a line feed, so a signature
over one kind of thing can never be shown as a signature over another. Formats that
others fixed (C2SP signed notes) have no such prefix; they are signed by a second key,
derived from the first by HKDF-SHA256 (RFC 5869), so one file holds both and neither can
stand in for the other.

* Ed25519 (RFC 8032): anyone with the public key verifies; only the holder signs.
* HMAC-SHA256 (RFC 2104): for closed groups. **Whoever can verify can forge.**
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from quorate.core.errors import UsageError

SECRET_BYTES: Final = 32
_PUBLIC_BYTES: Final = 32
_NOTE_INFO: Final = "quorate/note-key/v1/"
_P: Final = 2**255 - 19
_Y8: Final = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7

SMALL_ORDER: Final = frozenset({0, 1, _P - 1, _Y8, _P - _Y8})
"""The y of all points of Ed25519 whose order divides 8."""


def check_ed25519(public: bytes, name: str) -> None:
    """Refuse an Ed25519 public key under which others can sign, or that is spelled twice.

    Under a point of small order one signature holds for messages that nobody signed, and a y
    of the field's size or more is another spelling of a smaller one (RFC 8032, 5.1.3).

    Args:
        public: the key as it is written.
        name: what to call it in an error.

    Raises:
        UsageError: it is no 32 bytes, not in its one spelling, or of small order.
    """
    if len(public) != _PUBLIC_BYTES:
        raise UsageError(f"the {name} has {len(public)} bytes; Ed25519 keys have {_PUBLIC_BYTES}")
    # The highest bit is the sign of x, which says nothing of the order.
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    if y >= _P:
        raise UsageError(f"the {name} is not in its one spelling; make another key")
    if y in SMALL_ORDER:
        raise UsageError(
            f"the {name} is a point of small order, under which anybody can sign; make another key"
        )


class Verifier(Protocol):
    """Checks signatures of one key."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""

    @property
    def algorithm(self) -> str:
        """``"ed25519"`` or ``"hmac-sha256"``."""

    @property
    def note_public(self) -> bytes:
        """32-byte Ed25519 public key of the signed notes (checkpoints)."""

    def verify(self, kind: str, message: bytes, signature: bytes) -> bool:
        """Say whether ``signature`` is this key's over ``message`` as a thing of ``kind``."""


class Signer(Protocol):
    """Signs with one key, and hands out the verifier that checks it."""

    @property
    def key_id(self) -> str:
        """32 hex digits that name the key."""

    @property
    def verifier(self) -> Verifier:
        """What a verifier of this key's signatures needs."""

    def sign(self, kind: str, message: bytes) -> bytes:
        """Sign ``message`` as a thing of ``kind``."""

    def sign_note(self, text: bytes) -> bytes:
        """Sign the text of a C2SP note with the note key: 64 bytes."""


def signed_bytes(kind: str, message: bytes) -> bytes:
    """The exact bytes a signature covers: kind and version, line feed, message."""
    return b"quorate/%b/v1\n%b" % (kind.encode("ascii"), message)


def _key_id(algorithm: str, material: bytes) -> str:
    named = b"quorate/key-id/v1\n" + algorithm.encode() + b"\n" + material
    return hashlib.sha256(named).hexdigest()[:32]


def _note_key(algorithm: str, secret: bytes) -> Ed25519PrivateKey:
    info = (_NOTE_INFO + algorithm).encode()
    kdf = HKDF(algorithm=hashes.SHA256(), length=SECRET_BYTES, salt=None, info=info)
    return Ed25519PrivateKey.from_private_bytes(kdf.derive(secret))


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def verify_note(public: bytes, text: bytes, signature: bytes) -> bool:
    """Say whether ``signature`` (64 bytes) is the note key's over the note ``text``."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except InvalidSignature:
        return False
    return True


class Ed25519Verifier:
    """Checks what one :class:`Ed25519Signer` signed.

    Its text form, ``ed25519:`` and 64 bytes in URL-safe base64, holds both public keys.
    """

    algorithm: Final = "ed25519"

    def __init__(self, public: bytes, note_public: bytes) -> None:
        """Take the two raw 32-byte public keys, of receipts and of notes.

        Raises:
            UsageError: a key is not 32 bytes, or one under which others can sign.
        """
        check_ed25519(public, "public key")
        check_ed25519(note_public, "note public key")
        self._public = Ed25519PublicKey.from_public_bytes(public)
        self._material = public + note_public
        self.note_public = note_public
        self.key_id = _key_id(self.algorithm, self._material)

    def verify(self, kind: str, message: bytes, signature: bytes) -> bool:
        """Say whether ``signature`` is this key's over ``message`` as a thing of ``kind``."""
        try:
            self._public.verify(signature, signed_bytes(kind, message))
        except InvalidSignature:
            return False
        return True

    def to_text(self) -> str:
        """The public key on one line; :meth:`from_text` reads it back."""
        return "ed25519:" + base64.urlsafe_b64encode(self._material).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Ed25519Verifier:
        """Read a public key as :meth:`to_text` wrote it; no other spelling is accepted.

        Raises:
            UsageError: not such a text.
        """
        prefix, _, body = text.strip().partition(":")
        if prefix != "ed25519":
            raise UsageError(f"{text.strip()[:40]!r} is no public key; one begins with 'ed25519:'")
        try:
            material = base64.b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise UsageError(f"the public key is not URL-safe base64: {error}") from error
        if len(material) != 2 * _PUBLIC_BYTES:
            raise UsageError(f"the public key has {len(material)} bytes; it should have 64")
        verifier = cls(material[:_PUBLIC_BYTES], material[_PUBLIC_BYTES:])
        if verifier.to_text() != text.strip():
            raise UsageError("the public key is not in its one canonical spelling")
        return verifier


class Ed25519Signer:
    """Signs with an Ed25519 key (RFC 8032); the default."""

    algorithm: Final = "ed25519"

    def __init__(self, secret: bytes) -> None:
        """Take the 32-byte private key.

        Raises:
            UsageError: not 32 bytes.
        """
        if len(secret) != SECRET_BYTES:
            raise UsageError(f"an Ed25519 private key has 32 bytes, not {len(secret)}")
        self.secret = secret
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self._note = _note_key(self.algorithm, secret)
        self.verifier = Ed25519Verifier(_raw(self._key.public_key()), _raw(self._note.public_key()))
        self.key_id = self.verifier.key_id

    @classmethod
    def generate(cls) -> Ed25519Signer:
        """Make a new key from the operating system's randomness."""
        return cls(os.urandom(SECRET_BYTES))

    def sign(self, kind: str, message: bytes) -> bytes:
        """Sign ``message`` as a thing of ``kind``: 64 bytes."""
        return self._key.sign(signed_bytes(kind, message))

    def sign_note(self, text: bytes) -> bytes:
        """Sign the text of a C2SP note with the note key: 64 bytes."""
        return self._note.sign(text)

    def __repr__(self) -> str:
        """Name the key without showing it."""
        return f"Ed25519Signer(key_id={self.key_id!r})"


class HmacSigner:
    """Signs and verifies with one shared secret (HMAC-SHA256): whoever verifies can forge."""

    algorithm: Final = "hmac-sha256"

    def __init__(self, secret: bytes) -> None:
        """Take the 32-byte shared secret.

        Raises:
            UsageError: not 32 bytes.
        """
        if len(secret) != SECRET_BYTES:
            raise UsageError(f"an HMAC secret has 32 bytes, not {len(secret)}")
        self.secret = secret
        # Takes in the secret once; each signature begins with a copy of this state.
        self._keyed = hmac.new(secret, digestmod="sha256")
        self._note = _note_key(self.algorithm, secret)
        self.note_public = _raw(self._note.public_key())
        self.key_id = _key_id(self.algorithm, hashlib.sha256(secret).digest())

    @classmethod
    def generate(cls) -> HmacSigner:
        """Make a new secret from the operating system's randomness."""
        return cls(os.urandom(SECRET_BYTES))

    @property
    def verifier(self) -> HmacSigner:
        """Itself: verifying takes the same secret as signing."""
        return self

    def sign(self, kind: str, message: bytes) -> bytes:
        """Sign ``message`` as a thing of ``kind``: 32 bytes."""
        state = self._keyed.copy()
        state.update(signed_bytes(kind, message))
        return state.digest()

    def verify(self, kind: str, message: bytes, signature: bytes) -> bool:
        """Say whether ``signature`` is this secret's over ``message`` as a thing of ``kind``."""
        return hmac.compare_digest(self.sign(kind, message), signature)

    def sign_note(self, text: bytes) -> bytes:
        """Sign the text of a C2SP note with the note key: 64 bytes (Ed25519)."""
        return self._note.sign(text)

    def __repr__(self) -> str:
        """Name the key without showing it."""
        return f"HmacSigner(key_id={self.key_id!r})"
