"""The record: entries, receipts, a Merkle log, checkpoints, and the store beneath."""

from quorate.ledger.bundle import Bundle
from quorate.ledger.checkpoint import Checkpoint
from quorate.ledger.entries import Entry
from quorate.ledger.keyfiles import read_signer, read_verifier, write_key
from quorate.ledger.log import Ledger, verify
from quorate.ledger.policy import Policy
from quorate.ledger.receipts import Receipt, Signature
from quorate.ledger.verification import VerifyReport

__all__ = [
    "Bundle",
    "Checkpoint",
    "Entry",
    "Ledger",
    "Policy",
    "Receipt",
    "Signature",
    "VerifyReport",
    "read_signer",
    "read_verifier",
    "verify",
    "write_key",
]
