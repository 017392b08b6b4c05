"""Signing a card: a detached JWS over its canonical form, added to its signatures.

The protected header carries a digest of the whole card, for the form that is signed leaves out
what is empty; see :mod:`quorate.cards.signed_form`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from quorate.arbitration.forms import text
from quorate.cards import bounds
from quorate.cards.jws import PrivateKey, algorithms_of, encode, sign
from quorate.cards.reading import Card
from quorate.cards.signatures import read_signature
from quorate.cards.signed_form import WHOLE, signed_forms, whole_digest
from quorate.cards.trust import jwks_text
from quorate.core import limits
from quorate.core.canonical import canonical
from quorate.core.errors import OperationalError, UsageError
from quorate.ledger.files import read_text
from quorate.ledger.keyfiles import public_path


def read_private_key(path: str | Path) -> PrivateKey:
    """Read a key that signs cards: a PEM private key, P-256, P-384, P-521 or Ed25519.

    Raises:
        OperationalError: the file cannot be read.
        UsageError: it holds no such key, others may read it, or it signs a ledger too.
    """
    path = Path(path)
    content = read_text(path, "key", limits.MAX_KEY_FILE_BYTES)
    if "PRIVATE KEY-----" not in content:
        raise UsageError(
            f"{path} holds no private key in PEM; make one with: quorate card key FILE"
        )
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(f"{path} can be read by others; run: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(content.encode(), password=None)
    except TypeError as error:
        raise UsageError(f"{path} is locked with a password; give a key without one") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"{path} holds no private key that can be read") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise UsageError(f"{path} holds a key of another kind; cards are signed with EC or Ed25519")
    algorithms_of(key.public_key())
    _refuse_ledger_key(path)
    return key


def _refuse_ledger_key(path: Path) -> None:
    public = public_path(path)
    if not public.is_file():
        return
    if read_text(public, "key", limits.MAX_KEY_FILE_BYTES).startswith("ed25519:"):
        raise UsageError(
            f"{path} is a ledger's key, as {public} beside it says; cards are signed with a key of "
            "their own: quorate card key FILE"
        )


def make_key(path: str | Path, kid: str, algorithm: str = "ES256") -> list[Path]:
    """Write a new private key (mode 0600), and its public half beside it as a JWK Set.

    Args:
        path: file for the private key; ``.jwks`` goes beside it.
        kid: what signatures are to call it.
        algorithm: ``"ES256"`` or ``"EdDSA"``.

    Returns:
        The paths written.

    Raises:
        UsageError: another algorithm, or a file is there already.
        OperationalError: a file cannot be written.
    """
    text(kid, "the kid")
    key: PrivateKey
    if algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    elif algorithm == "EdDSA":
        key = Ed25519PrivateKey.generate()
    else:
        raise UsageError(f"the algorithm is {algorithm!r}; give ES256 or EdDSA")
    private = Path(path)
    if not private.name:
        raise UsageError(f"{private} is a folder; name a file for the key")
    public = private.with_name(private.name.removesuffix(".key") + ".jwks")
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    jwks = jwks_text([(kid, algorithm, key.public_key())]).encode()
    for target in (private, public):
        if target.exists() or target.is_symlink():
            raise UsageError(f"{target} is there already; name another file, keys are not replaced")
    written: list[Path] = []
    try:
        for target, data, mode in ((private, pem, 0o600), (public, jwks, 0o644)):
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            written.append(target)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
    except OSError as error:
        for target in written:
            target.unlink(missing_ok=True)
        raise OperationalError(f"{target} cannot be written: {error.strerror}") from error
    return written


def sign_card(
    card: Card, key: PrivateKey, kid: str, *, algorithm: str | None = None, replace: bool = False
) -> dict[str, Any]:
    """Sign a valid card; gives it back with the signature added.

    Args:
        card: as it was read.
        key: the private key.
        kid: what readers' trust stores call it.
        algorithm: that it signs by; the usual one of the key where left out.
        replace: take out what that key signed before; otherwise that is refused.

    Raises:
        UsageError: the card is not valid, that kid signed it already, it has as many
            signatures as it can, or the algorithm does not fit the key.
    """
    if not card.valid or card.content is None or card.version is None:
        first = card.errors[0].describe() if card.errors else "it has too many problems"
        raise UsageError(f"the card is not valid, so it is not signed: {first}")
    text(kid, "the kid")
    chosen = algorithm or algorithms_of(key.public_key())[0]
    kept = list(card.content.get("signatures") or [])
    others = [one for one in kept if _kid_of(one) != kid]
    if len(others) < len(kept) and not replace:
        raise UsageError(
            f"the card is signed by {kid!r} already; --replace takes that signature out"
        )
    if len(others) >= bounds.MAX_SIGNATURES:
        raise UsageError(f"the card has {len(others)} signatures, the most it can have")
    whole = whole_digest(card.content, card.version)
    header = encode(canonical({"alg": chosen, "kid": kid, "typ": "JOSE", WHOLE: whole}))
    payload = encode(signed_forms(card.content, card.version)[0])
    value = sign(key, chosen, f"{header}.{payload}".encode("ascii"))
    signature = {"protected": header, "signature": encode(value)}
    return {**card.content, "signatures": [*others, signature]}


def _kid_of(signature: Any) -> str | None:
    try:
        header, _ = read_signature(signature)
    except UsageError:
        return None
    kid = header.get("kid")
    return kid if isinstance(kid, str) else None
