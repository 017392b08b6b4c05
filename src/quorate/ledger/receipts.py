"""Receipts: an entry, its body and salt, and the signatures over it.

The fields that users of receipts know, and where they come from here:

====================  ====================================================
``trace_id``          entry ``trace_id``
``parent``            entry ``parent``
``timestamp``         entry ``time``, as UTC text with microseconds
``payload``           the body
``previous_hash``     entry ``prev``
``entry_hash``        SHA-256(0x00 || entry), hex
``signature``         first signature, hex
``signer``            key id of the first signature
``co_signature``      second signature, hex, or ``None``
``co_signer``         key id of the second signature, or ``None``
====================  ====================================================

A signature covers the kind ``receipt``, the origin of the log, the key ids of **all**
signers in order, and the entry hash. So a co-signature cannot be stripped, nor the
order swapped, nor a receipt be carried over to another log.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Final

from quorate.core import limits
from quorate.core.canonical import canonical, parse
from quorate.core.errors import UsageError, VerificationError
from quorate.core.identity import Signer
from quorate.ledger.entries import SALT_BYTES, Entry, check_origin, commit, entry_hash
from quorate.ledger.policy import Policy

SIGNED_KIND: Final = "receipt"

_SIGNATURE = re.compile(r"([0-9a-f]{32}):((?:[0-9a-f]{2}){32,128})")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Signature:
    """One key's signature: the key's id and the raw bytes."""

    key_id: str
    value: bytes


def signing_message(origin: str, key_ids: Iterable[str], hash_: bytes) -> bytes:
    """What the signatures of one receipt cover, after the kind (see the module)."""
    return f"{origin}\n{','.join(key_ids)}\n{hash_.hex()}".encode()


def sign_entry(signers: Sequence[Signer], origin: str, hash_: bytes) -> tuple[Signature, ...]:
    """Sign an entry's hash by each of ``signers``, in order."""
    message = signing_message(origin, [signer.key_id for signer in signers], hash_)
    return tuple([Signature(s.key_id, s.sign(SIGNED_KIND, message)) for s in signers])


def encode_signatures(signatures: Iterable[Signature]) -> str:
    """Text form: ``key_id:hex`` joined by commas."""
    return ",".join([f"{s.key_id}:{s.value.hex()}" for s in signatures])


def decode_signatures(text: str) -> tuple[Signature, ...]:
    """Read what :func:`encode_signatures` wrote; no other spelling is accepted.

    Raises:
        UsageError: not such a text, a key twice, or more than ``limits.MAX_KEYS``.
    """
    signatures = []
    for part in text.split(","):
        match = _SIGNATURE.fullmatch(part)
        if match is None:
            raise UsageError("the signatures are not key_id:hex, joined by commas")
        signatures.append(Signature(match[1], bytes.fromhex(match[2])))
    if len({s.key_id for s in signatures}) != len(signatures):
        raise UsageError("one key signed twice")
    if len(signatures) > limits.MAX_KEYS:
        raise UsageError(f"more than {limits.MAX_KEYS} signatures")
    return tuple(signatures)


def check_signatures(
    signatures: Sequence[Signature], policy: Policy, origin: str, hash_: bytes, seq: int
) -> None:
    """Check the signatures over one entry against the keys that the verifier trusts.

    Raises:
        VerificationError: rule ``signature``: one of a trusted key is invalid, or fewer
            trusted keys signed than the policy asks for.
    """
    message = signing_message(origin, (s.key_id for s in signatures), hash_)
    good = 0
    for signature in signatures:
        verifier = policy.verifier(signature.key_id)
        if verifier is None:
            continue
        if not verifier.verify(SIGNED_KIND, message, signature.value):
            raise VerificationError(
                f"the signature of key {signature.key_id} is not over this entry",
                index=seq,
                rule="signature",
            )
        good += 1
    if good < policy.signatures:
        signed = ", ".join(s.key_id for s in signatures)
        raise VerificationError(
            f"signed by {good} trusted keys, {policy.signatures} needed (signed by: {signed})",
            index=seq,
            rule="signature",
        )


