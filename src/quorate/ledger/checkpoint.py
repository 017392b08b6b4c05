"""Checkpoints: signed notes that pin a log's size and root (C2SP signed-note, tlog-checkpoint).

::

    example.org/decisions
    684
    K3ZG…base64 root…=

    — example.org/decisions base64(4-byte key hash || 64-byte Ed25519 signature)

Kept somewhere else than the log, a checkpoint is what shows later that nothing was cut
off and nothing before it was rewritten.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Final

from quorate.core import limits
from quorate.core.errors import VerificationError
from quorate.core.identity import Signer, verify_note
from quorate.ledger.entries import check_origin
from quorate.ledger.policy import Policy

_ED25519_TYPE: Final = b"\x01"
_HASH_BYTES: Final = 4
_SIGNATURE_BYTES: Final = 64
_ROOT_BYTES: Final = 32
_SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
_LEAST_LINES: Final = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a note pins: the log's name, its number of entries, its Merkle root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The note's text, which is what gets signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def key_hash(name: str, public: bytes) -> bytes:
    """First four bytes of SHA-256(name || LF || 0x01 || public key), as C2SP signed-note has it."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519_TYPE + public).digest()[:_HASH_BYTES]


def verifier_key(origin: str, public: bytes) -> str:
    """The note key in the text form that other signed-note tools read: name+hash+base64."""
    name = check_origin(origin)
    encoded = base64.b64encode(_ED25519_TYPE + public).decode()
    return f"{name}+{key_hash(name, public).hex()}+{encoded}"


def sign(checkpoint: Checkpoint, signers: tuple[Signer, ...]) -> str:
    """Write the signed note of ``checkpoint``, one signature line per signer."""
    text = checkpoint.text()
    lines = []
    for signer in signers:
        stamp = key_hash(checkpoint.origin, signer.verifier.note_public)
        blob = base64.b64encode(stamp + signer.sign_note(text.encode())).decode()
        lines.append(f"— {checkpoint.origin} {blob}\n")
    return text + "\n" + "".join(lines)


def verify(note: str, policy: Policy) -> Checkpoint:
    """Check a signed note against the keys that the verifier trusts, and read it.

    Signatures of unknown keys are ignored, as the format demands.

    Raises:
        VerificationError: rule ``checkpoint``: not such a note, a signature of a trusted key
            that is invalid, fewer of them than the policy asks for, or another log's note.
    """
    text, checkpoint, lines = _parse(note)
    if policy.origin is not None and checkpoint.origin != policy.origin:
        raise _bad(f"it is of the log {checkpoint.origin!r}, the policy is for {policy.origin!r}")
    good = set()
    for line in lines:
        name, stamp, signature = _parse_signature(line)
        for verifier in policy.verifiers:
            public = verifier.note_public
            if name != checkpoint.origin or stamp != key_hash(name, public):
                continue
            if not verify_note(public, text.encode(), signature):
                raise _bad(f"the signature of key {verifier.key_id} is not over it")
            good.add(verifier.key_id)
    if len(good) < policy.signatures:
        raise _bad(f"signed by {len(good)} trusted keys, {policy.signatures} needed")
    return checkpoint


def read(note: str) -> Checkpoint:
    """Read what a note says, whoever signed it. Reading is not verifying.

    Raises:
        VerificationError: rule ``checkpoint``: it is no such note.
    """
    return _parse(note)[1]


def _bad(message: str) -> VerificationError:
    return VerificationError(f"the checkpoint does not check out: {message}", rule="checkpoint")


def _parse(note: str) -> tuple[str, Checkpoint, list[str]]:
    try:
        size_in_bytes = len(note.encode())
    except UnicodeEncodeError as error:
        raise _bad("it is no Unicode text") from error
    if size_in_bytes > limits.MAX_NOTE_BYTES:
        raise _bad(f"longer than {limits.MAX_NOTE_BYTES} bytes")
    text, gap, block = note.rpartition("\n\n")
    if not gap or not block.endswith("\n"):
        raise _bad("a note is text, an empty line, then signature lines")
    text += "\n"
    lines = text.split("\n")[:-1]
    if len(lines) < _LEAST_LINES:
        raise _bad("its text is origin, size and root, a line each")
    origin, size, root = lines[:_LEAST_LINES]
    if not _SIZE.fullmatch(size):
        raise _bad(f"the size {size[:20]!r} is not a number")
    try:
        raw = base64.b64decode(root, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad("the root is not base64") from error
    if len(raw) != _ROOT_BYTES or base64.b64encode(raw).decode() != root:
        raise _bad("the root is not 32 bytes in base64")
    return text, Checkpoint(origin, int(size), raw), block.split("\n")[:-1]


def _parse_signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":  # noqa: PLR2004 - dash, name, blob
        raise _bad("a signature line is '— name base64'")
    try:
        blob = base64.b64decode(parts[2], validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad("a signature is not base64") from error
    if base64.b64encode(blob).decode() != parts[2]:
        raise _bad("a signature is not in its one base64 spelling")
    if len(blob) <= _HASH_BYTES:
        raise _bad("a signature is too short")
    return parts[1], blob[:_HASH_BYTES], blob[_HASH_BYTES:]
