"""JSON Web Signatures (RFC 7515) over bytes that are not carried along, with public keys alone.

Algorithms are those of RFC 7518 and RFC 8037 with a public key. There is none with a shared
secret: who can verify one could sign another card with it. ``none`` is no signature.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from quorate.core.errors import UsageError

PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey

LEAST_RSA_BITS: Final = 2048
RSA_EXPONENTS: Final = (1 << 16, 1 << 256)
"""Between these, neither of them, the public exponent of an RSA key lies (FIPS 186-5, A.1.1).

Under a small one, such as 3, signatures can be made without the key for a verifier whose padding
check is lax; ours is strict, and others read the same cards and keys.
"""
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
_HASHES: Final[dict[str, Callable[[], hashes.HashAlgorithm]]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
_CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_EDDSA: Final = ("EdDSA", "Ed25519")
_RSA: Final = ("PS256", "PS384", "PS512", "RS256", "RS384", "RS512")

ALGORITHMS: Final = tuple(sorted([*_CURVES.values(), *_EDDSA, *_RSA]))
"""All algorithms that are verified."""


def encode(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Read base64url without padding; no other spelling of the same bytes is accepted.

    Raises:
        UsageError: not such a text.
    """
    if not _BASE64URL.fullmatch(text):
        raise UsageError("it is no base64url without padding")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"it is no base64url without padding: {error}") from error
    if encode(data) != text:
        raise UsageError("it is base64url in another spelling than the one it has")
    return data


def algorithms_of(key: PublicKey) -> tuple[str, ...]:
    """The algorithms that a key can be used with, the usual one first.

    Raises:
        UsageError: none; a curve that is not P-256, P-384 or P-521, a short RSA key, or
            one of an unsafe exponent.
    """
    if isinstance(key, Ed25519PublicKey):
        return _EDDSA
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < LEAST_RSA_BITS:
            raise UsageError(
                f"the RSA key has {key.key_size} bits; at least {LEAST_RSA_BITS} are asked for"
            )
        least, most = RSA_EXPONENTS
        exponent = key.public_numbers().e
        if not least < exponent < most:
            raise UsageError(
                f"the RSA key's public exponent has {exponent.bit_length()} bits; it should be "
                "above 2^16 and below 2^256, such as 65537"
            )
        return _RSA
    name = _CURVES.get(key.curve.name)
    if name is None:
        raise UsageError(f"the curve {key.curve.name} is not P-256, P-384 or P-521")
    return (name,)


def verify(key: PublicKey, algorithm: str, signature: bytes, message: bytes) -> bool:
    """Say whether ``signature`` is that key's over ``message`` by ``algorithm``."""
    if algorithm not in algorithms_of(key):
        return False
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        elif isinstance(key, rsa.RSAPublicKey):
            digest = _HASHES[algorithm[2:]]()
            key.verify(signature, message, _rsa_padding(algorithm, digest), digest)
        else:
            size = (key.curve.key_size + 7) // 8
            if len(signature) != 2 * size:
                return False
            r, s = (int.from_bytes(half) for half in (signature[:size], signature[size:]))
            digest = _HASHES[algorithm[2:]]()
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(digest))
    except InvalidSignature:
        return False
    return True


def _rsa_padding(algorithm: str, digest: hashes.HashAlgorithm) -> padding.AsymmetricPadding:
    if algorithm.startswith("RS"):
        return padding.PKCS1v15()
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def sign(key: PrivateKey, algorithm: str, message: bytes) -> bytes:
    """Sign ``message``.

    Raises:
        UsageError: the key cannot be used with that algorithm.
    """
    possible = algorithms_of(key.public_key())
    if algorithm not in possible:
        raise UsageError(f"the key signs by {' or '.join(possible)}, not by {algorithm}")
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(message)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(_HASHES[algorithm[2:]]())))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size) + s.to_bytes(size)