@dataclass(frozen=True)
class Receipt:
    """Proof that the log's operator sealed one body at one place in the log.

    Attributes:
        origin: name of the log.
        entry: the entry itself.
        entry_bytes: its canonical bytes, which are hashed.
        body_bytes: canonical bytes of the body.
        salt: 32 random bytes that go before the body into the commitment.
        signatures: one per signer, in the order that was signed.
    """

    origin: str
    entry: Entry
    entry_bytes: bytes
    body_bytes: bytes
    salt: bytes
    signatures: tuple[Signature, ...]

    @property
    def seq(self) -> int:
        """0-based place in the log."""
        return self.entry.seq

    @property
    def kind(self) -> str:
        """What the body is."""
        return self.entry.kind

    @property
    def trace_id(self) -> str | None:
        """Caller's id of the larger story."""
        return self.entry.trace_id

    @property
    def parent(self) -> str | None:
        """Caller's id of what this follows from."""
        return self.entry.parent

    @property
    def timestamp(self) -> str:
        """When it was sealed, UTC, such as ``2026-01-02T03:04:05.000006Z``."""
        return timestamp(self.entry.time)

    @cached_property
    def payload(self) -> Any:
        """The body, read from its canonical bytes."""
        return parse(self.body_bytes)

    @property
    def previous_hash(self) -> str:
        """Hash of the entry before, hex."""
        return self.entry.prev

    @cached_property
    def entry_hash(self) -> str:
        """SHA-256(0x00 || entry), hex: the Merkle leaf, and the next entry's previous hash."""
        return entry_hash(self.entry_bytes).hex()

    @property
    def signature(self) -> str:
        """First signature, hex."""
        return self.signatures[0].value.hex()

    @property
    def signer(self) -> str:
        """Key id of the first signature."""
        return self.signatures[0].key_id

    @property
    def co_signature(self) -> str | None:
        """Second signature, hex, if there is one."""
        return self.signatures[1].value.hex() if len(self.signatures) > 1 else None

    @property
    def co_signer(self) -> str | None:
        """Key id of the second signature, if there is one."""
        return self.signatures[1].key_id if len(self.signatures) > 1 else None

    def verify(self, policy: Policy) -> None:
        """Check this receipt on its own against the keys that the verifier trusts.

        It shows that the operator sealed this body under this origin and number. That the
        log really holds it there takes the log, or a proof against a checkpoint.

        Raises:
            VerificationError: naming the rule that is broken.
        """
        seq = self.entry.seq
        if self.entry.encode() != self.entry_bytes:
            raise VerificationError("the entry's bytes differ", index=seq, rule="entry")
        if policy.origin is not None and policy.origin != self.origin:
            raise VerificationError(
                f"it is of the log {self.origin!r}, the policy is for {policy.origin!r}",
                index=seq,
                rule="origin",
            )
        self.check_commitment()
        check_signatures(self.signatures, policy, self.origin, entry_hash(self.entry_bytes), seq)

    def check_commitment(self) -> None:
        """Check that the body is the one that the entry commits to.

        Raises:
            VerificationError: rule ``commitment``: it is not.
        """
        # A longer salt could hold the beginning of the body.
        same = commit(self.salt, self.body_bytes) == self.entry.body_commitment
        if len(self.salt) != SALT_BYTES or not same:
            raise VerificationError(
                "the body is not the one that was sealed", index=self.seq, rule="commitment"
            )

    def to_dict(self) -> dict[str, Any]:
        """The receipt as JSON; :meth:`from_dict` reads it back."""
        return {
            "receipt": "quorate/receipt/v1",
            "origin": self.origin,
            "entry": self.entry.to_dict(),
            "body": self.payload,
            "salt": self.salt.hex(),
            "signatures": [
                {"key_id": s.key_id, "signature": s.value.hex()} for s in self.signatures
            ],
        }

    @classmethod
    def from_dict(cls, members: Any) -> Receipt:
        """Read a receipt from JSON. Reading is not verifying: call :meth:`verify`.

        Raises:
            UsageError: not the shape that :meth:`to_dict` writes.
        """
        names = {"receipt", "origin", "entry", "body", "salt", "signatures"}
        if not isinstance(members, dict) or members.keys() != names:
            raise UsageError(f"a receipt is an object with exactly {sorted(names)}")
        if members["receipt"] != "quorate/receipt/v1":
            raise UsageError(f"receipt is {members['receipt']!r}; 'quorate/receipt/v1' is known")
        entry_bytes = canonical(members["entry"])
        listed = members["signatures"]
        if not isinstance(listed, list) or not all(
            isinstance(s, dict) and s.keys() == {"key_id", "signature"} for s in listed
        ):
            raise UsageError("signatures is a list of objects with key_id and signature")
        salt = members["salt"]
        if not isinstance(salt, str) or not re.fullmatch(f"[0-9a-f]{{{2 * SALT_BYTES}}}", salt):
            raise UsageError(f"salt is {2 * SALT_BYTES} lower-case hex digits")
        text = ",".join(f"{s['key_id']}:{s['signature']}" for s in listed)
        signatures = decode_signatures(text)
        if len(signatures) != len(listed):
            raise UsageError("signatures has more than one signature in one object")
        return cls(
            origin=check_origin(members["origin"]),
            entry=Entry.decode(entry_bytes),
            entry_bytes=entry_bytes,
            body_bytes=canonical(members["body"]),
            salt=bytes.fromhex(salt),
            signatures=signatures,
        )


def timestamp(microseconds: int) -> str:
    """Write microseconds since 1970 as UTC text, such as ``2026-01-02T03:04:05.000006Z``.

    Raises:
        UsageError: beyond the year 9999.
    """
    try:
        moment = _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError as error:
        raise UsageError(f"the time {microseconds} is beyond the year 9999") from error
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
