"""Bundles: one receipt and the proof that the log holds it, in a file of their own.

A bundle is JSON::

    {"bundle": "quorate/bundle/v1", "receipt": {…}, "proof": "c2sp.org/tlog-proof@v1…"}

The proof is the text that C2SP tlog-proof defines: the entry's index, the hashes beside its
path up the Merkle tree, and the signed checkpoint that pins the tree's root. The receipt
alone shows that the operator sealed the body; the bundle shows besides that the log which
the checkpoint pins holds it at that place. Whoever has the operator's public keys needs
nothing else to check either.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from quorate.core import limits
from quorate.core.canonical import parse
from quorate.core.errors import UsageError, VerificationError
from quorate.ledger import checkpoint as checkpoints
from quorate.ledger.checkpoint import Checkpoint
from quorate.ledger.merkle import InclusionProofs, root_by_proof
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import Receipt

FORMAT: Final = "quorate/bundle/v1"
_HEAD: Final = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})")
_MOST_HASHES: Final = 63
_HASH_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Bundle:
    """A receipt, and its inclusion proof against a signed checkpoint.

    Attributes:
        receipt: what was sealed.
        path: the hashes beside its path, 32 bytes each, from the leaf up.
        note: the signed checkpoint.
    """

    receipt: Receipt
    path: tuple[bytes, ...]
    note: str

    @property
    def seq(self) -> int:
        """Place of the entry in the log."""
        return self.receipt.seq

    def proof(self) -> str:
        """The proof as C2SP tlog-proof writes it."""
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in self.path)
        return f"{_HEAD}\nindex {self.seq}\n{hashes}\n{self.note}"

    def verify(self, policy: Policy) -> Checkpoint:
        """Check the receipt, the checkpoint and that the one is in the other. Offline.

        Returns:
            The checkpoint: how long the log was that is known to hold the receipt.

        Raises:
            VerificationError: naming the rule that is broken; ``inclusion`` where the proof
                does not lead from the entry to the checkpoint's root.
        """
        self.receipt.verify(policy)
        pinned = checkpoints.verify(self.note, policy)
        if pinned.origin != self.receipt.origin:
            raise self._bad(f"the checkpoint is of the log {pinned.origin!r}")
        leaf = bytes.fromhex(self.receipt.entry_hash)
        if root_by_proof(leaf, self.seq, pinned.size, self.path) != pinned.root:
            raise self._bad(
                f"the path does not lead to the root that the checkpoint pins at {pinned.size}"
            )
        return pinned

    def _bad(self, why: str) -> VerificationError:
        return VerificationError(
            f"the log is not shown to hold it: {why}", index=self.seq, rule="inclusion"
        )

    def to_dict(self) -> dict[str, Any]:
        """The bundle as JSON; :meth:`from_dict` reads it back."""
        return {"bundle": FORMAT, "receipt": self.receipt.to_dict(), "proof": self.proof()}

    def to_text(self) -> str:
        """The bundle as a file's text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> Bundle:
        """Read a bundle from its text. Reading is not verifying: call :meth:`verify`.

        Raises:
            UsageError: it is no such text; the message says what is wrong.
        """
        return cls.from_dict(parse(text.removeprefix("\ufeff")))

    @classmethod
    def from_dict(cls, members: Any) -> Bundle:
        """Read a bundle from JSON. Reading is not verifying: call :meth:`verify`.

        Raises:
            UsageError: not the shape that :meth:`to_dict` writes.
        """
        names = {"bundle", "receipt", "proof"}
        if not isinstance(members, dict) or members.keys() != names:
            raise UsageError(f"a bundle is an object with exactly {sorted(names)}")
        if members["bundle"] != FORMAT:
            raise UsageError(f"bundle is {members['bundle']!r}; {FORMAT!r} is known")
        receipt = Receipt.from_dict(members["receipt"])
        index, path, note = _read_proof(members["proof"])
        if index != receipt.seq:
            raise UsageError(f"the proof is of index {index}, the receipt of entry {receipt.seq}")
        return cls(receipt, path, note)


def proven(
    receipts: Sequence[Receipt], entry_hashes: Iterable[bytes], origin: str, note: str
) -> list[Bundle]:
    """Bundle receipts of the log ``origin`` with proofs against the checkpoint ``note``.

    Args:
        receipts: of this log.
        entry_hashes: hashes of all its entries, in order.
        origin: the log's name.
        note: the checkpoint; its signatures are not checked here.

    Raises:
        UsageError: a receipt of an entry that came after the checkpoint.
        VerificationError: rule ``checkpoint``: no such note; ``fork``: this is not the log
            that it pins.
    """
    pinned = checkpoints.read(note)
    for receipt in receipts:
        if receipt.seq >= pinned.size:
            raise UsageError(
                f"the checkpoint pins {pinned.size} entries, and entry {receipt.seq} came "
                "after; take a later one"
            )
    hashes = list(islice(entry_hashes, pinned.size))
    proofs = InclusionProofs(hashes)
    if origin != pinned.origin or len(hashes) < pinned.size or proofs.root() != pinned.root:
        raise VerificationError(
            "the checkpoint is of another log, or this one was changed since", rule="fork"
        )
    return [Bundle(receipt, tuple(proofs.of(receipt.seq)), note) for receipt in receipts]


def _read_proof(text: object) -> tuple[int, tuple[bytes, ...], str]:
    if not isinstance(text, str) or len(text) > 2 * limits.MAX_NOTE_BYTES:
        raise UsageError(f"a proof is a text of at most {2 * limits.MAX_NOTE_BYTES} characters")
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or lines[0] != _HEAD:
        raise UsageError(f"a proof begins with {_HEAD!r} and has a checkpoint after an empty line")
    rest = lines[1:]
    # The format leaves room for data of others, which proves nothing here.
    if rest and rest[0].startswith("extra "):
        rest = rest[1:]
    found = _INDEX.fullmatch(rest[0]) if rest else None
    if found is None:
        raise UsageError("the proof's second line is 'index N', the number of the entry")
    if len(rest) - 1 > _MOST_HASHES:
        raise UsageError(f"a proof has at most {_MOST_HASHES} hashes")
    return int(found[1]), tuple(_read_hash(line) for line in rest[1:]), note


def _read_hash(line: str) -> bytes:
    try:
        raw = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"the proof has the line {line[:60]!r}, which is not base64") from error
    if len(raw) != _HASH_BYTES or base64.b64encode(raw).decode() != line:
        raise UsageError(f"the proof has the line {line[:60]!r}, which is not 32 bytes in base64")
    return raw
