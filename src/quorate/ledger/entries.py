"""What one line of the log holds, and how its hash is made.

An entry is canonical JSON with these members, all of them always present:

=================  ==========================================================
``v``              1, the version of this schema
``seq``            0-based position; also the leaf index of the Merkle tree
``time``           microseconds since 1970-01-01T00:00:00Z, never decreasing
``kind``           what the body is, such as ``decision``
``trace_id``       caller's id of the larger story, or null; **survives erasure**
``parent``         caller's id of what this follows from, or null
``key``            SHA-256 of the idempotency key, hex, or null
``body_commitment``  SHA-256(salt || canonical body), hex
``prev``           hash of the entry before, hex; SHA-256(origin) for the first
=================  ==========================================================

Its hash is SHA-256(0x00 || entry): one value that is both the RFC 6962 leaf hash and
the next entry's ``prev``.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from quorate.core import limits
from quorate.core.canonical import CanonicalError, parse_canonical
from quorate.core.errors import UsageError, UsageTypeError
from quorate.ledger.merkle import leaf_hash

SCHEMA_VERSION: Final = 1
SALT_BYTES: Final = 32

_KIND = re.compile(r"[a-z][a-z0-9]*(?:[._/-][a-z0-9]+)*")
_ORIGIN = re.compile(r"[!-*,-~]+")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = frozenset(
    {"v", "seq", "time", "kind", "trace_id", "parent", "key", "body_commitment", "prev"}
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log; see the module's table for the fields."""

    seq: int
    time: int
    kind: str
    trace_id: str | None
    parent: str | None
    key: str | None
    body_commitment: str
    prev: str

    def encode(self) -> bytes:
        """Canonical bytes of the entry."""
        # Keys are ASCII, numbers are safe integers and text was checked on its way in:
        # orjson's sorted output is the RFC 8785 form here.
        return orjson.dumps(self.to_dict(), option=orjson.OPT_SORT_KEYS)

    def to_dict(self) -> dict[str, Any]:
        """The entry as the JSON object that is hashed."""
        return {
            "body_commitment": self.body_commitment,
            "key": self.key,
            "kind": self.kind,
            "parent": self.parent,
            "prev": self.prev,
            "seq": self.seq,
            "time": self.time,
            "trace_id": self.trace_id,
            "v": SCHEMA_VERSION,
        }

    @classmethod
    def decode(cls, raw: bytes) -> Entry:
        """Read an entry back; only its one canonical spelling is accepted.

        Raises:
            UsageError: not canonical, unknown or missing members, wrong types.
        """
        members = parse_canonical(raw)
        if not isinstance(members, dict) or members.keys() != _FIELDS:
            raise UsageError(f"an entry has exactly the members {sorted(_FIELDS)}")
        # True equals 1, but it is another spelling.
        if type(members["v"]) is not int or members.pop("v") != SCHEMA_VERSION:
            raise UsageError(f"the entry's schema version is not {SCHEMA_VERSION}")
        _check_types(members)
        return cls(**members)


def _check_types(members: dict[str, Any]) -> None:
    for name in ("seq", "time"):
        if type(members[name]) is not int or members[name] < 0:
            raise UsageError(f"{name} is {members[name]!r}; it is a whole number, 0 or more")
    check_kind(members["kind"])
    check_reference(members["trace_id"], "trace_id")
    check_reference(members["parent"], "parent")
    for name in ("body_commitment", "prev", "key"):
        value = members[name]
        if value is None and name == "key":
            continue
        if not isinstance(value, str) or not _HEX64.fullmatch(value):
            raise UsageError(f"{name} is {value!r}; it is 64 lower-case hex digits")


def check_kind(kind: object) -> str:
    """Return ``kind`` if it is one: lower-case words joined by ``.``, ``_``, ``/`` or ``-``.

    Raises:
        UsageError: it is not, or it is longer than ``limits.MAX_ID_LENGTH``.
    """
    if not isinstance(kind, str) or len(kind) > limits.MAX_ID_LENGTH or not _KIND.fullmatch(kind):
        raise UsageError(
            f"the kind {kind!r} is not usable; use lower-case words such as 'decision'"
        )
    return kind


def check_reference(value: object, name: str) -> str | None:
    """Return ``value`` if it is ``None`` or a text of 1 to ``limits.MAX_ID_LENGTH`` characters.

    Raises:
        UsageTypeError: another type.
        UsageError: empty, too long, or with a lone surrogate.
    """
    if value is None:
        return None
    if not isinstance(value, str) or type(value) is not str:
        raise UsageTypeError(f"{name} is {value!r}; give a text or None")
    if not 1 <= len(value) <= limits.MAX_ID_LENGTH:
        raise UsageError(
            f"{name} has {len(value)} characters; 1 to {limits.MAX_ID_LENGTH} are allowed"
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise CanonicalError(f"$.{name}", "a lone surrogate is no Unicode text") from error
    return value


def check_origin(origin: object) -> str:
    """Return ``origin`` if it can stand in a signed note: printable ASCII, no space, no ``+``.

    Raises:
        UsageError: it cannot, or it is longer than ``limits.MAX_ID_LENGTH``.
    """
    if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
        raise UsageError(
            f"the origin {origin!r} is not usable; give printable ASCII without spaces or '+', "
            "such as 'example.org/decisions'"
        )
    if len(origin) > limits.MAX_ID_LENGTH:
        raise UsageError(f"the origin is longer than {limits.MAX_ID_LENGTH} characters")
    return origin


def first_prev(origin: str) -> str:
    """``prev`` of the first entry: SHA-256 of the origin, hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


def commit(salt: bytes, body: bytes) -> str:
    """Commitment to a body: SHA-256(salt || canonical body), hex."""
    return hashlib.sha256(salt + body).hexdigest()


def key_digest(key: str) -> str:
    """What the log keeps of an idempotency key: SHA-256, hex.

    Raises:
        UsageError: it is no Unicode text.
    """
    try:
        return hashlib.sha256(key.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise CanonicalError("$.key", "a lone surrogate is no Unicode text") from error


def entry_hash(raw: bytes) -> bytes:
    """Hash of an entry's canonical bytes: RFC 6962 leaf hash, 32 bytes."""
    return leaf_hash(raw)
