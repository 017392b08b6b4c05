"""The Merkle tree of RFC 6962 section 2.1, grown one leaf at a time.

Only the *frontier* is kept: the roots of the complete subtrees that the leaves so far
fill, greatest first, one for each one-bit of the size. Appending a leaf merges as many
of them as the size has trailing one-bits, so the cost of a leaf is two hashes on
average whatever the size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

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


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Hashes beside the path of leaf ``index`` (RFC 6962 section 2.1.1), from the leaf up.

    Args:
        leaves: all leaf hashes, in order.
        index: 0 to ``len(leaves) - 1``.
    """
    return InclusionProofs(leaves).of(index)


class InclusionProofs:
    """Proofs of several leaves of one tree, each level of which is hashed once."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        """Hash every level of the tree over ``leaves``."""
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            level = [node_hash(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)]
            # A node without a sibling goes up as it is.
            self._levels.append(level + below[len(below) & ~1 :])

    def root(self) -> bytes:
        """Root over all leaves, 32 bytes."""
        top = self._levels[-1]
        return top[0] if top else _sha256(b"").digest()

    def of(self, index: int) -> list[bytes]:
        """The proof of one leaf, from the leaf up."""
        path = []
        for level in self._levels[:-1]:
            beside = index ^ 1
            if beside < len(level):
                path.append(level[beside])
            index >>= 1
        return path


def root_by_proof(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root of a tree of ``size`` leaves that has ``leaf`` at ``index``, going by ``path``.

    Follows RFC 9162 section 2.1.3.2.

    Returns:
        The root, 32 bytes, or ``None`` where no tree of that size has a path of that length.
    """
    if not 0 <= index < size:
        return None
    at, last, root = index, size - 1, leaf
    for beside in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            root = node_hash(beside, root)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            root = node_hash(root, beside)
        at >>= 1
        last >>= 1
    return root if last == 0 else None
