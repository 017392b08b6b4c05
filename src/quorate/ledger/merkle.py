"""The Merkle tree of RFC 6962 section 2.1, grown one leaf at a time.

Only the *frontier* is kept: the roots of the complete subtrees that the leaves so far
fill, greatest first, one for each one-bit of the size. Appending a leaf merges as many
of them as the size has trailing one-bits, so the cost of a leaf is two hashes on
average whatever the size.
"""

from __future__ import annotations

import hashlib

_sha256 = hashlib.sha256


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf: SHA-256(0x00 || data), 32 bytes."""
    return _sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right), 32 bytes."""
    return _sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """An append-only tree that knows its size and its root.

    Attributes:
        size: number of leaves.
    """

    __slots__ = ("_frontier", "size")

    def __init__(self) -> None:
        """Begin with no leaves."""
        self.size = 0
        self._frontier: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add a leaf by its hash (see :func:`leaf_hash`)."""
        frontier = self._frontier
        carry = self.size
        while carry & 1:
            leaf = node_hash(frontier.pop(), leaf)
            carry >>= 1
        frontier.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Root over all leaves, 32 bytes; SHA-256 of nothing for the empty tree."""
        if not self._frontier:
            return _sha256(b"").digest()
        root = self._frontier[-1]
        for left in reversed(self._frontier[:-1]):
            root = node_hash(left, root)
        return root
