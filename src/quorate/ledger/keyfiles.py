"""Key files: written once with mode 0600, never overwritten, read only if still private.

An Ed25519 private key is PKCS #8 PEM; its public key stands beside it in ``NAME.pub``,
one line. An HMAC secret is one line, ``hmac-sha256:`` and base64, and has no public half.
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from quorate.core import limits
from quorate.core.errors import OperationalError, UsageError
from quorate.core.identity import Ed25519Signer, Ed25519Verifier, HmacSigner, Verifier
from quorate.ledger.files import read_text

_HMAC_PREFIX = "hmac-sha256:"
_PUBLIC_PREFIX = "ed25519:"
_PEM_PREFIX = "-----BEGIN"
_NO_KEY = "holds no key (a PEM private key made by 'quorate keys new')"


def public_path(path: str | Path) -> Path:
    """Where the public key of the private key at ``path`` is written.

    Raises:
        UsageError: ``path`` names no file.
    """
    path = Path(path)
    if not path.name:
        raise UsageError(f"{path} is a folder; name a file for the key")
    return path.with_name((path.name.removesuffix(".key") or path.name) + ".pub")


def write_key(path: str | Path, signer: Ed25519Signer | HmacSigner) -> list[Path]:
    """Write a new key file (mode 0600), and the public key beside it if there is one.

    Returns:
        The paths written.

    Raises:
        UsageError: a file is there already; it is left as it is.
        OperationalError: the file cannot be written.
    """
    path = Path(path)
    if isinstance(signer, HmacSigner):
        secret = _HMAC_PREFIX + base64.b64encode(signer.secret).decode() + "\n"
        files = [(path, secret.encode(), 0o600)]
    else:
        pem = Ed25519PrivateKey.from_private_bytes(signer.secret).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        public = signer.verifier.to_text() + "\n"
        files = [(path, pem, 0o600), (public_path(path), public.encode(), 0o644)]
    for target, _, _ in files:
        if target.exists() or target.is_symlink():
            raise UsageError(f"{target} is there already; name another file, keys are not replaced")
    written: list[Path] = []
    try:
        for target, data, mode in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            _write_new(target, data, mode)
            written.append(target)
    except OSError as error:
        for target in written:
            target.unlink(missing_ok=True)
        raise OperationalError(f"{target} cannot be written: {error.strerror}") from error
    return written


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise


def read_signer(path: str | Path) -> Ed25519Signer | HmacSigner:
    """Read a private key or shared secret.

    Raises:
        OperationalError: the file cannot be read.
        UsageError: it holds no key, or others may read it.
    """
    path = Path(path)
    text = read_text(path, "key", limits.MAX_KEY_FILE_BYTES)
    # What it is comes first: to tell people to hide a file that is no key helps nobody.
    if text.startswith(_PUBLIC_PREFIX) or "-----BEGIN PUBLIC KEY" in text:
        raise UsageError(f"{path} is a public key; signing takes the private key beside it")
    if not text.startswith(_HMAC_PREFIX) and _PEM_PREFIX not in text:
        raise UsageError(f"{path} {_NO_KEY}")
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise UsageError(f"{path} can be read by others; run: chmod 600 {path}")
    if text.startswith(_HMAC_PREFIX):
        return HmacSigner(_hmac_secret(path, text))
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError as error:
        raise UsageError(
            f"{path} is locked with a password; Quorate reads private keys without one"
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # Their messages point to cryptography's own documentation, which does not help here.
        raise UsageError(f"{path} {_NO_KEY}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} holds a key of another kind; Ed25519 is needed")
    return Ed25519Signer(key.private_bytes_raw())


def read_verifier(key: str | Path) -> Verifier:
    """Read a key to verify with: a public key's text, its file, or an HMAC secret's file.

    Raises:
        OperationalError: the file cannot be read.
        UsageError: it holds no such key.
    """
    text = str(key)
    if text.startswith(_PUBLIC_PREFIX):
        return Ed25519Verifier.from_text(text)
    path = Path(key)
    text = read_text(path, "key", limits.MAX_KEY_FILE_BYTES)
    if text.startswith(_HMAC_PREFIX):
        return HmacSigner(_hmac_secret(path, text))
    if text.startswith(_PEM_PREFIX):
        raise UsageError(f"{path} is a private key; verify with {public_path(path)}")
    if not text.strip():
        raise UsageError(f"{path} is empty; a public key begins with '{_PUBLIC_PREFIX}'")
    try:
        return Ed25519Verifier.from_text(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _hmac_secret(path: Path, text: str) -> bytes:
    try:
        secret = base64.b64decode(text.strip().removeprefix(_HMAC_PREFIX), validate=True)
        HmacSigner(secret)
    except ValueError as error:
        raise UsageError(f"{path} holds no HMAC secret: {error}") from error
    return secret
